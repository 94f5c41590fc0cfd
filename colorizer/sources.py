"""Where photographs for training come from: a folder, or a known data set, fetched once.

Data sets
    `flowers17`   Oxford flowers 17 [1]: 1,360 photographs, a download of 60 MB.
                  Of every four within a class of 80 the first two are for training, the
                  third for validation, the fourth for the test.
    `flowers102`  Oxford flowers 102 [2]: 8,189 photographs, a download of 345 MB. Its official
                  splits: 1,020 for training, 1,020 for validation, 6,149 for the test.
    `places365`   Places365-Standard at 256×256 [3]: 1.8 million photographs for training,
                  36,500 for validation, 328,500 for the test, fetched by
                  tensorflow-datasets (`pip install ".[datasets]"`).

Layout
    A data set becomes the folder `HOME/NAME` with the subfolders `train`, `validation` and
    `test`. HOME is `~/.cache/colorizer`, or what the environment variable `COLORIZER_HOME`
    says. A folder of that name in the working directory comes first: a local copy.

    Places needs about 32 GB in HOME. Until it is there, tensorflow-datasets keeps the archives
    and its own copy, 31 GB each, where its own rules say (`~/tensorflow_datasets`, or
    `TFDS_DATA_DIR`); it never reads them again afterwards, and they may be deleted.

Interruptions
    What a folder holds is complete: it appears by a rename. A download that was cut off goes
    on from where it was (`.part` beside it, and the server's validator, without which a file
    that changed in between is caught by its checksum). Archives are checked before they are
    opened and deleted when the folder is there. Of an archive only the photographs are
    taken, under names made here; one with paths that lead out of it is refused.

References
    [1] M.-E. Nilsback, A. Zisserman. "A Visual Vocabulary for Flower Classification". CVPR
        2006. https://www.robots.ox.ac.uk/~vgg/data/flowers/17/
    [2] M.-E. Nilsback, A. Zisserman. "Automated Flower Classification over a Large Number of
        Classes". ICVGIP 2008. https://www.robots.ox.ac.uk/~vgg/data/flowers/102/
    [3] B. Zhou et al. "Places: A 10 Million Image Database for Scene Recognition". TPAMI 2017.
    [4] RFC 9110, HTTP Semantics, sections 13.1.5 (If-Range) and 14 (Range Requests).
"""

import contextlib
import gzip
import hashlib
import http.client
import os
import re
import shutil
import ssl
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

Report = Callable[[int, int | None], None]  # how much is done, and of how much

BLOCK = 1 << 18  # bytes read at a time
TIMEOUT = 30.0  # seconds without a byte before a connection counts as lost
RETRIES = 5  # in a row without a byte gained; waits 1, 2, 4, 8, 16 seconds
SPLITS = ("train", "validation", "test")
PHOTO_NAME = re.compile(r"image_(\d+)\.jpg")
FLOWERS17_SPLITS = ("train", "train", "validation", "test")  # by position modulo four
FLOWERS102_SPLITS = {"trnid": "train", "valid": "validation", "tstid": "test"}
PLACES_GIGABYTES = 32  # the archives that tensorflow-datasets lists are 31.4 GB of JPEG


class Download(NamedTuple):
    """A file of the web: its address and its checksum, as "algorithm:hex"."""

    url: str
    checksum: str


_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data/flowers"
# Oxford publishes no checksums. This one is recorded by google-deepmind/dm_nevis (datasets_storage/
# handlers/oxford_flowers_17.py) and by four other public projects that a search found.
FLOWERS17 = Download(f"{_OXFORD}/17/17flowers.tgz", "md5:b59a65d8d1a99cd66944d474e1289eab")
# These two by tensorflow/datasets (url_checksums/oxford_flowers102.txt); torchvision
# (datasets/flowers102.py) has the same files by their MD5: 52808999... and a5357ecc...
FLOWERS102 = Download(
    f"{_OXFORD}/102/102flowers.tgz",
    "sha256:2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
)
FLOWERS102_SETS = Download(
    f"{_OXFORD}/102/setid.mat",
    "sha256:46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd",
)


class SourceError(ValueError):
    """Photographs that cannot be had; the message is one line and says why."""


class _Interrupted(Exception):
    """A transfer that failed in a way that trying again may mend."""


def source_folder(name: str | Path, *, home: Path | None = None) -> Path:
    """The folder of a source, fetched first if it is a data set that is not there yet.

    Args:
        name: the path of a folder, or `flowers17`, `flowers102` or `places365`.
        home: where data sets are kept; by default `COLORIZER_HOME` or `~/.cache/colorizer`.

    Returns:
        `name` itself if it is a folder, else the folder of the data set, with the subfolders
        `train`, `validation` and `test`.

    Raises:
        SourceError: neither a folder nor a known data set, or it cannot be fetched.
    """
    if Path(name).is_dir():
        return Path(name)
    fetch = DATASETS.get(str(name))
    if fetch is None:
        known = ", ".join(sorted(DATASETS))
        raise SourceError(
            f"no source {str(name)!r}: expected one of {known}, or the path of a folder"
        )
    if home is None:
        home = Path(os.environ.get("COLORIZER_HOME") or Path.home() / ".cache" / "colorizer")
    folder = home / str(name)
    if not folder.is_dir():
        from filelock import FileLock

        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / f".{name}.lock"):  # of two commands, or machines, one fetches
            if not folder.is_dir():
                fetch(folder)
    return folder


# ---------------------------------------------------------------------------- the data sets


def _fetch_flowers17(folder: Path) -> None:
    archive = _fetch_beside(folder, FLOWERS17)
    extract_photos(archive, folder, {n: FLOWERS17_SPLITS[(n - 1) % 4] for n in range(1, 1361)})
    archive.unlink()


def _fetch_flowers102(folder: Path) -> None:
    from scipy.io import loadmat

    sets, archive = _fetch_beside(folder, FLOWERS102_SETS), _fetch_beside(folder, FLOWERS102)
    numbers = loadmat(sets)
    splits = {int(n): split for key, split in FLOWERS102_SPLITS.items() for n in numbers[key].flat}
    extract_photos(archive, folder, splits)
    archive.unlink()
    sets.unlink()


def _fetch_places365(folder: Path) -> None:
    """Writes the JPEG files out of what tensorflow-datasets prepared; goes on after a kill."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise SourceError(
            "places365 needs tensorflow-datasets, which is not installed: "
            'pip install ".[datasets]" in the folder of this project, or give the path of a folder'
        ) from error
    partial = folder.with_name(f".{folder.name}.partial")
    there = sum(path.stat().st_size for path in partial.rglob("*.jpg"))
    _need_space(folder.parent, int(PLACES_GIGABYTES * 1e9) - there)
    builder = tfds.builder("places365_small")
    builder.download_and_prepare()
    count, total = 0, sum(builder.info.splits[split].num_examples for split in SPLITS)
    with _progress("places365", unit="photographs") as report:
        for split in SPLITS:
            # Unshuffled, so that a number means the same photograph in every attempt; undecoded,
            # so that the files are those of the archive, bit by bit.
            decoders = {"image": tfds.decode.SkipDecoding()}
            examples = builder.as_dataset(split=split, decoders=decoders, shuffle_files=False)
            for number, example in enumerate(examples.as_numpy_iterator()):
                # 1,000 to a folder: most file systems are slow with millions in one.
                name = f"{split}/{number // 1000:04d}/image_{number:07d}.jpg"
                _write_once(partial / name, example["image"])
                count += 1
                report(count, total)
    os.replace(partial, folder)


DATASETS: dict[str, Callable[[Path], None]] = {
    "flowers17": _fetch_flowers17,
    "flowers102": _fetch_flowers102,
    "places365": _fetch_places365,
}
"""The known data sets: name → what fetches it into a folder."""


def _fetch_beside(folder: Path, file: Download) -> Path:
    target = folder.with_name(file.url.rpartition("/")[2])
    return download(file.url, target, checksum=file.checksum)


def _write_once(path: Path, content: bytes) -> None:
    """Writes a file unless it is there in full; a kill may have left it short."""
    if path.is_file() and path.stat().st_size == len(content):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _need_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise SourceError(
            f"{folder}: {size / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free; "
            "COLORIZER_HOME names another place"
        )


def extract_photos(archive: Path, folder: Path, split_of: Mapping[int, str]) -> None:
    """Takes the photographs `image_NUMBER.jpg` out of an archive into the folders of splits.

    Args:
        archive: a tar file, compressed or not.
        folder: to be made; appears complete or not at all.
        split_of: number of each photograph → "train", "validation" or "test".

    Raises:
        SourceError: damaged, without photographs, or with paths that lead out of it.
    """
    # Before Python 3.11.4 there is no filter, and no need: names in the archive are not used.
    check = getattr(tarfile, "data_filter", lambda member, folder: member)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        partial = Path(temporary, folder.name)
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    check(member, temporary)
                    matched = PHOTO_NAME.fullmatch(member.name.rpartition("/")[2])
                    content = tar.extractfile(member) if matched and member.isreg() else None
                    if matched and content:
                        name = f"{split_of[int(matched[1])]}/{matched[0]}"
                        _write_once(partial / name, content.read())
        except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
            reason = str(error).partition("\n")[0].rstrip(":")
            raise SourceError(f"{archive}: damaged or unsafe archive: {reason}") from error
        except KeyError as error:
            raise SourceError(f"{archive}: photograph {error} is of no split") from error
        if not partial.is_dir():
            raise SourceError(f"{archive}: no photographs image_NUMBER.jpg in it")
        os.replace(partial, folder)


# ------------------------------------------------------------------------------- downloading


def download(url: str, target: Path, *, checksum: str, retries: int = RETRIES) -> Path:
    """Downloads a file, going on from what an earlier attempt left in `target.part`.

    Args:
        url: http or https address.
        target: the file to be made, in a folder that exists; it appears only once its
            checksum is right. If it is there already with that checksum, nothing is sent.
        checksum: "algorithm:hex", of any algorithm in `hashlib`.
        retries: how often to try again, in a row and without a byte gained, after the connection
            fails or the server has a failure of its own (5xx, 429); waits 1, 2, 4, … seconds.

    Returns:
        `target`.

    Raises:
        SourceError: refused by the server, out of retries or of disk space, or the wrong file.
    """
    part = target.with_name(f"{target.name}.part")
    if _checksum(target, checksum) == checksum:
        return target
    # A kill may have come between the last byte and the rename.
    if _checksum(part, checksum) != checksum:
        _transfer_patiently(url, part, retries)
    received = _checksum(part, checksum)
    _validator_of(part).unlink(missing_ok=True)
    if received != checksum:
        part.unlink()
        raise SourceError(f"{url}: wrong file, deleted: expected {checksum}, received {received}")
    os.replace(part, target)
    return target


def _transfer_patiently(url: str, part: Path, retries: int) -> None:
    failures = 0
    with _progress(part.stem, unit="bytes") as report:
        while True:
            before = _size(part)
            try:
                return _transfer(url, part, report)
            except _Interrupted as error:
                failures = failures + 1 if _size(part) <= before else 1
                if failures > retries:
                    raise SourceError(
                        f"{url}: {error}; the next attempt goes on from byte {_size(part)}"
                    ) from error
            time.sleep(2.0 ** (failures - 1))


def _transfer(url: str, part: Path, report: Report) -> None:
    """Appends to `part` what it lacks; raises `_Interrupted` if that may be tried again."""
    with _open(url, part) as response:
        start = _size(part) if response.status == 206 else 0
        length = int(response.headers.get("Content-Length", 0))  # 0: the server does not say
        _need_space(part.parent, length)
        if start == 0:
            stamp = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
            _validator_of(part).write_text(stamp, "utf-8")
        with part.open("ab" if start else "wb") as file:
            while block := _read(response):
                file.write(block)
                report(file.tell(), start + length if length else None)
    if length and _size(part) < start + length:
        raise _Interrupted(f"connection lost after {_size(part)} of {start + length} bytes")


def _open(url: str, part: Path) -> http.client.HTTPResponse:
    """Asks for the file, from where `part` ends if that is still part of the same file [4]."""
    headers = {"User-Agent": "colorizer"}
    if start := _size(part):
        headers["Range"] = f"bytes={start}-"
        validator = _validator_of(part)
        # Weak validators (W/) never match, so the file comes whole: as it should.
        if validator.is_file() and (stamp := validator.read_text("utf-8")):
            headers["If-Range"] = stamp
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # Range Not Satisfiable: `part` is longer than the file
            part.unlink()
        elif error.code < 500 and error.code != 429:
            raise SourceError(f"{url}: {error.code} {error.reason}") from error
        raise _Interrupted(f"{error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise SourceError(
                f"{url}: {reason.verify_message}: this Python knows no certificate for it "
                "(on macOS run its Install Certificates.command; behind a proxy set SSL_CERT_FILE)"
            ) from error
        raise _Interrupted(str(reason)) from error
    sent = response.headers.get("Content-Range", "")
    if response.status == 206 and not sent.startswith(f"bytes {start}-"):
        response.close()
        part.unlink()
        raise _Interrupted(f"the server sent {sent!r} where bytes from {start} were asked for")
    return response


def _read(response: http.client.HTTPResponse) -> bytes:
    """The next bytes; separate, because errors of the disk are not to be tried again."""
    try:
        return response.read(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(str(error)) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _validator_of(part: Path) -> Path:
    """Where the ETag or the date of the file that `part` belongs to is kept."""
    return part.with_name(f"{part.name}.etag")


def _checksum(path: Path, like: str) -> str | None:
    """The checksum of a file by the algorithm of another; None if there is no file."""
    if not path.is_file():
        return None
    algorithm = like.partition(":")[0]
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


@contextlib.contextmanager
def _progress(name: str, *, unit: str) -> Iterator[Report]:
    """A progress bar on stderr; what it gives takes (done, of how many)."""
    from rich import progress
    from rich.console import Console

    amount = progress.DownloadColumn() if unit == "bytes" else progress.MofNCompleteColumn()
    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), amount)
    console = Console(stderr=True)
    with progress.Progress(
        *columns, progress.TimeRemainingColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task(f"Fetching {name}", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
