"""The feature extractors: our own Xception, and the feature maps of any other.

An extractor is a Keras model, trained to recognise what is in a photograph: (B, H, W, 3)
of its own range → features. `feature_maps` finds within it the maps that a decoder can use.

References
    [1] F. Chollet. "Xception: Deep Learning with Depthwise Separable Convolutions".
        CVPR 2017.
"""

import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import keras
from keras import layers

from colorizer.normalization import BatchNormalization

Tensor = Any


def xception(*, width: float = 1.0, name: str = "xception_features") -> keras.Model:
    """Xception without its top [1]: (B, H, W, 3) in [-1, 1] → (B, H / 32, W / 32, 2048 · width).

    With `width=1.0` it has exactly the layers and shapes of `keras.applications.Xception`;
    the widths of all others are scaled.
    """

    def separable(x: Tensor, filters: int, name: str) -> Tensor:
        x = layers.SeparableConv2D(
            round(filters * width), 3, padding="same", use_bias=False, name=name
        )(x)
        return BatchNormalization(name=f"{name}_bn")(x)

    def shortcut(x: Tensor, filters: int, name: str) -> Tensor:
        x = layers.Conv2D(
            round(filters * width), 1, strides=2, padding="same", use_bias=False, name=name
        )(x)
        return BatchNormalization(name=f"{name}_bn")(x)

    def entry(x: Tensor, filters: tuple[int, int], block: str, *, activate_first: bool) -> Tensor:
        residual = shortcut(x, filters[1], f"{block}_shortcut")
        for i, count in enumerate(filters, start=1):
            if i > 1 or activate_first:
                x = layers.ReLU(name=f"{block}_sepconv{i}_act")(x)
            x = separable(x, count, f"{block}_sepconv{i}")
        x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"{block}_pool")(x)
        return layers.Add(name=f"{block}_add")([x, residual])

    image = x = keras.Input((None, None, 3), name="image")
    for i, (count, stride) in enumerate([(32, 2), (64, 1)], start=1):
        x = layers.Conv2D(
            round(count * width), 3, strides=stride, use_bias=False, name=f"block1_conv{i}"
        )(x)
        x = BatchNormalization(name=f"block1_conv{i}_bn")(x)
        x = layers.ReLU(name=f"block1_conv{i}_act")(x)

    for number, count in enumerate([128, 256, 728], start=2):
        x = entry(x, (count, count), f"block{number}", activate_first=number > 2)
    for number in range(5, 13):
        residual = x
        for i in range(1, 4):
            x = layers.ReLU(name=f"block{number}_sepconv{i}_act")(x)
            x = separable(x, 728, f"block{number}_sepconv{i}")
        x = layers.Add(name=f"block{number}_add")([x, residual])
    x = entry(x, (728, 1024), "block13", activate_first=True)
    for i, count in enumerate([1536, 2048], start=1):
        x = separable(x, count, f"block14_sepconv{i}")
        x = layers.ReLU(name=f"block14_sepconv{i}_act")(x)
    return keras.Model(image, x, name=name)


def check_application(described: str, *, known: Collection[str], argument: str) -> None:
    """Refuses what `pooled_application` would; whether weights can be downloaded is not tried.

    Raises:
        ValueError: another name than the known ones, or no such file.
    """
    name, _, file = described.partition(":")
    if name not in known or (file and not Path(file).is_file()):
        expected = " or ".join(f"{name}[:FILE.weights.h5]" for name in known)
        raise ValueError(
            f"{argument}: expected {expected}, of a file there. Received: {described!r}"
        )


def pooled_application(
    described: str, size: int | None, *, known: Collection[str], argument: str
) -> keras.Model:
    """A network of `keras.applications` without its top: (B, S, S, 3) → pooled features (B, D).

    Args:
        described: NAME, with ImageNet's weights as Keras downloads them, or NAME:FILE, with those
            of a `.weights.h5` file.
        size: S, in pixels; None = any.
        known: the names that are allowed.
        argument: what to call `described` in an error.

    Raises:
        ValueError: another name, no such file, or weights that cannot be had.
    """
    check_application(described, known=known, argument=argument)
    name, _, file = described.partition(":")
    try:
        with warnings.catch_warnings():  # of weights that were trained at one size: for any
            warnings.filterwarnings("ignore", message=".*Weights for input shape.*")
            network = getattr(keras.applications, name)(
                weights=file or "imagenet",
                include_top=False,
                pooling="avg",
                input_shape=(size, size, 3),
            )
    except Exception as error:  # of a download Keras raises plain `Exception`
        raise ValueError(f"{argument}: no weights for {described!r}: {error}") from error
    network.compile(jit_compile=False)
    return network


def feature_maps(
    extractor: keras.Model, strides: Sequence[int]
) -> tuple[dict[int, Tensor], list[int]]:
    """The extractor's last feature map at each stride, found by probing with a known size.

    Returns:
        stride → feature map, and the strides at which it is a pixel short: unpadded
        convolutions leave it so.
    """
    probe = 320
    maps: dict[int, Tensor] = {}
    heights: dict[int, int] = {}
    outputs = [
        layer.output
        for layer in (extractor.layers[1:] if strides else [])
        if len(layer.output.shape) == 4
    ]
    if outputs:
        shapes = keras.Model(extractor.input, outputs).compute_output_shape((1, probe, probe, 3))
        for output, shape in zip(outputs, shapes, strict=True):
            for stride in strides:
                if probe // stride - 1 <= shape[1] <= probe // stride:
                    maps[stride], heights[stride] = output, shape[1]
    if missing := set(strides) - set(maps):
        raise ValueError(f"extractor {extractor.name!r} has no feature maps at strides {missing}")
    return maps, [stride for stride in strides if heights[stride] < probe // stride]
