"""The folder of a run: files that are whole or not there, checkpoints, photographs left out.

`checkpoint-NNNN.weights.h5` holds the task and its optimizer after NNNN complete epochs; there is
only the last. `epoch-NNNN.weights.h5` holds a network that is averaged over epochs, after each of
the last of them. `skipped.json` names photographs that could not be used by then, and why: an
interrupted run needs both to go on as if nothing had happened.
"""

import contextlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import h5py
import keras
import numpy as np
from filelock import FileLock, Timeout

PREFIX, SUFFIX = "checkpoint-", ".weights.h5"
EPOCH = "epoch-"
Config = TypeVar("Config")


def write_json(path: Path, value: Any) -> None:
    """Writes a file that is whole or not there."""
    partial = path.with_name(f".partial-{path.name}")
    try:
        partial.write_text(json.dumps(value, indent=1) + "\n", "utf-8")
        put_in_place(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def put_in_place(partial: Path, path: Path) -> None:
    """Renames a file that is written, once it is on the disk: not even a power cut halves it."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def read_json(path: Path, missing: Any = None) -> Any:
    """What a file holds, or `missing` if it is not there."""
    return json.loads(path.read_text("utf-8")) if path.is_file() else missing


@contextlib.contextmanager
def locked(folder: Path, *, resume: bool) -> Iterator[None]:
    """Makes the folder of a run that is new, and keeps other processes from writing to it.

    Raises:
        ValueError: there is no run to resume, or another process is at it.
    """
    if resume and not (folder / "config.json").is_file():
        raise ValueError(f"nothing to resume in {folder}: no config.json")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout:
        raise ValueError(f"{folder}: another run is writing to it") from None
    with lock:
        yield


def read_config(path: Path, parse: Callable[[Any], Config]) -> Config | None:
    """The config that a run has left in a file, or None if there is no file.

    Raises:
        ValueError: the file is no such config.
    """
    if not path.is_file():
        return None
    try:
        return parse(read_json(path))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not the config of a run: {error}") from error


def save_weights(model: keras.Model, path: Path) -> None:
    """Writes weights so that the file, which ends in `.weights.h5`, is whole or not there."""
    partial = path.with_name(f".{path.name}")
    try:
        model.save_weights(partial, overwrite=True)
        put_in_place(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def mean_of_epochs(folder: Path, network: keras.Model, done: int, epochs: int) -> Iterator[None]:
    """Inside, the network has the mean of its weights now and after the `epochs` - 1 epochs before.

    Args:
        folder: of the run; what the next epochs need of this one stays there.
        network: whose weights are averaged; afterwards it has its own again.
        done: complete epochs.
        epochs: how many are averaged; all that are done where they are fewer.
    """
    if epochs == 1:
        yield
        return
    now = [np.array(weight) for weight in network.get_weights()]
    save_weights(network, _epoch(folder, done))
    total = [weight.astype("float64") for weight in now]
    before = range(max(1, done - epochs + 1), done)
    try:
        for epoch in before:
            network.load_weights(_epoch(folder, epoch))
            total = [a + b for a, b in zip(total, network.get_weights(), strict=True)]
        mean = [weight / (len(before) + 1) for weight in total]
        network.set_weights([a.astype(b.dtype) for a, b in zip(mean, now, strict=True)])
        yield
    finally:
        network.set_weights(now)
    with contextlib.suppress(OSError):  # on Windows, while a virus scanner reads it
        _epoch(folder, done - epochs).unlink(missing_ok=True)


def _epoch(folder: Path, number: int) -> Path:
    return folder / f"{EPOCH}{number:04d}{SUFFIX}"


def check_epochs(folder: Path, epochs: int) -> None:
    """Refuses to resume a run whose mean over `epochs` would lack one.

    Raises:
        ValueError: a file of `mean_of_epochs` is gone, or broken.
    """
    done = last_checkpoint(folder)[1]
    for number in range(max(1, done - epochs + 2), done + 1):
        path = _epoch(folder, number)
        try:
            h5py.File(path).close()
        except OSError as error:
            wrong = "broken" if path.is_file() else "gone"
            raise ValueError(
                f"{path} is {wrong}, which the mean of epochs needs; name another folder"
            ) from error


def check_progress(task: keras.Model, logs: Mapping[str, float] | None, done: int) -> None:
    """Refuses what would take the place of the last weights that were good.

    Raises:
        ValueError: the loss of epoch `done`, if `logs` have one, is not finite, or a weight.
    """
    loss = float((logs or {}).get("loss", 0.0))
    told = f"a loss of {loss}"
    if math.isfinite(loss):  # the weights too, for the last step's loss is of those before it
        weights = map(keras.ops.convert_to_numpy, task.trainable_variables)
        if all(np.isfinite(weight).all() for weight in weights):
            return
        told = "weights that are not finite"
    raise ValueError(
        f"the run diverged in epoch {done}, which is not kept: try a lower learning_rate. "
        f"Received: {told}"
    )


def save_checkpoint(
    folder: Path, task: keras.Model, done: int, skipped: Mapping[Path, str]
) -> None:
    """Leaves the state after `done` epochs, and removes that of earlier ones."""
    # A copy, for the pipeline may be finding more of them at this moment.
    write_json(folder / "skipped.json", {str(p): why for p, why in dict(skipped).items()})
    final = folder / f"{PREFIX}{done:04d}{SUFFIX}"
    save_weights(task, final)
    for old in _checkpoints(folder):
        if old != final:
            with contextlib.suppress(OSError):  # on Windows one that is open; the next save tries
                old.unlink()


def _checkpoints(folder: Path) -> list[Path]:
    """Those of the run, in order; a copy by another name is the user's."""
    numbered = [
        (number, path) for path in folder.glob(f"{PREFIX}*{SUFFIX}") if (number := _epochs(path))
    ]
    return [path for _, path in sorted(numbered)]


def _epochs(checkpoint: Path) -> int | None:
    """The number in the name of a checkpoint; None for another name."""
    number = checkpoint.name.removeprefix(PREFIX).removesuffix(SUFFIX)
    return int(number) if number.isdecimal() else None


def last_checkpoint(folder: Path) -> tuple[Path | None, int]:
    """The last checkpoint and its number of complete epochs; None and 0 if there is none."""
    checkpoints = _checkpoints(folder)
    if not checkpoints:
        return None, 0
    return checkpoints[-1], _epochs(checkpoints[-1]) or 0


def check_unused(folder: Path, result: str) -> None:
    """Refuses to begin a run where one is, or where its result is left without its checkpoint.

    Raises:
        ValueError: the folder holds a checkpoint, or a file of the result's name.
    """
    if last_checkpoint(folder)[0] is not None or (folder / result).is_file():
        raise ValueError(f"{folder} holds a run already: resume it, or name another folder")


def check_checkpoint(folder: Path, result: str) -> None:
    """Refuses to resume a run whose checkpoint is gone: its result would be begun anew.

    Raises:
        ValueError: the result is there, and `log.csv`, of which an epoch's line is written last,
            has more epochs than the checkpoint.
    """
    log, done = folder / "log.csv", last_checkpoint(folder)[1]
    if not log.is_file() or not (folder / result).is_file():
        return
    made = len(log.read_text("utf-8").splitlines()) - 1  # a line of names before them
    if made > done:
        raise ValueError(
            f"{folder}: cannot resume after {done} epochs what was trained for {made}; the "
            "checkpoint is gone: name another folder"
        )


def known_unusable(folder: Path) -> dict[Path, str]:
    """Photographs that the run had left out by its last checkpoint, and why."""
    return {Path(p): why for p, why in read_json(folder / "skipped.json", {}).items()}


def fit(
    task: keras.Model,
    batches: Any,
    folder: Path,
    *,
    example: Any,
    epochs: int,
    steps: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Trains from the last checkpoint, or from the start, and logs each epoch to `log.csv`.

    Args:
        task: compiled.
        batches: endless; they begin where the last checkpoint ended.
        folder: of the run.
        example: inputs of the task: its variables must be there for a checkpoint to be read.
        epochs: in all, those that are done among them.
        steps: in an epoch.
        callbacks: called before the log is written; what they add to the logs is in it.
    """
    task.predict_on_batch(example)
    task.optimizer.build(task.trainable_variables)
    checkpoint, done = last_checkpoint(folder)
    if checkpoint is not None:
        task.load_weights(checkpoint)
    log = keras.callbacks.CSVLogger(folder / "log.csv", append=done > 0)
    try:
        task.fit(
            batches,
            epochs=epochs,
            initial_epoch=done,
            steps_per_epoch=steps,
            shuffle=False,
            verbose="auto" if sys.stdout is not None else 0,  # pythonw has none
            callbacks=[*callbacks, log, keras.callbacks.TerminateOnNaN()],
        )
    finally:
        if log.csv_file is not None:  # Keras leaves it open when training is interrupted
            log.csv_file.close()
