"""The README's pictures: which files, what is in them, what is written over them."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import ImageColor
from skimage import data

from colorizer import samples
from colorizer.photos import read_photo
from colorizer.predict import _luminance

HEIGHT, WIDTH = data.coffee().shape[:2]
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
        ["coffee_colorized.png", "coffee_triptych.png", "coffee_steered.png"],
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names[0] + names[1])
    colored = read_photo(tmp_path / "coffee_colorized.png").pixels
    assert_array_equal(colored, np.broadcast_to(TINT, (HEIGHT, WIDTH, 3)))


def test_a_triptych_shows_the_original_its_luminance_and_the_result(two_samples, tmp_path) -> None:
    list(samples.draw_samples(Painter(), tmp_path))
    original, gray, colored = np.split(read_photo(tmp_path / "coffee_triptych.png").pixels, 3, 1)
    assert_array_equal(original, data.coffee())
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
        ((), ["automatic", "mask: stripes:6@45", "a click in the cup", "reference: rocket"]),
        (
            ("luminance", "mask", "hints"),
            [
                "automatic",
                "mask: stripes:6@45",
                "a click in the cup",
                "3 hints",
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
    sheet = read_photo(tmp_path / "coffee_steered.png").pixels
    assert sheet.shape == (HEIGHT + samples._CAPTION, WIDTH * len(captions), 3)
    for i in range(len(captions)):
        panel = sheet[:, i * WIDTH : (i + 1) * WIDTH]
        caption, picture = panel[: samples._CAPTION], panel[samples._CAPTION :]
        assert caption.max() == 255
        assert caption.min() < 100  # black on white
        assert (picture == TINT).all(axis=-1).mean() > 0.99


def test_hints_are_dotted_in_their_colour_where_they_lie(two_samples, tmp_path) -> None:
    list(samples.draw_samples(Painter("hints"), tmp_path))
    sheet = read_photo(tmp_path / "coffee_steered.png").pixels[samples._CAPTION :]
    place = list(samples.steered_ways()).index(f"{len(samples.HINTS)} hints")
    panels = np.split(sheet, sheet.shape[1] // WIDTH, axis=1)
    for x, y, colour in samples.HINTS:
        for i, panel in enumerate(panels):
            expected = ImageColor.getrgb(colour) if i == place else TINT
            assert_array_equal(panel[y, x], expected)


def test_the_click_selects_the_cup_up_to_its_rim() -> None:
    mask = samples.steered_ways()["a click in the cup"]["mask"].mask(_luminance(data.coffee()))
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    # Outlined by eye: an ellipse, inside its rim and outside of it.
    squared = ((x - 292) / 117) ** 2 + ((y - 114) / 95) ** 2
    assert mask[squared < 0.85].min() > 0.5
    assert mask[squared > 1.2].max() < 0.5


def test_all_samples_are_there() -> None:
    for name in (*samples.SAMPLES, samples.REFERENCE):
        assert getattr(data, name)().dtype == np.uint8
    assert data.camera().ndim == 2
    assert samples.steered_ways()[f"reference: {samples.REFERENCE}"]["reference"].ndim == 3
