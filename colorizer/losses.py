"""Losses; those of colours are aware of the mask.

Conventions
    `ab` is the truth, (B, H, W, 2) in network units (ab / 110); `mask` is (B, H, W, 1) in
    [0, 1] or None for "everything". A prediction at a lower resolution meets the truth's
    mean over the same area. Each loss is a scalar, a mean over the coloured area.
    `rgb_loss` compares whole pictures, sRGB in [0, 1]; `perceptual_loss` compares what a network
    sees in them; `realness_loss` compares none.

References
    [1] R. Zhang, P. Isola, A. A. Efros. "Colorful Image Colorization". ECCV 2016.
    [2] P. J. Huber. "Robust Estimation of a Location Parameter". 1964.
    [3] I. Goodfellow et al. "Generative Adversarial Nets". NeurIPS 2014, section 3: the
        generator's loss that does not saturate.
    [4] R. Zhang, P. Isola, A. A. Efros, E. Shechtman, O. Wang. "The Unreasonable Effectiveness of
        Deep Features as a Perceptual Metric". CVPR 2018: here without its learned weights.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

from colorizer.color import AB_SCALE, SIGMA, encode_ab, lab_to_rgb

Tensor = Any

LOG_FLOOR = 1 / AB_SCALE**2  # an error of one unit of Lab: below it, nobody sees a gain


def _like(x: Tensor, prediction: Tensor) -> Tensor:
    """Averages (B, H, W, C) down to the prediction's resolution."""
    stride = x.shape[1] // prediction.shape[1]
    x = ops.cast(x, "float32")
    return ops.average_pool(x, stride, stride) if stride > 1 else x


def _mean_inside(
    values: Tensor, mask: Tensor | None, prediction: Tensor, axis: tuple[int, ...] | None = None
) -> Tensor:
    if mask is None:
        return ops.mean(values, axis=axis)
    inside = _like(mask, prediction)[..., 0]
    return ops.sum(values * inside, axis=axis) / ops.maximum(ops.sum(inside, axis=axis), 1.0)


def rebalanced_cross_entropy(
    logits: Tensor,
    ab: Tensor,
    weights: Tensor,
    mask: Tensor | None = None,
    *,
    sigma: float = SIGMA,
) -> Tensor:
    """Cross-entropy with soft-encoded colours, weighted by the rarity of the nearest bin [1].

    Args:
        logits: (B, h, w, 313).
        ab: (B, H, W, 2) truth in network units, H a multiple of h.
        weights: (313,) class weights with mean 1 under the prior.
        mask: (B, H, W, 1) or None.
        sigma: of the soft encoding, in Lab units.
    """
    target = encode_ab(_like(ab, logits) * AB_SCALE, sigma=sigma)
    rarity = ops.take(weights, ops.argmax(target, axis=-1))
    entropy = -ops.sum(target * ops.log_softmax(ops.cast(logits, "float32")), axis=-1)
    return _mean_inside(rarity * entropy, mask, logits)


def regression_loss(
    predicted: Tensor,
    ab: Tensor,
    mask: Tensor | None = None,
    *,
    huber_delta: float | None = None,
    chroma_weighting: float = 0.0,
    log_scale: bool = False,
) -> Tensor:
    """Mean squared error of the colours, or Huber's loss [2] with the given δ.

    Args:
        predicted: (B, h, w, 2) in network units.
        ab: (B, H, W, 2) truth, H a multiple of h.
        mask: (B, H, W, 1) or None.
        huber_delta: where squared turns into absolute, in network units; None = squared.
        chroma_weighting: κ; a pixel weighs 1 + κ · its true chroma in network units, so that
            what is gray, most of the world, does not outvote what is not.
        log_scale: the mean of the logarithm of each photograph's own mean, as PSNR is: what
            halves an error counts alike in a pale photograph and in a vivid one.
    """
    true = _like(ab, predicted)
    error = ops.abs(ops.cast(predicted, "float32") - true)
    loss = ops.square(error)
    if huber_delta is not None:
        loss = ops.where(error <= huber_delta, loss / 2, huber_delta * (error - huber_delta / 2))
    loss = ops.mean(loss, axis=-1)
    if chroma_weighting:
        loss = loss * (1 + chroma_weighting * ops.norm(true, axis=-1))
    if log_scale:
        return ops.mean(ops.log(_mean_inside(loss, mask, predicted, axis=(1, 2)) + LOG_FLOOR))
    return _mean_inside(loss, mask, predicted)


def mask_loss(ab: Tensor, mask: Tensor, *, huber_delta: float | None = None) -> Tensor:
    """Pulls the colours outside the mask to zero: `regression_loss` towards gray, there.

    Args:
        ab: (B, h, w, 2) predicted colours in network units.
        mask: (B, H, W, 1), 1 = coloured; the loss acts where it is 0.
        huber_delta: as for `regression_loss`.
    """
    return regression_loss(ab, ops.zeros_like(ab), 1.0 - _like(mask, ab), huber_delta=huber_delta)


def rgb_loss(predicted: Tensor, rgb: Tensor) -> Tensor:
    """Mean squared error of pictures.

    Args:
        predicted: (B, h, w, 3) sRGB in [0, 1].
        rgb: (B, H, W, 3) truth, H and W the same multiple of h and w.

    Raises:
        ValueError: the sizes are not such multiples.
    """
    size, true_size = tuple(predicted.shape[1:3]), tuple(rgb.shape[1:3])
    stride = true_size[0] // size[0]
    if true_size != (stride * size[0], stride * size[1]):
        raise ValueError(
            f"the height and width of rgb must be a multiple of the predicted {size}. "
            f"Received: {true_size}"
        )
    return ops.mean(ops.square(ops.cast(predicted, "float32") - _like(rgb, predicted)))


def perceptual_loss(
    predicted: Tensor,
    ab: Tensor,
    luminance: Tensor,
    perceive: Callable[[Tensor], list[Tensor]],
    mask: Tensor | None = None,
) -> Tensor:
    """How different two pictures look to a network that knows the world [4].

    At each spot of each feature map the channels are brought to unit length; the loss is the
    squared distance of these vectors, a mean over coloured spots, then over maps: 0 to 4, of maps
    that are nowhere negative 0 to 2.

    Args:
        predicted: (B, h, w, 2) in network units; brought to the truth's size bilinearly.
        ab: (B, H, W, 2) truth.
        luminance: (B, H, W, 1) = L / 50 - 1, of both pictures.
        perceive: pictures (B, H, W, 3) in [-1, 1] → feature maps (B, h', w', C).
        mask: (B, H, W, 1), where the predicted colours are seen; outside, the true ones. None =
            everywhere.
    """
    ab = ops.cast(ab, "float32")
    seen = ops.image.resize(ops.cast(predicted, "float32"), ops.shape(ab)[1:3])
    if mask is not None:
        seen = mask * seen + (1 - mask) * ab
    lightness = (ops.cast(luminance, "float32") + 1) * 50

    def features(colors: Tensor) -> list[Tensor]:
        rgb = lab_to_rgb(ops.concatenate([lightness, colors * AB_SCALE], axis=-1))
        maps = perceive(rgb * 2 - 1)
        return [ops.normalize(ops.cast(each, "float32"), axis=-1, epsilon=1e-6) for each in maps]

    distances = [
        _mean_inside(ops.sum(ops.square(a - b), axis=-1), mask, a)
        for a, b in zip(features(seen), map(ops.stop_gradient, features(ab)), strict=True)
    ]
    return sum(distances) / len(distances)


def realness_loss(logits: Tensor, *, real: bool) -> Tensor:
    """Binary cross-entropy of a discriminator's logits with what they are wanted to say.

    With `real=True` on fakes it is the generator's loss [3].

    Args:
        logits: any shape; above 0 = taken for real.
        real: what is wanted.
    """
    logits = ops.cast(logits, "float32")
    wanted = ops.ones_like(logits) if real else ops.zeros_like(logits)
    return ops.mean(ops.binary_crossentropy(wanted, logits, from_logits=True))
