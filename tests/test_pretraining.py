"""Pretraining: what a run leaves behind, that it learns, and that a killed one goes on exactly."""

import csv
import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from colorizer import networks, pretraining, runs, weights
from colorizer.data import DataConfig
from colorizer.extractors import xception
from colorizer.pretraining import pretrain, recalibrate
from colorizer.recognition import PretrainConfig, PretrainingTask, gray_rgb


def tiny(*, width: float) -> keras.Model:
    """A run does not care what it trains; its statistics start far from the truth."""
    image = keras.Input((None, None, 3), name="image")
    x = keras.layers.Conv2D(8, 3, 2, padding="same", use_bias=False, name="conv1")(image)
    x = keras.layers.BatchNormalization(name="bn1")(x)
    x = keras.layers.ReLU(name="relu1")(x)
    x = keras.layers.Conv2D(16, 3, 2, padding="same", use_bias=False, name="conv2")(x)
    x = keras.layers.BatchNormalization(name="bn2")(x)
    return keras.Model(image, keras.layers.ReLU(name="relu2")(x))


def tiny_teacher(config: PretrainConfig) -> keras.Model | None:
    """Sees the mean colour, and that all photographs have a corner."""
    image = keras.Input((config.teacher_size, config.teacher_size, 3))
    mean = keras.layers.GlobalAveragePooling2D()(image)
    return keras.Model(image, keras.layers.Rescaling(3.0)(mean)) if config.teacher else None


@pytest.fixture
def _tiny(monkeypatch) -> None:
    monkeypatch.setattr(pretraining, "xception", tiny)
    monkeypatch.setattr(pretraining, "build_teacher", tiny_teacher)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """Of `bright` the photographs are red, of `dark` blue; shades differ."""
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("validation", 4)):
        for i in range(count):
            base = np.array([220, 140, 130] if i % 2 else [20, 30, 60]) + random.integers(-9, 9)
            noise = random.integers(-15, 15, (48, 48, 1))
            inner = folder / split / ("bright" if i % 2 else "dark")
            inner.mkdir(parents=True, exist_ok=True)
            Image.fromarray((base + noise).clip(0, 255).astype("uint8")).save(inner / f"{i}.png")
    return folder


TAUGHT_BY_NONE = {"teacher": None, "teacher_size": PretrainConfig.teacher_size}


def config(photographs: Path, **changes: object) -> PretrainConfig:
    data = DataConfig(sources=(str(photographs),), image_size=32, batch_size=4)
    settings = {"teacher": "MobileNetV2", "teacher_size": 96, "epochs": 3, "steps_per_epoch": 2}
    return PretrainConfig(**{"data": data, "precision": "float32", **settings, **changes})


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("_tiny")
def test_a_run_leaves_everything_in_its_folder(photographs, tmp_path) -> None:
    run = tmp_path / "run"
    assert pretrain(config(photographs), run) == run / "extractor.weights.h5"
    assert {p.name for p in run.iterdir()} - {".lock"} == {
        "config.json", "classes.json", "features.json", "teacher", "skipped.json",
        "log.csv", "checkpoint-0003.weights.h5", "extractor.weights.h5",
    }  # fmt: skip
    stored = json.loads((run / "config.json").read_text())
    assert PretrainConfig.from_dict(stored) == config(photographs)
    name = photographs.name
    assert json.loads((run / "classes.json").read_text()) == [f"{name}/bright", f"{name}/dark"]
    mean = 3 * (np.array([120, 85, 95]) / 127.5 - 1)  # half bright, half dark, ± the shades
    features = json.loads((run / "features.json").read_text())
    np.testing.assert_allclose(features["mean"], mean, atol=0.3)
    assert set(log(run)[0]) == {
        "epoch", "loss", "class_loss", "feature_loss", "accuracy", "val_accuracy", "val_cosine",
    }  # fmt: skip
    assert [row["epoch"] for row in log(run)] == ["0", "1", "2"]


@pytest.mark.usefixtures("_tiny")
def test_it_learns_and_infers_as_it_was_trained(photographs, tmp_path, monkeypatch) -> None:
    tasks = []
    fit = PretrainingTask.fit
    monkeypatch.setattr(
        PretrainingTask, "fit", lambda self, *a, **k: tasks.append(self) or fit(self, *a, **k)
    )
    settings = config(photographs, epochs=1, steps_per_epoch=40, learning_rate=1e-2)
    pretrain(settings, tmp_path / "run")
    (row,), (task,) = log(tmp_path / "run"), tasks
    assert float(row["val_accuracy"]) == 1
    assert float(row["val_cosine"]) > 0.9

    # The saved extractor is this one, statistics and all.
    saved = tiny(width=0.5)
    saved.load_weights(tmp_path / "run" / "extractor.weights.h5")
    for ours, its in zip(task.extractor.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, its)

    stream = pretraining.data.load_dataset(
        settings.data, embeddings=np.zeros((12, 4), "float32")
    ).batches
    crops = np.concatenate([b["image"] for b in stream.take(12).as_numpy_iterator()])
    inferred, trained = (
        {k: np.asarray(v) for k, v in task({"image": crops}, training=training).items()}
        for training in (False, True)  # training moves the averages
    )
    spread = trained["feature"].std()
    assert np.abs(trained["feature"] - inferred["feature"]).mean() < 0.1 * spread


@pytest.mark.usefixtures("_tiny")
def test_an_interrupted_run_goes_on_exactly(photographs, tmp_path, monkeypatch) -> None:
    settings = config(photographs, teacher_cache=str(tmp_path / "cache"))
    pretrain(settings, tmp_path / "whole")
    real = pretraining.PretrainingFolder.on_epoch_end

    def interrupted(self, epoch: int, logs: dict | None = None) -> None:
        if epoch == 1:
            raise KeyboardInterrupt
        real(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining.PretrainingFolder, "on_epoch_end", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain(settings, tmp_path / "run")
    assert (tmp_path / "run" / "checkpoint-0001.weights.h5").is_file()
    pretrain(settings, tmp_path / "run", resume=True)
    assert log(tmp_path / "run") == log(tmp_path / "whole")
    extractors = [tiny(width=0.5), tiny(width=0.5)]
    for extractor, name in zip(extractors, ("run", "whole"), strict=True):
        extractor.load_weights(tmp_path / name / "extractor.weights.h5")
    for one, other in zip(*(e.get_weights() for e in extractors), strict=True):
        np.testing.assert_array_equal(one, other)

    with pytest.raises(ValueError, match="holds a run already"):
        pretrain(settings, tmp_path / "run")
    with pytest.raises(ValueError, match="other settings"):
        pretrain(dataclasses.replace(settings, seed=1), tmp_path / "run", resume=True)
    whole = tmp_path / "whole"
    extractor = (whole / "extractor.weights.h5").read_bytes()
    (whole / "checkpoint-0003.weights.h5").unlink()
    with pytest.raises(ValueError, match="after 0 epochs what was trained for 3; the checkpoint"):
        pretrain(settings, whole, resume=True)
    assert (whole / "extractor.weights.h5").read_bytes() == extractor
    (tmp_path / "run" / "classes.json").write_text('["zebra"]')
    with pytest.raises(ValueError, match="other classes"):
        pretrain(settings, tmp_path / "run", resume=True)


@pytest.mark.usefixtures("_tiny")
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({**TAUGHT_BY_NONE, "only": "bright"}, "two classes or more"),
        ({"only": "nowhere"}, "no source"),
        ({"batch_size": 64}, "batch_size .* at most the number of photographs, 12. Received: 64"),
        ({"init_from": "nosuch"}, "no model 'nosuch'"),
    ],
)
def test_bad_settings_leave_no_folder_behind(photographs, tmp_path, changes, told) -> None:
    changes = dict(changes)
    folder = photographs
    if "only" in changes:
        folder = photographs / "train" / changes.pop("only")
    settings = config(folder, **{k: v for k, v in changes.items() if k != "batch_size"})
    size = changes.get("batch_size", 4)
    settings = dataclasses.replace(
        settings, data=dataclasses.replace(settings.data, batch_size=size)
    )
    with pytest.raises(ValueError, match=told):
        pretrain(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match=told):
        pretrain(settings, tmp_path / "run", resume=True)


@pytest.mark.usefixtures("_tiny")
def test_without_teacher_and_validation_only_classes_are_told(photographs, tmp_path) -> None:
    pretrain(config(photographs / "train", **TAUGHT_BY_NONE, epochs=1), tmp_path / "run")
    (row,) = log(tmp_path / "run")
    assert row["val_accuracy"] == "NA"
    assert not {name for name in row if "cosine" in name or "feature" in name}
    assert row["loss"] == row["class_loss"]
    assert not (tmp_path / "run" / "teacher").exists()


def test_recalibration_takes_the_mean_of_the_batches() -> None:
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.BatchNormalization(momentum=0.99)(image))
    batches = [np.full((2, 1, 1, 3), value, "float32") for value in (1, 4)]
    batches[0][0] = 3  # means 2 and 4, variances 1 and 0
    recalibrate(model, batches)
    layer = model.layers[1]
    np.testing.assert_allclose(layer.moving_mean, 3)
    np.testing.assert_allclose(layer.moving_variance, 0.5)
    assert layer.momentum == 0.99


def test_an_extractor_starts_from_a_model(monkeypatch) -> None:
    made = networks.build_network(networks.NetworkConfig())
    model = weights.Pretrained(
        network=made, config=networks.NetworkConfig(), prior=np.full(313, 1 / 313)
    )
    monkeypatch.setattr(weights, "load_pretrained", lambda name: model)
    extractor = pretraining.build_extractor(PretrainConfig(init_from="mine"))
    theirs = made.get_layer("extractor")
    for ours, its in zip(extractor.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, its)
    # What the network sees of a luminance is what the task shows the extractor.
    photograph = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), "uint8")
    luminance = gray_rgb(photograph)[..., :1]
    probe = keras.Model(made.input, made.get_layer("extractor_gray_rgb").output)
    np.testing.assert_array_equal(probe({"luminance": luminance}), gray_rgb(photograph))

    other = networks.build_network(networks.PRESETS["rgb_baseline"])
    model = dataclasses.replace(model, network=other)
    with pytest.raises(ValueError, match="xception_half"):
        pretraining.build_extractor(PretrainConfig(init_from="mine"))


def test_the_weights_fit_the_extractor_that_training_builds(tmp_path) -> None:
    extractor = pretraining.build_extractor(PretrainConfig(seed=3))
    runs.save_weights(extractor, tmp_path / "extractor.weights.h5")
    built = xception(width=0.5)
    built.load_weights(tmp_path / "extractor.weights.h5")
    for ours, its in zip(extractor.get_weights(), built.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, its)


def test_what_diverged_takes_no_place(tmp_path) -> None:
    left = pretraining.PretrainingFolder(tmp_path, [], None, {})
    with pytest.raises(ValueError, match="diverged in epoch 2"):
        left.on_epoch_end(1, {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_tiny")
def test_a_foreign_config_is_not_overwritten(photographs, tmp_path) -> None:
    (tmp_path / "config.json").write_text('{"editor": "mine"}')
    with pytest.raises(ValueError, match="not the config of a run"):
        pretrain(config(photographs), tmp_path)
    assert (tmp_path / "config.json").read_text() == '{"editor": "mine"}'


@pytest.mark.usefixtures("_tiny")
def test_a_new_run_forgets_what_one_before_left_out(photographs, tmp_path) -> None:
    """Of a run whose first checkpoint failed, only that is left."""
    for name in ("skipped.json", "features.json"):
        (tmp_path / name).write_text("[1, 2]")
    pretraining._open_run(config(photographs), tmp_path, ["a", "b"], resume=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["classes.json", "config.json"]
