"""What an extractor is taught: classes by hand, losses by hand, features from the cache."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from colorizer import recognition
from colorizer.data import DataConfig
from colorizer.recognition import (
    PretrainConfig,
    PretrainingTask,
    class_of,
    feature_statistics,
    gray_rgb,
    photo_classes,
    teach,
)


@pytest.mark.parametrize(
    ("source", "path", "expected"),
    [
        ("photos/skies", "a.jpg", "skies"),
        ("photos/skies", "train/a.jpg", "skies"),
        ("photos/skies", "test/a.jpg", "skies"),
        ("photos", "skies/a.jpg", "photos/skies"),
        ("photos", "train/skies/blue/a.jpg", "photos/skies/blue"),
        ("photos", "skies/train/a.jpg", "photos/skies/train"),  # not the split's folder
        ("x/flowers17", "image_0001.jpg", "flowers17/00"),
        ("x/flowers17", "train/image_0080.jpg", "flowers17/00"),
        ("x/flowers17", "validation/image_0081.jpg", "flowers17/01"),
        ("x/flowers17", "test/image_1360.jpg", "flowers17/16"),
        ("x/flowers17", "train/mine/a.jpg", "flowers17/mine"),
        ("x/flowers102", "train/image_0081.jpg", "flowers102"),
        ("x/places365", "train/0017/image_0017123.jpg", "places365"),
    ],
)
def test_the_class_is_the_folder(source, path, expected) -> None:
    assert class_of(Path(source) / path, Path(source)) == expected


def test_a_source_without_a_name_has_that_of_its_folder(tmp_path, monkeypatch) -> None:
    (tmp_path / "album" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "album")
    assert class_of(Path("dogs/a.jpg"), Path()) == "album/dogs"
    monkeypatch.chdir(tmp_path / "album" / "inner")
    assert class_of(Path("../a.jpg"), Path("..")) == "album"


def test_of_nested_sources_the_innermost_counts(tmp_path) -> None:
    (tmp_path / "all" / "dogs").mkdir(parents=True)
    files = [tmp_path / "all" / name for name in ("dogs/a.jpg", "b.jpg")]
    for order in ((0, 1), (1, 0)):
        sources = [f"{tmp_path / 'all'}@2", str(tmp_path / "all" / "dogs")]
        config = DataConfig(sources=tuple(sources[i] for i in order))
        assert photo_classes(files, config) == ["dogs", "all"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"teacher": "VGG19"}, r"MobileNetV2\[:FILE.weights.h5\]. Received: 'VGG19'"),
        ({"teacher_size": 100}, "teacher_size must be one of"),
        ({"learning_rate": 0}, "positive number. Received: 0"),
        ({"learning_rate": "auto"}, "learning_rate must be float. Received: 'auto'"),
        ({"class_weight": -1}, "class_weight must be 0 or more"),
        ({"feature_weight": float("nan")}, "feature_weight must be 0 or more"),
        ({"feature_weight": 3.0}, "feature_weight needs a teacher. Received: 3.0 and teacher None"),
        ({"teacher_size": 128}, "teacher_size needs a teacher"),
        ({"teacher_cache": "kept"}, "teacher_cache needs a teacher"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"warmup": 7}, "warmup must be from 0 to 1"),
        ({"precision": "bf16"}, "precision must be one of"),
    ],
)
def test_settings_that_are_none_are_refused(changes, told) -> None:
    with pytest.raises(ValueError, match=told):
        PretrainConfig(**changes)


def test_settings_survive_json() -> None:
    config = PretrainConfig(data=DataConfig(sources=("a@2", "b")), teacher="MobileNetV2:x.h5")
    loaded = json.loads(json.dumps(dataclasses.asdict(config)))
    assert PretrainConfig.from_dict(loaded) == config
    with pytest.raises(ValueError, match=r"pretraining settings: .*zebra"):
        PretrainConfig.from_dict({"zebra": 1})


def test_statistics_leave_out_what_could_not_be_read() -> None:
    features = np.array([[1, 5], [np.nan, np.nan], [3, 5]], "float32")
    mean, deviation = feature_statistics(features)
    np.testing.assert_allclose(mean, [2, 5])
    np.testing.assert_allclose(deviation, [1, 1])  # never changes: not divided by 0
    for nothing in (np.full((2, 3), np.nan), np.zeros((4, 0))):
        mean, deviation = feature_statistics(nothing)
        np.testing.assert_array_equal(mean, np.zeros(nothing.shape[1]))
        np.testing.assert_array_equal(deviation, np.ones(nothing.shape[1]))


# -------------------------------------------------------------------------------- the task


def brightness() -> keras.Model:
    """An "extractor" that says what it is given."""
    image = keras.Input((None, None, 3))
    return keras.Model(image, keras.layers.Identity()(image))


def task(classes: int = 2, **settings: float) -> PretrainingTask:
    mean, deviation = np.array([1.0, 10.0]), np.array([0.5, 2.0])
    config = PretrainConfig(**settings)
    return PretrainingTask(brightness(), config, classes=classes, mean=mean, deviation=deviation)


def test_the_extractor_sees_the_luminance_three_times() -> None:
    # L* of black is 0, of white 100, of the sRGB gray 119 50.03; of pure blue 32.30.
    colours = np.array([[0, 0, 0], [255, 255, 255], [119, 119, 119], [0, 0, 255]], "uint8")
    seen = np.asarray(gray_rgb(colours[None, None]))[0, 0]
    expected = np.array([0, 100, 50.03, 32.30]) / 50 - 1
    np.testing.assert_allclose(seen, np.repeat(expected[:, None], 3, 1), atol=2e-4)


def test_heads_answer_by_the_mean_over_places() -> None:
    two = np.zeros((1, 2, 2, 3), "uint8")
    two[:, 0] = 255
    model = task()
    model.predict_on_batch({"image": two})
    model.heads["class"].set_weights([np.ones((3, 2)) * [1, 2], np.array([0, 5])])
    model.heads["feature"].set_weights([np.ones((3, 2)), np.array([7, 8])])
    outputs = model.predict_on_batch({"image": two})  # half white, half black: 0 in the mean
    np.testing.assert_allclose(outputs["class"], [[0, 5]], atol=1e-4)
    np.testing.assert_allclose(outputs["feature"], [[7, 8]], atol=1e-4)
    white = model.predict_on_batch({"image": np.full((1, 2, 2, 3), 255, "uint8")})
    np.testing.assert_allclose(white["class"], [[3, 11]], atol=1e-4)


def test_the_terms_of_the_loss_by_hand() -> None:
    outputs = {
        "class": np.array([[0, np.log(3)], [0, 0]], "float32"),
        "feature": np.array([[0, 0], [1, 1]], "float32"),
    }
    # The first is of class 1, told with 3 to 1; the second of class 1, told with 1 to 1, as 0.
    # Standardised the features are (2, 0) and (0, -1): missed by 2, 0, 1 and 2.
    embedding = np.array([[2, 10, 1], [1, 8, 1]], "float32")
    terms = {k: float(v) for k, v in task().loss_terms(outputs, embedding).items()}
    assert terms["class_loss"] == pytest.approx((np.log(4 / 3) + np.log(2)) / 2)
    assert terms["feature_loss"] == pytest.approx((4 + 0 + 1 + 4) / 4)
    assert terms["accuracy"] == 0.5
    model = task(teacher="MobileNetV2", class_weight=3.0, feature_weight=0.25)
    loss = float(model.compute_loss(x={"embedding": embedding}, y_pred=outputs))
    assert loss == pytest.approx(3 * terms["class_loss"] + 0.25 * terms["feature_loss"])
    figures = {name: float(tracker.result()) for name, tracker in model.trackers.items()}
    assert figures == pytest.approx(terms)


def test_a_single_class_costs_nothing() -> None:
    outputs = {"class": np.array([[3.0], [-8.0]], "float32")}
    terms = task(classes=1).loss_terms(outputs, np.zeros((2, 1), "float32"))
    assert float(terms["class_loss"]) == 0
    assert "feature_loss" not in terms


# ----------------------------------------------------------------------------- the teacher


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        Image.new("RGB", (50, 40), (255, 51 * i, 0)).save(path)
    return paths


def test_the_teacher_sees_colours_once(photos, tmp_path, monkeypatch) -> None:
    image = keras.Input((96, 96, 3))
    teacher = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    config = PretrainConfig(teacher="MobileNetV2", teacher_size=96)
    cache = tmp_path / "cache"
    order = [photos[1], photos[0], photos[1], tmp_path / "none.png"]
    found = teach(config, teacher, order, cache)
    np.testing.assert_allclose(found[:3], [[1, -0.6, -1], [1, -1, -1], [1, -0.6, -1]], atol=1e-3)
    assert np.isnan(found[3]).all()
    (folder,) = cache.iterdir()
    assert folder.name.startswith("MobileNetV2-colour-96-")

    calls = []
    compute = teacher.predict_on_batch
    monkeypatch.setattr(teacher, "predict_on_batch", lambda b: calls.append(len(b)) or compute(b))
    np.testing.assert_array_equal(teach(config, teacher, order, cache), found)
    assert calls == []
    np.testing.assert_allclose(
        teach(config, teacher, photos[2:], cache), [[1, -0.2, -1]], atol=1e-3
    )
    assert len(calls) == 1


def test_without_a_teacher_there_are_no_features(photos, tmp_path) -> None:
    assert recognition.build_teacher(PretrainConfig()) is None
    assert teach(PretrainConfig(), None, photos, tmp_path / "cache").shape == (3, 0)
    assert not (tmp_path / "cache").exists()


def test_the_teacher_is_keras_s_own_with_the_weights_of_a_file(tmp_path) -> None:
    original = keras.applications.MobileNetV2(
        weights=None, include_top=False, pooling="avg", input_shape=(96, 96, 3)
    )
    file = tmp_path / "own.weights.h5"
    original.save_weights(file)
    config = PretrainConfig(teacher=f"MobileNetV2:{file}", teacher_size=96)
    teacher = recognition.build_teacher(config)
    image = np.linspace(-1, 1, 96 * 96 * 3, dtype="float32").reshape(1, 96, 96, 3)
    np.testing.assert_allclose(teacher(image), original(image), atol=1e-3)
    assert teacher.output_shape == (None, 1280)


@pytest.mark.parametrize(
    ("content", "told"), [(None, "teacher: expected .* of a file there"), (b"x", "no weights for")]
)
def test_a_teacher_without_weights_is_refused(tmp_path, content, told) -> None:
    file = tmp_path / "bad.weights.h5"
    if content:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=told):
        recognition.build_teacher(PretrainConfig(teacher=f"MobileNetV2:{file}", teacher_size=96))
