"""Classical colouring against brute force, published behaviour and exact statistics."""

import numpy as np
import pytest
import scipy.sparse.linalg
from skimage import data
from skimage.color import rgb2lab

from colorizer import classical


def dense_levin(luminance, ab, confidence):
    """The same energy, written down pixel by pixel and solved densely."""
    height, width = luminance.shape
    affinity = np.zeros((luminance.size, luminance.size))
    for y, x in np.ndindex(height, width):
        window = [(v, u) for v in range(y - 1, y + 2) for u in range(x - 1, x + 2)]
        values = np.pad(luminance, 1, mode="edge")[y : y + 3, x : x + 3]
        inside = [
            (v, u) for v, u in window if 0 <= v < height and 0 <= u < width and (v, u) != (y, x)
        ]
        distance = np.array([(luminance[p] - luminance[y, x]) ** 2 for p in inside])
        scale = max(0.6 * values.var(), distance.min() / np.log(100), 0.02)
        weights = np.maximum(np.exp(-distance / scale), 1e-6)
        for (v, u), weight in zip(inside, weights / weights.sum(), strict=True):
            affinity[y * width + x, v * width + u] = weight
    symmetric = (affinity + affinity.T) / 2
    with np.errstate(divide="ignore"):
        firmness = np.minimum(confidence / (1 - confidence), 1e4).ravel()
    matrix = np.diag(symmetric.sum(axis=1)) - symmetric + np.diag(firmness)
    return np.linalg.solve(matrix, firmness[:, None] * ab.reshape(-1, 2)).reshape(ab.shape)


def scribbled(shape, seed=0):
    rng = np.random.default_rng(seed)
    luminance = rng.uniform(20, 80, shape)
    confidence = np.where(rng.random(shape) < 0.1, rng.uniform(0.2, 1, shape), 0)
    confidence[2, 3] = 1
    return luminance, rng.uniform(-80, 80, (*shape, 2)), confidence


@pytest.mark.parametrize("coarsest", [3000, 20])  # solved at once, and through two coarser levels
def test_levin_agrees_with_a_dense_solve(monkeypatch, coarsest):
    monkeypatch.setattr(classical, "_COARSEST", coarsest)
    scribbles = scribbled((12, 12))
    spread = classical.levin_colorize(*scribbles, tolerance=1e-10)
    np.testing.assert_allclose(spread, dense_levin(*scribbles), atol=1e-4)


def test_levin_agrees_with_a_direct_sparse_solve_of_a_photograph():
    lab = rgb2lab(data.astronaut()[:200:2, 100:300:2])
    _, ab, confidence = scribbled(lab.shape[:2])
    spread = classical.levin_colorize(lab[..., 0], ab, confidence, tolerance=1e-10)
    firmness = np.minimum(confidence / np.maximum(1 - confidence, 1e-12), 1e4).ravel()
    matrix = classical._laplacian(lab[..., 0]) + classical.sparse.diags_array(firmness)
    exact = scipy.sparse.linalg.spsolve(matrix.tocsc(), firmness[:, None] * ab.reshape(-1, 2))
    np.testing.assert_allclose(spread.reshape(-1, 2), exact, atol=1e-2)


def test_the_laplacian_is_symmetric_with_rows_that_sum_to_zero():
    laplacian = classical._laplacian(scribbled((9, 14))[0])
    assert abs(laplacian - laplacian.T).max() == 0
    np.testing.assert_allclose(laplacian.sum(axis=1), 0, atol=1e-14)
    assert np.linalg.eigvalsh(laplacian.toarray())[0] > -1e-12


def test_one_scribble_colours_everything():
    confidence = np.zeros((30, 40))
    confidence[10, 10] = 1
    ab = np.broadcast_to([40.0, -25.0], (30, 40, 2))
    spread = classical.levin_colorize(np.full((30, 40), 50.0), ab, confidence)
    np.testing.assert_allclose(spread, ab, atol=1e-3)


def test_between_two_scribbles_in_flat_luminance_colour_is_linear():
    confidence, ab = np.zeros((8, 31)), np.zeros((8, 31, 2))
    confidence[:, [0, -1]] = 1
    ab[:, 0], ab[:, -1] = (60, 0), (0, -30)
    spread = classical.levin_colorize(np.full((8, 31), 50.0), ab, confidence)
    ramp = np.linspace(0, 1, 31)[:, None]
    # Linear is harmonic but for the frame, where windows are cut short and weights differ.
    expected = np.broadcast_to((1 - ramp) * [60, 0] + ramp * [0, -30], ab.shape)
    np.testing.assert_allclose(spread, expected, atol=2)


def test_colours_stay_on_their_side_of_an_edge():
    luminance = np.full((40, 40), 30.0)
    luminance[:, 20:] = 75
    luminance += np.random.default_rng(0).normal(0, 0.5, luminance.shape)
    confidence, ab = np.zeros((40, 40)), np.zeros((40, 40, 2))
    confidence[15:25, 3] = confidence[15:25, 36] = 1
    ab[:, :20], ab[:, 20:] = (60, 40), (-50, 20)
    spread = classical.levin_colorize(luminance, ab * confidence[..., None], confidence)
    # The weights across the edge are small, not 0: 4 % of the difference of 110 comes through.
    np.testing.assert_allclose(spread, ab, atol=0.04 * 110)


def test_soft_brush_edges_blend_from_scribble_to_surroundings():
    """A half-confident pixel takes half its colour from the scribble, half from around it."""
    confidence, ab = np.zeros((3, 41)), np.zeros((3, 41, 2))
    confidence[:, 0] = confidence[:, -1] = 1
    ab[:, 10:31, 0] = 50
    spreads = []
    for soft in (0, 0.05, 0.5, 0.95, 1):
        confidence[:, 20] = soft
        spreads.append(classical.levin_colorize(np.full((3, 41), 50.0), ab, confidence)[1, 20, 0])
    assert spreads[0] == pytest.approx(0, abs=1e-3)
    assert spreads[-1] == pytest.approx(50, abs=0.05)
    assert (np.diff(spreads) > 0.05).all()
    profile = np.exp(-(((np.arange(41) - 20) / 4) ** 2))
    confidence[:, 1:-1] = profile[1:-1]
    faded = classical.levin_colorize(np.full((3, 41), 50.0), ab, confidence)[1, :, 0]
    assert np.abs(np.diff(faded)).max() < 15  # no step where the brush ends
    assert (np.diff(faded[20:]) < 1e-3).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2)])
def test_levin_takes_the_smallest_photographs(size):
    confidence = np.zeros(size)
    confidence[0, 0] = 1
    ab = np.broadcast_to([10.0, 20.0], (*size, 2))
    spread = classical.levin_colorize(np.full(size, 40.0), ab, confidence)
    np.testing.assert_allclose(spread, ab, atol=1e-2)


def test_levin_errors_name_the_argument():
    luminance, ab, confidence = scribbled((6, 6))
    with pytest.raises(ValueError, match=r"luminance must have shape \(H, W\)"):
        classical.levin_colorize(ab, ab, confidence)
    with pytest.raises(ValueError, match=r"ab must have shape \(6, 6, 2\)"):
        classical.levin_colorize(luminance, luminance, confidence)
    with pytest.raises(ValueError, match=r"confidence must have shape \(6, 6\)"):
        classical.levin_colorize(luminance, ab, confidence[:3])
    for wrong in (confidence * 0, confidence * 255, confidence - 1):
        with pytest.raises(ValueError, match="confidence must range from 0 to 1"):
            classical.levin_colorize(luminance, ab, wrong)
    with pytest.raises(ValueError, match="must be finite"):
        classical.levin_colorize(luminance * np.nan, ab, confidence)


# --- Reinhard


def colours(seed, shape=(24, 32)):
    rng = np.random.default_rng(seed)
    return rng.normal(rng.uniform(-20, 20, 2), rng.uniform(3, 15, 2), (*shape, 2))


def test_reinhard_reaches_the_references_mean_and_deviation():
    reference = colours(1, (10, 50))
    changed = classical.reinhard_transfer(colours(0), reference)
    np.testing.assert_allclose(changed.mean(axis=(0, 1)), reference.mean(axis=(0, 1)), atol=1e-4)
    np.testing.assert_allclose(changed.std(axis=(0, 1)), reference.std(axis=(0, 1)), atol=1e-4)


def test_reinhard_takes_and_changes_only_what_is_in_the_mask():
    ab, reference = colours(0), colours(1)
    mask = np.zeros((24, 32))
    mask[4:20, 5:25] = 1
    changed = classical.reinhard_transfer(ab, reference, mask=mask)
    inside = mask == 1
    np.testing.assert_array_equal(changed[~inside], ab[~inside].astype(np.float32))
    np.testing.assert_allclose(changed[inside].mean(axis=0), reference.mean(axis=(0, 1)), atol=1e-4)
    np.testing.assert_allclose(changed[inside].std(axis=0), reference.std(axis=(0, 1)), atol=1e-4)


def test_reinhard_blends_by_a_soft_mask_and_leaves_all_without_one():
    ab, reference = colours(0), colours(1)
    whole = classical.reinhard_transfer(ab, reference)
    half = classical.reinhard_transfer(ab, reference, mask=np.full((24, 32), 0.5))
    np.testing.assert_allclose(half, (ab + whole) / 2, atol=1e-4)
    none = classical.reinhard_transfer(ab, reference, mask=np.zeros((24, 32)))
    np.testing.assert_array_equal(none, ab.astype(np.float32))


def test_reinhard_only_shifts_what_has_no_spread():
    flat = np.broadcast_to([3.0, -4.0], (5, 6, 2))
    reference = colours(1)
    expected = np.broadcast_to(reference.mean(axis=(0, 1)), flat.shape)
    np.testing.assert_allclose(classical.reinhard_transfer(flat, reference), expected, atol=1e-5)


def test_reinhard_errors_name_the_argument():
    with pytest.raises(ValueError, match="ab and reference_ab must have shapes"):
        classical.reinhard_transfer(np.zeros((4, 4)), np.zeros((4, 4, 2)))
    with pytest.raises(ValueError, match=r"mask must have shape \(4, 4\)"):
        classical.reinhard_transfer(np.zeros((4, 4, 2)), np.zeros((4, 2)), mask=np.ones((3, 4)))


def test_reinhard_parameters_are_the_transfer():
    ab, reference = colours(0), colours(1, (10, 50))
    weight = np.random.default_rng(2).random((24, 32))
    gain, shift = classical.reinhard_parameters(ab, reference, weight=weight)
    changed = gain * ab + shift
    mean = np.average(changed, axis=(0, 1), weights=np.stack([weight] * 2, axis=-1))
    variance = np.average((changed - mean) ** 2, axis=(0, 1), weights=np.stack([weight] * 2, -1))
    np.testing.assert_allclose(mean, reference.mean(axis=(0, 1)), atol=1e-9)
    np.testing.assert_allclose(variance, reference.var(axis=(0, 1)), rtol=1e-9)
    whole = classical.reinhard_parameters(ab, reference, weight=np.ones((24, 32)))
    np.testing.assert_allclose(
        whole[0] * ab + whole[1], classical.reinhard_transfer(ab, reference), atol=1e-4
    )


def test_reinhard_parameters_of_hand_made_colours():
    ab = np.array([[[0.0, 5.0], [2.0, 5.0], [99.0, -99.0]]])  # deviations 1 and 0; one left out
    reference = np.array([[10.0, 1.0], [16.0, 1.0]])  # means 13 and 1, deviations 3 and 0
    gain, shift = classical.reinhard_parameters(ab, reference, weight=np.array([[1, 1, 0]]))
    np.testing.assert_allclose(gain, [3, 1])
    np.testing.assert_allclose(shift, [10, -4])
