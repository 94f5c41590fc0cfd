"""Reports: what is not a number, pictures pixel by pixel, tables of any width."""

import io
import json
import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from rich.console import Console

from colorizer import report


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_json_has_null_where_there_is_no_number(tmp_path) -> None:
    described = {"a": {"b": [1.5, math.nan, [math.inf]]}, "c": "nan", "d": None, "e": -math.inf}
    report.write_json(tmp_path / "r.json", described)
    text = (tmp_path / "r.json").read_text("utf-8")
    expected = {"a": {"b": [1.5, None, [None]]}, "c": "nan", "d": None, "e": None}
    assert json.loads(text, parse_constant=refuse) == expected
    assert text.endswith("}\n")


def test_csv_has_empty_fields_where_there_is_no_number(tmp_path) -> None:
    lines = [["a,b", math.nan, 0.1], ["\udcff", math.inf, 3]]
    report.write_csv(tmp_path / "r.csv", ["name", "x", "y"], lines)
    assert (tmp_path / "r.csv").read_bytes() == b'name,x,y\n"a,b",,0.1\n\xff,,3\n'


@pytest.mark.parametrize(
    ("value", "text"), [(1.23456, "1.235"), (-0.5, "-0.500"), (math.nan, "n/a"), (math.inf, "n/a")]
)
def test_figures_have_three_decimals(value, text) -> None:
    assert report.format_figure(value) == text


def test_grid_is_the_photographs_pixel_by_pixel(tmp_path, rng) -> None:
    pictures = rng.integers(0, 256, (2, 3, 20, 20, 3), dtype="uint8")
    columns = ["a", "a", "a name too long for 20 pixels"]
    report.draw_grid(tmp_path / "g.png", columns, list(pictures))
    grid = np.asarray(Image.open(tmp_path / "g.png"))
    top = 2 * report.LABEL_SIZE
    assert grid.shape == (top + 2 * 20, 3 * 20, 3)
    for row, column in np.ndindex(2, 3):
        cell = grid[top + 20 * row :, 20 * column :][:20, :20]
        assert_array_equal(cell, pictures[row, column])
    for heading in np.split(grid[:top], 3, axis=1):
        assert (heading < 255).any()
    assert (grid[:top, 20:40:19] == 255).all()  # the long name is not over its neighbour


def drawn_axes(monkeypatch, path, *arguments, **options):
    """The axes of `draw_curves`, kept from its figure."""
    figures = []

    class Kept(report.Figure):
        def __init__(self, **options) -> None:
            super().__init__(**options)
            figures.append(self)

    monkeypatch.setattr(report, "Figure", Kept)
    report.draw_curves(path, *arguments, **options)
    return figures[0].axes[0]


def test_curves_over_counts(tmp_path, monkeypatch) -> None:
    axes = drawn_axes(
        monkeypatch,
        tmp_path / "c.png",
        {"mine": ([0, 1, 10], [20.0, 21.0, 25.0])},
        dashed={"theirs": ([0, 100], [24.0, 31.0])},
        counts=[0, 1, 10, 100],
        ylabel="PSNR, dB",
    )
    mine, theirs = axes.lines
    assert_array_equal(mine.get_xydata(), [[0, 20], [1, 21], [10, 25]])
    assert_array_equal(theirs.get_xydata(), [[0, 24], [100, 31]])
    assert (mine.get_linestyle(), theirs.get_linestyle()) == ("-", "--")
    assert axes.get_xscale() == "symlog"
    # Linear to 1, then a step for each power of ten.
    x = axes.transData.transform([(n, 20) for n in (0, 1, 10, 100)])[:, 0]
    assert np.diff(x)[1] == pytest.approx(np.diff(x)[2])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "10", "100"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["mine", "theirs"]
    assert axes.get_ylabel() == "PSNR, dB"


def test_curves_over_numbers(tmp_path, monkeypatch) -> None:
    curves = {"a": ([2.5, 7.5], [3.0, math.nan])}
    axes = drawn_axes(monkeypatch, tmp_path / "c.png", curves, xlim=(0, 100), ylim=(0, None))
    assert axes.get_xscale() == "linear"
    assert axes.get_xlim() == (0, 100)
    assert axes.get_ylim()[0] == 0
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.size == (840, 540)


@pytest.mark.parametrize("width", [30, 200])
def test_a_table_is_divided_and_never_cut(width) -> None:
    console = Console(file=io.StringIO(), width=width, markup=False)
    columns = {f"[red]{n}": [f"{n}.{row}00" for row in (1, 2)] for n in range(4)}
    index = [("model", "hints"), ("a", "0"), ("b", "100")]
    report.print_table(console, "title", index, columns)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert sum("title" in line for line in lines) == sum("model" in line for line in lines)
    assert (sum("model" in line for line in lines) > 1) == (width == 30)
    text = "\n".join(lines)
    for name, cells in columns.items():
        for word in (name, *cells):
            assert text.count(word) == 1
    for line in lines:
        assert ("1.200" in line) <= ("b" in line and "100" in line)


@pytest.mark.parametrize("length", [50, 61, 62, 100])
def test_a_name_as_long_as_the_console_is_folded(length) -> None:
    console = Console(file=io.StringIO(), width=80, markup=False)
    index = [("source", "model"), ("x" * length, "default")]
    report.print_table(console, "title", index, {"psnr": ["23.1"], "ssim": ["0.91"]})
    text = console.file.getvalue()
    assert text.count("x") == length * text.count("title")
    assert all(text.count(word) == 1 for word in ("23.1", "0.91"))
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(("columns", "width"), [("40", 80), ("120", 120)])
def test_console_is_at_least_80_wide(monkeypatch, columns, width) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert report.report_console().width == width
