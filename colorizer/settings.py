"""The settings of a training run: what each means, and which do not fit together.

`TrainConfig` refuses a value that is none as soon as it is made. `check_settings` refuses what is
fine by itself but would be ignored beside the others: nobody should learn after hours of training
that an option did nothing.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from colorizer import color, masks
from colorizer.annotations import as_object, as_tuples, check_seed, check_types
from colorizer.data import DataConfig
from colorizer.extractors import check_application
from colorizer.networks import NetworkConfig, check_network, network_stride

AUTO = "auto"
HINT_SHARE = 0.75
ADVERSARIAL_NETWORK = "unet_gan"
PERCEPTUAL_NETWORKS = ("MobileNetV2",)
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
UNIT = ("warmup", "rebalancing", "full_mask_share", "hint_share", "aged_share", "outlier_share")
NON_NEGATIVE = (
    "weight_decay",
    "mask_weight",
    "pixel_weight",
    "regression_weight",
    "perceptual_weight",
    "chroma_weighting",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Every setting of a run.

    Attributes:
        data: what to train on.
        network: what to train.
        epochs: passes over the photographs, or over `steps_per_epoch` batches.
        steps_per_epoch: batches in an epoch; None = all photographs once.
        learning_rate: peak, reached after the warm-up, then a cosine down to zero; "auto" = what
            a range test before the run suggests (`colorizer.range_test`).
        warmup: share of all steps.
        weight_decay: decoupled (AdamW).
        clip_norm: of the gradient of all weights together.
        precision: "auto", "float32", "mixed_bfloat16" or "mixed_float16".
        rebalancing: λ of the class weights.
        encoding_sigma: σ of the soft encoding of colours, in Lab units.
        regression_weight: of a distribution head: λ of a regression loss beside its
            classification, on the colours as decoded at `tasks.REGRESSION_VIVIDNESS`.
        perceptual_weight: of `losses.perceptual_loss`, on the same colours, or on those of a
            regression head.
        perceptual_network: what it looks through: "MobileNetV2", with Keras's download, or
            "MobileNetV2:FILE.weights.h5", without its top.
        huber_delta: of regression losses in network units; None = squared.
        chroma_weighting: κ of regression losses (`losses.regression_loss`).
        log_regression: regression losses count the logarithm of each photograph's own error
            (`losses.regression_loss`), as PSNR does.
        hint_share: of examples that may be given hints, from 0 to 1 (`hints.sample_hints`).
        aged_share: of photographs whose luminance is aged, from 0 to 1 (`colorizer.aging`).
        outlier_share: of photographs that are turned into drawings, reliefs, textures or
            negatives, whose truth is gray, from 0 to 1 (`colorizer.outliers`). Gray weighs little
            in the classification: what counts is the error of a regression beside it, most of all
            its logarithm. Validation sees none of them.
        freeze_extractor: leaves a trained extractor as it starts, with its statistics.
        ema_momentum: of an exponential moving average of the weights, which the model of the
            run then holds; None = the weights as trained.
        averaged_epochs: the model holds the mean of its weights, or of their moving averages,
            after each of the last so many epochs, of all if there are fewer (checkpoint averaging:
            A. Vaswani et al. "Attention Is All You Need". NeurIPS 2017, section 6.1). Unlike in
            stochastic weight averaging, statistics of normalisation are averaged, too.
        mask_weight: of the loss outside the mask.
        mask_patterns: bank of patterns, named as for `masks.make_mask` but superpixels, that each
            example draws its mask from; empty = the random mixture of `masks.sample_masks`.
        full_mask_share: probability of a mask of all ones, from 0 to 1.
        pixel_weight: λ of the adversarial task: of the colour loss beside the adversarial one.
        embeddings: folder of the cache of the frozen extractor's embeddings of whole photographs
            (`colorizer.embeddings`); None = the extractor sees each crop, in every step.
        init_from: a model whose weights to start from, where names and shapes agree; those of
            `network.extractor_weights` go before.
        seed: of weights, order, crops, masks and hints.

    Raises:
        ValueError: a learning rate, share, weight, momentum, σ, δ, λ, count, precision, network or
            pattern that is none.
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    epochs: int = 20
    steps_per_epoch: int | None = None
    learning_rate: float | str = 1e-3
    warmup: float = 0.03
    weight_decay: float = 1e-2
    clip_norm: float = 5.0
    precision: str = "auto"
    rebalancing: float = color.REBALANCING
    encoding_sigma: float = color.SIGMA
    regression_weight: float = 0.0
    perceptual_weight: float = 0.0
    perceptual_network: str = PERCEPTUAL_NETWORKS[0]
    huber_delta: float | None = None
    chroma_weighting: float = 0.0
    log_regression: bool = False
    hint_share: float = HINT_SHARE
    aged_share: float = 0.0
    outlier_share: float = 0.0
    freeze_extractor: bool = False
    ema_momentum: float | None = None
    averaged_epochs: int = 1
    mask_weight: float = 1.0
    mask_patterns: tuple[str, ...] = ()
    full_mask_share: float = 0.5
    pixel_weight: float = 100.0
    embeddings: str | None = None
    init_from: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        check_seed(self.seed)
        rate = self.learning_rate
        if rate != AUTO and not (isinstance(rate, int | float) and 0 < rate < math.inf):
            raise ValueError(
                f"learning_rate must be a positive number or 'auto'. Received: {rate!r}"
            )
        for name in UNIT:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1. Received: {getattr(self, name)}")
        if self.ema_momentum is not None and not 0 < self.ema_momentum < 1:
            raise ValueError(
                f"ema_momentum must be between 0 and 1, or None. Received: {self.ema_momentum}"
            )
        for name in NON_NEGATIVE:
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or more. Received: {getattr(self, name)}")
        for name in ("encoding_sigma", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(
                    f"{name} must be a positive number. Received: {getattr(self, name)}"
                )
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {PRECISIONS}. Received: {self.precision!r}")
        for name in ("epochs", "steps_per_epoch", "averaged_epochs"):
            if (count := getattr(self, name)) is not None and not count >= 1:
                raise ValueError(f"{name} must be at least 1. Received: {count}")
        if self.huber_delta is not None and not 0 < self.huber_delta < math.inf:
            raise ValueError(
                f"huber_delta must be a positive number or None. Received: {self.huber_delta}"
            )
        if self.perceptual_network.partition(":")[0] not in PERCEPTUAL_NETWORKS:
            expected = " or ".join(f"{name}[:FILE.weights.h5]" for name in PERCEPTUAL_NETWORKS)
            raise ValueError(
                f"perceptual_network must be {expected}. Received: {self.perceptual_network!r}"
            )
        for pattern in self.mask_patterns:
            if pattern.partition(":")[0] == "superpixels":
                raise ValueError(
                    "mask_patterns: superpixels are of one photograph; a bank holds what fits all. "
                    f"Received: {pattern!r}"
                )
            try:
                masks.check_pattern(pattern)
            except ValueError as error:
                raise ValueError(f"mask_patterns: {error}") from error

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """The config of JSON `values`; raises ValueError naming any unknown entry."""
        values = as_object(values, "training")
        nested: dict[str, Any] = {"network": NetworkConfig.from_dict(values.pop("network", {}))}
        try:
            nested["data"] = DataConfig.from_dict(values.pop("data", {}))
            nested["mask_patterns"] = as_tuples(values.pop("mask_patterns", ()))
            return cls(**nested, **values)
        except TypeError as error:
            raise ValueError(f"training settings: {error}") from error


def check_settings(config: TrainConfig) -> None:
    """Raises ValueError for a setting that the run's network or its input would not honour."""
    for unfit, told in _misfits(config):
        if unfit:
            raise ValueError(told)
    check_network(config.network)
    if config.perceptual_weight:
        check_application(
            config.perceptual_network, known=PERCEPTUAL_NETWORKS, argument="perceptual_network"
        )


def _misfits(config: TrainConfig) -> Iterator[tuple[Any, str]]:
    """Whether a setting does not fit the others, and what to say if so."""
    yield from _input_misfits(config)
    yield from _loss_misfits(config)
    yield from _regression_misfits(config)
    yield from _extractor_misfits(config)


def _input_misfits(config: TrainConfig) -> Iterator[tuple[Any, str]]:
    """Of what a network is shown."""
    network, name = config.network, config.network.network
    yield (
        config.mask_patterns and not network.mask,
        "mask_patterns need a network with the input mask. "
        f"Received: {', '.join(config.mask_patterns)} and mask=False",
    )
    for setting in ("mask_weight", "full_mask_share"):
        yield (
            getattr(config, setting) != getattr(TrainConfig, setting) and not network.mask,
            f"{setting} needs a network with the input mask. "
            f"Received: {getattr(config, setting)} and mask=False",
        )
    yield (
        config.hint_share != HINT_SHARE and not network.hints,
        "hint_share needs a network with the input hints. "
        f"Received: {config.hint_share} and hints=False",
    )
    stride = network_stride(network)
    yield (
        config.data.image_size % stride,
        f"image_size (--size) must be a multiple of {stride} for network {name!r}. "
        f"Received: {config.data.image_size}",
    )
    yield (
        config.perceptual_weight and network.mask and config.data.image_size % 16,
        "image_size (--size) must be a multiple of 16 for a perceptual_weight with masks. "
        f"Received: {config.data.image_size}",
    )
    yield (
        config.outlier_share and name == "rgb_baseline",
        "outlier_share needs another network than 'rgb_baseline', whose truth is the photograph. "
        f"Received: {config.outlier_share}",
    )
    for share in ("aged_share", "outlier_share"):
        yield (
            getattr(config, share) and config.embeddings is not None,
            f"{share} and embeddings exclude each other: those are of photographs as they are. "
            f"Received: {getattr(config, share)} and {config.embeddings!r}",
        )


def _loss_misfits(config: TrainConfig) -> Iterator[tuple[Any, str]]:
    """Of the losses but the regression."""
    name, head = config.network.network, config.network.head
    yield (
        config.pixel_weight != TrainConfig.pixel_weight and name != ADVERSARIAL_NETWORK,
        f"pixel_weight needs network {ADVERSARIAL_NETWORK!r}. "
        f"Received: {config.pixel_weight} and network {name!r}",
    )
    yield (
        config.rebalancing != TrainConfig.rebalancing and head != "distribution",
        f"rebalancing needs head 'distribution'. Received: {config.rebalancing} and head {head!r}",
    )
    yield (
        config.encoding_sigma != color.SIGMA and head != "distribution",
        "encoding_sigma needs head 'distribution'. "
        f"Received: {config.encoding_sigma} and head {head!r}",
    )
    yield (
        config.perceptual_network != TrainConfig.perceptual_network
        and not config.perceptual_weight,
        "perceptual_network needs a perceptual_weight. "
        f"Received: {config.perceptual_network!r} and no weight",
    )
    yield (
        config.perceptual_weight and name in (ADVERSARIAL_NETWORK, "rgb_baseline"),
        f"perceptual_weight needs another network than {ADVERSARIAL_NETWORK!r} or "
        f"'rgb_baseline'. Received: {config.perceptual_weight} and network {name!r}",
    )


def _regression_misfits(config: TrainConfig) -> Iterator[tuple[Any, str]]:
    """Of the regression."""
    network, name, head = config.network, config.network.network, config.network.head
    yield (
        config.regression_weight and head != "distribution",
        "regression_weight needs head 'distribution': the loss of another is a regression "
        f"already. Received: {config.regression_weight} and head {head!r}",
    )
    regresses = config.regression_weight or (head == "regression" and name != "rgb_baseline")
    yield (
        config.chroma_weighting and not regresses,
        "chroma_weighting needs a regression: head 'regression', or a regression_weight. "
        f"Received: {config.chroma_weighting}, network {name!r}, head {head!r}",
    )
    yield (
        config.huber_delta is not None and not (regresses or network.mask),
        "huber_delta needs a regression, or a network with the input mask, whose outside is one. "
        f"Received: {config.huber_delta}, network {name!r}, head {head!r}",
    )
    yield (
        config.log_regression and not (regresses and name != ADVERSARIAL_NETWORK),
        "log_regression needs a regression: head 'regression', or a regression_weight, and "
        f"another network than {ADVERSARIAL_NETWORK!r}. Received: network {name!r}, head {head!r}",
    )
    yield (
        config.log_regression and config.learning_rate == AUTO,
        "learning_rate: the range test needs losses of 0 or more, which a log_regression's are "
        f"not. Received: {AUTO!r}",
    )


def _extractor_misfits(config: TrainConfig) -> Iterator[tuple[Any, str]]:
    """Of the extractor."""
    name, own, start = config.network.network, config.network.extractor_weights, config.init_from
    yield (
        config.freeze_extractor and (name != "xception_fusion" or config.embeddings is not None),
        "freeze_extractor needs a network with an extractor: 'xception_fusion', without "
        f"embeddings. Received: network {name!r}, embeddings {config.embeddings!r}",
    )
    yield (
        config.freeze_extractor and own is None and start is None,
        "freeze_extractor needs an extractor that knows something: extractor_weights or "
        "init_from. Received: neither",
    )
    yield (
        name == "residual_encoder" and own is not None and start is not None,
        "extractor_weights and init_from exclude each other for 'residual_encoder'. "
        f"Received: {own!r} and {start!r}",
    )
    yield (
        config.embeddings is not None and own is None,
        "embeddings need extractor_weights: random ones would differ from those of the next call. "
        "Received: None",
    )
