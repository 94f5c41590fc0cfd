"""Training tasks: what a network is given, what it is to answer, and what is lost if it does not.

A task is a `keras.Model` around a network. It receives `uint8` photographs, splits them into
luminance and colours, samples masks and hints where the network takes them, and answers for
the loss; everything else is plain `keras.Model.fit`.

`ColorizationTask`
    For networks that answer with `ab`, `ab_logits` or `rgb`: the loss of that head, inside the
    mask if there is one, and a pull to gray outside of it.

    With `TrainConfig.perceptual_weight` also by how different the picture looks to MobileNetV2.

`AdversarialTask`
    For the network `unet_gan`: a generator that is conditioned on the mask [2] against a
    discriminator that sees luminance, colours and mask [1]. Both play in one `compute_loss`, so
    plain `fit` trains both and a checkpoint holds both. What keeps them apart is where gradients
    stop: the generator's term calls the discriminator with its weights as constants, the
    discriminator's term sees the colours of the generator as constants. A real example is a
    photograph that is gray outside its mask, or an outlier, which is gray all over.

Masks
    are `masks.sample_masks`' mixture, new in every step, or are drawn from a bank of named
    patterns (`TrainConfig.mask_patterns`), each painted once. Either way a share of them colours
    all (`TrainConfig.full_mask_share`), so that the network keeps its automatic mode.

Old photographs
    are not desaturated new ones: a share of the luminances is aged in training
    (`TrainConfig.aged_share`). Their colours, the truth, stay.

Outliers
    teach modesty: of a share of the photographs drawings, reliefs, textures and negatives are made
    (`TrainConfig.outlier_share`), whose truth is gray.

References
    [1] P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros. "Image-to-Image Translation with Conditional
        Adversarial Networks". CVPR 2017.
    [2] M. Mirza, S. Osindero. "Conditional Generative Adversarial Nets". arXiv:1411.1784, 2014.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from keras import ops

from colorizer import (
    aging,
    color,
    data,
    earlier,
    embeddings,
    hints,
    losses,
    masks,
    networks,
    outliers,
    weights,
)
from colorizer.color import AB_SCALE
from colorizer.data import DataConfig
from colorizer.extractors import feature_maps, pooled_application
from colorizer.settings import (
    ADVERSARIAL_NETWORK,
    PERCEPTUAL_NETWORKS,
    TrainConfig,
    check_settings,
)

Tensor = Any
Perceive = Callable[[Tensor], list[Tensor]]

PRIOR_PHOTOS = 2000  # enough for the histogram of 313 bins to settle
REGRESSION_VIVIDNESS = 0.5  # that of a model which says nothing else
# Of block_3, block_6 and block_13 expanded: what a colour is near to, up to what it belongs to.
PERCEPTUAL_STRIDES = (4, 8, 16)
ADVERSARIAL_BETA = 0.5  # Adam's β1 where two players chase each other [1, section 3.3]


@keras.saving.register_keras_serializable("colorizer")
class ColorizationTask(keras.Model):
    """A network with its loss: `fit` on photographs trains the network.

    Args:
        network: of `networks.build_network`.
        config: the run's settings.
        class_weights: (313,) for a distribution head.
        perceive: of `losses.perceptual_loss`; None = without that loss.
    """

    def __init__(
        self,
        network: keras.Model,
        config: TrainConfig,
        class_weights: np.ndarray,
        perceive: Perceive | None = None,
    ) -> None:
        super().__init__(name="colorization")
        self.network = network
        self.config = config
        self.class_weights = class_weights
        self.perceive = perceive
        self.mask_bank = mask_bank(config) if config.mask_patterns else None
        self.random = keras.random.SeedGenerator(config.seed)

    def call(self, inputs: Tensor | dict[str, Tensor], training: bool = False) -> dict[str, Tensor]:
        """Photographs → the network's outputs, and the truth they are to meet.

        Args:
            inputs: (B, H, W, 3) `uint8` sRGB, or a dict of that as `image` and (B, D)
                `embedding`.
        """
        inputs = inputs if isinstance(inputs, dict) else {"image": inputs}
        lab = color.rgb_to_lab(inputs["image"])
        ab, luminance = lab[..., 1:] / AB_SCALE, lab[..., :1] / 50 - 1
        outlier = None
        if training and self.config.outlier_share:
            share = self.config.outlier_share
            luminance, outlier = outliers.make_outliers(luminance, self.random, share=share)
            ab = ops.where(outlier, 0.0, ab)
        if training and self.config.aged_share:
            luminance = aging.age(luminance, self.random, share=self.config.aged_share)
        known = {"luminance": luminance, **inputs}
        wanted = self.network.input
        if "mask" in wanted:
            known["mask"] = self._sample_masks(*ops.shape(ab)[:3])
        if "hints" in wanted:
            known["hints"] = self._sample_hints(ab, outlier)
        outputs = self.network({name: known[name] for name in wanted}, training=training)
        truth = {"true_ab": ab, "luminance": known["luminance"]}
        if "mask" in wanted:
            truth["mask"] = known["mask"]
        if "rgb" in outputs:
            truth["true_rgb"] = ops.cast(inputs["image"], "float32") / 255
        return {**outputs, **truth}

    def _sample_hints(self, ab: Tensor, outlier: Tensor | None) -> Tensor:
        """(B, H, W, 3); none in outliers, lest they teach that hints on a drawing are gray."""
        sampled = hints.sample_hints(ab, self.random, none_share=1 - self.config.hint_share)
        return sampled if outlier is None else ops.where(outlier, 0.0, sampled)

    def _sample_masks(self, batch: Any, height: Any, width: Any) -> Tensor:
        """(B, H, W, 1) of 0 and 1, from the bank if there is one."""
        share = self.config.full_mask_share
        if self.mask_bank is None:
            return masks.sample_masks(batch, height, width, self.random, full_share=share)
        drawn = keras.random.randint((batch,), 0, len(self.mask_bank), seed=self.random)
        full = keras.random.uniform((batch, 1, 1, 1), dtype="float32", seed=self.random) < share
        pattern = ops.take(ops.convert_to_tensor(self.mask_bank), drawn, axis=0)
        return ops.maximum(pattern, ops.cast(full, "float32"))

    def save_own_variables(self, store: Any) -> None:
        """Puts the random state in the checkpoint: Keras leaves it out."""
        store["random"] = ops.convert_to_numpy(self.random.state)

    def load_own_variables(self, store: Any) -> None:
        """Takes the random state up again; checkpoints of older runs have none."""
        if "random" in store.keys():  # noqa: SIM118 (Keras's store has no `in` of its own)
            self.random.state.assign(store["random"])

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The colour loss inside the mask plus the mask loss outside it."""
        mask, loss = y_pred.get("mask"), self._color_loss(y_pred)
        if mask is not None:
            predicted = networks.predicted_ab(
                y_pred, self.class_weights, temperature=1.0, correction=0.0
            )
            outside = losses.mask_loss(
                predicted / AB_SCALE, mask, huber_delta=self.config.huber_delta
            )
            loss = loss + self.config.mask_weight * outside
        return loss

    def _color_loss(self, y_pred: dict[str, Tensor]) -> Tensor:
        mask, ab = y_pred.get("mask"), y_pred["true_ab"]
        if "rgb" in y_pred:
            return losses.rgb_loss(y_pred["rgb"], y_pred["true_rgb"])
        if "ab_logits" in y_pred:
            class_weights, sigma = self.class_weights, self.config.encoding_sigma
            loss = losses.rebalanced_cross_entropy(
                y_pred["ab_logits"], ab, ops.convert_to_tensor(class_weights), mask, sigma=sigma
            )
            if self.config.regression_weight:
                regression = self._regression_loss(self._decoded(y_pred), y_pred)
                loss = loss + self.config.regression_weight * regression
        else:
            loss = self._regression_loss(y_pred["ab"], y_pred)
        if self.perceive is not None:
            decoded, luminance = self._decoded(y_pred), y_pred["luminance"]
            looks = losses.perceptual_loss(decoded, ab, luminance, self.perceive, mask)
            loss = loss + self.config.perceptual_weight * looks
        return loss

    def _decoded(self, y_pred: dict[str, Tensor]) -> Tensor:
        """The decoded colours, (B, h, w, 2) in network units."""
        temperature, correction = color.vividness_to_decoding(REGRESSION_VIVIDNESS)
        decoded = networks.predicted_ab(
            y_pred, self.class_weights, temperature=temperature, correction=correction
        )
        return decoded / AB_SCALE

    def _regression_loss(self, predicted: Tensor, y_pred: dict[str, Tensor]) -> Tensor:
        return losses.regression_loss(
            predicted,
            y_pred["true_ab"],
            y_pred.get("mask"),
            huber_delta=self.config.huber_delta,
            chroma_weighting=self.config.chroma_weighting,
            log_scale=self.config.log_regression,
        )


@keras.saving.register_keras_serializable("colorizer")
class AdversarialTask(ColorizationTask):
    """A generator and its discriminator: `fit` on photographs trains both.

    Args:
        network: the generator, `luminance` and `mask` → `ab` at the same resolution.
        config: the run's settings.
        class_weights: (313,) as for the other task; unused by the loss.
        discriminator: `luminance`, `ab`, `mask` → `real_logits`, all its weights trainable.
    """

    def __init__(
        self,
        network: keras.Model,
        config: TrainConfig,
        class_weights: np.ndarray,
        discriminator: keras.Model,
    ) -> None:
        super().__init__(network, config, class_weights)
        self.discriminator = discriminator
        names = ("adversarial", "discriminator", "pixel", "outside")
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The generator's loss plus the discriminator's; each moves its own weights only."""
        terms = self.loss_terms(y_pred, training=training)
        for name, value in terms.items():
            self.trackers[name].update_state(value)
        return (
            terms["adversarial"]
            + terms["discriminator"]
            + self.config.pixel_weight * terms["pixel"]
            + self.config.mask_weight * terms["outside"]
        )

    def loss_terms(self, y_pred: dict[str, Tensor], *, training: bool) -> dict[str, Tensor]:
        """The scalar terms of the loss, before their weights.

        Returns:
            `adversarial`: the generator's, how far the discriminator is from being fooled;
            `discriminator`: halved, as it learns slower than the generator [1, section 3.3];
            `pixel`: of the whole picture, gray outside the mask; `outside`: of that part alone.
        """
        mask, delta = y_pred["mask"], self.config.huber_delta
        predicted, true = y_pred["ab"], y_pred["true_ab"] * mask
        given = {"luminance": y_pred["luminance"], "mask": mask}
        judge = self.discriminator
        constants = [ops.stop_gradient(weight) for weight in judge.trainable_variables]
        judged, _ = judge.stateless_call(
            constants, [], {**given, "ab": predicted}, training=training
        )
        fake = judge({**given, "ab": ops.stop_gradient(predicted)}, training=training)
        real = judge({**given, "ab": true}, training=training)
        exposed = losses.realness_loss(fake["real_logits"], real=False)
        believed = losses.realness_loss(real["real_logits"], real=True)
        return {
            "adversarial": losses.realness_loss(judged["real_logits"], real=True),
            "discriminator": (exposed + believed) / 2,
            "pixel": losses.regression_loss(
                predicted,
                true,
                huber_delta=delta,
                chroma_weighting=self.config.chroma_weighting,
            ),
            "outside": losses.mask_loss(predicted, mask, huber_delta=delta),
        }


# ------------------------------------------------------------------------------ the pieces


def mask_bank(config: TrainConfig) -> np.ndarray:
    """The masks of `config.mask_patterns` at the size of the crops, (N, S, S, 1) of 0 and 1."""
    size = (config.data.image_size, config.data.image_size)
    drawn = [
        masks.make_mask(pattern, size, seed=config.seed + number)
        for number, pattern in enumerate(config.mask_patterns)
    ]
    return np.stack(drawn)[..., None]


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


@contextlib.contextmanager
def dtype_policy(precision: str) -> Iterator[None]:
    """Builds what is built inside at this precision; the policy of before is put back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(resolve_precision(precision))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


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


def embed_photographs(config: TrainConfig, files: list[Path]) -> np.ndarray:
    """The embeddings (N, D) of photographs, in full precision, from `config.embeddings`."""
    with dtype_policy("float32"):
        cache = Path(config.embeddings or "")
        return embeddings.embed_files(files, config.network, cache=cache)


def load_photographs(
    config: TrainConfig,
    *,
    skip: int = 0,
    unusable: Mapping[Path, str] = MappingProxyType({}),
) -> data.PhotoStream:
    """The endless training stream, with embeddings if the config asks for them.

    Args:
        config: the run's settings.
        skip, unusable: as of `data.load_dataset`.
    """
    embedded = None
    if config.embeddings is not None:
        embedded = embed_photographs(config, data.photo_files(config.data, "train"))
    return data.load_dataset(
        config.data, "train", skip=skip, unusable=unusable, embeddings=embedded
    )


def warmup_cosine(
    config: TrainConfig, total_steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Up to the config's learning rate, which must be a number, then a cosine down to zero."""
    peak, warmup = float(config.learning_rate), max(1, round(config.warmup * total_steps))
    return keras.optimizers.schedules.CosineDecay(
        peak / 100, max(1, total_steps - warmup), warmup_target=peak, warmup_steps=warmup
    )


def build_optimizer(
    config: TrainConfig, rate: float | keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """AdamW at a constant rate or on a schedule, with β1 = 0.5 for the adversarial task [1]."""
    adversarial = config.network.network == ADVERSARIAL_NETWORK
    optimizer = keras.optimizers.AdamW(
        rate,
        weight_decay=config.weight_decay,
        beta_1=ADVERSARIAL_BETA if adversarial else 0.9,
        global_clipnorm=config.clip_norm,
        use_ema=config.ema_momentum is not None,
        ema_momentum=config.ema_momentum or 0.0,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


@contextlib.contextmanager
def averaged_weights(task: keras.Model) -> Iterator[None]:
    """Inside, the task has the moving averages of its weights, if its optimizer keeps any."""
    # Copies: on PyTorch `convert_to_numpy` shares the variable's memory.
    trained = [np.array(ops.convert_to_numpy(v)) for v in task.trainable_variables]
    task.optimizer.finalize_variable_values(task.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(task.trainable_variables, trained, strict=True):
            variable.assign(value)


def copy_matching_weights(
    source: keras.Model, target: keras.Model, *, kept: Sequence[keras.Variable] = ()
) -> int:
    """Copies the variables whose paths and shapes agree, but `kept`; returns how many did."""
    known = {v.path: v for v in source.variables}
    left = {id(v) for v in kept}
    matching = [
        v
        for v in target.variables
        if v.path in known and known[v.path].shape == v.shape and id(v) not in left
    ]
    for variable in matching:
        variable.assign(known[variable.path])
    return len(matching)


def _extractor(network: keras.Model) -> keras.Model | None:
    return next((layer for layer in network.layers if layer.name == "extractor"), None)


def _take_extractor(source: keras.Model | None, target: keras.Model) -> bool:
    """Copies all variables in their order, for Keras numbers unnamed layers anew in each model."""
    if source is None or [v.shape for v in source.variables] != [v.shape for v in target.variables]:
        return False
    for ours, theirs in zip(target.variables, source.variables, strict=True):
        ours.assign(theirs)
    return True


def _freeze_extractor(network: keras.Model) -> None:
    """Its weights and its statistics: a frozen batch normalisation normalises as in inference."""
    extractor = _extractor(network)
    if extractor is None:
        raise ValueError(f"freeze_extractor: network {network.name!r} has no extractor")
    extractor.trainable = False


def _start_from(network: keras.Model, config: TrainConfig) -> None:
    """Takes on the weights of `init_from`; an extractor with weights of its own keeps those."""
    extractor = _extractor(network)
    kept = []
    if extractor is not None and config.network.extractor_weights is not None:
        kept = extractor.variables
    start = weights.load_pretrained(str(config.init_from)).network
    if not copy_matching_weights(start, network, kept=kept):
        raise ValueError(
            f"init_from: {config.init_from!r} has no weights in common with the network"
        )
    if extractor is None or kept:
        return
    taken = _take_extractor(_extractor(start), extractor)
    if not taken and (config.freeze_extractor or not extractor.trainable):
        raise ValueError(
            f"init_from: {config.init_from!r} has not the extractor of the network, which is "
            "frozen: give it extractor_weights"
        )


def build_perception(config: TrainConfig) -> Perceive | None:
    """The feature maps through which `losses.perceptual_loss` looks; None without its weight.

    A function, not a model: a task would train, count and store the weights of one.

    Raises:
        ValueError: weights that cannot be had.
    """
    if not config.perceptual_weight:
        return None
    with dtype_policy("float32"):  # in half precision its gradients point elsewhere
        network = pooled_application(
            config.perceptual_network,
            None,
            known=PERCEPTUAL_NETWORKS,
            argument="perceptual_network",
        )
    maps, _ = feature_maps(network, PERCEPTUAL_STRIDES)
    looking = keras.Model(network.input, [maps[stride] for stride in PERCEPTUAL_STRIDES])
    looking.trainable = False
    return lambda pictures: looking(pictures, training=False)


def build_task(config: TrainConfig, prior: np.ndarray) -> ColorizationTask:
    """The task of a config, not compiled.

    Args:
        config: the run's settings.
        prior: (313,) of `estimate_prior`.

    Raises:
        ValueError: settings that do not go together.
    """
    check_settings(config)
    network = networks.build_network(config.network, embedding_input=config.embeddings is not None)
    if config.init_from is not None:
        _start_from(network, config)
    if config.freeze_extractor:
        _freeze_extractor(network)
    class_weights = color.rebalancing_weights(prior, rebalancing=config.rebalancing)
    if config.network.network == ADVERSARIAL_NETWORK:
        discriminator = earlier.unet_discriminator(width=config.network.width)
        return AdversarialTask(network, config, class_weights, discriminator)
    return ColorizationTask(network, config, class_weights, build_perception(config))
