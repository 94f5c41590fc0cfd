"""Photographs on disk: every format, depth and damage; files appear whole or not at all."""

import io
import os
import re
import stat
import struct
import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageFile

from colorizer import photos
from colorizer.containers import reset_exif
from colorizer.photos import Photo, PhotoError, read_photo, write_photo

HEIGHT, WIDTH = 7, 5
ORIENTATION, EXIF_IFD, GPS_IFD, INTEROP_IFD = 274, 0x8769, 0x8825, 0xA005
MAKER_NOTE = 0x927C
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GRAY_22 = bytes(imagecodecs.cms_profile("gray", gamma=2.2))
PROPHOTO = {  # white point and primaries, each x, y, Y
    "whitepoint": [0.3457, 0.3585, 1.0],
    "primaries": [0.7347, 0.2653, 1.0, 0.1596, 0.8404, 1.0, 0.0366, 0.0001, 1.0],
}
WIDE_RGB = bytes(imagecodecs.cms_profile("rgb", gamma=1.8, **PROPHOTO))
LOSSLESS = ["photo.png", "photo.tif", "photo.bmp"]


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    high = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, high, shape, dtype=dtype, endpoint=True)


def smooth(height: int = 48, width: int = 64) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([3 * x + 20, 4 * y + 30, 200 - 2 * x - y], axis=2).astype(np.uint8)


def exif_block(orientation: int = 1, *, thumbnail: bool = False, order: str = ">") -> bytes:
    """An EXIF block with text, GPS, interoperability and a maker note, as cameras write it."""
    exif = Image.Exif()
    exif.endian = order
    exif[271], exif[272], exif[ORIENTATION] = "Maker", "Model with a long name", orientation
    exif[EXIF_IFD] = {
        0x9003: "1999:12:31 23:59:59",
        0x829A: 0.004,
        MAKER_NOTE: b"maker note\0\1\2",
        INTEROP_IFD: {1: "R98"},
    }
    exif[GPS_IFD] = {1: "N", 2: (52.0, 31.0, 12.0)}
    block = bytearray(exif.tobytes().removeprefix(b"Exif\0\0"))
    if thumbnail:
        link = 8 + 2 + 12 * len(exif)
        struct.pack_into(f"{order}L", block, link, len(block))
        block += struct.pack(f"{order}HHHLHHL", 1, 259, 3, 1, 6, 0, 0)
    return bytes(block)


def describe(exif: bytes | None) -> dict[object, object]:
    assert exif is not None
    parsed = Image.Exif()
    parsed.load(exif)
    flat = {tag: value for tag, value in parsed.items() if tag not in (EXIF_IFD, GPS_IFD)}
    for ifd in (EXIF_IFD, GPS_IFD, INTEROP_IFD):
        for tag, value in parsed.get_ifd(ifd).items():
            if tag != INTEROP_IFD:
                flat[ifd, tag] = value
    return flat


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def png_bytes(height: int, width: int, rows: bytes, *, depth: int, colour: int, **more: bytes):
    header = struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), *(chunk(k.encode(), v) for k, v in more.items())
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + body


def encoded(image: Image.Image, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def cmyk_profile() -> bytes:
    """A minimal CMYK printer profile: Lab lightness falls with the black ink, and only with it."""
    ramp = bytes(range(256))
    corners = b"".join(bytes([0 if k else 255, 128, 128]) for _ in range(8) for k in (0, 1))
    identity = (65536 * np.eye(3)).astype(">i4").tobytes()
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + corners + ramp * 3
    header = struct.pack(
        ">L4sL4s4s4s", 132 + 12 + len(table), b"lcms", 0x02400000, b"prtr", *COLOURS
    )
    header += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += struct.pack(">3L", 0xF6D6, 0x10000, 0xD32D)
    tag = struct.pack(">L4sLL", 1, b"A2B0", 144, len(table))
    return header.ljust(128, b"\0") + tag + table


COLOURS = (b"CMYK", b"Lab ")


def save(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# Reading: samples


GRAY8, RGB8, RGBA8 = noise(HEIGHT, WIDTH), noise(HEIGHT, WIDTH, 3), noise(HEIGHT, WIDTH, 4)
PALETTE = Image.fromarray(GRAY8 % 4).convert("P")
PALETTE.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
PALETTE_RGB = np.asarray(PALETTE.convert("RGB"))


@pytest.mark.parametrize(
    ("format_", "image", "options", "pixels", "alpha"),
    [
        *[
            (format_, image, {}, pixels, None)
            for format_ in ("PNG", "TIFF", "BMP")
            for image, pixels in [
                (Image.fromarray(GRAY8 > 99), np.where(GRAY8 > 99, 255, 0)),
                (Image.fromarray(GRAY8), GRAY8),
                (Image.fromarray(RGB8), RGB8),
                (PALETTE, PALETTE_RGB),
            ]
        ],
        *[
            (format_, Image.fromarray(samples), options, samples[..., :-1], samples[..., -1])
            for format_, options in [
                ("PNG", {}),
                ("TIFF", {}),
                ("TIFF", {"compression": "tiff_lzw"}),
                ("WEBP", {"lossless": True, "exact": True}),
            ]
            for samples in [RGBA8, RGBA8[..., :2]][: 1 if format_ == "WEBP" else 2]
        ],
        ("WEBP", Image.fromarray(RGB8), {"lossless": True}, RGB8, None),
        (
            "PNG",
            PALETTE,
            {"transparency": bytes([0, 128, 255, 7])},
            PALETTE_RGB,
            np.array([0, 128, 255, 7])[GRAY8 % 4],
        ),
        ("PNG", PALETTE, {"transparency": 2}, PALETTE_RGB, np.where(GRAY8 % 4 == 2, 0, 255)),
        (
            "PNG",
            Image.fromarray(GRAY8),
            {"transparency": int(GRAY8[0, 0])},
            GRAY8,
            np.where(GRAY8 - GRAY8[0, 0], 255, 0),
        ),
        ("TIFF", Image.fromarray(GRAY8 > 99), {"compression": "group4"}, 255 * (GRAY8 > 99), None),
    ],
)
def test_reads_8_bits_exactly(tmp_path, format_, image, options, pixels, alpha):
    # The wrong suffix on purpose: the content decides.
    photo = read_photo(save(tmp_path / "photo.jpg", encoded(image, format_, **options)))
    assert photo.format == format_
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.flags.c_contiguous
    np.testing.assert_array_equal(photo.pixels, np.squeeze(pixels))
    assert (photo.alpha is None) == (alpha is None)
    if alpha is not None:
        assert photo.alpha.dtype == np.uint8
        np.testing.assert_array_equal(photo.alpha, alpha)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_reads_16_bits_exactly(tmp_path, channels, suffix):
    samples = np.squeeze(noise(HEIGHT, WIDTH, channels, dtype=np.uint16))
    path = tmp_path / f"photo{suffix}"
    if suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(samples))
    else:
        alpha = ["unassalpha"] if channels in (2, 4) else None
        kind = "rgb" if channels > 2 else "minisblack"
        tifffile.imwrite(
            path,
            samples,
            photometric=kind,
            extrasamples=alpha,
            planarconfig="contig",
            metadata=None,
        )
    photo = read_photo(path)
    assert photo.pixels.dtype == np.uint16
    expected = samples if channels == 1 else samples[..., :3] if channels > 2 else samples[..., 0]
    np.testing.assert_array_equal(photo.pixels, expected)
    assert (photo.alpha is None) == (channels in (1, 3))
    if channels in (2, 4):
        assert photo.alpha.dtype == np.uint16
        np.testing.assert_array_equal(photo.alpha, samples[..., -1])


def test_reads_the_transparent_colour_of_a_16_bit_png(tmp_path):
    rows = b"\0" + struct.pack(">6H", 1, 2, 3, 400, 500, 60000)
    data = png_bytes(1, 2, rows, depth=16, colour=2, tRNS=struct.pack(">3H", 1, 2, 3))
    photo = read_photo(save(tmp_path / "a.png", data))
    assert photo.pixels.tolist() == [[[1, 2, 3], [400, 500, 60000]]]
    assert photo.alpha.tolist() == [[0, 65535]]


DEEP = noise(HEIGHT, WIDTH, 3, dtype=np.uint16)
FLOATS = np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("samples", "options", "pixels"),
    [
        (DEEP, {"photometric": "rgb", "byteorder": ">"}, DEEP),
        (DEEP, {"photometric": "rgb", "compression": "zlib", "predictor": True}, DEEP),
        (DEEP, {"photometric": "rgb", "bigtiff": True}, DEEP),
        (np.moveaxis(DEEP, 2, 0), {"photometric": "rgb", "planarconfig": "separate"}, DEEP),
        (DEEP[..., 0], {"photometric": "miniswhite"}, 65535 - DEEP[..., 0]),
        (DEEP[..., 0] >> 4, {"bitspersample": 12}, np.rint((DEEP[..., 0] >> 4) * (65535 / 4095))),
        (FLOATS, {}, np.rint(FLOATS * 65535)),
        (FLOATS.astype(np.float16), {}, np.rint(FLOATS.astype(np.float16).astype(float) * 65535)),
        (
            np.array([[[100, 200, 300, 65535], [100, 200, 300, 32768], [9, 9, 9, 0]]], np.uint16),
            {"photometric": "rgb", "extrasamples": ["assocalpha"]},
            np.array([[[100, 200, 300], [200, 400, 600], [65535] * 3]]),
        ),
        (
            noise(HEIGHT, WIDTH, 4, dtype=np.uint16),
            {"photometric": "rgb", "extrasamples": ["unspecified"]},
            noise(HEIGHT, WIDTH, 4, dtype=np.uint16)[..., :3],
        ),
    ],
)
def test_reads_what_tiff_can_be(tmp_path, samples, options, pixels):
    path = tmp_path / "photo.tif"
    tifffile.imwrite(path, samples, metadata=None, **options)
    photo = read_photo(path)
    assert photo.pixels.dtype == np.uint16
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert (photo.alpha is None) == (options.get("extrasamples") != ["assocalpha"])


@pytest.mark.parametrize("depth", [8, 16])
def test_reads_the_photo_beside_its_thumbnail_page(tmp_path, depth):
    path = tmp_path / "photo.tif"
    pixels = DEEP if depth == 16 else RGB8
    with tifffile.TiffWriter(path) as tif:
        tif.write(pixels[:2, :2], photometric="rgb", metadata=None, subfiletype=1)
        tif.write(pixels, photometric="rgb", metadata=None)
    np.testing.assert_array_equal(read_photo(path).pixels, pixels)


def test_reads_jpeg_ycbcr_and_lab(tmp_path):
    image = Image.fromarray(smooth())
    jpeg = read_photo(save(tmp_path / "a.jpg", encoded(image, "JPEG", quality=95, subsampling=0)))
    assert jpeg.format == "JPEG"
    assert np.abs(jpeg.pixels.astype(int) - smooth()).max() <= 4
    ycbcr = read_photo(save(tmp_path / "b.tif", encoded(image.convert("YCbCr"), "TIFF")))
    assert np.abs(ycbcr.pixels.astype(int) - smooth()).max() <= 3
    lab = Image.merge("LAB", [Image.new("L", (2, 2), value) for value in (136, 128, 128)])
    gray = read_photo(save(tmp_path / "c.tif", encoded(lab, "TIFF"))).pixels
    assert np.abs(gray.astype(int) - 127).max() <= 1  # L = 53.3 is sRGB 127


def test_reads_phone_jpeg_with_a_second_picture(tmp_path):
    image = Image.fromarray(smooth())
    data = encoded(image, "MPO", save_all=True, append_images=[Image.new("RGB", (9, 9))])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    photo = read_photo(save(tmp_path / "a.jpg", data))
    assert (photo.format, photo.pixels.shape) == ("JPEG", (48, 64, 3))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (1, 3), (3, 1)])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.bmp"])
def test_any_shape(tmp_path, shape, name):
    gray = np.full(shape, 77, np.uint8)
    path = tmp_path / name
    Image.fromarray(gray).save(path)
    photo = read_photo(path)
    assert photo.pixels.shape[:2] == shape
    write_photo(path, np.dstack([gray] * 3), like=photo, overwrite=True)
    again = read_photo(path).pixels
    assert again.shape == (*shape, 3)
    assert np.abs(again.astype(int) - 77).max() <= 1


# Reading: colour profiles, orientation


@pytest.mark.parametrize("depth", [8, 16])
def test_cmyk_without_and_with_profile(tmp_path, depth):
    ink = noise(HEIGHT, WIDTH, 4)
    path, icc = tmp_path / "photo.tif", cmyk_profile()
    samples = ink.astype(np.uint16) * 257 if depth == 16 else ink
    white = 2**depth - 1
    tifffile.imwrite(path, samples, photometric="separated", metadata=None)
    plain = read_photo(path)
    product = (1 - ink[..., :3] / 255) * (1 - ink[..., 3:] / 255)
    assert np.abs(plain.pixels / white - product).max() <= 1.01 / 255
    tifffile.imwrite(path, samples, photometric="separated", metadata=None, iccprofile=icc)
    photo = read_photo(path)
    expected = ImageCms.profileToProfile(
        Image.frombytes("CMYK", (WIDTH, HEIGHT), ink.tobytes()),
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    assert photo.icc_profile is None
    assert photo.pixels.dtype == samples.dtype
    assert np.abs(photo.pixels / white - np.asarray(expected) / 255).max() <= 1.01 / 255
    assert np.abs(photo.pixels / white - product).max() > 0.1  # the profile was used


def test_cmyk_jpeg(tmp_path):
    ink = Image.new("CMYK", (16, 16), (0, 128, 255, 0))
    photo = read_photo(save(tmp_path / "a.jpg", encoded(ink, "JPEG", quality=100)))
    assert np.abs(photo.pixels.astype(int) - [255, 127, 0]).max() <= 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_profile_becomes_srgb_in_the_same_depth(tmp_path, dtype):
    white = np.iinfo(dtype).max
    gray = np.linspace(0, white, 300).astype(dtype)[None]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, gray, photometric="minisblack", metadata=None, iccprofile=GRAY_22)
    photo = read_photo(path)
    light = (gray / white) ** 2.2
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert photo.icc_profile is None
    assert (photo.pixels.shape, photo.pixels.dtype) == (gray.shape, dtype)
    assert np.abs(photo.pixels / white - srgb).max() < 0.51 / 255 if dtype == np.uint8 else 2e-5
    if dtype == np.uint16:  # not by way of 8 bits
        assert len(np.unique(photo.pixels)) > 256


@pytest.mark.parametrize(
    ("array", "icc", "kept"),
    [
        (RGB8, WIDE_RGB, True),
        (GRAY8, WIDE_RGB, True),  # describes R = G = B = gray as well
        (RGB8, GRAY_22, False),
        (GRAY8, GRAY_22[:150], False),
        (RGB8, b"nonsense", False),
        (RGB8, b"sixteen letters RGB but no profile signature".ljust(200), False),
        (RGB8, cmyk_profile(), False),
    ],
)
def test_only_rgb_profiles_stay(tmp_path, array, icc, kept):
    image = Image.fromarray(array)
    photo = read_photo(save(tmp_path / "a.png", encoded(image, "PNG", icc_profile=icc)))
    assert photo.icc_profile == (icc if kept else None)
    np.testing.assert_array_equal(photo.pixels, array)


UPRIGHT = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)
STORED = {  # EXIF 3.0, 4.6.5.1: where row 0 and column 0 of the stored samples lie
    1: [[10, 20, 30], [40, 50, 60]],
    2: [[30, 20, 10], [60, 50, 40]],
    3: [[60, 50, 40], [30, 20, 10]],
    4: [[40, 50, 60], [10, 20, 30]],
    5: [[10, 40], [20, 50], [30, 60]],
    6: [[30, 60], [20, 50], [10, 40]],
    7: [[60, 30], [50, 20], [40, 10]],
    8: [[40, 10], [50, 20], [60, 30]],
    0: [[10, 20, 30], [40, 50, 60]],  # not in the standard: leave as is
    9: [[10, 20, 30], [40, 50, 60]],
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "png16", "tif8", "tif8-lzw", "tif16"])
def test_orientation_is_applied_once(tmp_path, kind, orientation):
    stored = np.array(STORED[orientation], np.uint8)
    alpha = stored + 100
    exif, dpi = exif_block(orientation), (100, 200)
    path = tmp_path / f"a.{kind[:3] if kind != 'webp' else 'webp'}"
    if kind.startswith("tif"):
        deep = stored.astype(np.uint16) if kind == "tif16" else stored
        both = np.dstack([deep, alpha.astype(deep.dtype)])
        tifffile.imwrite(
            path,
            both,
            photometric="minisblack",
            planarconfig="contig",
            extrasamples=["unassalpha"],
            metadata=None,
            compression="lzw" if "lzw" in kind else None,
            resolution=dpi,
            resolutionunit="INCH",
            extratags=[(ORIENTATION, 3, 1, orientation, True)],
        )
    elif kind == "png16":
        both = np.dstack([stored, alpha]).astype(np.uint16)
        data = bytes(imagecodecs.png_encode(both))
        path.write_bytes(data[:-12] + chunk(b"eXIf", exif) + data[-12:])  # after the samples
    elif kind == "jpg":  # blocks of 8, for JPEG does not keep single pixels
        blocks = stored.repeat(8, 0).repeat(8, 1)
        Image.fromarray(blocks).save(path, quality=100, exif=b"Exif\0\0" + exif, dpi=dpi)
    else:
        rgba = np.dstack([stored, stored, stored, alpha])
        options = {"lossless": True, "exact": True} if kind == "webp" else {"dpi": dpi}
        Image.fromarray(rgba).save(path, exif=exif, **options)
    photo = read_photo(path)
    pixels = photo.pixels[..., 0] if photo.pixels.ndim == 3 else photo.pixels
    pixels = pixels[::8, ::8] if kind == "jpg" else pixels
    assert pixels.tolist() == UPRIGHT.tolist()
    assert photo.pixels.flags.c_contiguous
    if photo.alpha is not None:
        assert photo.alpha.tolist() == (UPRIGHT + 100).tolist()
        assert photo.alpha.flags.c_contiguous
    assert (photo.alpha is None) == (kind == "jpg")
    if photo.dpi:
        assert photo.dpi == pytest.approx(
            dpi[::-1] if orientation in (5, 6, 7, 8) else dpi, rel=0.01
        )
    assert (photo.dpi is None) == (kind in ("webp", "png16"))
    # ... and never again, here or in another viewer
    copy = tmp_path / f"copy{path.suffix}"
    write_photo(copy, np.dstack([photo.pixels] * 3)[..., :3], like=photo)
    assert read_photo(copy).pixels.shape[:2] == photo.pixels.shape[:2]
    with Image.open(copy) as image:
        assert image.getexif().get(ORIENTATION, 1) == 1
        assert image.size == photo.pixels.shape[1::-1]


# Metadata from file to file


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("target", ["b.jpg", "b.png", "b.tif", "b.webp"])
@pytest.mark.parametrize("source", ["a.jpg", "a.png", "a.webp"])
def test_metadata_round_trips_byte_for_byte(tmp_path, source, target, order):
    exif = exif_block(6, thumbnail=True, order=order)
    path, copy = tmp_path / source, tmp_path / target
    prefix = b"Exif\0\0" if source == "a.jpg" else b""
    Image.fromarray(smooth()).save(path, exif=prefix + exif, icc_profile=WIDE_RGB)
    photo = read_photo(path)
    upright = exif_block(1, order=order)
    assert photo.exif is not None
    assert photo.exif[: len(upright)] == upright  # no link to the thumbnail, nothing else changed
    assert photo.icc_profile == WIDE_RGB
    write_photo(copy, photo.pixels, like=photo)
    again = read_photo(copy)
    assert again.icc_profile == WIDE_RGB
    if target == "b.tif":
        assert copy.read_bytes()[8 : len(exif)] == photo.exif[8:]
    else:
        assert again.exif == photo.exif
    before, after = describe(photo.exif), describe(again.exif)
    before.pop(ORIENTATION), after.pop(ORIENTATION, None)
    assert after == before
    assert before[EXIF_IFD, MAKER_NOTE] == b"maker note\0\1\2"
    assert before[INTEROP_IFD, 1] == "R98"


def test_metadata_of_tiff_round_trips(tmp_path):
    like = Photo(
        pixels=DEEP, exif=exif_block(), icc_profile=WIDE_RGB, format="TIFF", dpi=(300.0, 1200.5)
    )
    path = tmp_path / "a.tif"
    for depth in (np.uint8, np.uint16):
        write_photo(path, DEEP.astype(depth), like=like, overwrite=True)
        photo = read_photo(path)
        write_photo(path, photo.pixels, like=photo, overwrite=True)
        photo = read_photo(path)
        assert photo.dpi == (300, 1200.5)
        assert photo.icc_profile == WIDE_RGB
        before, after = describe(like.exif), describe(photo.exif)
        before.pop(ORIENTATION)
        assert after == before


def test_resolution_in_centimetres(tmp_path):
    options = {"photometric": "rgb", "resolution": (100, 200), "resolutionunit": "CENTIMETER"}
    path = save(tmp_path / "a.tif", deep_tiff(RGB8, **options))
    assert read_photo(path).dpi == pytest.approx((254, 508))
    options["resolutionunit"] = "NONE"
    assert read_photo(save(path, deep_tiff(RGB8, **options))).dpi is None


@pytest.mark.parametrize(("name", "tolerance"), [("a.jpg", 0), ("a.png", 0.1), ("a.bmp", 0.1)])
def test_resolution_is_kept(tmp_path, name, tolerance):
    like = Photo(pixels=RGB8, format="PNG", dpi=(300.0, 600.0))
    write_photo(tmp_path / name, RGB8, like=like)
    assert read_photo(tmp_path / name).dpi == pytest.approx((300, 600), abs=tolerance)
    write_photo(tmp_path / f"none-{name}", RGB8)
    assert read_photo(tmp_path / f"none-{name}").dpi != pytest.approx((300, 600), abs=1)


def test_warnings_of_decoders_stay_inside(tmp_path):
    exif = b"Exif\0\0" + exif_block()[:40]
    path = save(tmp_path / "a.jpg", encoded(Image.fromarray(smooth()), "JPEG", exif=exif))
    with pytest.warns(UserWarning, match="Truncated"), Image.open(path) as image:
        image.load()
    assert read_photo(path).pixels.shape == (48, 64, 3)


@pytest.mark.parametrize(("description", "kept"), [(None, False), ("My house", True)])
def test_a_tiff_says_nothing_of_another_layout(tmp_path, description, kept):
    """tifffile, without a description, tells its own shape there; the result has three channels."""
    pixels = np.full((20, 30), 70, "uint16")
    tifffile.imwrite(tmp_path / "a.tif", pixels, description=description)
    photo = read_photo(tmp_path / "a.tif")
    write_photo(tmp_path / "b.tif", np.stack([pixels] * 3, axis=-1), like=photo)
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert tif.asarray().shape == (20, 30, 3)
        told = tif.pages[0].tags.valueof(270)
    assert (told == description) if kept else told is None


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II",
        b"nonsense that is no TIFF header",
        b"II*\0\xff\xff\xff\0",
        b"II*\0\x08\0\0\0\xff\0",
    ],
)
def test_damaged_exif_does_not_spoil_a_photo(tmp_path, exif):
    data = bytes(imagecodecs.png_encode(DEEP))
    photo = read_photo(save(tmp_path / "a.png", data[:33] + chunk(b"eXIf", exif) + data[33:]))
    assert photo.exif is None
    np.testing.assert_array_equal(photo.pixels, DEEP)


def test_exif_without_a_link_at_its_end_is_read(tmp_path):
    exif = b"II*\0\x08\0\0\0" + struct.pack("<HHHLHH", 1, ORIENTATION, 3, 1, 6, 0)
    path = save(
        tmp_path / "a.jpg", encoded(Image.fromarray(smooth()), "JPEG", exif=b"Exif\0\0" + exif)
    )
    photo = read_photo(path)
    assert photo.pixels.shape == (64, 48, 3)
    write_photo(tmp_path / "b.jpg", photo.pixels, like=photo)
    assert describe(read_photo(tmp_path / "b.jpg").exif) == {ORIENTATION: 1}


@pytest.mark.parametrize("target", ["b.tif", "b.jpg"])
@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (33432, "© Jürgen Müller".encode()),
        (315, "Müller".encode("latin-1")),
        (271, b"plain"),
    ],
)
def test_text_of_a_tiff_is_kept_in_whatever_encoding(tmp_path, target, tag, text):
    options = {"photometric": "rgb", "extratags": [(tag, 2, len(text) + 1, text + b"\0", True)]}
    photo = read_photo(save(tmp_path / "a.tif", deep_tiff(RGB8, **options)))
    write_photo(tmp_path / target, photo.pixels, like=photo)
    assert text + b"\0" in (tmp_path / target).read_bytes()
    with Image.open(tmp_path / target) as image:
        assert image.getexif()[tag].encode("latin-1") == text


def test_text_in_the_exif_of_a_tiff_stays_text(tmp_path):
    owner = "Jürgen Müller"
    exif = Image.Exif()
    exif[EXIF_IFD] = {42032: owner.encode("latin-1"), 0x9003: "1999:12:31 23:59:59"}
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    # Pillow writes bytes of a tag it knows no type of as such (1); cameras, as text (2).
    block = block.replace(struct.pack(">HH", 42032, 1), struct.pack(">HH", 42032, 2))
    like = Photo(pixels=RGB8, exif=block, format="TIFF")
    write_photo(tmp_path / "a.tif", RGB8, like=like)
    write_photo(tmp_path / "b.jpg", RGB8, like=read_photo(tmp_path / "a.tif"))
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.getexif().get_ifd(EXIF_IFD)[42032] == owner


def test_a_microscopes_resolution_is_kept_where_it_fits(tmp_path):
    like = Photo(pixels=RGB8, format="TIFF", dpi=(254_000.0, 254_000.0))
    for name, kept in (("a.tif", True), ("a.png", True), ("a.bmp", True), ("a.jpg", False)):
        write_photo(tmp_path / name, RGB8, like=like)
        assert (read_photo(tmp_path / name).dpi == pytest.approx((254_000,) * 2, abs=1)) == kept


def test_exif_that_is_cut_in_an_entry_is_damaged():
    exif = b"II*\0\x08\0\0\0" + struct.pack("<HHHLHH", 1, ORIENTATION, 3, 1, 6, 0)
    assert reset_exif(exif)[0] == 6
    assert reset_exif(exif[:-3]) == (1, None)


@pytest.mark.parametrize("dpi", [(300, 2**32 - 1), (2**32 - 1, 300), (300, np.nan), (np.nan, 300)])
@pytest.mark.parametrize("name", ["b.tif", "b.png", "b.jpg", "b.bmp"])
def test_a_resolution_that_is_none_is_left_out(tmp_path, monkeypatch, dpi, name):
    path = save(tmp_path / "a.tif", deep_tiff(RGB8, photometric="rgb"))
    monkeypatch.setattr("colorizer.photos.tiff_exif", lambda *_: (None, dpi))
    photo = read_photo(path)
    assert photo.dpi is None
    write_photo(tmp_path / name, photo.pixels, like=photo)
    assert (tmp_path / name).is_file()


def test_a_cameras_raw_photograph_is_not_its_thumbnail(tmp_path):
    path = tmp_path / "raw.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(RGB8[:2, :2], photometric="rgb", metadata=None, subfiletype=1, subifds=1)
        tif.write(RGB8, photometric="rgb", metadata=None)
    with pytest.raises(PhotoError, match="a camera's raw photograph"):
        read_photo(path)


# Writing


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("order", [None, "<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", ["a.png", "a.TIF", "a.tiff"])
def test_lossless_formats_keep_every_bit(tmp_path, name, dtype, order, alpha):
    pixels = noise(150, 3, 3, dtype=dtype)  # more rows than a strip of TIFF
    opacity = noise(150, 3, dtype=dtype) if alpha else None
    exif = exif_block(order=order) if order else None
    write_photo(
        tmp_path / name, pixels, like=Photo(pixels=pixels, alpha=opacity, exif=exif, format="")
    )
    photo = read_photo(tmp_path / name)
    assert photo.pixels.dtype == dtype
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert (photo.alpha is None) == (opacity is None)
    if opacity is not None:
        np.testing.assert_array_equal(photo.alpha, opacity)
    # and other readers agree
    reader = (
        imagecodecs.png_decode
        if name == "a.png"
        else lambda data: tifffile.imread(io.BytesIO(data))
    )
    samples = pixels if opacity is None else np.dstack([pixels, opacity])
    np.testing.assert_array_equal(reader((tmp_path / name).read_bytes()), samples)
    with Image.open(tmp_path / name) as image:
        assert (
            np.abs(
                np.asarray(image).astype(int) - samples // (1 + 256 * (dtype == np.uint16))
            ).max()
            <= 1
        )


def test_tiff_obeys_the_standard(tmp_path):
    like = Photo(pixels=RGB8, exif=exif_block() + b"\0", icc_profile=WIDE_RGB, format="TIFF")
    write_photo(tmp_path / "a.tif", noise(150, 7, 3), like=like)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        (page,) = tif.pages
        codes = [tag.code for tag in page.tags]
        assert codes == sorted(codes)
        assert {271, ORIENTATION, EXIF_IFD, GPS_IFD}.issubset(codes)
        assert len(page.dataoffsets) > 1
        assert all(at % 2 == 0 for at in (page.offset, *page.dataoffsets))
        assert all(tag.valueoffset % 2 == 0 for tag in page.tags)


@pytest.mark.parametrize(
    ("dtype", "alpha", "expected"),
    [
        (np.uint8, np.array([[0, 128, 129, 65535]], np.uint16), [[0, 0, 1, 255]]),
        (np.uint16, np.array([[0, 1, 128, 255]], np.uint8), [[0, 257, 128 * 257, 65535]]),
    ],
)
def test_alpha_takes_the_depth_of_the_pixels(tmp_path, dtype, alpha, expected):
    like = Photo(pixels=alpha, alpha=alpha, format="PNG")
    write_photo(tmp_path / "a.png", np.zeros((1, 4, 3), dtype), like=like)
    assert read_photo(tmp_path / "a.png").alpha.tolist() == expected


def test_bmp_rounds_16_bits_and_converts_to_srgb(tmp_path):
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    write_photo(tmp_path / "a.bmp", np.dstack([ramp] * 3))
    expected = np.rint(ramp / 257.0)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.bmp").pixels[..., 1], expected)
    like = Photo(pixels=RGB8, icc_profile=WIDE_RGB, exif=exif_block(), format="PNG")
    write_photo(tmp_path / "b.bmp", RGB8, like=like)
    converted = ImageCms.profileToProfile(
        Image.fromarray(RGB8),
        ImageCms.ImageCmsProfile(io.BytesIO(WIDE_RGB)),
        ImageCms.createProfile("sRGB"),
    )
    photo = read_photo(tmp_path / "b.bmp")
    assert np.abs(photo.pixels.astype(int) - np.asarray(converted)).max() <= 1
    assert np.abs(photo.pixels.astype(int) - RGB8).max() > 5
    assert photo.icc_profile is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_jpeg_keeps_the_colour_of_edges(tmp_path, dtype):
    stripes = np.zeros((32, 32, 3), dtype)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = np.iinfo(dtype).max
    write_photo(tmp_path / "a.jpg", stripes)
    with Image.open(tmp_path / "a.jpg") as image:
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3  # 4:4:4
    error = read_photo(tmp_path / "a.jpg").pixels - stripes / (np.iinfo(dtype).max / 255)
    assert np.abs(error).mean() < 3
    write_photo(tmp_path / "b.jpg", stripes, quality=30)
    assert (tmp_path / "b.jpg").stat().st_size < (tmp_path / "a.jpg").stat().st_size


def test_webp_keeps_alpha_and_what_lies_under_it(tmp_path):
    like = Photo(pixels=smooth(), alpha=noise(48, 64) // 200, format="WEBP")
    write_photo(tmp_path / "a.webp", smooth(), like=like)
    photo = read_photo(tmp_path / "a.webp")
    np.testing.assert_array_equal(photo.alpha, like.alpha)
    assert np.abs(photo.pixels.astype(int) - smooth()).mean() < 2


@pytest.mark.parametrize("name", ["a.jpg", "a.bmp"])
def test_transparency_is_not_dropped_silently(tmp_path, name):
    opaque = Photo(pixels=RGB8, alpha=np.full((HEIGHT, WIDTH), 255, np.uint8), format="PNG")
    write_photo(tmp_path / name, RGB8, like=opaque)
    assert read_photo(tmp_path / name).pixels.shape == RGB8.shape
    glass = Photo(pixels=RGB8, alpha=noise(HEIGHT, WIDTH), format="PNG")
    with pytest.raises(
        PhotoError, match=rf"{name}: .*transparency; expected \.png, \.tif or \.webp"
    ):
        write_photo(tmp_path / name, RGB8, like=glass, overwrite=True)


@pytest.mark.parametrize(
    ("name", "pixels", "options", "message"),
    [
        ("a.gif", RGB8, {}, r"a\.gif: suffix '\.gif'; expected one of \.jpg"),
        ("a", RGB8, {}, r"suffix ''; expected"),
        ("a.png", GRAY8[0], {}, r"pixels: uint8 of shape \(5,\)"),
        (
            "a.png",
            GRAY8,
            {"like": Photo(pixels=RGB8, format="")},
            r"pixels: shape \(7, 5\); expected \(H, W, 3\) with like",
        ),
        ("a.png", RGBA8, {}, r"pixels: uint8 of shape \(7, 5, 4\)"),
        ("a.png", RGB8 / 255, {}, r"pixels: float64"),
        ("a.jpg", RGB8, {"quality": 101}, "quality: 101; expected 1 to 100"),
        ("a.jpg", RGB8, {"quality": 0}, "quality: 0"),
        (
            "a.png",
            RGB8,
            {"like": Photo(pixels=RGB8, alpha=GRAY8.T, format="")},
            "like.alpha: shape",
        ),
        (
            "a.webp",
            np.zeros((1, 16384, 3), np.uint8),
            {},
            "16384 x 1 .* at most 16383 a side in WEBP",
        ),
        (
            "a.jpg",
            np.zeros((65501, 1, 3), np.uint8),
            {},
            "1 x 65501 .* at most 65500 a side in JPEG",
        ),
        (
            "a.jpg",
            RGB8,
            {"like": Photo(pixels=RGB8, exif=bytes(65528), format="")},
            "65528 bytes of EX",
        ),
    ],
)
def test_refuses_what_it_cannot_write(tmp_path, name, pixels, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        write_photo(tmp_path / name, pixels, **options)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.jpg", "a.webp"])
@pytest.mark.parametrize("depth", [8, 16])
def test_gray_is_written_as_gray(tmp_path, name, depth):
    gray = np.arange(256, dtype=np.uint8).reshape(8, 32)
    given = gray if depth == 8 else gray * np.uint16(257)
    write_photo(tmp_path / name, given)
    deep = depth == 16 and name in ("a.png", "a.tif")
    read = read_photo(tmp_path / name).pixels
    read = read if name != "a.webp" else read[..., 0]  # which has no gray
    assert read.shape == (8, 32)
    expected = given if deep else gray
    tolerance = 0 if name[2:] in ("png", "tif", "bmp") else 12  # lossy
    assert np.abs(read.astype(int) - expected).max() <= tolerance
    if not deep:  # as anybody else reads it
        with Image.open(tmp_path / name) as image:
            assert image.mode == ("RGB" if name == "a.webp" else "L")


def test_the_largest_sides_and_exif_can_be_written(tmp_path):
    exif = exif_block() + bytes(65527 - len(exif_block()))
    like = Photo(pixels=RGB8, exif=exif, format="JPEG")
    write_photo(tmp_path / "a.jpg", np.zeros((65500, 1, 3), np.uint8), like=like)
    assert read_photo(tmp_path / "a.jpg").exif == exif
    write_photo(tmp_path / "a.webp", np.zeros((1, 16383, 3), np.uint8))


# Bad input


def frames(format_: str, count: int = 3) -> bytes:
    pictures = [Image.fromarray(noise(9, 9) // 8 * (i + 1)) for i in range(count)]
    return encoded(pictures[0], format_, save_all=True, append_images=pictures[1:])


def deep_tiff(samples: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, metadata=None, **options)
    return buffer.getvalue()


HUGE = struct.pack("<2sLHHL", b"BM", 54, 0, 0, 54) + struct.pack(
    "<LllHHLLllLL", 40, 30000, 30000, 1, 24, 0, 0, 0, 0, 0, 0
)
BAD = {
    "empty": (b"", r"empty \(0 bytes\)"),
    "text": (b"this is not an image at all", "unknown format"),
    "half a signature": (b"\x89PN", "unknown format"),
    "zero-sized PNG": (png_bytes(0, 0, b"", depth=8, colour=2), "no pixels"),
    "zero-sized BMP": (HUGE[:18] + bytes(8) + HUGE[26:], "no pixels"),
    "GIF": (frames("GIF", 1), "a GIF image"),
    "animated GIF": (frames("GIF"), "3 frames"),
    "animated WebP": (frames("WEBP"), "3 frames"),
    "APNG": (frames("PNG"), "3 frames"),
    "pages of a TIFF": (frames("TIFF"), "3 frames"),
    "pages of a 16-bit TIFF": (
        deep_tiff(noise(4, 9, 9, dtype=np.uint16), photometric="minisblack"),
        "4 frames",
    ),
    "BMP bomb": (HUGE, "30000 x 30000 pixels; expected at most 400 megapixels"),
    "PNG bomb": (png_bytes(50000, 40000, b"", depth=16, colour=2), "40000 x 50000 pixels"),
    "TIFF bomb": (
        deep_tiff(RGB8, photometric="rgb", byteorder="<").replace(
            struct.pack("<HHLL", 256, 4, 1, WIDTH), struct.pack("<HHLL", 256, 4, 1, 99_999_999)
        ),
        "99999999 x 7 pixels",
    ),
    "32-bit integers": (
        deep_tiff(noise(9, 9, dtype=np.uint32)),
        "uint32 samples; expected unsigned",
    ),
    "signed": (deep_tiff(noise(9, 9, dtype=np.int16)), "int16 samples"),
    "float out of range": (deep_tiff(FLOATS * 1.5), "float samples from 0 to 1.5; expected 0 to 1"),
    "negative float": (deep_tiff(FLOATS - 0.5), "float samples from -0.5"),
    "NaN": (deep_tiff(np.where(FLOATS > 0.5, np.nan, FLOATS)), "float samples from nan"),
    "16-bit Lab": (deep_tiff(DEEP, photometric="cielab"), "CIELAB samples of 16 bits"),
    "TIFF with a strip missing": (
        deep_tiff(RGB8, photometric="rgb", byteorder="<").replace(
            struct.pack("<HHLL", 279, 4, 1, RGB8.size), struct.pack("<HHLL", 279, 4, 1, 0)
        ),
        "strips of samples are missing",
    ),
    "16-bit TIFF that ends early": (deep_tiff(DEEP, photometric="rgb")[:-1], "are missing"),
    "TIFF header": (b"II*\0\x08\0\0\0", "damaged or truncated"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", BAD)
def test_bad_files_get_one_line(tmp_path, kind, capfd, caplog):
    data, message = BAD[kind]
    path = save(tmp_path / "some photo.jpg", data)
    with pytest.raises(PhotoError, match=message) as caught:
        read_photo(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records  # tifffile would log, and that reach the terminal
    path.unlink()  # Windows would refuse if it were still open


WHOLE = {
    "jpg": encoded(Image.fromarray(smooth()), "JPEG", quality=80),
    "progressive": encoded(Image.fromarray(smooth()), "JPEG", progressive=True),
    "png": encoded(Image.fromarray(smooth()), "PNG"),
    "png16": bytes(imagecodecs.png_encode(smooth().astype(np.uint16) * 99)),
    "webp": encoded(Image.fromarray(smooth()), "WEBP"),
    "bmp": encoded(Image.fromarray(RGB8), "BMP"),
    "tif": deep_tiff(RGB8, photometric="rgb"),
    "tif-lzw": deep_tiff(smooth(), photometric="rgb", compression="lzw", rowsperstrip=16),
    "tif16": deep_tiff(DEEP, photometric="rgb", compression="zlib", rowsperstrip=2),
    "group4": encoded(Image.fromarray(noise(64, 64) > 99), "TIFF", compression="group4"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_truncated_files_are_refused_wherever_they_end(tmp_path, kind):
    whole = WHOLE[kind]
    complete = read_photo(save(tmp_path / "whole", whole)).pixels
    path = tmp_path / "photo"
    lengths = {*range(1, len(whole), max(1, len(whole) // 60)), len(whole) - 1, len(whole) - 100}
    for length in sorted(lengths):
        save(path, whole[:length])
        try:
            pixels = read_photo(path).pixels
        except PhotoError as error:
            assert "\n" not in str(error)  # noqa: PT017 - every length, not only the refused ones
        else:  # only checksums and end marks are missing
            assert length >= len(whole) - 20
            np.testing.assert_array_equal(pixels, complete)


def test_leniency_elsewhere_does_not_let_half_a_jpeg_pass(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = save(tmp_path / "a.jpg", WHOLE["jpg"][: len(WHOLE["jpg"]) // 2])
    with pytest.raises(PhotoError, match="truncated"):
        read_photo(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize("kind", ["png", "tif-lzw", "tif16", "jpg"])
def test_size_limit_is_ours_not_pillows(tmp_path, monkeypatch, kind):
    path = save(tmp_path / "a", WHOLE[kind])
    shape = read_photo(path).pixels.shape
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)  # Pillow would refuse more than two pixels
    assert read_photo(path).pixels.shape == shape
    assert Image.MAX_IMAGE_PIXELS == 1
    monkeypatch.setattr(photos, "MAX_PIXELS", shape[0] * shape[1])
    assert read_photo(path).pixels.shape == shape
    monkeypatch.setattr(photos, "MAX_PIXELS", shape[0] * shape[1] - 1)
    with pytest.raises(PhotoError, match=f"{shape[1]} x {shape[0]} pixels; expected at most"):
        read_photo(path)


def test_hundred_megapixels_pass():
    assert photos.MAX_PIXELS >= 200_000_000


def test_names_that_are_no_files(tmp_path, monkeypatch):
    with pytest.raises(PhotoError, match=re.escape(f"{tmp_path}: a folder; expected")):
        read_photo(tmp_path)
    with pytest.raises(PhotoError, match=r"gone\.jpg: No such file or directory; expected"):
        read_photo(tmp_path / "gone.jpg")
    path = save(tmp_path / "secret.jpg", WHOLE["jpg"])

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, whom nothing is denied
    with pytest.raises(PhotoError, match=r"secret\.jpg: Permission denied; expected"):
        read_photo(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(PhotoError, match="not a file"):
        read_photo(tmp_path / "pipe.jpg")


# Writing: whole or not at all


def failing(error: BaseException):
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


class FullDisk(io.FileIO):
    """A file that takes half of what is written and then reports a full disk."""

    def write(self, data):
        super().write(bytes(data)[: len(data) // 2])
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("suffix", sorted(photos.SUFFIXES))
@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ("encode", RuntimeError("encoder"), "encoder"),
        ("encode", KeyboardInterrupt(), None),
        ("write", OSError(28, "No space left on device"), r"No space left on device: '.*photo"),
        (
            "replace",
            OSError(5, "Input/output error", "x", None, "y"),
            r"Input/output error: '.*photo",
        ),
        ("replace", KeyboardInterrupt(), None),
    ],
)
def test_failure_leaves_nothing_behind(
    tmp_path, monkeypatch, where, error, message, suffix, overwrite
):
    path = tmp_path / f"photo{suffix}"
    if overwrite:
        path.write_bytes(b"the original")
    if where == "encode":
        monkeypatch.setattr(photos.Image.Image, "save", failing(error))
        monkeypatch.setattr(imagecodecs, "png_encode", failing(error))
        monkeypatch.setattr(imagecodecs, "deflate_encode", failing(error))
    elif where == "write":

        def open_full(self: Path, mode: str):
            assert self.name.startswith(".")
            assert self.parent == tmp_path  # the same file system, or renaming would copy
            return FullDisk(self, mode.replace("b", ""))

        monkeypatch.setattr(Path, "open", open_full)
    else:
        monkeypatch.setattr(os, "replace", failing(error))
    with pytest.raises(type(error), match=message):
        write_photo(path, RGB8, overwrite=overwrite)
    monkeypatch.undo()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == (
        [(path.name, b"the original")] if overwrite else []
    )


def test_never_overwrites_unless_asked(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", b"precious")
    with pytest.raises(FileExistsError, match=r"a\.png: exists already; .*--overwrite") as caught:
        write_photo(path, RGB8)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"precious"
    with monkeypatch.context() as patch:  # known before the work of encoding
        patch.setattr(photos, "_encode", failing(AssertionError("encoded in vain")))
        with pytest.raises(FileExistsError):
            write_photo(path, RGB8)
    write_photo(path, RGB8, overwrite=True)
    np.testing.assert_array_equal(read_photo(path).pixels, RGB8)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    encode = photos._encode

    def slow_encode(*arguments):
        path.write_bytes(b"of another process")
        return encode(*arguments)

    monkeypatch.setattr(photos, "_encode", slow_encode)
    with pytest.raises(FileExistsError, match="exists already"):
        write_photo(path, RGB8)
    assert path.read_bytes() == b"of another process"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("exists", [False, True])
def test_where_a_rename_refuses_to_replace_no_name_is_claimed(tmp_path, monkeypatch, exists):
    """As on Windows, where an empty file that a scanner has opened could not be replaced."""
    path = tmp_path / "a.png"

    def rename(source, target):
        assert path.exists() == exists
        if exists:
            raise FileExistsError(17, "File exists")
        os.replace(source, target)

    monkeypatch.setattr("colorizer.photos._RENAME_REFUSES", True)
    monkeypatch.setattr("colorizer.photos.check_target", lambda *_, **__: None)
    monkeypatch.setattr(os, "rename", rename)
    if exists:
        path.write_bytes(b"precious")
        with pytest.raises(FileExistsError, match=r"a\.png: exists already"):
            write_photo(path, RGB8)
        assert path.read_bytes() == b"precious"
    else:
        write_photo(path, RGB8)
        np.testing.assert_array_equal(read_photo(path).pixels, RGB8)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_errors_name_the_file_that_was_asked_for(tmp_path):
    path = tmp_path / "missing" / "a.png"
    with pytest.raises(FileNotFoundError, match=re.escape(str(path))) as caught:
        write_photo(path, RGB8)
    assert ".tmp" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize("overwrite", [False, True])
def test_permissions_are_those_of_any_new_file(tmp_path, umask, overwrite):
    before = os.umask(umask)
    try:
        write_photo(tmp_path / "a.png", RGB8, overwrite=overwrite)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o666 & ~umask
