"""Where people want colour: image files, shapes, patterns, objects under a click.

A `Region` holds what a user asked for, before any photograph is known; its `mask` makes the mask of
one photograph of it, at that photograph's size. The functions it is made of can be used alone.

Conventions
-----------
As of `colorizer.masks`: a mask is float32 of shape (H, W) in [0, 1], 1 = colour this, 0 = leave
gray. Coordinates are photo pixels, x to the right and y down, (0, 0) being the upper left pixel.

References:
    X. Bai, G. Sapiro. Geodesic matting. IJCV 2009 (selection by geodesic distance).
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import draw, filters, graph, measure, segmentation
from skimage.color import lab2rgb, rgb2gray

from colorizer.fields import resize
from colorizer.masks import PATTERNS, SEED_PATTERNS, Drawn, Mask, Point, Size, make_mask
from colorizer.photos import SUFFIXES, read_photo


@dataclasses.dataclass(frozen=True, kw_only=True)
class Region:
    """What to colour, said in any of five ways; where several are used, what any of them covers.

    Attributes:
        image: A mask as an array (see `mask_from_image`) or an image file, of any size: it is
            stretched over the photograph.
        pattern: A name of `masks.make_mask`, like "stripes:8@45".
        rectangles: (left, top, right, bottom) each, in pixels; right and bottom are excluded.
        polygons: Three or more corners (x, y) each, in pixels.
        select: (x, y) of clicks on objects, in pixels.
        deselect: (x, y) of clicks on what `select` is to leave out.
        invert: Colour everything else instead.
        feather: Radius in pixels over which the edge is softened, after everything else.
        seed: Of what a pattern leaves to chance.
    """

    image: NDArray | str | Path | None = None
    pattern: str | None = None
    rectangles: Sequence[Sequence[float]] = ()
    polygons: Sequence[Sequence[Point]] = ()
    select: Sequence[Point] = ()
    deselect: Sequence[Point] = ()
    invert: bool = False
    feather: float = 0.0
    seed: int = 0

    def is_asked(self) -> bool:
        """Whether it says where to colour at all."""
        ways = (self.rectangles, self.polygons, self.select)
        return self.image is not None or self.pattern is not None or any(map(len, ways))

    def mask(self, luminance: ArrayLike) -> Mask:
        """The mask of one photograph; all ones for a region that says nothing.

        Args:
            luminance: L of the photograph, shape (H, W), from 0 to 100.

        Raises:
            ValueError: If a part cannot be used, saying which, or `deselect` has nothing to leave.
            PhotoError: If the image file cannot be read.
        """
        luminance = np.asarray(luminance, np.float32)
        parts = list(self._parts(luminance))
        mask = np.maximum.reduce(parts) if parts else np.ones(luminance.shape, np.float32)
        if isinstance(self.image, str | Path) and (mask == float(self.invert)).all():
            raise ValueError(f"mask: nothing in {self.image} is to be coloured; white is")
        return feather(1 - mask if self.invert else mask, self.feather)

    def _parts(self, luminance: Mask) -> Iterator[Mask]:
        size = luminance.shape[:2]
        if isinstance(self.image, str | Path):
            planes, lossy = _read_mask(self.image)
            yield mask_from_image(planes, size, lossy=lossy)[0]
        elif self.image is not None:
            yield mask_from_image(_meant(self.image), size)[0]
        if self.pattern is not None:
            yield make_mask(self.pattern, size, seed=self.seed, image=luminance)
        if len(self.rectangles) or len(self.polygons):
            yield mask_from_shapes(size, rectangles=self.rectangles, polygons=self.polygons)
        if len(self.select):
            yield select(luminance, self.select, deselect=self.deselect)
        elif len(self.deselect):
            raise ValueError("deselect leaves out of what is selected. Received: no select")


def region_of(mask: "NDArray | str | Path | Region") -> Region:
    """The region that a mask stands for: an image file, a pattern's name, or an array."""
    if isinstance(mask, Region):
        return mask
    if isinstance(mask, Path) or (
        isinstance(mask, str) and (Path(mask).suffix.lower() in SUFFIXES or Path(mask).is_file())
    ):
        return Region(image=mask)
    return Region(pattern=mask) if isinstance(mask, str) else Region(image=mask)


def _meant(array: ArrayLike) -> NDArray:
    """An array that is a mask; of integers only such as say which one is white.

    Raises:
        ValueError: It is of none of these kinds.
    """
    mask = np.asarray(array)
    whole = mask.dtype in (np.uint8, np.uint16) and mask.max(initial=0) != 1
    if not whole and mask.dtype.kind not in "bf":
        raise ValueError(
            "mask image must be bool, float in [0, 1], or uint8 or uint16 up to white, as mask > 0 "
            f"is of zeros and ones. Received: {mask.dtype}"
        )
    return mask


def _read_mask(path: str | Path) -> tuple[NDArray, bool]:
    """The pixels of an image file, with its alpha, if any, as the last channel; if it is lossy."""
    photo = read_photo(path)
    planes = photo.pixels if photo.pixels.ndim == 3 else photo.pixels[..., None]
    if photo.alpha is not None:
        planes = np.dstack([planes, photo.alpha])
    return planes, photo.format in ("JPEG", "WEBP")


# ---------------------------------------------------------------------------------------------
# The ways to a mask


_FAR = 1e6  # pixels: beyond any photograph, and exact in what draws polygons
_NOISE = 4 / 255  # how far a JPEG leaves black and white from what they were


def mask_from_image(array: ArrayLike, size: Size, *, lossy: bool = True) -> tuple[Mask, str]:
    """Makes a mask of an image: of its alpha where that varies, else of its luminance.

    Args:
        array: Bool, integer or float in [0, 1], shape (H, W), (H, W, 1), or with 2 (gray, alpha),
            3 (RGB) or 4 (RGBA) channels.
        size: Height and width of the mask; the image is resized to it.
        lossy: Whether the image may have been a JPEG: of 8 bits, what is nearer than 4/255 to
            black or white then counts as that.

    Returns:
        Mask of shape size, and what it was made of: "alpha" or "luminance".

    Raises:
        ValueError: If the shape is none of these, or a value is out of range.
    """
    image = np.asarray(array)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 2, 3, 4) or 0 in (*image.shape, *size):
        raise ValueError(
            "mask image must have shape (H, W) or (H, W, 1 to 4). "
            f"Received: {image.shape} for a mask of size {tuple(size)}"
        )
    full_scale = np.iinfo(image.dtype).max if image.dtype.kind in "iu" else 1
    if not (image.min() >= 0 and image.max() <= full_scale):
        raise ValueError(
            f"mask image must range from 0 to {full_scale}. Received: {image.min()} "
            f"to {image.max()}"
        )
    colours, source = image[..., :3] if image.shape[2] > 2 else image[..., :1], "luminance"
    if image.shape[2] in (2, 4) and image[..., -1].min() < image[..., -1].max():
        colours, source = image[..., -1:], "alpha"
    if (colours == colours[..., :1]).all():
        plane = colours[..., 0].astype(np.float32) / full_scale
    else:  # doubles: in singles white is not quite 1, and its inverse would not be quite gray
        plane = rgb2gray(colours.astype(float) / full_scale)
    mask = np.clip(_resized(plane, size), 0, 1)
    if lossy and image.dtype == np.uint8:
        mask = np.where(mask < _NOISE, 0, np.where(mask > 1 - _NOISE, 1, mask))
    return mask.astype(np.float32), source


def mask_from_shapes(
    size: Size,
    *,
    rectangles: Iterable[Sequence[float]] = (),
    polygons: Iterable[Sequence[Point]] = (),
) -> Mask:
    """Colours the inside of rectangles and polygons.

    Args:
        size: Height and width of the mask.
        rectangles: (left, top, right, bottom) each, in pixels; right and bottom are excluded.
        polygons: Three or more corners (x, y) each, in pixels.

    Returns:
        Mask of 0 and 1, shape (H, W).

    Raises:
        ValueError: If a shape is malformed or covers no pixel of the photo, saying which.
    """
    mask = np.zeros(size, np.float32)
    for i, rectangle in enumerate(rectangles):
        sides = np.asarray(rectangle, float)
        if sides.shape != (4,) or not np.isfinite(sides).all():
            raise ValueError(
                f"rectangles[{i}] must be (left, top, right, bottom). Received: {rectangle}"
            )
        left, top, right, bottom = np.clip(np.round(sides), 0, (*size[::-1],) * 2).astype(int)
        if not mask[top:bottom, left:right].size:
            raise ValueError(
                f"rectangles[{i}] must cover a part of the photo. Received: {rectangle}"
            )
        mask[top:bottom, left:right] = 1
    for i, polygon in enumerate(polygons):
        corners = np.asarray(polygon, float)
        enough = corners.ndim == 2 and corners.shape[0] >= 3 and corners.shape[1] == 2
        if not enough or not np.isfinite(corners).all():
            raise ValueError(f"polygons[{i}] must be three or more (x, y). Received: {polygon}")
        across, down = corners.clip(-_FAR, _FAR).T
        inside = draw.polygon(down, across, size)
        if not inside[0].size:
            raise ValueError(f"polygons[{i}] must cover a part of the photo. Received: {polygon}")
        mask[inside] = 1
    return mask


def feather(mask: ArrayLike, radius: float) -> Mask:
    """Softens the edges of a mask, shape (H, W); what lies `radius` pixels from one stays."""
    if not 0 <= radius < np.inf:
        raise ValueError(f"feather must be a radius of 0 or more pixels. Received: {radius}")
    mask = np.asarray(mask, np.float32)
    radius = min(radius, max(mask.shape))  # a kernel wider than the photo only costs
    soft = ndimage.gaussian_filter(mask, radius / 2, mode="nearest", truncate=2) if radius else mask
    return np.clip(soft, 0, 1)


# How `select` was chosen: 22 coins of skimage's `coins` (one click each, Otsu as truth), and 14
# objects outlined by hand in astronaut, coffee, chelsea and rocket (one to four clicks). Mean IoU
# on the coins / the others, and seconds for one megapixel, each but the flood refined alike:
#     geodesic, squared gradient, frame trimmed      0.98 / 0.68   0.65   <- this one
#     geodesic, squared gradient, whole frame        0.98 / 0.66   0.65
#     geodesic, gradient                             0.91 / 0.40   0.7
#     watershed from clicks and frame                0.98 / 0.61   0.7
#     random walker, side 160, β = 20                0.97 / 0.63   0.8
#     random walker, side 128, smoothed, β = 30      0.98 / 0.60   0.7
#     region of the strongest outline                0.94 / 0.45   0.9
#     Felzenszwalb, scale 200 / 800                  0.92 / 0.52   0.9,   0.98 / 0.46   0.9
#     SLIC, merged below 12 units of L               0.73 / 0.50   1.6
#     flood, tolerance 15                            0.95 / 0.33   0.04
# (The seconds are of a refinement that flooded the whole photo; confined to its band, as now, it
# takes half a second less, of each method alike.)
# The constants below were tuned on these same objects, in some 40 variants of the geodesic method
# and 27 of the random walker against one to four of the others, so the lead on the 14 is smaller
# than it looks; coins do not tell the best apart. Trimming is delicate: at 0.3 the 14 fall to 0.57.
# Flat places counted as clicked came last: the coins stay at 0.98, and a wall of 60 % of a
# synthetic photo rises from 0.07 to 0.30 to above 0.97.
# Squared, a gradient makes one strong edge dearer than any amount of texture, which is what an
# outline is; superpixels and floods have a scale or a tolerance that no single value suits.
_SELECT_SIDE = 224  # cells along the longer side where distances are measured
_STEP_COST = 0.3  # of a cell without gradient: what keeps distance meaningful in flat areas
_FLAT = 1.0  # units of L per cell: below that it is shading or noise, not an outline
_FLAT_WIDTH = 5  # cells: flat places that less than this joins are not one
_FRAME_TRIM = 0.15  # of the frame's median distance: nearer parts of it may be the object's own


def select(
    luminance: ArrayLike, points: Sequence[Point], *, deselect: Sequence[Point] = ()
) -> Mask:
    """Selects the objects under some clicks.

    What is nearer to a click than to the photo's frame or to a deselected point, in geodesic
    distance over the squared gradient, is selected, at small size first; then a watershed puts its
    outline on the photo's own edges. What is flat and joined to a click counts as clicked, so that
    one selects a wall or a sky too, though the frame cuts through it. One click suffices for an
    object that contrasts with all around it; others take a few, and deselected points where the
    selection ran over.

    Args:
        luminance: L, shape (H, W), from 0 to 100.
        points: (x, y) of each click on what to select, in pixels.
        deselect: (x, y) of each click on what to leave out; it wins where both have a point.

    Returns:
        Mask of 0 and 1, shape (H, W): 1 at all points, 0 at all deselected ones.

    Raises:
        ValueError: If there is no point, or one lies outside the photo, saying which.
    """
    luminance = np.asarray(luminance, np.float32)
    if luminance.ndim != 2 or not len(points):
        raise ValueError(
            "select takes a luminance of shape (H, W) and at least one point. "
            f"Received: shape {luminance.shape} and {len(points)} points"
        )
    chosen = _clicked(points, luminance.shape, "select")
    refused = _clicked(deselect, luminance.shape, "deselect")
    chosen &= ~refused
    scale = min(1, _SELECT_SIDE / max(luminance.shape))
    height, width = (max(1, round(side * scale)) for side in luminance.shape)
    cells = [np.zeros((height, width), bool) for _ in range(2)]
    for clicks, reduced in zip((chosen, refused), cells, strict=True):
        rows, columns = np.nonzero(clicks)
        reduced[rows * height // clicks.shape[0], columns * width // clicks.shape[1]] = True
    rough = _nearer(_resized(luminance, (height, width)), *cells)
    # Two cells: how far the outline found at the small size may be off.
    return _outlined(luminance, _resized(rough, luminance.shape) > 0.5, chosen, refused, 2 / scale)


def _clicked(points: Sequence[Point], size: tuple[int, ...], name: str) -> Drawn:
    """1 at each point, shape size."""
    height, width = size
    clicks = np.zeros(size, bool)
    for i, point in enumerate(points):
        if np.shape(point) != (2,):
            raise ValueError(f"{name}[{i}] must be (x, y). Received: {point}")
        x, y = point
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(
                f"{name}[{i}] must lie in the photo, {width} pixels wide and {height} high. "
                f"Received: x={x:g}, y={y:g}"
            )
        clicks[min(int(y + 0.5), height - 1), min(int(x + 0.5), width - 1)] = True
    return clicks


def _nearer(luminance: Mask, near: Drawn, refused: Drawn) -> Drawn:
    """Cells nearer to the clicks than to the frame or to refused cells, and joined to a click."""
    gradient = filters.sobel(filters.gaussian(luminance, 1))
    cost = gradient**2 + _STEP_COST

    def distance(cells: Drawn) -> NDArray[np.float64]:
        return graph.MCP_Geometric(cost).find_costs(np.argwhere(cells))[0]

    if not near.any():
        return near
    near = _with_flat(gradient, near, refused)
    to_object = distance(near)
    frame = np.ones_like(near)
    frame[1:-1, 1:-1] = False
    frame &= ~near
    if frame.any():
        frame &= to_object >= _FRAME_TRIM * np.median(to_object[frame])
    background = (frame | refused) & ~near
    if not background.any():
        return np.ones_like(near)
    # Opened: a thread of cells between two objects is a leak, not a part of either.
    nearer = ndimage.binary_opening(to_object < distance(background)) | near
    regions = measure.label(nearer, connectivity=1)
    joined = np.isin(regions, regions[near])
    holes = measure.label(ndimage.binary_fill_holes(joined) & ~joined, connectivity=1)
    return joined | ((holes > 0) & ~np.isin(holes, holes[refused]))


def _with_flat(gradient: NDArray, near: Drawn, refused: Drawn) -> Drawn:
    """The clicks' cells and what is flat and joined to them, unless refused cells are, too."""
    flat = ndimage.binary_opening(gradient < _FLAT, np.ones((_FLAT_WIDTH, _FLAT_WIDTH)))
    regions = measure.label(flat, connectivity=1)
    joined = flat & np.isin(regions, regions[near & flat])
    return near if (joined & refused).any() else near | joined


def _outlined(luminance: Mask, rough: Drawn, chosen: Drawn, refused: Drawn, band: float) -> Mask:
    """Moves a rough outline onto the strongest edge that lies within `band` pixels of it."""
    side = 2 * round(band) + 1
    markers = np.where(ndimage.maximum_filter(rough, side), 0, 2)
    markers[ndimage.minimum_filter(rough, side) | chosen] = 1
    markers[refused] = 2
    # All but the band and its rim is settled: flooding that too takes ten times as long, and
    # another gigabyte for 24 megapixels.
    undecided = ndimage.maximum_filter(markers == 0, 3)
    edges = filters.sobel(filters.gaussian(luminance, 1))
    flooded = segmentation.watershed(edges, markers, mask=undecided)
    return (np.where(undecided, flooded, markers) == 1).astype(np.float32)


def _resized(plane: NDArray, size: tuple[int, ...]) -> Mask:
    """Resizes (H, W), averaging where it shrinks; unchanged at its own size."""
    return resize(plane, size, resample=Image.Resampling.BILINEAR)


# ---------------------------------------------------------------------------------------------
# All patterns at a glance

_SHEET_SIDE, _SHEET_COLUMNS, _CAPTION = 160, 7, 18  # pixels, pictures, pixels
_SHEET_TINT = np.array([55.0, 40.0])  # ab of what is coloured
_SHEET_RANGE = 0.6  # of the photo's contrast: the sheet is about the masks
_CAPTIONED = ("half:vertical", "half:horizontal", *(name for name in PATTERNS if name != "half"))


def contact_sheet(luminance: ArrayLike, *, seed: int = 0) -> NDArray[np.uint8]:
    """Every pattern, then the ten of `masks.SEED_PATTERNS`, over a photo; coloured is tinted.

    Args:
        luminance: L of the photo, shape (H, W), from 0 to 100.
        seed: Of what the patterns leave to chance.

    Returns:
        sRGB uint8 of shape (H', W', 3).
    """
    side, names = _SHEET_SIDE, (*_CAPTIONED, *SEED_PATTERNS)
    luminance = np.asarray(luminance, np.float32)
    top, left = ((length - min(luminance.shape)) // 2 for length in luminance.shape)
    square = luminance[top:, left:][: min(luminance.shape), : min(luminance.shape)]
    small = _resized(square, (side, side))
    rows = -(-len(names) // _SHEET_COLUMNS)
    sheet = Image.new("RGB", (side * _SHEET_COLUMNS, (side + _CAPTION) * rows), "white")
    write = ImageDraw.Draw(sheet)
    for i, name in enumerate(names):
        mask = make_mask(name, (side, side), seed=seed, image=small)[..., None]
        tint = np.where(mask > 0, _SHEET_TINT, 0)
        rgb = lab2rgb(np.dstack([small * _SHEET_RANGE + 100 - 100 * _SHEET_RANGE, tint]))
        x, y = i % _SHEET_COLUMNS * side, i // _SHEET_COLUMNS * (side + _CAPTION)
        sheet.paste(Image.fromarray(np.rint(rgb * 255).astype(np.uint8)), (x, y + _CAPTION))
        write.text((x + 4, y + 3), name, "black", font_size=11)
    return np.asarray(sheet)
