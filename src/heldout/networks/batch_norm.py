"""Batch normalization for training: Keras's layer by TensorFlow's fused operation, which Keras 3.15 does not use."""

from typing import Any

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import tensorflow as tf
    from keras import layers


class BatchNormalization(layers.BatchNormalization):
    """Keras's layer, its weights and its mathematics, for images (n, height, width, channels) and training alone.

    A training step is one operation forward and one back, in the precision of the images, with float32 sums. Inference,
    and a frozen layer, are Keras's own computation: a validation loss is that of the model that `build.load` builds
    of Keras's layers, and there is no gradient that GPUs lack a deterministic kernel for. The class has the name of
    Keras's because the file of weights holds it (Keras 3.15).
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(inputs, self.gamma, self.beta, epsilon=self.epsilon)
        # The operation divides by n - 1 values, for a moving variance; Keras by n.
        values = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), variance.dtype)
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance * (values - 1) / values)):
            moving.assign(moving * self.momentum + now * (1 - self.momentum))
        return outputs
