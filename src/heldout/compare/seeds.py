"""Both recipes trained with the same number of other seeds, and tested over seeds and images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from heldout.compare import changes, noise, recipes, runs
from heldout.compare.exam import Exam
from heldout.compare.paired_tests import Difference
from heldout.compare.revisions import Revision


def compare(
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
        first = noise.revision_seed(side) + 1
        rows = []
        with runs.copy(side, root) as folder:
            for seed in range(first, first + count):
                run = runs.predict(folder, {"seed": seed}, f"seed {seed} of {side.name}")
                table = run.predictions.set_index("id").loc[matched.common["id"]]
                rows.append((table["predicted"] == table["label"]).to_numpy())
                report(f"compare: seed {seed} of {side.name}: accuracy {rows[-1].mean():.4f}")
        correct.append(np.array(rows))
    return recipes.several_seeds(correct[0], correct[1], changes.groups(matched.common))
