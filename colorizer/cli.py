"""The command line: `python main.py`, `colorizer`.

    main.py                          colour the sample photographs
    main.py PHOTO…                   colour photographs (short for `colorize`)
    main.py colorize PHOTO… -o OUT   colour files, folders, globs
    main.py masks                    draw every mask pattern
    main.py train --data FOLDER …    train a network
    main.py find-lr --data FOLDER …  find the learning rate to train it with
    main.py evaluate --data FOLDER … measure models

Exit codes: 0 all done; 1 some photographs failed, each reported by name, the rest done;
2 a wrong call or input, told in one line; 130 interrupted with Ctrl-C.

Nothing heavy is imported before the command is known to need it.
"""

import argparse
import dataclasses
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import colorizer

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


def _unit(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text}")
    return value


def _length(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text}")
    return value


def _rate(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if text != "auto" and not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a positive number or auto, got {text}")
    return text if text == "auto" else value


def _seed(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return int(text)


# --------------------------------------------------------------------------- the commands


def _progress() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _start_backend() -> None:
    """Imports Keras without TensorFlow's start-up chatter, which no setting silences.

    What was said is shown if the import fails, or if the user asked for TensorFlow's log.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    with tempfile.TemporaryFile() as chatter:
        stderr = os.dup(2)
        os.dup2(chatter.fileno(), 2)
        try:
            import keras

            if keras.backend.backend() == "tensorflow":
                import tensorflow

                tensorflow.config.list_physical_devices()  # looks for drivers, and says so
        except BaseException:
            chatter.seek(0)
            os.write(stderr, chatter.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _sample(arguments: argparse.Namespace) -> int:
    """Colours scikit-image's samples: the pictures of the README."""
    _start_backend()

    from colorizer.predict import Colorizer
    from colorizer.samples import SAMPLES, draw_samples

    RESULTS.mkdir(exist_ok=True)
    drawn = draw_samples(Colorizer(), RESULTS)
    with _progress() as progress:
        for targets in progress.track(drawn, total=len(SAMPLES), description="Colouring samples"):
            for target in targets:
                progress.console.print(f"{target}", highlight=False)
    print(f"{len(SAMPLES)} photographs coloured in {RESULTS.resolve()}")
    return 0


def _targets(photos: list[tuple[Path, Path]], output: Path) -> list[tuple[Path, Path]]:
    """Where each photograph's result goes: `OUT/…/NAME_colorized.SUFFIX`, or OUT itself."""
    from colorizer.photos import SUFFIXES

    if len(photos) == 1 and output.suffix.lower() in SUFFIXES and not output.is_dir():
        return [(photos[0][0], output)]
    pairs = []
    for source, relative in photos:
        suffix = source.suffix if source.suffix.lower() in SUFFIXES else ".png"
        pairs.append((source, output / relative.with_name(f"{source.stem}_colorized{suffix}")))
    return pairs


def _colorize(arguments: argparse.Namespace) -> int:
    from colorizer.photos import find_photos

    pairs = _targets(find_photos(arguments.photos), arguments.output)
    options = _steering(arguments)
    folder = pairs[0][1].parent if len(pairs) == 1 else arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"cannot write to the folder {folder}")

    _start_backend()

    from colorizer.predict import Colorizer, colorize_files

    colorizer_ = Colorizer(
        arguments.model, working_size=arguments.working_size, method=arguments.method
    )
    done, failed = 0, 0
    with _progress() as progress:
        results = colorize_files(
            colorizer_,
            pairs,
            overwrite=arguments.overwrite,
            masks=arguments.save_mask,
            vividness=arguments.vividness,
            strength=arguments.strength,
            **options,
        )
        for source, target, problem in progress.track(
            results, total=len(pairs), description="Colouring"
        ):
            if problem is None:
                done += 1
                progress.console.print(f"{target}", highlight=False, soft_wrap=True)
            else:
                failed += 1
                told = problem if str(source) in problem else f"{source}: {problem}"
                progress.console.print(f"failed: {told}", style="red", markup=False, soft_wrap=True)
    print(f"{done} coloured" + (f", {failed} failed" if failed else ""))
    return 1 if failed else 0


def _steering(arguments: argparse.Namespace) -> dict[str, Any]:
    """Mask, hints and reference of `Colorizer.__call__`, checked before any work is done."""
    from colorizer.photos import read_photo

    region, hints, reference = _region(arguments), _hints(arguments), arguments.reference
    if arguments.method == "levin" and reference is not None:
        raise ValueError("--reference changes a network's colours; --method levin has none")
    if arguments.method == "levin" and isinstance(hints, list) and not hints:
        raise ValueError("--method levin spreads hints: give at least one --hint, or --hints FILE")
    return {
        "mask": region if region.is_asked() else None,
        "hints": hints,
        "reference": reference if reference is None else read_photo(reference).pixels,
    }


def _region(arguments: argparse.Namespace) -> Any:
    """Where to colour."""
    from colorizer.masks import check_pattern
    from colorizer.photos import read_photo
    from colorizer.regions import Region

    if arguments.mask is not None:
        read_photo(arguments.mask)
    if arguments.mask_pattern is not None:
        check_pattern(arguments.mask_pattern)
    region = Region(
        image=arguments.mask,
        pattern=arguments.mask_pattern,
        rectangles=arguments.rectangle,
        polygons=[list(zip(p[::2], p[1::2], strict=True)) for p in arguments.polygon],
        select=arguments.select,
        deselect=arguments.deselect,
        invert=arguments.invert_mask,
        feather=arguments.feather,
        seed=arguments.mask_seed,
    )
    if not region.is_asked() and (region.invert or region.feather):
        raise ValueError("--invert-mask and --feather need a mask: say where to colour")
    if region.deselect and not region.select:
        raise ValueError("--deselect leaves out of what is selected: give at least one --select")
    return region


def _hints(arguments: argparse.Namespace) -> Any:
    """Which colours are known: a list of hints, or the path of scribbles."""
    from colorizer.hints import parse_hint, read_hints, read_scribbles

    hints = [parse_hint(text) for text in arguments.hint]
    if arguments.hints is None:
        return hints
    if arguments.hints.suffix.lower() == ".json":
        return hints + read_hints(arguments.hints)
    if hints:
        raise ValueError("--hint and scribbles cannot be mixed: paint the hint, too")
    read_scribbles(arguments.hints, (1, 1))  # can it be, at whatever size?
    return arguments.hints


def _masks(arguments: argparse.Namespace) -> int:
    """Draws every pattern on one sheet, over a photograph."""
    from colorizer.photos import write_photo
    from colorizer.regions import contact_sheet

    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    sheet = contact_sheet(_gray_photo(arguments.photo), seed=arguments.seed)
    write_photo(arguments.output, sheet, overwrite=True)
    print(arguments.output)
    return 0


def _gray_photo(path: Path | None) -> Any:
    """The luminance of a photograph, or of a sample, (H, W) in [0, 100]."""
    from skimage import data
    from skimage.color import gray2rgb, rgb2lab

    from colorizer.photos import read_photo

    pixels = data.astronaut() if path is None else read_photo(path).pixels
    return rgb2lab(pixels if pixels.ndim == 3 else gray2rgb(pixels))[..., 0]


def _train_config(arguments: argparse.Namespace) -> Any:
    """The settings of a run: a preset or a file, then what the command line says."""
    from colorizer.networks import PRESETS, NetworkConfig
    from colorizer.training import TrainConfig

    stored = arguments.config or (arguments.run / "config.json" if arguments.resume else None)
    if stored is not None and not Path(stored).is_file():
        raise ValueError(f"{stored}: no such file; expected the settings of a run")
    try:
        described = json.loads(Path(stored).read_text("utf-8")) if stored else {}
        config = TrainConfig.from_dict(described)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{stored}: not the settings of a run: {error}") from error
    if arguments.network is not None:
        config = dataclasses.replace(config, network=PRESETS[arguments.network])
    given = {k: v for k, v in vars(arguments).items() if v is not None}

    def settings(kind: type, renamed: dict[str, str]) -> dict[str, Any]:
        names = {field.name for field in dataclasses.fields(kind)} - {"network", "data"}
        chosen = {renamed.get(k, k): v for k, v in given.items()}
        return {k: v for k, v in chosen.items() if k in names}

    from colorizer.data import DataConfig

    network = dataclasses.replace(config.network, **settings(NetworkConfig, {}))
    renamed = {"data": "sources", "size": "image_size"}
    data = dataclasses.replace(config.data, **settings(DataConfig, renamed))
    config = dataclasses.replace(config, network=network, data=data, **settings(TrainConfig, {}))
    return _shrunk(config) if arguments.smoke else config


def _shrunk(config: Any) -> Any:
    """The same run in seconds: everything happens, nothing is learnt."""
    data = dataclasses.replace(config.data, image_size=64, batch_size=2)
    return dataclasses.replace(config, data=data, epochs=2, steps_per_epoch=2)


def _train(arguments: argparse.Namespace) -> int:
    config = _train_config(arguments)
    if not config.data.sources:
        raise ValueError("train needs --data: a folder of photographs, or the name of a data set")

    _start_backend()

    from colorizer.training import train

    try:
        model = train(config, arguments.run, resume=arguments.resume)
    except KeyboardInterrupt:
        print(f"\nstopped; go on with: train --resume --run {arguments.run}", file=sys.stderr)
        return 130
    print(f"trained: {model}")
    return 0


def _find_lr(arguments: argparse.Namespace) -> int:
    config = _train_config(arguments)
    if not config.data.sources:
        raise ValueError("find-lr needs --data: a folder of photographs, or the name of a data set")
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    if not os.access(output, os.W_OK):
        raise PermissionError(f"cannot write to the folder {output}")
    _start_backend()

    from colorizer.range_test import find_learning_rate

    found = find_learning_rate(
        config, lowest=arguments.lowest, highest=arguments.highest, steps=arguments.steps
    )
    found.write(output)
    print(f"steepest descent: {found.steepest:.2g}")
    print(f"tenth of the minimum: {found.tenth_of_minimum:.2g}")
    print(f"curve: {output / 'learning_rate.png'}")
    print(f"train with: --learning-rate {found.suggestion:.2g}")
    return 0


def _measure(arguments: argparse.Namespace, settings: dict[str, Any]) -> tuple[Any, Any]:
    """What `evaluate` was asked to measure, and the module that writes and prints it."""
    if arguments.hints is None and arguments.mask is None:
        from colorizer import evaluate

        settings |= {"metrics": arguments.metrics, "features": arguments.features}
        return evaluate.evaluate(arguments.model or COMPARED, arguments.data, **settings), evaluate

    if arguments.metrics or arguments.features:
        raise ValueError("--metrics and --features go with neither --hints nor --mask")
    from colorizer import steering

    models = arguments.model or ["default"]
    if arguments.hints is not None:
        settings |= {"counts": arguments.hints} if arguments.hints else {}
        return steering.measure_hints(models, arguments.data, **settings), steering
    settings |= {"kinds": arguments.mask} if arguments.mask else {}
    return steering.measure_masks(models, arguments.data, **settings), steering


def _evaluate(arguments: argparse.Namespace) -> int:
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    if not os.access(output, os.W_OK):
        raise PermissionError(f"cannot write to the folder {output}")
    # TensorFlow reads it when it starts: only kernels whose results never vary between runs.
    os.environ.setdefault("TF_DETERMINISTIC_OPS", "1")
    _start_backend()

    def track(items: Sequence[Any], description: str) -> Iterator[Any]:
        with _progress() as progress:
            yield from progress.track(items, description=description)

    names = ("split", "size", "limit", "vividness", "working_size")
    settings = {name: getattr(arguments, name) for name in names}
    measured, module = _measure(arguments, {**settings, "track": track})
    module.write_report(measured, output)
    module.print_report(measured)
    print(f"report: {output}")
    skipped = measured.data["skipped"]
    for name, reason in skipped.items():
        print(f"skipped: {name}: {reason}", file=sys.stderr)
    return 1 if skipped else 0


# ----------------------------------------------------------------------------- the parser


def _colorize_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="file, folder or pattern")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=RESULTS,
        metavar="OUT",
        help="folder for the results, or, for one photograph, a file (default: results)",
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
        default="default",
        help="a released model, the .json file of a model, or the folder of a training run",
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
    add("--mask", type=Path, metavar="FILE", help="an image: white, or opaque, is coloured")
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
        type=Path,
        metavar="OUT",
        help="write the mask that was used: a file, or, for several photographs, a folder",
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
        help="hints as JSON, or an image that is transparent except where colours were painted",
    )
    add("--reference", type=Path, metavar="FILE", help="take on the colours of this photograph")
    add(
        "--method",
        choices=("network", "levin"),
        default="network",
        help="levin: no network; the hints' colours are spread over what looks alike",
    )


def _masks_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("photo", nargs="?", type=Path, help="a photograph to draw them over (default: a sample)")
    add("--seed", type=_seed, default=0, help="of what the patterns leave to chance")
    add("-o", "--output", type=Path, default=RESULTS / "masks.png", metavar="FILE")


def _settings_options(parser: argparse.ArgumentParser) -> None:
    """What is trained, and on what; see `_train_config`."""
    add = parser.add_argument
    add(
        "--data",
        action="append",
        metavar="SOURCE[@COUNT]",
        help="a folder of photographs, or flowers17, flowers102, places365; repeatable; "
        "COUNT draws each of its photographs that often in an epoch",
    )
    add("--network", choices=NETWORKS, help="which layout")
    add("--extractor", help="xception_half, xception, or another name of keras.applications")
    add("--extractor-weights", metavar="FILE", help="'imagenet', or a .weights.h5 file")
    add("--fusion", choices=("global", "multiscale"))
    add("--head", choices=("regression", "distribution"))
    add("--width", type=float, metavar="FACTOR", help="of colorful, unet_gan: fewer filters")
    add("--mask", action="store_true", default=None, help="train with the input `mask`")
    add("--hints", action="store_true", default=None, help="train with the input `hints`")
    add(
        "--mask-patterns",
        type=lambda text: tuple(text.split(",")),
        metavar="A,B",
        help="masks to train with, as of `colorize --mask-pattern` (default: a random mixture)",
    )
    add("--full-mask-share", type=_unit, metavar="P", help="how often a mask covers all (0.5)")
    add("--pixel-weight", type=float, metavar="W", help="of unet_gan: true colours, not style")
    add("--size", type=_count, metavar="PIXELS", help="side of the training crops")
    add("--batch-size", type=_count)
    add("--precision", choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"))
    add("--seed", type=int)
    add(
        "--embeddings",
        metavar="FOLDER",
        help="compute a frozen extractor's embeddings once, and keep them here (global fusion)",
    )
    add("--init-from", metavar="MODEL", help="start from this model's weights")
    add("--config", metavar="FILE", help="settings of a run (config.json); options override")


def _train_options(parser: argparse.ArgumentParser) -> None:
    _settings_options(parser)
    add = parser.add_argument
    add("--epochs", type=_count)
    add("--steps-per-epoch", type=_count, help="default: every photograph once")
    add("--learning-rate", type=_rate, metavar="RATE", help="peak; auto = as find-lr suggests")
    add("--run", type=Path, default=Path("runs/latest"), help="folder of the run (runs/latest)")
    add("--resume", action="store_true", help="go on with the run in that folder")
    add("--smoke", action="store_true", help="the same in seconds, to see that it works")


def _find_lr_options(parser: argparse.ArgumentParser) -> None:
    _settings_options(parser)
    parser.set_defaults(resume=False, smoke=False)
    add = parser.add_argument
    add("--lowest", type=float, default=1e-6, metavar="RATE", help="where to start (1e-6)")
    add("--highest", type=float, default=1.0, metavar="RATE", help="where to stop at last (1)")
    add("--steps", type=_count, default=100, help="mini-batches in all (100)")
    add("-o", "--output", type=Path, default=RESULTS / "learning_rate", metavar="DIR")


def _counts(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        expected = "expected whole numbers like 0,1,10"
        raise argparse.ArgumentTypeError(f"{expected}, got {text}") from None


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    several: dict[str, Any] = {"nargs": "+", "action": "extend"}
    add(
        "--model",
        **several,
        metavar="NAME",
        help="released models, .json files, folders of runs, or the baselines gray, mean_color "
        f"and truth_64 (default: {' '.join(COMPARED)})",
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
        help="measure the Fréchet distance too, with InceptionV3 (downloaded by Keras) or "
        "MobileNetV2:FILE.h5 (weights without the top)",
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


COMMANDS: dict[str, tuple[str, Callable[..., None], Callable[..., int]]] = {
    "colorize": ("colour files, folders or patterns", _colorize_options, _colorize),
    "masks": ("draw every mask pattern on one sheet", _masks_options, _masks),
    "train": ("train a network on photographs", _train_options, _train),
    "find-lr": ("find the learning rate to train with", _find_lr_options, _find_lr),
    "evaluate": ("measure models on photographs", _evaluate_options, _evaluate),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="colorizer",
        description="A gray photograph in, a colour photograph out. Without arguments, the "
        "sample photographs are coloured into results/.",
        epilog="`colorizer PHOTO…` is short for `colorizer colorize PHOTO…`.",
    )
    parser.add_argument("--version", action="version", version=colorizer.__version__)
    parser.set_defaults(run_command=_sample)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, (about, options, run) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=about,
            description=about[0].upper() + about[1:] + ".",
            formatter_class=argparse.HelpFormatter,
        )
        options(command)
        command.set_defaults(run_command=run)
    return parser


def _with_command(arguments: list[str]) -> list[str]:
    """`PHOTO…` stands for `colorize PHOTO…`."""
    if not arguments or arguments[0] in COMMANDS or arguments[0] in ("-h", "--help", "--version"):
        return arguments
    return ["colorize", *arguments]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; None = those of the process.

    Returns:
        The exit code (see the module).
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parsed = _parser().parse_args(_with_command(given))
        return int(parsed.run_command(parsed))
    except KeyboardInterrupt:
        print("\ninterrupted; what was done stays", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, MemoryError) as error:
        print(f"colorizer: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
