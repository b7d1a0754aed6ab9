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
ANGLE = 17  # degrees between spectra
QUERIES = 2048  # images whose candidates are in memory at a time
PAIRS = 1024  # whose spectra are
ECC = (cv2.MOTION_AFFINE, (cv2.TERM_CRITERIA_COUNT, 3, 0), None, 3)
MARGIN = 2  # pixels along the edges, which alignment mixes with what lies beyond
FINE, COARSE = 0.7, 1.5  # pixels: what the one blur keeps and the other loses are the details
CORRELATION = 0.94  # of the details
BLOCK = 9  # pixels
RESIDUAL = 0.45  # of the details of any block
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
    for pairs, parts in candidates(signatures["hashes"], rows):
        near = _near(signatures["gray"], rows[pairs], parts)
        pairs, parts = pairs[near], parts[near]
        while len(pairs):
            # One pair of each cluster at a time: a thousand frames of one scene cost a thousand comparisons.
            _, tried = np.unique(numbers[pairs[:, 0]], return_index=True)
            same = [_same(*signatures[rows[pairs[pair]]], parts[pair]) for pair in tried]
            numbers = _merged(numbers, pairs[tried[same]])
            left = numbers[pairs[:, 0]] != numbers[pairs[:, 1]]
            left[tried] = False
            pairs, parts = pairs[left], parts[left]
    return numbers


def candidates(hashes: np.ndarray, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of which the second, by its hash, may be like a part of the first, or like its mirror image.

    In each of eight orders of the hashes, led by other bits, a part's hash is compared with its neighbors. So the cost
    is a line in n whatever the images, and what is returned is every pair within `DISTANCE` whose hashes share the
    leading 16 bits of an order with no more than `NEIGHBORS` images; all within 7 bits share those of one.
    (M. Bawa et al., LSH Forest, 2005.)

    Args:
        hashes: uint64 (N, parts + 1, 2), which may be on disk.
        rows: int (n,), those to be compared.

    Yields:
        pairs, int (m, 2), of positions in `rows`, and the number of the part, int (m,).
    """
    images = [np.ascontiguousarray(hashes[:, 0, word])[rows] for word in range(hashes.shape[2])]
    orders = [_order(words, rotation) for words in images for rotation in ROTATIONS]
    for start in range(0, len(rows), QUERIES):
        parts = hashes[rows[start : start + QUERIES]]
        near = [_neighbors(parts, images, start, number, *order) for number, order in enumerate(orders)]
        first, second, part, distance = np.concatenate(near).T
        pair = np.minimum(first, second) * len(rows) + np.maximum(first, second)
        nearest = np.lexsort([part, distance, pair])
        nearest = nearest[np.unique(pair[nearest], return_index=True)[1]]
        yield np.column_stack([first, second])[nearest], part[nearest]


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
        distance = np.bitwise_count(other ^ images[1 - word][neighbor])
        row, part = np.nonzero(distance <= DISTANCE)
        neighbor, distance = neighbor[row, part], distance[row, part]
        own_distance = np.bitwise_count(own[row, part] ^ images[word][neighbor])
        kept = (own_distance <= DISTANCE) & (start + row != neighbor)
        near.append(np.column_stack([start + row, neighbor, part, distance + own_distance])[kept])
    return np.concatenate(near)


def _near(gray: np.ndarray, pairs: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Which candidates, pairs of images (m, 2), are near by their spectra, bool (m,)."""
    near = np.zeros(len(pairs), bool)
    for start in range(0, len(pairs), PAIRS):
        chunk = slice(start, start + PAIRS)
        rows, inverse = np.unique(pairs[chunk], return_inverse=True)
        spectra = np.concatenate([perceptual_hash.spectra(gray[some]) for some in np.array_split(rows, -(-len(rows) // 64))])
        first, second = inverse.reshape(-1, 2).T
        cosines = np.einsum("ij,ij->i", spectra[first, parts[chunk]], spectra[second, 0])
        near[chunk] = cosines > np.cos(np.radians(ANGLE))
    return near


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
    warp = _part_warp(part)
    if _agree(gray, color, copy, warp):
        return True
    try:
        _, warp = cv2.findTransformECC(copy["gray"], gray, warp, *ECC)
    except cv2.error:  # nothing to align by
        return False
    return _agree(gray, color, copy, warp)


def _part_warp(part: int) -> np.ndarray:
    """The affine matrix that takes a pixel of a part to the pixel of the image."""
    (top, bottom), (left, right) = PARTS[part]
    warp = np.float32([[right - left, 0, left * SIDE], [0, bottom - top, top * SIDE]])
    warp[:, 2] += (warp[:, :2].sum(axis=1) - 1) / 2  # coordinates are those of pixels' centers
    return warp


def _warped(values: np.ndarray, warp: np.ndarray) -> np.ndarray:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, warp, values.shape[:2], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _agree(gray: np.ndarray, color: np.ndarray, copy: np.void, warp: np.ndarray) -> bool:
    """Whether an image, moved by `warp`, has the copy's details and colors."""
    inside = slice(MARGIN, SIDE - MARGIN), slice(MARGIN, SIDE - MARGIN)
    first, second = (plane[inside].astype(np.float32) for plane in (_warped(gray, warp), copy["gray"]))
    contrast = second.std() / max(first.std(), 1e-3)
    return _details_agree(_details(first), _details(second)) and _colors_agree(color, copy["color"], warp, contrast)


def _details(gray: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(gray, (0, 0), FINE) - cv2.GaussianBlur(gray, (0, 0), COARSE)


def _details_agree(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether details correlate, and differ little in every block: of a thing that is in one image alone, all do."""
    energy = float((first * first).sum())
    product = float((first * second).sum())
    if product <= CORRELATION * np.sqrt(energy * float((second * second).sum())):
        return False
    first = first * (product / energy)
    mean_energy = cv2.blur((first * first + second * second) / 2, (BLOCK, BLOCK))
    residual = cv2.blur((first - second) ** 2, (BLOCK, BLOCK))
    return bool((residual <= RESIDUAL * (mean_energy + mean_energy.mean() / 2)).all())


def _colors_agree(color: np.ndarray, copy: np.ndarray, warp: np.ndarray, contrast: float) -> bool:
    """Whether colors agree but for the contrast of the luminance; gray agrees with any."""
    if min(np.abs(color).max(), np.abs(copy).max()) <= 1:
        return True
    scale = COLOR_SIDE / SIDE
    shift = warp[:, 2:] * scale + (warp[:, :2].sum(axis=1, keepdims=True) - 1) * (scale - 1) / 2
    first = _warped(color.astype(np.float32), np.hstack([warp[:, :2], shift])) * contrast
    second = copy.astype(np.float32)
    energy = (first**2).sum() + (second**2).sum()
    return bool(2 * (first * second).sum() + COLOR_NOISE > COLOR_SIMILARITY * (energy + COLOR_NOISE))
