"""A cache of arrays, one of each key: beside the DVC cache, outside the graph, disposable; decoded images, features."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from heldout.core import process

ENTRY = np.dtype([("id", "S32"), ("crc", "<u4")])
SETTINGS = "settings.json"
OFF = "off"
ABSENT = -1


def cache_folder() -> Path | None:
    """The folder of all caches: what HELDOUT_CACHE names, by default .dvc/images of the repository (an experiment's
    copy uses the original's, as it does DVC's cache); None where HELDOUT_CACHE is `off`."""
    setting = os.environ.get("HELDOUT_CACHE", "")
    if setting == OFF:
        return None
    return Path(setting) if setting else process.dvc_folder("images")


class ArrayCache:
    """The cached arrays of one fingerprint, each of one shape and dtype, by an identity of 32 characters.

    A pack is an .npy file and a list of entries (id, CRC) beside it. Packs are never written to: a killed run leaves
    those that it had finished, and two runs at once make packs of their own.

    Args:
        content: what the arrays are, for a person: `decoded images`.
        fingerprint: what they depend on beside their identity, for a person as well.
        code_digest: of the code that makes them.
        shape, dtype: of each.

    `packs` holds the arrays of those that were there when it was opened, by mmap.
    """

    def __init__(
        self, content: str, fingerprint: dict[str, Any], code_digest: str, shape: tuple[int, ...], dtype: np.dtype
    ) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        root = cache_folder()
        self._content, self._folder = content, root / _key(fingerprint, code_digest) if root else None
        self.packs: list[np.ndarray] = []
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
        """The array of an entry, or None where it is ABSENT or its bytes are not those that were written."""
        if entry == ABSENT:
            return None
        pack, row = self._locations[entry]
        array = self.packs[pack][row]
        return array if checksum(array) == self._entries["crc"][entry] else None

    def location(self, entry: int) -> tuple[int, int]:
        """The pack of an entry, a number of `packs`, and its row there."""
        pack, row = self._locations[entry]
        return int(pack), int(row)

    def add(self, file: Path, ids: np.ndarray, checksums: np.ndarray) -> None:
        """Add a finished .npy file, with the id and `checksum` of each row, by a second link to it, which costs neither
        time nor disk; where that fails, none from here on."""
        if not self._folder:
            return
        pack = self._folder / f"{uuid.uuid4().hex}.npy"
        try:
            try:
                os.link(file, pack)
            except OSError:  # another file system
                shutil.copyfile(file, pack)
            _write_entries(pack, ids, checksums)
        except OSError as error:
            self._disable(error)

    def put(self, arrays: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Add arrays (n, *shape) with their ids; they are given back by mmap where there is a cache to hold them."""
        if not self._folder:
            return arrays
        pack = self._folder / f"{uuid.uuid4().hex}.npy"
        try:
            np.save(pack, arrays, allow_pickle=False)
            _write_entries(pack, ids, np.array([checksum(array) for array in arrays], np.uint32))
            return np.load(pack, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            pack.unlink(missing_ok=True)
            self._disable(error)
            return arrays

    def _disable(self, error: OSError) -> None:
        print(f"{self._content} are not cached from here on: {error.strerror or error} ({self._folder})", flush=True)
        self._folder = None

    def _open(self, fingerprint: dict[str, Any]) -> None:
        if not self._folder:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / SETTINGS).exists():
            # Two runs at once may both be here; tempfile's would be for this user's eyes alone.
            settings = self._folder / f"new-{uuid.uuid4().hex}.json"
            settings.write_text(json.dumps({"content": self._content} | fingerprint), encoding="utf-8")
            settings.replace(self._folder / SETTINGS)
        entries, locations = [self._entries], [self._locations]
        paths: list[Path] = []
        # The newest first: what was damaged in an older one has been written again since.
        for path in sorted(self._folder.glob("*.entries"), key=lambda path: -path.stat().st_mtime_ns):
            pack = self._read_pack(path)
            if pack is None:
                _remove_pack(path)
                continue
            entries.append(pack[0])
            locations.append(np.column_stack([np.full(len(pack[0]), len(self.packs)), np.arange(len(pack[0]))]))
            self.packs.append(pack[1])
            paths.append(path)
        joined = np.concatenate(entries)
        _, first = np.unique(joined["id"], return_index=True)
        self._entries, self._locations = joined[first], np.concatenate(locations)[first]
        for number in set(range(len(paths))) - set(self._locations[:, 0].tolist()):
            _remove_pack(paths[number])  # newer packs hold all of it

    def _read_pack(self, path: Path) -> tuple[np.ndarray, np.ndarray] | None:
        """The entries of a pack, by their path, and its arrays; None where one is missing or truncated."""
        try:
            entries = np.frombuffer(path.read_bytes(), ENTRY)
            arrays = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        complete = arrays.dtype == self.dtype and arrays.shape == (len(entries), *self.shape)
        return (entries, arrays) if complete else None


def checksum(array: np.ndarray) -> int:
    """The CRC-32C of an array's bytes, which the processor computes."""
    return google_crc32c.value(array if array.dtype == np.uint8 else array.view(np.uint8))


def report() -> Iterator[str]:
    """A line for each fingerprint that has arrays in the cache: how many, how large, and what it is."""
    root = cache_folder()
    for folder in sorted(root.iterdir()) if root and root.is_dir() else []:
        size = sum(path.stat().st_size for path in folder.iterdir())
        count = sum(path.stat().st_size // ENTRY.itemsize for path in folder.glob("*.entries"))
        settings = folder / SETTINGS
        fingerprint = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
        content = fingerprint.pop("content", "images")
        text = " ".join(f"{key} {value}" for key, value in fingerprint.items())
        yield f"{count:>10,} {content} {size / 1e6:>10,.1f} MB  {text}"


def clear() -> None:
    """Remove the cache with all that it holds."""
    root = cache_folder()
    if root and root.is_dir():
        shutil.rmtree(root)


def _write_entries(pack: Path, ids: np.ndarray, checksums: np.ndarray) -> None:
    entries = np.zeros(len(ids), ENTRY)
    entries["id"], entries["crc"] = ids.astype("S32"), checksums
    pack.with_suffix(".entries").write_bytes(entries.tobytes())


def _remove_pack(path: Path) -> None:
    """Remove a pack, by the path of its entries."""
    path.unlink(missing_ok=True)
    path.with_suffix(".npy").unlink(missing_ok=True)


def _key(fingerprint: dict[str, Any], code_digest: str) -> str:
    text = json.dumps(fingerprint, sort_keys=True) + code_digest
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
