"""The measuring stick: how far a coloured photograph is from the true one.

Every metric acts on what a user gets to see: `true` and `predicted` are photographs as sRGB
`uint8`, `(H, W, 3)`, after rounding; anything else, or two shapes, is a ValueError that names
the argument. Lab is CIE L*a*b* (D65, 2°) of those bytes by scikit-image and not by the package's
own colour code: the measure must not depend on what it measures. Gray bytes (R = G = B) have
a = b = 0 exactly. Conversions are remembered, by content, for the last two photographs: all
metrics of a pair together convert each once. No figure is honest alone: PSNR, SSIM, ΔE and AuC
reward gray where colour is uncertain, colourfulness rewards any colour.

**One convention for photographs and sets.** Each figure is a numerator over a denominator
(`Ratio`); a set's figure is the sum of numerators over the sum of denominators. A plain metric
returns a float and has denominator 1: its set figure is the mean over photographs. A metric that
only some pixels can answer (coloured ones, edges, rare classes) returns the `Ratio` and is
pooled; a photograph without such pixels is 0/0, reads NaN and adds nothing. `METRICS` is the
table; `measure` makes one photograph's row, `summarise` the set's figures. The Fréchet distance
exists for sets only: it is in the table, but not in the rows.

References:
    [1] Wang et al., "Image quality assessment: from error visibility [...]", IEEE TIP 13(4), 2004.
    [2] Sharma et al., "The CIEDE2000 color-difference formula", Color Res. Appl. 30(1), 2005.
    [3] Hasler & Süsstrunk, "Measuring colourfulness in natural images", Proc. SPIE 5007, 2003.
    [4] Kang et al., "DDColor", ICCV 2023; in its code basicsr/metrics/colorfulness.py.
    [5] Zhang et al., "Colorful image colorization", ECCV 2016.
    [6] Heusel et al., "GANs trained by a two time-scale update rule", NeurIPS 2017.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, ndimage, spatial
from skimage import color, feature
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

PSNR_CEILING = 100.0  # dB; one gray level in one channel of one pixel of 256×256 is 101
SSIM_SIGMA, SSIM_WINDOW = 1.5, 11  # pixels [1]; the window is scikit-image's cut at 3.5 σ
AUC_LIMIT = 150.0  # Lab units, the last threshold of [5]
GRAY_CHROMA = 5.0  # Lab units; below it a pixel passes for gray
EDGE_SIGMA, EDGE_CORE, EDGE_REACH = 1.0, 2.0, 6.0  # pixels; see `edge_bleeding`
EDGE_LIGHTNESS_STEP, EDGE_COLOR_STEP, EDGE_SHARE = 10.0, 20.0, 0.5  # Lab units, units, share

RGB = NDArray[np.uint8]
Floats = NDArray[np.float64]


class Ratio(NamedTuple):
    """A figure that is pooled over a set as Σ numerator / Σ denominator."""

    numerator: float
    denominator: float

    @property
    def value(self) -> float:
        """The quotient; 0/0 is NaN (nothing to measure), x/0 infinite."""
        if self.denominator:
            return self.numerator / self.denominator
        return math.inf if self.numerator else math.nan


def psnr(true: RGB, predicted: RGB) -> float:
    """Peak signal-to-noise ratio over all channels of sRGB, in dB, with peak 255.

    Capped at 100 dB, identical photographs included: infinity would swallow a set's mean.
    """
    _check(true=true, predicted=predicted)
    with np.errstate(divide="ignore"):
        return min(float(peak_signal_noise_ratio(true, predicted, data_range=255)), PSNR_CEILING)


def psnr_gain(true: RGB, predicted: RGB, gray: RGB) -> Ratio:
    """PSNR less that of the gray picture, in dB; 0/0 where the truth is that gray itself.

    There it would be the distance from a ceiling, and one such photograph the mean of its set.
    """
    if np.array_equal(true, gray):
        return Ratio(0.0, 0.0)
    return Ratio(psnr(true, predicted) - psnr(true, gray), 1.0)


def ssim(true: RGB, predicted: RGB) -> float:
    """Structural similarity [1], the mean of that of R, G and B, in [-1, 1].

    Gaussian 11×11 window with σ = 1.5, population covariance, data range 255, as in the paper
    (scikit-image's defaults differ). Photographs under 11×11 are a ValueError.
    """
    _check(true=true, predicted=predicted)
    if min(true.shape[:2]) < SSIM_WINDOW:
        raise ValueError(f"true: expected {SSIM_WINDOW} pixels a side, received {true.shape}")
    paper = {"gaussian_weights": True, "sigma": SSIM_SIGMA, "use_sample_covariance": False}
    return float(structural_similarity(true, predicted, data_range=255, channel_axis=-1, **paper))


def delta_e(true: RGB, predicted: RGB) -> float:
    """Mean CIEDE2000 colour difference [2] of the pixels; about 1 is just noticeable."""
    _check(true=true, predicted=predicted)
    return float(color.deltaE_ciede2000(_lab(true), _lab(predicted)).mean())


def colorfulness(rgb: RGB, *, absolute: bool = False) -> float:
    """Colourfulness M3 of Hasler & Süsstrunk [3]: 0 for gray, about 80 and up for vivid.

    With rg = R - G and yb = (R + G)/2 - B on the bytes 0..255 it is
    `sqrt(σ_rg² + σ_yb²) + 0.3 sqrt(μ_rg² + μ_yb²)`, population σ, signed μ.

    Args:
        rgb: sRGB uint8, `(H, W, 3)`.
        absolute: take |rg| and |yb| first, as DDColor's code [4] and others do. That changes the
            figure wherever opposite colours meet: never compare one variant with the other.
    """
    _check(rgb=rgb)
    red, green, blue = np.moveaxis(rgb.astype(np.float64), -1, 0)
    opponents = np.stack([red - green, (red + green) / 2 - blue]).reshape(2, -1)
    if absolute:
        opponents = np.abs(opponents)
    return float(np.hypot(*opponents.std(axis=1)) + 0.3 * np.hypot(*opponents.mean(axis=1)))


def colorfulness_difference(true: RGB, predicted: RGB, *, absolute: bool = False) -> float:
    """Colourfulness, of either variant, of the prediction minus the truth's: below 0 is faded.

    It keeps its sign, so its mean over a set is the difference of the set's two means.
    """
    _check(true=true, predicted=predicted)
    return colorfulness(predicted, absolute=absolute) - colorfulness(true, absolute=absolute)


def auc(true: RGB, predicted: RGB) -> float:
    """Area under the curve of the ab error [5], in [0, 1].

    The curve is the share of pixels whose Euclidean ab error is at most t, for t from 0 to 150;
    its area is divided by 150. The integral is exact, a pixel of error e adds `max(0, 1 - e/150)`;
    the mean over the 151 whole thresholds differs by less than 1/150.
    """
    _check(true=true, predicted=predicted)
    return float(_closeness(true, predicted).mean())


def auc_rebalanced(
    true: RGB, predicted: RGB, *, bins: ArrayLike, class_weights: ArrayLike
) -> Ratio:
    """Class-rebalanced AuC [5]: each pixel counts by how rare the bin of its true ab is.

    Pooled over the set, `Σ w max(0, 1 - e/150) / Σ w`: a mean of the photographs' own quotients
    would give back to the common colours what the weights take from them.

    Args:
        bins: ab centres in Lab units, `(Q, 2)`; 313 of them in [5].
        class_weights: `(Q,)`, at least 0: 1/p of a prior, or `rebalancing_weights` of the whole
            set, whose figure is then the plain mean of the AuC of each class.
    """
    _check(true=true, predicted=predicted)
    centers = _floats("bins", bins, "Q", 2)
    weights = _floats("class_weights", class_weights, len(centers), low=0)
    pixels = weights[_bin_index(true, centers)]
    return Ratio(float((pixels * _closeness(true, predicted)).sum()), float(pixels.sum()))


def rebalancing_weights(photographs: Iterable[RGB], *, bins: ArrayLike) -> Floats:
    """Class weights 1/p [5, eq. 4, λ = 0] from true photographs and bins `(Q, 2)`, `(Q,)`.

    They average 1 over the pixels; bins that never occur get 0.
    """
    centers = _floats("bins", bins, "Q", 2)
    counts = np.zeros(len(centers))
    for rgb in photographs:
        _check(photographs=rgb)
        counts += np.bincount(_bin_index(rgb, centers).ravel(), minlength=len(centers))
    if not counts.any():
        raise ValueError("photographs: expected at least one, received none")
    fair = counts.sum() / np.count_nonzero(counts)
    return np.divide(fair, counts, out=np.zeros_like(counts), where=counts > 0)


def bin_accuracy(true: RGB, predicted: RGB, *, bins: ArrayLike) -> float:
    """Share of pixels whose nearest ab bin, of centres `(Q, 2)`, is the truth's, in [0, 1]."""
    _check(true=true, predicted=predicted)
    centers = _floats("bins", bins, "Q", 2)
    return float((_bin_index(true, centers) == _bin_index(predicted, centers)).mean())


def gray_share(true: RGB, predicted: RGB) -> Ratio:
    """Share of the truth's coloured pixels (|ab| >= 5) that are left gray (|ab| < 5)."""
    _check(true=true, predicted=predicted)
    colored = _chroma(true) >= GRAY_CHROMA
    left_gray = (_chroma(predicted) < GRAY_CHROMA)[colored]
    return Ratio(float(left_gray.sum()), float(left_gray.size))


def edge_bleeding(true: RGB, predicted: RGB) -> Ratio:
    """How much of the colour change that belongs at an edge happens beside it, in [0, 1].

    Along the normal of an edge, `core` is the change of ab from 2 pixels before the edge to 2
    after it, `span` the change from 6 before to 6 after; compare equal sizes only. The projection
    `core · span / |span|²`, clipped to [0, 1], is the share of the change that happens at the
    edge: 1 for a clean step, 1/3 for a ramp from side to side, 0 for a step elsewhere. Bleeding
    is the truth's share minus the prediction's, where positive, as a mean over the edges.

    It is 0 for the truth and for any other colours as sharp: each share is relative to the
    picture's own span, so hue and saturation do not count, and relative to the truth, so JPEG's
    coarse chroma is not held against the prediction. It grows as colour is smeared over edges.

    Edges are crests of the truth's L (Canny, σ = 1) with a change of at least 10 in L over the
    core, and of 20 in ab over the span, half of it in the core. Luminance must have the edge
    too: it is all that a colorizer sees, so other colour edges cannot be known, and it draws the
    outline over which colour is seen to bleed. Where the prediction's own span is under 5, the
    edge is left out: all gray is 0/0, not a perfect 0, and charged by `gray_share`.
    """
    _check(true=true, predicted=predicted)
    points, normals = _edges(_lab(true)[..., 0])
    core, span, true_share = _changes(_lab(true), points, normals)
    strong = (np.abs(core[0]) >= EDGE_LIGHTNESS_STEP) & (np.hypot(*span[1:]) >= EDGE_COLOR_STEP)
    _, span, share = _changes(_lab(predicted), points, normals)
    measured = strong & (true_share >= EDGE_SHARE) & (np.hypot(*span[1:]) >= GRAY_CHROMA)
    bleeding = np.maximum(true_share - share, 0)[measured]
    return Ratio(float(bleeding.sum()), float(bleeding.size))


def leakage(predicted: RGB, mask: ArrayLike) -> Ratio:
    """Mean |ab| outside the mask over the mean inside; 0 if all outside is exactly gray.

    Args:
        predicted: sRGB uint8, `(H, W, 3)`.
        mask: `(H, W)`, 0 outside and above 0 inside; 0/0 if it has not both.
    """
    _check(predicted=predicted)
    return ab_leakage(_lab(predicted)[..., 1:], mask)


def ab_leakage(ab: ArrayLike, mask: ArrayLike) -> Ratio:
    """`leakage` of colours that were not merged yet: ab `(H, W, 2)` in Lab units.

    A set's figure is the sum of the photographs' means outside over the sum of their means
    inside: each photograph counts alike, however much of it the mask covers.
    """
    chroma = np.hypot(*np.moveaxis(_floats("ab", ab, "H", "W", 2), -1, 0))
    inside = _floats("mask", mask, *chroma.shape, low=0) > 0
    if inside.all() or not inside.any():
        return Ratio(0.0, 0.0)
    return Ratio(float(chroma[~inside].mean()), float(chroma[inside].mean()))


def feature_statistics(features: ArrayLike) -> tuple[Floats, Floats]:
    """Mean `(D,)` and sample covariance `(D, D)` of features `(N, D)`, N >= 2, in float64."""
    rows = _floats("features", features, "N", "D")
    if len(rows) < 2:
        raise ValueError(f"features: expected at least 2 rows, received shape {rows.shape}")
    return rows.mean(axis=0), np.atleast_2d(np.cov(rows, rowvar=False))


def frechet_distance(mu1: ArrayLike, cov1: ArrayLike, mu2: ArrayLike, cov2: ArrayLike) -> float:
    """Squared Fréchet distance of two Gaussians, the "FID" [6]; needs `feature_statistics`.

    `|mu1 - mu2|² + Tr(cov1 + cov2 - 2 (cov1 cov2)^½)` of means `(D,)` and covariances `(D, D)`,
    symmetric and positive semi-definite. The last trace is taken as the sum of the singular
    values of `F1ᵀ F2` with `cov = F Fᵀ`, which it equals: with fewer photographs than features
    the product is singular and not symmetric, and its own root (`sqrtm`) noise. Few photographs
    bias the distance upwards: compare equal numbers only.
    """
    mean1 = _floats("mu1", mu1, "D")
    mean2 = _floats("mu2", mu2, len(mean1))
    factor1, trace1 = _factor_and_trace("cov1", cov1, len(mean1))
    factor2, trace2 = _factor_and_trace("cov2", cov2, len(mean1))
    overlap = linalg.svdvals(factor1.T @ factor2).sum()
    return max(float(((mean1 - mean2) ** 2).sum() + trace1 + trace2 - 2 * overlap), 0.0)


@dataclass(frozen=True)
class Metric:
    """A line of `METRICS`: what computes a figure, and how to read it."""

    function: Callable[..., float | Ratio]  # of true, predicted and the options it needs
    better: Literal["higher", "lower", "zero", "none"]  # none: compare with the truth's own
    unit: str = ""
    needs: tuple[str, ...] = ()  # options of `measure`
    per_image: bool = True  # False: exists for sets only, `measure` skips it


_absolute_difference = partial(colorfulness_difference, absolute=True)
METRICS: dict[str, Metric] = {
    "psnr": Metric(psnr, "higher", "dB"),
    "ssim": Metric(ssim, "higher"),
    "delta_e": Metric(delta_e, "lower", "ΔE00"),
    "colorfulness": Metric(lambda _, rgb: colorfulness(rgb), "none"),
    "colorfulness_difference": Metric(colorfulness_difference, "zero"),
    "colorfulness_absolute": Metric(lambda _, rgb: colorfulness(rgb, absolute=True), "none"),
    "colorfulness_absolute_difference": Metric(_absolute_difference, "zero"),
    "auc": Metric(auc, "higher"),
    "auc_rebalanced": Metric(auc_rebalanced, "higher", needs=("bins", "class_weights")),
    "bin_accuracy": Metric(bin_accuracy, "higher", needs=("bins",)),
    "gray_share": Metric(gray_share, "lower"),
    "edge_bleeding": Metric(edge_bleeding, "lower"),
    "leakage": Metric(lambda _, rgb, mask: leakage(rgb, mask), "lower", needs=("mask",)),
    "frechet_distance": Metric(frechet_distance, "lower", per_image=False),
}


def measure(
    true: RGB,
    predicted: RGB,
    *,
    names: Collection[str] = METRICS.keys(),
    **options: ArrayLike | None,
) -> dict[str, Ratio]:
    """Measure one photograph: metric name to `Ratio`, whose `.value` is the photograph's own.

    Args:
        names: of the metrics wanted; others cost nothing.
        **options: `bins` and `class_weights` as for `auc_rebalanced`, `mask` as for `leakage`.
            Metrics that need one that is absent or None are left out.
    """
    options = {name: option for name, option in options.items() if option is not None}
    known = sorted({need for metric in METRICS.values() for need in metric.needs})
    if not options.keys() <= set(known):
        raise ValueError(f"options: expected any of {known}, received {sorted(options)}")
    row = {}
    for name, metric in METRICS.items():
        if name in names and metric.per_image and options.keys() >= set(metric.needs):
            figure = metric.function(true, predicted, **{key: options[key] for key in metric.needs})
            row[name] = figure if isinstance(figure, Ratio) else Ratio(figure, 1.0)
    return row


def summarise(rows: Iterable[Mapping[str, Ratio]]) -> dict[str, float]:
    """Figures of a set from the rows of its photographs: Σ numerator / Σ denominator.

    Correctly rounded, hence the same in any order; NaN where no photograph could answer. No
    rows, or rows of different metrics, are a ValueError.
    """
    table = list(rows)
    if not table or any(row.keys() != table[0].keys() for row in table):
        raise ValueError(f"rows: expected 1 or more, of the same metrics, received {len(table)}")
    columns = {name: zip(*(row[name] for row in table), strict=True) for name in table[0]}
    return {name: Ratio(*map(math.fsum, column)).value for name, column in columns.items()}


def _check(**photographs: RGB) -> None:
    first = next(iter(photographs.values()))
    for name, rgb in photographs.items():
        kind, shape = getattr(rgb, "dtype", type(rgb).__name__), getattr(rgb, "shape", (0,))
        if kind != np.uint8 or len(shape) != 3 or shape[-1] != 3 or 0 in shape:
            raise ValueError(f"{name}: expected uint8 of shape (H, W, 3), received {kind} {shape}")
        if shape != first.shape:
            raise ValueError(f"{name}: expected true's shape {first.shape}, received {shape}")


def _floats(name: str, values: ArrayLike, *shape: int | str, low: float = -math.inf) -> Floats:
    """As float64, finite, at least `low`, and of the shape, in which a letter is any size."""
    array = np.asarray(values, np.float64)
    real = [n if isinstance(n, int) else m for n, m in zip(shape, array.shape, strict=False)]
    fits = array.shape == tuple(real) and len(real) == len(shape) and array.size > 0
    if not fits or not (np.isfinite(array) & (array >= low)).all():
        received = f"shape {array.shape}, lowest {array.min(initial=math.inf)}"
        raise ValueError(f"{name}: expected {shape}, finite, >= {low}, received {received}")
    return array


def _remember_two(function: Callable[..., NDArray[Any]]) -> Callable[..., NDArray[Any]]:
    """Remember the results for the last two photographs, by the content of the arguments."""

    @lru_cache(maxsize=2)
    def compute(*keys: tuple[bytes, str, tuple[int, ...]]) -> NDArray[Any]:
        result = function(*(np.frombuffer(data, kind).reshape(size) for data, kind, size in keys))
        result.flags.writeable = False  # every caller gets the same array
        return result

    return lambda *arrays: compute(*((a.tobytes(), a.dtype.str, a.shape) for a in arrays))


@_remember_two
def _lab(rgb: RGB) -> Floats:
    lab = color.rgb2lab(rgb)
    lab[(rgb == rgb[..., :1]).all(axis=-1), 1:] = 0  # scikit-image tints gray by up to 0.005
    return lab


def _chroma(rgb: RGB) -> Floats:
    return np.hypot(_lab(rgb)[..., 1], _lab(rgb)[..., 2])


def _closeness(true: RGB, predicted: RGB) -> Floats:
    error = _lab(true) - _lab(predicted)
    return np.maximum(1 - np.hypot(error[..., 1], error[..., 2]) / AUC_LIMIT, 0)


@_remember_two
def _bin_index(rgb: RGB, centers: Floats) -> NDArray[np.int64]:
    return spatial.KDTree(centers).query(_lab(rgb)[..., 1:])[1]


def _edges(lightness: Floats) -> tuple[Floats, Floats]:
    """Crests, of any height, of the gradient of L and the unit normals there, both `(2, N)`."""
    crests = feature.canny(lightness, sigma=EDGE_SIGMA, low_threshold=1, high_threshold=1)
    margin = math.ceil(EDGE_REACH)
    points = np.argwhere(crests[margin:-margin, margin:-margin]).T + margin
    smooth = ndimage.gaussian_filter(lightness, EDGE_SIGMA)
    gradient = np.stack([ndimage.sobel(smooth, axis=axis)[tuple(points)] for axis in (0, 1)])
    return points.astype(np.float64), gradient / np.hypot(*gradient)


def _changes(lab: Floats, points: Floats, normals: Floats) -> tuple[Floats, Floats, Floats]:
    """Change of L, a, b over the core and over the span, `(3, N)`, and the core's share of ab."""
    offsets = np.array([-EDGE_REACH, -EDGE_CORE, EDGE_CORE, EDGE_REACH])[:, None]
    places = points[:, None] + offsets * normals[:, None]
    channels = [ndimage.map_coordinates(c, places, order=1) for c in np.moveaxis(lab, -1, 0)]
    before, core_start, core_end, after = np.stack(channels, axis=1)
    core, span = core_end - core_start, after - before
    squared = np.maximum((span[1:] ** 2).sum(axis=0), np.finfo(np.float64).tiny)
    return core, span, np.clip((core[1:] * span[1:]).sum(axis=0) / squared, 0, 1)


def _factor_and_trace(name: str, covariance: ArrayLike, size: int) -> tuple[Floats, float]:
    """A factor F `(D, rank)` with covariance = F Fᵀ, and the trace."""
    matrix = _floats(name, covariance, size, size)
    values, vectors = linalg.eigh(matrix)
    scale = np.abs(values).max()
    if not np.allclose(matrix, matrix.T, atol=1e-8 * scale) or values[0] < -1e-6 * scale:
        raise ValueError(f"{name}: expected a covariance, received eigenvalues from {values[0]:g}")
    # A root lifts rounding errors of 1e-16 to 1e-8: what is within them is left out.
    kept = values >= len(values) * np.finfo(np.float64).eps * scale
    return vectors[:, kept] * np.sqrt(values[kept]), float(values[kept].sum())
