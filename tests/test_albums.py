"""Albums: which photographs a call names, and which results are theirs."""

import os

import numpy as np
import pytest
from PIL import Image

from colorizer.albums import find_photos, is_colored
from colorizer.color import lab_to_bytes, luminance_of_bytes
from colorizer.photos import PhotoError

# --- which photographs


class Backwards:
    """What `os.scandir` gives, in an order that a file system is free to choose."""

    def __init__(self, entries):
        with entries:
            self.entries = iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

    def __iter__(self):
        return self.entries

    def __next__(self):
        return next(self.entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def album(tmp_path, monkeypatch):
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: Backwards(scandir(path)))
    for name in [
        "album/b.JPG",
        "album/a.png",
        "album/notes.txt",
        "album/.hidden.jpg",
        "album/.thumbnails/t.jpg",
        "album/sub/c.tiff",
        "album/sub/deep/d.webp",
        "album/bb/e.bmp",
        "empty/readme.md",
        "me [1].jpeg",
        "scan.dat",
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


ALBUM = ["a.png", "b.JPG", "bb/e.bmp", "sub/c.tiff", "sub/deep/d.webp"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["album"], [(f"album/{name}", name) for name in ALBUM]),
        (["album/sub"], [("album/sub/c.tiff", "c.tiff"), ("album/sub/deep/d.webp", "deep/d.webp")]),
        (["scan.dat", "album/a.png"], [("scan.dat", "scan.dat"), ("album/a.png", "a.png")]),
        (["me [1].jpeg"], [("me [1].jpeg", "me [1].jpeg")]),
        (["album/*.png"], [("album/a.png", "a.png")]),
        (["album/*"], [(f"album/{name}", name) for name in ALBUM]),
        (["album/**/*.[tw]*"], [(f"album/{name}", name) for name in ALBUM[3:]]),
        (["alb*/sub/*"], [(f"album/{name}", f"album/{name}") for name in ALBUM[3:]]),
        (["*.jp*g"], [("me [1].jpeg", "me [1].jpeg")]),
        (["album/a.png", "album/sub/../a.png"], [("album/a.png", "a.png")]),
        ([], []),
    ],
)
def test_finds_photos(album, arguments, expected):
    found, _ = find_photos(arguments)
    assert [(path.as_posix(), relative.as_posix()) for path, relative in found] == expected
    absolute, _ = find_photos([album / argument for argument in arguments])
    assert [relative.as_posix() for _, relative in absolute] == [name for _, name in expected]
    assert all(path.is_absolute() and path.exists() for path, _ in absolute)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("gone.jpg", "gone.jpg: no such file or folder"),
        ("gone/*.jpg", r"gone/\*.jpg: no photographs"),
        ("empty", "empty: no photographs there; expected .jpg"),
        ("album/*.txt", "no photographs"),
        ("x" * 5000, "name too long"),
        ("", "an empty name"),
    ],
)
def test_names_without_photos(album, argument, message):
    with pytest.raises(PhotoError, match=message) as caught:
        find_photos(["album", argument])
    assert "\n" not in str(caught.value)


def test_unreadable_folder_is_not_taken_for_an_empty_one(album, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PhotoError, match="deep: Permission denied"):
        find_photos(["album"])


def test_other_files_of_folders_are_known(album):
    (album / "album" / "bb" / "e.mov").touch()
    _, others = find_photos(["album", "album/bb", "me [1].jpeg"])
    assert [path.as_posix() for path in others] == ["album/notes.txt", "album/bb/e.mov"]


# --- which results are whose


def scene(seed: int, height: int = 60, width: int = 90) -> np.ndarray:
    """(H, W, 3) uint8, large shapes of all tones."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def recolored(image: np.ndarray, chroma: float = 30.0) -> np.ndarray:
    """As light everywhere, of other colours."""
    light = luminance_of_bytes(image)
    angle = np.linspace(0, 9, image.shape[1], dtype=np.float32) * np.ones_like(light)
    return lab_to_bytes(light, chroma * np.stack([np.cos(angle), np.sin(angle)], -1))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("dark", [1, 8])
def test_a_result_is_known_by_its_lightness(tmp_path, suffix, dark):
    one, other = scene(1) // dark, scene(2) // dark
    photograph, result = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    Image.fromarray(one).save(photograph)
    for made, expected in ((recolored(one), True), (recolored(one, 0), True), (other, False)):
        Image.fromarray(made).save(result)
        assert is_colored(result, photograph) is expected


def test_a_result_is_of_the_same_size_upright(tmp_path):
    image = Image.fromarray(scene(1))
    turned = Image.Exif()
    turned[274] = 6  # a quarter clockwise, to be upright
    image.rotate(90, expand=True).save(tmp_path / "turned.jpg", exif=turned)
    image.save(tmp_path / "upright.png")
    image.resize((45, 30)).save(tmp_path / "small.png")
    assert is_colored(tmp_path / "upright.png", tmp_path / "turned.jpg")
    assert not is_colored(tmp_path / "small.png", tmp_path / "upright.png")


def test_a_result_is_compared_in_srgb_at_any_depth(tmp_path):
    deep = (luminance_of_bytes(scene(1)) / 100) ** 2
    Image.fromarray((deep * 65535).astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray((deep * 255).astype(np.uint8)).convert("RGB").save(tmp_path / "result.png")
    assert is_colored(tmp_path / "result.png", tmp_path / "deep.png")


def test_a_result_that_cannot_be_read_is_told(tmp_path):
    Image.fromarray(scene(1)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"half a result")
    with pytest.raises(PhotoError, match=r"b\.png"):
        is_colored(tmp_path / "b.png", tmp_path / "a.png")
