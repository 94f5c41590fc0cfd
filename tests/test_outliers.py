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


def kinds_of(light, raised=None, seed=0):
    """Each picture as an outlier of each kind; of one material without `raised`."""
    random = keras.random.SeedGenerator(seed)

    def draw(low, high, *shape):
        shape = (len(light), *(shape or (1, 1)))
        return keras.random.uniform(shape, low, high, "float32", seed=random)

    raised = np.ones_like(light) if raised is None else raised
    return {kind: np.asarray(made) for kind, made in outliers._kinds(light, raised, draw).items()}


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
        lambda light, raised, draw: {kind: 0 * light + tone for kind, tone in tones.items()},
    )
    made, _ = made_of(np.zeros((2000, 2, 2, 1), np.float32))
    assert sum(outliers.SHARES.values()) == pytest.approx(1)
    for kind, tone in tones.items():
        found = (made == np.float32(tone)).all((1, 2, 3)).mean()
        assert found == pytest.approx(outliers.SHARES[kind], abs=0.04)


def test_some_are_of_one_material_and_of_the_others_some_have_round_things(monkeypatch):
    seen = []
    monkeypatch.setattr(
        outliers, "_kinds", lambda light, raised, draw: seen.append(raised) or {"relief": light}
    )
    monkeypatch.setattr(outliers, "_things", lambda height, width, draw: 0.5)
    made_of(np.zeros((500, 16, 16, 1), np.float32))
    raised, one = np.asarray(seen[0]), outliers.ONE_MATERIAL
    assert (raised == 1).all((1, 2)).mean() == pytest.approx(one, abs=0.06)
    round_things = (raised == 0.5).all((1, 2)).mean()
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


def test_round_things_bulge_where_they_were_put():
    places = np.array([[[0.5, 0.25], [0.125, 0.75]], [[0.5, 0.5], [0.5, 0.5]]], np.float32)
    radius = np.array([[0.1, 0.2], [0.2, 0.0]], np.float32)[..., None, None]
    made = np.asarray(outliers.bulges(40, 80, places, radius))
    there = made > 0
    assert there[0, 20, 20]
    assert there[0, 5, 60]
    assert not there[0, 20, 25]
    assert not there[0, 5, 20]
    upper = np.pi * 8**2 - 26.1  # three pixels of it are beyond the border
    assert there.sum((1, 2)) == pytest.approx([np.pi * 4**2 + upper, np.pi * 8**2], rel=0.06)
    assert made.min() == 0
    # A parabola from half its radius to 0: (8² - d²) / 16 pixels, (4² - d²) / 8 pixels.
    np.testing.assert_allclose(made[1, 20, 40::4], [3.97, 2.72, 0, *[0] * 7], atol=0.01)
    np.testing.assert_allclose(made[0, 20, 20:23], [1.94, 1.69, 1.19], atol=0.01)


def things_of(height, width, count=40):
    random = keras.random.SeedGenerator(0)

    def draw(low, high, *shape):
        shape = (count, *(shape or (1, 1)))
        return keras.random.uniform(shape, low, high, "float32", seed=random)

    return np.asarray(outliers._things(height, width, draw))


def test_round_things_are_few_or_many_small_or_large():
    counts, radii = [], []  # of two that touch, of both together
    for picture in things_of(100, 140):
        parts, count = label(picture > 0)
        counts.append(count)
        radii.append(np.sqrt(np.bincount(parts.ravel())[1:] / np.pi))
    assert min(counts) <= 7
    assert 15 < max(counts) <= outliers.ROWS**2
    assert 0.5 < np.quantile(np.concatenate(radii), 0.02) < 1.5
    assert 9 < np.quantile(np.concatenate(radii), 0.95) < 25


@pytest.fixture
def radii(monkeypatch):
    """Of 200 pictures' things, with some of the constants, in shares of the largest, (200, n)."""

    def drawn(**constants):
        seen = []
        for name, value in ({"RADIUS": (0.2, 0.2)} | constants).items():
            monkeypatch.setattr(outliers, name, value)
        monkeypatch.setattr(
            outliers,
            "bulges",
            lambda height, width, places, radius: seen.append(radius) or radius[:, 0],
        )
        things_of(100, 140, count=200)
        return np.asarray(seen[0])[..., 0, 0] / 0.2

    return drawn


@pytest.mark.parametrize(("power", "least"), [(0.0, 1.0), (2.0, 0.05**2)])
def test_round_things_are_all_alike_or_most_of_them_small(radii, power, least):
    drawn = radii(SMALL=(power, power), THERE=(1.0, 1.0))
    assert drawn.min() == pytest.approx(least, rel=0.3)
    assert drawn.max() == pytest.approx(1, abs=0.01)
    assert np.median(drawn) == pytest.approx(0.525**power, rel=0.1)


def test_pictures_of_few_round_things_are_more_than_those_of_many(radii):
    there = (radii() > 0).mean(1)
    low, high = outliers.THERE
    assert there.min() < 0.06
    assert there.max() > 0.9
    assert np.median(there) == pytest.approx(((low + high) / 2) ** 2, abs=0.06)


def test_round_things_are_flat_as_coins_or_bulge(monkeypatch):
    made = things_of(60, 60, count=200)
    flat = np.isin(made, (0, 1)).all((1, 2))
    assert flat.mean() == pytest.approx(1 - outliers.BULGING, abs=0.08)
    assert np.quantile(made[~flat].max((1, 2)), 0.9) > 1.5


def test_round_things_are_spread_one_in_each_cell_of_a_grid(monkeypatch):
    monkeypatch.setattr(outliers, "THERE", (1.0, 1.0))
    monkeypatch.setattr(outliers, "SMALL", (0.0, 0.0))
    monkeypatch.setattr(outliers, "RADIUS", (0.01, 0.01))
    cells = (things_of(105, 140) > 0).reshape(40, 7, 15, 7, 20).max((2, 4))
    assert cells.mean() > 0.9  # of as many anywhere, 1 - 1/e


@pytest.fixture
def left_half():
    raised = np.zeros((3, 32, 32), np.float32)
    raised[..., :16] = 1
    return raised


@pytest.fixture
def relief_with(monkeypatch):
    """Reliefs with some of the constants, without grains; the same seed draws all else alike."""

    def made(light, raised, **constants):
        with monkeypatch.context() as patched:
            for name, value in ({"PITTED": (0.0, 0.0)} | constants).items():
                patched.setattr(outliers, name, value)
            return kinds_of(light, raised)["relief"]

    return made


def test_a_relief_of_a_plain_shows_shapes_of_one_tone_or_two_in_uneven_light(
    left_half, relief_with
):
    level, plain = {"HEIGHT": (0.0, 0.0), "MOTTLED": (0.0, 0.0)}, np.zeros_like(left_half)
    two, one = (relief_with(plain, left_half, ALIKE=share, **level) for share in (0.0, 1.0))
    assert np.abs(np.diff(one, 2, axis=2)).max() < 0.03  # the lamps alone: slow cosines
    assert (one.std((1, 2)) > 0.005).all()
    step = (two - one)[:, :, 16] - (two - one)[:, :, 15]
    assert np.ptp(step, axis=1).max() < 1e-5
    assert (np.abs(step).mean(1) > 0.03).all()
    np.testing.assert_allclose((two - one)[..., 16:], 0, atol=1e-6)


def test_the_light_of_some_is_even_and_of_others_not(relief_with):
    plain = np.zeros((60, 32, 32), np.float32)
    made = relief_with(plain, plain, HEIGHT=(0.0, 0.0)).std((1, 2))
    assert made.min() < 0.015
    assert made.max() > 0.12


def test_the_tone_of_half_of_them_is_mottled_and_not_by_the_photograph(gray_photos, relief_with):
    """A lit level: what is left, beside the lamps' slow waves, is the texture."""
    luminance = np.repeat(gray_photos, 40, axis=0)
    level = {"PLAIN": 1.0, "HEIGHT": (0.0, 0.0), "ALIKE": 1.0}
    whole = np.zeros_like(luminance)
    made, even = (
        relief_with(luminance, whole, MOTTLED=amounts, **level)
        for amounts in (outliers.MOTTLED, (0.0, 0.0))
    )
    mottles = made - even
    contrast = mottles.std((1, 2)) / luminance.std((1, 2))
    assert (contrast < 1e-6).mean() == pytest.approx(0.5, abs=0.15)
    assert 0.2 < contrast.max() < 0.31
    assert np.abs(mottles.mean((1, 2))).max() < 0.02
    mottled = contrast > 0.05
    assert np.abs(likeness(luminance[mottled], mottles[mottled])).mean() < 0.35


def test_half_of_them_have_grains_bright_on_one_side_and_dark_on_the_other(relief_with):
    """At a plain's height of 1 and steepness of 1, grains of 2 pixels, hardly smoothed."""
    plain = np.zeros((60, 48, 48), np.float32)
    same = {"HEIGHT": (1.0, 1.0), "STEEPNESS": (1.0, 1.0), "RIM": (0.3, 0.3), "GRAIN": (2.0, 2.0)}
    few, none = (
        relief_with(plain, plain, PITTED=shares, MOTTLED=(0.0, 0.0), **same)
        for shares in (outliers.PITTED, (0.0, 0.0))
    )
    lit = few - none
    share = (np.abs(lit) > 0.5).mean((1, 2))  # of each grain two pixels or more: its two slopes
    assert (np.abs(lit).max((1, 2)) < 1e-6).mean() == pytest.approx(0.5, abs=0.15)
    assert 0.01 < share.max() < 4 * outliers.PITTED[1]
    assert np.abs(lit.sum((1, 2))).max() < 0.1 * np.abs(lit).sum((1, 2)).max()
    assert 1.0 < np.abs(lit).max() < 3.0


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


def test_a_bowl_is_bright_on_one_side_and_dark_on_the_other(relief_with):
    """As a crater is: from rim to rim the light changes evenly, and level it is beside."""
    place = np.full((20, 1, 2), 0.5, np.float32)
    bowl = np.asarray(outliers.bulges(48, 48, place, np.full((20, 1, 1, 1), 0.25, np.float32)))
    plain, same = np.zeros_like(bowl), {"ALIKE": 1.0, "RIM": (0.3, 0.3), "STEEPNESS": (1.0, 1.0)}
    level, sunk = (
        relief_with(plain, bowl, HEIGHT=(h, h), LAMPS=(0.0, 0.0), MATERIAL=(0.0, 0.0), **same)
        for h in (0.0, -0.5)
    )
    shading = sunk - level
    y, x = np.mgrid[:48, :48].astype(np.float32) - 23.5
    within = np.hypot(y, x) < 10
    for picture in shading:
        (down, across), *_ = np.linalg.lstsq(np.stack([y[within], x[within]], 1), picture[within])
        fitted = down * y[within] + across * x[within]
        assert np.corrcoef(fitted, picture[within])[0, 1] > 0.99
        # The slope of a parabola 12 pixels wide on either side is 1/12 a pixel, at half the height.
        assert np.hypot(down, across) == pytest.approx(0.5 / 12, rel=0.05)
        assert np.abs(picture[np.hypot(y, x) > 15]).max() < 1e-3


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_beside_things_a_table_is_plain(left_half, gray_photos, relief_with, share):
    """Two photographs, all else alike: they differ where they are embossed."""
    one, other = (
        relief_with(light, left_half, PLAIN=share, ROCK=0.0, RIM=(1.0, 2.0), MOTTLED=(0.0, 0.0))
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
