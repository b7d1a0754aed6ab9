"""The cache of decoded images: beside the DVC cache, outside the graph, disposable, found by what an image holds."""

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from heldout import images
from heldout.process import local

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
    return Path(said) if said else local("images")


class Decoded:
    """The cached images of one setting: a key of preprocess's params, OpenCV's and numpy's versions, and the code.

    A pack is a shard that some run wrote, by a second link to the same file, which costs neither time nor disk, and a
    list of entries (id, CRC) beside it. Packs are never written to: a killed run leaves those of its finished shards,
    and two runs at once make packs of their own.
    """

    def __init__(self, settings: dict[str, Any]):
        self.shape = (*settings["image_size"], settings["channels"])
        self.reused = 0
        root, made_by = place(), settings | _versions()
        self._folder = root / _key(made_by) if root else None
        self._packs: list[np.ndarray] = []
        self._entries, self._where = np.zeros(0, ENTRY), np.zeros((0, 2), int)
        try:
            self._open(made_by)
        except OSError as error:
            self._give_up(error)

    def find(self, ids: np.ndarray) -> np.ndarray:
        """The entry of each id, int (n,), and ABSENT (-1) where there is none."""
        known, wanted = self._entries["id"], ids.astype("S32")
        entry = np.searchsorted(known, wanted)
        found = entry < len(known)
        found[found] = known[entry[found]] == wanted[found]
        return np.where(found, entry, ABSENT)

    def get(self, entry: int) -> np.ndarray | None:
        """The pixels of an entry, or None where it is ABSENT or its bytes are not those that were written."""
        if entry == ABSENT:
            return None
        pack, row = self._where[entry]
        pixels = self._packs[pack][row]
        return pixels if checksum(pixels) == self._entries["crc"][entry] else None

    def keep(self, shard: Path, ids: np.ndarray, checksums: np.ndarray) -> None:
        """Keep a finished shard, with the id and `checksum` of each row; where that fails, none from here on."""
        if not self._folder:
            return
        pack = self._folder / f"{uuid.uuid4().hex}.npy"
        try:
            try:
                os.link(shard, pack)
            except OSError:  # another file system
                shutil.copyfile(shard, pack)
            entries = np.zeros(len(ids), ENTRY)
            entries["id"], entries["crc"] = ids.astype("S32"), checksums
            pack.with_suffix(".entries").write_bytes(entries.tobytes())
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        print(f"preprocess: decoded images are not kept from here on: {error.strerror} ({self._folder})")
        self._folder = None

    def _open(self, made_by: dict[str, Any]) -> None:
        if not self._folder:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / SETTINGS).exists():
            number, name = tempfile.mkstemp(".json", "new-", self._folder)  # two runs at once may both be here
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(json.dumps(made_by))
            Path(name).replace(self._folder / SETTINGS)
        entries, where = [self._entries], [self._where]
        paths: list[Path] = []
        # The newest first: what was found damaged has been written again since.
        for path in sorted(self._folder.glob("*.entries"), key=lambda path: -path.stat().st_mtime_ns):
            rows = _pack(path, self.shape)
            if rows is None:
                _remove(path)
                continue
            entries.append(rows[0])
            where.append(np.column_stack([np.full(len(rows[0]), len(self._packs)), np.arange(len(rows[0]))]))
            self._packs.append(rows[1])
            paths.append(path)
        joined = np.concatenate(entries)
        _, first = np.unique(joined["id"], return_index=True)
        self._entries, self._where = joined[first], np.concatenate(where)[first]
        for number in set(range(len(paths))) - set(self._where[:, 0].tolist()):
            _remove(paths[number])  # newer packs hold all of it


def checksum(pixels: np.ndarray) -> int:
    """The CRC-32C of an image's pixels, which the processor computes."""
    return google_crc32c.value(pixels)


def _remove(entries: Path) -> None:
    """Remove a pack, by the path of its entries."""
    entries.unlink(missing_ok=True)
    entries.with_suffix(".npy").unlink(missing_ok=True)


def _pack(path: Path, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray] | None:
    """The entries of a pack and its pixels, or None where they are not whole."""
    try:
        entries = np.frombuffer(path.read_bytes(), ENTRY)
        pixels = np.load(path.with_suffix(".npy"), mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    whole = pixels.dtype == np.uint8 and pixels.shape == (len(entries), *shape)
    return (entries, pixels) if whole else None


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


def _key(made_by: dict[str, Any]) -> str:
    code = Path(images.__file__).read_bytes()
    said = json.dumps(made_by, sort_keys=True).encode()
    return hashlib.md5(said + code, usedforsecurity=False).hexdigest()
