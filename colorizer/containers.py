"""What PNG and TIFF hold beside the samples of a photograph, byte for byte.

Neither Pillow nor tifffile keeps an EXIF block as it stands. Here it is patched in place and never
re-encoded, so that maker notes, whose offsets nobody knows, stay valid. A TIFF file scatters EXIF
among its own tags: only from there it is gathered anew.

References: TIFF 6.0 (Adobe, 1992), PNG third edition (W3C, 2025), EXIF 3.0 (CIPA DC-008, 2023).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import Image

ORIENTATION, ICC_PROFILE = 274, 34675
"""Tags of a TIFF's main IFD."""

_ZLIB_LEVEL = 4  # measured on photographs: half the time of the default 6 for 10% more bytes
_STRIP_ROWS = 64
_METRES_PER_INCH = 0.0254

_NO_EXIF = b"II*\0\x08\0\0\0" + bytes(6)  # a header and an IFD without entries
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 0x8769, 0x8825, 0xA005
# The tags of a TIFF's main IFD that speak of the photograph rather than of the layout of its
# samples: description, make, model, software, date, artist, host, rating, copyright, Windows' XP*.
# Where tifffile writes a file, the description tells the layout instead: {"shape": [40, 60]}.
_LAYOUT = '{"shape":'
_PORTABLE_TAGS = {270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096)}
_TIFF_LETTERS = {3: "H", 4: "L", 5: "L", 7: "B"}  # short, long, rational (a pair), bytes


def reset_exif(exif: bytes | None) -> tuple[int, bytes | None]:
    """Take the orientation out of an EXIF block, and cut off its thumbnail (the next IFD).

    Args:
        exif: with or without the prefix of a JPEG segment; None = the file has none.

    Returns:
        The orientation, 1 to 8 as EXIF numbers them, and the block without prefix, its orientation
        1; 1 and None if there is none or it is damaged.
    """
    block = bytearray((exif or b"").removeprefix(b"Exif\0\0"))
    orientation = 1
    try:
        order, tags, link = _exif_entries(block)
        if len(block) == link:  # some writers leave the link out
            block += bytes(4)
        struct.pack_into(f"{order}L", block, link, 0)
        if ORIENTATION in tags:
            at = tags[ORIENTATION] + 8
            (orientation,) = struct.unpack_from(f"{order}H", block, at)
            struct.pack_into(f"{order}H", block, at, 1)
    except (KeyError, struct.error):  # none, or damaged: no viewer will read an orientation there
        return 1, None
    return orientation, bytes(block)


def tiff_exif(
    file: BinaryIO, tif: Any, page: Any
) -> tuple[bytes | None, tuple[float, float] | None]:
    """Gather the EXIF block and the resolution that a TIFF file keeps among its own tags.

    Args:
        file, tif, page: the open file, tifffile's view of it, and the page of the photograph.

    Returns:
        The block, and horizontal and vertical dots per inch (0 where the file states no unit); None
        for what there is not, or for both if the tags are damaged.
    """
    source, block = Image.Exif(), Image.Exif()
    source.endian, source.bigtiff = tif.byteorder, tif.is_bigtiff
    try:
        source.load_from_fp(file, page.offset)
        for tag in _PORTABLE_TAGS.intersection(source):
            if not str(source[tag]).startswith(_LAYOUT):
                block[tag] = _as_stored(source[tag])
        for tag in {_EXIF_IFD, _GPS_IFD}.intersection(source):
            block[tag] = {key: _as_stored(value) for key, value in source.get_ifd(tag).items()}
        if _INTEROP_IFD in block.get(_EXIF_IFD, {}):
            block[_EXIF_IFD][_INTEROP_IFD] = source.get_ifd(_INTEROP_IFD)
        exif = block.tobytes().removeprefix(b"Exif\0\0") if len(block) else None
        unit = {2: 1, 3: 100 * _METRES_PER_INCH}.get(source.get(296, 2), 0)  # inch, cm, none
        return exif, (float(source.get(282, 0)) * unit, float(source.get(283, 0)) * unit)
    except Exception:  # Pillow's reader of EXIF raises nearly anything; the picture is still good
        return None, None


class _Text(str):
    """Text whose bytes stay: Pillow reads any as Latin-1, and would write it as ASCII."""

    def encode(self, *_: str) -> bytes:
        return super().encode("latin-1")


def _as_stored(value: Any) -> Any:
    return _Text(value) if isinstance(value, str) else value


def encode_png(
    samples: np.ndarray,
    *,
    exif: bytes | None = None,
    icc_profile: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytes:
    """A PNG file.

    Args:
        samples: (H, W) gray or (H, W, 3 or 4) RGB, alpha last; uint8 or uint16.
        exif: goes into an eXIf chunk as it is.
        icc_profile: as it is.
        dpi: horizontal and vertical, rounded to whole pixels a metre.
    """
    import imagecodecs

    png = bytes(imagecodecs.png_encode(np.ascontiguousarray(samples), level=_ZLIB_LEVEL))
    chunks = b""
    if icc_profile:
        chunks += _png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
    if dpi:
        per_metre = (round(each / _METRES_PER_INCH) for each in dpi)
        chunks += _png_chunk(b"pHYs", struct.pack(">LLB", *per_metre, 1))
    if exif:
        chunks += _png_chunk(b"eXIf", exif)
    header = 33  # the signature (8 bytes) and IHDR (25), which has to come first
    return png[:header] + chunks + png[header:]


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def encode_tiff(
    samples: np.ndarray,
    *,
    exif: bytes | None = None,
    icc_profile: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> bytearray:
    """A deflated TIFF file around the EXIF block; arguments as for `encode_png`.

    The block, itself a TIFF file without a picture, comes first: its offsets count from the
    beginning of the file, so that all of it stays valid. Then follow the strips and a new main
    IFD, which takes over the entries about the photograph.
    """
    import imagecodecs

    out = bytearray(exif or _NO_EXIF)
    order, tags, _ = _exif_entries(out)
    kept = (_PORTABLE_TAGS | {_EXIF_IFD, _GPS_IFD}).intersection(tags)
    entries = {tag: bytes(out[tags[tag] : tags[tag] + 12]) for tag in kept}
    offsets, counts = [], []
    for top in range(0, samples.shape[0], _STRIP_ROWS):
        difference = samples[top : top + _STRIP_ROWS].copy()
        difference[:, 1:] -= samples[top : top + _STRIP_ROWS, :-1]
        ordered = difference.astype(difference.dtype.newbyteorder(order))
        data = bytes(imagecodecs.deflate_encode(ordered.tobytes(), level=_ZLIB_LEVEL))
        offsets.append(_append(out, data))
        counts.append(len(data))
    fields = _sample_fields(samples, offsets, counts)
    if icc_profile:
        fields[ICC_PROFILE] = (7, icc_profile)
    if dpi:
        horizontal, vertical = (round(each * 1000) for each in dpi)
        fields |= {282: (5, [horizontal, 1000]), 283: (5, [vertical, 1000]), 296: (3, [2])}
    for tag, (kind, values) in fields.items():
        packed = struct.pack(f"{order}{len(values)}{_TIFF_LETTERS[kind]}", *values)
        if len(packed) > 4:
            packed = struct.pack(f"{order}L", _append(out, packed))
        count = len(values) // 2 if kind == 5 else len(values)
        entries[tag] = struct.pack(f"{order}HHL", tag, kind, count) + packed.ljust(4, b"\0")
    ifd = b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    start = _append(out, struct.pack(f"{order}H", len(entries)) + ifd)
    struct.pack_into(f"{order}L", out, 4, start)
    return out


def _append(out: bytearray, data: bytes) -> int:
    """Append at the next even offset, as TIFF asks for, and return that offset."""
    out += bytes(len(out) % 2)
    out += data
    return len(out) - len(data)


def _sample_fields(
    samples: np.ndarray, offsets: Sequence[int], counts: Sequence[int]
) -> dict[int, tuple[int, Sequence[int]]]:
    """Tag → type (see `_TIFF_LETTERS`) and values of all that describes the samples."""
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    fields: dict[int, tuple[int, Sequence[int]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [8 * samples.itemsize] * channels),
        259: (3, [8]),  # deflate
        262: (3, [1 if channels == 1 else 2]),  # gray, 0 being black, or RGB
        273: (4, offsets),
        ORIENTATION: (3, [1]),
        277: (3, [channels]),
        278: (4, [_STRIP_ROWS]),
        279: (4, counts),
        284: (3, [1]),  # the channels of a pixel side by side
        317: (3, [2]),  # each sample as the difference from its left neighbour
    }
    if channels == 4:
        fields[338] = (3, [2])  # alpha that the colour is not multiplied by
    return fields


def _exif_entries(exif: bytearray) -> tuple[Literal["<", ">"], dict[int, int], int]:
    """Byte order, tag → position of the main IFD's entries, position of the link to the next."""
    orders: dict[bytes, Literal["<", ">"]] = {b"II*\0": "<", b"MM\0*": ">"}
    order = orders[bytes(exif[:4])]
    (start,) = struct.unpack_from(f"{order}L", exif, 4)
    (count,) = struct.unpack_from(f"{order}H", exif, start)
    end = start + 2 + 12 * count
    tags = {struct.unpack_from(f"{order}H", exif, at)[0]: at for at in range(start + 2, end, 12)}
    return order, tags, end
