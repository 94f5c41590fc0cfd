"""Evaluation by its own promises: baselines of known score, the same bytes twice, no crashes."""

import dataclasses
import functools
import hashlib
import json
import math
import shutil

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from skimage.color import rgb2lab

from colorizer import benchmark, color, evaluate, metrics, networks, weights
from colorizer.cli import main
from colorizer.data import decode_photo
from colorizer.evaluate import FIGURES, print_report, write_report
from colorizer.predict import Colorizer

SIZE = 32
BASELINES = ["gray", "mean_color", "truth_64"]
REPORT = ["error_by_luminance.png", "evaluation.json", "figures.csv", "grid.png", "photographs.csv"]


def photograph(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    """Smooth colours over sharp luminance."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / height
    phase = rng.uniform(0, 6, 3)
    waves = np.stack([np.sin(2 * x + 3 * y * (seed % 3) + p) for p in phase], axis=-1)
    light = 40 * ((x * 8).astype(int) % 2)[..., None]
    return (waves * 60 + 90 + light).clip(0, 255).astype("uint8")


def save(path, pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Two sources, `flowers` with splits and `others` without, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for seed in range(3):
        save(tmp_path / f"flowers/test/{seed}.png", photograph(seed))
        save(tmp_path / f"flowers/train/{seed}.png", photograph(10 + seed))
    for seed in range(2):
        save(tmp_path / f"others/deep/{seed}.png", photograph(20 + seed))
    return tmp_path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    """A model that was never trained."""
    path = tmp_path_factory.mktemp("models") / "tiny.json"
    keras.utils.set_random_seed(0)
    prior = np.full(len(color.AB_BINS), 1 / len(color.AB_BINS))
    network = networks.build_network(networks.TINY)
    model = weights.Pretrained(network=network, config=networks.TINY, prior=prior)
    return str(weights.save_pretrained(model, path))


@pytest.fixture(autouse=True)
def loads_once(monkeypatch) -> None:
    monkeypatch.setattr(benchmark, "Colorizer", load)


@functools.cache
def load(model: str, *, working_size: int | None) -> Colorizer:
    return Colorizer(model, working_size=working_size)


def run(models=("gray",), sources=("flowers", "others"), size=SIZE, **options):
    return evaluate.evaluate(models, sources, size=size, **options)


def values(evaluation, model, metric) -> list[float]:
    return [row.figures[metric].value for row in evaluation.rows if row.model == model]


def names(evaluation) -> list[str]:
    return [row.photograph for row in evaluation.rows if row.model == "truth"]


# ------------------------------------------------------------------- figures that are known


def test_every_metric_but_leakage_is_offered() -> None:
    assert set(FIGURES) == set(metrics.METRICS) - {"leakage"} | {"psnr_gain"}


def test_gray_has_no_colour_and_no_gain(home) -> None:
    figures = run().figures["all"]["gray"]
    assert figures["psnr_gain"] == figures["colorfulness"] == figures["colorfulness_absolute"] == 0
    assert figures["gray_share"] == 1
    assert math.isnan(figures["edge_bleeding"])


def test_gain_is_the_psnr_less_that_of_gray(home) -> None:
    evaluation = run(["mean_color", "gray"])
    gray, mean = (np.array(values(evaluation, m, "psnr")) for m in ("gray", "mean_color"))
    assert_allclose(values(evaluation, "mean_color", "psnr_gain"), mean - gray)
    assert (mean != gray).all()


def test_gain_needs_no_gray_among_the_models(home) -> None:
    with_gray, without = (run([*more, "mean_color"]) for more in (["gray"], []))
    assert with_gray.figures["all"]["mean_color"] == without.figures["all"]["mean_color"]


def test_mean_color_is_one_colour_the_mean_of_the_true_ab(home) -> None:
    evaluation = run(["mean_color"])
    truths = np.stack([row["truth"] for row in evaluation.examples])
    expected = rgb2lab(truths)[..., 1:].mean((0, 1, 2))
    outputs = rgb2lab(np.stack([row["mean_color"] for row in evaluation.examples]))
    inside = (outputs[..., 0] > 30) & (outputs[..., 0] < 80)
    assert inside.sum() > 1000
    assert_allclose(outputs[inside][:, 1:], np.broadcast_to(expected, (inside.sum(), 2)), atol=1.5)


def test_mean_color_is_the_constant_of_least_ab_error(home) -> None:
    figures = run(["gray", "mean_color"], ["flowers"], metrics=["auc"]).figures["all"]
    assert figures["mean_color"]["auc"] > figures["gray"]["auc"]


def test_truth_64_keeps_smooth_colours_and_loses_fine_ones(home) -> None:
    save(home / "fine/a.png", np.tile(np.uint8([[[200, 80, 80], [60, 140, 60]]]), (128, 64, 1)))
    smooth, fine = (
        run(["truth_64"], [source], 128).figures["all"] for source in ("flowers", "fine")
    )
    assert smooth["truth_64"]["psnr"] > 38
    assert fine["truth_64"]["colorfulness"] < 0.5 * fine["truth"]["colorfulness"]


def test_truth_has_the_colourfulness_of_the_photographs(home) -> None:
    true = [decode_photo(home / f"flowers/test/{i}.png", SIZE) for i in range(3)]
    margin = (true[0].shape[1] - SIZE) // 2
    crops = [photo[:, margin : margin + SIZE] for photo in true]
    figures = run(sources=["flowers"]).figures["all"]["truth"]
    for name, absolute in (("colorfulness", False), ("colorfulness_absolute", True)):
        expected = np.mean([metrics.colorfulness(crop, absolute=absolute) for crop in crops])
        assert figures[name] == pytest.approx(expected, rel=1e-12)


def test_luminance_errors_of_gray_are_the_chroma_of_the_truth(home) -> None:
    save(home / "flat/a.png", np.full((SIZE, SIZE, 3), (200, 80, 80), "uint8"))
    errors = run(sources=["flat"]).luminance_errors["gray"]
    lightness, a, b = rgb2lab(np.uint8([[[200, 80, 80]]]))[0, 0]
    assert errors[int(lightness // 5)] == pytest.approx(math.hypot(a, b), abs=0.02)
    assert sum(map(math.isnan, errors)) == len(errors) - 1


# ------------------------------------------------------------------------------ the subtotals


def test_subtotals_combine_to_the_total(home) -> None:
    evaluation = run(BASELINES)
    flowers, others = (evaluation.figures[source] for source in ("flowers", "others"))
    assert evaluation.data["sources"] == {"flowers": 3, "others": 2}
    for model in BASELINES:
        for metric in ("psnr", "ssim", "delta_e", "auc", "colorfulness_difference"):
            combined = (3 * flowers[model][metric] + 2 * others[model][metric]) / 5
            assert evaluation.figures["all"][model][metric] == pytest.approx(combined, rel=1e-12)
    kept = [row.figures["auc_rebalanced"] for row in evaluation.rows if row.model == "mean_color"]
    pooled = sum(r.numerator for r in kept) / sum(r.denominator for r in kept)
    assert evaluation.figures["all"]["mean_color"]["auc_rebalanced"] == pytest.approx(pooled)
    assert others["mean_color"] != flowers["mean_color"]


def test_rebalancing_weights_come_from_the_true_photographs(home) -> None:
    evaluation = run(["truth_64"], ["flowers"])
    truths = [row["truth"] for row in evaluation.examples]
    class_weights = metrics.rebalancing_weights(truths, bins=color.AB_BINS)
    rows = [
        metrics.measure(
            row["truth"], row["truth_64"], bins=color.AB_BINS, class_weights=class_weights
        )
        for row in evaluation.examples
    ]
    expected = metrics.summarise(rows)["auc_rebalanced"]
    assert evaluation.figures["all"]["truth_64"]["auc_rebalanced"] == expected


def test_metrics_not_asked_for_are_not_measured(home, monkeypatch) -> None:
    whole = run(["mean_color"], ["flowers"])
    monkeypatch.setattr(metrics, "_bin_index", None)
    monkeypatch.setattr(metrics, "_edges", None)
    some = run(["mean_color"], ["flowers"], metrics=["psnr_gain", "delta_e"])
    assert list(some.figures["all"]["mean_color"]) == ["psnr_gain", "delta_e"]
    for name in ("psnr_gain", "delta_e"):
        expected = whole.figures["all"]["mean_color"][name]
        assert some.figures["all"]["mean_color"][name] == expected


# ------------------------------------------------------------------------- a network, features


def test_same_call_twice_writes_the_same_bytes(home, tiny) -> None:
    written = []
    for folder in ("first", "second"):
        write_report(run([*BASELINES, tiny], limit=3), home / folder)
        written.append({path.name: path.read_bytes() for path in (home / folder).iterdir()})
    assert sorted(written[0]) == REPORT
    assert written[0] == written[1]


def test_a_network_sees_no_colour(home, tiny) -> None:
    colored = run([tiny], ["flowers"], limit=1).examples[0]
    save(home / "grays/a.png", colored["gray"])
    again = run([tiny], ["grays"]).examples[0]
    assert_array_equal(again["tiny"], colored["tiny"])
    assert (colored["tiny"] != colored["gray"]).any()


def test_a_network_is_measured_at_the_vividness_that_is_told(home, tiny) -> None:
    colored = [run([tiny], ["flowers"], limit=1, vividness=v).examples[0] for v in (0.0, 1.0)]
    assert (colored[0]["tiny"] != colored[1]["tiny"]).any()
    again = Colorizer(home / tiny)(colored[0]["gray"], vividness=1.0)
    assert_array_equal(again, colored[1]["tiny"])


def test_models_are_told_apart_by_their_checksums(home, tiny) -> None:
    evaluation = run(["gray", tiny], limit=1, vividness=0.25, working_size=48)
    described = json.loads((home / tiny).read_text("utf-8"))
    assert evaluation.models == {
        "gray": {"model": "gray"},
        "tiny": {
            "model": tiny,
            "sha256": described["sha256"],
            "chroma_gain": 1.0,
            "vividness": 0.25,
            "working_size": 48,
        },
    }


def test_frechet_distance_is_of_the_named_extractor(home, monkeypatch) -> None:
    monkeypatch.setattr(
        evaluate, "_extractor", lambda _: lambda photos: np.stack(photos).mean((1, 2))
    )
    evaluation = run(BASELINES, metrics=["psnr"], features="InceptionV3")
    statistics = {
        model: metrics.feature_statistics([row[model].mean((0, 1)) for row in evaluation.examples])
        for model in ("gray", "truth")
    }
    expected = metrics.frechet_distance(*statistics["gray"], *statistics["truth"])
    assert evaluation.figures["all"]["gray"]["frechet_distance"] == pytest.approx(expected)
    assert evaluation.figures["all"]["truth_64"]["frechet_distance"] < expected / 10
    assert list(evaluation.metrics.values()) == ["psnr", "frechet_distance (InceptionV3)"]
    assert "frechet_distance" not in evaluation.figures["flowers"]["gray"]


def test_extractor_is_given_what_it_was_trained_on(home, monkeypatch) -> None:
    given = {}

    def mobilenet(**arguments) -> keras.Model:
        given.update(arguments)
        image = keras.Input(arguments["input_shape"])
        return keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))

    monkeypatch.setattr(keras.applications, "MobileNetV2", mobilenet)
    (home / "net.h5").write_bytes(b"weights")
    evaluation = run(["gray"], ["flowers"], features="MobileNetV2:net.h5")
    features = evaluate._extractor("MobileNetV2:net.h5")([np.full((SIZE, SIZE, 3), 255, "uint8")])
    assert_allclose(features, [[1, 1, 1]], atol=1e-6)  # its preprocessing: 0..255 to -1..1
    assert given["weights"] == "net.h5"
    assert given["input_shape"] == (224, 224, 3)
    assert not given["include_top"]
    digest = hashlib.sha256(b"weights").hexdigest()
    assert evaluation.features == {"extractor": "MobileNetV2", "weights": digest}


# --------------------------------------------------------------------------- the photographs


@pytest.mark.parametrize(
    ("source", "split", "expected"),
    [
        ("flowers", "test", ["flowers/test/0.png", "flowers/test/1.png", "flowers/test/2.png"]),
        ("others", "test", ["others/deep/0.png", "others/deep/1.png"]),
        ("others", "validation", ["others/deep/0.png", "others/deep/1.png"]),
        ("tested", "test", ["tested/test/0.png"]),
    ],
)
def test_which_photographs(home, source, split, expected) -> None:
    save(home / "tested/test/0.png", photograph(0))
    save(home / "tested/validation/1.png", photograph(1))
    assert names(run(sources=[source], split=split)) == expected


@pytest.mark.parametrize("source", ["trained", "validated"])
def test_a_split_that_is_missing_is_not_made_up(home, source) -> None:
    save(home / "trained/train/0.png", photograph(0))
    save(home / "validated/validation/0.png", photograph(0))
    with pytest.raises(ValueError, match="no "):
        run(sources=[source])


def test_limit_is_spread_over_the_sources(home) -> None:
    assert names(run(limit=2)) == ["flowers/test/0.png", "others/deep/1.png"]
    assert len(names(run(limit=99))) == 5


def test_near_gray_photographs_count(home) -> None:
    save(home / "pale/a.png", np.full((SIZE, SIZE, 3), 128, "uint8"))
    assert run(sources=["pale"]).figures["all"]["gray"]["psnr"] == metrics.PSNR_CEILING


def test_sources_of_one_name_keep_what_was_given(home) -> None:
    shutil.copytree("others", "copies/others")
    assert set(run(sources=["others", "copies/others"]).figures) == {
        "all",
        "others",
        "copies/others",
    }


def test_fingerprint_is_of_names_and_contents_alone(home) -> None:
    first = run().data["fingerprint"]
    shutil.copytree("flowers", "elsewhere/flowers")
    assert run(["mean_color"], ["others", "elsewhere/flowers"]).data["fingerprint"] == first
    save(home / "elsewhere/flowers/test/0.png", photograph(99))
    assert run(sources=["others", "elsewhere/flowers"]).data["fingerprint"] != first


def test_damaged_photographs_are_left_out_and_named(home) -> None:
    whole = run()
    (home / "flowers/test/00.png").write_bytes(b"no picture")
    (home / "others/cut.png").write_bytes((home / "others/deep/0.png").read_bytes()[:300])
    damaged = run()
    assert set(damaged.data["skipped"]) == {"flowers/test/00.png", "others/cut.png"}
    assert damaged.data["photographs"] == 5
    assert repr(damaged.figures) == repr(whole.figures)  # NaN is not equal to itself
    assert damaged.data["fingerprint"] != whole.data["fingerprint"]


# -------------------------------------------------------------------------------- the report


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_report_holds_what_is_needed_to_repeat_it(home) -> None:
    write_report(run(["gray", "truth_64"], limit=4), home / "report")
    text = (home / "report/evaluation.json").read_text("utf-8")
    report = json.loads(text, parse_constant=refuse)
    assert report["figures"]["all"]["gray"]["edge_bleeding"] is None
    assert report["config"]["limit"] == 4
    assert report["config"]["metrics"] == [n for n in FIGURES if n != "frechet_distance"]
    assert report["data"]["photographs"] == 4
    assert {"colorizer", "keras", "numpy", "pillow", "python"} <= set(report["versions"])


def test_rows_give_the_figures_back(home) -> None:
    evaluation = run(["mean_color"])
    lines = (write_report(evaluation, home / "r") / "photographs.csv").read_text("utf-8")
    for metric in ("psnr", "gray_share", "auc_rebalanced"):
        rows = [line.split(",") for line in lines.splitlines() if f"mean_color,{metric}," in line]
        value, weight = np.array([row[4:] for row in rows], float).T
        figure = evaluation.figures["all"]["mean_color"][metric]
        assert (value * weight).sum() / weight.sum() == pytest.approx(figure, rel=1e-12)


def test_grid_has_gray_first_and_truth_last(home) -> None:
    evaluation = run(["truth_64"])
    grid = np.asarray(Image.open(write_report(evaluation, home / "report") / "grid.png"))
    header = grid.shape[0] - 5 * SIZE
    assert grid.shape[1] == 3 * SIZE
    assert_array_equal(
        grid[header:, -SIZE:], np.concatenate([r["truth"] for r in evaluation.examples])
    )
    assert (np.ptp(grid[header:, :SIZE].astype(int), axis=-1) == 0).all()


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_table_tells_everything_at_any_width(home, monkeypatch, capsys, columns) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    evaluation = run(BASELINES, limit=2)
    long = {"gray": "a_run_whose_name_is_far_too_long_for_a_column_of_any_table_[red]"}
    figures = {
        source: {long.get(model, model): figures for model, figures in models.items()}
        for source, models in evaluation.figures.items()
    }
    print_report(dataclasses.replace(evaluation, figures=figures))
    lines = capsys.readouterr().out.splitlines()
    text = "\n".join(lines)
    assert max(map(len, lines)) <= max(80, columns)
    assert "…" not in text
    names = [name for name in FIGURES if name != "frechet_distance"]
    for word in [*names, *BASELINES[1:], evaluation.data["fingerprint"]]:
        assert word in text
    for model, metric in (("gray", "psnr"), ("truth_64", "psnr"), ("truth", "colorfulness")):
        assert f"{evaluation.figures['all'][model][metric]:.3f}" in text
    assert (long["gray"] in text) == (columns == 200)  # elsewhere it is folded, not cut
    assert "[red]" in text
    assert "psnr_gain by source" in text


# ---------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ["nobody"]}, "no model 'nobody'"),
        ({"models": []}, r"models \(--model\): expected"),
        ({"models": ["gray", "gray"]}, "each once"),
        ({"sources": ["all"]}, r"sources \(--data\): all is a name of the tables: write \./all"),
        ({"sources": ["nowhere"]}, "no source 'nowhere'"),
        ({"sources": ["empty"]}, "no photographs"),
        ({"sources": ["flowers", "./flowers"]}, "twice"),
        ({"sources": ["flowers"], "split": "best"}, "split must be"),
        ({"metrics": ["beauty"]}, "expected any of psnr.*beauty"),
        ({"metrics": ["leakage"]}, "expected any of psnr.*leakage"),
        ({"metrics": ["frechet_distance"]}, "needs an extractor"),
        ({"features": "VGG16"}, "expected InceptionV3"),
        ({"features": "MobileNetV2:none.h5"}, r"MobileNetV2:none\.h5"),
        ({"features": "MobileNetV2:junk.h5"}, "no weights for"),
        ({"limit": 0}, "limit: expected at least 1"),
        ({"size": 10}, "size: expected 11"),
        ({"vividness": 2.0}, "vividness"),
        ({"sources": ["junk"]}, r"none of 1 can be decoded; junk/a\.png"),
    ],
)
def test_mistakes_are_told(home, options, message) -> None:
    (home / "empty").mkdir()
    (home / "junk").mkdir()
    (home / "junk/a.png").write_bytes(b"junk")
    (home / "junk.h5").write_bytes(b"junk")
    with pytest.raises(ValueError, match=message):
        run(**options)


def test_command(home, capsys) -> None:
    call = ["evaluate", "--model", "gray", "--data", "flowers", "others", "--size", "32"]
    assert main([*call, "--metrics", "psnr,psnr_gain", "-o", "out"]) == 0
    assert sorted(path.name for path in (home / "out").iterdir()) == REPORT
    assert "5 photographs" in capsys.readouterr().out
    (home / "others/bad.png").write_bytes(b"junk")
    assert main([*call, "-o", "out"]) == 1
    assert "skipped: others/bad.png: cannot identify" in capsys.readouterr().err


@pytest.mark.parametrize("mistake", [["--limit", "0"], ["--metrics", "x"], ["--model", "nobody"]])
def test_command_tells_a_mistake_in_one_line(home, capsys, mistake) -> None:
    assert main(["evaluate", "--data", "flowers", "--model", "gray", *mistake]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("colorizer: ")
    assert told.err.count("\n") == 1
