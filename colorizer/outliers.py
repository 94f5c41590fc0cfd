"""Pictures that are no photographs of the world in colour: made of photographs, with gray as truth.

Training leaves near-gray photographs out (`DataConfig.min_saturation`), and a network that saw only
the others has a colour for everything: it is sure of red coins and a blue moon. Detectors of the
unfamiliar are trained on examples of it [1]; here they are made of the very photographs, and what
they teach is to be modest:

    relief     the photograph as a surface, lit from one side, all of one material or shapes of one
               on another: metal, stone, plaster, things on a table
    drawing    dark lines on paper where the photograph is darker than around: prints, pages
    texture    the photograph's frequencies with random signs, all over or two of them in shapes
    negative   black for white

Conventions
    A picture is float32 (B, H, W) in [-1, 1], which is L / 50 - 1; only `make_outliers` has the
    channel. Parameters have one value for each example, (B, 1, 1). Each kind is a function of its
    parameters alone and may leave [-1, 1]; `make_outliers` draws the parameters and clips.

References
    [1] D. Hendrycks, M. Mazeika, T. Dietterich. "Deep Anomaly Detection with Outlier Exposure".
        ICLR 2019.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from colorizer import masks
from colorizer.aging import check_luminance, stain
from colorizer.frequencies import blur, from_frequencies, to_frequencies

Tensor = Any  # a tensor of whichever backend Keras runs on
Draw = Callable[..., Tensor]  # (low, high, *shape of one example's, (1, 1) if left out)

# In how many of the outliers, and from where to where. Chosen by eye.
SHARES = {"relief": 0.5, "drawing": 0.25, "texture": 0.15, "negative": 0.1}
ONE_MATERIAL = 0.4  # of the reliefs, and of the textures; the others have shapes
ROUND, THINGS = 0.5, 16  # how many of the shapes are round things, and how many those are
RADIUS = (0.03, 0.2)  # in heights
SMOOTHNESS = (0.3, 1.8)  # σ in pixels of what a relief leaves of the photograph
STEEPNESS = (0.5, 3.0)
MATERIAL = (-0.9, 0.8)  # its tone
LAMPS, LAMP_WAVES = (-0.15, 0.15), 3  # uneven light
PAPER = (0.5, 1.0)
PEN = (0.7, 2.7)  # σ in pixels of what a line is darker than
INK = (6.0, 26.0)  # how much darker a line is drawn than the photograph has it


def make_outliers(
    luminance: Tensor, random: keras.random.SeedGenerator, *, share: float
) -> tuple[Tensor, Tensor]:
    """Makes outliers of a share of the photographs.

    Args:
        luminance: (B, H, W, 1) float32 in [-1, 1]. H and W must be known, B need not be.
        random: state of the randomness; each call advances it.
        share: probability in [0, 1] that an example becomes one; the others come back bit for bit.

    Returns:
        (B, H, W, 1) float32 in [-1, 1], and (B, 1, 1, 1) bool: which are outliers now.

    Raises:
        ValueError: `share` is no probability, or `luminance` has another shape.
    """
    check_luminance(luminance, share)
    batch, (height, width) = ops.shape(luminance)[0], luminance.shape[1:3]

    def draw(low: float, high: float, *shape: int) -> Tensor:
        shape = (batch, *(shape or (1, 1)))
        return keras.random.uniform(shape, low, high, "float32", seed=random)

    shapes = masks.sample_masks(batch, height, width, random, full_share=0.0)[..., 0]
    places, radius = draw(0, 1, THINGS, 2), draw(*RADIUS)
    shapes = ops.where(draw(0, 1) < ROUND, discs(height, width, places, radius), shapes)
    shapes = ops.where(draw(0, 1) < ONE_MATERIAL, 1.0, shapes)
    made = _kinds(luminance[..., 0], shapes, draw)
    lot, ends = draw(0, 1), np.cumsum([SHARES[kind] for kind in made])
    *others, picture = made.values()
    for end, other in zip(reversed(ends[:-1]), reversed(others), strict=True):
        picture = ops.where(lot < end, other, picture)
    outlier = draw(0, 1, 1, 1, 1) < share
    return ops.where(outlier, ops.clip(picture, -1.0, 1.0)[..., None], luminance), outlier


def _kinds(light: Tensor, shapes: Tensor, draw: Draw) -> dict[str, Tensor]:
    """Each picture as an outlier of each kind."""
    smoothness, pen, angle = draw(*SMOOTHNESS), draw(*PEN), draw(0, 2 * np.pi)
    surface = blur(light, down=smoothness, across=smoothness)
    shading = relief(surface, down=ops.sin(angle), across=ops.cos(angle)) * draw(*STEEPNESS)
    tone = composed(shapes, draw(*MATERIAL), draw(*MATERIAL))
    textures = (scrambled(light, draw(-1, 1, *light.shape[1:])) for _ in range(2))
    return {
        "relief": stain(tone + shading, draw(*LAMPS, LAMP_WAVES, LAMP_WAVES)),
        "drawing": drawing(light, paper=draw(*PAPER), pen=pen, ink=draw(*INK)),
        "texture": composed(shapes, *textures),
        "negative": -light,
    }


def composed(shapes: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """One picture where `shapes` is 1, another where it is 0."""
    return shapes * inside + (1 - shapes) * outside


def discs(height: int, width: int, places: Tensor, radius: Tensor) -> Tensor:
    """Round things, (B, H, W): 1 within any of them, 0 beside.

    Args:
        height: of the picture in pixels.
        width: of the picture in pixels.
        places: (B, n, 2) their centres, in heights and widths.
        radius: (B, 1, 1) of all of a picture's, in heights.
    """
    y, x = (ops.arange(size, dtype="float32") + 0.5 for size in (height, width))
    down = ops.square(y - height * places[..., :1])
    across = ops.square(x - width * places[..., 1:])
    nearest = ops.min(down[:, :, :, None] + across[:, :, None, :], axis=1)
    return ops.cast(nearest < ops.square(height * radius), "float32")


def relief(surface: Tensor, *, down: Tensor, across: Tensor) -> Tensor:
    """How much brighter than the plain a slope is in light from one side, (B, H, W).

    Args:
        surface: (B, H, W) how high it is; level beyond its upper and left border.
        down, across: where the light travels to; a slope that rises that way faces it.
    """
    padded = ops.pad(surface, ((0, 0), (1, 0), (1, 0)), mode="symmetric")
    return down * (surface - padded[:, :-1, 1:]) + across * (surface - padded[:, 1:, :-1])


def drawing(light: Tensor, *, paper: Tensor, pen: Tensor, ink: Tensor) -> Tensor:
    """Dark lines where the photograph is darker than its blur.

    Args:
        light: (B, H, W) in [-1, 1].
        paper: its tone in [-1, 1].
        pen: σ of the blur in pixels.
        ink: by how much the difference is enlarged; no line is darker than black.
    """
    darker = ops.maximum(blur(light, down=pen, across=pen) - light, 0.0)
    return paper - ops.minimum(ink * darker, paper + 1)


def scrambled(light: Tensor, signs: Tensor) -> Tensor:
    """A texture with the photograph's mean and spectrum: its cosines, each with a random sign.

    Args:
        light: (B, H, W).
        signs: (B, H, W), any numbers but 0; their signs are taken.
    """
    mean = ops.mean(light, axis=(1, 2), keepdims=True)
    return mean + from_frequencies(to_frequencies(light - mean) * ops.sign(signs))
