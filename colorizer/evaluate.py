"""The benchmark: models on photographs, in one table that others can repeat.

    from colorizer.evaluate import evaluate, write_report
    evaluation = evaluate(["default", "gray", "truth_64"], ["flowers17"])
    write_report(evaluation, "results/evaluation")

Purpose
    Figures of colorizers are hard to compare because the protocol is seldom told: the crop,
    the resampling, the JPEG in between, the pixels that count. Here the protocol is this
    module, the metrics are those of `colorizer.metrics`, and a report says what it was made
    of: the settings, a fingerprint of the photographs, the models' checksums, the versions.
    It holds no dates: the same command twice writes the same bytes.

Protocol
    1. *Photographs*: every one of the split, in the order of the sources and of the paths.
       A folder that is not divided into train, validation and test is taken whole. `limit`
       takes that many, evenly spread. None is left out for being nearly gray. One that cannot
       be decoded is left out, named, and counted.
    2. *Truth*: decoded, short side brought to `size` pixels, centre crop; sRGB `uint8`.
    3. *Input*: the truth's gray, `uint8` as a gray photograph has it, and nothing else: no
       colour can reach a model by accident. Baselines put their colours on the same gray.
    4. *Output*: what `predict.Colorizer` gives its users, `uint8`; never through a file.

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
import csv
import dataclasses
import hashlib
import json
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from skimage.color import rgb2lab

import colorizer
from colorizer import color, data, metrics
from colorizer.metrics import METRICS, RGB, Ratio
from colorizer.predict import Colorizer
from colorizer.sources import source_folder
from colorizer.weights import find_model

ALL, TRUTH = "all", "truth"  # the whole set among the sources, the photographs among the models
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
LABEL_SIZE = 14  # pixels

Track = Callable[[Sequence[Any], str], Iterable[Any]]
System = Callable[[RGB, RGB], RGB]  # the true photograph and its gray → the coloured one


class Photograph(NamedTuple):
    """A file, the source it is of, and its name within the evaluation: `SOURCE/PATH`."""

    source: str
    name: str
    path: Path


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


def _labels(kind: str, given: Sequence[str], shorten: Callable[[str], str]) -> dict[str, str]:
    """Short name → as given; where two would be alike, both keep what was given."""
    reserved = [TRUTH, ALL]
    short = [*map(shorten, given), *reserved]
    labels = [s if short.count(s) == 1 else g for s, g in zip(short, given, strict=False)]
    if not given or len({*labels, *reserved}) < len(labels) + len(reserved):
        raise ValueError(f"{kind}: expected at least one, each once. Received: {list(given)}")
    return dict(zip(labels, given, strict=True))


def _split_files(folder: Path, split: str) -> list[Path]:
    """The files of a split; of a folder without splits, all."""
    if not (folder / "train").is_dir():  # of its own, `data` would cut a split out by hash
        divided = any((folder / name).is_dir() for name in data.SPLITS)
        whole = data.DataConfig(sources=(str(folder / split if divided else folder),))
        return data.photo_files(dataclasses.replace(whole, test_share=1.0), "test")
    return data.photo_files(data.DataConfig(sources=(str(folder),)), split)


def _find_photographs(given: Sequence[str], split: str, limit: int | None) -> list[Photograph]:
    """The photographs of all sources; none is counted twice."""
    if split not in data.SPLITS:
        raise ValueError(f"split must be one of {data.SPLITS}. Received: {split!r}")
    photographs: dict[Path, Photograph] = {}
    for label, source in _labels("sources", given, lambda name: Path(name).resolve().name).items():
        folder = source_folder(source)
        for path in _split_files(folder, split):
            name = f"{label}/{path.relative_to(folder).as_posix()}"
            found = photographs.setdefault(path.resolve(), Photograph(label, name, path))
            if found.source != label:
                raise ValueError(f"sources: {path} is there twice, as {found.name} and {name}")
    table = list(photographs.values())
    return table if limit is None else _spread(table, limit)


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly spread, the first among them."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(count, len(items))).astype(int)]


def _decode(path: Path, size: int) -> RGB:
    """A photograph as (size, size, 3): short side brought to `size`, centre crop."""
    photograph = data.decode_photo(path, size)
    top, left = ((side - size) // 2 for side in photograph.shape[:2])
    return photograph[top : top + size, left : left + size]


@dataclasses.dataclass(frozen=True)
class _Survey:
    """What is known once all true photographs were seen."""

    photographs: list[Photograph]
    skipped: dict[str, str]
    fingerprint: str
    class_weights: np.ndarray
    mean_ab: np.ndarray

    def describe(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "photographs": len(self.photographs),
            "sources": dict(collections.Counter(photo.source for photo in self.photographs)),
            "skipped": self.skipped,
        }


def _survey(photographs: Sequence[Photograph], size: int, track: Track) -> _Survey:
    readable: list[Photograph] = []
    skipped: dict[str, str] = {}
    digests, ab_means = [], []

    def truths() -> Iterator[RGB]:
        for photo in track(photographs, "Reading"):
            digest = ""
            try:
                digest = hashlib.sha256(photo.path.read_bytes()).hexdigest()
                true = _decode(photo.path, size)
            except Exception as error:  # Pillow's decoders raise of every kind
                skipped[photo.name] = " ".join(str(error).split()) or type(error).__name__
            else:
                readable.append(photo)
                ab_means.append(rgb2lab(true)[..., 1:].mean(axis=(0, 1)))
                yield true
            finally:
                digests.append(f"{photo.name}\0{digest}\n".encode(errors="surrogateescape"))
        if not readable:
            name, reason = next(iter(skipped.items()))
            raise ValueError(f"sources: none of {len(skipped)} can be decoded; {name}: {reason}")

    weights = metrics.rebalancing_weights(truths(), bins=color.AB_BINS)
    fingerprint = hashlib.sha256(b"".join(sorted(digests))).hexdigest()
    return _Survey(readable, skipped, fingerprint, weights, np.mean(ab_means, axis=0))


# ------------------------------------------------------------------------------ the models


def _merge(gray: RGB, ab: np.ndarray) -> RGB:
    """Gray `uint8` (H, W, 1) and ab (H, W, 2) in Lab units → sRGB `uint8` (H, W, 3)."""
    lab = np.concatenate([color.rgb_to_luminance(gray), ab.astype("float32")], axis=-1)
    return np.rint(keras.ops.convert_to_numpy(color.lab_to_rgb(lab)) * 255).astype("uint8")


def _gray(true: RGB) -> RGB:
    """The gray photograph (H, W, 1) `uint8` of the same luminance."""
    gray = color.luminance_to_gray(color.rgb_to_luminance(true))
    return np.rint(keras.ops.convert_to_numpy(gray) * 255).astype("uint8")


def _truth_64(true: RGB, gray: RGB) -> RGB:
    resize, height, width = Image.Resampling, *true.shape[:2]
    small = (min(TRUTH_SIDE, width), min(TRUTH_SIDE, height))
    channels = [
        Image.fromarray(channel).resize(small, resize.BOX).resize((width, height), resize.BICUBIC)
        for channel in np.moveaxis(rgb2lab(true)[..., 1:].astype("float32"), -1, 0)
    ]
    return _merge(gray, np.stack([np.asarray(channel) for channel in channels], axis=-1))


BASELINES = ("gray", "mean_color", "truth_64")


def _baseline(name: str, mean_ab: np.ndarray) -> System:
    if name == "truth_64":
        return _truth_64
    ab = mean_ab if name == "mean_color" else np.zeros(2)
    return lambda true, gray: _merge(gray, np.broadcast_to(ab, (*gray.shape[:2], 2)))


def _model_name(model: str) -> str:
    if model in BASELINES:
        return model
    path = find_model(model)
    return path.resolve().parent.name if path.stem == "model" else path.stem


def _colored_by(network: Colorizer, vividness: float | None) -> System:
    return lambda true, gray: network(gray, vividness=vividness)


def _describe(model: str, network: Colorizer | None, vividness: float | None) -> dict[str, Any]:
    """What a model is, for the report."""
    if network is None:
        return {"model": model}
    return {
        "model": model,
        "sha256": network.pretrained.details["sha256"],
        "vividness": network.vividness if vividness is None else vividness,
        "working_size": network.working_size,
    }


def _describe_extractor(features: str) -> dict[str, str]:
    name, _, file = features.partition(":")
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else "imagenet"
    return {"extractor": name, "weights": digest}


def _versions() -> dict[str, str]:
    packages = ("keras", keras.backend.backend(), "numpy", "scipy", "scikit-image", "pillow")
    found = {package: version(package) for package in packages}
    return {"colorizer": colorizer.__version__, "python": platform.python_version(), **found}


def _extractor(features: str) -> Callable[[list[RGB]], np.ndarray]:
    """The function from photographs to features (N, D) of `NAME` or `NAME:FILE`."""
    name, _, file = features.partition(":")
    if name not in EXTRACTORS or (file and not Path(file).is_file()):
        expected = " or ".join(f"{known}[:FILE.h5]" for known in EXTRACTORS)
        raise ValueError(f"features: expected {expected}, of a file there. Received: {features!r}")
    module, side = EXTRACTORS[name]
    arguments = {"include_top": False, "pooling": "avg", "input_shape": (side, side, 3)}
    try:
        network = getattr(keras.applications, name)(weights=file or "imagenet", **arguments)
    except Exception as error:  # of a download Keras raises plain `Exception`
        raise ValueError(f"features: no weights for {features!r}: {error}") from error
    preprocess = getattr(keras.applications, module).preprocess_input
    network.compile(jit_compile=False)

    def extract(photographs: list[RGB]) -> np.ndarray:
        batch = keras.ops.cast(np.stack(photographs), "float32")
        batch = keras.ops.image.resize(batch, (side, side), antialias=True)
        return network.predict_on_batch(preprocess(batch))

    return extract


# ---------------------------------------------------------------------------- the measuring


class _Tally:
    """Everything measured so far."""

    def __init__(self, chosen: Sequence[str], survey: _Survey, extract: Any | None) -> None:
        self.chosen, self.extract = chosen, extract
        self.options = {"bins": color.AB_BINS, "class_weights": survey.class_weights}
        self.rows: list[Row] = []
        self.features: dict[str, list[np.ndarray]] = {}
        self.luminance_errors: dict[str, np.ndarray] = {}
        self.example_names = {photo.name for photo in _spread(survey.photographs, EXAMPLES)}
        self.examples: list[dict[str, RGB]] = []

    def add(self, photo: Photograph, true: RGB, gray: RGB, outputs: dict[str, RGB]) -> None:
        """Measures one photograph, coloured by each model."""
        gray_rgb = np.repeat(gray, 3, axis=-1)
        gray_psnr = metrics.psnr(true, gray_rgb)
        for model, predicted in outputs.items():
            measured = metrics.measure(true, predicted, **self.options)
            measured["psnr_gain"] = Ratio(measured["psnr"].value - gray_psnr, 1.0)
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


def _check_numbers(size: int, limit: int | None, vividness: float | None) -> None:
    if size < metrics.SSIM_WINDOW:
        raise ValueError(f"size: expected {metrics.SSIM_WINDOW} or more pixels. Received: {size}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit: expected at least 1 photograph. Received: {limit}")
    if vividness is not None:
        color.vividness_to_decoding(vividness)


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
    track: Track = lambda items, description: items,
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
        features: "InceptionV3" (Keras's download) or "MobileNetV2:FILE.h5" (weights without
            the top): adds `frechet_distance` by that extractor.
        track: (photographs, description) → the same, passed on as they are worked on.

    Raises:
        ValueError: an unknown model, metric or source, a number out of its range, or not one
            photograph.
    """
    config = dict(locals())
    del config["track"]
    chosen = _chosen_metrics(metrics, features)
    _check_numbers(size, limit, vividness)
    named = _labels("models", models, _model_name)
    photographs = _find_photographs(sources, split, limit)
    networks = {
        label: Colorizer(model, working_size=working_size)
        for label, model in named.items()
        if model not in BASELINES
    }
    extract = _extractor(features) if features else None
    survey = _survey(photographs, size, track)
    systems = {label: _baseline(label, survey.mean_ab) for label in named if label not in networks}
    systems |= {label: _colored_by(network, vividness) for label, network in networks.items()}
    tally = _Tally(chosen, survey, extract)
    for photo in track(survey.photographs, "Measuring"):
        true = _decode(photo.path, size)
        gray = _gray(true)
        tally.add(photo, true, gray, {label: systems[label](true, gray) for label in named})
    return Evaluation(
        config={**config, "models": [*models], "sources": [*sources], "metrics": chosen},
        data=survey.describe(),
        models={n: _describe(model, networks.get(n), vividness) for n, model in named.items()},
        features=_describe_extractor(features) if features else None,
        versions=_versions(),
        figures=tally.figures(),
        rows=tuple(tally.rows),
        luminance_errors=tally.errors(),
        examples=tuple(tally.examples),
    )


# ------------------------------------------------------------------------------ the report


def _finite(value: Any) -> Any:
    """The value for JSON: what is not a number, or infinite, is null."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_finite(value) for value in line] for line in lines)


def _write_tables(evaluation: Evaluation, folder: Path) -> None:
    names = evaluation.metrics
    figures = (
        [source, model, *map(own.get, names)]
        for source, models in evaluation.figures.items()
        for model, own in models.items()
    )
    _write_csv(folder / "figures.csv", ["source", "model", *names.values()], figures)
    rows = (
        [*row[:3], name, ratio.value, ratio.denominator]
        for row in evaluation.rows
        for name, ratio in row.figures.items()
    )
    header = ["source", "photograph", "model", "metric", "value", "weight"]
    _write_csv(folder / "photographs.csv", header, rows)


def _draw_grid(examples: Sequence[dict[str, RGB]], path: Path) -> None:
    """Columns gray, each model, truth, headed by their names; a row for each photograph."""
    columns, side = list(examples[0]), len(examples[0][TRUTH])
    longest = max(map(ImageFont.load_default(LABEL_SIZE).getlength, columns))
    font = ImageFont.load_default(max(1, LABEL_SIZE * min(1, side / longest)))
    header = Image.new("RGB", (side * len(columns), 2 * LABEL_SIZE), "white")
    for index, name in enumerate(columns):
        center = ((index + 0.5) * side, LABEL_SIZE)
        ImageDraw.Draw(header).text(center, name, "black", font, anchor="mm")
    rows = [np.concatenate(list(row.values()), axis=1) for row in examples]
    Image.fromarray(np.concatenate([np.asarray(header), *rows])).save(path)


def _draw_errors(errors: Mapping[str, list[float]], path: Path) -> None:
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for model, values in errors.items():
        axes.plot((np.arange(len(values)) + 0.5) * LUMINANCE_STEP, values, marker=".", label=model)
    axes.set(xlabel="L of the true photograph", ylabel="mean ab error, Lab units", xlim=(0, 100))
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(path)


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
    described = _finite({part: getattr(evaluation, part) for part in parts})
    text = json.dumps(described, indent=1, allow_nan=False)
    (folder / "evaluation.json").write_text(text + "\n", "utf-8")
    _write_tables(evaluation, folder)
    _draw_grid(evaluation.examples, folder / "grid.png")
    _draw_errors(evaluation.luminance_errors, folder / "error_by_luminance.png")
    return folder


def _print_table(
    console: Console, title: str, index: list[tuple[str, str]], columns: dict[str, list[str]]
) -> None:
    """Prints a table, in several parts where the columns do not fit beside each other."""
    # Each column is padded to 3 more, the table to 1.
    fixed = sum(max(map(cell_len, part)) + 3 for part in zip(*index, strict=True)) + 1
    room = console.width - fixed
    parts: list[list[str]] = []
    used = room
    for name, cells in columns.items():
        needed = min(max(map(cell_len, [name, *cells])) + 3, room)
        if used + needed > room:
            parts.append([])
            used = 0
        parts[-1].append(name)
        used += needed
    for part in parts:
        table = Table(title=title, title_justify="left", box=box.SIMPLE)
        for heading in index[0]:
            table.add_column(heading, no_wrap=True)
        for name in part:
            table.add_column(name, justify="right", overflow="fold")
        for number, row in enumerate(index[1:]):
            table.add_row(*row, *(columns[name][number] for name in part))
        console.print(table)


def print_report(evaluation: Evaluation) -> None:
    """Prints the figures of all photographs, and two of each source; at least 80 wide.

    The column `aim` says which is better, or the true photographs' own figure.
    """
    console = Console(width=max(80, Console().width), markup=False, emoji=False, highlight=False)
    names, total = evaluation.metrics, evaluation.data["photographs"]

    def cell(source: str, model: str, name: str) -> str:
        value = evaluation.figures[source].get(model, {}).get(name, math.nan)
        return f"{value:.3f}" if math.isfinite(value) else "n/a"

    models = [model for model in evaluation.figures[ALL] if model != TRUTH]
    aims = {
        name: cell(ALL, TRUTH, name) if FIGURES[name] == "none" else FIGURES[name] for name in names
    }
    index = [("metric", "aim"), *((heading, aims[name]) for name, heading in names.items())]
    columns = {model: [cell(ALL, model, name) for name in names] for model in models}
    _print_table(console, f"{total} photographs", index, columns)
    sources = evaluation.data["sources"]
    for name in [n for n in SOURCE_FIGURES if n in names and len(sources) > 1]:
        index = [("source", "photographs"), *((s, str(n)) for s, n in sources.items())]
        columns = {model: [cell(s, model, name) for s in sources] for model in models}
        _print_table(console, f"{name} by source", index, columns)
    console.print(f"data: {evaluation.data['fingerprint']}")
