"""The folder of a run: nothing half-written, and only what is needed to go on."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from colorizer import runs


@pytest.fixture
def model() -> keras.Model:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def test_the_last_checkpoint_stays_with_what_was_left_out(model, tmp_path) -> None:
    assert runs.last_checkpoint(tmp_path) == (None, 0)
    assert runs.known_unusable(tmp_path) == {}
    runs.save_checkpoint(tmp_path, model, 9, {})
    model.set_weights([np.array([[1.0], [2.0]]), np.array([3.0])])
    runs.save_checkpoint(tmp_path, model, 10, {Path("a.jpg"): "near-gray"})
    path, done = runs.last_checkpoint(tmp_path)
    assert (path, done) == (tmp_path / "checkpoint-0010.weights.h5", 10)
    assert {p.name for p in tmp_path.iterdir()} == {path.name, "skipped.json"}
    assert runs.known_unusable(tmp_path) == {Path("a.jpg"): "near-gray"}
    model.set_weights([np.zeros((2, 1)), np.zeros(1)])
    model.load_weights(path)
    np.testing.assert_array_equal(model.get_weights()[0], [[1], [2]])


def test_epochs_have_as_many_digits_as_they_need(model, tmp_path) -> None:
    for done in (9999, 10000):
        runs.save_checkpoint(tmp_path, model, done, {})
    assert runs.last_checkpoint(tmp_path) == (tmp_path / "checkpoint-10000.weights.h5", 10000)
    (tmp_path / "checkpoint-9999.weights.h5").touch()
    assert runs.last_checkpoint(tmp_path)[1] == 10000


def test_a_copy_of_a_checkpoint_is_the_users(model, tmp_path) -> None:
    copy = tmp_path / "checkpoint-best.weights.h5"
    copy.write_bytes(b"mine")
    runs.save_checkpoint(tmp_path, model, 1, {})
    assert runs.last_checkpoint(tmp_path)[1] == 1
    assert copy.read_bytes() == b"mine"


def test_a_disk_that_is_full_keeps_no_part_of_a_checkpoint(model, tmp_path, monkeypatch) -> None:
    def fill(path, **_):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model, "save_weights", fill)
    with pytest.raises(OSError, match="No space left"):
        runs.save_weights(model, tmp_path / "checkpoint-0001.weights.h5")
    assert list(tmp_path.iterdir()) == []


def test_json_is_whole_or_as_it_was(tmp_path) -> None:
    path = tmp_path / "a.json"
    assert runs.read_json(path, missing=7) == 7
    runs.write_json(path, {"b": 1})
    with pytest.raises(TypeError):
        runs.write_json(path, {"b": object()})
    assert json.loads(path.read_text()) == runs.read_json(path) == {"b": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_what_diverged_is_refused(model, loss) -> None:
    with pytest.raises(ValueError, match=r"diverged in epoch 7.*learning_rate"):
        runs.check_progress(model, {"loss": loss, "accuracy": 1.0}, 7)


def test_what_diverged_in_the_last_step_is_refused(model) -> None:
    model.set_weights([np.array([[1.0], [np.nan]]), np.array([3.0])])
    with pytest.raises(ValueError, match=r"diverged in epoch 7.*weights that are not finite"):
        runs.check_progress(model, {"loss": 1.0}, 7)


@pytest.mark.parametrize("logs", [None, {}, {"loss": 3.5, "val_accuracy": float("nan")}])
def test_other_figures_may_be_missing(model, logs) -> None:
    runs.check_progress(model, logs, 1)


def test_a_folder_is_of_one_run_at_a_time(tmp_path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match="nothing to resume"), runs.locked(folder, resume=True):
        pass
    assert not folder.exists()
    with (
        runs.locked(folder, resume=False),
        pytest.raises(ValueError, match="another run is writing"),
        runs.locked(folder, resume=False),
    ):
        pass
    with runs.locked(folder, resume=False):
        pass


def test_a_mean_of_epochs_is_of_those_that_are_done(tmp_path) -> None:
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    for done, mean in ((1, 10.0), (2, 15.0), (3, 20.0), (4, 30.0)):  # of the last three
        network.set_weights([np.array([[10.0 * done]])])
        with runs.mean_of_epochs(tmp_path, network, done, 3):
            np.testing.assert_allclose(network.get_weights()[0], mean)
        np.testing.assert_allclose(network.get_weights()[0], 10 * done)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == [f"epoch-000{number}.weights.h5" for number in (2, 3, 4)]
