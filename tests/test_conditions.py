"""What decoder stages are told of mask and hints, by hand-computed cases."""

import numpy as np
import pytest
from keras import ops

from colorizer.conditions import GAIN, SLICES, WINDOWS, pool_conditions

CHANNELS = 6  # of each window: two plain means, presence, two bilateral means, similarity


def told(luminance, hints, stride=4, strides=None):
    pooled = pool_conditions(luminance[None], {"hints": hints[None]}, strides or (stride,))
    return {s: ops.convert_to_numpy(x["hints"])[0] for s, x in pooled.items()}


def picture(height, width, *points):
    """Dark on the left, bright on the right; hints (y, x, a, b)."""
    luminance = np.full((height, width, 1), -1.0, "float32")
    luminance[:, width // 2 :] = 1.0
    hints = np.zeros((height, width, 3), "float32")
    for y, x, a, b in points:
        hints[y, x] = (a, b, 1)
    return luminance, hints


def window(features, size):
    start = CHANNELS * WINDOWS.index(size)
    return features[..., start : start + CHANNELS]


def test_without_hints_all_is_zero():
    features = told(*picture(32, 32))[4]
    assert features.shape == (8, 8, CHANNELS * len(WINDOWS))
    assert not features.any()


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_a_lone_hint_is_as_strong_as_a_large_one_and_in_every_window_that_reaches_it(stride):
    luminance, hints = picture(128, 128, (64, 30, 0.5, -0.25))
    features = told(luminance, hints, strides=(4, stride))[stride]
    row, column = 64 // stride, 30 // stride
    for size in WINDOWS:
        values = window(features, size)
        expected = [0.5 * GAIN, -0.25 * GAIN, 1, 0.5 * GAIN, -0.25 * GAIN, 1]
        np.testing.assert_allclose(values[row, column], expected, rtol=1e-5)
        reached = values[..., 2] == 1
        far = np.abs(np.arange(128 // stride) - row)[:, None] > size // 2
        assert not reached[np.broadcast_to(far, reached.shape)].any()
        assert reached.sum() == min(size, 128 // stride) * reached[row].sum()


def test_a_hint_across_an_edge_is_there_but_not_alike():
    luminance, hints = picture(32, 32, (16, 14, 0.5, 0.5))
    beyond = window(told(luminance, hints)[4], 3)[4, 4]  # bright; the hint is on the dark side
    np.testing.assert_allclose(beyond, [0.5 * GAIN, 0.5 * GAIN, 1, 0, 0, 0], atol=1e-5)


def test_of_two_hints_each_side_is_told_its_own():
    luminance, hints = picture(32, 32, (16, 14, 0.4, 0.0), (16, 18, -0.2, 0.6))
    values = window(told(luminance, hints)[4], 3)
    for column, own in ((3, (0.4, 0.0)), (4, (-0.2, 0.6))):
        plain, bilateral, alike = np.split(values[4, column, [0, 1, 3, 4, 5]], [2, 4])
        np.testing.assert_allclose(plain / GAIN, [0.1, 0.3], atol=1e-5)
        np.testing.assert_allclose(bilateral / GAIN, own, atol=1e-5)
        assert alike == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("difference", "alike"), [(0, 1), (0.25, 0.75 / 0.625**0.5), (0.5, 0.5**0.5), (1, 0)]
)
def test_likeness_falls_with_the_difference_of_luminance(difference, alike):
    luminance, hints = picture(8, 8, (2, 2, 0.5, 0.5))
    slice_ = 2 / (SLICES - 1)  # in network units
    luminance[:, :4], luminance[:, 4:] = -1 + slice_, -1 + (1 + difference) * slice_
    assert window(told(luminance, hints)[4], 3)[0, 1, 5] == pytest.approx(alike, abs=1e-5)


@pytest.mark.parametrize("luminance", [-1.0, -0.93, -0.8, -0.2, 0.0, 0.31, 1.0])
def test_a_luminance_is_alike_to_itself_wherever_it_lies(luminance):
    plain, hints = picture(8, 8, (2, 2, 0.5, 0.5))
    features = told(np.full_like(plain, luminance), hints)[4]
    np.testing.assert_allclose(
        window(features, 3)[0, 1, 3:], [0.5 * GAIN, 0.5 * GAIN, 1], rtol=1e-5
    )


def test_a_cell_on_an_edge_is_alike_to_both_sides():
    luminance, hints = picture(8, 8, (2, 1, 0.5, 0.5))
    luminance[:, :6], luminance[:, 6:] = -1, 1  # the second cell is half dark, half bright
    assert window(told(luminance, hints)[4], 3)[0, 1, 5] == pytest.approx(0.5**0.5, rel=1e-5)


def test_a_mask_is_averaged_and_none_of_both_is_nothing():
    mask = np.zeros((1, 8, 8, 1), "float32")
    mask[:, :4, :2] = 1
    pooled = pool_conditions(np.zeros((1, 8, 8, 1), "float32"), {"mask": mask}, (4, 8))
    np.testing.assert_allclose(pooled[4]["mask"][0, ..., 0], [[0.5, 0], [0, 0]])
    np.testing.assert_allclose(pooled[8]["mask"][0, ..., 0], [[0.125]])
    assert pool_conditions(mask, {}, (4, 8)) == {4: {}, 8: {}}
    assert pool_conditions(mask, {"hints": mask}, ()) == {}
