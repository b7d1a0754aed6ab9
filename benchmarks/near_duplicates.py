"""How many planted near-duplicates the index finds, by kind, at how many false clusters, and what the search costs.

$ python benchmarks/near_duplicates.py [--data ../shared/data] [--half 1] [--copies 400] [--side 32] [--json FILE]

The data folder holds `clothing` and `signs`. Each copy is made from a photo as people make them: as RGB, changed, saved
as a JPEG of quality 90; then the folder is indexed with the copies of one kind beside all originals. The photos are
halved by their md5: thresholds were searched with half 0, so figures are quoted for half 1. `--side` shrinks
originals and copies to squares at last, as in CIFAR.
"""

import argparse
import hashlib
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from results import SECTIONS

from heldout.data import image_info, index, near_duplicates, perceptual_hash
from heldout.data.listing.files import ImageFile

ROOT = Path(__file__).resolve().parents[1]
SETS = {"clothing": "clothing", "signs": "signs/images"}
TRUE_PAIRS = {("6075b4a5-5b1a-4ce0-aea0-9dbfbca7c35c.jpg", "637a56e4-7fa6-4f75-8859-0f8902461554.jpg")}
SETTINGS = SECTIONS["data"] | {"layout": "classes", "on_conflict": "keep"}
QUALITY = 90
PARTS = ("original", "copy")  # the folders of the classes
RUNS = 5


def resize(image: Image.Image, random: np.random.Generator) -> Image.Image:
    scale = random.uniform(0.5, 2)
    return image.resize([round(side * scale) for side in image.size], Image.Resampling.BICUBIC)


def crop(image: Image.Image, random: np.random.Generator, low: float, high: float) -> Image.Image:
    """Without a fraction of the width and of the height, taken from the edges at random."""
    cut = random.uniform(low, high)
    width, height = (round(side * (1 - cut)) for side in image.size)
    left, top = random.integers(image.width - width + 1), random.integers(image.height - height + 1)
    return image.crop((left, top, left + width, top + height))


def border(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """In a frame of 2 to 8 % of the width: black, white or of any color."""
    color = [(0, 0, 0), (255, 255, 255), tuple(random.integers(0, 256, 3).tolist())][random.integers(3)]
    return ImageOps.expand(image, max(1, round(random.uniform(0.02, 0.08) * image.width)), color)


def caption(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Over a line of text on a strip of 8 to 15 % of the height."""
    strip = max(8, round(random.uniform(0.08, 0.15) * image.height))
    background, text = ("black", "white") if random.integers(2) else ("white", "black")
    captioned = Image.new("RGB", (image.width, image.height + strip), background)
    captioned.paste(image)
    position = (image.width * 0.05, image.height + strip * 0.15)
    name = f"photo {random.integers(10000)}"
    ImageDraw.Draw(captioned).text(position, name, fill=text, font_size=max(6, strip * 0.6))
    return captioned


KINDS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "JPEG, quality 30 to 90": lambda image, random: image,
    "resize, 0.5 to 2": resize,
    "brightness, 0.8 to 1.2": lambda image, random: ImageEnhance.Brightness(image).enhance(random.uniform(0.8, 1.2)),
    "contrast, 0.8 to 1.2": lambda image, random: ImageEnhance.Contrast(image).enhance(random.uniform(0.8, 1.2)),
    "gray": lambda image, random: image.convert("L"),
    "crop, 2 to 5 %": lambda image, random: crop(image, random, 0.02, 0.05),
    "crop, 5 to 10 %": lambda image, random: crop(image, random, 0.05, 0.10),
    "mirrored": lambda image, random: ImageOps.mirror(image),
    "border": border,
    "caption strip": caption,
}


def plant(content: bytes, kind: str, side: int | None = None) -> bytes:
    """The JPEG of a copy; the random numbers are seeded by the photo and the kind."""
    seed = hashlib.md5(content + kind.encode(), usedforsecurity=False).digest()
    random = np.random.default_rng(list(seed))
    with Image.open(io.BytesIO(content)) as image:
        copy = KINDS[kind](ImageOps.exif_transpose(image).convert("RGB"), random)
    quality = int(random.integers(30, 91)) if kind.startswith("JPEG") else QUALITY
    buffer = io.BytesIO()
    copy.save(buffer, "JPEG", quality=quality)
    return shrink(buffer.getvalue(), side) if side else buffer.getvalue()


def shrink(content: bytes, side: int) -> bytes:
    """A PNG of the image, squashed to a square."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        image.convert("RGB").resize((side, side), Image.Resampling.BOX).save(buffer, "PNG")
    return buffer.getvalue()


def half_of(content: bytes) -> int:
    return int(hashlib.md5(content, usedforsecurity=False).hexdigest()[:2], 16) % 2


def write_originals(source: Path, folder: Path, side: int | None) -> dict[str, bytes]:
    """The photos of a set, all in one folder, shrunk where there is a side; their bytes by name."""
    photos = {path.name: path.read_bytes() for path in sorted(source.rglob("*")) if path.suffix.lower() == ".jpg"}
    for name, content in photos.items():
        (folder / name).write_bytes(shrink(content, side) if side else content)
    return photos


def false_clusters(table: pd.DataFrame) -> list[list[str]]:
    """The originals of each cluster that holds several of them, but for the pairs that are known to be true."""
    originals = table[(table["label"] == "original") & (table["cluster"] != "")]
    names = [[Path(path).name for path in rows["path"]] for _, rows in originals.groupby("cluster")]
    return [cluster for cluster in names if len(cluster) > 1 and tuple(cluster) not in TRUE_PAIRS]


def recall(folder: Path, photos: dict[str, bytes], kind: str, side: int | None) -> tuple[float, list[list[str]]]:
    """The fraction of photos whose copies share a cluster with them, and the false clusters."""
    shutil.rmtree(folder / "copy", ignore_errors=True)
    (folder / "copy").mkdir()
    for name, content in photos.items():
        (folder / "copy" / name).write_bytes(plant(content, kind, side))
    table = index.scan(**SETTINGS | {"dir": str(folder)}).images
    clusters = table.set_index("path")["cluster"]
    original, copy = (clusters[[str(folder / part / name) for name in photos]].to_numpy() for part in PARTS)
    return float(np.mean((original == copy) & (copy != ""))), false_clusters(table)


def cost(folder: Path) -> tuple[float, float]:
    """CPU seconds of the search for near-duplicates and of all else in the index, the least of several runs."""
    files = [ImageFile(str(path), "") for path in sorted(folder.glob("*/*"))]
    rows = [row for row in image_info.read(files, str(folder), 100) if isinstance(row, image_info.IndexedImage)]
    thumbnails = [row.thumbnail for row in rows]
    stored = np.frombuffer(b"".join(row.signature for row in rows), perceptual_hash.SIGNATURE)
    large = np.flatnonzero([min(row.info.width, row.info.height) >= near_duplicates.MIN_SIDE for row in rows])
    search, index_cost = [], []
    for _ in range(RUNS):
        started = time.process_time()
        for start in range(0, len(thumbnails), image_info.CHUNK):
            perceptual_hash.signatures(thumbnails[start : start + image_info.CHUNK])
        near_duplicates.clusters(stored, large)
        searched = time.process_time()
        index.scan(**SETTINGS | {"dir": str(folder)})
        search.append(searched - started)
        index_cost.append(time.process_time() - searched)
    return min(search), min(index_cost) - min(search)


def measure(name: str, source: Path, arguments: argparse.Namespace) -> list[dict]:
    """One row a kind."""
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for part in PARTS:
            (folder / part).mkdir()
        photos = write_originals(source, folder / "original", arguments.side)
        half = [name for name, content in photos.items() if half_of(content) == arguments.half]
        chosen = np.random.default_rng(0).permutation(half)[: arguments.copies]
        for kind in KINDS:
            rate, false = recall(folder, {name: photos[name] for name in sorted(chosen)}, kind, arguments.side)
            rows.append({"set": name, "kind": kind, "recall": round(rate, 3), "false_clusters": len(false)})
            print(f"{name:<10}{kind:<26}{rate:>7.3f}   false clusters: {len(false)} {false or ''}", flush=True)
        search, rest = cost(folder)
        print(f"{name:<10}the search for near-duplicates is {search / (search + rest):.2f} of the index's CPU time")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--half", type=int, choices=[0, 1], default=1)
    parser.add_argument("--copies", type=int, default=400)
    parser.add_argument("--side", type=int)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = [row for name, folder in SETS.items() for row in measure(name, arguments.data / folder, arguments)]
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
