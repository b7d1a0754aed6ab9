"""The cache of decoded images: beside the DVC cache, outside the graph, disposable, found by what an image holds."""

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from heldout import images

ENTRY = np.dtype([("id", "S32"), ("crc", "<u4")])
SETTINGS = "settings.json"
OFF = "off"
ABSENT = -1


def place() -> Path | None:
    """Where the cache is: .dvc/images of the repository (an experiment's copy uses the original's, as it does DVC's
    cache), or what HELDOUT_CACHE says; None where that says `off`."""
    said = os.environ.get("HELDOUT_CACHE", "")
    if said == OFF:
        return None
    return Path(said) if said else Path(os.environ.get("DVC_ROOT", ".")) / ".dvc" / "images"


class Decoded:
    """The cached images of one setting: a key of preprocess's params, OpenCV's and numpy's versions, and the code.

    Each process that decodes something writes a pack of its own: pixels back to back, and a list of entries (id, CRC)
    that grows after them. So a killed process leaves a pack that is right as far as its entries go, and two processes
    never write the same file.
    """

    def __init__(self, settings: dict[str, Any]):
        self.shape = (*settings["image_size"], 3)
        self.stored = self.reused = 0
        root = place()
        self._folder = root / _key(settings) if root else None
        self._packs: list[np.ndarray] = []
        self._ids, self._crc, self._where = np.zeros(0, "S32"), np.zeros(0, np.uint32), np.zeros((0, 2), int)
        self._files: list[Any] = []
        try:
            self._open(settings)
        except OSError as error:
            self._give_up(error)

    def __enter__(self) -> "Decoded":
        return self

    def __exit__(self, *_) -> None:
        for file in self._files:
            file.close()

    def find(self, ids: np.ndarray) -> np.ndarray:
        """The entry of each id, int (n,), and ABSENT (-1) where there is none."""
        wanted = ids.astype("S32")
        entry = np.searchsorted(self._ids, wanted)
        known = entry < len(self._ids)
        known[known] = self._ids[entry[known]] == wanted[known]
        return np.where(known, entry, ABSENT)

    def get(self, entry: int) -> np.ndarray | None:
        """The pixels of an entry, or None where it is -1 or its bytes are not those that were written."""
        if entry == ABSENT:
            return None
        pack, row = self._where[entry]
        pixels = self._packs[pack][row]
        return pixels if zlib.crc32(pixels.data) == self._crc[entry] else None

    def put(self, identity: str, pixels: np.ndarray) -> None:
        """Keep an image; where the disk is full, this and all later ones are not kept."""
        if not self._folder:
            return
        try:
            if not self._files:
                number, name = tempfile.mkstemp(".pixels", "pack-", self._folder)
                self._files = [os.fdopen(number, "wb", 0), Path(name).with_suffix(".entries").open("wb", 0)]
            self._files[0].write(pixels.data)
            self._files[1].write(np.array((identity, zlib.crc32(pixels.data)), ENTRY).tobytes())
            self.stored += 1
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        print(f"preprocess: decoded images are not kept from here on: {error.strerror} ({self._folder})")
        self._folder = None

    def _open(self, settings: dict[str, Any]) -> None:
        if not self._folder:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / SETTINGS).exists():
            number, name = tempfile.mkstemp(".json", "new-", self._folder)  # two runs at once may both be here
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(json.dumps(settings | _versions()))
            Path(name).replace(self._folder / SETTINGS)
        ids, where = [np.zeros(0, ENTRY)], [np.zeros((0, 2), int)]
        size = int(np.prod(self.shape))
        # The newest first: what was found damaged has been written again since.
        for path in sorted(self._folder.glob("*.entries"), key=lambda path: -path.stat().st_mtime_ns):
            pixels = path.with_suffix(".pixels")
            count = min(path.stat().st_size // ENTRY.itemsize, pixels.stat().st_size // size if pixels.exists() else 0)
            if count:
                where.append(np.column_stack([np.full(count, len(self._packs)), np.arange(count)]))
                ids.append(np.fromfile(path, ENTRY, count))
                self._packs.append(np.memmap(pixels, np.uint8, "r", shape=(count, *self.shape)))
        entries = np.concatenate(ids)
        self._ids, first = np.unique(entries["id"], return_index=True)
        self._crc, self._where = entries["crc"][first], np.concatenate(where)[first]


def report() -> Iterator[str]:
    """A line for each setting that has images in the cache: what it is, how many, how large."""
    root = place()
    for folder in sorted(root.iterdir()) if root and root.is_dir() else []:
        size = sum(path.stat().st_size for path in folder.iterdir())
        count = sum(path.stat().st_size // ENTRY.itemsize for path in folder.glob("*.entries"))
        settings = folder / SETTINGS
        what = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
        words = " ".join(f"{key} {value}" for key, value in what.items())
        yield f"{count:>10,} images {size / 1e6:>10,.1f} MB  {words}"


def clear() -> None:
    """Remove the cache, whole."""
    root = place()
    if root and root.is_dir():
        shutil.rmtree(root)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("opencv-python-headless", "numpy")}


def _key(settings: dict[str, Any]) -> str:
    code = Path(images.__file__).read_bytes()
    said = json.dumps([settings, _versions()], sort_keys=True).encode()
    return hashlib.md5(said + code, usedforsecurity=False).hexdigest()
