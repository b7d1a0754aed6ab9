"""What differs between two revisions, stage by stage: params, code, library versions, data and outputs."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from heldout.compare.revisions import Revision

CODE, ENVIRONMENT = "code.yaml", "env.yaml"
KINDS = ("params", "code", "versions", "data")


def differences(base: Revision, head: Revision) -> pd.DataFrame:
    """One row a difference: kind (params, code, versions, data), name, base, head, stages that it reaches first.

    A dep counts as data where no stage writes it: the folder of images, and the weights in pretrained/.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for stage in [*base.lock, *(name for name in head.lock if name not in base.lock)]:
        before, after = dict(inputs(base, stage)), dict(inputs(head, stage))
        for key in [*before, *(key for key in after if key not in before)]:
            if before.get(key) != after.get(key):
                kind, name = key
                values: dict[str, Any] = {"base": before.get(key), "head": after.get(key), "stages": []}
                rows.setdefault(key, {"kind": kind, "name": name} | values)["stages"].append(stage)
    table = pd.DataFrame(list(rows.values()), columns=["kind", "name", "base", "head", "stages"], dtype=object)
    order = table["kind"].map({kind: number for number, kind in enumerate(KINDS)})
    return table.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def changed_outputs(base: Revision, head: Revision) -> dict[str, list[str]]:
    """The stages whose outputs differ, or exist on one side alone, each with the paths."""
    result = {}
    for stage in [*base.lock, *(name for name in head.lock if name not in base.lock)]:
        before, after = outputs(base, stage), outputs(head, stage)
        paths = [path for path in before | after if before.get(path) != after.get(path)]
        if paths and stage != "code":
            result[stage] = paths
    return result


def inputs(revision: Revision, stage: str) -> Iterator[tuple[tuple[str, str], Any]]:
    """What a stage of a revision reads that no other stage writes: ((kind, name), value)."""
    entry = revision.lock.get(stage, {})
    for path, params in entry.get("params", {}).items():
        for key, value in params.items():
            if path == CODE:
                yield ("code", key), value
            elif path == ENVIRONMENT:
                yield ("versions", key), value
            else:
                for name, item in _flat(key, value):
                    yield ("params", name), item
    written = {out["path"] for other in revision.lock.values() for out in other.get("outs", [])}
    for dep in entry.get("deps", []):
        if stage != "code" and dep["path"] not in written:
            yield ("data", dep["path"]), dep["md5"]


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(f"{name}.{key}", item)
    else:
        yield name, value


def outputs(revision: Revision, stage: str) -> dict[str, str]:
    """The md5 of each path that a stage of a revision writes, as dvc.lock has it."""
    return {out["path"]: out["md5"] for out in revision.lock.get(stage, {}).get("outs", [])}
