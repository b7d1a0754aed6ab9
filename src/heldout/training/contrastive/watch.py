"""What tells whether pretraining goes well, of training images alone: val stays unseen until `train`."""

import numpy as np


def alignment(first: np.ndarray, second: np.ndarray) -> float:
    """The mean squared distance of two views' embeddings (Wang and Isola, 2020): 0 where all views agree.

    Args:
        first, second: float (n, dimensions), of length 1.
    """
    return float(np.mean(np.sum((first - second) ** 2, axis=1)))


def uniformity(embeddings: np.ndarray) -> float:
    """The logarithm of the mean Gaussian potential of all pairs (Wang and Isola, 2020, t = 2): 0 where all embeddings
    are one point, about -4 where they are spread over a sphere.

    Args:
        embeddings: float (n, dimensions), of length 1; two or more.
    """
    squared = 2 - 2 * embeddings @ embeddings.T
    pairs = squared[np.triu_indices(len(embeddings), 1)]
    return float(np.log(np.mean(np.exp(-2 * pairs))))


def neighbor_accuracy(features: np.ndarray, labels: np.ndarray, components: np.ndarray) -> float:
    """How often the nearest image of another component, by cosine, has the same label: each component (a group, or
    near-duplicates) is a fold.

    Args:
        features: float (n, dimensions).
        labels: (n,).
        components: int (n,).
    """
    normal = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    cosines = normal @ normal.T
    cosines[components[:, None] == components[None, :]] = -np.inf
    return float(np.mean(labels[cosines.argmax(axis=1)] == labels))
