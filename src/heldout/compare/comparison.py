"""HEAD against BASE: the same exam, these two models, these two recipes, which images, what did it, at what cost."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from heldout.compare import causes, changes, exam, manifests, noise, paired_metrics, recipes
from heldout.compare.attribution import Attribution
from heldout.compare.exam import Exam
from heldout.compare.revisions import Revision
from heldout.evaluation import metrics
from heldout.evaluation.significance import paired_tests
from heldout.evaluation.significance.paired_tests import ALPHA, Difference

MAIN_BRANCHES = ("origin/HEAD", "origin/main", "main", "origin/master", "master")
COSTS = ("parameters", "epochs", "bytes")  # what the names of the metrics of train and export end with


class Comparison(NamedTuple):
    """What `compare` finds. `metrics` has a row a metric (name, base, head, difference, low, high); `models` is None
    where the exams share too little, `recipes` where the spread over seeds is unknown, and `recipes_note` says why.
    `splits` is of `manifests.by_split`; `trained_on` counts the images of one side's test that are in the other's train
    or val; both are None where the manifests are not here."""

    base: Revision
    head: Revision
    exam: Exam
    models: Difference | None
    accuracies: tuple[float, float]
    recipes: Difference | None
    recipes_note: str
    metrics: pd.DataFrame
    images: pd.DataFrame
    subsets: pd.DataFrame
    confusions: pd.DataFrame
    causes: pd.DataFrame
    splits: pd.DataFrame | None
    trained_on: int | None
    outputs: dict[str, list[str]]
    costs: pd.DataFrame
    num_looks: int
    gain_by_choice: float
    margin: float
    attribution: Attribution | None = None


def compare(base: Revision, head: Revision, *, margin: float = 0.0, root: str | Path = ".") -> Comparison:
    """Compare two revisions by what git holds of them.

    Args:
        base: what HEAD is held against.
        head: the newer one.
        margin: the loss of accuracy that "not worse" allows; 0 asks for no such verdict.
        root: of the repository, whose history counts the looks at the exam.
    """
    matched = exam.match(base, head)
    common = matched.common
    groups = metrics.group_numbers(common)
    right_base, right_head = changes.correct(common)
    models = paired_tests.correct(right_base, right_head, groups) if matched.is_enough else None
    subsets, confusions = changes.correct_for_looks(changes.by_subset(common), changes.by_confusion(common))
    recipe, note = _recipes(base, head, models)
    num_looks = _looks(root, head)
    splits, trained_on = _splits(base, head, matched, root)
    accuracy = float(right_head.mean()) if len(common) else 0.0
    error = float(np.sqrt(accuracy * (1 - accuracy) / max(len(common), 1)))
    return Comparison(
        base=base,
        head=head,
        exam=matched,
        models=models,
        accuracies=(float(right_base.mean()), float(right_head.mean())) if len(common) else (0.0, 0.0),
        recipes=recipe,
        recipes_note=note,
        metrics=paired_metrics.differences(common, groups, _top_k(head)) if matched.is_enough else paired_metrics.EMPTY,
        images=changes.by_image(common),
        subsets=subsets,
        confusions=confusions,
        causes=causes.differences(base, head),
        splits=splits,
        trained_on=trained_on,
        outputs=causes.changed_outputs(base, head),
        costs=_costs(base, head),
        num_looks=num_looks,
        gain_by_choice=exam.gain_by_choice(num_looks, error),
        margin=margin,
    )


def word(difference: Difference, margin: float = 0.0) -> str:
    """better, worse, not worse (within the margin), or no detectable difference."""
    if difference.p_value < ALPHA:
        return "better" if difference.value > 0 else "worse"
    return "not worse" if margin and difference.low > -margin else "no detectable difference"


def heading(comparison: Comparison) -> str:
    """The verdict on the two models in a word or three."""
    if _same_model(comparison) and comparison.images.empty:
        return "no difference"
    return "no verdict" if comparison.models is None else word(comparison.models, comparison.margin)


def verdict(comparison: Comparison) -> str:
    """One line: these two models, and whether another seed would give as much."""
    if comparison.models is None:
        total = max(len(comparison.base.predictions), len(comparison.head.predictions))
        return (
            f"no verdict: the exams share {len(comparison.exam.common)} of {total} images under the same label, "
            "too few to compare"
        )
    difference, (base, head) = comparison.models, comparison.accuracies
    images = f"on {len(comparison.exam.common):,} common test images"
    if _same_model(comparison) and comparison.images.empty:
        return f"no difference: both sides have the same trained model, accuracy {base:.4f} {images}"
    line = (
        f"{word(difference, comparison.margin)}: accuracy {base:.4f} to {head:.4f} ({difference.value:+.4f} "
        f"[{difference.low:+.4f}, {difference.high:+.4f}]) {images}, "
        f"which show {difference.smallest_detectable:.3f} or more"
    )
    if comparison.margin and word(difference, comparison.margin) == "no detectable difference":
        line += f"; not shown to be within the margin of {comparison.margin:g}"
    return f"{line}; {_recipe_words(comparison)}"


def _same_model(comparison: Comparison) -> bool:
    """Whether there is nothing that a seed could have changed."""
    return "train" in comparison.head.lock and "train" not in comparison.outputs


def _recipe_words(comparison: Comparison) -> str:
    if _same_model(comparison):
        return "both sides have the same trained model"
    found = comparison.recipes
    if found is None:
        return f"whether another seed would give as much is unknown: {comparison.recipes_note}"
    reach = found.high - found.value
    if found.p_value < ALPHA:
        return f"more than another seed would give (± {reach:.4f}, {comparison.recipes_note})"
    return f"no more than another seed would give (± {reach:.4f}, {comparison.recipes_note})"


def _recipes(base: Revision, head: Revision, models: Difference | None) -> tuple[Difference | None, str]:
    """The difference held against the spread over seeds that either side has measured, and where that is from."""
    if models is None:
        return None, "the exams share too little"
    stale = ""
    for side in (head, base):
        measured = side.metrics["noise"]
        if not measured:
            continue
        if not (noise.is_of(measured, base) or noise.is_of(measured, head)):
            stale = "metrics/noise.json is of another recipe"
            continue
        spread = recipes.Spread(float(measured["accuracy_sd"]), int(measured["runs"]))
        return recipes.single_runs(models.value, spread), f"from {spread.seeds} other seeds"
    return None, f"{stale or 'there is no metrics/noise.json'} (`heldout noise --runs 5`)"


def _looks(root: str | Path, head: Revision) -> int:
    """The results of main's history on this exam, and this one."""
    fingerprint = head.metrics["data"].get("test_fingerprint")
    if fingerprint is None:
        return 0
    return max(exam.count_looks(root, branch, int(fingerprint), head.metrics["eval"]) for branch in MAIN_BRANCHES)


def _top_k(revision: Revision) -> int:
    """k of the top-k accuracy that a revision's `evaluate` gives; 5 where its dvc.lock does not say."""
    return int(dict(causes.inputs(revision, "evaluate")).get(("params", "evaluate.top_k"), 5))


def _splits(base: Revision, head: Revision, matched: Exam, root: str | Path) -> tuple[pd.DataFrame | None, int | None]:
    """What the splits differ in, and how many images of one side's test alone the other trained on."""
    if not manifests.differing_splits(base, head):
        return pd.DataFrame(columns=manifests.CHANGES), 0
    before, after = manifests.images(base, root), manifests.images(head, root)
    if before is None or after is None:
        return None, None
    learned = [set(side.loc[side["split"] != "test", "id"]) for side in (before, after)]
    trained_on = matched.added["id"].isin(learned[0]).sum() + matched.removed["id"].isin(learned[1]).sum()
    return manifests.by_split(before, after), int(trained_on)


def _costs(base: Revision, head: Revision) -> pd.DataFrame:
    """Parameters, epochs and bytes of the shipped files: name, base, head."""
    rows: list[dict[str, Any]] = []
    for file in ("train", "export"):
        before, after = base.metrics[file], head.metrics[file]
        for name in [*before, *(name for name in after if name not in before)]:
            if name.endswith(COSTS) and not name.startswith("best"):
                rows.append({"name": name, "base": before.get(name), "head": after.get(name)})
    return pd.DataFrame(rows, columns=["name", "base", "head"])
