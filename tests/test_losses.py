"""The losses against values worked out by hand, and what they must not depend on."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy.special import log_softmax

from colorizer import losses
from colorizer.color import AB_BINS, AB_SCALE, nearest_bin

SIZE = 8
UNIFORM = np.ones(313, "float32")


@pytest.fixture
def ab(rng):
    return rng.uniform(-0.8, 0.8, (2, SIZE, SIZE, 2)).astype("float32")


@pytest.fixture
def predicted(rng):
    return rng.uniform(-0.8, 0.8, (2, SIZE, SIZE, 2)).astype("float32")


@pytest.fixture
def logits(rng):
    return rng.normal(size=(2, SIZE // 4, SIZE // 4, 313)).astype("float32")


@pytest.fixture
def mask():
    """The left half, in whole cells of the logits' stride of 4."""
    mask = np.zeros((2, SIZE, SIZE, 1), "float32")
    mask[:, :, :4] = 1
    return mask


def area_mean(x, stride):
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // stride, stride, width // stride, stride, channels).mean(
        (2, 4)
    )


# ------------------------------------------------------------------------------ regression


def test_squared_error_by_hand():
    truth = np.zeros((1, 1, 2, 2), "float32")
    predicted = np.array([[[[0.3, 0.1], [0.0, -0.4]]]], "float32")
    # (0.09 + 0.01 + 0 + 0.16) / 4
    assert float(losses.regression_loss(predicted, truth)) == pytest.approx(0.065)


def test_huber_by_hand():
    truth = np.zeros((1, 1, 1, 2), "float32")
    predicted = np.array([[[[0.1, -0.5]]]], "float32")
    # δ = 0.2: 0.1² / 2 = 0.005 below it, 0.2 · (0.5 - 0.1) = 0.08 above
    loss = losses.regression_loss(predicted, truth, huber_delta=0.2)
    assert float(loss) == pytest.approx((0.005 + 0.08) / 2)


@settings(max_examples=60)
@given(error=st.floats(-2, 2), delta=st.floats(0.01, 1.0))
def test_huber_is_half_the_square_and_then_linear(error, delta):
    loss = float(
        losses.regression_loss(
            np.full((1, 2, 2, 2), error, "float32"), np.zeros((1, 2, 2, 2)), huber_delta=delta
        )
    )
    small, large = error**2 / 2, delta * abs(error) - delta**2 / 2
    expected = small if abs(error) <= delta else large
    assert loss == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("delta", [None, 0.3])
def test_regression_meets_the_area_mean_of_the_truth(ab, stride, delta):
    small = area_mean(ab, stride)
    assert float(losses.regression_loss(small, ab, huber_delta=delta)) == pytest.approx(0, abs=1e-9)
    assert float(losses.regression_loss(small + 0.1, ab)) == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize("delta", [None, 0.3])
def test_regression_ignores_what_is_outside_the_mask(ab, predicted, mask, delta):
    def loss(x):
        return float(losses.regression_loss(x, ab, mask, huber_delta=delta))

    outside = np.where(mask == 0, 7.0, predicted)
    inside = np.where(mask == 1, 0.5 * predicted, predicted)
    assert loss(outside) == loss(predicted)
    assert loss(inside) != pytest.approx(loss(predicted), rel=1e-3)


def test_regression_is_the_mean_over_the_mask(ab, predicted, mask):
    half = float(losses.regression_loss(predicted[:, :, :4], ab[:, :, :4]))
    assert float(losses.regression_loss(predicted, ab, mask)) == pytest.approx(half, rel=1e-5)


def test_a_partial_mask_weighs(ab, predicted, rng):
    mask = rng.uniform(0.1, 1, (2, SIZE, SIZE, 1)).astype("float32")
    expected = (mask * (predicted - ab) ** 2).sum() / (2 * mask.sum())
    assert float(losses.regression_loss(predicted, ab, mask)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("delta", [None, 0.3])
def test_regression_under_a_mask_of_ones_is_the_one_without(ab, predicted, delta):
    ones = np.ones((2, SIZE, SIZE, 1), "float32")
    plain = float(losses.regression_loss(predicted, ab, huber_delta=delta))
    assert float(losses.regression_loss(predicted, ab, ones, huber_delta=delta)) == pytest.approx(
        plain, rel=1e-6
    )


def test_regression_keeps_float32_for_half_precision_predictions(ab):
    half = ops.cast(ab, "bfloat16")
    loss = losses.regression_loss(half, ab)
    assert ops.dtype(loss) == "float32"
    expected = np.mean((ops.convert_to_numpy(ops.cast(half, "float32")) - ab) ** 2)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_log_regression_by_hand():
    truth = np.zeros((2, 1, 1, 2), "float32")
    predicted = np.array([[[[0.3, 0.1]]], [[[0.0, 0.0]]]], "float32")
    floor = 1 / 110**2  # one unit of Lab
    expected = (np.log(0.05 + floor) + np.log(floor)) / 2
    assert float(losses.regression_loss(predicted, truth, log_scale=True)) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("which", [0, 1])
def test_halving_the_error_of_any_photograph_gains_alike_on_a_log_scale(which):
    pale_and_vivid = np.array([0.05, 0.5], "float32").reshape(2, 1, 1, 1) * np.ones((2, 4, 4, 2))
    halved = pale_and_vivid.copy()
    halved[which] /= 2
    before, after = (
        float(losses.regression_loss(x, np.zeros((2, 4, 4, 2), "float32"), log_scale=True))
        for x in (pale_and_vivid, halved)
    )
    assert before - after == pytest.approx(np.log(4) / 2, abs=0.06)  # the floor is felt a little


def test_log_regression_sees_what_is_inside_the_mask_alone(ab, predicted, mask):
    def loss(x, given=mask):
        return float(losses.regression_loss(x, ab, given, log_scale=True))

    halves = [losses.regression_loss(predicted[i, :, :4], ab[i, :, :4]) for i in (0, 1)]
    expected = np.mean([np.log(float(half) + 1 / 110**2) for half in halves])
    assert loss(predicted) == pytest.approx(expected, rel=1e-5)
    assert loss(np.where(mask == 0, 7.0, predicted)) == loss(predicted)
    # A photograph whose mask is empty has no error, and must not spoil the others.
    empty = mask * np.array([1, 0], "float32").reshape(2, 1, 1, 1)
    expected = (np.log(float(halves[0]) + 1 / 110**2) + np.log(1 / 110**2)) / 2
    assert loss(predicted, empty) == pytest.approx(expected, rel=1e-5)


# ------------------------------------------------------------------------------- mask loss


def test_mask_loss_by_hand():
    ab = np.zeros((1, 1, 2, 2), "float32")
    ab[0, 0, 0], ab[0, 0, 1] = (0.9, 0.9), (0.2, 0.4)
    mask = np.array([1.0, 0.0], "float32").reshape(1, 1, 2, 1)
    # Only the second pixel is outside: (0.04 + 0.16) / 2.
    assert float(losses.mask_loss(ab, mask)) == pytest.approx(0.1)
    # Huber with δ = 0.3: (0.04 / 2 + 0.3 · (0.4 - 0.15)) / 2
    assert float(losses.mask_loss(ab, mask, huber_delta=0.3)) == pytest.approx(0.0475)


def test_mask_loss_ignores_what_is_inside_the_mask(predicted, mask):
    loss = float(losses.mask_loss(predicted, mask))
    assert float(losses.mask_loss(np.where(mask == 1, 9.0, predicted), mask)) == loss
    assert float(losses.mask_loss(np.where(mask == 0, 0.0, predicted), mask)) == 0
    assert loss > 0.01


@pytest.mark.parametrize("stride", [1, 4])
def test_mask_loss_at_the_resolution_of_the_prediction(mask, stride):
    ab = np.full((2, SIZE // stride, SIZE // stride, 2), 0.3, "float32")
    assert float(losses.mask_loss(ab, mask)) == pytest.approx(0.09)
    assert float(losses.mask_loss(ab, np.ones_like(mask))) == 0


# --------------------------------------------------------------------------- cross-entropy


def truth_on(ab):
    return np.broadcast_to(np.array(ab, "float32") / AB_SCALE, (1, 4, 4, 2)).copy()


def test_cross_entropy_by_hand():
    # Gray is encoded over its own bin and four at distance 10 (see test_color); the logits
    # name its own bin with 2 and the rest with 0.
    gray = int(nearest_bin(np.zeros(2)))
    logits = np.zeros((1, 1, 1, 313), "float32")
    logits[..., gray] = 2.0
    own = 1 / (1 + 4 * np.exp(-2))
    normaliser = np.log(np.exp(2) + 312)
    expected = normaliser - 2 * own
    loss = losses.rebalanced_cross_entropy(logits, truth_on((0, 0)), UNIFORM)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_is_of_colours_as_soft_as_asked(logits):
    gray = np.zeros((2, SIZE, SIZE, 2), "float32")
    target = np.zeros(313)
    target[int(nearest_bin(np.zeros(2)))] = 1.0
    almost_hard = float(losses.rebalanced_cross_entropy(logits, gray, UNIFORM, sigma=0.5))
    hard = -(target * log_softmax(logits.astype("float64"), axis=-1)).sum(-1).mean()
    assert almost_hard == pytest.approx(hard, rel=1e-5)


def test_cross_entropy_of_an_undecided_network_is_log_313(ab, logits):
    loss = losses.rebalanced_cross_entropy(np.zeros_like(logits), ab, UNIFORM)
    assert float(loss) == pytest.approx(np.log(313), rel=1e-5)


@pytest.mark.parametrize("ab", [(0, 0), (42, 27), (-38, 61)])
def test_cross_entropy_is_weighted_by_the_rarity_of_the_nearest_bin(ab):
    weights = np.linspace(0.1, 3, 313).astype("float32")
    nearest = np.linalg.norm(AB_BINS - np.array(ab), axis=1).argmin()
    logits = np.zeros((1, 1, 1, 313), "float32")
    loss = losses.rebalanced_cross_entropy(logits, truth_on(ab), weights)
    assert float(loss) == pytest.approx(weights[nearest] * np.log(313), rel=1e-4)


def test_cross_entropy_meets_the_area_mean_of_the_truth(logits, ab):
    coarse = np.repeat(np.repeat(area_mean(ab, 4), 4, axis=1), 4, axis=2)
    fine, flat = (float(losses.rebalanced_cross_entropy(logits, x, UNIFORM)) for x in (ab, coarse))
    assert fine == pytest.approx(flat, rel=1e-4)


def test_cross_entropy_is_smallest_for_the_truth(rng):
    truth = truth_on((20, -30))
    bin_ = np.flatnonzero((AB_BINS == (20, -30)).all(1))[0]
    right, wrong = np.zeros((2, 1, 1, 1, 313), "float32")
    right[..., bin_], wrong[..., (bin_ + 60) % 313] = 5, 5
    good, bad = (float(losses.rebalanced_cross_entropy(x, truth, UNIFORM)) for x in (right, wrong))
    assert good < bad - 2


def test_cross_entropy_ignores_what_is_outside_the_mask(logits, ab, mask):
    def loss(x):
        return float(losses.rebalanced_cross_entropy(x, ab, UNIFORM, mask))

    small = area_mean(mask, 4)
    noise = np.linspace(-9, 9, 313)
    assert loss(np.where(small == 0, noise, logits)) == loss(logits)
    assert loss(np.where(small == 1, noise, logits)) != pytest.approx(loss(logits), rel=1e-2)


def test_cross_entropy_is_the_mean_over_the_mask(logits, ab, mask):
    half = losses.rebalanced_cross_entropy(logits[:, :, :1], ab[:, :, :4], UNIFORM)
    whole = losses.rebalanced_cross_entropy(logits, ab, UNIFORM, mask)
    assert float(whole) == pytest.approx(float(half), rel=1e-5)


def test_cross_entropy_under_a_mask_of_ones_is_the_one_without(logits, ab):
    weights = np.linspace(0.1, 3, 313).astype("float32")
    ones = np.ones((2, SIZE, SIZE, 1), "float32")
    plain = float(losses.rebalanced_cross_entropy(logits, ab, weights))
    masked = float(losses.rebalanced_cross_entropy(logits, ab, weights, ones))
    assert masked == pytest.approx(plain, rel=1e-6)


# ------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("scale", [1.0, 60.0])
@pytest.mark.parametrize("inside", [None, 1.0, 0.0], ids=["no mask", "all", "nothing"])
def test_gradients_are_finite_and_right(logits, ab, scale, inside):
    mask = None if inside is None else np.full((2, SIZE, SIZE, 1), inside, "float32")
    x = tf.constant(logits * scale)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = losses.rebalanced_cross_entropy(x, ab, UNIFORM, mask)
    gradient = tape.gradient(loss, x).numpy()
    assert np.isfinite(float(loss))
    assert np.isfinite(gradient).all()
    if inside == 0:
        assert not gradient.any()
    else:  # softmax minus a distribution: sums to zero over the bins
        np.testing.assert_allclose(gradient.sum(-1), 0, atol=1e-5)
        expected = np.exp(log_softmax(logits * scale, axis=-1)).max() / 8
        assert np.abs(gradient).max() <= 2 * max(expected, 1 / 8)
        assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize("delta", [None, 0.1])
def test_gradient_of_regression_vanishes_outside_the_mask(ab, predicted, mask, delta):
    x = tf.constant(predicted)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = losses.regression_loss(x, ab, mask, huber_delta=delta)
    gradient = tape.gradient(loss, x).numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[:, :, 4:].any()
    error = predicted - ab
    expected = 2 * error if delta is None else np.clip(error, -delta, delta)
    np.testing.assert_allclose(
        gradient[:, :, :4], (expected / (2 * mask.sum()))[:, :, :4], atol=1e-6
    )


# ------------------------------------------------------------------------ pictures, realness


def test_rgb_by_hand():
    truth = np.zeros((1, 2, 4, 3), "float32")
    truth[0, 0, :2] = 0.8  # upper half of the left of two pixels
    predicted = np.array([[[[0.4, 0.4, 0.1], [0.0, 0.0, 0.6]]]], "float32")
    # (0.09 + 0.36) / 6: the left pixel is 0.4 in the mean
    assert float(losses.rgb_loss(predicted, truth)) == pytest.approx(0.075)


@pytest.mark.parametrize("size", [(8, 12), (10, 10), (2, 2)])
def test_rgb_of_sizes_that_are_no_multiples_is_refused(size):
    with pytest.raises(ValueError, match=r"multiple of the predicted \(4, 4\)"):
        losses.rgb_loss(np.zeros((1, 4, 4, 3)), np.zeros((1, *size, 3)))


@pytest.mark.parametrize(
    ("logits", "real", "expected"),
    [
        ([[0.0, 0.0]], True, np.log(2)),
        ([[0.0, 0.0]], False, np.log(2)),
        ([[2.0, -1.0]], True, (np.log1p(np.exp(-2)) + np.log1p(np.exp(1))) / 2),
        ([[2.0, -1.0]], False, (np.log1p(np.exp(2)) + np.log1p(np.exp(-1))) / 2),
        ([[500.0]], False, 500.0),
    ],
)
def test_realness_by_hand(logits, real, expected):
    found = losses.realness_loss(np.array(logits, "float32"), real=real)
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_chroma_weighting_makes_vivid_pixels_count_more():
    truth = np.zeros((1, 1, 2, 2), "float32")
    truth[0, 0, 1] = [0.3, 0.4]  # of chroma 0.5; the other pixel is gray
    predicted = truth + np.array([[[[0.1, 0.1], [0.2, 0.2]]]], "float32")
    loss = losses.regression_loss(predicted, truth, chroma_weighting=4.0)
    assert float(loss) == pytest.approx((0.01 * 1 + 0.04 * (1 + 4 * 0.5)) / 2, rel=1e-5)


# ------------------------------------------------------------------------------ perceptual


@pytest.fixture
def luminance(rng):
    return rng.uniform(-0.6, 0.6, (2, SIZE, SIZE, 1)).astype("float32")


def pixels_and_means(pictures):
    """Some of them 0 in all channels, as behind a ReLU."""
    return [pictures, ops.relu(ops.average_pool(pictures, 2, 2))]


def test_perceptual_by_hand():
    """Red is (1, -1, -1) / √3 to the network; its gray, 127 of 255, is (-1, -1, -1) / √3."""
    ab, lightness = np.array([80.0942, 67.2015]), 53.2408  # pure red
    truth = np.full((1, 4, 4, 2), ab / AB_SCALE, "float32")
    luminance = np.full((1, 4, 4, 1), lightness / 50 - 1, "float32")
    gray = np.zeros((1, 1, 1, 2), "float32")
    loss = losses.perceptual_loss(gray, truth, luminance, lambda pictures: [pictures * 1e3])
    assert float(loss) == pytest.approx(2**2 / 3, abs=0.05)


def test_perceptual_sees_no_difference_where_there_is_none(ab, luminance):
    ab = ab * 0.2  # within the gamut
    assert float(losses.perceptual_loss(ab, ab, luminance, pixels_and_means)) == 0


def test_perceptual_is_a_mean_over_maps(ab, predicted, luminance):
    def loss(perceive):
        return float(losses.perceptual_loss(predicted, ab, luminance, perceive))

    halves = [loss(lambda p, i=i: [pixels_and_means(p)[i]]) for i in range(2)]
    assert halves[0] != pytest.approx(halves[1], rel=0.01)
    assert loss(pixels_and_means) == pytest.approx(np.mean(halves), rel=1e-5)


def test_perceptual_is_blind_outside_the_mask(ab, predicted, luminance, mask):
    def loss(colors):
        return float(losses.perceptual_loss(colors, ab, luminance, pixels_and_means, mask))

    outside = np.where(mask == 0, 0.7, predicted)
    assert loss(outside) == loss(predicted) > 0.01
    assert loss(np.where(mask == 1, 0.7, predicted)) != pytest.approx(loss(predicted), rel=0.01)


def test_perceptual_is_a_mean_over_the_mask(ab, predicted, luminance, mask):
    def loss(colors, *where):
        return float(losses.perceptual_loss(colors, ab, luminance, lambda p: [p], *where))

    left = [x[:, :, :4] for x in (predicted, ab, luminance)]
    of_half = losses.perceptual_loss(*left, lambda p: [p])
    assert loss(predicted, mask) == pytest.approx(float(of_half), rel=1e-5)


@pytest.mark.parametrize("lightness", [-1.0, 0.0, 1.0])
def test_gradient_of_perceptual_is_finite(ab, predicted, lightness):
    """Black and white, too, and colours far outside the gamut."""
    luminance = np.full((2, SIZE, SIZE, 1), lightness, "float32")
    colors = tf.Variable(predicted[:, ::4, ::4])
    with tf.GradientTape() as tape:
        loss = losses.perceptual_loss(colors, ab, luminance, pixels_and_means)
    gradient = tape.gradient(loss, colors).numpy()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0 or lightness != 0
