"""Training on embeddings that were computed beforehand: pairing, and the model it leaves."""

import dataclasses

import keras
import numpy as np
import pytest
from PIL import Image

from colorizer import networks, training
from colorizer.color import rgb_to_luminance
from colorizer.data import DataConfig, load_dataset, photo_files
from colorizer.embeddings import embed_files
from colorizer.networks import TINY
from colorizer.training import TrainConfig, copy_matching_weights, train
from colorizer.weights import load_pretrained

SIZE = 32


@pytest.fixture
def photos(tmp_path, rng):
    """Flat photographs, each of one colour of its own, so that a crop tells its file."""
    folder = tmp_path / "photos"
    for split, count in (("train", 9), ("validation", 3)):
        (folder / split).mkdir(parents=True)
        for i in range(count):
            shade = tuple(int(v) for v in rng.permutation([20 + 20 * i, 60, 250 - 20 * i]))
            Image.new("RGB", (SIZE, SIZE), shade).save(folder / split / f"{i}.png")
    return folder


def colours(files):
    return np.stack([np.asarray(Image.open(path))[0, 0] for path in files]).astype("float32")


@pytest.mark.parametrize("cache_gigabytes", [1.0, 0.0])
@pytest.mark.parametrize("skip", [0, 4])
def test_each_crop_comes_with_the_embedding_of_its_file(photos, cache_gigabytes, skip):
    config = DataConfig(
        sources=(f"{photos}@2",), image_size=8, batch_size=4, cache_gigabytes=cache_gigabytes
    )
    files = photo_files(config, "train")
    rows = colours(files)
    rows[[4, 13]] = np.nan  # the same photograph, counted twice: it could not be embedded
    stream = load_dataset(config, "train", skip=skip, embeddings=rows)
    seen = set()
    for batch in stream.batches.take(12).as_numpy_iterator():
        assert batch["image"].shape == (4, 8, 8, 3)
        np.testing.assert_array_equal(batch["image"][:, 4, 4], batch["embedding"])
        seen |= {tuple(row) for row in batch["embedding"]}
    assert seen == {tuple(row) for row in rows if np.isfinite(row).all()}
    assert set(stream.skipped) == {files[4]}


def test_the_other_splits_have_embeddings_too(photos):
    config = DataConfig(sources=(str(photos),), image_size=8, batch_size=2)
    rows = colours(photo_files(config, "validation"))
    batches = load_dataset(config, "validation", embeddings=rows).batches.as_numpy_iterator()
    found = np.concatenate([batch["embedding"] for batch in batches])
    np.testing.assert_array_equal(found, rows)


def test_without_embeddings_the_stream_is_what_it_was(photos):
    config = DataConfig(sources=(str(photos),), image_size=8, batch_size=4)
    rows = colours(photo_files(config, "train"))
    plain = load_dataset(config, "train").batches.take(3).as_numpy_iterator()
    paired = load_dataset(config, "train", embeddings=rows).batches.take(3).as_numpy_iterator()
    for crops, batch in zip(plain, paired, strict=True):
        np.testing.assert_array_equal(crops, batch["image"])


def test_wrong_number_of_embeddings_is_refused(photos):
    config = DataConfig(sources=(str(photos),), image_size=8)
    with pytest.raises(ValueError, match="8 rows; expected 9"):
        load_dataset(config, "train", embeddings=np.zeros((8, 3), "float32"))


@pytest.fixture
def config(photos, tmp_path, monkeypatch):
    """A run of one epoch on a small stand-in for a frozen extractor of `keras.applications`."""

    def extractor(config):
        seed = 1 if config.extractor_weights else 2  # other weights if none are asked for
        initializer = keras.initializers.GlorotUniform(seed)
        image = keras.Input((None, None, 3))
        features = keras.layers.Conv2D(
            12, 3, strides=4, kernel_initializer=initializer, name="frozen"
        )(image)
        model = keras.Model(image, features)
        model.trainable = False
        return model, lambda image: image / 127.5 - 1

    monkeypatch.setattr(networks, "_application", extractor)
    network = dataclasses.replace(
        TINY,
        extractor="xception",
        extractor_weights="imagenet",
        embedding_size=SIZE,
        fusion="global",
        head="regression",
    )
    return TrainConfig(
        data=DataConfig(sources=(str(photos),), image_size=SIZE, batch_size=4),
        network=network,
        epochs=1,
        steps_per_epoch=2,
        precision="float32",
        embeddings=str(tmp_path / "cache"),
    )


def test_the_model_that_is_left_is_whole(config, tmp_path, monkeypatch):
    tasks = []
    build = training.build_task
    monkeypatch.setattr(
        training, "build_task", lambda *arguments: tasks.append(build(*arguments)) or tasks[-1]
    )
    model = load_pretrained(train(config, tmp_path / "run"))
    trained = tasks[0].network
    assert [tensor.name for tensor in model.network.inputs] == ["luminance"]
    assert copy_matching_weights(trained, model.network) == len(trained.variables)

    files = photo_files(config.data, "validation")
    embedded = embed_files(files, config.network, cache=tmp_path / "cache")
    photographs = np.stack([np.asarray(Image.open(path)) for path in files])
    luminance = np.asarray(rgb_to_luminance(photographs) / 50 - 1)
    expected = trained({"luminance": luminance, "embedding": embedded}, training=False)["ab"]
    found = model.network({"luminance": luminance}, training=False)["ab"]
    np.testing.assert_allclose(found, expected, atol=2e-3)  # weights are kept in float16
    assert model.details["training"][-1]["embeddings"] == "cache"


@pytest.mark.parametrize(
    "changes", [{"fusion": "multiscale"}, {"extractor": "xception_half"}, {"embedding_size": None}]
)
def test_what_cannot_be_embedded_is_refused_before_the_folder_is_made(config, tmp_path, changes):
    network = dataclasses.replace(config.network, **changes)
    with pytest.raises(ValueError, match="embedding"):
        train(dataclasses.replace(config, network=network), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_embeddings_train_only_what_is_not_frozen(config):
    network = networks.build_network(config.network, embedding_input=True)
    assert not any("frozen" in variable.path for variable in network.variables)
