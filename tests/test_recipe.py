"""Recipes: which run starts from what, in which order, and that an interruption loses nothing."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from colorizer import recipe, training, weights
from colorizer.data import DataConfig
from colorizer.pretraining import PretrainConfig
from colorizer.settings import TrainConfig, check_settings

STAGES = {
    "1-pretrain": {"teacher": "MobileNetV2", "epochs": 2, "data": {"sources": ["a@3", "b"]}},
    "2-frozen": {"freeze_extractor": True, "data": {"sources": ["a", "flowers17@6"]}},
    "3-whole": {"learning_rate": 5e-4, "seed": 7, "data": {"sources": ["b"]}},
}


@pytest.fixture
def written(tmp_path) -> Path:
    folder = tmp_path / "recipe"
    folder.mkdir()
    for name, settings in reversed(STAGES.items()):
        (folder / f"{name}.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture
def runs(monkeypatch) -> list:
    """What is run: config, folder and whether it was to resume; nothing is."""
    done: list = []

    def run(kind: str, result: str):
        def fake(config, folder, *, resume):
            done.append((kind, config, folder, resume))
            return folder / result

        return fake

    monkeypatch.setattr(recipe, "photo_files", lambda *_: [Path("photo.jpg")] * 100)
    monkeypatch.setattr(recipe, "pretrain", run("pretrain", "extractor.weights.h5"))
    monkeypatch.setattr(recipe, "train", run("train", "model.json"))
    return done


def test_stages_are_read_in_the_order_of_their_names(written) -> None:
    stages = recipe.read_recipe(written)
    assert list(stages) == list(STAGES)
    assert [type(config) for config in stages.values()] == [
        PretrainConfig,
        TrainConfig,
        TrainConfig,
    ]
    assert stages["3-whole"].learning_rate == 5e-4


def test_a_config_may_begin_with_a_byte_order_mark(written) -> None:
    path = written / "3-whole.json"
    path.write_text(path.read_text(), "utf-8-sig")
    assert recipe.read_recipe(written)["3-whole"].seed == 7


def test_each_run_starts_from_the_one_before(written, runs, tmp_path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "runs"
    for name in "ab":
        (photos / name).mkdir(parents=True)
    made = recipe.run_recipe(written, photos, out, teacher="MobileNetV2:my.h5")
    assert made == out / "3-whole" / "model.json"
    kinds, configs, folders, resumed = zip(*runs, strict=True)
    assert kinds == ("pretrain", "train", "train")
    assert folders == tuple(out / name for name in STAGES)
    assert resumed == (False, False, False)
    first, second, third = configs
    assert first.teacher == "MobileNetV2:my.h5"
    assert second.network.extractor_weights == str(out / "1-pretrain" / "extractor.weights.h5")
    assert (second.init_from, third.init_from) == (None, str(out / "2-frozen"))
    assert third.network.extractor_weights is None
    assert first.data.sources == (f"{photos / 'a'}@3", str(photos / "b"))
    assert second.data.sources == (str(photos / "a"), "flowers17@6")


def test_a_folder_may_have_an_at_sign_in_its_name(tmp_path) -> None:
    (tmp_path / "a@home").mkdir()
    (tmp_path / "backup@2019").mkdir()
    names = ("a@home", "a@home@3", "backup@2019")
    located = recipe._located(DataConfig(sources=names), tmp_path)
    assert located.sources == tuple(f"{tmp_path / name}" for name in names)


def test_a_run_with_a_checkpoint_is_resumed(written, runs, tmp_path) -> None:
    begun = tmp_path / "runs" / "1-pretrain"
    begun.mkdir(parents=True)
    (begun / "checkpoint-0001.weights.h5").touch()
    recipe.run_recipe(written, tmp_path, tmp_path / "runs")
    assert [resume for *_, resume in runs] == [True, False, False]


@pytest.mark.parametrize(
    ("stored", "again"),
    [
        ({}, ["2-frozen", "3-whole"]),
        ({"epochs": 3}, ["1-pretrain", "2-frozen", "3-whole"]),  # of other settings
        (None, ["1-pretrain", "2-frozen", "3-whole"]),
    ],
)
def test_complete_runs_are_passed_over(written, runs, tmp_path, stored, again) -> None:
    begun = tmp_path / "runs" / "1-pretrain"
    begun.mkdir(parents=True)
    for name in ("checkpoint-0002.weights.h5", "extractor.weights.h5"):
        (begun / name).touch()
    if stored is not None:
        config = dataclasses.asdict(PretrainConfig.from_dict(STAGES["1-pretrain"])) | stored
        (begun / "config.json").write_text(json.dumps(config))
    recipe.run_recipe(written, tmp_path, tmp_path / "runs")
    assert [folder.name for _, _, folder, _ in runs] == again
    second = next(config for _, config, folder, _ in runs if folder.name == "2-frozen")
    assert second.network.extractor_weights == str(begun / "extractor.weights.h5")


def test_what_began_from_another_run_is_refused(written, runs, tmp_path) -> None:
    later = tmp_path / "runs" / "3-whole"
    later.mkdir(parents=True)
    (later / "checkpoint-0001.weights.h5").touch()
    with pytest.raises(ValueError, match=r"3-whole is not from 1-pretrain as it will be: remove"):
        recipe.run_recipe(written, tmp_path, tmp_path / "runs")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (None, "", "no recipe; expected a folder of configs"),
        ("1.json", "{", "1.json: not the settings of a run"),
        ("1.json", '{"epoch": 3}', "1.json: not the settings of a run.*epoch"),
        ("1.json", '{"teacher": "Owl"}', "1.json: not the settings of a run.*teacher.*'Owl'"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path, name, text, told) -> None:
    if name is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=told):
        recipe.read_recipe(tmp_path)


def test_photographs_must_be_there_before_anything_is_fetched(written, runs, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"photos must be a folder.*nowhere"):
        recipe.run_recipe(written, tmp_path / "nowhere", tmp_path / "runs")
    assert runs == []


def test_a_teacher_needs_a_pretraining(written, runs, tmp_path) -> None:
    (written / "1-pretrain.json").unlink()
    with pytest.raises(ValueError, match=r"has no pretraining.*my.h5"):
        recipe.run_recipe(written, tmp_path, tmp_path / "runs", teacher="MobileNetV2:my.h5")
    assert runs == []


def test_a_pretraining_cannot_come_later(written, runs, tmp_path) -> None:
    (written / "1-a.json").write_text(json.dumps(STAGES["1-pretrain"]))
    with pytest.raises(ValueError, match="pretraining cannot follow another"):
        recipe.run_recipe(written, tmp_path, tmp_path / "runs")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"data": {"sources": ["b"], "image_size": 100}}, "3-whole: image_size .*100"),
        ({"data": {"sources": ["b"], "batch_size": 101}}, "3-whole: batch_size .*101"),
        ({"mask_weight": 2.0}, "3-whole: mask_weight needs"),
        ({"network": {"network": "unet"}}, "3-whole: network must be one of .*'unet'"),
        ({"network": {"fusion": "local"}}, "3-whole: fusion must be one of .*'local'"),
        ({"network": {"decoder": [[8, 1], [8, 1]]}}, "3-whole: decoder must end at stride 4.*8$"),
        ({"network": {"encoder": [[8, 4], [8, 4]]}}, "3-whole: encoder must stop at .*16, 8, 4"),
        ({"network": {"extractor": "VGG"}}, "3-whole: extractor must be .*'VGG'"),
        ({"network": {"network": "colorful", "mask": True}}, "3-whole: network 'colorful' .*mask"),
    ],
)
def test_a_later_run_that_cannot_be_is_refused_at_once(
    written, runs, tmp_path, settings, told
) -> None:
    (written / "3-whole.json").write_text(json.dumps(STAGES["3-whole"] | settings))
    with pytest.raises(ValueError, match=told):
        recipe.run_recipe(written, tmp_path, tmp_path / "runs")
    assert runs == []


def test_photographs_of_a_complete_run_may_be_gone(written, runs, tmp_path, monkeypatch) -> None:
    begun = tmp_path / "runs" / "1-pretrain"
    begun.mkdir(parents=True)
    for name in ("checkpoint-0002.weights.h5", "extractor.weights.h5"):
        (begun / name).touch()
    config = dataclasses.asdict(PretrainConfig.from_dict(STAGES["1-pretrain"]))
    (begun / "config.json").write_text(json.dumps(config))

    def gone(config, split):
        if "a@3" in config.sources:
            raise ValueError("no photographs")
        return [Path("photo.jpg")] * 100

    monkeypatch.setattr(recipe, "photo_files", gone)
    recipe.run_recipe(written, tmp_path, tmp_path / "runs")
    assert len(runs) == 2


@pytest.mark.slow
def test_an_interrupted_recipe_ends_as_an_uninterrupted_one(tmp_path, monkeypatch) -> None:
    photos, folder = tmp_path / "photos" / "a", tmp_path / "recipe"
    photos.mkdir(parents=True)
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(6):
        pixels = random.integers(0, 256, (48, 48, 3)).astype("uint8")
        Image.fromarray(pixels).save(photos / f"{i}.png")
    stage = {
        "network": {"network": "unet_gan", "head": "regression", "mask": True, "width": 0.125},
        "data": {"sources": ["a"], "image_size": 32, "batch_size": 2},
        "epochs": 2,
        "steps_per_epoch": 2,
    }
    for number in (1, 2):
        (folder / f"{number}.json").write_text(json.dumps({**stage, "seed": number}))

    def sha256(runs: Path) -> str:
        return weights.load_pretrained(runs / "2").details["sha256"]

    recipe.run_recipe(folder, photos.parent, tmp_path / "whole")
    real = training.RunFolder.on_epoch_end

    def interrupted(self, epoch, logs=None):
        if self.run.seed == 2 and epoch == 1:
            raise KeyboardInterrupt
        real(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(training.RunFolder, "on_epoch_end", interrupted)
        with pytest.raises(KeyboardInterrupt):
            recipe.run_recipe(folder, photos.parent, tmp_path / "runs")
    recipe.run_recipe(folder, photos.parent, tmp_path / "runs")
    assert sha256(tmp_path / "runs") == sha256(tmp_path / "whole")
    lineage = weights.load_pretrained(tmp_path / "runs" / "2").details["training"]
    assert [run["seed"] for run in lineage] == [1, 2]


def test_configs_can_be_shrunk(written, runs, tmp_path) -> None:
    recipe.run_recipe(
        written, tmp_path, tmp_path / "runs", shrunk=lambda c: dataclasses.replace(c, epochs=1)
    )
    assert [config.epochs for _, config, *_ in runs] == [1, 1, 1]


def test_the_released_recipe_fits_together(runs, tmp_path) -> None:
    for name in ("flowers17", "things", "scenes", "objects", "animals", "houses", "skies"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    released = Path(__file__).parent.parent / "models" / "recipe"
    recipe.run_recipe(released, tmp_path / "photos", tmp_path / "runs")
    assert [folder.name for _, _, folder, _ in runs] == [
        "1-small",
        "2-larger",
        "3-regression",
        "4-longer",
        "5-logarithm",
        "6-modest",
        "7-calm",
        "8-grains",
    ]
    models = json.loads((released.parent / "default.json").read_text())["training"]
    for (_, config, *_), known in zip(runs, models, strict=True):
        settings = json.loads(json.dumps(dataclasses.asdict(config)))
        same = known.keys() - {"data", "init_from", "network", "epochs_done"}
        assert {name: settings[name] for name in same} == {name: known[name] for name in same}
        check_settings(config)
        assert all(Path(source.partition("@")[0]).is_dir() for source in config.data.sources)
        assert (config.network.mask, config.network.hints) == (True, True)
