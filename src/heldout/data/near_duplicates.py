"""Near-duplicates: candidates by perceptual hash, confirmed by the correlation of their thumbnails."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from heldout.data.components import connected

SIDE = 32  # pixels of a thumbnail; a smaller image holds too little to tell a copy from a similar image
FREQUENCIES = 8  # of the thumbnail's cosine transform, along each axis: 64 bits
BANDS = 4  # of 16 bits: two hashes that differ in fewer bits than there are bands share one of them
DISTANCE = 10  # bits
# Of 3,781 clothing photos the one true pair has 0.99999, the next candidates 0.972 (two shirts of one cut on the same
# cloth); of 2,062 hand signs the closest have 0.963.
CORRELATION = 0.98
PAIRS = 4096  # whose thumbnails are in memory at a time


def hashes(thumbnails: list[np.ndarray]) -> np.ndarray:
    """The perceptual hash (pHash) of each thumbnail: which low frequencies lie above their median.

    Args:
        thumbnails: uint8 arrays (32, 32, 3), RGB.

    Returns:
        uint64 array (n,).
    """
    low = np.empty((len(thumbnails), FREQUENCIES**2), np.float32)
    for row, thumbnail in enumerate(thumbnails):
        gray = cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY).astype(np.float32)
        low[row] = cv2.dct(gray)[:FREQUENCIES, :FREQUENCIES].ravel()
    low[:, 0] = 0  # the mean says nothing about the image
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def clusters(image_hashes: np.ndarray, thumbnails: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Number the images so that near-duplicates share a number; chains of them do as well.

    Args:
        image_hashes: uint64 array (n,) from `hashes`.
        thumbnails: returns the thumbnails of some rows, uint8 (m, 32, 32, 3); it is called for candidates alone.

    Returns:
        int array (n,): the cluster of each image.
    """
    numbers = np.arange(len(image_hashes))
    edges: list[np.ndarray] = []
    for pairs in candidates(image_hashes):
        pairs = pairs[numbers[pairs[:, 0]] != numbers[pairs[:, 1]]]  # a thousand frames of one scene cost a thousand
        kept = [part[_correlated(thumbnails, part)] for part in np.array_split(pairs, -(-len(pairs) // PAIRS) or 1)]
        if any(map(len, kept)):
            edges += kept
            numbers = connected(len(image_hashes), np.concatenate(edges))
    return numbers


def candidates(image_hashes: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs of rows, int (m, 2), whose hashes share a band and differ in `DISTANCE` bits at most.

    Rows that share a band are neighbors once sorted by it; each step compares every row with the one `step` further
    on, so memory stays within a few arrays of n whatever the number of pairs.
    """
    width = 64 // BANDS
    for band in range(BANDS):
        value = (image_hashes >> np.uint64(band * width)) & np.uint64(2**width - 1)
        order = np.lexsort((image_hashes, value))
        value, sorted_hashes = value[order], image_hashes[order]
        first = np.arange(len(image_hashes))
        for step in range(1, len(image_hashes)):
            first = first[: np.searchsorted(first, len(image_hashes) - step)]
            first = first[value[first] == value[first + step]]
            if not len(first):
                break
            near = first[np.bitwise_count(sorted_hashes[first] ^ sorted_hashes[first + step]) <= DISTANCE]
            if len(near):
                yield np.column_stack([order[near], order[near + step]])


def _correlated(thumbnails: Callable[[np.ndarray], np.ndarray], pairs: np.ndarray) -> np.ndarray:
    """Which pairs of rows (m, 2) have thumbnails that correlate."""
    if not len(pairs):
        return np.zeros(0, bool)
    rows, inverse = np.unique(pairs, return_inverse=True)
    values = thumbnails(rows).reshape(len(rows), -1).astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(values, axis=1)
    first, second = inverse.reshape(pairs.shape).T
    product = np.einsum("ij,ij->i", values[first], values[second])
    with np.errstate(divide="ignore", invalid="ignore"):  # an image of a single color correlates with none
        return product / (norms[first] * norms[second]) > CORRELATION
