"""Pictures that are no photographs of the world in colour: made of photographs, with gray as truth.

Whoever trains a colorizer leaves near-gray photographs out, and so a network that saw only the
others has a colour for everything: it is sure of red coins and a blue moon. Detectors of the
unfamiliar are trained on examples of it [1]; here they are made of the very photographs, and what
they teach is to be modest:

    negative   black for white; a photograph's shapes, not its light
    drawing    dark lines on paper where the photograph is darker than around: prints, pages
    relief     the photograph as a height, lit from one side, all of one material or shapes of one
               on another: metal, stone, plaster, what lies on a table
    texture    the photograph's frequencies with random signs, all over or two of them in shapes

Conventions
    A picture is float32 (B, H, W) in [-1, 1], which is L / 50 - 1; only `estrange` has the channel.
    Parameters have one value for each example, (B, 1, 1). Each kind is a function of its parameters
    alone and may leave [-1, 1]; `estrange` draws the parameters and clips.

References
    [1] D. Hendrycks, M. Mazeika, T. Dietterich. "Deep Anomaly Detection with Outlier Exposure".
        ICLR 2019.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from colorizer import aging, masks
from colorizer.frequencies import blur, from_frequencies, to_frequencies

Tensor = Any  # a tensor of whichever backend Keras runs on
Draw = Callable[..., Tensor]

# Chosen by eye: each kind is plainly none of the photographs, and none is another.
SHARES = {"negative": 0.2, "drawing": 0.2, "relief": 0.45, "texture": 0.15}
PAPER = (0.5, 1.0)
PEN = (0.7, 2.7)  # σ in pixels of what a line is darker than
INK = (6.0, 26.0)  # how much darker a line is drawn than the photograph has it
SMOOTHNESS = (0.3, 1.8)  # σ in pixels of what a relief leaves of the photograph
HEIGHT = (0.5, 3.0)
MATERIAL = (-0.9, 0.8)  # its tone
ONE_MATERIAL = 0.4  # in how many of the reliefs, and of the textures
LAMPS, LAMP_WAVES = (-0.3, 0.3), 3  # uneven light


def estrange(
    luminance: Tensor, random: keras.random.SeedGenerator, *, share: float
) -> tuple[Tensor, Tensor]:
    """Makes outliers of a share of the photographs.

    Args:
        luminance: (B, H, W, 1) float32 in [-1, 1]. H and W must be known, B need not be.
        random: state of the randomness; each call advances it.
        share: probability in [0, 1] that an example becomes one; the others come back bit for bit.

    Returns:
        (B, H, W, 1) float32 in [-1, 1], and (B, 1, 1, 1) bool: which are outliers now.
    """
    batch, (height, width) = ops.shape(luminance)[0], luminance.shape[1:3]

    def draw(low: float, high: float, *shape: int) -> Tensor:
        shape = (batch, *(shape or (1, 1)))
        return keras.random.uniform(shape, low, high, "float32", seed=random)

    outlier = luminance[..., 0]
    kind, first = draw(0, 1), 0.0
    shapes = masks.sample_masks(batch, height, width, random, full_share=ONE_MATERIAL)
    for name, picture in _kinds(outlier, shapes[..., 0], draw).items():
        chosen = ops.logical_and(kind >= first, kind < first + SHARES[name])
        outlier, first = ops.where(chosen, picture, outlier), first + SHARES[name]
    strange = draw(0, 1, 1, 1, 1) < share
    return ops.where(strange, ops.clip(outlier, -1.0, 1.0)[..., None], luminance), strange


def _kinds(light: Tensor, shapes: Tensor, draw: Draw) -> dict[str, Tensor]:
    """Each picture as an outlier of each kind."""
    smoothness, pen = draw(*SMOOTHNESS), draw(*PEN)
    ground = blur(light, down=smoothness, across=smoothness)
    raised = relief(ground, down=draw(-1, 1), across=draw(-1, 1)) * draw(*HEIGHT)
    tone = composed(shapes, draw(*MATERIAL), draw(*MATERIAL))
    texture = scrambled(light, draw(-1, 1, *light.shape[1:]))
    return {
        "negative": -light,
        "drawing": drawing(light, paper=draw(*PAPER), pen=pen, ink=draw(*INK)),
        "relief": aging.stain(tone + raised, draw(*LAMPS, LAMP_WAVES, LAMP_WAVES)),
        "texture": composed(shapes, texture, ops.roll(texture, 1, axis=0)),
    }


def composed(shapes: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """One picture where `shapes` is 1, another where it is 0."""
    return shapes * inside + (1 - shapes) * outside


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


def relief(height: Tensor, *, down: Tensor, across: Tensor) -> Tensor:
    """How much brighter a slope is than the plain, (B, H, W), by light from one side.

    Args:
        height: (B, H, W).
        down, across: the light's direction; what rises towards it is bright.
    """
    padded = ops.pad(height, ((0, 0), (1, 0), (1, 0)), mode="symmetric")
    rise, run = height - padded[:, :-1, 1:], height - padded[:, 1:, :-1]
    return down * rise + across * run


def scrambled(light: Tensor, signs: Tensor) -> Tensor:
    """A texture with the photograph's mean and spectrum: its cosines, each with a random sign.

    Args:
        light: (B, H, W).
        signs: (B, H, W), any numbers but 0; their signs are taken.
    """
    mean = ops.mean(light, axis=(1, 2), keepdims=True)
    return mean + from_frequencies(to_frequencies(light - mean) * ops.sign(signs))
