"""Many photographs of a call: which they are, where their results go, and what is there already."""

from __future__ import annotations

import glob
import itertools
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from colorizer.photos import ENDINGS, SUFFIXES, PhotoError, in_srgb, read_photo

SAMPLES = 200  # along the longer side: what lightness is compared by
APART = 10.0  # the mean lightness, of 100, of two pictures of one photograph, at most
UNLIKE, GRAIN = 0.5, 3.0  # the deviation of their difference, at most: of the photograph's, or this


def mask_targets(
    output: str | os.PathLike[str] | None,
    targets: Sequence[Path],
    *,
    below: str | os.PathLike[str] | None = None,
) -> list[Path | None]:
    """Where the masks of results go: one to a file, several to folders as their results are.

    Args:
        output: a file for one result, a folder for several; None = nowhere.
        targets: of the results.
        below: the folder that the results lie in; None = the deepest that has all of them.
    """
    if output is None or not targets:
        return [None] * len(targets)
    output, absolute = Path(output), [target.absolute() for target in targets]
    if len(targets) == 1 and output.suffix.lower() in SUFFIXES and not output.is_dir():
        return [output]
    common = Path(os.path.commonpath([target.parent for target in absolute]))
    if below is not None and (root := Path(below).absolute()) in (common, *common.parents):
        common = root
    return [output / t.relative_to(common).with_name(f"{t.stem}_mask.png") for t in absolute]


def find_photos(
    arguments: Sequence[str | os.PathLike[str]],
) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Find the photographs that files, folders and glob patterns name.

    A folder stands for all the files in it, at any depth, that end in one of `SUFFIXES`, sorted;
    hidden ones are left out. A pattern (`**` for any depth), which the Windows shell does not
    expand, stands for what it matches of these. A file is taken whatever its suffix. What is
    named twice comes once.

    Args:
        arguments: Names as a user types them.

    Returns:
        Pairs (path, path below the output folder): of a file its name, in a folder the path from
        there, of a pattern the path from its last folder without a wildcard. And the other files
        in the folders.

    Raises:
        PhotoError: If a name does not exist or may not be read, or stands for no photograph.
    """
    found: dict[str, tuple[Path, Path]] = {}
    others: dict[str, Path] = {}
    for argument in arguments:
        try:
            pairs, left = _expand(os.fspath(argument))
        except OSError as error:
            raise PhotoError(f"{error.filename or argument}: {error.strerror}") from error
        if not pairs:
            raise PhotoError(f"{argument}: no photographs there; expected {ENDINGS} files")
        for path, relative in pairs:
            found.setdefault(os.path.abspath(path), (path, relative))
        others |= {os.path.abspath(path): path for path in left}
    return list(found.values()), list(others.values())


def _expand(argument: str) -> tuple[list[tuple[Path, Path]], list[Path]]:
    path = Path(argument)
    if not argument:  # Path("") is the working folder
        raise PhotoError("an empty name; expected a photograph, a folder or a pattern")
    if path.is_dir():
        files = _walk(path)
        photos = [(file, file.relative_to(path)) for file in files if _is_photo(file.name)]
        return photos, [file for file in files if not _is_photo(file.name)]
    if path.exists():  # before the pattern: "me [1].jpg" is a name too
        return [(path, Path(path.name))], []
    if not glob.has_magic(argument):
        raise PhotoError(f"{argument}: no such file or folder; expected a photograph")
    within = path.parts[bool(path.anchor) :]  # an anchor may have a "?" that is none: \\\\?\\D:\\
    base = Path(path.anchor, *itertools.takewhile(lambda part: not glob.has_magic(part), within))
    matches = [Path(match) for match in sorted(glob.glob(argument, recursive=True))]
    files = [file for match in matches for file in (_walk(match) if match.is_dir() else [match])]
    return [(file, file.relative_to(base)) for file in files if _is_photo(file.name)], []


def _walk(folder: Path) -> list[Path]:
    """The files in a folder, sorted folder by folder; OSError if one may not be read.

    Hidden ones are left out.
    """

    def refuse(error: OSError) -> None:
        raise error

    found = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent, name) for name in sorted(files) if not name.startswith(".")]
    return found


def _is_photo(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES


def is_colored(result: Path, photograph: Path) -> bool:
    """Whether a file is a photograph in other colours: of its size, and as light everywhere.

    Raises:
        PhotoError: one of them cannot be read.
    """
    one, other = (in_srgb(read_photo(path)).pixels for path in (photograph, result))
    if one.shape[:2] != other.shape[:2]:
        return False
    light = _lightness(one)
    apart = _lightness(other) - light
    return bool(abs(apart.mean()) < APART and apart.std() < max(UNLIKE * light.std(), GRAIN))


def _lightness(pixels: np.ndarray) -> np.ndarray:
    """L of some of the pixels, (h, w) in [0, 100]."""
    from skimage.color import gray2rgb, rgb2lab  # `colorizer.color` would load a backend

    step = math.ceil(max(pixels.shape[:2]) / SAMPLES)
    some = pixels[::step, ::step]
    return rgb2lab(some if some.ndim == 3 else gray2rgb(some))[..., 0]
