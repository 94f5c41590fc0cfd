"""Pictures that are no photographs of the world in colour: made of photographs, with gray as truth.

Training leaves near-gray photographs out (`DataConfig.min_saturation`), and a network that saw only
the others has a colour for everything: it is sure of red coins and a blue moon. Detectors of the
unfamiliar are trained on examples of it [1]; here they are made of the very photographs, and what
they teach is to be modest:

    relief     a surface lit from one side, all of one material or shapes of one on another, raised
               or sunk, flat or bulging: the photograph, embossed (metal, plaster, things on a plain
               table), or its frequencies with random signs (stone, sand, a moon with its
               craters); half of them with pits or grains, half with a mottled tone
    drawing    dark lines on paper where the photograph is darker than around: prints, pages
    texture    the photograph's frequencies with random signs, all over or two of them in shapes
    negative   black for white

Conventions
    A picture is float32 (B, H, W) in [-1, 1], which is L / 50 - 1; only `make_outliers` has the
    channel. Parameters have one value for each example, (B, 1, 1), or one for each of its n round
    things, (B, n, 1, 1). A picture may leave [-1, 1]; `make_outliers` clips it.

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
SHARES = {"relief": 0.7, "drawing": 0.15, "texture": 0.1, "negative": 0.05}
ONE_MATERIAL = 0.2  # of the reliefs, and of the textures; the others have shapes
ROUND = 0.7  # of the shapes: round things
ROWS = 7  # and columns of a grid: somewhere in each of its cells there may be one
THERE = (0.15, 1.0)  # its square is the share of the cells that have one
RADIUS = (0.03, 0.15)  # the largest, in heights
SMALL = (0.0, 2.0)  # from all alike to many small: the power of what of it each has, of (0.05, 1)
BULGING = 0.7  # of the round things: balls and bowls, not coins
ROCK = 0.35  # of the reliefs: no photograph embossed, but a texture
PLAIN = 0.6  # of the reliefs with shapes: level beside them
SMOOTHNESS = (0.3, 1.8)  # σ in pixels of what a relief leaves of the photograph
RIM = (0.3, 2.0)  # σ in pixels of the slope at the edge of a shape
HEIGHT = (-0.8, 0.8)  # of the shapes, above the ground or above 0 where it is level beside them
STEEPNESS = (0.5, 3.0)
MATERIAL = (-0.9, 0.8)  # its tone
ALIKE = 0.6  # of the reliefs with shapes: of the same tone
PITTED = (-0.015, 0.015)  # of a relief's pixels: the share with a grain; half of them none
GRAIN = (1.0, 4.0)  # its height in pixels, before HEIGHT scales it and a rim's blur smooths it
MOTTLED = (-0.3, 0.3)  # how much of a texture's contrast the tone has; half of them none
LAMPS, LAMP_WAVES = (-0.2, 0.2), 3  # uneven light, at its most
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

    raised = masks.sample_masks(batch, height, width, random, full_share=0.0)[..., 0]
    raised = ops.where(draw(0, 1) < ROUND, _things(height, width, draw), raised)
    raised = ops.where(draw(0, 1) < ONE_MATERIAL, 1.0, raised)
    made = _kinds(luminance[..., 0], raised, draw)
    lot, ends = draw(0, 1), np.cumsum([SHARES[kind] for kind in made])
    *others, picture = made.values()
    for end, other in zip(reversed(ends[:-1]), reversed(others), strict=True):
        picture = ops.where(lot < end, other, picture)
    outlier = draw(0, 1, 1, 1, 1) < share
    return ops.where(outlier, ops.clip(picture, -1.0, 1.0)[..., None], luminance), outlier


def _things(height: int, width: int, draw: Draw) -> Tensor:
    """How high round things are, (B, H, W), 0 beside; the centre of each in a cell of its own."""
    cells, each = np.indices((ROWS, ROWS), "float32").reshape(2, -1).T, (ROWS**2, 1, 1)
    places = (draw(0, 1, *cells.shape) + ops.convert_to_tensor(cells)) / ROWS
    there = ops.cast(draw(0, 1, *each) < ops.square(draw(*THERE, 1, 1, 1)), "float32")
    size = ops.power(draw(0.05, 1, *each), draw(*SMALL, 1, 1, 1))
    things = bulges(height, width, places, there * draw(*RADIUS, 1, 1, 1) * size)
    return ops.where(draw(0, 1) < BULGING, things, ops.cast(things > 0, "float32"))


def _kinds(light: Tensor, raised: Tensor, draw: Draw) -> dict[str, Tensor]:
    """Each picture as an outlier of each kind; where `raised` is above 0 there are shapes."""
    textures = [scrambled(light, draw(-1, 1, *light.shape[1:])) for _ in range(2)]
    ground = ops.where(draw(0, 1) < ROCK, textures[0], light)
    pen = draw(*PEN)
    return {
        "relief": _relief(ground, raised, textures[1], draw),
        "drawing": drawing(light, paper=draw(*PAPER), pen=pen, ink=draw(*INK)),
        "texture": ops.where(raised > 0, *textures),
        "negative": -light,
    }


def _relief(ground: Tensor, raised: Tensor, texture: Tensor, draw: Draw) -> Tensor:
    """Two materials in uneven light, mottled, shaded by the ground and the height of the shapes."""
    smoothness, rim, angle = draw(*SMOOTHNESS), draw(*RIM), draw(0, 2 * np.pi)
    ground = blur(ground, down=smoothness, across=smoothness)
    height = blur(raised, down=rim, across=rim)
    uneven = ops.where(draw(0, 1) < PLAIN, ops.minimum(height, 1.0), 1.0)
    grains = ops.cast(draw(0, 1, *raised.shape[1:]) < draw(*PITTED), "float32") * draw(*GRAIN)
    height = height + blur(grains, down=rim, across=rim)
    surface = ground * uneven + draw(*HEIGHT) * height
    shading = relief(surface, down=ops.sin(angle), across=ops.cos(angle)) * draw(*STEEPNESS)
    beside, things = draw(*MATERIAL), draw(*MATERIAL)
    tone = ops.where(raised > 0, ops.where(draw(0, 1) < ALIKE, beside, things), beside)
    mottled = ops.maximum(draw(*MOTTLED), 0.0) * (
        texture - ops.mean(texture, axis=(1, 2), keepdims=True)
    )
    lamps = draw(0, 1) * draw(*LAMPS, LAMP_WAVES, LAMP_WAVES)
    return stain(tone + shading + mottled, lamps)


def bulges(height: int, width: int, places: Tensor, radius: Tensor) -> Tensor:
    """How high round things bulge, (B, H, W) in pixels: 0 beside them, a slope of 1 at their rims.

    Args:
        height: of the picture in pixels.
        width: of the picture in pixels.
        places: (B, n, 2) their centres, in heights and widths.
        radius: (B, n, 1, 1) in heights; 0 = it is not there.
    """
    y, x = (ops.arange(size, dtype="float32") + 0.5 for size in (height, width))
    radius = height * radius[..., 0]
    down = ops.square(radius) - ops.square(y - height * places[..., :1])
    across = ops.square(x - width * places[..., 1:])
    twice = ops.maximum(2 * radius, 1.0)
    bulge = (down / twice)[:, :, :, None] - (across / twice)[:, :, None, :]
    return ops.maximum(ops.max(bulge, axis=1), 0.0)


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
