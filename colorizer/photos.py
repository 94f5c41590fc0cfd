"""Photographs on disk: read and written without losing anything that colouring does not change.

Reading gives the samples of a photograph as an upright array, and everything else that the file
says about it (alpha, EXIF, ICC profile, resolution) as it stands, so that `write_photo` can put
it into the coloured file. The conventions:

* **Depth.** 8-bit files give uint8, deeper ones uint16, exactly (9 to 15 bits are stretched to 16).
  Pillow cuts 16-bit colour to 8 bits, so such files go through imagecodecs (PNG) and tifffile.
  Floats are read as samples from 0 to 1; any other range, and 32-bit integers, are refused,
  because the file does not say which value is white.
* **Colour.** Palette and YCbCr become RGB. CMYK and Lab become sRGB, CMYK through its ICC profile
  if there is one. An RGB profile is kept beside the samples that it describes; `in_srgb` converts
  them where that is another space. A gray one cannot describe a colour photograph, so the samples
  are converted to sRGB (in their own depth).
* **Orientation** is applied and its tag set to 1. The link in EXIF to the embedded thumbnail, which
  would show the old picture, is cut; `containers` keeps the rest as it stands.
* **What a format cannot hold**: JPEG and BMP have no alpha (Pillow's 32-bit BMP is read back
  without it), so `write_photo` refuses a photograph that is not opaque. JPEG, WebP and BMP are
  rounded to 8 bits. JPEG is written with all of its chroma; lossy WebP always halves it. BMP
  drops EXIF and gets sRGB samples in place of an ICC profile. XMP is not kept, nor is it asked
  for the orientation.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from colorizer.containers import (
    ICC_PROFILE,
    ORIENTATION,
    encode_png,
    encode_tiff,
    reset_exif,
    tiff_exif,
)

MAX_PIXELS = 400_000_000
"""Larger photographs are refused from their header: a bomb of a few kilobytes, not a scan."""

_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
}
SUFFIXES = frozenset(_FORMATS)
"""The suffixes, in lower case, of the files that count as photographs in a folder."""

ENDINGS = " ".join(_FORMATS)
"""They as an error names them."""
_EXPECTED = "expected a JPEG, PNG, TIFF, WebP or BMP photograph"
_SIDE_LIMITS = {"JPEG": 65_500, "WEBP": 16_383}  # libjpeg's JPEG_MAX_DIMENSION, WEBP_MAX_DIMENSION
_LARGEST_DPI = 2**32 // 1000 - 1  # written in thousandths of four bytes
_JPEG_DPI_LIMIT = 2**16 - 1
_JPEG_EXIF_LIMIT = 65_527  # an APP1 segment: 65535 less its length field and the name "Exif\0\0"

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NOT_A_PHOTO = 0b101  # NewSubfileType: bit 0 a thumbnail of another page, bit 2 its mask
_SUB_IFDS = 330  # pages below a page: where a camera's raw samples are

_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda array: array,
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: np.rot90(array, -1),
    7: lambda array: array[::-1, ::-1].swapaxes(0, 1),
    8: lambda array: np.rot90(array),
}
_RENAME_REFUSES = os.name == "nt"  # to replace a file; elsewhere it replaces without a word
_DECODERS_LOCK = threading.Lock()


class PhotoError(ValueError):
    """A file that is not a photograph this package can read or write; the message is one line."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Photo:
    """A photograph as read from a file, upright.

    Attributes:
        pixels: Shape (H, W) for gray or (H, W, 3) for RGB, uint8 or uint16, C-contiguous.
        alpha: Opacity, shape (H, W), dtype of `pixels`; None if the file has no alpha.
        exif: The EXIF block, beginning with its TIFF header; its orientation is 1.
        icc_profile: The RGB profile that describes `pixels`; None means sRGB.
        format: "JPEG", "PNG", "TIFF", "WEBP" or "BMP".
        dpi: Horizontal and vertical resolution in dots per inch, if the file states it.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    exif: bytes | None = None
    icc_profile: bytes | None = None
    format: str
    dpi: tuple[float, float] | None = None


def read_photo(path: str | os.PathLike[str]) -> Photo:
    """Read a photograph completely, whatever its suffix says it is.

    Args:
        path: A JPEG, PNG, TIFF, WebP or BMP file with one picture in it.

    Returns:
        The photograph, upright, and what its file says about it.

    Raises:
        PhotoError: If it does not exist, may not be read, is none of these formats, is damaged,
            truncated, animated, larger than `MAX_PIXELS`, or of samples without a known white.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise PhotoError(f"{'a folder' if path.is_dir() else 'not a file'}; {_EXPECTED}")
        with path.open("rb") as file, _decoders_set_up():
            return _decode(file)
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}") from error.__cause__
    except UnidentifiedImageError as error:
        reason = "unknown format, damaged header or no pixels"
        raise PhotoError(f"{path}: {reason}; {_EXPECTED}") from error
    # On damaged files decoders raise nearly anything: struct.error, KeyError, zlib.error, ...
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise PhotoError(f"{path}: {error.strerror}; {_EXPECTED}") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PhotoError(f"{path}: damaged or truncated ({reason}); {_EXPECTED}") from error


@contextlib.contextmanager
def _decoders_set_up() -> Iterator[None]:
    """Suspend what the decoders keep per process: a size limit, leniency, warnings, a log."""
    log = logging.getLogger("tifffile")
    with _DECODERS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, log.disabled
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, log.disabled = None, False, True
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, log.disabled = before


def _decode(file: BinaryIO) -> Photo:
    magic = file.read(4)
    if not magic:
        raise PhotoError(f"the file is empty (0 bytes); {_EXPECTED}")
    if magic in _TIFF_MAGIC:
        return _decode_tiff(file)
    with Image.open(file, formats=["JPEG", "PNG", "WEBP", "BMP", "GIF"]) as image:
        _check_size(*image.size)
        # Phones store depth and gain maps as further pictures of a JPEG (MPO): not an animation.
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        _check_frames(frames)
        if image.format == "GIF":
            raise PhotoError(f"a GIF image; {_EXPECTED}")
        image.load()  # first, for a PNG may put its EXIF behind the samples
        info = image.info
        icc: bytes | None = info.get("icc_profile")
        file.seek(24)  # the bit depth in a PNG's IHDR
        if image.format == "PNG" and file.read(1) == b"\x10":
            import imagecodecs

            file.seek(0)
            samples: np.ndarray = imagecodecs.png_decode(file.read())
        else:
            samples, icc = _pillow_samples(image, icc)
        orientation, exif = reset_exif(info.get("exif"))
        format_ = "JPEG" if image.format == "MPO" else str(image.format)
        return _photo(samples, orientation, icc, info.get("dpi"), exif=exif, format=format_)


def _check_size(width: int, height: int) -> None:
    if min(width, height) < 1:
        raise PhotoError(f"{width} x {height} pixels; expected at least 1 x 1")
    if width * height > MAX_PIXELS:
        limit = f"{MAX_PIXELS / 1e6:g} megapixels"
        raise PhotoError(f"{width} x {height} pixels; expected at most {limit}")


def _check_frames(frames: int) -> None:
    if frames > 1:
        raise PhotoError(f"an animation or document of {frames} frames; expected one picture")


def _decode_tiff(file: BinaryIO) -> Photo:
    import tifffile

    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with tifffile.TiffFile(file) as tif:
        pages: list[Any] = list(tif.pages)
        photos = [i for i, page in enumerate(pages) if not page.subfiletype & _NOT_A_PHOTO]
        if not photos and _SUB_IFDS in pages[0].tags:
            raise PhotoError(f"a camera's raw photograph, or only its thumbnail; {_EXPECTED}")
        photos = photos or [0]
        _check_frames(len(photos))
        page = pages[photos[0]]
        _check_size(page.imagewidth, page.imagelength)
        # The decoders would fill a missing strip with zeros.
        strips = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        if not strips or any(count == 0 or start + count > size for start, count in strips):
            raise PhotoError(f"strips of samples are missing; {_EXPECTED}")
        exif, dpi = tiff_exif(file, tif, page)
        icc = page.tags.valueof(ICC_PROFILE)
        orientation = int(page.tags.valueof(ORIENTATION, default=1))
        if page.bitspersample > 8:
            samples, icc = _tifffile_samples(page, icc)
        else:
            with Image.open(file, formats=["TIFF"]) as image:
                image.seek(photos[0])
                image.load()
                samples, icc = _pillow_samples(image, icc)
            # Pillow turns the samples of TIFF, and of nothing else, by itself.
            dpi, orientation = _upright_dpi(dpi, orientation), 1
        return _photo(samples, orientation, icc, dpi, exif=exif, format="TIFF")


def _pillow_samples(image: Image.Image, icc: bytes | None) -> tuple[np.ndarray, bytes | None]:
    """Samples (H, W[, 2 to 4]) of an image, alpha last, and the profile that describes them."""
    if image.mode == "CMYK":
        return _cmyk_to_rgb(np.asarray(image), icc), None
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    mode += "A" * image.has_transparency_data
    return np.asarray(image if image.mode == mode else image.convert(mode)), icc


def _tifffile_samples(page: Any, icc: bytes | None) -> tuple[np.ndarray, bytes | None]:
    """As `_pillow_samples`, for a TIFF page of more than 8 bits."""
    colours = {0: 1, 1: 1, 2: 3, 5: 4}.get(page.photometric)  # white is zero, gray, RGB, CMYK
    if colours is None or page.axes not in ("YX", "YXS", "SYX"):
        kind = getattr(page.photometric, "name", page.photometric)
        raise PhotoError(f"{kind} samples of {page.bitspersample} bits; expected gray, RGB or CMYK")
    samples = _to_uint16(page.asarray(), page.bitspersample)
    if page.axes == "SYX":
        samples = np.moveaxis(samples, 0, 2)
    samples = samples.reshape(*samples.shape[:2], -1)
    colour, extra = samples[..., :colours], samples[..., colours : colours + 1]
    if page.photometric == 0:
        colour = 65535 - colour
    if page.photometric == 5:
        colour, icc = _cmyk_to_rgb(colour, icc), None
    # ExtraSamples: 0 something unknown, 1 alpha that the colour is multiplied by, 2 alpha
    meaning = (page.extrasamples or (0,))[0]
    if not extra.size or meaning == 0:
        return colour, icc
    if meaning == 1:
        colour = np.minimum(np.rint(colour * (65535 / np.maximum(extra, 1))), 65535)
    return np.concatenate([colour.astype(np.uint16), extra], axis=2), icc


def _to_uint16(samples: np.ndarray, bits: int) -> np.ndarray:
    if samples.dtype.kind == "f":
        low, high = float(samples.min()), float(samples.max())
        if not (low >= 0 and high <= 1):  # this way round, NaN is refused too
            raise PhotoError(f"float samples from {low:g} to {high:g}; expected 0 to 1")
        return np.rint(samples.astype(np.float32) * 65535).astype(np.uint16)
    if samples.dtype != np.uint16:
        raise PhotoError(f"{samples.dtype} samples; expected unsigned ones of up to 16 bits")
    if bits == 16:
        return samples
    white = 2**bits - 1
    return ((samples.astype(np.uint32) * 65535 + white // 2) // white).astype(np.uint16)


def _cmyk_to_rgb(cmyk: np.ndarray, icc: bytes | None) -> np.ndarray:
    if icc and _colour_space(icc) == b"CMYK":
        with contextlib.suppress(RuntimeError):  # a damaged profile: as if there were none
            return _to_srgb(cmyk, icc, "cmyk")
    white = int(np.iinfo(cmyk.dtype).max)
    rgb = white - cmyk[..., :3]
    light = (white - cmyk[..., 3]).astype(np.uint32)  # 65535² just fits
    for channel in range(3):  # one by one, for uint32 doubles or quadruples the memory
        rgb[..., channel] = (rgb[..., channel] * light + white // 2) // white
    return rgb


def _colour_space(icc: bytes | None) -> bytes:
    """The colour space in a profile's header, such as b"GRAY"; b"" if it is no ICC profile."""
    return icc[16:20] if icc and icc[36:40] == b"acsp" else b""


@functools.cache
def _srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _to_srgb(samples: np.ndarray, icc: bytes, colorspace: str) -> np.ndarray:
    """Convert to sRGB of the same depth; ImageCms would give 8 bits. RuntimeError if it cannot."""
    import imagecodecs

    converted: np.ndarray = imagecodecs.cms_transform(
        np.ascontiguousarray(samples),
        icc,
        _srgb_profile(),
        colorspace=colorspace,
        outcolorspace="rgb",
        # lcms's shortcut is off by half a gray level near black; of a ramp, exactness is cheap
        flags=imagecodecs.CMS.FLAGS.NOOPTIMIZE if colorspace == "gray" else None,
    )
    return converted


@functools.lru_cache(maxsize=16)
def _is_srgb(icc: bytes) -> bool:
    """Whether a profile of RGB changes colours by no more than rounding."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    return bool((np.abs(_to_srgb(cube, icc, "rgb").astype(int) - cube) <= 2).all())


def _grays_to_srgb(grays: np.ndarray, icc: bytes, colorspace: str) -> np.ndarray:
    """Gray samples (H, W) by a profile of gray, or by one of RGB: there are only so many."""
    ramp = np.arange(np.iinfo(grays.dtype).max + 1, dtype=grays.dtype)[None]
    samples = ramp if colorspace == "gray" else np.stack([ramp] * 3, axis=-1)
    return _to_srgb(samples, icc, colorspace)[0, :, 1][grays]


def in_srgb(photo: Photo) -> Photo:
    """The photograph in sRGB: the same one, unless its profile tells of other colours.

    What a network answers is sRGB; under a wider profile it would show too vivid.
    """
    icc, pixels = photo.icc_profile, photo.pixels
    if icc is None:
        return photo
    try:
        if _is_srgb(icc):
            return photo
        convert = _grays_to_srgb if pixels.ndim == 2 else _to_srgb
        pixels = convert(pixels, icc, "rgb")
    except RuntimeError:  # a damaged profile: as if there were none
        return photo
    # Told by a profile, for EXIF may go on telling of the other space.
    return replace(photo, pixels=pixels, icc_profile=_srgb_profile())


def _photo(
    samples: np.ndarray,
    orientation: int,
    icc: bytes | None,
    dpi: tuple[float, float] | None,
    **rest: Any,
) -> Photo:
    """Split off alpha, resolve a gray profile and turn the photograph upright."""
    samples = samples.reshape(*samples.shape[:2], -1)
    channels = samples.shape[2]
    alpha = samples[..., -1] if channels in (2, 4) else None
    pixels = samples[..., :3] if channels > 2 else samples[..., 0]
    if icc and pixels.ndim == 2 and _colour_space(icc) == b"GRAY":
        with contextlib.suppress(RuntimeError):  # a damaged profile: as if there were none
            pixels = _grays_to_srgb(pixels, icc, "gray")
    turn = _TURNS.get(orientation, _TURNS[1])
    return Photo(
        pixels=np.ascontiguousarray(turn(pixels)),
        alpha=None if alpha is None else np.ascontiguousarray(turn(alpha)),
        icc_profile=icc if _colour_space(icc) == b"RGB " else None,
        dpi=_upright_dpi(dpi, orientation),
        **rest,
    )


def _upright_dpi(dpi: tuple[float, float] | None, orientation: int) -> tuple[float, float] | None:
    if dpi is None or not all(0 < each <= _LARGEST_DPI for each in dpi):  # NaN is none too
        return None
    horizontal, vertical = dpi[::-1] if orientation in (5, 6, 7, 8) else dpi
    return float(horizontal), float(vertical)


def identity(path: Path) -> object:
    """What two names of one file have in common, also where case does not tell them apart."""
    try:
        found = path.stat()
    except OSError:
        return path.resolve()
    return found.st_dev, found.st_ino


def check_target(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Checks what can be known of a file before there is anything to write.

    Raises:
        PhotoError: If the suffix is unknown.
        FileExistsError: If it exists and `overwrite` is false.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise PhotoError(f"{path}: suffix {path.suffix!r}; expected one of {ENDINGS}")
    if not overwrite and os.path.lexists(path):
        raise _exists(path)


def write_photo(
    path: str | os.PathLike[str],
    pixels: np.ndarray,
    *,
    like: Photo | None = None,
    quality: int = 95,
    overwrite: bool = False,
) -> None:
    """Write a photograph; the file appears complete or not at all.

    The suffix of `path` gives the format. PNG and TIFF keep every bit; JPEG (4:4:4), WebP and BMP
    are rounded to 8 bits. BMP drops EXIF and is converted to sRGB.

    Args:
        path: The file, ending in one of `SUFFIXES`, in a folder that exists.
        pixels: RGB of shape (H, W, 3), or, without `like`, gray of shape (H, W); uint8 or uint16.
        like: The photograph whose alpha, EXIF, ICC profile and resolution are taken over.
        quality: Of JPEG and WebP, 1 to 100.
        overwrite: Replace `path` if it exists.

    Raises:
        PhotoError: If the suffix is unknown, or the format cannot hold that many pixels a side,
            that much EXIF, or alpha that is not opaque throughout.
        ValueError: If an argument has the wrong shape, dtype or range.
        FileExistsError: If `path` exists and `overwrite` is false.
        OSError: If the folder is missing, not writable, or the disk is full.
    """
    path = Path(path)
    check_target(path, overwrite=overwrite)  # early, to save the encoding
    _publish(_encoded(path, pixels, like, quality), path, overwrite)


def write_together(
    photos: Sequence[tuple[str | os.PathLike[str], np.ndarray, Photo | None]],
    *,
    overwrite: bool = False,
) -> None:
    """Write several photographs (path, pixels, like): all, or none of those that were not there.

    Nothing is replaced before all are encoded. Arguments and errors are those of `write_photo`.
    """
    for path, *_ in photos:
        check_target(path, overwrite=overwrite)
    encoded = [(Path(p), _encoded(Path(p), pixels, like, quality=95)) for p, pixels, like in photos]
    new: list[Path] = []
    try:
        for path, data in encoded:
            there = os.path.lexists(path)
            _publish(data, path, overwrite)
            if not there:
                new.append(path)
    except BaseException:  # Ctrl-C as well
        for path in new:
            path.unlink(missing_ok=True)
        raise


def _encoded(path: Path, pixels: np.ndarray, like: Photo | None, quality: int) -> bytes | bytearray:
    format_ = _FORMATS[path.suffix.lower()]
    gray = pixels.ndim == 2
    if not (gray or pixels.shape[2:] == (3,)) or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"pixels: {pixels.dtype} of shape {pixels.shape}; expected uint8 or uint16, (H, W, 3) "
            "or (H, W)"
        )
    if gray and like is not None:  # its profile is of RGB
        raise ValueError(f"pixels: shape {pixels.shape}; expected (H, W, 3) with like")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality: {quality}; expected 1 to 100")
    like = like or Photo(pixels=pixels, format=format_)
    try:
        return _encode(pixels, like, format_, quality)
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}") from None


def _exists(path: Path) -> FileExistsError:
    return FileExistsError(f"{path}: exists already; overwrite=True (--overwrite) replaces it")


def _publish(data: bytes | bytearray, path: Path, overwrite: bool) -> None:
    """Write under a hidden name beside `path`, then rename: nobody ever sees half a file."""
    temporary = path.with_name(f".colorizer-{uuid.uuid4().hex[:8]}.tmp")
    claimed = False
    try:
        with temporary.open("xb") as file:  # unlike tempfile's, of the usual permissions
            file.write(data)
        if not overwrite and not _RENAME_REFUSES:
            # An empty file claims the name, and the rename replaces it. Unlike a hard link this
            # works on every file system, and unlike a look beforehand it is free of races.
            path.open("xb").close()
            claimed = True
        (os.replace if overwrite or claimed else os.rename)(temporary, path)
    except BaseException as error:  # Ctrl-C too must not leave anything behind
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if claimed:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise _exists(path) from None
        if isinstance(error, OSError) and error.errno:  # name the file that the user named
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _encode(pixels: np.ndarray, like: Photo, format_: str, quality: int) -> bytes | bytearray:
    """Encode in memory, so that a full disk is met by a plain write and reported as such."""
    if max(pixels.shape) > _SIDE_LIMITS.get(format_, max(pixels.shape)):
        size = f"{pixels.shape[1]} x {pixels.shape[0]} pixels"
        raise PhotoError(f"{size}; expected at most {_SIDE_LIMITS[format_]} a side in {format_}")
    deep = format_ in ("PNG", "TIFF") and pixels.dtype == np.uint16
    samples = _with_alpha(_to_depth(pixels, deep=deep), like.alpha, format_)
    icc, exif = like.icc_profile, like.exif
    if format_ in ("PNG", "TIFF"):
        encode = encode_png if format_ == "PNG" else encode_tiff
        return encode(samples, exif=exif, icc_profile=icc, dpi=like.dpi)
    if format_ == "BMP" and icc:
        with contextlib.suppress(RuntimeError):  # a damaged profile: as if there were none
            samples = _to_srgb(samples, icc, "rgb")
    options: dict[str, Any] = {"icc_profile": icc, "quality": quality}
    if format_ == "JPEG" and exif and len(exif) > _JPEG_EXIF_LIMIT:
        raise PhotoError(f"{len(exif)} bytes of EXIF; expected at most {_JPEG_EXIF_LIMIT} in JPEG")
    if exif and format_ != "BMP":
        options["exif"] = b"Exif\0\0" + exif  # Pillow takes the prefix off again for WebP
    if like.dpi and not (format_ == "JPEG" and max(like.dpi) > _JPEG_DPI_LIMIT):
        options["dpi"] = like.dpi
    if format_ == "JPEG":
        options["subsampling"] = 0  # 4:4:4: the colour edges are what this package makes
    if format_ == "WEBP":
        options["exact"] = True  # keeps the colour where alpha is 0
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, format_, **options)
    return buffer.getvalue()


def _to_depth(samples: np.ndarray, *, deep: bool) -> np.ndarray:
    if deep == (samples.dtype == np.uint16):
        return samples
    if deep:
        return samples.astype(np.uint16) * np.uint16(257)
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _with_alpha(samples: np.ndarray, alpha: np.ndarray | None, format_: str) -> np.ndarray:
    if alpha is None:
        return samples
    if alpha.shape != samples.shape[:2]:
        raise ValueError(f"like.alpha: shape {alpha.shape}; expected {samples.shape[:2]} of pixels")
    if format_ in ("PNG", "TIFF", "WEBP"):
        return np.dstack([samples, _to_depth(alpha, deep=samples.dtype == np.uint16)])
    if (alpha < np.iinfo(alpha.dtype).max).any():
        raise PhotoError(f"{format_} cannot hold transparency; expected .png, .tif or .webp")
    return samples
