"""The command `heldout lineage`: which commit, params and data made a file, and which models trained on an image."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from heldout.compare import locks, manifests, revisions
from heldout.compare.locks import Lock
from heldout.core import names, params
from heldout.data import manifest
from heldout.evaluation.report.sections import flat
from heldout.export import self_test
from heldout.export.files import DESCRIPTION

WEIGHTS = "models/model.weights.h5"
SPLITS = (*manifests.SPLITS, "unlabelled")
MAX_PARAMS = 20  # that differ, and are printed


def of_file(file: str, root: str | Path = ".") -> list[str]:
    """Lines on an exported file, or a folder of them: its commit, the digests of the stages, the params that differ.

    heldout.json, in the folder or beside the file, has the digests of what it was made from; without it the file's own
    bytes are looked for in the lists of what was exported, which are in DVC's cache.

    Raises:
        ValueError: where the file is missing, is not the one that was exported, or no commit is known to have made it.
    """
    path = Path(file)
    if not path.exists():
        raise ValueError(f"{file}: no such file or folder")
    description = _description(path)
    wanted = _lineage(description, path) if description else _digests(path)
    everything = list(locks.history(root))
    matching = [lock for lock in everything if _made(lock, wanted, bool(description))]
    current = locks.work_tree(root)
    if not matching and current and _made(current, wanted, bool(description)):
        matching = [current]
    if not matching:
        raise ValueError(_unknown(file, everything, bool(description)))
    return list(_file_lines(path.name, matching, current, Path(root)))


def of_image(image: str, root: str | Path = ".") -> list[str]:
    """Lines on an image: its split now, and for each model that was committed, the split that it had there.

    Args:
        image: a file, a path as the manifests have it, or an md5, which is an image's identity.
        root: of the repository.

    Raises:
        ValueError: where there is no such image, or no repository of git.
    """
    tables = {
        split: manifest.read(path) for split in SPLITS if (path := Path(root, manifests.path_of(split))).is_file()
    }
    identity = _identity(image, tables)
    rows = [
        (split, row) for split, table in tables.items() for row in table[table["id"] == identity].to_dict("records")
    ]
    lines = [f"{names.printable(row['path'])} ({identity}): in {split} now" for split, row in rows]
    if not tables:
        lines = [f"{identity}: data/splits is not here to tell its split (`dvc pull`)"]
    return [*(lines or [f"{identity}: in no split now"]), *_models(identity, list(locks.history(root)), Path(root))]


def _description(path: Path) -> dict[str, Any] | None:
    """What heldout.json says, in the folder or beside a file or folder that ships; None where there is none."""
    for folder in [path, path.parent, *path.parents[1:3]]:
        file = folder / DESCRIPTION
        if file.is_file():
            try:
                description = json.loads(file.read_text(encoding="utf-8"))
                return {"lineage": dict(description["lineage"]), "folder": folder}
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{file} has no lineage: it is damaged, or from before heldout 0.4") from None
    return None


def _lineage(description: dict[str, Any], path: Path) -> set[str]:
    """The digests of what the export was made from, once the file is found to be one of the export."""
    folder = description["folder"]
    expected_json = folder / self_test.FOLDER / self_test.EXPECTED
    if expected_json.is_file() and path != folder:
        expected = json.loads(expected_json.read_text(encoding="utf-8")).get("files", {})
        for name, digest in _files(path, folder).items():
            if expected.get(name, digest) != digest:
                raise ValueError(
                    f"{path} has other bytes than were exported with {folder / DESCRIPTION}: where is it from?"
                )
    return set(description["lineage"].values())


def _files(path: Path, folder: Path) -> dict[str, str]:
    files = [path] if path.is_file() else sorted(part for part in path.rglob("*") if part.is_file())
    return {file.relative_to(folder).as_posix(): self_test.md5(file.read_bytes()) for file in files}


def _digests(path: Path) -> set[str]:
    digests = set(_files(path, path.parent).values())
    if not digests:
        raise ValueError(f"{path} is empty")
    return digests


def _made(lock: Lock, wanted: set[str], by_lineage: bool) -> bool:
    """Whether a commit has all of the digests, among its outputs or the files of its export."""
    if all(digest.encode() in lock.content for digest in wanted):
        return wanted <= set(lock.outputs().values())
    return not by_lineage and wanted <= set((lock.exported() or {}).values())


def _unknown(file: str, everything: list[Lock], by_lineage: bool) -> str:
    if not by_lineage and any(locks.EXPORT in lock.outputs() and lock.exported() is None for lock in everything):
        return (
            f"no commit is known to have made {file}, but DVC's cache has not the lists of all exports: "
            "`dvc fetch --all-commits export`, or put the heldout.json of its export beside it"
        )
    return f"no commit of this repository made {file}: `git fetch --all`, or look in the clone that it is from"


def _file_lines(name: str, matching: list[Lock], current: Lock | None, root: Path) -> Iterator[str]:
    first, *later = matching
    yield f"{names.printable(name)}: made by {names.printable(first.name)}"
    if not first.commit:
        yield "this dvc.lock is in no commit yet: commit it, and the file can be made again"
    if later:
        yield f"the same in {len(later)} later commits, the last {names.printable(later[-1].name)}"
    yield ""
    for stage, entry in first.stages.items():
        sources = entry.get("deps", []) if stage == "index" else []
        for item in [*sources, *entry.get("outs", [])]:
            if "md5" in item and not item["path"].startswith(("metrics/", "plots/")):
                yield f"{item['md5']:<36}  {item['path']}  ({stage})"
    yield ""
    yield from _different_params(first, root)
    if first.commit:
        yield f"to have it back: `git checkout {first.commit[:10]}`, then `dvc pull` or `dvc checkout`"


def _different_params(lock: Lock, root: Path) -> Iterator[str]:
    """The params that had other values then, one a line."""
    file = root / locks.PARAMS
    if not file.is_file():
        return
    then, now = dict(flat(lock.params())), dict(flat(params.load(file)))
    changed = [key for key in then if then[key] != now.get(key)]
    yield f"params that differ from those of the work tree: {len(changed) or 'none'}"
    for key in changed[:MAX_PARAMS]:
        yield f"  {key}: {then[key]}, now {now.get(key, 'gone')}"
    if len(changed) > MAX_PARAMS:
        yield f"  ... {len(changed) - MAX_PARAMS} more: git diff {lock.commit[:10]} -- params.yaml"


def _identity(image: str, tables: dict[str, Any]) -> str:
    """The md5 of an image."""
    if Path(image).is_file():
        return self_test.md5(Path(image).read_bytes())
    if re.fullmatch("[0-9a-f]{32}", image):
        return image
    for table in tables.values():
        if (found := table["id"][table["path"] == image]).size:
            return str(found.iloc[0])
    raise ValueError(f"expected a file, an md5, or a path that data/splits has, got {image}")


def _models(identity: str, everything: list[Lock], root: Path) -> Iterator[str]:
    """A line a committed model, the oldest first: the split in which its own commit had the image."""
    seen: dict[str, str] = {}
    for lock in everything:
        weights = lock.outputs().get(WEIGHTS)
        if weights and weights not in seen:
            seen[weights] = split = _split_then(identity, lock, root)
            yield f"{weights[:10]}  {split:<11}  since {names.printable(lock.name)}"
    counts = [sum(split == value for split in seen.values()) for value in ("train", "unknown")]
    yield f"{counts[0]} of {len(seen)} committed models trained on it"
    if counts[1]:
        yield (
            f"{counts[1]} unknown, whose lists are not in DVC's cache: "
            f"`dvc fetch --all-commits {' '.join(map(manifests.path_of, manifests.SPLITS))}`"
        )


def _split_then(identity: str, lock: Lock, root: Path) -> str:
    outputs, is_known = lock.outputs(), True
    for split in manifests.SPLITS:
        path = manifests.path_of(split)
        content = manifests.content_of(outputs.get(path, ""), root / path)
        if content is not None and identity in set(revisions.read_table(content)["id"]):
            return split
        is_known = is_known and content is not None
    return "none" if is_known else "unknown"
