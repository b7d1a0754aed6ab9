"""Contact sheets: many small pictures on one PNG, to look at before training."""

from pathlib import Path

import cv2
import numpy as np

from heldout.atomic import replacing

CELL, GAP, TEXT = 96, 6, 22  # pixels


def contact_sheet(rows: list[np.ndarray], names: list[str], headings: list[str], path: str | Path) -> None:
    """Write a PNG with a row of pictures for each name.

    Args:
        rows: one uint8 array (n, height, width, 3), RGB, a row; n may differ.
        names: what stands left of each row.
        headings: what stands above the first pictures; may be fewer than n.
        path: the PNG.
    """
    left = 10 + max(_text_width(name) for name in names)
    step = CELL + GAP
    sheet = np.full((TEXT + len(rows) * step, left + max(map(len, rows)) * step, 3), 255, np.uint8)
    for column, heading in enumerate(headings):
        _text(sheet, heading, (left + column * step, TEXT - 7))
    for row, (pictures, name) in enumerate(zip(rows, names, strict=True)):
        top = TEXT + row * step
        _text(sheet, name, (4, top + CELL // 2 + 5))
        for column, picture in enumerate(pictures):
            x = left + column * step
            sheet[top : top + CELL, x : x + CELL] = _cell(picture)
    _, png = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    with replacing(path) as partial:
        partial.write_bytes(png.tobytes())


def _cell(picture: np.ndarray) -> np.ndarray:
    """The picture, its proportions kept, in a square of grey."""
    scale = CELL / max(picture.shape[:2])
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    smaller = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    cell = np.full((CELL, CELL, 3), 200, np.uint8)
    top, left = (CELL - height) // 2, (CELL - width) // 2
    cell[top : top + height, left : left + width] = smaller
    return cell


def _text(sheet: np.ndarray, words: str, corner: tuple[int, int]) -> None:
    cv2.putText(sheet, _ascii(words), corner, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)


def _text_width(words: str) -> int:
    return cv2.getTextSize(_ascii(words), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0]


def _ascii(words: str) -> str:
    """OpenCV's own font knows no more."""
    return words.encode("ascii", "replace").decode()[:24]
