"""What a decoder stage is told of mask and hints, at its own stride.

A network that gets hints through the first layer of its encoder alone hardly learns to follow
them: a few pixels have to find their way through all layers, and to be compared with the rest of
the photograph on the way. So each stage of the decoder gets, for every cell, what a joint bilateral
filter [1] would say of the hints around it, within windows of several sizes:

    plain       the mean of the colours known in the window, and whether there are any;
    bilateral   the same mean, each hint weighed by how alike in luminance it is to the cell, and
                the mean of these weights: 0 where no hint is alike, 1 where all have the cell's
                own luminance.

What to make of that, where an object ends and a colour is to stop, is the network's to learn.

The bilateral sums are those of a bilateral grid [2]: hints are splatted into slices of luminance,
each slice is averaged over the window, and a cell reads the slices at its own luminance. Shares of
slices are compared by the cosine between them: a luminance is as alike to itself between two slices
as in the middle of one.

Conventions
    `luminance` (B, H, W, 1) in [-1, 1]; `mask` (B, H, W, 1); `hints` (B, H, W, 3) = a / 110,
    b / 110, indicator. Strides divide H and W.

References
    [1] G. Petschnigg et al. "Digital Photography with Flash and No-Flash Image Pairs".
        SIGGRAPH 2004.
    [2] J. Chen, S. Paris, F. Durand. "Real-time Edge-Aware Image Processing with the Bilateral
        Grid". SIGGRAPH 2007.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

Tensor = Any

WINDOWS = (1, 3, 7, 15)  # cells; at stride 16 the widest sees 112 pixels each way
SLICES = 6  # of luminance, 20 units of L apart
GAIN = 8.0  # ab / 110 is small beside features of unit variance, and would be learnt slowly
_NOTHING = 1e-6  # a share of a window below which it holds no hint


def pool_conditions(
    luminance: Tensor, conditions: Mapping[str, Tensor], strides: Sequence[int]
) -> dict[int, dict[str, Tensor]]:
    """Mask and hints as decoder stages take them.

    Args:
        luminance: of the photographs.
        conditions: `mask`, `hints`, both or none.
        strides: of the stages, each a multiple of the smallest; perhaps none.

    Returns:
        stride → name → (B, H / stride, W / stride, C): of the mask C = 1, the share of a cell
        that is coloured; of the hints C = 24, for each window the two means and what backs them,
        all 0 where there are no hints.
    """
    pooled: dict[int, dict[str, Tensor]] = {stride: {} for stride in strides}
    if "mask" in conditions:
        for stride in strides:
            pooled[stride]["mask"] = ops.average_pool(conditions["mask"], stride, stride)
    if "hints" in conditions and strides:
        finest = min(strides)
        slices = _slices(luminance)
        splat = _splatted(conditions["hints"], _of_length_1(slices))
        splat, slices = (ops.average_pool(x, finest, finest) for x in (splat, slices))
        for stride in strides:
            step = stride // finest
            cells = [ops.average_pool(x, step, step) if step > 1 else x for x in (splat, slices)]
            pooled[stride]["hints"] = _hint_features(*cells)
    return pooled


def _slices(luminance: Tensor) -> Tensor:
    """How much of each slice's luminance a pixel has, (B, H, W, SLICES), of sum 1."""
    place = (luminance + 1) / 2 * (SLICES - 1)
    return ops.maximum(1 - ops.abs(place - ops.arange(SLICES, dtype="float32")), 0)


def _of_length_1(slices: Tensor) -> Tensor:
    return slices / ops.sqrt(ops.sum(ops.square(slices), axis=-1, keepdims=True))


def _splatted(hints: Tensor, slices: Tensor) -> Tensor:
    """Indicator, a and b of the hints, plain and in the slices they belong to.

    Returns:
        (B, H, W, 3 · (1 + SLICES)).
    """
    known = hints[..., 2:]
    values = (known, hints[..., :1] * known, hints[..., 1:2] * known)
    return ops.concatenate([*values, *(value * slices for value in values)], axis=-1)


def _hint_features(splat: Tensor, slices: Tensor) -> Tensor:
    """Plain and bilateral means over each window, and what backs them, (B, h, w, 24)."""
    own, features = _of_length_1(slices), []
    for window in WINDOWS:
        near = ops.average_pool(splat, window, 1, padding="same") if window > 1 else splat
        present, *ab = (near[..., i : i + 1] for i in range(3))
        sums = [near[..., 3 + i * SLICES : 3 + (i + 1) * SLICES] for i in range(3)]
        alike, *alike_ab = (ops.sum(x * own, axis=-1, keepdims=True) for x in sums)
        features += [GAIN * x / ops.maximum(present, _NOTHING) for x in ab]
        features += [ops.cast(present > _NOTHING, "float32")]
        features += [GAIN * x / ops.maximum(alike, _NOTHING) for x in alike_ab]
        features += [alike / ops.maximum(present, _NOTHING)]
    return ops.concatenate(features, axis=-1)
