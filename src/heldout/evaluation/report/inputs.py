"""What the page is made from: the files of the other stages, read into one tuple."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from heldout.core import params
from heldout.data import manifest

NUMERIC = {
    *("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "train", "val", "test", "images"),
    *("confidence", "label_probability", "label_rank", "calibrated_confidence", "calibrated_label_probability"),
    *("support", "precision", "recall", "f1", "most_confused_count", "bin", "coverage", "risk", "threshold"),
    *("rest_accuracy", "difference", "p_value", "q_value", "rank", "suggested_probability", "expected_precision"),
    "strength",
}
PLOTS = (
    *("split", "curves", "confusion", "by_class", "reliability", "risk_coverage", "one_against_rest", "slices"),
    "robustness",
)
# Their md5 stands in dvc.lock, by which git tells the commit.
DIGESTED = ("models/model.weights.h5", "models/model.json", "data/splits/test.csv", "metrics/predictions.csv")


class Inputs(NamedTuple):
    """What the page says, as it was read; what a stage did not write is empty.

    numbers: of metrics/NAME.json, by NAME. tables: of metrics/NAME.csv and data/problems.csv, by NAME. plots: PNG files
    by name. heatmaps: uint8 (n, height, width), of the rows of the table `explanations`. digests: md5 by path.
    """

    numbers: dict[str, dict[str, float]]
    tables: dict[str, pd.DataFrame]
    plots: dict[str, bytes]
    heatmaps: np.ndarray
    class_names: list[str]
    model: dict[str, Any]
    params: dict[str, Any]
    versions: dict[str, str]
    digests: dict[str, str]


def read(root: str | Path, params_yaml: str | Path, env_yaml: str | Path) -> Inputs:
    """All but the pixels.

    Args:
        root: has the folders metrics, plots, data and models.
        params_yaml, env_yaml: which the page lists.
    """
    root = Path(root)
    numbers = {
        name: _json(root / f"metrics/{name}.json") for name in ("data", "train", "eval", "calibration", "export")
    }
    names = ("history", "classes", "predictions", "by_class", "reliability", "risk_coverage", "slices", "suspects")
    tables = {name: table(root / f"metrics/{name}.csv") for name in (*names, "robustness")}
    tables["problems"] = table(root / "data/problems.csv")
    tables["explanations"] = table(root / "data/explanations/images.csv")
    heatmaps = root / "data/explanations/heatmaps.npy"
    return Inputs(
        numbers=numbers,
        tables=tables,
        plots={name: path.read_bytes() for name in PLOTS if (path := root / f"plots/{name}.png").is_file()},
        heatmaps=np.load(heatmaps, allow_pickle=False) if heatmaps.is_file() else np.zeros((0, 1, 1), np.uint8),
        class_names=manifest.read_class_names(root / "data/classes.txt"),
        model=_json(root / "models/model.json"),
        params=params.load(params_yaml),
        versions=params.load(env_yaml),
        digests={name: _md5(root / name) for name in DIGESTED if (root / name).is_file()},
    )


def table(path: Path) -> pd.DataFrame:
    """A CSV file: NUMERIC columns and bounds of intervals as float64 (NaN where empty), all others as text (a class may
    be called NA or 007); no columns where there is no file.

    Raises:
        ValueError: where it is damaged.
    """
    if not path.is_file():
        return pd.DataFrame()
    rows = manifest.read(path)
    numeric = [name for name in rows if name in NUMERIC or name.endswith(("_low", "_high"))]
    try:
        return rows.assign(**{name: rows[name].replace("", "nan").astype(float) for name in numeric})
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): run `dvc repro`") from error


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
