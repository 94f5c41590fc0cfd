"""Hints: a few colours that are known, put down by people or drawn for training.

Conventions
-----------
A hint is (x, y, colour[, radius]) in photo pixels, x to the right and y down, (0, 0) being the
centre of the upper left pixel; or an object of these names, {"x": 120, "y": 80, "colour": "teal"}.
A hint covers a square about its point: (2.5, 2.5) with radius 3 is the square of pixels 0 to 5. Its
own pixel is the nearest: column 10 for x = 9.5 to 10.49. The colour is anything CSS
knows ("#c33", "#cc3333", "teal", "rgb(0, 128, 128)") or a tuple of three numbers from 0 to 255, and
the radius is one hundredth of the photo's longer side unless given. Networks see hints as (H, W, 3)
= a/110, b/110 and an indicator that is 1 where a colour is known, 0 elsewhere.

References:
    R. Zhang et al. Real-time user-guided image colorization with learned deep priors.
    SIGGRAPH 2017 (hints as patches: their number, sizes and places).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageColor
from skimage.color import rgb2lab

from colorizer.photos import in_srgb, read_photo

if TYPE_CHECKING:
    import keras

Size = tuple[int, int]
Colour = tuple[int, int, int]
Hint = tuple[float, float, Colour, float | None]
HintsLike = Iterable[Sequence[Any] | Mapping[str, Any]] | NDArray[np.uint8] | str | Path

_AB_SCALE = 110  # of a and b on the network's side
# For static shapes; the geometric law goes beyond in (7/8)^33 = 1.2 % of examples.
MAX_PATCHES = 32
PATCH_PROBABILITY = 1 / 8  # of stopping after each patch (Zhang et al. 2017)
LARGEST_PATCH = 9  # pixels along its side (Zhang et al. 2017)


def sample_hints(
    ab: Any,
    seed_generator: "keras.random.SeedGenerator",
    *,
    none_share: float = 0.25,
    full_share: float = 0.02,
) -> Any:
    """Reveals some of the true colours, as a user's hints would (Zhang et al. 2017).

    The number of square patches is geometric (p = 1/8, at most 32), their sides are uniform from
    1 to 9 pixels, their centres Gaussian about the middle with a quarter of the image's size as
    σ, and each shows the mean colour of what it covers. Where patches overlap their colours are
    averaged.

    Args:
        ab: True colours a/110, b/110, shape (B, H, W, 2), from -1 to 1.
        seed_generator: State of the randomness; each call advances it.
        none_share: Probability of no hint whatever else is drawn; the geometric law itself gives
            none in one example of eight.
        full_share: Probability, of the other examples, of everything revealed, pixel by pixel.

    Returns:
        Tensor a/110, b/110, indicator, float32 of shape (B, H, W, 3); all 0 without a hint.
    """
    from keras import ops, random

    ab = ops.cast(ab, "float32")
    batch, height, width, _ = ops.shape(ab)

    def uniform(*shape: int) -> Any:
        return random.uniform((batch, *shape), dtype="float32", seed=seed_generator)

    def covered(length: int) -> Any:
        """1 where a patch lies along one side, shape (B, MAX_PATCHES, length)."""
        gauss = random.normal((batch, MAX_PATCHES, 1), dtype="float32", seed=seed_generator)
        reach = ops.cast(length, "float32")
        centre = ops.floor(ops.clip(reach * (0.5 + 0.25 * gauss), 0, reach - 1))
        start = centre - ops.floor((side - 1) / 2)
        place = ops.arange(length, dtype="float32")
        return ops.cast((place >= start) & (place < start + side), "float32")

    side = 1 + ops.floor(uniform(MAX_PATCHES, 1) * LARGEST_PATCH)
    # Inverse of the geometric distribution function; 1 - u lies in (0, 1], where log is finite.
    number = ops.floor(ops.log(1 - uniform(1, 1)) / np.log(1 - PATCH_PROBABILITY))
    none = uniform(1, 1) < none_share
    number = ops.where(none, 0.0, number)
    used = ops.cast(ops.arange(MAX_PATCHES, dtype="float32")[:, None] < number, "float32")
    rows, columns = covered(height) * used, covered(width)
    area = ops.sum(rows, -1, keepdims=True) * ops.sum(columns, -1, keepdims=True)
    totals = ops.einsum("bnh,bhwc,bnw->bnc", rows, ab, columns)
    means = ops.concatenate([totals / ops.maximum(area, 1.0), ops.ones_like(area)], -1)
    painted = ops.einsum("bnh,bnw,bnc->bhwc", rows, columns, means)
    patches = painted / ops.maximum(painted[..., 2:], 1.0)
    revealed = ops.concatenate([ab, ops.ones_like(ab[..., :1])], -1)
    full = (uniform(1, 1, 1) < full_share) & ~none[..., None]
    return ops.where(full, revealed, patches)


# ---------------------------------------------------------------------------------------------
# Hints from people

_HINT_RADIUS = 0.01  # of the photo's longer side
_SCRIBBLE_TILE = 0.02  # of the longer side: a painted stroke becomes one hint per tile


def parse_hint(text: str) -> Hint:
    """Reads "x,y,colour[,radius]", as in "120,80,#c33" or "120,80,teal,6".

    Raises:
        ValueError: If the text is not of this form, or the colour is none.
    """
    match = re.fullmatch(r"([^,]+),([^,]+),(.+?)(?:,([\d.\s]+))?", text)
    if not match:
        raise ValueError(f"hint must be x,y,colour[,radius], like 120,80,#cc3333. Received: {text}")
    return _checked_hint([part for part in match.groups() if part is not None], "hint")


def read_hints(path: str | Path) -> list[Hint]:
    """Reads hints from a JSON file: a list of objects or of lists, as in the module's conventions.

    For example `[{"x": 120, "y": 80, "colour": "#cc3333"}, [9, 7, "teal", 6]]`; coordinates and
    radius in photo pixels.

    Raises:
        ValueError: If the file is no such list, saying which entry is none.
    """
    try:
        entries = json.loads(Path(path).read_text("utf-8-sig"))
    except OSError as error:
        raise ValueError(f"hints file {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"hints file {path} must be JSON. Received: {error}") from None
    if not isinstance(entries, list):
        raise ValueError(
            f'hints file {path} must hold a list, of {{"x": 1, "y": 2, "colour": "teal"}} or '
            f'[1, 2, "teal"] each. Received: {str(entries)[:80]}'
        )
    return [_checked_hint(entry, f"hints[{i}] in {path}") for i, entry in enumerate(entries)]


def _in_order(entry: Mapping[str, Any], name: str) -> list[Any]:
    """x, y, colour and perhaps radius of an object; "color" is "colour" too."""
    keys = {"colour" if key == "color" else key: key for key in entry}
    wanted = {"x", "y", "colour"}
    if not wanted <= set(keys) <= wanted | {"radius"} or len(keys) < len(entry):
        raise ValueError(f"{name} must have x, y, colour and perhaps radius. Received: {entry}")
    return [entry[keys[key]] for key in ("x", "y", "colour", "radius") if key in keys]


def read_scribbles(path: str | Path, size: Size) -> NDArray[np.uint8]:
    """Reads a scribble image, transparent except where colours were painted.

    Args:
        path: Of an image file with alpha, of any size.
        size: Height and width of the photo; the image is brought to it, each pixel taken from the
            nearest, so that no colour is mixed that nobody painted.

    Returns:
        uint8 RGBA of shape (H, W, 4).

    Raises:
        ValueError: If the file is no image, or has no alpha.
    """
    try:
        photo = in_srgb(read_photo(path))  # upright, as the photo itself is
        if photo.alpha is None:
            raise ValueError("no alpha")
    except ValueError as error:
        raise ValueError(
            f"scribbles {path} must be an image that is transparent except where colours were "
            f"painted. Received: {error}"
        ) from None
    colours = [photo.pixels] * (3 if photo.pixels.ndim == 2 else 1)
    rgba = np.dstack([*colours, photo.alpha])
    if rgba.dtype == np.uint16:
        rgba = (rgba >> 8).astype(np.uint8)
    painted = Image.fromarray(rgba).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.asarray(painted)


def as_hints(given: HintsLike, size: Size) -> list[Hint]:
    """The hints that a user gave in any of the ways there are.

    Args:
        given: (x, y, colour[, radius]) or an object of these names each; or a JSON file
            (`read_hints`); or scribbles, as an image file or as uint8 RGBA of shape (H, W, 4).
        size: Height and width of the photo.

    Raises:
        ValueError: If they are none of these, or one lies outside the photo, saying which.
    """
    given = _opened(given, size)
    if isinstance(given, np.ndarray):
        return hints_from_scribbles(given)
    hints = [_checked_hint(hint, f"hints[{i}]") for i, hint in enumerate(given)]
    for i, (x, y, *_) in enumerate(hints):
        if not (0 <= x < size[1] and 0 <= y < size[0]):
            raise ValueError(
                f"hints[{i}] must lie in the photo, {size[1]} pixels wide and {size[0]} high. "
                f"Received: x={x:g}, y={y:g}"
            )
    return hints


def as_scribbles(given: HintsLike, size: Size) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Hints as `classical.levin_colorize` takes them; of scribbles, the soft edges are kept.

    Args:
        given: As of `as_hints`.
        size: Height and width of the photo.

    Returns:
        ab in Lab units, shape (H, W, 2), and confidence from 0 to 1, shape (H, W).
    """
    given = _opened(given, size)
    if not isinstance(given, np.ndarray):
        known = rasterize_hints(given, *size)
        return known[..., :2] * np.float32(_AB_SCALE), known[..., 2]
    hints_from_scribbles(given)  # says what is wrong with them, if anything is
    painted = given[..., 3] > 0
    ab = np.zeros((*size, 2), np.float32)
    ab[painted] = rgb2lab(given[painted][:, :3] / 255)[:, 1:]
    return ab, (given[..., 3] / 255).astype(np.float32)


def _opened(
    given: HintsLike, size: Size
) -> Iterable[Sequence[Any] | Mapping[str, Any]] | NDArray[np.uint8]:
    """Files opened; scribbles checked to have the photo's size."""
    if isinstance(given, str | Path):
        if Path(given).suffix.lower() == ".json":
            return read_hints(given)
        return read_scribbles(given, size)
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise ValueError(
            "hints must be (x, y, colour[, radius]) each, or objects of these names, a JSON file, "
            f"or scribbles. Received: {given}"
        )
    if isinstance(given, np.ndarray) and given.ndim == 3 and given.shape[:2] != size:
        raise ValueError(
            f"scribbles must have the photo's size, {size}. Received: {given.shape[:2]}"
        )
    return given


def hints_from_scribbles(rgba: ArrayLike) -> list[Hint]:
    """Turns a scribble image into hints: one per tile and colour of what was painted.

    Each hint sits on a painted pixel, has that pixel's colour, and covers as much as was painted.

    Args:
        rgba: uint8 of shape (H, W, 4), at the photo's size, transparent except where painted.

    Raises:
        ValueError: If shape or type differ, or nothing was painted.
    """
    scribbles = np.asarray(rgba)
    if scribbles.ndim != 3 or scribbles.shape[2] != 4 or scribbles.dtype != np.uint8:
        raise ValueError(
            "scribbles must be uint8 RGBA of shape (H, W, 4). "
            f"Received: {scribbles.dtype} of shape {scribbles.shape}"
        )
    y, x = np.nonzero(scribbles[..., 3] >= 128)
    if not y.size:
        raise ValueError("scribbles must be opaque where colours were painted. Received: none")
    step = max(1, round(_SCRIBBLE_TILE * max(scribbles.shape[:2])))
    # Two strokes that cross a tile stay apart by their two leading bits of red, green and blue.
    tiles = tuple(side // step + 1 for side in scribbles.shape[:2])
    key = np.ravel_multi_index(
        (y // step, x // step, *(scribbles[y, x, :3] >> 6).T), (*tiles, 4, 4, 4)
    )
    _, group, count = np.unique(key, return_inverse=True, return_counts=True)
    centre_y, centre_x = (np.bincount(group, place) / count for place in (y, x))
    distance = (y - centre_y[group]) ** 2 + (x - centre_x[group]) ** 2
    order = np.lexsort((distance, group))
    first = order[np.searchsorted(group[order], np.arange(count.size))]
    return [
        _checked_hint((x[i], y[i], scribbles[i_y, x[i], :3], np.sqrt(count[n]) / 2), "scribbles")
        for n, (i, i_y) in enumerate(zip(first, y[first], strict=True))
    ]


def rasterize_hints(
    hints: Iterable[Sequence[Any] | Mapping[str, Any]],
    height: int,
    width: int,
    *,
    photo_size: Size | None = None,
) -> NDArray[np.float32]:
    """Paints hints as the network's input, at the size the network works at.

    A hint is a square about its point. However small, it keeps the cell it lies in, which no
    wider hint covers; otherwise the later of two hints wins.

    Args:
        hints: As of `as_hints`, in photo pixels.
        height: Of the result, in cells.
        width: Of the result, in cells.
        photo_size: Height and width of the photo; that of the result when left out.

    Returns:
        a/110, b/110 and indicator, float32 of shape (H, W, 3).

    Raises:
        ValueError: If a hint lies outside the photo or has no colour, saying which.
    """
    rows, columns = photo_size or (height, width)
    canvas, cores = np.zeros((2, height, width, 3), np.float32)
    for x, y, colour, radius in as_hints(hints, (rows, columns)):
        reach = _HINT_RADIUS * max(rows, columns) if radius is None else radius
        reach = min(reach, rows + columns)  # more than all of the photo is no more
        value = (*rgb2lab(np.array(colour) / 255)[1:] / _AB_SCALE, 1)
        centre = np.array([(y + 0.5) * height / rows, (x + 0.5) * width / columns])
        extent = reach * np.array([height / rows, width / columns])
        # Cells whose centres, at whole numbers and a half, lie within the extent.
        top, left = np.maximum(np.ceil(centre - extent - 0.5), 0).astype(int)
        bottom, right = np.floor(centre + extent + 0.5).astype(int)
        canvas[top:bottom, left:right] = value
        own_row, own_column = np.minimum(centre.astype(int), (height - 1, width - 1))
        cores[own_row, own_column] = value
    return np.where(cores[..., 2:] > 0, cores, canvas)


def hint_ab(hints: Sequence[Hint]) -> NDArray[np.float32]:
    """The colours of N hints in Lab units, shape (N, 2)."""
    colours = np.array([colour for _, _, colour, _ in hints], np.uint8)
    return rgb2lab(colours / 255)[..., 1:].astype(np.float32)


def hint_radii(hints: Sequence[Hint], size: Size) -> NDArray[np.float32]:
    """The radii of N hints in pixels, shape (N,), in a photo of that height and width."""
    default = _HINT_RADIUS * max(size)
    radii = [default if radius is None else radius for *_, radius in hints]
    return np.minimum(radii, sum(size)).astype(np.float32)


def _checked_hint(hint: Sequence[Any] | Mapping[str, Any], name: str) -> Hint:
    """Brings a hint to (x, y, (red, green, blue), radius or None), or says what is wrong."""
    if isinstance(hint, Mapping):
        hint = _in_order(hint, name)
    try:
        x, y, colour, *radius = hint
        radius = [value for value in radius if value is not None]
        if isinstance(colour, bytes):  # whose items are numbers, too
            raise TypeError
        if isinstance(colour, str):
            colour = ImageColor.getrgb(colour.strip())[:3]
        red, green, blue = (int(value) for value in colour)
        if [red, green, blue] != [*colour]:  # of 0 to 1, perhaps: all would be black
            raise ValueError
        numbers = [float(value) for value in (x, y, *radius)]
        if len(numbers) > 3 or not np.isfinite(numbers).all() or min([0, *numbers[2:]]) < 0:
            raise ValueError
        if not (min(red, green, blue) >= 0 and max(red, green, blue) <= 255):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        received = ", ".join(map(str, hint)) if isinstance(hint, list | tuple) else hint
        raise ValueError(
            f"{name} must be x, y, a colour like #cc3333 or teal, and perhaps a radius. "
            f"Received: {received}"
        ) from None
    return numbers[0], numbers[1], (red, green, blue), numbers[2] if radius else None
