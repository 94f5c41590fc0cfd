"""Steering: what a network makes of hints, and of masks.

    from colorizer.steering import measure_hints, measure_masks, write_report
    write_report(measure_hints(["default"], ["flowers17"]), "results/hints")

Purpose
    `evaluate` measures automatic colouring. Here is measured how well a network follows: how
    much each revealed colour helps, and whether it keeps its colours inside a mask. Photographs,
    truth and input are those of `colorizer.benchmark`. All that is drawn is drawn from the name
    of a photograph, `SOURCE/PATH`: others beside it change nothing, and the same command twice
    writes the same bytes.

Hints
    The protocol of Zhang et al. [1]: at random places, squares of 6×6 pixels show the mean
    colour of the true photograph. Each photograph has 100 places, uniform over all squares that
    lie wholly inside it, and N hints are the first N of them, so those of a smaller count are
    among those of a larger one. The colour is the mean of the square's sRGB bytes, rounded. The
    output is what `predict.Colorizer` gives its users; a set's figure is the mean over its
    photographs. `psnr_gain` is what the hints add: the PSNR less that of the same model without
    any; 0 is therefore always among the counts. The published curve is of other photographs
    (ImageNet's): its slope may be compared, its height may not.

Masks
    The network alone (`predict.Colorizer.predict_ab`): what leaves `Colorizer` is gray outside
    of every mask, whatever the network does. Its ab, brought to the photograph's size bilinearly,
    is measured on the pixels inside and outside of a mask that is drawn at that size:

    `leakage`            mean |ab| outside over mean |ab| inside; pooled as the sum of the
                         photographs' means outside over the sum of their means inside
    `chroma_outside`     mean |ab| outside, Lab units
    `psnr_gain_inside`   PSNR of the pixels inside less that of their gray, dB
    `ab_error_inside`    mean Euclidean ab error of the pixels inside, Lab units
    `colorfulness_inside`  of the pixels inside; no better for being high

    All but `leakage` are means over the photographs. "mean" is the mean of a figure over the
    kinds of masks. No leakage is easily had by no colour: read it beside the figures inside.

References
    [1] R. Zhang et al., "Real-time user-guided image colorization with learned deep priors",
        SIGGRAPH 2017.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage.color import rgb2lab

from colorizer import benchmark, metrics, report
from colorizer.benchmark import Survey, Track
from colorizer.masks import Mask, make_mask
from colorizer.metrics import RGB, Ratio
from colorizer.predict import Colorizer

HINT_COUNTS = (0, 1, 2, 5, 10, 20, 50, 100)
MASK_KINDS = ("brush", "polygons", "superpixels", "white-noise")
MEAN = "mean"  # over the kinds of masks

PLACES = 100  # per photograph
SQUARE = 6  # pixels along the side of what is revealed
EXAMPLES = 3  # photographs in the grid, with every kind of mask

SIGGRAPH17 = (24.4, 25.4, 26.2, 27.4, 28.4, 29.3, 30.4, 31.1)
"""Published mean PSNR in dB of [1] at `HINT_COUNTS`; all gray scores 22.7 there."""

FIGURES = {
    "hints": ("psnr", "psnr_gain", "delta_e", "colorfulness"),
    "mask": (
        "leakage",
        "chroma_outside",
        "psnr_gain_inside",
        "ab_error_inside",
        "colorfulness_inside",
    ),
}
"""Input of the network → figures, in the order of the tables."""

Hint = tuple[float, float, tuple[int, ...], float]
Row = dict[str, Ratio]
Draw = Callable[[RGB, RGB, str], dict[str, Any]]  # true, gray, name → way → hints or mask
Follow = Callable[..., dict[str, tuple[Row, RGB]]]  # `_follow_hints` or `_follow_masks`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Steering:
    """What was measured, and on what.

    Attributes:
        by: the input that steers: "hints" or "mask".
        config: the arguments of `measure_hints` or `measure_masks`.
        data: `fingerprint`, `photographs` and `sources` (counts), `skipped` (name → reason).
        models: name in the tables → what it is, with its checksum.
        versions: of everything that could change a figure.
        figures: model → number of hints, or kind of mask → figure; NaN where there was
            nothing to measure.
        examples: rows of the grid, of masks only: gray, mask, and what each model made of them
            without a gate, sRGB `uint8` (size, size, 3).
    """

    by: str
    config: dict[str, Any]
    data: dict[str, Any]
    models: dict[str, dict[str, Any]]
    versions: dict[str, str]
    figures: dict[str, dict[str, dict[str, float]]]
    examples: tuple[tuple[RGB, ...], ...] = ()


# ---------------------------------------------------------------------------- what is drawn


def photograph_seed(name: str) -> int:
    """The seed of all that is drawn for a photograph, from its name alone."""
    return int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8])


def draw_hints(true: RGB, name: str) -> list[Hint]:
    """All `PLACES` hints of a photograph: the first N of them are what N hints reveal.

    Args:
        true: sRGB `uint8` (H, W, 3), of at least 6 pixels a side.
        name: of the photograph; it settles the places.

    Returns:
        (x, y, colour, radius) each, the point being the middle of the square.
    """
    rng = np.random.default_rng(photograph_seed(name))
    height, width = true.shape[:2]
    corners = rng.integers(0, (width - SQUARE + 1, height - SQUARE + 1), (PLACES, 2)).tolist()
    # Pixels are named by their centres: the middle of pixels 0 to 5 is at 2.5.
    middle, radius = (SQUARE - 1) / 2, SQUARE / 2
    hints = []
    for x, y in corners:
        mean = true[y : y + SQUARE, x : x + SQUARE].mean(axis=(0, 1))
        hints.append((x + middle, y + middle, tuple(np.rint(mean).astype(int).tolist()), radius))
    return hints


def draw_masks(gray: RGB, name: str, kinds: Iterable[str]) -> dict[str, Mask]:
    """The masks of a photograph: kind → (H, W) of 0 and 1, both present.

    Args:
        gray: `uint8` (H, W, 1); superpixels follow it.
        name: of the photograph; it settles the masks.
        kinds: as `masks.make_mask` takes them.

    Raises:
        ValueError: an unknown kind.
    """
    luminance, seed = benchmark.luminance_of(gray), photograph_seed(name)
    return {kind: make_mask(kind, gray.shape[:2], seed=seed, image=luminance) for kind in kinds}


# --------------------------------------------------------------- the figures of a photograph


def _follow_hints(
    network: Colorizer, true: RGB, gray: RGB, hints: dict[str, list[Hint]], vividness: float | None
) -> dict[str, tuple[Row, RGB]]:
    """Count → the figures, and the output; the first count is 0."""
    answers = {}
    outputs = {n: network(gray, vividness=vividness, hints=given) for n, given in hints.items()}
    psnr = {count: metrics.psnr(true, output) for count, output in outputs.items()}
    for count, output in outputs.items():
        figures = {
            "psnr": psnr[count],
            "psnr_gain": psnr[count] - psnr["0"],
            "delta_e": metrics.delta_e(true, output),
            "colorfulness": metrics.colorfulness(output),
        }
        answers[count] = {name: Ratio(value, 1.0) for name, value in figures.items()}, output
    return answers


def _follow_masks(
    network: Colorizer, true: RGB, gray: RGB, masks: dict[str, Mask], vividness: float | None
) -> dict[str, tuple[Row, RGB]]:
    """Kind → the figures, and gray with the colours of the network alone."""
    answers = {}
    luminance, size = benchmark.luminance_of(gray), gray.shape[:2]
    for kind, mask in masks.items():
        ab = network.predict_ab(luminance, vividness=vividness, mask=mask)
        ab = benchmark.resize_ab(ab, size, Image.Resampling.BILINEAR)
        output = benchmark.merge(gray, ab)
        answers[kind] = mask_figures(true, gray, ab, output, mask), output
    return answers


def mask_figures(true: RGB, gray: RGB, ab: np.ndarray, output: RGB, mask: Mask) -> Row:
    """One photograph's `FIGURES["mask"]`.

    Args:
        true: sRGB `uint8` (H, W, 3).
        gray: `uint8` (H, W, 1).
        ab: predicted colours (H, W, 2) in Lab units.
        output: both merged, sRGB `uint8` (H, W, 3).
        mask: (H, W), 0 outside, above 0 inside; both present.
    """
    inside = mask > 0

    def pixels(picture: RGB) -> RGB:
        return picture[inside][None]

    leakage = metrics.ab_leakage(ab, mask)
    gray_rgb = np.repeat(gray, 3, axis=-1)
    errors = np.linalg.norm(ab - rgb2lab(true)[..., 1:], axis=-1)[inside]
    return {
        "leakage": leakage,
        "chroma_outside": Ratio(leakage.numerator, 1.0),
        "psnr_gain_inside": metrics.psnr_gain(pixels(true), pixels(output), pixels(gray_rgb)),
        "ab_error_inside": Ratio(float(errors.mean()), 1.0),
        "colorfulness_inside": Ratio(metrics.colorfulness(pixels(output)), 1.0),
    }


# ---------------------------------------------------------------------------- the measuring


def _load(by: str, named: dict[str, str], working_size: int | None) -> dict[str, Colorizer]:
    """The networks, all of which take the input `by`."""
    expected = f"models (--model): expected networks that take the input {by!r}"
    for model in named.values():
        if model in benchmark.BASELINES:
            raise ValueError(f"{expected}. Received: {model}, a baseline")
    networks = benchmark.load_networks(named, working_size=working_size)
    for label, network in networks.items():
        if by not in network.takes:
            inputs = ", ".join(sorted(network.takes))
            raise ValueError(f"{expected}. Received: {named[label]}, which takes {inputs}")
    return networks


def _measure(by: str, config: dict[str, Any], draw: Draw, follow: Follow) -> Steering:
    """Asks every network for every photograph, steered in every way that `draw` has for it."""
    track, vividness = config.pop("track"), config["vividness"]
    benchmark.check_numbers(config["size"], config["limit"], vividness)
    named = benchmark.labels("models (--model)", config["models"], benchmark.model_name)
    found = benchmark.find_photographs(config["sources"], config["split"], config["limit"])
    survey = Survey(config["size"], found)
    networks = _load(by, named, config["working_size"])
    collections.deque(survey.read(track), maxlen=0)
    shown = {photo.name for photo in benchmark.spread(survey.photographs, EXAMPLES)}
    rows: dict[str, dict[str, list[Row]]] = {label: {} for label in named}
    examples: list[tuple[RGB, ...]] = []
    for photo, true, gray in survey.pictures(track):
        drawn = draw(true, gray, photo.name)
        answers = {n: follow(networks[n], true, gray, drawn, vividness) for n in named}
        for label, steered in answers.items():
            for way, (row, _) in steered.items():
                rows[label].setdefault(way, []).append(row)
        if by == "mask" and photo.name in shown:
            pictures = {way: [answers[n][way][1] for n in named] for way in drawn}
            examples += [_example(gray, drawn[way], pictures[way]) for way in drawn]
    return Steering(
        by=by,
        config={
            **config,
            "models": [*map(str, config["models"])],
            "sources": [*map(str, config["sources"])],
        },
        data=survey.describe(),
        models=benchmark.describe_models(named, networks, vividness),
        versions=benchmark.versions(),
        figures={
            label: {way: metrics.summarise(table) for way, table in ways.items()}
            for label, ways in rows.items()
        },
        examples=tuple(examples),
    )


def _example(gray: RGB, mask: Mask, outputs: Iterable[RGB]) -> tuple[RGB, ...]:
    """A row of the grid: gray, mask, outputs."""
    white = (mask[..., None] * 255).astype("uint8")
    return (*(np.repeat(plane, 3, axis=-1) for plane in (gray, white)), *outputs)


def measure_hints(
    models: Sequence[str],
    sources: Sequence[str],
    *,
    counts: Iterable[int] = HINT_COUNTS,
    split: str = "test",
    size: int = 256,
    limit: int | None = None,
    vividness: float | None = None,
    working_size: int | None = None,
    track: Track = benchmark.untracked,
) -> Steering:
    """Measures what revealed colours add, by the protocol above.

    Args:
        models: released names, `.json` files of models, folders of runs: networks that take
            hints.
        sources: folders, or names of data sets.
        counts: numbers of hints, from 0 to 100; 0 is measured in any case.
        split, size, limit, vividness, working_size, track: as of `evaluate.evaluate`.

    Raises:
        ValueError: an unknown source, a model that is none or takes no hints, a number out of
            its range, or not one photograph.
    """
    config = dict(locals())
    config["counts"] = chosen = sorted({0, *counts})
    if chosen[0] < 0 or chosen[-1] > PLACES:
        raise ValueError(f"counts (--hints): expected 0 to {PLACES} hints. Received: {chosen}")

    def draw(true: RGB, gray: RGB, name: str) -> dict[str, list[Hint]]:
        hints = draw_hints(true, name)
        return {str(count): hints[:count] for count in chosen}

    return _measure("hints", config, draw, _follow_hints)


def measure_masks(
    models: Sequence[str],
    sources: Sequence[str],
    *,
    kinds: Iterable[str] = MASK_KINDS,
    split: str = "test",
    size: int = 256,
    limit: int | None = None,
    vividness: float | None = None,
    working_size: int | None = None,
    track: Track = benchmark.untracked,
) -> Steering:
    """Measures where networks put their colours when nothing cuts them off, by the protocol above.

    Args:
        models: released names, `.json` files of models, folders of runs: networks that take a
            mask.
        sources: folders, or names of data sets.
        kinds: of masks, as `masks.make_mask` takes them.
        split, size, limit, vividness, working_size, track: as of `evaluate.evaluate`.

    Raises:
        ValueError: an unknown source or kind, a model that is none or takes no mask, a number
            out of its range, or not one photograph.
    """
    config = dict(locals())
    config["kinds"] = chosen = [*kinds]
    if not chosen or len({*chosen}) < len(chosen):
        raise ValueError(f"kinds (--mask): expected at least one, each once. Received: {chosen}")
    draw_masks(np.zeros((PLACES, PLACES, 1), "uint8"), "", chosen)  # knows what is a kind

    def draw(true: RGB, gray: RGB, name: str) -> dict[str, Mask]:
        return draw_masks(gray, name, chosen)

    steering = _measure("mask", config, draw, _follow_masks)
    for ways in steering.figures.values():
        columns = {name: [own[name] for own in ways.values()] for name in FIGURES["mask"]}
        ways[MEAN] = {name: float(np.mean(column)) for name, column in columns.items()}
    return steering


# ------------------------------------------------------------------------------ the report


def write_report(steering: Steering, folder: str | Path) -> Path:
    """Writes `hints.json`, `.csv`, `.png`, or `masks.json`, `.csv`, `.png`, into a folder.

    The JSON holds the settings and all figures, NaN as null; the CSV the figures. The picture
    is the curve of PSNR against hints, or the grid of what networks make of masks.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stem = "masks" if steering.by == "mask" else "hints"
    parts = ("config", "data", "models", "versions", "figures")
    described = {part: getattr(steering, part) for part in parts}
    report.write_json(folder / f"{stem}.json", described)
    names = FIGURES[steering.by]
    lines = ([*key, *map(own.get, names)] for key, own in _lines(steering))
    report.write_csv(folder / f"{stem}.csv", ["model", steering.by, *names], lines)
    if steering.by == "mask":
        columns = ["gray", "mask", *steering.figures]
        report.draw_grid(folder / "masks.png", columns, steering.examples)
    else:
        _draw_curve(steering, folder / "hints.png")
    return folder


def _lines(steering: Steering) -> Iterator[tuple[tuple[str, str], dict[str, float]]]:
    """(model, count or kind) and the figures, in order."""
    for model, ways in steering.figures.items():
        for way, figures in ways.items():
            yield (model, way), figures


def _draw_curve(steering: Steering, path: Path) -> None:
    counts = steering.config["counts"]
    report.draw_curves(
        path,
        {
            model: (counts, [ways[str(count)]["psnr"] for count in counts])
            for model, ways in steering.figures.items()
        },
        dashed={"SIGGRAPH17, other photographs": (HINT_COUNTS, SIGGRAPH17)},
        counts=sorted({*counts, *HINT_COUNTS}),
        xlabel="hints",
        ylabel="PSNR, dB",
    )


def print_report(steering: Steering) -> None:
    """Prints the figures: a row for each model and count of hints, or kind of mask."""
    console = report.report_console()
    lines = list(_lines(steering))
    index = [("model", steering.by), *(key for key, _ in lines)]
    columns = {
        name: [report.format_figure(figures[name]) for _, figures in lines]
        for name in FIGURES[steering.by]
    }
    report.print_table(console, f"{steering.data['photographs']} photographs", index, columns)
    console.print(f"data: {steering.data['fingerprint']}")
