"""Sheets of test images, each with what the network made of it."""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from heldout.core import fonts
from heldout.core.atomic import replacing

GAP, MARGIN = 8, 10  # pixels, as all below: a sheet is about 800 wide
COLUMNS, PICTURE = {1: 4, 2: 3}, {1: 184, 2: 124}  # by how many pictures a tile has
LINE, TEXT_SIZE, TITLE_SIZE = 18, 13, 15
TEXT_COLOR, NOTE_COLOR = "#222222", "#666666"
OVERLAY = 0.55  # weight of the heat map over the image


def sheet(tiles: list[list[np.ndarray]], captions: list[list[str]], title: str, path: str | Path) -> None:
    """Write a PNG of tiles: one picture, or two side by side, above a few lines of text.

    Args:
        tiles: of each tile its pictures, one or two: uint8 (height, width, channels), RGB or gray.
        captions: of each tile its lines, as many for all; a line is cut at the tile's width.
        title: a line above everything.
        path: the PNG.
    """
    pictures = max(map(len, tiles), default=1)
    columns, picture_side = COLUMNS[pictures], PICTURE[pictures]
    tile_width = pictures * picture_side
    pitch_y = picture_side + LINE * max(map(len, captions), default=0) + 2 * GAP
    top = 2 * MARGIN + TITLE_SIZE
    rows = -(-len(tiles) // columns)
    width = 2 * MARGIN + columns * tile_width + (columns - 1) * 2 * GAP
    image = Image.new("RGB", (width, top + rows * pitch_y + MARGIN), "white")
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN), title, TEXT_COLOR, fonts.font(TITLE_SIZE))
    for number, (tile, lines) in enumerate(zip(tiles, captions, strict=True)):
        left, upper = MARGIN + number % columns * (tile_width + 2 * GAP), top + number // columns * pitch_y
        for column, picture in enumerate(tile):
            image.paste(Image.fromarray(fitted(picture, picture_side)), (left + column * picture_side, upper))
        for line_number, line in enumerate(lines):
            color = TEXT_COLOR if line_number < 2 else NOTE_COLOR
            at = (left, upper + picture_side + 4 + LINE * line_number)
            draw.text(at, cut(line, tile_width), color, fonts.font(TEXT_SIZE))
    with replacing(path) as partial:
        image.save(partial, "PNG")


def fitted(picture: np.ndarray, side: int) -> np.ndarray:
    """The picture in RGB, its proportions kept, in a gray square of `side` pixels; small ones keep their pixels."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = Image.Resampling.NEAREST if scale > 1.5 else Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    square = Image.new("RGB", (side, side), "#c8c8c8")
    square.paste(Image.fromarray(rgb(picture)).resize(size, how), ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(square)


def rgb(picture: np.ndarray) -> np.ndarray:
    """Uint8 (height, width, 3) of RGB or gray."""
    return np.broadcast_to(picture, (*picture.shape[:2], 3)) if picture.shape[2] == 1 else picture


def overlay(picture: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """The picture in gray below the heat map: dark blue where the class owes nothing to it, yellow where most.

    Args:
        picture: uint8 (height, width, channels).
        heatmap: uint8 (any height, any width), 0 to 255.
    """
    height, width = picture.shape[:2]
    resized = np.asarray(Image.fromarray(heatmap).resize((width, height), Image.Resampling.BILINEAR))
    colors = matplotlib.colormaps["cividis"](resized, bytes=True)[..., :3]  # the same to color-blind eyes
    gray = np.asarray(Image.fromarray(rgb(picture)).convert("L"))[..., None]
    return (OVERLAY * colors + (1 - OVERLAY) * gray).round().astype(np.uint8)


def cut(text: str, width: int) -> str:
    """The text, its end cut off where it is wider than `width` pixels."""
    font = fonts.font(TEXT_SIZE)
    if font.getlength(text) <= width:
        return text
    kept = next(n for n in range(len(text), 0, -1) if font.getlength(text[:n] + "…") <= width)
    return text[:kept] + "…"
