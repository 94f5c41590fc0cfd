"""What years do to a photograph: simulated on modern ones, that a network may learn old ones.

Training photographs are modern and sharp; the gray photographs that people bring are prints and
negatives of decades ago, in scans. Restoring networks are trained on simulated damage [1], and so
is ours, with one difference: only what the network sees ages. The colours to be predicted stay
those of the modern photograph, so nothing here moves the picture's geometry.

The order is that of the light, from the scene to the file, each step in some of the examples only:

    scene      more or less light
    lens       out of focus or shaken, darker towards the corners
    film       contrast and tone curve; grain
    paper      black and white fade, stains of large extent, scratches and dust
    scanner    noise, JPEG

Conventions
    A picture is float32 (B, H, W) in [-1, 1], which is L / 50 - 1; only `age` has the channel.
    Parameters have one value for each example, (B, 1, 1). The steps are functions of their
    parameters alone and may leave [-1, 1]; `age` draws the parameters and clips. Lengths are in
    pixels of what the network sees, to which scans of thousands of pixels were reduced.
    Blur and grain are products in the frequencies of a cosine transform (`colorizer.frequencies`).
    JPEG's samples are gamma-encoded gray, not L. The two differ by less than 4 % of the range, far
    less than the qualities differ, and the powers between them would cost more than all of JPEG.

What is not simulated is the film's own sense of colour (early ones saw no red): it is lost
before the luminance that is given here.

References
    [1] Z. Wan et al. "Bringing Old Photos Back to Life". CVPR 2020.
    [2] A. Newson, J. Delon, B. Galerne. "A Stochastic Film Grain Model for
        Resolution-Independent Rendering". Computer Graphics Forum 2017.
    [3] ITU-T T.81 (JPEG), 1992, annexes A.3.3 (transform) and K.1 (luminance table).
    [4] Independent JPEG Group, libjpeg, jcparam.c: from a quality to its table.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from colorizer.frequencies import blur, cosines, from_frequencies, gaussian

Tensor = Any  # a tensor of whichever backend Keras runs on
Draw = Callable[..., Tensor]

# In how many of the examples, and from where to where. Chosen by eye, so that most pictures pass
# for an old print, some for a poor one, and each can still be recognised.
EXPOSURE = (0.5, -0.2, 0.2)  # of L / 50: up to 10 units of L
DEFOCUS = (0.6, 0.3, 1.2)  # σ in pixels
SHAKE = (0.2, 0.5, 2.0)  # σ in pixels, along one axis
VIGNETTE = (0.35, 0.05, 0.4)  # share of the luminance that the corners lose
CONTRAST = (0.6, 0.65, 1.35)
GAMMA = (0.6, -0.6, 0.6)  # its log2
GRAIN = (0.6, 0.01, 0.11)  # standard deviation at middle gray
GRAIN_SIZE = (1.0, 0.2, 0.7)  # σ in pixels
FADING = (0.6, 0.0, 0.25)  # of the range, at either end
STAINS = (0.35, -0.12, 0.12)
SCRATCHES = (0.25, -0.8, 0.8)
SPECKS = (0.35, -0.9, 0.9)
NOISE = (0.5, 0.005, 0.04)  # standard deviation
QUALITY = (0.5, 30.0, 95.0)  # of JPEG

MOST_SCRATCHES, MOST_SPECKS = 3, 8
BLACK = 1e-6  # has a logarithm
STAIN_WAVES = 3  # cosines along each side

# [3, table K.1]
LUMINANCE_TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype="float32",
)
BLOCK = 8  # pixels along the side of what JPEG transforms at once


def age(luminance: Tensor, random: keras.random.SeedGenerator, *, share: float = 1.0) -> Tensor:
    """Makes old photographs of modern ones, each in its own way.

    Args:
        luminance: (B, H, W, 1) float32 in [-1, 1]. H and W must be known, B need not be.
        random: state of the randomness; each call advances it.
        share: probability in [0, 1] that an example ages; the others come back bit for bit.

    Returns:
        (B, H, W, 1) float32 in [-1, 1].

    Raises:
        ValueError: `share` is no probability, or `luminance` has another shape.
    """
    check_luminance(luminance, share)
    batch, (height, width) = ops.shape(luminance)[0], luminance.shape[1:3]
    draw = functools.partial(_draw, batch, random)
    # Grain takes the field for its cosines and noise takes it as it is: as good as independent.
    white = keras.random.normal((batch, height, width), dtype="float32", seed=random)
    light = _through_lens(luminance[..., 0] + draw(EXPOSURE), draw)
    light = _on_paper(_on_film(light, white, draw), draw)
    light = _scanned(light, white, draw)
    aged = ops.clip(light, -1.0, 1.0)[..., None]
    return ops.where(draw((1.0, 0.0, 1.0), 1, 1, 1) < share, aged, luminance)


def check_luminance(luminance: Tensor, share: float) -> None:
    """Raises ValueError for no probability, or other than (B, H, W, 1) with H and W known."""
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in [0, 1]. Received: {share}")
    if len(luminance.shape) != 4 or luminance.shape[-1] != 1 or None in luminance.shape[1:]:
        raise ValueError(
            f"luminance must be (B, H, W, 1) with H and W known. Received: {luminance.shape}"
        )


def _draw(
    batch: Any,
    random: keras.random.SeedGenerator,
    frequency: tuple[float, float, float],
    *shape: int,
    neutral: float = 0.0,
) -> Tensor:
    """Draws parameters, (B, *shape), uniform where the step happens and neutral elsewhere.

    Args:
        batch: number of examples.
        random: state of the randomness.
        frequency: in which share of the examples; least and largest value.
        shape: of one example's parameters, (1, 1) if it is left out.
        neutral: with which the step changes nothing.
    """
    shape = shape or (1, 1)
    probability, low, high = frequency
    drawn = keras.random.uniform((batch, *shape), low, high, "float32", seed=random)
    if probability == 1:
        return drawn
    ones = [1] * len(shape)
    chance = keras.random.uniform((batch, *ones), dtype="float32", seed=random)
    return ops.where(chance < probability, drawn, neutral)


# ------------------------------------------------------------------------------------ lens


def _through_lens(light: Tensor, draw: Draw) -> Tensor:
    defocus, shake, direction = draw(DEFOCUS), draw(SHAKE), draw((1.0, 0.0, 1.0))
    down, across = shake * ops.round(direction), shake * (1 - ops.round(direction))
    # Variances add where one blur follows another.
    down, across = (ops.sqrt(defocus**2 + moved**2) for moved in (down, across))
    return vignette(blur(light, down=down, across=across), draw(VIGNETTE))


def vignette(light: Tensor, strength: Tensor) -> Tensor:
    """Takes `strength` of the luminance from the corners, and less, as r², on the way there."""
    height, width = light.shape[1:]
    y, x = (ops.linspace(-1.0, 1.0, size, dtype="float32") for size in (height, width))
    squared = (y[:, None] ** 2 + x**2) / 2
    return (light + 1) * (1 - strength * squared) - 1


# ------------------------------------------------------------------------------------ film


def _on_film(light: Tensor, white: Tensor, draw: Draw) -> Tensor:
    gamma = ops.power(2.0, draw(GAMMA))
    light = develop(light, contrast=draw(CONTRAST, neutral=1.0), gamma=gamma)
    return grain(light, white, strength=draw(GRAIN), size=draw(GRAIN_SIZE))


def develop(light: Tensor, *, contrast: Tensor, gamma: Tensor) -> Tensor:
    """The film's answer to light: a gain about middle gray, then a power, in [-1, 1]."""
    exposed = ops.clip((contrast * light + 1) / 2, BLACK, 1.0)
    return 2 * ops.exp(gamma * ops.log(exposed)) - 1  # a quarter of the cost of `ops.power`


def grain(light: Tensor, white: Tensor, *, strength: Tensor, size: Tensor) -> Tensor:
    """Adds film grain: noise without fine detail, strongest in middle gray.

    A point of the film is covered by a grain or not; where the share u is covered the variance
    is u · (1 - u) [2], none in black and white.

    Args:
        light: (B, H, W) in [-1, 1].
        white: (B, H, W) independent standard normal deviates.
        strength: standard deviation at middle gray, averaged over a picture.
        size: σ in pixels of the Gaussian that the noise is blurred with.
    """
    height, width = light.shape[1:]
    transfer = gaussian(height, width, size, size)
    # The cosines of white noise are white noise, so there is no need to transform it first.
    gain = strength * ops.rsqrt(ops.mean(transfer**2, axis=(1, 2), keepdims=True))
    covered = ops.clip((light + 1) / 2, 0.0, 1.0)
    return light + 2 * ops.sqrt(covered * (1 - covered)) * from_frequencies(white * transfer * gain)


# ----------------------------------------------------------------------------------- paper


def _on_paper(light: Tensor, draw: Draw) -> Tensor:
    light = fade(light, lifted=draw(FADING), lowered=draw(FADING))
    light = stain(light, draw(STAINS, STAIN_WAVES, STAIN_WAVES))
    return light + _scratches(light, draw) + _specks(light, draw)


def fade(light: Tensor, *, lifted: Tensor, lowered: Tensor) -> Tensor:
    """Lifts black and lowers white by shares of the range, and all between in proportion."""
    return light * (1 - lifted - lowered) + lifted - lowered


def stain(light: Tensor, waves: Tensor) -> Tensor:
    """Adds slow unevenness; `waves` (B, n, n) are amplitudes of cosines, the slowest first."""
    height, width = light.shape[1:]
    down, across = (_slow_cosines(size, waves.shape[-1]) for size in (height, width))
    return light + ops.einsum("hk,bkl,wl->bhw", down, waves, across)


def _slow_cosines(size: int, count: int) -> np.ndarray:
    places = (np.arange(size) + 0.5) / size
    return np.cos(np.pi * places[:, None] * np.arange(count)).astype("float32")


def _scratches(light: Tensor, draw: Draw) -> Tensor:
    one = (MOST_SCRATCHES, 1, 1)
    return scratches(
        *light.shape[1:],
        tone=draw(SCRATCHES, *one),
        place=draw((1.0, 0.0, 1.0), *one),
        lean=draw((1.0, -0.05, 0.05), *one),
        radius=draw((1.0, 0.0, 0.6), *one),
        top=draw((1.0, -0.5, 0.7), *one),
        length=draw((1.0, 0.3, 1.5), *one),
    )


def scratches(
    height: int,
    width: int,
    *,
    tone: Tensor,
    place: Tensor,
    lean: Tensor,
    radius: Tensor,
    top: Tensor,
    length: Tensor,
) -> Tensor:
    """Nearly upright lines, as the rollers of cameras and projectors leave them.

    Args:
        height: of the picture in pixels.
        width: of the picture in pixels.
        tone: (B, n, 1, 1) what each line adds to the picture; 0 = none.
        place: (B, n, 1, 1) where it crosses the middle, in widths.
        lean: (B, n, 1, 1) how far right it goes from top to bottom, in widths.
        radius: (B, n, 1, 1) half of its thickness in pixels, less the half pixel of its edge.
        top: (B, n, 1, 1) where it begins, in heights.
        length: (B, n, 1, 1) how long it is, in heights.

    Returns:
        (B, H, W) to be added, 0 beside the lines.
    """
    y = (ops.arange(height, dtype="float32")[:, None] + 0.5) / height
    x = ops.arange(width, dtype="float32") + 0.5
    centre = width * (place + lean * (y - 0.5))
    tone = ops.where(ops.abs(y - top - length / 2) < length / 2, tone, 0.0)
    return ops.sum(tone * ops.clip(radius + 0.5 - ops.abs(x - centre), 0.0, 1.0), axis=1)


def _specks(light: Tensor, draw: Draw) -> Tensor:
    tone, radius = draw(SPECKS, MOST_SPECKS, 1), draw((1.0, 0.0, 1.2), MOST_SPECKS, 1)
    place = draw((1.0, 0.0, 1.0), MOST_SPECKS, 2)
    return specks(*light.shape[1:], tone=tone, place=place, radius=radius)


def specks(height: int, width: int, *, tone: Tensor, place: Tensor, radius: Tensor) -> Tensor:
    """Dust: small spots, so small that squares with soft edges will do.

    Args:
        height: of the picture in pixels.
        width: of the picture in pixels.
        tone: (B, n, 1) what each spot adds to the picture; 0 = none.
        place: (B, n, 2) their centres, in heights and widths.
        radius: (B, n, 1) half of a side in pixels, less the half pixel of its edge.

    Returns:
        (B, H, W) to be added, 0 beside the spots.
    """

    def covered(size: int, centre: Tensor) -> Tensor:
        distance = ops.abs(ops.arange(size, dtype="float32") + 0.5 - size * centre)
        return ops.clip(radius + 0.5 - distance, 0.0, 1.0)

    down, across = covered(height, place[..., :1]), covered(width, place[..., 1:])
    return ops.einsum("bnh,bnw->bhw", tone * down, across)


# --------------------------------------------------------------------------------- scanner


def _scanned(light: Tensor, white: Tensor, draw: Draw) -> Tensor:
    scan = ops.clip(light + draw(NOISE) * white, -1.0, 1.0)
    quality = draw(QUALITY)
    return ops.where(quality > 0, jpeg(scan, ops.maximum(quality, 1.0)), scan)


def jpeg(light: Tensor, quality: Tensor) -> Tensor:
    """What JPEG leaves of a gray picture.

    Args:
        light: (B, H, W) in [-1, 1]; 255 samples from end to end.
        quality: (B, 1, 1) from 1 to 100, as libjpeg understands it [4].

    Returns:
        (B, H, W), before it is rounded and clipped to samples.
    """
    height, width = light.shape[1:]
    rows, columns = (-(-size // BLOCK) for size in (height, width))
    for axis, size, blocks in ((1, height, rows), (2, width, columns)):
        if size % BLOCK:  # the last row or column is repeated, as encoders do
            light = ops.take(light, np.minimum(np.arange(blocks * BLOCK), size - 1), axis=axis)
    # Samples from -128 to 127: the level shift of the standard [3, A.3.1].
    samples = ops.reshape((light + 1) * 127.5 - 128, (-1, rows, BLOCK, columns * BLOCK))
    transform = cosines(BLOCK)
    frequencies = ops.reshape(ops.matmul(transform, samples), (-1, rows, BLOCK, columns, BLOCK))
    frequencies = ops.matmul(frequencies, transform.T)
    steps = quantization(quality)[:, None, :, None, :]
    kept = ops.matmul(ops.round(frequencies / steps) * steps, transform)
    kept = ops.reshape(kept, (-1, rows, BLOCK, columns * BLOCK))
    decoded = ops.reshape(ops.matmul(transform.T, kept), (-1, rows * BLOCK, columns * BLOCK))
    return (decoded[:, :height, :width] + 128) / 127.5 - 1


def quantization(quality: Tensor) -> Tensor:
    """The steps of a quality's luminance table, (B, 8, 8), from 1 to 255 [4]."""
    table = ops.convert_to_tensor(LUMINANCE_TABLE)
    percent = ops.floor(ops.where(quality < 50, 5000 / quality, 200 - 2 * quality))
    return ops.clip(ops.floor((table * percent + 50) / 100), 1.0, 255.0)
