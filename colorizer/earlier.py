"""The colorizers that came before: four published or usual layouts, to train and compare with.

Each function builds one functional Keras model from its keyword arguments; the names and
the presets that go with them are in `colorizer.networks`.

Conventions
    Inputs and outputs are dicts of named tensors, channels last: `luminance` (B, H, W, 1)
    is L / 50 - 1, `mask` (B, H, W, 1) is 1 where to colour, `ab` (B, H, W, 2) is ab / 110.
    Outputs are float32 under any dtype policy. Every layer is named. The loss, the data and
    the colour space (Lab) are this package's, whatever the original had: a comparison is
    then one of layouts.

`rgb_baseline`: gray in, RGB out
    What a first attempt looks like: a small gray picture, flattened, two hidden dense
    layers, all pixels of a small RGB picture at once. It has to invent the luminance that
    it was given, and any shift of the picture is a new one to it. It is the floor that the
    convolutional networks are measured from.

`residual_encoder`, after Dahl [1]
    VGG-16 [2] up to `block4_conv3` looks at the gray picture. From deep to shallow: a 1×1
    convolution, ×2 upscaling, the sum with the batch-normalised features of the level
    above, a 3×3 convolution, down to the picture itself and its three channels.
    Differences: ab with tanh in place of UV with a sigmoid, and no batch normalisation
    after the last convolution, so that a picture's mean colour is free; any size, not 224.

`colorful`, after Zhang, Isola, Efros [3]
    Eight blocks of convolutions, the resolution lowered by strides alone; dilation 2 in
    blocks 5 and 6 in place of a fourth stride; batch normalisation at the end of blocks 1
    to 7; block 8 doubles the resolution by a transposed convolution; 313 logits at a
    quarter of the resolution. Filters are those of the released model (`eccv16`).
    Differences: strided convolutions pad at bottom and right ("same"), not on all sides.
    Initialisation is Glorot-normal [4] everywhere: a re-implementation found that with a
    plain uniform one colours overflow.

`unet_gan` and `unet_discriminator`, after [5, 6, 7]
    A conditional GAN [5] whose condition is the photograph *and* the mask of what to
    colour. In the generator luminance and mask each enter by a convolution of their own and
    are joined; four strided convolutions, four of upsampling and convolution: eleven
    convolutions with the last. The discriminator takes colours too, mirrors the encoder,
    and says of each patch of 80×80 pixels if it is real [6]. Differences from [6, 7]: skips
    are added, not concatenated, which halves the decoder; upsampling and convolution in
    place of transposed ones, which leave a checkerboard; no dropout, so that the same
    photograph gets the same colours; no batch normalisation in the discriminator, which
    sees real and fake in separate calls and could tell them apart by their statistics.

References
    [1] R. Dahl. "Automatic Colorization". https://tinyclouds.org/colorize, 2016.
    [2] K. Simonyan, A. Zisserman. "Very Deep Convolutional Networks for Large-Scale Image
        Recognition". ICLR 2015.
    [3] R. Zhang, P. Isola, A. A. Efros. "Colorful Image Colorization". ECCV 2016.
    [4] X. Glorot, Y. Bengio. "Understanding the Difficulty of Training Deep Feedforward
        Neural Networks". AISTATS 2010.
    [5] M. Mirza, S. Osindero. "Conditional Generative Adversarial Nets". arXiv:1411.1784,
        2014.
    [6] P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros. "Image-to-Image Translation with
        Conditional Adversarial Networks". CVPR 2017.
    [7] K. Nazeri, E. Ng, M. Ebrahimi. "Image Colorization Using Generative Adversarial
        Networks". AMDO 2018.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

from colorizer.color import AB_BINS
from colorizer.normalization import BatchNormalization

Tensor = Any

RGB_SIDE = 32  # pixels: of the pictures that `rgb_baseline` answers with

# The last convolution of each level of VGG-16 above the deepest, and the filters of the
# 3×3 convolution that follows the sum with it [1].
_VGG_DEEPEST = "block4_conv3"
_VGG_LEVELS = (("block3_conv3", 128), ("block2_conv2", 64), ("block1_conv2", 3))

# (filters, convolutions, stride of the last one, dilation) of blocks 1 to 7 [3].
_COLORFUL_BLOCKS = (
    (64, 2, 2, 1),
    (128, 2, 2, 1),
    (256, 3, 2, 1),
    (512, 3, 1, 1),
    (512, 3, 1, 2),
    (512, 3, 1, 2),
    (512, 3, 1, 1),
)
_COLORFUL_LAST = 256  # filters of block 8

_GAN_ENTRY = 16  # filters of the convolution by which each input enters
_GAN_ENCODER = (64, 128, 256, 512)
_GAN_SLOPE = 0.2  # of the leaky ReLU [6, appendix 6.1]


def _scaled(filters: int, width: float) -> int:
    return max(1, round(filters * width))


# ---------------------------------------------------------------------------- fully connected


def rgb_baseline(*, side: int = RGB_SIDE, hidden: int = 1024) -> keras.Model:
    """Two dense layers from a small gray picture to a small colour one.

    Args:
        side: height and width in pixels of the pictures within; others are resized to it,
            whatever their shape.
        hidden: units of each hidden layer.

    Returns:
        luminance (B, H, W, 1) in [-1, 1] → rgb (B, side, side, 3), sRGB in [0, 1].
    """
    luminance = keras.Input((None, None, 1), name="luminance")
    # Not `layers.Resizing`, which puts the whole network into training mode when called.
    small = ops.image.resize(luminance, (side, side), antialias=True)
    x = layers.Flatten(name="flatten")(small)
    for i in (1, 2):
        x = layers.Dense(hidden, activation="relu", name=f"dense{i}")(x)
    x = layers.Dense(side * side * 3, activation="sigmoid", dtype="float32", name="pixels")(x)
    rgb = layers.Reshape((side, side, 3), dtype="float32", name="rgb")(x)
    return keras.Model({"luminance": luminance}, {"rgb": rgb}, name="rgb_baseline")


# --------------------------------------------------------------------------- residual encoder


def _vgg16(weights: str | None) -> keras.Model:
    """VGG-16 [2] up to `block4_conv3`: preprocessed RGB → its levels by name."""
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise ValueError(f"extractor_weights: no such file {weights!r}; expected a .weights.h5")
    try:
        whole = keras.applications.VGG16(
            include_top=False, weights=weights, input_shape=(None, None, 3)
        )
    except Exception as error:  # a failed download is a bare Exception in Keras
        raise ValueError(
            f"cannot load the weights {weights!r} of extractor 'VGG16' without its top: {error}; "
            "a local file may be named as extractor_weights"
        ) from error
    names = [_VGG_DEEPEST, *(name for name, _ in _VGG_LEVELS)]
    outputs = {name: whole.get_layer(name).output for name in names}
    features = keras.Model(whole.input, outputs, name="vgg16")
    features.trainable = weights is None
    return features


def residual_encoder(*, weights: str | None = None) -> keras.Model:
    """Dahl's residual encoder on VGG-16 [1].

    Args:
        weights: of VGG-16, as `NetworkConfig.extractor_weights`: "imagenet" (Keras's own
            download) or the path of a `.weights.h5` or `.h5` file of VGG-16 without its
            top, both frozen; None = random, and trained with the rest.

    Returns:
        luminance (B, H, W, 1) in [-1, 1], H and W multiples of 8 → ab (B, H, W, 2), tanh.

    Raises:
        ValueError: the weights are missing, or not those of VGG-16.
    """

    def convolution(x: Tensor, filters: int, kernel: int, name: str) -> Tensor:
        x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, name=name)(x)
        x = BatchNormalization(name=f"{name}_bn")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    def add(x: Tensor, level: Tensor, name: str) -> Tensor:
        level = BatchNormalization(name=f"{name}_bn")(level)
        return layers.Add(name=f"{name}_add")([x, level])

    luminance = keras.Input((None, None, 1), name="luminance")
    gray = ops.repeat((luminance + 1) * 127.5, 3, axis=-1)  # VGG's preprocessing takes 0..255
    image = keras.applications.vgg16.preprocess_input(gray)
    levels = _vgg16(weights)(image)
    x = BatchNormalization(name=f"{_VGG_DEEPEST}_bn")(levels[_VGG_DEEPEST])
    x = convolution(x, 256, 1, "decoder_conv1")
    for i, (name, filters) in enumerate(_VGG_LEVELS, start=2):
        x = layers.UpSampling2D(2, interpolation="bilinear", name=f"decoder_up{i}")(x)
        x = convolution(add(x, levels[name], name), filters, 3, f"decoder_conv{i}")
    x = convolution(add(x, image, "image"), 3, 3, "decoder_conv5")
    ab = layers.Conv2D(2, 3, padding="same", activation="tanh", dtype="float32", name="ab")(x)
    return keras.Model({"luminance": luminance}, {"ab": ab}, name="residual_encoder")


# ----------------------------------------------------------------------- colours as classes


def colorful(*, width: float = 1.0) -> keras.Model:
    """The eight blocks of Zhang, Isola and Efros [3].

    Args:
        width: the published filters, times this.

    Returns:
        luminance (B, H, W, 1) in [-1, 1], H and W multiples of 8 → ab_logits
        (B, H / 4, W / 4, 313) over `color.AB_BINS`.
    """
    # Not the default: a uniform initialisation makes colours overflow (see the module's text).
    options = {"padding": "same", "kernel_initializer": "glorot_normal"}
    luminance = keras.Input((None, None, 1), name="luminance")
    x = luminance
    for block, (filters, convolutions, stride, dilation) in enumerate(_COLORFUL_BLOCKS, start=1):
        for i in range(1, convolutions + 1):
            x = layers.Conv2D(
                _scaled(filters, width),
                3,
                strides=stride if i == convolutions else 1,
                dilation_rate=dilation,
                activation="relu",
                name=f"conv{block}_{i}",
                **options,
            )(x)
        x = BatchNormalization(name=f"conv{block}_bn")(x)
    last = _scaled(_COLORFUL_LAST, width)
    x = layers.Conv2DTranspose(last, 4, strides=2, activation="relu", name="conv8_1", **options)(x)
    for i in (2, 3):
        x = layers.Conv2D(last, 3, activation="relu", name=f"conv8_{i}", **options)(x)
    logits = layers.Conv2D(len(AB_BINS), 1, dtype="float32", name="ab_logits", **options)(x)
    return keras.Model({"luminance": luminance}, {"ab_logits": logits}, name="colorful")


# ------------------------------------------------------------------------- conditional GAN


def _join(inputs: Mapping[str, Tensor], width: float) -> Tensor:
    """Each input through a convolution of its own, then all of them in one tensor."""
    entries = []
    for name, x in inputs.items():
        filters = _scaled(_GAN_ENTRY, width)
        x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_conv")(x)
        entries.append(layers.LeakyReLU(_GAN_SLOPE, name=f"{name}_act")(x))
    return layers.Concatenate(name="join")(entries)


def _encode(x: Tensor, width: float, *, normalized: bool) -> list[Tensor]:
    """`x` and the output of each strided convolution, at strides 1, 2, 4, 8 and 16."""
    outputs = [x]
    for i, filters in enumerate(_GAN_ENCODER, start=1):
        name = f"encoder_conv{i}"
        x = layers.Conv2D(
            _scaled(filters, width), 4, 2, padding="same", use_bias=not normalized, name=name
        )(x)
        if normalized:
            x = BatchNormalization(name=f"{name}_bn")(x)
        x = layers.LeakyReLU(_GAN_SLOPE, name=f"{name}_act")(x)
        outputs.append(x)
    return outputs


def unet_gan(*, width: float = 1.0) -> keras.Model:
    """The generator of the GAN conditioned on the mask: eleven convolutions.

    Args:
        width: filters of all layers but the last, times this.

    Returns:
        luminance (B, H, W, 1) in [-1, 1] and mask (B, H, W, 1), H and W multiples of 16 →
        ab (B, H, W, 2), tanh.
    """
    inputs = {name: keras.Input((None, None, 1), name=name) for name in ("luminance", "mask")}
    *skips, x = _encode(_join(inputs, width), width, normalized=True)
    for i, skip in enumerate(reversed(skips), start=1):
        name = f"decoder_conv{i}"
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"decoder_up{i}")(x)
        x = layers.Conv2D(skip.shape[-1], 3, padding="same", use_bias=False, name=name)(x)
        x = BatchNormalization(name=f"{name}_bn")(x)
        x = layers.ReLU(name=f"{name}_act")(x)
        x = layers.Add(name=f"decoder_skip{i}")([x, skip])
    ab = layers.Conv2D(2, 3, padding="same", activation="tanh", dtype="float32", name="ab")(x)
    return keras.Model(inputs, {"ab": ab}, name="unet_gan")


def unet_discriminator(*, width: float = 1.0) -> keras.Model:
    """The discriminator that goes with `unet_gan`: is each patch's colour real?

    Args:
        width: filters of all layers but the last, times this.

    Returns:
        luminance (B, H, W, 1) in [-1, 1], ab (B, H, W, 2) true or generated, mask
        (B, H, W, 1), H and W multiples of 16 → real_logits (B, H / 16, W / 16, 1).
    """
    channels = {"luminance": 1, "ab": 2, "mask": 1}
    inputs = {name: keras.Input((None, None, c), name=name) for name, c in channels.items()}
    x = _encode(_join(inputs, width), width, normalized=False)[-1]
    logits = layers.Conv2D(1, 3, padding="same", dtype="float32", name="real_logits")(x)
    return keras.Model(inputs, {"real_logits": logits}, name="unet_discriminator")
