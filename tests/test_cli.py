"""The command line: exit codes, one-line errors, nothing lost."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from colorizer import (
    cli,
    extractors,
    networks,
    options,
    predict,
    pretraining,
    range_test,
    samples,
    training,
)
from colorizer.data import DataConfig
from colorizer.masks import make_mask
from colorizer.range_test import RangeTest
from colorizer.recognition import PretrainConfig
from colorizer.regions import Region, contact_sheet
from colorizer.settings import TrainConfig

ROOT = Path(__file__).parent.parent


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    gray = np.linspace(30, 220, 40 * 60).reshape(40, 60).astype("uint8")
    Image.fromarray(gray).save(path)
    return path


def run(*arguments: str | Path) -> int:
    try:
        return cli.main([str(a) for a in arguments])
    except SystemExit as exit_:
        return int(exit_.code or 0)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_memory_that_runs_out_is_told_in_a_line(photo, monkeypatch, capsys) -> None:
    import tensorflow as tf

    def out_of_memory(arguments: argparse.Namespace) -> int:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    about, given, _ = cli.COMMANDS["find-lr"]
    monkeypatch.setitem(cli.COMMANDS, "find-lr", (about, given, out_of_memory))
    assert run("find-lr", "--data", photo.parent) == 2
    told = capsys.readouterr().err
    assert told == "colorizer: out of memory: try smaller --size or --batch-size\n"


def test_colours_a_file_into_a_folder(photo, tmp_path, capsys) -> None:
    assert run("colorize", photo, "-o", tmp_path / "out") == 0
    result = tmp_path / "out" / "photo_colorized.png"
    assert size_of(result) == (60, 40)
    assert str(result) in capsys.readouterr().err


def test_the_short_form_and_a_named_result(photo, tmp_path) -> None:
    assert run(photo, "-o", tmp_path / "new" / "result.jpg") == 0
    with Image.open(tmp_path / "new" / "result.jpg") as image:
        assert (image.size, image.format) == ((60, 40), "JPEG")


def test_folders_keep_their_inner_structure(photo, tmp_path) -> None:
    inner = tmp_path / "album" / "1931"
    inner.mkdir(parents=True)
    photo.rename(inner / "photo.png")
    assert run(tmp_path / "album", "-o", tmp_path / "out") == 0
    assert size_of(tmp_path / "out" / "1931" / "photo_colorized.png") == (60, 40)


def test_bad_files_are_named_and_the_rest_is_done(photo, tmp_path, capsys) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    assert run(tmp_path, "-o", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "empty.jpg" in captured.err
    assert "1 coloured, 1 failed" in captured.out
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["photo_colorized.png"]


def test_existing_results_are_kept(photo, tmp_path, capsys) -> None:
    target = tmp_path / "out" / "photo_colorized.png"
    target.parent.mkdir()
    target.write_bytes(b"precious")
    assert run(photo, "-o", tmp_path / "out") == 1
    assert target.read_bytes() == b"precious"
    assert run(photo, "-o", tmp_path / "out", "--overwrite") == 0
    assert size_of(target) == (60, 40)


def test_names_are_printed_as_they_are(photo, tmp_path, capsys) -> None:
    folder = tmp_path / "a[" / "b] :smile:"
    folder.mkdir(parents=True)
    photo.rename(folder / "holiday [beach].png")
    assert run(folder, "-o", tmp_path / "out") == 0
    assert str(tmp_path / "out" / "holiday [beach]_colorized.png") in capsys.readouterr().err


@pytest.mark.parametrize("output", [".", "album/out"])
def test_results_are_not_coloured_again(photo, tmp_path, monkeypatch, output) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album").mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(photo, tmp_path / "album" / name)
    photo.unlink()
    for _ in range(2):
        assert run("album", "-o", output, "--overwrite") == 0
    found = sorted(p.name for p in tmp_path.rglob("*.png"))
    assert found == ["a.png", "a_colorized.png", "b.png", "b_colorized.png"]


def test_masks_of_a_run_before_are_not_coloured(photo, tmp_path, capsys) -> None:
    shutil.copy(photo, tmp_path / "b.png")
    for _ in range(2):
        arguments = ["-o", tmp_path, "--save-mask", tmp_path, "--mask-pattern", "half"]
        assert run(tmp_path, *arguments, "--overwrite") == 0
    assert len(list(tmp_path.glob("*.png"))) == 6
    assert "4 left out: by name they are results of others" in capsys.readouterr().err


def test_a_result_that_is_named_is_coloured(photo, tmp_path) -> None:
    result = tmp_path / "photo_colorized.png"
    shutil.copy(photo, result)
    assert run(photo, result, "-o", tmp_path / "out") == 0
    assert (tmp_path / "out" / "photo_colorized_colorized.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([""], "an empty name"),
        (["colorize", "nosuch.jpg"], "nosuch.jpg: no such file or folder"),
        (["nosuch.jpg"], "nosuch.jpg: no such file or folder"),
        (["*.nothing"], "*.nothing"),
        (["{folder}/empty"], "no photographs"),
        (["{photo}", "--model", "nosuch"], "no model 'nosuch'"),
        (["{photo}", "--vividness", "2"], "from 0 to 1"),
        (["{photo}", "--model", "{folder}/deep.json"], "deep.json does not describe a model"),
        (["{photo}", "--hints", "{folder}/deep.json"], "deep.json must be JSON"),
        (["train", "--data", "{folder}", "--config", "{folder}/deep.json"], "not the settings"),
        (
            ["train", "--data", "{folder}", "--extractor", "ResNet50"],
            "--extractor ResNet50 does not learn: give it --extractor-weights imagenet",
        ),
        (["train", "--data", "{folder}", "--seed", "9" * 30], "from 0 to 4294967295"),
        (["{photo}", "--strength", "-1"], "from 0 to 1"),
        (["{photo}", "--strength", "full"], "expected a number from 0 to 1, got full"),
        (["{photo}", "--working-size", "2²"], "at least 1, got 2²"),
        (["{photo}", "--working-size", "0"], "at least 1"),
        (["{photo}", "-o", "{photo}/out"], "photo.png"),
        (["train"], "--data"),
        (["train", "--data", "{folder}/nowhere", "--run", "{folder}/run"], "nowhere"),
        (["train", "--data", "{folder}/empty", "--run", "{folder}/run"], "no photographs"),
        (["train", "--resume", "--run", "{folder}/run"], "no such file"),
        (["train", "--config", "{photo}", "--run", "{folder}/run"], "photo.png"),
        (["train", "--data", "{folder}", "--learning-rate", "fast"], "positive number or auto"),
        (["train", "--data", "{folder}", "--learning-rate", "0"], "positive number or auto"),
        (["train", "--data", "{folder}", "--mask-patterns", "half,zebra"], "mask_patterns"),
        (["pretrain", "--run", "{folder}/run"], "--data"),
        (["pretrain", "--data", "{folder}/empty", "--run", "{folder}/run"], "no photographs"),
        (["pretrain", "--data", "{folder}", "--teacher", "VGG19"], "teacher must be MobileNetV2"),
        (["pretrain", "--data", "{folder}", "--learning-rate", "fast"], "positive number"),
        (
            ["pretrain", "--data", "{folder}", "--batch-size", "1", "--run", "{folder}/run"],
            "two classes or more",
        ),
        (
            [
                "pretrain",
                "--data",
                "{folder}",
                "--batch-size",
                "1",
                "--teacher",
                "MobileNetV2:x.h5",
            ],
            "of a file there. Received: 'MobileNetV2:x.h5'",
        ),
        (["pretrain", "--resume", "--run", "{folder}/run"], "no such file"),
        (["find-lr", "-o", "{folder}/out"], "--data"),
        (
            ["find-lr", "--data", "{folder}", "--lowest", "2", "-o", "{folder}/out"],
            "0 < lowest < highest",
        ),
        (
            ["find-lr", "--data", "{folder}", "--steps", "19", "-o", "{folder}/out"],
            "steps must be at least 20",
        ),
        (
            ["{photo}", "-o", "{folder}/out.xyz"],
            "expected .bmp .jfif .jpeg .jpg .png .tif .tiff .webp",
        ),
        (["{photo}", "-o", "{folder}/out.2024"], "or a folder: {folder}/out.2024/"),
        (["{photo}", "--save-mask", "{folder}/m.gif"], "or a folder: {folder}/m.gif/"),
        (["{photo}", "-o", "{photo}/deep/"], "-o: cannot make the folder {folder}/"),
        (["{photo}", "--working-size", "100000"], "from 1 to 1024 pixels. Received: 100000"),
        (["{photo}", "--hints", "{folder}/no.json"], "no.json: No such file or directory"),
        (["{photo}", "--hint", "-5,8,nocolour"], "hint"),
        (["{photo}", "--rectangle", "-9,-9,-5"], "expected LEFT,TOP,RIGHT,BOTTOM"),
    ],
)
def test_bad_calls_get_one_line_and_exit_code_2(photo, tmp_path, capsys, arguments, told) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "deep.json").write_text("[" * 200_000)
    filled = [a.format(folder=tmp_path, photo=photo) for a in arguments]
    assert run(*filled) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("colorizer: ")
    assert told.format(folder=tmp_path) in line
    assert not (tmp_path / "out.xyz").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--nonsense"], "required: PHOTO; see colorizer colorize --help"),
        (["a.png", "--nonsense"], "unrecognized arguments: --nonsense; see colorizer --help"),
        (["a.png", "--strength", "2"], "got 2; see colorizer colorize --help"),
        (["train", "--epochs", "0"], "got 0; see colorizer train --help"),
        (["find-lr", "--steps"], "expected one argument; see colorizer find-lr --help"),
        (["evaluate"], "required: --data; see colorizer evaluate --help"),
        (["masks", "--seed", "-1"], "got -1; see colorizer masks --help"),
    ],
)
def test_a_wrong_option_gets_one_line_that_points_to_help(capsys, arguments, told) -> None:
    assert run(*arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("colorizer: ")
    assert line.endswith(told)


def test_a_folder_may_have_a_dot_in_its_name(photo, tmp_path, asked) -> None:
    (tmp_path / "made.2023").mkdir()
    slash = f"{tmp_path}/new.2024/"
    for output, folder in (
        (tmp_path / "made.2023", tmp_path / "made.2023"),
        (slash, tmp_path / "new.2024"),
        (f"{tmp_path}/new.png/", tmp_path / "new.png"),
        (tmp_path / ".hidden", tmp_path / ".hidden"),
    ):
        assert run(photo, "-o", output, "--save-mask", slash) == 0
        assert asked["pairs"] == [(photo, folder / "photo_colorized.png")]
        assert asked["masks"] == [tmp_path / "new.2024" / "photo_colorized_mask.png"]
    (tmp_path / "b.png").write_bytes(photo.read_bytes())
    assert run(photo, tmp_path / "b.png", "-o", tmp_path / "two.xyz") == 0
    assert (tmp_path / "two.xyz").is_dir()  # of several photographs it can only be a folder


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_told_before_any_work(photo, tmp_path, capsys) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    assert run(photo, "-o", closed) == 2
    assert "cannot write" in capsys.readouterr().err


def test_without_arguments_the_samples_are_coloured(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert run() == 0
    names = sorted(p.name for p in (tmp_path / "results").iterdir())
    pictures = [f"{n}_{k}.png" for n in samples.SAMPLES for k in ("colorized", "triptych")]
    assert names == sorted([*pictures, f"{samples.STEERED}_steered.png", "old_photographs.png"])
    assert size_of(tmp_path / "results" / "coffee_colorized.png") == (600, 400)
    triptych = np.asarray(Image.open(tmp_path / "results" / "camera_triptych.png"))
    assert triptych.shape == (512, 3 * 512, 3)
    original, luminance, colored = np.split(triptych, 3, axis=1)
    np.testing.assert_array_equal(original, luminance)  # camera is gray to begin with
    assert np.ptp(colored.astype(int), axis=-1).max() > 10
    assert "sample photographs coloured in" in capsys.readouterr().out


def test_what_exists_is_told_before_a_network_is_loaded(photo, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli, "_start_backend", lambda: pytest.fail("loaded"))
    (tmp_path / "b.png").write_bytes(b"mine")
    assert run(photo, "-o", tmp_path / "b.png") == 1
    assert "b.png: exists already; --overwrite replaces it" in capsys.readouterr().err
    assert (tmp_path / "b.png").read_bytes() == b"mine"


def test_a_folder_that_was_interrupted_goes_on(photo, tmp_path, capsys, monkeypatch) -> None:
    album, out, masks = (tmp_path / name for name in ("album", "out", "masks"))
    for name in ("a", "b", "c"):
        album.joinpath("deep").mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, album / "deep" / f"{name}.png")
    shutil.copy(photo, album / "d.png")
    out.joinpath("deep").mkdir(parents=True)
    done = out / "deep" / "b_colorized.png"
    shutil.copy(photo, done)  # of the same lightness
    before = done.read_bytes()
    assert run(album, "-o", out) == 0
    told = capsys.readouterr()
    assert told.out.endswith("3 coloured, 1 kept: --overwrite replaces them\n")
    assert f"kept: {done}\n" in told.err
    assert done.read_bytes() == before
    assert size_of(out / "deep" / "c_colorized.png") == (60, 40)

    assert run(album, "-o", out, "--save-mask", masks) == 1  # the masks are not there
    assert "0 coloured, 4 failed\n" in capsys.readouterr().out
    monkeypatch.setattr(cli, "_start_backend", lambda: pytest.fail("loaded"))
    assert run(album, "-o", out) == 0
    assert capsys.readouterr().out == "0 coloured, 4 kept: --overwrite replaces them\n"


def test_results_of_another_album_are_none_of_this_one(photo, tmp_path, capsys) -> None:
    """Cameras number alike: a name alone does not make a result a photograph's."""
    albums = [tmp_path / name for name in ("first", "second")]
    turned = Image.open(photo).rotate(180)
    for album, image in zip(albums, (Image.open(photo), turned), strict=True):
        album.mkdir()
        for name in ("IMG_1.png", "IMG_2.png"):
            image.save(album / name)
    out = tmp_path / "out"
    assert run(albums[0], "-o", out) == 0
    before = (out / "IMG_1_colorized.png").read_bytes()
    capsys.readouterr()
    assert run(albums[1], "-o", out) == 1
    told = capsys.readouterr()
    assert told.out.endswith("0 coloured, 2 failed\n")
    assert "IMG_1_colorized.png: exists already, of another photograph" in told.err
    assert (out / "IMG_1_colorized.png").read_bytes() == before
    (out / "IMG_2_colorized.png").write_bytes(b"half of one")
    assert run(albums[0], "-o", out) == 1
    told = capsys.readouterr()
    assert told.out.endswith("0 coloured, 1 failed, 1 kept: --overwrite replaces them\n")
    assert "IMG_2_colorized.png: exists already, and cannot be compared" in told.err


def test_earlier_results_and_other_files_are_left_out_and_told(photo, tmp_path, capsys) -> None:
    album = tmp_path / "album"
    album.mkdir()
    for name in ("a.png", "a_colorized.png", "b.png", "b_colorized_mask.png"):
        shutil.copy(photo, album / name)
    for name in ("c.heic", "d.heic", "notes"):
        (album / name).write_bytes(b"")
    assert run(album, album / "a_colorized.png", "-o", tmp_path / "out") == 0
    told = capsys.readouterr()
    assert "3 coloured" in told.out
    assert "1 left out: by name they are results" in told.err
    assert "left out, no photographs by their names: 2 .heic, 1 without suffix\n" in told.err
    results = tmp_path / "results"
    results.mkdir()
    for name in ("a_colorized.png", "b_colorized.png"):
        shutil.copy(photo, results / name)
    assert run(results, "-o", tmp_path / "again") == 0  # nothing else is there
    assert "2 coloured" in capsys.readouterr().out


def test_what_a_crash_or_a_twin_has_left_is_no_result(photo, tmp_path, capsys) -> None:
    for name in ("a.png", "b.png"):
        shutil.copy(photo, tmp_path / name)
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_colorized.png").touch()
    (out / "b_colorized.png").mkdir()
    assert run(tmp_path / "a.png", tmp_path / "b.png", "-o", out) == 1
    assert "0 coloured, 2 failed\n" in capsys.readouterr().out
    twins = [tmp_path / folder / "c.png" for folder in ("x", "y")]
    for twin in twins:
        twin.parent.mkdir()
        shutil.copy(photo, twin)
    (out / "c_colorized.png").write_bytes(b"of one of them")
    assert run(*twins, "-o", out) == 1
    assert "0 coloured, 2 failed\n" in capsys.readouterr().out


@pytest.mark.parametrize("given", ["album", "album/a.png album/a_colorized.png"])
def test_a_call_repeated_by_a_shell_or_a_clock_is_kept(photo, tmp_path, capsys, given) -> None:
    album = tmp_path / "album"
    album.mkdir()
    shutil.copy(photo, album / "a.png")
    assert run(album, "-o", album) == 0
    names = [tmp_path / name for name in given.split()]
    assert run(*names, "-o", album) == 0
    told = capsys.readouterr()
    assert told.out.endswith("0 coloured, 1 kept: --overwrite replaces them\n")
    assert "1 left out" in told.err
    assert len(list(album.iterdir())) == 2


def test_what_was_named_is_not_overwritten(photo, tmp_path, capsys) -> None:
    """Neither a photograph with the name of another's result, nor the reference."""
    other = tmp_path / "photo_colorized.png"
    Image.new("RGB", (60, 40), "teal").save(other)
    before = other.read_bytes()
    assert run(photo, other, "-o", tmp_path, "--overwrite") == 1
    assert "is an input" in capsys.readouterr().err
    assert run(photo, "-o", tmp_path, "--reference", other, "--overwrite") == 2
    assert "is an input" in capsys.readouterr().err
    assert other.read_bytes() == before


def test_masks_lie_where_they_lay_before(photo, tmp_path, capsys) -> None:
    album, out, masks = (tmp_path / name for name in ("album", "out", "masks"))
    (album / "1931").mkdir(parents=True)
    for name in ("a", "b"):
        shutil.copy(photo, album / "1931" / f"{name}.png")
    call = album, "-o", out, "--mask-pattern", "half", "--save-mask", masks
    assert run(*call) == 0
    shutil.copy(photo, album / "c.png")
    assert run(*call) == 0
    assert "1 coloured, 2 kept" in capsys.readouterr().out
    written = sorted(p.relative_to(masks).as_posix() for p in masks.rglob("*.png"))
    assert written == [
        "1931/a_colorized_mask.png",
        "1931/b_colorized_mask.png",
        "c_colorized_mask.png",
    ]


def test_several_photographs_do_not_go_into_one_file(photo, tmp_path, capsys) -> None:
    shutil.copy(photo, tmp_path / "twin.png")
    assert run(photo, tmp_path / "twin.png", "-o", tmp_path / "o.png") == 2
    assert "2 photographs need a folder" in capsys.readouterr().err
    assert not (tmp_path / "o.png").exists()


def test_values_may_begin_with_a_minus() -> None:
    given = ["a.png", "--rectangle", "-10,-10,50,50", "--hint", "-5,8,red", "--feather", "2"]
    assert cli._with_negative_values(given) == [
        "a.png",
        "--rectangle=-10,-10,50,50",
        "--hint=-5,8,red",
        "--feather",
        "2",
    ]


@pytest.fixture
def heard_interrupts() -> Iterator[None]:
    """Programs started meanwhile hear Ctrl-C, even if a shell's `&` made the tests deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.usefixtures("heard_interrupts")
def test_ctrl_c_keeps_what_was_done_and_leaves_no_partial_file(photo, tmp_path) -> None:
    album, out = tmp_path / "album", tmp_path / "out"
    album.mkdir()
    for i in range(400):
        (album / f"{i:03}.png").write_bytes(photo.read_bytes())
    process = subprocess.Popen(
        [sys.executable, ROOT / "main.py", album, "-o", out],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while len(list(out.glob("*.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    done = list(out.iterdir())
    assert 3 <= len(done) < 400
    assert all(size_of(path) == (60, 40) for path in done)


def test_every_preset_can_be_trained() -> None:
    assert set(options.NETWORKS) == set(networks.PRESETS)


def test_pretrain_is_told_what_was_asked(tmp_path, monkeypatch, capsys) -> None:
    asked = {}

    def pretrain(config: PretrainConfig, run: Path, *, resume: bool) -> Path:
        asked.update(config=config, run=run, resume=resume)
        return run / "extractor.weights.h5"

    monkeypatch.setattr(pretraining, "pretrain", pretrain)
    options = ["--teacher", "MobileNetV2:x.h5", "--teacher-cache", "c", "--feature-weight", 3]
    options += ["--size", 96, "--batch-size", 8, "--seed", 5, "--learning-rate", 0.5, "--epochs", 4]
    run_ = tmp_path / "run"
    assert run("pretrain", "--data", "a", "--data", "b@2", *options, "--run", run_) == 0
    assert asked == {
        "config": PretrainConfig(
            data=DataConfig(sources=("a", "b@2"), image_size=96, batch_size=8, seed=5),
            teacher="MobileNetV2:x.h5",
            teacher_cache="c",
            feature_weight=3.0,
            learning_rate=0.5,
            epochs=4,
            seed=5,
        ),
        "run": run_,
        "resume": False,
    }
    told = capsys.readouterr().out
    assert told == f"train with: train --extractor-weights {run_ / 'extractor.weights.h5'}\n"


@pytest.mark.parametrize("command", ["train", "pretrain"])
@pytest.mark.parametrize(
    ("there", "begins", "arguments", "again"),
    [
        (False, False, [], "the same command"),
        (True, False, [], "the same command"),  # of an older run
        (False, True, [], "{command} --resume --run {run}"),
        (True, True, [], "{command} --resume --run {run}"),
        (True, False, ["--resume"], "{command} --resume --run {run}"),
    ],
)
def test_ctrl_c_says_how_to_go_on(
    tmp_path, monkeypatch, capsys, command, there, begins, arguments, again
) -> None:
    config = tmp_path / "run" / "config.json"
    config.parent.mkdir()
    if there:
        config.write_text("{}")
        os.utime(config, (1, 1))

    def interrupted(*_, **__):
        if begins:
            config.write_text("{}")
        raise KeyboardInterrupt

    module = {"train": training, "pretrain": pretraining}[command]
    monkeypatch.setattr(module, command, interrupted)
    assert run(command, "--data", tmp_path, "--run", config.parent, *arguments) == 130
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == "stopped; go on with: " + again.format(command=command, run=config.parent)


@pytest.mark.slow
def test_pretrain_leaves_an_extractor_that_training_takes(tmp_path, rng, capsys) -> None:
    for name in ("dogs", "cats"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(0, 256, (70, 80, 3), "uint8")
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.jpg")
    run_ = tmp_path / "run"
    assert run("pretrain", "--data", tmp_path / "photos", "--smoke", "--run", run_) == 0
    file = run_ / "extractor.weights.h5"
    assert f"train --extractor-weights {file}" in capsys.readouterr().out
    config = networks.NetworkConfig(extractor_weights=str(file))
    network = networks.build_network(config)
    saved = extractors.xception(width=0.5)
    saved.load_weights(file)
    kernels = [model.get_layer("block1_conv1").kernel for model in (
        saved, network.get_layer("extractor")
    )]  # fmt: skip
    np.testing.assert_array_equal(*kernels)


def test_a_run_may_be_told_its_data_again(tmp_path, monkeypatch) -> None:
    """The settings of the command line compare equal to those that were stored."""
    stored = TrainConfig(data=DataConfig(sources=("a",)))
    (tmp_path / "config.json").write_text(json.dumps(asdict(stored)))
    asked = []
    monkeypatch.setattr(training, "train", lambda config, run, resume: asked.append(config))
    assert run("train", "--resume", "--run", tmp_path, "--data", "a") == 0
    assert asked == [stored]


def test_find_lr_prints_what_it_found(photo, tmp_path, monkeypatch, capsys) -> None:
    asked = {}

    def find(config: TrainConfig, **sweep: float) -> RangeTest:
        asked.update(sweep, config=config)
        return RangeTest(np.geomspace(1e-3, 1, 4), np.array([3.0, 1.0, 1.05, 1.4]))

    monkeypatch.setattr(range_test, "find_learning_rate", find)
    out = tmp_path / "out"
    options = ["--network", "unet_gan", "--width", 0.25, "--mask-patterns", "half:vertical,grid:2"]
    assert run("find-lr", "--data", tmp_path, *options, "--steps", 27, "-o", out) == 0
    assert (asked["steps"], asked["lowest"], asked["highest"]) == (27, 1e-6, 1.0)
    assert asked["config"].network == replace(networks.PRESETS["unet_gan"], width=0.25)
    assert asked["config"].mask_patterns == ("half:vertical", "grid:2")
    assert sorted(path.name for path in out.iterdir()) == ["learning_rate.csv", "learning_rate.png"]
    # Smoothed: 3, 1.95, 1.62, 1.56: falls fastest at the first two, and is lowest at the last.
    told = capsys.readouterr().out
    assert "steepest descent: 0.001" in told
    assert "--learning-rate 0.1" in told


# --- steering


@pytest.fixture
def asked(monkeypatch) -> dict:
    """What `colorize` asks of the colorizer; nothing is coloured."""
    told: dict = {}

    def load(model: str, **options: object) -> SimpleNamespace:
        told.update(options, model=model)
        takes = {"luminance"} if model == "takes-no-hints" else {"luminance", "hints"}
        return SimpleNamespace(takes=takes, method=options["method"])

    def colorize_files(colorizer: SimpleNamespace, pairs: list, **options: object) -> list:
        told.update(options, pairs=pairs)
        return [(source, target, None) for source, target in pairs]

    monkeypatch.setattr(predict, "Colorizer", load)
    monkeypatch.setattr(predict, "colorize_files", colorize_files)
    return told


def test_vividness_and_strength_reach_the_colorizer(photo, tmp_path, asked) -> None:
    assert run(photo, "-o", tmp_path / "out", "--vividness", 0.25, "--strength", 0.5) == 0
    assert (asked["vividness"], asked["strength"]) == (0.25, 0.5)
    assert run(photo, "-o", tmp_path / "out") == 0
    assert (asked["vividness"], asked["strength"]) == (None, 1.0)


TRIANGLE = "1,2,50,2,30.5,38"


@pytest.mark.parametrize(
    ("arguments", "region"),
    [
        ([], None),
        (["--mask", "{photo}"], Region(image=Path("{photo}"))),
        (["--mask-pattern", "stripes:8@45"], Region(pattern="stripes:8@45")),
        (["--mask-pattern", "discs:5", "--mask-seed", "7"], Region(pattern="discs:5", seed=7)),
        (
            ["--rectangle", "1,2,30,20.5", "--rectangle=-5,0,9,9"],
            Region(rectangles=[(1, 2, 30, 20.5), (-5, 0, 9, 9)]),
        ),
        (["--polygon", TRIANGLE], Region(polygons=[[(1, 2), (50, 2), (30.5, 38)]])),
        (
            ["--select", "30,20", "--select", "31,21", "--deselect", "5,5"],
            Region(select=[(30, 20), (31, 21)], deselect=[(5, 5)]),
        ),
        (
            ["--mask-pattern", "half", "--invert-mask", "--feather", "2.5"],
            Region(pattern="half", invert=True, feather=2.5),
        ),
    ],
)
def test_where_to_colour(photo, tmp_path, asked, arguments, region) -> None:
    assert run(photo, *(a.format(photo=photo) for a in arguments), "-o", tmp_path / "out") == 0
    if region is not None:
        image = region.image and photo
        region = replace(region, image=image, **{
            name: list(getattr(region, name))
            for name in ("rectangles", "polygons", "select", "deselect")
        })  # fmt: skip
    assert asked["mask"] == region
    assert (asked["hints"], asked["reference"], asked["masks"]) == ([], None, [None])


def test_which_colours(photo, tmp_path, asked) -> None:
    hints, scribbles = tmp_path / "hints.json", tmp_path / "scribbles.png"
    hints.write_text('[{"x": 9, "y": 7, "color": "teal", "radius": 6}]')
    Image.new("RGBA", (6, 4), (1, 2, 3, 255)).save(scribbles)
    reference = tmp_path / "reference.png"
    Image.new("RGB", (5, 3), (10, 200, 30)).save(reference)
    teal = (9, 7, (0, 128, 128), 6)
    out = ["-o", tmp_path / "out"]
    assert run(photo, "--hint", "1,2,#ff0000", "--hint", "3,4,rgb(1, 2, 3),9", *out) == 0
    assert asked["hints"] == [(1, 2, (255, 0, 0), None), (3, 4, (1, 2, 3), 9)]
    assert run(photo, "--hints", hints, "--hint", "1,2,red", *out) == 0
    assert asked["hints"] == [(1, 2, (255, 0, 0), None), teal]
    assert run(photo, "--hints", scribbles, "--reference", reference, *out) == 0
    assert asked["hints"] == scribbles
    np.testing.assert_array_equal(asked["reference"], np.full((3, 5, 3), [10, 200, 30]))
    assert asked["method"] == "network"
    assert run(photo, "--hints", hints, "--method", "levin", "--save-mask", "mask.png", *out) == 0
    assert (asked["hints"], asked["method"]) == ([teal], "levin")
    assert asked["masks"] == [Path("mask.png")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rectangle", "1,2,3"], "expected LEFT,TOP,RIGHT,BOTTOM in pixels, got 1,2,3"),
        (["--rectangle", "1,2,nan,4"], "expected LEFT,TOP,RIGHT,BOTTOM"),
        (["--rectangle", "1,2,three,4"], "expected LEFT,TOP,RIGHT,BOTTOM"),
        (["--polygon", "1,2,3,4"], "expected X,Y,X,Y,X,Y,… in pixels"),
        (["--polygon", TRIANGLE + ",5"], "expected X,Y,X,Y,X,Y,… in pixels"),
        (["--select", "1"], "expected X,Y in pixels, got 1"),
        (["--select", "1,inf"], "expected X,Y in pixels"),
        (["--deselect", "1,2"], "at least one --select"),
        (["--deselect", "1,2", "--mask-pattern", "half"], "at least one --select"),
        (["--mask-pattern", "zebra"], "Received: 'zebra'"),
        (["--mask-pattern", "discs", "--mask-seed", "-1"], "from 0 to 4294967295, got -1"),
        (["--mask", "{folder}/nosuch.png"], "nosuch.png"),
        (["--mask", "{folder}/bad.json"], "bad.json"),
        (["--invert-mask"], "need a mask"),
        (["--feather", "3"], "need a mask"),
        (["--feather", "-1", "--mask-pattern", "half"], "at least 0, got -1"),
        (["--feather", "inf", "--mask-pattern", "half"], "at least 0, got inf"),
        (["--hint", "1,2"], "hint must be x,y,colour[,radius]"),
        (["--hint", "1,2,reddish"], "hint must be x, y, a colour"),
        (["--hint", "nan,2,red"], "hint must be x, y, a colour"),
        (["--hints", "{folder}/bad.json"], "bad.json must be JSON"),
        (["--hints", "{folder}/nosuch.json"], "nosuch.json"),
        (["--hints", "{folder}/nosuch.png"], "nosuch.png"),
        (["--hints", "{photo}"], "photo.png must be an image that is transparent"),
        (["--hint", "1,2,red", "--hints", "{folder}/clear.png"], "cannot be mixed"),
        (["--reference", "{folder}/nosuch.png"], "nosuch.png"),
        (["--method", "levin"], "--method levin spreads hints"),
        (["--method", "levin", "--hints", "{folder}/empty.json"], "--method levin spreads hints"),
        (
            ["--method", "levin", "--hint", "1,2,red", "--reference", "{photo}"],
            "--reference is of a network; --method levin has none",
        ),
        (["--method", "levin", "--hint", "1,2,red", "--vividness", "0.3"], "--vividness is of"),
        (
            ["--method", "levin", "--hint", "1,2,red", "--working-size", "64"],
            "--working-size is of",
        ),
        (["--method", "levin", "--hint", "1,2,red", "--model", "none"], "--model is of"),
        (["--method", "magic"], "invalid choice: 'magic'"),
    ],
)
def test_bad_steering_gets_one_line_and_exit_code_2(
    photo, tmp_path, capsys, arguments, told
) -> None:
    (tmp_path / "bad.json").write_text("[{")
    (tmp_path / "empty.json").write_text("[]")
    Image.new("RGBA", (6, 4), (1, 2, 3, 255)).save(tmp_path / "clear.png")
    filled = [a.format(folder=tmp_path, photo=photo) for a in arguments]
    assert run("colorize", photo, *filled, "-o", tmp_path / "out") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert told in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--select", "60,5"], "select[0] must lie in the photo, 60 pixels wide and 40 high"),
        (["--rectangle", "70,0,80,9"], "rectangles[0] must cover a part of the photo"),
        (["--hint", "5,40,red"], "hints[1] must lie in the photo"),
    ],
)
def test_what_one_photograph_cannot_have_fails_that_one(
    photo, tmp_path, capsys, arguments, told
) -> None:
    wide = tmp_path / "wide.png"
    Image.new("L", (90, 50), 120).save(wide)
    levin = ["--method", "levin", "--hint", "5,5,teal"]
    assert run(photo, wide, *levin, *arguments, "-o", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert f"failed: {photo}: {told}" in captured.err
    assert "1 coloured, 1 failed" in captured.out
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["wide_colorized.png"]


def test_a_mask_is_obeyed_and_written(photo, tmp_path) -> None:
    out, mask = tmp_path / "out.png", tmp_path / "made" / "mask.png"
    steering = ["--method", "levin", "--hint", "5,5,teal,2", "--mask-pattern", "checkerboard:4"]
    assert run(photo, *steering, "--invert-mask", "--save-mask", mask, "-o", out) == 0
    used = 1 - make_mask("checkerboard:4", (40, 60))
    np.testing.assert_array_equal(np.asarray(Image.open(mask)), used * 255)
    colored, gray = (np.asarray(Image.open(path).convert("RGB")) for path in (out, photo))
    np.testing.assert_array_equal(colored[used == 0], gray[used == 0])
    assert np.ptp(colored[used == 1].astype(int), axis=-1).mean() > 10


def test_a_saved_mask_gives_itself_again(photo, tmp_path) -> None:
    levin = ["--method", "levin", "--hint", "5,5,teal,2"]
    first, second = tmp_path / "1.png", tmp_path / "2.png"
    soft = ["--rectangle", "9,9,40,30", "--feather", "8", "--save-mask", first]
    assert run(photo, *levin, *soft, "-o", tmp_path / "a.png") == 0
    assert run(photo, *levin, "--mask", first, "--save-mask", second, "-o", tmp_path / "b.png") == 0
    assert second.read_bytes() == first.read_bytes()
    mask = np.asarray(Image.open(first))
    assert (mask.shape, mask.dtype) == ((40, 60), np.uint8)
    assert set(range(1, 4)) & set(mask.ravel().tolist())  # faint ones are no noise
    assert len(np.unique(mask)) > 30
    colorizer = predict.Colorizer(method="levin")
    again = colorizer(np.asarray(Image.open(photo)), mask=mask, hints=[(5, 5, "teal", 2)])
    np.testing.assert_array_equal(again, np.asarray(Image.open(tmp_path / "b.png")))


def test_masks_of_several_photographs_go_into_a_folder(photo, tmp_path) -> None:
    (tmp_path / "album" / "inner").mkdir(parents=True)
    for name in ("a.png", "inner/a.png"):
        (tmp_path / "album" / name).write_bytes(photo.read_bytes())
    scribbles = tmp_path / "scribbles.png"
    painted = Image.new("RGBA", (60, 40), (200, 30, 30, 0))
    painted.paste((200, 30, 30, 255), (10, 10, 20, 14))
    painted.save(scribbles)
    steering = ["--method", "levin", "--hints", scribbles, "--save-mask", tmp_path / "masks"]
    assert run(tmp_path / "album", *steering, "-o", tmp_path / "out") == 0
    for folder, kind in (("masks", "_mask"), ("out", "")):
        found = sorted(p.relative_to(tmp_path / folder) for p in (tmp_path / folder).rglob("*.png"))
        name = f"a_colorized{kind}.png"
        assert found == [Path(name), Path("inner") / name]
    red = np.asarray(Image.open(tmp_path / "out" / "a_colorized.png")).astype(int)
    assert (red[12, 15, 0] - red[12, 15, 1:]).min() > 50


def test_masks_draws_every_pattern(photo, tmp_path, capsys) -> None:
    sheets = [tmp_path / "new" / name for name in ("sample.png", "photo.png")]
    assert run("masks", "-o", sheets[0]) == 0
    assert run("masks", photo, "--seed", 3, "-o", sheets[1]) == 0
    assert capsys.readouterr().out.split() == [str(sheet) for sheet in sheets]
    sample, own = (np.asarray(Image.open(sheet)) for sheet in sheets)
    np.testing.assert_array_equal(own, contact_sheet(cli._gray_photo(photo), seed=3))
    assert sample.shape == own.shape
    assert (sample != own).any()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nosuch.png"], "nosuch.png"),
        (["--seed", "-1"], "from 0 to 4294967295, got -1"),
        (["--seed", "4294967296"], "from 0 to 4294967295, got 4294967296"),
        (["-o", "{folder}/sheet.txt"], "sheet.txt"),
    ],
)
def test_bad_calls_of_masks_get_one_line_and_exit_code_2(tmp_path, capsys, arguments, told) -> None:
    filled = [a.format(folder=tmp_path) for a in arguments]
    assert run("masks", *(filled if "-o" in filled else [*filled, "-o", tmp_path / "s.png"])) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert told in line


def test_the_sheet_of_masks_does_not_replace_its_photograph(photo, capsys) -> None:
    before = photo.read_bytes()
    assert run("masks", photo, "-o", photo.parent / "." / photo.name) == 2
    assert "it is not overwritten" in capsys.readouterr().err
    assert photo.read_bytes() == before


def test_the_sheet_of_masks_replaces_no_picture_unless_told(photo, tmp_path, monkeypatch) -> None:
    before = photo.read_bytes()
    assert run("masks", "-o", photo) == 2
    assert photo.read_bytes() == before
    assert run("masks", "-o", photo, "--overwrite") == 0
    assert photo.read_bytes() != before
    monkeypatch.chdir(tmp_path)
    assert [run("masks"), run("masks")] == [0, 0]


DEFAULTS = TrainConfig()
SAID = {
    "network": DEFAULTS.network.network,
    "extractor": DEFAULTS.network.extractor,
    "fusion": DEFAULTS.network.fusion,
    "head": DEFAULTS.network.head,
    "width": f"{DEFAULTS.network.width:g}",
    "size": DEFAULTS.data.image_size,
    "batch_size": DEFAULTS.data.batch_size,
    "precision": DEFAULTS.precision,
    "full_mask_share": DEFAULTS.full_mask_share,
    "pixel_weight": f"{DEFAULTS.pixel_weight:g}",
    "seed": DEFAULTS.seed,
    "epochs": DEFAULTS.epochs,
    "learning_rate": DEFAULTS.learning_rate,
}


@pytest.mark.parametrize("add", [options.train_options, options.find_lr_options])
def test_every_option_of_training_says_what_it_is_and_its_default(add) -> None:
    parser = argparse.ArgumentParser()
    add(parser)
    told = {action.dest: action.help for action in parser._actions}
    assert all(told.values()), [name for name, help_ in told.items() if not help_]
    for name in SAID.keys() & told.keys():
        assert f"({SAID[name]})" in told[name], name


LIGHT_HELP = """
import sys
from colorizer import cli
try:
    cli.main(sys.argv[1:])
except SystemExit as exit_:
    heavy = {"tensorflow", "keras", "skimage", "scipy", "numpy"} & set(sys.modules)
    raise SystemExit(f"imported {heavy}" if heavy else exit_.code)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["colorize", "--help"], ["masks", "--help"]])
def test_help_imports_nothing_heavy(arguments) -> None:
    child = subprocess.run(
        [sys.executable, "-c", LIGHT_HELP, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert (child.returncode, child.stderr) == (0, "")
    options = ["--mask-pattern", "--select", "--feather", "--save-mask", "--hint", "--reference"]
    assert all(option in child.stdout for option in options) == (arguments[0] == "colorize")


@pytest.mark.parametrize(
    ("name", "count", "told"),
    [("m.gif", 1, "expected .bmp .jfif .jpeg"), ("m.png", 2, "2 masks need a folder")],
)
def test_where_masks_go_is_checked_before_any_work(tmp_path, capsys, name, count, told) -> None:
    for i in range(count):
        Image.fromarray(np.full((8, 8), 90, "uint8")).save(tmp_path / f"{i}.png")
    photos = [tmp_path / f"{i}.png" for i in range(count)]
    out = ["-o", tmp_path / "out", "--mask-pattern", "half", "--save-mask", tmp_path / name]
    assert run("colorize", *photos, *out) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("encoding", ["cp437", "ascii"])
def test_a_narrow_console_does_not_end_the_help(encoding) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "main.py", "train", "--help"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u03bb" in done.stdout or "λ".encode(encoding, "ignore") in done.stdout


def test_figures_are_written_whether_or_not_they_are_read(tmp_path, monkeypatch) -> None:
    """`evaluate … | head` closes the pipe, and rich leaves by SystemExit."""
    written = []

    def leave(_):
        raise SystemExit(1)

    module = SimpleNamespace(
        print_report=leave, write_report=lambda measured, folder: written.append(folder)
    )
    monkeypatch.setattr(cli, "_measure", lambda *_: (SimpleNamespace(data={"skipped": {}}), module))
    assert run("evaluate", "--data", tmp_path, "-o", tmp_path / "out") == 1
    assert written == [tmp_path / "out"]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_gray_reference_is_refused_before_any_work(photo, tmp_path, capsys, mode) -> None:
    reference = tmp_path / "reference.png"
    Image.open(photo).convert(mode).save(reference)
    assert run(photo, "--reference", reference, "-o", tmp_path / "out") == 2
    assert "has no colours to take on" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_hints_for_a_model_without_are_refused_before_any_work(photo, asked, capsys) -> None:
    assert run(photo, "--hint", "1,2,red", "--model", "takes-no-hints") == 2
    assert "choose one trained with --hints, or --method levin" in capsys.readouterr().err
    assert run(photo, "--model", "takes-no-hints") == 0
