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


def reproduce(
    project: Path, source: Path, *targets: str, channels: int = 3, epochs: int = 3, **data
) -> dict[str, dict]:
    """What the README says to do with one's own images, up to some targets, if not to the end; the metrics."""
    shutil.copytree(source, project / "data/raw")
    execute("dvc", "add", "-q", "data/raw", cwd=project)
    change(
        project,
        {
            "data": {"dir": "data/raw"} | data,
            "preprocess": {"image_size": [32, 32], "channels": channels},
            "model": {"filters": [32, 64, 128], "dense_units": 128},
            "train": {"epochs": epochs},
            "schedule": {"name": "constant"},
        },
    )
    execute("dvc", "repro", *targets, cwd=project)
    assert stages_run(execute("dvc", "repro", *targets, cwd=project).stdout) == []
    status = execute("git", "status", "--porcelain", cwd=project).stdout
    assert "data/raw.dvc" in status and "data/processed" not in status
    return {path.stem: json.loads(path.read_text("utf-8")) for path in (project / "metrics").glob("*.json")}


def test_photos_in_given_splits(project):
    metrics = reproduce(project, SHARED / "clothing", on_conflict="drop")
    assert [metrics["data"][name] for name in ("train", "val", "test", "classes")] == [3066, 341, 372, 10]
    assert metrics["data"]["problems_conflict"] == 2
    assert not any(value for key, value in metrics["data"].items() if key.startswith("leaks_"))
    predictions = pd.read_csv(project / "metrics/predictions.csv")
    assert len(predictions) == 372
    assert predictions["path"].str.startswith("data/raw/test/").all()
    largest = predictions["label"].value_counts(normalize=True).max()
    assert metrics["eval"]["accuracy"] > largest + 0.05, "no better than always naming the largest class"


def test_photos_in_a_csv_with_groups_in_gray(project):
    metrics = reproduce(project, SHARED / "signs", channels=1, epochs=8)
    assert metrics["data"]["images"] == 2062 and metrics["data"]["classes"] == 10 and metrics["data"]["groups"] == 220
    assert metrics["data"]["random_split_leakage"] == pytest.approx(0.9965, abs=0.002)
    assert not any(value for key, value in metrics["data"].items() if key.startswith("leaks_"))
    assert metrics["eval"]["images"] == metrics["data"]["test"] == pytest.approx(0.15 * 2062, rel=0.15)
    test, train = (pd.read_csv(project / f"data/splits/{name}.csv") for name in ("test", "train"))
    assert not set(test["group"]) & set(train["group"])
    assert metrics["eval"]["accuracy"] > 0.6  # .79 to .88 with three seeds
    assert all(metrics["export"][f"{name}_changed_predictions"] == 0 for name in ("keras", "saved_model", "tflite"))
    shape = json.loads((project / "models/model.json").read_text(encoding="utf-8"))["image_shape"]
    assert shape == [32, 32, 1]
    output = execute("python", "-m", "heldout", "predict", test["path"][0], cwd=project).stdout
    predicted = pd.read_csv(project / "metrics/predictions.csv", dtype=str).set_index("path")["predicted"]
    assert predicted[test["path"][0]] in output.split()


def test_a_few_new_photos_decode_alone(project):
    metrics = reproduce(project, SHARED / "signs/images", "preprocess")
    assert metrics["data"]["groups"] == 0
    for number, image in enumerate(sorted((SHARED / "clothing/test/hat").iterdir())[:3]):
        shutil.copy(image, project / f"data/raw/{number}/new.jpg")
    output = execute("dvc", "repro", "preprocess", cwd=project).stdout
    assert {"index", "split"} <= set(stages_run(output))
    decoded = [int(line.split(", ")[1].split()[0]) for line in output.splitlines() if line.startswith("preprocess: ")]
    assert sum(decoded) == 3
