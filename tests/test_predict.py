"""Arrays and files through the released model: sizes, dtypes, luminance, edges, memory."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import Image
from skimage import color as skcolor
from skimage import data as samples

from colorizer import predict
from colorizer.masks import make_mask
from colorizer.predict import Colorizer, colorize, colorize_files, guided_field
from colorizer.weights import ModelError

WHITE = {"uint8": 255, "uint16": 65535, "float32": 1.0, "float64": 1.0}


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer()


def ramp(height: int, width: int, dtype: str, channels: int | None = None) -> np.ndarray:
    """A gray picture with an edge in it."""
    gray = np.linspace(0.1, 0.9, width) * np.ones((height, 1))
    gray[height // 2 :, : width // 2] *= 0.3
    image = gray if channels is None else np.repeat(gray[..., None], channels, axis=-1)
    return (image * WHITE[dtype]).astype(dtype)


def lightness(rgb: np.ndarray) -> np.ndarray:
    return skcolor.rgb2lab(rgb / WHITE[rgb.dtype.name])[..., 0]


@pytest.mark.parametrize("dtype", WHITE)
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_keeps_height_width_and_dtype(colorizer, dtype, channels) -> None:
    image = ramp(37, 53, dtype, channels)
    output = colorizer(image)
    assert (output.shape, output.dtype) == ((37, 53, 3), image.dtype)


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (2, 3), (16, 16), (300, 200)])
def test_takes_any_size(colorizer, size) -> None:
    assert colorizer(ramp(*size, "uint8")).shape == (*size, 3)


def test_does_not_touch_its_input(colorizer) -> None:
    image = ramp(20, 20, "uint8", 3)
    image.flags.writeable = False
    before = image.copy()
    colorizer(image)
    assert_array_equal(image, before)


@pytest.mark.parametrize("sample", ["astronaut", "coffee", "chelsea", "camera"])
@pytest.mark.parametrize("vividness", [0.0, 0.5])
def test_keeps_the_luminance_inside_the_gamut(colorizer, sample, vividness) -> None:
    image = getattr(samples, sample)()[:256, :256]
    output = colorizer(image, vividness=vividness)
    inside = ((output > 0) & (output < 255)).all(axis=-1)
    original = image if image.ndim == 3 else np.stack([image] * 3, axis=-1)
    difference = np.abs(lightness(output) - lightness(original))[inside]
    assert inside.mean() > 0.5
    # Half a gray level in each channel, which in the shadows is up to 0.6 of L.
    assert difference.max() < 0.7
    assert difference.mean() < 0.15


def test_samples_get_colour_but_not_wildly(colorizer) -> None:
    chroma = np.hypot(*np.moveaxis(skcolor.rgb2lab(colorizer(samples.chelsea()))[..., 1:], -1, 0))
    assert 3 < chroma.mean() < 60


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_strength_zero_is_gray_to_the_last_bit(colorizer, dtype) -> None:
    levels = np.arange(WHITE[dtype] + 1, dtype=dtype)
    image = levels.reshape(256, -1)
    assert_array_equal(colorizer(image, strength=0.0), np.stack([image] * 3, axis=-1))


def test_strength_scales_the_colours(colorizer) -> None:
    image = samples.coffee()[:200, :200].astype("float64") / 255
    full, half = (skcolor.rgb2lab(colorizer(image, strength=s))[..., 1:] for s in (1.0, 0.5))
    inside = (np.abs(full) < 40).all(axis=-1)
    assert np.abs(half - full / 2)[inside].mean() < 0.2


def test_vividness_raises_the_chroma(colorizer) -> None:
    image = samples.astronaut()
    chroma = [
        np.hypot(
            *np.moveaxis(skcolor.rgb2lab(colorizer(image, vividness=v))[..., 1:], -1, 0)
        ).mean()
        for v in (0.0, 0.5, 1.0)
    ]
    assert chroma[0] < chroma[1] < chroma[2]


def test_gray_and_rgb_of_the_same_photograph_get_the_same_colours(colorizer) -> None:
    gray = samples.camera()[:128, :128]
    assert_array_equal(colorizer(gray), colorizer(np.stack([gray] * 3, axis=-1)))


def test_strips_do_not_show(colorizer, monkeypatch) -> None:
    image = samples.chelsea()
    whole = colorizer(image)
    monkeypatch.setattr(predict, "STRIP_PIXELS", 7 * image.shape[1])
    difference = np.abs(colorizer(image).astype(int) - whole)
    assert difference.max() <= 1


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_guided_field_returns_linear_colours(height, width, seed) -> None:
    guide = np.random.default_rng(seed).random((height, width)).astype("float32")
    ab = np.stack([40 * guide - 10, -25 * guide], axis=-1)
    field = guided_field(guide, ab, radius=3, epsilon=1e-9)
    np.testing.assert_allclose(field.rows(guide * 100, 0, height), ab, atol=0.1)


def enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def test_guided_field_keeps_colours_on_their_side_of_an_edge() -> None:
    guide = np.repeat([[0.2] * 40 + [0.8] * 40], 40, axis=0).astype("float32")
    sharp = np.where(guide[..., None] > 0.5, [30.0, -20.0], [-30.0, 20.0]).astype("float32")
    # As the network gives it: at a quarter of the resolution, hence smeared over the edge.
    channels = [Image.fromarray(sharp[..., i].copy()) for i in range(2)]
    blurred = np.stack([c.resize((20, 10)).resize((80, 40)) for c in channels], axis=-1)
    field = guided_field(guide, blurred)
    guided = field.rows(enlarged(guide, 4) * 100, 0, 160)
    near = slice(4 * 36, 4 * 44)
    error, plain = (
        np.abs(ab - enlarged(sharp, 4))[:, near].mean() for ab in (guided, enlarged(blurred, 4))
    )
    assert error < 0.75 * plain


@pytest.mark.parametrize("dtype", WHITE)
@pytest.mark.parametrize("pattern", ["half", "checkerboard:7", "white-noise:0.4", "discs:3"])
@pytest.mark.parametrize("size", [(64, 96), (33, 17), (2, 1)])
def test_outside_the_mask_it_is_gray_to_the_last_bit(colorizer, dtype, pattern, size) -> None:
    image = ramp(*size, dtype)
    mask = make_mask(pattern, size, seed=3)
    output = colorizer(image, mask=mask, vividness=1.0)
    outside = mask == 0
    if np.issubdtype(image.dtype, np.integer):
        assert_array_equal(output[outside], np.stack([image] * 3, axis=-1)[outside])
    else:
        np.testing.assert_allclose(output[outside], image[outside][:, None].repeat(3, 1), atol=1e-6)
        assert (output[outside] == output[outside][:, :1]).all()
    whole = colorizer(image, vividness=1.0)
    assert_array_equal(output[~outside], whole[~outside])


def test_gray_outside_the_mask_of_a_colour_photograph(colorizer) -> None:
    image = samples.chelsea()
    mask = make_mask("half:vertical", image.shape[:2])
    output = colorizer(image, mask=mask)
    outside = output[mask == 0].astype(int)
    assert np.ptp(outside, axis=-1).max() == 0
    assert np.abs(lightness(output) - lightness(image))[mask == 0].max() < 0.3


def test_a_soft_mask_blends(colorizer) -> None:
    image = samples.coffee()[:128, :128]
    half = np.full(image.shape[:2], 0.5, "float32")
    assert_array_equal(colorizer(image, mask=half), colorizer(image, strength=0.5))
    assert_array_equal(colorizer(image, mask=half > 0), colorizer(image))


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (np.ones((8, 9), bool), r"\(8, 9\)"),
        (np.full((8, 8), 1.5), "1.5"),
        (np.full((8, 8), -0.5), r"float in \[0, 1\]"),
        (np.full((8, 8), np.nan), "mask must be"),
        (np.full((8, 8), 255, "uint8"), "uint8"),
    ],
)
def test_refuses_what_is_not_a_mask(colorizer, mask, told) -> None:
    with pytest.raises(ValueError, match=told):
        colorizer(ramp(8, 8, "uint8"), mask=mask)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.zeros((0, 4), "uint8"), "shape (0, 4, 1)"),
        (np.zeros((4, 4, 2), "uint8"), "shape (4, 4, 2)"),
        (np.zeros((4, 4, 4), "uint8"), "shape (4, 4, 4)"),
        (np.zeros(4, "uint8"), "shape (4,)"),
        (np.zeros((4, 4), "int64"), "int64"),
        (np.zeros((4, 4), "bool"), "bool"),
        (np.full((4, 4), 1.5), "1.5"),
        (np.full((4, 4), -0.5), "-0.5"),
        (np.full((4, 4), np.nan), "nan"),
    ],
)
def test_refuses_what_is_not_an_image(colorizer, image, told) -> None:
    with pytest.raises(ValueError, match="image must be") as caught:
        colorizer(image)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["vividness", "strength"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_refuses_options_out_of_range(colorizer, option, value) -> None:
    with pytest.raises(ValueError, match=rf"{option} must be in \[0, 1\]"):
        colorizer(ramp(8, 8, "uint8"), **{option: value})


def test_refuses_models_that_are_not_there() -> None:
    with pytest.raises(ModelError, match="no model 'nosuch'"):
        Colorizer("nosuch")


def test_colorize_takes_arrays_and_paths(colorizer, tmp_path) -> None:
    image = samples.camera()[:64, :64]
    Image.fromarray(image).save(tmp_path / "photo.png")
    expected = colorizer(image)
    assert_array_equal(colorize(image), expected)
    assert_array_equal(colorize(str(tmp_path / "photo.png")), expected)


def test_one_bad_file_does_not_stop_the_rest(colorizer, tmp_path) -> None:
    for name in ("a.png", "c.png"):
        Image.fromarray(ramp(20, 30, "uint8")).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"not a picture")
    pairs = [(tmp_path / n, tmp_path / "out" / n) for n in ("a.png", "b.png", "c.png")]
    problems = [problem for _, _, problem in colorize_files(colorizer, pairs)]
    assert [problem is None for problem in problems] == [True, False, True]
    assert "b.png" in problems[1]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


def test_never_overwrites_an_input_or_a_result_of_the_same_call(colorizer, tmp_path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        Image.fromarray(ramp(20, 30, "uint8")).save(tmp_path / folder / "p.png")
    x, y, out = tmp_path / "x" / "p.png", tmp_path / "y" / "p.png", tmp_path / "out.png"
    before = x.read_bytes()
    pairs = [(x, out), (y, out), (y, x)]
    problems = [p for _, _, p in colorize_files(colorizer, pairs, overwrite=True)]
    assert problems[0] is None
    assert "is the result of" in problems[1]
    assert "is an input" in problems[2]
    assert x.read_bytes() == before


def test_existing_results_stay_unless_told(colorizer, tmp_path) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(ramp(20, 30, "uint8")).save(source)
    target.write_bytes(b"precious")
    [(_, _, problem)] = colorize_files(colorizer, [(source, target)])
    assert "b.png" in problem
    assert target.read_bytes() == b"precious"
    [(_, _, problem)] = colorize_files(colorizer, [(source, target)], overwrite=True)
    assert problem is None
    with Image.open(target) as result:
        assert result.size == (30, 20)


PEAK_OF_24_MEGAPIXELS = """
import re
import numpy as np
from colorizer.predict import Colorizer
image = np.random.default_rng(0).integers(0, 256, (4000, 6000, 3), "uint8")
output = Colorizer()(image)
assert output.shape == image.shape
# Not ru_maxrss, which a process inherits from the one that started it.
print(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_24_megapixels_in_under_2_gigabytes() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PEAK_OF_24_MEGAPIXELS], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) * 1024 < 2e9
