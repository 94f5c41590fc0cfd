"""The range test against a problem whose limit is known, and that it leaves no trace."""

import csv
import dataclasses

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from colorizer import tasks
from colorizer.data import DataConfig
from colorizer.networks import NETWORKS, NetworkConfig
from colorizer.range_test import RangeTest, find_learning_rate, range_test, smooth
from colorizer.settings import TrainConfig

CURVATURE = 4.0  # gradient descent on a parabola diverges above 2 / curvature


class Parabola(keras.Model):
    """Loss c / 2 · w², whatever the batch; where |w| > `cliff` it is infinite."""

    def __init__(self, cliff=np.inf):
        super().__init__()
        self.w = self.add_weight(shape=(), initializer="ones", name="w")
        self.noise = keras.layers.Dropout(0.5, seed=0)  # has a random state
        self.cliff = cliff
        self.built = True

    def call(self, x, training=False):
        return self.noise(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = CURVATURE / 2 * ops.square(self.w) + 0 * ops.sum(y_pred)
        return ops.where(ops.abs(self.w) > self.cliff, np.inf * ops.ones_like(loss), loss)


def parabola(optimizer=None, **options):
    model = Parabola(**options)
    model.compile(optimizer=optimizer or keras.optimizers.SGD(0.125), jit_compile=False)
    return model


def batches(count):
    return (np.ones((2, 3), "float32") for _ in range(count))


SWEEP = {"lowest": 1e-3, "highest": 100.0, "steps": 60}


def test_gradient_descent_diverges_where_it_must():
    found = range_test(parabola(), batches(60), **SWEEP)
    rates = np.geomspace(1e-3, 100, 60)[: len(found.rates)]
    w = np.cumprod([1, *(1 - CURVATURE * rates[:-1])])
    np.testing.assert_allclose(found.rates, rates)
    np.testing.assert_allclose(found.losses, CURVATURE / 2 * w**2, rtol=2e-3, atol=1e-12)
    # The loss is lowest before the first step at a rate that is too high.
    assert found.rates[found.losses.argmin()] == rates[rates > 2 / CURVATURE][0]
    assert found.suggestion < 2 / CURVATURE


def test_it_stops_once_the_loss_has_diverged():
    found = range_test(parabola(), batches(60), **SWEEP)
    assert 10 < len(found.losses) < 60
    assert found.smoothed[-1] > 4 * found.smoothed.min()
    for n in range(1, len(found.losses)):
        assert smooth(found.losses[:n])[-1] <= 4 * smooth(found.losses[:n]).min()


class Dictated(Parabola):
    """The loss is what the batch says."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(x) + 0 * self.w


def test_one_bad_batch_is_no_divergence():
    losses = [2.0] * 20 + [12.0] + [2.0] * 9
    model = Dictated()
    model.compile(optimizer="sgd", jit_compile=False)
    found = range_test(model, (np.full((2, 3), loss, "float32") for loss in losses), **SWEEP)
    np.testing.assert_allclose(found.losses, losses)


def test_it_stops_where_the_loss_is_not_finite():
    descent = {"lowest": 1e-3, "highest": 1e17, "steps": 21}
    found = range_test(parabola(cliff=5.0), batches(21), **descent)
    # 1 · 0.996 · 0.96 · 0.6 · -3 = -1.72 at rate 10, beyond the cliff after it.
    np.testing.assert_allclose(found.rates, [1e-3, 1e-2, 0.1, 1, 10])
    assert np.isfinite(found.losses).all()


def test_a_loss_below_zero_has_no_four_times_its_lowest():
    class Below(Parabola):
        def compute_loss(self, *given, **named):
            return super().compute_loss(*given, **named) - 50.0

    model = Below()
    model.compile(optimizer=keras.optimizers.SGD(0.125), jit_compile=False)
    with pytest.raises(ValueError, match=r"losses of 0 or more.*Received: -4\d"):
        range_test(model, batches(60), **SWEEP)


def test_a_loss_that_is_never_finite_is_told():
    with pytest.raises(ValueError, match="lowest"):
        range_test(parabola(cliff=0.5), batches(60), **SWEEP)


@pytest.mark.parametrize(
    "changes",
    [{"lowest": 0.0}, {"lowest": 1.0, "highest": 0.1}, {"highest": np.inf}, {"steps": 19}],
)
def test_a_sweep_that_is_none_is_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        range_test(parabola(), batches(2), **{**SWEEP, **changes})


def test_a_sweep_has_steps_enough_for_its_mean_to_settle_and_then_fall():
    with pytest.raises(ValueError, match=r"^steps must be at least 20.*settle.*Received: 19$"):
        range_test(parabola(), batches(19), **{**SWEEP, "steps": 19})
    assert len(range_test(parabola(), batches(20), **{**SWEEP, "steps": 20}).rates) > 2


def state(model):
    return [np.array(v) for v in (*model.variables, *model.optimizer.variables)]


def interrupted():
    yield from batches(5)
    raise KeyboardInterrupt


@pytest.mark.parametrize("stream", [lambda: batches(60), interrupted])
def test_it_leaves_no_trace(stream):
    model = parabola(keras.optimizers.AdamW(0.125))
    model.train_on_batch(np.ones((2, 3), "float32"))  # moments, random state: not at their start
    before = state(model)
    names = [v.path for v in (*model.variables, *model.optimizer.variables)]
    assert {"iteration", "learning_rate", "seed_generator_state", "w"} <= {
        name.rsplit("/")[-1] for name in names
    }
    try:
        range_test(model, stream(), **SWEEP)
    except KeyboardInterrupt:
        assert stream is interrupted
    for name, old, new in zip(names, before, state(model), strict=True):
        np.testing.assert_array_equal(old, new, err_msg=name)


# ----------------------------------------------------------------------------- the curve


def test_the_mean_is_corrected_for_its_start():
    np.testing.assert_allclose(smooth([3.0, 3.0, 3.0]), 3)
    # (0.9 · 0.1 · 2 + 0.1 · 4) / 0.19
    np.testing.assert_allclose(smooth([2.0, 4.0]), [2, 0.58 / 0.19])


def curve(losses):
    return RangeTest(np.geomspace(1e-6, 1, len(losses)), np.asarray(losses, float))


def test_what_is_read_off_a_known_curve():
    # Flat at 3 until 1e-4, down to 1 at 1e-2, up from there: slow changes, so hardly any lag.
    decade = np.linspace(-6, 0, 6001)
    losses = np.interp(decade, [-6, -4, -3.5, -2, 0], [3, 3, 2, 1, 9])
    found = curve(losses)
    assert found.tenth_of_minimum == pytest.approx(1e-3, rel=0.05)
    assert found.suggestion == found.tenth_of_minimum
    assert 1e-4 < found.steepest < 10**-3.4


def test_the_unsettled_start_does_not_count():
    losses = [9.0, 3.0] + [3.0] * 18 + [1.0] * 20
    found = curve(losses)
    assert found.rates[19] <= found.steepest <= found.rates[22]


def test_the_descent_after_the_minimum_does_not_count():
    losses = [5.0] * 5 + [4.0] * 5 + [1.0] * 20 + [30.0] * 5 + [1.5] * 5
    found = curve(losses)
    assert found.steepest < found.rates[np.argmin(found.smoothed)]
    assert found.rates[9] <= found.steepest <= found.rates[12]


def test_a_loss_that_never_fell_suggests_nothing():
    with pytest.raises(ValueError, match="fell at none from 1e-06 to 1"):
        _ = curve(np.linspace(1, 2, 20)).suggestion


def test_it_is_written_down(tmp_path):
    found = curve(np.interp(np.linspace(-6, 0, 30), [-6, -2, 0], [3, 1, 9]))
    assert found.write(tmp_path / "new") == tmp_path / "new"
    with (tmp_path / "new" / "learning_rate.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, column in (("learning_rate", "rates"), ("loss", "losses"), ("smoothed", "smoothed")):
        read = [float(row[name]) for row in rows]
        np.testing.assert_allclose(read, getattr(found, column), rtol=1e-5)
    with Image.open(tmp_path / "new" / "learning_rate.png") as image:
        assert image.size == (840, 540)


# --------------------------------------------------------------------------- of a real run


@pytest.fixture
def config(tmp_path, monkeypatch):
    def build(config, *, embedding_input):
        luminance = keras.Input((None, None, 1), name="luminance")
        hidden = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(luminance)
        ab = keras.layers.Conv2D(2, 1, activation="tanh", dtype="float32", name="ab")(hidden)
        return keras.Model({"luminance": luminance}, {"ab": ab})

    monkeypatch.setitem(NETWORKS, "tiny", build)
    for i in range(6):
        colour = (220, 90 + i, 80) if i % 2 else (20, 90 + i, 30)
        Image.new("RGB", (16, 16), colour).save(tmp_path / f"{i}.png")
    return TrainConfig(
        data=DataConfig(
            sources=(str(tmp_path),), image_size=16, batch_size=2, validation_share=0.0
        ),
        network=NetworkConfig(network="tiny", head="regression"),
        precision="float32",
    )


def test_a_config_is_enough(config):
    policy = keras.config.dtype_policy().name
    found = find_learning_rate(config, lowest=1e-5, highest=3.0, steps=40)
    assert 1e-4 < found.suggestion < 0.5
    again = find_learning_rate(
        dataclasses.replace(config, learning_rate="auto"),
        lowest=1e-5,
        highest=3.0,
        steps=40,
        prior=tasks.estimate_prior(config.data),
    )
    np.testing.assert_array_equal(found.losses, again.losses)
    assert keras.config.dtype_policy().name == policy
