"""The benchmark: models on photographs, in one table that others can repeat.

    from colorizer.evaluate import evaluate, write_report
    evaluation = evaluate(["default", "gray", "truth_64"], ["flowers17"])
    write_report(evaluation, "results/evaluation")

Purpose
    The table that ranks colorizers: photographs, truth and input by the protocol of
    `colorizer.benchmark`, metrics by `colorizer.metrics`. It holds no dates: the same command
    twice writes the same bytes. A model's output is what `predict.Colorizer` gives its users;
    baselines put their colours on the same gray.

Baselines, which need no training
    `gray`        no colour: `psnr_gain`, the PSNR less that of `gray`, is 0 for it.
    `mean_color`  one colour for all pixels: the mean ab of the true photographs evaluated. It
                  is the constant of least squared ab error, hence no weaker than the mean of
                  any model's training data, and the same whichever models are compared.
    `truth_64`    the true ab brought to 64×64 by area and back, bicubic: a ceiling for
                  networks whose colours are coarser than their luminance.

Figures
    One row of `metrics.Ratio` per photograph and model is kept; a set's figures are
    `metrics.summarise` of its rows, for all together and for each source. The class weights
    of `auc_rebalanced` come from the true photographs of the whole set, so they are the same
    for every model in a table. `truth` has the colourfulness of the true photographs. The
    Fréchet distance [1] is of the whole set, between features of outputs and truths, by one
    extractor, which the table names; Keras's InceptionV3 is not the network of published
    FIDs: compare within a table only. `leakage` needs masks, which whole photographs lack.

References
    [1] Heusel et al., "GANs trained by a two time-scale update rule", NeurIPS 2017.
"""

import collections
import dataclasses
import hashlib
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from PIL import Image
from skimage.color import rgb2lab

from colorizer import benchmark, color, metrics, report
from colorizer.benchmark import ALL, TRUTH, Photograph, Survey, Track
from colorizer.extractors import pooled_application
from colorizer.metrics import METRICS, RGB, Ratio
from colorizer.predict import Colorizer

FIGURES: dict[str, str] = {
    "psnr": METRICS["psnr"].better,
    "psnr_gain": "higher",
    **{name: metric.better for name, metric in METRICS.items() if "mask" not in metric.needs},
}
"""The figures: name → which is better, "higher", "lower", nearer to "zero"; "none": the truth's."""

SOURCE_FIGURES = ("psnr_gain", "colorfulness_difference")  # the two that are shown per source
EXTRACTORS = {"InceptionV3": ("inception_v3", 299), "MobileNetV2": ("mobilenet_v2", 224)}
"""Keras's name → its module, and the side in pixels it was trained at."""

TRUTH_SIDE = 64  # pixels
LUMINANCE_STEP = 5  # units of L in [0, 100] per point of the plot
EXAMPLES = 8  # photographs in the grid

System = Callable[[RGB, RGB], RGB]  # the true photograph and its gray → the coloured one


class Row(NamedTuple):
    """The figures of one photograph by one model; `truth` is a model too."""

    source: str
    photograph: str
    model: str
    figures: dict[str, Ratio]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was measured, and on what.

    Attributes:
        config: the arguments of `evaluate`.
        data: `fingerprint`, `photographs` and `sources` (counts), `skipped` (name → reason).
        models: name in the tables → what it is, with its checksum.
        features: the extractor of the Fréchet distance, if it was measured, with its checksum.
        versions: of everything that could change a figure.
        figures: source (or "all") → model (or "truth") → metric → figure; NaN where there
            was nothing to measure.
        rows: one for each photograph and model, in order.
        luminance_errors: model → mean Euclidean ab error per step of 5 in true L, (20,).
        examples: rows of the figure grid: column → sRGB uint8, (size, size, 3).
    """

    config: dict[str, Any]
    data: dict[str, Any]
    models: dict[str, dict[str, Any]]
    features: dict[str, str] | None
    versions: dict[str, str]
    figures: dict[str, dict[str, dict[str, float]]]
    rows: tuple[Row, ...]
    luminance_errors: dict[str, list[float]]
    examples: tuple[dict[str, RGB], ...]

    @property
    def metrics(self) -> dict[str, str]:
        """The metrics measured → their headings, which name the extractor of features."""
        named = {"frechet_distance": f"frechet_distance ({(self.features or {}).get('extractor')})"}
        return {name: named.get(name, name) for name in self.config["metrics"]}


# ------------------------------------------------------------------------- the photographs


def _survey(
    survey: Survey, chosen: Collection[str], track: Track
) -> tuple[np.ndarray | None, np.ndarray]:
    """Reads all true photographs: the class weights (313,) of their colours, their mean ab (2,).

    The weights are None where no metric that was chosen needs them.
    """
    ab_means: list[np.ndarray] = []

    def truths() -> Iterator[RGB]:
        for true in survey.read(track):
            ab_means.append(rgb2lab(true)[..., 1:].mean(axis=(0, 1)))
            yield true

    weights = None
    if "auc_rebalanced" in chosen:
        weights = metrics.rebalancing_weights(truths(), bins=color.AB_BINS)
    else:
        collections.deque(truths(), maxlen=0)
    return weights, np.mean(ab_means, axis=0)


# ------------------------------------------------------------------------------ the models


def _truth_64(true: RGB, gray: RGB) -> RGB:
    height, width = true.shape[:2]
    ab = rgb2lab(true)[..., 1:]
    small = (min(TRUTH_SIDE, height), min(TRUTH_SIDE, width))
    coarse = benchmark.resize_ab(ab, small, Image.Resampling.BOX)
    return benchmark.merge(
        gray, benchmark.resize_ab(coarse, (height, width), Image.Resampling.BICUBIC)
    )


def _baseline(name: str, mean_ab: np.ndarray) -> System:
    if name == "truth_64":
        return _truth_64
    ab = mean_ab if name == "mean_color" else np.zeros(2)
    return lambda true, gray: benchmark.merge(gray, np.broadcast_to(ab, (*gray.shape[:2], 2)))


def _colored_by(network: Colorizer, vividness: float | None) -> System:
    return lambda true, gray: network(gray, vividness=vividness)


def _describe_extractor(features: str) -> dict[str, str]:
    name, _, file = features.partition(":")
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else "imagenet"
    return {"extractor": name, "weights": digest}


def _extractor(features: str) -> Callable[[list[RGB]], np.ndarray]:
    """The function from photographs to features (N, D) of `NAME` or `NAME:FILE`."""
    module, side = EXTRACTORS.get(features.partition(":")[0], ("", 0))
    network = pooled_application(features, side, known=EXTRACTORS, argument="features")
    preprocess = getattr(keras.applications, module).preprocess_input

    def extract(photographs: list[RGB]) -> np.ndarray:
        batch = keras.ops.cast(np.stack(photographs), "float32")
        batch = keras.ops.image.resize(batch, (side, side), antialias=True)
        return network.predict_on_batch(preprocess(batch))

    return extract


# ---------------------------------------------------------------------------- the measuring


class _Tally:
    """Everything measured so far."""

    def __init__(
        self,
        chosen: Sequence[str],
        photographs: Sequence[Photograph],
        class_weights: np.ndarray | None,
        extract: Any | None,
    ) -> None:
        self.chosen, self.extract = chosen, extract
        self.options = {"bins": color.AB_BINS, "class_weights": class_weights}
        self.rows: list[Row] = []
        self.features: dict[str, list[np.ndarray]] = {}
        self.luminance_errors: dict[str, np.ndarray] = {}
        self.example_names = {photo.name for photo in benchmark.spread(photographs, EXAMPLES)}
        self.examples: list[dict[str, RGB]] = []

    def add(self, photo: Photograph, true: RGB, gray: RGB, outputs: dict[str, RGB]) -> None:
        """Measures one photograph, coloured by each model."""
        gray_rgb = np.repeat(gray, 3, axis=-1)
        for model, predicted in outputs.items():
            measured = metrics.measure(true, predicted, names=self.chosen, **self.options)
            measured["psnr_gain"] = metrics.psnr_gain(true, predicted, gray_rgb)
            figures = {name: measured[name] for name in self.chosen if name in measured}
            self.rows.append(Row(photo.source, photo.name, model, figures))
            errors = _luminance_errors(true, predicted)
            self.luminance_errors[model] = self.luminance_errors.get(model, 0) + errors
        own = {
            "colorfulness": Ratio(metrics.colorfulness(true), 1.0),
            "colorfulness_absolute": Ratio(metrics.colorfulness(true, absolute=True), 1.0),
        }
        self.rows.append(Row(photo.source, photo.name, TRUTH, own))
        if self.extract is not None:
            features = self.extract([*outputs.values(), true])
            for model, vector in zip([*outputs, TRUTH], features, strict=True):
                self.features.setdefault(model, []).append(vector)
        if photo.name in self.example_names:
            self.examples.append({"gray": gray_rgb, **outputs, TRUTH: true})

    def errors(self) -> dict[str, list[float]]:
        """Model → mean ab error per step of luminance, NaN where no pixel has it."""
        with np.errstate(invalid="ignore"):
            return {
                n: (total / count).tolist() for n, (total, count) in self.luminance_errors.items()
            }

    def figures(self) -> dict[str, dict[str, dict[str, float]]]:
        """Source, or "all" → model → metric → figure."""
        groups: dict[str, dict[str, list[dict[str, Ratio]]]] = {ALL: {}}
        for row in self.rows:
            for source in (ALL, row.source):
                models = groups.setdefault(source, {})
                models.setdefault(row.model, []).append(row.figures)
        summary = {
            source: {model: metrics.summarise(rows) for model, rows in models.items()}
            for source, models in groups.items()
        }
        if self.features:
            truth = metrics.feature_statistics(self.features.pop(TRUTH))
            for model, vectors in self.features.items():
                distance = metrics.frechet_distance(*metrics.feature_statistics(vectors), *truth)
                summary[ALL][model]["frechet_distance"] = distance
        return summary


def _luminance_errors(true: RGB, predicted: RGB) -> np.ndarray:
    """Sum of the ab errors, and count of the pixels, per step of true L: (2, 20)."""
    true_lab, lab = rgb2lab(true), rgb2lab(predicted)
    errors = np.hypot(*np.moveaxis(true_lab - lab, -1, 0)[1:]).ravel()
    steps = 100 // LUMINANCE_STEP
    index = np.clip(true_lab[..., 0].ravel() // LUMINANCE_STEP, 0, steps - 1).astype(int)
    return np.stack([np.bincount(index, w, minlength=steps) for w in (errors, None)])


def _chosen_metrics(wanted: Sequence[str] | None, features: str | None) -> list[str]:
    """The metrics to measure, in the order of `FIGURES`."""
    names = [name for name in FIGURES if name != "frechet_distance"] if wanted is None else wanted
    if not names or not set(names) <= set(FIGURES):
        raise ValueError(f"metrics: expected any of {', '.join(FIGURES)}. Received: {list(names)}")
    if features is None and "frechet_distance" in names:
        raise ValueError("features: frechet_distance needs an extractor. Received: None")
    extra = [] if features is None else ["frechet_distance"]
    return [name for name in FIGURES if name in {*names, *extra}]


def evaluate(
    models: Sequence[str],
    sources: Sequence[str],
    *,
    split: str = "test",
    size: int = 256,
    limit: int | None = None,
    metrics: Sequence[str] | None = None,
    vividness: float | None = None,
    working_size: int | None = None,
    features: str | None = None,
    track: Track = benchmark.untracked,
) -> Evaluation:
    """Measures models on photographs, by the protocol above.

    Args:
        models: baselines, released names, `.json` files of models, folders of runs.
        sources: folders, or names of data sets.
        split: "train", "validation" or "test".
        size: side of the square photographs, in pixels, at least 11.
        limit: at most that many photographs, evenly spread; None = all.
        metrics: names of `FIGURES`; None = all that need no extractor.
        vividness, working_size: as of `predict.Colorizer`; None = each model's own.
        features: "InceptionV3" or "MobileNetV2", whose weights Keras downloads, or
            "NAME:FILE.weights.h5" (weights without the top): adds `frechet_distance` by it.
        track: (photographs, description) → the same, passed on as they are worked on.

    Raises:
        ValueError: an unknown model, metric or source, a number out of its range, or not one
            photograph.
    """
    config = dict(locals())
    del config["track"]
    chosen = _chosen_metrics(metrics, features)
    benchmark.check_numbers(size, limit, vividness)
    named = benchmark.labels("models (--model)", models, benchmark.model_name)
    survey = Survey(size, benchmark.find_photographs(sources, split, limit))
    networks = benchmark.load_networks(named, working_size=working_size)
    extract = _extractor(features) if features else None
    weights, mean_ab = _survey(survey, chosen, track)
    systems = {label: _baseline(label, mean_ab) for label in named if label not in networks}
    systems |= {label: _colored_by(network, vividness) for label, network in networks.items()}
    tally = _Tally(chosen, survey.photographs, weights, extract)
    for photo, true, gray in survey.pictures(track):
        tally.add(photo, true, gray, {label: systems[label](true, gray) for label in named})
    return Evaluation(
        config={
            **config,
            "models": [*map(str, models)],
            "sources": [*map(str, sources)],
            "metrics": chosen,
        },
        data=survey.describe(),
        models=benchmark.describe_models(named, networks, vividness),
        features=_describe_extractor(features) if features else None,
        versions=benchmark.versions(),
        figures=tally.figures(),
        rows=tuple(tally.rows),
        luminance_errors=tally.errors(),
        examples=tuple(tally.examples),
    )


# ------------------------------------------------------------------------------ the report


def _write_tables(evaluation: Evaluation, folder: Path) -> None:
    names = evaluation.metrics
    figures = (
        [source, model, *map(own.get, names)]
        for source, models in evaluation.figures.items()
        for model, own in models.items()
    )
    report.write_csv(folder / "figures.csv", ["source", "model", *names.values()], figures)
    rows = (
        [*row[:3], name, ratio.value, ratio.denominator]
        for row in evaluation.rows
        for name, ratio in row.figures.items()
    )
    header = ["source", "photograph", "model", "metric", "value", "weight"]
    report.write_csv(folder / "photographs.csv", header, rows)


def _draw(evaluation: Evaluation, folder: Path) -> None:
    examples, errors = evaluation.examples, evaluation.luminance_errors
    rows = [list(row.values()) for row in examples]
    report.draw_grid(folder / "grid.png", list(examples[0]), rows)
    steps = (np.arange(100 // LUMINANCE_STEP) + 0.5) * LUMINANCE_STEP
    report.draw_curves(
        folder / "error_by_luminance.png",
        {model: (steps, values) for model, values in errors.items()},
        xlabel="L of the true photograph",
        ylabel="mean ab error, Lab units",
        xlim=(0, 100),
        ylim=(0, None),
    )


def write_report(evaluation: Evaluation, folder: str | Path) -> Path:
    """Writes an evaluation into a folder, replacing the one that was there.

    `evaluation.json` holds all but the rows, NaN as null; `figures.csv` the figures of all and
    of each source; `photographs.csv` the rows: a set's figure is the mean of the values by
    weight. `grid.png` and `error_by_luminance.png` are the pictures.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts = ("config", "data", "models", "features", "versions", "figures", "luminance_errors")
    described = {part: getattr(evaluation, part) for part in parts}
    report.write_json(folder / "evaluation.json", described)
    _write_tables(evaluation, folder)
    _draw(evaluation, folder)
    return folder


def print_report(evaluation: Evaluation) -> None:
    """Prints the figures of all photographs, and two of each source; at least 80 wide.

    The column `aim` says which is better, or the true photographs' own figure.
    """
    console = report.report_console()
    names, total = evaluation.metrics, evaluation.data["photographs"]

    def cell(source: str, model: str, name: str) -> str:
        return report.format_figure(evaluation.figures[source].get(model, {}).get(name, math.nan))

    models = [model for model in evaluation.figures[ALL] if model != TRUTH]
    aims = {
        name: cell(ALL, TRUTH, name) if FIGURES[name] == "none" else FIGURES[name] for name in names
    }
    index = [("metric", "aim"), *((heading, aims[name]) for name, heading in names.items())]
    columns = {model: [cell(ALL, model, name) for name in names] for model in models}
    report.print_table(console, f"{total} photographs", index, columns)
    sources = evaluation.data["sources"]
    for name in [n for n in SOURCE_FIGURES if n in names and len(sources) > 1]:
        index = [("source", "photographs"), *((s, str(n)) for s, n in sources.items())]
        columns = {model: [cell(s, model, name) for s in sources] for model in models}
        report.print_table(console, f"{name} by source", index, columns)
    console.print(f"data: {evaluation.data['fingerprint']}")
