"""The earlier layouts against what was published of them; `test_networks` checks the rest."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from colorizer import earlier

BUILDERS = {
    "rgb_baseline": lambda: earlier.rgb_baseline(side=8, hidden=16),
    "residual_encoder": earlier.residual_encoder,
    "colorful": lambda: earlier.colorful(width=1 / 16),
    "unet_gan": lambda: earlier.unet_gan(width=1 / 4),
    "unet_discriminator": lambda: earlier.unet_discriminator(width=1 / 4),
}
VGG16_TO_BLOCK4 = 7_635_264  # parameters, as Keras's summary of VGG-16 adds up to block4_conv3


@pytest.fixture(scope="module")
def built():
    """Networks of `BUILDERS`, each built when it is first asked for."""
    known = {}

    def get(name):
        if name not in known:
            keras.utils.set_random_seed(0)
            known[name] = BUILDERS[name]()
        return known[name]

    return get


def convolutions(network):
    return [x for x in network.layers if isinstance(x, layers.Conv2D | layers.Conv2DTranspose)]


def run(network, **inputs):
    (answer,) = network({name: x.astype("float32") for name, x in inputs.items()}).values()
    return ops.convert_to_numpy(answer)


def random_inputs(rng, size, **channels):
    return {name: rng.uniform(-1, 1, (1, *size, count)) for name, count in channels.items()}


@pytest.mark.parametrize("name", BUILDERS)
def test_every_layer_is_named(built, name):
    # Keras numbers the layers that nobody named, on and on: a second network has other names.
    again = BUILDERS[name]()
    assert [x.name for x in again.layers] == [x.name for x in built(name).layers]
    assert again.name == name


# -------------------------------------------------------------------------- fully connected


def test_rgb_baseline_is_two_hidden_layers():
    network = earlier.rgb_baseline()
    units = [x.units for x in network.layers if isinstance(x, layers.Dense)]
    assert units == [1024, 1024, 32 * 32 * 3]
    expected = (1024 * 1024 + 1024) * 2 + (1024 + 1) * 32 * 32 * 3
    assert network.count_params() == expected


def test_rgb_baseline_sees_a_larger_picture_antialiased(built):
    network = built("rgb_baseline")
    probe = keras.Model(network.input, {"small": network.get_layer("flatten").input})
    # White, black, black, white: whoever looks between the middle two sees black alone.
    stripes = np.resize([1.0, -1.0, -1.0, 1.0], 32)[None, :, None, None]
    small = run(probe, luminance=np.broadcast_to(stripes, (1, 32, 32, 1)))
    assert small.shape == (1, 8, 8, 1)
    np.testing.assert_allclose(small[:, 1:-1], 0, atol=1e-5)
    flat = run(probe, luminance=np.full((1, 32, 48, 1), 0.25))
    np.testing.assert_allclose(flat, np.full((1, 8, 8, 1), 0.25), rtol=1e-5)


def test_rgb_baseline_stays_in_range(built):
    network = built("rgb_baseline")
    answer = run(network, luminance=np.full((1, 8, 8, 1), 1e4))
    assert answer.min() < 0.01 < 0.99 < answer.max()
    assert answer.min() >= 0
    assert answer.max() <= 1


# ------------------------------------------------------------------------- residual encoder


def test_residual_encoder_holds_vgg16_to_block4(built):
    vgg = built("residual_encoder").get_layer("vgg16")
    assert vgg.count_params() == VGG16_TO_BLOCK4
    assert [x.filters for x in convolutions(vgg)] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 3
    assert {name: x.shape[-1] for name, x in vgg.output.items()} == {
        "block1_conv2": 64,
        "block2_conv2": 128,
        "block3_conv3": 256,
        "block4_conv3": 512,
    }


def test_residual_encoder_has_the_published_decoder(built):
    network = built("residual_encoder")
    layout = [(x.filters, x.kernel_size[0]) for x in convolutions(network)]
    assert layout == [(256, 1), (128, 3), (64, 3), (3, 3), (3, 3), (2, 3)]
    kernels = 512 * 256 + 9 * (256 * 128 + 128 * 64 + 64 * 3 + 3 * 3 + 3 * 2) + 2
    normalized = [512, 256, 256, 128, 128, 64, 64, 3, 3, 3]  # 4 parameters per channel
    assert network.count_params() == VGG16_TO_BLOCK4 + kernels + 4 * sum(normalized)


def test_residual_encoder_adds_each_level_at_its_own_resolution(built):
    network = built("residual_encoder")
    sums = [x for x in network.layers if isinstance(x, layers.Add)]
    assert [x.name for x in sums] == [
        "block3_conv3_add",
        "block2_conv2_add",
        "block1_conv2_add",
        "image_add",
    ]
    probe = keras.Model(network.input, [x.output for x in sums])
    shapes = probe.compute_output_shape({"luminance": (1, 32, 48, 1)})
    assert [tuple(s) for s in shapes] == [
        (1, 8, 12, 256),
        (1, 16, 24, 128),
        (1, 32, 48, 64),
        (1, 32, 48, 3),
    ]


def test_vgg_gets_the_preprocessing_it_was_trained_with(built):
    network = built("residual_encoder")
    vgg = network.get_layer("vgg16")
    arriving = keras.Model(network.inputs, vgg._inbound_nodes[-1].input_tensors[0])
    luminance = np.array([-1.0, 1.0], "float32").reshape(2, 1, 1, 1)
    pixels = ops.convert_to_numpy(arriving([luminance]))[:, 0, 0]
    means = np.array([103.939, 116.779, 123.68])  # of ImageNet, blue first
    np.testing.assert_allclose(pixels, [-means, 255 - means], rtol=1e-5)


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    """Weights of VGG-16 without its top, all of them known: 0.01 · N(0, 1) of one seed."""
    model = keras.applications.VGG16(include_top=False, weights=None, input_shape=(None, None, 3))
    rng = np.random.default_rng(1)
    model.set_weights([0.01 * rng.standard_normal(w.shape, "float32") for w in model.weights])
    path = tmp_path_factory.mktemp("vgg") / "vgg16.weights.h5"
    model.save_weights(path)
    return path, model.get_layer("block4_conv3").kernel.numpy()


def test_vgg_weights_are_loaded_and_frozen(vgg_file):
    path, kernel = vgg_file
    network = earlier.residual_encoder(weights=str(path))
    vgg = network.get_layer("vgg16")
    np.testing.assert_array_equal(vgg.get_layer("block4_conv3").kernel.numpy(), kernel)
    assert vgg.trainable_weights == []
    # Kernels, biases and the normalisations' scales and offsets of the decoder alone.
    assert len(network.trainable_weights) == 6 + 1 + 2 * 10


def test_vgg_without_weights_is_trained_with_the_rest(built):
    vgg = built("residual_encoder").get_layer("vgg16")
    assert len(vgg.trainable_weights) == 2 * 10
    assert len(built("residual_encoder").trainable_weights) == 2 * 10 + 6 + 1 + 2 * 10


def test_missing_weights_are_named():
    with pytest.raises(ValueError, match=r"extractor_weights: no such file '/nowhere/vgg\.h5'"):
        earlier.residual_encoder(weights="/nowhere/vgg.h5")


def test_weights_of_another_network_are_refused_in_one_error(tmp_path):
    path = str(tmp_path / "other.weights.h5")
    inputs = keras.Input((3,))
    keras.Model(inputs, layers.Dense(2)(inputs)).save_weights(path)
    with pytest.raises(ValueError, match=r"cannot load the weights '.*other.*' of .*'VGG16'"):
        earlier.residual_encoder(weights=path)


# --------------------------------------------------------------------------- colours as classes

# The released model, layer by layer: name, filters, kernel, stride, dilation.
COLORFUL = [
    ("conv1_1", 64, 3, 1, 1),
    ("conv1_2", 64, 3, 2, 1),
    ("conv2_1", 128, 3, 1, 1),
    ("conv2_2", 128, 3, 2, 1),
    ("conv3_1", 256, 3, 1, 1),
    ("conv3_2", 256, 3, 1, 1),
    ("conv3_3", 256, 3, 2, 1),
    *[(f"conv4_{i}", 512, 3, 1, 1) for i in (1, 2, 3)],
    *[(f"conv5_{i}", 512, 3, 1, 2) for i in (1, 2, 3)],
    *[(f"conv6_{i}", 512, 3, 1, 2) for i in (1, 2, 3)],
    *[(f"conv7_{i}", 512, 3, 1, 1) for i in (1, 2, 3)],
    ("conv8_1", 256, 4, 2, 1),  # transposed
    ("conv8_2", 256, 3, 1, 1),
    ("conv8_3", 256, 3, 1, 1),
    ("ab_logits", 313, 1, 1, 1),
]


@pytest.fixture(scope="module")
def full_colorful():
    keras.utils.set_random_seed(0)
    return earlier.colorful()


def test_colorful_has_the_published_layers(full_colorful):
    layout = [
        (x.name, x.filters, x.kernel_size[0], x.strides[0], x.dilation_rate[0])
        for x in convolutions(full_colorful)
    ]
    assert layout == COLORFUL
    transposed = [x.name for x in full_colorful.layers if isinstance(x, layers.Conv2DTranspose)]
    assert transposed == ["conv8_1"]
    normalized = [x.name for x in full_colorful.layers if isinstance(x, layers.BatchNormalization)]
    assert normalized == [f"conv{i}_bn" for i in range(1, 8)]


def test_colorful_has_the_published_number_of_parameters(full_colorful):
    blocks = [
        640 + 36_928,  # (9 · 1 + 1) · 64 + (9 · 64 + 1) · 64, and so on
        73_856 + 147_584,
        295_168 + 2 * 590_080,
        1_180_160 + 2 * 2_359_808,
        *[3 * 2_359_808] * 3,
        (16 * 512 + 1) * 256 + 2 * 590_080,
        257 * 313,
    ]
    assert sum(blocks) == 32_230_393
    normalizations = 4 * (64 + 128 + 256 + 4 * 512)
    assert full_colorful.count_params() == 32_230_393 + normalizations


def test_colorful_starts_glorot_normal(full_colorful):
    for layer in convolutions(full_colorful):
        assert isinstance(layer.kernel_initializer, keras.initializers.GlorotNormal), layer.name
    kernel = full_colorful.get_layer("conv5_1").kernel.numpy()
    expected = np.sqrt(2 / (9 * 512 + 9 * 512))
    assert kernel.std() == pytest.approx(expected, rel=0.01)
    # A uniform distribution of this deviation would end at √3 of it.
    assert np.abs(kernel).max() > 2 * expected


@pytest.mark.parametrize("width", [1 / 16, 0.5])
def test_width_scales_all_filters_but_the_last(width):
    network = earlier.colorful(width=width)
    expected = [round(width * filters) for _, filters, *_ in COLORFUL[:-1]] + [313]
    assert [x.filters for x in convolutions(network)] == expected


# ------------------------------------------------------------------------------ conditional GAN


def test_the_generator_has_eleven_convolutions():
    layout = [(x.name, x.filters, x.strides[0]) for x in convolutions(earlier.unet_gan())]
    assert len(layout) == 11
    assert sorted(layout[:2]) == [("luminance_conv", 16, 1), ("mask_conv", 16, 1)]
    assert layout[2:] == [
        ("encoder_conv1", 64, 2),
        ("encoder_conv2", 128, 2),
        ("encoder_conv3", 256, 2),
        ("encoder_conv4", 512, 2),
        ("decoder_conv1", 256, 1),
        ("decoder_conv2", 128, 1),
        ("decoder_conv3", 64, 1),
        ("decoder_conv4", 32, 1),
        ("ab", 2, 1),
    ]


def test_skips_are_sums_of_the_encoder_at_the_same_resolution(built, rng):
    network = built("unet_gan")
    sums = [x for x in network.layers if isinstance(x, layers.Add)]
    partners = [[t._keras_history.operation.name for t in x.input] for x in sums]
    assert partners == [
        ["decoder_conv1_act", "encoder_conv3_act"],
        ["decoder_conv2_act", "encoder_conv2_act"],
        ["decoder_conv3_act", "encoder_conv1_act"],
        ["decoder_conv4_act", "join"],
    ]
    probe = keras.Model(network.input, [x.output for x in sums])
    inputs = random_inputs(rng, (32, 48), luminance=1, mask=1)
    sizes = [x.shape[1:3] for x in probe({n: v.astype("float32") for n, v in inputs.items()})]
    assert sizes == [(4, 6), (8, 12), (16, 24), (32, 48)]


def test_the_mask_changes_the_colours(built, rng):
    network = built("unet_gan")
    inputs = random_inputs(rng, (32, 32), luminance=1) | {"mask": np.zeros((1, 32, 32, 1))}
    without = run(network, **inputs)
    inputs["mask"][:, 8:24, 8:24] = 1
    assert np.abs(run(network, **inputs) - without).max() > 1e-3
    assert np.abs(without).max() <= 1


def test_the_discriminator_mirrors_the_encoder():
    network = earlier.unet_discriminator()
    layout = [(x.name, x.filters, x.strides[0]) for x in convolutions(network)]
    entries = [("ab_conv", 16, 1), ("luminance_conv", 16, 1), ("mask_conv", 16, 1)]
    assert sorted(layout[:3]) == entries
    encoder = [
        (x.name, x.filters, x.strides[0])
        for x in convolutions(earlier.unet_gan())
        if "encoder" in x.name
    ]
    assert layout[3:] == [*encoder, ("real_logits", 1, 1)]
    assert not [x for x in network.layers if isinstance(x, layers.BatchNormalization)]
    slopes = {x.negative_slope for x in network.layers if isinstance(x, layers.LeakyReLU)}
    assert slopes == {0.2}


def test_the_discriminator_judges_every_patch_by_all_its_inputs(built, rng):
    network = built("unet_discriminator")
    inputs = random_inputs(rng, (32, 48), luminance=1, ab=2, mask=1)
    before = run(network, **inputs)
    assert before.shape == (1, 2, 3, 1)
    for name, x in inputs.items():
        changed = run(network, **{**inputs, name: -x})
        assert (np.abs(changed - before) > 1e-5).all(), name


def test_the_discriminators_patch_is_80_pixels(built):
    """One pixel moves the logits whose patch it is in, and no others."""
    network, columns = built("unet_discriminator"), 160
    black = np.zeros((columns, 16, columns, 1))
    ab = np.zeros((columns, 16, columns, 2))
    before = run(network, luminance=black, mask=black, ab=ab)
    ab[range(columns), 8, range(columns)] = 100  # another one in each example
    moved = run(network, luminance=black, mask=black, ab=ab) != before
    seen = np.flatnonzero(moved[:, 0, 5, 0])
    assert seen[-1] - seen[0] + 1 == len(seen) == 80


def test_the_discriminator_answers_in_float32_in_half_precision(mixed_bfloat16, rng):
    network = BUILDERS["unet_discriminator"]()
    assert network.get_layer("encoder_conv1").compute_dtype == "bfloat16"
    answer = run(network, **random_inputs(rng, (32, 32), luminance=1, ab=2, mask=1))
    assert answer.dtype == np.float32
