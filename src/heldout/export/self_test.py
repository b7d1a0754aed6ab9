"""The self-test kit that ships beside the files: images, the pixels and probabilities to expect, and a reference."""

import hashlib
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import Field

from heldout.core import atomic
from heldout.data import images as image_files
from heldout.data import raw_files
from heldout.data.decoding import headers
from heldout.networks import tokenizer

FOLDER, EXPECTED, PIXELS, TOKENS = "self_test", "expected.json", "pixels.npy", "tokens.npy"
REFERENCE = "reference.py"
CARD = "README.md"  # has no digest: a person may edit it
DIGITS = 8  # of a probability
PIXEL_TOLERANCE = 1  # levels: OpenCV computes some interpolations in fixed point
ORIENTATION = 0x0112  # EXIF's tag
EIGHT_BITS = ("JPEG", "PNG")  # formats that are taken from the test images, where they have 8 bits a channel


class Item(NamedTuple):
    """An image file of the kit: its name, its bytes, what it is, its label ('' of a drawn one) and its text."""

    name: str
    content: bytes
    about: str
    label: str = ""
    text: str = ""


class Kit(NamedTuple):
    """The image files; their pixels, uint8 (n, height, width, channels); the tokens of their texts, int32 (n, length),
    or None for a model without text."""

    items: list[Item]
    pixels: np.ndarray
    tokens: np.ndarray | None

    def inputs(self, name: str = "keras") -> Any:
        """What a file of that format takes: `tflite_int8` is of models that see images alone."""
        return self.pixels if self.tokens is None or name == "tflite_int8" else [self.pixels, self.tokens]


def gather(
    rows: pd.DataFrame,
    preprocess: dict[str, Any],
    text: dict[str, Any] | None,
    *,
    images: Annotated[int, Field(ge=0, le=100)],
) -> Kit:
    """Drawn images that decoders get wrong, and test images as they are in the user's files.

    Args:
        rows: the manifest of the test images; their files are read from the work tree or from DVC's cache.
        preprocess: the section of that name.
        text: the section `text` of a model that sees texts.
        images: how many test images, one of each class before a second one of any; 0 for none.

    Raises:
        ValueError: where a file is in neither, or is not the one that the index saw.
    """
    items = _test_items(rows, images) + drawn()
    pixels = [image_files.decode_and_resize(item.content, item.name, **preprocess) for item in items]
    tokens = tokenizer.tokenize([item.text for item in items], **text) if text else None
    return Kit(items, np.stack(pixels), tokens)


def write(
    folder: Path,
    kit: Kit,
    model: Callable[[Any], np.ndarray],
    shipped: dict[str, Callable[[Any], np.ndarray]],
    tolerance: float,
    template: Path,
) -> None:
    """Write the folder self_test; its expected.json comes last, and holds the md5 of every other file but the card.

    Args:
        folder: with all the other files that ship.
        kit: of `gather`.
        model: the calibrated one: from its inputs to probabilities.
        shipped: the same of each file that ships, by format.
        tolerance: the least that is given to a format, whose own is twice its difference here and now: another CPU may
            round otherwise.
        template: the folder with reference.py.
    """
    place = folder / FOLDER
    (place / "images").mkdir(parents=True)
    for item in kit.items:
        (place / "images" / item.name).write_bytes(item.content)
    np.save(place / PIXELS, kit.pixels)
    if kit.tokens is not None:
        np.save(place / TOKENS, kit.tokens)
    atomic.write_text(place / REFERENCE, (template / REFERENCE).read_text(encoding="utf-8"))
    probabilities = model(kit.inputs())
    tolerances: dict[str, float] = {"pixels": PIXEL_TOLERANCE}
    for name, run in shipped.items():
        difference = float(np.abs(run(kit.inputs(name)) - probabilities).max())
        tolerances[name] = max(tolerance, rounded_up(2 * difference))
    expected = {
        "tolerance": tolerances,
        "images": [
            _entry(*row, kit.tokens is not None) for row in zip(kit.items, kit.pixels, probabilities, strict=True)
        ],
        "files": digests(folder),
    }
    atomic.write_text(place / EXPECTED, json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


def digests(folder: Path) -> dict[str, str]:
    """The md5 of each file of a folder, at any depth, but of the card and of expected.json itself, by its path."""
    left_out = {folder / CARD, folder / FOLDER / EXPECTED}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in left_out)
    return {path.relative_to(folder).as_posix(): md5(path.read_bytes()) for path in files}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def rounded_up(value: float) -> float:
    """To one digit, such as 0.003 for 0.0021."""
    if value == 0:
        return 0.0
    unit = math.floor(math.log10(value))
    return float(f"{math.ceil(value / 10**unit)}e{unit}")


def drawn() -> list[Item]:
    """Small images that ports get wrong."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    alpha = np.dstack([pattern(40, 60), np.arange(40 * 60).reshape(40, 60) * 255 // 2399]).astype(np.uint8)
    gray = Image.fromarray(pattern(50, 40)).convert("L")
    return [
        Item(
            "turned.jpg", _encoded(Image.fromarray(pattern(40, 60)), "JPEG", exif=exif), "turned by EXIF, orientation 6"
        ),
        Item("gray.jpg", _encoded(gray, "JPEG"), "one channel"),
        Item("alpha.png", _encoded(Image.fromarray(alpha), "PNG"), "transparent in parts: over white"),
        Item("palette.png", _encoded(gray.quantize(16), "PNG"), "16 colors by number"),
        Item("wide.png", _encoded(Image.fromarray(pattern(31, 180)), "PNG"), "another aspect ratio"),
        Item("tiny.png", _encoded(Image.fromarray(pattern(5, 3)), "PNG"), "3 x 5 pixels, to be enlarged"),
    ]


def pattern(height: int, width: int) -> np.ndarray:
    """Ramps and a disc without any symmetry, uint8 (height, width, 3), in whole numbers: the same on every machine."""
    y, x = np.mgrid[:height, :width]
    disc = (3 * x - width) ** 2 + (3 * y - height) ** 2 < (min(height, width) ** 2)
    colors = [x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), np.where(disc, 230, (x + 2 * y) * 7 % 256)]
    return np.stack(colors, axis=2).astype(np.uint8)


def _test_items(rows: pd.DataFrame, count: int) -> list[Item]:
    """So many test images, in the order of their turn within their class, then of a hash of their identity."""
    keys = [md5(f"{FOLDER} {identity}".encode()) for identity in rows["id"]]
    ordered = rows.assign(key=keys).drop_duplicates("id").sort_values(["key", "id"])
    turns = ordered.groupby("label").cumcount()
    items: list[Item] = []
    for index in turns.sort_values(kind="stable").index:
        if len(items) == count:
            break
        row = ordered.loc[index]
        content = raw_files.read(row["path"], row["id"])
        header = headers.read(content, math.inf).header
        if header.format in EIGHT_BITS and header.bits <= 8:
            name = f"{len(items):02d}.{'jpg' if header.format == 'JPEG' else 'png'}"
            items.append(Item(name, content, "a test image", row["label"], row.get("text", "")))
    return items


def _entry(item: Item, pixels: np.ndarray, probabilities: np.ndarray, has_text: bool) -> dict[str, Any]:
    return {
        "file": f"images/{item.name}",
        "about": item.about,
        "label": item.label,
        **({"text": item.text} if has_text else {}),
        "pixels_md5": md5(pixels.tobytes()),
        "probabilities": [round(float(value), DIGITS) for value in probabilities],
    }


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
