"""Embeddings of photographs by a frozen extractor: computed once, kept in HDF5.

A frozen extractor says the same about a photograph in every epoch. With Xception at 299×299 it
costs more than all the rest of a training step, so a network with global fusion is trained on
embeddings that were computed beforehand (`networks.build_network(embedding_input=True)`).

What is embedded
    The whole photograph, as Deep Koalarization has it [1], not the crop that is trained on:
    decoded by `data.decode_photo` at a short side of `config.embedding_size`, squared to that
    size, its luminance as L / 50 - 1; `embed_with` feeds any other extractor what it needs, such
    as the colours. A file that cannot be decoded gets a row of NaN; no one sees it, for the
    pipeline of `data` decodes with the same function and leaves the file out.

The cache
    `CACHE/NAME-HASH/shard-*.h5`, where NAME is EXTRACTOR-KIND-SIZE and HASH is that of the
    extractor's weights as they were loaded, and of what else changes its answers: another file
    of weights, a newer download or another dtype policy has a folder of its own. Extractors with
    random weights never meet the embeddings of another.
    A shard holds `sha256` (n, 32) `uint8`, of the content of each file, and `embedding` (n, D)
    float32, both with checksums. So renamed, moved and repeated photographs are found again,
    and changed ones are not.
    A shard is written under another name and renamed when complete, and never touched again:
    a kill loses at most the `SHARD` photographs that were not written yet, Ctrl-C one batch.
    A shard that cannot be read is left alone with a warning, and its photographs are
    computed anew.

References
    [1] F. Baldassarre, D. González Morín, L. Rodés-Guirao. "Deep Koalarization: Image
        Colorization using CNNs and Inception-ResNet-v2". arXiv:1712.03400, 2017, section 2.2.
"""

import functools
import hashlib
import os
import uuid
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from PIL import Image

from colorizer.color import rgb_to_luminance
from colorizer.data import decode_photo
from colorizer.networks import NetworkConfig, embedding_extractor

Prepare = Callable[[np.ndarray], Any]  # `uint8` (B, S, S, 3) → an extractor's input

FORMAT = 1  # raised whenever the same photograph would be embedded otherwise
SHARD = 512  # photographs: half a minute of Xception on two cores, a file of 2 to 4 MB


def embed_files(
    files: Sequence[Path], config: NetworkConfig, *, cache: Path, batch_size: int = 16
) -> np.ndarray:
    """The embeddings of photographs, from the cache where they are there.

    Args:
        files: photographs; one that is named several times is computed once.
        config: of a network with global fusion, a frozen extractor and an `embedding_size`.
        cache: the folder of the cache, made if need be; it may be shared by several configs.
        batch_size: photographs per step of the extractor.

    Returns:
        (N, D) float32 in the order of `files`; rows of NaN for files that cannot be decoded.

    Raises:
        ValueError: the config's embeddings cannot be computed beforehand.
    """
    extractor, size = embedding_extractor(config), config.embedding_size
    if size is None:
        raise ValueError("embedding_size must be set to compute embeddings beforehand")
    return embed_with(
        extractor,
        files,
        name=f"{config.extractor}-{config.embedding}-{size}",
        size=size,
        prepare=lambda rgb: rgb_to_luminance(rgb) / 50 - 1,
        cache=cache,
        batch_size=batch_size,
    )


def embed_with(
    extractor: keras.Model,
    files: Sequence[Path],
    *,
    name: str,
    size: int,
    prepare: Prepare,
    cache: Path,
    batch_size: int = 16,
) -> np.ndarray:
    """The embeddings of photographs by any extractor, from the cache where they are there.

    Args:
        extractor: what `prepare` returns → (B, D).
        files: photographs; one that is named several times is computed once.
        name: of extractor, preparation and size in the cache, unlike that of any other.
        size: side that photographs are squared to, in pixels.
        prepare: `uint8` sRGB (B, size, size, 3) → the extractor's input.
        cache: the folder of the cache, made if need be; it may be shared by several extractors.
        batch_size: photographs per step of the extractor.

    Returns:
        (N, D) float32 in the order of `files`; rows of NaN for files that cannot be decoded.
    """
    folder = Path(cache) / _folder_name(name, extractor)
    folder.mkdir(parents=True, exist_ok=True)
    rows = _rows_by_content(files)
    result = np.full((len(files), extractor.output_shape[-1]), np.nan, "float32")
    missing = {digest: files[numbers[0]] for digest, numbers in rows.items()}
    for digest, embedding in _stored(folder, result.shape[1]):
        if missing.pop(digest, None):
            result[rows[digest]] = embedding
    step = functools.partial(_embedded, extractor, prepare, batch_size=batch_size)
    for digest, embedding in _computed(step, missing, size, folder, batch_size):
        result[rows[digest]] = embedding
    return result


def _folder_name(name: str, extractor: keras.Model) -> str:
    policy = keras.config.dtype_policy().name
    digest = hashlib.sha256(f"{FORMAT} {policy}".encode())
    for variable in extractor.variables:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
    return f"{name}-{digest.hexdigest()[:16]}"


def _rows_by_content(files: Sequence[Path]) -> dict[bytes, list[int]]:
    """SHA-256 of a file's content → where in `files` that content stands."""
    by_path: dict[Path, list[int]] = defaultdict(list)
    for number, path in enumerate(files):
        by_path[path].append(number)
    rows: dict[bytes, list[int]] = defaultdict(list)
    for path, numbers in by_path.items():
        try:
            with path.open("rb") as file:
                rows[hashlib.file_digest(file, "sha256").digest()] += numbers
        except OSError:  # the pipeline will not be able to read it either, and says so
            continue
    return rows


# -------------------------------------------------------------------------------- the shards


def _stored(folder: Path, width: int) -> Iterator[tuple[bytes, np.ndarray]]:
    """The (digest, embedding) of every photograph in the readable shards of a folder."""
    for path in sorted(folder.glob("shard-*.h5")):
        try:
            with h5py.File(path, "r") as file:
                digests, embeddings = file["sha256"][()], file["embedding"][()]
            if digests.shape != (len(embeddings), 32) or embeddings.shape[1:] != (width,):
                raise ValueError(f"shapes {digests.shape} and {embeddings.shape}")
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            warnings.warn(
                f"{path}: unreadable, may be deleted; embedding its photographs anew: {error}",
                stacklevel=3,
            )
            continue
        yield from zip(map(bytes, digests), embeddings, strict=True)


def _write_shard(folder: Path, shard: dict[bytes, np.ndarray]) -> None:
    name = f"shard-{uuid.uuid4().hex}.h5"
    partial = folder / f".{name}.partial"
    digests = np.stack([np.frombuffer(digest, "uint8") for digest in shard])
    try:
        with h5py.File(partial, "w") as file:
            file.create_dataset("sha256", data=digests, fletcher32=True)
            file.create_dataset("embedding", data=np.stack(list(shard.values())), fletcher32=True)
        os.replace(partial, folder / name)
    finally:
        partial.unlink(missing_ok=True)


# ----------------------------------------------------------------------------- the extractor


def _computed(
    step: Callable[..., dict[bytes, np.ndarray]],
    missing: dict[bytes, Path],
    size: int,
    folder: Path,
    batch_size: int,
) -> Iterator[tuple[bytes, np.ndarray]]:
    """The (digest, embedding) of each missing photograph, written to shards on the way."""
    shard: dict[bytes, np.ndarray] = {}
    with _progress(len(missing)) as bar, ThreadPoolExecutor() as pool:
        try:
            for items in _batches(list(missing.items()), batch_size):
                photographs = pool.map(lambda item: _squared(item[1], size), items)
                found = step(zip(items, photographs, strict=True))
                yield from found.items()
                shard |= found
                bar.advance(bar.task_ids[0], len(items))
                if len(shard) >= SHARD:
                    _write_shard(folder, shard)
                    shard = {}
        finally:  # at the end, and after Ctrl-C
            if shard:
                _write_shard(folder, shard)


def _batches(items: list, size: int) -> Iterator[list]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _squared(path: Path, size: int) -> np.ndarray | None:
    """A photograph as `uint8` (size, size, 3); None if it is unreadable."""
    try:
        photograph = decode_photo(path, size)
    except Exception:  # Pillow's decoders raise of every kind; `data` reports it
        return None
    squared = Image.fromarray(photograph).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(squared)


def _embedded(
    extractor: keras.Model,
    prepare: Prepare,
    photographs: Iterable[tuple[tuple[bytes, Path], np.ndarray | None]],
    *,
    batch_size: int,
) -> dict[bytes, np.ndarray]:
    """One step of the extractor, always on `batch_size` photographs: one shape, one trace."""
    readable = {digest: rgb for (digest, _), rgb in photographs if rgb is not None}
    if not readable:
        return {}
    batch = np.stack(list(readable.values()))
    batch = np.pad(batch, ((0, batch_size - len(batch)), (0, 0), (0, 0), (0, 0)))
    embeddings = np.asarray(extractor.predict_on_batch(prepare(batch)), "float32")
    return dict(zip(readable, embeddings[: len(readable)], strict=True))


def _progress(total: int) -> Any:
    """A progress bar on stderr with one task; invisible if there is nothing to do."""
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True, disable=not total)
    bar.add_task("Embedding photographs", total=total)
    return bar
