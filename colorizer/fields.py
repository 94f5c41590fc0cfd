"""The colours of a photograph at any size of it, a strip of rows at a time.

A network answers small; photographs are large. A *field* holds what is small, and gives the ab of
any rows of the photograph when it is asked, so that no full-size ab need be held whole:

- `ColorField`: within a small window ab is modelled as `ab = A · L + B` [1]; A and B, not the
  colours, are enlarged and applied to the full-size luminance, so colours follow the photograph's
  own edges.
- `HintedField`: another field, moved near each hint so that its pixel has exactly its colour.
- `SpreadField`: ab that is known at full size already, as `classical.levin_colorize` leaves it.

Conventions
    Luminance is (H, W) in [0, 100], ab (H, W, 2) in Lab units, both float32.

References
    [1] K. He, J. Sun. "Fast Guided Filter". arXiv:1505.00996, 2015.
    [2] D. Shepard. "A two-dimensional interpolation function for irregularly-spaced data".
        ACM National Conference 1968.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

# Fast guided filter [1], at working size: window radius in pixels, and the variance of the
# luminance (in [0, 1]) above which an edge counts as one.
GUIDE_RADIUS, GUIDE_EPSILON = 4, 1e-3
# How far a hint moves the colours around it beyond what the network made of it: σ in hint radii,
# and in units of L, so that it stops where the luminance changes.
HINT_REACH, HINT_CONTRAST = 1.5, 8.0
_HINT_TAIL = 3.0  # σ beyond which a hint has no more say: exp(-4.5) is a hundredth


@dataclasses.dataclass(frozen=True)
class ColorField:
    """The predicted colours of a photograph, ready for any size of it.

    Attributes:
        slope: (h, w, 2) A of `ab = A · L / 100 + B`.
        offset: (h, w, 2) B, in Lab units.
    """

    slope: np.ndarray
    offset: np.ndarray

    def rows(self, luminance: np.ndarray, top: int, height: int) -> np.ndarray:
        """The colours (rows, W, 2) of a strip of a photograph `height` pixels high.

        Args:
            luminance: (rows, W) in [0, 100], the strip.
            top: its first row.
            height: of the whole photograph.
        """
        scale = self.slope.shape[0] / height
        box = (0, top * scale, self.slope.shape[1], (top + len(luminance)) * scale)
        slope, offset = (_enlarge(c, luminance.shape, box) for c in (self.slope, self.offset))
        return slope * (luminance[..., None] / 100) + offset

    def transferred(self, gain: np.ndarray, shift: np.ndarray) -> "ColorField":
        """The field whose colours are `gain · ab + shift`, each of shape (2,)."""
        return ColorField(self.slope * gain, self.offset * gain + shift)


@dataclasses.dataclass(frozen=True)
class SpreadField:
    """Colours known at full size.

    Attributes:
        ab: (H, W, 2) in Lab units.
    """

    ab: np.ndarray

    def rows(self, luminance: np.ndarray, top: int, height: int) -> np.ndarray:
        """As `ColorField.rows`."""
        return self.ab[top : top + len(luminance)]


@dataclasses.dataclass(frozen=True)
class HintedField:
    """A field moved to meet hints.

    At a hint's own pixel the colour is the hint's. Around it the difference between the hint
    and what the field had there fades, over distance and over contrast in luminance; between
    hints it is Shepard's weighted mean [2] of theirs, which never leaves their range.

    Attributes:
        field: what is moved.
        x, y: (N,) int, columns and rows of the hints' pixels.
        reach: (N,) σ of their influence, in pixels.
        luminance: (N,) the photograph's, there.
        difference: (N, 2) hint less field, there.
        contrast: σ of their influence, in units of L.
    """

    field: ColorField | SpreadField
    x: np.ndarray
    y: np.ndarray
    reach: np.ndarray
    luminance: np.ndarray
    difference: np.ndarray
    contrast: float = HINT_CONTRAST

    def rows(self, luminance: np.ndarray, top: int, height: int) -> np.ndarray:
        """As `ColorField.rows`."""
        rows, width = luminance.shape
        weighted = np.zeros((rows, width, 2), "float32")
        total, strongest = np.zeros((2, rows, width), "float32")
        for i in range(len(self.x)):
            reach = int(np.ceil(_HINT_TAIL * self.reach[i]))
            across = slice(max(0, self.x[i] - reach), self.x[i] + reach + 1)
            down = slice(max(0, self.y[i] - top - reach), max(0, self.y[i] - top + reach + 1))
            influence, share = self._weights(luminance[down, across], i, top, down, across)
            weighted[down, across] += share[..., None] * self.difference[i]
            total[down, across] += share
            np.maximum(strongest[down, across], influence, out=strongest[down, across])
        moved = weighted * (strongest / np.maximum(total, np.finfo("float32").tiny))[..., None]
        return self.field.rows(luminance, top, height) + moved

    def _weights(
        self, luminance: np.ndarray, i: int, top: int, down: slice, across: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """Influence of hint `i` in [0, 1], 1 at its own pixel, and its share among others there."""
        y = np.arange(down.start, down.start + luminance.shape[0])[:, None] + (top - self.y[i])
        x = np.arange(across.start, across.start + luminance.shape[1])[None, :] - self.x[i]
        squared = (x * x + y * y).astype("float32")
        contrast = (luminance - self.luminance[i]) / self.contrast
        influence = np.exp(-0.5 * (squared / self.reach[i] ** 2 + contrast * contrast))
        # Shepard's weights have a pole at the hint, cut off where it outweighs hundreds of others.
        return influence, influence / (squared + 1e-8)


Field = ColorField | HintedField | SpreadField


def meet_hints(
    field: ColorField | SpreadField,
    luminance: np.ndarray,
    points: Sequence[tuple[float, float]],
    ab: np.ndarray,
    reach: np.ndarray,
    *,
    contrast: float = HINT_CONTRAST,
) -> HintedField:
    """Moves a field so that it has given colours at given pixels.

    Args:
        field: of the photograph.
        luminance: (H, W), the photograph's.
        points: (x, y) of N hints, in pixels named by their centres, each standing for the
            nearest; of two at the same pixel the later counts.
        ab: (N, 2) their colours.
        reach: (N,) σ of their influence, in pixels.
        contrast: σ of their influence, in units of L.
    """
    height, width = luminance.shape
    nearest = [(int(x + 0.5), int(y + 0.5)) for x, y in points]
    pixels = {(min(x, width - 1), min(y, height - 1)): i for i, (x, y) in enumerate(nearest)}
    kept = np.array(list(pixels.values()), int)
    x, y = (np.array([pixel[axis] for pixel in pixels], int) for axis in (0, 1))
    there = np.empty((len(kept), 2), "float32")
    for row in np.unique(y):
        on_row = y == row
        there[on_row] = field.rows(luminance[row : row + 1], int(row), height)[0, x[on_row]]
    values = (luminance[y, x], ab[kept] - there, contrast)
    return HintedField(field, x, y, np.maximum(reach[kept], 1.0), *values)


def resize(
    channel: np.ndarray,
    shape: tuple[int, ...],
    *,
    resample: Image.Resampling,
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """One float32 channel (H, W), or the part of it in `box`, brought to `shape`."""
    image = Image.fromarray(np.ascontiguousarray(channel, "float32"))
    return np.asarray(image.resize((shape[1], shape[0]), resample, box=box))


def _enlarge(
    field: np.ndarray, shape: tuple[int, ...], box: tuple[float, float, float, float]
) -> np.ndarray:
    # Float rounding must not carry the last strip's box over the border.
    box = (box[0], box[1], box[2], min(box[3], field.shape[0]))
    channels = [
        resize(field[..., i], shape, resample=Image.Resampling.BILINEAR, box=box)
        for i in range(field.shape[2])
    ]
    return np.stack(channels, axis=-1)


def guided_field(
    guide: np.ndarray,
    ab: np.ndarray,
    *,
    radius: int = GUIDE_RADIUS,
    epsilon: float = GUIDE_EPSILON,
) -> ColorField:
    """Models colours as locally linear in the luminance [1].

    Args:
        guide: (h, w) luminance in [0, 1].
        ab: (h, w, 2) colours in Lab units.
        radius: of the square window, in pixels.
        epsilon: regularisation; edges of less variance are smoothed over.
    """

    def mean(x: np.ndarray) -> np.ndarray:
        size = (2 * radius + 1,) * 2 + (1,) * (x.ndim - 2)
        return uniform_filter(x, size, mode="nearest")

    guide_mean, ab_mean = mean(guide), mean(ab)
    variance = mean(guide * guide) - guide_mean**2
    covariance = mean(guide[..., None] * ab) - guide_mean[..., None] * ab_mean
    slope = covariance / (variance + epsilon)[..., None]
    offset = ab_mean - slope * guide_mean[..., None]
    return ColorField(mean(slope), mean(offset))
