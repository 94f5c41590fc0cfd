"""Pictures in the frequencies of the cosine transform, for what is done to luminances in training.

Conventions
    A picture is float32 (B, H, W), H and W known. The transform is the orthonormal DCT-II of both
    axes: its pictures continue mirrored at their edges, so a blur keeps the mean and has no border
    of its own, and the frequencies of white noise are white noise.
    Parameters have one value for each example, (B, 1, 1).
"""

import functools
from typing import Any

import numpy as np
from keras import ops
from scipy import fft

Tensor = Any  # a tensor of whichever backend Keras runs on


@functools.cache
def cosines(size: int) -> np.ndarray:
    """The orthonormal cosine transform (DCT-II) as a matrix, one row for each frequency."""
    return fft.dct(np.eye(size), axis=0, norm="ortho").astype("float32")


def to_frequencies(light: Tensor) -> Tensor:
    """The cosine transform of each picture."""
    height, width = light.shape[1:]
    return ops.matmul(ops.matmul(cosines(height), light), cosines(width).T)


def from_frequencies(frequencies: Tensor) -> Tensor:
    """The picture of each transform."""
    height, width = frequencies.shape[1:]
    return ops.matmul(ops.matmul(cosines(height).T, frequencies), cosines(width))


def gaussian(height: int, width: int, down: Tensor, across: Tensor) -> Tensor:
    """What a Gaussian of σ `down`, `across` leaves of each cosine, (B, H, W): exp(-σ²ω²/2)."""
    vertical = ops.arange(height, dtype="float32")[:, None] * (np.pi / height)
    horizontal = ops.arange(width, dtype="float32") * (np.pi / width)
    return ops.exp(-((down * vertical) ** 2) / 2) * ops.exp(-((across * horizontal) ** 2) / 2)


def blur(light: Tensor, *, down: Tensor, across: Tensor) -> Tensor:
    """Gaussian blur, mirrored at the edges; `down` and `across` are its σ in pixels."""
    height, width = light.shape[1:]
    return from_frequencies(to_frequencies(light) * gaussian(height, width, down, across))
