"""Colours at any size: linear in luminance, met by hints, the same in strips as in one piece."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from colorizer.fields import HINT_REACH, ColorField, SpreadField, guided_field, meet_hints, resize

HEIGHT, WIDTH = 24, 30
HINTS = st.lists(
    st.tuples(
        st.integers(0, WIDTH - 1),
        st.integers(0, HEIGHT - 1),
        st.floats(-100, 100, width=32),
        st.floats(-100, 100, width=32),
        st.floats(0, 20, width=32),
    ),
    min_size=1,
    max_size=8,
)


def constant(a: float, b: float) -> ColorField:
    return ColorField(np.zeros((2, 3, 2), "float32"), np.full((2, 3, 2), (a, b), "float32"))


def random_field(rng: np.random.Generator, height: int = 6, width: int = 8) -> ColorField:
    slope, offset = rng.uniform(-40, 40, (2, height, width, 2)).astype("float32")
    return ColorField(slope, offset)


def flat(lightness: float = 50) -> np.ndarray:
    return np.full((HEIGHT, WIDTH), lightness, "float32")


def met(field: ColorField, luminance: np.ndarray, hints: list[tuple]) -> np.ndarray:
    """The whole photograph's ab with hints (x, y, a, b, radius)."""
    table = np.array(hints, "float32")
    reach = HINT_REACH * table[:, 4]
    moved = meet_hints(field, luminance, [h[:2] for h in hints], table[:, 2:4], reach)
    return moved.rows(luminance, 0, len(luminance))


# --- from the network's size to the photograph's


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_guided_field_returns_linear_colours(height, width, seed) -> None:
    guide = np.random.default_rng(seed).random((height, width)).astype("float32")
    ab = np.stack([40 * guide - 10, -25 * guide], axis=-1)
    field = guided_field(guide, ab, radius=3, epsilon=1e-9)
    assert_allclose(field.rows(guide * 100, 0, height), ab, atol=0.1)


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


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (24, 30), (101, 67)])
def test_a_field_is_slope_times_luminance_and_offset_at_any_size(rng, size) -> None:
    ones = np.ones((4, 5, 1), "float32")
    field = ColorField(ones * np.float32([40, -8]), ones * np.float32([3, 5]))
    luminance = rng.uniform(0, 100, size).astype("float32")
    expected = np.stack([0.4 * luminance + 3, -0.08 * luminance + 5], axis=-1)
    assert_allclose(field.rows(luminance, 0, size[0]), expected, atol=1e-4)


@pytest.mark.parametrize("size", [(6, 8), (24, 30)])
def test_a_transferred_field_has_gain_times_ab_and_shift(rng, size) -> None:
    field, luminance = random_field(rng), rng.uniform(0, 100, size).astype("float32")
    gain, shift = np.array([1.5, 0.25]), np.array([-7.0, 12.0])
    changed = field.transferred(gain, shift).rows(luminance, 0, size[0])
    assert_allclose(changed, gain * field.rows(luminance, 0, size[0]) + shift, atol=1e-3)


def test_colours_known_at_full_size_are_given_as_they_are(rng) -> None:
    ab = rng.normal(size=(9, 4, 2)).astype("float32")
    field = SpreadField(ab)
    assert_array_equal(field.rows(np.zeros((3, 4)), 5, 9), ab[5:8])
    assert_array_equal(field.rows(np.zeros((9, 4)), 0, 9), ab)


def test_resize_takes_a_part_of_a_channel() -> None:
    channel = np.arange(12).reshape(3, 4)
    part = resize(channel, (2, 2), resample=Image.Resampling.NEAREST, box=(1, 0, 3, 2))
    assert_array_equal(part, [[1, 2], [5, 6]])
    halves = resize(np.array([[0, 2], [4, 6]]), (1, 1), resample=Image.Resampling.BOX)
    assert_array_equal(halves, [[3]])


@pytest.mark.parametrize("rows", [1, 3, 7])
@pytest.mark.parametrize("kind", ["plain", "hinted", "spread"])
def test_strips_are_parts_of_the_whole(rng, rows, kind) -> None:
    field, luminance = random_field(rng), rng.uniform(0, 100, (HEIGHT, WIDTH)).astype("float32")
    if kind == "hinted":
        points = [(0, 0), (12, 7), (13, 7), (29, 23), (5, 20)]
        ab = rng.uniform(-80, 80, (5, 2)).astype("float32")
        field = meet_hints(field, luminance, points, ab, np.array([1, 2, 3, 8, 0], "float32"))
    elif kind == "spread":
        field = SpreadField(rng.normal(size=(HEIGHT, WIDTH, 2)).astype("float32"))
    strips = [field.rows(luminance[y : y + rows], y, HEIGHT) for y in range(0, HEIGHT, rows)]
    assert_allclose(np.concatenate(strips), field.rows(luminance, 0, HEIGHT), atol=1e-3)


# --- hints


@settings(max_examples=50)
@given(HINTS, st.integers(0, 2**31))
def test_a_hint_has_exactly_its_colour_at_its_own_pixel(hints, seed) -> None:
    rng = np.random.default_rng(seed)
    luminance = rng.uniform(0, 100, (HEIGHT, WIDTH)).astype("float32")
    ab = met(random_field(rng), luminance, hints)
    last = {(x, y): (a, b) for x, y, a, b, _ in hints}
    for (x, y), colour in last.items():
        assert_allclose(ab[y, x], colour, atol=1e-3)


def test_a_hint_amid_a_hundred_others_one_pixel_apart_keeps_its_colour() -> None:
    """In flat luminance, under wide neighbours that all say the opposite: the worst there is."""
    hints = [(x, y, -100, 100, 15) for x in range(8, 19) for y in range(7, 18)]
    middle = hints.index((13, 12, -100, 100, 15))
    hints[middle] = (13, 12, 100, -100, 15)
    ab = met(constant(0, 0), flat(), hints)
    for x, y, a, b, _ in hints:
        assert_allclose(ab[y, x], (a, b), atol=1e-3)


def test_of_two_hints_at_one_pixel_the_later_counts() -> None:
    hints = [(10.2, 5.4, 30, 30, 2), (20, 20, 0, 0, 2), (9.6, 4.5, -60, 10, 3)]
    ab = met(constant(5, 5), flat(), hints)
    assert_allclose(ab[5, 10], (-60, 10), atol=1e-3)
    assert_array_equal(ab, met(constant(5, 5), flat(), hints[1:]))


@pytest.mark.parametrize("radius", [0, 1, 2.5, 4])
def test_a_hint_fades_as_a_gaussian_and_ends_at_three_sigma(radius) -> None:
    size, sigma = (61, 67), max(1.5 * radius, 1)
    luminance = np.full(size, 50, "float32")
    ab = met(constant(10, -10), luminance, [(33, 30, 70, 20, radius)])
    y, x = np.mgrid[: size[0], : size[1]]
    squared = (x - 33) ** 2 + (y - 30) ** 2
    near = squared <= (3 * sigma) ** 2
    expected = [10, -10] + np.exp(-squared / (2 * sigma**2))[..., None] * [60, 30]
    assert_allclose(ab[near], expected[near], atol=1e-3)
    far = np.maximum(abs(x - 33), abs(y - 30)) > np.ceil(3 * sigma)
    assert_array_equal(ab[far], constant(10, -10).rows(luminance, 0, size[0])[far])


def test_a_wider_contrast_carries_a_hint_further() -> None:
    luminance = flat()
    luminance[10, 11] += 8
    point, colour = [(10, 10)], np.array([[60, -40]], "float32")
    for contrast, expected in ((4, np.exp(-2)), (8, np.exp(-0.5)), (16, np.exp(-0.125))):
        reach = np.array([1000], "float32")
        field = meet_hints(constant(0, 0), luminance, point, colour, reach, contrast=contrast)
        ab = field.rows(luminance, 0, HEIGHT)
        assert_allclose(ab[10, 11], expected * colour[0], rtol=1e-4)


def test_a_hint_fades_over_contrast_too() -> None:
    luminance = flat()
    luminance[10, 11] += 8  # one σ of contrast, one pixel away
    ab = met(constant(0, 0), luminance, [(10, 10, 60, -40, 4)])
    expected = np.exp(-0.5 - 0.5 / 6**2) * np.array([60, -40])
    assert_allclose(ab[10, 11], expected, rtol=1e-4)


@pytest.mark.parametrize("column", [0, 14, 15, WIDTH - 1])
def test_an_edge_right_beside_a_hint_stops_it(column) -> None:
    luminance = flat(30)
    luminance[:, 15:] = 70
    ab = met(constant(0, 0), luminance, [(column, 12, 90, -90, 10)])
    side = np.arange(WIDTH) // 15 == column // 15
    assert np.abs(ab[:, ~side]).max() < 0.01 * 90
    neighbour = column + (1 if column in (0, 15) else -1)
    assert ab[12, neighbour, 0] > 0.98 * 90


def test_halfway_between_two_hints_is_their_mean() -> None:
    ab = met(constant(0, 0), flat(), [(10, 12, 80, 0, 4), (16, 12, 0, -40, 4)])
    assert_allclose(ab[12, 13], np.exp(-(3**2) / (2 * 6**2)) * np.array([40, -20]), rtol=1e-4)


@settings(max_examples=50)
@given(HINTS, st.sampled_from([0, 1, 30]), st.integers(0, 2**31))
def test_what_hints_add_stays_within_their_range(hints, contrast, seed) -> None:
    noise = np.random.default_rng(seed).normal(0, 1, (HEIGHT, WIDTH))
    luminance = np.clip(50 + contrast * noise, 0, 100).astype("float32")
    added = met(constant(0, 0), luminance, hints)
    kept = np.array(list({(x, y): (a, b) for x, y, a, b, _ in hints}.values()))
    assert (added >= np.minimum(kept.min(axis=0), 0) - 1e-3).all()
    assert (added <= np.maximum(kept.max(axis=0), 0) + 1e-3).all()
    assert np.isfinite(added).all()
