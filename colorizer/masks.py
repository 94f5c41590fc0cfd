"""Where to colour: masks, and the ways people and training come by them.

Conventions
-----------
A mask is float32 of shape (H, W) in [0, 1]: 1 = colour this, 0 = leave gray, between = blend. A
size is (height, width). Coordinates are photo pixels, x to the right and y down, (0, 0) being the
upper left pixel.

Patterns
--------
A pattern is named by a short text, `name[:option][@angle]`; what it leaves out is drawn from the
seed. One option each:

    half:vertical  half:horizontal      left or upper half
    stripes:8@45                        bands in all, every other one coloured; degrees from x to y
    grid:4                              coloured lines each way
    checkerboard:6                      squares along each side
    discs:5  brush:3  polygons:4        how many
    smooth-noise:4                      blobs along each side
    white-noise:0.3                     share that is coloured, pixel by pixel
    superpixels:60                      about how many regions; half of them are coloured

Every mask of `make_mask`, `seed_masks` and `random_mask` is binary and has pixels of both kinds
(one lone pixel is coloured): where a pattern is too coarse or too fine for the size, the answer is
a half instead. The batches of `sample_masks` make no such promise beyond their full share.

References:
    R. Achanta et al. SLIC superpixels. PAMI 2012.
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw
from skimage import segmentation

if TYPE_CHECKING:
    import keras

Mask = NDArray[np.float32]
Drawn = NDArray[np.bool_]
Size = tuple[int, int]
Point = tuple[float, float]

_MOST = 1000  # of anything a pattern counts

# ---------------------------------------------------------------------------------------------
# Patterns: pure functions of height, width, a random generator and one option of their own


def _bands(height: int, width: int, count: float, angle: float) -> Drawn:
    """Every other one of `count` equal bands across the image, counted along `angle` degrees."""
    across, down = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    y, x = np.ogrid[:height, :width]
    along = (x + 0.5 - width / 2) * across + (y + 0.5 - height / 2) * down
    place = along / (width * abs(across) + height * abs(down)) + 0.5
    # Rounded: at 90 degrees the cosine is not quite 0 and would fray a band that ends on a pixel.
    return np.floor(np.round(place * count, 9)) % 2 == 0


def half(height: int, width: int, rng: Generator, *, split: str | None = None) -> Drawn:
    """The left half (split "vertical") or the upper half ("horizontal")."""
    split = split or str(rng.choice(["vertical", "horizontal"]))
    return _bands(height, width, 2, {"vertical": 0, "horizontal": 90}[split])


def stripes(
    height: int,
    width: int,
    rng: Generator,
    *,
    count: int | None = None,
    angle: float | None = None,
) -> Drawn:
    """`count` bands in all; at angle 0 they follow each other along x, at 90 along y."""
    bands = count or int(rng.integers(2, 17))
    return _bands(height, width, bands, rng.uniform(0, 180) if angle is None else angle)


def grid(height: int, width: int, rng: Generator, *, count: int | None = None) -> Drawn:
    """`count` coloured lines each way, as wide as the gaps between them."""
    bands = 2 * (count or int(rng.integers(1, 9)))
    return _bands(height, width, bands, 0) | _bands(height, width, bands, 90)


def checkerboard(height: int, width: int, rng: Generator, *, count: int | None = None) -> Drawn:
    """`count` squares along each side, the upper left one coloured."""
    bands = count or int(rng.integers(2, 13))
    return _bands(height, width, bands, 0) == _bands(height, width, bands, 90)


def _drawn(height: int, width: int, paint: Callable[[ImageDraw.ImageDraw], None]) -> Drawn:
    """What `paint` draws on an empty canvas, as bool of shape (height, width)."""
    canvas = Image.new("1", (width, height))
    paint(ImageDraw.Draw(canvas))
    return np.asarray(canvas)


def discs(height: int, width: int, rng: Generator, *, count: int | None = None) -> Drawn:
    """Discs anywhere, their radius 5 to 20 % of the longer side."""

    def paint(canvas: ImageDraw.ImageDraw) -> None:
        for _ in range(count or rng.integers(1, 9)):
            centre = rng.uniform(0, (width, height))
            canvas.circle(tuple(centre), rng.uniform(0.05, 0.2) * max(height, width), fill=1)

    return _drawn(height, width, paint)


def brush(height: int, width: int, rng: Generator, *, count: int | None = None) -> Drawn:
    """Strokes of a round brush, 2 to 8 % of the longer side wide, that wander over the image."""
    longer = max(height, width)

    def paint(canvas: ImageDraw.ImageDraw) -> None:
        for _ in range(count or rng.integers(1, 7)):
            turns = np.cumsum(rng.normal(0, 0.6, 12)) + rng.uniform(0, 2 * np.pi)
            steps = 0.08 * longer * np.stack([np.cos(turns), np.sin(turns)], axis=1)
            path = rng.uniform(0, (width, height)) + np.cumsum(steps, axis=0)
            thickness = max(1, round(rng.uniform(0.02, 0.08) * longer))
            canvas.line([tuple(point) for point in path], 1, thickness, joint="curve")

    return _drawn(height, width, paint)


def polygons(height: int, width: int, rng: Generator, *, count: int | None = None) -> Drawn:
    """Polygons of three to eight corners, anywhere in the image."""

    def paint(canvas: ImageDraw.ImageDraw) -> None:
        for _ in range(count or rng.integers(1, 6)):
            corners = rng.integers(3, 9)
            turns = np.sort(rng.uniform(0, 2 * np.pi, corners))
            reach = rng.uniform(0.1, 0.4, corners) * max(height, width)
            outline = np.stack([np.cos(turns), np.sin(turns)], axis=1) * reach[:, None]
            canvas.polygon([tuple(p) for p in outline + rng.uniform(0, (width, height))], fill=1)

    return _drawn(height, width, paint)


def smooth_noise(height: int, width: int, rng: Generator, *, count: int | None = None) -> Drawn:
    """Blobs, about `count` along each side: noise brought up smoothly, cut at its median."""
    side = (count or int(rng.integers(2, 13))) + 1
    coarse = Image.fromarray(rng.standard_normal((side, side)).astype(np.float32))
    field = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return field > np.median(field)


def white_noise(height: int, width: int, rng: Generator, *, share: float | None = None) -> Drawn:
    """Each pixel for itself, coloured with probability `share`."""
    return rng.random((height, width)) < (share or rng.uniform(0.1, 0.9))


def superpixels(
    height: int,
    width: int,
    rng: Generator,
    *,
    image: NDArray[np.float32],
    count: int | None = None,
) -> Drawn:
    """Half of the regions that SLIC finds in the photo's luminance, chosen by lot."""
    # Compactness 0.1 at luminance in [0, 1]: the regions follow edges, and are not mere squares.
    regions = segmentation.slic(
        image / 100, count or int(rng.integers(8, 65)), 0.1, channel_axis=None, start_label=0
    )
    labels = rng.permutation(regions.max() + 1)
    return np.isin(regions, labels[: max(1, labels.size // 2)])


PATTERNS: dict[str, Callable[..., Drawn]] = {
    "half": half,
    "stripes": stripes,
    "grid": grid,
    "checkerboard": checkerboard,
    "discs": discs,
    "smooth-noise": smooth_noise,
    "white-noise": white_noise,
    "brush": brush,
    "polygons": polygons,
    "superpixels": superpixels,
}

# How often `random_mask` draws each kind: most often the free outlines that are most like what
# people draw and select; seldom white noise, which no one asks for.
RANDOM_MIXTURE = {
    "half": 0.10,
    "stripes": 0.10,
    "grid": 0.05,
    "checkerboard": 0.10,
    "discs": 0.10,
    "smooth-noise": 0.15,
    "white-noise": 0.05,
    "brush": 0.10,
    "polygons": 0.10,
    "superpixels": 0.15,
}

# Three counts of bands each way, both diagonals, two grids.
SEED_PATTERNS = (
    *(f"stripes:{count}@{angle}" for angle in (0, 90) for count in (2, 4, 8)),
    *("stripes:8@45", "stripes:8@135", "grid:4", "grid:8"),
)


def _pattern_options(pattern: str) -> tuple[str, dict[str, Any]]:
    """Splits "stripes:8@45" into its name and its function's options."""
    match = re.fullmatch(r"([a-z-]+)(?::([^@]+))?(?:@(.+))?", pattern)
    name, option, angle = match.groups() if match else ("", None, None)
    options: dict[str, Any] = {}
    try:
        if option is not None:
            key, read = {"half": ("split", str), "white-noise": ("share", float)}.get(
                name, ("count", int)
            )
            options[key] = read(option)
        if angle is not None:
            options["angle"] = float(angle)
    except ValueError:
        name = ""
    least = 2 if name in ("stripes", "checkerboard") else 1
    if not (
        name in PATTERNS
        and options.get("split", "vertical") in ("vertical", "horizontal")
        and 0 < options.get("share", 0.5) < 1
        and least <= options.get("count", least) <= _MOST
        and -360 <= options.get("angle", 0) <= 360
        and (angle is None or name == "stripes")
    ):
        raise ValueError(
            f"pattern must be one of {', '.join(PATTERNS)}, with an option like half:vertical, "
            f"stripes:8@45, discs:5 or white-noise:0.3. Received: {pattern!r}"
        )
    return name, options


def check_pattern(pattern: str) -> None:
    """Raises ValueError unless `make_mask` knows the pattern."""
    _pattern_options(pattern)


def make_mask(
    pattern: str,
    size: Size,
    *,
    seed: int | Generator = 0,
    image: ArrayLike | None = None,
) -> Mask:
    """Draws a named pattern.

    Args:
        pattern: A name from `PATTERNS`, with or without options (see the module's docstring).
        size: Height and width in pixels.
        seed: Settles whatever the pattern leaves to chance.
        image: Luminance of the photo, shape (H, W), from 0 to 100; only "superpixels" needs it.

    Returns:
        Mask of 0 and 1 with both present, shape (H, W); all ones for a single pixel.

    Raises:
        ValueError: If the pattern is unknown, an option is out of range, or image is missing or
            not of this size.
    """
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"size must be at least (1, 1). Received: {size}")
    name, options = _pattern_options(pattern)
    if name == "superpixels":
        luminance = np.asarray(image, np.float32) if image is not None else np.empty(0, np.float32)
        if luminance.shape != (height, width):
            raise ValueError(
                f"image must be the luminance, of shape {(height, width)}, for a mask of "
                f"superpixels. Received: {None if image is None else luminance.shape}"
            )
        options["image"] = luminance
    mask = PATTERNS[name](height, width, np.random.default_rng(seed), **options)
    if mask.all() or not mask.any():
        # The half along the longer side has both kinds in any image but a single pixel.
        mask = _bands(height, width, 2, 0 if width >= height else 90) | (mask.size == 1)
    return mask.astype(np.float32)


def seed_masks(size: Size) -> Mask:
    """The ten stripe-and-grid masks of the original experiment (`SEED_PATTERNS`), (10, H, W)."""
    return np.stack([make_mask(pattern, size) for pattern in SEED_PATTERNS])


def random_mask(
    size: Size,
    rng: int | Generator,
    *,
    kinds: Sequence[str] | None = None,
    image: ArrayLike | None = None,
) -> Mask:
    """Draws a kind of pattern by `RANDOM_MIXTURE`, then its options, then whether to invert it.

    Args:
        size: Height and width in pixels.
        rng: Generator or seed.
        kinds: Names to draw from, all by default; their shares are scaled to sum to one.
        image: Luminance of the photo, shape (H, W), from 0 to 100; without it there are no
            superpixels among the default kinds.

    Returns:
        Mask of 0 and 1 with both present, shape (H, W); all ones for a single pixel.

    Raises:
        ValueError: If a kind is unknown, or needs an image and there is none.
    """
    rng = np.random.default_rng(rng)
    if kinds is None:
        kinds = [kind for kind in PATTERNS if image is not None or kind != "superpixels"]
    if not kinds or not set(kinds) <= set(PATTERNS):
        raise ValueError(f"kinds must be some of {', '.join(PATTERNS)}. Received: {list(kinds)}")
    shares = np.array([RANDOM_MIXTURE[kind] for kind in kinds])
    mask = make_mask(str(rng.choice(kinds, p=shares / shares.sum())), size, seed=rng, image=image)
    return 1 - mask if rng.random() < 0.5 and not mask.all() else mask


# ---------------------------------------------------------------------------------------------
# Training: whole batches in keras.ops, inside the step, on any backend. Keras is imported here
# only, so that masks for people cost no start of TensorFlow.

_DISCS = 6  # per mask, some of them hidden behind others
_COSINES = 8  # along each side, in smooth noise


def sample_masks(
    batch: int,
    height: int,
    width: int,
    seed_generator: "keras.random.SeedGenerator",
    *,
    full_share: float = 0.5,
) -> Any:
    """Draws a batch of masks for a training step.

    A mask is all ones with probability `full_share`; the others are half-planes at any angle,
    stripes, checkerboards, grids, discs and smooth noise in equal shares, half of them inverted.

    Args:
        batch: Number of masks; with height and width it may be an int or a scalar tensor.
        height: Of each mask, in pixels.
        width: Of each mask, in pixels.
        seed_generator: State of the randomness; each call advances it.
        full_share: Probability of a mask of all ones, from 0 to 1.

    Returns:
        Tensor of 0 and 1, float32 of shape (B, H, W, 1).
    """
    from keras import ops, random

    def uniform(low: float, high: float, *shape: int) -> Any:
        return random.uniform((batch, *shape), low, high, "float32", seed=seed_generator)

    y = (ops.arange(height, dtype="float32")[:, None] + 0.5) * 2 / height - 1
    x = (ops.arange(width, dtype="float32")[None, :] + 0.5) * 2 / width - 1
    angle, frequency = uniform(0, np.pi, 1, 1), uniform(2, 25, 1, 1)
    along = x * ops.cos(angle) + y * ops.sin(angle)
    across = y * ops.cos(angle) - x * ops.sin(angle)
    wave = ops.sin(frequency * along + uniform(0, 2 * np.pi, 1, 1))
    crossing = ops.sin(frequency * across + uniform(0, 2 * np.pi, 1, 1))
    radius, centre = uniform(0.1, 0.5, 1, 1, _DISCS), uniform(-1, 1, 2, 1, 1, _DISCS)
    distance = (x[..., None] - centre[:, 0]) ** 2 + (y[..., None] - centre[:, 1]) ** 2
    # Smooth noise as a sum of cosines: TensorFlow cannot compile a bicubic resize with XLA.
    waves = ops.arange(_COSINES, dtype="float32") * (np.pi / 2)
    down, over = ops.cos((y + 1) * waves), ops.cos((x[0, :, None] + 1) * waves)
    noise = random.normal((batch, _COSINES, _COSINES), dtype="float32", seed=seed_generator)
    fields = [  # each is positive where its pattern is
        along - uniform(-0.5, 0.5, 1, 1),
        wave,
        wave * crossing,
        ops.maximum(wave, crossing) - 0.7,
        ops.max(radius**2 - distance, axis=-1),
        ops.einsum("hk,bkl,wl->bhw", down, noise, over),
    ]
    kind = random.randint((batch, 1, 1), 0, len(fields), seed=seed_generator)
    drawn = ops.sum(ops.stack(fields, -1) * ops.one_hot(kind, len(fields), dtype="float32"), -1)
    coloured = ops.logical_xor(drawn > 0, uniform(0, 1, 1, 1) < 0.5)
    full = uniform(0, 1, 1, 1) < full_share
    return ops.cast(ops.logical_or(coloured, full), "float32")[..., None]
