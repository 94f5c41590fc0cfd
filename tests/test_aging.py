"""Simulated ageing: each step by its numbers, and all of them as a training step calls them."""

import io

import keras
import numpy as np
import pytest
from PIL import Image

from colorizer import aging

SIZE = 32


@pytest.fixture
def photos(gray_photos):
    return gray_photos[..., None]


@pytest.fixture
def white(rng):
    return rng.standard_normal((16, 64, 64)).astype(np.float32)


def per_example(*values):
    return np.array(values, np.float32)[:, None, None]


def seeds(seed=0):
    return keras.random.SeedGenerator(seed)


def constant(value, *shape):
    return np.full(shape or (1, SIZE, SIZE), value, np.float32)


# --- all steps together


def test_without_a_share_nothing_changes_by_a_bit(photos):
    aged = np.asarray(aging.age(photos, seeds(), share=0.0))
    np.testing.assert_array_equal(aged, photos)


def test_a_share_of_examples_ages_and_the_others_keep_every_bit():
    photos = np.random.default_rng(0).uniform(-1, 1, (400, 8, 8, 1)).astype(np.float32)
    changed = (np.asarray(aging.age(photos, seeds(), share=0.3)) != photos).any(axis=(1, 2, 3))
    assert changed.mean() == pytest.approx(0.3, abs=0.06)
    # Everyone, as blur and grain round even where they do nothing.
    assert (np.asarray(aging.age(photos, seeds())) != photos).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (13, 21), (1, 5)])
def test_shape_type_and_range_are_kept(rng, size):
    photos = rng.uniform(-1, 1, (40, *size, 1)).astype(np.float32)
    aged = np.asarray(aging.age(photos, seeds()))
    assert aged.shape == photos.shape
    assert aged.dtype == np.float32
    assert np.abs(aged).max() == 1  # something is clipped, and to this


def test_a_seed_repeats_and_examples_and_calls_differ(photos):
    same = np.repeat(photos[:1], 6, axis=0)
    generator = seeds(3)
    first, next_call = (np.asarray(aging.age(same, generator)) for _ in range(2))
    np.testing.assert_array_equal(first, np.asarray(aging.age(same, seeds(3))))
    assert len({picture.tobytes() for picture in (*first, *next_call)}) == 12


def test_aged_photographs_can_still_be_recognised(photos):
    aged = np.asarray(aging.age(np.repeat(photos, 100, axis=0), seeds()))
    alike = [
        np.corrcoef(before.ravel(), after.ravel())[0, 1]
        for before, after in zip(np.repeat(photos, 100, axis=0), aged, strict=True)
    ]
    assert np.median(alike) > 0.9
    assert np.quantile(alike, 0.01) > 0.5


def test_ageing_works_inside_a_compiled_function():
    tf = pytest.importorskip("tensorflow")
    generator = seeds()

    @tf.function(input_signature=[tf.TensorSpec((None, 16, 20, 1), tf.float32)])
    def step(luminance):
        return aging.age(luminance, generator)

    for batch in (2, 5):
        aged = step(np.zeros((batch, 16, 20, 1), np.float32)).numpy()
        assert aged.shape == (batch, 16, 20, 1)
        assert len({picture.tobytes() for picture in aged}) == batch


def test_a_compiled_function_ages_as_an_eager_one(photos):
    tf = pytest.importorskip("tensorflow")
    generator = seeds(5)
    traced = tf.function(lambda luminance: aging.age(luminance, generator), autograph=False)
    eager = np.asarray(aging.age(photos, seeds(5)))
    difference = np.abs(traced(photos).numpy() - eager)
    # Fused sums round otherwise, which may turn one of JPEG's coefficients.
    assert np.mean(difference < 1e-4) > 0.9


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_named(photos, share):
    with pytest.raises(ValueError, match=r"^share must be in \[0, 1\]\. Received: "):
        aging.age(photos, seeds(), share=share)


@pytest.mark.parametrize("shape", [(8, 8, 1), (2, 8, 8, 3)])
def test_luminance_of_another_shape_is_named(shape):
    with pytest.raises(ValueError, match=r"^luminance must be \(B, H, W, 1\).*Received: \("):
        aging.age(np.zeros(shape, np.float32), seeds())


# --- lens


def test_vignetting_takes_its_share_from_the_corners_and_nothing_from_the_middle():
    dimmed = np.asarray(aging.vignette(constant(0.5, 1, 33, 65), per_example(0.4)))[0]
    # Luminance 1.5 above black: 0.6 of it in a corner, 0.8 in the middle of a side.
    for place, expected in {(0, 0): -0.1, (32, 64): -0.1, (16, 32): 0.5, (0, 32): 0.2}.items():
        assert dimmed[place] == pytest.approx(expected, abs=1e-5)


# --- film


def test_film_of_contrast_1_and_gamma_1_changes_nothing(photos):
    developed = aging.develop(photos[..., 0], contrast=1.0, gamma=1.0)
    np.testing.assert_allclose(np.asarray(developed), photos[..., 0], atol=5e-6)


def test_contrast_turns_about_middle_gray_and_gamma_keeps_black_and_white():
    tones = np.array([-1, -0.5, 0, 0.5, 1], np.float32)[None, None]
    developed = np.asarray(aging.develop(tones, contrast=per_example(1.5), gamma=per_example(1.0)))
    np.testing.assert_allclose(developed[0, 0], [-1, -0.75, 0, 0.75, 1], atol=5e-6)
    developed = np.asarray(aging.develop(tones, contrast=per_example(1.0), gamma=per_example(2.0)))
    np.testing.assert_allclose(developed[0, 0], [-1, -0.875, -0.5, 0.125, 1], atol=5e-6)


@pytest.mark.parametrize("size", [0.0, 0.5, 1.5])
def test_grain_has_the_asked_deviation_in_middle_gray(white, size):
    strength = per_example(*np.repeat([0.05, 0.1], 8))
    flat = constant(0.0, 16, 64, 64)
    grain = np.asarray(aging.grain(flat, white, strength=strength, size=per_example(*[size] * 16)))
    assert grain[:8].std() == pytest.approx(0.05, rel=0.04)
    assert grain[8:].std() == pytest.approx(0.1, rel=0.04)
    # Neighbours correlate as exp(-1 / 4σ²), the convolution of the Gaussian with itself.
    beside = np.mean(grain[8:, 8:-8, 8:-9] * grain[8:, 8:-8, 9:-8]) / grain[8:, 8:-8, 8:-8].var()
    expected = {0.0: 0.0, 0.5: np.exp(-1), 1.5: np.exp(-1 / 9)}[size]
    assert beside == pytest.approx(expected, abs=0.05)


def test_grain_is_strongest_in_middle_gray_and_none_in_black_and_white(white):
    tones = [-1, -0.8, -0.4, 0, 0.4, 0.8, 1]
    one = np.repeat(white[:1], len(tones), axis=0)
    flat = np.broadcast_to(per_example(*tones), one.shape)
    grain = np.asarray(aging.grain(flat, one, strength=per_example(0.1), size=per_example(0.5)))
    deviation = grain.std((1, 2))
    # √(u (1 - u)) relative to u = 1/2 is √(1 - tone²).
    np.testing.assert_allclose(deviation / deviation[3], np.sqrt(1 - np.square(tones)), atol=1e-3)


# --- paper


def test_fading_lifts_black_lowers_white_and_keeps_the_order_of_tones():
    tones = np.linspace(-1, 1, 9, dtype=np.float32)[None, None]
    faded = np.asarray(aging.fade(tones, lifted=per_example(0.2), lowered=per_example(0.1)))[0, 0]
    # Of a range of 2: black rises by 0.4, white sinks by 0.2.
    np.testing.assert_allclose(faded[[0, 4, -1]], [-0.6, 0.1, 0.8], atol=1e-6)
    assert (np.diff(faded) > 0).all()
    kept = aging.fade(tones, lifted=per_example(0.0), lowered=per_example(0.0))
    np.testing.assert_array_equal(np.asarray(kept), tones)


def test_stains_are_slow_cosines():
    waves = np.zeros((2, 3, 3), np.float32)
    waves[1, 1, 2] = 0.5
    stained = np.asarray(aging.stain(constant(0.1, 2, 16, 24), waves))
    np.testing.assert_allclose(stained[0], 0.1, atol=1e-7)
    y, x = (np.arange(16)[:, None] + 0.5) / 16, (np.arange(24) + 0.5) / 24
    expected = 0.1 + 0.5 * np.cos(np.pi * y) * np.cos(2 * np.pi * x)
    np.testing.assert_allclose(stained[1], expected, atol=1e-6)


def scratch(**changed):
    usual = {"tone": 0.5, "place": 0.5, "lean": 0.0, "radius": 0.5, "top": -1.0, "length": 3.0}
    values = {key: np.full((1, 1, 1, 1), v, np.float32) for key, v in (usual | changed).items()}
    return np.asarray(aging.scratches(20, 21, **values))[0]


def test_a_scratch_is_a_line_of_its_place_length_and_lean():
    expected = np.zeros((20, 21))
    expected[:, 10] = 0.5
    np.testing.assert_allclose(scratch(), expected, atol=1e-6)
    expected[:5] = expected[15:] = 0
    np.testing.assert_allclose(scratch(top=0.25, length=0.5), expected, atol=1e-6)
    leaning = scratch(lean=0.4, tone=-1.0)
    np.testing.assert_array_equal(leaning.argmin(axis=1)[[0, 10, 19]], [6, 10, 14])
    assert leaning.max() == 0


def test_a_speck_is_a_small_spot_at_its_place():
    tone, radius = (np.full((1, 1, 1), value, np.float32) for value in (0.8, 1.0))
    place = np.array([[[4.5 / 16, 9.5 / 20]]], np.float32)
    spots = np.asarray(aging.specks(16, 20, tone=tone, place=place, radius=radius))
    expected = np.zeros((16, 20))
    # Three pixels along a side, the outer ones half covered.
    expected[3:6, 8:11] = 0.8 * np.outer([0.5, 1, 0.5], [0.5, 1, 0.5])
    np.testing.assert_allclose(spots[0], expected, atol=1e-5)


def test_scratches_and_dust_touch_few_pixels_of_few_pictures():
    def draw(*frequency, **neutral):
        return aging._draw(300, generator, *frequency, **neutral)

    generator, light = seeds(), constant(0.0, 300, 64, 64)
    for mark, chosen in ((aging._scratches, aging.SCRATCHES), (aging._specks, aging.SPECKS)):
        touched = np.asarray(mark(light, draw)) != 0
        marked = touched.any(axis=(1, 2))
        assert marked.mean() == pytest.approx(chosen[0], abs=0.08)
        assert touched[marked].mean() < 0.05
        assert touched.mean(axis=(1, 2)).max() < 0.1


# --- scanner


@pytest.mark.parametrize(
    ("quality", "corner", "last"),
    # libjpeg's tables: 100 is all ones; 50 is the standard's; 75 halves it; 30 is 166 % of it.
    [(100, 1, 1), (50, 16, 99), (75, 8, 50), (30, 27, 164), (1, 255, 255)],
)
def test_tables_of_quality(quality, corner, last):
    table = np.asarray(aging.quantization(per_example(quality)))[0]
    assert (table[0, 0], table[-1, -1]) == (corner, last)


@pytest.mark.parametrize("quality", [30, 60, 95])
def test_tables_are_those_that_pillow_writes(quality):
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
    written = np.reshape(Image.open(file).quantization[0], (8, 8))
    np.testing.assert_array_equal(aging.quantization(per_example(quality))[0], written)


@pytest.mark.parametrize("value", [-1.0, -0.37, 0.0, 0.8, 1.0])
def test_a_constant_picture_stays_constant_in_jpeg(value):
    coded = np.asarray(aging.jpeg(constant(value, 2, 16, 19), per_example(30.0, 95.0)))
    assert np.ptp(coded, axis=(1, 2)).max() < 1e-5
    # Half a step of the mean: 27 / 2 of 8 times the samples at quality 30, 1 at 95.
    steps = np.abs(coded[:, 0, 0] - value) * 127.5 * 8
    assert (steps < [27 / 2 + 0.01, 2 / 2 + 0.01]).all()


@pytest.mark.parametrize("quality", [30, 55, 95])
@pytest.mark.parametrize("size", [(48, 64), (45, 61)])
def test_jpeg_is_that_of_pillow(rng, quality, size):
    y, x = np.mgrid[: size[0], : size[1]]
    smooth = 128 + 60 * np.sin(x / 9) * np.cos(y / 7)
    gray = np.clip(smooth + rng.normal(0, 12, size) * (x > 30), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file), np.float32)
    light = gray[None].astype(np.float32) / 127.5 - 1
    coded = np.asarray(aging.jpeg(light, per_example(quality)))[0]
    difference = np.abs(np.clip((coded + 1) * 127.5, 0, 255) - expected)
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.99) < 3
    # A step that both round differently shows in one whole block.
    assert difference.max() < 8
    if quality == 30:
        assert np.abs(expected - gray).mean() > 4  # there was something to match


def test_each_example_has_a_quality_of_its_own(photos):
    same = np.repeat(photos[:1, ..., 0], 3, axis=0)
    coded = np.asarray(aging.jpeg(same, per_example(30, 60, 95)))
    errors = np.abs(coded - same).mean((1, 2))
    assert errors[0] > 1.2 * errors[1] > 1.2**2 * errors[2]
    alone = np.asarray(aging.jpeg(same[:1], per_example(60)))
    np.testing.assert_allclose(coded[1], alone[0], atol=1e-5)
