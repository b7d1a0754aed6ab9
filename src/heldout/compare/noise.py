"""Other seeds: how much a recipe's result moves when the seed alone does, and two recipes compared over seeds."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heldout.compare import causes, recipes, revisions, runs
from heldout.compare.exam import Exam
from heldout.compare.revisions import Revision
from heldout.core import atomic
from heldout.data import manifest
from heldout.evaluation import metrics
from heldout.evaluation.significance.paired_tests import Difference

NOISE_JSON, NOISE_CSV = "metrics/noise.json", "metrics/noise.csv"
METRICS = ("accuracy", "macro_f1", "log_loss")
CHANGED = "changed_predictions"


def measure(
    revision: Revision, count: int, root: str | Path = ".", report: Callable[[str], None] = print
) -> dict[str, Any]:
    """Train a revision's recipe with so many other seeds, and write what their results have in common.

    A seed whose row metrics/noise.csv has for this recipe is not run again. So that a row says all that is needed of
    its seed, its predictions are held against those that the revision has, not against each other seed's.

    Args:
        revision: the recipe; its own seed is not among the runs, so that its result is not held against itself.
        count: how many seeds, 2 or more.
        root: of the repository.
        report: is given a line a run.

    Returns:
        what metrics/noise.json holds.
    """
    if count < 2:
        raise ValueError(f"expected the runs of two seeds or more, got {count}: one has no spread")
    digest = recipe_digest(revision)
    seeds = [revision_seed(revision) + number for number in range(1, count + 1)]
    rows = _known(Path(root, NOISE_CSV), digest)
    if not rows and is_of(revision.metrics["noise"], revision):
        rows = _known(Path(root, NOISE_CSV), str(revision.metrics["noise"].get("recipe")))
    missing = [seed for seed in seeds if seed not in rows]
    if len(missing) < count:
        report(f"noise: {count - len(missing)} of {count} seeds are in {NOISE_CSV}, and are not run again")
    if missing:
        with runs.copy(revision, root) as folder:
            for seed in missing:
                rows[seed] = _result(runs.predict(folder, {"seed": seed}, f"seed {seed}"), revision)
                report(f"noise: seed {seed}: " + ", ".join(f"{name} {value:.4g}" for name, value in rows[seed].items()))
                _write(Path(root, NOISE_CSV), rows, digest)
    summary = summarize(pd.DataFrame([rows[seed] for seed in seeds]))
    summary |= {"first_seed": seeds[0], "images": len(revision.predictions)}
    summary["test_fingerprint"] = int(revision.metrics["data"]["test_fingerprint"])
    text = json.dumps({"recipe": digest, "predictions": predictions_md5(revision), **summary}, indent=2)
    atomic.write_text(Path(root, NOISE_JSON), f"{text}\n")
    return summary


def compare_seeds(
    base: Revision,
    head: Revision,
    matched: Exam,
    count: int,
    root: str | Path = ".",
    report: Callable[[str], None] = print,
) -> Difference:
    """Train what is missing on either side, with seeds that neither of the two results was chosen by.

    Args:
        base: a recipe.
        head: another.
        matched: of `exam.match`: the images that both sides are tested on.
        count: how many seeds a side, 2 or more.
        root: of the repository.
        report: is given a line a run.
    """
    if count < 2:
        raise ValueError(f"expected 2 seeds a side or more, got {count}: one tells nothing of another")
    correct = []
    for side in (base, head):
        first = revision_seed(side) + 1
        rows = []
        with runs.copy(side, root) as folder:
            for seed in range(first, first + count):
                run = runs.predict(folder, {"seed": seed}, f"seed {seed} of {side.name}")
                table = run.predictions.merge(matched.common[["id", "label"]], on=["id", "label"], how="right")
                rows.append((table["predicted"] == table["label"]).to_numpy())
                report(f"compare: seed {seed} of {side.name}: accuracy {rows[-1].mean():.4f}")
        correct.append(np.array(rows))
    return recipes.several_seeds(correct[0], correct[1], metrics.group_numbers(matched.common))


def summarize(table: pd.DataFrame) -> dict[str, Any]:
    """The mean and standard deviation over seeds of each metric, and the mean fraction of predictions that change.

    Args:
        table: a row a seed, a column a metric, and changed_predictions.
    """
    summary: dict[str, Any] = {"runs": len(table)}
    for name in (name for name in METRICS if name in table):
        summary[f"{name}_mean"] = round(float(table[name].mean()), 6)
        summary[f"{name}_sd"] = round(float(table[name].std(ddof=1)), 6)
    return summary | {CHANGED: round(float(table[CHANGED].mean()), 6)}


def recipe_digest(revision: Revision) -> str:
    """The md5 of what makes predictions but the seed: params, code, versions and data of all stages up to `predict`."""
    stages = [name for name in revision.lock if name.split("@")[0] in revisions.PREDICTED]
    inputs = {
        key: value for name in stages for key, value in causes.inputs(revision, name) if key != ("params", "seed")
    }
    text = json.dumps(sorted([*key, str(value)] for key, value in inputs.items()))
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def predictions_md5(revision: Revision) -> str:
    """The md5 of what `predict` wrote: where it is that of the result that was measured, the recipe is as good as the
    same, whatever an edit or a version changed in its digest: the same seed gave the same bytes."""
    return causes.outputs(revision, "predict").get("data/predictions", "")


def is_of(measured: dict[str, Any], revision: Revision) -> bool:
    """Whether metrics/noise.json, as `measured` holds it, is of a revision's recipe."""
    if measured.get("recipe") == recipe_digest(revision):
        return True
    return bool(measured.get("predictions")) and measured["predictions"] == predictions_md5(revision)


def revision_seed(revision: Revision) -> int:
    """The seed that a revision was trained with."""
    return int(revision.lock["train"]["params"]["params.yaml"]["seed"])


def _result(run: Revision, revision: Revision) -> dict[str, float]:
    """A seed's row: its metrics, and the fraction of the test images that it predicts otherwise than the revision."""
    both = revision.predictions.merge(run.predictions, on=["id", "label"], suffixes=("_base", "_head"))
    changed = round(float((both["predicted_base"] != both["predicted_head"]).mean()), 6)
    return {name: run.metrics["eval"][name] for name in METRICS if name in run.metrics["eval"]} | {CHANGED: changed}


def _known(path: Path, digest: str) -> dict[int, dict[str, float]]:
    """The rows of a recipe's seeds."""
    if not path.is_file():
        return {}
    table = manifest.read(path)
    if not {"recipe", "seed", CHANGED} <= set(table):
        return {}
    names = [name for name in (*METRICS, CHANGED) if name in table]
    table = table[table["recipe"] == digest]
    return {int(row["seed"]): {name: float(row[name]) for name in names} for _, row in table.iterrows()}


def _write(path: Path, rows: dict[int, dict[str, float]], digest: str) -> None:
    table = pd.DataFrame([{"recipe": digest, "seed": seed, **values} for seed, values in sorted(rows.items())])
    manifest.write(table, path)
