"""OpenCV's resizing as TensorFlow operations: an image times two matrices of weights, one an axis.

`tf.image.resize` knows none of OpenCV's cubic, lanczos, and area where it enlarges. The weights are those of OpenCV's
documentation and resize.cpp; it computes linear, cubic and lanczos of uint8 in fixed point, so that a pixel may be one
level apart.
"""

import math

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import tensorflow as tf

CUBIC_A = -0.75
TAPS = {"linear": 2, "cubic": 4, "lanczos": 8}


def resize(image: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, interpolation: str) -> tf.Tensor:
    """An image in another size, as cv2.resize gives it, up to a level of a pixel.

    Args:
        image: float32 (height, width, channels), 0 to 255.
        rows, columns: of the result, scalars, int32.
        interpolation: area, linear, cubic or lanczos.

    Returns:
        float32 (rows, columns, channels), whole numbers 0 to 255.
    """
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    if interpolation == "area":
        shrinks = tf.logical_and(height >= rows, width >= columns)
        vertical, horizontal = (
            tf.cond(shrinks, lambda s=source, t=target: _area(s, t), lambda s=source, t=target: _area_enlarging(s, t))
            for source, target in ((height, rows), (width, columns))
        )
    else:
        vertical, horizontal = _taps(height, rows, interpolation), _taps(width, columns, interpolation)
    resized = tf.einsum("rh,hwc,qw->rqc", vertical, image, horizontal)
    return tf.clip_by_value(tf.round(resized), 0, 255)


def _area(source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """What of each pixel, (target, source), is under a pixel of the result."""
    scale = _ratio(source, target)
    starts = tf.range(target, dtype=tf.float32)[:, None] * scale
    pixels = tf.range(source, dtype=tf.float32)[None, :]
    overlap = tf.minimum(starts + scale, pixels + 1) - tf.maximum(starts, pixels)
    return tf.maximum(overlap, 0) / scale


def _area_enlarging(source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """OpenCV's area where an axis grows: linear between two pixels only where a pixel of the result covers both."""
    scale = _ratio(source, target)
    number = tf.range(target, dtype=tf.float32)
    left = tf.floor(number * scale)
    fraction = (number + 1) - (left + 1) / scale
    fraction = tf.where(fraction <= 0, 0.0, fraction - tf.floor(fraction))
    return _scatter(left[:, None] + [0.0, 1.0], tf.stack([1 - fraction, fraction], axis=1), source)


def _taps(source: tf.Tensor, target: tf.Tensor, interpolation: str) -> tf.Tensor:
    """The weights (target, source) of the pixels about the center of each pixel of the result."""
    count = TAPS[interpolation]
    center = (tf.range(target, dtype=tf.float32) + 0.5) * _ratio(source, target) - 0.5
    first = tf.floor(center) - (count // 2 - 1)
    positions = first[:, None] + tf.range(count, dtype=tf.float32)[None, :]
    distances = tf.abs(center[:, None] - positions)
    weights = {"linear": _linear, "cubic": _cubic, "lanczos": _lanczos}[interpolation](distances)
    return _scatter(positions, weights, source)


def _linear(distances: tf.Tensor) -> tf.Tensor:
    return tf.maximum(1 - distances, 0)


def _cubic(x: tf.Tensor) -> tf.Tensor:
    near = ((CUBIC_A + 2) * x - (CUBIC_A + 3)) * x * x + 1
    far = ((CUBIC_A * x - 5 * CUBIC_A) * x + 8 * CUBIC_A) * x - 4 * CUBIC_A
    return tf.where(x <= 1, near, tf.where(x < 2, far, 0.0))


def _lanczos(x: tf.Tensor) -> tf.Tensor:
    """Lanczos of order 4, over its sum."""
    angle = math.pi * x
    safe = tf.where(x < 1e-6, 1.0, angle)
    weights = tf.where(x < 1e-6, 1.0, tf.where(x < 4, tf.sin(safe) / safe * tf.sin(safe / 4) / (safe / 4), 0.0))
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def _scatter(positions: tf.Tensor, weights: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
    """A matrix (target, source) of weights (target, taps) at positions, those outside at the nearest border."""
    columns = tf.clip_by_value(tf.cast(positions, tf.int32), 0, source - 1)
    return tf.reduce_sum(tf.one_hot(columns, source) * weights[:, :, None], axis=1)


def _ratio(source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    return tf.cast(source, tf.float32) / tf.cast(target, tf.float32)
