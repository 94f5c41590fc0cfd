"""Colour maths against scikit-image, the published bins, and values worked out by hand."""

import warnings

import numpy as np
import pytest
import skimage.color
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops
from scipy.spatial import KDTree
from scipy.special import softmax

from colorizer import color
from colorizer.color import AB_BINS

GRAYS = np.repeat(np.arange(256, dtype="uint8")[:, None], 3, axis=1)
# Every 17th value, and all of the dark ones, where both transfer functions are linear.
LEVELS = np.unique([*range(16), *range(0, 256, 17), 254]).astype("uint8")
LATTICE = np.stack(np.meshgrid(LEVELS, LEVELS, LEVELS), axis=-1).reshape(-1, 3)
triples = hnp.arrays("uint8", st.tuples(st.integers(1, 40), st.just(3)))
colours = hnp.arrays("float32", (7, 2), elements=st.floats(-130, 130, width=32))


def to_numpy(x):
    return ops.convert_to_numpy(x)


def to_bytes(rgb):
    return np.rint(255 * to_numpy(rgb)).astype("uint8")


def rgb_from_lab_by_skimage(lab):
    with warnings.catch_warnings():  # it announces colours it clips
        warnings.simplefilter("ignore", UserWarning)
        return skimage.color.lab2rgb(lab)


def encoded_by_brute_force(ab):
    """One colour at a time: sort all bins by distance, keep five, normalise."""
    encoded = np.zeros((len(ab), 313))
    for row, colour in zip(encoded, np.asarray(ab, "float64"), strict=True):
        distances = np.linalg.norm(AB_BINS - colour, axis=1)
        kept = np.argsort(distances)[:5]
        row[kept] = np.exp(-(distances[kept] ** 2) / (2 * 5.0**2))
        row /= row.sum()
    return encoded


def one_hot(index, value=1.0):
    vector = np.zeros(313)
    vector[index] = value
    return vector


# ----------------------------------------------------------------------------- conversions


def test_rgb_to_lab_equals_skimage_on_a_lattice():
    expected = skimage.color.rgb2lab(LATTICE)
    np.testing.assert_allclose(to_numpy(color.rgb_to_lab(LATTICE)), expected, atol=1e-3)


@given(triples)
def test_rgb_to_lab_equals_skimage_on_random_colours(rgb):
    expected = skimage.color.rgb2lab(rgb)
    np.testing.assert_allclose(to_numpy(color.rgb_to_lab(rgb)), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [  # published values for sRGB and D65
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
    ],
)
def test_published_values(rgb, lab):
    np.testing.assert_allclose(to_numpy(color.rgb_to_lab(np.uint8([rgb])))[0], lab, atol=0.02)
    np.testing.assert_allclose(to_numpy(color.lab_to_rgb(np.array([lab]))) * 255, [rgb], atol=0.5)


def test_lab_to_rgb_equals_skimage_in_and_out_of_the_gamut():
    lab = np.stack(
        np.meshgrid(
            np.linspace(0, 100, 21), np.arange(-110, 111, 10.0), np.arange(-110, 111, 10.0)
        ),
        axis=-1,
    )
    ours = to_numpy(color.lab_to_rgb(lab))
    assert ours.min() == 0
    assert ours.max() == 1
    np.testing.assert_allclose(ours, rgb_from_lab_by_skimage(lab), atol=2e-5)


@given(hnp.arrays("float64", (20, 3), elements=st.floats(0, 1)))
def test_lab_to_rgb_equals_skimage_on_random_colours(rgb):
    lab = skimage.color.rgb2lab(rgb)
    np.testing.assert_allclose(
        to_numpy(color.lab_to_rgb(lab)), rgb_from_lab_by_skimage(lab), atol=2e-5
    )


@pytest.mark.parametrize("shift", [0, 1])
def test_bytes_survive_the_round_trip(shift, rng):
    """On the lattice and on random colours beside it."""
    rgb = LATTICE if not shift else rng.integers(0, 256, (50_000, 3), dtype="uint8")
    np.testing.assert_array_equal(to_bytes(color.lab_to_rgb(color.rgb_to_lab(rgb))), rgb)


@given(triples)
def test_bytes_survive_the_round_trip_on_random_colours(rgb):
    np.testing.assert_array_equal(to_bytes(color.lab_to_rgb(color.rgb_to_lab(rgb))), rgb)


def test_all_grays_come_back_exactly():
    lab = to_numpy(color.rgb_to_lab(GRAYS))
    assert np.abs(lab[:, 1:]).max() < 0.01
    lab[:, 1:] = 0
    rgb = to_numpy(color.lab_to_rgb(lab))
    np.testing.assert_array_equal(to_bytes(rgb), GRAYS)
    assert np.all(np.diff(lab[:, 0]) > 0)


@pytest.mark.parametrize(
    "convert",
    [
        lambda rgb: rgb.astype("uint16") * 257,
        lambda rgb: rgb.astype("float32") / 255,
        lambda rgb: rgb.astype("float64") / 255,
        lambda rgb: ops.convert_to_tensor(rgb),
        lambda rgb: rgb.reshape(2, -1, 1, 3),
    ],
    ids=["uint16", "float32", "float64", "tensor", "4 axes"],
)
def test_every_dtype_and_shape_gives_the_same_lab(convert):
    rgb = LATTICE[:2048]
    image = convert(rgb)
    lab = color.rgb_to_lab(image)
    assert tuple(lab.shape) == tuple(image.shape)
    assert to_numpy(lab).dtype == np.float32
    expected = to_numpy(color.rgb_to_lab(rgb))
    np.testing.assert_allclose(to_numpy(lab).reshape(-1, 3), expected, atol=2e-4)


def test_half_precision_policy_changes_nothing(mixed_bfloat16, rng):
    rgb = LATTICE[::7]
    lab = color.rgb_to_lab(rgb)
    np.testing.assert_allclose(to_numpy(lab), skimage.color.rgb2lab(rgb), atol=1e-3)
    np.testing.assert_array_equal(to_bytes(color.lab_to_rgb(lab)), rgb)
    logits = rng.normal(size=(4, 313))
    mean = color.annealed_mean(logits, np.ones(313), temperature=1.0, correction=0.0)
    np.testing.assert_allclose(to_numpy(mean), softmax(logits, -1) @ AB_BINS, atol=1e-3)


def test_luminance_alone_is_the_first_channel_of_lab():
    luminance = to_numpy(color.rgb_to_luminance(LATTICE))
    np.testing.assert_allclose(luminance, skimage.color.rgb2lab(LATTICE)[:, :1], atol=1e-3)
    of_gray = to_numpy(color.rgb_to_luminance(GRAYS[:, :1]))
    np.testing.assert_allclose(of_gray, to_numpy(color.rgb_to_luminance(GRAYS)), atol=1e-3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_luminance_to_gray_gives_every_sample_back(dtype):
    white = np.iinfo(dtype).max
    samples = np.arange(white + 1, dtype=dtype)[:, None]
    gray = to_numpy(color.luminance_to_gray(color.rgb_to_luminance(samples)))
    np.testing.assert_array_equal(np.rint(gray * white).astype(dtype), samples)


# ------------------------------------------------------------------------------------ bins


def test_bins_are_the_published_grid():
    rows = {a: AB_BINS[AB_BINS[:, 0] == a, 1] for a in np.unique(AB_BINS[:, 0])}
    # Zhang et al. 2016, number of bins in each row of the grid.
    counts = [5, 8, 10, 12, 14, 15, 16, 16, 17, 18, 18, 18, 19, 20, 19, 20, 20, 19, 19, 10]
    assert AB_BINS.shape == (313, 2)
    assert len(np.unique(AB_BINS, axis=0)) == 313
    assert list(rows) == list(range(-90, 101, 10))
    assert [len(row) for row in rows.values()] == counts
    assert all(np.all(np.diff(row) == 10) for row in rows.values())
    ends = {-90: (50, 90), -40: (-40, 100), 0: (-70, 100), 60: (-110, 80), 100: (-90, 0)}
    assert {a: (rows[a].min(), rows[a].max()) for a in ends} == ends


def test_261_bins_are_nearest_to_some_srgb_colour():
    # The most saturated colours are on the faces of the RGB cube: here every third byte.
    side = np.arange(0, 256, 3, dtype="uint8")
    face = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    faces = [np.insert(face, axis, end, axis=1) for axis in range(3) for end in (0, 255)]
    ab = to_numpy(color.rgb_to_lab(np.concatenate([*faces, LATTICE])))[:, 1:]
    _, nearest = KDTree(AB_BINS).query(ab)
    assert len(np.unique(nearest)) == 261


@given(colours)
def test_nearest_bin_is_at_the_smallest_distance(ab):
    index = to_numpy(color.nearest_bin(ab))
    distances = np.linalg.norm(ab[:, None] - AB_BINS[None].astype("float64"), axis=-1)
    np.testing.assert_allclose(
        distances[np.arange(7), index], distances.min(1), rtol=1e-5, atol=1e-5
    )


def test_nearest_bin_of_each_bin_is_itself():
    np.testing.assert_array_equal(to_numpy(color.nearest_bin(AB_BINS)), np.arange(313))


# --------------------------------------------------------------------------- soft encoding


@pytest.mark.parametrize(("settings", "exponent"), [({}, -2), ({"sigma": 10.0}, -0.5)])
def test_encode_ab_by_hand(settings, exponent):
    # Gray sits on a bin; four more lie 10 away: exp(-100 / (2 σ²)) of its weight each.
    encoded = to_numpy(color.encode_ab(np.zeros((1, 2)), **settings))[0]
    total = 1 + 4 * np.exp(exponent)
    expected = {(0, 0): 1 / total}
    expected |= {bin_: np.exp(exponent) / total for bin_ in [(10, 0), (-10, 0), (0, 10), (0, -10)]}
    got = {tuple(map(int, AB_BINS[i])): encoded[i] for i in np.flatnonzero(encoded)}
    assert got == pytest.approx(expected, abs=1e-6)


@given(colours)
def test_encode_ab_sums_to_one_over_five_bins(ab):
    encoded = to_numpy(color.encode_ab(ab))
    assert encoded.shape == (7, 313)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded.sum(-1), 1, atol=1e-5)
    of_nearest = np.take_along_axis(encoded, to_numpy(color.nearest_bin(ab))[:, None], axis=-1)
    np.testing.assert_allclose(of_nearest[:, 0], encoded.max(-1), rtol=1e-4)


def test_encode_ab_equals_brute_force(rng):
    ab = rng.uniform(-110, 110, (300, 2)).astype("float32")  # no ties among random colours
    encoded = to_numpy(color.encode_ab(ab.reshape(3, 100, 2))).reshape(300, 313)
    expected = encoded_by_brute_force(ab)
    np.testing.assert_allclose(encoded, expected, atol=1e-5)
    # Far outside the grid a weight may be too small for float32; never are there more than five.
    inside = np.linalg.norm(ab[:, None] - AB_BINS, axis=-1).min(-1) < 10
    np.testing.assert_array_equal((encoded[inside] > 0).sum(-1), 5)
    assert inside.sum() > 150
    assert (encoded > 0).sum(-1).max() == 5


@pytest.mark.parametrize("ab", [(1e4, -1e4), (-500, 500), (300, 0), (1e6, 1e6)])
def test_encode_ab_of_a_far_colour_is_a_distribution(ab):
    encoded = to_numpy(color.encode_ab(np.array([ab], "float32")))
    assert np.isfinite(encoded).all()
    assert encoded.sum() == pytest.approx(1, abs=1e-5)
    assert encoded.max() > 0.2


# ------------------------------------------------------------------ prior and class weights


def test_smooth_prior_spreads_a_peak_over_its_neighbours():
    gray = int(color.nearest_bin(np.zeros(2)))
    prior = color.smooth_prior(one_hot(gray, 12.0))
    total = sum(np.exp(-((AB_BINS - 0.0) ** 2).sum(-1) / 50))
    assert prior.sum() == pytest.approx(1)
    assert prior[gray] == pytest.approx(1 / total)
    right = int(color.nearest_bin(np.array([10.0, 0.0])))
    assert prior[right] == pytest.approx(np.exp(-2) / total)


def test_smooth_prior_keeps_the_mass_at_the_rim():
    rim = int(color.nearest_bin(np.array([-90.0, 50.0])))
    counts = one_hot(rim) + np.ones(313)
    prior = color.smooth_prior(counts)
    assert prior.shape == (313,)
    assert prior.dtype == np.float64
    assert prior.sum() == pytest.approx(1)
    assert prior.min() > 0


@pytest.mark.parametrize("index", [0, 156, 312])
def test_smooth_prior_of_a_single_colour_is_positive_everywhere(index):
    prior = color.smooth_prior(one_hot(index))
    assert prior.sum() == pytest.approx(1)
    assert prior.argmax() == index
    assert prior.min() > 0


@pytest.mark.parametrize(
    ("counts", "received"),
    [
        (np.ones(312), r"\(312,\)"),
        (np.ones((1, 313)), r"\(1, 313\)"),
        (np.zeros(313), "sum 0"),
        (np.full(313, np.nan), "nan"),
    ],
    ids=["short", "2-D", "empty", "nan"],
)
def test_smooth_prior_names_what_it_received(counts, received):
    with pytest.raises(ValueError, match=received):
        color.smooth_prior(counts)


def test_rebalancing_weights_by_hand():
    # All mass in one bin: 1 / (1/2 + 1/626) there, 626 elsewhere; over the first, 1 and 314.
    weights = color.rebalancing_weights(one_hot(7))
    assert weights.dtype == np.float32
    assert weights[7] == pytest.approx(1)
    np.testing.assert_allclose(np.delete(weights, 7), 314, rtol=1e-6)


@pytest.mark.parametrize("rebalancing", [0.0, 0.5, 0.9])
def test_rebalancing_weights_follow_the_formula(rebalancing, rng):
    prior = color.smooth_prior(rng.exponential(size=313))
    weights = color.rebalancing_weights(prior, rebalancing=rebalancing)
    raw = 1 / ((1 - rebalancing) * prior + rebalancing / 313)
    assert (prior * weights).sum() == pytest.approx(1, rel=1e-6)
    np.testing.assert_allclose(weights / weights[0], raw / raw[0], rtol=1e-5)


def test_rebalancing_of_one_is_uniform(rng):
    prior = color.smooth_prior(rng.exponential(size=313))
    np.testing.assert_allclose(color.rebalancing_weights(prior, rebalancing=1.0), 1, rtol=1e-6)


# -------------------------------------------------------------------------------- decoding


@pytest.fixture
def decoding(rng):
    """Distributions (2, 3, 313) and class weights of a skewed prior."""
    distribution = softmax(2 * rng.normal(size=(2, 3, 313)), axis=-1)
    return distribution, color.rebalancing_weights(color.smooth_prior(rng.exponential(size=313)))


def test_plain_mean(decoding):
    distribution, weights = decoding
    mean = color.annealed_mean(np.log(distribution) + 3, weights, temperature=1.0, correction=0.0)
    assert tuple(mean.shape) == (2, 3, 2)
    np.testing.assert_allclose(to_numpy(mean), distribution @ AB_BINS, atol=1e-3)


def test_low_temperature_gives_the_mode(decoding):
    distribution, weights = decoding
    mean = color.annealed_mean(np.log(distribution), weights, temperature=1e-4, correction=0.0)
    np.testing.assert_allclose(to_numpy(mean), AB_BINS[distribution.argmax(-1)], atol=1e-3)


def test_temperature_sharpens_by_a_power(decoding):
    distribution, weights = decoding
    mean = color.annealed_mean(np.log(distribution), weights, temperature=0.38, correction=0.0)
    annealed = distribution ** (1 / 0.38)
    annealed /= annealed.sum(-1, keepdims=True)
    np.testing.assert_allclose(to_numpy(mean), annealed @ AB_BINS, atol=1e-3)


@pytest.mark.parametrize("correction", [1.0, 0.5])
@pytest.mark.parametrize("temperature", [1.0, 0.38])
def test_correction_undoes_the_class_weights(decoding, correction, temperature):
    """A network trained with weights w answers w · p; β = 1 brings back the mean under p."""
    distribution, weights = decoding
    mean = color.annealed_mean(
        np.log(weights * distribution), weights, temperature=temperature, correction=correction
    )
    left = (weights ** (1 - correction) * distribution) ** (1 / temperature)
    left /= left.sum(-1, keepdims=True)
    np.testing.assert_allclose(to_numpy(mean), left @ AB_BINS, atol=1e-3)


def test_vividness_ends_at_the_mean_and_at_the_published_decoding():
    assert color.vividness_to_decoding(0) == (1.0, 1.0)
    assert color.vividness_to_decoding(1) == pytest.approx((0.38, 0.0))
    assert color.vividness_to_decoding(0.5) == pytest.approx((np.sqrt(0.38), 0.5))


@settings(max_examples=50)
@given(st.floats(0, 1), st.floats(0, 1))
def test_vividness_is_monotone(one, other):
    low, high = sorted((one, other))
    (warm, more), (cold, less) = map(color.vividness_to_decoding, (low, high))
    assert warm >= cold > 0
    assert more >= less >= 0
    if high - low > 1e-6:
        assert (warm, more) > (cold, less)


@pytest.mark.parametrize("vividness", [-0.01, 1.01, float("nan"), float("inf")])
def test_vividness_outside_its_range(vividness):
    with pytest.raises(ValueError, match=rf"\[0, 1\]. Received: {vividness}"):
        color.vividness_to_decoding(vividness)


@pytest.mark.parametrize(("dtype", "levels"), [("uint8", 256), ("uint16", 65536)])
def test_luminance_alone_is_that_of_lab_and_gives_every_gray_back(dtype, levels):
    gray = np.arange(levels, dtype=dtype)[:, None]
    one = np.asarray(color.rgb_to_luminance(gray))
    three = np.asarray(color.rgb_to_luminance(np.repeat(gray, 3, axis=1)))
    np.testing.assert_array_equal(one, three)
    lab = np.asarray(color.rgb_to_lab(np.repeat(gray, 3, axis=1)))
    np.testing.assert_allclose(one, lab[:, :1], atol=1e-3)
    back = np.rint(np.asarray(color.luminance_to_gray(one)) * (levels - 1))
    np.testing.assert_array_equal(back, gray)


def test_bytes_have_the_luminance_of_the_exact_conversion(rng):
    image = rng.integers(0, 256, (40, 50, 3), "uint8")
    exact = np.asarray(color.rgb_to_luminance(image))[..., 0]
    np.testing.assert_allclose(color.luminance_of_bytes(image), exact, atol=2e-4)
    grays = np.arange(256, dtype="uint8")[None, :, None]
    alone = color.luminance_of_bytes(grays)
    np.testing.assert_array_equal(color.luminance_of_bytes(np.repeat(grays, 3, -1)), alone)
    back = np.rint(np.asarray(color.luminance_to_gray(alone)) * 255)
    np.testing.assert_array_equal(back, grays[..., 0])


def test_bytes_of_lab_are_the_exact_conversion_but_for_ties(rng):
    lab = rng.uniform([0, -90, -90], [100, 90, 90], (130, 70, 3)).astype("float32")
    lab[:20, :, 0] /= 20  # the shadows, where a table is coarsest
    lab[:10, :, 1:] /= 30
    exact = np.asarray(color.lab_to_rgb(lab)) * 255
    told = color.lab_to_bytes(lab[..., 0], lab[..., 1:])
    assert told.dtype == np.uint8
    assert np.abs(told - exact).max() < 0.5 + 0.03
