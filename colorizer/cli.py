"""The command line: `python main.py`, `colorizer`.

    main.py                          colour the sample photographs
    main.py PHOTO…                   colour photographs (short for `colorize`)
    main.py colorize PHOTO… -o OUT   colour files, folders, globs
    main.py train --data FOLDER …    train a network
    main.py evaluate --data FOLDER … measure models

Exit codes: 0 all done; 1 some photographs failed, each reported by name, the rest done;
2 a wrong call or input, told in one line; 130 interrupted with Ctrl-C.

Nothing heavy is imported before the command is known to need it.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import colorizer

SAMPLES = ("astronaut", "coffee", "chelsea", "rocket", "camera")
"""Photographs that the wheel of scikit-image carries; `camera` is a true gray one."""

RESULTS = Path("results")

COMPARED = ("gray", "mean_color", "default", "truth_64")
"""What `evaluate` measures unless told otherwise."""


def _unit(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text}")
    return value


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


def _sample(arguments: argparse.Namespace) -> int:
    """Colours scikit-image's samples, as pictures and as triptychs."""
    import numpy as np
    from skimage import data

    from colorizer.color import luminance_to_gray, rgb_to_luminance
    from colorizer.photos import write_photo
    from colorizer.predict import Colorizer

    colorize = Colorizer()
    RESULTS.mkdir(exist_ok=True)
    with _progress() as progress:
        for name in progress.track(SAMPLES, description="Colouring samples"):
            original = getattr(data, name)()
            colored = colorize(original)
            true = original if original.ndim == 3 else np.stack([original] * 3, axis=-1)
            luminance = np.asarray(luminance_to_gray(rgb_to_luminance(true)))
            gray = np.repeat(np.rint(luminance * 255).astype("uint8"), 3, axis=-1)
            triptych = np.concatenate([true, gray, colored], axis=1)
            for kind, picture in (("colorized", colored), ("triptych", triptych)):
                target = RESULTS / f"{name}_{kind}.png"
                write_photo(target, picture, overwrite=True)
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
    folder = pairs[0][1].parent if len(pairs) == 1 else arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"cannot write to the folder {folder}")

    from colorizer.predict import Colorizer, colorize_files

    colorizer_ = Colorizer(arguments.model, working_size=arguments.working_size)
    done, failed = 0, 0
    with _progress() as progress:
        results = colorize_files(
            colorizer_,
            pairs,
            overwrite=arguments.overwrite,
            vividness=arguments.vividness,
            strength=arguments.strength,
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


def _train_config(arguments: argparse.Namespace) -> Any:
    """The settings of a run: a preset or a file, then what the command line says."""
    from colorizer.networks import PRESETS, NetworkConfig
    from colorizer.training import TrainConfig

    folder = arguments.run
    stored = arguments.config or (folder / "config.json" if arguments.resume else None)
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

    from colorizer.training import train

    try:
        model = train(config, arguments.run, resume=arguments.resume)
    except KeyboardInterrupt:
        print(f"\nstopped; go on with: train --resume --run {arguments.run}", file=sys.stderr)
        return 130
    print(f"trained: {model}")
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    if not os.access(output, os.W_OK):
        raise PermissionError(f"cannot write to the folder {output}")
    # TensorFlow reads it when it starts: only kernels whose results never vary between runs.
    os.environ.setdefault("TF_DETERMINISTIC_OPS", "1")

    from colorizer.evaluate import evaluate, print_report, write_report

    def track(items: Sequence[Any], description: str) -> Iterator[Any]:
        with _progress() as progress:
            yield from progress.track(items, description=description)

    evaluation = evaluate(
        arguments.model or COMPARED,
        arguments.data,
        split=arguments.split,
        size=arguments.size,
        limit=arguments.limit,
        metrics=arguments.metrics,
        vividness=arguments.vividness,
        working_size=arguments.working_size,
        features=arguments.features,
        track=track,
    )
    write_report(evaluation, output)
    print_report(evaluation)
    print(f"report: {output}")
    skipped = evaluation.data["skipped"]
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


def _train_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--data",
        action="append",
        metavar="SOURCE[@COUNT]",
        help="a folder of photographs, or flowers17, flowers102, places365; repeatable; "
        "COUNT draws each of its photographs that often in an epoch",
    )
    add("--network", choices=("xception_fusion", "koalarization"), help="which layout")
    add("--extractor", help="xception_half, xception, or another name of keras.applications")
    add("--extractor-weights", metavar="FILE", help="'imagenet', or a .weights.h5 file")
    add("--fusion", choices=("global", "multiscale"))
    add("--head", choices=("regression", "distribution"))
    add("--mask", action="store_true", default=None, help="train with the input `mask`")
    add("--hints", action="store_true", default=None, help="train with the input `hints`")
    add("--size", type=_count, metavar="PIXELS", help="side of the training crops")
    add("--batch-size", type=_count)
    add("--epochs", type=_count)
    add("--steps-per-epoch", type=_count, help="default: every photograph once")
    add("--learning-rate", type=float, metavar="RATE")
    add("--precision", choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"))
    add("--seed", type=int)
    add(
        "--embeddings",
        metavar="FOLDER",
        help="compute a frozen extractor's embeddings once, and keep them here (global fusion)",
    )
    add("--init-from", metavar="MODEL", help="start from this model's weights")
    add("--config", metavar="FILE", help="settings of a run (config.json); options override")
    add("--run", type=Path, default=Path("runs/latest"), help="folder of the run (runs/latest)")
    add("--resume", action="store_true", help="go on with the run in that folder")
    add("--smoke", action="store_true", help="the same in seconds, to see that it works")


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
    add("-o", "--output", type=Path, default=RESULTS / "evaluation", metavar="DIR")


COMMANDS: dict[str, tuple[str, Callable[..., None], Callable[..., int]]] = {
    "colorize": ("colour files, folders or patterns", _colorize_options, _colorize),
    "train": ("train a network on photographs", _train_options, _train),
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
