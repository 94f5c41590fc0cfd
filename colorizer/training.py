"""Training: photographs in, a run's folder out.

The training task wraps a network. It receives `uint8` photographs, splits them into
luminance and colours, samples masks and hints where the network takes them, and answers
for the loss; everything else is plain `keras.Model.fit`.

The folder of a run
    `config.json`: every setting. `prior.json`: the distribution of colours in the data.
    `skipped.json`: files that were left out, and why.
    `checkpoint-NNNN.weights.h5`: weights and optimizer after epoch NNNN (the last only).
    `model.json`, `model-HASH.weights.h5`: the model, as `weights.load_pretrained` takes it.
    `log.csv`, `tensorboard/`: figures of each epoch. `grids/`: gray, predicted, true.

With `embeddings` the frozen extractor runs once over the photographs instead of in every
step: the network is trained without it, and put together with it whenever it is saved.

A run that was killed goes on with `resume=True` as if nothing had happened: weights,
optimizer, learning-rate schedule, random state and the stream of photographs are those of
the last complete epoch.
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from PIL import Image

from colorizer import color, data, embeddings, hints, losses, masks, networks, weights
from colorizer.color import AB_SCALE
from colorizer.data import DataConfig
from colorizer.networks import NetworkConfig

Tensor = Any

PRIOR_PHOTOS = 2000  # enough for the histogram of 313 bins to settle
VALIDATION_PHOTOS, GRID_PHOTOS = 48, 12
GRID_VIVIDNESS = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Every setting of a run.

    Attributes:
        data: what to train on.
        network: what to train.
        epochs: passes over the photographs, or over `steps_per_epoch` batches.
        steps_per_epoch: batches in an epoch; None = all photographs once.
        learning_rate: peak, reached after the warm-up, then a cosine down to zero.
        warmup: share of all steps.
        weight_decay: decoupled (AdamW).
        clip_norm: of the gradient of all weights together.
        precision: "auto", "float32", "mixed_bfloat16" or "mixed_float16".
        rebalancing: λ of the class weights.
        huber_delta: of regression losses in network units; None = squared.
        mask_weight: of the loss outside the mask.
        embeddings: folder of the cache of the frozen extractor's embeddings of whole photographs
            (`colorizer.embeddings`); None = the extractor sees each crop, in every step.
        init_from: a model whose weights to start from, where names and shapes agree.
        seed: of weights, order, crops, masks and hints.
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    epochs: int = 20
    steps_per_epoch: int | None = None
    learning_rate: float = 1e-3
    warmup: float = 0.03
    weight_decay: float = 1e-2
    clip_norm: float = 5.0
    precision: str = "auto"
    rebalancing: float = color.REBALANCING
    huber_delta: float | None = None
    mask_weight: float = 1.0
    embeddings: str | None = None
    init_from: str | None = None
    seed: int = 0

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """The config of JSON `values`; raises ValueError naming any unknown entry."""
        values = dict(values)
        nested: dict[str, Any] = {"network": NetworkConfig.from_dict(values.pop("network", {}))}
        loaded = values.pop("data", {})
        try:
            nested["data"] = DataConfig(**{**loaded, "sources": tuple(loaded.get("sources", ()))})
            return cls(**nested, **values)
        except TypeError as error:
            raise ValueError(f"training settings: {error}") from error


@keras.saving.register_keras_serializable("colorizer")
class ColorizationTask(keras.Model):
    """A network with its loss: `fit` on photographs trains the network.

    Args:
        network: of `networks.build_network`.
        config: the run's settings.
        class_weights: (313,) for a distribution head.
    """

    def __init__(
        self, network: keras.Model, config: TrainConfig, class_weights: np.ndarray
    ) -> None:
        super().__init__(name="colorization")
        self.network = network
        self.config = config
        self.class_weights = class_weights
        self.random = keras.random.SeedGenerator(config.seed)

    def call(self, inputs: Tensor | dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        """Photographs → the network's outputs, and the truth they are to meet.

        Args:
            inputs: (B, H, W, 3) `uint8` sRGB, or a dict of that as `image` and (B, D)
                `embedding`.
        """
        inputs = inputs if isinstance(inputs, dict) else {"image": inputs}
        lab = color.rgb_to_lab(inputs["image"])
        ab = lab[..., 1:] / AB_SCALE
        known = {"luminance": lab[..., :1] / 50 - 1, **inputs}
        batch, height, width = ops.shape(ab)[:3]
        wanted = self.config.network
        if wanted.mask:
            known["mask"] = masks.sample_masks(batch, height, width, self.random)
        if wanted.hints:
            known["hints"] = hints.sample_hints(ab, self.random)
        taken = {name: known[name] for name in self.network.input}
        truth = {"true_ab": ab, **({"mask": known["mask"]} if wanted.mask else {})}
        return {**self.network(taken, training=training), **truth}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The colour loss inside the mask plus the mask loss outside it."""
        mask, ab = y_pred.get("mask"), y_pred["true_ab"]
        if "ab_logits" in y_pred:
            loss = losses.rebalanced_cross_entropy(
                y_pred["ab_logits"], ab, ops.convert_to_tensor(self.class_weights), mask
            )
        else:
            loss = losses.regression_loss(
                y_pred["ab"], ab, mask, huber_delta=self.config.huber_delta
            )
        if mask is not None:
            predicted = networks.predicted_ab(
                y_pred, self.class_weights, temperature=1.0, correction=0.0
            )
            outside = losses.mask_loss(
                predicted / AB_SCALE, mask, huber_delta=self.config.huber_delta
            )
            loss = loss + self.config.mask_weight * outside
        return loss


# ------------------------------------------------------------------------------ the pieces


def resolve_precision(precision: str) -> str:
    """The dtype policy of "auto": half precision where the hardware computes in it."""
    if precision != "auto":
        return precision
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return "mixed_bfloat16"
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return "float32"
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


def count_bins(photographs: np.ndarray) -> np.ndarray:
    """How many quarter-resolution pixels of (B, H, W, 3) `uint8` fall in each ab bin, (313,)."""
    ab = color.rgb_to_lab(photographs)[..., 1:]
    stride = networks.LOGITS_STRIDE
    bins = color.nearest_bin(ops.average_pool(ab, stride, stride))
    return np.bincount(ops.convert_to_numpy(bins).ravel(), minlength=len(color.AB_BINS))


def estimate_prior(config: DataConfig, photographs_seen: int = PRIOR_PHOTOS) -> np.ndarray:
    """The smoothed prior (313,) of the colours in the training photographs.

    Args:
        config: of the stream that is sampled.
        photographs_seen: by the whole run; no more are sampled, so that a short run is short.
    """
    counts = np.zeros(len(color.AB_BINS))
    batches = -(-min(PRIOR_PHOTOS, photographs_seen) // config.batch_size)
    uncached = dataclasses.replace(config, cache_gigabytes=0.0)
    for photographs in data.load_dataset(uncached, "train").batches.take(batches):
        counts += count_bins(photographs.numpy())
    return color.smooth_prior(counts)


def _optimizer(config: TrainConfig, total_steps: int) -> keras.optimizers.Optimizer:
    warmup = max(1, round(config.warmup * total_steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 100,
        max(1, total_steps - warmup),
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=config.weight_decay, global_clipnorm=config.clip_norm
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def copy_matching_weights(source: keras.Model, target: keras.Model) -> int:
    """Copies the variables whose paths and shapes agree; returns how many did."""
    known = {v.path: v for v in source.variables}
    matching = [v for v in target.variables if v.path in known and known[v.path].shape == v.shape]
    for variable in matching:
        variable.assign(known[variable.path])
    return len(matching)


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

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """`epoch` counts from 0; the files count complete epochs."""
        done = epoch + 1
        self._draw_grid(done, logs if logs is not None else {})
        self._write_model(done)
        self._write_checkpoint(done)

    def _write_checkpoint(self, done: int) -> None:
        skipped = {str(path): reason for path, reason in self.skipped.copy().items()}
        _write_json(self.folder / "skipped.json", skipped)
        final = self.folder / f"checkpoint-{done:04d}.weights.h5"
        partial = self.folder / ".checkpoint.weights.h5"
        self.model.save_weights(partial, overwrite=True)
        os.replace(partial, final)
        for old in self.folder.glob("checkpoint-*.weights.h5"):
            if old != final:
                old.unlink()

    def _write_model(self, done: int) -> None:
        network = self.model.network
        if self.whole is not None:
            copy_matching_weights(network, self.whole)
            network = self.whole
        model = weights.Pretrained(
            network=network,
            config=self.run.network,
            prior=self.prior,
            rebalancing=self.run.rebalancing,
            details={"training": _published(self.run) | {"epochs_done": done}},
        )
        weights.save_pretrained(model, self.folder / "model.json")

    def _draw_grid(self, done: int, logs: dict[str, float]) -> None:
        lab = color.rgb_to_lab(self.photographs)
        luminance = lab[..., :1]
        outputs = self.model.predict_on_batch(self.inputs)
        temperature, correction = color.vividness_to_decoding(GRID_VIVIDNESS)
        ab = networks.predicted_ab(
            outputs, self.model.class_weights, temperature=temperature, correction=correction
        )
        gray, predicted = merge(luminance, 0 * ab), merge(luminance, ab)
        logs["val_psnr_gain"] = _psnr(self.photographs, predicted) - _psnr(self.photographs, gray)
        shown = np.linspace(0, len(gray) - 1, min(len(gray), GRID_PHOTOS)).astype(int)
        rows = np.concatenate([gray, predicted, self.photographs], axis=2)[shown]
        half = (len(rows) + 1) // 2
        columns = [np.concatenate(list(part)) for part in (rows[:half], rows[half:]) if len(part)]
        columns = [np.pad(c, ((0, len(columns[0]) - len(c)), (0, 0), (0, 0))) for c in columns]
        folder = self.folder / "grids"
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.concatenate(columns, axis=1)).save(folder / f"epoch-{done:04d}.png")


def _published(config: TrainConfig) -> dict[str, Any]:
    """The settings as the model's description tells them: no paths of this machine."""
    settings = dataclasses.asdict(config)
    del settings["network"]  # described on its own
    settings["data"]["sources"] = [Path(source).name for source in config.data.sources]
    for name in ("init_from", "embeddings"):
        if settings[name] is not None:
            settings[name] = Path(settings[name]).name
    return settings


def _psnr(true: np.ndarray, predicted: np.ndarray) -> float:
    """Mean over photographs, in dB."""
    squared = (true.astype("float32") - predicted.astype("float32")) ** 2
    return float(np.mean(10 * np.log10(255**2 / np.maximum(squared.mean((1, 2, 3)), 1e-6))))


# --------------------------------------------------------------------------------- the run


def _write_json(path: Path, value: Any) -> None:
    """Writes a file that is whole or not there."""
    partial = path.with_name(f".partial-{path.name}")
    partial.write_text(json.dumps(value, indent=1) + "\n", "utf-8")
    os.replace(partial, path)


def _known_unusable(folder: Path) -> dict[Path, str]:
    stored = folder / "skipped.json"
    if not stored.is_file():
        return {}
    return {Path(path): reason for path, reason in json.loads(stored.read_text("utf-8")).items()}


def _last_checkpoint(folder: Path) -> tuple[Path | None, int]:
    checkpoints = sorted(folder.glob("checkpoint-*.weights.h5"))
    if not checkpoints:
        return None, 0
    return checkpoints[-1], int(checkpoints[-1].name[len("checkpoint-") :].split(".")[0])


def _stored_config(path: Path) -> TrainConfig | None:
    if not path.is_file():
        return None
    try:
        return TrainConfig.from_dict(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not the config of a run: {error}") from error


def _open_run(config: TrainConfig, folder: Path, *, resume: bool, steps: int) -> np.ndarray:
    """Creates the run's folder, or checks that it belongs to this config; the prior.

    A run that failed before its first epoch was complete has nothing to lose and is begun anew.
    """
    described, stored = folder / "config.json", folder / "prior.json"
    known = _stored_config(described)
    if resume:
        if known is None:
            raise ValueError(f"nothing to resume in {folder}: no config.json")
        # Compared as configs, so that a setting newer than the run has its default.
        if known != config:
            raise ValueError(f"{described} is of a run with other settings; cannot resume it")
    elif _last_checkpoint(folder)[0] is not None:
        raise ValueError(f"{folder} holds a run already: resume it, or name another folder")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(described, dataclasses.asdict(config))
        stored.unlink(missing_ok=True)
    if not stored.is_file():  # also when a run was killed while it was being estimated
        seen = config.epochs * steps * config.data.batch_size
        prior = estimate_prior(config.data, seen)
        _write_json(stored, prior.tolist())
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
        except (OSError, ValueError, SyntaxError):
            continue  # the training stream tells which files are damaged
        top, left = ((side - size) // 2 for side in photograph.shape[:2])
        crops.append(photograph[top : top + size, left : left + size])
        read.append(files[index])
    if not crops:
        raise ValueError(f"no readable photographs in {', '.join(config.sources)}")
    return {"image": np.stack(crops)}, read


def _embed(config: TrainConfig, files: list[Path]) -> np.ndarray:
    """The embeddings (N, D) of photographs, in full precision."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        cache = Path(config.embeddings or "")
        return embeddings.embed_files(files, config.network, cache=cache)
    finally:
        keras.config.set_dtype_policy(policy)


def train(config: TrainConfig, folder: str | Path, *, resume: bool = False) -> Path:
    """Trains a network and leaves everything in one folder.

    Args:
        config: every setting.
        folder: of the run; must be new unless `resume`.
        resume: go on after the last complete epoch of this run.

    Returns:
        The path of the trained model's JSON file.

    Raises:
        ValueError: settings that do not fit together, no photographs, a folder that holds
            another run.
    """
    folder = Path(folder)
    if config.embeddings is not None:
        _embed(config, [])  # refuses what cannot be embedded before the folder is made
    steps = _steps_per_epoch(config)
    keras.utils.set_random_seed(config.seed)
    prior = _open_run(config, folder, resume=resume, steps=steps)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(resolve_precision(config.precision))
    try:
        stream = _fit(config, folder, prior, steps)
    finally:
        keras.config.set_dtype_policy(policy)
    for path, reason in sorted(stream.skipped.items()):
        print(f"skipped {path}: {reason}")
    if stream.skipped:
        print(f"{len(stream.skipped)} of {len(set(stream.files))} files skipped")
    return folder / "model.json"


def _build_task(config: TrainConfig, prior: np.ndarray) -> ColorizationTask:
    network = networks.build_network(config.network, embedding_input=config.embeddings is not None)
    if config.init_from is not None:
        copy_matching_weights(weights.load_pretrained(config.init_from).network, network)
    class_weights = color.rebalancing_weights(prior, rebalancing=config.rebalancing)
    return ColorizationTask(network, config, class_weights)


def _steps_per_epoch(config: TrainConfig) -> int:
    files, batch = data.photo_files(config.data, "train"), config.data.batch_size
    if len(files) < batch:
        raise ValueError(f"batch_size {batch} is larger than the {len(files)} photographs")
    return config.steps_per_epoch or len(files) // batch


def _fit(config: TrainConfig, folder: Path, prior: np.ndarray, steps: int) -> data.PhotoStream:
    """Trains from the last checkpoint, or from the start; returns the stream it drew from."""
    batch = config.data.batch_size
    checkpoint, done = _last_checkpoint(folder)
    validation, files = _validation_inputs(config.data)
    embedded = None
    if config.embeddings is not None:
        embedded = _embed(config, data.photo_files(config.data, "train"))
        validation["embedding"] = _embed(config, files)
        keras.utils.set_random_seed(config.seed)  # the extractor's weights may have drawn numbers
    stream = data.load_dataset(
        config.data,
        "train",
        skip=done * steps * batch,
        unusable=_known_unusable(folder),
        embeddings=embedded,
    )
    task = _build_task(config, prior)
    task.compile(optimizer=_optimizer(config, steps * config.epochs), jit_compile=False)
    task.predict_on_batch(validation)  # creates the variables that a checkpoint is read into
    task.optimizer.build(task.trainable_variables)
    if checkpoint is not None:
        task.load_weights(checkpoint)
    log = keras.callbacks.CSVLogger(folder / "log.csv", append=done > 0)
    try:
        task.fit(
            stream.batches,
            epochs=config.epochs,
            initial_epoch=done,
            steps_per_epoch=steps,
            shuffle=False,
            callbacks=[
                RunFolder(folder, prior, validation, stream.skipped, config),
                log,
                keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False),
                keras.callbacks.TerminateOnNaN(),
            ],
        )
    finally:
        if log.csv_file is not None:  # Keras leaves it open when training is interrupted
            log.csv_file.close()
    return stream
