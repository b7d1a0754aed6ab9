"""Was it the data or the code? What BASE and HEAD differ in is exchanged part by part, and the difference divided."""

from collections.abc import Callable
from itertools import combinations
from math import factorial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from heldout.compare import causes, revisions, runs
from heldout.compare.revisions import Revision

# What each part is: the files of it, beside the sections of params.yaml. Versions are the machine's and stay HEAD's.
PARTS = ("data", "params", "code")
CODE_FILES = ("src/heldout", "stages", "dvc.yaml")
DATA_SECTIONS = ("data", "split")  # they say which data there are


class Attribution(NamedTuple):
    """The difference of the accuracies on the images that all runs have, divided among the parts that differ."""

    difference: float
    parts: dict[str, float]
    images: int


def attribute(
    base: Revision, head: Revision, root: str | Path = ".", report: Callable[[str], None] = print
) -> Attribution:
    """Run every mixture of BASE and HEAD, and give each part its Shapley value (Shapley 1953).

    Args:
        base: a commit.
        head: another.
        root: of the repository.
        report: is given a line a run.

    Raises:
        ValueError: where HEAD is not committed, fewer than two parts differ, or a mixture does not run.
    """
    if not head.commit:
        raise ValueError("--attribute exchanges parts of two commits: commit the work tree, and name HEAD")
    parts = differing_parts(base, head)
    if len(parts) < 2:
        what = f"{parts[0]} alone" if parts else "nothing"
        raise ValueError(f"--attribute divides a difference among data, params and code: {what} differs here")
    results: dict[tuple[str, ...], Revision] = {(): base, tuple(parts): head}
    for taken in _subsets(parts):
        if taken not in results:
            name = f"{' and '.join(taken)} of {head.name}, the rest of {base.name}"
            with runs.copy(base, root) as folder:
                _exchange(folder, head, taken)
                results[taken] = runs.predict(folder, {}, name)
            report(f"compare: {name}: accuracy {results[taken].metrics['eval']['accuracy']:.4f}")
    common, accuracies = _accuracies(results)
    return Attribution(accuracies[tuple(parts)] - accuracies[()], shapley(parts, accuracies), common)


def differing_parts(base: Revision, head: Revision) -> list[str]:
    """Which of data, params and code differ, by what the stages up to `predict` read."""
    rows = causes.differences(base, head)
    of_data = (rows["kind"] == "data") | rows["name"].str.startswith(tuple(f"{name}." for name in DATA_SECTIONS))
    kinds = rows["kind"].where(~of_data, "data")
    trained = rows["stages"].map(lambda stages: any(name.split("@")[0] in revisions.SCORED for name in stages))
    return [part for part in PARTS if part in set(kinds[trained])]


def shapley(parts: list[str], values: dict[tuple[str, ...], float]) -> dict[str, float]:
    """What each part adds, averaged over all orders in which the parts could be taken.

    Args:
        parts: their names.
        values: of each subset of the parts, as a tuple in the order of `parts`.
    """
    result = {}
    for part in parts:
        others = [other for other in parts if other != part]
        total = 0.0
        for chosen in _subsets(others):
            weight = factorial(len(chosen)) * factorial(len(others) - len(chosen)) / factorial(len(parts))
            with_part = tuple(other for other in parts if other in chosen or other == part)
            total += weight * (values[with_part] - values[chosen])
        result[part] = total
    return result


def _subsets(parts: list[str]) -> list[tuple[str, ...]]:
    return [chosen for size in range(len(parts) + 1) for chosen in combinations(parts, size)]


def _exchange(folder: Path, head: Revision, taken: tuple[str, ...]) -> None:
    """Take parts of HEAD into a copy of BASE. The libraries are those installed, so env.yaml is HEAD's in all runs."""
    paths = ["env.yaml", *(CODE_FILES if "code" in taken else ())]
    if "data" in taken:
        paths += [name for name in runs.files(folder, head.commit) if name.endswith(".dvc")]
    runs.take_files(folder, head.commit, paths)
    theirs = runs.params_of(folder, head.commit)
    for name in theirs:
        if ("data" if name in DATA_SECTIONS else "params") in taken:
            runs.set_params(folder / "params.yaml", {name: theirs[name]})


def _accuracies(results: dict[tuple[str, ...], Revision]) -> tuple[int, dict[tuple[str, ...], float]]:
    """How many images all runs were tested on under one label, and the accuracy of each run on those."""
    tables = {key: revision.predictions.set_index(["id", "label"]) for key, revision in results.items()}
    common = sorted(set.intersection(*(set(table.index) for table in tables.values())))
    if not common:
        raise ValueError("the runs have no test image in common: nothing can be divided")
    labels = np.array([label for _, label in common], object)
    return len(common), {
        key: float((table.loc[common, "predicted"].to_numpy(object) == labels).mean()) for key, table in tables.items()
    }
