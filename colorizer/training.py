"""Training: photographs in, a run's folder out.

`train` fits the task of a config (`colorizer.tasks`) and leaves everything in one folder.

The folder of a run
    `config.json`: every setting. `prior.json`: the distribution of colours in the data. `.lock`.
    `skipped.json`: files that were left out, and why.
    `learning_rate.json`, `.csv`, `.png`: with the learning rate "auto", the one that was found
    before the first epoch, and the range test behind it.
    `checkpoint-NNNN.weights.h5`: weights and optimizer after epoch NNNN (the last only).
    `epoch-NNNN.weights.h5`: of `averaged_epochs`, the weights whose mean the model holds.
    `model.json`, `model-HASH.weights.h5`: the model, as `weights.load_pretrained` takes it.
    `log.csv`, `tensorboard/`: figures of each epoch. `grids/`: gray, predicted, true.

With `embeddings` the frozen extractor runs once over the photographs instead of in every
step: the network is trained without it, and put together with it whenever it is saved.

A run that was killed goes on with `resume=True` as if nothing had happened: weights,
optimizer, learning-rate schedule, random state and the stream of photographs are those of
the last complete epoch.
"""

import contextlib
import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from PIL import Image

from colorizer import color, data, networks, runs, weights
from colorizer.data import DataConfig
from colorizer.networks import NetworkConfig
from colorizer.range_test import find_learning_rate
from colorizer.settings import AUTO, TrainConfig, check_settings
from colorizer.tasks import (
    ColorizationTask,
    averaged_weights,
    build_optimizer,
    build_task,
    copy_matching_weights,
    dtype_policy,
    embed_photographs,
    estimate_prior,
    load_photographs,
    resolve_precision,
    warmup_cosine,
)

__all__ = [
    "ColorizationTask",
    "RunFolder",
    "TrainConfig",
    "copy_matching_weights",
    "resolve_precision",
    "train",
]

Tensor = Any

VALIDATION_PHOTOS, GRID_PHOTOS = 48, 12
GRID_VIVIDNESS = 0.5


def merge(luminance: Tensor, ab: Tensor) -> np.ndarray:
    """Luminance (B, H, W, 1) in [0, 100] and ab at any resolution → sRGB `uint8`."""
    ab = ops.image.resize(ab, luminance.shape[1:3], interpolation="bicubic")
    rgb = color.lab_to_rgb(ops.concatenate([luminance, ab], axis=-1))
    return ops.convert_to_numpy(ops.cast(ops.round(rgb * 255), "uint8"))


class RunFolder(keras.callbacks.Callback):
    """Leaves behind, after each epoch, a checkpoint, the model, and a grid of pictures."""

    def __init__(
        self,
        folder: Path,
        prior: np.ndarray,
        inputs: dict[str, np.ndarray],
        skipped: dict[Path, str],
        config: TrainConfig,
    ) -> None:
        super().__init__()
        self.folder, self.prior, self.inputs, self.run = folder, prior, inputs, config
        self.skipped = skipped
        self.photographs = inputs["image"]
        self.whole = networks.build_network(config.network) if config.embeddings else None
        self.lineage = _lineage(config)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """`epoch` counts from 0; the files count complete epochs."""
        done = epoch + 1
        runs.check_progress(self.model, logs, done)
        epochs = self.run.averaged_epochs
        with (
            averaged_weights(self.model),
            runs.mean_of_epochs(self.folder, self.model.network, done, epochs),
        ):
            self._draw_grid(done, logs if logs is not None else {})
            self._write_model(done)
        runs.save_checkpoint(self.folder, self.model, done, self.skipped)

    def _write_model(self, done: int) -> None:
        network = self.model.network
        if self.whole is not None:
            copy_matching_weights(network, self.whole)
            network = self.whole
        model = weights.Pretrained(
            network=network,
            config=_without_path(self.run.network),
            prior=self.prior,
            rebalancing=self.run.rebalancing,
            details={
                # The scale at which it saw photographs, whole before they were cropped.
                "working_size": min(
                    round(self.run.data.image_size * data.LOAD_MARGIN),
                    weights.LARGEST_WORKING_SIZE,
                ),
                "training": [*self.lineage, _published(self.run) | {"epochs_done": done}],
            },
        )
        weights.save_pretrained(model, self.folder / "model.json")

    def _automatic(self, luminance: Tensor) -> dict[str, np.ndarray]:
        """The network's inputs for plain automatic colouring: all in the mask, no hints."""
        luminance = ops.convert_to_numpy(luminance) / 50 - 1
        known = {
            "luminance": luminance,
            "mask": np.ones_like(luminance),
            "hints": np.zeros((*luminance.shape[:3], 3), "float32"),
            **self.inputs,
        }
        return {name: known[name] for name in self.model.network.input}

    def _draw_grid(self, done: int, logs: dict[str, float]) -> None:
        lab = color.rgb_to_lab(self.photographs)
        luminance = lab[..., :1]
        outputs = self.model.network.predict_on_batch(self._automatic(luminance))
        temperature, correction = color.vividness_to_decoding(GRID_VIVIDNESS)
        ab = networks.predicted_ab(
            outputs, self.model.class_weights, temperature=temperature, correction=correction
        )
        gray, predicted = merge(luminance, 0 * ab), merge(luminance, ab)
        logs["val_psnr_gain"] = _psnr_gain(self.photographs, predicted, gray)
        shown = np.linspace(0, len(gray) - 1, min(len(gray), GRID_PHOTOS)).astype(int)
        rows = np.concatenate([gray, predicted, self.photographs], axis=2)[shown]
        half = (len(rows) + 1) // 2
        columns = [np.concatenate(list(part)) for part in (rows[:half], rows[half:]) if len(part)]
        columns = [np.pad(c, ((0, len(columns[0]) - len(c)), (0, 0), (0, 0))) for c in columns]
        folder = self.folder / "grids"
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.concatenate(columns, axis=1)).save(folder / f"epoch-{done:04d}.png")


def _lineage(config: TrainConfig) -> list[dict[str, Any]]:
    """The runs whose weights this one starts from, oldest first, as their models tell them."""
    lineage: list[dict[str, Any]] = []
    if config.init_from is not None:
        told = weights.load_pretrained(config.init_from).details.get("training", [])
        lineage += told if isinstance(told, list) else [told]  # older runs told of themselves
    network = config.network
    if network.extractor == "xception_half" and network.extractor_weights is not None:
        described = Path(network.extractor_weights).with_name("config.json")
        # Where there is no file, or not that of a pretraining, there is nothing to tell.
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            lineage.append(_without_paths(runs.read_json(described, {})))
    return lineage


def _published(config: TrainConfig) -> dict[str, Any]:
    """The settings as the model's description tells them: no paths of this machine."""
    return _without_paths(dataclasses.asdict(config))


def _without_paths(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a run with the names of what they name alone: no folders of this machine."""
    sources = [Path(source).name for source in settings["data"]["sources"]]
    told = {**settings, "data": {**settings["data"], "sources": sources}}
    told.pop("network", None)  # described on its own
    for name in ("init_from", "embeddings", "teacher_cache"):
        if told.get(name) is not None:
            told[name] = Path(told[name]).name
    for name in ("teacher", "perceptual_network"):
        if told.get(name):
            told[name] = told[name].partition(":")[0]
    return told


def _without_path(config: NetworkConfig) -> NetworkConfig:
    """The network's config with the name alone of its extractor's file, if it has one."""
    file = config.extractor_weights
    if file is None:
        return config
    return dataclasses.replace(config, extractor_weights=Path(file).name)


def _psnr_gain(true: np.ndarray, predicted: np.ndarray, gray: np.ndarray) -> float:
    """Mean PSNR less that of gray, in dB, over the photographs that are not gray themselves."""

    def psnr(each: np.ndarray) -> np.ndarray:
        squared = (true.astype("float32") - each.astype("float32")) ** 2
        return 10 * np.log10(255**2 / np.maximum(squared.mean((1, 2, 3)), 1e-6))

    colored = (true != gray).any((1, 2, 3))
    return float((psnr(predicted) - psnr(gray))[colored].mean()) if colored.any() else math.nan


# --------------------------------------------------------------------------------- the run


def _open_run(config: TrainConfig, folder: Path, *, resume: bool, steps: int) -> np.ndarray:
    """Describes the run in its folder, or checks that it belongs to this config; the prior.

    A run that failed before its first epoch was complete has nothing to lose and is begun anew.
    """
    described, stored = folder / "config.json", folder / "prior.json"
    known = runs.read_config(described, TrainConfig.from_dict)
    if resume:
        # Compared as configs, so that a setting newer than the run has its default.
        if known != config:
            raise ValueError(f"{described} is of a run with other settings; cannot resume it")
        runs.check_checkpoint(folder, "model.json")
        if runs.last_checkpoint(folder)[1] < config.epochs:
            runs.check_epochs(folder, config.averaged_epochs)
    else:
        runs.check_unused(folder, "model.json")
        runs.write_json(described, dataclasses.asdict(config))
        for found in ("prior.json", "learning_rate.json", "skipped.json"):
            (folder / found).unlink(missing_ok=True)
    if not stored.is_file():  # also when a run was killed while it was being estimated
        seen = config.epochs * steps * config.data.batch_size
        prior = estimate_prior(config.data, seen)
        runs.write_json(stored, prior.tolist())
    return np.asarray(json.loads(stored.read_text("utf-8")))


def _validation_inputs(config: DataConfig) -> tuple[dict[str, np.ndarray], list[Path]]:
    """A few photographs spread over the validation split, `image` (N, S, S, 3), and their files.

    A folder too small to have that split shows photographs it trains on.
    """
    try:
        files = data.photo_files(config, "validation")
    except ValueError:
        files = data.photo_files(config, "train")
    spread = np.linspace(0, len(files) - 1, min(len(files), VALIDATION_PHOTOS)).astype(int)
    size = config.image_size
    crops, read = [], []
    for index in spread:
        try:
            photograph = data.decode_photo(files[index], size)
        except Exception:  # Pillow's decoders raise of every kind
            continue  # the training stream tells which files are damaged
        top, left = ((side - size) // 2 for side in photograph.shape[:2])
        crops.append(photograph[top : top + size, left : left + size])
        read.append(files[index])
    if not crops:
        raise ValueError(f"no readable photographs in {', '.join(config.sources)}")
    return {"image": np.stack(crops)}, read


def _resolve_learning_rate(config: TrainConfig, folder: Path, prior: np.ndarray) -> TrainConfig:
    """The config with a number for the rate "auto": the one stored in the folder, or a new one."""
    if config.learning_rate != AUTO:
        return config
    stored = folder / "learning_rate.json"
    if not stored.is_file():
        found = find_learning_rate(config, prior=prior)
        found.write(folder)
        rates = ("steepest", "tenth_of_minimum")
        described = {name: getattr(found, name) for name in rates}
        runs.write_json(stored, {"learning_rate": found.suggestion, **described})
    rate = json.loads(stored.read_text("utf-8"))["learning_rate"]
    keras.utils.set_random_seed(config.seed)  # the run is the same with and without the test
    return dataclasses.replace(config, learning_rate=rate)


def train(config: TrainConfig, folder: str | Path, *, resume: bool = False) -> Path:
    """Trains a network and leaves everything in one folder.

    Args:
        config: every setting.
        folder: of the run; must be new unless `resume`.
        resume: go on after the last complete epoch of this run.

    Returns:
        The path of the trained model's JSON file.

    Raises:
        ValueError: settings that do not fit together, no photographs, no model to start from, a
            folder that holds another run or that another process writes to, or a loss or weights
            that are no longer finite.
    """
    folder = Path(folder)
    check_settings(config)
    if config.embeddings is not None:
        embed_photographs(config, [])  # refuses what cannot be embedded before the folder is made
    if config.init_from is not None:
        weights.find_model(config.init_from)
    steps = _steps_per_epoch(config)
    keras.utils.set_random_seed(config.seed)
    with runs.locked(folder, resume=resume):
        prior = _open_run(config, folder, resume=resume, steps=steps)
        config = _resolve_learning_rate(config, folder, prior)
        with dtype_policy(config.precision):
            stream = _fit(config, folder, prior, steps)
    for path, reason in sorted(stream.skipped.items()):
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        told = f"skipped {path}: {reason}".encode(encoding, "backslashreplace")
        print(told.decode(encoding))
    if stream.skipped:
        print(f"{len(stream.skipped)} of {len(set(stream.files))} files skipped")
    return folder / "model.json"


def _steps_per_epoch(config: TrainConfig) -> int:
    files = data.photo_files(config.data, "train")
    data.check_batch_size(config.data, files)
    return config.steps_per_epoch or len(files) // config.data.batch_size


def _fit(config: TrainConfig, folder: Path, prior: np.ndarray, steps: int) -> data.PhotoStream:
    """Trains from the last checkpoint, or from the start; returns the stream it drew from."""
    batch = config.data.batch_size
    _, done = runs.last_checkpoint(folder)
    validation, files = _validation_inputs(config.data)
    stream = load_photographs(
        config, skip=done * steps * batch, unusable=runs.known_unusable(folder)
    )
    if config.embeddings is not None:
        validation["embedding"] = embed_photographs(config, files)
        keras.utils.set_random_seed(config.seed)  # the extractor's weights may have drawn numbers
    task = build_task(config, prior)
    schedule = warmup_cosine(config, steps * config.epochs)
    task.compile(optimizer=build_optimizer(config, schedule), jit_compile=False)
    with contextlib.closing(stream):
        runs.fit(
            task,
            stream.batches,
            folder,
            example=validation,
            epochs=config.epochs,
            steps=steps,
            callbacks=[
                RunFolder(folder, prior, validation, stream.skipped, config),
                keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False),
            ],
        )
    return stream
