"""The pipeline over small folders of pictures made here."""

import dataclasses
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from colorizer import data
from colorizer.data import DataConfig, load_dataset, photo_files

SIZE = 16
ORIENTATION = 0x0112  # EXIF tag
# sha256 of the name, its first eight bytes as a share of 2^64
POSITIONS = [("a/b.jpg", 0.290304), ("é ü.png", 0.51505), ("0001.jpg", 0.073777)]
CACHES = pytest.mark.parametrize("cache", [6.0, 0.0], ids=["cached", "uncached"])


def colour_of(index):
    """A saturated colour that tells which picture this is."""
    return (255 - 8 * index, 8 * index, 100)


def index_of(pixel):
    return round((255 - int(pixel[0]) + int(pixel[1])) / 16)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, "uint8")).save(path, **options)
    return path


def solid(path, index, size=(20, 24)):
    return save(path, np.broadcast_to(np.uint8(colour_of(index)), (*size, 3)))


def scenic(seed, height=60, width=80):
    """A smooth colour picture, different at every place: crops and flips show."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    channels = [np.sin(5 * x + seed), np.cos(4 * y + 2 * seed), np.sin(3 * (x + y) - seed)]
    return np.uint8(127.5 + 127 * np.stack(channels, axis=-1))


def config_of(*folders, **options):
    settings = {"image_size": SIZE, "batch_size": 2, "validation_share": 0.0}
    return DataConfig(sources=tuple(map(str, folders)), **{**settings, **options})


def take(config, count, **options):
    """The first `count` batches."""
    batches = load_dataset(config, **options).batches.take(count)
    return [batch.numpy() for batch in batches]


def seen(config, examples, **options):
    """Which of the solid pictures came, in order."""
    batches = take(config, -(-examples // config.batch_size), **options)
    return [index_of(crop[SIZE // 2, SIZE // 2]) for batch in batches for crop in batch][:examples]


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    """12 pictures of one colour each, at two depths."""
    folder = tmp_path_factory.mktemp("twelve")
    for index in range(12):
        solid(folder / ("deep/er" if index % 2 else ".") / f"{index:02d}.png", index)
    return folder


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    for index in range(5):
        save(folder / f"{index}.png", scenic(index))
    return folder


@pytest.fixture
def flawed(tmp_path):
    """10 usable pictures among 5 that are not; file → what is wrong."""
    folder = tmp_path / "flawed"
    for index in range(10):
        solid(folder / f"{index:02d}.png", index)
    whole = save(tmp_path / "whole.jpg", scenic(1, 200, 200), quality=95).read_bytes()
    broken = {
        "01_empty.jpg": b"",
        "03_text.png": b"not a picture",
        "05_cut.jpg": whole[: len(whole) // 2],
    }
    for name, content in broken.items():
        (folder / name).write_bytes(content)
    gray = np.broadcast_to(np.arange(24, dtype="uint8")[None, :, None] * 10, (20, 24, 3))
    save(folder / "07_gray.png", gray)
    save(folder / "09_sepia.png", gray // 2 + np.uint8([3, 1, 0]))
    reasons = dict.fromkeys(broken, "unreadable")
    reasons |= dict.fromkeys(["07_gray.png", "09_sepia.png"], "near-gray")
    return folder, {folder / name: reason for name, reason in reasons.items()}


@pytest.fixture
def global_seed():
    """Sets TensorFlow's own seed; none is set after the test."""
    yield tf.random.set_seed
    tf.random.set_seed(None)


# ------------------------------------------------------------------------- files and splits


def test_files_at_any_depth_and_in_order(twelve):
    files = photo_files(config_of(twelve), "train")
    assert files == sorted(twelve.rglob("*.png"))
    assert len(files) == 12


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("a.jpg", True),
        ("b.JPEG", True),
        ("c.webp", True),
        ("d.TIF", True),
        ("e.bmp", True),
        ("f.txt", False),
        (".hidden.jpg", False),
        ("jpg", False),
    ],
)
def test_which_files_count(tmp_path, name, counts):
    (tmp_path / name).write_bytes(b"")
    (tmp_path / "always.png").write_bytes(b"")
    names = [path.name for path in photo_files(config_of(tmp_path), "train")]
    assert names == sorted(["always.png", *([name] if counts else [])])


def empty_files(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def test_a_folder_is_split_by_file(tmp_path):
    names = [f"{index % 7}/{index:04d}.jpg" for index in range(1000)]
    config = config_of(empty_files(tmp_path / "here", names), validation_share=0.2, test_share=0.1)
    parts = {split: photo_files(config, split) for split in data.SPLITS}
    assert sum(map(len, parts.values())) == len(set(itertools.chain(*parts.values()))) == 1000
    shares = {split: len(files) / 1000 for split, files in parts.items()}
    assert shares == pytest.approx({"train": 0.7, "validation": 0.2, "test": 0.1}, abs=0.04)


def test_a_file_stays_in_its_split(tmp_path):
    """On another machine, whatever other files there are, whatever the seed."""
    names = [f"{index % 7}/{index:04d}.jpg" for index in range(100)]
    shares = {"validation_share": 0.3, "test_share": 0.2}
    here = empty_files(tmp_path / "here", names)
    there = empty_files(tmp_path / "there" / "deeper", [*names[::2], "0/another.jpg"])
    for split in data.SPLITS:
        ours, theirs = (
            {path.relative_to(folder).as_posix() for path in photo_files(config, split)}
            for folder, config in [
                (here, config_of(here, seed=1, **shares)),
                (there, config_of(there, seed=2, **shares)),
            ]
        )
        assert theirs - {"0/another.jpg"} == ours & set(names[::2])


@pytest.mark.parametrize(("name", "position"), POSITIONS)
def test_split_of_is_where_the_hash_of_the_name_falls(name, position):
    """In [test | validation | train]; pinned, so that no version moves a photograph."""

    def split(test_share, validation_share):
        config = DataConfig(test_share=test_share, validation_share=validation_share)
        return data.split_of(name, config)

    assert split(position + 1e-4, 0.0) == "test"
    assert split(position - 1e-4, 0.0) == "train"
    assert split(position - 1e-4, 2e-4) == "validation"
    assert split(0.0, position + 1e-4) == "validation"
    assert split(0.0, position - 1e-4) == "train"


@given(st.text(max_size=20), st.floats(0, 0.5), st.floats(0, 0.5))
def test_every_name_is_in_one_split(name, validation, test):
    config = DataConfig(validation_share=validation, test_share=test)
    assert data.split_of(name, config) in data.SPLITS
    if validation == test == 0:
        assert data.split_of(name, config) == "train"


def test_own_splits_are_taken_as_they_are(tmp_path):
    names = [f"{split}/x/{index}.jpg" for split in data.SPLITS for index in range(30)]
    folder = empty_files(tmp_path, [*names, "elsewhere/0.jpg"])
    config = config_of(folder, validation_share=0.5, test_share=0.4)
    for split in data.SPLITS:
        expected = sorted(folder / name for name in names if name.startswith(split))
        assert photo_files(config, split) == expected


@pytest.mark.parametrize(
    "own", list(itertools.chain(*(itertools.combinations(data.SPLITS[1:], n) for n in range(2))))
)
def test_a_missing_split_is_cut_out_of_the_training_photographs(tmp_path, own):
    """What is trained on is in no other split, and nothing is lost."""
    names = [f"{split}/{index}.jpg" for split in ("train", *own) for index in range(60)]
    folder = empty_files(tmp_path, names)
    config = config_of(folder, validation_share=0.3, test_share=0.3)
    parts = {split: set(photo_files(config, split)) for split in data.SPLITS}
    for one, other in itertools.combinations(data.SPLITS, 2):
        assert not parts[one] & parts[other], f"{one} and {other} share photographs"
    assert set.union(*parts.values()) == {folder / name for name in names}
    for split in own:
        assert parts[split] == {folder / name for name in names if name.startswith(split)}


def test_counts_repeat_the_training_photographs_only(tmp_path):
    names = [f"{split}/{index}.jpg" for split in data.SPLITS for index in range(3)]
    one, two = (empty_files(tmp_path / x, names) for x in ("one", "two"))
    config = config_of(f"{one}@4", two)
    files = photo_files(config, "train")
    assert len(files) == 4 * 3 + 3
    assert {files.count(path) for path in files if one in path.parents} == {4}
    for split in ("validation", "test"):
        assert len(photo_files(config, split)) == 6


@pytest.mark.parametrize("name", ["with@sign", "mail@home", "a@b@2x"])
def test_an_at_sign_in_the_name_of_a_folder(tmp_path, name):
    folder = empty_files(tmp_path / name, ["0.jpg"])
    assert photo_files(config_of(folder), "train") == [folder / "0.jpg"]
    assert len(photo_files(config_of(f"{folder}@3"), "train")) == 3


@pytest.mark.parametrize("split", data.SPLITS)
def test_no_photographs(tmp_path, split):
    (tmp_path / "notes.txt").write_text("no pictures here")
    with pytest.raises(ValueError, match=f"'{split}'.*{tmp_path.name}"):
        load_dataset(config_of(tmp_path), split)


def test_sources_within_each_other_hold_out_the_same(tmp_path):
    folder, inner = tmp_path / "album", tmp_path / "album" / "flowers"
    empty_files(folder, [f"{i}.jpg" for i in range(40)])
    empty_files(inner, [f"{i}.jpg" for i in range(40)])
    (tmp_path / "alias").symlink_to(inner)
    for sources in (
        (folder, f"{inner}@2"),
        (inner, folder),
        (f"{folder}/../album", inner),
        (folder, tmp_path / "alias"),
    ):
        config = config_of(*sources, validation_share=0.3, test_share=0.2)
        split = {
            name: {path.resolve() for path in photo_files(config, name)} for name in data.SPLITS
        }
        assert not split["train"] & (split["validation"] | split["test"])
        assert set.union(*split.values()) == {path.resolve() for path in folder.rglob("*.jpg")}
    twice = config_of(folder, folder, validation_share=0.3)
    once = config_of(folder, validation_share=0.3)
    assert photo_files(twice, "train") == 2 * photo_files(once, "train")


def test_a_folder_that_ends_in_a_number_is_a_folder(tmp_path):
    empty_files(tmp_path / "backup@2019", ["a.jpg"])
    empty_files(tmp_path / "backup", ["b.jpg"])
    assert len(photo_files(config_of(tmp_path / "backup@2019"), "train")) == 1
    assert len(photo_files(config_of(f"{tmp_path / 'backup@2019'}@3"), "train")) == 3
    with pytest.raises(ValueError, match=r"at least once.*backup@0"):
        photo_files(config_of(f"{tmp_path / 'backup'}@0"), "train")


def test_hidden_folders_are_left_out(tmp_path):
    empty_files(tmp_path / ".hidden" / "album", ["a.jpg"])  # what lies above does not count
    empty_files(tmp_path / ".hidden" / "album" / ".thumbnails", ["a.jpg"])
    assert len(photo_files(config_of(tmp_path / ".hidden" / "album"), "train")) == 1


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system has no such names")
def test_names_need_not_be_utf8(tmp_path):
    for i in range(4):
        solid(tmp_path / "x.png", i)
        (tmp_path / "x.png").rename(tmp_path / os.fsdecode(b"caf\xe9%d.png" % i))
    config = config_of(tmp_path, validation_share=0.01)
    assert sorted(seen(config, 4)) == [0, 1, 2, 3]
    assert data.split_of(os.fsdecode(b"caf\xe9"), config) in data.SPLITS


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sources": "photos"}, "sources must be several names.*'photos'"),
        ({"batch_size": 0}, "batch_size must be at least 1.*0"),
        ({"image_size": -8}, "image_size must be at least 1.*-8"),
        ({"validation_share": -0.1}, "validation_share and test_share.*-0.1"),
        ({"validation_share": 0.6, "test_share": 0.6}, "together at most 1"),
    ],
)
def test_what_is_no_stream_is_refused(options, told):
    with pytest.raises(ValueError, match=told):
        DataConfig(**options)
    with pytest.raises(ValueError, match=told):
        DataConfig.from_dict(options)


def test_no_sources():
    with pytest.raises(ValueError, match="no photographs"):
        photo_files(DataConfig(), "train")


def test_unknown_split_and_folder(twelve, tmp_path):
    with pytest.raises(ValueError, match="'validate'"):
        photo_files(config_of(twelve), "validate")
    with pytest.raises(ValueError, match="nowhere"):
        photo_files(config_of(tmp_path / "nowhere"), "train")


# ---------------------------------------------------------------------------------- decoding


@pytest.mark.parametrize(
    ("height", "width", "short", "expected"),
    [
        (60, 80, 30, (30, 40, 3)),
        (80, 60, 30, (40, 30, 3)),
        (50, 50, 20, (20, 20, 3)),
        (10, 15, 40, (40, 60, 3)),  # enlarged
        (7, 100, 16, (16, 229, 3)),
        (1, 3, 16, (16, 48, 3)),
        (1200, 900, 30, (40, 30, 3)),  # a JPEG of that size is decoded at a fraction
    ],
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_short_side_is_the_one_asked_for(tmp_path, height, width, short, expected, suffix):
    path = save(tmp_path / f"photo.{suffix}", scenic(0, height, width))
    decoded = data.decode_photo(path, short)
    assert decoded.shape == expected
    assert decoded.dtype == np.uint8


def test_a_photograph_of_the_right_size_is_untouched(tmp_path):
    pixels = scenic(3, 24, 31)
    np.testing.assert_array_equal(data.decode_photo(save(tmp_path / "a.png", pixels), 24), pixels)


def test_a_smaller_photograph_looks_the_same(tmp_path):
    pixels = scenic(3, 400, 480)
    block_mean = pixels.reshape(40, 10, 48, 10, 3).mean((1, 3))
    for suffix in ("png", "jpg"):
        path = save(tmp_path / f"a.{suffix}", pixels)
        assert np.abs(data.decode_photo(path, 40) - block_mean).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    pixels = np.zeros((16, 24, 3), "uint8")
    pixels[:8, :12], pixels[8:, 12:] = (255, 0, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    path = save(tmp_path / f"a.{suffix}", pixels, exif=exif, **options)
    upright = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(pixels),
    }[orientation]
    decoded = data.decode_photo(path, 16).astype(int)
    assert decoded.shape == upright.shape
    assert np.abs(decoded - upright).max() < 6


def test_gray_files_become_three_equal_channels(tmp_path):
    gray = np.arange(400, dtype="uint16").reshape(20, 20)
    expected = np.repeat((gray // 2)[..., None], 3, axis=-1)
    eight = data.decode_photo(save(tmp_path / "8.png", gray // 2), 20)
    np.testing.assert_array_equal(eight, expected)
    Image.fromarray((gray // 2) > 90).save(tmp_path / "1.png")
    bits = data.decode_photo(tmp_path / "1.png", 20)
    np.testing.assert_array_equal(bits[..., 1], 255 * (gray // 2 > 90))


def test_sixteen_bit_gray_keeps_its_range(tmp_path):
    gray = np.linspace(0, 65535, 400).reshape(20, 20)
    Image.fromarray(gray.astype("uint16")).save(tmp_path / "16.png")
    decoded = data.decode_photo(tmp_path / "16.png", 20)
    np.testing.assert_allclose(decoded[..., 0], gray / 257, atol=1.1)


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK"])
def test_other_modes_become_rgb(tmp_path, mode):
    pixels = np.broadcast_to(np.uint8([200, 40, 90]), (20, 30, 3))
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(pixels).convert(mode, palette=Image.Palette.ADAPTIVE).save(path)
    decoded = data.decode_photo(path, 20).astype(int)
    assert decoded.shape == (20, 30, 3)
    assert np.abs(decoded - pixels).max() <= 1


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_picture_raises(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises((OSError, ValueError, SyntaxError)):
        data.decode_photo(tmp_path / "a.png", 16)


def test_mean_saturation_by_hand():
    pixels = np.uint8([[[255, 0, 0], [10, 10, 10]], [[0, 100, 50], [90, 91, 95]]])
    assert data.mean_saturation(pixels) == (255 + 0 + 100 + 5) / 4


# ------------------------------------------------------------------------- the training stream


@CACHES
def test_batches_are_square_bytes(scenes, cache):
    stream = load_dataset(config_of(scenes, batch_size=3, cache_gigabytes=cache))
    assert stream.batches.element_spec.shape.as_list() == [3, SIZE, SIZE, 3]
    assert stream.batches.element_spec.dtype.name == "uint8"
    for batch in stream.batches.take(4):
        assert batch.shape == (3, SIZE, SIZE, 3)
        assert batch.numpy().std() > 5
    assert sorted(stream.files) == sorted(scenes.glob("*.png"))
    assert stream.skipped == {}


@CACHES
def test_every_epoch_sees_every_photograph_once(twelve, cache):
    order = seen(config_of(twelve, cache_gigabytes=cache), 48)
    epochs = [order[start : start + 12] for start in range(0, 48, 12)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4  # each in an order of its own
    assert epochs[0] != sorted(epochs[0])


@CACHES
def test_photographs_that_count_several_times_come_as_often(twelve, tmp_path, cache):
    solid(tmp_path / "extra" / "a.png", 20)
    config = config_of(twelve, f"{tmp_path / 'extra'}@4", cache_gigabytes=cache)
    order = seen(config, 32)
    for epoch in (order[:16], order[16:]):
        assert sorted(epoch) == [*range(12), 20, 20, 20, 20]


@CACHES
def test_the_stream_is_a_function_of_the_config(scenes, cache):
    config = config_of(scenes, cache_gigabytes=cache)
    first, again = (np.stack(take(config, 8)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = np.stack(take(dataclasses.replace(config, seed=1), 8))
    assert not np.array_equal(first, other)


def test_the_seed_moves_both_order_and_crops(scenes, twelve):
    config, other = (config_of(twelve, seed=seed) for seed in (0, 1))
    assert seen(config, 12) != seen(other, 12)
    one = save(scenes.parent / "one" / "a.png", scenic(0)).parent
    first, second = (take(config_of(one, seed=seed), 3) for seed in (0, 1))
    assert not any(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@CACHES
def test_the_stream_does_not_depend_on_the_global_seed(twelve, cache, global_seed):
    config, orders = config_of(twelve, cache_gigabytes=cache), []
    for seed in (1, 2):
        global_seed(seed)
        orders.append(seen(config, 24))
    assert orders[0] == orders[1]


def test_another_process_sees_the_same_stream(scenes, global_seed):
    """Resuming is done by another process."""
    global_seed(None)
    config = config_of(scenes, cache_gigabytes=0.0)
    code = (
        "import sys, json, hashlib; from colorizer.data import *;"
        "c = json.loads(sys.argv[1]); c['sources'] = tuple(c['sources']);"
        "b = load_dataset(DataConfig(**c), skip=7).batches.take(3);"
        "print(hashlib.sha256(b''.join(x.numpy().tobytes() for x in b)).hexdigest())"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, json.dumps(dataclasses.asdict(config))],
        cwd=Path(data.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    ours = hashlib.sha256(b"".join(x.tobytes() for x in take(config, 3, skip=7))).hexdigest()
    assert child.stdout.split()[-1] == ours


@CACHES
@pytest.mark.parametrize("skip", [1, 4, 5, 13])
def test_skip_gives_the_uninterrupted_stream(scenes, cache, skip):
    config = config_of(scenes, cache_gigabytes=cache, batch_size=1)
    whole = take(config, skip + 9)
    np.testing.assert_array_equal(take(config, 9, skip=skip), whole[skip:])


@CACHES
@pytest.mark.parametrize("skip", [4, 15, 20])
def test_skip_gives_the_uninterrupted_stream_past_unusable_files(flawed, cache, skip):
    folder, _ = flawed
    save(folder / "scene.png", scenic(2))
    config = config_of(folder, cache_gigabytes=cache, batch_size=1)
    whole = take(config, skip + 9)
    interrupted = data.load_dataset(config)
    for _ in interrupted.batches.take(skip):
        pass
    assert interrupted.skipped
    rest = take(config, 9, skip=skip, unusable=interrupted.skipped)
    np.testing.assert_array_equal(rest, whole[skip:])


def test_crops_are_flipped_scaled_and_moved(tmp_path):
    """Of one photograph whose red tells the column and whose green the row."""
    side = round(SIZE * data.LOAD_MARGIN)
    ramp = np.linspace(0, 240, side)
    pixels = np.zeros((side, side, 3))
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = ramp[None], ramp[:, None], 255
    save(tmp_path / "a.png", pixels)
    crops = np.concatenate(take(config_of(tmp_path, batch_size=50), 4)).astype(int)
    columns = crops[:, SIZE // 2, :, 0]
    rows = crops[:, :, SIZE // 2, 1]
    flipped = columns[:, -1] < columns[:, 0]
    assert 0.35 < flipped.mean() < 0.65
    assert np.all(rows[:, -1] > rows[:, 0])  # never upside down
    columns[flipped] = columns[flipped, ::-1]
    assert np.all(np.diff(columns, axis=1) >= 0)
    step = ramp[1]
    extent = (columns[:, -1] - columns[:, 0]) / step + 1  # in pixels of the photograph
    assert SIZE - 1.5 <= extent.min() < SIZE + 0.5
    assert side - 2.5 < extent.max() <= side
    assert len(np.unique(columns[:, 0])) >= 4
    assert len(np.unique(rows[:, 0])) >= 4
    vertical = (rows[:, -1] - rows[:, 0]) / step + 1
    assert np.abs(extent - vertical).max() < 1  # the aspect is kept


@pytest.mark.parametrize(("gigabytes", "fits"), [(6.0, True), (0.0, False)])
def test_photographs_are_decoded_once_if_they_fit(twelve, monkeypatch, gigabytes, fits):
    decoded = []
    original = data.decode_photo
    monkeypatch.setattr(data, "decode_photo", lambda *a: decoded.append(a[0]) or original(*a))
    seen(config_of(twelve, cache_gigabytes=gigabytes), 36)
    assert (len(decoded) == 12) == fits
    assert set(decoded) == set(twelve.rglob("*.png"))


# ------------------------------------------------------------------------ unusable photographs


def test_a_closed_stream_forgets_its_photographs(twelve):
    """TensorFlow keeps every function that it was ever given, and with it what that holds."""
    stream = load_dataset(config_of(twelve))
    for _ in stream.batches.take(8):
        pass
    assert len(stream.remembered) == 12
    stream.close()
    assert stream.remembered == {}


@CACHES
def test_unusable_files_are_left_out_and_named(flawed, cache):
    folder, reasons = flawed
    config = config_of(folder, cache_gigabytes=cache)
    stream = load_dataset(config)
    batches = [batch.numpy() for batch in stream.batches.take(15)]
    order = [index_of(crop[8, 8]) for batch in batches for crop in batch]
    for start in (0, 10, 20):
        assert sorted(order[start : start + 10]) == list(range(10))
    assert {path: text.split(":")[0] for path, text in stream.skipped.items()} == reasons
    unreadable = [text for text in stream.skipped.values() if text.startswith("unreadable")]
    assert all(len(text) > len("unreadable: ") for text in unreadable)


def test_a_folder_without_a_colour_photograph_is_told_and_not_waited_for(flawed):
    folder, reasons = flawed
    for path in folder.iterdir():
        if path not in reasons:
            path.unlink()
    with pytest.raises(ValueError, match=r"none of the 5 .*/01_empty.jpg: unreadable"):
        load_dataset(config_of(folder))


def test_near_gray_is_a_setting(flawed):
    folder, _ = flawed
    stream = load_dataset(config_of(folder, min_saturation=0.0))
    list(stream.batches.take(12))
    assert "near-gray" not in stream.skipped.values()
    stream = load_dataset(config_of(folder, min_saturation=2.5))
    list(stream.batches.take(12))
    assert [p.name for p, why in stream.skipped.items() if why == "near-gray"] == ["07_gray.png"]


def test_unusable_files_are_left_out_of_validation_too(flawed, tmp_path):
    folder, reasons = flawed
    shutil.copytree(folder, tmp_path / "own" / "validation")
    solid(tmp_path / "own" / "train" / "a.png", 1)
    stream = load_dataset(config_of(tmp_path / "own"), "validation")
    order = [index_of(crop[8, 8]) for batch in stream.batches for crop in batch.numpy()]
    assert order == list(range(10))
    named = {path.name: text.split(":")[0] for path, text in stream.skipped.items()}
    assert named == {path.name: reason for path, reason in reasons.items()}


# ----------------------------------------------------------------------------- the other splits


@pytest.mark.parametrize("split", ["validation", "test"])
def test_validation_is_ordered_centre_crops_once(tmp_path, split):
    sizes = [(60, 80), (80, 60), (40, 40), (33, 100), (16, 23)]
    for index, size in enumerate(sizes):
        save(tmp_path / split / f"{index}.png", scenic(index, *size))
    solid(tmp_path / "train" / "a.png", 0)
    stream = load_dataset(config_of(tmp_path), split)
    batches = [batch.numpy() for batch in stream.batches]
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert [path.name for path in stream.files] == [f"{index}.png" for index in range(5)]
    for crop, path in zip(np.concatenate(batches), stream.files, strict=True):
        photograph = data.decode_photo(path, SIZE)
        top, left = ((side - SIZE) // 2 for side in photograph.shape[:2])
        np.testing.assert_array_equal(crop, photograph[top : top + SIZE, left : left + SIZE])


def test_validation_does_not_depend_on_the_seed(tmp_path, scenes):
    shutil.copytree(scenes, tmp_path / "validation")
    solid(tmp_path / "train" / "a.png", 0)
    first, second = (
        np.concatenate(take(config_of(tmp_path, seed=seed), 9, split="validation"))
        for seed in (0, 1)
    )
    assert len(first) == 5
    np.testing.assert_array_equal(first, second)


def test_what_is_there_to_measure_is_not_trained_on(tmp_path) -> None:
    for folder in (tmp_path, tmp_path / "test"):
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / "a.png")
    with pytest.raises(ValueError, match="test without train"):
        data.photo_files(DataConfig(sources=(str(tmp_path),)), "train")
