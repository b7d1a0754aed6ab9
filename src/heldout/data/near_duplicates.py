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
DISTANCE = 9  # bits of a word
ANGLE = 18  # degrees between spectra
QUERIES = 2048  # images whose candidates are in memory at a time
PAIRS = 1024  # whose spectra are
MARGIN = 2  # pixels along the edges, which alignment mixes with what lies beyond
FINE, COARSE = 1.0, 2.0  # pixels: what the one blur keeps and the other loses are the details
ALIGNABLE = 0.7  # correlation of details from which on it is worth aligning them
ECC_STEPS = (cv2.TERM_CRITERIA_COUNT, 3, 0.0)
# Thresholds lie between the copies that benchmarks/near_duplicates.py plants with `--half 0` and the nearest different
# photos in its two sets, whose details correlate by 0.947 where their colors agree, by 0.968 where these do not count.
CORRELATION = 0.955  # of details, where both images have color
GRAY_CORRELATION = 0.98  # where color tells nothing
GRAY_DIFFERENCE = 6  # levels of luminance on average, where only one has color: black is no copy of blue
BLOCK, RESIDUAL = 9, 0.3  # pixels; of details
COLOR_BLOCK, COLOR_RESIDUAL = 3, 0.55
COLOR_NOISE = 16  # squared levels


def clusters(signatures: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Number the images so that near-duplicates share a number; chains of them do as well.

    Args:
        signatures: array of `perceptual_hash.SIGNATURE`, which may be on disk: slices and candidates alone are read.
        rows: int (n,), those to be compared.

    Returns:
        int array (n,): the cluster of each.
    """
    numbers = np.arange(len(rows))
    for candidate_pairs in candidates(signatures["hashes"], rows):
        for start in range(0, len(candidate_pairs), PAIRS):
            pairs = candidate_pairs[start : start + PAIRS]
            pairs, parts = _near(signatures["gray"], rows, pairs[_apart(numbers, pairs)])
            while len(pairs):
                # One pair of each cluster at a time: a thousand frames of one scene cost about as many comparisons.
                _, tried = np.unique(numbers[pairs[:, 0]], return_index=True)
                compared = zip(*rows[pairs[tried]].T, parts[tried], strict=True)
                same = [_same(signatures[image], signatures[copy], part) for image, copy, part in compared]
                numbers = _merged(numbers, pairs[tried[same]])
                left = _apart(numbers, pairs)
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
    """The pairs, int (m, 2), that are near by their spectra, the image first whose part is like the other; the part."""
    images, inverse = np.unique(pairs, return_inverse=True)
    slices = np.array_split(rows[images], len(images) // 64 + 1)
    spectra = np.concatenate([perceptual_hash.spectra(gray[some]) for some in slices])
    first, second = spectra[inverse.reshape(-1, 2).T]
    cosines = np.hstack([_cosines(first, second), _cosines(second, first)])
    swapped, parts = np.divmod(cosines.argmax(axis=1), spectra.shape[1])
    pairs = np.where(swapped[:, None], pairs[:, ::-1], pairs)
    near = cosines.max(axis=1) > np.cos(np.radians(ANGLE))
    return pairs[near], parts[near]


def _cosines(spectra: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Of the parts of some images (m, parts + 1, 64) with as many whole images, (m, parts + 1)."""
    return np.einsum("ijk,ik->ij", spectra, wholes[:, 0])


def _apart(numbers: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Which pairs, int (m, 2), are of two clusters, bool (m,)."""
    return numbers[pairs[:, 0]] != numbers[pairs[:, 1]]


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
    warp = _part_warp(part, SIDE)
    unaligned = _warped(gray, warp)
    unaligned_details, details = _details(unaligned), _details(copy["gray"])
    if _correlation(unaligned_details, details) < ALIGNABLE:
        return False
    limit = _needed_correlation(unaligned, _warped(color.astype(np.float32), _part_warp(part, COLOR_SIDE)), copy)
    if limit is None:
        return False
    if _details_agree(unaligned_details, details, limit):
        return True
    everywhere, blur = np.ones_like(gray), 1  # OpenCV's own, 5, mixes the image with a border beyond it
    try:
        _, warp = cv2.findTransformECC(copy["gray"], gray, warp, cv2.MOTION_AFFINE, ECC_STEPS, everywhere, blur)
    except cv2.error:  # nothing to align by
        return False
    return _details_agree(_details(_warped(gray, warp)), details, limit)


def _needed_correlation(gray: np.ndarray, color: np.ndarray, copy: np.void) -> float | None:
    """What details have to have, once the image is moved onto the copy; None where colors tell them apart."""
    with_color = [plane.max() > 1 or plane.min() < -1 for plane in (color, copy["color"])]
    if not any(with_color):
        return GRAY_CORRELATION
    if not all(with_color):
        return GRAY_CORRELATION if cv2.absdiff(gray, copy["gray"]).mean() <= GRAY_DIFFERENCE else None
    contrast = copy["gray"].std() / max(gray.std(), 1)
    return CORRELATION if _colors_agree(color * contrast, copy["color"]) else None


def _part_warp(part: int, side: int) -> np.ndarray:
    """The affine matrix that takes a pixel of a part, `side` x `side`, to that of the image."""
    (top, bottom), (left, right) = PARTS[part]
    warp = np.array([[right - left, 0, left * side], [0, bottom - top, top * side]], np.float32)
    warp[:, 2] += (warp[:, :2].sum(axis=1) - 1) / 2  # coordinates are those of pixels' centers
    return warp


def _warped(values: np.ndarray, warp: np.ndarray) -> np.ndarray:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, warp, values.shape[:2], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _details(gray: np.ndarray) -> np.ndarray:
    inside = gray[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.float32)
    return cv2.GaussianBlur(inside, (0, 0), FINE) - cv2.GaussianBlur(inside, (0, 0), COARSE)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float((first * second).sum() / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-3))


def _details_agree(first: np.ndarray, second: np.ndarray, limit: float) -> bool:
    """Whether details correlate, and in every block: what is in one image alone differs wholly."""
    if _correlation(first, second) <= limit:
        return False
    first = first * float((first * second).sum() / (first * first).sum())
    return _residual(first[..., None], second[..., None], BLOCK, 0) <= RESIDUAL


def _colors_agree(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether colors, (12, 12, 2), agree in every block, but for the outermost, which may be those of a border."""
    first, second = first[1:-1, 1:-1], second[1:-1, 1:-1].astype(np.float32)
    return _residual(first, second, COLOR_BLOCK, COLOR_NOISE) <= COLOR_RESIDUAL


def _residual(first: np.ndarray, second: np.ndarray, block: int, noise: float) -> float:
    """The largest squared difference of a block, of (height, width, channels), by its energy and half the image's."""
    energy = cv2.blur(((first * first + second * second) / 2).sum(axis=2), (block, block))
    difference = cv2.blur(((first - second) ** 2).sum(axis=2), (block, block))
    return float((difference / (energy + energy.mean() / 2 + noise)).max())
