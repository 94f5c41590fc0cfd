"""The networks: luminance in, colours out, built by name from a frozen config.

Conventions
    Every network is a functional Keras model of named tensors, channels last, any
    height and width that is a multiple of `network_stride(config)`:

    inputs
        `luminance` (B, H, W, 1): L / 50 - 1, in [-1, 1].
        `mask` (B, H, W, 1), only if the config asks: 1 = colour this, 0 = leave gray.
        `hints` (B, H, W, 3), only if the config asks: a / 110, b / 110, indicator.
        `embedding` (B, D), only if built with `embedding_input=True`: the extractor's
        embedding, computed beforehand (see `embed`).
    outputs, one of
        `ab` (B, H, W, 2): tanh, ab / 110 (head "regression").
        `ab_logits` (B, H / 4, W / 4, 313): over `color.AB_BINS` (head "distribution").
        `rgb` (B, 32, 32, 3): sRGB in [0, 1], of `rgb_baseline` alone.

Architecture of `xception_fusion`, after Deep Koalarization [1]
    An encoder runs on the luminance. A feature extractor, trained to recognise what is
    in the photograph, embeds it in one vector, which is tiled over the encoder's output,
    concatenated with it and mixed by a 1×1 convolution: the fusion. A decoder brings the
    result up to the colours. With multiscale fusion the extractor's feature maps are
    joined to the decoder too, each at its own stride, so that the decoder knows not only
    what is in the photograph but where. Mask and hints enter the encoder's first layer and,
    with multiscale fusion, every stage of the decoder (`colorizer.conditions`).

The other networks are layouts that came before, described in `colorizer.earlier`. They read
few settings; one that they cannot honour is refused.

References
    [1] F. Baldassarre, D. González Morín, L. Rodés-Guirao. "Deep Koalarization: Image
        Colorization using CNNs and Inception-ResNet-v2". arXiv:1712.03400, 2017.
"""

import dataclasses
import itertools
import math
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
from keras import layers, ops

from colorizer import earlier
from colorizer.annotations import as_object, as_tuples, check_types
from colorizer.color import AB_BINS, AB_SCALE, annealed_mean, rgb_to_lab
from colorizer.conditions import pool_conditions
from colorizer.extractors import feature_maps, xception
from colorizer.normalization import BatchNormalization

Tensor = Any

FUSIONS = ("global", "multiscale")
HEADS = ("regression", "distribution")
EMBEDDINGS = ("pooled", "classes")
NO_CONDITIONS: Mapping[str, Tensor] = MappingProxyType({})
LOGITS_STRIDE = 4  # ab at a quarter of the resolution still scores 37.7 dB: edges limit, not this


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Everything that decides a network's layers.

    Attributes:
        network: a name of `NETWORKS`.
        extractor: "xception_half" (trained with the rest), "xception" or another name of
            `keras.applications` (frozen).
        extractor_weights: for a frozen extractor "imagenet" (Keras's own download), the
            path of a `.weights.h5` file, or None for random ones. For "xception_half" the
            file that `pretrain` wrote, where training starts. For `residual_encoder` those
            of VGG-16, which None leaves random and trains.
        embedding: "pooled" features, or the 1000-way "classes" before the softmax, which
            "xception_half" does not have: it gives its pooled ones.
        embedding_size: side in pixels at which the extractor sees the photograph, squared;
            None = as it comes.
        fusion: "global" or "multiscale".
        head: "regression" or "distribution".
        encoder: (filters, stride) of each 3×3 convolution.
        fusion_filters: of the 1×1 convolution that fuses.
        decoder: (filters, convolutions) of each stage; ×2 upsampling between stages.
        batch_normalization: in the encoder, and in the decoder of global fusion; the published
            network has none. That of multiscale fusion always has it.
        mask, hints: switch on these inputs.
        width: of `colorful` and `unet_gan`: their filters, times this.
    """

    network: str = "xception_fusion"
    extractor: str = "xception_half"
    extractor_weights: str | None = None
    embedding: str = "pooled"
    embedding_size: int | None = None
    fusion: str = "multiscale"
    head: str = "distribution"
    encoder: tuple[tuple[int, int], ...] = ((32, 2), (64, 2), (128, 2), (256, 2))
    fusion_filters: int = 256
    decoder: tuple[tuple[int, int], ...] = ((256, 2), (160, 2), (96, 2))
    batch_normalization: bool = True
    mask: bool = False
    hints: bool = False
    width: float = 1.0

    def __post_init__(self) -> None:
        check_types(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "NetworkConfig":
        """The config of JSON `values`; raises ValueError naming any unknown entry."""
        values = as_object(values, "network")
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown network settings {unknown}; known are {sorted(known)}")
        return cls(**{name: as_tuples(value) for name, value in values.items()})


KOALARIZATION = NetworkConfig(
    extractor="xception",
    extractor_weights="imagenet",
    embedding="classes",
    embedding_size=299,
    fusion="global",
    head="regression",
    encoder=((64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 1), (256, 1)),
    fusion_filters=256,
    decoder=((128, 1), (64, 2), (32, 1)),
    batch_normalization=False,
)
"""The exact layout of Deep Koalarization [1], with Xception as its extractor."""

TINY = NetworkConfig(
    encoder=((8, 2), (8, 2), (16, 2), (16, 2)), fusion_filters=16, decoder=((16, 1), (8, 1), (8, 1))
)
"""For tests and smoke runs: all the parts, few filters (the extractor stays whole)."""

PRESETS: dict[str, NetworkConfig] = {
    "xception_fusion": NetworkConfig(),
    "koalarization": KOALARIZATION,
    "rgb_baseline": NetworkConfig(network="rgb_baseline", head="regression"),
    "residual_encoder": NetworkConfig(network="residual_encoder", head="regression"),
    "colorful": NetworkConfig(network="colorful", head="distribution"),
    "unet_gan": NetworkConfig(network="unet_gan", head="regression", mask=True),
}

STRIDES = {"rgb_baseline": earlier.RGB_SIDE, "residual_encoder": 8, "colorful": 8, "unet_gan": 16}
"""Of the networks whose encoder is not that of the config."""

# The settings that a network reads; all others must be those of its preset.
_SETTINGS = {
    "xception_fusion": {f.name for f in dataclasses.fields(NetworkConfig)} - {"width"},
    "rgb_baseline": {"network"},
    "residual_encoder": {"network", "extractor_weights"},
    "colorful": {"network", "width"},
    "unet_gan": {"network", "width"},
}


# --------------------------------------------------------------------------- shared parts


def network_stride(config: NetworkConfig) -> int:
    """The number of pixels that height and width of the inputs must be multiples of.

    `rgb_baseline` takes any size; its own is such that truth can be averaged down to it.
    """
    if config.network in STRIDES:
        return STRIDES[config.network]
    return max(math.prod(stride for _, stride in config.encoder), LOGITS_STRIDE)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pads (B, H, W, C) at bottom and right, repeating the edge, to a multiple in H and W."""
    height, width = x.shape[1:3]
    bottom, right = -height % multiple, -width % multiple
    rows = ops.minimum(ops.arange(height + bottom), height - 1)
    columns = ops.minimum(ops.arange(width + right), width - 1)
    return ops.take(ops.take(x, rows, axis=1), columns, axis=2)


def crop_to_size(x: Tensor, height: int, width: int) -> Tensor:
    """Undoes `pad_to_multiple`: the top left (height, width) of (B, H, W, C)."""
    return x[:, :height, :width]


@keras.saving.register_keras_serializable("colorizer")
class ResizeLike(layers.Layer):
    """Resizes the first of two feature maps, bilinearly, to the size of the second.

    An extractor with unpadded convolutions has maps a pixel or two short of its stride.
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x, reference = inputs
        # `ops.image.resize` needs sizes known beforehand; these are, on TensorFlow, not.
        for axis in (1, 2):
            x = self._interpolate(x, ops.shape(x)[axis], ops.shape(reference)[axis], axis)
        return x

    def _interpolate(self, x: Tensor, size: Any, new_size: Any, axis: int) -> Tensor:
        centres = (ops.cast(ops.arange(new_size), "float32") + 0.5) * (
            ops.cast(size, "float32") / ops.cast(new_size, "float32")
        ) - 0.5
        centres = ops.clip(centres, 0.0, ops.cast(size - 1, "float32"))
        lower = ops.cast(ops.floor(centres), "int32")
        upper = ops.minimum(lower + 1, size - 1)
        share = ops.cast(centres - ops.floor(centres), x.dtype)
        share = ops.reshape(share, (-1, 1, 1) if axis == 1 else (-1, 1))
        return ops.take(x, lower, axis) * (1 - share) + ops.take(x, upper, axis) * share

    def compute_output_shape(self, input_shape: Sequence[tuple]) -> tuple:
        x, reference = input_shape
        return (*reference[:3], x[3])


def _convolution(
    x: Tensor,
    filters: int,
    *,
    name: str,
    normalized: bool,
    kernel: int = 3,
    stride: int = 1,
    conditions: Mapping[str, Tensor] = NO_CONDITIONS,
) -> Tensor:
    """Convolution, batch normalisation where asked, ReLU.

    Each of the conditions (mask, hints) has a kernel of its own, added before the
    normalisation and zero at first: a network trained without a condition starts, once
    it is switched on, from exactly what it was.
    """
    shape = {"filters": filters, "kernel_size": kernel, "strides": stride, "padding": "same"}
    x = layers.Conv2D(**shape, use_bias=not normalized, kernel_initializer="he_normal", name=name)(
        x
    )
    for condition, value in conditions.items():
        part = layers.Conv2D(
            **shape, use_bias=False, kernel_initializer="zeros", name=f"{name}_{condition}"
        )
        x = layers.Add(name=f"{name}_{condition}_add")([x, part(value)])
    if normalized:
        x = BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _upsample(x: Tensor, *, name: str) -> Tensor:
    return layers.UpSampling2D(2, interpolation="nearest", name=name)(x)


# ---------------------------------------------------------------------- feature extractors


def _check_weights_file(weights: str | None) -> None:
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise ValueError(f"extractor_weights: no such file {weights!r}; expected a .weights.h5")


def _xception_half(weights: str | None) -> keras.Model:
    """Our own extractor, with the weights of a file of `pretrain` if one is named."""
    extractor = xception(width=0.5)
    if weights is None:
        return extractor
    _check_weights_file(weights)
    try:
        with warnings.catch_warnings():  # Keras lists all that a wrong file lacks
            warnings.simplefilter("ignore")
            extractor.load_weights(weights)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"extractor_weights: {weights!r} does not hold the weights of 'xception_half'; "
            "expected an extractor.weights.h5 of `pretrain`"
        ) from error
    return extractor


def _builder(extractor: str) -> Callable[..., keras.Model]:
    """What builds an extractor of `keras.applications`.

    Raises:
        ValueError: there is none of that name.
    """
    builder = getattr(
        keras.applications, "Xception" if extractor == "xception" else extractor, None
    )
    if not callable(builder):
        known = sorted(n for n in dir(keras.applications) if n[0].isupper())
        raise ValueError(
            f"extractor must be 'xception', 'xception_half' or one of {known}. "
            f"Received: {extractor!r}"
        )
    return builder


def _application(config: NetworkConfig) -> tuple[keras.Model, Callable[[Tensor], Tensor]]:
    """A frozen extractor of `keras.applications` and the preprocessing it was trained with."""
    builder, weights = _builder(config.extractor), config.extractor_weights
    _check_weights_file(weights)
    top = config.embedding == "classes"
    arguments: dict[str, Any] = {"weights": weights, "include_top": top}
    if top:
        # "The last layer before the softmax" [1].
        arguments["classifier_activation"] = None
    else:
        arguments["input_shape"] = (None, None, 3)
    try:
        model = builder(**arguments)
    except Exception as error:  # a failed download is a bare Exception in Keras
        raise ValueError(
            f"cannot load the weights {weights!r} of extractor {config.extractor!r}: {error}; "
            "a local file may be named as extractor_weights"
        ) from error
    side = model.input_shape[1]
    if side not in (None, config.embedding_size):  # with its top it sees one size alone
        raise ValueError(
            f"embedding_size must be {side} for the classes of extractor {config.extractor!r}. "
            f"Received: {config.embedding_size}"
        )
    model.trainable = False
    for module in vars(keras.applications).values():
        if getattr(module, builder.__name__, None) is builder:
            return model, module.preprocess_input
    raise ValueError(f"extractor {config.extractor!r} has no preprocess_input in Keras")


def _extract(
    luminance: Tensor, config: NetworkConfig, strides: Sequence[int]
) -> tuple[Tensor, dict[int, tuple[Tensor, bool]]]:
    """The embedding (B, D) of the luminance; stride → its feature map and if that is short."""
    if config.embedding_size is not None:
        size = config.embedding_size
        # Not `layers.Resizing`, which puts the whole network into training mode when called.
        luminance = ops.image.resize(luminance, (size, size), antialias=True)
    image = layers.Concatenate(name="extractor_gray_rgb")([luminance] * 3)
    if config.extractor == "xception_half":
        extractor, frozen = _xception_half(config.extractor_weights), {}
    else:
        extractor, preprocess = _application(config)
        image = preprocess((image + 1) * 127.5)  # Keras's preprocessing takes 0..255
        frozen = {"training": False}
    maps, short = feature_maps(extractor, strides)
    features = keras.Model(
        extractor.input,
        {"embedding": extractor.output, **{f"stride{s}": maps[s] for s in strides}},
        name="extractor",
    )
    features.trainable = extractor.trainable
    outputs = features(image, **frozen)
    embedding = outputs["embedding"]
    if len(embedding.shape) == 4:
        embedding = layers.GlobalAveragePooling2D(name="extractor_pool")(embedding)
    return embedding, {s: (outputs[f"stride{s}"], s in short) for s in strides}


# ----------------------------------------------------------------------------- the network


def _encode(
    inputs: dict[str, Tensor], conditions: Mapping[str, Tensor], config: NetworkConfig
) -> dict[int, Tensor]:
    """The encoder's last output at each stride; mask and hints enter its first layer."""
    outputs: dict[int, Tensor] = {}
    reached, x = 1, inputs["luminance"]
    for i, (filters, stride) in enumerate(config.encoder, start=1):
        x = _convolution(
            x,
            filters,
            stride=stride,
            name=f"encoder_conv{i}",
            normalized=config.batch_normalization,
            conditions=conditions if i == 1 else NO_CONDITIONS,
        )
        reached *= stride
        outputs[reached] = x
    return outputs


def _fuse(x: Tensor, embedding: Tensor, config: NetworkConfig) -> Tensor:
    """Tile the embedding, concatenate, mix with a 1×1 convolution [1, section 2.2].

    A 1×1 convolution of a concatenation is the sum of one of each part, and that of a
    constant map is constant: computed once instead of at every pixel, the same function.
    """
    filters = config.fusion_filters
    mixed = layers.Conv2D(filters, 1, name="fusion_conv")(x)
    tiled = layers.Dense(filters, use_bias=False, name="fusion_embedding")(embedding)
    tiled = layers.Reshape((1, 1, filters), name="fusion_tile")(tiled)
    return layers.ReLU(name="fusion_relu")(layers.Add(name="fusion_add")([mixed, tiled]))


def _residual_stage(
    x: Tensor, filters: int, convolutions: int, conditions: Mapping[str, Tensor], *, name: str
) -> Tensor:
    """A 1×1 convolution to `filters`, where mask and hints enter, then some around a skip."""
    x = skip = _convolution(
        x, filters, kernel=1, name=f"{name}_join", normalized=True, conditions=conditions
    )
    for i in range(1, convolutions + 1):
        x = _convolution(x, filters, name=f"{name}_conv{i}", normalized=True)
    return layers.Add(name=f"{name}_add")([x, skip])


def _decode(
    x: Tensor,
    encoded: dict[int, Tensor],
    maps: dict[int, tuple[Tensor, bool]],
    conditions: Mapping[int, Mapping[str, Tensor]],
    config: NetworkConfig,
) -> tuple[Tensor, int]:
    """The decoder's output and its stride; starts from the encoder's last stride."""
    stride = max(encoded)
    for i, (filters, convolutions) in enumerate(config.decoder, start=1):
        name = f"decoder_stage{i}"
        if i > 1:
            x, stride = _upsample(x, name=f"{name}_up"), stride // 2
        if config.fusion == "multiscale":
            feature_map, short = maps[stride]
            if short:
                feature_map = ResizeLike(name=f"{name}_map")([feature_map, x])
            x = layers.Concatenate(name=f"{name}_concat")([x, feature_map, encoded[stride]])
            x = _residual_stage(x, filters, convolutions, conditions[stride], name=name)
        else:
            for j in range(1, convolutions + 1):
                x = _convolution(
                    x, filters, name=f"{name}_conv{j}", normalized=config.batch_normalization
                )
    return x, stride


def _head(x: Tensor, stride: int, config: NetworkConfig) -> dict[str, Tensor]:
    """Colours from the decoder's features; float32 under any dtype policy."""
    if config.head == "distribution":
        logits = layers.Conv2D(len(AB_BINS), 1, dtype="float32", name="ab_logits")(x)
        return {"ab_logits": logits}
    ab = layers.Conv2D(2, 3, padding="same", activation="tanh", dtype="float32", name="ab_head")(x)
    up = layers.UpSampling2D(stride, interpolation="bilinear", dtype="float32", name="ab")
    return {"ab": up(ab)}


def _xception_fusion(config: NetworkConfig, *, embedding_input: bool) -> keras.Model:
    channels = {"luminance": 1, "mask": 1 if config.mask else 0, "hints": 3 if config.hints else 0}
    inputs = {n: keras.Input((None, None, c), name=n) for n, c in channels.items() if c}
    conditions = {name: x for name, x in inputs.items() if name != "luminance"}
    encoded = _encode(inputs, conditions, config)
    stride = max(encoded)
    wanted = (
        [stride >> i for i in range(len(config.decoder))] if config.fusion == "multiscale" else []
    )
    if embedding_input:
        size = embedding_extractor(config).output_shape[-1]
        inputs["embedding"] = embedding = keras.Input((size,), name="embedding")
        maps: dict[int, tuple[Tensor, bool]] = {}
    else:
        embedding, maps = _extract(inputs["luminance"], config, wanted)
    x = _fuse(encoded[stride], embedding, config)
    told = pool_conditions(inputs["luminance"], conditions, wanted)
    x, stride = _decode(x, encoded, maps, told, config)
    return keras.Model(inputs, _head(x, stride, config), name=config.network)


def embedding_extractor(config: NetworkConfig) -> keras.Model:
    """The frozen part of a network with global fusion: luminance → embedding (B, D).

    Raises:
        ValueError: the config's extractor is trained, or its feature maps are needed too.
    """
    if config.fusion != "global" or config.extractor == "xception_half":
        raise ValueError(
            "embeddings can be computed beforehand only with fusion 'global' and a frozen "
            f"extractor. Received: fusion {config.fusion!r}, extractor {config.extractor!r}"
        )
    luminance = keras.Input((None, None, 1), name="luminance")
    embedding, _ = _extract(luminance, config, [])
    return keras.Model(luminance, embedding, name=f"{config.extractor}_embedding")


NETWORKS: dict[str, Callable[..., keras.Model]] = {
    "xception_fusion": _xception_fusion,
    "rgb_baseline": lambda config, *, embedding_input: earlier.rgb_baseline(),
    "residual_encoder": lambda config, *, embedding_input: earlier.residual_encoder(
        weights=config.extractor_weights
    ),
    "colorful": lambda config, *, embedding_input: earlier.colorful(width=config.width),
    "unet_gan": lambda config, *, embedding_input: earlier.unet_gan(width=config.width),
}
"""Name → `builder(config, *, embedding_input)`."""


def _refuse_ignored(config: NetworkConfig, *, embedding_input: bool) -> None:
    """Raises ValueError naming all settings that the config's network would not honour."""
    name = config.network
    if name not in _SETTINGS:
        return
    preset, problems, received = PRESETS[name], [], []
    for field in sorted(set(dataclasses.asdict(config)) - _SETTINGS[name]):
        needed, value = getattr(preset, field), getattr(config, field)
        if value != needed:
            needs = field == "head" or needed is True
            problems.append(f"needs {field}={needed!r}" if needs else f"takes no {field}")
            received.append(f"{field}={value!r}")
    if embedding_input and name != "xception_fusion":
        problems.append("takes no embedding_input")
        received.append("embedding_input=True")
    if problems:
        raise ValueError(
            f"network {name!r} {' and '.join(problems)}. Received: {', '.join(received)}"
        )


def check_network(config: NetworkConfig, *, embedding_input: bool = False) -> None:
    """Refuses what `build_network` would; whether weights can be loaded is not tried.

    Raises:
        ValueError: a setting is not one of those known, two do not go together, or the
            network has no use for one.
    """
    choices = {"network": NETWORKS, "fusion": FUSIONS, "head": HEADS, "embedding": EMBEDDINGS}
    for field, known in choices.items():
        if (received := getattr(config, field)) not in known:
            raise ValueError(f"{field} must be one of {sorted(known)}. Received: {received!r}")
    if not 0 < config.width < math.inf:
        raise ValueError(f"width must be a positive number. Received: {config.width!r}")
    _refuse_ignored(config, embedding_input=embedding_input)
    if config.extractor != "xception_half":
        _builder(config.extractor)
    if config.network == "xception_fusion":
        _check_strides(config)


def _check_strides(config: NetworkConfig) -> None:
    """Raises ValueError where encoder, decoder and head do not meet."""
    strides = list(itertools.accumulate((stride for _, stride in config.encoder), operator.mul))
    if not strides or min(strides) < 1:
        raise ValueError(f"encoder must have convolutions of strides. Received: {config.encoder}")
    last = strides[-1]
    if not 1 <= len(config.decoder) <= last.bit_length():
        raise ValueError(
            f"decoder must have 1 to {last.bit_length()} stages after an encoder of "
            f"stride {last}. Received: {len(config.decoder)}"
        )
    stages = [last >> i for i in range(len(config.decoder))]
    if config.head == "distribution" and stages[-1] != LOGITS_STRIDE:
        raise ValueError(
            f"decoder must end at stride {LOGITS_STRIDE} for head 'distribution'. "
            f"Received: decoder ending at stride {stages[-1]}"
        )
    if config.fusion == "multiscale" and not set(stages) <= set(strides):
        raise ValueError(
            f"encoder must stop at each stride of the decoder, {stages}, for fusion 'multiscale'. "
            f"Received: {strides}"
        )


def build_network(config: NetworkConfig, *, embedding_input: bool = False) -> keras.Model:
    """Builds the network of a config.

    Args:
        config: what to build.
        embedding_input: leave the extractor out and take its `embedding` as an input, for
            training on embeddings that were computed once.

    Returns:
        A functional model of named inputs and outputs (see the module's conventions).

    Raises:
        ValueError: as of `check_network`, or weights that cannot be loaded.
    """
    check_network(config, embedding_input=embedding_input)
    return NETWORKS[config.network](config, embedding_input=embedding_input)


def predicted_ab(
    outputs: dict[str, Tensor], class_weights: Tensor, *, temperature: float, correction: float
) -> Tensor:
    """The colours that a network's outputs stand for, whichever of them it has.

    Args:
        outputs: what the network returned.
        class_weights: (313,) the weights it was trained with; used with `ab_logits` alone.
        temperature, correction: T and β of `color.annealed_mean`.

    Returns:
        (B, h, w, 2) ab in Lab units, at the resolution of the network's output.
    """
    if "ab" in outputs:
        return ops.cast(outputs["ab"], "float32") * AB_SCALE
    if "rgb" in outputs:
        return rgb_to_lab(outputs["rgb"])[..., 1:]
    return annealed_mean(
        outputs["ab_logits"], class_weights, temperature=temperature, correction=correction
    )
