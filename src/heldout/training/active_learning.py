"""Active learning: which images without a label are most worth labelling, by what a trained model makes of them."""

from typing import NamedTuple

import numpy as np

from heldout.core.process import suppress_native_stderr
from heldout.data.shards import Images

with suppress_native_stderr():
    import keras


class Embedded(NamedTuple):
    """What a model makes of images: probabilities float32 (n, num_classes), and the features (n, dimensions) that it
    takes them from."""

    probabilities: np.ndarray
    features: np.ndarray


def embed(model: keras.Model, images: Images) -> Embedded:
    """The probabilities and features of all images, in their order.

    Args:
        model: of `build.build`, trained.
        images: n of them.
    """
    both = keras.Model(model.input, [model.output, model.get_layer("probabilities").input])
    parts = [both(batch, training=False) for batch in images.batches()]
    probabilities, features = (np.concatenate([np.float32(part[number]) for part in parts]) for number in (0, 1))
    return Embedded(probabilities, features)


def margins(probabilities: np.ndarray) -> np.ndarray:
    """How far the two most probable classes of each image are apart, float (n,): least where the model is in doubt
    (Scheffer et al., Active Hidden Markov Models, 2001).

    Args:
        probabilities: float (n, num_classes), two or more classes.
    """
    two = np.sort(np.partition(probabilities, -2, axis=1)[:, -2:], axis=1)
    return two[:, 1] - two[:, 0]


def k_center(features: np.ndarray, labeled: np.ndarray, count: int) -> np.ndarray:
    """Images that lie far from all labelled ones and from each other, int (count,), the farthest first (Sener and
    Savarese, Active Learning for Convolutional Neural Networks: A Core-Set Approach, 2018, algorithm 1).

    Args:
        features: float (n, dimensions) of the images to choose from.
        labeled: float (m, dimensions), one or more.
        count: how many to choose, n at most.
    """
    distance = np.full(len(features), np.inf)
    for center in labeled:
        distance = np.minimum(distance, np.sum((features - center) ** 2, axis=1))
    chosen = []
    for _ in range(count):
        farthest = int(distance.argmax())
        chosen.append(farthest)
        distance = np.minimum(distance, np.sum((features - features[farthest]) ** 2, axis=1))
        distance[chosen] = -1
    return np.array(chosen, int)


def choose(unlabeled: Embedded, labeled: Embedded, count: int, method: str) -> np.ndarray:
    """The rows of the images that are most worth labelling, int (min(count, n),), the first first.

    Args:
        unlabeled: the images to choose from.
        labeled: the training images.
        count: how many.
        method: `margin`, the least `margins`; or `k_center`.
    """
    count = min(count, len(unlabeled.features))
    if method == "margin":
        return np.argsort(margins(unlabeled.probabilities), kind="stable")[:count]
    return k_center(unlabeled.features, labeled.features, count)
