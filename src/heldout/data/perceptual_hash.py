"""The perceptual hash: signs of projections of the low frequencies of an image, its mirror image and its parts."""

import itertools

import cv2
import numpy as np

SIDE = 48  # pixels of a thumbnail: the most that costs no more than 32 where photos of 400 pixels are decoded at 1/8
COLOR_SIDE = 12
FREQUENCIES = 8  # of the cosine transform, along each axis
WORDS = 2  # of 64 bits in a hash
CROPS = (0.96, 0.92)  # what remains of each side: the middle of what a crop of up to 5 % and of up to 10 % leaves


def _thirds(length: float) -> list[tuple[float, float]]:
    """Intervals of [0, 1] of one length: first, middle, last."""
    return [(0, length), ((1 - length) / 2, (1 + length) / 2), (1 - length, 1)]


# (top, bottom), (left, right). A crop is like its original's part, a bordered or captioned copy has such a part.
PARTS = [
    ((0, 1), (0, 1)),
    *(part for length in CROPS for part in itertools.product(_thirds(length), repeat=2)),
    *(((top, bottom), (0, 1)) for top, bottom in ((0, 0.915), (0, 0.885), (0.085, 1), (0.115, 1))),
    ((0.065, 0.935), (0.065, 0.935)),
]
MIRRORED = len(PARTS)  # the number of the hash of the mirror image
SIGNATURE = np.dtype(
    [
        ("hashes", np.uint64, (len(PARTS) + 1, WORDS)),
        ("gray", np.uint8, (SIDE, SIDE)),
        ("color", np.int8, (COLOR_SIDE, COLOR_SIDE, 2)),
    ]
)


def _cosines(start: float, end: float) -> np.ndarray:
    """The matrix, float32 (FREQUENCIES, SIDE), that takes a row of pixels to the cosine transform of an interval."""
    edges = np.clip((np.arange(SIDE + 1) / SIDE - start) / (end - start), 0, 1)
    frequency = np.arange(1, FREQUENCIES)[:, None] * np.pi
    return np.diff(np.vstack([edges, np.sqrt(2) * np.sin(frequency * edges) / frequency])).astype(np.float32)


ROWS = sorted({rows for rows, _ in PARTS})
ROW_COSINES = np.concatenate([_cosines(*rows) for rows in ROWS])
COLUMN_COSINES = {columns: _cosines(*columns).T for _, columns in PARTS}
# Natural images have amplitudes that fall with frequency; as many times larger, each says as much as any other.
WEIGHTS = np.hypot(*np.mgrid[:FREQUENCIES, :FREQUENCIES]).astype(np.float32)
MIRROR = np.where(np.arange(FREQUENCIES) % 2, -1, 1).astype(np.float32)  # what a mirror does to horizontal frequencies
PROJECTIONS = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), (FREQUENCIES**2, 64 * WORDS))


def signatures(thumbnails: list[np.ndarray]) -> np.ndarray:
    """What is kept of each image: hashes, luminance and color.

    Args:
        thumbnails: uint8 arrays (48, 48, 3), RGB.

    Returns:
        Array (n,) of `SIGNATURE`: hashes of the image, its parts and its mirror image; gray; Cr and Cb from -128.
    """
    kept = np.empty(len(thumbnails), SIGNATURE)
    for row, thumbnail in enumerate(thumbnails):
        kept["gray"][row] = cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(thumbnail, (COLOR_SIDE, COLOR_SIDE), interpolation=cv2.INTER_AREA)
        kept["color"][row] = np.subtract(cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)[..., 1:], 128, dtype=np.int16)
    kept["hashes"] = _hashes(kept["gray"])
    return kept


def spectra(gray: np.ndarray) -> np.ndarray:
    """The low frequencies of images, their parts and their mirror images, float32 (n, parts + 1, 64), each of norm 1
    (or 0, where a part is flat).

    Args:
        gray: uint8 (n, 48, 48).
    """
    # OpenBLAS shares products of more than 2^18 multiplications among threads, and threads that read images then wait
    # for each other at two to five times the CPU time: so this one goes image by image, and those below are small.
    across = (ROW_COSINES @ gray.astype(np.float32)).reshape(len(gray), len(ROWS), FREQUENCIES * SIDE)
    by_rows = np.ascontiguousarray(across.swapaxes(0, 1)).reshape(len(ROWS), len(gray) * FREQUENCIES, SIDE)
    low = np.empty((len(gray), len(PARTS) + 1, FREQUENCIES, FREQUENCIES), np.float32)
    for number, (rows, columns) in enumerate(PARTS):
        transformed = by_rows[ROWS.index(rows)] @ COLUMN_COSINES[columns]
        low[:, number] = transformed.reshape(-1, FREQUENCIES, FREQUENCIES)
    low[:, MIRRORED] = low[:, 0] * MIRROR
    weighted = (low * WEIGHTS).reshape(len(gray), len(PARTS) + 1, FREQUENCIES**2)
    norms = np.linalg.norm(weighted, axis=2, keepdims=True)
    return weighted / np.where(norms > 1e-3, norms, np.inf)


def _hashes(gray: np.ndarray) -> np.ndarray:
    """uint64 (n, parts + 1, 2): which projections of the spectra are positive."""
    bits = spectra(gray) @ PROJECTIONS > 0
    return np.packbits(bits, axis=2, bitorder="little").view(np.uint64)
