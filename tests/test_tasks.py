"""Training tasks: settings, masks, what each term of a loss is and whom it moves."""

import dataclasses
import json
import math

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from colorizer import color, losses, masks, networks, tasks, training, weights
from colorizer.color import AB_BINS, rgb_to_lab
from colorizer.data import DataConfig
from colorizer.networks import NetworkConfig
from colorizer.settings import TrainConfig
from colorizer.tasks import AdversarialTask, ColorizationTask

SIZE, BATCH = 32, 4
UNIFORM = np.ones(len(AB_BINS)) / len(AB_BINS)
TINY_GAN = dataclasses.replace(networks.PRESETS["unet_gan"], width=0.125)


def settings(**changes):
    changes.setdefault("network", TINY_GAN)
    return TrainConfig(data=DataConfig(image_size=SIZE, batch_size=BATCH), **changes)


@pytest.fixture
def photographs(rng):
    return rng.integers(0, 256, (BATCH, SIZE, SIZE, 3)).astype("uint8")


@pytest.fixture
def adversarial():
    task = tasks.build_task(settings(), UNIFORM)
    task.compile(optimizer=tasks.build_optimizer(settings(), 1e-3), jit_compile=False)
    return task


def values(model):
    return [np.array(variable) for variable in model.trainable_variables]


# ---------------------------------------------------------------------------------- settings


def test_training_offers_what_it_always_did():
    for name in ("TrainConfig", "ColorizationTask", "resolve_precision", "copy_matching_weights"):
        assert getattr(training, name) is getattr(tasks, name)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be a positive number or 'auto'.*0.0"),
        ({"learning_rate": -1e-3}, "learning_rate"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"learning_rate": math.inf}, "learning_rate"),
        ({"learning_rate": "0.1"}, "learning_rate.*'0.1'"),
        ({"learning_rate": None}, "learning_rate"),
        ({"mask_patterns": ("half", "zebra:3")}, "mask_patterns.*zebra:3"),
        ({"full_mask_share": 1.5}, "full_mask_share.*1.5"),
        ({"pixel_weight": -1.0}, "pixel_weight.*-1"),
        ({"regression_weight": math.inf}, "regression_weight must be 0 or more.*inf"),
        ({"chroma_weighting": -0.5}, "chroma_weighting.*-0.5"),
        ({"aged_share": -0.1}, "aged_share must be from 0 to 1.*-0.1"),
        ({"outlier_share": 1.5}, "outlier_share must be from 0 to 1.*1.5"),
        ({"hint_share": 1.1}, "hint_share must be from 0 to 1.*1.1"),
        ({"encoding_sigma": 0.0}, "encoding_sigma must be a positive number.*0.0"),
        ({"perceptual_network": "VGG19"}, "perceptual_network must be MobileNetV2.*'VGG19'"),
        ({"perceptual_weight": -2.0}, "perceptual_weight must be 0 or more.*-2"),
        ({"ema_momentum": 1.0}, "ema_momentum must be between 0 and 1.*1.0"),
        ({"ema_momentum": 0.0}, "ema_momentum"),
        ({"averaged_epochs": 0}, "averaged_epochs must be at least 1.*0"),
        ({"rebalancing": 2.0}, "rebalancing must be from 0 to 1.*2.0"),
        ({"warmup": -0.1}, "warmup must be from 0 to 1"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 or more"),
        ({"clip_norm": 0.0}, "clip_norm must be a positive number.*0.0"),
        ({"epochs": 0}, "epochs must be at least 1.*0"),
        ({"steps_per_epoch": 0}, "steps_per_epoch must be at least 1.*0"),
        ({"precision": "float8"}, "precision must be one of .*'float8'"),
        ({"mask_patterns": ("superpixels:60",)}, "superpixels are of one photograph.*:60"),
        ({"mask_weight": math.nan}, "mask_weight must be 0 or more.*nan"),
        ({"huber_delta": 0.0}, "huber_delta must be a positive number or None.*0.0"),
        ({"huber_delta": -0.1}, "huber_delta"),
    ],
)
def test_settings_that_are_none_are_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        TrainConfig(**changes)
    with pytest.raises(ValueError, match=told):
        TrainConfig.from_dict(changes)


@pytest.mark.parametrize(
    ("network", "changes", "told"),
    [
        (networks.TINY, {"huber_delta": 0.1}, "huber_delta needs a regression.*0.1"),
        (networks.TINY, {"data": DataConfig(image_size=100)}, "image_size .*multiple of 16.*100"),
        (networks.TINY, {"perceptual_network": "MobileNetV2:x.h5"}, "needs a perceptual_weight"),
        (
            networks.PRESETS["colorful"],
            {"freeze_extractor": True, "init_from": "x"},
            "freeze_extractor needs a network with an extractor.*'colorful'",
        ),
        (
            networks.TINY,
            {"freeze_extractor": True, "embeddings": "x", "init_from": "x"},
            "freeze_extractor needs .* without embeddings",
        ),
    ],
)
def test_settings_that_nothing_honours_are_refused(network, changes, told):
    with pytest.raises(ValueError, match=told):
        tasks.check_settings(dataclasses.replace(settings(network=network), **changes))


@pytest.mark.parametrize("changes", [{"mask": True}, {"head": "regression"}])
def test_huber_is_for_regressions_and_for_the_outside_of_masks(changes):
    network = dataclasses.replace(networks.TINY, **changes)
    tasks.check_settings(settings(network=network, huber_delta=0.1))


def test_masks_for_a_network_that_takes_none_are_refused():
    config = settings(network=networks.TINY, mask_patterns=("half", "grid:4"))
    with pytest.raises(ValueError, match=r"mask_patterns need .* Received: half, grid:4 and mask"):
        tasks.build_task(config, UNIFORM)


def test_settings_of_older_runs_load():
    older = json.loads('{"epochs": 3, "learning_rate": 0.002, "network": {"mask": true}}')
    config = TrainConfig.from_dict(older)
    assert config == TrainConfig(epochs=3, learning_rate=0.002, network=NetworkConfig(mask=True))
    assert (config.mask_patterns, config.full_mask_share, config.pixel_weight) == ((), 0.5, 100.0)


def test_a_bank_of_masks_survives_json():
    config = settings(mask_patterns=("half:vertical", "grid:4"), learning_rate="auto")
    assert TrainConfig.from_dict(json.loads(json.dumps(dataclasses.asdict(config)))) == config


# -------------------------------------------------------------------------------- checkpoints


def random_only(seed, photographs):
    """A task whose only state is the random one, built."""
    generator, discriminator = stand_ins(lambda x: x["mask"])
    task = AdversarialTask(generator, settings(seed=seed), UNIFORM, discriminator)
    task(photographs)
    return task


def test_a_checkpoint_holds_the_random_state(photographs, tmp_path):
    whole, resumed, other = (random_only(seed, photographs) for seed in (0, 1, 1))
    whole.save_weights(tmp_path / "checkpoint.weights.h5")
    resumed.load_weights(tmp_path / "checkpoint.weights.h5")
    expected = np.asarray(whole(photographs)["mask"])
    assert not np.array_equal(other(photographs)["mask"], expected)
    np.testing.assert_array_equal(resumed(photographs)["mask"], expected)


def test_a_checkpoint_without_a_random_state_loads(photographs, tmp_path):
    path = tmp_path / "checkpoint.weights.h5"
    random_only(0, photographs).save_weights(path)
    with h5py.File(path, "a") as file:
        del file["vars"]
    random_only(1, photographs).load_weights(path)


# ------------------------------------------------------------------------------------- masks


def sampled(count, **changes):
    """The masks (N, H, W) that a task draws for black photographs."""
    task = tasks.build_task(settings(**changes), UNIFORM)
    outputs = task(np.zeros((count, SIZE, SIZE, 3), "uint8"))
    return np.asarray(outputs["mask"])[..., 0]


def test_masks_come_from_the_bank_in_equal_shares():
    patterns = ("half:vertical", "half:horizontal", "checkerboard:4")
    expected = [masks.make_mask(pattern, (SIZE, SIZE)) for pattern in patterns]
    drawn = sampled(300, mask_patterns=patterns, full_mask_share=0.25)
    full = drawn.all((1, 2))
    counts = [(drawn == mask).all((1, 2)).sum() for mask in expected]
    assert full.sum() + sum(counts) == 300
    # Within four standard deviations of binomials with p = 1/4.
    np.testing.assert_allclose([full.sum(), *counts], 75, atol=30)


def test_what_a_pattern_leaves_to_chance_is_drawn_once():
    drawn = sampled(20, mask_patterns=("polygons", "polygons"), full_mask_share=0.0)
    assert len(np.unique(drawn, axis=0)) == 2


@pytest.mark.parametrize("patterns", [(), ("half",)])
@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 40)])
def test_the_share_of_full_masks_holds_for_both_ways(patterns, share, expected):
    drawn = sampled(40, mask_patterns=patterns, full_mask_share=share)
    assert drawn.all((1, 2)).sum() == expected


# ----------------------------------------------------------------------------------- sRGB


def test_rgb_is_compared_with_the_true_picture_at_its_own_size(photographs):
    luminance = keras.Input((None, None, 1), name="luminance")
    gray = keras.layers.AveragePooling2D(2)((luminance + 1) / 2)
    network = keras.Model({"luminance": luminance}, {"rgb": ops.repeat(gray, 3, axis=-1)})
    task = ColorizationTask(network, settings(), UNIFORM)
    loss = task.compute_loss(y_pred=task(photographs))

    def halved(x):
        return x.reshape(BATCH, SIZE // 2, 2, SIZE // 2, 2, -1).mean((2, 4))

    lightness = np.asarray(rgb_to_lab(photographs))[..., :1] / 100
    expected = np.mean((halved(lightness) - halved(photographs / 255)) ** 2)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


# ------------------------------------------------------------------------------- adversarial


def test_the_generator_has_an_adversary(adversarial):
    assert isinstance(adversarial, AdversarialTask)
    assert adversarial.discriminator.count_params() > 0
    other = tasks.build_task(settings(network=networks.PRESETS["rgb_baseline"]), UNIFORM)
    assert not isinstance(other, AdversarialTask)


def gradients(task, photographs, term):
    """Whether a term gives a gradient to each weight of the generator, of the discriminator."""
    with tf.GradientTape(persistent=True) as tape:
        outputs = task(photographs, training=True)
        value = task.loss_terms(outputs, training=True)[term]
    found = []
    for model in (task.network, task.discriminator):
        found.append([g is not None for g in tape.gradient(value, model.trainable_variables)])
    return found


@pytest.mark.parametrize(
    ("term", "generator", "discriminator"),
    [
        ("adversarial", True, False),
        ("discriminator", False, True),
        ("pixel", True, False),
        ("outside", True, False),
    ],
)
def test_each_term_moves_one_player(adversarial, photographs, term, generator, discriminator):
    found = gradients(adversarial, photographs, term)
    assert set(found[0]) == {generator}
    assert set(found[1]) == {discriminator}


def test_a_step_moves_both_players(adversarial, photographs):
    players = (adversarial.network, adversarial.discriminator)
    before = [values(player) for player in players]
    logs = adversarial.train_on_batch(photographs, return_dict=True)
    for old, player in zip(before, players, strict=True):
        moved = [not np.array_equal(a, b) for a, b in zip(old, values(player), strict=True)]
        assert np.mean(moved) > 0.9
    assert set(logs) == {"loss", "adversarial", "discriminator", "pixel", "outside"}
    total = logs["adversarial"] + logs["discriminator"] + 100 * logs["pixel"] + logs["outside"]
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def stand_ins(verdict):
    """A generator that says 0.5 everywhere, a discriminator whose logits are `verdict(inputs)`."""

    def inputs(**channels):
        return {name: keras.Input((None, None, c), name=name) for name, c in channels.items()}

    given = inputs(luminance=1, mask=1)
    ab = 0 * ops.repeat(given["luminance"] + given["mask"], 2, axis=-1) + 0.5
    judged = inputs(luminance=1, ab=2, mask=1)
    return keras.Model(given, {"ab": ab}), keras.Model(judged, {"real_logits": verdict(judged)})


def test_the_terms_by_hand():
    generator, discriminator = stand_ins(lambda x: ops.sum(x["ab"], -1, keepdims=True) * 4)
    config = settings(mask_patterns=("half:vertical",), full_mask_share=0.0)
    task = AdversarialTask(generator, config, UNIFORM, discriminator)
    outputs = task(np.zeros((1, SIZE, SIZE, 3), "uint8"))
    true = np.zeros((1, SIZE, SIZE, 2), "float32")
    true[:, :, :, 0] = 1.0  # also outside the mask, where it must not count
    terms = task.loss_terms({**outputs, "true_ab": ops.convert_to_tensor(true)}, training=True)

    def entropy(logit, real):
        return math.log1p(math.exp(-logit if real else logit))

    # Fake is 0.5 in both channels everywhere: logits of 4. Real is (1, 0) in half the picture.
    assert float(terms["adversarial"]) == pytest.approx(entropy(4, True))
    real = (entropy(4, True) + entropy(0, True)) / 2
    assert float(terms["discriminator"]) == pytest.approx((entropy(4, False) + real) / 2)
    # (0.5, 0.5) against (1, 0) inside and (0, 0) outside: 0.25 in every channel.
    assert float(terms["pixel"]) == pytest.approx(0.25)
    assert float(terms["outside"]) == pytest.approx(0.25)


def test_huber_reaches_the_pixel_term():
    generator, discriminator = stand_ins(lambda x: x["mask"])
    task = AdversarialTask(generator, settings(huber_delta=0.1), UNIFORM, discriminator)
    terms = task.loss_terms(task(np.zeros((1, SIZE, SIZE, 3), "uint8")), training=True)
    assert float(terms["pixel"]) == pytest.approx(0.1 * (0.5 - 0.05), rel=1e-3)


# --------------------------------------------------------------------------------- optimizer


@pytest.mark.parametrize(("preset", "beta"), [("unet_gan", 0.5), ("xception_fusion", 0.9)])
def test_two_players_have_less_momentum(preset, beta):
    optimizer = tasks.build_optimizer(settings(network=networks.PRESETS[preset]), 2e-4)
    assert optimizer.beta_1 == beta
    assert float(optimizer.learning_rate) == pytest.approx(2e-4)


def test_only_kernels_decay():
    optimizer = tasks.build_optimizer(settings(weight_decay=0.1, clip_norm=2.5), 0.5)
    names = ("kernel", "bias", "gamma", "beta")
    variables = [keras.Variable(np.ones(3, "float32"), name=name) for name in names]
    optimizer.build(variables)
    optimizer.apply([ops.zeros(3)] * 4)
    after = {v.name: float(v[0]) for v in variables}
    assert after == {"kernel": pytest.approx(1 - 0.5 * 0.1), "bias": 1, "gamma": 1, "beta": 1}
    assert optimizer.global_clipnorm == 2.5


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 2e-5), (5, 1.01e-3), (10, 2e-3), (55, 1e-3), (100, 0.0)]
)
def test_the_schedule_by_hand(step, expected):
    schedule = tasks.warmup_cosine(settings(learning_rate=2e-3, warmup=0.1), 100)
    assert float(schedule(step)) == pytest.approx(expected, abs=1e-9)


# -------------------------------------------------------------- what a task does beside the loss


def small_task(**changes):
    config = settings(network=networks.TINY, **changes)
    task = tasks.build_task(config, UNIFORM)
    task.compile(optimizer=tasks.build_optimizer(config, 1e-2), jit_compile=False)
    return task


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mask_weight": 7.0},
        {"rebalancing": 0.25, "encoding_sigma": 9.0},
        {"huber_delta": 0.05},
        {"regression_weight": 3.0, "huber_delta": 0.05, "chroma_weighting": 2.0},
        {"network": dataclasses.replace(networks.TINY, mask=True, head="regression")},
    ],
)
def test_the_loss_inside_and_outside_of_a_mask(changes, rng):
    changes = {"network": dataclasses.replace(networks.TINY, mask=True), **changes}
    config = settings(**changes)
    prior = rng.dirichlet(np.full(len(AB_BINS), 0.3))
    given = {
        "true_ab": rng.uniform(-0.5, 0.5, (BATCH, SIZE, SIZE, 2)).astype("float32"),
        "mask": rng.integers(0, 2, (BATCH, SIZE, SIZE, 1)).astype("float32"),
    }
    if config.network.head == "regression":
        given["ab"] = predicted = rng.uniform(-0.5, 0.5, (BATCH, 8, 8, 2)).astype("float32")
        inside = losses.regression_loss(predicted, given["true_ab"], given["mask"])
    else:
        given["ab_logits"] = logits = rng.normal(0, 3, (BATCH, 8, 8, 313)).astype("float32")
        rarity = color.rebalancing_weights(prior, rebalancing=config.rebalancing)
        inside = losses.rebalanced_cross_entropy(
            logits, given["true_ab"], rarity, given["mask"], sigma=config.encoding_sigma
        )
        halfway = color.annealed_mean(logits, rarity, temperature=0.38**0.5, correction=0.5)
        inside += config.regression_weight * losses.regression_loss(
            halfway / 110,
            given["true_ab"],
            given["mask"],
            huber_delta=config.huber_delta,
            chroma_weighting=config.chroma_weighting,
        )
        predicted = color.annealed_mean(logits, rarity, temperature=1.0, correction=0.0) / 110
    outside = losses.mask_loss(predicted, given["mask"], huber_delta=config.huber_delta)
    assert float(outside) > 1e-4
    expected = float(inside + config.mask_weight * outside)
    loss = tasks.build_task(config, prior).compute_loss(y_pred=given)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("log", [False, True])
def test_the_regression_is_of_the_colours_that_users_see(photographs, log):
    plain = small_task()
    both = small_task(regression_weight=3.0, chroma_weighting=2.0, log_regression=log)
    outputs = plain(photographs, training=False)
    decoded = color.annealed_mean(
        outputs["ab_logits"], plain.class_weights, temperature=0.38**0.5, correction=0.5
    )
    true = ops.average_pool(outputs["true_ab"], 4, 4)
    weights = 1 + 2 * np.linalg.norm(true, axis=-1)
    errors = np.mean((np.array(decoded) / 110 - true) ** 2, axis=-1) * weights
    expected = np.mean(np.log(errors.mean((1, 2)) + 1 / 110**2) if log else errors)
    difference = both.compute_loss(y_pred=outputs) - plain.compute_loss(y_pred=outputs)
    assert float(difference) == pytest.approx(3 * expected, rel=1e-4)


def test_a_frozen_extractor_keeps_weights_and_statistics(photographs, tmp_path):
    file = tmp_path / "extractor.weights.h5"
    small_task().network.get_layer("extractor").save_weights(file)
    known = dataclasses.replace(networks.TINY, extractor_weights=str(file))
    config = settings(network=known, freeze_extractor=True)
    task = tasks.build_task(config, UNIFORM)
    task.compile(optimizer=tasks.build_optimizer(config, 1e-2), jit_compile=False)
    task(photographs, training=False)
    extractor = task.network.get_layer("extractor")
    before = [np.array(v) for v in extractor.variables]
    rest = [np.array(v) for v in task.trainable_variables]
    task.fit(photographs, epochs=1, batch_size=BATCH, verbose=0)
    assert all((np.array(v) == b).all() for v, b in zip(extractor.variables, before, strict=True))
    assert any(
        (np.array(v) != b).any() for v, b in zip(task.trainable_variables, rest, strict=True)
    )


@pytest.mark.parametrize("own", [False, True])
def test_an_extractor_with_weights_of_its_own_keeps_them(tmp_path, own):
    keras.utils.set_random_seed(1)
    start, other = (small_task().network for _ in range(2))
    file = tmp_path / "extractor.weights.h5"
    other.get_layer("extractor").save_weights(file)
    config = dataclasses.replace(networks.TINY, extractor_weights=None)
    model = weights.Pretrained(network=start, config=config, prior=UNIFORM, rebalancing=0.5)
    weights.save_pretrained(model, tmp_path / "start.json")
    known = dataclasses.replace(networks.TINY, extractor_weights=str(file) if own else None)
    started = tasks.build_task(
        settings(network=known, init_from=str(tmp_path / "start.json")), UNIFORM
    ).network

    def kernels(network):
        inner = network.get_layer("extractor")
        outside = next(
            v for v in network.variables if v.path not in {w.path for w in inner.variables}
        )
        return np.array(inner.variables[0]), np.array(outside)

    of_own = (other if own else start).get_layer("extractor").variables
    for got, expected in zip(started.get_layer("extractor").variables, of_own, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-3)
    extractor, rest = kernels(started)
    np.testing.assert_allclose(extractor, kernels(other if own else start)[0], atol=1e-3)
    np.testing.assert_allclose(rest, kernels(start)[1], atol=1e-3)
    assert np.abs(kernels(other)[0] - kernels(start)[0]).max() > 0.01


@pytest.fixture
def unrelated(tmp_path):
    """A model that shares only its first layers' names with TINY, if any: `unet_gan`."""
    network = networks.build_network(TINY_GAN)
    model = weights.Pretrained(network=network, config=TINY_GAN, prior=UNIFORM, rebalancing=0.5)
    return weights.save_pretrained(model, tmp_path / "other.json")


def test_what_freezes_an_extractor_must_have_it(unrelated, tmp_path):
    config = settings(
        network=networks.TINY, init_from=str(tmp_path / "other.json"), freeze_extractor=True
    )
    with pytest.raises(ValueError, match=r"init_from: .*other.json' has not the extractor"):
        tasks.build_task(config, UNIFORM)


@pytest.mark.parametrize("freeze", [False, True])
def test_a_start_gives_an_extractor_whose_layers_keras_numbers(tmp_path, freeze):
    """Xception's shortcuts are `conv2d`, …, in one model, and `conv2d_4`, … in the next."""
    network = dataclasses.replace(networks.TINY, extractor="xception", extractor_weights=None)
    model = weights.Pretrained(
        network=networks.build_network(network), config=network, prior=UNIFORM, rebalancing=0.5
    )
    start = weights.save_pretrained(model, tmp_path / "start.json")
    config = settings(network=network, init_from=str(start), freeze_extractor=freeze)
    begun, kept = (
        tasks._extractor(each)
        for each in (tasks.build_task(config, UNIFORM).network, model.network)
    )
    assert not begun.trainable
    for ours, theirs in zip(begun.variables, kept.variables, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)


def test_a_start_must_have_weights_in_common(unrelated, tmp_path):
    config = settings(
        network=networks.PRESETS["rgb_baseline"], init_from=str(tmp_path / "other.json")
    )
    with pytest.raises(ValueError, match="has no weights in common"):
        tasks.build_task(config, UNIFORM)


def test_a_network_without_an_extractor_cannot_freeze_it():
    network = networks.build_network(networks.PRESETS["rgb_baseline"])
    with pytest.raises(ValueError, match="freeze_extractor: network 'rgb_baseline' has no"):
        tasks._freeze_extractor(network)


def test_averaged_weights_are_there_inside_and_gone_outside(photographs):
    task = small_task(ema_momentum=0.75)
    task(photographs, training=False)
    task.optimizer.build(task.trainable_variables)
    seen = []
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_, **__: seen.append(np.array(task.trainable_variables[0]))
    )
    task.fit(photographs, epochs=3, batch_size=BATCH, verbose=0, callbacks=[record])
    expected = seen[0]
    for value in seen[1:]:
        expected = 0.75 * expected + 0.25 * value
    before = values(task)
    with tasks.averaged_weights(task):
        np.testing.assert_allclose(np.array(task.trainable_variables[0]), expected, rtol=1e-4)
    assert all((a == b).all() for a, b in zip(before, values(task), strict=True))


@pytest.fixture
def mobilenet(tmp_path, monkeypatch):
    """`MobileNetV2:FILE`, three convolutions in its place."""

    def build(**arguments):
        image = x = keras.Input(arguments["input_shape"])
        for stride in (4, 2, 2):
            x = keras.layers.Conv2D(3, stride, strides=stride, use_bias=False)(x)
            x = keras.layers.BatchNormalization()(x)
        return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))

    monkeypatch.setattr(keras.applications, "MobileNetV2", build)
    (tmp_path / "net.h5").touch()
    return f"MobileNetV2:{tmp_path / 'net.h5'}"


def test_what_a_network_sees_is_lost_too_but_is_no_part_of_the_task(photographs, mobilenet, rng):
    plain, both = small_task(), small_task(perceptual_weight=2.0, perceptual_network=mobilenet)
    outputs = plain(photographs, training=False)
    outputs["mask"] = rng.integers(0, 2, (*photographs.shape[:3], 1)).astype("float32")
    decoded = color.annealed_mean(
        outputs["ab_logits"], plain.class_weights, temperature=0.38**0.5, correction=0.5
    )
    known = outputs["true_ab"], outputs["luminance"], both.perceive, outputs["mask"]
    expected = 2 * float(losses.perceptual_loss(np.array(decoded) / 110, *known))
    difference = both.compute_loss(y_pred=outputs) - plain.compute_loss(y_pred=outputs)
    assert expected > 0.01
    assert float(difference) == pytest.approx(expected, rel=1e-3)
    assert [tuple(each.shape[1:]) for each in both.perceive(photographs.astype("float32"))] == [
        (photographs.shape[1] // stride, photographs.shape[2] // stride, 3) for stride in (4, 8, 16)
    ]
    assert len(both.variables) == len(plain.variables)  # neither trained nor stored
    statistics = photographs[:1].astype("float32"), photographs.astype("float32")
    of_one, of_all = (np.array(both.perceive(each)[0])[0] for each in statistics)
    np.testing.assert_allclose(of_one, of_all, rtol=1e-4)  # not those of the batch


def test_what_a_network_sees_of_a_regression(photographs, mobilenet):
    config = settings(
        network=dataclasses.replace(networks.TINY, head="regression"),
        perceptual_weight=2.0,
        perceptual_network=mobilenet,
    )
    task = tasks.build_task(config, UNIFORM)
    outputs = task(photographs, training=False)
    known = outputs["true_ab"], outputs["luminance"], task.perceive
    expected = losses.regression_loss(outputs["ab"], outputs["true_ab"])
    expected += 2 * losses.perceptual_loss(outputs["ab"], *known)
    assert float(task.compute_loss(y_pred=outputs)) == pytest.approx(float(expected), rel=1e-5)


def test_the_softness_of_classes_reaches_the_loss(photographs):
    plain, soft = small_task(), small_task(encoding_sigma=20.0)
    outputs = plain(photographs, training=False)
    outputs["ab_logits"] *= 30  # decided
    expected = losses.rebalanced_cross_entropy(
        outputs["ab_logits"], outputs["true_ab"], plain.class_weights, sigma=20.0
    )
    assert float(soft.compute_loss(y_pred=outputs)) == pytest.approx(float(expected), rel=1e-5)
    assert float(plain.compute_loss(y_pred=outputs)) != pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize(
    ("share", "fewest", "most"), [(0.0, 0, 0), (0.5, 60, 110), (1.0, 150, 190)]
)
def test_hints_are_shown_as_often_as_asked(share, fewest, most, rng, monkeypatch):
    """Of 200 examples; by the geometric law one in eight has none when it might."""
    config = settings(network=dataclasses.replace(networks.TINY, hints=True), hint_share=share)
    task, drawn, sample = tasks.build_task(config, UNIFORM), [], tasks.hints.sample_hints
    monkeypatch.setattr(
        tasks.hints, "sample_hints", lambda *a, **k: drawn.append(sample(*a, **k)) or drawn[-1]
    )
    for _ in range(10):
        task(rng.integers(0, 256, (20, SIZE, SIZE, 3)).astype("uint8"), training=True)
    hinted = sum(int((np.array(hints)[..., 2].max((1, 2)) > 0).sum()) for hints in drawn)
    assert fewest <= hinted <= most


@pytest.mark.parametrize("training", [True, False])
def test_old_photographs_are_for_training_alone_and_keep_their_colours(photographs, training):
    task, plain = small_task(aged_share=1.0), small_task()
    aged, new = (t(photographs, training=training) for t in (task, plain))
    np.testing.assert_array_equal(aged["true_ab"], new["true_ab"])
    changed = np.abs(np.array(aged["luminance"]) - np.array(new["luminance"])).max()
    assert (changed > 0.05) == training


@pytest.mark.parametrize("training", [True, False])
def test_outliers_are_for_training_alone_and_their_truth_is_gray(photographs, training):
    task, plain = small_task(outlier_share=1.0), small_task()
    strange, plain = (t(photographs, training=training) for t in (task, plain))
    changed = np.abs(np.array(strange["luminance"]) - np.array(plain["luminance"]))
    assert (changed.max((1, 2, 3)) > 0.1).all() == training
    assert np.array(plain["true_ab"]).any((1, 2, 3)).all()
    assert (np.array(strange["true_ab"]).any((1, 2, 3)) != training).all()


def test_outliers_show_no_hints(photographs, monkeypatch):
    config = settings(
        network=dataclasses.replace(networks.TINY, hints=True), hint_share=1.0, outlier_share=0.5
    )
    task, seen = tasks.build_task(config, UNIFORM), []
    network = task.network
    monkeypatch.setattr(
        type(network), "__call__", lambda self, inputs, **_: seen.append(inputs) or {}
    )
    made = task(np.repeat(photographs, 25, axis=0), training=True)
    gray = ~np.array(made["true_ab"]).any((1, 2, 3))
    shown = np.array(seen[0]["hints"])[..., 2].any((1, 2))
    assert not shown[gray].any()
    assert shown[~gray].mean() > 0.6


def test_photographs_beside_outliers_keep_their_colours(photographs):
    """Luminance is kept to the bit where colours are, and nowhere else."""
    mixed = small_task(outlier_share=0.5)(np.repeat(photographs, 8, axis=0), training=True)
    plain = small_task()(np.repeat(photographs, 8, axis=0), training=True)
    same, gray = (
        (np.array(mixed["true_ab"]) == other).all((1, 2, 3))
        for other in (np.array(plain["true_ab"]), 0)
    )
    assert (same != gray).all()
    assert gray.mean() == pytest.approx(0.5, abs=0.25)
    kept = (np.array(mixed["luminance"]) == np.array(plain["luminance"])).all((1, 2, 3))
    np.testing.assert_array_equal(kept, same)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"regression_weight": 2.0}, "regression_weight needs head 'distribution'.*'regression'"),
        (
            {"network": networks.PRESETS["rgb_baseline"], "chroma_weighting": 2.0},
            "chroma_weighting needs a regression.*'rgb_baseline'",
        ),
        ({"network": NetworkConfig(), "chroma_weighting": 2.0}, "chroma_weighting.*'distribution'"),
        ({"network": NetworkConfig(), "log_regression": True}, "log_regression.*'distribution'"),
        (
            {"network": networks.PRESETS["unet_gan"], "log_regression": True},
            "log_regression needs .* another network than 'unet_gan'",
        ),
        (
            {"network": networks.PRESETS["rgb_baseline"], "perceptual_weight": 1.0},
            "perceptual_weight needs another network.*'rgb_baseline'",
        ),
        (
            {
                "network": NetworkConfig(),
                "perceptual_weight": 1.0,
                "perceptual_network": "MobileNetV2:none.h5",
            },
            "perceptual_network: expected MobileNetV2.*'MobileNetV2:none.h5'",
        ),
        ({"network": NetworkConfig(), "hint_share": 0.1}, "hint_share needs.*0.1 and hints=False"),
        ({"network": NetworkConfig(), "mask_weight": 2.0}, "mask_weight needs.*2.0 and mask=False"),
        ({"network": NetworkConfig(), "full_mask_share": 0.0}, "full_mask_share needs.*mask=False"),
        (
            {"network": NetworkConfig(), "pixel_weight": 9.0},
            "pixel_weight needs network 'unet_gan'",
        ),
        ({"rebalancing": 0.25}, "rebalancing needs head 'distribution'.*'regression'"),
        (
            {
                "network": NetworkConfig(),
                "log_regression": True,
                "regression_weight": 1.0,
                "learning_rate": "auto",
            },
            "learning_rate: the range test needs",
        ),
        ({"encoding_sigma": 20.0}, "encoding_sigma needs head 'distribution'.*'regression'"),
        (
            {
                "network": dataclasses.replace(
                    networks.PRESETS["residual_encoder"], extractor_weights="vgg.h5"
                ),
                "init_from": "default",
            },
            "exclude each other for 'residual_encoder'",
        ),
        ({"network": NetworkConfig(), "freeze_extractor": True}, "freeze_extractor needs.*neither"),
        ({"embeddings": "cache"}, "embeddings need extractor_weights.*None"),
        ({"aged_share": 0.5, "embeddings": "cache"}, "aged_share and embeddings.*'cache'"),
        ({"outlier_share": 0.5, "embeddings": "cache"}, "outlier_share and embeddings.*'cache'"),
        (
            {"network": networks.PRESETS["rgb_baseline"], "outlier_share": 0.5},
            "outlier_share needs another network than 'rgb_baseline'.*0.5",
        ),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        tasks.build_task(settings(**changes), UNIFORM)


@pytest.mark.parametrize(
    "changes",
    [
        {"chroma_weighting": 2.0},  # of the adversarial task's colour loss
        {"network": NetworkConfig(), "chroma_weighting": 2.0, "regression_weight": 1.0},
        {"network": NetworkConfig(head="regression"), "chroma_weighting": 2.0},
        {"network": NetworkConfig(head="regression"), "log_regression": True},
        {"network": networks.PRESETS["rgb_baseline"], "aged_share": 0.5},
    ],
)
def test_a_setting_that_is_honoured_is_not(changes):
    tasks.check_settings(settings(**changes))


def test_the_weights_of_before_are_copies(photographs, monkeypatch):
    """Where the backend's arrays share the memory of its variables, as PyTorch's do."""
    task = small_task(ema_momentum=0.75)
    task(photographs, training=False)
    task.optimizer.build(task.trainable_variables)
    before = values(task)
    shared = {id(v): np.array(v) for v in task.trainable_variables}
    monkeypatch.setattr(tasks.ops, "convert_to_numpy", lambda v: shared[id(v)])
    with tasks.averaged_weights(task):
        for memory in shared.values():
            memory[...] = 0  # the averages at the start
    assert all((a == b).all() for a, b in zip(before, values(task), strict=True))
