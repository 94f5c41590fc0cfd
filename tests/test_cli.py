"""The command line: exit codes, one-line errors, nothing lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorizer import cli

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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["colorize", "nosuch.jpg"], "nosuch.jpg: no such file or folder"),
        (["nosuch.jpg"], "nosuch.jpg: no such file or folder"),
        (["*.nothing"], "*.nothing"),
        (["{folder}/empty"], "no photographs"),
        (["{photo}", "--model", "nosuch"], "no model 'nosuch'"),
        (["{photo}", "--vividness", "2"], "from 0 to 1"),
        (["{photo}", "--strength", "-1"], "from 0 to 1"),
        (["{photo}", "--working-size", "0"], "at least 1"),
        (["{photo}", "-o", "{photo}/out"], "photo.png"),
        (["train"], "--data"),
        (["train", "--data", "{folder}/nowhere", "--run", "{folder}/run"], "nowhere"),
        (["train", "--data", "{folder}/empty", "--run", "{folder}/run"], "no photographs"),
        (["train", "--resume", "--run", "{folder}/run"], "no such file"),
        (["train", "--config", "{photo}", "--run", "{folder}/run"], "photo.png"),
    ],
)
def test_bad_calls_get_one_line_and_exit_code_2(photo, tmp_path, capsys, arguments, told) -> None:
    (tmp_path / "empty").mkdir()
    filled = [a.format(folder=tmp_path, photo=photo) for a in arguments]
    assert run(*filled) == 2
    captured = capsys.readouterr()
    last = captured.err.strip().splitlines()[-1]
    assert told in last
    assert "Traceback" not in captured.err


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
    assert names == sorted(f"{n}_{k}.png" for n in cli.SAMPLES for k in ("colorized", "triptych"))
    assert size_of(tmp_path / "results" / "coffee_colorized.png") == (600, 400)
    triptych = np.asarray(Image.open(tmp_path / "results" / "camera_triptych.png"))
    assert triptych.shape == (512, 3 * 512, 3)
    original, luminance, colored = np.split(triptych, 3, axis=1)
    np.testing.assert_array_equal(original, luminance)  # camera is gray to begin with
    assert np.ptp(colored.astype(int), axis=-1).max() > 10
    assert "5 photographs" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
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
