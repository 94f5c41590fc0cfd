"""Models on disk: what is saved comes back, and what is broken is refused in one line."""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from colorizer import color, weights
from colorizer.networks import TINY, build_network
from colorizer.weights import ModelError, Pretrained, load_pretrained, save_pretrained

# Global fusion and a regression head: the cheapest network to build, of the usual parts.
CONFIG = dataclasses.replace(
    TINY, fusion="global", head="regression", extractor="MobileNet", extractor_weights="imagenet"
)


def answer(network):
    rng = np.random.default_rng(0)
    luminance = rng.uniform(-1, 1, (1, 32, 48, 1)).astype("float32")
    return ops.convert_to_numpy(network({"luminance": luminance})["ab"])


def same_answers(network, expected):
    """Equal within float16's rounding: a fiftieth of how much the answers vary."""
    difference = np.abs(answer(network) - answer(expected)).max()
    return bool(difference < answer(expected).std() / 50)


def randomized(seed):
    """A model whose every weight (biases and statistics too) is its own."""
    network = build_network(dataclasses.replace(CONFIG, extractor_weights=None))
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        noise = 0.02 * rng.normal(size=variable.shape)
        variable.assign(variable + (np.abs(noise) if "variance" in variable.path else noise))
    prior = color.smooth_prior(rng.exponential(size=313))
    details = {"training": {"epochs_done": 3, "data": ["flowers"]}, "figures": {"psnr": 21.5}}
    return Pretrained(
        network=network, config=CONFIG, prior=prior, rebalancing=0.25, details=details
    )


@pytest.fixture(scope="module")
def model():
    return randomized(1)


@pytest.fixture(scope="module")
def other():
    return randomized(2)


@pytest.fixture(scope="module")
def released(model, tmp_path_factory):
    """The folder of a saved model; read only."""
    folder = tmp_path_factory.mktemp("released")
    save_pretrained(model, folder / "model.json")
    return folder


@pytest.fixture
def saved(released, tmp_path):
    """A copy of it, to be broken."""
    return shutil.copytree(released, tmp_path / "run")


def described(folder):
    return json.loads((folder / "model.json").read_text("utf-8"))


def weights_of(folder):
    [path] = folder.glob("model-????????.weights.h5")
    return path


def describe(folder, **changes):
    """Changes the description; the checksum, and the name that says it, are kept honest."""
    path = weights_of(folder)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.rename(folder / f"model-{digest[:8]}.weights.h5")
    text = json.dumps({**described(folder), "sha256": digest, **changes})
    (folder / "model.json").write_text(text, "utf-8")


def refused(path, *named):
    with pytest.raises(ModelError) as caught:
        load_pretrained(path)
    message = str(caught.value)
    assert "\n" not in message
    for name in named:
        assert name in message
    return message


# ------------------------------------------------------------------------------ round trip


def test_two_models_differ(model, other):
    """Or the tests below could not tell one from the other."""
    assert not same_answers(model.network, other.network)


def test_a_saved_model_comes_back(model, released):
    loaded = load_pretrained(released)
    for before, after in zip(model.network.weights, loaded.network.weights, strict=True):
        assert after.dtype == "float32"
        expected = before.numpy().astype("float16").astype("float32")
        np.testing.assert_array_equal(after.numpy(), expected)
    assert same_answers(loaded.network, model.network)
    assert loaded.config == CONFIG
    assert loaded.rebalancing == 0.25
    np.testing.assert_allclose(loaded.prior, model.prior, rtol=1e-5)
    np.testing.assert_allclose(loaded.class_weights, model.class_weights, rtol=1e-4)
    assert model.details.items() <= loaded.details.items()


def test_a_loaded_model_can_be_saved_again(released, tmp_path):
    loaded = load_pretrained(released / "model.json")
    save_pretrained(loaded, tmp_path / "deep" / "er" / "again.json")
    again, first = (
        json.loads(path.read_text("utf-8"))
        for path in (tmp_path / "deep" / "er" / "again.json", released / "model.json")
    )
    assert {**again, "prior": 0} == {**first, "prior": 0}
    np.testing.assert_allclose(again["prior"], first["prior"], rtol=1e-5)


def test_class_weights_are_those_of_the_prior(model):
    expected = color.rebalancing_weights(model.prior, rebalancing=0.25)
    np.testing.assert_array_equal(model.class_weights, expected)


def test_the_file_is_float16_without_holes(model, released):
    path, arrays = weights_of(released), []
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda _, item: arrays.append(item) if isinstance(item, h5py.Dataset) else None
        )
        assert {array.dtype for array in arrays} == {np.dtype("float16")}
        values = sum(array.size for array in arrays)
    assert values == model.network.count_params()
    # HDF5 takes about a kilobyte to file an array in its folder.
    assert 2 * values < path.stat().st_size < 2 * values + 1024 * len(arrays)


def test_weights_too_large_for_float16_are_kept(model, tmp_path):
    bias = model.network.get_layer("fusion_conv").bias
    before = bias.numpy()
    bias.assign(np.full(bias.shape, -1e6))
    save_pretrained(model, tmp_path / "model.json")
    bias.assign(before)
    loaded = load_pretrained(tmp_path).network.get_layer("fusion_conv").bias
    np.testing.assert_array_equal(loaded.numpy(), -1e6)


def test_saving_leaves_the_two_files_alone(released):
    assert sorted(x.name for x in released.iterdir()) == [weights_of(released).name, "model.json"]


def test_nothing_is_fetched_for_the_extractor(released, monkeypatch):
    """The config names ImageNet's weights; the file holds them already."""

    def fetch(*arguments, **options):
        raise AssertionError(f"fetched {arguments}")

    monkeypatch.setattr(keras.utils, "get_file", fetch)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fetch)
    assert load_pretrained(released).config.extractor_weights == "imagenet"


# ----------------------------------------------------------------------------- broken models


@pytest.mark.parametrize("name", ["nothing", "nothing.json", "no/such/folder", "line\nbreak"])
def test_unknown_model(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refused(name, repr(name))
    assert all(preset in message for preset in weights.PRESETS)


def test_a_released_name_is_not_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default").mkdir()
    assert weights.find_model("default") == weights.models_folder() / "default.json"
    refused(Path("default"), "default")


def test_folder_without_a_model(tmp_path):
    refused(tmp_path, str(tmp_path))


def test_missing_weights(saved):
    path = weights_of(saved)
    path.unlink()
    refused(saved, str(path), "missing")


def cut(data):
    return data[: len(data) // 2]


def empty(data):
    return b""


def alter_one_byte(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [cut, empty, alter_one_byte])
def test_damaged_weights(saved, damage):
    path = weights_of(saved)
    path.write_bytes(damage(path.read_bytes()))
    refused(saved, str(path))


@pytest.mark.parametrize("damage", [cut, empty])
def test_damaged_weights_with_a_matching_checksum(saved, damage):
    path = weights_of(saved)
    path.write_bytes(damage(path.read_bytes()))
    describe(saved)
    refused(saved, str(weights_of(saved)))


def test_weights_of_another_model(saved, other, tmp_path):
    save_pretrained(other, tmp_path / "other.json")
    [path] = tmp_path.glob("other-*.weights.h5")
    shutil.copy(path, weights_of(saved))
    refused(saved, str(weights_of(saved)))


@pytest.mark.parametrize(
    "changes",
    [{"fusion_filters": 8}, {"mask": True}, {"batch_normalization": False}],
    ids=["shape", "more", "fewer"],
)
def test_weights_of_another_network(saved, changes):
    describe(saved, network=dataclasses.asdict(dataclasses.replace(CONFIG, **changes)))
    refused(saved, str(weights_of(saved)))


def test_weights_of_a_network_with_more_layers(saved):
    """All that is asked for is there, in the right shape, and something else too."""
    path = weights_of(saved)
    with h5py.File(path, "r+") as file:
        file["encoder_conv1_mask/0"] = np.zeros((3, 3, 1, 8), "float16")
    describe(saved)
    refused(saved, str(weights_of(saved)))


def test_weights_file_of_another_layout(saved, model):
    path = weights_of(saved)
    with h5py.File(path, "w") as file:  # as many entries as weights, none of them in a group
        for index in range(len(model.network.weights)):
            file[f"weight{index}"] = np.float16(index)
    describe(saved)
    refused(saved, str(weights_of(saved)))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '"model"', "{}", '{"format": 1}', "\x00\x01", '{"format": 1,\n\n'],
)
def test_malformed_description(saved, text):
    (saved / "model.json").write_text(text, "utf-8")
    refused(saved, str(saved / "model.json"))


def test_description_that_is_not_text(saved):
    (saved / "model.json").write_bytes(b"\xff\xfe{\x80}")
    refused(saved, str(saved / "model.json"))


@pytest.mark.parametrize("missing", ["format", "network", "prior", "sha256"])
def test_description_without_an_entry(saved, missing):
    values = described(saved)
    del values[missing]
    (saved / "model.json").write_text(json.dumps(values), "utf-8")
    refused(saved, str(saved / "model.json"), missing)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"network": {"layers": 3}},
        {"network": {"encoder": 3}},
        {"network": {"encoder": [1, 2]}},
        {"network": {"head": "gan"}},
        {"network": {"extractor": "Exception"}},
        {"network": []},
        {"prior": "flat"},
        {"prior": [[1], [1, 2]]},
        {"prior": [0.5, 0.5]},
        {"rebalancing": "half"},
    ],
    ids=str,
)
def test_description_with_a_wrong_entry(saved, changes):
    describe(saved, **changes)
    refused(saved, str(saved / "model.json"))


# -------------------------------------------------------------------------- interrupted saves


def raising(*arguments, **options):
    raise OSError(28, "No space left on device")


def test_a_failure_while_writing_leaves_the_old_model(saved, model, other, monkeypatch):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    monkeypatch.setattr(h5py.Group, "create_dataset", raising)
    with pytest.raises(OSError, match="No space"):
        save_pretrained(other, saved / "model.json")
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


@pytest.mark.parametrize("complete", [0, 1], ids=["first", "second"])
def test_a_failure_while_replacing_leaves_the_old_model(saved, model, other, monkeypatch, complete):
    replace, calls = os.replace, []

    def replace_until_it_fails(source, target):
        calls.append(target)
        if len(calls) > complete:
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_until_it_fails)
    with pytest.raises(OSError, match="Input/output"):
        save_pretrained(other, saved / "model.json")
    monkeypatch.undo()
    assert len(calls) > complete
    loaded = load_pretrained(saved)
    assert same_answers(loaded.network, model.network)
    assert not [path.name for path in saved.iterdir() if "partial" in path.name]


def test_saving_again_replaces_the_old_model(saved, other):
    save_pretrained(other, saved / "model.json")
    assert same_answers(load_pretrained(saved).network, other.network)
    assert sorted(path.name for path in saved.iterdir()) == [weights_of(saved).name, "model.json"]


# ------------------------------------------------------------------------------ where they are


def test_find_model_by_name_folder_and_file(released, monkeypatch):
    monkeypatch.setattr(weights, "models_folder", lambda: released)
    monkeypatch.setattr(weights, "PRESETS", {"model": "for this test"})
    expected = released / "model.json"
    assert [weights.find_model(x) for x in ("model", released, str(expected))] == [expected] * 3


def test_models_are_found_beside_the_package_first(tmp_path, monkeypatch):
    package = tmp_path / "site" / "colorizer"
    package.mkdir(parents=True)
    monkeypatch.setattr(weights, "__file__", str(package / "weights.py"))
    monkeypatch.setattr(weights.resources, "files", lambda _: package)
    assert weights.models_folder() == package / "pretrained"
    beside = tmp_path / "site" / "models"
    beside.mkdir()
    assert weights.models_folder() == package / "pretrained"  # an empty one is not it
    (beside / f"{weights.DEFAULT_MODEL}.json").write_text("{}", "utf-8")
    assert weights.models_folder() == beside


def test_the_default_model_is_among_the_released():
    assert weights.DEFAULT_MODEL in weights.PRESETS
