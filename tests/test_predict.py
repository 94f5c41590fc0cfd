"""Arrays and files: through the released model, and, where it is steered, through a stub."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import imagecodecs
import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from skimage import color as skcolor
from skimage import data as samples

from colorizer import color, networks, photos, predict
from colorizer.classical import levin_colorize
from colorizer.hints import rasterize_hints
from colorizer.masks import make_mask
from colorizer.networks import NetworkConfig
from colorizer.photos import _srgb_profile, read_photo, write_photo
from colorizer.predict import Colorizer, colorize, colorize_files
from colorizer.regions import Region, mask_from_image, select
from colorizer.weights import ModelError, Pretrained, save_pretrained

WHITE = {"uint8": 255, "uint16": 65535, "float32": 1.0, "float64": 1.0}
STUB = NetworkConfig(
    network="stub", encoder=((8, 2), (8, 2)), decoder=((8, 1),), mask=True, hints=True
)
WORKING_SIZE = 32
# Of luminance, mask, hint a, hint b, indicator in what the stub answers: all powers of two, which
# float16 holds.
SHOWN = np.array([[1 / 8, -1 / 16], [1 / 4, 0], [0, 1 / 2], [0, 1 / 4], [0, 1 / 8]])


def build_stub(config: NetworkConfig, *, embedding_input: bool) -> keras.Model:
    """A network whose colours show what it was given."""
    channels = {"luminance": 1, "mask": int(config.mask), "hints": 3 * config.hints}
    inputs = {n: keras.Input((None, None, c), name=n) for n, c in channels.items() if c}
    x = list(inputs.values())
    x = keras.layers.Concatenate()(x) if len(x) > 1 else x[0]
    ab = keras.layers.Conv2D(2, 1, use_bias=False, name="show")(x)
    return keras.Model(inputs, {"ab": ab})


@pytest.fixture(scope="module", autouse=True)
def _stub_network() -> Iterator[None]:
    networks.NETWORKS["stub"] = build_stub
    yield
    del networks.NETWORKS["stub"]


def stub(folder: Path, config: NetworkConfig, **details: float) -> Colorizer:
    network = build_stub(config, embedding_input=False)
    kernel = SHOWN[: network.get_layer("show").kernel.shape[2]]
    network.get_layer("show").set_weights([kernel[None, None]])
    model = Pretrained(
        network=network,
        config=config,
        prior=np.full(313, 1 / 313),
        details={"working_size": WORKING_SIZE, **details},
    )
    return Colorizer(save_pretrained(model, folder / "stub.json"))


@pytest.fixture(scope="module")
def steered(tmp_path_factory) -> Colorizer:
    """The stub, which takes a mask and hints."""
    return stub(tmp_path_factory.mktemp("steered"), STUB)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Colorizer:
    """The stub without them."""
    return stub(tmp_path_factory.mktemp("plain"), replace(STUB, mask=False, hints=False))


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
def test_keeps_height_width_and_dtype(steered, dtype, channels) -> None:
    image = ramp(37, 53, dtype, channels)
    output = steered(image)
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
def test_strength_zero_is_gray_to_the_last_bit(steered, dtype) -> None:
    levels = np.arange(WHITE[dtype] + 1, dtype=dtype)
    image = levels.reshape(256, -1)
    assert_array_equal(steered(image, strength=0.0), np.stack([image] * 3, axis=-1))


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


@pytest.mark.parametrize("dtype", WHITE)
@pytest.mark.parametrize("pattern", ["half", "checkerboard:7", "white-noise:0.4", "discs:3"])
@pytest.mark.parametrize("size", [(64, 96), (33, 17), (2, 1)])
def test_outside_the_mask_it_is_gray_to_the_last_bit(plain, dtype, pattern, size) -> None:
    image = ramp(*size, dtype)
    mask = make_mask(pattern, size, seed=3)
    output = plain(image, mask=mask, vividness=1.0)
    outside = mask == 0
    if np.issubdtype(image.dtype, np.integer):
        assert_array_equal(output[outside], np.stack([image] * 3, axis=-1)[outside])
    else:
        assert_allclose(output[outside], image[outside][:, None].repeat(3, 1), atol=1e-6)
        assert (output[outside] == output[outside][:, :1]).all()
    whole = plain(image, vividness=1.0)
    assert_array_equal(output[~outside], whole[~outside])


def test_gray_outside_the_mask_of_a_colour_photograph(steered) -> None:
    image = samples.chelsea()
    mask = make_mask("half:vertical", image.shape[:2])
    output = steered(image, mask=mask)
    outside = output[mask == 0].astype(int)
    assert np.ptp(outside, axis=-1).max() == 0
    assert np.abs(lightness(output) - lightness(image))[mask == 0].max() < 0.3


def test_a_soft_mask_blends(plain) -> None:
    image = samples.coffee()[:128, :128]
    half = np.full(image.shape[:2], 0.5, "float32")
    assert_array_equal(plain(image, mask=half), plain(image, strength=0.5))
    assert_array_equal(plain(image, mask=half > 0), plain(image))


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (np.ones((8, 9), bool), r"\(8, 9\)"),
        (np.full((8, 8), 1.5), "1.5"),
        (np.full((8, 8), -0.5), r"float in \[0, 1\]"),
        (np.full((8, 8), np.nan), "mask must be"),
        (np.full((8, 8), 255, "int16"), "int16"),
        (np.eye(8, dtype="uint8"), "uint8 up to 1"),
        (np.full((8, 8), "a"), "<U1"),
        (np.full((8, 8), None), "object"),
        (Region(image=np.eye(8, dtype=int)), "int64"),
        (Region(image=np.eye(8, dtype="uint8")), "zeros and ones"),
        (Region(image=np.full((8, 8), None)), "object"),
        (np.full((8, 8), 1.0000001), r"up to 1\.0000001"),
    ],
)
def test_refuses_what_is_not_a_mask(steered, mask, told) -> None:
    with pytest.raises(ValueError, match=told):
        steered(ramp(8, 8, "uint8"), mask=mask)


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
def test_refuses_what_is_not_an_image(steered, image, told) -> None:
    with pytest.raises(ValueError, match="image must be") as caught:
        steered(image)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["vividness", "strength"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_refuses_options_out_of_range(steered, option, value) -> None:
    with pytest.raises(ValueError, match=rf"{option} must be in \[0, 1\]"):
        steered(ramp(8, 8, "uint8"), **{option: value})


def test_refuses_models_that_are_not_there() -> None:
    with pytest.raises(ModelError, match="no model 'nosuch'"):
        Colorizer("nosuch")


def test_colorize_takes_arrays_and_paths(colorizer, tmp_path) -> None:
    image = samples.camera()[:64, :64]
    Image.fromarray(image).save(tmp_path / "photo.png")
    expected = colorizer(image)
    assert_array_equal(colorize(image), expected)
    assert_array_equal(colorize(str(tmp_path / "photo.png")), expected)


def test_one_bad_file_does_not_stop_the_rest(steered, tmp_path) -> None:
    for name in ("a.png", "c.png"):
        Image.fromarray(ramp(20, 30, "uint8")).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"not a picture")
    pairs = [(tmp_path / n, tmp_path / "out" / n) for n in ("a.png", "b.png", "c.png")]
    problems = [problem for _, _, problem in colorize_files(steered, pairs)]
    assert [problem is None for problem in problems] == [True, False, True]
    assert "b.png" in problems[1]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


def test_never_overwrites_an_input_or_a_result_of_the_same_call(steered, tmp_path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        Image.fromarray(ramp(20, 30, "uint8")).save(tmp_path / folder / "p.png")
    x, y, out = tmp_path / "x" / "p.png", tmp_path / "y" / "p.png", tmp_path / "out.png"
    before = x.read_bytes()
    pairs = [(x, out), (y, out), (y, x)]
    problems = [p for _, _, p in colorize_files(steered, pairs, overwrite=True)]
    assert problems[0] is None
    assert "is the result of" in problems[1]
    assert "is an input" in problems[2]
    assert x.read_bytes() == before


def test_the_name_of_a_result_that_failed_is_free(steered, tmp_path) -> None:
    good, bad, out = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "out.png"
    Image.fromarray(ramp(20, 30, "uint8")).save(good)
    bad.write_bytes(b"not a picture")
    problems = [p for _, _, p in colorize_files(steered, [(bad, out), (good, out)])]
    assert problems[0] is not None
    assert problems[1] is None
    assert out.is_file()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_result_and_its_mask_are_two_files(steered, tmp_path, overwrite) -> None:
    source, out = tmp_path / "a.png", tmp_path / "out.png"
    Image.fromarray(ramp(20, 30, "uint8")).save(source)
    [(_, _, problem)] = colorize_files(steered, [(source, out)], masks=out, overwrite=overwrite)
    assert "need a file each" in problem
    with pytest.raises(ValueError, match="a file each"):
        steered.colorize_file(
            source, out, save_mask=tmp_path / "." / "out.png", overwrite=overwrite
        )
    assert not out.exists()


def test_what_exists_or_cannot_be_is_known_before_any_work(steered, tmp_path, monkeypatch) -> None:
    source, out = tmp_path / "a.png", tmp_path / "out.png"
    Image.fromarray(ramp(20, 30, "uint8")).save(source)
    out.write_bytes(b"precious")
    monkeypatch.setattr(predict, "read_photo", pytest.fail)
    with pytest.raises(FileExistsError, match="exists already"):
        steered.colorize_file(source, out)
    with pytest.raises(ValueError, match=r"suffix '\.gif'"):
        steered.colorize_file(source, tmp_path / "out.gif")


def test_any_error_of_one_photograph_leaves_the_others(steered, tmp_path, monkeypatch) -> None:
    class ExhaustedError(Exception):  # TensorFlow's own derive from nothing better
        pass

    def fail(*_: object, **__: object) -> None:
        raise ExhaustedError("out of\nmemory")

    Image.fromarray(ramp(20, 30, "uint8")).save(tmp_path / "a.png")
    pairs = [(tmp_path / "a.png", tmp_path / n) for n in ("x.png", "y.png")]
    monkeypatch.setattr(steered, "predict_field", fail)
    assert [p for *_, p in colorize_files(steered, pairs)] == ["out of memory"] * 2


def test_another_name_of_an_input_is_the_input(steered, tmp_path) -> None:
    """As `IMG.jpg` and `img.jpg` are one file where case does not count."""
    source, alias = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(ramp(20, 30, "uint8")).save(source)
    os.link(source, alias)
    before = source.read_bytes()
    [(_, _, problem)] = colorize_files(steered, [(source, alias)], overwrite=True)
    assert "is an input" in problem
    assert source.read_bytes() == before


def test_a_network_from_before_a_fork_is_refused(steered, monkeypatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(RuntimeError, match="spawn"):
        steered(ramp(20, 30, "uint8"))


def test_of_several_threads_one_loads(monkeypatch) -> None:
    loaded = []

    def load():
        loaded.append(1)
        time.sleep(0.1)
        return object()

    predict._loaded_colorizer.cache_clear()
    monkeypatch.setattr(predict, "Colorizer", load)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: predict._default_colorizer(), range(4)))
    predict._loaded_colorizer.cache_clear()
    assert (len(found), len(loaded)) == (1, 1)


def test_existing_results_stay_unless_told(steered, tmp_path) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(ramp(20, 30, "uint8")).save(source)
    target.write_bytes(b"precious")
    [(_, _, problem)] = colorize_files(steered, [(source, target)])
    assert "b.png" in problem
    assert target.read_bytes() == b"precious"
    [(_, _, problem)] = colorize_files(steered, [(source, target)], overwrite=True)
    assert problem is None
    with Image.open(target) as result:
        assert result.size == (30, 20)


# --- steering: hints


def photo(size: tuple[int, int], dtype: str = "uint8") -> np.ndarray:
    """A gray photograph of middle tones, where all of `COLOURS` are in the gamut."""
    small = Image.fromarray(samples.camera()).resize(size[::-1])
    return ((0.4 + 0.25 * np.asarray(small) / 255) * WHITE[dtype]).astype(dtype)


def luminance_of(image: np.ndarray) -> np.ndarray:
    rgb = image if image.ndim == 3 else np.stack([image] * 3, axis=-1)
    return lightness(rgb).astype("float32")


COLOURS = {"#a0806f": (160, 128, 111), "teal": (0, 128, 128), "#4c6ea8": (76, 110, 168)}
HINTS = [(3, 5, "#a0806f"), (40, 0, "teal", 3), (20.5, 30.2, "#4c6ea8"), (21.5, 30.2, "#a0806f", 9)]


def ab_of(colour: str) -> np.ndarray:
    return skcolor.rgb2lab(np.array(COLOURS[colour]) / 255)[1:]


def outside_is_gray(output: np.ndarray, image: np.ndarray, mask: np.ndarray) -> bool:
    gray = np.stack([image] * 3, axis=-1)
    return bool((mask == 0).any() and (output[mask == 0] == gray[mask == 0]).all())


@pytest.mark.parametrize("dtype", WHITE)
@pytest.mark.parametrize("size", [(37, 53), (64, 41)])
@pytest.mark.parametrize("masked", [False, True])
def test_a_hint_shows_its_colour_at_its_own_pixel(steered, dtype, size, masked) -> None:
    image = photo(size, dtype)
    mask = make_mask("checkerboard:5", size)
    for x, y, *_ in HINTS:
        mask[int(y + 0.5), int(x + 0.5)] = 1
    output = skcolor.rgb2lab(
        steered(image, hints=HINTS, **({"mask": mask} if masked else {})) / WHITE[dtype]
    )
    for x, y, colour, *_ in HINTS:
        pixel = int(y + 0.5), int(x + 0.5)
        wanted = np.array([luminance_of(image)[pixel], *ab_of(colour)])
        assert_allclose(skcolor.rgb2lab(skcolor.lab2rgb(wanted)), wanted, atol=0.1)  # in gamut
        assert skcolor.deltaE_ciede2000(output[pixel], wanted) < 2


def test_hints_change_nothing_outside_the_mask(steered) -> None:
    image, mask = photo((37, 53)), make_mask("stripes:5@30", (37, 53))
    assert outside_is_gray(steered(image, hints=HINTS, mask=mask), image, mask)


def test_steered_strips_do_not_show(steered, monkeypatch) -> None:
    image, mask = photo((37, 53)), make_mask("discs:4", (37, 53))
    whole = steered(image, hints=HINTS, mask=mask, reference=samples.rocket())
    monkeypatch.setattr(predict, "STRIP_PIXELS", 5 * 53)
    strips = steered(image, hints=HINTS, mask=mask, reference=samples.rocket())
    assert np.abs(strips.astype(int) - whole).max() <= 1


@pytest.mark.parametrize(
    ("hints", "told"),
    [
        ([(53, 0, "red")], r"hints\[0\] must lie in the photo, 53 pixels wide and 37 high.*x=53"),
        ([(0, 0, "red"), (0, -1, "red")], r"hints\[1\] must lie in the photo"),
        ([(1, 1, "reddish")], r"hints\[0\] must be x, y, a colour.*reddish"),
        ([(1, 1, (256, 0, 0))], r"hints\[0\] must be x, y, a colour"),
        ([(1, 1)], r"hints\[0\] must be x, y, a colour"),
        ([(float("nan"), 1, "red")], r"hints\[0\] must be x, y, a colour"),
        ((1, 1, "red"), r"hints\[0\] must be x, y, a colour.*Received: 1$"),
        (7, r"hints must be \(x, y, colour\[, radius\]\) each.*Received: 7"),
        (None, r"hints must be .*Received: None"),
        ({"x": 1, "y": 1, "colour": "red"}, r"hints must be .*Received: \{'x': 1"),
        (np.zeros((8, 8, 4), "uint8"), r"scribbles must have the photo's size, \(37, 53\)"),
        ("nosuch.png", r"scribbles nosuch\.png must be an image"),
    ],
)
def test_refuses_what_is_not_a_hint(steered, hints, told) -> None:
    for colorizer in (steered, Colorizer(method="levin")):
        with pytest.raises(ValueError, match=told) as caught:
            colorizer(photo((37, 53)), hints=hints)
        assert "\n" not in str(caught.value)


def test_hints_for_a_network_that_takes_none_are_refused(plain) -> None:
    with pytest.raises(ValueError, match=r"takes none.*method 'levin'"):
        plain(photo((37, 53)), hints=HINTS)


def seen(colorizer: Colorizer, luminance: np.ndarray, **given) -> tuple[np.ndarray, np.ndarray]:
    """What the stub saw: the mask, and a / 2 + b / 4 + indicator / 8 of the hints."""
    ab = colorizer.predict_ab(luminance, **given) / 110
    own = colorizer._working_luminance(luminance) / 50 - 1
    return (ab[..., 0] - own / 8) * 4, ab[..., 1] + own / 16


@pytest.mark.parametrize(
    ("size", "working"), [((48, 72), (32, 48)), ((37, 53), (32, 46)), ((9, 99), (12, 128))]
)
def test_unsteered_the_network_sees_a_full_mask_and_no_hints(steered, size, working) -> None:
    mask, hints = seen(steered, luminance_of(photo(size)))
    assert mask.shape == working
    assert_allclose(mask, 1, atol=1e-5)
    assert_allclose(hints, 0, atol=1e-5)


def test_a_model_may_ask_for_more_chroma(tmp_path, plain) -> None:
    gray = luminance_of(photo((48, 72)))
    vivid = stub(tmp_path, plain.pretrained.config, chroma_gain=1.5)
    ab = plain.predict_ab(gray)
    assert ab.any()
    assert_allclose(vivid.predict_ab(gray), 1.5 * ab, rtol=1e-5)


@pytest.mark.parametrize("value", ["much", [1.0], float("nan"), -0.5, 5000])
@pytest.mark.parametrize("name", ["vividness", "chroma_gain", "working_size"])
def test_what_a_model_asks_for_is_checked(tmp_path, plain, name, value) -> None:
    with pytest.raises(
        ModelError, match=rf"stub\.json: {name} must be from [01] to \d+\. Received"
    ):
        stub(tmp_path, plain.pretrained.config, **{name: value})


def test_the_network_sees_the_mask_at_its_working_size(steered) -> None:
    ramp_ = np.linspace(0, 1, 72, dtype="float32") * np.ones((48, 1), "float32")
    for mask in (make_mask("half:vertical", (48, 72)), ramp_):
        seen_mask, _ = seen(steered, luminance_of(photo((48, 72))), mask=mask)
        expected = Image.fromarray(mask).resize((48, 32), Image.Resampling.BOX)
        assert_allclose(seen_mask, expected, atol=1e-5)


def test_colours_do_not_fade_before_the_mask_ends(steered) -> None:
    """The network sees the mask so much wider as its colours are smoothed afterwards."""
    gray = np.full((32, 48), 50, "float32")  # where the stub answers a quarter of the mask alone
    field = steered.predict_field(gray, mask=make_mask("half:vertical", (32, 48)))
    a = field.rows(gray, 0, 32)[..., 0] / 110 * 4
    assert_allclose(a[:, :24], 1, atol=1e-5)
    assert a[:, 24].max() < 0.999
    assert_allclose(a[:, 24 + 2 * predict.MASK_MARGIN :], 0, atol=1e-5)


@pytest.mark.parametrize("value", [0.1, 0.5])
def test_a_soft_mask_blends_what_the_network_answers_for_a_whole_one(steered, value) -> None:
    gray = np.full((32, 48), 50, "float32")
    fields = [
        steered.predict_field(gray, mask=np.full(gray.shape, each, "float32")).rows(gray, 0, 32)
        for each in (value, 1.0)
    ]
    assert_array_equal(*fields)
    assert fields[0][..., 0].min() > 1


def test_a_thin_mask_is_coloured_as_well_as_a_wide_one(steered) -> None:
    gray = np.full((320, 480), 128, "uint8")
    line = np.zeros(gray.shape, bool)
    line[160] = True
    whole = steered(gray)[line].astype(int)
    assert np.ptp(whole, axis=-1).min() > 5
    assert_allclose(steered(gray, mask=line)[line], whole, atol=2)


def test_a_hint_in_what_stays_gray_colours_nothing_far_from_it(steered) -> None:
    """The network answers with gray there: how far that is from the hint says nothing elsewhere."""
    gray = np.full((64, 128), 50, "float32")
    mask = make_mask("half:vertical", gray.shape)  # of the left, where it is 1
    mask = mask if mask[0, 0] else 1 - mask
    hint = [(126, 32, "#c06060", 2)]
    plain_, hinted = (
        steered.predict_field(gray, mask=mask, hints=hints).rows(gray, 0, 64)[:, :32]
        for hints in ([], hint)
    )
    assert np.abs(plain_).max() > 1
    assert_allclose(hinted, plain_, atol=0.5)


def test_a_network_without_a_mask_is_asked_of_hints_anywhere(tmp_path) -> None:
    hinted = stub(tmp_path, replace(STUB, mask=False))
    gray = np.full((64, 128), 50, "float32")
    mask = np.zeros(gray.shape, "float32")
    mask[:, :32] = 1
    hint = [(126, 32, "#c06060", 2)]
    inside = [
        hinted.predict_field(gray, hints=hint, **how).rows(gray, 0, 64)[:, :32]
        for how in ({}, {"mask": mask})
    ]
    assert_array_equal(*inside)


@pytest.mark.parametrize("width", [53, 105, 1000])
def test_a_hint_at_the_very_edge_is_in_the_last_cell(width) -> None:
    seen_mask = np.ones((20, 32), "float32")
    hint = (np.nextafter(width, 0), np.nextafter(37, 0), (1, 2, 3), None)
    assert predict._answered([hint], (37, width), seen_mask) == [hint]
    seen_mask[-1, -1] = 0
    assert predict._answered([hint], (37, width), seen_mask) == []


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_outside_the_mask_floats_are_the_photographs_own(steered, dtype) -> None:
    image = np.random.default_rng(0).random((20, 30)).astype(dtype)
    output = steered(image, mask=np.zeros(image.shape, bool))
    assert_array_equal(output, np.stack([image] * 3, axis=-1))


def test_the_network_sees_hints_at_its_working_size(steered) -> None:
    # At two thirds: cells whose centres lie within 4 of x = 40.33, y = 8.33.
    _, hints = seen(steered, luminance_of(photo((48, 72))), hints=[(60, 12, "teal", 6)])
    a, b = ab_of("teal") / 110
    expected = np.zeros((32, 48))
    expected[4:12, 36:44] = a / 2 + b / 4 + 1 / 8
    assert_allclose(hints, expected, atol=1e-5)


def test_hints_may_be_a_file(steered, tmp_path) -> None:
    path, image = tmp_path / "hints.json", photo((37, 53))
    entries = [dict(zip(("x", "y", "color", "radius"), hint, strict=False)) for hint in HINTS]
    path.write_text(json.dumps(entries))
    expected = steered(image, hints=HINTS)
    assert_array_equal(steered(image, hints=path), expected)
    assert_array_equal(steered(image, hints=str(path)), expected)


def test_scribbles_colour_what_they_were_painted_on(steered, tmp_path) -> None:
    image, scribbles = photo((48, 72)), np.zeros((48, 72, 4), "uint8")
    scribbles[10:14, 20:50] = (*COLOURS["#4c6ea8"], 255)
    Image.fromarray(scribbles).save(tmp_path / "scribbles.png")
    output = steered(image, hints=scribbles)
    ab = skcolor.rgb2lab(output)[12, 20:50, 1:]
    assert np.abs(ab - ab_of("#4c6ea8")).max() < 12  # full at each tile's hint, less between
    assert np.abs(ab - ab_of("#4c6ea8")).min(axis=0).max() < 1
    assert_array_equal(steered(image, hints=tmp_path / "scribbles.png"), output)


# --- steering: where


def masks_alike(luminance: np.ndarray, folder: Path) -> list[tuple[object, np.ndarray]]:
    """What may be given as a mask → the array it stands for."""
    size = luminance.shape
    large = (np.mgrid[: 2 * size[0], : 3 * size[1]].sum(axis=0) % 40 < 20) * np.uint8(255)
    Image.fromarray(large).save(folder / "large.png")
    resized = mask_from_image(large, size, lossy=False)[0]
    rectangle = np.zeros(size, bool)
    rectangle[6:20, 5:30] = True
    checkerboard = make_mask("checkerboard:4", size)
    return [
        (rectangle, rectangle.astype("float32")),
        ("checkerboard:4", checkerboard),
        ("superpixels:20", make_mask("superpixels:20", size, image=luminance)),
        (str(folder / "large.png"), resized),
        (folder / "large.png", resized),
        (Region(image=folder / "large.png"), resized),
        (Region(rectangles=[(5, 6, 30, 20)]), rectangle),
        (Region(pattern="checkerboard:4", invert=True), 1 - checkerboard),
        (Region(select=[(30, 20)]), select(luminance, [(30, 20)])),
    ]


@pytest.mark.parametrize("way", range(9))
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_every_way_to_a_mask_is_as_good_as_the_array(steered, tmp_path, way, dtype) -> None:
    image = photo((40, 60), dtype)
    luminance = predict._luminance(image[..., None])
    given, array = masks_alike(luminance, tmp_path)[way]
    output = steered(image, mask=given)
    assert_array_equal(output, steered(image, mask=array))
    assert outside_is_gray(output, image, array)
    assert np.ptp(output[array == 1].astype(int), axis=-1).max() > 0


@pytest.mark.parametrize("size", [(40, 60), (20, 30), (90, 77)])
def test_outside_an_inverted_image_it_is_gray_to_the_last_bit(steered, tmp_path, size) -> None:
    white = np.full((*size, 3), 255, "uint8")
    white[:, size[1] // 2 :] = 0
    Image.fromarray(white).save(tmp_path / "mask.png")
    image = photo((40, 60), "uint16")
    output = steered(image, mask=Region(image=tmp_path / "mask.png", invert=True))
    assert_array_equal(output[:, :28], np.stack([image[:, :28]] * 3, axis=-1))
    assert np.ptp(output[:, 34:].astype(int), axis=-1).max() > 0


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        ("zebra", "pattern must be one of.*'zebra'"),
        ("nosuch.png", r"nosuch\.png"),
        (Region(select=[(60, 0)]), r"select\[0\] must lie in the photo"),
        (Region(rectangles=[(1, 2, 3)]), r"rectangles\[0\] must be"),
    ],
)
def test_refuses_masks_that_cannot_be_made(steered, mask, told) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        steered(photo((40, 60)), mask=mask)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["array", "pattern", "none"])
def test_the_mask_that_was_used_is_written(steered, tmp_path, kind) -> None:
    image = photo((40, 60))
    Image.fromarray(image).save(tmp_path / "photo.png")
    soft = np.linspace(0, 1, 60, dtype="float32") * np.ones((40, 1), "float32")
    given, expected = {
        "array": ({"mask": soft}, soft),
        "pattern": ({"mask": "grid:3"}, make_mask("grid:3", (40, 60))),
        "none": ({}, np.ones((40, 60))),
    }[kind]
    target, saved = tmp_path / "out.png", tmp_path / "mask.png"
    steered.colorize_file(tmp_path / "photo.png", target, save_mask=saved, **given)
    assert_array_equal(read_photo(target).pixels, steered(image, **given))
    written = np.asarray(Image.open(saved))
    assert written.dtype == np.uint8
    assert_array_equal(written, np.rint(expected * 255))
    levels = written.astype("float32") / 255
    for again in (written, saved):  # as an array, and by its path
        assert_array_equal(steered(image, mask=again), steered(image, mask=levels))


def test_a_mask_that_exists_stays_unless_told(steered, tmp_path) -> None:
    Image.fromarray(photo((20, 30))).save(tmp_path / "photo.png")
    target, saved = tmp_path / "out.png", tmp_path / "mask.png"
    saved.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=r"mask\.png"):
        steered.colorize_file(tmp_path / "photo.png", target, save_mask=saved, mask="half")
    assert saved.read_bytes() == b"precious"
    assert not target.exists()
    steered.colorize_file(
        tmp_path / "photo.png", target, save_mask=saved, mask="half", overwrite=True
    )
    assert read_photo(saved).pixels.shape[:2] == (20, 30)


@pytest.mark.parametrize("given", ["target", "save_mask", "mask"])
def test_what_is_read_is_not_overwritten(steered, tmp_path, given) -> None:
    source, other, mask = (tmp_path / name for name in ("photo.png", "out.png", "mask.png"))
    Image.fromarray(photo((20, 30))).save(source)
    Image.fromarray(np.eye(20, 30) > 0).save(mask)
    target, save_mask = {
        "target": (tmp_path / "." / "photo.png", None),
        "save_mask": (other, source),
        "mask": (mask, None),
    }[given]
    before = source.read_bytes(), mask.read_bytes()
    with pytest.raises(ValueError, match=r"\.png is an input: it is not overwritten"):
        steered.colorize_file(source, target, save_mask=save_mask, mask=mask, overwrite=True)
    assert (source.read_bytes(), mask.read_bytes()) == before
    assert not other.exists()


@pytest.mark.parametrize("fails", ["out.png", "mask.png"])
def test_a_result_and_its_mask_are_both_written_or_neither(
    steered, tmp_path, monkeypatch, fails
) -> None:
    publish = photos._publish

    def full(data: bytes, path: Path, overwrite: bool) -> None:
        if path.name == fails:
            raise OSError("disk full")
        publish(data, path, overwrite)

    source, target, saved = (tmp_path / name for name in ("photo.png", "out.png", "mask.png"))
    Image.fromarray(photo((20, 30))).save(source)
    monkeypatch.setattr(photos, "_publish", full)
    with pytest.raises(OSError, match="disk full"):
        steered.colorize_file(source, target, save_mask=saved, mask="half")
    assert not target.exists()
    assert not saved.exists()


def test_a_mask_is_not_replaced_beside_a_result_that_cannot_be(steered, tmp_path) -> None:
    source, target, saved = (tmp_path / name for name in ("photo.png", "out.jpg", "mask.png"))
    Image.fromarray(np.dstack([photo((20, 30))] * 4)).save(source)
    saved.write_bytes(b"precious")
    with pytest.raises(ValueError, match="JPEG cannot hold transparency"):
        steered.colorize_file(source, target, save_mask=saved, mask="half", overwrite=True)
    assert saved.read_bytes() == b"precious"
    assert not target.exists()


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_stored_in_the_space_they_are_of(steered, tmp_path, channels) -> None:
    """Under the photograph's own, wider profile they would show too vivid."""
    wide = bytes(imagecodecs.cms_profile("rgb", gamma=1.8, whitepoint=[0.3457, 0.3585],
        primaries=[0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001]))  # fmt: skip
    gray = np.squeeze(np.stack([photo((20, 30))] * channels, axis=-1))
    source, target = tmp_path / "photo.png", tmp_path / "out.png"
    Image.fromarray(gray).save(source, icc_profile=wide)
    steered.colorize_file(source, target)
    with Image.open(target) as coloured:
        assert coloured.info["icc_profile"] == _srgb_profile()
        result = np.asarray(coloured)
    converted = imagecodecs.cms_transform(
        np.stack([photo((20, 30))] * 3, axis=-1),
        wide,
        _srgb_profile(),
        colorspace="rgb",
        outcolorspace="rgb",
    )
    assert np.abs(lightness(result) - lightness(converted)).max() < 1
    assert np.abs(converted.astype(int) - photo((20, 30))[..., None]).max() > 5
    assert_array_equal(steered(source), result)


def test_files_that_say_how_are_not_overwritten(steered, tmp_path) -> None:
    source, drawn = tmp_path / "photo.png", tmp_path / "mask.png"
    Image.fromarray(photo((20, 30))).save(source)
    Image.fromarray(photo((20, 30))).save(drawn)
    before = drawn.read_bytes()
    for mask in (drawn, Region(image=drawn, feather=2)):
        pairs = [(source, tmp_path / "out.png")]
        ((*_, told),) = colorize_files(steered, pairs, mask=mask, masks=drawn, overwrite=True)
        assert "is an input" in told
    assert drawn.read_bytes() == before


def test_a_coloured_file_keeps_what_the_photograph_says_of_itself(steered, tmp_path) -> None:
    image = np.dstack([ramp(20, 30, "uint8", 3), ramp(20, 30, "uint8")])
    exif = Image.Exif()
    exif[0x013B] = "the photographer"
    profile = _srgb_profile()
    source, target = tmp_path / "photo.png", tmp_path / "out.png"
    Image.fromarray(image).save(source, exif=exif, icc_profile=profile, dpi=(300, 300))
    steered.colorize_file(source, target)
    with Image.open(target) as coloured:
        assert coloured.getexif()[0x013B] == "the photographer"
        assert coloured.info["icc_profile"] == profile
        assert coloured.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert_array_equal(np.asarray(coloured)[..., 3], image[..., 3])


@pytest.mark.parametrize("vividness", [0.0, 0.86, None])
def test_a_distribution_is_decoded_as_the_model_says(tmp_path, monkeypatch, vividness) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.integers(-16, 17, (1, 1, 1, 313)) / 4  # which float16 holds

    def build(config: NetworkConfig, *, embedding_input: bool) -> keras.Model:
        x = keras.Input((None, None, 1), name="luminance")
        logits = keras.layers.Conv2D(313, 1, use_bias=False, name="logits")(x)
        return keras.Model({"luminance": x}, {"ab_logits": logits})

    monkeypatch.setitem(networks.NETWORKS, "distribution", build)
    config = replace(STUB, network="distribution", mask=False, hints=False)
    network = build(config, embedding_input=False)
    network.get_layer("logits").set_weights([kernel])
    model = Pretrained(
        network=network,
        config=config,
        prior=rng.dirichlet(np.full(313, 0.3)),
        details={"working_size": WORKING_SIZE, "vividness": 0.7, "chroma_gain": 1.25},
    )
    made = Colorizer(save_pretrained(model, tmp_path / "model.json"))
    assert (made.vividness, made.working_size) == (0.7, WORKING_SIZE)
    ab = made.predict_ab(np.full((40, 40), 80, "float32"), vividness=vividness)
    knob = 0.7 if vividness is None else vividness
    logits = (80 / 50 - 1) * kernel[0, 0, 0]
    weights = color.rebalancing_weights(model.prior, rebalancing=model.rebalancing)
    exponent = (logits - (1 - knob) * np.log(weights)) / 0.38**knob
    p = np.exp(exponent - exponent.max())
    assert_allclose(ab[16, 16], 1.25 * (p / p.sum()) @ color.AB_BINS, rtol=1e-3, atol=1e-3)


def test_masks_of_several_photographs_lie_as_their_results_do(steered, tmp_path) -> None:
    sources = [tmp_path / folder / "p.png" for folder in ("x", "y")]
    for i, source in enumerate(sources):
        source.parent.mkdir()
        Image.fromarray(photo((20 + i, 30))).save(source)
    pairs = [(s, tmp_path / "out" / s.parent.name / "q.png") for s in sources]
    results = colorize_files(steered, pairs, masks=tmp_path / "masks", mask="half:horizontal")
    assert [problem for _, _, problem in results] == [None, None]
    for folder, height in (("x", 20), ("y", 21)):
        mask = read_photo(tmp_path / "masks" / folder / "q_mask.png").pixels
        expected = make_mask("half:horizontal", (height, 30)) * 255
        assert_array_equal(mask, expected)


def test_masks_never_overwrite_an_input_or_a_result(steered, tmp_path) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(photo((20, 30))).save(source)
    before = source.read_bytes()
    for masks, told in ((source, "is an input"), (target, "need a file each")):
        [(_, _, problem)] = colorize_files(steered, [(source, target)], masks=masks, overwrite=True)
        assert told in problem
    assert source.read_bytes() == before


# --- steering: the colours of another photograph


REFERENCE = samples.rocket()[::8, ::8]


@pytest.mark.parametrize("pattern", [None, "half:vertical", "discs:3"])
@pytest.mark.parametrize(("size", "tolerance"), [((32, 48), 0.05), ((96, 144), 2)])
def test_the_colours_of_a_reference_are_taken_on(steered, pattern, size, tolerance) -> None:
    luminance = luminance_of(samples.camera()[: size[0], : size[1]])
    mask = None if pattern is None else make_mask(pattern, size)
    field = steered.predict_field(luminance, mask=mask, reference=REFERENCE)
    ab = field.rows(luminance, 0, size[0])
    ab = ab.reshape(-1, 2) if mask is None else ab[mask == 1]
    wanted = skcolor.rgb2lab(REFERENCE)[..., 1:].reshape(-1, 2)
    assert_allclose(ab.mean(axis=0), wanted.mean(axis=0), atol=tolerance)
    assert_allclose(ab.std(axis=0), wanted.std(axis=0), atol=tolerance)


def test_a_reference_may_be_a_file_and_stays_inside_the_mask(steered, tmp_path) -> None:
    image, mask = photo((40, 60)), make_mask("stripes:4@20", (40, 60))
    Image.fromarray(REFERENCE).save(tmp_path / "reference.png")
    output = steered(image, mask=mask, reference=REFERENCE)
    assert outside_is_gray(output, image, mask)
    assert (output != steered(image, mask=mask)).any()
    for path in (tmp_path / "reference.png", str(tmp_path / "reference.png")):
        assert_array_equal(steered(image, mask=mask, reference=path), output)


def test_a_hint_counts_more_than_a_reference(steered) -> None:
    luminance = luminance_of(photo((40, 60)))
    field = steered.predict_field(luminance, hints=HINTS, reference=REFERENCE)
    ab = field.rows(luminance, 0, 40)
    for x, y, colour, *_ in HINTS:
        assert_allclose(ab[int(y + 0.5), int(x + 0.5)], ab_of(colour), atol=1e-3)


def test_a_reference_for_nothing_is_no_error(steered) -> None:
    image = photo((20, 30))
    output = steered(image, mask=np.zeros((20, 30)), reference=REFERENCE)
    assert_array_equal(output, np.stack([image] * 3, axis=-1))


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        (samples.camera(), r"colour photograph\. Received: a gray one"),
        (np.stack([samples.camera()] * 3, axis=-1), r"colour photograph\. Received: a gray one"),
        (np.zeros((4, 4, 3), "int64"), "reference must be uint8"),
        (np.full((4, 4, 3), 2.0), "reference must be in"),
        ("nosuch.png", r"nosuch\.png"),
    ],
)
def test_refuses_what_is_no_reference(steered, reference, told) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        steered(photo((20, 30)), reference=reference)
    assert "\n" not in str(caught.value)


# --- without a network


@pytest.fixture(scope="module")
def levin() -> Colorizer:
    return Colorizer("nosuch", method="levin")


TWO_SIDES = np.repeat([[80] * 30 + [170] * 30], 40, axis=0).astype("uint8")
TWO_HINTS = [(10, 20, "#a0806f"), (50, 20, "#4c6ea8")]


def test_without_a_network_each_region_gets_the_colour_of_its_hint(levin) -> None:
    assert levin.takes == frozenset()
    output = levin(TWO_SIDES, hints=TWO_HINTS)
    lab = skcolor.rgb2lab(output)
    across = np.abs(ab_of("#a0806f") - ab_of("#4c6ea8")).max()
    for side, colour in ((slice(0, 30), "#a0806f"), (slice(30, 60), "#4c6ea8")):
        assert np.abs(lab[:, side, 1:] - ab_of(colour)).max() < 0.05 * across + 1
    assert np.abs(lab[..., 0] - luminance_of(TWO_SIDES)).max() < 0.7


def test_soft_scribbles_are_spread_as_they_were_painted(levin, tmp_path) -> None:
    y, x = np.mgrid[:40, :60]
    scribbles = np.zeros((40, 60, 4), "uint8")
    scribbles[:, :30, :3], scribbles[:, 30:, :3] = COLOURS["#a0806f"], COLOURS["#4c6ea8"]
    scribbles[..., 3] = 255 * np.exp(-(((x % 30) - 15) ** 2 + (y - 20) ** 2) / 30)
    assert 0 < np.median(scribbles[..., 3][scribbles[..., 3] > 0]) < 255
    luminance = luminance_of(TWO_SIDES)
    expected = levin_colorize(
        luminance, skcolor.rgb2lab(scribbles[..., :3])[..., 1:], scribbles[..., 3] / 255
    )
    assert_allclose(levin.predict_field(luminance, hints=scribbles).ab, expected, atol=1e-2)
    Image.fromarray(scribbles).save(tmp_path / "soft.png")
    assert_array_equal(
        levin(TWO_SIDES, hints=tmp_path / "soft.png"), levin(TWO_SIDES, hints=scribbles)
    )


def test_without_a_network_hints_are_those_a_network_would_see(levin) -> None:
    luminance = luminance_of(TWO_SIDES)
    known = rasterize_hints(TWO_HINTS, 40, 60)
    expected = levin_colorize(luminance, known[..., :2] * 110, known[..., 2])
    assert_allclose(levin.predict_field(luminance, hints=TWO_HINTS).ab, expected, atol=1e-2)


def test_without_a_network_it_is_gray_outside_the_mask_too(levin) -> None:
    mask = make_mask("grid:3", TWO_SIDES.shape)
    output = levin(TWO_SIDES, hints=TWO_HINTS, mask="grid:3")
    assert outside_is_gray(output, TWO_SIDES, mask)
    half = levin(TWO_SIDES, hints=TWO_HINTS, strength=0.5)
    ab, ab_of_half = (
        skcolor.rgb2lab(o)[..., 1:] for o in (levin(TWO_SIDES, hints=TWO_HINTS), half)
    )
    assert_allclose(ab_of_half, ab / 2, atol=1.5)


def test_without_a_network_hints_are_needed_and_a_reference_is_refused(levin) -> None:
    with pytest.raises(ValueError, match=r"hints.*'levin'.*at least one"):
        levin(TWO_SIDES)
    with pytest.raises(ValueError, match="reference"):
        levin(TWO_SIDES, hints=TWO_HINTS, reference=REFERENCE)
    with pytest.raises(ValueError, match=r"method must be one of.*'magic'"):
        Colorizer(method="magic")


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


def test_a_large_photograph_is_spread_on_a_smaller_copy(levin, monkeypatch) -> None:
    image = TWO_SIDES.repeat(4, axis=0).repeat(4, axis=1)
    hints = [(4 * x + 2, 4 * y + 2, colour, 8) for x, y, colour, *_ in TWO_HINTS]
    whole = levin(image, hints=hints).astype(int)
    monkeypatch.setattr(predict, "LEVIN_PIXELS", image.size // 16)
    small = levin(image, hints=hints).astype(int)
    assert np.abs(small - whole).mean() < 3
    assert np.ptp(whole, axis=-1).mean() > 20


@pytest.mark.parametrize("radius", [0, 3])
def test_hints_are_met_on_a_large_photograph_too(levin, monkeypatch, radius) -> None:
    image = TWO_SIDES.repeat(4, axis=0).repeat(4, axis=1)
    hints = [(4 * x + 2, 4 * y + 2, colour, radius) for x, y, colour, *_ in TWO_HINTS]
    monkeypatch.setattr(predict, "LEVIN_PIXELS", image.size // 100)
    field = levin.predict_field(luminance_of(image), hints=hints).rows(
        luminance_of(image), 0, len(image)
    )
    for x, y, colour, _ in hints:
        assert_allclose(field[y, x], ab_of(colour), atol=1e-3)


def test_hints_smaller_than_a_pixel_of_the_copy_are_as_sure_as_others(levin, monkeypatch) -> None:
    luminance = np.full((128, 192), 50, "float32")
    hints = [(40, 64, "#c06060", 0), (150, 64, "#6060c0", 0)]
    whole = levin.predict_field(luminance, hints=hints).rows(luminance, 0, 128)
    monkeypatch.setattr(predict, "LEVIN_PIXELS", luminance.size // 64)
    small = levin.predict_field(luminance, hints=iter(hints)).rows(luminance, 0, 128)
    away = [20, 60, 95, 130, 170]
    assert np.ptp(whole[64, away, 1]) > 25
    assert_allclose(small[64, away], whole[64, away], atol=4)


def test_levin_has_no_vividness(levin) -> None:
    with pytest.raises(ValueError, match="vividness"):
        levin(TWO_SIDES, hints=TWO_HINTS, vividness=5.0)


def test_levin_has_no_working_size() -> None:
    with pytest.raises(ValueError, match=r"working_size.*'levin'"):
        Colorizer(method="levin", working_size=64)


def test_levin_answers_for_no_network(levin) -> None:
    with pytest.raises(ValueError, match="predict_ab asks a network"):
        levin.predict_ab(np.full((8, 8), 50, "float32"))


def test_an_iterator_of_hints_serves_every_photograph(levin, tmp_path) -> None:
    for name in "ab":
        write_photo(tmp_path / f"{name}.png", np.stack([TWO_SIDES] * 3, axis=-1))
    pairs = [(tmp_path / f"{n}.png", tmp_path / "out" / f"{n}.png") for n in "ab"]
    problems = [p for *_, p in colorize_files(levin, pairs, hints=iter(TWO_HINTS))]
    assert problems == [None, None]
    assert_array_equal(*(read_photo(target).pixels for _, target in pairs))


def test_a_solver_that_fails_does_not_stop_the_rest(levin, tmp_path, monkeypatch) -> None:
    write_photo(tmp_path / "a.png", np.stack([TWO_SIDES] * 3, axis=-1))

    def fail(*_: object) -> None:
        raise RuntimeError("did not converge")

    monkeypatch.setattr(predict, "levin_colorize", fail)
    pairs = [(tmp_path / "a.png", tmp_path / "b.png")]
    assert [p for *_, p in colorize_files(levin, pairs, hints=TWO_HINTS)] == ["did not converge"]


def test_a_hint_is_carried_over_what_looks_alike_and_no_further() -> None:
    luminance = np.where(np.arange(60) < 30, 20, 80) * np.ones((40, 1), "float32")
    ab = np.zeros((40, 60, 2), "float32")
    colour = np.array([[50, -20]], "float32")
    carried = predict._carry_hints(ab, luminance, (80, 120), [(20, 40)], colour)
    assert_allclose(carried[20, 10], colour[0], atol=1e-3)
    along = carried[20, :30, 0]  # the hint's side: σ is the longer side, 60 pixels
    assert_allclose(along[22], 50 * np.exp(-0.5 * 0.2**2), rtol=1e-3)
    assert np.abs(carried[:, 30:]).max() < 1e-3  # five σ of contrast away
    untouched = predict._carry_hints(colour + ab, luminance, (80, 120), [(20, 40)], colour)
    assert_allclose(untouched, colour + ab, atol=1e-3)  # a network that obeys is left alone


def test_a_loaded_colorizer_takes_paths_too(steered, tmp_path) -> None:
    image = np.stack([TWO_SIDES] * 3, axis=-1)
    write_photo(tmp_path / "photo.png", image)
    for path in (tmp_path / "photo.png", str(tmp_path / "photo.png")):
        assert_array_equal(steered(path), steered(image))
