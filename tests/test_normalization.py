"""The fused batch normalisation is Keras's: its outputs, gradients and moving statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from colorizer.normalization import BatchNormalization

TOLERANCE = {"float32": 2e-5, "mixed_bfloat16": 2e-2}


def step(kind, inputs, policy, **options):
    """One training step on random upstream gradients: everything that it leaves."""
    layer = kind(dtype=keras.dtype_policies.get(policy), **options)
    layer.build(inputs.shape)
    rng = np.random.default_rng(1)
    layer.gamma.assign(rng.uniform(0.5, 2, layer.gamma.shape))
    layer.beta.assign(rng.normal(size=layer.beta.shape))
    x = tf.cast(inputs, layer.compute_dtype)
    upstream = tf.cast(rng.normal(size=inputs.shape), "float32")
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
        loss = tf.reduce_sum(tf.cast(outputs, "float32") * upstream)
    gradients = tape.gradient(loss, [x, *layer.trainable_variables])
    left = [outputs, *gradients, layer.moving_mean, layer.moving_variance]
    return outputs.dtype, [np.array(keras.ops.cast(v, "float32")) for v in left]


@pytest.mark.parametrize("policy", TOLERANCE)
@pytest.mark.parametrize("shape", [(4, 5, 7, 3), (2, 16, 16, 8), (2, 1, 1, 4), (1, 1, 1, 2)])
def test_a_training_step_is_that_of_keras(shape, policy):
    inputs = np.random.default_rng(0).normal(3, 2, shape).astype("float32")
    fused_type, fused = step(BatchNormalization, inputs, policy)
    plain_type, plain = step(keras.layers.BatchNormalization, inputs, policy)
    assert fused_type == plain_type
    for ours, theirs in zip(fused, plain, strict=True):
        scale = max(1.0, np.abs(theirs).max())
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=TOLERANCE[policy])


def kernels(layer, shape, **options):
    traced = tf.function(lambda x: layer(x, **options)).get_concrete_function(tf.zeros(shape))
    return [op.type for op in traced.graph.get_operations() if op.type.startswith("FusedBatch")]


@pytest.mark.parametrize(
    ("options", "shape", "training", "fused"),
    [
        ({}, (2, 4, 4, 3), True, True),
        ({}, (2, 4, 4, 3), False, False),
        ({}, (2, 4), True, False),
        ({"axis": 1}, (2, 4, 4, 3), True, False),
        ({"scale": False}, (2, 4, 4, 3), True, False),
        ({"center": False}, (2, 4, 4, 3), True, False),
        ({"trainable": False}, (2, 4, 4, 3), True, False),
        ({"dtype": "float64"}, (2, 4, 4, 3), True, False),
    ],
)
def test_the_kernel_is_used_where_it_fits(options, shape, training, fused):
    assert bool(kernels(BatchNormalization(**options), shape, training=training)) == fused


def test_a_mask_is_kept_to():
    layer, inputs = BatchNormalization(momentum=0.0), np.zeros((1, 2, 2, 1), "float32")
    inputs[0, 0] = 5
    layer(inputs, training=True, mask=np.array([[[True, True], [False, False]]]))
    np.testing.assert_allclose(layer.moving_mean, [5])
