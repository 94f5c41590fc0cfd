"""The metrics against values worked out by hand, closed forms and the papers' definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from scipy.stats import special_ortho_group
from skimage import color

from colorizer import metrics
from colorizer.metrics import METRICS, Ratio

# Corners of a small stand-in for the 313 bins: gray, red, green, blue, yellow in ab.
BINS = np.array([[0, 0], [80, 67], [-86, 83], [79, -108], [-22, 94]], float)
GRAY, RED, GREEN, BLUE = (128, 128, 128), (255, 0, 0), (0, 255, 0), (0, 0, 255)
PAIRED = [
    metrics.psnr,
    metrics.ssim,
    metrics.delta_e,
    metrics.colorfulness_difference,
    metrics.auc,
    metrics.gray_share,
    metrics.edge_bleeding,
]
photographs = hnp.arrays(np.uint8, (12, 13, 3))


def flat(*colors, size=(16, 16)):
    """Equally wide vertical stripes of the colours."""
    stripes = np.repeat(np.array(colors, np.uint8), size[1] // len(colors), axis=0)
    return np.broadcast_to(stripes, (size[0], *stripes.shape)).copy()


def noise(seed=0, size=(32, 32)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def ab_of(rgb):
    return color.rgb2lab(np.array(rgb, np.uint8)[None, None])[0, 0, 1:]


def picture(lightness, ab):
    """sRGB bytes of an L `(H, W)` and ab `(H, W, 2)` inside the gamut."""
    lab = np.concatenate([lightness[..., None], ab], axis=-1)
    return np.rint(color.lab2rgb(lab) * 255).astype(np.uint8)


def two_regions(size=48, angle=0.0):
    """L and ab of a dark reddish half plane beside a light greenish one."""
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    right = columns * np.cos(angle) + rows * np.sin(angle) > 0
    lightness = np.where(right, 70.0, 40.0)
    ab = np.where(right[..., None], np.array([-20.0, 20.0]), np.array([25.0, 5.0]))
    return lightness, ab


def blurred(ab, sigma):
    return ndimage.gaussian_filter(ab, (sigma, sigma, 0), mode="nearest")


# ---------------------------------------------------------------- identical photographs


def test_identical_photographs_have_the_best_values():
    rgb = noise()
    weights = metrics.rebalancing_weights([rgb], bins=BINS)
    row = metrics.measure(rgb, rgb, bins=BINS, class_weights=weights)
    values = {name: ratio.value for name, ratio in row.items()}
    assert values["psnr"] == metrics.PSNR_CEILING
    for name in ("ssim", "auc", "auc_rebalanced", "bin_accuracy"):
        assert values[name] == pytest.approx(1, abs=1e-12), name
    for name in ("delta_e", "gray_share", "edge_bleeding"):
        assert values[name] == 0, name
    assert values["colorfulness_difference"] == values["colorfulness_absolute_difference"] == 0


@settings(max_examples=25, deadline=None)
@given(photographs, photographs)
def test_bounds_and_symmetry(true, predicted):
    for metric in (metrics.psnr, metrics.ssim, metrics.delta_e, metrics.auc):
        assert metric(true, predicted) == pytest.approx(metric(predicted, true), abs=1e-9)
    for metric in (metrics.colorfulness_difference,):
        assert metric(true, predicted) == pytest.approx(-metric(predicted, true))
    assert metrics.delta_e(true, predicted) >= 0
    assert -1 <= metrics.ssim(true, predicted) <= 1
    assert 0 <= metrics.auc(true, predicted) <= 1
    for ratio in (metrics.gray_share(true, predicted), metrics.edge_bleeding(true, predicted)):
        assert 0 <= ratio.numerator <= ratio.denominator


# ---------------------------------------------------------------- PSNR, SSIM, ΔE


def test_psnr_by_hand():
    true = flat(GRAY)
    predicted = true.copy()
    predicted[..., 0] += 10  # one channel of three: mean square 100 / 3
    assert metrics.psnr(true, predicted) == pytest.approx(10 * math.log10(255**2 * 3 / 100))
    assert metrics.psnr(flat((0, 0, 0)), flat((255, 255, 255))) == pytest.approx(0)


def test_psnr_stops_at_its_ceiling():
    true = flat(GRAY, size=(256, 256))
    predicted = true.copy()
    predicted[0, 0, 0] += 1  # 101.1 dB
    assert metrics.psnr(true, predicted) == metrics.PSNR_CEILING


def test_psnr_gain_by_hand():
    true, gray = flat(RED), flat(GRAY)
    halfway = ((true.astype(int) + gray) / 2).astype("uint8")
    # Half the error is a quarter of its square; the bytes round a little.
    gain = metrics.psnr_gain(true, halfway, gray)
    assert gain.value == pytest.approx(10 * math.log10(4), abs=0.1)
    assert gain.denominator == 1
    assert metrics.psnr_gain(true, gray, gray) == Ratio(0.0, 1.0)


def test_a_gray_truth_says_nothing_of_a_gain():
    assert metrics.psnr_gain(flat(GRAY), flat(RED), flat(GRAY)) == Ratio(0.0, 0.0)


def test_ssim_of_flat_photographs_is_the_luminance_term():
    mu_x, mu_y, c1 = 100.0, 200.0, (0.01 * 255) ** 2
    expected = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
    assert metrics.ssim(flat((100,) * 3), flat((200,) * 3)) == pytest.approx(expected)


def test_ssim_follows_the_paper_s_gaussian_window():
    true, predicted = noise(1)[..., :1].repeat(3, -1), noise(2)[..., :1].repeat(3, -1)
    x, y = true[..., 0].astype(float), predicted[..., 0].astype(float)

    def mean(image):
        return ndimage.gaussian_filter(image, 1.5, radius=5)

    var_x, var_y = mean(x**2) - mean(x) ** 2, mean(y**2) - mean(y) ** 2
    covariance = mean(x * y) - mean(x) * mean(y)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    score = (2 * mean(x) * mean(y) + c1) * (2 * covariance + c2)
    score /= (mean(x) ** 2 + mean(y) ** 2 + c1) * (var_x + var_y + c2)
    assert metrics.ssim(true, predicted) == pytest.approx(score[5:-5, 5:-5].mean())


def test_delta_e_is_the_mean_over_pixels():
    # Black to white is ΔL = 100 with S_L = 1 at the mean L of 50; half of the pixels differ.
    true, predicted = flat((0, 0, 0), (0, 0, 0)), flat((0, 0, 0), (255, 255, 255))
    assert metrics.delta_e(true, predicted) == pytest.approx(50, abs=1e-6)


# ---------------------------------------------------------------- colourfulness


def test_colorfulness_by_hand():
    # A single colour has no spread: rg = 255, yb = 127.5.
    assert metrics.colorfulness(flat(RED)) == pytest.approx(0.3 * math.hypot(255, 127.5))
    # Red and green: rg = ±255, so its mean is 0 and its σ 255; yb = 127.5 throughout.
    both = flat(RED, GREEN)
    assert metrics.colorfulness(both) == pytest.approx(255 + 0.3 * 127.5)
    # With absolute values first there is no spread left, and a mean of 255.
    absolute = metrics.colorfulness(both, absolute=True)
    assert absolute == pytest.approx(0.3 * math.hypot(255, 127.5))


def test_colorfulness_of_two_spread_axes():
    # Black and blue: yb = 0 and -255, so |μ| = σ = 127.5 (population σ, not the sample's).
    assert metrics.colorfulness(flat((0, 0, 0), BLUE)) == pytest.approx(1.3 * 127.5)


@given(hnp.arrays(np.uint8, (8, 8, 1)), st.booleans())
def test_gray_has_no_colorfulness(gray, absolute):
    assert metrics.colorfulness(gray.repeat(3, axis=-1), absolute=absolute) == 0


@settings(max_examples=25, deadline=None)
@given(photographs)
def test_colorfulness_ignores_where_pixels_are(rgb):
    shuffled = rgb.reshape(-1, 3)[::-1].reshape(rgb.shape)
    assert metrics.colorfulness(shuffled) == pytest.approx(metrics.colorfulness(rgb))


def test_colorfulness_difference_is_negative_for_faded_colors():
    vivid, faded = flat(RED, GREEN), flat((160, 100, 100), (100, 160, 100))
    assert metrics.colorfulness_difference(vivid, faded) < -100
    expected = metrics.colorfulness(faded, absolute=True) - metrics.colorfulness(
        vivid, absolute=True
    )
    assert metrics.colorfulness_difference(vivid, faded, absolute=True) == pytest.approx(expected)


# ---------------------------------------------------------------- AuC and bins


def test_auc_by_hand():
    # Red against gray of any lightness: one error, the chroma of red.
    chroma = np.linalg.norm(ab_of(RED))
    assert metrics.auc(flat(RED), flat(GRAY)) == pytest.approx(1 - chroma / 150)
    half = metrics.auc(flat(RED, GRAY), flat(GRAY, GRAY))
    assert half == pytest.approx(1 - chroma / 300)


def test_auc_beyond_the_last_threshold_is_zero():
    assert np.linalg.norm(ab_of(BLUE) - ab_of(GREEN)) > 150
    assert metrics.auc(flat(BLUE), flat(GREEN)) == 0


def test_auc_is_the_area_under_the_curve_of_shares():
    true, predicted = noise(1), noise(2)
    error = np.linalg.norm((color.rgb2lab(true) - color.rgb2lab(predicted))[..., 1:], axis=-1)
    thresholds = np.linspace(0, 150, 15001)
    area = np.mean([(error <= threshold).mean() for threshold in thresholds])
    assert metrics.auc(true, predicted) == pytest.approx(area, abs=2e-4)
    whole = np.mean([(error <= threshold).mean() for threshold in range(151)])
    assert metrics.auc(true, predicted) == pytest.approx(whole, abs=1 / 150)


def test_auc_ignores_lightness():
    assert metrics.auc(flat((20, 20, 20)), flat((230, 230, 230))) == 1


def test_auc_rebalanced_weighs_pixels_by_their_true_bin():
    true, predicted = flat(RED, GRAY, GRAY, GRAY), flat(GRAY, GRAY, GRAY, GRAY)
    closeness = 1 - np.linalg.norm(ab_of(RED)) / 150
    weights = [1, 3, 0, 0, 0]  # red is three times as rare
    ratio = metrics.auc_rebalanced(true, predicted, bins=BINS, class_weights=weights)
    assert ratio.denominator == 64 * 3 + 192
    assert ratio.value == pytest.approx((1 + closeness) / 2)
    uniform = metrics.auc_rebalanced(true, predicted, bins=BINS, class_weights=np.ones(5))
    assert uniform.value == pytest.approx(metrics.auc(true, predicted))


def test_auc_rebalanced_over_a_set_is_the_mean_of_the_classes():
    true = [flat(RED, GRAY, GRAY, GRAY), flat(GRAY, GRAY, GRAY, GREEN), flat(GRAY)]
    predicted = [flat(GRAY), flat(GRAY), flat(RED)]
    weights = metrics.rebalancing_weights(iter(true), bins=BINS)
    ratios = [
        metrics.auc_rebalanced(t, p, bins=BINS, class_weights=weights)
        for t, p in zip(true, predicted, strict=True)
    ]
    red, green = (1 - np.linalg.norm(ab_of(c)) / 150 for c in (RED, GREEN))
    gray = (3 + 3 + 4 * red) / 10  # quarters of photographs
    expected = (red + green + gray) / 3
    rows = [{"auc_rebalanced": ratio} for ratio in ratios]
    assert metrics.summarise(rows)["auc_rebalanced"] == pytest.approx(expected)
    assert np.mean([ratio.value for ratio in ratios]) != pytest.approx(expected, abs=0.01)


def test_rebalancing_weights_by_hand():
    weights = metrics.rebalancing_weights([flat(RED, GRAY, GRAY, GRAY)], bins=BINS)
    assert weights == pytest.approx([2 / 3, 2, 0, 0, 0])  # each of two classes has half the sum
    assert 0.75 * weights[0] + 0.25 * weights[1] == pytest.approx(1)


def test_bin_accuracy_by_hand():
    true = flat(RED, RED, GRAY, GREEN)
    predicted = flat(RED, GRAY, (20, 20, 20), (120, 255, 40))  # lightness and nuance are free
    assert metrics.bin_accuracy(true, predicted, bins=BINS) == 0.75


def test_bins_are_the_nearest_centres():
    true, predicted = noise(3), noise(4)
    nearest = [
        np.linalg.norm(color.rgb2lab(rgb)[..., None, 1:] - BINS, axis=-1).argmin(axis=-1)
        for rgb in (true, predicted)
    ]
    expected = (nearest[0] == nearest[1]).mean()
    assert 0.1 < expected < 0.6
    assert metrics.bin_accuracy(true, predicted, bins=BINS) == expected
    # The same photographs with other bins: what is remembered depends on both.
    assert metrics.bin_accuracy(true, predicted, bins=[[0, 0]]) == 1


# ---------------------------------------------------------------- gray share, leakage


def test_gray_share_counts_colored_pixels_only():
    true, predicted = flat(RED, RED, RED, GRAY), flat(GRAY, GREEN, GRAY, GRAY)
    assert metrics.gray_share(true, predicted) == Ratio(128, 192)
    assert metrics.gray_share(true, true).value == 0
    assert math.isnan(metrics.gray_share(flat(GRAY), flat(RED)).value)


@pytest.mark.parametrize(("chroma", "share"), [(4.0, 1.0), (6.0, 0.0)])
def test_gray_ends_at_a_chroma_of_five(chroma, share):
    lightness = np.full((8, 8), 60.0)
    predicted = picture(lightness, np.full((8, 8, 2), [chroma, 0.0]))
    assert metrics.gray_share(flat(RED, size=(8, 8)), predicted).value == share


def test_leakage_by_hand():
    mask = np.zeros((16, 16))
    mask[:, :8] = 0.5  # a blend is inside
    red, green = (np.linalg.norm(ab_of(c)) for c in (RED, GREEN))
    assert metrics.leakage(flat(RED, GREEN), mask).value == pytest.approx(green / red)
    assert metrics.leakage(flat(RED, GRAY), mask).value == 0
    assert metrics.leakage(flat(GRAY, RED), mask).value == math.inf
    assert math.isnan(metrics.leakage(flat(GRAY, GRAY), mask).value)


def test_ab_leakage_by_hand():
    ab = np.array([[[3, 4], [0, 0], [6, -8], [0, 1]]])  # chroma 5, 0, 10, 1
    assert metrics.ab_leakage(ab, [[1, 1, 0, 0]]) == Ratio(5.5, 2.5)
    assert metrics.ab_leakage(ab, [[1, 0, 0.1, 0]]) == Ratio(0.5, 7.5)
    assert metrics.ab_leakage(ab, [[0, 1, 0, 0]]).value == math.inf
    assert math.isnan(metrics.ab_leakage(ab, [[1, 1, 1, 1]]).value)


def test_a_set_leaks_as_its_photographs_do_whatever_their_masks_cover():
    ab = np.array([[[2, 0]] + [[0, 1]] * 3])
    rows = [{"leakage": metrics.ab_leakage(ab, mask)} for mask in ([[1, 0, 0, 0]], [[0, 1, 1, 1]])]
    assert metrics.summarise(rows) == {"leakage": (1 + 2) / (2 + 1)}


@given(hnp.arrays(np.uint8, (4, 4)))
def test_exactly_gray_leaks_exactly_nothing(gray):
    rgb = np.concatenate([flat(RED, size=(4, 4)), gray[..., None].repeat(3, -1)])
    mask = np.arange(8)[:, None].repeat(4, 1) < 4
    assert metrics.leakage(rgb, mask).numerator == 0


@pytest.mark.parametrize("value", [0, 1])
def test_leakage_needs_an_inside_and_an_outside(value):
    assert math.isnan(metrics.leakage(noise(), np.full((32, 32), value)).value)


# ---------------------------------------------------------------- edge bleeding


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 4, 1.3, math.pi / 2])
def test_bleeding_grows_with_the_blur_of_color(angle):
    lightness, ab = two_regions(angle=angle)
    true = picture(lightness, ab)
    ratios = [
        metrics.edge_bleeding(true, picture(lightness, blurred(ab, sigma)))
        for sigma in (0, 1, 1.5, 2, 3, 4, 6)
    ]
    values = [ratio.value for ratio in ratios]
    assert values[0] == 0
    assert all(np.diff(values) > 0.01), values
    assert {ratio.denominator for ratio in ratios} == {ratios[0].denominator}
    assert ratios[0].denominator >= 36  # pixels along the edge


def test_bleeding_of_a_known_blur():
    # A step blurred by σ keeps erf(d / σ√2) of its height within d on either side.
    lightness, ab = two_regions()
    sigma = 3.0
    shares = [math.erf(d / sigma / math.sqrt(2)) for d in (metrics.EDGE_CORE, metrics.EDGE_REACH)]
    ratio = metrics.edge_bleeding(picture(lightness, ab), picture(lightness, blurred(ab, sigma)))
    assert ratio.value == pytest.approx(1 - shares[0] / shares[1], abs=0.03)


def test_bleeding_ignores_hue_and_saturation():
    lightness, ab = two_regions()
    true = picture(lightness, ab)
    for other in (0.4 * ab, ab[..., ::-1], -0.5 * ab):
        ratio = metrics.edge_bleeding(true, picture(lightness, other))
        assert ratio.denominator > 0
        assert ratio.value < 0.02


def test_color_that_ends_beside_the_edge_bleeds():
    lightness, ab = two_regions()
    true = picture(lightness, ab)
    values = [
        metrics.edge_bleeding(true, picture(lightness, np.roll(ab, shift, axis=1))).value
        for shift in (0, 4)
    ]
    assert values == [0, pytest.approx(1, abs=0.02)]


def test_all_gray_has_no_edges_to_bleed():
    lightness, ab = two_regions()
    ratio = metrics.edge_bleeding(picture(lightness, ab), picture(lightness, 0 * ab))
    assert ratio == Ratio(0, 0)
    assert math.isnan(ratio.value)


@pytest.mark.parametrize("change", ["no luminance edge", "no color edge", "soft color"])
def test_other_edges_of_the_truth_do_not_count(change):
    lightness, ab = two_regions()
    if change == "no luminance edge":
        lightness = np.full_like(lightness, 55)
    elif change == "no color edge":
        ab = np.full_like(ab, 15)
    else:
        ab = blurred(ab, 6)
    true = picture(lightness, ab)
    assert metrics.edge_bleeding(true, true).denominator == 0


@pytest.mark.parametrize("size", [(1, 1), (2, 30), (12, 12), (13, 13)])
def test_bleeding_of_tiny_photographs_is_defined(size):
    rgb = noise(size=size)
    assert metrics.edge_bleeding(rgb, rgb).numerator == 0


# ---------------------------------------------------------------- Fréchet distance


def test_feature_statistics_by_hand():
    mean, covariance = metrics.feature_statistics([[0, 0], [2, 4]])
    assert mean.tolist() == [1, 2]
    assert covariance.tolist() == [[2, 4], [4, 8]]
    assert metrics.feature_statistics([[1], [3]])[1].shape == (1, 1)


variances = hnp.arrays(float, 5, elements=st.floats(0, 100))


@settings(deadline=None)
@given(variances, variances, variances, variances)
def test_frechet_distance_of_diagonal_covariances(mu1, mu2, var1, var2):
    expected = np.sum((mu1 - mu2) ** 2) + np.sum((np.sqrt(var1) - np.sqrt(var2)) ** 2)
    distance = metrics.frechet_distance(mu1, np.diag(var1), mu2, np.diag(var2))
    assert distance == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_frechet_distance_does_not_depend_on_the_basis():
    rng = np.random.default_rng(0)
    turn = special_ortho_group.rvs(6, random_state=0)
    first, second = rng.normal(size=(50, 6)), rng.normal(1, 3, size=(50, 6))
    straight = metrics.frechet_distance(
        *metrics.feature_statistics(first), *metrics.feature_statistics(second)
    )
    turned = metrics.frechet_distance(
        *metrics.feature_statistics(first @ turn), *metrics.feature_statistics(second @ turn)
    )
    assert straight > 1
    assert turned == pytest.approx(straight, rel=1e-9)


def test_frechet_distance_of_fewer_photographs_than_features():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(10, 64))
    mean, covariance = metrics.feature_statistics(features)
    assert metrics.frechet_distance(mean, covariance, mean, covariance) < 1e-9
    # Of N(0, C) and N(0, 4C): Tr(C + 4C - 4C).
    scaled = metrics.frechet_distance(mean, covariance, mean, 4 * covariance)
    assert scaled == pytest.approx(np.trace(covariance))


# ---------------------------------------------------------------- rows and sets


def test_measure_agrees_with_the_functions_and_follows_the_table():
    true, predicted = noise(1), noise(2)
    mask = np.eye(32)
    row = metrics.measure(true, predicted, bins=BINS, class_weights=np.ones(5), mask=mask)
    assert list(row) == [name for name, metric in METRICS.items() if metric.per_image]
    assert row["psnr"] == Ratio(metrics.psnr(true, predicted), 1)
    assert row["gray_share"] == metrics.gray_share(true, predicted)
    assert row["leakage"] == metrics.leakage(predicted, mask)
    assert row["colorfulness"].value == metrics.colorfulness(predicted)
    absolute = [metrics.colorfulness(rgb, absolute=True) for rgb in (true, predicted)]
    assert row["colorfulness_absolute"].value == absolute[1]
    assert row["colorfulness_absolute_difference"].value == absolute[1] - absolute[0]


def test_measure_leaves_out_what_lacks_its_options():
    row = metrics.measure(noise(), noise(), bins=BINS, class_weights=None)
    assert "bin_accuracy" in row
    assert not {"auc_rebalanced", "leakage", "frechet_distance"} & row.keys()


def test_measure_computes_what_is_wanted_alone(monkeypatch):
    monkeypatch.setattr(metrics, "_lab", None)  # neither needs Lab
    row = metrics.measure(noise(1), noise(2), names=["colorfulness", "psnr"], bins=BINS)
    assert list(row) == ["psnr", "colorfulness"]


def test_measure_converts_each_photograph_once(monkeypatch):
    seen = []
    convert = color.rgb2lab
    monkeypatch.setattr(metrics.color, "rgb2lab", lambda rgb: seen.append(1) or convert(rgb))
    true = noise(101)
    options = {"bins": BINS, "class_weights": np.ones(5), "mask": np.eye(32)}
    for seed in (102, 103):  # two models on one photograph
        metrics.measure(true, noise(seed), **options)
    assert len(seen) == 3


def test_metrics_see_photographs_changed_in_place():
    true, predicted = flat(RED), flat(RED)
    assert metrics.delta_e(true, predicted) == 0
    predicted[:] = GREEN
    assert metrics.delta_e(true, predicted) > 50


def test_summarise_means_and_pools():
    rows = [
        {"psnr": Ratio(20.0, 1.0), "gray_share": Ratio(1.0, 1.0)},
        {"psnr": Ratio(30.0, 1.0), "gray_share": Ratio(0.0, 99.0)},
        {"psnr": Ratio(25.0, 1.0), "gray_share": Ratio(0.0, 0.0)},
    ]
    assert metrics.summarise(rows) == {"psnr": 25.0, "gray_share": 0.01}
    nothing = metrics.summarise([{"gray_share": Ratio(0.0, 0.0)}])
    assert math.isnan(nothing["gray_share"])


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.randoms())
def test_summarise_gives_the_same_digits_in_any_order(values, random):
    rows = [{"psnr": Ratio(value, 1.0)} for value in values]
    shuffled = rows.copy()
    random.shuffle(shuffled)
    assert metrics.summarise(rows) == metrics.summarise(shuffled)


def test_ratio_of_nothing_and_of_something_to_nothing():
    assert Ratio(1.0, 4.0).value == 0.25
    assert math.isnan(Ratio(0.0, 0.0).value)
    assert Ratio(1.0, 0.0).value == math.inf


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("metric", PAIRED)
@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        (noise(), noise(size=(32, 31)), r"predicted: .*\(32, 32, 3\), received \(32, 31, 3\)"),
        (noise(), noise().astype(float), r"predicted: expected uint8 .* received float64"),
        (noise()[..., 0], noise(), r"true: expected uint8 .* received uint8 \(32, 32\)"),
        (noise(), noise()[..., :1], r"predicted: .* received uint8 \(32, 32, 1\)"),
        (noise()[:0], noise()[:0], r"true: .* received uint8 \(0, 32, 3\)"),
        (noise().tolist(), noise(), r"true: expected uint8 .* received list"),
    ],
)
def test_photographs_that_cannot_be_compared(metric, true, predicted, message):
    with pytest.raises(ValueError, match=message):
        metric(true, predicted)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.ssim(noise(size=(10, 32)), noise(size=(10, 32))), "true: expected 11"),
        (lambda: metrics.colorfulness(noise()[0]), r"rgb: .* received uint8 \(32, 3\)"),
        (lambda: metrics.bin_accuracy(noise(), noise(), bins=BINS.T), r"bins: .*shape \(2, 5\)"),
        (lambda: metrics.bin_accuracy(noise(), noise(), bins=[[0, np.nan]]), "bins: .*finite"),
        (lambda: metrics.rebalancing_weights([], bins=BINS), "photographs: .* received none"),
        (lambda: metrics.rebalancing_weights([BINS], bins=BINS), "photographs: expected uint8"),
        (lambda: metrics.leakage(noise(), np.ones((32, 31))), r"mask: .*\(32, 31\)"),
        (lambda: metrics.ab_leakage(np.ones((4, 4, 3)), np.eye(4)), r"ab: .*\(4, 4, 3\)"),
        (lambda: metrics.leakage(noise(), -np.ones((32, 32))), "mask: .*>= 0, .*lowest -1.0"),
        (lambda: metrics.feature_statistics(np.ones((1, 4))), r"features: .*\(1, 4\)"),
        (lambda: metrics.feature_statistics(np.ones(4)), r"features: .*\(4,\)"),
        (lambda: metrics.frechet_distance([0], [[1]], [0, 0], np.eye(2)), r"mu2: .*\(2,\)"),
        (lambda: metrics.frechet_distance([0], [[1]], [0], np.eye(2)), r"cov2: .*\(2, 2\)"),
        (lambda: metrics.frechet_distance([0], [[-1]], [0], [[1]]), "cov1: .*eigenvalues from -1"),
        (
            lambda: metrics.frechet_distance([0, 0], [[1, 1], [0, 1]], [0, 0], np.eye(2)),
            "cov1: expected a covariance",
        ),
        (lambda: metrics.measure(noise(), noise(), msk=np.eye(32)), r"options: .*received \['msk"),
        (lambda: metrics.summarise([]), "rows: .*received 0"),
        (
            lambda: metrics.summarise([{"psnr": Ratio(1, 1)}, {"ssim": Ratio(1, 1)}]),
            "rows: .*same metrics",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("weights", [np.ones(4), -np.ones(5), np.full(5, np.inf)])
def test_class_weights_must_fit_the_bins(weights):
    with pytest.raises(ValueError, match="class_weights: expected"):
        metrics.auc_rebalanced(noise(), noise(), bins=BINS, class_weights=weights)
