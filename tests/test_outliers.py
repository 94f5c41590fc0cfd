"""Outliers: each kind by its numbers, and all of them as a training step calls them."""

import keras
import numpy as np
import pytest
from skimage import data

from colorizer import outliers


@pytest.fixture
def photos():
    """Three different pictures, (3, 32, 32) in [-1, 1]."""
    camera = data.camera().astype(np.float32) / 127.5 - 1
    return np.stack([camera[y : y + 128 : 4, 160:288:4] for y in (40, 100, 300)])


def per_example(*values):
    return np.array(values, np.float32)[:, None, None]


def estranged(luminance, seed=0, share=1.0):
    random = keras.random.SeedGenerator(seed)
    return tuple(map(np.asarray, outliers.estrange(luminance, random, share=share)))


# --- all kinds together


def test_without_a_share_nothing_changes_by_a_bit(photos):
    luminance, strange = estranged(photos[..., None], share=0.0)
    np.testing.assert_array_equal(luminance, photos[..., None])
    assert not strange.any()


def test_a_share_is_estranged_and_told_and_the_others_keep_every_bit(rng):
    luminance = rng.uniform(-1, 1, (400, 8, 8, 1)).astype(np.float32)
    made, strange = estranged(luminance, share=0.3)
    assert strange.shape == (400, 1, 1, 1)
    assert strange.dtype == bool
    assert strange.mean() == pytest.approx(0.3, abs=0.06)
    np.testing.assert_array_equal((made != luminance).any((1, 2, 3)), strange[:, 0, 0, 0])


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (13, 21)])
def test_shape_type_and_range_are_kept(rng, size):
    made, _ = estranged(rng.uniform(-1, 1, (40, *size, 1)).astype(np.float32))
    assert made.shape == (40, *size, 1)
    assert made.dtype == np.float32
    assert np.abs(made).max() == 1  # something is clipped, and to this


def test_a_seed_repeats_and_examples_and_seeds_differ(photos):
    same = np.repeat(photos[:1, ..., None], 8, axis=0)
    first, again, other = (estranged(same, seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    negatives = {(-same[0]).tobytes()}  # have no parameters
    assert len({picture.tobytes() for picture in (*first, *other)} - negatives) >= 10


def test_every_kind_is_as_often_as_it_says(monkeypatch):
    """Pictures of one tone each, to be told apart."""
    tones = dict(zip(outliers.SHARES, (-0.75, -0.25, 0.25, 0.75), strict=True))
    monkeypatch.setattr(
        outliers,
        "_kinds",
        lambda light, shapes, draw: {kind: 0 * light + tone for kind, tone in tones.items()},
    )
    made, _ = estranged(np.zeros((2000, 2, 2, 1), np.float32))
    assert sum(outliers.SHARES.values()) == pytest.approx(1)
    for kind, tone in tones.items():
        found = (made == np.float32(tone)).all((1, 2, 3)).mean()
        assert found == pytest.approx(outliers.SHARES[kind], abs=0.04)


def test_every_kind_is_far_from_its_photograph(photos):
    """None of them correlates with what it was made of, but the negative, the other way round."""
    random = keras.random.SeedGenerator(0)
    luminance = np.repeat(photos, 30, axis=0)
    shapes = np.ones_like(luminance)

    def draw(low, high, *shape):
        shape = (len(luminance), *(shape or (1, 1)))
        return keras.random.uniform(shape, low, high, "float32", seed=random)

    alike = {
        kind: np.mean(
            [
                np.corrcoef(before.ravel(), after.ravel())[0, 1]
                for before, after in zip(luminance, np.asarray(made), strict=True)
            ]
        )
        for kind, made in outliers._kinds(luminance, shapes, draw).items()
    }
    assert set(alike) == set(outliers.SHARES)
    assert alike["negative"] == pytest.approx(-1)
    assert abs(alike["relief"]) < 0.15
    assert abs(alike["texture"]) < 0.15
    assert alike["drawing"] < 0.7


def test_a_compiled_function_estranges_batches_of_any_size():
    tf = pytest.importorskip("tensorflow")
    random = keras.random.SeedGenerator(0)

    @tf.function(input_signature=[tf.TensorSpec((None, 16, 20, 1), tf.float32)])
    def step(luminance):
        return outliers.estrange(luminance, random, share=1.0)

    for batch in (2, 5):
        luminance, strange = step(np.zeros((batch, 16, 20, 1), np.float32))
        assert luminance.shape == (batch, 16, 20, 1)
        assert strange.shape == (batch, 1, 1, 1)


# --- each kind


def test_shapes_choose_between_two_pictures():
    shapes = np.array([[[1, 0], [0.5, 1]]], np.float32)
    made = outliers.composed(shapes, per_example(0.8), per_example(-0.4))
    np.testing.assert_allclose(made, [[[0.8, -0.4], [0.2, 0.8]]], atol=1e-6)


def test_a_drawing_has_lines_where_the_photograph_darkens_and_paper_elsewhere():
    step = np.full((1, 16, 16), 0.5, np.float32)
    step[..., 8:] = -0.5
    made = outliers.drawing(
        step, paper=per_example(0.7), pen=per_example(1.0), ink=per_example(9.0)
    )
    row = np.asarray(made)[0, 5]
    np.testing.assert_allclose(row[[0, 3, 7, 12, 15]], 0.7, atol=0.01)  # paper, the bright side too
    assert row[8] == pytest.approx(-1)  # as black as it gets: the ink would be far below
    faint = outliers.drawing(
        step, paper=per_example(0.7), pen=per_example(1.0), ink=per_example(1.0)
    )
    # Beside an edge of height 1 a blur of σ = 1 is 0.31 above the dark side: Φ(-1/2).
    assert np.asarray(faint)[0, 5, 8] == pytest.approx(0.7 - 0.31, abs=0.01)


@pytest.mark.parametrize(
    ("down", "across", "expected"), [(1.0, 0.0, 0.1), (0.0, 1.0, -0.2), (0.5, -1.0, 0.25)]
)
def test_a_relief_is_as_bright_as_its_slope_faces_the_light(down, across, expected):
    y, x = np.mgrid[:6, :7].astype(np.float32)
    plane = (0.1 * y - 0.2 * x)[None]
    made = np.asarray(outliers.relief(plane, down=per_example(down), across=per_example(across)))
    np.testing.assert_allclose(made[0, 1:, 1:], expected, atol=1e-6)
    assert made[0, 0, 0] == 0  # level beyond the border


def test_a_texture_keeps_mean_and_energy_and_loses_the_picture(photos, rng):
    signs = rng.uniform(-1, 1, photos.shape).astype(np.float32)
    made = np.asarray(outliers.scrambled(photos, signs))
    np.testing.assert_allclose(made.mean((1, 2)), photos.mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(made.std((1, 2)), photos.std((1, 2)), rtol=1e-4)
    kept = np.asarray(outliers.scrambled(photos, np.ones_like(photos)))
    np.testing.assert_allclose(kept, photos, atol=1e-5)
