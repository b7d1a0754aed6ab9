"""From a JPEG or PNG file to probabilities inside TensorFlow: decoded and resized as data/images.py does by OpenCV."""

from typing import Any

from heldout.core.process import suppress_native_stderr
from heldout.export.decoding import resize as resizing
from heldout.export.decoding.orientation import upright
from heldout.export.inputs import IMAGES, PROBABILITIES
from heldout.export.serving import predict

with suppress_native_stderr():
    import keras
    import tensorflow as tf

HEADER = (24, 2)  # where a PNG has its bit depth and color type, and their bytes; 0 is gray
GRAY = (0.299, 0.587, 0.114)  # ITU-R BT.601


def serving_function(model: keras.Model, **preprocess: Any) -> Any:
    """Files, strings of bytes (n,), to probabilities, in inference mode.

    Args:
        model: of one input.
        preprocess: the section of params.yaml. A JPEG is decoded in full size, whatever `fast_decode` says.
    """

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name=IMAGES)])
    def serve_encoded(images: tf.Tensor) -> dict[str, tf.Tensor]:
        shape = tf.TensorSpec(model.input_shape[1:], tf.float32)
        pixels = tf.map_fn(lambda content: decode_and_resize(content, **preprocess), images, fn_output_signature=shape)
        return {PROBABILITIES: predict(model, [pixels])}

    return serve_encoded


def decode_and_resize(
    content: tf.Tensor,
    *,
    image_size: list[int],
    channels: int,
    resize: str,
    interpolation: str,
    pad_color: list[int],
    fast_decode: bool,
) -> tf.Tensor:
    """A JPEG or PNG as the network takes it: float32 (*image_size, channels), whole numbers 0 to 255.

    Args: as `data.images.decode_and_resize`.
    """
    decoded = decode(content)
    height, width = (tf.constant(side) for side in image_size)
    if resize == "pad":
        image = _pad(decoded, height, width, interpolation, pad_color)
    else:
        region = decoded if resize == "squash" else _center_crop(decoded, height / width)
        image = resizing.resize(region, height, width, interpolation)
    if channels == 1:
        image = tf.round(tf.reduce_sum(image * GRAY, axis=-1, keepdims=True))
    return tf.ensure_shape(image, (*image_size, channels))


def decode(content: tf.Tensor) -> tf.Tensor:
    """The pixels of a JPEG or PNG, float32 (height, width, 3), 0 to 255, over white where it is transparent, upright
    where it is a JPEG."""

    def jpeg() -> tf.Tensor:
        pixels = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
        return upright(tf.cast(pixels, tf.float32), content)

    def png() -> tf.Tensor:
        pixels = tf.cast(tf.io.decode_png(content, channels=4), tf.float32)
        depth, color_type = tf.unstack(tf.io.decode_raw(tf.strings.substr(content, *HEADER), tf.uint8), num=2)
        # TensorFlow 2.21 gives gray of 1, 2 and 4 bits an alpha of 1, 3 and 15 where it is opaque.
        is_scaled = tf.logical_or(depth >= 8, color_type != 0)
        alpha = tf.where(is_scaled, pixels[..., 3:] / 255, tf.sign(pixels[..., 3:]))
        return tf.round(pixels[..., :3] * alpha + 255 * (1 - alpha))

    return tf.cond(tf.io.is_jpeg(content), jpeg, png)


def _pad(
    decoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor, interpolation: str, pad_color: list[int]
) -> tf.Tensor:
    source = tf.cast(tf.shape(decoded)[:2], tf.float64)
    target = tf.cast(tf.stack([height, width]), tf.float64)
    rows, columns = tf.unstack(_whole(source * tf.reduce_min(target / source)))
    top, left = (height - rows) // 2, (width - columns) // 2
    color = tf.constant(pad_color, tf.float32)
    inside = resizing.resize(decoded, rows, columns, interpolation) - color
    return tf.pad(inside, [[top, height - rows - top], [left, width - columns - left], [0, 0]]) + color


def _center_crop(decoded: tf.Tensor, aspect: tf.Tensor) -> tf.Tensor:
    """The largest part about the center whose height / width is `aspect`, float64."""
    height, width = tf.unstack(tf.shape(decoded)[:2])
    rows = tf.minimum(height, _whole(tf.cast(width, tf.float64) * aspect))
    columns = tf.minimum(width, _whole(tf.cast(height, tf.float64) / aspect))
    top, left = (height - rows) // 2, (width - columns) // 2
    return decoded[top : top + rows, left : left + columns]


def _whole(sides: tf.Tensor) -> tf.Tensor:
    """The nearest whole number of pixels, at least one; halves go to the even one, as in Python."""
    return tf.maximum(tf.cast(tf.round(sides), tf.int32), 1)
