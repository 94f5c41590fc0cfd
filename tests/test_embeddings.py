"""Embeddings against the extractor's own answers, and what the cache survives."""

import keras
import numpy as np
import pytest
from PIL import Image

from colorizer import embeddings
from colorizer.data import decode_photo
from colorizer.embeddings import embed_files
from colorizer.networks import NetworkConfig

CONFIG = NetworkConfig(extractor="MobileNetV2", embedding_size=32, fusion="global")
WIDTH = 6


@pytest.fixture
def extractor(monkeypatch):
    """A small convolution in place of MobileNetV2, the same in every call; counts its batches."""
    luminance = keras.Input((None, None, 1))
    features = keras.layers.Conv2D(WIDTH, 3, strides=2, activation="relu")(luminance)
    model = keras.Model(luminance, keras.layers.GlobalAveragePooling2D()(features))
    model.shapes = []
    compute = model.predict_on_batch

    def counted(batch):
        model.shapes.append(tuple(batch.shape))
        return compute(batch)

    monkeypatch.setattr(model, "predict_on_batch", counted)
    monkeypatch.setattr(embeddings, "embedding_extractor", lambda config: model)
    return model


@pytest.fixture
def files(tmp_path):
    """Five photographs of several shapes, one of them gray."""
    random, paths = np.random.default_rng(0), []
    for i, shape in enumerate([(40, 60, 3), (90, 50, 3), (32, 32, 3), (33, 70, 3), (45, 45)]):
        small = random.integers(0, 256, (4, 5, *shape[2:]), "uint8")
        image = Image.fromarray(small).resize(shape[1::-1], Image.Resampling.BICUBIC)
        paths.append(tmp_path / f"{i}.png")
        image.save(paths[-1])
    return paths


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def shards(cache):
    return sorted(cache.glob("*/shard-*.h5"))


def reference(model, path, size=32):
    """The embedding of one photograph by the definition, on its own."""
    square = Image.fromarray(decode_photo(path, size)).resize(
        (size, size), Image.Resampling.BILINEAR
    )
    linear = np.asarray(square) / 255
    linear = np.where(linear > 0.04045, ((linear + 0.055) / 1.055) ** 2.4, linear / 12.92)
    y = linear @ [0.212671, 0.715160, 0.072169]
    lightness = 116 * np.where(y > 0.008856, np.cbrt(y), 7.787 * y + 16 / 116) - 16
    return model((lightness / 50 - 1).astype("float32")[None, ..., None]).numpy()[0]


def test_embeddings_are_the_extractor_s_in_the_order_of_the_files(extractor, files, cache):
    order = [files[i] for i in (3, 0, 4, 1, 2, 0)]
    found = embed_files(order, CONFIG, cache=cache, batch_size=2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [reference(extractor, path) for path in order], atol=1e-5)
    assert extractor.shapes == [(2, 32, 32, 1)] * 3  # five photographs, one shape, one trace
    assert found.std(axis=0).max() > 0.01  # they do differ


def test_only_what_is_missing_is_computed(extractor, files, cache):
    first = embed_files(files[:3], CONFIG, cache=cache)
    moved = files[1].rename(files[1].with_name("moved.png"))
    again = embed_files([files[2], moved, files[0]], CONFIG, cache=cache)
    np.testing.assert_array_equal(again, first[[2, 1, 0]])
    assert len(extractor.shapes) == 1  # content counts, not the name
    Image.new("RGB", (40, 40), (10, 200, 90)).save(files[0])
    changed = embed_files([files[0], files[3], files[2]], CONFIG, cache=cache, batch_size=2)
    assert len(extractor.shapes) == 2
    np.testing.assert_allclose(changed[0], reference(extractor, files[0]), atol=1e-5)
    np.testing.assert_array_equal(changed[2], first[2])
    assert len(shards(cache)) == 2


def test_other_extractors_have_embeddings_of_their_own(extractor, files, cache):
    embed_files(files[:1], CONFIG, cache=cache)
    other_size = NetworkConfig(extractor="MobileNetV2", embedding_size=48, fusion="global")
    resized = embed_files(files[:1], other_size, cache=cache)
    np.testing.assert_allclose(resized[0], reference(extractor, files[0], 48), atol=1e-5)
    extractor.set_weights([weight + 0.1 for weight in extractor.get_weights()])
    reweighted = embed_files(files[:1], CONFIG, cache=cache)
    np.testing.assert_allclose(reweighted[0], reference(extractor, files[0]), atol=1e-5)
    names = [path.parent.name for path in shards(cache)]
    assert len(set(names)) == 3
    assert sorted(name.rpartition("-")[0] for name in names) == [
        "MobileNetV2-pooled-32",
        "MobileNetV2-pooled-32",
        "MobileNetV2-pooled-48",
    ]


def test_unreadable_photographs_are_rows_of_nan(extractor, files, cache, tmp_path):
    text, cut = tmp_path / "text.jpg", tmp_path / "cut.png"
    text.write_bytes(b"not a photograph")
    cut.write_bytes(files[0].read_bytes()[:200])
    mixed = [text, files[0], cut, tmp_path / "none.jpg", files[1]]
    for _ in range(2):  # computed, then from the cache
        found = embed_files(mixed, CONFIG, cache=cache, batch_size=2)
        assert np.isnan(found[[0, 2, 3]]).all()
        for row, path in ((1, files[0]), (4, files[1])):
            np.testing.assert_allclose(found[row], reference(extractor, path), atol=1e-5)
    assert np.isnan(embed_files([text], CONFIG, cache=cache)).all()


def test_kill_loses_the_last_shard_only(extractor, files, cache, monkeypatch):
    monkeypatch.setattr(embeddings, "SHARD", 2)
    write = embeddings._write_shard

    def killed_in_the_second(folder, shard):
        if shards(cache):
            (folder / ".shard-x.h5.partial").write_bytes(b"half a file")
            raise KeyboardInterrupt
        write(folder, shard)

    with monkeypatch.context() as patch:
        patch.setattr(embeddings, "_write_shard", killed_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            embed_files(files, CONFIG, cache=cache, batch_size=1)
    assert len(shards(cache)) == 1
    extractor.shapes.clear()
    found = embed_files(files, CONFIG, cache=cache, batch_size=1)
    assert len(extractor.shapes) == 3
    np.testing.assert_allclose(found, [reference(extractor, path) for path in files], atol=1e-5)


def test_ctrl_c_keeps_what_was_computed(extractor, files, cache, monkeypatch):
    compute = extractor.predict_on_batch

    def interrupted(batch):
        if len(extractor.shapes) == 2:
            raise KeyboardInterrupt
        return compute(batch)

    with monkeypatch.context() as patch:
        patch.setattr(extractor, "predict_on_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            embed_files(files, CONFIG, cache=cache, batch_size=2)
    extractor.shapes.clear()
    embed_files(files, CONFIG, cache=cache, batch_size=2)
    assert len(extractor.shapes) == 1  # four of five were there


@pytest.mark.parametrize("damage", ["truncated", "empty", "altered"])
def test_damaged_shard_is_ignored_with_a_warning(extractor, files, cache, damage):
    whole = embed_files(files, CONFIG, cache=cache)
    (shard,) = shards(cache)
    content = bytearray(shard.read_bytes())
    if damage == "altered":
        content[content.index(whole[2].tobytes())] ^= 1
    else:
        content = content[: len(content) // 2 if damage == "truncated" else 0]
    shard.write_bytes(content)
    with pytest.warns(UserWarning, match=f"{shard.name}: unreadable"):
        found = embed_files(files, CONFIG, cache=cache)
    np.testing.assert_array_equal(found, whole)
    assert len(extractor.shapes) == 2
    assert len(shards(cache)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusion": "multiscale"}, "fusion 'multiscale'"),
        ({"extractor": "xception_half"}, "extractor 'xception_half'"),
    ],
)
def test_trained_extractors_are_refused(files, cache, changes, message):
    config = NetworkConfig(
        **{"extractor": "MobileNetV2", "embedding_size": 32, "fusion": "global", **changes}
    )
    with pytest.raises(ValueError, match=message):
        embed_files(files, config, cache=cache)


def test_size_is_needed(extractor, files, cache):
    config = NetworkConfig(extractor="MobileNetV2", fusion="global")
    with pytest.raises(ValueError, match="embedding_size"):
        embed_files(files, config, cache=cache)


def test_real_extractor_answers_the_same_in_batches(files, cache, monkeypatch):
    built = []
    build = embeddings.embedding_extractor
    monkeypatch.setattr(
        embeddings, "embedding_extractor", lambda config: built.append(build(config)) or built[0]
    )
    found = embed_files(files[:3], CONFIG, cache=cache, batch_size=2)
    assert found.shape == (3, 1280)
    expected = [reference(built[0], path) for path in files[:3]]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert np.std(expected, axis=0).max() > 0
