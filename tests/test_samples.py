"""The README's pictures: which files, what is in them, what is written over them."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import ImageColor
from skimage import data

from colorizer import samples
from colorizer.photos import read_photo
from colorizer.predict import _luminance

STEERED = getattr(data, samples.STEERED)()
HEIGHT, WIDTH = STEERED.shape[:2]
TINT = np.array([90, 60, 30], "uint8")


class Painter:
    """Tints everything alike, and notes how it was asked."""

    def __init__(self, *takes: str) -> None:
        self.takes = frozenset(takes)
        self.asked: list[tuple[tuple[int, ...], dict]] = []

    def __call__(self, image: np.ndarray, **options) -> np.ndarray:
        self.asked.append((image.shape, options))
        return np.broadcast_to(TINT, (*image.shape[:2], 3)).copy()


@pytest.fixture
def two_samples(monkeypatch) -> None:
    monkeypatch.setattr(samples, "SAMPLES", ("camera", samples.STEERED))


def test_each_sample_gets_its_pictures(two_samples, tmp_path) -> None:
    names = [[p.name for p in paths] for paths in samples.draw_samples(Painter(), tmp_path)]
    assert names == [
        ["camera_colorized.png", "camera_triptych.png"],
        ["astronaut_colorized.png", "astronaut_triptych.png", "astronaut_steered.png"],
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names[0] + names[1])
    colored = read_photo(tmp_path / "astronaut_colorized.png").pixels
    assert_array_equal(colored, np.broadcast_to(TINT, (HEIGHT, WIDTH, 3)))


def test_a_triptych_shows_the_original_its_luminance_and_the_result(two_samples, tmp_path) -> None:
    list(samples.draw_samples(Painter(), tmp_path))
    original, gray, colored = np.split(read_photo(tmp_path / "astronaut_triptych.png").pixels, 3, 1)
    assert_array_equal(original, STEERED)
    assert (gray == gray[..., :1]).all()
    difference = _luminance(gray) - _luminance(original)
    assert np.abs(difference).max() < 0.3  # half a gray level
    assert (colored == TINT).all()
    true, gray, _ = np.split(read_photo(tmp_path / "camera_triptych.png").pixels, 3, 1)
    assert_array_equal(true, gray)
    assert_array_equal(gray[..., 0], data.camera())


@pytest.mark.parametrize(
    ("takes", "captions"),
    [
        ((), ["automatic", "mask: stripes:6@45", "reference: rocket"]),
        (
            ("luminance", "mask", "hints"),
            [
                "automatic",
                "mask: stripes:6@45",
                "clicks on the suit, a hint",
                "8 hints",
                "reference: rocket",
            ],
        ),
    ],
)
def test_the_steered_picture_has_every_way_that_the_model_takes(
    two_samples, tmp_path, takes, captions
) -> None:
    painter, ways = Painter(*takes), samples.steered_ways()
    list(samples.draw_samples(painter, tmp_path))
    asked = painter.asked[2:]  # after the two samples themselves
    assert [shape for shape, _ in asked] == [(HEIGHT, WIDTH, 3)] * len(captions)
    assert [set(options) for _, options in asked] == [set(ways[c]) for c in captions]
    sheet = read_photo(tmp_path / "astronaut_steered.png").pixels
    assert sheet.shape == (HEIGHT + samples._CAPTION, WIDTH * len(captions), 3)
    for i in range(len(captions)):
        panel = sheet[:, i * WIDTH : (i + 1) * WIDTH]
        caption, picture = panel[: samples._CAPTION], panel[samples._CAPTION :]
        assert caption.max() == 255
        assert caption.min() < 100  # black on white
        assert (picture == TINT).all(axis=-1).mean() > 0.99


def test_hints_are_dotted_in_their_colour_where_they_lie(two_samples, tmp_path) -> None:
    list(samples.draw_samples(Painter("hints"), tmp_path))
    sheet = read_photo(tmp_path / "astronaut_steered.png").pixels[samples._CAPTION :]
    ways = list(samples.steered_ways().values())
    for way, panel in zip(ways, np.split(sheet, len(ways), axis=1), strict=True):
        for x, y, colour in samples.HINTS:
            told = (x, y, colour) in way.get("hints", ())
            assert_array_equal(panel[y, x], ImageColor.getrgb(colour) if told else TINT)


def test_the_clicks_select_the_suit_and_not_what_is_around_it() -> None:
    mask = samples.SUIT.mask(_luminance(STEERED))
    for x, y in ((90, 300), (150, 300), (320, 320), (200, 350)):
        assert mask[y - 5 : y + 5, x - 5 : x + 5].min() > 0.9, (x, y)
    for x, y in ((225, 120), (60, 100), (400, 60), (350, 400), (470, 300)):
        assert mask[y - 5 : y + 5, x - 5 : x + 5].max() < 0.1, (x, y)
    assert 0.15 < mask.mean() < 0.45


def test_all_samples_are_there() -> None:
    for name in (*samples.SAMPLES, samples.REFERENCE):
        assert getattr(data, name)().dtype == np.uint8
    assert data.camera().ndim == 2
    assert samples.steered_ways()[f"reference: {samples.REFERENCE}"]["reference"].ndim == 3


def test_old_photographs_stand_above_their_colours(tmp_path) -> None:
    painter = Painter()
    [[path]] = samples.draw_old_photographs(painter, tmp_path)
    sheet = read_photo(path).pixels
    side, count = samples.OLD_SIDE, len(samples.TRUE_GRAY) + len(samples.AGED)
    assert sheet.shape == (2 * side, count * side, 3)
    assert painter.asked == [((side, side), {})] * count
    above, below = sheet[:side], sheet[side:]
    assert (above == above[..., :1]).all()
    assert (below == TINT).all()
    coins = above[:, 2 * side : 3 * side, 0]
    assert_array_equal(coins, samples._square(data.coins()))


@pytest.mark.parametrize(("name", "seed"), samples.AGED.items())
def test_aged_samples_are_aged_and_still_themselves(name, seed) -> None:
    new = samples._square(getattr(data, name)())
    gray, old = samples._gray(new)[..., 0].astype(float), samples._aged(new, seed).astype(float)
    assert np.abs(gray - old).mean() > 5
    assert np.corrcoef(gray.ravel(), old.ravel())[0, 1] > 0.7
