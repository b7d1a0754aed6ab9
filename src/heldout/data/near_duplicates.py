"""Near-duplicates: candidates by perceptual hash, confirmed by their details once they are aligned."""

from collections.abc import Iterator

import cv2
import numpy as np

from heldout.data import perceptual_hash
from heldout.data.components import connected
from heldout.data.perceptual_hash import COLOR_SIDE, MIRRORED, PARTS, SIDE

MIN_SIDE = 32  # pixels; a smaller image holds too little to tell a copy from a similar image
ROTATIONS = range(0, 64, 16)  # of a hash's words: orders that are led by other bits
NEIGHBORS = 8  # on either side, in each order
DISTANCE = 10  # bits of a word
ANGLE = 18  # degrees between spectra
QUERIES = 2048  # images whose candidates are in memory at a time
PAIRS = 1024  # whose spectra are
MARGIN = 2  # pixels along the edges, which alignment mixes with what lies beyond
FINE, COARSE = 0.7, 1.5  # pixels: what the one blur keeps and the other loses are the details
ALIGNABLE = 0.6  # the correlation of details from which on it is worth aligning them
ECC = (cv2.MOTION_AFFINE, (cv2.TERM_CRITERIA_COUNT, 3, 0), None, 1)
CORRELATION = 0.93  # of details, where colors agree
GRAY_CORRELATION = 0.96  # where there are none
BLOCK = 9  # pixels
RESIDUAL = 0.4  # of the details of every block
COLOR_NOISE = COLOR_SIDE**2 * 2 * 2**2  # squared: two levels in each value
COLOR_SIMILARITY = 0.88


def clusters(signatures: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Number the images so that near-duplicates share a number; chains of them do as well.

    Args:
        signatures: array of `perceptual_hash.SIGNATURE`, which may be on disk: slices and candidates alone are read.
        rows: int (n,), those to be compared.

    Returns:
        int array (n,): the cluster of each.
    """
    numbers = np.arange(len(rows))
    for pairs in candidates(signatures["hashes"], rows):
        pairs, parts = _near(signatures["gray"], rows, pairs)
        while len(pairs):
            # One pair of each cluster at a time: a thousand frames of one scene cost a thousand comparisons.
            _, tried = np.unique(numbers[pairs[:, 0]], return_index=True)
            same = [_same(*signatures[rows[pairs[pair]]], parts[pair]) for pair in tried]
            numbers = _merged(numbers, pairs[tried[same]])
            left = numbers[pairs[:, 0]] != numbers[pairs[:, 1]]
            left[tried] = False
            pairs, parts = pairs[left], parts[left]
    return numbers


def candidates(hashes: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs of which one, by its hash, may be like a part of the other, or like its mirror image.

    In each of eight orders of the hashes, led by other bits, a part's hash is compared with its neighbors. So the cost
    is a line in n whatever the images, and what is returned is every pair within `DISTANCE` whose hashes share the
    leading 16 bits of an order with no more than `NEIGHBORS` images; all within 7 bits share those of one.
    (M. Bawa et al., LSH Forest, 2005.)

    Args:
        hashes: uint64 (N, parts + 1, 2), which may be on disk.
        rows: int (n,), those to be compared.

    Yields:
        int (m, 2), pairs of positions in `rows`.
    """
    images = [np.ascontiguousarray(hashes[:, 0, word])[rows] for word in range(hashes.shape[2])]
    orders = [_order(words, rotation) for words in images for rotation in ROTATIONS]
    for start in range(0, len(rows), QUERIES):
        parts = hashes[rows[start : start + QUERIES]]
        near = [_neighbors(parts, images, start, number, *order) for number, order in enumerate(orders)]
        first, second = np.sort(np.concatenate(near), axis=1).T
        yield np.column_stack(np.divmod(np.unique(first * len(rows) + second), len(rows)))


def _order(words: np.ndarray, rotation: int) -> tuple[np.ndarray, np.ndarray]:
    keys = _rotated(words, rotation)
    order = np.argsort(keys, kind="stable")
    return keys[order], order


def _rotated(words: np.ndarray, rotation: int) -> np.ndarray:
    return words << np.uint64(rotation) | words >> np.uint64((64 - rotation) % 64)


def _neighbors(
    parts: np.ndarray, images: list[np.ndarray], start: int, number: int, keys: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """Of the images from `start` on, with their parts' hashes: int (m, 4), image, neighbor, part and distance."""
    word, rotation = divmod(number, len(ROTATIONS))
    own, other = np.moveaxis(parts, 2, 0)[[word, 1 - word]]
    position = np.searchsorted(keys, _rotated(own, ROTATIONS[rotation]))
    near = []
    for step in range(-NEIGHBORS, NEIGHBORS):
        neighbor = order[np.clip(position + step, 0, len(order) - 1)]
        row, part = np.nonzero(np.bitwise_count(other ^ images[1 - word][neighbor]) <= DISTANCE)
        neighbor = neighbor[row, part]
        kept = np.bitwise_count(own[row, part] ^ images[word][neighbor]) <= DISTANCE
        near.append(np.column_stack([start + row, neighbor])[kept & (start + row != neighbor)])
    return np.concatenate(near)


def _near(gray: np.ndarray, rows: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those pairs, int (m, 2), that are near by their spectra, the image first whose part is like the other; the part."""
    near = [np.zeros((0, 3), int)]
    for start in range(0, len(pairs), PAIRS):
        chunk = pairs[start : start + PAIRS]
        unique, inverse = np.unique(chunk, return_inverse=True)
        slices = np.array_split(rows[unique], -(-len(unique) // 64))
        spectra = np.concatenate([perceptual_hash.spectra(gray[images]) for images in slices])
        first, second = spectra[inverse.reshape(-1, 2).T]
        cosines = np.hstack([_cosines(first, second), _cosines(second, first)])
        swapped, part = np.divmod(cosines.argmax(axis=1), spectra.shape[1])
        pair = np.where(swapped[:, None], chunk[:, ::-1], chunk)
        near.append(np.column_stack([pair, part])[cosines.max(axis=1) > np.cos(np.radians(ANGLE))])
    kept = np.concatenate(near)
    return kept[:, :2], kept[:, 2]


def _cosines(spectra: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Of the parts of some images (m, parts + 1, 64) with as many whole images, (m, parts + 1)."""
    return np.einsum("ijk,ik->ij", spectra, wholes[:, 0])


def _merged(numbers: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The clusters' numbers after pairs of their members, int (m, 2), are joined."""
    joined, inverse = np.unique(numbers[edges], return_inverse=True)
    _, first, component = np.unique(
        connected(len(joined), inverse.reshape(-1, 2)), return_index=True, return_inverse=True
    )
    merged = np.arange(len(numbers))
    merged[joined] = joined[first[component]]
    return merged[numbers]


def _same(image: np.void, copy: np.void, part: int) -> bool:
    """Whether the second of two signatures is a copy of a part of the first, of its mirror image where so numbered."""
    gray, color = image["gray"], image["color"]
    if part == MIRRORED:
        gray, color, part = np.ascontiguousarray(gray[:, ::-1]), np.ascontiguousarray(color[:, ::-1]), 0
    warp, limit = _part_warp(part, SIDE), GRAY_CORRELATION
    unaligned = _warped(gray, warp)
    if min(np.abs(color).max(), np.abs(copy["color"]).max()) > 1:
        contrast = copy["gray"].std() / max(unaligned.std(), 1)
        if not _colors_agree(_warped(color.astype(np.float32), _part_warp(part, COLOR_SIDE)) * contrast, copy["color"]):
            return False
        limit = CORRELATION
    details, first = _details(copy["gray"]), _details(unaligned)
    if _correlation(first, details) < ALIGNABLE:
        return False
    if _agree(first, details, limit):
        return True
    try:
        _, warp = cv2.findTransformECC(copy["gray"], gray, warp, *ECC)
    except cv2.error:  # nothing to align by
        return False
    return _agree(_details(_warped(gray, warp)), details, limit)


def _part_warp(part: int, side: int) -> np.ndarray:
    """The affine matrix that takes a pixel of a part, `side` x `side`, to that of the image."""
    (top, bottom), (left, right) = PARTS[part]
    warp = np.float32([[right - left, 0, left * side], [0, bottom - top, top * side]])
    warp[:, 2] += (warp[:, :2].sum(axis=1) - 1) / 2  # coordinates are those of pixels' centers
    return warp


def _warped(values: np.ndarray, warp: np.ndarray) -> np.ndarray:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, warp, values.shape[:2], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _colors_agree(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether colors (12, 12, 2) agree, but for their outermost, which may be of a border."""
    first, second = first[1:-1, 1:-1], second[1:-1, 1:-1].astype(np.float32)
    energy = (first**2).sum() + (second**2).sum()
    return bool(2 * (first * second).sum() + COLOR_NOISE > COLOR_SIMILARITY * (energy + COLOR_NOISE))


def _details(gray: np.ndarray) -> np.ndarray:
    inside = gray[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.float32)
    return cv2.GaussianBlur(inside, (0, 0), FINE) - cv2.GaussianBlur(inside, (0, 0), COARSE)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float((first * second).sum() / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-3))


def _agree(first: np.ndarray, second: np.ndarray, limit: float) -> bool:
    """Whether details correlate, and differ little in every block: a thing that is in one image alone differs wholly."""
    if _correlation(first, second) <= limit:
        return False
    first = first * float((first * second).sum() / (first * first).sum())
    energy = cv2.blur((first * first + second * second) / 2, (BLOCK, BLOCK))
    residual = cv2.blur((first - second) ** 2, (BLOCK, BLOCK))
    return bool((residual <= RESIDUAL * (energy + energy.mean() / 2)).all())
