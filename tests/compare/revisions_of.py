"""Small repositories of git with what `compare` reads: metrics, params, code digests, and a dvc.lock that is right."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import yaml
from conftest import execute


def table(predicted: str, labels: str = "aaaaabbbbbccccc" * 4, **columns) -> pd.DataFrame:
    """A test image a letter: its label, and what is predicted of it."""
    rows = {
        "id": [f"{number:032x}" for number in range(len(labels))],
        "path": [f"data/raw/{number}.jpg" for number in range(len(labels))],
        "label": list(labels),
        "predicted": list(predicted),
        "confidence": 0.9,
        "label_probability": [0.9 if one == other else 0.1 for one, other in zip(labels, predicted, strict=True)],
        "label_rank": [1 if one == other else 2 for one, other in zip(labels, predicted, strict=True)],
    }
    return pd.DataFrame(rows | columns)


def write(
    folder: Path, predictions: pd.DataFrame, seed: int = 0, epochs: int = 3, code: str = "1", images: str = "5"
) -> None:
    """The files of a revision; `images` stands for the md5 of the folder of images."""
    (folder / "metrics").mkdir(parents=True, exist_ok=True)
    counts = predictions["label"].value_counts().sort_index()
    texts = {
        "metrics/predictions.csv": predictions.to_csv(index=False, lineterminator="\n"),
        "metrics/classes.csv": "label,test\n" + "".join(f"{label},{count}\n" for label, count in counts.items()),
        "metrics/eval.json": json.dumps({"accuracy": float((predictions["label"] == predictions["predicted"]).mean())}),
        "metrics/data.json": json.dumps({"test_fingerprint": 1}),
        "metrics/train.json": json.dumps({"epochs": epochs, "parameters": 100}),
        "params.yaml": yaml.safe_dump({"seed": seed, "train": {"epochs": epochs}, "evaluate": {"top_k": 5}}),
        "code.yaml": yaml.safe_dump({"train": code, "evaluate": "1"}),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    digests = {name: hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for name, text in texts.items()}
    stages = {
        "index": {"deps": [{"path": "data/raw", "md5": images}], "outs": [{"path": "data/index.csv", "md5": images}]},
        "train": {
            "deps": [{"path": "data/index.csv", "md5": images}],
            "params": {"params.yaml": {"seed": seed, "train": {"epochs": epochs}}, "code.yaml": {"train": code}},
            "outs": [
                {"path": "models/model.weights.h5", "md5": f"weights {seed}"},
                {"path": "metrics/train.json", "md5": digests["metrics/train.json"]},
            ],
        },
        "predict": {
            "deps": [{"path": "models/model.weights.h5", "md5": f"weights {seed}"}],
            "outs": [{"path": "data/predictions", "md5": f"predictions {seed}"}],
        },
        "evaluate": {
            "deps": [{"path": "data/predictions", "md5": f"predictions {seed}"}],
            "params": {"params.yaml": {"evaluate": {"top_k": 5}}, "code.yaml": {"evaluate": "1"}},
            "outs": [{"path": name, "md5": digests[name]} for name in ("metrics/eval.json", "metrics/predictions.csv")],
        },
    }
    (folder / "dvc.lock").write_text(
        yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False), encoding="utf-8"
    )


def repository(folder: Path) -> Path:
    """An empty repository of git."""
    folder.mkdir(parents=True, exist_ok=True)
    execute("git", "init", "-q", "-b", "main", cwd=folder)
    return folder


def commit(folder: Path, tag: str) -> None:
    """Commit all, under a tag."""
    execute("git", "add", "-A", cwd=folder)
    execute("git", "commit", "-q", "-m", tag, cwd=folder)
    execute("git", "tag", tag, cwd=folder)
