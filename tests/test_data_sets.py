"""One's own images: `dvc add data/raw`, one line in params.yaml, `dvc repro`, on two real data sets."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import SHARED, change, execute, stages_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not SHARED.is_dir(), reason=f"the data sets are not beside the repository, in {SHARED.parent.name}/"
    ),
]


def reproduce(project: Path, source: Path) -> dict[str, dict]:
    """What the README says to do with one's own images; the metrics."""
    shutil.copytree(source, project / "data/raw")
    execute("dvc", "add", "-q", "data/raw", cwd=project)
    change(
        project,
        {
            "data": {"dir": "data/raw"},
            "preprocess": {"image_size": [32, 32]},
            "model": {"filters": [32, 64, 128], "dense_units": 128},
            "train": {"epochs": 3},
        },
    )
    execute("dvc", "repro", cwd=project)
    assert stages_run(execute("dvc", "repro", cwd=project).stdout) == []
    ignored = execute("git", "status", "--porcelain", cwd=project).stdout
    assert "data/raw.dvc" in ignored and "data/processed" not in ignored
    return {path.stem: json.loads(path.read_text("utf-8")) for path in (project / "metrics").glob("*.json")}


def test_photos_in_given_splits(project):
    metrics = reproduce(project, SHARED / "clothing")
    assert [metrics["data"][name] for name in ("train", "val", "test", "classes")] == [3068, 341, 372, 10]
    predictions = pd.read_csv(project / "metrics/predictions.csv")
    assert len(predictions) == 372
    assert predictions["path"].str.startswith("data/raw/test/").all()
    largest = predictions["label"].value_counts(normalize=True).max()
    assert metrics["eval"]["accuracy"] > largest + 0.05, "no better than always naming the largest class"


def test_photos_in_class_folders(project):
    metrics = reproduce(project, SHARED / "signs/images")
    assert metrics["data"]["images"] == 2062 and metrics["data"]["classes"] == 10
    assert metrics["eval"]["images"] == metrics["data"]["test"] == pytest.approx(0.15 * 2062, rel=0.15)
    assert metrics["eval"]["accuracy"] > 0.3
    assert all(row["changed_answers"] == 0 for row in metrics["export"].values())
