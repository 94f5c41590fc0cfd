"""The options of the command line: what may be said, and what it is read as.

A function for each command adds its options to a parser; those before it read one value each
and raise `argparse.ArgumentTypeError` with what was expected and what came. Nothing heavy
is imported, so `--help` costs nothing.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from colorizer.annotations import SEEDS

RESULTS = Path("results")

NETWORKS = (
    "xception_fusion",
    "koalarization",
    "rgb_baseline",
    "residual_encoder",
    "colorful",
    "unet_gan",
)
"""What `train` trains: the names of `networks.PRESETS`."""

COMPARED = ("gray", "mean_color", "default", "truth_64")
"""What `evaluate` measures unless told otherwise."""


def _number(text: str) -> float:
    """The number, NaN where there is none: out of every range."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _unit(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text}")
    return value


def _length(text: str) -> float:
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text}")
    return value


def _positive(text: str, expected: str = "a positive number") -> float:
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text}")
    return value


def _rate(text: str) -> float | str:
    return text if text == "auto" else _positive(text, "a positive number or auto")


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= SEEDS:
        raise argparse.ArgumentTypeError(
            f"expected a whole number from 0 to {SEEDS - 1}, got {text}"
        )
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return int(text)


def colorize_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="file, folder or pattern")
    parser.add_argument(
        "-o",
        "--output",
        default=str(RESULTS),  # not a Path, which drops the slash that tells a folder from a file
        metavar="OUT",
        help="folder for the results (with a slash where its name has a dot, like out.2024/), or, "
        "for one photograph, a file (default: results)",
    )
    parser.add_argument(
        "--vividness",
        type=_unit,
        metavar="V",
        help="0 = faithful and pale, 1 = most vivid (default: the model's best-looking)",
    )
    parser.add_argument(
        "--strength",
        type=_unit,
        default=1.0,
        metavar="S",
        help="0 = gray, 1 = the colours as predicted (default: 1)",
    )
    parser.add_argument(
        "--model",
        help="a released model, the .json file of a model, or the folder of a training run "
        "(default: default)",
    )
    parser.add_argument(
        "--working-size",
        type=_count,
        metavar="PIXELS",
        help="short side at which the network sees a photograph (default: the model's)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")
    _mask_options(parser.add_argument_group("where to colour (several: what any of them covers)"))
    _hint_options(parser.add_argument_group("which colours"))


def _numbers(form: str) -> Callable[[str], tuple[float, ...]]:
    """The type of comma-separated coordinates of a form like "X,Y"; "…" lets it go on."""

    def read(text: str) -> tuple[float, ...]:
        wanted = form.rstrip("…,").count(",") + 1
        try:
            numbers = tuple(float(part) for part in text.split(","))
        except ValueError:
            numbers = ()
        fits = len(numbers) == wanted
        if form.endswith("…"):
            fits = len(numbers) >= wanted and len(numbers) % 2 == 0
        if not fits or not all(map(math.isfinite, numbers)):
            raise argparse.ArgumentTypeError(f"expected {form} in pixels, got {text}")
        return numbers

    return read


def _mask_options(group: Any) -> None:
    several: dict[str, Any] = {"action": "append", "default": []}
    add = group.add_argument
    add(
        "--mask",
        type=Path,
        metavar="FILE",
        help="an image, stretched over the photograph: white, or opaque, is coloured",
    )
    add(
        "--mask-pattern",
        metavar="NAME",
        help="half:vertical, stripes:8@45, grid:4, checkerboard:6, discs:5, brush:3, polygons:4, "
        "smooth-noise:4, white-noise:0.3, superpixels:60; `colorizer masks` draws them",
    )
    add(
        "--mask-seed", type=_seed, default=0, metavar="N", help="of what a pattern leaves to chance"
    )
    for name, form, about in (
        ("--rectangle", "LEFT,TOP,RIGHT,BOTTOM", "colour its inside"),
        ("--polygon", "X,Y,X,Y,X,Y,…", "colour its inside"),
        ("--select", "X,Y", "colour the object there"),
        ("--deselect", "X,Y", "leave out what is there"),
    ):
        add(name, type=_numbers(form), metavar=form, help=f"{about}; repeatable", **several)
    add("--invert-mask", action="store_true", help="colour everything else instead")
    add("--feather", type=_length, default=0.0, metavar="PIXELS", help="soften the mask's edge")
    add(
        "--save-mask",
        metavar="OUT",
        help="write the mask that was used, in gray: a file, or, for several photographs, a folder",
    )


def _hint_options(group: Any) -> None:
    add = group.add_argument
    add(
        "--hint",
        action="append",
        default=[],
        metavar="X,Y,COLOUR[,RADIUS]",
        help="the colour at a place in pixels, like 120,80,#c33 or 120,80,teal,6; repeatable",
    )
    add(
        "--hints",
        type=Path,
        metavar="FILE",
        help='JSON like [{"x": 120, "y": 80, "colour": "#c33", "radius": 6}], or an image that is '
        "transparent except where colours were painted",
    )
    add("--reference", type=Path, metavar="FILE", help="take on the colours of this photograph")
    add(
        "--method",
        choices=("network", "levin"),
        default="network",
        help="levin: no network; the hints' colours are spread over what looks alike",
    )


def masks_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("photo", nargs="?", type=Path, help="a photograph to draw them over (default: a sample)")
    add("--seed", type=_seed, default=0, help="of what the patterns leave to chance")
    add(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help=f"the sheet ({RESULTS / 'masks.png'})",
    )
    add("--overwrite", action="store_true", help="replace FILE if it exists")


def _photograph_options(parser: argparse.ArgumentParser) -> None:
    """What is shown to the network."""
    add = parser.add_argument_group("photographs").add_argument
    add(
        "--data",
        action="append",
        metavar="SOURCE[@COUNT]",
        help="a folder of photographs, or flowers17, flowers102, places365; repeatable; "
        "COUNT draws each of its photographs that often in an epoch",
    )
    add("--size", type=_count, metavar="PIXELS", help="side of the training crops (128)")
    add("--batch-size", type=_count, metavar="N", help="crops in a mini-batch (32)")
    add("--aged-share", type=_unit, metavar="P", help="how often a photograph is made to look old")
    add(
        "--outlier-share",
        type=_unit,
        metavar="P",
        help="how often a photograph is made a relief, drawing, texture or negative, to stay gray",
    )
    add(
        "--embeddings",
        metavar="FOLDER",
        help="compute a frozen extractor's embeddings once, and keep them here (global fusion)",
    )


def _network_options(parser: argparse.ArgumentParser) -> None:
    """What is trained. Defaults are those of `xception_fusion`; other layouts bring their own."""
    add = parser.add_argument_group("network").add_argument
    add("--network", choices=NETWORKS, help="which layout (xception_fusion)")
    add(
        "--extractor",
        metavar="NAME",
        help="xception, or another name of keras.applications (xception_half)",
    )
    add(
        "--extractor-weights",
        metavar="FILE",
        help="'imagenet', or a .weights.h5 file (none: random; of koalarization: imagenet)",
    )
    add(
        "--freeze-extractor",
        action="store_true",
        default=None,
        help="leave xception_half as it starts, with the statistics it has",
    )
    add(
        "--fusion",
        choices=("global", "multiscale"),
        help="what is in the photograph joins the decoder as one vector, or at every stage "
        "(multiscale)",
    )
    add(
        "--head",
        choices=("regression", "distribution"),
        help="one colour for each spot, or how likely each of 313 is (distribution)",
    )
    add("--width", type=float, metavar="FACTOR", help="of colorful, unet_gan: fewer filters (1)")
    add("--init-from", metavar="MODEL", help="start from this model's weights")


def _condition_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("masks and hints").add_argument
    add("--mask", action="store_true", default=None, help="train with the input `mask`")
    add("--hints", action="store_true", default=None, help="train with the input `hints`")
    add(
        "--mask-patterns",
        type=lambda text: tuple(text.split(",")),
        metavar="A,B",
        help="masks to train with, as of `colorize --mask-pattern` but superpixels "
        "(default: a random mixture)",
    )
    add("--full-mask-share", type=_unit, metavar="P", help="how often a mask covers all (0.5)")
    add("--hint-share", type=_unit, metavar="P", help="how often hints may be shown (0.75)")


def _loss_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("loss").add_argument
    add(
        "--rebalancing",
        type=_unit,
        metavar="λ",
        help="0: rare colours count most, 1: all alike (0.5)",
    )
    add("--encoding-sigma", type=float, metavar="σ", help="how soft a colour's class is (5)")
    add("--regression-weight", type=float, metavar="W", help="also regress the decoded colours (0)")
    add("--huber-delta", type=float, metavar="δ", help="of regression: beyond it, absolute error")
    add("--chroma-weighting", type=float, metavar="κ", help="of regression: vivid pixels count (0)")
    add(
        "--log-regression",
        action="store_true",
        default=None,
        help="of regression: the log of each photograph's error, as PSNR counts it",
    )
    add("--perceptual-weight", type=float, metavar="W", help="look alike to a network, too (0)")
    add(
        "--perceptual-network",
        metavar="NAME[:FILE]",
        help="which: MobileNetV2 (downloaded by Keras), or MobileNetV2:FILE.weights.h5 (without "
        "the top)",
    )
    add(
        "--pixel-weight", type=float, metavar="W", help="of unet_gan: true colours, not style (100)"
    )


def _settings_options(parser: argparse.ArgumentParser) -> None:
    """What is trained, and on what; see `_train_config`."""
    _photograph_options(parser)
    _network_options(parser)
    _condition_options(parser)
    _loss_options(parser)
    add = parser.add_argument
    add(
        "--ema-momentum",
        type=float,
        metavar="M",
        help="the model is a moving average of the weights, like 0.999 (default: the last weights)",
    )
    add(
        "--averaged-epochs",
        type=_count,
        metavar="N",
        help="average the weights after each of the last N epochs (1)",
    )
    add(
        "--precision",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
        help="of the arithmetic; auto = the fastest that this machine is good at (auto)",
    )
    add("--seed", type=_seed, metavar="N", help="of weights, order, crops, masks and hints (0)")
    add("--config", metavar="FILE", help="settings of a run (config.json); options override")


def train_options(parser: argparse.ArgumentParser) -> None:
    _settings_options(parser)
    add = parser.add_argument
    add(
        "--learning-rate",
        type=_rate,
        metavar="RATE",
        help="peak (0.001); auto = as find-lr suggests",
    )
    _run_options(parser)


def pretrain_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--data",
        action="append",
        metavar="SOURCE[@COUNT]",
        help="as of `train`; a photograph's folder is its class (repeatable)",
    )
    add(
        "--teacher",
        metavar="NAME[:FILE]",
        help="learn what it sees in colour, too: MobileNetV2 (downloaded by Keras), or "
        "MobileNetV2:FILE.weights.h5 (without the top)",
    )
    add("--teacher-size", type=_count, metavar="PIXELS", help="side it sees them at (160)")
    add("--teacher-cache", metavar="FOLDER", help="where its features are kept (RUN/teacher)")
    add("--class-weight", type=_length, metavar="W", help="of the classes in the loss (1)")
    add("--feature-weight", type=_length, metavar="W", help="of the teacher's features (20)")
    add("--size", type=_count, metavar="PIXELS", help="side of the training crops (128)")
    add("--batch-size", type=_count, help="crops in a mini-batch (32)")
    add(
        "--precision",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
        help="of the arithmetic (auto)",
    )
    add("--seed", type=_seed, metavar="N", help="of weights, order and crops (0)")
    add("--init-from", metavar="MODEL", help="start from the extractor of this model")
    add("--config", metavar="FILE", help="settings of a run (config.json); options override")
    add("--learning-rate", type=_positive, metavar="RATE", help="peak (0.001)")
    _run_options(parser)


def _run_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--epochs", type=_count, metavar="N", help="passes over the photographs (20)")
    add(
        "--steps-per-epoch",
        type=_count,
        metavar="N",
        help="mini-batches in an epoch (default: every photograph once)",
    )
    add("--run", type=Path, default=Path("runs/latest"), help="folder of the run (runs/latest)")
    add("--resume", action="store_true", help="go on with the run in that folder")
    add("--smoke", action="store_true", help="the same, tiny, to see that it works")


def recipe_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("recipe", help="a folder of configs, one for each run: models/recipe")
    add("--photos", required=True, metavar="FOLDER", help="where the recipe's sources lie")
    add("--teacher", metavar="NAME[:FILE]", help="as of `pretrain`: its weights from a file")
    add("--run", type=Path, default=Path("runs/recipe"), help="folder of the runs (runs/recipe)")
    add("--smoke", action="store_true", help="the same, tiny, to see that it works")


def find_lr_options(parser: argparse.ArgumentParser) -> None:
    _settings_options(parser)
    parser.set_defaults(resume=False, smoke=False)
    add = parser.add_argument
    add("--lowest", type=float, default=1e-6, metavar="RATE", help="where to start (1e-6)")
    add("--highest", type=float, default=1.0, metavar="RATE", help="where to stop at last (1)")
    add("--steps", type=_count, default=100, metavar="N", help="mini-batches in all (100)")
    add(
        "-o",
        "--output",
        type=Path,
        default=RESULTS / "learning_rate",
        metavar="DIR",
        help="folder for the curve (results/learning_rate)",
    )


def _counts(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        expected = "expected whole numbers like 0,1,10"
        raise argparse.ArgumentTypeError(f"{expected}, got {text}") from None


def evaluate_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    several: dict[str, Any] = {"nargs": "+", "action": "extend"}
    add(
        "--model",
        **several,
        metavar="NAME",
        help="released models, .json files, folders of runs, or the baselines gray, mean_color "
        f"and truth_64 (default: {' '.join(COMPARED)}; with --hints or --mask, default alone)",
    )
    add(
        "--data",
        **several,
        required=True,
        metavar="SOURCE",
        help="folders of photographs, or flowers17, flowers102, places365",
    )
    add("--split", choices=("train", "validation", "test"), default="test")
    add("--size", type=int, default=256, metavar="PIXELS", help="side of the squares (256)")
    add("--limit", type=int, metavar="N", help="at most N photographs, evenly spread")
    add(
        "--metrics",
        type=lambda text: text.split(","),
        metavar="A,B",
        help="names as in the table (default: all)",
    )
    add("--vividness", type=_unit, metavar="V", help="as of `colorize`, of every model")
    add("--working-size", type=_count, metavar="PIXELS", help="as of `colorize`, of every model")
    add(
        "--features",
        metavar="NAME[:FILE]",
        help="measure the Fréchet distance too, with InceptionV3 or MobileNetV2, whose weights "
        "Keras downloads, or NAME:FILE.weights.h5 (weights without the top)",
    )
    steered = parser.add_mutually_exclusive_group()
    steered.add_argument(
        "--hints",
        type=_counts,
        nargs="?",
        const=(),
        metavar="N,N",
        help="measure instead what N true colours at random places add (0,1,2,5,10,20,50,100)",
    )
    steered.add_argument(
        "--mask",
        type=lambda text: text.split(","),
        nargs="?",
        const=(),
        metavar="KIND,KIND",
        help="measure instead how well the network alone keeps to masks "
        "(brush,polygons,superpixels,white-noise)",
    )
    add("-o", "--output", type=Path, default=RESULTS / "evaluation", metavar="DIR")
