"""One check that every network passes, and the parts of `xception_fusion` one by one."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

from colorizer import networks
from colorizer.color import AB_BINS, lab_to_rgb
from colorizer.extractors import xception
from colorizer.networks import KOALARIZATION, TINY, NetworkConfig, build_network

# The published layout with few filters and a smaller extractor of the same kind of answer.
TINY_KOALARIZATION = dataclasses.replace(
    KOALARIZATION,
    extractor="MobileNetV2",
    extractor_weights=None,
    embedding_size=224,
    encoder=tuple((filters // 16, stride) for filters, stride in KOALARIZATION.encoder),
    fusion_filters=16,
    decoder=((8, 1), (4, 2), (4, 1)),
)
CONFIGS = {
    "tiny": TINY,
    "conditioned": dataclasses.replace(TINY, mask=True, hints=True),
    "koalarization": TINY_KOALARIZATION,
    "mobilenet": dataclasses.replace(TINY, extractor="MobileNet", head="regression"),
    "rgb_baseline": networks.PRESETS["rgb_baseline"],
    "residual_encoder": networks.PRESETS["residual_encoder"],
    "colorful": dataclasses.replace(networks.PRESETS["colorful"], width=1 / 16),
    "unet_gan": dataclasses.replace(networks.PRESETS["unet_gan"], width=1 / 8),
}
SIZES = [(64, 64), (32, 96)]
FIRST_LAYER = {
    "rgb_baseline": "dense1",
    "residual_encoder": "decoder_conv1",
    "colorful": "conv1_1",
    "unet_gan": "luminance_conv",
}  # of the others: encoder_conv1


def example(config, size=(64, 64), batch=2, seed=0):
    """Random inputs of the network of a config."""
    rng = np.random.default_rng(seed)
    inputs = {"luminance": rng.uniform(-1, 1, (batch, *size, 1))}
    if config.mask:
        inputs["mask"] = rng.integers(0, 2, (batch, *size, 1))
    if config.hints:
        inputs["hints"] = rng.uniform(-1, 1, (batch, *size, 3))
    return {name: value.astype("float32") for name, value in inputs.items()}


def run(network, inputs, **options):
    return {name: ops.convert_to_numpy(x) for name, x in network(inputs, **options).items()}


def randomize(network, seed=1, scale=0.05):
    """Moves every weight off its initial value, so that biases and zero kernels count."""
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        value = ops.convert_to_numpy(variable)
        variable.assign(value + scale * np.abs(rng.normal(size=value.shape)))


def arriving_at_extractor(network):
    """The tensor that a network hands to its extractor's first layer."""
    return network.get_layer("extractor")._inbound_nodes[-1].input_tensors[0]


def outputs_of(config, size):
    height, width = size
    if config.network == "rgb_baseline":
        return {"rgb": (2, 32, 32, 3)}
    if config.head == "distribution":
        return {"ab_logits": (2, height // 4, width // 4, 313)}
    return {"ab": (2, height, width, 2)}


@pytest.fixture(scope="module")
def built():
    """Networks of `CONFIGS`, each built when it is first asked for."""
    known = {}

    def get(name):
        if name not in known:
            keras.utils.set_random_seed(0)
            known[name] = build_network(CONFIGS[name])
        return known[name]

    return get


# ---------------------------------------------------------------- what every network passes


@pytest.mark.parametrize("name", CONFIGS)
class TestEveryNetwork:
    def test_inputs_are_named_and_of_any_size(self, built, name):
        config = CONFIGS[name]
        expected = {key: (None, None, None, x.shape[-1]) for key, x in example(config).items()}
        assert {key: x.shape for key, x in built(name).input.items()} == expected

    @pytest.mark.parametrize("size", SIZES)
    def test_outputs_at_any_multiple_of_the_stride(self, built, name, size):
        config = CONFIGS[name]
        stride = networks.network_stride(config)
        assert size[0] % stride == size[1] % stride == 0
        outputs = run(built(name), example(config, size))
        assert {key: x.shape for key, x in outputs.items()} == outputs_of(config, size)
        for x in outputs.values():
            assert x.dtype == np.float32
            assert np.isfinite(x).all()
            assert x.std() > 0

    def test_inference_is_deterministic_and_one_photograph_at_a_time(self, built, name):
        inputs = example(CONFIGS[name])
        together, again = run(built(name), inputs), run(built(name), inputs)
        alone = run(built(name), {key: x[1:] for key, x in inputs.items()})
        for key, x in together.items():
            np.testing.assert_array_equal(again[key], x)
            np.testing.assert_allclose(alone[key], x[1:], rtol=1e-3, atol=1e-5)

    def test_saved_weights_give_the_same_outputs(self, built, name, tmp_path):
        network, inputs = built(name), example(CONFIGS[name])
        before, weights = run(network, inputs), network.get_weights()
        network.save_weights(tmp_path / "saved.weights.h5")
        randomize(network)
        try:
            changed = run(network, inputs)
            network.load_weights(tmp_path / "saved.weights.h5")
            after = run(network, inputs)
        finally:
            network.set_weights(weights)
        for key, x in before.items():
            assert not np.allclose(changed[key], x)
            np.testing.assert_array_equal(after[key], x)

    def test_half_precision_answers_in_float32(self, built, name, mixed_bfloat16):
        config, reference = CONFIGS[name], built(name)
        network = build_network(config)
        assert {w.dtype for w in network.weights} == {"float32"}
        first = network.get_layer(FIRST_LAYER.get(name, "encoder_conv1"))
        assert first.compute_dtype == "bfloat16"
        network.set_weights(reference.get_weights())
        inputs = example(config)
        for key, x in run(reference, inputs).items():
            half = ops.convert_to_numpy(network(inputs)[key])
            assert half.dtype == np.float32
            assert np.abs(half - x).mean() < 0.1 * np.abs(x).max()


def test_every_preset_is_known():
    assert set(networks.NETWORKS) == {config.network for config in networks.PRESETS.values()}
    assert networks.PRESETS["koalarization"] is KOALARIZATION
    assert networks.PRESETS["xception_fusion"] == NetworkConfig()
    earlier = set(networks.NETWORKS) - {"xception_fusion"}
    assert {name: networks.PRESETS[name].network for name in earlier} == {n: n for n in earlier}


def test_compiled_call_of_unknown_size_equals_the_eager_one(built):
    """Compiled once for any size, as `fit` and `predict` do."""
    network = built("tiny")
    any_size = {"luminance": tf.TensorSpec((None, None, None, 1), "float32")}
    compiled = tf.function(network, input_signature=[any_size])
    for size in SIZES:
        inputs = {key: tf.constant(x) for key, x in example(TINY, size).items()}
        expected = run(network, inputs)["ab_logits"]
        answer = compiled(inputs)["ab_logits"].numpy()
        np.testing.assert_allclose(answer, expected, rtol=1e-3, atol=1e-3 * expected.std())


# -------------------------------------------------------------------------------- Xception


@pytest.fixture(scope="module")
def full_xception():
    return networks.xception(width=1.0), keras.applications.Xception(
        include_top=False, weights=None
    )


def kind(layer):
    # Keras's own has Activation("relu"), which is the layer ReLU under its older name.
    if isinstance(layer, layers.Activation) and layer.activation is keras.activations.relu:
        return "ReLU"
    return type(layer).__name__


def hyperparameters(layer):
    names = ("kernel_size", "strides", "padding", "use_bias", "pool_size", "epsilon", "momentum")
    return {name: getattr(layer, name) for name in names if hasattr(layer, name)}


def test_full_xception_has_the_layers_of_keras(full_xception):
    ours, theirs = ([(kind(x), hyperparameters(x)) for x in m.layers] for m in full_xception)
    assert ours == theirs


def test_full_xception_has_the_weights_of_keras(full_xception):
    ours, theirs = ([w.shape for w in m.weights] for m in full_xception)
    assert ours == theirs
    names = {x.name for x in full_xception[1].layers if x.weights and "block" in x.name}
    assert names <= {x.name for x in full_xception[0].layers}


def test_full_xception_computes_what_keras_does(full_xception, rng):
    ours, theirs = full_xception
    randomize(theirs, scale=0.01)
    ours.set_weights(theirs.get_weights())
    image = rng.uniform(-1, 1, (1, 72, 96, 3)).astype("float32")
    answer, expected = (ops.convert_to_numpy(model(image)) for model in full_xception)
    assert answer.shape == expected.shape == (1, 3, 3, 2048)
    assert expected.std() > 0
    np.testing.assert_allclose(answer / expected.std(), expected / expected.std(), atol=1e-5)


def test_half_xception_has_half_the_filters(full_xception, built):
    half = built("tiny").get_layer("extractor")
    for layer in full_xception[0].layers:
        if isinstance(layer, layers.Conv2D | layers.SeparableConv2D):
            assert half.get_layer(layer.name).filters * 2 == layer.filters
    assert half.get_layer("block1_conv1").filters == 16
    assert half.get_layer("block14_sepconv2").filters == 1024
    assert 5.2e6 < half.count_params() < 5.8e6  # DESIGN.md: 5.5 M


# --------------------------------------------------------------- the published Koalarization


@pytest.fixture(scope="module")
def koalarization():
    return build_network(dataclasses.replace(KOALARIZATION, extractor_weights=None))


def test_koalarization_has_the_published_layers(koalarization):
    layout = [
        (x.filters, x.strides[0], x.kernel_size[0]) if isinstance(x, layers.Conv2D) else "up"
        for x in koalarization.layers
        if isinstance(x, layers.Conv2D | layers.UpSampling2D)
    ]
    assert layout == [
        *[(64, 2, 3), (128, 1, 3), (128, 2, 3), (256, 1, 3)],
        *[(256, 2, 3), (512, 1, 3), (512, 1, 3), (256, 1, 3)],
        (256, 1, 1),  # the fusion
        *[(128, 1, 3), "up", (64, 1, 3), (64, 1, 3), "up", (32, 1, 3), (2, 1, 3), "up"],
    ]
    assert not [x for x in koalarization.layers if isinstance(x, layers.BatchNormalization)]
    assert koalarization.get_layer("ab_head").activation is keras.activations.tanh
    assert KOALARIZATION.extractor_weights == "imagenet"


def test_koalarization_sees_299_and_1000_classes_and_answers_at_the_size_it_was_given(
    koalarization,
):
    shape = koalarization.compute_output_shape({"luminance": (1, 224, 224, 1)})
    assert shape == {"ab": (1, 224, 224, 2)}
    extractor = koalarization.get_layer("extractor")
    assert extractor.output["embedding"].shape == (None, 1000)
    assert extractor.layers[-1].activation is keras.activations.linear  # before the softmax
    assert arriving_at_extractor(koalarization).shape == (None, 299, 299, 3)
    assert koalarization.get_layer("fusion_embedding").kernel.shape == (1000, 256)


def test_koalarization_on_embeddings_computed_beforehand_is_the_same_network(built):
    config, whole = TINY_KOALARIZATION, built("koalarization")
    extractor = networks.embedding_extractor(config)
    rest = build_network(config, embedding_input=True)
    assert set(rest.input) == {"luminance", "embedding"}
    weights = whole.get_weights()
    randomize(whole)
    extractor.set_weights(whole.get_layer("extractor").get_weights())
    rest.set_weights([w for x in whole.layers if x.name != "extractor" for w in x.get_weights()])
    inputs = example(config)
    expected = run(whole, inputs)["ab"]
    whole.set_weights(weights)
    embedding = ops.convert_to_numpy(extractor(inputs["luminance"]))
    assert np.abs(embedding).max() > 1e-3
    answer = run(rest, {**inputs, "embedding": embedding})["ab"]
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)
    without = run(rest, {**inputs, "embedding": 0 * embedding})["ab"]
    assert not np.allclose(without, expected, atol=1e-3)


# ---------------------------------------------------------------------------------- fusion


def test_fusion_is_tiling_concatenation_and_a_1x1_convolution(built):
    network = built("tiny")
    convolution, dense = network.get_layer("fusion_conv"), network.get_layer("fusion_embedding")
    convolution.bias.assign(np.linspace(-1, 1, 16))
    parts = [network.get_layer(name).output for name in ("encoder_conv4_relu", "extractor_pool")]
    probe = keras.Model(network.inputs, [*parts, network.get_layer("fusion_relu").output])
    encoded, embedding, fused = map(
        ops.convert_to_numpy, probe([example(TINY, (32, 80))["luminance"]])
    )
    tiled = np.broadcast_to(embedding[:, None, None], (*encoded.shape[:3], embedding.shape[-1]))
    kernel = np.concatenate([convolution.kernel.numpy()[0, 0], dense.kernel.numpy()])
    expected = np.concatenate([encoded, tiled], axis=-1) @ kernel + convolution.bias.numpy()
    assert expected.min() < -0.1 < 0.1 < expected.max()
    np.testing.assert_allclose(fused, np.maximum(expected, 0), atol=1e-4)


def test_multiscale_decoder_receives_the_extractor_at_each_stride(built):
    extractor = built("tiny").get_layer("extractor")
    maps = {name: x for name, x in extractor.output.items() if name != "embedding"}
    names = {name: x._keras_history.operation.name for name, x in maps.items()}
    # The last of each: what follows works at twice the stride.
    assert names == {
        "stride16": "block13_sepconv2_bn",
        "stride8": "block4_sepconv2_bn",
        "stride4": "block3_sepconv2_bn",
    }


@pytest.mark.parametrize("size", [(7, 9), (16, 5), (1, 1)])
def test_resize_like_is_bilinear(rng, size):
    x = rng.normal(size=(2, 8, 6, 3)).astype("float32")
    reference = np.zeros((2, *size, 1), "float32")
    expected = ops.image.resize(x, size, interpolation="bilinear")
    layer = networks.ResizeLike()
    np.testing.assert_allclose(layer([x, reference]), expected, atol=1e-5)
    inputs = [keras.Input((None, None, 3)), keras.Input((None, None, 1))]
    symbolic = keras.Model(inputs, networks.ResizeLike()(inputs))
    assert symbolic.output.shape == (None, None, None, 3)
    np.testing.assert_allclose(symbolic([x, reference]), expected, atol=1e-5)


def test_resize_like_leaves_a_map_of_the_same_size_alone(rng):
    x = rng.normal(size=(1, 5, 7, 2)).astype("float32")
    np.testing.assert_array_equal(networks.ResizeLike()([x, x]), x)


# ----------------------------------------------------------------------------- extractors

CAFFE_MEANS_BGR = np.array([103.939, 116.779, 123.68])


@pytest.mark.parametrize(
    ("extractor", "black", "white"),
    [
        ("xception", [-1.0] * 3, [1.0] * 3),
        ("MobileNetV2", [-1.0] * 3, [1.0] * 3),
        ("VGG16", -CAFFE_MEANS_BGR, 255 - CAFFE_MEANS_BGR),
        ("EfficientNetB0", [0.0] * 3, [255.0] * 3),
    ],
)
def test_an_application_gets_the_input_range_it_was_trained_on(extractor, black, white):
    config = dataclasses.replace(TINY, extractor=extractor, fusion="global")
    model = networks.embedding_extractor(config)
    arriving = keras.Model(model.input, arriving_at_extractor(model))
    luminance = np.broadcast_to(np.array([-1.0, 1.0, 0.0]).reshape(3, 1, 1, 1), (3, 4, 4, 1))
    pixels = ops.convert_to_numpy(arriving(luminance.astype("float32")))[:, 1, 2]
    middle = (np.asarray(black) + np.asarray(white)) / 2
    np.testing.assert_allclose(pixels, [black, white, middle], rtol=1e-4, atol=1e-4)


def test_our_own_xception_gets_minus_one_to_one(built):
    network = built("tiny")
    arriving = keras.Model(network.inputs, arriving_at_extractor(network))
    luminance = example(TINY)["luminance"]
    np.testing.assert_array_equal(arriving([luminance]), np.repeat(luminance, 3, axis=-1))


@pytest.mark.parametrize("changes", [{"embedding_size": 299}, {"fusion": "multiscale"}])
def test_classes_are_seen_at_the_extractors_own_size(changes):
    if "fusion" in changes:
        changes = {**changes, "embedding_size": None}
    config = dataclasses.replace(TINY_KOALARIZATION, **changes)
    with pytest.raises(ValueError, match=r"embedding_size must be 224 .*'MobileNetV2'"):
        build_network(config)


def test_a_frozen_extractor_stays_as_it_is(built):
    network = built("mobilenet")
    extractor = network.get_layer("extractor")
    assert extractor.trainable_weights == []
    assert network.trainable_weights
    assert not {id(w) for w in extractor.weights} & {id(w) for w in network.trainable_weights}
    statistics = {
        x: extractor.get_layer(x).moving_mean.numpy() for x in ("conv1_bn", "conv_pw_13_bn")
    }
    encoder = network.get_layer("encoder_conv1_bn")
    own, weights = encoder.moving_mean.numpy(), network.get_weights()
    inputs = example(CONFIGS["mobilenet"])
    embedding = keras.Model(network.inputs, network.get_layer("extractor_pool").output)
    inferred = embedding([inputs["luminance"]], training=False)
    np.testing.assert_array_equal(embedding([inputs["luminance"]], training=True), inferred)
    network(inputs, training=True)
    for name, before in statistics.items():
        np.testing.assert_array_equal(extractor.get_layer(name).moving_mean.numpy(), before)
    assert not np.array_equal(encoder.moving_mean.numpy(), own)
    network.set_weights(weights)


def test_our_own_xception_trains_with_the_rest(built):
    network = built("tiny")
    extractor, weights = network.get_layer("extractor"), network.get_weights()
    assert len(extractor.trainable_weights) > 100
    assert {id(w) for w in extractor.trainable_weights} <= {
        id(w) for w in network.trainable_weights
    }
    layer = extractor.get_layer("block5_sepconv1_bn")
    before = layer.moving_mean.numpy()
    network(example(TINY), training=True)
    assert not np.array_equal(layer.moving_mean.numpy(), before)
    network.set_weights(weights)


# --------------------------------------------------------------------------- mask and hints


def test_conditions_cost_nothing_when_off(built):
    plain, conditioned = built("tiny"), built("conditioned")
    assert not [w.path for w in plain.weights if "mask" in w.path or "hints" in w.path]
    extra = {w.path: w.shape for w in conditioned.weights}
    for variable in plain.weights:
        assert extra.pop(variable.path) == variable.shape
    assert extra == {
        "encoder_conv1_mask/kernel": (3, 3, 1, 8),
        "encoder_conv1_hints/kernel": (3, 3, 3, 8),
        **{
            f"decoder_stage{i}_join_{name}/kernel": (1, 1, told, filters)
            for i, filters in enumerate((16, 8, 8), start=1)
            for name, told in (("mask", 1), ("hints", 24))
        },
    }
    added = 9 * (1 + 3) * 8 + (1 + 24) * (16 + 8 + 8)
    assert conditioned.count_params() - plain.count_params() == added


@pytest.mark.parametrize(("mask", "hints"), [(True, False), (False, True)])
def test_each_condition_is_switched_on_by_itself(mask, hints):
    config = dataclasses.replace(
        TINY_KOALARIZATION, mask=mask, hints=hints, batch_normalization=True
    )
    network = build_network(config)
    assert set(network.input) == {"luminance"} | ({"mask"} if mask else {"hints"})
    # A resized extractor once put the whole network into training mode.
    before = network.get_weights()
    run(network, example(config))
    for expected, weights in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, expected)


def test_conditions_start_from_the_network_without_them(built):
    plain, conditioned = built("tiny"), built("conditioned")
    known, weights = {w.path: w for w in plain.weights}, conditioned.get_weights()
    for variable in conditioned.weights:
        if variable.path in known:
            variable.assign(known[variable.path])
    inputs = example(CONFIGS["conditioned"])
    inputs["mask"], inputs["hints"] = np.ones_like(inputs["mask"]), np.zeros_like(inputs["hints"])
    expected = run(plain, {"luminance": inputs["luminance"]})["ab_logits"]
    np.testing.assert_array_equal(run(conditioned, inputs)["ab_logits"], expected)
    for name in ("mask", "hints"):
        layer = conditioned.get_layer(f"encoder_conv1_{name}")
        assert not layer.kernel.numpy().any()
        layer.kernel.assign(np.ones(layer.kernel.shape))
        changed = {**inputs, name: np.ones_like(inputs[name])}
        assert not np.allclose(run(conditioned, changed)["ab_logits"], expected, atol=1e-3)
        layer.kernel.assign(np.zeros(layer.kernel.shape))
    conditioned.set_weights(weights)


# --------------------------------------------------------------------------- pad and crop


@settings(max_examples=60)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    multiple=st.integers(1, 32),
    channels=st.integers(1, 3),
)
def test_pad_and_crop_round_trip(height, width, multiple, channels):
    rng = np.random.default_rng(height * 64 + width)
    x = rng.normal(size=(2, height, width, channels)).astype("float32")
    padded = ops.convert_to_numpy(networks.pad_to_multiple(ops.convert_to_tensor(x), multiple))
    bottom, right = padded.shape[1] - height, padded.shape[2] - width
    assert padded.shape[1] % multiple == padded.shape[2] % multiple == 0
    assert 0 <= bottom < multiple
    assert 0 <= right < multiple
    expected = np.pad(x, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge")
    np.testing.assert_array_equal(padded, expected)
    np.testing.assert_array_equal(networks.crop_to_size(padded, height, width), x)


@pytest.mark.parametrize(
    ("config", "stride"),
    [
        (NetworkConfig(), 16),
        (KOALARIZATION, 8),
        (TINY, 16),
        (networks.PRESETS["rgb_baseline"], 32),
        (networks.PRESETS["residual_encoder"], 8),
        (networks.PRESETS["colorful"], 8),
        (networks.PRESETS["unet_gan"], 16),
        # A builder of somebody else's: the encoder's product, and at least that of the logits.
        (NetworkConfig(network="registered", encoder=((8, 2), (8, 1), (8, 4))), 8),
        (NetworkConfig(network="registered", encoder=((8, 2),)), 4),
    ],
)
def test_network_stride(config, stride):
    assert networks.network_stride(config) == stride


# --------------------------------------------------------------------------------- decoding


def test_predicted_ab_of_a_regression_head_is_in_lab_units(rng):
    ab = rng.uniform(-1, 1, (1, 2, 3, 2)).astype("float32")
    decoded = networks.predicted_ab({"ab": ab}, None, temperature=0.1, correction=0.3)
    np.testing.assert_allclose(decoded, 110 * ab, rtol=1e-6)


def test_predicted_ab_of_rgb_is_that_of_its_colours():
    lab = np.array([[[60.0, 40.0, -20.0], [50.0, -30.0, 25.0]]], "float32")
    outputs = {"rgb": lab_to_rgb(lab)[None]}
    decoded = networks.predicted_ab(outputs, None, temperature=0.1, correction=0.3)
    np.testing.assert_allclose(decoded[0], lab[..., 1:], atol=0.01)


def test_predicted_ab_of_a_distribution_head_is_the_annealed_mean():
    weights = np.linspace(0.5, 2, 313)
    logits = np.zeros((1, 1, 2, 313), "float32")
    logits[0, 0, 0, 40] = 50
    logits[0, 0, 1] = np.log(weights)
    outputs = {"ab_logits": logits}
    decoded = networks.predicted_ab(outputs, weights, temperature=1.0, correction=1.0)
    np.testing.assert_allclose(decoded[0, 0], [AB_BINS[40], AB_BINS.mean(0)], atol=1e-3)


# ------------------------------------------------------------------------- configs and errors


@pytest.mark.parametrize("config", [*networks.PRESETS.values(), *CONFIGS.values()])
def test_config_survives_json(config):
    values = dataclasses.asdict(config)
    as_lists = {k: [list(p) for p in v] if isinstance(v, tuple) else v for k, v in values.items()}
    assert NetworkConfig.from_dict(as_lists) == config


def test_config_names_unknown_settings():
    with pytest.raises(ValueError, match="'filtres'"):
        NetworkConfig.from_dict({"filtres": 3, "head": "regression"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "unet"}, "network .*'xception_fusion'.*'unet'"),
        ({"fusion": "local"}, "fusion .*'multiscale'.*'local'"),
        ({"head": "gan"}, "head .*'regression'.*'gan'"),
        ({"embedding": "tiled", "fusion": "global"}, "embedding .*'tiled'"),
        ({"extractor": "Exception"}, "extractor .*'Exception'"),
        ({"extractor": "mobilenet"}, "extractor .*'mobilenet'"),
        (
            {"extractor": "VGG16", "extractor_weights": "/nowhere/vgg.weights.h5"},
            "extractor_weights.*/nowhere/vgg.weights.h5",
        ),
        ({"decoder": ((8, 1),), "fusion": "global"}, "decoder .*stride 4.*stride 16"),
        ({"decoder": ((4, 1),) * 7, "head": "regression"}, "decoder"),
        (
            {"decoder": ((4, 1),) * 7, "head": "regression", "fusion": "global"},
            "decoder",
        ),
    ],
)
def test_errors_name_what_was_received(settings, message):
    with pytest.raises(ValueError, match=message):
        build_network(dataclasses.replace(TINY, **settings))


@pytest.mark.parametrize(
    "settings", [{"extractor": "MobileNet"}, {"fusion": "global"}], ids=["multiscale", "trained"]
)
def test_embeddings_cannot_be_computed_beforehand_for_every_network(settings):
    config = dataclasses.replace(TINY, **settings)
    for build in (networks.embedding_extractor, lambda c: build_network(c, embedding_input=True)):
        with pytest.raises(ValueError, match=rf"{config.fusion}.*{config.extractor}"):
            build(config)


@pytest.mark.parametrize(
    ("preset", "settings", "message"),
    [
        ("xception_fusion", {"width": 0.5}, "'xception_fusion' takes no width.*width=0.5"),
        ("colorful", {"mask": True}, "'colorful' takes no mask. Received: mask=True"),
        ("colorful", {"hints": True}, "'colorful' takes no hints"),
        ("colorful", {"head": "regression"}, "needs head='distribution'.*head='regression'"),
        ("colorful", {"encoder": ((8, 2),)}, "'colorful' takes no encoder.*8, 2"),
        ("colorful", {"width": 0.0}, "width must be a positive number. Received: 0.0"),
        ("unet_gan", {"mask": False}, "'unet_gan' needs mask=True. Received: mask=False"),
        ("unet_gan", {"hints": True}, "'unet_gan' takes no hints"),
        ("unet_gan", {"width": float("nan")}, "width must be a positive number"),
        ("residual_encoder", {"mask": True}, "'residual_encoder' takes no mask"),
        ("residual_encoder", {"extractor": "VGG19"}, "takes no extractor.*'VGG19'"),
        (
            "residual_encoder",
            {"extractor_weights": "/nowhere/vgg.weights.h5"},
            "extractor_weights: no such file '/nowhere/vgg.weights.h5'",
        ),
        ("rgb_baseline", {"extractor_weights": "imagenet"}, "takes no extractor_weights"),
        ("rgb_baseline", {"width": 2.0}, "'rgb_baseline' takes no width"),
        (
            "rgb_baseline",
            {"mask": True, "hints": True},
            "takes no hints and takes no mask. Received: hints=True, mask=True",
        ),
    ],
)
def test_settings_that_a_network_cannot_honour_are_refused(preset, settings, message):
    with pytest.raises(ValueError, match=message):
        build_network(dataclasses.replace(networks.PRESETS[preset], **settings))


@pytest.mark.parametrize("preset", networks.STRIDES)
def test_earlier_networks_take_no_embeddings(preset):
    with pytest.raises(ValueError, match=f"{preset}.*embedding_input=True"):
        build_network(networks.PRESETS[preset], embedding_input=True)


def test_a_registered_builder_gets_every_setting(monkeypatch):
    received = []

    def builder(config, *, embedding_input):
        received.append((config, embedding_input))

    monkeypatch.setitem(networks.NETWORKS, "registered", builder)
    config = NetworkConfig(network="registered", width=0.5, hints=True)
    build_network(config, embedding_input=True)
    assert received == [(config, True)]


def test_a_failed_download_is_told_in_one_error(monkeypatch):
    def failing(**options):
        raise Exception("URL fetch failure on https://somewhere")  # as Keras raises it

    monkeypatch.setattr(keras.applications, "Xception", failing)
    config = dataclasses.replace(KOALARIZATION, extractor_weights="imagenet")
    with pytest.raises(ValueError, match=r"weights 'imagenet' of extractor 'xception'.*URL fetch"):
        build_network(config)


def test_xception_half_starts_from_the_weights_of_a_file(tmp_path):
    stored = xception(width=0.5)
    stored.save_weights(tmp_path / "extractor.weights.h5")
    config = dataclasses.replace(TINY, extractor_weights=str(tmp_path / "extractor.weights.h5"))
    extractor = build_network(config).get_layer("extractor")
    known = {v.path: np.array(v) for v in stored.variables}
    assert len(known) == len(stored.variables)
    assert {v.path for v in extractor.variables} == set(known)
    for variable in extractor.variables:
        np.testing.assert_array_equal(np.array(variable), known[variable.path])


@pytest.mark.parametrize(("content", "told"), [(None, "no such file"), (b"x", "does not hold")])
def test_a_file_without_weights_of_xception_half_is_refused(tmp_path, content, told):
    path = tmp_path / "extractor.weights.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"extractor_weights: .*{told}"):
        build_network(dataclasses.replace(TINY, extractor_weights=str(path)))


def test_weights_of_another_model_are_refused_in_one_line(tmp_path):
    """Keras would warn of each part that the file lacks; warnings are errors here."""
    path = tmp_path / "checkpoint.weights.h5"
    keras.Model(*[keras.Input((2,), name="image")] * 2).save_weights(path)
    with pytest.raises(ValueError, match="does not hold the weights of 'xception_half'"):
        build_network(dataclasses.replace(TINY, extractor_weights=str(path)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"decoder": ()}, "decoder must have 1 to 5 stages.*0$"),
        ({"encoder": ()}, r"encoder must have convolutions.*\(\)"),
        ({"encoder": (), "fusion": "global", "head": "regression"}, "encoder must have"),
        ({"encoder": ((8, 0),)}, "encoder must have"),
        ({"decoder": ((8, 1),) * 2}, "decoder must end at stride 4.*stride 8"),
        ({"encoder": ((8, 4), (8, 4))}, r"encoder must stop at each stride.*\[4, 16\]"),
    ],
)
def test_parts_that_do_not_meet_are_refused(changes, told):
    config = dataclasses.replace(networks.TINY, **changes)
    for refuse in (networks.check_network, networks.build_network):
        with pytest.raises(ValueError, match=told):
            refuse(config)
