"""Training: what a run leaves behind, and that a killed one goes on exactly."""

import csv
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from colorizer import data, networks, training, weights
from colorizer.color import AB_BINS
from colorizer.data import DataConfig
from colorizer.networks import NetworkConfig
from colorizer.range_test import RangeTest
from colorizer.training import TrainConfig, copy_matching_weights, resolve_precision, train

TINY = NetworkConfig(network="tiny")
TINY_GAN = dataclasses.replace(networks.PRESETS["unet_gan"], width=0.125)


def build_tiny(config: NetworkConfig, *, embedding_input: bool) -> keras.Model:
    """Training does not care what it trains: a few layers say as much as two hundred."""
    x = luminance = keras.Input((None, None, 1), name="luminance")
    for i in (1, 2):
        x = keras.layers.Conv2D(16, 3, 2, padding="same", name=f"conv{i}")(x)
        x = keras.layers.BatchNormalization(name=f"bn{i}", momentum=0.8)(x)
        x = keras.layers.ReLU(name=f"relu{i}")(x)
    logits = keras.layers.Conv2D(len(AB_BINS), 1, dtype="float32", name="ab_logits")(x)
    return keras.Model({"luminance": luminance}, {"ab_logits": logits})


@pytest.fixture(scope="module", autouse=True)
def _tiny_network() -> Iterator[None]:
    networks.NETWORKS["tiny"] = build_tiny
    yield
    del networks.NETWORKS["tiny"]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """Bright pictures are red, dark ones green: something to learn."""
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for i in range(12):
        base = np.array([220, 90, 80] if i % 2 else [20, 90, 30])
        noise = random.integers(-15, 15, (48, 48, 1))
        Image.fromarray((base + noise).clip(0, 255).astype("uint8")).save(folder / f"{i}.png")
    return folder


def config(photographs: Path, **changes: object) -> TrainConfig:
    return TrainConfig(
        data=DataConfig(
            sources=(str(photographs),), image_size=32, batch_size=4, validation_share=0.2
        ),
        network=TINY,
        epochs=3,
        steps_per_epoch=2,
        **changes,
    )


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(photographs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train(config(photographs), folder)
    return folder


def test_a_run_leaves_everything_in_its_folder(finished, photographs) -> None:
    names = {p.name for p in finished.iterdir()} - {".lock"}
    sha256 = json.loads((finished / "model.json").read_text())["sha256"]
    assert names == {
        "config.json", "prior.json", "skipped.json", "log.csv", "tensorboard", "grids",
        "checkpoint-0003.weights.h5", "model.json", f"model-{sha256[:8]}.weights.h5",
    }  # fmt: skip
    assert sorted(p.name for p in (finished / "grids").iterdir()) == [
        f"epoch-{i:04d}.png" for i in (1, 2, 3)
    ]
    assert [row["epoch"] for row in log(finished)] == ["0", "1", "2"]
    assert list((finished / "tensorboard" / "train").iterdir())
    stored = TrainConfig.from_dict(json.loads((finished / "config.json").read_text()))
    assert stored == config(photographs)


def test_the_model_of_a_run_tells_no_path_of_this_machine(finished, photographs) -> None:
    text = (finished / "model.json").read_text()
    assert str(photographs.parent) not in text
    assert photographs.name in text
    assert weights.load_pretrained(finished).config == TINY


def test_a_model_is_used_at_the_scale_it_was_trained_at(finished) -> None:
    assert weights.load_pretrained(finished).details["working_size"] == 40  # 1.25 × 32


def test_a_model_of_large_crops_can_be_used(photographs, tmp_path, monkeypatch) -> None:
    kept = []
    monkeypatch.setattr(weights, "save_pretrained", lambda model, path: kept.append(model))
    large = DataConfig(sources=(str(photographs),), image_size=832)
    run = TrainConfig(data=large, network=TINY)
    folder = training.RunFolder(tmp_path, np.ones(313) / 313, {"image": None}, {}, run)
    folder.set_model(SimpleNamespace(network=None))
    folder._write_model(1)
    assert kept[0].details["working_size"] == weights.LARGEST_WORKING_SIZE


def test_an_epoch_is_every_photograph_once(photographs) -> None:
    settings = dataclasses.replace(config(photographs), steps_per_epoch=None)
    used = len(data.photo_files(settings.data, "train"))
    assert used >= 8
    assert training._steps_per_epoch(settings) == used // 4


def test_rebalancing_reaches_the_model(photographs, tmp_path) -> None:
    settings = dataclasses.replace(config(photographs, rebalancing=0.25), epochs=1)
    assert weights.load_pretrained(train(settings, tmp_path / "run")).rebalancing == 0.25


def test_a_grid_shows_gray_predicted_and_true(finished) -> None:
    with Image.open(finished / "grids" / "epoch-0003.png") as image:
        grid = np.asarray(image).astype(int)
    gray, predicted, true = grid[:32, :32], grid[:32, 32:64], grid[:32, 64:96]
    assert np.ptp(gray, axis=-1).max() <= 1
    assert np.ptp(true, axis=-1).min() > 20
    assert np.ptp(predicted, axis=-1).max() > 1
    assert (predicted != true).any()
    assert all(np.isfinite(float(row["val_psnr_gain"])) for row in log(finished))


def interrupt(settings: TrainConfig, folder: Path, monkeypatch) -> None:
    """Trains until the second epoch is over, but not yet saved."""
    real = training.RunFolder.on_epoch_end

    def interrupted(self: training.RunFolder, epoch: int, logs: dict | None = None) -> None:
        if epoch == 1:
            raise KeyboardInterrupt
        real(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(training.RunFolder, "on_epoch_end", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(settings, folder)
    assert (folder / "checkpoint-0001.weights.h5").is_file()


def test_an_interrupted_run_goes_on_exactly(finished, photographs, tmp_path, monkeypatch) -> None:
    interrupt(config(photographs), tmp_path / "run", monkeypatch)
    train(config(photographs), tmp_path / "run", resume=True)
    assert log(tmp_path / "run") == log(finished)
    names = [next(f.glob("model-*.h5")).name for f in (tmp_path / "run", finished)]
    assert names[0] == names[1]  # which say what the weights are, to the bit


def test_an_interrupted_run_of_averages_goes_on_exactly(photographs, tmp_path, monkeypatch) -> None:
    averaged = config(photographs, ema_momentum=0.9)
    train(averaged, tmp_path / "whole")
    interrupt(averaged, tmp_path / "run", monkeypatch)
    train(averaged, tmp_path / "run", resume=True)
    names = [next((tmp_path / n).glob("model-*.h5")).name for n in ("run", "whole")]
    assert names[0] == names[1]
    assert log(tmp_path / "run") == log(tmp_path / "whole")


def test_the_model_of_a_run_with_averages_holds_them(finished, photographs, tmp_path) -> None:
    averaged = weights.load_pretrained(
        train(config(photographs, ema_momentum=0.999), tmp_path / "run")
    )
    last = weights.load_pretrained(finished)
    start = networks.build_network(TINY)
    keras.utils.set_random_seed(0)
    start = networks.build_network(TINY)

    def distance(model: keras.Model) -> float:
        pairs = zip(model.trainable_variables, start.trainable_variables, strict=True)
        return float(sum(np.abs(np.array(a) - np.array(b)).sum() for a, b in pairs))

    assert distance(averaged.network) < 0.7 * distance(last.network)


def model_of(run: Path) -> list[np.ndarray]:
    """What training moves of the model, and then its statistics."""
    network = weights.load_pretrained(run).network
    return [np.array(v) for v in (*network.trainable_variables, *network.non_trainable_variables)]


@pytest.mark.parametrize("momentum", [None, 0.5])
def test_the_model_is_the_mean_of_the_last_epochs(
    photographs, tmp_path, monkeypatch, momentum
) -> None:
    """Of two, of three; the run itself goes on from its own weights, also after a stop."""
    settings = {"learning_rate": 0.05, "ema_momentum": momentum}
    ends, means = [config(photographs, averaged_epochs=n, **settings) for n in (1, 2)]
    single, keep = [], training.RunFolder._write_model

    def record(self, done: int) -> None:
        keep(self, done)
        single.append(model_of(self.folder))

    with monkeypatch.context() as patched:
        patched.setattr(training.RunFolder, "_write_model", record)
        train(ends, tmp_path / "ends")
    train(means, tmp_path / "whole")
    for mean, *last in zip(model_of(tmp_path / "whole"), *single[1:], strict=True):
        np.testing.assert_allclose(mean, np.mean(last, axis=0), atol=2e-3)
    trained = len(networks.build_network(TINY).trainable_variables)
    distances = [np.abs(a - b).max() for a, b in zip(*single[1:], strict=True)]
    assert max(distances[:trained]) > 0.015  # so that the mean is neither
    kept = {path.name for path in (tmp_path / "whole").glob("epoch-*")}
    assert kept == {"epoch-0002.weights.h5", "epoch-0003.weights.h5"}
    interrupt(means, tmp_path / "run", monkeypatch)
    train(means, tmp_path / "run", resume=True)
    for resumed, whole in zip(*(model_of(tmp_path / n) for n in ("run", "whole")), strict=True):
        np.testing.assert_array_equal(resumed, whole)


def test_a_mean_that_lacks_an_epoch_is_refused(photographs, tmp_path, monkeypatch) -> None:
    means = config(photographs, averaged_epochs=2)
    interrupt(means, tmp_path, monkeypatch)
    (tmp_path / "epoch-0001.weights.h5").unlink()
    with pytest.raises(ValueError, match=r"epoch-0001.*is gone"):
        train(means, tmp_path, resume=True)
    (tmp_path / "epoch-0001.weights.h5").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"epoch-0001.*is broken"):
        train(means, tmp_path, resume=True)


def test_a_complete_run_needs_its_epochs_no_more(photographs, tmp_path) -> None:
    means = config(photographs, averaged_epochs=2)
    model = train(means, tmp_path)
    for path in tmp_path.glob("epoch-*"):
        path.unlink()
    assert train(means, tmp_path, resume=True) == model


def test_a_model_tells_its_lineage(finished, photographs, tmp_path) -> None:
    second = config(photographs, init_from=str(finished), learning_rate=5e-4)
    train(second, tmp_path / "second")
    first, last = weights.load_pretrained(tmp_path / "second").details["training"]
    assert first == weights.load_pretrained(finished).details["training"][0]
    assert (first["learning_rate"], last["learning_rate"]) == (1e-3, 5e-4)
    assert last["init_from"] == finished.name


def test_a_model_to_start_from_that_is_none_leaves_nothing(photographs, tmp_path) -> None:
    with pytest.raises(ValueError, match="no model 'nowhere'"):
        training.train(config(photographs, init_from="nowhere"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_tells_where_its_extractor_is_from(photographs, tmp_path) -> None:
    settings = {"data": {"sources": ["/a/flowers@3"]}, "teacher": "Net:/b/c.h5", "epochs": 7}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    network = dataclasses.replace(TINY, extractor_weights=str(tmp_path / "extractor.weights.h5"))
    begun = dataclasses.replace(config(photographs), network=network, epochs=1)
    trained = weights.load_pretrained(train(begun, tmp_path / "run"))
    assert trained.details["training"][0] == {
        "data": {"sources": ["flowers@3"]},
        "teacher": "Net",
        "epochs": 7,
    }
    assert trained.config.extractor_weights == "extractor.weights.h5"


@pytest.mark.parametrize("written", ['{"hidden_size": 768}', "[1]", "{", None])
def test_what_lies_beside_an_extractor_need_not_be_its_config(
    photographs, tmp_path, written
) -> None:
    if written is not None:
        (tmp_path / "config.json").write_text(written)
    weights_file = str(tmp_path / "extractor.weights.h5")
    network = dataclasses.replace(TINY, extractor_weights=weights_file)
    begun = dataclasses.replace(config(photographs), network=network)
    assert training._lineage(begun) == []


def test_a_run_from_before_lineages_is_the_first_of_one(monkeypatch, photographs) -> None:
    told = weights.Pretrained(
        network=None, config=TINY, prior=np.ones(313) / 313, details={"training": {"epochs": 3}}
    )
    monkeypatch.setattr(weights, "load_pretrained", lambda model: told)
    assert training._lineage(config(photographs, init_from="mine")) == [{"epochs": 3}]


def test_an_extractor_of_its_own_joins_the_lineage(monkeypatch, photographs, tmp_path) -> None:
    told = weights.Pretrained(
        network=None, config=TINY, prior=np.ones(313) / 313, details={"training": [{"epochs": 3}]}
    )
    monkeypatch.setattr(weights, "load_pretrained", lambda model: told)
    (tmp_path / "config.json").write_text('{"data": {"sources": ["/my/dogs"]}, "epochs": 7}')
    network = dataclasses.replace(TINY, extractor_weights=str(tmp_path / "extractor.weights.h5"))
    begun = dataclasses.replace(config(photographs, init_from="mine"), network=network)
    pretraining = {"data": {"sources": ["dogs"]}, "epochs": 7}
    assert training._lineage(begun) == [{"epochs": 3}, pretraining]


def test_a_model_names_no_folder_of_this_machine(photographs) -> None:
    begun = config(photographs, init_from="/my/run", perceptual_network="MobileNetV2:/my/net.h5")
    told = training._published(begun)
    assert (told["init_from"], told["perceptual_network"]) == ("run", "MobileNetV2")
    assert "/my" not in str(told)


def test_a_run_that_diverges_keeps_what_it_had(photographs, tmp_path, monkeypatch) -> None:
    interrupt(config(photographs), tmp_path, monkeypatch)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    color_loss = training.ColorizationTask._color_loss
    monkeypatch.setattr(
        training.ColorizationTask, "_color_loss", lambda *a: color_loss(*a) * float("nan")
    )
    with pytest.raises(ValueError, match="diverged in epoch 2"):
        train(config(photographs), tmp_path, resume=True)
    assert before == {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}


def test_settings_that_would_be_ignored_leave_no_folder(photographs, tmp_path) -> None:
    ignored = config(photographs, chroma_weighting=1.0)
    with pytest.raises(ValueError, match="chroma_weighting needs a regression"):
        train(ignored, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_it_learns(photographs, tmp_path) -> None:
    settings = dataclasses.replace(
        config(photographs, learning_rate=3e-3), epochs=1, steps_per_epoch=120
    )
    trained = weights.load_pretrained(train(settings, tmp_path / "run"))
    a = {}
    for name, lightness in (("bright", 56.0), ("dark", 33.0)):
        luminance = np.full((1, 32, 32, 1), lightness / 50 - 1, "float32")
        ab = networks.predicted_ab(
            trained.network({"luminance": luminance}),
            trained.class_weights,
            temperature=1.0,
            correction=1.0,
        )
        a[name] = float(np.mean(ab[..., 0]))
    assert a["bright"] > 25
    assert a["dark"] < -15


def test_a_folder_holds_one_run(finished, photographs, tmp_path) -> None:
    with pytest.raises(ValueError, match="holds a run already"):
        train(config(photographs), finished)
    with pytest.raises(ValueError, match="other settings"):
        train(config(photographs, seed=1), finished, resume=True)
    with pytest.raises(ValueError, match="nothing to resume"):
        train(config(photographs), tmp_path / "none", resume=True)


def test_a_model_without_its_checkpoint_is_not_replaced(finished, photographs, tmp_path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    for checkpoint in folder.glob("checkpoint-*"):
        checkpoint.unlink()
    model = (folder / "model.json").read_bytes()
    for resume, told in ((False, "holds a run already"), (True, "the checkpoint is gone")):
        with pytest.raises(ValueError, match=told):
            train(config(photographs), folder, resume=resume)
    assert (folder / "model.json").read_bytes() == model
    (folder / "model.json").unlink()
    assert train(config(photographs), folder, resume=True).is_file()


@pytest.mark.parametrize("changes", [{"batch_size": 64}, {"sources": ("/nowhere/at/all",)}])
def test_bad_data_leaves_no_folder_behind(photographs, tmp_path, changes) -> None:
    settings = config(photographs)
    settings = dataclasses.replace(settings, data=dataclasses.replace(settings.data, **changes))
    with pytest.raises(ValueError, match=r"batch_size.*Received: 64|/nowhere"):
        train(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_settings_survive_json() -> None:
    settings = TrainConfig(data=DataConfig(sources=("a@2", "b")), network=TINY, huber_delta=0.1)
    assert TrainConfig.from_dict(json.loads(json.dumps(dataclasses.asdict(settings)))) == settings


@pytest.mark.parametrize(
    "values", [{"nosuch": 1}, {"network": {"nosuch": 1}}, {"data": {"nosuch": 1}}]
)
def test_unknown_settings_are_named(values) -> None:
    with pytest.raises(ValueError, match="nosuch"):
        TrainConfig.from_dict(values)


@pytest.mark.parametrize(
    ("gpus", "flags", "expected"),
    [
        ([], "fpu avx2", "float32"),
        ([], "fpu avx512_bf16", "mixed_bfloat16"),
        ([], "fpu amx_bf16", "mixed_bfloat16"),
        ([], OSError(), "float32"),
        (["GPU:0"], OSError(), "mixed_bfloat16"),
    ],
)
def test_precision_follows_the_hardware(gpus, flags, expected, monkeypatch) -> None:
    def read_text(path: Path, encoding: str) -> str:
        if isinstance(flags, OSError):
            raise flags
        return flags

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(Path, "read_text", read_text)
    assert resolve_precision("auto") == expected
    assert resolve_precision("float32") == "float32"


def test_weights_are_copied_by_path_and_shape() -> None:
    def network(units: int) -> keras.Model:
        x = keras.Input((4,), name="x")
        hidden = keras.layers.Dense(8, name="hidden")(x)
        return keras.Model(x, keras.layers.Dense(units, name="out")(hidden))

    source, target = network(2), network(3)
    old = target.get_layer("out").kernel.numpy()
    assert copy_matching_weights(source, target) == 2
    np.testing.assert_array_equal(
        target.get_layer("hidden").kernel, source.get_layer("hidden").kernel
    )
    np.testing.assert_array_equal(target.get_layer("out").kernel, old)


def test_half_precision_trains_and_is_put_away(photographs, tmp_path) -> None:
    before = keras.config.dtype_policy().name
    settings = config(photographs, precision="mixed_bfloat16")
    model = train(dataclasses.replace(settings, epochs=1), tmp_path / "run")
    assert keras.config.dtype_policy().name == before
    assert np.isfinite(float(log(tmp_path / "run")[0]["loss"]))
    assert {v.dtype for v in weights.load_pretrained(model).network.variables} == {"float32"}


def test_a_run_without_a_complete_epoch_is_begun_anew(photographs, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(training, "build_task", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(config(photographs, seed=3), tmp_path / "run")
    settings = dataclasses.replace(config(photographs), epochs=1)
    train(settings, tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert TrainConfig.from_dict(stored) == settings


def test_a_foreign_config_is_not_overwritten(photographs, tmp_path) -> None:
    (tmp_path / "config.json").write_text('{"editor": "mine"}')
    with pytest.raises(ValueError, match="not the config of a run"):
        train(config(photographs), tmp_path)
    assert (tmp_path / "config.json").read_text() == '{"editor": "mine"}'


# ------------------------------------------------------------------------- other networks


def test_an_interrupted_adversarial_run_goes_on_exactly(photographs, tmp_path, monkeypatch) -> None:
    settings = config(photographs, mask_patterns=("half:vertical", "grid:2"), precision="float32")
    settings = dataclasses.replace(settings, network=TINY_GAN)
    train(settings, tmp_path / "whole")
    interrupt(settings, tmp_path / "run", monkeypatch)
    train(settings, tmp_path / "run", resume=True)
    assert log(tmp_path / "run") == log(tmp_path / "whole")
    assert {"adversarial", "discriminator", "pixel", "outside"} <= set(log(tmp_path / "run")[0])
    states = [checkpoint_of(tmp_path / name) for name in ("run", "whole")]
    assert any("discriminator" in name for name in states[0])
    for name, values in states[0].items():
        np.testing.assert_array_equal(values, states[1][name], err_msg=name)
    model = weights.load_pretrained(tmp_path / "run")
    assert set(model.network.input) == {"luminance", "mask"}
    assert not any("logits" in variable.path for variable in model.network.variables)


def checkpoint_of(folder: Path) -> dict[str, np.ndarray]:
    found = {}

    def collect(name: str, value: object) -> None:
        if isinstance(value, h5py.Dataset):
            found[name] = value[()]

    with h5py.File(folder / "checkpoint-0003.weights.h5") as file:
        file.visititems(collect)
    return found


def build_tiny_generator(config: NetworkConfig, *, embedding_input: bool) -> keras.Model:
    """No batch normalisation: four flat photographs have no statistics worth remembering."""
    inputs = {name: keras.Input((None, None, 1), name=name) for name in ("luminance", "mask")}
    x = keras.layers.Concatenate(name="join")(list(inputs.values()))
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1")(x)
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="conv2")(x)
    return keras.Model(inputs, {"ab": keras.layers.Conv2D(2, 1, activation="tanh", name="ab")(x)})


def test_the_adversarial_network_learns(photographs, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(networks.NETWORKS, "unet_gan", build_tiny_generator)
    settings = config(photographs, learning_rate=5e-3, precision="float32")
    settings = dataclasses.replace(settings, network=TINY_GAN, epochs=1, steps_per_epoch=120)
    network = weights.load_pretrained(train(settings, tmp_path / "run")).network

    def a(lightness: float, mask: float) -> float:
        luminance = np.full((1, 32, 32, 1), lightness / 50 - 1, "float32")
        masks = np.full_like(luminance, mask)
        return 110 * float(np.mean(network({"luminance": luminance, "mask": masks})["ab"][..., 0]))

    assert a(56.0, 1.0) > 30  # bright is red
    assert a(33.0, 1.0) < -10  # dark is green
    assert abs(a(56.0, 0.0)) < 15  # but not where the mask says gray


def test_a_network_that_answers_in_rgb_is_trained_and_drawn(photographs, tmp_path) -> None:
    settings = config(photographs, learning_rate=1e-3, precision="float32")
    rgb = networks.PRESETS["rgb_baseline"]
    settings = dataclasses.replace(settings, network=rgb, epochs=2, steps_per_epoch=15)
    train(settings, tmp_path / "run")
    losses = [float(row["loss"]) for row in log(tmp_path / "run")]
    assert losses[1] < losses[0] < 0.3
    assert (tmp_path / "run" / "grids" / "epoch-0002.png").is_file()


def test_an_unknown_pattern_leaves_no_folder_behind(photographs, tmp_path) -> None:
    with pytest.raises(ValueError, match="mask_patterns"):
        train(config(photographs, mask_patterns=("zebra",)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# -------------------------------------------------------------------- learning rate "auto"


def test_the_learning_rate_is_found_once(photographs, tmp_path, monkeypatch) -> None:
    asked = []

    def find(config: TrainConfig, *, prior: np.ndarray) -> RangeTest:
        asked.append(config)
        keras.utils.set_random_seed(99)  # must not be felt by the run
        return RangeTest(np.geomspace(1e-3, 1, 4), np.array([3.0, 2.0, 1.0, 30.0]))

    monkeypatch.setattr(training, "find_learning_rate", find)
    settings = config(photographs, learning_rate="auto")
    interrupt(settings, tmp_path / "run", monkeypatch)
    train(settings, tmp_path / "run", resume=True)
    assert asked == [settings]

    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"learning_rate.csv", "learning_rate.png"} < names
    stored = json.loads((tmp_path / "run" / "learning_rate.json").read_text())
    assert stored["learning_rate"] == stored["tenth_of_minimum"] == pytest.approx(0.01)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["learning_rate"] == "auto"
    details = weights.load_pretrained(tmp_path / "run").details
    assert details["training"][-1]["learning_rate"] == stored["learning_rate"]

    train(config(photographs, learning_rate=stored["learning_rate"]), tmp_path / "told")
    assert log(tmp_path / "run") == log(tmp_path / "told")


def test_a_run_that_is_begun_anew_looks_for_its_own_rate(photographs, tmp_path) -> None:
    (tmp_path / "learning_rate.json").write_text('{"learning_rate": 7.0}')
    train(dataclasses.replace(config(photographs, learning_rate="auto"), epochs=1), tmp_path)
    stored = json.loads((tmp_path / "learning_rate.json").read_text())
    assert 1e-6 < stored["learning_rate"] < 1


def test_grids_show_automatic_colouring(photographs, tmp_path) -> None:
    """Neither the random masks nor the true hints of training reach the pictures."""
    config_ = config(photographs)
    inputs = {"image": np.full((2, 32, 32, 3), 120, "uint8")}
    folder = training.RunFolder(tmp_path, np.full(313, 1 / 313), inputs, {}, config_)
    takes = {name: keras.Input((32, 32, c), name=name) for name, c in
             (("luminance", 1), ("mask", 1), ("hints", 3))}  # fmt: skip
    folder.set_model(keras.Model(takes, takes["mask"]))
    folder.model.network = folder.model
    given = folder._automatic(np.full((2, 32, 32, 1), 50.0, "float32"))
    assert {name: float(value.mean()) for name, value in given.items()} == {
        "luminance": 0.0, "mask": 1.0, "hints": 0.0,
    }  # fmt: skip


def test_a_picture_that_is_a_bomb_does_not_stop_training(tmp_path, monkeypatch) -> None:
    """Pillow's error for one derives from nothing better than `Exception`."""
    for i in range(3):
        pixels = np.full((20, 24, 3), (200, 30 * i, 90), "uint8")
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    decode = data.decode_photo

    def refuse(path, size):
        if path.name == "1.png":
            raise Image.DecompressionBombError("too large")
        return decode(path, size)

    monkeypatch.setattr(data, "decode_photo", refuse)
    config = DataConfig(sources=(str(tmp_path),), image_size=16, validation_share=1.0)
    inputs, read = training._validation_inputs(config)
    assert [path.name for path in read] == ["0.png", "2.png"]
    assert inputs["image"].shape == (2, 16, 16, 3)


def test_a_new_run_forgets_what_one_before_left_out(tmp_path, monkeypatch) -> None:
    """Of a run whose first checkpoint failed, only that is left."""
    for name in ("skipped.json", "learning_rate.json", "prior.json"):  # not of this run
        (tmp_path / name).write_text("[1, 2]")
    monkeypatch.setattr(training, "estimate_prior", lambda *_: np.ones(313) / 313)
    training._open_run(TrainConfig(), tmp_path, resume=False, steps=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "prior.json"]


def test_gray_photographs_say_nothing_of_the_gain() -> None:
    true = np.full((2, 4, 4, 3), 100, "uint8")
    true[0, ..., 0] = 140
    gray = np.full_like(true, 110)
    gray[1] = 100
    predicted = true + np.uint8(5)
    errors = [np.mean([30**2, 10**2, 10**2]), 25]  # of gray, of the prediction
    gain = training._psnr_gain(true, predicted, gray)
    assert gain == pytest.approx(10 * np.log10(errors[0] / errors[1]), abs=1e-4)
    assert np.isnan(training._psnr_gain(true[1:], predicted[1:], gray[1:]))
