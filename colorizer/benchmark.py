"""The protocol of every measurement: which photographs, what is true, what a model is given.

Purpose
    Figures of colorizers are hard to compare because the protocol is seldom told: the crop,
    the resampling, the JPEG in between, the pixels that count. Here the protocol is this
    module; `evaluate` and `steering` measure by it. A report says what it was made of: the
    settings, a fingerprint of the photographs, the models' checksums, the versions.

Protocol
    1. *Photographs*: every one of the split, in the order of the sources and of the paths.
       A folder that is not divided into train, validation and test is taken whole. `limit`
       takes that many, evenly spread. None is left out for being nearly gray. One that cannot
       be decoded is left out, named, and counted.
    2. *Truth*: decoded, short side brought to `size` pixels, centre crop; sRGB `uint8`.
    3. *Input*: the truth's gray, `uint8` as a gray photograph has it, and nothing else: no
       colour can reach a model by accident.
    4. *Output*: sRGB `uint8` of that gray and a model's colours; never through a file.
"""

import collections
import dataclasses
import hashlib
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from PIL import Image

import colorizer
from colorizer import color, data, metrics
from colorizer.fields import resize
from colorizer.metrics import RGB
from colorizer.predict import Colorizer
from colorizer.sources import source_folder
from colorizer.weights import find_model

ALL, TRUTH = "all", "truth"  # the whole set among the sources, the photographs among the models

BASELINES = ("gray", "mean_color", "truth_64")
"""Models that are no networks; `evaluate` has them."""

Track = Callable[[Sequence[Any], str], Iterable[Any]]


def untracked(items: Sequence[Any], description: str) -> Iterable[Any]:
    """The items as they are: no progress is shown."""
    return items


# ------------------------------------------------------------------------- the photographs


class Photograph(NamedTuple):
    """A file, the source it is of, and its name within the evaluation: `SOURCE/PATH`."""

    source: str
    name: str
    path: Path


def labels(kind: str, given: Sequence[str], shorten: Callable[[str], str]) -> dict[str, str]:
    """Short name → as given; where two would be alike, both keep what was given.

    Raises:
        ValueError: none is given, one twice, or one by a name of the tables; it names `kind`.
    """
    reserved = [TRUTH, ALL]
    short = [*map(shorten, given), *reserved]
    chosen = [s if short.count(s) == 1 else g for s, g in zip(short, given, strict=False)]
    if taken := sorted({*chosen} & {*reserved}):
        raise ValueError(f"{kind}: {taken[0]} is a name of the tables: write ./{taken[0]}")
    if not given or len({*chosen}) < len(chosen):
        raise ValueError(f"{kind}: expected at least one, each once. Received: {list(given)}")
    return dict(zip(chosen, given, strict=True))


def _split_files(folder: Path, split: str) -> list[Path]:
    """The files of a split; of a folder without splits, all."""
    if not (folder / "train").is_dir():  # `data` would cut a split out by hash, or refuse
        divided = any((folder / name).is_dir() for name in data.SPLITS)
        whole = data.DataConfig(sources=(str(folder / split if divided else folder),))
        whole = dataclasses.replace(whole, validation_share=0.0, test_share=1.0)
        return data.photo_files(whole, "test")
    return data.photo_files(data.DataConfig(sources=(str(folder),)), split)


def find_photographs(given: Sequence[str], split: str, limit: int | None) -> list[Photograph]:
    """The photographs of all sources; none is counted twice.

    Args:
        given: folders, or names of data sets.
        split: "train", "validation" or "test".
        limit: at most that many, evenly spread; None = all.

    Raises:
        ValueError: an unknown source or split, no photographs, or one in two sources.
    """
    if split not in data.SPLITS:
        raise ValueError(f"split must be one of {data.SPLITS}. Received: {split!r}")
    photographs: dict[Path, Photograph] = {}
    for label, source in labels(
        "sources (--data)", given, lambda name: Path(name).resolve().name
    ).items():
        folder = source_folder(source)
        for path in _split_files(folder, split):
            name = f"{label}/{path.relative_to(folder).as_posix()}"
            found = photographs.setdefault(path.resolve(), Photograph(label, name, path))
            if found.source != label:
                raise ValueError(
                    f"sources (--data): {path} is there twice, as {found.name} and {name}"
                )
    table = list(photographs.values())
    return table if limit is None else spread(table, limit)


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly spread, the first among them."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(count, len(items))).astype(int)]


def _decode(path: Path, size: int) -> RGB:
    """A photograph as (size, size, 3): short side brought to `size`, centre crop."""
    photograph = data.decode_photo(path, size)
    top, left = ((side - size) // 2 for side in photograph.shape[:2])
    return photograph[top : top + size, left : left + size]


@dataclasses.dataclass
class Survey:
    """The photographs of a measurement, which are read twice: to survey, and to measure.

    Attributes:
        size: side of the square truths, in pixels.
        photographs: all that were found; after `read`, those that can be decoded.
        skipped: name → why it cannot be decoded.
        fingerprint: SHA-256 of the lines `NAME`, NUL, SHA-256 of the file, newline, sorted.
    """

    size: int
    photographs: list[Photograph]
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    fingerprint: str = ""

    def read(self, track: Track) -> Iterator[RGB]:
        """Yields the truths; when the last was taken, the attributes are settled.

        Raises:
            ValueError: not one photograph can be decoded.
        """
        readable: list[Photograph] = []
        digests: list[bytes] = []
        for photo in track(self.photographs, "Reading"):
            digest, true = "", None
            try:
                digest = hashlib.sha256(photo.path.read_bytes()).hexdigest()
                true = _decode(photo.path, self.size)
            except Exception as error:  # Pillow's decoders raise of every kind
                self.skipped[photo.name] = " ".join(str(error).split()) or type(error).__name__
            digests.append(f"{photo.name}\0{digest}\n".encode(errors="surrogateescape"))
            if true is not None:
                readable.append(photo)
                yield true
        if not readable:
            name, reason = next(iter(self.skipped.items()))
            total = len(self.skipped)
            raise ValueError(f"sources (--data): none of {total} can be decoded; {name}: {reason}")
        self.photographs = readable
        self.fingerprint = hashlib.sha256(b"".join(sorted(digests))).hexdigest()

    def pictures(self, track: Track) -> Iterator[tuple[Photograph, RGB, RGB]]:
        """Yields each photograph, its truth (size, size, 3) and its gray (size, size, 1)."""
        for photo in track(self.photographs, "Measuring"):
            true = _decode(photo.path, self.size)
            yield photo, true, gray_of(true)

    def describe(self) -> dict[str, Any]:
        """What was measured on, for the report."""
        return {
            "fingerprint": self.fingerprint,
            "photographs": len(self.photographs),
            "sources": dict(collections.Counter(photo.source for photo in self.photographs)),
            "skipped": self.skipped,
        }


# ------------------------------------------------------------------------------ the colours


def gray_of(true: RGB) -> RGB:
    """The gray photograph (H, W, 1) `uint8` of the same luminance."""
    gray = color.luminance_to_gray(color.rgb_to_luminance(true))
    return np.rint(keras.ops.convert_to_numpy(gray) * 255).astype("uint8")


def luminance_of(gray: RGB) -> np.ndarray:
    """Luminance (H, W) float32 in [0, 100] of a gray photograph (H, W, 1)."""
    return keras.ops.convert_to_numpy(color.rgb_to_luminance(gray))[..., 0]


def merge(gray: RGB, ab: np.ndarray) -> RGB:
    """Gray `uint8` (H, W, 1) and ab (H, W, 2) in Lab units → sRGB `uint8` (H, W, 3)."""
    lab = np.concatenate([color.rgb_to_luminance(gray), ab.astype("float32")], axis=-1)
    return np.rint(keras.ops.convert_to_numpy(color.lab_to_rgb(lab)) * 255).astype("uint8")


def resize_ab(ab: np.ndarray, size: tuple[int, int], resample: Image.Resampling) -> np.ndarray:
    """Colours (h, w, 2) brought to (height, width), float32; as they are at their own size."""
    channels = [resize(channel, size, resample=resample) for channel in np.moveaxis(ab, -1, 0)]
    return np.stack(channels, axis=-1)


# ------------------------------------------------------------------------------- the models


def model_name(model: str) -> str:
    """What a model is called in tables: the name of its file, or of its run's folder.

    Baselines are called what they are.

    Raises:
        ModelError: there is no such model.
    """
    if model in BASELINES:
        return model
    path = find_model(model)
    return path.resolve().parent.name if path.stem == "model" else path.stem


def load_networks(named: Mapping[str, str], *, working_size: int | None) -> dict[str, Colorizer]:
    """Name in the tables → its network, from name → model; baselines have none."""
    return {
        name: Colorizer(model, working_size=working_size)
        for name, model in named.items()
        if model not in BASELINES
    }


def describe_models(
    named: Mapping[str, str], networks: Mapping[str, Colorizer], vividness: float | None
) -> dict[str, dict[str, Any]]:
    """What the models are, for the report; those that are no networks have their name alone."""
    described: dict[str, dict[str, Any]] = {}
    for name, model in named.items():
        described[name] = {"model": model}
        if name in networks:
            network = networks[name]
            described[name] |= {
                "sha256": network.pretrained.details["sha256"],
                "chroma_gain": network.pretrained.details.get("chroma_gain", 1.0),
                "vividness": network.vividness if vividness is None else vividness,
                "working_size": network.working_size,
            }
    return described


def versions() -> dict[str, str]:
    """Of everything that could change a figure."""
    packages = ("keras", keras.backend.backend(), "numpy", "scipy", "scikit-image", "pillow")
    found = {package: _version(package) for package in packages}
    return {"colorizer": colorizer.__version__, "python": platform.python_version(), **found}


def _version(package: str) -> str:
    """Of an installed package, or of a module that was installed by another name."""
    try:
        return version(package)
    except PackageNotFoundError:
        return str(getattr(sys.modules.get(package), "__version__", "unknown"))


def check_numbers(size: int, limit: int | None, vividness: float | None) -> None:
    """The settings that every measurement has.

    Raises:
        ValueError: one is out of its range.
    """
    if size < metrics.SSIM_WINDOW:
        raise ValueError(f"size: expected {metrics.SSIM_WINDOW} or more pixels. Received: {size}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit: expected at least 1 photograph. Received: {limit}")
    if vividness is not None:
        color.vividness_to_decoding(vividness)
