"""Hints from people: text, files, scribbles, and what the network sees of them."""

import json

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab

from colorizer import hints as hints_module
from colorizer import predict


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
    for wrong in ("{", "{}", '"red"', "null"):
        path.write_text(wrong)
        with pytest.raises(ValueError, match=r"^hints file .*hints\.json must"):
            hints_module.read_hints(path)


@pytest.mark.parametrize("spelling", ["colour", "color"])
def test_a_colour_may_be_spelled_either_way(tmp_path, spelling):
    path = tmp_path / "hints.json"
    path.write_text(json.dumps([{"x": 1, "y": 2, spelling: [255, 0, 9]}]))
    assert hints_module.read_hints(path) == [(1, 2, (255, 0, 9), None)]
    entry = {"x": 1, "y": 2, spelling: [255, 0, 9], "radius": None}
    assert hints_module.as_hints([entry], SIZE) == [(1, 2, (255, 0, 9), None)]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ([1, 2, 3], "must be x, y, a colour.*Received: 1, 2, 3$"),
        ([1, 2], "must be x, y, a colour.*Received: 1, 2$"),
        ({"x": 1, "y": 2}, "must have x, y, colour and perhaps radius.*'y': 2}$"),
        ({"x": 1, "y": 2, "colour": 5}, "must be x, y, a colour.*Received: 1, 2, 5$"),
        ({"x": 1, "y": 2, "colour": "red", "radius": -1}, "must be x, y, a colour"),
        ({"x": 1, "y": 2, "color": "red", "shade": 3}, "must have x, y, colour.*'shade': 3}$"),
        ({"x": 1, "y": 2, "color": "red", "colour": "red"}, "must have x, y, colour"),
        ({}, "must have x, y, colour.*Received: {}$"),
        (7, "must be x, y, a colour.*Received: 7$"),
    ],
)
def test_the_entry_that_is_no_hint_is_named_in_a_file_and_in_a_list(tmp_path, entry, told):
    path = tmp_path / "hints.json"
    path.write_text(json.dumps([[1, 2, "red"], entry]))
    with pytest.raises(ValueError, match=rf"^hints\[1\] in .*hints\.json {told}") as error:
        hints_module.read_hints(path)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=rf"^hints\[1\] {told}"):
        hints_module.as_hints([(1, 2, "red"), entry], SIZE)


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


# --- whichever way they were given

SIZE = (20, 30)
GIVEN = [(3, 4, "red"), (29.5, 19, (0, 128, 128), 2)]
CHECKED = [(3, 4, (255, 0, 0), None), (29.5, 19, (0, 128, 128), 2)]


def painted(size=SIZE):
    """Two strokes, the second with an edge that fades."""
    scribbles = np.zeros((*size, 4), np.uint8)
    scribbles[2:5, 2:20] = (200, 30, 30, 255)
    scribbles[12:15, 5:25] = (20, 40, 220, 255)
    scribbles[11, 5:25] = scribbles[15, 5:25] = (20, 40, 220, 90)
    return scribbles


def test_hints_are_the_same_in_any_form(tmp_path):
    path = tmp_path / "hints.JSON"
    keys = ("x", "y", "colour", "radius")
    path.write_text(json.dumps([dict(zip(keys, hint, strict=False)) for hint in GIVEN]))
    objects = json.loads(path.read_text())
    lists = tmp_path / "lists.json"
    lists.write_text(json.dumps([GIVEN[0], objects[1]]))  # both forms may be mixed
    for given_ in (GIVEN, iter(GIVEN), CHECKED, path, str(path), objects, lists):
        assert hints_module.as_hints(given_, SIZE) == CHECKED
    assert hints_module.as_hints([], SIZE) == []
    Image.fromarray(painted()).save(tmp_path / "scribbles.png")
    from_pixels = hints_module.hints_from_scribbles(painted())
    for given_ in (painted(), tmp_path / "scribbles.png", str(tmp_path / "scribbles.png")):
        assert hints_module.as_hints(given_, SIZE) == from_pixels


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (None, r"^hints must be \(x, y, colour\[, radius\]\) each.*Received: None$"),
        (5, r"^hints must be .*Received: 5$"),
        ({"x": 3, "y": 4, "colour": "red"}, r"^hints must be .*Received: {'x': 3"),
        ((3, 4, "red"), r"^hints\[0\] must be x, y, a colour.*Received: 3$"),
        (["red"], r"^hints\[0\] must be x, y, a colour.*Received: red$"),
        ([(3, 4, "red", 1, 2)], r"^hints\[0\] must be"),
        ([(3, 4, (1, 2))], r"^hints\[0\] must be"),
        ([(3, 4, (float("inf"), 0, 0))], r"^hints\[0\] must be"),
        ([(3, 4, (0.8, 0.2, 0.2))], r"^hints\[0\] must be x, y, a colour.*0\.8"),
        ([(3, 4, "red", float("inf"))], r"^hints\[0\] must be"),
        ([(30, 4, "red")], r"^hints\[0\] must lie in the photo, 30 pixels wide and 20 high"),
        (painted((20, 31)), r"^scribbles must have the photo's size, \(20, 30\)"),
        (painted()[..., :3], "^scribbles must be uint8 RGBA"),
    ],
)
@pytest.mark.parametrize("read", [hints_module.as_hints, hints_module.as_scribbles])
def test_what_are_no_hints_is_said_in_one_line(read, wrong, told):
    with pytest.raises(ValueError, match=told) as error:
        read(wrong, SIZE)
    assert "\n" not in str(error.value)


def test_scribbles_of_another_size_keep_their_colours(tmp_path):
    large = painted().repeat(3, axis=0).repeat(2, axis=1)
    Image.fromarray(large).save(tmp_path / "large.png")
    np.testing.assert_array_equal(
        hints_module.read_scribbles(tmp_path / "large.png", SIZE), painted()
    )
    uneven = hints_module.read_scribbles(tmp_path / "large.png", (17, 23))
    assert uneven.shape == (17, 23, 4)
    known = {tuple(pixel) for pixel in painted().reshape(-1, 4)}
    assert {tuple(pixel) for pixel in uneven.reshape(-1, 4)} == known


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_scribbles_are_turned_upright_as_the_photo_is(tmp_path, suffix):
    exif = Image.Exif()
    exif[274] = 6  # EXIF orientation: a quarter turn clockwise makes it upright
    lying = Image.fromarray(np.rot90(painted()).copy())
    lying.save(tmp_path / f"lying.{suffix}", exif=exif, lossless=True, exact=True)
    np.testing.assert_array_equal(
        hints_module.read_scribbles(tmp_path / f"lying.{suffix}", SIZE), painted()
    )


def test_gray_scribbles_and_those_of_16_bits_are_read(tmp_path):
    gray = painted()
    gray[..., :3] = gray[..., :1]
    Image.fromarray(gray[..., ::3].copy(), "LA").save(tmp_path / "gray.png")
    np.testing.assert_array_equal(hints_module.read_scribbles(tmp_path / "gray.png", SIZE), gray)
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(painted() * np.uint16(257)))
    np.testing.assert_array_equal(
        hints_module.read_scribbles(tmp_path / "deep.png", SIZE), painted()
    )


@pytest.mark.parametrize("name", ["opaque.png", "text.png", "nosuch.png"])
def test_scribbles_that_are_no_image_with_alpha_are_named(tmp_path, name):
    Image.new("RGB", (30, 20), "red").save(tmp_path / "opaque.png")
    (tmp_path / "text.png").write_text("[]")
    with pytest.raises(ValueError, match=rf"^scribbles .*{name} must be an image that is trans"):
        hints_module.read_scribbles(tmp_path / name, SIZE)


def test_a_palette_with_a_transparent_colour_is_read_as_scribbles(tmp_path):
    image = Image.new("P", (30, 20), 0)
    image.putpalette([255, 255, 255, 10, 200, 30])
    image.paste(1, (4, 5, 9, 8))
    image.save(tmp_path / "palette.png", transparency=0)
    scribbles = hints_module.read_scribbles(tmp_path / "palette.png", SIZE)
    expected = np.zeros(SIZE, np.uint8)
    expected[5:8, 4:9] = 255
    np.testing.assert_array_equal(scribbles[..., 3], expected)
    np.testing.assert_array_equal(
        np.unique(scribbles[5:8, 4:9], axis=(0)), [[[10, 200, 30, 255]] * 5]
    )


def test_scribbles_for_spreading_keep_their_soft_edges(tmp_path):
    Image.fromarray(painted()).save(tmp_path / "scribbles.png")
    for given_ in (painted(), tmp_path / "scribbles.png"):
        ab, confidence = hints_module.as_scribbles(given_, SIZE)
        np.testing.assert_allclose(confidence, painted()[..., 3] / 255, atol=1e-6)
        shown = confidence > 0
        expected = rgb2lab(painted()[..., :3] / 255)[..., 1:]
        np.testing.assert_allclose(ab[shown], expected[shown], atol=1e-3)
        assert (ab[~shown] == 0).all()
        assert (ab.dtype, confidence.dtype) == (np.float32, np.float32)


def test_hints_for_spreading_are_squares_of_full_confidence():
    ab, confidence = hints_module.as_scribbles([(10, 8, "teal", 2)], SIZE)
    expected = np.zeros(SIZE)
    expected[6:11, 8:13] = 1
    np.testing.assert_array_equal(confidence, expected)
    teal = rgb2lab(np.array([0, 128, 128]) / 255)[1:]
    np.testing.assert_allclose(ab[confidence == 1], np.tile(teal, (25, 1)), atol=1e-3)


@pytest.mark.parametrize(("x", "y"), [(10, 8), (9.5, 7.5), (10.49, 8.49), (9.8, 8.2)])
def test_a_hint_stands_for_the_pixel_nearest_to_its_point(x, y):
    own = hints_module.rasterize_hints([(x, y, "red", 0)], *SIZE)[..., 2]
    np.testing.assert_array_equal(np.argwhere(own), [(8, 10)])


def test_a_square_lies_about_its_point():
    square = hints_module.rasterize_hints([(12.5, 8, "red", 3)], *SIZE)[..., 2]
    expected = np.zeros(SIZE)
    expected[5:12, 10:16] = 1  # even across, odd down
    np.testing.assert_array_equal(square, expected)


@pytest.mark.parametrize("working", [(7, 11), (20, 30), (60, 90)])
@pytest.mark.parametrize("point", [(3, 4), (3.9, 4.9), (29.99, 0.5), (17, 19), (0, 19.99)])
def test_the_network_is_shown_a_hint_where_it_is_carried_from(working, point):
    [hint] = hints_module.as_hints([(*point, "red", 0)], SIZE)
    shown = hints_module.rasterize_hints([hint], *working, photo_size=SIZE)[..., 2]
    luminance = np.random.default_rng(0).uniform(0, 100, working).astype(np.float32)
    red, none = hints_module.hint_ab([hint]), np.zeros((*working, 2), np.float32)
    carried = predict._carry_hints(none, luminance, SIZE, [hint[:2]], red)
    difference = np.abs(carried - red).max(axis=-1)
    np.testing.assert_array_equal(np.argwhere(shown), np.argwhere(difference < 1e-3))


def test_colours_and_radii_of_hints():
    ab = hints_module.hint_ab(CHECKED)
    # Of sRGB red and teal, CIE Lab under D65.
    np.testing.assert_allclose(ab, [[80.09, 67.20], [-28.85, -8.48]], atol=0.05)
    np.testing.assert_array_equal(hints_module.hint_radii(CHECKED, (200, 300)), [3, 2])
    np.testing.assert_array_equal(hints_module.hint_radii(CHECKED, (500, 100)), [5, 2])


def test_a_radius_beyond_the_photo_covers_all_of_it():
    hints = hints_module.as_hints([(3, 4, "red", 1e30)], SIZE)
    np.testing.assert_array_equal(hints_module.hint_radii(hints, SIZE), [50])
    np.testing.assert_array_equal(hints_module.rasterize_hints(hints, *SIZE)[..., 2], 1)
