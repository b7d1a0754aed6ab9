"""The cache of decoded images: beside the DVC cache, outside the graph, disposable, keyed by an image's bytes."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from heldout.core import code, process
from heldout.data import images

ENTRY = np.dtype([("id", "S32"), ("crc", "<u4")])
SETTINGS = "settings.json"
OFF = "off"
ABSENT = -1


def cache_folder() -> Path | None:
    """The cache's folder: what HELDOUT_CACHE names, by default .dvc/images of the repository (an experiment's copy uses
    the original's, as it does DVC's cache); None where HELDOUT_CACHE is `off`."""
    setting = os.environ.get("HELDOUT_CACHE", "")
    if setting == OFF:
        return None
    return Path(setting) if setting else process.dvc_folder("images")


class DecodeCache:
    """The cached images of one fingerprint: preprocess's params, the versions of its libraries, and the code.

    A pack is a shard that some run wrote, by a second link to the same file, which costs neither time nor disk, and a
    list of entries (id, CRC) beside it. Packs are never written to: a killed run leaves those of its finished shards,
    and two runs at once make packs of their own.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.shape = (*settings["image_size"], settings["channels"])
        self.num_reused = 0
        root, fingerprint = cache_folder(), settings | _versions()
        self._folder = root / _key(fingerprint) if root else None
        self._packs: list[np.ndarray] = []
        self._entries, self._locations = np.zeros(0, ENTRY), np.zeros((0, 2), int)  # each entry's pack and row
        try:
            self._open(fingerprint)
        except OSError as error:
            self._disable(error)

    def lookup(self, ids: np.ndarray) -> np.ndarray:
        """The entry of each id, int (n,), and ABSENT (-1) where there is none."""
        cached_ids, requested_ids = self._entries["id"], ids.astype("S32")
        entries = np.searchsorted(cached_ids, requested_ids)
        present = entries < len(cached_ids)
        present[present] = cached_ids[entries[present]] == requested_ids[present]
        return np.where(present, entries, ABSENT)

    def get(self, entry: int) -> np.ndarray | None:
        """The pixels of an entry, or None where it is ABSENT or its bytes are not those that were written."""
        if entry == ABSENT:
            return None
        pack, row = self._locations[entry]
        pixels = self._packs[pack][row]
        return pixels if checksum(pixels) == self._entries["crc"][entry] else None

    def add(self, shard: Path, ids: np.ndarray, checksums: np.ndarray) -> None:
        """Add a finished shard, with the id and `checksum` of each row; where that fails, none from here on."""
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
            self._disable(error)

    def _disable(self, error: OSError) -> None:
        print(f"preprocess: decoded images are not cached from here on: {error.strerror} ({self._folder})")
        self._folder = None

    def _open(self, fingerprint: dict[str, Any]) -> None:
        if not self._folder:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / SETTINGS).exists():
            # Two runs at once may both be here; tempfile's would be for this user's eyes alone.
            settings = self._folder / f"new-{uuid.uuid4().hex}.json"
            settings.write_text(json.dumps(fingerprint), encoding="utf-8")
            settings.replace(self._folder / SETTINGS)
        entries, locations = [self._entries], [self._locations]
        paths: list[Path] = []
        # The newest first: what was damaged in an older one has been written again since.
        for path in sorted(self._folder.glob("*.entries"), key=lambda path: -path.stat().st_mtime_ns):
            pack = _read_pack(path, self.shape)
            if pack is None:
                _remove_pack(path)
                continue
            entries.append(pack[0])
            locations.append(np.column_stack([np.full(len(pack[0]), len(self._packs)), np.arange(len(pack[0]))]))
            self._packs.append(pack[1])
            paths.append(path)
        joined = np.concatenate(entries)
        _, first = np.unique(joined["id"], return_index=True)
        self._entries, self._locations = joined[first], np.concatenate(locations)[first]
        for number in set(range(len(paths))) - set(self._locations[:, 0].tolist()):
            _remove_pack(paths[number])  # newer packs hold all of it


def checksum(pixels: np.ndarray) -> int:
    """The CRC-32C of an image's pixels, which the processor computes."""
    return google_crc32c.value(pixels)


def report() -> Iterator[str]:
    """A line for each fingerprint that has images in the cache: how many, how large, and what it is."""
    root = cache_folder()
    for folder in sorted(root.iterdir()) if root and root.is_dir() else []:
        size = sum(path.stat().st_size for path in folder.iterdir())
        count = sum(path.stat().st_size // ENTRY.itemsize for path in folder.glob("*.entries"))
        settings = folder / SETTINGS
        fingerprint = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
        text = " ".join(f"{key} {value}" for key, value in fingerprint.items())
        yield f"{count:>10,} images {size / 1e6:>10,.1f} MB  {text}"


def clear() -> None:
    """Remove the cache with all its images."""
    root = cache_folder()
    if root and root.is_dir():
        shutil.rmtree(root)


def _read_pack(path: Path, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray] | None:
    """The entries of a pack, by their path, and its pixels; None where one is missing or truncated."""
    try:
        entries = np.frombuffer(path.read_bytes(), ENTRY)
        pixels = np.load(path.with_suffix(".npy"), mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    complete = pixels.dtype == np.uint8 and pixels.shape == (len(entries), *shape)
    return (entries, pixels) if complete else None


def _remove_pack(path: Path) -> None:
    """Remove a pack, by the path of its entries."""
    path.unlink(missing_ok=True)
    path.with_suffix(".npy").unlink(missing_ok=True)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("opencv-python-headless", "pillow", "numpy")}


def _key(fingerprint: dict[str, Any]) -> str:
    code_digest = code.stage_digest(Path(images.__file__))
    text = json.dumps(fingerprint, sort_keys=True) + code_digest
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
