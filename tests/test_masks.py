"""Masks and hints: patterns, batches for training, hints and masks from people."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import data, filters, measure, morphology, segmentation
from skimage.color import rgb2lab

from colorizer import hints as hints_module
from colorizer import masks

PHOTO = rgb2lab(data.astronaut()[40:200:2, 140:300:2])[..., 0].astype(np.float32)

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40)).filter(lambda size: size != (1, 1))
patterns = st.one_of(
    st.sampled_from(sorted(masks.PATTERNS)),
    st.sampled_from(["half:vertical", "half:horizontal"]),
    st.builds("stripes:{}@{}".format, st.integers(2, 1000), st.floats(-360, 360)),
    st.builds(
        "{}:{}".format,
        st.sampled_from(["grid", "discs", "brush", "polygons", "smooth-noise", "superpixels"]),
        st.integers(1, 30),
    ),
    st.builds("checkerboard:{}".format, st.integers(2, 1000)),
    st.builds("white-noise:{}".format, st.floats(0.001, 0.999)),
)


def luminance_of(size):
    rows, columns = (np.arange(side) % PHOTO.shape[0] for side in size)
    return PHOTO[np.ix_(rows, columns)]


# --- patterns


@settings(max_examples=150, deadline=None)
@given(patterns, sizes, st.integers(0, 2**32))
def test_patterns_are_binary_neither_empty_nor_full_and_repeatable(pattern, size, seed):
    mask = masks.make_mask(pattern, size, seed=seed, image=luminance_of(size))
    assert mask.shape == size
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) == {0, 1}
    again = masks.make_mask(pattern, size, seed=seed, image=luminance_of(size))
    np.testing.assert_array_equal(mask, again)


@settings(max_examples=100, deadline=None)
@given(sizes, st.integers(0, 2**32), st.booleans())
def test_random_mask_is_binary_neither_empty_nor_full_and_repeatable(size, seed, with_image):
    image = luminance_of(size) if with_image else None
    mask = masks.random_mask(size, seed, image=image)
    assert mask.shape == size
    assert set(np.unique(mask)) == {0, 1}
    np.testing.assert_array_equal(mask, masks.random_mask(size, seed, image=image))


def test_a_single_pixel_is_coloured():
    assert masks.make_mask("half", (1, 1)) == 1
    assert masks.random_mask((1, 1), 0) == 1


@pytest.mark.parametrize("pattern", sorted(set(masks.PATTERNS) - {"half"}))
def test_a_seed_matters_where_something_is_left_to_chance(pattern):
    drawn = [masks.make_mask(pattern, (48, 48), seed=s, image=PHOTO[:48, :48]) for s in range(6)]
    assert len({mask.tobytes() for mask in drawn}) >= 3


@pytest.mark.parametrize("count", [2, 3, 8, 16])
@pytest.mark.parametrize(("angle", "line"), [(0, np.s_[5, :]), (90, np.s_[:, 5])])
def test_stripes_have_as_many_bands_of_one_width_as_asked(count, angle, line):
    profile = masks.make_mask(f"stripes:{count}@{angle}", (96, 96))[line]
    assert np.count_nonzero(np.diff(profile)) == count - 1
    assert profile[0] == 1
    if 96 % count == 0:
        np.testing.assert_array_equal(profile[:: 96 // count], np.arange(count) % 2 == 0)


def test_stripes_at_45_degrees_are_constant_along_the_other_diagonal():
    mask = masks.make_mask("stripes:8@45", (64, 64))
    for offset in range(-40, 41, 7):
        assert np.ptp(np.diagonal(mask[:, ::-1], offset)) == 0
    assert np.count_nonzero(np.diff(np.diagonal(mask))) == 7


def test_halves_grid_and_checkerboard():
    left, upper = (masks.make_mask(f"half:{way}", (4, 6)) for way in ("vertical", "horizontal"))
    np.testing.assert_array_equal(left, np.tile([1, 1, 1, 0, 0, 0], (4, 1)))
    np.testing.assert_array_equal(upper[:, 0], [1, 1, 0, 0])
    board = masks.make_mask("checkerboard:4", (8, 8))
    np.testing.assert_array_equal(board[::2, ::2], np.indices((4, 4)).sum(axis=0) % 2 == 0)
    grid = masks.make_mask("grid:4", (32, 32))
    assert measure.label(1 - grid, connectivity=1).max() == 16
    assert grid.mean() == 0.75


def test_shares_of_noise():
    assert masks.make_mask("white-noise:0.3", (200, 200)).mean() == pytest.approx(0.3, abs=0.01)
    assert masks.make_mask("smooth-noise:5", (200, 200)).mean() == pytest.approx(0.5, abs=0.01)


def test_superpixels_follow_the_photo():
    photo = np.full((60, 60), 20.0)
    photo[15:45, 20:50] = 80
    edges = []
    for seed in range(6):
        mask = masks.make_mask("superpixels:9", (60, 60), seed=seed, image=photo)
        edges.extend(np.flatnonzero(np.diff(mask[30])))
    # The square ends after columns 19 and 49: no outline runs beside its edge, some run on it.
    near = [x for x in edges if min(abs(x - 19), abs(x - 49)) <= 3]
    assert set(near) == {19, 49}


def test_seed_masks_are_ten_different_ones():
    stack = masks.seed_masks((32, 48))
    assert stack.shape == (10, 32, 48)
    assert len({mask.tobytes() for mask in stack}) == 10
    np.testing.assert_array_equal(stack[0], masks.make_mask("half:vertical", (32, 48)))
    np.testing.assert_array_equal(stack[3], masks.make_mask("half:horizontal", (32, 48)))


def test_the_mixture_names_every_pattern_and_sums_to_one():
    assert set(masks.RANDOM_MIXTURE) == set(masks.PATTERNS)
    assert sum(masks.RANDOM_MIXTURE.values()) == pytest.approx(1)


def test_random_mask_draws_only_from_the_kinds_asked_for():
    rng = np.random.default_rng(0)
    drawn = {masks.random_mask((8, 8), rng, kinds=["half"]).tobytes() for _ in range(40)}
    left, upper = (masks.make_mask(f"half:{way}", (8, 8)) for way in ("vertical", "horizontal"))
    assert drawn == {half.tobytes() for half in (left, upper, 1 - left, 1 - upper)}


@pytest.mark.parametrize(
    "pattern",
    [
        *("", "spots", "half:\n", "half:diagonal", "white-noise:1", "grid:0", "grid:4@45"),
        *("stripes:", "stripes:x", "stripes:1", "stripes:8@", "stripes:8@nan", "discs:1001"),
    ],
)
def test_unknown_patterns_are_named_in_one_line_with_the_known_ones(pattern):
    with pytest.raises(ValueError, match=r"^pattern must be one of half, stripes, .*$") as error:
        masks.make_mask(pattern, (8, 8))
    assert "\n" not in str(error.value)


def test_errors_of_size_kind_and_image():
    with pytest.raises(ValueError, match=r"size must be at least \(1, 1\)"):
        masks.make_mask("half", (0, 4))
    with pytest.raises(ValueError, match="image must be the luminance, of shape"):
        masks.make_mask("superpixels", (8, 8))
    with pytest.raises(ValueError, match="kinds must be some of half"):
        masks.random_mask((8, 8), 0, kinds=["spots"])


# --- batches for training


@pytest.fixture(scope="module")
def generator():
    keras = pytest.importorskip("keras")
    return lambda seed=0: keras.random.SeedGenerator(seed)


def test_sample_masks_shares_shape_and_determinism(generator):
    drawn = np.asarray(masks.sample_masks(400, 24, 40, generator(), full_share=0.5))
    assert drawn.shape == (400, 24, 40, 1)
    assert drawn.dtype == np.float32
    assert set(np.unique(drawn)) == {0, 1}
    full = drawn.min(axis=(1, 2, 3)) == 1
    assert full.mean() == pytest.approx(0.5, abs=0.08)
    assert drawn[~full].mean() == pytest.approx(0.5, abs=0.08)
    assert (drawn.max(axis=(1, 2, 3)) == 0).mean() < 0.02
    again = np.asarray(masks.sample_masks(400, 24, 40, generator(), full_share=0.5))
    np.testing.assert_array_equal(drawn, again)
    assert np.asarray(masks.sample_masks(8, 4, 4, generator(), full_share=1.0)).min() == 1
    none_full = np.asarray(masks.sample_masks(100, 24, 40, generator(1), full_share=0.0))
    assert (none_full.min(axis=(1, 2, 3)) == 1).mean() < 0.05


def test_each_call_of_a_generator_draws_anew(generator):
    seeds = generator()
    first, second = (np.asarray(masks.sample_masks(8, 16, 16, seeds)) for _ in range(2))
    assert (first != second).any()


def test_sample_hints_show_true_means_where_and_only_where_the_indicator_is(generator):
    ab = np.random.default_rng(0).uniform(-1, 1, (300, 32, 40, 2)).astype(np.float32)
    hints = np.asarray(hints_module.sample_hints(ab, generator(), full_share=0.0))
    assert hints.shape == (300, 32, 40, 3)
    colour, known = hints[..., :2], hints[..., 2]
    assert set(np.unique(known)) == {0, 1}
    assert (colour[known == 0] == 0).all()
    assert (colour[known == 1] != 0).any(axis=-1).all()
    checked = 0
    for i in range(300):
        regions = measure.label(known[i], connectivity=2)
        for region, (rows, columns) in enumerate(ndimage.find_objects(regions), 1):
            patch = regions[rows, columns] == region
            shown = colour[i, rows, columns]
            if patch.all() and (shown == shown[0, 0]).all():  # a square that overlaps no other
                assert max(patch.shape) <= hints_module.LARGEST_PATCH
                truth = ab[i, rows, columns].mean(axis=(0, 1))
                np.testing.assert_allclose(shown[0, 0], truth, atol=1e-5)
                checked += 1
    assert checked > 300


def test_sample_hints_shares_places_and_determinism(generator):
    ab = np.full((1000, 32, 32, 2), 0.25, np.float32)
    hints = np.asarray(hints_module.sample_hints(ab, generator(3), none_share=0.2, full_share=0.05))
    np.testing.assert_allclose(hints[..., :2], 0.25 * hints[..., 2:].repeat(2, -1), atol=1e-6)
    shown = hints[..., 2].mean(axis=(1, 2))
    assert (shown == 1).mean() == pytest.approx(0.05, abs=0.02)
    # None by choice, or else by the geometric law, which starts at no patch: p = 1/8.
    assert (shown == 0).mean() == pytest.approx(0.95 * (0.2 + 0.8 / 8), abs=0.04)
    density = hints[(shown > 0) & (shown < 1), ..., 2].mean(axis=0)
    assert density[12:20, 12:20].mean() > 4 * density[:4, :4].mean()
    again = np.asarray(hints_module.sample_hints(ab, generator(3), none_share=0.2, full_share=0.05))
    np.testing.assert_array_equal(hints, again)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_sampling_works_inside_a_compiled_function(generator, jit_compile):
    tf = pytest.importorskip("tensorflow")
    seeds = generator()

    @tf.function(
        input_signature=[tf.TensorSpec((None, 16, 24, 2), tf.float32)], jit_compile=jit_compile
    )
    def step(ab):
        batch = tf.shape(ab)[0]
        return masks.sample_masks(batch, 16, 24, seeds), hints_module.sample_hints(ab, seeds)

    for batch in (2, 5):
        mask, hints = step(np.zeros((batch, 16, 24, 2), np.float32))
        assert mask.shape == (batch, 16, 24, 1)
        assert hints.shape == (batch, 16, 24, 3)


# --- hints from people


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12,34,#ff0000", (12, 34, (255, 0, 0), None)),
        ("1.5, 2, teal, 6", (1.5, 2, (0, 128, 128), 6)),
        ("0,0,#0f0,2.5", (0, 0, (0, 255, 0), 2.5)),
        ("3,4,rgb(1, 2, 3)", (3, 4, (1, 2, 3), None)),
        ("3,4,rgb(1, 2, 3),9", (3, 4, (1, 2, 3), 9)),
    ],
)
def test_parse_hint(text, expected):
    assert hints_module.parse_hint(text) == expected


@pytest.mark.parametrize(
    "text", ["", "1,2", "1,2,#ggg", "a,2,red", "1,2,red,-3", "1,nan,red", "1,2,rgb(300,0,0)"]
)
def test_parse_hint_says_what_is_wrong_in_one_line(text):
    with pytest.raises(ValueError, match=r"^hint must be x") as error:
        hints_module.parse_hint(text)
    assert "\n" not in str(error.value)


def test_read_hints(tmp_path):
    path = tmp_path / "hints.json"
    path.write_text(json.dumps([{"x": 1, "y": 2, "colour": "red", "radius": 3}]))
    assert hints_module.read_hints(path) == [(1, 2, (255, 0, 0), 3)]
    for wrong in ("{", "{}", "[[1, 2, 3]]", '[{"x": 1, "y": 2}]', '[{"x":1,"y":2,"colour":5}]'):
        path.write_text(wrong)
        with pytest.raises(ValueError, match=r"hints.*hints\.json"):
            hints_module.read_hints(path)


@pytest.mark.parametrize("colour", ["#ff0000", "#336699", "white", (12, 200, 34)])
def test_a_hint_has_its_exact_lab_colour(colour):
    hints = hints_module.rasterize_hints([(31, 10, colour, 5)], 16, 32, photo_size=(48, 96))
    rgb = hints_module.ImageColor.getrgb(colour) if isinstance(colour, str) else colour
    lab = rgb2lab(np.array(rgb) / 255)
    known = hints[..., 2] == 1
    np.testing.assert_allclose(
        hints[known, :2] * 110, np.tile(lab[1:], (known.sum(), 1)), atol=1e-4
    )
    assert (hints[~known] == 0).all()
    # At a third of the size: cells whose centres lie within 5/3 of x = 10.5, y = 3.5.
    rows, columns = np.nonzero(known)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 4, 9, 11)


@given(st.lists(st.tuples(st.integers(0, 399), st.integers(0, 299)), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_no_hint_vanishes_at_a_small_size(points):
    large = (200, 150, "blue", 400)
    hints = hints_module.rasterize_hints(
        [*((x, y, "red", 0) for x, y in points), large], 6, 8, photo_size=(300, 400)
    )
    red, blue = (rgb2lab(np.array(c, float))[1:] / 110 for c in ((1, 0, 0), (0, 0, 1)))
    cells = {((y * 2 + 1) // 100, (x * 2 + 1) // 100) for x, y in points} - {(3, 4)}
    for row, column in np.ndindex(6, 8):
        expected = red if (row, column) in cells else blue
        np.testing.assert_allclose(hints[row, column, :2], expected, atol=1e-5)


def test_the_default_radius_is_a_hundredth_of_the_longer_side():
    default = hints_module.rasterize_hints([(500, 300, "red")], 600, 1000)
    np.testing.assert_array_equal(
        default, hints_module.rasterize_hints([(500, 300, "red", 10)], 600, 1000)
    )
    assert default[..., 2].sum() == 21 * 21
    assert hints_module.rasterize_hints([], 4, 4).any() == np.False_


def test_hints_outside_the_photo_are_named():
    with pytest.raises(ValueError, match=r"^hints\[1\] must lie in the photo.*x=96, y=0$"):
        hints_module.rasterize_hints([(0, 0, "red"), (96, 0, "red")], 16, 32, photo_size=(48, 96))
    with pytest.raises(ValueError, match=r"^hints\[0\] must be x, y, a colour"):
        hints_module.rasterize_hints([(0, 0, "reddish")], 16, 32)


def test_scribbles_become_hints_on_painted_pixels_of_their_colour():
    scribbles = np.zeros((100, 100, 4), np.uint8)
    scribbles[20:24, 10:60] = (200, 30, 30, 255)
    scribbles[70:90, 50:52] = (20, 40, 220, 255)
    scribbles[0:10] = (9, 9, 9, 100)  # too faint to count as painted
    hints = hints_module.hints_from_scribbles(scribbles)
    for x, y, colour, radius in hints:
        assert tuple(scribbles[int(y), int(x)]) == (*colour, 255)
        assert 0 < radius <= 2
    assert {colour for _, _, colour, _ in hints} == {(200, 30, 30), (20, 40, 220)}
    shown = hints_module.rasterize_hints(hints, 100, 100)[..., 2] == 1
    painted = scribbles[..., 3] == 255
    assert shown[painted].mean() > 0.6
    assert shown[~ndimage.binary_dilation(painted, iterations=2)].sum() == 0


def test_scribbles_must_be_painted_rgba():
    with pytest.raises(ValueError, match="scribbles must be uint8 RGBA"):
        hints_module.hints_from_scribbles(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="scribbles must be opaque where"):
        hints_module.hints_from_scribbles(np.zeros((4, 4, 4), np.uint8))


# --- masks from people


def test_mask_from_image_takes_alpha_where_it_varies_else_luminance():
    gray = np.tile(np.linspace(0, 1, 8, dtype=np.float32), (4, 1))
    rgba = np.ones((4, 8, 4), np.float32)
    rgba[..., :3] = gray[..., None]
    mask, source = masks.mask_from_image(rgba, (4, 8))
    assert source == "luminance"
    np.testing.assert_allclose(mask, gray, atol=1e-6)
    rgba[..., 3] = gray[:, ::-1]
    mask, source = masks.mask_from_image(rgba, (4, 8))
    assert source == "alpha"
    np.testing.assert_array_equal(mask, gray[:, ::-1])


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.float32])
def test_mask_from_image_of_any_type_and_size_keeps_black_and_white(dtype):
    full = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    image = np.zeros((40, 60), dtype)
    image[:, 30:] = full
    mask, _ = masks.mask_from_image(image, (10, 20))
    np.testing.assert_allclose(mask[:, :9], 0, atol=1e-6)
    np.testing.assert_allclose(mask[:, 11:], 1, atol=1e-6)
    assert mask.shape == (10, 20)


def test_mask_from_image_errors():
    with pytest.raises(ValueError, match="mask image must have shape"):
        masks.mask_from_image(np.zeros((4, 4, 5)), (4, 4))
    with pytest.raises(ValueError, match="mask image must range from 0 to 1"):
        masks.mask_from_image(np.full((4, 4), 255.0), (4, 4))


def test_shapes_are_filled_and_joined():
    mask = masks.mask_from_shapes(
        (10, 12),
        rectangles=[(1, 2, 4, 5), (-3, 8, 2, 99)],
        polygons=[[(6.5, 0.5), (10.5, 0.5), (10.5, 4.5), (6.5, 4.5)]],
    )
    expected = np.zeros((10, 12))
    expected[2:5, 1:4] = expected[8:, :2] = expected[1:5, 7:11] = 1
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"rectangles": [(1, 2, 3)]}, r"rectangles\[0\] must be \(left, top, right, bottom\)"),
        ({"rectangles": [(0, 0, 2, 2), (50, 0, 60, 5)]}, r"rectangles\[1\] must cover"),
        ({"rectangles": [(-9, -9, -2, -2)]}, r"rectangles\[0\] must cover"),
        ({"polygons": [[(0, 0), (1, 1)]]}, r"polygons\[0\] must be three or more"),
        ({"polygons": [[(20, 20), (30, 20), (30, 30)]]}, r"polygons\[0\] must cover"),
    ],
)
def test_shapes_that_make_no_mask_are_named(shapes, message):
    with pytest.raises(ValueError, match=message):
        masks.mask_from_shapes((10, 12), **shapes)


def test_feather_softens_only_within_its_radius():
    mask = masks.make_mask("half:vertical", (20, 80))
    soft = masks.feather(mask, 8)
    np.testing.assert_array_equal(soft[:, 49:], 0)
    np.testing.assert_allclose(soft[:, :31], 1, atol=1e-6)
    assert (np.diff(soft[10, 32:48]) < 0).all()
    assert soft[10, 39:41].mean() == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_array_equal(masks.feather(mask, 0), mask)
    with pytest.raises(ValueError, match="feather must be a radius"):
        masks.feather(mask, -1)


# --- selection by click


def intersection_over_union(mask, truth):
    return np.logical_and(mask, truth).sum() / np.logical_or(mask, truth).sum()


def test_one_click_selects_each_coin():
    photo = data.coins()
    bright = morphology.closing(photo > filters.threshold_otsu(photo), np.ones((3, 3)))
    labels = measure.label(segmentation.clear_border(bright))
    luminance = rgb2lab(np.stack([photo] * 3, axis=-1))[..., 0]
    scores = []
    for region in measure.regionprops(labels):
        if region.area > 700 and region.solidity > 0.9:
            y, x = region.centroid
            truth = ndimage.binary_fill_holes(labels == region.label)
            scores.append(intersection_over_union(masks.select(luminance, [(x, y)]), truth))
    assert len(scores) == 22
    assert min(scores) > 0.94
    assert np.mean(scores) > 0.97


def test_selection_follows_the_photos_own_edges_when_they_are_finer_than_its_cells():
    luminance = np.full((700, 900), 30.0)
    y, x = np.mgrid[:700, :900]
    truth = (y - 350) ** 2 + (x - 420) ** 2 < 150**2
    luminance[truth] = 70
    luminance += np.random.default_rng(0).normal(0, 2, luminance.shape)
    assert intersection_over_union(masks.select(luminance, [(420, 350)]), truth) > 0.985


def test_clicks_and_deselected_clicks_are_obeyed():
    luminance = np.full((80, 120), 20.0)
    luminance[20:60, 20:50] = luminance[20:60, 60:90] = 70
    luminance[35:45, 50:60] = 70  # a bridge between the two squares
    both = masks.select(luminance, [(35, 40), (75, 40)])
    assert both[40, 35] == both[40, 75] == 1
    one = masks.select(luminance, [(35, 40)], deselect=[(75, 40)])
    assert one[25:55, 25:45].mean() == 1
    assert one[25:55, 65:85].mean() == 0
    assert one[:10].sum() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 5), (300, 2)])
def test_selection_in_tiny_photos_and_flat_ones_still_has_the_click(size):
    mask = masks.select(np.full(size, 50.0), [(0, 0)])
    assert mask.shape == size
    assert mask[0, 0] == 1


def test_clicks_outside_the_photo_are_named():
    with pytest.raises(ValueError, match=r"^select\[1\] must lie in the photo.*x=8, y=1$"):
        masks.select(np.zeros((8, 8)), [(1, 1), (8, 1)])
    with pytest.raises(ValueError, match=r"^deselect\[0\] must lie in the photo"):
        masks.select(np.zeros((8, 8)), [(1, 1)], deselect=[(-1, 1)])
    with pytest.raises(ValueError, match="at least one point"):
        masks.select(np.zeros((8, 8)), [])
