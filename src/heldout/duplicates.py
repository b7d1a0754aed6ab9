"""Near-duplicates: candidates by perceptual hash, confirmed by the correlation of their thumbnails."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from heldout.units import connected

SIDE = 32  # pixels of a thumbnail; a smaller image holds too little to tell a copy from a likeness
FREQUENCIES = 8  # of the thumbnail's cosine transform, each way: 64 bits
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
        grey = cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY).astype(np.float32)
        low[row] = cv2.dct(grey)[:FREQUENCIES, :FREQUENCIES].ravel()
    low[:, 0] = 0  # the mean says nothing about the picture
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def clusters(hashed: np.ndarray, thumbnails: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Number the images so that near-duplicates share a number; chains of them do as well.

    Args:
        hashed: uint64 array (n,) from `hashes`.
        thumbnails: gives the thumbnails of some rows, uint8 (m, 32, 32, 3); it is asked for candidates alone.

    Returns:
        int array (n,): the cluster of each image.
    """
    numbers = np.arange(len(hashed))
    edges: list[np.ndarray] = []
    for pairs in candidates(hashed):
        pairs = pairs[numbers[pairs[:, 0]] != numbers[pairs[:, 1]]]  # a thousand frames of one scene cost a thousand
        kept = [part[_alike(thumbnails, part)] for part in np.array_split(pairs, -(-len(pairs) // PAIRS) or 1)]
        if any(map(len, kept)):
            edges += kept
            numbers = connected(len(hashed), np.concatenate(edges))
    return numbers


def candidates(hashed: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs of rows, int (m, 2), whose hashes share a band and differ in `DISTANCE` bits at most.

    Rows that share a band are neighbours once sorted by it; each step compares every row with the one `step` further
    on, so memory stays within a few arrays of n whatever the number of pairs.
    """
    width = 64 // BANDS
    for band in range(BANDS):
        value = (hashed >> np.uint64(band * width)) & np.uint64(2**width - 1)
        order = np.lexsort((hashed, value))
        value, in_order = value[order], hashed[order]
        first = np.arange(len(hashed))
        for step in range(1, len(hashed)):
            first = first[: np.searchsorted(first, len(hashed) - step)]
            first = first[value[first] == value[first + step]]
            if not len(first):
                break
            near = first[np.bitwise_count(in_order[first] ^ in_order[first + step]) <= DISTANCE]
            if len(near):
                yield np.column_stack([order[near], order[near + step]])


def _alike(thumbnails: Callable[[np.ndarray], np.ndarray], pairs: np.ndarray) -> np.ndarray:
    """Which pairs of rows (m, 2) have thumbnails that correlate."""
    if not len(pairs):
        return np.zeros(0, bool)
    rows, place = np.unique(pairs, return_inverse=True)
    values = thumbnails(rows).reshape(len(rows), -1).astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1)
    first, second = place.reshape(pairs.shape).T
    product = np.einsum("ij,ij->i", values[first], values[second])
    with np.errstate(divide="ignore", invalid="ignore"):  # a picture of one colour correlates with none
        return product / (length[first] * length[second]) > CORRELATION
