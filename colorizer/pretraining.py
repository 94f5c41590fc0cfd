"""Pretraining: our own feature extractor learns what is in a photograph, before it colours any.

`pretrain` fits the task of `colorizer.recognition` around `extractors.xception(width=0.5)`, fed
as `networks` will feed it (L / 50 - 1, three times), and leaves its weights for the training that
follows: `train --extractor-weights RUN/extractor.weights.h5`.

Batch normalisation
    Moving averages trail behind weights that still move, the more the shorter the run. After
    every epoch they are replaced by the mean over batches of training photographs, so that
    the extractor infers as it was trained. Training does not use them, and is not changed.

The folder of a run
    `config.json`: every setting. `.lock`. `classes.json`: the names, in the head's order.
    `features.json`: mean and deviation of the teacher's features. `teacher/`: their cache, unless
    another folder was named. `skipped.json`: files that were left out, and why.
    `checkpoint-NNNN.weights.h5`: weights and optimizer after epoch NNNN (the last only).
    `log.csv`: the terms of the loss and the share of crops whose class was told, and over the
    validation photographs that share, and the mean cosine between predicted and true
    standardised features (0 for whoever knows the mean alone); NA where there are none.
    `extractor.weights.h5`: the result.

A run that was killed goes on with `resume=True` as if nothing had happened.
"""

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from colorizer import data, runs, weights
from colorizer.extractors import xception
from colorizer.recognition import (
    PretrainConfig,
    PretrainingTask,
    build_teacher,
    feature_statistics,
    gray_rgb,
    photo_classes,
    teach,
)
from colorizer.tasks import (
    build_optimizer,
    copy_matching_weights,
    dtype_policy,
    warmup_cosine,
)

__all__ = ["PretrainConfig", "PretrainingFolder", "pretrain", "recalibrate"]

Tensor = Any

CALIBRATION_BATCHES = 50


def recalibrate(model: keras.Model, batches: Iterable[Tensor]) -> None:
    """Sets the moving averages of batch normalisation to the means over batches.

    Args:
        model: anything with such layers.
        batches: inputs of the model, as it saw them in training; at least one.
    """
    layers = [v for v in model.layers if isinstance(v, keras.layers.BatchNormalization)]
    averages = [v for layer in layers for v in (layer.moving_mean, layer.moving_variance)]
    momenta, seen = [layer.momentum for layer in layers], []
    for layer in layers:
        layer.momentum = 0.0  # so that an average is that of the last batch alone
    try:
        for batch in batches:
            model(batch, training=True)
            seen.append([np.array(ops.convert_to_numpy(average)) for average in averages])
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    for average, values in zip(averages, zip(*seen, strict=True), strict=True):
        average.assign(np.mean(values, axis=0))


# --------------------------------------------------------------------------------- the run


class PretrainingFolder(keras.callbacks.Callback):
    """After each epoch: exact averages, figures of validation, the extractor, a checkpoint."""

    def __init__(
        self,
        folder: Path,
        crops: Sequence[np.ndarray],
        validation: data.PhotoStream | None,
        skipped: dict[Path, str],
    ) -> None:
        super().__init__()
        self.folder, self.crops, self.validation = folder, crops, validation
        self.skipped = skipped

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """`epoch` counts from 0; the files count complete epochs."""
        runs.check_progress(self.model, logs, epoch + 1)
        recalibrate(self.model.extractor, map(gray_rgb, self.crops))
        if self.validation is not None and logs is not None:
            logs |= validate(self.model, self.validation)
        runs.save_weights(self.model.extractor, self.folder / "extractor.weights.h5")
        runs.save_checkpoint(self.folder, self.model, epoch + 1, self.skipped)


def validate(task: PretrainingTask, stream: data.PhotoStream) -> dict[str, float]:
    """`val_accuracy` over photographs of known classes, and `val_cosine` of the features."""
    told: list[np.ndarray] = []
    cosines: list[np.ndarray] = []
    for batch in stream.batches.as_numpy_iterator():
        outputs = task.predict_on_batch({"image": batch["image"]})
        numbers = batch["embedding"][:, -1]
        told.append((outputs["class"].argmax(-1) == numbers)[numbers >= 0])
        if "feature" in outputs:
            true, predicted = task.standardised(batch["embedding"]), outputs["feature"]
            lengths = np.linalg.norm(true, axis=-1) * np.linalg.norm(predicted, axis=-1)
            cosines.append((true * predicted).sum(-1) / np.maximum(lengths, 1e-12))
    figures = {"val_accuracy": told, "val_cosine": cosines}
    joined = {name: np.concatenate(values) for name, values in figures.items() if values}
    return {name: float(v.mean()) if v.size else math.nan for name, v in joined.items()}


def _open_run(
    config: PretrainConfig, folder: Path, classes: Sequence[str], *, resume: bool
) -> None:
    """Describes the run in its folder, or checks that it is of this config and these classes."""
    described, named = folder / "config.json", folder / "classes.json"
    if not resume:
        runs.check_unused(folder, "extractor.weights.h5")
        runs.read_config(described, PretrainConfig.from_dict)  # another's is not overwritten
        for found in ("features.json", "skipped.json"):
            (folder / found).unlink(missing_ok=True)
        runs.write_json(described, dataclasses.asdict(config))
        runs.write_json(named, list(classes))
        return
    # Compared as configs, so that a setting newer than the run has its default.
    if runs.read_config(described, PretrainConfig.from_dict) != config:
        raise ValueError(f"{described} is of a run with other settings; cannot resume it")
    if runs.read_json(named, None) != list(classes):
        raise ValueError(f"{named} has other classes than the photographs; cannot resume the run")
    runs.check_checkpoint(folder, "extractor.weights.h5")


def build_extractor(config: PretrainConfig) -> keras.Model:
    """The extractor to train, `xception_half` of `networks`, as the config has it start.

    Raises:
        ValueError: `init_from` is no model, or has another extractor.
    """
    keras.utils.set_random_seed(config.seed)
    extractor = xception(width=0.5)
    if config.init_from is not None:
        network = weights.load_pretrained(config.init_from).network
        if copy_matching_weights(network, extractor) < len(extractor.variables):
            raise ValueError(
                f"init_from must be a model with the extractor 'xception_half'. "
                f"Received: {config.init_from!r}"
            )
    return extractor


def _photographs(config: PretrainConfig) -> tuple[dict[str, list[Path]], list[str]]:
    """The files of training and, if there are any, of validation; the names of the classes."""
    files = {"train": data.photo_files(config.data, "train")}
    data.check_batch_size(config.data, files["train"])
    with contextlib.suppress(ValueError):  # too few for a split
        files["validation"] = data.photo_files(config.data, "validation")
    classes = sorted(set(photo_classes(files["train"], config.data)))
    if config.teacher is None and len(classes) < 2:
        raise ValueError(
            "without a teacher the photographs must be of two classes or more: folders, or "
            f"sources. Received: {classes[0]}"
        )
    return files, classes


def pretrain(config: PretrainConfig, folder: str | Path, *, resume: bool = False) -> Path:
    """Trains an extractor and leaves everything in one folder.

    Args:
        config: every setting.
        folder: of the run; must be new unless `resume`.
        resume: go on after the last complete epoch of this run, exactly.

    Returns:
        The path of the extractor's weights, as `extractors.xception(width=0.5)` loads them.

    Raises:
        ValueError: no photographs, no teacher, a single class and no teacher, a folder that
            holds another run or that another process writes to, or a loss or weights that are no
            longer finite.
    """
    folder = Path(folder)
    files, classes = _photographs(config)
    with dtype_policy("float32"):
        teacher = build_teacher(config)
    with dtype_policy(config.precision):
        extractor = build_extractor(config)
    with runs.locked(folder, resume=resume):
        _open_run(config, folder, classes, resume=resume)
        cache = Path(config.teacher_cache or folder / "teacher")
        with dtype_policy("float32"):  # one cache for all precisions
            tables = {
                split: np.column_stack(
                    [teach(config, teacher, paths, cache), _class_numbers(config, paths, classes)]
                )
                for split, paths in files.items()
            }
        statistics = _statistics(folder, tables["train"][:, :-1])
        with dtype_policy(config.precision):
            task = PretrainingTask(extractor, config, classes=len(classes), **statistics)
            stream = _fit(task, folder, tables)
    if stream.skipped:
        print(f"{len(stream.skipped)} of {len(set(stream.files))} files skipped: skipped.json")
    return folder / "extractor.weights.h5"


def _class_numbers(
    config: PretrainConfig, files: Sequence[Path], classes: Sequence[str]
) -> np.ndarray:
    numbers = {name: number for number, name in enumerate(classes)}
    known = [numbers.get(name, -1) for name in photo_classes(files, config.data)]
    return np.array(known, "float32")


def _statistics(folder: Path, features: np.ndarray) -> dict[str, np.ndarray]:
    """`mean` and `deviation` of the features: those that the run began with."""
    path = folder / "features.json"
    if not path.is_file():
        mean, deviation = feature_statistics(features)
        runs.write_json(path, {"mean": mean.tolist(), "deviation": deviation.tolist()})
    return {name: np.asarray(values) for name, values in runs.read_json(path, {}).items()}


def _fit(task: PretrainingTask, folder: Path, tables: dict[str, np.ndarray]) -> data.PhotoStream:
    """Trains from the last checkpoint, or from the start; returns the stream it drew from."""
    config, table = task.config, tables["train"]
    steps = config.steps_per_epoch or len(table) // config.data.batch_size
    _, done = runs.last_checkpoint(folder)
    known = runs.known_unusable(folder)
    skip = done * steps * config.data.batch_size
    stream = data.load_dataset(config.data, skip=skip, unusable=known, embeddings=table)
    validation = None
    if "validation" in tables:
        validation = data.load_dataset(config.data, "validation", embeddings=tables["validation"])
    uncached = dataclasses.replace(config.data, cache_gigabytes=0.0)
    crops = data.load_dataset(uncached, unusable=known).batches
    crops = list(crops.take(min(CALIBRATION_BATCHES, config.epochs * steps)).as_numpy_iterator())
    settings = config.fitting()
    schedule = warmup_cosine(settings, steps * config.epochs)
    task.compile(optimizer=build_optimizer(settings, schedule), jit_compile=False)
    left = PretrainingFolder(folder, crops, validation, stream.skipped)
    with contextlib.closing(stream):
        runs.fit(
            task,
            stream.batches,
            folder,
            example={"image": crops[0]},
            epochs=config.epochs,
            steps=steps,
            callbacks=[left],
        )
    return stream
