"""Photographs in, colour photographs out: arrays, files, folders.

    from colorizer.predict import colorize
    rgb = colorize(gray)

How a photograph is coloured
    1. Its luminance `L` is computed at full size, and brought to the *working size*, at
       which the network predicts the colours `ab`. What is in a photograph shows in a
       small picture of it; that keeps the cost of a photograph nearly independent of
       its size.
    2. The small `ab` is brought to full size by a fast guided filter [1]: within a small
       window it is modelled as `ab = A · L + B`, and the coefficients A and B, not the
       colours, are enlarged and applied to the full-size luminance. So colours follow
       the edges of the photograph instead of bleeding over them.
    3. `L` and `ab` are merged. `L` is never changed; where a colour leaves the sRGB
       gamut it is clipped.
    Full-size work is done in strips of rows, which bounds the memory.

Conventions
    Images are (H, W) or (H, W, 1) gray, or (H, W, 3) sRGB, `uint8`, `uint16`, or float in
    [0, 1]. What comes out is (H, W, 3) of the same dtype. Of a colour photograph only the
    luminance is used.

References
    [1] K. He, J. Sun. "Fast Guided Filter". arXiv:1505.00996, 2015.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

from colorizer import color, networks
from colorizer.photos import read_photo, write_photo
from colorizer.weights import DEFAULT_MODEL, load_pretrained

DEFAULT_VIVIDNESS = 0.5
DEFAULT_WORKING_SIZE = 256
MAX_ASPECT = 4  # the long side at working size, in short sides: a panorama is not enlarged
STRIP_PIXELS = 1 << 20
# Fast guided filter [1], at working size: window radius in pixels, and the variance of the
# luminance (in [0, 1]) above which an edge counts as one.
GUIDE_RADIUS, GUIDE_EPSILON = 4, 1e-3


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


def _resize(
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
        _resize(field[..., i], shape, resample=Image.Resampling.BILINEAR, box=box)
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


def _check_image(image: Any) -> np.ndarray:
    """The image as an (H, W, 1 or 3) array.

    Raises:
        ValueError: what is wrong with it.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or 0 in image.shape:
        raise ValueError(
            "image must be (H, W) or (H, W, 1) gray or (H, W, 3) RGB, with at least one pixel. "
            f"Received: shape {image.shape}"
        )
    if image.dtype in (np.uint8, np.uint16):
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"image must be uint8, uint16 or float. Received: {image.dtype}")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # so that NaN fails too
        raise ValueError(f"a float image must be in [0, 1]. Received: {low:g} to {high:g}")
    return image


def _check_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The mask as float32 (H, W).

    Raises:
        ValueError: another shape than the photograph's, or values outside [0, 1].
    """
    mask = np.asarray(mask)
    if mask.shape != shape:
        raise ValueError(f"mask must have the image's shape {shape}. Received: {mask.shape}")
    if not (mask.dtype == bool or (np.issubdtype(mask.dtype, np.floating) and mask.min() >= 0)):
        raise ValueError(f"mask must be bool or float in [0, 1]. Received: {mask.dtype}")
    if not mask.max() <= 1:
        raise ValueError(f"mask must be in [0, 1]. Received: up to {mask.max():g}")
    return mask.astype("float32")


def _strips(height: int, width: int) -> Iterator[slice]:
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def _luminance(image: np.ndarray) -> np.ndarray:
    """(H, W) float32 in [0, 100] of an (H, W, 1 or 3) image."""
    luminance = np.empty(image.shape[:2], "float32")
    for rows in _strips(*image.shape[:2]):
        strip = keras.ops.convert_to_numpy(color.rgb_to_luminance(image[rows]))
        luminance[rows] = strip[..., 0]
    return luminance


def _quantize(samples: Any, dtype: np.dtype) -> np.ndarray:
    """Samples in [0, 1] in the image's own dtype; rounded, never truncated."""
    samples = keras.ops.convert_to_numpy(samples)
    if np.issubdtype(dtype, np.integer):
        samples = np.rint(samples * np.iinfo(dtype).max)
    return samples.astype(dtype)


class Colorizer:
    """A network loaded once, to colour any number of photographs.

    Args:
        model: a released model's name, a model's `.json` file, or a training run's folder.
        working_size: short side in pixels at which the network sees a photograph; None =
            as the model asks.

    Raises:
        ModelError: the model cannot be loaded.
        ValueError: `working_size` is not a positive number.
    """

    def __init__(
        self, model: str | Path = DEFAULT_MODEL, *, working_size: int | None = None
    ) -> None:
        self.pretrained = load_pretrained(model)
        details = self.pretrained.details
        self.vividness = float(details.get("vividness", DEFAULT_VIVIDNESS))
        if working_size is None:
            working_size = int(details.get("working_size", DEFAULT_WORKING_SIZE))
        if working_size < 1:
            raise ValueError(f"working_size must be at least 1 pixel. Received: {working_size}")
        self.working_size = working_size
        self._stride = networks.network_stride(self.pretrained.config)
        self.pretrained.network.compile(jit_compile=False)

    def predict_field(self, luminance: np.ndarray, *, vividness: float | None = None) -> ColorField:
        """Predicts the colours of a photograph from its luminance.

        Args:
            luminance: (H, W) float32 in [0, 100], any size.
            vividness: in [0, 1]: 0 = the unbiased mean, 1 = most vivid.
        """
        chosen = self.vividness if vividness is None else vividness
        temperature, correction = color.vividness_to_decoding(chosen)
        small = self._working_luminance(luminance)
        padded = networks.pad_to_multiple((small / 50 - 1)[None, ..., None], self._stride)
        outputs = self.pretrained.network.predict_on_batch({"luminance": padded})
        ab = networks.predicted_ab(
            outputs,
            self.pretrained.class_weights,
            temperature=temperature,
            correction=correction,
        )
        ab = keras.ops.image.resize(ab, padded.shape[1:3], interpolation="bilinear")
        ab = keras.ops.convert_to_numpy(networks.crop_to_size(ab, *small.shape))[0]
        return guided_field(small / 100, ab)

    def _working_luminance(self, luminance: np.ndarray) -> np.ndarray:
        short, long = sorted(luminance.shape)
        scale = min(self.working_size / short, MAX_ASPECT * self.working_size / long)
        shape = tuple(max(1, round(side * scale)) for side in luminance.shape)
        return _resize(luminance, shape, resample=Image.Resampling.LANCZOS).clip(0, 100)

    def __call__(
        self,
        image: Any,
        *,
        vividness: float | None = None,
        strength: float = 1.0,
        mask: Any = None,
    ) -> np.ndarray:
        """Colours a photograph.

        Args:
            image: (H, W), (H, W, 1) or (H, W, 3); `uint8`, `uint16`, or float in [0, 1].
            vividness: in [0, 1]: 0 = the unbiased conditional mean (faithful, pale), 1 =
                most vivid; None = the model's best-looking.
            strength: in [0, 1], multiplies the colours: 0 = gray, 1 = as predicted.
            mask: (H, W) bool or float in [0, 1]: 1 = colour this, 0 = leave gray, between =
                blend; None = colour everything. It acts at full size, after everything
                else: where it is 0, R = G = B, the very gray of the photograph.

        Returns:
            (H, W, 3), dtype of the image.

        Raises:
            ValueError: an argument out of its range, naming what came.
        """
        image = _check_image(image)
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must be in [0, 1]. Received: {strength}")
        luminance = _luminance(image)
        field = self.predict_field(luminance, vividness=vividness)
        height, width = luminance.shape
        gate = None if mask is None else _check_mask(mask, luminance.shape)
        output = np.empty((height, width, 3), image.dtype)
        for rows in _strips(height, width):
            strip = luminance[rows]
            ab = strength * field.rows(strip, rows.start, height)
            if gate is not None:
                ab *= gate[rows, :, None]
            rgb = color.lab_to_rgb(np.concatenate([strip[..., None], ab], axis=-1))
            output[rows] = _quantize(rgb, image.dtype)
            if not (colored := ab.any(axis=-1)).all():
                # Gray to the last bit; the white point's rounding would tint 16-bit grays.
                gray = _quantize(color.luminance_to_gray(strip), image.dtype)
                output[rows][~colored] = gray[~colored][:, None]
        return output

    def colorize_file(
        self, source: str | Path, target: str | Path, *, overwrite: bool = False, **options: Any
    ) -> None:
        """Colours one file; metadata, alpha and size are kept.

        Args:
            source: a photograph.
            target: where to; its suffix decides the format.
            overwrite: replace `target` if it exists.
            **options: of `__call__`.

        Raises:
            PhotoError: `source` cannot be read or `target` not hold it.
            FileExistsError: `target` exists.
        """
        photo = read_photo(source)
        write_photo(target, self(photo.pixels, **options), like=photo, overwrite=overwrite)


@functools.lru_cache(maxsize=1)
def _default_colorizer() -> Colorizer:
    return Colorizer()


def colorize(image: Any, **options: Any) -> np.ndarray:
    """Colours a photograph with the released model, which is loaded at the first call.

    Args:
        image: an array (see `Colorizer.__call__`), or the path of a photograph.
        **options: `vividness`, `strength` and `mask`, as of `Colorizer.__call__`.

    Returns:
        (H, W, 3), dtype of the image.
    """
    if isinstance(image, str | Path):
        image = read_photo(image).pixels
    return _default_colorizer()(image, **options)


def colorize_files(
    colorizer: Colorizer,
    pairs: Iterable[tuple[Path, Path]],
    *,
    overwrite: bool = False,
    **options: Any,
) -> Iterator[tuple[Path, Path, str | None]]:
    """Colours files one by one; one that fails does not stop the rest.

    Args:
        colorizer: the network.
        pairs: (source, target) paths; the targets' folders are made.
        overwrite: replace targets that exist; never an input or a result of this call.
        **options: of `Colorizer.__call__`.

    Yields:
        (source, target, None) or (source, target, what went wrong in one line).
    """
    pairs = list(pairs)
    inputs = {source.resolve() for source, _ in pairs}
    written: dict[Path, Path] = {}
    for source, target in pairs:
        try:
            if target.resolve() in inputs:
                raise ValueError(f"{target} is an input: it is not overwritten")
            if (other := written.setdefault(target.resolve(), source)) != source:
                raise ValueError(f"{target} is the result of {other} already")
            target.parent.mkdir(parents=True, exist_ok=True)
            colorizer.colorize_file(source, target, overwrite=overwrite, **options)
        except (ValueError, OSError, MemoryError) as error:
            yield source, target, str(error) or type(error).__name__
        else:
            yield source, target, None
