"""Batch normalisation [1] whose training step reads a feature map once instead of many times.

References
    [1] S. Ioffe, C. Szegedy. "Batch Normalization: Accelerating Deep Network Training by Reducing
        Internal Covariate Shift". ICML 2015.
"""

from typing import Any

import keras
from keras import ops

Tensor = Any
FUSED_DTYPES = ("float32", "float16", "bfloat16")


@keras.saving.register_keras_serializable("colorizer")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, trained by TensorFlow's fused kernel where there is one.

    Keras writes the statistics, the normalisation and their gradients as a dozen separate passes
    in float32. The kernel computes in float32 too, but reads and writes the compute dtype. Only
    training on feature maps (B, H, W, C) goes this way; all else is Keras's own.
    """

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """As the layer of Keras; moves the same moving statistics."""
        if not (training and self.trainable and mask is None and self._fuses(inputs)):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=ops.cast(inputs, self.compute_dtype),
            scale=ops.convert_to_tensor(self.gamma, "float32"),
            offset=ops.convert_to_tensor(self.beta, "float32"),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel's variance is the unbiased one, Keras keeps the biased.
        count = ops.cast(ops.size(inputs) / ops.shape(inputs)[-1], "float32")
        for moving, value in (
            (self.moving_mean, mean),
            (self.moving_variance, variance * (count - 1) / count),
        ):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return outputs

    def _fuses(self, inputs: Tensor) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.center
            and self.scale
            and not (getattr(self, "renorm", False) or self.synchronized)  # renorm: Keras 3.14
            and self.compute_dtype in FUSED_DTYPES
        )
