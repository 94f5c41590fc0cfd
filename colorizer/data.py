"""Photographs for training: found, decoded once, cropped, flipped, batched.

Conventions
    A *source* is the path of a folder (any nesting), or the name of a known data set, with
    an optional count behind `@`: `photos/flowers@5` counts every photograph five times.
    A folder with a subfolder `train` brings its own splits (`train`, `validation`, `test`);
    a split that is missing, and every other folder, is cut out by a hash of the file's
    path within the source, so the same file is in the same split on every machine.

    The pipeline moves bytes: it yields `uint8` sRGB batches (B, S, S, 3). Colour
    conversion, masks and hints are the business of the training task, on the accelerator.
    With embeddings it yields dicts: `image` as above, and `embedding` (B, D) of the whole
    photograph that each crop is from.

    The stream is a function of the config alone. `skip` examples in, it yields exactly
    what an uninterrupted stream would have yielded then, which is what lets an
    interrupted training resume. (One exception: where the photographs are too many to
    cache, files that were left out count as seen; only decoding them again would tell.)
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from colorizer import sources
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
    """

    sources: tuple[str, ...] = ()
    image_size: int = 128
    batch_size: int = 32
    validation_share: float = 0.02
    test_share: float = 0.0
    min_saturation: float = 4.0
    cache_gigabytes: float = 6.0
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class PhotoStream:
    """A `tf.data` pipeline with what it was made of.

    Attributes:
        batches: the `tf.data.Dataset`.
        files: every file of the split, counted as often as it is drawn in an epoch.
        skipped: file → reason, filled while the pipeline runs.
    """

    batches: Any
    files: Sequence[Path]
    skipped: dict[Path, str]


def split_of(name: str, config: DataConfig) -> str:
    """The split of a file by a hash of its path within its source."""
    digest = hashlib.sha256(name.encode()).digest()
    position = int.from_bytes(digest[:8]) / 2**64
    if position < config.test_share:
        return "test"
    return "validation" if position < config.test_share + config.validation_share else "train"


def _photos_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def _split_files(folder: Path, split: str, config: DataConfig) -> list[Path]:
    """The files of one split of a folder."""
    if (folder / "train").is_dir():
        if split == "train" and not (folder / "validation").is_dir():
            return _hashed(folder / "train", "train", dataclasses.replace(config, test_share=0.0))
        if (folder / split).is_dir():
            return _photos_in(folder / split)
        if split == "validation":
            without_test = dataclasses.replace(config, test_share=0.0)
            return _hashed(folder / "train", "validation", without_test)
    return _hashed(folder, split, config)


def _hashed(folder: Path, split: str, config: DataConfig) -> list[Path]:
    return [
        path
        for path in _photos_in(folder)
        if split_of(path.relative_to(folder).as_posix(), config) == split
    ]


def photo_files(config: DataConfig, split: str) -> list[Path]:
    """Every file of a split, from all sources, as often as its source counts.

    Raises:
        ValueError: an unknown split, source or count, or no photographs at all.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}. Received: {split!r}")
    files: list[Path] = []
    for source in config.sources:
        name, separator, count = source.rpartition("@")
        if not (separator and count.isdigit()):
            name, count = source, "1"
        # Validation and test count everything once: their figures are means over files.
        times = int(count) if split == "train" else 1
        files += _split_files(sources.source_folder(name), split, config) * times
    if not files:
        raise ValueError(f"no photographs for split {split!r} in {', '.join(config.sources)}")
    return files


def decode_photo(path: Path, short_side: int) -> np.ndarray:
    """A photograph as sRGB `uint8` (H, W, 3), its short side brought to `short_side` pixels.

    Raises:
        OSError, ValueError, SyntaxError: the file is not a whole picture (Pillow's errors).
    """
    with Image.open(path) as image:
        # JPEG can be decoded at 1/2, 1/4, 1/8 of its size at a fraction of the cost.
        image.draft("RGB", (2 * short_side, 2 * short_side))
        upright = ImageOps.exif_transpose(image).convert("RGB")
        scale = short_side / min(upright.size)
        width, height = (max(short_side, round(side * scale)) for side in upright.size)
        small = upright.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
        return np.asarray(small)


def mean_saturation(rgb: np.ndarray) -> float:
    """Mean of max - min over R, G, B, 0..255, of a `uint8` photograph."""
    return float((rgb.max(-1) - rgb.min(-1)).mean())


def _loader(
    short_side: int, config: DataConfig, skipped: dict[Path, str]
) -> Callable[[bytes], np.ndarray]:
    """Decodes one file; an unusable one gives an empty picture and its reason."""
    empty = np.zeros((0, 0, 3), "uint8")

    def load(name: bytes) -> np.ndarray:
        path = Path(name.decode())
        try:
            rgb = decode_photo(path, short_side)
        except Exception as error:  # Pillow's decoders raise of every kind
            skipped[path] = f"unreadable: {error}"
            return empty
        if mean_saturation(rgb) < config.min_saturation:
            skipped[path] = "near-gray"
            return empty
        return rgb

    return load


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


def _embedded(
    files: Sequence[Path], embeddings: np.ndarray | None, skipped: dict[Path, str]
) -> np.ndarray:
    """The numbers of the files that have an embedding (a row without NaN), if any do."""
    if embeddings is None:
        return np.arange(len(files))
    if len(embeddings) != len(files):
        raise ValueError(f"embeddings: {len(embeddings)} rows; expected {len(files)}, one a file")
    missing = np.isnan(embeddings).any(axis=1)
    skipped |= {files[i]: "unreadable: no embedding" for i in np.flatnonzero(missing).tolist()}
    return np.flatnonzero(~missing)


def _fits_in_memory(count: int, short_side: int, config: DataConfig) -> bool:
    return count * short_side**2 * 1.4 * 3 < config.cache_gigabytes * 1e9


def load_dataset(
    config: DataConfig,
    split: str = "train",
    *,
    skip: int = 0,
    embeddings: np.ndarray | None = None,
) -> PhotoStream:
    """The pipeline over one split.

    The training stream is endless, shuffled and augmented; the others are one pass, in
    order, centre-cropped. Unreadable and near-gray files are left out and listed.

    Args:
        config: what to load.
        split: "train", "validation" or "test".
        skip: how many training examples an interrupted run has already seen.
        embeddings: (N, D) float32, a row for each file of `photo_files(config, split)`.

    Returns:
        A `PhotoStream` whose `batches` yield `uint8` (B, S, S, 3), with `embeddings` a dict of
        that as `image` and (B, D) float32 as `embedding`.

    Raises:
        ValueError: no photographs, or an unknown source or split.
    """
    import tensorflow as tf

    files, size = photo_files(config, split), config.image_size
    skipped: dict[Path, str] = {}
    training = split == "train"
    short_side = round(size * LOAD_MARGIN) if training else size
    load = _loader(short_side, config, skipped)

    def decode(name: Any, number: Any) -> Any:
        image = tf.numpy_function(load, [name], tf.uint8, stateful=False)
        return tf.ensure_shape(image, (None, None, 3)), number

    def usable(image: Any, _: Any) -> Any:
        return tf.size(image) > 0

    table = None if embeddings is None else tf.constant(embeddings, tf.float32)

    def finish(images: Any, numbers: Any) -> Any:
        if table is None:
            return images
        return {"image": images, "embedding": tf.gather(table, numbers)}

    # Each file goes with its number, by which its embedding is found once batches are made.
    order = _embedded(files, embeddings, skipped)
    if training:
        order = np.random.default_rng(config.seed).permutation(order)
    photos = tf.data.Dataset.from_tensor_slices(([str(files[i]) for i in order], order))
    parallel = {"num_parallel_calls": tf.data.AUTOTUNE}
    decoded = photos.map(decode, **parallel).filter(usable)
    if not training:
        crops = decoded.map(
            lambda image, number: (tf.image.resize_with_crop_or_pad(image, size, size), number)
        )
        return PhotoStream(crops.batch(config.batch_size).map(finish).prefetch(2), files, skipped)

    shuffle = {"seed": config.seed, "reshuffle_each_iteration": True}
    if _fits_in_memory(len(files), short_side, config):
        # Cached before the shuffle, so that each epoch has an order of its own; the buffer
        # holds decoded photographs, hence its bound. `photos` is shuffled already.
        stream = decoded.cache().shuffle(min(len(files), 2048), **shuffle).repeat().skip(skip)
    else:
        stream = photos.shuffle(len(files), **shuffle).repeat().skip(skip)
        stream = stream.map(decode, **parallel).filter(usable)

    def crop(index: Any, photo: Any) -> Any:
        image, number = photo
        image = _random_crop(tf, image, index, size, config.seed)
        return tf.ensure_shape(image, (size, size, 3)), number

    batches = stream.enumerate(start=skip).map(crop, **parallel)
    batches = batches.batch(config.batch_size, drop_remainder=True).map(finish)
    return PhotoStream(batches.prefetch(4), files, skipped)
