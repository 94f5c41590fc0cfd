"""How measurements are shown: JSON, CSV, pictures, tables on screen.

Purpose
    What `evaluate` and `steering` have in common once everything is measured. Nothing here
    knows what a figure means, and nothing writes a date: equal arguments give equal bytes.

Conventions
    A figure that is not a number, or infinite, is null in JSON, an empty field in CSV and
    "n/a" on screen. Names of files may hold any bytes (`surrogateescape`).
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

LABEL_SIZE = 14  # pixels
NARROWEST = 80  # characters: what every terminal shows

RGB = NDArray[np.uint8]
Curve = tuple[ArrayLike, ArrayLike]  # x and y of the points

# --------------------------------------------------------------------------------- files


def _finite(value: Any) -> Any:
    """The value for JSON: what is not a number, or infinite, is None."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, described: Mapping[str, Any]) -> None:
    """Writes what was measured, NaN and infinities as null."""
    text = json.dumps(_finite(described), indent=1, allow_nan=False)
    path.write_text(text + "\n", "utf-8")


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    """Writes a table, NaN and infinities as empty fields."""
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_finite(value) for value in line] for line in lines)


# ------------------------------------------------------------------------------- pictures


def draw_grid(path: Path, columns: Sequence[str], rows: Sequence[Sequence[RGB]]) -> None:
    """Draws photographs beside and below each other, pixel by pixel, headed by names.

    Args:
        path: of the picture.
        columns: their names; a name too long is written smaller, until it fits.
        rows: for each, one photograph per column, sRGB `uint8` (side, side, 3), all alike.
    """
    side = rows[0][0].shape[1]
    longest = max(map(ImageFont.load_default(LABEL_SIZE).getlength, columns))
    font = ImageFont.load_default(max(1, LABEL_SIZE * min(1, side / longest)))
    header = Image.new("RGB", (side * len(columns), 2 * LABEL_SIZE), "white")
    for index, name in enumerate(columns):
        center = ((index + 0.5) * side, LABEL_SIZE)
        ImageDraw.Draw(header).text(center, name, "black", font, anchor="mm")
    pictures = [np.concatenate(list(row), axis=1) for row in rows]
    Image.fromarray(np.concatenate([np.asarray(header), *pictures])).save(path)


def draw_curves(
    path: Path,
    curves: Mapping[str, Curve],
    *,
    dashed: Mapping[str, Curve] | None = None,
    counts: Sequence[int] | None = None,
    **axes: Any,
) -> None:
    """Draws one line per name.

    Args:
        path: of the picture.
        curves: name → x and y of its points.
        dashed: lines to compare with, in gray.
        counts: ticks of an x axis of counts: linear from 0 to 1, logarithmic from there on.
        **axes: properties of the axes, as of matplotlib's `Axes.set`.
    """
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    plot = figure.subplots()
    for name, points in curves.items():
        plot.plot(*points, marker=".", label=name)
    for name, points in (dashed or {}).items():
        plot.plot(*points, color="gray", linestyle="--", label=name)
    if counts is not None:
        plot.set_xscale("symlog", linthresh=1)
        plot.set_xticks(counts, labels=map(str, counts))
        plot.set_xticks([], minor=True)
    plot.set(**axes)
    plot.legend()
    figure.savefig(path)


# --------------------------------------------------------------------------------- tables


def format_figure(value: float) -> str:
    """Three decimals, or "n/a"."""
    return f"{value:.3f}" if math.isfinite(value) else "n/a"


def report_console() -> Console:
    """A console that prints names as they are, at least 80 characters wide."""
    width = max(NARROWEST, Console().width)
    return Console(width=width, markup=False, emoji=False, highlight=False)


def print_table(
    console: Console, title: str, index: list[tuple[str, str]], columns: dict[str, list[str]]
) -> None:
    """Prints a table, in several parts where the columns do not fit beside each other.

    Args:
        console: where to.
        title: above each part.
        index: the two columns that each part begins with: their headings, then a row each.
        columns: heading → cells, one for each row.
    """
    # Each column is padded to 3 more, the table to 1.
    fixed = sum(max(map(cell_len, part)) + 3 for part in zip(*index, strict=True)) + 1
    room = max(1, console.width - fixed)
    parts: list[list[str]] = []
    used = 0
    for name, cells in columns.items():
        needed = min(max(map(cell_len, [name, *cells])) + 3, room)
        if not parts or used + needed > room:
            parts.append([])
            used = 0
        parts[-1].append(name)
        used += needed
    for part in parts:
        table = Table(title=title, title_justify="left", box=box.SIMPLE)
        for heading in index[0]:
            table.add_column(heading, overflow="fold")
        for name in part:
            table.add_column(name, justify="right", overflow="fold")
        for number, row in enumerate(index[1:]):
            table.add_row(*row, *(columns[name][number] for name in part))
        console.print(table)
