"""The pictures of the README: scikit-image's sample photographs, coloured.

Each sample becomes `NAME_colorized.png` and `NAME_triptych.png` (the original, its luminance, which
is all that the network sees, and the result); one becomes `NAME_steered.png`, coloured in the ways
there are to steer: automatic, within a pattern, an object under a click, with hints, and with the
colours of another photograph. `old_photographs.png` has what is or looks old, true gray samples and
modern ones that were aged (`colorizer.aging`), each above its colours.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image, ImageDraw, ImageOps
from skimage import data

from colorizer.aging import age
from colorizer.color import luminance_to_gray, rgb_to_luminance
from colorizer.photos import write_photo
from colorizer.predict import Colorizer
from colorizer.regions import Region

SAMPLES = ("astronaut", "coffee", "chelsea", "rocket", "camera")
"""Photographs that the wheel of scikit-image carries; `camera` is a true gray one."""

STEERED = "astronaut"
SUIT = Region(
    select=[(110, 330), (60, 430), (330, 330), (230, 340), (190, 440)],
    deselect=[(225, 150), (230, 200), (340, 420), (30, 200)],
    feather=2,
)
HINTS = (
    (110, 330, "#c8622a"),  # suit
    (225, 165, "#cf9a86"),  # skin
    (180, 75, "#7a5a3c"),  # hair
    (20, 40, "#3b4a7d"),  # flag
    (55, 145, "#a83a3a"),
    (350, 60, "#b5b3b0"),  # background
    (90, 110, "#b5b3b0"),
    (440, 235, "#b5b3b0"),
)
REFERENCE = "rocket"
TRUE_GRAY = ("camera", "moon", "coins", "page")
AGED = {"astronaut": 4, "chelsea": 12, "coffee": 8, "rocket": 3}
"""Modern sample → the seed of what years do to it."""
OLD_SIDE = 256  # pixels: to which a scan is reduced, about what the network sees

_CAPTION, _FONT = 26, 16  # pixels


def steered_ways() -> dict[str, dict[str, Any]]:
    """Caption → the options of `Colorizer.__call__` that it stands for."""
    return {
        "automatic": {},
        "mask: stripes:6@45": {"mask": "stripes:6@45"},
        "clicks on the suit, a hint": {"mask": SUIT, "hints": HINTS[:1]},
        f"{len(HINTS)} hints": {"hints": HINTS},
        f"reference: {REFERENCE}": {"reference": getattr(data, REFERENCE)()},
    }


def draw_samples(colorize: Colorizer, folder: Path) -> Iterator[list[Path]]:
    """Writes the pictures into a folder; yields the files of each sample as they are done."""
    for name in SAMPLES:
        original = getattr(data, name)()
        colored = colorize(original)
        true = original if original.ndim == 3 else np.stack([original] * 3, axis=-1)
        triptych = np.concatenate([true, _gray(true), colored], axis=1)
        pictures = {"colorized": colored, "triptych": triptych}
        if name == STEERED:
            pictures["steered"] = _steered(colorize, original)
        targets = [folder / f"{name}_{kind}.png" for kind in pictures]
        for target, picture in zip(targets, pictures.values(), strict=True):
            write_photo(target, picture, overwrite=True)
        yield targets


def draw_old_photographs(colorize: Colorizer, folder: Path) -> Iterator[list[Path]]:
    """Writes `old_photographs.png` into a folder, gray above, coloured below, and yields it."""
    old = [_square(getattr(data, name)()) for name in TRUE_GRAY]
    old += [_aged(_square(getattr(data, name)()), seed) for name, seed in AGED.items()]
    columns = [np.concatenate([np.stack([gray] * 3, axis=-1), colorize(gray)]) for gray in old]
    target = folder / "old_photographs.png"
    write_photo(target, np.concatenate(columns, axis=1), overwrite=True)
    yield [target]


def _square(photograph: np.ndarray) -> np.ndarray:
    """The middle of a photograph at a fixed size, `uint8`."""
    size = (OLD_SIDE, OLD_SIDE)
    return np.asarray(ImageOps.fit(Image.fromarray(photograph), size, Image.Resampling.LANCZOS))


def _aged(rgb: np.ndarray, seed: int) -> np.ndarray:
    """An old gray photograph (H, W) `uint8` of a modern one."""
    luminance = np.asarray(rgb_to_luminance(rgb[None]), "float32") / 50 - 1
    old = age(luminance, keras.random.SeedGenerator(seed))
    gray = np.asarray(luminance_to_gray((np.asarray(old)[0] + 1) * 50))
    return np.rint(gray[..., 0] * 255).astype("uint8")


def _gray(rgb: np.ndarray) -> np.ndarray:
    """The luminance of a photograph as a gray picture, (H, W, 3) `uint8`."""
    gray = np.asarray(luminance_to_gray(rgb_to_luminance(rgb)))
    return np.repeat(np.rint(gray * 255).astype("uint8"), 3, axis=-1)


def _steered(colorize: Colorizer, original: np.ndarray) -> np.ndarray:
    """One photograph in every way, side by side under their captions."""
    height, width = original.shape[:2]
    ways = steered_ways()
    if "hints" not in colorize.takes:
        ways = {caption: way for caption, way in ways.items() if "hints" not in way}
    sheet = Image.new("RGB", (width * len(ways), height + _CAPTION), "white")
    write = ImageDraw.Draw(sheet)
    for i, (caption, options) in enumerate(ways.items()):
        picture = Image.fromarray(colorize(original, **options))
        dots = ImageDraw.Draw(picture)
        for x, y, colour in options.get("hints", ()):
            dots.circle((x, y), 6, fill=colour, outline="white", width=2)
        sheet.paste(picture, (i * width, _CAPTION))
        write.text((i * width + 6, 4), caption, "black", font_size=_FONT)
    return np.asarray(sheet)
