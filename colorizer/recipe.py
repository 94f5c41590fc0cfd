"""Recipes: runs that make one model together, each from the weights of the one before.

A recipe is a folder of configs, `1-….json`, `2-….json`, …, in the order of their names. Each holds
the settings of one run (`recognition.PretrainConfig` if it has the entry `teacher`, else
`settings.TrainConfig`), but names neither where photographs lie nor what it starts from:

    sources     are names, with an optional count, of folders within the one folder that is given
                (`flowers17@6`), or of data sets that can be downloaded;
    the start   is the run before: its extractor if that was a pretraining, else all its weights.

`run_recipe` makes a folder for each run, named as its config. Called again after an interruption,
it passes over runs that are complete and goes on, exactly, with the one that is not.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from colorizer import runs
from colorizer.data import DataConfig, check_batch_size, counted_source, photo_files
from colorizer.pretraining import PretrainConfig, pretrain
from colorizer.settings import TrainConfig, check_settings
from colorizer.training import train

Config = PretrainConfig | TrainConfig


def read_recipe(folder: str | Path) -> dict[str, Config]:
    """The configs of a recipe by name, in order.

    Raises:
        ValueError: no such folder, no configs in it, or one that is none.
    """
    paths = sorted(Path(folder).glob("*.json"))
    if not paths:
        raise ValueError(f"{folder}: no recipe; expected a folder of configs like 1-pretrain.json")
    stages: dict[str, Config] = {}
    for path in paths:
        try:
            described = json.loads(path.read_text("utf-8-sig"))
            kind = PretrainConfig if "teacher" in described else TrainConfig
            stages[path.stem] = kind.from_dict(described)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: not the settings of a run: {error}") from error
    return stages


def run_recipe(
    recipe: str | Path,
    photos: str | Path,
    folder: str | Path,
    *,
    teacher: str | None = None,
    shrunk: Callable[[Any], Any] = lambda config: config,
) -> Path:
    """Makes a model by a recipe, or goes on making it.

    Args:
        recipe: folder of configs.
        photos: folder in which the recipe's sources lie.
        folder: of the runs; each has its own within.
        teacher: in place of the pretraining's: the same, with a file of weights.
        shrunk: what to do to each config before it is run (smoke tests).

    Returns:
        What the last run returned: the JSON file of a model, or an extractor's weights.

    Raises:
        ValueError: no recipe, settings that do not fit together, missing photographs, a teacher
            for a recipe without a pretraining, or a folder with runs of another recipe, or with
            one that started from another run than is there now.
    """
    stages = read_recipe(recipe)
    if not Path(photos).is_dir():
        raise ValueError(f"photos must be a folder. Received: {str(photos)!r}")
    if teacher is not None and not any(isinstance(c, PretrainConfig) for c in stages.values()):
        raise ValueError(f"teacher: {recipe} has no pretraining. Received: {teacher!r}")
    planned: dict[Path, Config] = {}
    made: Path | None = None
    for name, config in stages.items():
        config = dataclasses.replace(config, data=_located(config.data, Path(photos)))
        if isinstance(config, PretrainConfig) and teacher is not None:
            config = dataclasses.replace(config, teacher=teacher)
        within = Path(folder) / name
        planned[within] = shrunk(_started_from(config, made))
        made = _result(config, within)
    _check(planned)
    waiting = itertools.dropwhile(lambda run: _is_complete(run[1], run[0]), planned.items())
    first, *later = [within for within, _ in waiting] or [within]
    for other in later:
        if runs.last_checkpoint(other)[0] is not None:
            raise ValueError(f"{other} is not from {first.name} as it will be: remove it")
    for within, config in planned.items():
        if not _is_complete(config, within):
            _run(config, within)
    return _result(config, within)


def _check(planned: Mapping[Path, Config]) -> None:
    """Raises ValueError now for what a later run would refuse hours from now."""
    for within, config in planned.items():
        if _is_complete(config, within):
            continue
        try:
            if isinstance(config, TrainConfig):
                check_settings(config)
            check_batch_size(config.data, photo_files(config.data, "train"))
        except ValueError as error:
            raise ValueError(f"{within.name}: {error}") from error


def _located(config: DataConfig, photos: Path) -> DataConfig:
    """Sources as paths, where the folder has them; others are names of data sets."""

    def located(source: str) -> str:
        if (photos / source).is_dir():
            return str(photos / source)
        name, _ = counted_source(source)
        within = photos / name
        return f"{within}{source.removeprefix(name)}" if within.is_dir() else source

    return dataclasses.replace(config, sources=tuple(map(located, config.sources)))


def _started_from(config: Config, made: Path | None) -> Config:
    """The config with what the run before has left as its start."""
    if made is None:
        return config
    if made.suffix == ".json":
        return dataclasses.replace(config, init_from=str(made.parent))
    if isinstance(config, PretrainConfig):
        raise ValueError(
            "a recipe's pretraining cannot follow another: it starts from no extractor"
        )
    network = dataclasses.replace(config.network, extractor_weights=str(made))
    return dataclasses.replace(config, network=network)


def _result(config: Config, folder: Path) -> Path:
    """What a run leaves."""
    return folder / ("model.json" if isinstance(config, TrainConfig) else "extractor.weights.h5")


def _is_complete(config: Config, folder: Path) -> bool:
    """Whether a run of these very settings is complete already."""
    if runs.last_checkpoint(folder)[1] < config.epochs or not _result(config, folder).is_file():
        return False
    try:
        return type(config).from_dict(runs.read_json(folder / "config.json", {})) == config
    except (ValueError, TypeError, AttributeError):
        return False  # the run itself tells what is wrong


def _run(config: Config, folder: Path) -> None:
    """Does one run, or what is missing of it."""
    begun = runs.last_checkpoint(folder)[0] is not None
    resume = begun or _result(config, folder).is_file()
    if isinstance(config, PretrainConfig):
        pretrain(config, folder, resume=resume)
    else:
        train(config, folder, resume=resume)
