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

import functools
import math
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image
from scipy.ndimage import maximum_filter

from colorizer import color, networks
from colorizer.albums import mask_targets
from colorizer.classical import levin_colorize, reinhard_parameters
from colorizer.fields import (
    HINT_REACH,
    ColorField,
    Field,
    SpreadField,
    guided_field,
    meet_hints,
    resize,
)
from colorizer.hints import (
    Hint,
    HintsLike,
    as_hints,
    as_scribbles,
    hint_ab,
    hint_radii,
    rasterize_hints,
)
from colorizer.photos import (
    Photo,
    check_target,
    identity,
    in_srgb,
    read_photo,
    write_together,
)
from colorizer.regions import Region, region_of
from colorizer.weights import (
    DEFAULT_MODEL,
    LARGEST_WORKING_SIZE,
    ModelError,
    load_pretrained,
)

DEFAULT_VIVIDNESS = 0.5
DEFAULT_WORKING_SIZE = 256
LARGEST_CHROMA_GAIN = 4  # beyond it, a mistake in a model's JSON
MAX_ASPECT = 4  # the long side at working size, in short sides: a panorama is not enlarged
STRIP_PIXELS = 1 << 20
REFERENCE_PIXELS = 1 << 20  # about so many of a reference are measured
METHODS = ("network", "levin")
_LOADING = threading.Lock()
LEVIN_PIXELS = 1 << 20  # of what is solved at once: about 0.8 GB
# How far a hint moves what the network answered, at working size: σ in longer sides of the
# photograph, and in units of L.
CARRY_REACH, CARRY_CONTRAST = 1.0, 12.0
MASK_MARGIN = 8  # pixels at working size: the network's colours reach so far into what is gray


def _check_image(image: Any, name: str = "image") -> np.ndarray:
    """The image as an (H, W, 1 or 3) array.

    Raises:
        ValueError: what is wrong with it.
    """
    image = np.asarray(image)
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or 0 in image.shape:
        raise ValueError(
            f"{name} must be (H, W) or (H, W, 1) gray or (H, W, 3) RGB, with at least one pixel. "
            f"Received: shape {image.shape}"
        )
    if image.dtype in (np.uint8, np.uint16):
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"{name} must be uint8, uint16 or float. Received: {image.dtype}")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # so that NaN fails too
        raise ValueError(f"{name} must be in [0, 1] if float. Received: {low} to {high}")
    return image


def _resolve_mask(mask: Any, luminance: np.ndarray) -> np.ndarray:
    """The mask as float32 (H, W), made for this photograph where it is not an array.

    Raises:
        ValueError: another shape than the photograph's, or values outside [0, 1].
    """
    if isinstance(mask, str | Path | Region):
        return region_of(mask).mask(luminance)
    shape, mask = luminance.shape, np.asarray(mask)
    if mask.shape != shape:
        raise ValueError(f"mask must have the image's shape {shape}. Received: {mask.shape}")
    if mask.dtype.kind not in "buif":
        raise ValueError(f"mask must be bool, float or uint8. Received: {mask.dtype}")
    if mask.dtype == np.uint8 and mask.max() != 1:  # 0 and 1 alone may be meant as all or nothing
        mask = mask.astype("float32") / 255
    if not (mask.dtype == bool or (np.issubdtype(mask.dtype, np.floating) and mask.min() >= 0)):
        raise ValueError(
            "mask must be bool, float in [0, 1], or uint8 up to 255, as mask > 0 is of zeros and "
            f"ones. Received: {mask.dtype} up to {mask.max()}"
        )
    if not mask.max() <= 1:
        raise ValueError(f"mask must be in [0, 1]. Received: up to {mask.max()}")
    return mask.astype("float32")


def _strips(height: int, width: int) -> Iterator[slice]:
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def _luminance(image: np.ndarray) -> np.ndarray:
    """(H, W) float32 in [0, 100] of an (H, W, 1 or 3) image."""
    luminance = np.empty(image.shape[:2], "float32")
    for rows in _strips(*image.shape[:2]):
        if image.dtype == np.uint8:
            luminance[rows] = color.luminance_of_bytes(image[rows])
        else:
            strip = keras.ops.convert_to_numpy(color.rgb_to_luminance(image[rows]))
            luminance[rows] = strip[..., 0]
    return luminance


def _quantize(samples: Any, dtype: np.dtype) -> np.ndarray:
    """Samples in [0, 1] in the image's own dtype; rounded, never truncated."""
    samples = keras.ops.convert_to_numpy(samples)
    if np.issubdtype(dtype, np.integer):
        samples = np.rint(samples * np.iinfo(dtype).max)
    return samples.astype(dtype)


def _gray(luminance: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return _quantize(color.luminance_to_gray(luminance), dtype)


def _merge(
    image: np.ndarray,
    luminance: np.ndarray,
    field: Field,
    strength: float,
    gate: np.ndarray | None,
) -> np.ndarray:
    """The coloured photograph (H, W, 3), dtype of the image; strip by strip."""
    height, width = luminance.shape
    output = np.empty((height, width, 3), image.dtype)
    for rows in _strips(height, width):
        strip = luminance[rows]
        ab = strength * field.rows(strip, rows.start, height)
        if gate is not None:
            ab *= gate[rows, :, None]
        if image.dtype == np.uint8:
            output[rows] = color.lab_to_bytes(strip, ab)
        else:
            rgb = color.lab_to_rgb(np.concatenate([strip[..., None], ab], axis=-1))
            output[rows] = _quantize(rgb, image.dtype)
        if not (colored := (ab[..., 0] != 0) | (ab[..., 1] != 0)).all():
            # Gray to the last bit; the white point's rounding would tint 16-bit grays.
            gray = image[rows] if image.shape[2] == 1 else _gray(strip, image.dtype)[..., None]
            output[rows][~colored] = gray[~colored]
    return output


def _average(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The mask at a smaller size, each pixel the mean of what it covers."""
    return resize(mask, shape, resample=Image.Resampling.BOX)


def _widened(weight: np.ndarray) -> np.ndarray:
    """What the network sees of a mask: whole, as in training, and a little larger than it is.

    The gate cuts, and blends where the mask is soft: the network must not fade before it.
    """
    return maximum_filter((weight > 0).astype("float32"), 2 * MASK_MARGIN + 1)


def _answered(known: list[Hint], size: tuple[int, ...], seen: np.ndarray | None) -> list[Hint]:
    """The hints in what the network saw of a mask: elsewhere it says gray, whatever the hint."""
    if seen is None:
        return known
    (height, width), (rows, columns) = size, seen.shape

    def cell(x: float, y: float) -> tuple[int, int]:
        return min(int(y * rows / height), rows - 1), min(int(x * columns / width), columns - 1)

    return [hint for hint in known if seen[cell(*hint[:2])]]


def _carry_hints(
    ab: np.ndarray,
    luminance: np.ndarray,
    size: tuple[int, ...],
    points: list[tuple[float, float]],
    hint_colours: np.ndarray,
) -> np.ndarray:
    """What the network made of the hints, moved towards them wherever it looks like there.

    Args:
        ab: (h, w, 2), the network's.
        luminance: (h, w), at its size.
        size: (H, W) of the photograph, in whose pixels the points are.
        points: (x, y) of N hints.
        hint_colours: (N, 2) ab.
    """
    down, across = (small / large for small, large in zip(luminance.shape, size, strict=True))
    # At either size pixels are named by their centres, half a pixel from the edge.
    scaled = [((x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5) for x, y in points]
    reach = np.full(len(points), CARRY_REACH * max(luminance.shape), "float32")
    field = meet_hints(
        SpreadField(ab), luminance, scaled, hint_colours, reach, contrast=CARRY_CONTRAST
    )
    return field.rows(luminance, 0, len(luminance))


def _meet(field: ColorField, luminance: np.ndarray, known: list[Hint]) -> Field:
    """The field, with each hint's colour at the hint's own pixel."""
    if not known:
        return field
    points = [(x, y) for x, y, *_ in known]
    reach = HINT_REACH * hint_radii(known, luminance.shape)
    return meet_hints(field, luminance, points, hint_ab(known), reach)


def _levin_field(luminance: np.ndarray, hints: HintsLike, reference: Any) -> Field:
    """The hints' colours, spread without a network; of a large photograph on a smaller copy."""
    if reference is not None:
        raise ValueError("reference: changes a network's colours; method 'levin' has none")
    if isinstance(hints, Iterator):
        hints = list(hints)  # both forms of them are needed
    ab, confidence = as_scribbles(hints, luminance.shape)
    if not confidence.any():
        raise ValueError("hints: method 'levin' spreads hints, and needs at least one")
    scale = math.sqrt(LEVIN_PIXELS / luminance.size)
    if scale >= 1:
        return SpreadField(levin_colorize(luminance, ab, confidence))
    shape = tuple(max(1, round(side * scale)) for side in luminance.shape)
    small, share = _average(luminance, shape), _average(confidence, shape)
    tiny = np.finfo("float32").tiny
    weighted = [_average(ab[..., i] * confidence, shape) for i in range(2)]
    colours = np.stack(weighted, axis=-1) / np.maximum(share, tiny)[..., None]
    # As sure as its painted part is: a hint smaller than a pixel of the copy is a hint.
    sure = share / np.maximum(_average(confidence > 0, shape), tiny)
    field = guided_field(small / 100, levin_colorize(small, colours, sure.clip(0, 1)))
    return _meet(field, luminance, as_hints(hints, luminance.shape))


def _toward_reference(
    field: ColorField, luminance: np.ndarray, weight: np.ndarray, reference: Any
) -> ColorField:
    """The field with mean and spread of the reference's colours; measured where it weighs."""
    if isinstance(reference, str | Path):
        reference = in_srgb(read_photo(reference)).pixels
    reference = _check_image(reference, "reference")
    if reference.shape[-1] != 3 or (reference == reference[..., :1]).all():
        raise ValueError("reference must be a colour photograph. Received: a gray one")
    if not weight.any():
        return field
    wanted = keras.ops.convert_to_numpy(color.rgb_to_lab(_shrunk(reference)))[..., 1:]
    ab = field.rows(luminance, 0, len(luminance))
    gain, shift = reinhard_parameters(ab, wanted, weight=weight)
    return field.transferred(gain, shift)


def _shrunk(image: np.ndarray) -> np.ndarray:
    """A photograph with pixels left out: statistics need no more."""
    step = max(1, round(math.sqrt(image.shape[0] * image.shape[1] / REFERENCE_PIXELS)))
    return image[::step, ::step]


class Colorizer:
    """A network loaded once, to colour any number of photographs.

    Args:
        model: a released model's name, a model's `.json` file, or a training run's folder.
        working_size: short side in pixels at which the network sees a photograph; None =
            as the model asks.
        method: "network", or "levin": no network, the hints' colours are spread over what
            looks alike (`classical.levin_colorize`).

    Attributes:
        takes: names of the network's inputs; empty for method "levin".
        vividness, working_size: what holds unless a call says otherwise.

    Raises:
        ModelError: the model cannot be loaded.
        ValueError: `working_size` is not from 1 to 1024, or of no network; or `method` unknown.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        *,
        working_size: int | None = None,
        method: str = "network",
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"method must be one of {METHODS}. Received: {method!r}")
        self.method = method
        self.takes: frozenset[str] = frozenset()
        self.vividness = DEFAULT_VIVIDNESS
        self.working_size = DEFAULT_WORKING_SIZE if working_size is None else working_size
        if not 1 <= self.working_size <= LARGEST_WORKING_SIZE:
            raise ValueError(
                f"working_size must be from 1 to {LARGEST_WORKING_SIZE} pixels. "
                f"Received: {working_size}"
            )
        if method == "network":
            self._load(model, working_size)
        elif working_size is not None:
            raise ValueError(
                f"working_size: is of a network; method {method!r} has none. "
                f"Received: {working_size}"
            )

    def _load(self, model: str | Path, working_size: int | None) -> None:
        self.pretrained = load_pretrained(model)

        def asked(name: str, default: float, low: float, high: float) -> float:
            value = self.pretrained.details.get(name, default)
            if not (isinstance(value, int | float) and low <= value <= high):
                raise ModelError(
                    f"{model}: {name} must be from {low} to {high}. Received: {value!r}"
                )
            return value

        self.vividness = asked("vividness", DEFAULT_VIVIDNESS, 0, 1)
        # What the training shrank: a regression of logarithms prefers colours that are too pale.
        self._chroma_gain = asked("chroma_gain", 1.0, 0, LARGEST_CHROMA_GAIN)
        if working_size is None:
            size = asked("working_size", DEFAULT_WORKING_SIZE, 1, LARGEST_WORKING_SIZE)
            self.working_size = int(size)
        self.takes = frozenset(self.pretrained.network.input)
        self._stride = networks.network_stride(self.pretrained.config)
        self.pretrained.network.compile(jit_compile=False)
        self._process = os.getpid()

    def predict_ab(
        self,
        luminance: np.ndarray,
        *,
        vividness: float | None = None,
        mask: np.ndarray | None = None,
        hints: HintsLike = (),
    ) -> np.ndarray:
        """What the network alone answers: no gate, no guided filter, no hint met exactly.

        Args:
            luminance: (H, W) float32 in [0, 100], any size.
            vividness: in [0, 1]: 0 = the mean of what it believes, 1 = most vivid.
            mask: in [0, 1] (not checked), of any size, for a network that takes one.
            hints: see `__call__`; for a network that takes them.

        Returns:
            (h, w, 2) ab in Lab units, at the working size.

        Raises:
            ValueError: hints for a network that takes none, or vividness out of range.
        """
        if self.method != "network":
            raise ValueError(f"predict_ab asks a network. Received: method {self.method!r}")
        known = as_hints(hints, luminance.shape)
        small = self._working_luminance(luminance)
        return self._answer(small, luminance.shape, vividness=vividness, mask=mask, hints=known)

    def _answer(
        self,
        small: np.ndarray,
        size: tuple[int, int],
        *,
        vividness: float | None,
        mask: np.ndarray | None,
        hints: list[Hint],
    ) -> np.ndarray:
        """`predict_ab` of a photograph of that size, its luminance brought to working size."""
        chosen = self.vividness if vividness is None else vividness
        temperature, correction = color.vividness_to_decoding(chosen)
        inputs = self._network_inputs(small, size, mask, hints)
        height, width = inputs["luminance"].shape[1:3]
        padded = {n: networks.pad_to_multiple(x, self._stride) for n, x in inputs.items()}
        if os.getpid() != self._process:  # TensorFlow's threads stay behind: it would wait for ever
            raise RuntimeError(
                "the network was loaded before this process was forked: start workers with the "
                "method 'spawn', or make the Colorizer in each"
            )
        outputs = self.pretrained.network.predict_on_batch(padded)
        ab = networks.predicted_ab(
            outputs,
            self.pretrained.class_weights,
            temperature=temperature,
            correction=correction,
        )
        size = padded["luminance"].shape[1:3]
        ab = self._chroma_gain * keras.ops.image.resize(ab, size, interpolation="bilinear")
        return keras.ops.convert_to_numpy(networks.crop_to_size(ab, height, width))[0]

    def _network_inputs(
        self,
        small: np.ndarray,
        size: tuple[int, int],
        mask: np.ndarray | None,
        hints: list[Hint],
    ) -> dict[str, np.ndarray]:
        """The inputs that this network takes, (1, h, w, C) at the working size."""
        if hints and "hints" not in self.takes:
            raise ValueError(
                "hints: this model takes none; choose one that was trained with --hints, or "
                "method 'levin'"
            )
        known: dict[str, np.ndarray] = {"luminance": small[..., None] / 50 - 1}
        if "mask" in self.takes:
            known["mask"] = np.ones_like(small)[..., None]
            if mask is not None:
                known["mask"] = _average(mask, small.shape)[..., None]
        if "hints" in self.takes:
            known["hints"] = rasterize_hints(hints, *small.shape, photo_size=size)
        return {name: np.asarray(value, "float32")[None] for name, value in known.items()}

    def predict_field(
        self,
        luminance: np.ndarray,
        *,
        vividness: float | None = None,
        mask: np.ndarray | None = None,
        hints: HintsLike = (),
        reference: Any = None,
    ) -> Field:
        """Predicts the colours of a photograph from its luminance.

        Args:
            luminance: (H, W) float32 in [0, 100], any size.
            vividness, mask, hints, reference: see `__call__`; the mask is not a gate here.
        """
        if self.method == "levin":
            if vividness is not None:
                raise ValueError("vividness: is of a network's colours; method 'levin' has none")
            return _levin_field(luminance, hints, reference)
        known = as_hints(hints, luminance.shape)
        small = self._working_luminance(luminance)
        weight = np.ones_like(small) if mask is None else _average(mask, small.shape)
        seen = None if mask is None or "mask" not in self.takes else _widened(weight)
        ab = self._answer(small, luminance.shape, vividness=vividness, mask=seen, hints=known)
        if answered := _answered(known, luminance.shape, seen):
            points = [(x, y) for x, y, *_ in answered]
            ab = _carry_hints(ab, small, luminance.shape, points, hint_ab(answered))
        field = guided_field(small / 100, ab)
        if reference is not None:
            field = _toward_reference(field, small, weight, reference)
        return _meet(field, luminance, known)

    def _working_luminance(self, luminance: np.ndarray) -> np.ndarray:
        short, long = sorted(luminance.shape)
        scale = min(self.working_size / short, MAX_ASPECT * self.working_size / long)
        shape = tuple(max(1, round(side * scale)) for side in luminance.shape)
        return resize(luminance, shape, resample=Image.Resampling.LANCZOS).clip(0, 100)

    def __call__(
        self,
        image: Any,
        *,
        vividness: float | None = None,
        strength: float = 1.0,
        mask: Any = None,
        hints: HintsLike = (),
        reference: Any = None,
    ) -> np.ndarray:
        """Colours a photograph.

        Args:
            image: (H, W), (H, W, 1) or (H, W, 3); `uint8`, `uint16`, or float in [0, 1]; or
                the path of a photograph.
            vividness: in [0, 1]: 0 = the conditional mean (faithful, pale), 1 =
                most vivid; None = the model's best-looking.
            strength: in [0, 1], multiplies the colours: 0 = gray, 1 = as predicted.
            mask: where to colour: (H, W) bool or float in [0, 1], 1 = colour this, 0 =
                leave gray, between = blend, or `uint8` where 255 is 1; or the path of an
                image, the name of a pattern like "stripes:8@45", or a `regions.Region`:
                shapes, clicks, and more. It acts at full size, after everything else: where
                it is 0, R = G = B, the very gray of the photograph. None = colour everything.
            hints: colours that are known: (x, y, colour[, radius]) each, in pixels, the colour
                as "#rrggbb", a CSS name or (r, g, b) of 0..255; or the path of a JSON file of
                them; or scribbles, as the path of an image that is transparent except where
                colours were painted, or as (H, W, 4) `uint8` RGBA. Their lightness is ignored.
            reference: a colour photograph, an array or a path, whose mean and spread of
                colours the result takes on (Reinhard et al. 2001).

        Returns:
            (H, W, 3), dtype of the image.

        Raises:
            ValueError: an argument out of its range, naming what came.
            PhotoError: a file that was named cannot be read.
        """
        if isinstance(image, str | Path):
            image = in_srgb(read_photo(image)).pixels
        image = _check_image(image)
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must be in [0, 1]. Received: {strength}")
        luminance = _luminance(image)
        gate = None if mask is None else _resolve_mask(mask, luminance)
        field = self.predict_field(
            luminance, vividness=vividness, mask=gate, hints=hints, reference=reference
        )
        return _merge(image, luminance, field, strength, gate)

    def colorize_file(
        self,
        source: str | Path,
        target: str | Path,
        *,
        overwrite: bool = False,
        save_mask: str | Path | None = None,
        **options: Any,
    ) -> None:
        """Colours one file; metadata, alpha and size are kept, other colour spaces become sRGB.

        Args:
            source: a photograph.
            target: where to; its suffix decides the format.
            overwrite: replace `target`, and `save_mask`, if they exist.
            save_mask: where to write the mask that was used, an 8-bit gray picture, white
                where the photograph was coloured.
            **options: of `__call__`.

        Raises:
            PhotoError: `source` cannot be read or `target` not hold it.
            ValueError: `target` and `save_mask` are the same file, or one that is read, or as of
                `__call__`.
            FileExistsError: `target` or `save_mask` exists.
        """
        if save_mask is not None and Path(save_mask).resolve() == Path(target).resolve():
            raise ValueError(f"{save_mask}: the result and its mask need a file each")
        inputs = {identity(path) for path in (Path(source), *_files_of(options))}
        for output in (target, save_mask):  # before any work
            if output is None:
                continue
            if identity(Path(output)) in inputs:
                raise ValueError(f"{output} is an input: it is not overwritten")
            check_target(output, overwrite=overwrite)
        photo = in_srgb(read_photo(source))
        results: list[tuple[str | Path, np.ndarray, Photo | None]] = []
        if save_mask is not None:
            asked = options.get("mask")
            luminance = _luminance(_check_image(photo.pixels))
            mask = _resolve_mask(Region() if asked is None else asked, luminance)
            options["mask"] = mask
            results.append((save_mask, np.rint(mask * 255).astype("uint8"), None))
        results.append((target, self(photo.pixels, **options), photo))
        write_together(results, overwrite=overwrite)


@functools.lru_cache(maxsize=1)
def _loaded_colorizer() -> Colorizer:
    return Colorizer()


def _default_colorizer() -> Colorizer:
    with _LOADING:  # of several threads, one loads
        return _loaded_colorizer()


def colorize(image: Any, **options: Any) -> np.ndarray:
    """Colours a photograph with the released model, which is loaded at the first call.

    Args:
        image: an array (see `Colorizer.__call__`), or the path of a photograph.
        **options: as of `Colorizer.__call__`.

    Returns:
        (H, W, 3), dtype of the image.
    """
    return _default_colorizer()(image, **options)


def _files_of(options: dict[str, Any]) -> Iterator[Path]:
    """The files that mask, hints and reference are read from."""
    for name in ("mask", "hints", "reference"):
        given = options.get(name)
        given = given.image if isinstance(given, Region) else given
        if isinstance(given, str | Path):
            yield Path(given)


def colorize_files(
    colorizer: Colorizer,
    pairs: Iterable[tuple[Path, Path]],
    *,
    overwrite: bool = False,
    masks: str | Path | Sequence[Path | None] | None = None,
    **options: Any,
) -> Iterator[tuple[Path, Path, str | None]]:
    """Colours files one by one; one that fails does not stop the rest.

    Args:
        colorizer: the network.
        pairs: (source, target) paths; the targets' folders are made.
        overwrite: replace targets that exist; never an input or a result of this call.
        masks: where to write the masks that were used: a file for one photograph, a folder for
            several, or a file for each of the pairs.
        **options: of `Colorizer.__call__`.

    Yields:
        (source, target, None) or (source, target, what went wrong in one line).
    """
    pairs = list(pairs)
    if isinstance(options.get("hints"), Iterator):
        options["hints"] = list(options["hints"])  # it would serve the first photograph only
    inputs = {identity(path) for path in [*(source for source, _ in pairs), *_files_of(options)]}
    written: dict[object, Path] = {}  # result: its source
    if masks is None or isinstance(masks, str | Path):
        masks = mask_targets(masks, [target for _, target in pairs])
    for (source, target), save_mask in zip(pairs, masks, strict=True):
        outputs = [output for output in (target, save_mask) if output is not None]
        try:
            for output in outputs:
                if identity(output) in inputs:
                    raise ValueError(f"{output} is an input: it is not overwritten")
                if identity(output) in written:
                    other = written[identity(output)]
                    raise ValueError(f"{output} is the result of {other} already")
                output.parent.mkdir(parents=True, exist_ok=True)
            colorizer.colorize_file(
                source, target, overwrite=overwrite, save_mask=save_mask, **options
            )
        except Exception as error:  # decoders raise nearly anything, TensorFlow errors of its own
            yield source, target, " ".join(str(error).splitlines()) or type(error).__name__
        else:
            written |= {identity(output): source for output in outputs}
            yield source, target, None
