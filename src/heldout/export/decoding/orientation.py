"""The EXIF orientation of a JPEG as TensorFlow operations: `tf.io` ignores it, OpenCV and training do not."""

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import tensorflow as tf

HEAD = 2**16  # bytes: EXIF is in one of the first segments, each of 64 KiB at most
START = b"Exif\0\0"
ORIENTATION, SHORT = 0x0112, 3  # the tag, and its type
ENTRY = 12  # bytes of a tag in its directory


def upright(pixels: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
    """The pixels (height, width, channels) of a JPEG, turned and mirrored as its EXIF says."""
    orientation = read(content)
    pixels = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
    mirrored = tf.reduce_any(orientation == [2, 3, 6, 7])
    pixels = tf.cond(mirrored, lambda: tf.reverse(pixels, [1]), lambda: pixels)
    upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
    return tf.cond(upside_down, lambda: tf.reverse(pixels, [0]), lambda: pixels)


def read(content: tf.Tensor) -> tf.Tensor:
    """The orientation of a JPEG, a scalar string: int32, 1 to 8; 1 where none is said, or what is said is damaged."""
    raw = tf.cast(tf.io.decode_raw(tf.strings.substr(content, 0, HEAD), tf.uint8), tf.int32)
    head = tf.pad(raw, [[0, len(START)]])
    count = tf.size(raw)
    is_start = tf.reduce_all([head[offset : offset + count] == byte for offset, byte in enumerate(START)], axis=0)
    tiff = head[tf.argmax(is_start, output_type=tf.int32) + len(START) :]
    is_big_endian = tiff[:1] == ord("M")

    def number(position: tf.Tensor, size: int) -> tf.Tensor:
        places = tf.clip_by_value(tf.reshape(position, (-1, 1)) + tf.range(size), 0, tf.size(tiff) - 1)
        values = tf.gather(tiff, places)
        values = tf.where(is_big_endian, values, tf.reverse(values, [1]))
        return tf.reduce_sum(values * [256**power for power in reversed(range(size))], axis=1)

    directory = number(tf.constant(4), 4)[0]
    entries = tf.minimum(number(directory, 2)[0], HEAD // ENTRY)
    positions = directory + 2 + ENTRY * tf.range(entries)
    is_it = tf.logical_and(number(positions, 2) == ORIENTATION, number(positions + 2, 2) == SHORT)
    value = tf.reduce_max(tf.where(is_it, number(positions + 8, 2), 0))
    is_said = tf.reduce_any(is_start) & (value >= 1) & (value <= 8)
    return tf.where(is_said, value, 1)
