"""Contact sheets: many small pictures on one PNG, to look at before training."""

from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from heldout.core.atomic import replacing

# In pixels; a name as wide as "rand_augment_ops alone" is shown in full.
CELL, GAP, HEADING_HEIGHT, MAX_NAME_WIDTH = 96, 6, 24, 180
# matplotlib's font knows Latin, Greek, Cyrillic and more, where OpenCV's own knows ASCII.
FONT = ImageFont.truetype(
    Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), 13, layout_engine=ImageFont.Layout.BASIC
)


def contact_sheet(rows: list[np.ndarray], names: list[str], headings: list[str], path: str | Path) -> None:
    """Write a PNG with a row of pictures for each name.

    Args:
        rows: one uint8 array (n, height, width, channels), RGB or gray, a row; n may differ.
        names: what stands left of each row.
        headings: what stands above the first pictures; may be fewer than n, and a single one as long as the sheet.
        path: the PNG.
    """
    names = [_shorten(name) for name in names]
    left = 14 + max(int(FONT.getlength(name)) for name in names)
    pitch = CELL + GAP
    sheet = Image.new("RGB", (left + max(map(len, rows)) * pitch, HEADING_HEIGHT + len(rows) * pitch), "white")
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(headings):
        draw.text((left + column * pitch, HEADING_HEIGHT // 2), heading, "#282828", FONT, anchor="lm")
    for row, (pictures, name) in enumerate(zip(rows, names, strict=True)):
        top = HEADING_HEIGHT + row * pitch
        draw.text((left - 8, top + CELL // 2), name, "#282828", FONT, anchor="rm")
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(_cell(picture)), (left + column * pitch, top))
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


def _shorten(name: str) -> str:
    while FONT.getlength(name) > MAX_NAME_WIDTH:
        name = name.rstrip("…")[:-1] + "…"
    return name
