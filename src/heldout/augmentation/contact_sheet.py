"""Contact sheets: many small pictures on one PNG, to look at before training."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from heldout.core import fonts
from heldout.core.atomic import replacing

CELL, GAP, MARGIN, LINE_HEIGHT, TEXT_SIZE = 96, 6, 8, 24, 13  # in pixels
TEXT_COLOR = "#282828"


def contact_sheet(rows: list[np.ndarray], names: list[str], title: str, headings: list[str], path: str | Path) -> None:
    """Write a PNG with a row of pictures for each name.

    Args:
        rows: one uint8 array (n, height, width, channels), RGB or gray, a row; n may differ.
        names: what stands left of each row.
        title: a line above everything; the sheet is as wide as it needs.
        headings: what stands above each column of pictures, or empty.
        path: the PNG.
    """
    font = fonts.font(TEXT_SIZE)
    left = 2 * MARGIN + max(round(font.getlength(name)) for name in names)
    top, pitch = LINE_HEIGHT * (1 + bool(headings)), CELL + GAP
    width = max(left + max(map(len, rows)) * pitch, 2 * MARGIN + round(font.getlength(title)))
    sheet = Image.new("RGB", (width, top + len(rows) * pitch), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, LINE_HEIGHT // 2), title, TEXT_COLOR, font, anchor="lm")
    for column, heading in enumerate(headings):
        draw.text((left + column * pitch, top - LINE_HEIGHT // 2), heading, TEXT_COLOR, font, anchor="lm")
    for row, (pictures, name) in enumerate(zip(rows, names, strict=True)):
        row_top = top + row * pitch
        draw.text((left - MARGIN, row_top + CELL // 2), name, TEXT_COLOR, font, anchor="rm")
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(_cell(picture)), (left + column * pitch, row_top))
    with replacing(path) as partial:
        sheet.save(partial, "PNG")


def _cell(picture: np.ndarray) -> np.ndarray:
    """The picture, its proportions kept, in a gray square."""
    scale = CELL / max(picture.shape[:2])
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    cell = np.full((CELL, CELL, 3), 200, np.uint8)
    top, left = (CELL - height) // 2, (CELL - width) // 2
    cell[top : top + height, left : left + width] = resized.reshape(height, width, -1)
    return cell
