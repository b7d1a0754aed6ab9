"""What a revision of git, an experiment of DVC, or the work tree says of its model: read from git, without data."""

import hashlib
import io
import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from ruamel.yaml import YAML

PREDICTED = ("sample", "index", "split", "preprocess", "train", "predict")  # the stages that make predictions
SCORED = (*PREDICTED, "evaluate")  # and a score
WORK_TREE = "the work tree"
PREDICTIONS, CLASSES = "metrics/predictions.csv", "metrics/classes.csv"
REQUIRED = ("id", "label", "predicted", "confidence", "label_probability")
NUMBERS = {
    "confidence": float,
    "label_probability": float,
    "label_rank": int,
    "calibrated_confidence": float,
    "calibrated_label_probability": float,
}


class Revision(NamedTuple):
    """One side of a comparison.

    `predictions` has a row a test image, `class_names` are those of the test set, `metrics` holds the flat files of
    metrics/ by name (eval, data, train, export, calibration, search), `inputs` what the stages read, as dvc.lock has
    it.
    """

    name: str
    commit: str
    predictions: pd.DataFrame
    class_names: list[str]
    metrics: dict[str, dict[str, float]]
    lock: dict[str, Any]


def read(name: str | None, root: str | Path = ".", stages: tuple[str, ...] = ()) -> Revision:
    """Read a revision; None is the work tree.

    Args:
        name: a revision of git or the name of an experiment (`dvc exp show`).
        root: of the repository.
        stages: those that dvc.lock must be right about; all of them where none is named.

    Raises:
        ValueError: where it is unknown or lacks a file, or its dvc.lock is stale.
    """
    commit = _resolve(name, Path(root)) if name else ""
    label = name or WORK_TREE

    def content(path: str) -> bytes | None:
        if not commit:
            file = Path(root, path)
            return file.read_bytes() if file.is_file() else None
        done = git(root, "show", f"{commit}:{path}")
        return done.stdout if done.returncode == 0 else None

    lock_text = content("dvc.lock")
    if lock_text is None:
        raise ValueError(f"{label} has no dvc.lock: run `dvc repro` there and commit dvc.lock, metrics/ and plots/")
    lock = read_yaml(lock_text) or {}
    entries = lock.get("stages") if isinstance(lock, dict) else None
    if not entries:
        raise ValueError(f"{label} has an empty dvc.lock: `heldout doctor` says what to do")
    predictions = content(PREDICTIONS)
    if predictions is None:
        raise ValueError(
            f"{label} has no {PREDICTIONS}, which holds what is compared: run `dvc repro` there and commit metrics/"
        )
    checked = {key: entry for key, entry in entries.items() if not stages or key.split("@")[0] in stages}
    if stale := _stale_stages(checked, content):
        raise ValueError(
            f"dvc.lock of {label} is stale ({', '.join(stale)}): its numbers are not of its params and code: "
            "run `dvc repro` and commit dvc.lock, code.yaml, metrics/ and plots/"
        )
    metrics = {}
    for key in ("eval", "data", "train", "export", "calibration", "noise", "search"):
        text = content(f"metrics/{key}.json")
        metrics[key] = json.loads(text) if text else {}
    classes = read_table(content(CLASSES) or b"label\n")
    return Revision(label, commit, _predictions(predictions, label), classes["label"].tolist(), metrics, entries)


def _resolve(name: str, root: Path) -> str:
    """The commit of a revision or experiment."""
    done = git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if done.returncode == 0:
        return done.stdout.decode().strip()
    references = git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").stdout.decode()
    for line in references.splitlines():
        commit, reference = line.split(" ", 1)
        if reference.rsplit("/", 1)[-1] == name:
            return commit
    if git(root, "rev-parse", "--git-dir").returncode:
        raise ValueError(f"expected a git repository, got {root.resolve()}: run it in your clone")
    if git(root, "rev-parse", "--is-shallow-repository").stdout.decode().strip() == "true":
        raise ValueError(f"{name} is not in this shallow clone: check out with fetch-depth: 0 (GitLab: GIT_DEPTH: 0)")
    raise ValueError(f"expected a revision or an experiment, got {name}, which git does not know: `git fetch` it")


def _stale_stages(stages: dict[str, Any], content: Any) -> list[str]:
    """The stages whose params or results, as the revision holds them, are not those that its dvc.lock names."""
    stale = []
    files: dict[str, Any] = {}
    for name, stage in stages.items():
        for path, params in stage.get("params", {}).items():
            if path not in files:
                files[path] = read_yaml(content(path) or b"") or {}
            if any(_lookup(files[path], key) != value for key, value in params.items()):
                stale.append(name)
        for out in stage.get("outs", []):
            text = content(out["path"]) if out["path"].startswith(("metrics/", "code.yaml")) else None
            if text is not None and hashlib.md5(text, usedforsecurity=False).hexdigest() != out["md5"]:
                stale.append(name)
    return list(dict.fromkeys(stale))


def read_yaml(text: bytes) -> Any:
    """YAML 1.2, as DVC writes it: PyYAML would read 1e-05 as text."""
    return YAML(typ="safe", pure=True).load(text)


def _lookup(params: Any, key: str) -> Any:
    """The value of a key, as DVC finds it: dots go down."""
    if isinstance(params, dict) and key in params:
        return params[key]
    for part in key.split("."):
        params = params.get(part) if isinstance(params, dict) else None
    return params


def _predictions(content: bytes, label: str) -> pd.DataFrame:
    table = read_table(content)
    if missing := [name for name in REQUIRED if name not in table]:
        raise ValueError(f"{PREDICTIONS} of {label} lacks the column {missing[0]}: run `dvc repro` there and commit it")
    return table.astype({name: kind for name, kind in NUMBERS.items() if name in table})


def read_table(content: bytes) -> pd.DataFrame:
    """A CSV as a table of text: a class may be called NA or 007."""
    return pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, encoding="utf-8")


def git(root: str | Path, *words: str) -> subprocess.CompletedProcess:
    """Run git in a repository; its standard output is in bytes.

    Raises:
        ValueError: where there is no git.
    """
    try:
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True)
    except FileNotFoundError:
        raise ValueError("git is not on PATH: install it") from None
