"""An export checked against the kit that ships with it: its bytes, its pixels, and each file's answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heldout.data import images
from heldout.export import files, self_test
from heldout.export.self_test import EXPECTED, FOLDER, PIXELS, TOKENS, Item, Kit


class Finding(NamedTuple):
    """One line, and whether it is good (True), bad (False), or of what could not be checked (None)."""

    is_good: bool | None
    line: str


def verify(export: str | Path) -> Iterator[Finding]:
    """What of an export is as the stage wrote it; nothing but the folder is needed.

    Yields:
        A finding of the bytes of all its files, one of the pixels that its images are decoded to here, and one of each
        file in a format that ships, run in its own runtime.

    Raises:
        ValueError: where the folder is no export, has no kit, or the kit is damaged.
    """
    folder = Path(export)
    expected, preprocess, kit = _read(folder)
    probabilities = np.array([entry["probabilities"] for entry in expected["images"]])
    yield from _bytes(folder, expected["files"])
    yield _decoding(kit, preprocess, expected["tolerance"]["pixels"])
    ran = False
    for name, file in files.FILES.items():
        if (folder / file).exists():
            finding = _answers(name, folder / file, kit, probabilities, expected["tolerance"])
            ran = ran or finding.is_good is not None
            yield finding
    if not ran:
        yield Finding(False, "no file was run: install the runtime of one (README.md has the command)")


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any], Kit]:
    """expected.json, the section `preprocess`, and the kit."""
    place = folder / FOLDER
    if not (folder / files.DESCRIPTION).is_file():
        raise ValueError(f"expected a folder that the stage export wrote, {folder} has no {files.DESCRIPTION}")
    if not (place / EXPECTED).is_file():
        raise ValueError(
            f"{folder} has no {FOLDER}/{EXPECTED}: it is from before there was one, run `dvc repro export`"
        )
    try:
        expected = json.loads((place / EXPECTED).read_text(encoding="utf-8"))
        preprocess = json.loads((folder / files.DESCRIPTION).read_text(encoding="utf-8"))["preprocess"]
        pixels = np.load(place / PIXELS, allow_pickle=False)
        tokens = np.load(place / TOKENS, allow_pickle=False) if (place / TOKENS).is_file() else None
        items = [
            Item(entry["file"], (place / entry["file"]).read_bytes(), entry["about"]) for entry in expected["images"]
        ]
        if not len(items) == len(pixels) > 0 or {"pixels"} - set(expected["tolerance"]) or "files" not in expected:
            raise ValueError(f"{len(items)} images, {len(pixels)} of pixels")
    except (ValueError, KeyError, TypeError, OSError) as error:
        reason = " ".join(str(error).split())[:100]
        raise ValueError(
            f"{place} is damaged ({reason}): fetch it again, or `dvc checkout --force {folder}`"
        ) from error
    return expected, preprocess, Kit(items, pixels, tokens)


def _bytes(folder: Path, expected: dict[str, str]) -> Iterator[Finding]:
    """What differs; a format that was left out as a whole is no fault, as one may ship some of them alone."""
    received, same = self_test.digests(folder), 0
    left_out = {file for file in files.FILES.values() if not (folder / file).exists()}
    for name, digest in sorted(expected.items()):
        if name not in received and name.split("/")[0] not in left_out:
            yield Finding(False, f"{name}: is missing")
        elif name in received and received[name] != digest:
            yield Finding(False, f"{name}: has other bytes than were exported")
        same += received.get(name) == digest
    yield Finding(True, f"bytes: {same} of {len(expected)} files are here as they were exported")
    for file in sorted(left_out & {name.split("/")[0] for name in expected}):
        yield Finding(None, f"{file}: not in this copy")


def _decoding(kit: Kit, preprocess: dict[str, Any], tolerance: float) -> Finding:
    """What this machine's decoders make of the images."""
    apart = {}
    for item, pixels in zip(kit.items, kit.pixels, strict=True):
        decoded = images.decode_and_resize(item.content, item.name, **preprocess)
        if decoded.shape != pixels.shape:
            return Finding(False, f"decoding: {item.name} has the shape {decoded.shape}, expected {pixels.shape}")
        apart[item.name] = int(np.abs(decoded.astype(int) - pixels).max())
    worst = max(apart, key=lambda name: apart[name])
    text = f"decoding: {len(apart)} images, {apart[worst]} of 255 levels apart at most"
    if apart[worst] <= tolerance:
        return Finding(True, f"{text}, within {tolerance:g}")
    return Finding(False, f"{text} ({worst}), expected {tolerance:g}: the pixels are not those of training")


def _answers(name: str, path: Path, kit: Kit, expected: np.ndarray, tolerances: dict[str, float]) -> Finding:
    """What a file says of the kit's own pixels."""
    if name not in tolerances:
        return Finding(False, f"{name}: {path.name} is not of this export")
    try:
        received = files.load(name, path)(kit.inputs(name))
    except ValueError as error:
        if isinstance(error.__cause__, ImportError):
            return Finding(None, f"{name}: skipped, {error.__cause__.name} is not installed")
        return Finding(False, f"{name}: {error}")
    if received.shape != expected.shape:
        return Finding(False, f"{name}: {received.shape[-1]} probabilities an image, expected {expected.shape[-1]}")
    difference = float(np.abs(received - expected).max())
    text = f"{name}: {len(expected)} images, max difference {difference:.0e}"
    if difference <= tolerances[name]:  # also false of NaN
        return Finding(True, f"{text}, within {tolerances[name]:g}")
    return Finding(False, f"{text}, expected {tolerances[name]:g} at most")
