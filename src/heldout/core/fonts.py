"""The one font of all pictures, and how a class name is written with it."""

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

# matplotlib brings it. A font of the machine would have more glyphs, and give each machine pictures of other bytes.
FONT_FILE = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")
MAX_WIDTH = 14  # of a name, in multiples of the font's size
NUMBERED = "#n: line n of classes.txt"
# Marks lie over a neighbor, format characters are invisible, letters from right to left come out in the wrong order.
UNDRAWN_CATEGORIES = ("Mn", "Mc", "Me", "Cc", "Cf", "Cs", "Co", "Cn")
RIGHT_TO_LEFT = ("R", "AL", "AN")


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font for Pillow, `size` pixels high, with the layout that does not depend on libraries of the system."""
    return ImageFont.truetype(FONT_FILE, size, layout_engine=ImageFont.Layout.BASIC)


def display_names(class_names: Sequence[str]) -> list[str]:
    """How pictures write each class name, no two alike: as it is, or where it is too wide, with its middle cut out.

    A name that the font cannot draw, or that would look like another, begins with the number of its line in
    classes.txt: `#12 cat`. What can be drawn of it follows.

    Args:
        class_names: all of them, in the order of classes.txt.
    """
    drawn = [_drawable_part(name) for name in class_names]
    names = [_shorten(text) for text in drawn]
    times = Counter(names)
    for number, (name, text) in enumerate(zip(class_names, drawn, strict=True)):
        if text != unicodedata.normalize("NFC", name) or times[names[number]] > 1 or text.startswith("#"):
            names[number] = _shorten(f"#{number + 1} {text}".removesuffix(" …"))
    return names


def is_numbered(names: Sequence[str]) -> bool:
    """Whether some of the names from `display_names` begin with a number, so that NUMBERED should stand beside them."""
    return any(name.startswith("#") for name in names)


def _drawable_part(name: str) -> str:
    """The name, an ellipsis for what cannot be drawn, a space for any white space."""
    kept = ["\0" if _is_undrawable(character) else character for character in unicodedata.normalize("NFC", name)]
    return " ".join(re.sub("\0+", "…", "".join(kept)).split())


@cache
def _is_undrawable(character: str) -> bool:
    if character.isspace():
        return False
    return (
        ord(character) not in _glyphs()
        or unicodedata.category(character) in UNDRAWN_CATEGORIES
        or unicodedata.bidirectional(character) in RIGHT_TO_LEFT
    )


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(FT2Font(str(FONT_FILE)).get_charmap())


def _shorten(text: str) -> str:
    """The text, its middle cut out where it is too wide."""

    def cut(removed: int) -> str:
        kept = len(text) - removed
        return text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :] if removed else text

    return cut(bisect_right(range(len(text)), False, key=lambda removed: _width(cut(removed)) <= MAX_WIDTH))


def _width(text: str) -> float:
    """In multiples of the font's size; its kerning would change it by a hundredth."""
    return sum(map(_advance, text))


@cache
def _advance(character: str) -> float:
    return font(100).getlength(character) / 100
