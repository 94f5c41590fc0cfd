"""Photographs for training: found, decoded once, cropped, flipped, batched.

Conventions
    A *source* is the path of a folder (any nesting), or the name of a known data set, with
    an optional count behind `@`: `photos/flowers@5` counts every photograph five times.
    A folder with a subfolder `train` brings its own splits (`train`, `validation`, `test`);
    a split that is missing, and a folder without splits, is cut out by a hash of the file's
    path within the source, so the same file is in the same split on every machine. One with
    `test` or `validation` alone is refused.
    What one source holds out is not trained on through another that lies within it or
    around it.

    The pipeline moves bytes: it yields `uint8` sRGB batches (B, S, S, 3). Colour
    conversion, masks and hints are the business of the training task, on the accelerator.
    With embeddings it yields dicts: `image` as above, and `embedding` (B, D) of the whole
    photograph that each crop is from.

    The stream is a function of the config alone. `skip` examples in, it yields exactly
    what an uninterrupted stream would have yielded then, which is what lets an
    interrupted training resume; it needs to be told the files that were found `unusable`
    before, since only decoding them again would tell.
"""

import dataclasses
import hashlib
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from colorizer import sources
from colorizer.annotations import as_object, as_tuples, check_seed, check_types
from colorizer.photos import SUFFIXES

SPLITS = ("train", "validation", "test")
LOAD_MARGIN = 1.25  # photographs are kept this much larger than the crop, for random scales


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What to train on.

    Attributes:
        sources: folders or names of data sets, each with an optional `@count`.
        image_size: side of the square crops, in pixels.
        batch_size: crops per batch.
        validation_share, test_share: of a folder that brings no such split.
        min_saturation: photographs whose mean HSV-like saturation range
            (max - min of R, G, B; 0..255) is lower are left out as near-gray.
        cache_gigabytes: decoded photographs are kept in memory if they fit in this.
        seed: of order, crops and flips.

    Raises:
        ValueError: a size or share that is none.
    """

    sources: tuple[str, ...] = ()
    image_size: int = 128
    batch_size: int = 32
    validation_share: float = 0.02
    test_share: float = 0.0
    min_saturation: float = 4.0
    cache_gigabytes: float = 6.0
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.sources, str):
            raise ValueError(f"sources must be several names. Received: {self.sources!r}")
        check_types(self)
        check_seed(self.seed)
        for name in ("image_size", "batch_size"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be at least 1. Received: {getattr(self, name)}")
        shares = self.validation_share, self.test_share
        if not (min(shares) >= 0 and sum(shares) <= 1):
            raise ValueError(
                "validation_share and test_share must be 0 or more, together at most 1. "
                f"Received: {shares[0]} and {shares[1]}"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DataConfig":
        """The config of JSON `values`; raises TypeError for any unknown entry."""
        return cls(**{name: as_tuples(v) for name, v in as_object(values, "data").items()})


@dataclasses.dataclass(frozen=True)
class PhotoStream:
    """A `tf.data` pipeline with what it was made of.

    Attributes:
        batches: the `tf.data.Dataset`.
        files: every file of the split, counted as often as it is drawn in an epoch.
        skipped: file → reason, filled while the pipeline runs.
        remembered: file → decoded photograph, if they are kept in memory.
    """

    batches: Any
    files: Sequence[Path]
    skipped: dict[Path, str]
    remembered: dict[bytes, np.ndarray]

    def close(self) -> None:
        """Forgets the decoded photographs: TensorFlow keeps the decoder itself for ever."""
        self.remembered.clear()


def split_of(name: str, config: DataConfig) -> str:
    """The split of a file by a hash of its path within its source."""
    digest = hashlib.sha256(os.fsencode(name)).digest()
    position = int.from_bytes(digest[:8]) / 2**64
    if position < config.test_share:
        return "test"
    return "validation" if position < config.test_share + config.validation_share else "train"


def _photos_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _split_files(folder: Path, split: str, config: DataConfig) -> list[Path]:
    """The files of one split of a folder; a split it lacks is cut out of its `train`."""
    own = {name for name in SPLITS if (folder / name).is_dir()}
    if not own:
        return _hashed(folder, split, config)
    if "train" not in own:  # it would be trained on what is there to measure
        raise ValueError(
            f"{folder}: {' and '.join(sorted(own))} without train; expected the photographs to "
            "train on in a folder train"
        )
    if split in own - {"train"}:
        return _photos_in(folder / split)
    shares = dataclasses.replace(
        config,
        validation_share=0.0 if "validation" in own else config.validation_share,
        test_share=0.0 if "test" in own else config.test_share,
    )
    return _hashed(folder / "train", split, shares)


def _hashed(folder: Path, split: str, config: DataConfig) -> list[Path]:
    return [
        path
        for path in _photos_in(folder)
        if split_of(path.relative_to(folder).as_posix(), config) == split
    ]


def counted_source(source: str) -> tuple[str, int]:
    """The name of a source, and how often its photographs count: 1 without `@count`.

    Raises:
        ValueError: a count of 0.
    """
    name, separator, count = source.rpartition("@")
    if not (separator and count.isdecimal()) or Path(source).is_dir():
        return source, 1
    if int(count) < 1:
        raise ValueError(f"a source must count at least once. Received: {source}")
    return name, int(count)


def check_batch_size(config: DataConfig, files: Sequence[Path]) -> None:
    """Raises ValueError if there are fewer photographs than in a batch."""
    if len(files) < config.batch_size:
        raise ValueError(
            f"batch_size (--batch-size) must be at most the number of photographs, {len(files)}. "
            f"Received: {config.batch_size}"
        )


def photo_files(config: DataConfig, split: str) -> list[Path]:
    """Every file of a split, from all sources, as often as its source counts.

    Raises:
        ValueError: an unknown split, source or count, splits without `train`, or no photographs.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}. Received: {split!r}")
    counted = [counted_source(source) for source in config.sources]
    folders = [sources.source_folder(name) for name, _ in counted]
    held_out = _held_out(folders, config) if split == "train" else set()
    files: list[Path] = []
    for folder, (_, count) in zip(folders, counted, strict=True):
        found = _split_files(folder, split, config)
        # Validation and test count everything once: their figures are means over files.
        times = count if split == "train" else 1
        if held_out:
            place = Path(os.path.realpath(folder))
            found = [path for path in found if place / path.relative_to(folder) not in held_out]
        files += found * times
    if not files:
        raise ValueError(f"no photographs for split {split!r} in {', '.join(config.sources)}")
    return files


def _held_out(folders: Sequence[Path], config: DataConfig) -> set[Path]:
    """Real paths of what is validation or test of a source, where sources lie in each other.

    By its path within the other source, the same file may be for training.
    """
    places = [Path(os.path.realpath(folder)) for folder in folders]
    nested = {a for a in places if any(a in b.parents or b in a.parents for b in places)}
    splits = itertools.product(sorted(nested), SPLITS[1:])
    return {path for a, split in splits for path in _split_files(a, split, config)}


def decode_photo(path: Path, short_side: int) -> np.ndarray:
    """A photograph as `uint8` RGB (H, W, 3), its short side brought to `short_side` pixels.

    Samples are taken for sRGB: a profile in the file is ignored.

    Raises:
        Exception: the file is not a whole picture; Pillow's decoders raise of every kind.
    """
    with Image.open(path) as image:
        # JPEG can be decoded at 1/2, 1/4, 1/8 of its size at a fraction of the cost.
        image.draft("RGB", (2 * short_side, 2 * short_side))
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):
            # Pillow clips 16 bits to 8 instead of scaling them.
            upright = Image.fromarray((np.asarray(upright) / 257).round().astype("uint8"))
        upright = upright.convert("RGB")
        scale = short_side / min(upright.size)
        width, height = (max(short_side, round(side * scale)) for side in upright.size)
        small = upright.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
        return np.asarray(small)


def mean_saturation(rgb: np.ndarray) -> float:
    """Mean of max - min over R, G, B, 0..255, of a `uint8` photograph."""
    return float((rgb.max(-1) - rgb.min(-1)).mean())


def _loader(
    short_side: int,
    config: DataConfig,
    skipped: dict[Path, str],
    remembered: dict[bytes, np.ndarray] | None,
) -> Callable[[bytes], np.ndarray]:
    """Decodes one file; an unusable one gives an empty picture and its reason."""
    empty = np.zeros((0, 0, 3), "uint8")

    def decode(path: Path) -> np.ndarray:
        try:
            rgb = decode_photo(path, short_side)
        except Exception as error:
            skipped[path] = f"unreadable: {error}"
            return empty
        if mean_saturation(rgb) < config.min_saturation:
            skipped[path] = "near-gray"
            return empty
        return rgb

    def load(name: bytes) -> np.ndarray:
        if remembered is not None and name in remembered:
            return remembered[name]
        rgb = decode(Path(os.fsdecode(name)))
        if remembered is not None:
            remembered[name] = rgb
        return rgb

    return load


def _endless_order(tf: Any, usable: np.ndarray, seed: int, skip: int) -> Any:
    """The numbers of the usable files, each once an epoch, in an order of (seed, epoch).

    The order is that of all files with the unusable ones left out: whether a file is found
    out here or was known before does not move the others.
    """
    count, total = int(usable.sum()), len(usable)

    def epoch_order(epoch: Any) -> Any:
        keys = tf.random.stateless_uniform([total], tf.stack([tf.cast(seed, tf.int64), epoch]))
        order = tf.argsort(keys, stable=True)
        return tf.data.Dataset.from_tensor_slices(order[tf.gather(usable, order)])

    epochs = tf.data.Dataset.range(skip // count, np.iinfo("int64").max)
    return epochs.flat_map(epoch_order).skip(skip % count)


def _random_crop(tf: Any, image: Any, index: Any, size: int, seed: int) -> Any:
    """A random square of a random scale, flipped at random: a function of (seed, index)."""
    key = tf.stack([tf.constant(seed, tf.int64), index])
    uniform = tf.random.stateless_uniform([4], key)
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    side = size + uniform[0] * (tf.reduce_min(shape) - size)
    top_left = tf.cast(uniform[1:3] * (shape - side), tf.int32)
    side = tf.cast(side, tf.int32)
    crop = image[top_left[0] : top_left[0] + side, top_left[1] : top_left[1] + side]
    crop = tf.cast(tf.round(tf.image.resize(crop, (size, size))), tf.uint8)
    return tf.cond(uniform[3] < 0.5, lambda: crop, lambda: crop[:, ::-1])


def _usable(
    files: Sequence[Path], embeddings: np.ndarray | None, skipped: dict[Path, str]
) -> np.ndarray:
    """Which files, (N,) bool, are not known to be unusable and have an embedding, if any do."""
    if embeddings is not None:
        if len(embeddings) != len(files):
            raise ValueError(
                f"embeddings: {len(embeddings)} rows; expected {len(files)}, one a file"
            )
        for i in np.flatnonzero(np.isnan(embeddings).any(axis=1)).tolist():
            skipped.setdefault(files[i], "unreadable: no embedding")
    usable = np.array([path not in skipped for path in files])
    if not usable.any():
        raise ValueError(f"none of the {len(files)} photographs can be used")
    return usable


def _check_one_usable(
    files: Sequence[Path], load: Callable[[bytes], np.ndarray], skipped: Mapping[Path, str]
) -> None:
    """Raises ValueError if no file holds a colour photograph: the endless stream would be empty."""
    for path in files:
        if path not in skipped and load(os.fsencode(path)).size:
            return
    raise ValueError(
        f"none of the {len(files)} photographs can be used: {files[0]}: {skipped[files[0]]}"
    )


def _fits_in_memory(count: int, short_side: int, config: DataConfig) -> bool:
    return count * short_side**2 * 1.4 * 3 < config.cache_gigabytes * 1e9


def load_dataset(
    config: DataConfig,
    split: str = "train",
    *,
    skip: int = 0,
    unusable: Mapping[Path, str] = MappingProxyType({}),
    embeddings: np.ndarray | None = None,
) -> PhotoStream:
    """The pipeline over one split.

    The training stream is endless, shuffled and augmented; the others are one pass, in
    order, centre-cropped. Unreadable and near-gray files are left out and listed.

    Args:
        config: what to load.
        split: "train", "validation" or "test".
        skip: how many training examples an interrupted run has already seen.
        unusable: what that run's stream had `skipped` by then.
        embeddings: (N, D) float32, a row for each file of `photo_files(config, split)`.

    Returns:
        A `PhotoStream` whose `batches` yield `uint8` (B, S, S, 3), with `embeddings` a dict of
        that as `image` and (B, D) float32 as `embedding`.

    Raises:
        ValueError: no photographs, none that is readable and in colour (training), or an unknown
            source or split.
    """
    import tensorflow as tf

    files, size = photo_files(config, split), config.image_size
    known = set(files)
    skipped = {path: reason for path, reason in unusable.items() if path in known}
    usable = _usable(files, embeddings, skipped)
    training = split == "train"
    short_side = round(size * LOAD_MARGIN) if training else size
    remember = training and _fits_in_memory(len(known), short_side, config)
    remembered: dict[bytes, np.ndarray] = {}
    load = _loader(short_side, config, skipped, remembered if remember else None)
    if training:
        _check_one_usable(files, load, skipped)
    names = tf.constant([os.fsencode(path) for path in files])
    table = None if embeddings is None else tf.constant(embeddings, tf.float32)
    parallel = {"num_parallel_calls": tf.data.AUTOTUNE}

    def decode(number: Any) -> Any:
        image = tf.numpy_function(load, [names[number]], tf.uint8, stateful=False)
        return tf.ensure_shape(image, (None, None, 3)), number

    def random_crop(index: Any, photo: Any) -> Any:
        image, number = photo
        image = _random_crop(tf, image, index, size, config.seed)
        return tf.ensure_shape(image, (size, size, 3)), number

    def centre_crop(image: Any, number: Any) -> Any:
        return tf.image.resize_with_crop_or_pad(image, size, size), number

    def finish(images: Any, numbers: Any) -> Any:
        if table is None:
            return images
        return {"image": images, "embedding": tf.gather(table, numbers)}

    if training:
        numbers = _endless_order(tf, usable, config.seed, skip)
    else:
        numbers = tf.data.Dataset.from_tensor_slices(np.flatnonzero(usable))
    photos = numbers.map(decode, **parallel).filter(lambda image, _: tf.size(image) > 0)
    if training:
        crops = photos.enumerate(start=skip).map(random_crop, **parallel)
    else:
        crops = photos.map(centre_crop)
    batches = crops.batch(config.batch_size, drop_remainder=training).map(finish)
    return PhotoStream(batches.prefetch(4), files, skipped, remembered)
