"""The command line: `python main.py`, `colorizer`.

    main.py                          colour the sample photographs
    main.py PHOTO…                   colour photographs (short for `colorize`)
    main.py colorize PHOTO… -o OUT   colour files, folders, globs
    main.py masks                    draw every mask pattern
    main.py train --data FOLDER …    train a network
    main.py find-lr --data FOLDER …  find the learning rate to train it with
    main.py pretrain --data FOLDER … teach the extractor what is in photographs
    main.py recipe RECIPE --photos … do all the runs that make one model
    main.py evaluate --data FOLDER … measure models

Exit codes: 0 all done; 1 some photographs failed, each reported by name, the rest done;
2 a wrong call or input, told in one line; 130 interrupted with Ctrl-C.

Nothing heavy is imported before the command is known to need it.
"""

import argparse
import collections
import dataclasses
import io
import itertools
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import colorizer
from colorizer.options import (
    COMPARED,
    RESULTS,
    colorize_options,
    evaluate_options,
    find_lr_options,
    masks_options,
    pretrain_options,
    recipe_options,
    train_options,
)

RESULT = "_colorized"  # what the name of a result ends in, before the suffix

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
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0" or sys.stderr is None:
        return
    # It counts one trace for each of several models as too many for one.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
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
    from colorizer.samples import SAMPLES, draw_old_photographs, draw_samples

    RESULTS.mkdir(exist_ok=True)
    colorize = Colorizer()
    drawn = itertools.chain(
        draw_samples(colorize, RESULTS), draw_old_photographs(colorize, RESULTS)
    )
    with _progress() as progress:
        for targets in progress.track(
            drawn, total=len(SAMPLES) + 1, description="Colouring samples"
        ):
            for target in targets:
                progress.console.print(str(target), markup=False, emoji=False, highlight=False)
    print(f"sample photographs coloured in {RESULTS.resolve()}")
    return 0


def _is_file(output: str, option: str) -> bool:
    """Whether OUT names a file rather than a folder; a suffix that means neither is refused."""
    from colorizer.photos import SUFFIXES

    path = Path(output)
    if not path.suffix or path.is_dir() or output.endswith(("/", os.sep)):
        return False
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{option} {output}: expected {' '.join(sorted(SUFFIXES))}, or a folder: {output}/ "
            "(without the slash once it exists)"
        )
    return True


def _targets(photos: list[tuple[Path, Path]], output: str) -> list[tuple[Path, Path]]:
    """Where each photograph's result goes: `OUT/…/NAME_colorized.SUFFIX`, or OUT itself."""
    from colorizer.photos import SUFFIXES

    # Of several photographs it can only be a folder, whatever its name but that of a picture.
    if (len(photos) == 1 or Path(output).suffix.lower() in SUFFIXES) and _is_file(output, "-o"):
        if len(photos) > 1:
            raise ValueError(f"-o {output}: {len(photos)} photographs need a folder: {output}/")
        return [(photos[0][0], Path(output))]
    pairs = []
    for source, relative in photos:
        suffix = source.suffix if source.suffix.lower() in SUFFIXES else ".png"
        name = relative.with_name(f"{source.stem}{RESULT}{suffix}")
        pairs.append((source, Path(output) / name))
    return pairs


def _mask_targets(
    pairs: list[tuple[Path, Path]], arguments: argparse.Namespace
) -> list[Path | None]:
    """Where the photographs' masks go."""
    from colorizer.albums import mask_targets

    targets = [target for _, target in pairs]
    return mask_targets(arguments.save_mask, targets, below=arguments.output)


def _without_results(
    pairs: list[tuple[Path, Path]], arguments: argparse.Namespace
) -> list[tuple[Path, Path]]:
    """Leaves out what, by its name, a run before made, unless there is nothing else."""
    from colorizer.photos import identity

    if len(pairs) == 1:
        return pairs
    targets = [target for _, target in pairs]
    results = {identity(path) for path in [*targets, *_mask_targets(pairs, arguments)] if path}
    named = {identity(Path(name)) for name in arguments.photos}
    if arguments.overwrite:  # what was named is an input, and not overwritten
        results -= named
    others = [(source, target) for source, target in pairs if identity(source) not in results]
    kept = [
        (source, target)
        for source, target in others
        if not source.stem.endswith((RESULT, f"{RESULT}_mask")) or identity(source) in named
    ]
    kept = kept or others
    if left := len(pairs) - len(kept):
        print(f"{left} left out: by name they are results of others", file=sys.stderr)
    return kept


def _tell_other_files(files: list[Path]) -> None:
    """Says which files in folders are not taken for photographs."""
    kinds = collections.Counter(path.suffix.lower() for path in files)
    if kinds:
        told = ", ".join(f"{times} {kind or 'without suffix'}" for kind, times in kinds.items())
        print(f"left out, no photographs by their names: {told}", file=sys.stderr)


def _already_done(
    pairs: list[tuple[Path, Path]], masks: list[Path | None], arguments: argparse.Namespace
) -> set[Path]:
    """Of several photographs those whose results are there, as after an interruption."""
    from colorizer.photos import identity

    named = len(arguments.photos) == 1 and Path(arguments.photos[0]).is_file()
    if named or arguments.overwrite:
        return set()

    def is_there(path: Path | None) -> bool:  # and is more than a name that a crash has left
        return path is None or (path.is_file() and path.stat().st_size > 0)

    # One result of two photographs is no such result but a mistake to be told.
    times = collections.Counter(identity(target) for _, target in pairs)
    return {
        source
        for (source, target), mask in zip(pairs, masks, strict=True)
        if times[identity(target)] == 1 and is_there(target) and is_there(mask)
    }


def _colorize(arguments: argparse.Namespace) -> int:
    from colorizer.albums import find_photos
    from colorizer.photos import identity

    found, others = find_photos(arguments.photos)
    pairs = _without_results(_targets(found, arguments.output), arguments)
    _tell_other_files(others)
    options = _steering(arguments)
    _check_save_mask(arguments.save_mask, len(pairs))
    folder = pairs[0][1].parent if len(pairs) == 1 else Path(arguments.output)
    _make_folder(folder)
    masks = _mask_targets(pairs, arguments)
    if arguments.reference is not None:
        outputs = {identity(path) for path in [*(target for _, target in pairs), *masks] if path}
        if identity(arguments.reference) in outputs:
            raise ValueError(f"{arguments.reference} is an input: it is not overwritten")
    done = _already_done(pairs, masks, arguments)
    if not arguments.overwrite and all(os.path.lexists(target) for _, target in pairs):
        told = (
            (source, target, f"{target}: exists already; --overwrite replaces it")
            for source, target in pairs
        )
        return _told(told, len(pairs), done)  # at once: nothing needs a network

    _start_backend()

    from colorizer.predict import Colorizer, colorize_files

    model = arguments.model or "default"
    colorizer_ = Colorizer(model, working_size=arguments.working_size, method=arguments.method)
    if options["hints"] and colorizer_.method == "network" and "hints" not in colorizer_.takes:
        raise ValueError(
            f"hints: model {model!r} takes none; choose one trained with --hints, or --method levin"
        )
    results = colorize_files(
        colorizer_,
        pairs,
        overwrite=arguments.overwrite,
        masks=masks,
        vividness=arguments.vividness,
        strength=arguments.strength,
        **options,
    )
    return _told(results, len(pairs), done)


def _make_folder(folder: Path) -> None:
    """Makes a folder for results, unless it is there.

    Raises:
        OSError: it cannot be made, or nothing can be written to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"-o: cannot make the folder {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"-o: cannot write to the folder {folder}")


def _told(
    results: Iterator[tuple[Path, Path, str | None]], total: int, before: Collection[Path]
) -> int:
    """Reports each photograph as it is done, or was before; the exit code."""
    done, failed, kept = 0, 0, 0
    with _progress() as progress:
        for source, target, problem in progress.track(
            results, total=total, description="Colouring"
        ):
            if problem is None:
                done += 1
                told, style = str(target), None
            elif source in before and (problem := _unlike(target, source)) is None:
                kept += 1
                told, style = f"kept: {target}", "dim"
            else:
                failed += 1
                named = problem if str(source) in problem else f"{source}: {problem}"
                told, style = f"failed: {named}", "red"
            progress.console.print(
                told, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True
            )
    counts = f"{done} coloured" + (f", {failed} failed" if failed else "")
    print(counts + (f", {kept} kept: --overwrite replaces them" if kept else ""))
    return 1 if failed else 0


def _unlike(target: Path, source: Path) -> str | None:
    """Why a file that was there already is no result of a photograph; None if it is one."""
    from colorizer.albums import is_colored
    from colorizer.photos import PhotoError

    try:
        if is_colored(target, source):
            return None
    except PhotoError as error:
        return f"{target}: exists already, and cannot be compared: {error}"
    return (
        f"{target}: exists already, of another photograph; name another folder (-o), or "
        "--overwrite replaces it"
    )


def _check_save_mask(output: str | None, photographs: int) -> None:
    if output is not None and _is_file(output, "--save-mask") and photographs > 1:
        raise ValueError(f"--save-mask {output}: {photographs} masks need a folder, not a file")


def _steering(arguments: argparse.Namespace) -> dict[str, Any]:
    """Mask, hints and reference of `Colorizer.__call__`, checked before any work is done."""
    from colorizer.photos import in_srgb, read_photo

    region, hints, reference = _region(arguments), _hints(arguments), arguments.reference
    if arguments.method == "levin":
        for name in ("model", "reference", "vividness", "working_size"):
            if getattr(arguments, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise ValueError(f"{option} is of a network; --method levin has none")
    if arguments.method == "levin" and isinstance(hints, list) and not hints:
        raise ValueError("--method levin spreads hints: give at least one --hint, or --hints FILE")
    colours = None if reference is None else in_srgb(read_photo(reference)).pixels
    if colours is not None and (colours.ndim == 2 or (colours == colours[..., :1]).all()):
        raise ValueError(f"--reference {reference}: a gray photograph has no colours to take on")
    return {"mask": region if region.is_asked() else None, "hints": hints, "reference": colours}


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
    from colorizer.photos import check_target, identity, write_photo
    from colorizer.regions import contact_sheet

    output: Path = arguments.output or RESULTS / "masks.png"
    if arguments.photo is not None and identity(output) == identity(arguments.photo):
        raise ValueError(f"-o {output}: is the photograph: it is not overwritten")
    overwrite = arguments.overwrite or arguments.output is None  # the default is only ever ours
    check_target(output, overwrite=overwrite)
    output.parent.mkdir(parents=True, exist_ok=True)
    sheet = contact_sheet(_gray_photo(arguments.photo), seed=arguments.seed)
    write_photo(output, sheet, overwrite=overwrite)
    print(output)
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
    _start_backend()

    from colorizer.networks import PRESETS, NetworkConfig
    from colorizer.training import TrainConfig

    config = _stored_config(arguments, TrainConfig)
    if arguments.network is not None:
        config = dataclasses.replace(config, network=PRESETS[arguments.network])
    network = dataclasses.replace(config.network, **_given(arguments, NetworkConfig))
    config = _with_given(dataclasses.replace(config, network=network), arguments)
    known = network.extractor_weights or config.init_from
    if arguments.extractor not in (None, "xception_half") and not known:
        raise ValueError(
            f"--extractor {arguments.extractor} does not learn: give it --extractor-weights "
            "imagenet, or a file"
        )
    return config


def _stored_config(arguments: argparse.Namespace, kind: Any) -> Any:
    """The config of the file that was named, or of the run that goes on, or the defaults."""
    stored = arguments.config or (arguments.run / "config.json" if arguments.resume else None)
    if stored is not None and not Path(stored).is_file():
        raise ValueError(f"{stored}: no such file; expected the settings of a run")
    try:
        return kind.from_dict(json.loads(Path(stored).read_text("utf-8-sig")) if stored else {})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{stored}: not the settings of a run: {error}") from error


def _given(arguments: argparse.Namespace, kind: type) -> dict[str, Any]:
    """Those settings of a config that the command line has."""
    renamed = {"data": "sources", "size": "image_size"}
    names = {field.name for field in dataclasses.fields(kind)} - {"network", "data"}
    chosen = {renamed.get(k, k): v for k, v in vars(arguments).items() if v is not None}
    # Configs have tuples: that of a run is compared with the one that is to go on with it.
    return {k: tuple(v) if isinstance(v, list) else v for k, v in chosen.items() if k in names}


def _with_given(config: Any, arguments: argparse.Namespace) -> Any:
    """The config with what the command line says of the run and its data."""
    from colorizer.data import DataConfig

    data = dataclasses.replace(config.data, **_given(arguments, DataConfig))
    config = dataclasses.replace(config, data=data, **_given(arguments, type(config)))
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

    return _run(
        lambda: f"trained: {train(config, arguments.run, resume=arguments.resume)}",
        again=_resumption("train", arguments),
    )


def _resumption(command: str, arguments: argparse.Namespace) -> Callable[[], str]:
    """What to say after Ctrl-C: before a run has its config there is nothing to resume."""
    config: Path = arguments.run / "config.json"

    def stamp() -> int | None:
        return config.stat().st_mtime_ns if config.is_file() else None

    before = stamp()  # of another run, perhaps, in the same place

    def again() -> str:
        begun = arguments.resume or stamp() != before
        return f"{command} --resume --run {arguments.run}" if begun else "the same command"

    return again


def _run(run: Callable[[], str], *, again: Callable[[], str]) -> int:
    """Does what takes long and tells its end; Ctrl-C loses nothing, and says how to go on."""
    try:
        print(run())
    except KeyboardInterrupt:
        print(f"\nstopped; go on with: {again()}", file=sys.stderr)
        return 130
    return 0


def _pretrain(arguments: argparse.Namespace) -> int:
    _start_backend()

    from colorizer.pretraining import PretrainConfig, pretrain

    config = _with_given(_stored_config(arguments, PretrainConfig), arguments)
    if not config.data.sources:
        raise ValueError(
            "pretrain needs --data: a folder of photographs, or the name of a data set"
        )

    def run() -> str:
        extractor = pretrain(config, arguments.run, resume=arguments.resume)
        return f"train with: train --extractor-weights {extractor}"

    return _run(run, again=_resumption("pretrain", arguments))


def _recipe(arguments: argparse.Namespace) -> int:
    _start_backend()

    from colorizer.recipe import run_recipe

    options: dict[str, Any] = {"shrunk": _shrunk} if arguments.smoke else {}

    def run() -> str:
        places = (arguments.recipe, arguments.photos, arguments.run)
        return f"made: {run_recipe(*places, teacher=arguments.teacher, **options)}"

    return _run(run, again=lambda: "the same command")


def _find_lr(arguments: argparse.Namespace) -> int:
    config = _train_config(arguments)
    if not config.data.sources:
        raise ValueError("find-lr needs --data: a folder of photographs, or the name of a data set")
    output: Path = arguments.output
    _make_folder(output)

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
    _make_folder(output)
    # TensorFlow reads it when it starts: only kernels whose results never vary between runs.
    os.environ.setdefault("TF_DETERMINISTIC_OPS", "1")
    _start_backend()

    def track(items: Sequence[Any], description: str) -> Iterator[Any]:
        with _progress() as progress:
            yield from progress.track(items, description=description)

    names = ("split", "size", "limit", "vividness", "working_size")
    settings = {name: getattr(arguments, name) for name in names}
    measured, module = _measure(arguments, {**settings, "track": track})
    try:
        module.print_report(measured)
    finally:  # whether or not anybody reads on; and if the files fail, it has been told
        module.write_report(measured, output)
    print(f"report: {output}")
    skipped = measured.data["skipped"]
    for name, reason in skipped.items():
        print(f"skipped: {name}: {reason}", file=sys.stderr)
    return 1 if skipped else 0


# ----------------------------------------------------------------------------- the parser


COMMANDS: dict[str, tuple[str, Callable[..., None], Callable[..., int]]] = {
    "colorize": ("colour files, folders or patterns", colorize_options, _colorize),
    "masks": ("draw every mask pattern on one sheet", masks_options, _masks),
    "train": ("train a network on photographs", train_options, _train),
    "pretrain": ("teach the extractor what is in photographs", pretrain_options, _pretrain),
    "recipe": ("do all the runs that make one model", recipe_options, _recipe),
    "find-lr": ("find the learning rate to train with", find_lr_options, _find_lr),
    "evaluate": ("measure models on photographs", evaluate_options, _evaluate),
}


class _Parser(argparse.ArgumentParser):
    """Tells a wrong call in one line, as `main` tells everything else that is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"colorizer: {' '.join(message.split())}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
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
        )
        options(command)
        command.set_defaults(run_command=run)
    return parser


def _with_negative_values(arguments: list[str]) -> list[str]:
    """`--hint -5,8,red` as `--hint=-5,8,red`, which argparse does not take for an option."""
    joined: list[str] = []
    for argument in arguments:
        if re.match(r"-[\d.]", argument) and joined and re.fullmatch(r"--[a-z-]+", joined[-1]):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


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
    if isinstance(sys.stdout, io.TextIOWrapper):  # what its encoding lacks must not end the work
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        parsed = _parser().parse_args(_with_command(_with_negative_values(given)))
        return int(parsed.run_command(parsed))
    except KeyboardInterrupt:
        print("\ninterrupted; what was done stays", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, MemoryError) as error:
        print(f"colorizer: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except Exception as error:
        if type(error).__name__ != "ResourceExhaustedError":  # TensorFlow's own
            raise
        print("colorizer: out of memory: try smaller --size or --batch-size", file=sys.stderr)
        return 2
