"""Masks from people: images, shapes, patterns, clicks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from skimage import data, filters, measure, morphology, segmentation
from skimage.color import rgb2lab

from colorizer import masks, regions
from colorizer.photos import PhotoError
from colorizer.regions import Region, region_of

PHOTO = rgb2lab(data.astronaut()[40:200:2, 140:300:2])[..., 0].astype(np.float32)


def test_mask_from_image_takes_alpha_where_it_varies_else_luminance():
    gray = np.tile(np.linspace(0, 1, 8, dtype=np.float32), (4, 1))
    rgba = np.ones((4, 8, 4), np.float32)
    rgba[..., :3] = gray[..., None]
    mask, source = regions.mask_from_image(rgba, (4, 8))
    assert source == "luminance"
    np.testing.assert_allclose(mask, gray, atol=1e-6)
    rgba[..., 3] = gray[:, ::-1]
    mask, source = regions.mask_from_image(rgba, (4, 8))
    assert source == "alpha"
    np.testing.assert_array_equal(mask, gray[:, ::-1])


def test_the_noise_of_a_jpeg_is_black_and_white():
    noisy = np.array([[0, 1, 3, 5, 128, 250, 252, 254, 255]], np.uint8)
    mask, _ = regions.mask_from_image(noisy, (1, 9))
    expected = np.array([[0, 0, 0, 5, 128, 250, 255, 255, 255]]) / 255
    np.testing.assert_allclose(mask, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.float32])
def test_mask_from_image_of_any_type_and_size_keeps_black_and_white(dtype):
    full = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    image = np.zeros((40, 60), dtype)
    image[:, 30:] = full
    mask, _ = regions.mask_from_image(image, (10, 20))
    np.testing.assert_allclose(mask[:, :9], 0, atol=1e-6)
    np.testing.assert_allclose(mask[:, 11:], 1, atol=1e-6)
    assert mask.shape == (10, 20)


def test_mask_from_image_errors():
    with pytest.raises(ValueError, match="mask image must have shape"):
        regions.mask_from_image(np.zeros((4, 4, 5)), (4, 4))
    with pytest.raises(ValueError, match="mask image must range from 0 to 1"):
        regions.mask_from_image(np.full((4, 4), 255.0), (4, 4))


def test_shapes_are_filled_and_joined():
    mask = regions.mask_from_shapes(
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
        ({"rectangles": (1, 2, 3, 4)}, r"rectangles\[0\] must be .*Received: 1$"),
        ({"rectangles": [(0, 0, np.nan, 4)]}, r"rectangles\[0\] must be"),
        ({"rectangles": [(0, 0, np.inf, 4)]}, r"rectangles\[0\] must be"),
        ({"rectangles": [(4, 4, 2, 6)]}, r"rectangles\[0\] must cover"),
        ({"polygons": [[(0, 0), (1, 1), (np.nan, 2)]]}, r"polygons\[0\] must be three or more"),
        ({"polygons": [(0, 0), (1, 1), (2, 0)]}, r"polygons\[0\] must be three or more"),
        ({"polygons": [[(0, 0), (1, 1)]]}, r"polygons\[0\] must be three or more"),
        ({"polygons": [[(20, 20), (30, 20), (30, 30)]]}, r"polygons\[0\] must cover"),
    ],
)
def test_shapes_that_make_no_mask_are_named(shapes, message):
    with pytest.raises(ValueError, match=message):
        regions.mask_from_shapes((10, 12), **shapes)


def test_shapes_far_larger_than_the_photo_cover_all_of_it():
    for far in (1e3, 1e30):
        ones = regions.mask_from_shapes((10, 12), rectangles=[(-far, -far, far, far)])
        np.testing.assert_array_equal(ones, 1)
    wide = regions.mask_from_shapes((10, 12), polygons=[[(-99, -99), (999, -99), (-99, 999)]])
    np.testing.assert_array_equal(wide, 1)


def test_feather_softens_only_within_its_radius():
    mask = masks.make_mask("half:vertical", (20, 80))
    soft = regions.feather(mask, 8)
    np.testing.assert_array_equal(soft[:, 49:], 0)
    np.testing.assert_allclose(soft[:, :31], 1, atol=1e-6)
    assert (np.diff(soft[10, 32:48]) < 0).all()
    assert soft[10, 39:41].mean() == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_array_equal(regions.feather(mask, 0), mask)
    assert np.ptp(regions.feather(mask, 1e12)) < 1  # at once, not after a kernel of that width
    for wrong in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match="feather must be a radius"):
            regions.feather(mask, wrong)


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
            scores.append(intersection_over_union(regions.select(luminance, [(x, y)]), truth))
    assert len(scores) == 22
    assert min(scores) > 0.94
    assert np.mean(scores) > 0.97


def test_selection_follows_the_photos_own_edges_when_they_are_finer_than_its_cells():
    luminance = np.full((700, 900), 30.0)
    y, x = np.mgrid[:700, :900]
    truth = (y - 350) ** 2 + (x - 420) ** 2 < 150**2
    luminance[truth] = 70
    luminance += np.random.default_rng(0).normal(0, 2, luminance.shape)
    assert intersection_over_union(regions.select(luminance, [(420, 350)]), truth) > 0.985


@pytest.mark.parametrize(("noise", "shading"), [(0, 0), (1, 10), (3, 0)])
@pytest.mark.parametrize("click", [(200, 90), (80, 30), (320, 6), (20, 90)])
def test_a_click_on_a_flat_wall_that_reaches_the_frame_selects_the_wall(noise, shading, click):
    wall = np.repeat([[True]] * 180 + [[False]] * 120, 400, axis=1)
    luminance = np.where(wall, 70.0, 40.0) + shading * np.linspace(-0.5, 0.5, 400)
    luminance += np.random.default_rng(0).normal(0, noise, wall.shape)
    assert intersection_over_union(regions.select(luminance, [click]), wall) > 0.97
    parted = regions.select(luminance, [click], deselect=[(380, 170)])
    assert parted[click[1], click[0]] == 1
    assert parted[166:175, 376:385].sum() == 0
    assert parted[~wall].mean() < 0.01


@pytest.mark.parametrize("deselect", [[], [(200, 180)]])
def test_only_where_the_outline_may_lie_is_flooded(monkeypatch, deselect):
    luminance = rgb2lab(data.coffee())[..., 0]
    watershed, shares = segmentation.watershed, []

    def flood(edges, markers, mask=None):
        shares.append(mask.mean())
        return watershed(edges, markers, mask=mask)

    monkeypatch.setattr(regions.segmentation, "watershed", flood)
    confined = regions.select(luminance, [(290, 170)], deselect=deselect)
    assert shares[0] < 0.1
    monkeypatch.setattr(regions.segmentation, "watershed", lambda *given, mask: watershed(*given))
    np.testing.assert_array_equal(
        confined, regions.select(luminance, [(290, 170)], deselect=deselect)
    )
    assert 0.05 < confined.mean() < 0.3


@pytest.mark.parametrize(
    ("point", "pixel"), [((2.0, 1.0), (1, 2)), ((2.6, 1.4), (1, 3)), ((5.9, 3.9), (3, 5))]
)
def test_a_click_is_on_the_nearest_pixel(point, pixel):
    assert list(zip(*np.nonzero(regions._clicked([point], (4, 6), "select")), strict=True)) == [
        pixel
    ]


def test_clicks_and_deselected_clicks_are_obeyed():
    luminance = np.full((80, 120), 20.0)
    luminance[20:60, 20:50] = luminance[20:60, 60:90] = 70
    luminance[35:45, 50:60] = 70  # a bridge between the two squares
    both = regions.select(luminance, [(35, 40), (75, 40)])
    assert both[40, 35] == both[40, 75] == 1
    one = regions.select(luminance, [(35, 40)], deselect=[(75, 40)])
    assert one[25:55, 25:45].mean() == 1
    assert one[25:55, 65:85].mean() == 0
    assert one[:10].sum() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 5), (300, 2)])
def test_selection_in_tiny_photos_and_flat_ones_still_has_the_click(size):
    mask = regions.select(np.full(size, 50.0), [(0, 0)])
    assert mask.shape == size
    assert mask[0, 0] == 1


def test_clicks_outside_the_photo_are_named():
    with pytest.raises(ValueError, match=r"^select\[1\] must lie in the photo.*x=8, y=1$"):
        regions.select(np.zeros((8, 8)), [(1, 1), (8, 1)])
    with pytest.raises(ValueError, match=r"^deselect\[0\] must lie in the photo"):
        regions.select(np.zeros((8, 8)), [(1, 1)], deselect=[(-1, 1)])
    for wrong in ((3, 4), [(1, 2, 3)]):
        with pytest.raises(ValueError, match=r"^select\[0\] must be \(x, y\)"):
            regions.select(np.zeros((8, 8)), wrong)
    with pytest.raises(ValueError, match=r"^select\[0\] must lie in the photo.*x=nan"):
        regions.select(np.zeros((8, 8)), [(np.nan, 1)])
    with pytest.raises(ValueError, match="at least one point"):
        regions.select(np.zeros((8, 8)), [])


# --- what was asked for, before any photograph is known

SIZE = PHOTO.shape
IMAGE = np.tile(np.linspace(0, 1, SIZE[1], dtype=np.float32), (SIZE[0], 1))
RECTANGLES, POLYGONS = [(3, 4, 30, 20)], [[(40, 40), (70, 42), (55, 75)]]
RECTANGLE = np.zeros(SIZE, np.float32)
RECTANGLE[4:20, 3:30] = 1
WAYS = {
    "image": ({"image": IMAGE}, IMAGE),
    "pattern": (
        {"pattern": "superpixels:20", "seed": 5},
        masks.make_mask("superpixels:20", SIZE, seed=5, image=PHOTO),
    ),
    "rectangles": ({"rectangles": RECTANGLES}, RECTANGLE),
    "polygons": ({"polygons": POLYGONS}, regions.mask_from_shapes(SIZE, polygons=POLYGONS)),
    "select": (
        {"select": [(40, 30)], "deselect": [(50, 40)]},
        regions.select(PHOTO, [(40, 30)], deselect=[(50, 40)]),
    ),
}


@settings(max_examples=20)
@given(st.sets(st.sampled_from(sorted(WAYS)), min_size=1), st.booleans())
def test_a_region_is_what_any_of_its_ways_covers(ways, invert):
    asked = {k: v for way in ways for k, v in WAYS[way][0].items()}
    region = Region(**asked, invert=invert)
    union = np.max([WAYS[way][1] for way in ways], axis=0)
    assert region.is_asked()
    np.testing.assert_array_equal(region.mask(PHOTO), 1 - union if invert else union)


def test_a_region_takes_arrays_as_it_takes_lists():
    ways = {"rectangles": RECTANGLES, "polygons": POLYGONS, "select": [(40, 30), (42, 30)]}
    arrays = Region(**{name: np.array(way) for name, way in ways.items()})
    assert arrays.is_asked()
    np.testing.assert_array_equal(arrays.mask(PHOTO), Region(**ways).mask(PHOTO))
    assert not Region(select=np.empty((0, 2))).is_asked()


def test_a_region_that_says_nothing_is_everything():
    assert not Region(invert=True, feather=3, seed=2).is_asked()
    np.testing.assert_array_equal(Region().mask(PHOTO), 1)
    np.testing.assert_array_equal(Region(invert=True).mask(PHOTO), 0)


def test_a_region_is_feathered_last():
    hard = Region(rectangles=RECTANGLES, polygons=POLYGONS, invert=True)
    soft = Region(rectangles=RECTANGLES, polygons=POLYGONS, invert=True, feather=6)
    np.testing.assert_array_equal(soft.mask(PHOTO), regions.feather(hard.mask(PHOTO), 6))


def test_a_seed_settles_the_pattern_of_a_region():
    first, again, other = (Region(pattern="discs:5", seed=s).mask(PHOTO) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_leaving_out_of_nothing_is_refused():
    for way in ({}, {"rectangles": RECTANGLES}):
        with pytest.raises(ValueError, match="deselect leaves out of what is selected"):
            Region(deselect=[(5, 5)], **way).mask(PHOTO)


def test_what_a_mask_stands_for(tmp_path, monkeypatch):
    region = Region(pattern="half")
    assert region_of(region) is region
    assert region_of("stripes:8@45") == Region(pattern="stripes:8@45")
    assert region_of("mask.PNG") == Region(image="mask.PNG")
    assert region_of(tmp_path / "half") == Region(image=tmp_path / "half")
    assert region_of(IMAGE).image is IMAGE
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half").mkdir()
    assert region_of("half") == Region(pattern="half")  # a folder is no image
    (tmp_path / "grid").write_bytes(b"an image, whatever its name")
    assert region_of("grid") == Region(image="grid")


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "LA", "I;16"])
@pytest.mark.parametrize("scale", [1, 2])
def test_an_image_file_is_a_mask_whatever_its_mode_and_size(tmp_path, mode, scale):
    white = np.zeros((SIZE[0] * scale, SIZE[1] * scale), np.uint8)
    white[:, white.shape[1] // 2 :] = 255
    if mode in ("RGBA", "LA"):  # what is opaque is coloured, however dark it is painted
        image = Image.new(mode, white.shape[::-1])
        image.putalpha(Image.fromarray(white))
    elif mode == "I;16":
        image = Image.fromarray(white.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(white).convert(mode)
    image.save(tmp_path / "mask.png")
    mask = Region(image=tmp_path / "mask.png").mask(PHOTO)
    middle = SIZE[1] // 2
    np.testing.assert_array_equal(mask[:, : middle - 1], 0)
    np.testing.assert_array_equal(mask[:, middle + 1 :], 1)  # to the bit: its inverse is gray
    assert mask.shape == SIZE


@pytest.mark.parametrize("white", [False, True])
def test_a_mask_file_that_leaves_nothing_to_colour_is_named(tmp_path, white):
    path = tmp_path / "mask.png"
    Image.new("L", (8, 8), 255 * white).save(path)
    with pytest.raises(ValueError, match=r"nothing in .*mask\.png is to be coloured"):
        Region(image=path, invert=white).mask(PHOTO)
    assert Region(image=path, invert=not white).mask(PHOTO).all()
    beside = Region(image=path, rectangles=[(0, 0, 2, 2)])  # what any of them covers
    assert beside.mask(PHOTO).sum() == (PHOTO.size if white else 4)


def test_a_mask_file_without_loss_is_taken_as_it_is(tmp_path):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    luminance = np.zeros((16, 16), np.float32)
    for name in ("mask.png", "mask.tif", "mask.bmp"):
        Image.fromarray(levels).save(tmp_path / name)
        mask = Region(image=tmp_path / name).mask(luminance)
        np.testing.assert_array_equal(np.rint(mask * 255), levels)
    Image.fromarray(levels // 86 * 2).save(tmp_path / "mask.jpg", quality=100)  # 0, 2 and 4
    mask = Region(image=tmp_path / "mask.jpg").mask(luminance)
    np.testing.assert_array_equal(mask[:10], 0)  # what compression may have made of black


def test_an_image_file_that_is_none_is_named(tmp_path):
    (tmp_path / "mask.png").write_bytes(b"no picture")
    for name in ("mask.png", "nosuch.png"):
        with pytest.raises(PhotoError, match=name):
            Region(image=tmp_path / name).mask(PHOTO)


def test_the_contact_sheet_tints_what_each_pattern_colours():
    sheet = regions.contact_sheet(np.full((60, 90), 50.0), seed=3)
    side, caption, columns = 160, 18, 7
    names = [*regions._CAPTIONED, *masks.SEED_PATTERNS]
    assert set(masks.PATTERNS) <= {name.split(":")[0] for name in names}
    assert sheet.shape == (-(-len(names) // columns) * (side + caption), columns * side, 3)
    assert sheet.dtype == np.uint8
    for i, name in enumerate(names):
        y, x = i // columns * (side + caption), i % columns * side
        picture = sheet[y + caption : y + caption + side, x : x + side].astype(int)
        expected = masks.make_mask(name, (side, side), seed=3, image=np.full((side, side), 50))
        np.testing.assert_array_equal(np.ptp(picture, axis=-1) > 9, expected == 1)
        assert sheet[y : y + caption, x : x + side].min() < 128  # its name


def test_white_in_single_precision_is_white():
    planes = np.ones((4, 6, 3), "float32")
    planes[:, :3] = (1, 0, 0)
    mask, _ = regions.mask_from_image(planes, (4, 6))
    np.testing.assert_array_equal(mask[:, 3:], 1)
    assert 0.1 < mask[0, 0] < 0.3
