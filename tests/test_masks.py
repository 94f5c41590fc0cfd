"""Masks and hints: patterns, batches for training, hints and masks from people."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import data, measure
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
