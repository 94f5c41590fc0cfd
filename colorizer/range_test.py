"""The learning-rate range test: train a little at ever higher rates, and look at the loss.

The rate goes up geometrically from one mini-batch to the next [1]. At first nothing happens, then
the loss falls, then it rises: the network can bear no higher rate. The weights are as before
afterwards, to the bit.

The curve is smoothed by an exponential mean, corrected for its start as Adam corrects its own, and
two rates are read off it:

`steepest`
    where the smoothed loss falls fastest against the logarithm of the rate, before its minimum.
`tenth_of_minimum`
    a tenth of the rate where the smoothed loss is lowest.

The suggestion is a tenth of the minimum. The minimum lies where learning and diverging balance, a
feature of the whole curve; the steepest place is one difference of a noisy curve, and moves with
the batches. On five seeds of a small network over the Oxford flowers 17, mini-batches of 8, the
steepest place was anywhere from below 1e-5 to 1e-2, and the loss after 300 steps at that rate
3.8 to 5.2; a tenth of the minimum was 8e-3 to 0.1, and the loss 3.7 to 3.8. The tenth is needed: at
the minimum itself some weights diverge already, and the smoothing finds it late, by about half a
decade in 100 steps from 1e-6 to 1. Where nothing diverged, it is a tenth of the highest rate.

References
    [1] L. N. Smith. "Cyclical Learning Rates for Training Neural Networks". WACV 2017,
        section 3.3.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import track
from scipy import signal

from colorizer import report, tasks
from colorizer.settings import TrainConfig

SMOOTHING = 0.9  # of the exponential mean: it looks back over about ten steps
SETTLED = 10  # steps: before that the mean is of few losses, and falls and rises with each
LEAST_STEPS = 2 * SETTLED  # as many again, for a settled mean to have somewhere to fall
DIVERGED = 4.0  # times the lowest smoothed loss


def smooth(losses: Sequence[float] | np.ndarray) -> np.ndarray:
    """The exponential mean of losses (N,), corrected for its start at zero, (N,)."""
    mean = signal.lfilter([1 - SMOOTHING], [1, -SMOOTHING], np.asarray(losses, "float64"))
    return mean / (1 - SMOOTHING ** np.arange(1, len(mean) + 1))


@dataclasses.dataclass(frozen=True, eq=False)
class RangeTest:
    """What a range test found.

    Attributes:
        rates: (N,) learning rates, rising.
        losses: (N,) the loss of each mini-batch, before the step at that rate; finite.
    """

    rates: np.ndarray
    losses: np.ndarray

    @property
    def smoothed(self) -> np.ndarray:
        """(N,) the losses, smoothed."""
        return smooth(self.losses)

    @property
    def steepest(self) -> float:
        """The rate where the smoothed loss falls fastest against the logarithm of the rate."""
        slope, end = np.gradient(self.smoothed, np.log(self.rates)), int(np.argmin(self.smoothed))
        start = SETTLED if end > SETTLED else 0
        return float(self.rates[start + np.argmin(slope[start : end + 1])])

    @property
    def tenth_of_minimum(self) -> float:
        """A tenth of the rate where the smoothed loss is lowest."""
        return float(self.rates[np.argmin(self.smoothed)] / 10)

    @property
    def suggestion(self) -> float:
        """`tenth_of_minimum`, for the reasons that the module tells.

        Raises:
            ValueError: the loss fell at no rate.
        """
        if np.argmin(self.smoothed) == 0:
            raise ValueError(
                "the range test suggests no learning_rate: the loss fell at none from "
                f"{self.rates[0]:.2g} to {self.rates[-1]:.2g}"
            )
        return self.tenth_of_minimum

    def write(self, folder: str | Path) -> Path:
        """Writes `learning_rate.csv` and `learning_rate.png`; returns the folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        rows = zip(self.rates, self.losses, self.smoothed, strict=True)
        lines = ([f"{value:.6g}" for value in row] for row in rows)
        header = ["learning_rate", "loss", "smoothed"]
        report.write_csv(folder / "learning_rate.csv", header, lines)
        self._draw(folder / "learning_rate.png")
        return folder

    def _draw(self, path: Path) -> None:
        figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, color="0.8", label="loss of the mini-batch")
        axes.plot(self.rates, self.smoothed, color="C0", label="smoothed")
        read = (("steepest descent", self.steepest), ("tenth of minimum", self.tenth_of_minimum))
        for number, (name, rate) in enumerate(read, start=1):
            axes.axvline(rate, color=f"C{number}", linestyle="--", label=f"{name}: {rate:.2g}")
        # A loss that diverged would leave the rest of the curve flat.
        shown = self.losses[: np.argmin(self.smoothed) + 1]
        margin = 0.1 * np.ptp(shown) or 1.0
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
        axes.set_ylim(shown.min() - margin, shown.max() + margin)
        axes.legend()
        figure.savefig(path)


def _diverged(losses: Sequence[float]) -> bool:
    smoothed = smooth(losses)
    return not np.isfinite(losses[-1]) or bool(smoothed[-1] > DIVERGED * smoothed.min())


def range_test(
    task: keras.Model, batches: Iterable[Any], *, lowest: float, highest: float, steps: int
) -> RangeTest:
    """Trains on mini-batches at rates from `lowest` to `highest`, and takes it all back.

    It stops as soon as the loss has diverged: not finite, or smoothed more than four times its
    lowest.

    Args:
        task: built, and compiled with an optimizer of a constant learning rate. Its weights and
            those of the optimizer are the same afterwards, also if it is interrupted.
        batches: as for `fit`.
        lowest: rate of the first mini-batch.
        highest: rate of the last, if it comes to that.
        steps: number of rates, in equal ratios, at least `LEAST_STEPS`.

    Raises:
        ValueError: rates that do not rise, too few steps, a loss that diverges at once, or one
            below 0: four times its lowest is no more than it.
    """
    _check_sweep(lowest, highest, steps)
    optimizer, losses = task.optimizer, []
    rates = np.geomspace(lowest, highest, steps)
    if not optimizer.built:
        optimizer.build(task.trainable_variables)
    variables = [*task.variables, *optimizer.variables]
    before = [np.array(ops.convert_to_numpy(variable)) for variable in variables]
    try:
        for rate, batch in zip(rates, batches, strict=False):
            optimizer.learning_rate = rate
            logs = task.train_on_batch(
                *keras.utils.unpack_x_y_sample_weight(batch), return_dict=True
            )
            losses.append(float(logs["loss"]))
            if losses[-1] < 0:
                raise ValueError(
                    "the range test needs losses of 0 or more, which a log_regression's are not: "
                    f"give a learning rate. Received: {losses[-1]:.3g}"
                )
            if _diverged(losses):
                break
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
    finite = np.array([loss for loss in losses if np.isfinite(loss)])
    if len(finite) < 2:
        raise ValueError(
            f"the loss must be finite at the learning rate lowest. Received: {lowest:g}, with "
            f"losses {losses}"
        )
    return RangeTest(rates[: len(finite)], finite)


def _check_sweep(lowest: float, highest: float, steps: int) -> None:
    if not 0 < lowest < highest < np.inf:
        raise ValueError(
            "lowest and highest must be learning rates, 0 < lowest < highest. "
            f"Received: {lowest:g} and {highest:g}"
        )
    if steps < LEAST_STEPS:
        raise ValueError(
            f"steps must be at least {LEAST_STEPS}: the smoothed loss takes {SETTLED} to settle, "
            f"and as many to show where it falls. Received: {steps}"
        )


def find_learning_rate(
    config: TrainConfig,
    *,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
    prior: np.ndarray | None = None,
) -> RangeTest:
    """A range test of what a run with this config would train, from its very first weights.

    Args:
        config: of the run; its learning rate does not matter.
        lowest, highest, steps: of `range_test`.
        prior: (313,) of the colours in the data; None = it is estimated.

    Raises:
        ValueError: as `range_test`; settings that do not fit together; no photographs.
    """
    _check_sweep(lowest, highest, steps)
    if prior is None:
        prior = tasks.estimate_prior(config.data, steps * config.data.batch_size)
    with tasks.dtype_policy(config.precision):
        stream = tasks.load_photographs(config)
        keras.utils.set_random_seed(config.seed)
        task = tasks.build_task(config, prior)
        task.compile(optimizer=tasks.build_optimizer(config, lowest), jit_compile=False)
        batches = track(
            stream.batches.take(steps).as_numpy_iterator(),
            "Learning-rate range test",
            total=steps,
            console=Console(stderr=True),
            transient=True,
        )
        with contextlib.closing(stream):
            return range_test(task, batches, lowest=lowest, highest=highest, steps=steps)
