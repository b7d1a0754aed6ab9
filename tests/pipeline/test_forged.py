"""The freshness gate against figures that were written by hand, their md5 in dvc.lock as well, in the real graph."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import execute

pytestmark = pytest.mark.slow
REMEDY = "run `dvc repro -f -s split evaluate` and commit dvc.lock, metrics/ and plots/\n"


def gate(repository: Path, expect: int) -> str:
    return execute(".ci/freshness", cwd=repository, expect=expect).stdout


def forge(repository: Path, path: str, text: str) -> None:
    """Write a metric and what dvc.lock says of it, as DVC would have."""
    (repository / path).write_text(text, encoding="utf-8")
    lock = yaml.safe_load((repository / "dvc.lock").read_text(encoding="utf-8"))
    entries = [entry for stage in lock["stages"].values() for kind in ("deps", "outs") for entry in stage.get(kind, [])]
    for entry in entries:
        if entry["path"] == path:
            entry["md5"], entry["size"] = hashlib.md5(text.encode()).hexdigest(), len(text.encode())
    (repository / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")


def recompute(repository: Path) -> str:
    """The last line of what the gate runs once DVC finds dvc.lock fresh, and fails with."""
    return execute(".ci/recompute", cwd=repository, expect=1).stdout.splitlines()[-1]


def test_forged_figures_are_recomputed(clone):
    assert gate(clone, 0).splitlines()[-1] == "dvc.lock is fresh"
    scores = json.loads((clone / "metrics/eval.json").read_text(encoding="utf-8"))
    for name, value in {"top_5_accuracy": 1.0, "macro_f1_low": 0.98, "log_loss": 0.01, "accuracy": 0.999}.items():
        forge(clone, "metrics/eval.json", json.dumps(scores | {name: value}, indent=2) + "\n")
        line = f"metrics/eval.json says {name} {value}, metrics/predictions.csv gives {scores[name]}"
        assert recompute(clone).startswith(line[:-2])
    output = gate(clone, 1)
    assert output.startswith(f"freshness: {line[:-2]}") and output.endswith(REMEDY)


def test_forged_predictions(clone):
    table = pd.read_csv(clone / "metrics/predictions.csv", dtype=str, keep_default_na=False)
    wrong = table["label"] != table["predicted"]
    foreign = "is not of the images and labels"
    for forged, line in (
        (table.assign(predicted=table["label"]), "contradicts itself in the row of"),
        (table.assign(label=table["predicted"]), foreign),
        (table.assign(id=table["id"].str.replace("a", "b")), foreign),
        (table[~wrong], foreign),
    ):
        forge(clone, "metrics/predictions.csv", forged.to_csv(index=False, lineterminator="\n"))
        assert f"metrics/predictions.csv {line}" in recompute(clone)
    assert f"freshness: metrics/predictions.csv {line}" in gate(clone, 1)


def test_forged_predictions_where_the_data_are(restored):
    table = pd.read_csv(restored / "metrics/predictions.csv", dtype=str, keep_default_na=False)
    text = table.assign(label=table["predicted"]).to_csv(index=False, lineterminator="\n")
    forge(restored, "metrics/predictions.csv", text)
    assert "freshness: metrics/predictions.csv is not of the images and labels" in gate(restored, 1)


def test_the_scores_are_computed_without_data_or_tensorflow(clone):
    code = "import runpy, sys; runpy.run_path('.ci/recompute', run_name='__main__'); "
    code += "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    done = execute("python", "-c", code, cwd=clone)
    assert " scores of " in done.stdout and "follow from metrics/predictions.csv" in done.stdout
    assert not (clone / "data/splits/test.csv").exists()
