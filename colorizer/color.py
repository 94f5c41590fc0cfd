"""Colour spaces and the distribution of colours a network predicts.

Two things live here: the conversion between sRGB and CIE Lab, and the 313 ab bins
with which colorization is treated as classification [1].

Conventions
    sRGB: `uint8`, `uint16`, or float in [0, 1], channels last.
    Lab: float32, D65 white, 2° observer; `L` in [0, 100], `a` and `b` in Lab units
    (within about ±110 for colours of the sRGB gamut).
    All of it is written in `keras.ops` and computed in float32, so it runs inside a
    training step on any backend and under any dtype policy. The constants are those of
    `skimage.color`, which the results equal to 1e-3 Lab units.

Decoding a distribution
    A network trained with class weights `w` answers about `w · p` for the true
    distribution `p`. `softmax((logits - β · log w) / T)` undoes the share β of that
    correction and sharpens by the temperature T; its mean is the colour. β = 1, T = 1
    is the unbiased conditional mean (faithful, pale), β = 0, T = 0.38 the annealed mean
    as published in [1] (vivid, sometimes wild).

References
    [1] R. Zhang, P. Isola, A. A. Efros. "Colorful Image Colorization". ECCV 2016.
    [2] IEC 61966-2-1:1999, sRGB. CIE 15:2004, Colorimetry.
"""

import functools
from typing import Any

import numpy as np
from keras import ops
from keras.backend import standardize_dtype

Tensor = Any  # a tensor of whichever backend Keras runs on

AB_SCALE = 110.0  # network units: ab / AB_SCALE is within about [-1, 1]
BIN_STEP = 10.0  # spacing of the grid of ab bins, in Lab units
NEIGHBOURS, SIGMA = 5, 5.0  # soft encoding over the nearest bins [1, section 2.2]
SMALLEST_PRIOR = 1e-12  # far from every colour of the data the Gaussian underflows to 0
REBALANCING = 0.5  # λ: share of the uniform distribution mixed into the prior [1, eq. 4]
PUBLISHED_TEMPERATURE = 0.38  # [1, section 2.3]

_XYZ_FROM_RGB = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
_RGB_FROM_XYZ = np.linalg.inv(_XYZ_FROM_RGB)
_D65 = np.array([0.95047, 1.0, 1.08883])

# The published grid [1]: for each a from -90 to 100, the first and the last b.
_B_RUNS = [
    (50, 90), (20, 90), (0, 90), (-20, 90), (-30, 100), (-40, 100), (-50, 100), (-50, 100),
    (-60, 100), (-70, 100), (-80, 90), (-80, 90), (-90, 90), (-100, 90), (-100, 80),
    (-110, 80), (-110, 80), (-110, 70), (-110, 70), (-90, 0),
]  # fmt: skip
AB_BINS = np.array(
    [
        (a, b)
        for a, (first, last) in zip(range(-90, 101, 10), _B_RUNS, strict=True)
        for b in range(first, last + 1, 10)
    ],
    dtype="float32",
)
"""Centres of the 313 ab bins, (313, 2), in Lab units."""


def _linear(image: Tensor) -> Tensor:
    """sRGB samples of any dtype → linear light in [0, 1], float32 [2]."""
    dtype = standardize_dtype(image.dtype)
    if dtype in ("uint8", "uint16"):
        # One look-up instead of a power: there are only so many integers.
        samples = np.linspace(0, 1, np.iinfo(dtype).max + 1)
        return ops.take(_decode_gamma(samples, np).astype("float32"), ops.cast(image, "int32"))
    return _decode_gamma(ops.cast(image, "float32"), ops)


def _decode_gamma(v: Any, xp: Any) -> Any:
    """The transfer function of sRGB, in NumPy or `keras.ops`."""
    return xp.where(v > 0.04045, xp.power((xp.maximum(v, 0.04045) + 0.055) / 1.055, 2.4), v / 12.92)


def _encode_gamma(linear: Tensor) -> Tensor:
    bright = 1.055 * ops.power(ops.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    return ops.clip(ops.where(linear > 0.0031308, bright, 12.92 * linear), 0.0, 1.0)


def _lab_f(t: Tensor) -> Tensor:
    root = ops.power(ops.maximum(t, 0.008856), 1 / 3)
    return ops.where(t > 0.008856, root, 7.787 * t + 16 / 116)


def _lab_f_inverse(f: Tensor) -> Tensor:
    return ops.where(f > 0.2068966, f * f * f, (f - 16 / 116) / 7.787)


def _mix_channels(x: Tensor, matrix: np.ndarray) -> Tensor:
    """`x @ matrix.T` over the last axis, in full float32.

    Written out because accelerators round the operands of `matmul` to fewer bits.
    """
    channels = [x[..., i] for i in range(3)]
    rows = [sum(float(m) * c for m, c in zip(row, channels, strict=True)) for row in matrix]
    return ops.stack(rows, axis=-1)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Converts sRGB to CIE Lab.

    Args:
        rgb: `(..., 3)`, `uint8`, `uint16` or float in [0, 1].

    Returns:
        `(..., 3)` float32: `L` in [0, 100], `a` and `b` in Lab units.
    """
    linear = _linear(ops.convert_to_tensor(rgb))
    f = _lab_f(_mix_channels(linear, _XYZ_FROM_RGB / _D65[:, None]))
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return ops.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Converts CIE Lab to sRGB; colours outside the gamut are clipped, channel by channel.

    Args:
        lab: `(..., 3)` float: `L` in [0, 100], `a` and `b` in Lab units.

    Returns:
        `(..., 3)` float32 in [0, 1]. With a = b = 0 and rounding to 8 bits, each of the
        256 grays comes back exactly and R = G = B.
    """
    lab = ops.cast(lab, "float32")
    y = (lab[..., 0] + 16) / 116
    x, z = y + lab[..., 1] / 500, y - lab[..., 2] / 200
    xyz = _lab_f_inverse(ops.stack([x, y, ops.maximum(z, 0.0)], axis=-1))
    return _encode_gamma(_mix_channels(xyz, _RGB_FROM_XYZ * _D65))


def rgb_to_luminance(image: Tensor) -> Tensor:
    """The `L` of Lab alone, at a fraction of the cost of `rgb_to_lab`.

    Args:
        image: `(..., 3)` sRGB or `(..., 1)` gray; `uint8`, `uint16` or float in [0, 1].

    Returns:
        `(..., 1)` float32 in [0, 100].
    """
    image = ops.convert_to_tensor(image)
    linear = _linear(image)
    if image.shape[-1] == 3:
        red, green, blue = (linear[..., i : i + 1] for i in range(3))
        of_red, _, of_blue = _XYZ_FROM_RGB[1]
        # The three weights sum to 1. Written so, a gray of three equal channels has, to the
        # last bit, the luminance of the same gray in one channel.
        linear = green + of_red * (red - green) + of_blue * (blue - green)
    return 116 * _lab_f(linear) - 16


def luminance_to_gray(luminance: Tensor) -> Tensor:
    """The gray sample in [0, 1] that has the given `L` in [0, 100]; any shape.

    Rounded to 8 or 16 bits it is the sample that the luminance was computed from.
    """
    return _encode_gamma(_lab_f_inverse((ops.cast(luminance, "float32") + 16) / 116))


# ------------------------------------------------- whole photographs of 8 bits, in NumPy

_ENCODED_STEPS = 1 << 16  # of linear light: 1/255 of sRGB is 20 steps where they are coarsest
_ENCODED_ROWS = 64  # at a time, so that what is computed in between stays in the cache


@functools.cache
def _decoded_bytes() -> np.ndarray:
    """Linear light of each `uint8` sample, (256,)."""
    return _decode_gamma(np.linspace(0, 1, 256), np).astype("float32")


@functools.cache
def _encoded_bytes() -> np.ndarray:
    """The `uint8` sample of each step of linear light from 0 to 1."""
    linear = np.linspace(0, 1, _ENCODED_STEPS + 1)
    bright = 1.055 * linear ** (1 / 2.4) - 0.055
    return np.rint(255 * np.where(linear > 0.0031308, bright, 12.92 * linear)).astype("uint8")


def luminance_of_bytes(image: np.ndarray) -> np.ndarray:
    """`rgb_to_luminance` of a `uint8` photograph, at a fifth of its cost.

    Args:
        image: (H, W, 3) sRGB or (H, W, 1) gray, `uint8`.

    Returns:
        (H, W) float32 in [0, 100].
    """
    channels = [_decoded_bytes()[image[..., i]] for i in range(image.shape[-1])]
    linear = channels[0]
    if len(channels) == 3:
        red, green, blue = channels
        of_red, _, of_blue = _XYZ_FROM_RGB[1].astype("float32")
        linear = green + of_red * (red - green) + of_blue * (blue - green)
    slope = np.float32(116 * 7.787)
    return np.where(linear > 0.008856, 116 * np.cbrt(linear) - 16, slope * linear)


def lab_to_bytes(luminance: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """`lab_to_rgb` rounded to `uint8`, at a tenth of its cost: a table instead of a power.

    Args:
        luminance: (H, W) in [0, 100].
        ab: (H, W, 2) in Lab units.

    Returns:
        (H, W, 3) `uint8` sRGB; a sample that lies between two may be rounded to the other.
    """
    matrix = (_RGB_FROM_XYZ * _D65 * _ENCODED_STEPS).astype("float32")
    rgb = np.empty((*luminance.shape, 3), "uint8")
    for top in range(0, len(luminance), _ENCODED_ROWS):
        rows = slice(top, top + _ENCODED_ROWS)
        y = (luminance[rows].astype("float32") + 16) / np.float32(116)
        x = y + ab[rows, :, 0] / np.float32(500)
        z = np.maximum(y - ab[rows, :, 1] / np.float32(200), 0)
        xyz = [_cubed(f) for f in (x, y, z)]
        for i, (of_x, of_y, of_z) in enumerate(matrix):
            steps = of_x * xyz[0] + of_y * xyz[1] + of_z * xyz[2] + np.float32(0.5)
            np.clip(steps, 0, _ENCODED_STEPS, out=steps)
            rgb[rows, :, i] = _encoded_bytes()[steps.astype("int32")]
    return rgb


def _cubed(f: np.ndarray) -> np.ndarray:
    """`_lab_f_inverse`; the few dark samples are looked up on their own."""
    light = f * f * f
    dark = f <= 0.2068966
    light[dark] = (f[dark] - np.float32(16 / 116)) / np.float32(7.787)
    return light


# ------------------------------------------------------------- the distribution of colours


def encode_ab(ab: Tensor, *, sigma: float = SIGMA) -> Tensor:
    """Soft-encodes colours over their 5 nearest bins with Gaussian weights [1].

    Args:
        ab: `(..., 2)` in Lab units.
        sigma: σ of the weights, in Lab units.

    Returns:
        `(..., 313)` float32 distributions, each summing to 1.
    """
    ab = ops.cast(ab, "float32")
    squared = sum((ab[..., i : i + 1] - AB_BINS[:, i]) ** 2 for i in range(2))
    farthest_kept = -ops.top_k(-squared, NEIGHBOURS)[0][..., -1:]
    # Relative to the nearest bin, so that a colour far from every bin does not underflow.
    nearest = ops.min(squared, axis=-1, keepdims=True)
    weights = ops.exp((nearest - squared) / (2 * sigma**2))
    weights = ops.where(squared <= farthest_kept, weights, 0.0)
    return weights / ops.sum(weights, axis=-1, keepdims=True)


def nearest_bin(ab: Tensor) -> Tensor:
    """Index of the nearest bin, `(...)` int32, of colours `(..., 2)` in Lab units."""
    ab = ops.cast(ab, "float32")
    squared = sum((ab[..., i : i + 1] - AB_BINS[:, i]) ** 2 for i in range(2))
    return ops.argmin(squared, axis=-1)


def smooth_prior(counts: np.ndarray) -> np.ndarray:
    """The empirical distribution of colours, smoothed over neighbouring bins [1].

    Args:
        counts: (313,) how many pixels fell in each bin.

    Returns:
        (313,) float64 probabilities, all above 0, summing to 1.

    Raises:
        ValueError: `counts` has another shape or holds nothing.
    """
    counts = np.asarray(counts, "float64")
    if counts.shape != (len(AB_BINS),) or not (counts.min() >= 0 and 0 < counts.sum() < np.inf):
        raise ValueError(
            f"counts must be ({len(AB_BINS)},), none negative, with a positive sum. "
            f"Received: shape {counts.shape}, sum {counts.sum()}"
        )
    squared = ((AB_BINS[:, None] - AB_BINS[None]) ** 2).sum(-1)
    kernel = np.exp(-squared / (2 * SIGMA**2))
    prior = (kernel / kernel.sum(0)) @ (counts / counts.sum()) + SMALLEST_PRIOR
    return prior / prior.sum()


def rebalancing_weights(prior: np.ndarray, *, rebalancing: float = REBALANCING) -> np.ndarray:
    """Class weights that make rare colours count: 1 / ((1 - λ) · p + λ / 313) [1, eq. 4].

    Args:
        prior: (313,) smoothed probabilities of the bins.
        rebalancing: λ in [0, 1]; 1 weighs all bins alike.

    Returns:
        (313,) float32 weights whose mean under the prior is 1.

    Raises:
        ValueError: not 313 finite probabilities, or λ outside [0, 1].
    """
    prior = np.asarray(prior, "float64")
    if prior.shape != (len(AB_BINS),) or not (prior.min() >= 0 and np.isfinite(prior).all()):
        raise ValueError(f"prior must be ({len(AB_BINS)},) probabilities. Received: {prior.shape}")
    if not 0 <= rebalancing <= 1:
        raise ValueError(f"rebalancing must be in [0, 1]. Received: {rebalancing}")
    weights = 1 / ((1 - rebalancing) * prior + rebalancing / len(prior))
    return (weights / (prior * weights).sum()).astype("float32")


def annealed_mean(
    logits: Tensor, weights: Tensor, *, temperature: float, correction: float
) -> Tensor:
    """Decodes a distribution over the bins to one colour.

    Args:
        logits: `(..., 313)`.
        weights: (313,) the class weights the network was trained with.
        temperature: T > 0; below 1 sharpens towards the mode.
        correction: β in [0, 1], the share of the class weights that is undone.

    Returns:
        `(..., 2)` ab, float32, in Lab units.
    """
    logits = ops.cast(logits, "float32") - correction * ops.log(ops.cast(weights, "float32"))
    return ops.matmul(ops.softmax(logits / temperature), ops.convert_to_tensor(AB_BINS))


def vividness_to_decoding(vividness: float) -> tuple[float, float]:
    """The temperature T and prior correction β of one knob.

    Args:
        vividness: in [0, 1]; 0 = unbiased conditional mean (T = 1, β = 1), 1 = the
            annealed mean as published (T = 0.38, β = 0); between, T falls geometrically and
            β linearly.

    Returns:
        (T, β).

    Raises:
        ValueError: outside [0, 1].
    """
    if not 0 <= vividness <= 1:
        raise ValueError(f"vividness must be in [0, 1]. Received: {vividness}")
    return PUBLISHED_TEMPERATURE**vividness, 1.0 - vividness
