"""The card that ships with the files: what the model is, how good, on what data, how to run it (Mitchell 2019)."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd

from heldout.core import atomic, markdown
from heldout.data import manifest
from heldout.export import files
from heldout.export.exam import Parity
from heldout.export.self_test import CARD, Kit

TEMPLATE = "README.md.j2"
MAX_NAMES, MAX_WORST = 20, 5  # classes that are named; weakest classes and slices that are shown
# The distributions that the card's lines need beside those of the self-test's reference.
PACKAGES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("keras", "h5"), ("keras", "tensorflow")),
    "saved_model": ("tensorflow",),
    **dict.fromkeys(("tflite", "tflite_float16", "tflite_dynamic", "tflite_int8"), ("ai-edge-litert",)),
    "onnx": ("onnxruntime",),
    "openvino": ("openvino",),
}
REFERENCE_PACKAGES = ("numpy", "pillow")
# Scores that the card explains, in this order; the report has all of them.
SCORES = {
    "accuracy": "right answers",
    "balanced_accuracy": "mean recall of the classes: each counts the same",
    "macro_f1": "mean F1 of the classes",
    "macro_auc": "mean area under ROC, one class against the rest",
    "calibrated_log_loss": "cross-entropy in nats of what ships: lower is better",
    "calibrated_expected_calibration_error": "how far confidence is from accuracy, of what ships",
}


class Facts(NamedTuple):
    """Figures of metrics/data.json, eval.json and train.json, rows of by_class.csv and slices.csv, and heldout.json."""

    data: dict[str, float]
    scores: dict[str, float]
    training: dict[str, float]
    classes: pd.DataFrame
    slices: pd.DataFrame
    description: dict[str, Any]


def read(metrics: str | Path, description: dict[str, Any]) -> Facts:
    """What the card is made of, as the stages wrote it.

    Args:
        metrics: the folder.
        description: what heldout.json holds.

    Raises:
        ValueError: where a file is damaged.
    """
    numbers = [_figures(Path(metrics, f"{name}.json")) for name in ("data", "eval", "train")]
    tables = [_table(Path(metrics, f"{name}.csv")) for name in ("by_class", "slices")]
    return Facts(numbers[0], numbers[1], numbers[2], tables[0], tables[1], description)


def write(
    folder: Path,
    facts: Facts,
    parity: dict[str, Parity],
    kit: Kit,
    template: Path,
    *,
    title: str,
    owner: str,
    license: str,
    data_license: str,
    intended_use: str,
    out_of_scope: str,
) -> None:
    """Write README.md.

    Args:
        folder: where the files to ship are.
        facts: of `read`.
        parity: how each file compares with the model, by format.
        kit: whose first image the lines predict.
        template: the folder with README.md.j2.
        title: the card's heading.
        owner: who answers for the model, and where to write to.
        license: of the files.
        data_license: of the training images, and what it asks for.
        intended_use: what it is for, and by whom.
        out_of_scope: what it must not be used for.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template), autoescape=False, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"md": markdown.escape, "percent": percent}
    environment.globals |= {"interval": interval}
    stated = {"title": title, "owner": owner, "license": license, "data_license": data_license}
    stated |= {"intended_use": intended_use, "out_of_scope": out_of_scope}
    text = environment.get_template(TEMPLATE).render(
        stated=stated,
        facts=facts,
        scores_rows=[
            (name.replace("_", " "), interval(facts.scores, name), SCORES[name])
            for name in SCORES
            if name in facts.scores
        ],
        names=facts.description["class_names"][:MAX_NAMES],
        leaks=leaks(facts.data),
        weakest=_rows(facts.classes.sort_values(["recall", "label"], kind="stable")),
        slices=_rows(facts.slices),
        num_flagged=int((facts.slices["flagged"].str.lower() == "true").sum()) if len(facts.slices) else 0,
        formats=[_format(name, measured) for name, measured in parity.items()],
        example=f"self_test/images/{kit.items[0].name}",
        num_images=len(kit.items),
        has_text=kit.tokens is not None,
        reference_packages=_pinned(REFERENCE_PACKAGES),
    )
    atomic.write_text(folder / CARD, text)


def percent(value: float) -> str:
    """`98.1 %`."""
    return f"{100 * value:.1f} %"


def interval(values: Any, name: str) -> str:
    """`0.981 [0.968, 0.989]`, without the ends where there are none; a hyphen where there is no value."""
    value, low, high = (values.get(name + end) for end in ("", "_low", "_high"))
    if value is None or pd.isna(value):
        return "-"
    return f"{value:.3f}" + ("" if low is None or pd.isna(low) else f" [{low:.3f}, {high:.3f}]")


def leaks(data: dict[str, float]) -> str:
    """What belongs together and is in two splits, and what a random split would have done."""
    found = {
        name.removeprefix("leaks_").replace("_", " "): int(data[name]) for name in data if name.startswith("leaks_")
    }
    kinds = ", ".join(f"{count:,} {name}" for name, count in found.items() if count)
    line = (
        f"known leaks between the splits: {kinds}; the scores may be too good"
        if kinds
        else "none: no image, no near-duplicate and no group is in two splits"
    )
    if share := data.get("random_split_leakage", 0):
        line += f"; a random split would have leaked {percent(share)} of the test images"
    return line


def _format(name: str, parity: Parity) -> dict[str, Any]:
    return {
        "name": name,
        "file": files.FILES[name],
        "bytes": parity.bytes,
        "difference": f"{parity.max_abs_difference:.0e}" if parity.max_abs_difference else "0",
        "changed": parity.changed_predictions,
        "accuracy": "{:.3f} [{:.3f}, {:.3f}]".format(*parity.accuracy),
        "packages": _pinned((*PACKAGES[name], *REFERENCE_PACKAGES)),
    }


def _pinned(distributions: tuple[str, ...]) -> str:
    """`numpy==2.4.6 pillow==13.0.0`: the versions that the files were scored with."""
    return " ".join(f"{name}=={version(name)}" for name in distributions)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.head(MAX_WORST).to_dict("records")


def _figures(path: Path) -> dict[str, float]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): run `dvc repro`, or `git checkout {path}`") from error


def _table(path: Path) -> pd.DataFrame:
    """A CSV file; all but names and words are float64, NaN where empty."""
    table = manifest.read(path)
    words = {"label", "slice", "value", "flagged", "most_confused_with"}
    try:
        return table.assign(
            **{name: table[name].replace("", "nan").astype(float) for name in table if name not in words}
        )
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): run `dvc repro`, or `git checkout {path}`") from error
