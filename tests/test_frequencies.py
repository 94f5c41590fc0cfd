"""The cosine transform of pictures, and blur in it."""

import numpy as np
import pytest
from scipy import fft

from colorizer.frequencies import blur, cosines, from_frequencies, to_frequencies


def per_example(*values):
    return np.array(values, np.float32)[:, None, None]


@pytest.mark.parametrize("size", [8, 13, 64])
def test_the_cosine_transform_is_orthonormal_and_that_of_the_standard(size):
    matrix = cosines(size)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-6)
    np.testing.assert_allclose(matrix[0], size**-0.5, rtol=1e-6)
    # T.81, A.3.3: C(v) / 2 · cos((2y + 1) v π / 16) for blocks of 8.
    v, y = np.ogrid[1:size, :size]
    expected = np.sqrt(2 / size) * np.cos((2 * y + 1) * v * np.pi / (2 * size))
    np.testing.assert_allclose(matrix[1:], expected, atol=1e-6)


def test_blur_keeps_the_mean_and_constants(gray_photos):
    sigma = per_example(0.0, 1.0, 2.5)
    blurred = np.asarray(blur(gray_photos, down=sigma, across=sigma))
    np.testing.assert_allclose(blurred.mean((1, 2)), gray_photos.mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(blurred[0], gray_photos[0], atol=1e-5)
    assert (np.diff([np.std(p) for p in (gray_photos[1], blurred[1])]) < 0).all()
    flat = np.full((1, 32, 32), 0.3, np.float32)
    even = np.asarray(blur(flat, down=per_example(2.0), across=per_example(1.0)))
    np.testing.assert_allclose(even, 0.3, atol=1e-5)


def test_blur_spreads_a_point_as_a_gaussian_of_the_asked_width():
    point = np.zeros((1, 31, 41), np.float32)
    point[0, 15, 20] = 1
    spread = np.asarray(blur(point, down=per_example(1.5), across=per_example(3.0)))[0]
    y, x = np.ogrid[-15:16, -20:21]
    gauss = np.exp(-(y**2) / (2 * 1.5**2)) * np.exp(-(x**2) / (2 * 3.0**2))
    np.testing.assert_allclose(spread, gauss / gauss.sum(), atol=1e-5)


@pytest.mark.parametrize("size", [(1, 5), (13, 21), (32, 24)])
def test_frequencies_are_those_of_scipy_and_give_the_picture_back(rng, size):
    light = rng.uniform(-1, 1, (2, *size)).astype(np.float32)
    found = np.asarray(to_frequencies(light))
    np.testing.assert_allclose(found, fft.dctn(light, axes=(1, 2), norm="ortho"), atol=1e-5)
    np.testing.assert_allclose(np.asarray(from_frequencies(found)), light, atol=1e-5)
