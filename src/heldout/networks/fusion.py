"""Fusion: what an image's text says beside what its pixels do, in one network."""

from typing import Any

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import keras
    from keras import layers

UNITS = 64  # of an embedding


def fuse(features: Any, buckets: int, length: int) -> tuple[Any, Any]:
    """An image's features beside the mean of its tokens' embeddings.

    It is FastText's classifier (Joulin et al., 2017), whose sentence is a mean of words and their parts. Layers of
    Keras alone, which every format can hold: its TextVectorization works on strings, which TFLite lacks.

    Args:
        features: a Keras tensor of the image's features, (n, units).
        buckets, length: of `tokenizer.tokenize`.

    Returns:
        The input `tokens`, int32 (n, length), and the features of both, (n, units + UNITS).
    """
    tokens = keras.Input((length,), dtype="int32", name="tokens")
    embedded = layers.Embedding(buckets, UNITS, mask_zero=True, name="embedding")(tokens)
    # A mean of many small embeddings is far smaller than an image's features, and would learn as much more slowly.
    text = layers.LayerNormalization(name="text_norm")(layers.GlobalAveragePooling1D(name="text")(embedded))
    return tokens, layers.Concatenate(name="fusion")([features, text])
