"""Steering by colorizers of known answer: what hints add, where masks let colour through."""

import csv
import dataclasses
import json
import types

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from skimage.color import rgb2lab

from colorizer import benchmark, color, metrics, networks, steering, weights
from colorizer.cli import main
from colorizer.hints import rasterize_hints
from colorizer.masks import make_mask

SIZE = 32
HINTS = ["hints.csv", "hints.json", "hints.png"]
MASKS = ["masks.csv", "masks.json", "masks.png"]


def photograph(seed: int) -> np.ndarray:
    """Smooth colours, 32×32, which no resampling changes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    waves = [np.sin(2 * x + 3 * y * (seed % 3) + phase) for phase in rng.uniform(0, 6, 3)]
    return (np.stack(waves, axis=-1) * 80 + 120).astype("uint8")


class Painter:
    """Knows the truth: shows it where it is told to, and gray elsewhere.

    Hints reveal an eighth of the photograph each, from the left; a mask lets `leak` of the
    colours through where it is 0.
    """

    vividness, working_size = 0.5, SIZE

    def __init__(self, truths, takes=("luminance", "mask", "hints"), leak=0.25, share=1.0) -> None:
        self.truths, self.takes = truths, frozenset(takes)
        self.leak, self.share = leak, share
        self.pretrained = types.SimpleNamespace(details={"sha256": "0" * 64})
        self.calls: list = []

    def true_ab(self, luminance) -> np.ndarray:
        distance = [
            np.abs(benchmark.luminance_of(benchmark.gray_of(t)) - luminance).sum()
            for t in self.truths
        ]
        assert min(distance) < 1e-3
        return rgb2lab(self.truths[int(np.argmin(distance))])[..., 1:]

    def __call__(self, gray, *, vividness=None, hints=()) -> np.ndarray:
        assert gray.shape == (SIZE, SIZE, 1)
        self.calls.append((vividness, tuple(hints)))
        ab = self.true_ab(benchmark.luminance_of(gray))
        ab[:, len(hints) * SIZE // 8 :] = 0
        return benchmark.merge(gray, ab)

    def predict_ab(self, luminance, *, vividness=None, mask=None, hints=()) -> np.ndarray:
        self.calls.append((vividness, mask))
        gate = np.where(mask > 0, self.share, self.leak)[..., None]
        return self.true_ab(luminance) * gate


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set/test").mkdir(parents=True)
    for seed in range(4):
        Image.fromarray(photograph(seed)).save(tmp_path / f"set/test/{seed}.png")
    return tmp_path


@pytest.fixture
def painters(home, monkeypatch) -> dict[str, Painter]:
    """The models `painter`, `tidy` (leaks nothing), `blind` (takes neither mask nor hints)."""
    truths = [photograph(seed) for seed in range(5)]
    found = {
        "painter": Painter(truths),
        "tidy": Painter(truths, leak=0.0, share=0.5),
        "blind": Painter(truths, takes=["luminance"]),
    }
    for name in found:
        (home / f"{name}.json").write_text("{}")
    monkeypatch.setattr(
        benchmark, "Colorizer", lambda model, working_size: found[model.removesuffix(".json")]
    )
    return found


def by_hints(models=("painter.json",), **options):
    return steering.measure_hints(models, ["set"], size=SIZE, **options)


def by_masks(models=("painter.json",), **options):
    return steering.measure_masks(models, ["set"], size=SIZE, **options)


# ------------------------------------------------------------------------------- what is drawn


def test_places_depend_on_the_name_alone() -> None:
    first, second = photograph(0), photograph(1)
    hints = steering.draw_hints(first, "set/a.png")
    places = [(x, y) for x, y, *_ in hints]
    assert places == [(x, y) for x, y, *_ in steering.draw_hints(second, "set/a.png")]
    assert places != [(x, y) for x, y, *_ in steering.draw_hints(first, "set/b.png")]
    assert hints == steering.draw_hints(first, "set/a.png")


def test_a_seed_is_the_same_on_every_machine() -> None:
    assert steering.photograph_seed("set/a.png") == 0x3EA2A4EBA7727DF8
    assert steering.photograph_seed("set/\udcff.png") >= 0


def test_hints_are_the_mean_colours_of_whole_squares() -> None:
    true = np.random.default_rng(0).integers(0, 256, (8, 40, 3), dtype="uint8")
    hints = steering.draw_hints(true, "a")
    assert len(hints) == 100
    for x, y, colour, radius in hints:
        left, top = int(x - 2.5), int(y - 2.5)
        assert (left, top) == (x - 2.5, y - 2.5)
        assert 0 <= left <= 34
        assert 0 <= top <= 2
        square = true[top : top + 6, left : left + 6].reshape(36, 3).astype(float)
        assert_allclose(colour, square.mean(axis=0), atol=0.5)
        assert radius == 3
    # Uniform: every place there is gets its turn.
    assert {int(y - 2.5) for _, y, *_ in hints} == {0, 1, 2}
    assert len({int(x - 2.5) for x, *_ in hints}) > 25  # of 35


def test_a_hint_covers_the_square_that_it_was_taken_from() -> None:
    for hint in steering.draw_hints(photograph(0), "a")[:20]:
        shown = rasterize_hints([hint], SIZE, SIZE)[..., 2] > 0
        left, top = int(hint[0] - 2.5), int(hint[1] - 2.5)
        expected = np.zeros((SIZE, SIZE), bool)
        expected[top : top + 6, left : left + 6] = True
        assert_array_equal(shown, expected)


# ---------------------------------------------------------------------------------- hints


def test_hints_of_a_larger_count_begin_with_those_of_a_smaller(painters) -> None:
    by_hints(counts=[5, 2], limit=1, vividness=0.25)
    calls = painters["painter"].calls
    assert [(vividness, len(hints)) for vividness, hints in calls] == [(0.25, n) for n in (0, 2, 5)]
    hints = steering.draw_hints(photograph(0), "set/test/0.png")
    for _, given in calls:
        assert given == tuple(hints[: len(given)])


def test_true_colours_raise_psnr_as_hints_reveal_them(painters) -> None:
    figures = by_hints(counts=[0, 1, 2, 4, 8]).figures["painter"]
    assert list(figures) == ["0", "1", "2", "4", "8"]
    psnr = [own["psnr"] for own in figures.values()]
    assert (np.diff(psnr) > 0).all()
    assert_allclose([own["psnr_gain"] for own in figures.values()], np.array(psnr) - psnr[0])
    assert figures["0"]["psnr_gain"] == figures["0"]["colorfulness"] == 0
    assert figures["8"]["delta_e"] < 0.5 < 5 < figures["0"]["delta_e"]


def test_figures_are_the_means_of_the_photographs(painters) -> None:
    figures = by_hints(counts=[0]).figures["painter"]["0"]
    grays = {s: benchmark.gray_of(photograph(s)).repeat(3, axis=-1) for s in range(4)}
    psnr = np.mean([metrics.psnr(photograph(s), gray) for s, gray in grays.items()])
    assert figures["psnr"] == pytest.approx(psnr, rel=1e-12)


def test_another_photograph_changes_no_hint_of_the_others(home, painters) -> None:
    by_hints(counts=[3])
    before = [given for _, given in painters["painter"].calls]
    painters["painter"].calls.clear()
    Image.fromarray(photograph(4)).save(home / "set/test/00.png")
    by_hints(counts=[3])
    after = [given for _, given in painters["painter"].calls]
    assert len(after) == len(before) + 2
    assert set(before) < set(after)


# ---------------------------------------------------------------------------------- masks


def test_leakage_by_hand() -> None:
    true = photograph(0)
    gray = benchmark.gray_of(true)
    mask = np.zeros((SIZE, SIZE), "float32")
    mask[:, :16] = 1
    ab = np.zeros((SIZE, SIZE, 2))
    ab[:, :16] = 3, 4  # chroma 5
    ab[:, 24:] = 0, -2  # 1 in the mean of what is outside
    row = steering.mask_figures(true, gray, ab, benchmark.merge(gray, ab), mask)
    assert list(row) == list(steering.FIGURES["mask"])
    assert row["leakage"] == (1, 5)
    assert row["chroma_outside"] == (1, 1)
    error = np.hypot(*np.moveaxis(rgb2lab(true)[:, :16, 1:] - [3, 4], -1, 0)).mean()
    assert row["ab_error_inside"].value == pytest.approx(error)
    left = benchmark.merge(gray, ab)[:, :16]
    assert row["colorfulness_inside"].value == pytest.approx(metrics.colorfulness(left))
    gain = metrics.psnr(true[:, :16], left)
    gain -= metrics.psnr(true[:, :16], gray[:, :16].repeat(3, axis=-1))
    assert row["psnr_gain_inside"].value == pytest.approx(gain)


def test_a_colorizer_that_leaks_a_quarter_of_one_hue(home, painters) -> None:
    flat = np.full((SIZE, SIZE, 3), (180, 90, 80), "uint8")
    Image.fromarray(flat).save(home / "set/test/0.png")
    painters["painter"].truths = painters["tidy"].truths = [flat]
    models = ["painter.json", "tidy.json"]
    figures = by_masks(models, kinds=["half:vertical", "checkerboard:4"], limit=1).figures
    chroma = np.hypot(*rgb2lab(flat)[0, 0, 1:])
    for kind in ("half:vertical", "checkerboard:4", "mean"):
        painter, tidy = figures["painter"][kind], figures["tidy"][kind]
        assert painter["leakage"] == pytest.approx(0.25)
        assert painter["chroma_outside"] == pytest.approx(chroma / 4)
        assert painter["ab_error_inside"] == pytest.approx(0, abs=1e-4)
        assert tidy["leakage"] == tidy["chroma_outside"] == 0
        assert tidy["ab_error_inside"] == pytest.approx(chroma / 2)
        assert painter["psnr_gain_inside"] > tidy["psnr_gain_inside"] > 3
        assert painter["colorfulness_inside"] > 1.5 * tidy["colorfulness_inside"] > 0


def test_mean_is_that_of_the_kinds(painters) -> None:
    figures = by_masks(kinds=["discs", "brush", "half:horizontal"]).figures["painter"]
    assert list(figures) == ["discs", "brush", "half:horizontal", "mean"]
    for name in steering.FIGURES["mask"]:
        kinds = [figures[kind][name] for kind in ("discs", "brush", "half:horizontal")]
        assert figures["mean"][name] == pytest.approx(np.mean(kinds), rel=1e-12)


def test_models_are_given_masks_of_the_photographs_size_by_its_name(painters) -> None:
    by_masks(kinds=["polygons", "superpixels"], limit=1, vividness=1.0)
    seed = steering.photograph_seed("set/test/0.png")
    luminance = benchmark.luminance_of(benchmark.gray_of(photograph(0)))
    expected = [
        make_mask("polygons", (SIZE, SIZE), seed=seed),
        make_mask("superpixels", (SIZE, SIZE), seed=seed, image=luminance),
    ]
    for (vividness, mask), wanted in zip(painters["painter"].calls, expected, strict=True):
        assert vividness == 1.0
        assert_array_equal(mask, wanted)


def test_colours_of_a_smaller_working_size_are_enlarged(painters, monkeypatch) -> None:
    halves = np.concatenate([np.full((8, 4, 2), 20.0), np.zeros((8, 4, 2))], axis=1)
    monkeypatch.setattr(Painter, "predict_ab", lambda *_, **__: halves)
    figures = by_masks(kinds=["half:vertical"], limit=1).figures["painter"]["half:vertical"]
    # Bilinear from 8 to 32 pixels: the step is spread over 4, two of them outside, of 16.
    assert figures["chroma_outside"] == pytest.approx(np.hypot(20, 20) * (3 / 8 + 1 / 8) / 16)


# ------------------------------------------------------------------------------- a network


def test_a_network_is_steered(home) -> None:
    keras.utils.set_random_seed(0)
    config = dataclasses.replace(networks.TINY, mask=True, hints=True)
    prior = np.full(len(color.AB_BINS), 1 / len(color.AB_BINS))
    network = networks.build_network(config)
    model = weights.Pretrained(network=network, config=config, prior=prior)
    path = [str(weights.save_pretrained(model, home / "tiny.json"))]
    options = {"limit": 1, "working_size": 24, "vividness": 1.0}
    hinted = by_hints(path, counts=[100], **options)
    masked = by_masks(path, kinds=["half:vertical"], **options)
    assert hinted.models == masked.models
    assert hinted.models["tiny"]["working_size"] == 24
    assert hinted.figures["tiny"]["100"]["psnr_gain"] != 0
    assert masked.figures["tiny"]["mean"]["chroma_outside"] > 0


# --------------------------------------------------------------------------------- the report


@pytest.mark.parametrize(("measure", "names"), [(by_hints, HINTS), (by_masks, MASKS)])
def test_same_call_twice_writes_the_same_bytes(home, painters, measure, names) -> None:
    written = []
    for folder in ("first", "second"):
        steering.write_report(measure(["painter.json", "tidy.json"], limit=2), home / folder)
        written.append({path.name: path.read_bytes() for path in (home / folder).iterdir()})
    assert sorted(written[0]) == names
    assert written[0] == written[1]


def test_report_of_hints(home, painters) -> None:
    measured = by_hints(counts=[2, 1], limit=3)
    steering.write_report(measured, home / "r")
    described = json.loads((home / "r/hints.json").read_text("utf-8"))
    assert described["config"]["counts"] == [0, 1, 2]
    assert described["config"]["limit"] == 3
    assert described["data"]["photographs"] == 3
    assert len(described["data"]["fingerprint"]) == 64
    assert described["figures"] == measured.figures
    assert described["models"]["painter"]["sha256"] == "0" * 64
    assert {"colorizer", "keras", "numpy"} <= set(described["versions"])
    with (home / "r/hints.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["hints"]) for row in rows] == [("painter", n) for n in "012"]
    assert float(rows[2]["psnr"]) == measured.figures["painter"]["2"]["psnr"]


def test_report_of_masks(home, painters) -> None:
    measured = by_masks(["tidy.json", "painter.json"], kinds=["discs", "brush"])
    grid = np.asarray(Image.open(steering.write_report(measured, home / "r") / "masks.png"))
    header = grid.shape[0] - 3 * 2 * SIZE  # three of the four photographs, two kinds
    assert grid.shape[1] == 4 * SIZE
    gray, mask, tidy, painter = np.split(grid[header:], 4, axis=1)
    first = make_mask("discs", (SIZE, SIZE), seed=steering.photograph_seed("set/test/0.png"))
    assert_array_equal(mask[:SIZE], (first[..., None] * 255).repeat(3, axis=-1))
    outside = mask == 0
    assert_array_equal(tidy[outside], gray[outside])
    assert (painter[outside] != gray[outside]).any()
    lines = (home / "r/masks.csv").read_text("utf-8").splitlines()
    assert lines[0] == "model,mask," + ",".join(steering.FIGURES["mask"])
    assert [line.split(",")[1] for line in lines[1:]] == ["discs", "brush", "mean"] * 2


def test_curve_has_the_published_one_beside_it(home, painters, monkeypatch) -> None:
    drawn = {}
    monkeypatch.setattr(
        steering.report, "draw_curves", lambda path, curves, **o: drawn.update(o, curves=curves)
    )
    measured = by_hints(counts=[0, 3], limit=1)
    steering.write_report(measured, home / "r")
    psnr = [measured.figures["painter"][n]["psnr"] for n in "03"]
    assert drawn["curves"] == {"painter": ([0, 3], psnr)}
    counts, published = drawn["dashed"]["SIGGRAPH17, other photographs"]
    assert dict(zip(counts, published, strict=True)) == {
        0: 24.4, 1: 25.4, 2: 26.2, 5: 27.4, 10: 28.4, 20: 29.3, 50: 30.4, 100: 31.1
    }  # fmt: skip
    assert drawn["counts"] == [0, 1, 2, 3, 5, 10, 20, 50, 100]


def test_progress_is_told(painters) -> None:
    told = []

    def track(items, description):
        told.append((description, len(items)))
        return items

    by_hints(counts=[0], track=track)
    assert told == [("Reading", 4), ("Measuring", 4)]


# ---------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("measure", "options", "message"),
    [
        (by_hints, {"models": ["blind.json"]}, "input 'hints'. Received: blind.json, which takes"),
        (by_masks, {"models": ["blind.json"]}, "input 'mask'. Received: blind.json, which takes"),
        (by_masks, {"models": ["gray"]}, "Received: gray, a baseline"),
        (by_hints, {"models": ["painter.json", "truth_64"]}, "Received: truth_64, a baseline"),
        (by_hints, {"models": ["nobody"]}, "no model 'nobody'"),
        (by_hints, {"counts": [0, 101]}, r"counts \(--hints\): expected 0 to 100 .*101"),
        (by_hints, {"counts": [-1]}, r"counts \(--hints\): expected 0 to 100 .*-1"),
        (by_masks, {"kinds": []}, r"kinds \(--mask\): expected at least one"),
        (by_masks, {"kinds": ["discs", "discs"]}, r"kinds \(--mask\): .*each once"),
        (by_masks, {"kinds": ["spots"]}, "spots"),
        (by_masks, {"limit": 0}, "limit: expected"),
        (by_hints, {"split": "best"}, "split must be"),
    ],
)
def test_mistakes_are_told(painters, measure, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        measure(**options)


# ------------------------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("asked", "files", "told"),
    [
        (["--hints", "0,2"], HINTS, "psnr_gain"),
        (["--mask", "discs,half:vertical"], MASKS, "leakage"),
    ],
)
def test_command(home, painters, capsys, asked, files, told) -> None:
    call = ["evaluate", *asked, "--model", "painter.json", "--data", "set", "--size", "32"]
    assert main([*call, "--limit", "2", "-o", "out"]) == 0
    assert sorted(path.name for path in (home / "out").iterdir()) == files
    out = capsys.readouterr().out
    assert told in out
    assert "2 photographs" in out
    described = json.loads((home / "out" / files[1]).read_text("utf-8"))
    assert f"{next(iter(described['figures']['painter'].values()))[told]:.3f}" in out
    keys = asked[1].split(",") + (["mean"] if asked[0] == "--mask" else [])
    assert list(described["figures"]["painter"]) == keys
    (home / "set/test/bad.png").write_bytes(b"junk")
    assert main([*call, "-o", "out"]) == 1
    assert "skipped: set/test/bad.png: cannot identify" in capsys.readouterr().err


def test_command_without_a_list_measures_the_protocols_own(home, painters) -> None:
    call = ["evaluate", "--model", "painter.json", "--data", "set", "--size", "32", "--limit", "1"]
    assert main([*call, "-o", "out", "--hints"]) == main([*call, "-o", "out", "--mask"]) == 0
    config = {
        n: json.loads((home / f"out/{n}.json").read_text())["config"] for n in ("hints", "masks")
    }
    assert config["hints"]["counts"] == list(steering.HINT_COUNTS)
    assert config["masks"]["kinds"] == list(steering.MASK_KINDS)


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (["--hints", "0", "--model", "blind.json"], "input 'hints'"),
        (["--mask", "discs", "--model", "gray"], "a baseline"),
        (["--hints", "0", "--metrics", "psnr"], "--metrics"),
    ],
)
def test_command_tells_a_mistake_in_one_line(painters, capsys, mistake, told) -> None:
    assert main(["evaluate", "--data", "set", *mistake]) == 2
    error = capsys.readouterr().err
    assert error.startswith("colorizer: ")
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("mistake", [["--hints", "a"], ["--hints", "1", "--mask", "discs"]])
def test_command_refuses_what_it_cannot_read(painters, capsys, mistake) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "--data", "set", *mistake])
    assert mistake[0] in capsys.readouterr().err.splitlines()[-1]
