"""Outliers: each kind by its numbers, and all of them as a training step calls them."""

import keras
import numpy as np
import pytest
from scipy.ndimage import label

from colorizer import aging, outliers


def per_example(*values):
    return np.array(values, np.float32)[:, None, None]


def made_of(luminance, seed=0, share=1.0):
    random = keras.random.SeedGenerator(seed)
    return tuple(map(np.asarray, outliers.make_outliers(luminance, random, share=share)))


def kinds_of(light, shapes=None, seed=0):
    """Each picture as an outlier of each kind; of one material without `shapes`."""
    random = keras.random.SeedGenerator(seed)

    def draw(low, high, *shape):
        shape = (len(light), *(shape or (1, 1)))
        return keras.random.uniform(shape, low, high, "float32", seed=random)

    shapes = np.ones_like(light) if shapes is None else shapes
    return {kind: np.asarray(made) for kind, made in outliers._kinds(light, shapes, draw).items()}


def likeness(before, after):
    """The correlation of each pair of pictures, (B,)."""
    pairs = zip(before, after, strict=True)
    return np.array([np.corrcoef(b.ravel(), a.ravel())[0, 1] for b, a in pairs])


# --- all kinds together


def test_without_a_share_nothing_changes_by_a_bit(gray_photos):
    luminance, outlier = made_of(gray_photos[..., None], share=0.0)
    np.testing.assert_array_equal(luminance, gray_photos[..., None])
    assert not outlier.any()


def test_a_share_become_outliers_and_the_others_keep_every_bit(rng):
    luminance = rng.uniform(-1, 1, (400, 8, 8, 1)).astype(np.float32)
    made, outlier = made_of(luminance, share=0.3)
    assert outlier.shape == (400, 1, 1, 1)
    assert outlier.dtype == bool
    assert outlier.mean() == pytest.approx(0.3, abs=0.06)
    np.testing.assert_array_equal((made != luminance).any((1, 2, 3)), outlier[:, 0, 0, 0])


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (13, 21)])
def test_shape_type_and_range_are_kept(rng, size):
    made, _ = made_of(rng.uniform(-1, 1, (40, *size, 1)).astype(np.float32))
    assert made.shape == (40, *size, 1)
    assert made.dtype == np.float32
    assert np.abs(made).max() == 1  # something is clipped, and to this


def test_a_seed_repeats_and_examples_and_seeds_differ(gray_photos):
    same = np.repeat(gray_photos[:1, ..., None], 8, axis=0)
    first, again, other = (made_of(same, seed)[0] for seed in (3, 3, 4))
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
    made, _ = made_of(np.zeros((2000, 2, 2, 1), np.float32))
    assert sum(outliers.SHARES.values()) == pytest.approx(1)
    for kind, tone in tones.items():
        found = (made == np.float32(tone)).all((1, 2, 3)).mean()
        assert found == pytest.approx(outliers.SHARES[kind], abs=0.04)


def test_some_are_of_one_material_and_of_the_others_some_have_round_things(monkeypatch):
    seen = []
    monkeypatch.setattr(
        outliers, "_kinds", lambda light, shapes, draw: seen.append(shapes) or {"relief": light}
    )
    monkeypatch.setattr(outliers, "_things", lambda height, width, draw: 0.5)
    made_of(np.zeros((500, 16, 16, 1), np.float32))
    shapes, one = np.asarray(seen[0]), outliers.ONE_MATERIAL
    assert (shapes == 1).all((1, 2)).mean() == pytest.approx(one, abs=0.08)
    round_things = (shapes == 0.5).all((1, 2)).mean()
    assert round_things == pytest.approx(outliers.ROUND * (1 - one), abs=0.08)


def test_every_kind_is_far_from_its_photograph_but_the_negative_its_opposite(gray_photos):
    luminance = np.repeat(gray_photos, 30, axis=0)
    alike = {kind: likeness(luminance, made) for kind, made in kinds_of(luminance).items()}
    assert set(alike) == set(outliers.SHARES)
    np.testing.assert_allclose(alike["negative"], -1, atol=1e-5)
    for kind, most in {"relief": 0.35, "texture": 0.35, "drawing": 0.75}.items():
        assert np.abs(alike[kind]).mean() < most
        assert len(set(np.round(alike[kind], 4))) > 80  # each in its own way


@pytest.mark.parametrize("compiled", [False, True])
def test_a_training_step_makes_and_ages_them_in_batches_of_any_size(gray_photos, compiled):
    tf = pytest.importorskip("tensorflow")
    random = keras.random.SeedGenerator(0)
    spec = tf.TensorSpec((None, 32, 32, 1), tf.float32)

    @tf.function(input_signature=[spec], jit_compile=compiled)
    def step(luminance):
        made, outlier = outliers.make_outliers(luminance, random, share=1.0)
        return aging.age(made, random, share=0.5), outlier

    for batch in (1, 3):
        luminance, outlier = (np.asarray(each) for each in step(gray_photos[:batch, ..., None]))
        assert luminance.shape == (batch, 32, 32, 1)
        assert np.abs(luminance).max() <= 1
        assert outlier.shape == (batch, 1, 1, 1)
        assert outlier.all()
        assert (luminance != gray_photos[:batch, ..., None]).any((1, 2, 3)).all()


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_named(gray_photos, share):
    with pytest.raises(ValueError, match=r"^share must be in \[0, 1\]\. Received: "):
        made_of(gray_photos[..., None], share=share)


# --- each kind


@pytest.fixture
def left_half():
    shapes = np.zeros((3, 32, 32), np.float32)
    shapes[..., :16] = 1
    return shapes


def test_shapes_choose_between_two_pictures():
    shapes = np.array([[[1, 0], [0.5, 1]]], np.float32)
    made = outliers.composed(shapes, per_example(0.8), per_example(-0.4))
    np.testing.assert_allclose(made, [[[0.8, -0.4], [0.2, 0.8]]], atol=1e-6)


def test_round_things_are_where_they_were_put():
    places = np.array([[[0.5, 0.25], [0.125, 0.75]], [[0.5, 0.5], [0.5, 0.5]]], np.float32)
    radius = np.array([[0.1, 0.2], [0.2, 0.0]], np.float32)[..., None, None]
    made = np.asarray(outliers.discs(40, 80, places, radius))
    assert set(np.unique(made)) == {0, 1}
    assert made[0, 20, 20] == made[0, 5, 60] == made[1, 20, 40] == 1
    assert made[0, 20, 25] == made[0, 5, 20] == made[0, 14, 60] == made[1, 20, 49] == 0
    upper = np.pi * 8**2 - 26.1  # three pixels of it are beyond the border
    assert made.sum((1, 2)) == pytest.approx([np.pi * 4**2 + upper, np.pi * 8**2], rel=0.06)


def things_of(height, width, count=40):
    random = keras.random.SeedGenerator(0)

    def draw(low, high, *shape):
        shape = (count, *(shape or (1, 1)))
        return keras.random.uniform(shape, low, high, "float32", seed=random)

    return np.asarray(outliers._things(height, width, draw))


def test_round_things_are_few_or_many_small_or_large():
    counts, sizes = [], []
    for picture in things_of(100, 140):
        parts, count = label(picture)
        counts.append(count)
        sizes += np.bincount(parts.ravel())[1:].tolist()
    assert min(counts) <= 5
    assert 12 < max(counts) <= outliers.ROWS**2
    radii = np.sqrt(np.array(sizes) / np.pi)  # of two that touch, of both together
    assert 0.5 < np.quantile(radii, 0.02) < 3
    assert 11 < np.quantile(radii, 0.95) < 25


def test_round_things_are_spread_one_in_each_cell_of_a_grid(monkeypatch):
    for name in ("THERE", "RADII"):
        monkeypatch.setattr(outliers, name, (1.0, 1.0))
    monkeypatch.setattr(outliers, "RADIUS", (0.01, 0.01))
    cells = things_of(100, 140).reshape(40, 5, 20, 5, 28).max((2, 4))
    assert cells.mean() > 0.9  # of as many anywhere, 1 - 1/e


@pytest.fixture
def relief_with(monkeypatch):
    """Reliefs with some of the constants; the same seed draws all else alike."""

    def made(light, shapes, **constants):
        with monkeypatch.context() as patched:
            for name, value in constants.items():
                patched.setattr(outliers, name, value)
            return kinds_of(light, shapes)["relief"]

    return made


def test_a_relief_of_a_plain_shows_shapes_of_one_tone_or_two_in_uneven_light(
    left_half, relief_with
):
    level, plain = {"HEIGHT": (0.0, 0.0)}, np.zeros_like(left_half)
    two, one = (relief_with(plain, left_half, ALIKE=share, **level) for share in (0.0, 1.0))
    assert np.abs(np.diff(one, 2, axis=2)).max() < 0.03  # the lamps alone: slow cosines
    assert (one.std((1, 2)) > 0.005).all()
    step = (two - one)[:, :, 16] - (two - one)[:, :, 15]
    assert np.ptp(step, axis=1).max() < 1e-5
    assert (np.abs(step).mean(1) > 0.03).all()
    np.testing.assert_allclose((two - one)[..., 16:], 0, atol=1e-6)


def test_shapes_are_raised_or_sunk_and_shaded_at_their_rims(left_half, relief_with):
    left_half = np.repeat(left_half, 20, axis=0)
    plain, same = np.zeros_like(left_half), {"ALIKE": 1.0, "RIM": (1.0, 2.0)}
    level, high, sunk = (
        relief_with(plain, left_half, HEIGHT=(height, height), **same)
        for height in (0.0, 0.8, -0.8)
    )
    np.testing.assert_allclose(high - level, level - sunk, atol=1e-5)
    shading = np.abs(high - level)
    assert shading[..., 14:18].mean() > 0.1
    assert shading[:, 2:-2, 2:8].max() < 1e-3
    assert shading[:, 2:-2, 24:-2].max() < 1e-3
    drawn = relief_with(plain, left_half, **same) - level
    up = np.sign(drawn[:, 16, 16]) == np.sign((high - level)[:, 16, 16])
    assert 0.2 < up.mean() < 0.8


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_beside_things_a_table_is_plain(left_half, gray_photos, relief_with, share):
    """Two photographs, all else alike: they differ where they are embossed."""
    one, other = (
        relief_with(light, left_half, PLAIN=share, ROCK=0.0, RIM=(1.0, 2.0))
        for light in (gray_photos, gray_photos[::-1])
    )
    differ = np.abs(one - other).max((1, 2), initial=0, where=left_half == 1)
    beyond = np.abs(one - other)[:, 2:-2, 24:-2].max((1, 2))  # farther than a rim goes
    assert (differ[[0, 2]] > 0.02).all()
    assert (beyond[[0, 2]] > 0.02).all() if share == 0 else beyond.max() < 1e-3


def test_a_relief_is_of_the_photograph_or_of_no_picture_at_all(gray_photos, relief_with):
    """What shades it is where the photograph changes, of its own photograph alone."""

    def change(light):
        down, across = np.gradient(light, axis=(1, 2))
        return np.hypot(down, across)

    luminance = np.repeat(gray_photos, 20, axis=0)
    edges, whole = change(luminance), np.ones_like(luminance)
    shaded = change(relief_with(luminance, whole, ROCK=0.0))
    assert likeness(edges, shaded).mean() > 0.3
    assert np.abs(likeness(np.roll(edges, 20, axis=0), shaded).mean()) < 0.15
    rock = change(relief_with(luminance, whole, ROCK=1.0))
    assert np.abs(likeness(edges, rock).mean()) < 0.15
    assert rock[:, 4:-4, 4:-4].mean() > shaded[:, 4:-4, 4:-4].mean() / 2


@pytest.mark.parametrize("axis", [1, 2])
def test_the_light_of_a_relief_is_from_any_side(axis):
    """The same random numbers light a plain and a slope: between them is the slope alone."""
    slope = np.repeat(np.linspace(-0.5, 0.5, 32, dtype=np.float32)[None, :, None], 32, axis=2)
    slope = np.repeat(slope if axis == 1 else slope.swapaxes(1, 2), 100, axis=0)
    brighter = kinds_of(slope)["relief"] - kinds_of(0 * slope)["relief"]
    turned = brighter[:, 8:-8, 8:-8].mean((1, 2))
    assert 0.3 < (turned > 0).mean() < 0.7
    assert np.abs(turned).mean() > 0.015  # steepness is from 0


@pytest.mark.parametrize(
    ("down", "across"), [(1.0, 0.0), (0.0, 1.0), (0.5, -1.0)], ids=["down", "across", "both"]
)
def test_a_slope_is_as_bright_as_it_faces_the_light(down, across):
    y, x = np.mgrid[:6, :7].astype(np.float32)
    plane = (0.3 + 0.1 * y - 0.2 * x)[None]
    made = np.asarray(outliers.relief(plane, down=per_example(down), across=per_example(across)))[0]
    np.testing.assert_allclose(made[1:, 1:], 0.1 * down - 0.2 * across, atol=1e-6)
    # Level beyond the upper and the left border.
    np.testing.assert_allclose(made[0, 1:], -0.2 * across, atol=1e-6)
    np.testing.assert_allclose(made[1:, 0], 0.1 * down, atol=1e-6)
    assert made[0, 0] == 0


def test_a_drawing_has_lines_where_the_photograph_darkens_and_paper_elsewhere():
    step = np.full((1, 16, 16), 0.5, np.float32)
    step[..., 8:] = -0.5
    paper, pen = per_example(0.7), per_example(1.0)
    row = np.asarray(outliers.drawing(step, paper=paper, pen=pen, ink=per_example(9.0)))[0, 5]
    np.testing.assert_allclose(row[[0, 3, 7, 12, 15]], 0.7, atol=0.01)  # paper, the bright side too
    assert row[8] == pytest.approx(-1)  # as black as it gets: the ink would be far below
    faint = np.asarray(outliers.drawing(step, paper=paper, pen=pen, ink=per_example(1.0)))
    # Half a pixel from an edge of height 1 a blur of σ = 1 is above the dark side by Φ(-1/2).
    assert faint[0, 5, 8] == pytest.approx(0.7 - 0.3085, abs=0.01)


def test_a_texture_keeps_mean_and_energy_and_loses_the_picture(gray_photos, rng):
    signs = rng.uniform(-1, 1, gray_photos.shape).astype(np.float32)
    made = np.asarray(outliers.scrambled(gray_photos, signs))
    np.testing.assert_allclose(made.mean((1, 2)), gray_photos.mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(made.std((1, 2)), gray_photos.std((1, 2)), rtol=1e-4)
    assert (np.abs(likeness(gray_photos, made)) < 0.7).all()
    kept = np.asarray(outliers.scrambled(gray_photos, np.ones_like(gray_photos)))
    np.testing.assert_allclose(kept, gray_photos, atol=1e-5)


def test_textures_of_two_shapes_are_different_ones(gray_photos, left_half):
    """Of two materials the halves are of two scramblings: together they are neither."""
    both, one = kinds_of(gray_photos, left_half)["texture"], kinds_of(gray_photos)["texture"]
    np.testing.assert_allclose(both[..., :16], one[..., :16], atol=1e-6)
    assert (np.abs(both - one)[..., 16:].max((1, 2)) > 0.1).all()
