"""How often two recipes are called different over seeds, where they are one recipe and where one has half the data.

$ python benchmarks/seeds.py FOLDER... [--draws N]

Each FOLDER has a NAME.npz for each recipe: `probabilities` (seeds, test images, classes), `labels`, and `groups` where
images come in groups; and NAME.half.npz for the same recipe on half of the training images (benchmarks/train_seeds.py
writes both). The error of a rate is the jackknife's over seeds, since all draws share the same few. At the end the
variance components are known, since the runs are made up.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from heldout.compare import recipes
from heldout.evaluation.significance.paired_tests import ALPHA

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/compare"))
from simulation import runs_of

OTHERS, SIDES = (3, 5, 10), (2, 3, 5)
IMAGES, SHIFT = 400, -0.35  # of the simulation; the shift costs 8 points of accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--draws", type=int, default=4000, help="of each rate (%(default)s)")
    options = parser.parse_args()
    paths = sorted(path for folder in options.folders for path in folder.glob("*.npz"))
    table("one recipe, two runs against K others", ["recipe", "seeds", "accuracy", "sd", *(f"K = {k}" for k in OTHERS)])
    for path in paths:
        correct, _ = read(path)
        accuracies = correct.mean(axis=1)
        rates = [rate(partial(single, accuracies), len(correct), k + 2, options.draws) for k in OTHERS]
        print(row(path.stem, len(correct), f"{accuracies.mean():.4f}", f"{accuracies.std(ddof=1):.4f}", *rates))
    table("one recipe, K seeds a side", ["recipe", *(f"K = {k}" for k in SIDES)])
    for path in paths:
        correct, groups = read(path)
        rates = [rate(partial(halves, correct, groups), len(correct), 2 * k, options.draws) for k in SIDES]
        print(row(path.stem, *rates))
    table(
        "all against half of the training images, K seeds a side: half is called worse",
        ["recipe", "difference", *(f"K = {k}" for k in SIDES)],
    )
    for path in (path for path in paths if path.with_suffix(".half.npz").is_file()):
        (base, groups), (head, _) = read(path), read(path.with_suffix(".half.npz"))
        difference = f"{head.mean() - base.mean():+.4f}"
        print(row(path.stem, difference, *(worse(base, head, groups, k, options.draws) for k in SIDES)))
    table(
        f"simulated, {IMAGES} images, K seeds a side: called different without a difference / with one of 8 points",
        ["sd over seeds", *(f"K = {k}" for k in SIDES)],
    )
    for deviation in (0.0, 0.1, 0.2, 0.4):
        print(row(*simulated(deviation, options.draws)))


def read(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Whether each run predicts each image's label, bool (seeds, n), and the images' groups, if any."""
    archive = np.load(path, allow_pickle=False)
    groups = archive["groups"] if "groups" in archive and len(np.unique(archive["groups"])) > 1 else None
    return archive["probabilities"].argmax(axis=-1) == archive["labels"], groups


def single(accuracies: np.ndarray, pick: np.ndarray) -> bool:
    """Whether the first two runs of a pick are called different, held against the spread over the others."""
    first, second, *others = accuracies[pick]
    return recipes.single_runs(first - second, recipes.spread(np.array(others))).p_value < ALPHA


def halves(correct: np.ndarray, groups: np.ndarray | None, pick: np.ndarray) -> bool:
    """Whether the halves of a pick are called different."""
    base, head = np.split(correct[pick], 2)
    return recipes.several_seeds(base, head, groups).p_value < ALPHA


def rate(is_different: Callable[[np.ndarray], bool], seeds: int, size: int, draws: int) -> str:
    """The rate over draws of `size` of the seeds, and its standard error: that of the draws, and that of the seeds by a
    jackknife (Efron and Stein 1981), less what the draws add to it."""
    generator = np.random.default_rng(0)
    picks = np.array([generator.permutation(seeds)[:size] for _ in range(draws)])
    different = np.array([is_different(pick) for pick in picks])
    left_out = np.array([different[~(picks == seed).any(axis=1)].mean() for seed in range(seeds)])
    by_draws = float(different.var()) / draws
    by_seeds = (seeds - 1) * max(0.0, float(left_out.var()) - by_draws * size / (seeds - size))
    return f"{100 * different.mean():.1f} ± {100 * np.sqrt(by_seeds + by_draws):.1f} %"


def worse(base: np.ndarray, head: np.ndarray, groups: np.ndarray | None, k: int, draws: int) -> str:
    """How often k seeds of HEAD are called worse than k of BASE."""
    generator = np.random.default_rng(0)
    shown = 0
    for _ in range(draws):
        first, second = (runs[generator.permutation(len(runs))[:k]] for runs in (base, head))
        difference = recipes.several_seeds(first, second, groups)
        shown += difference.p_value < ALPHA and difference.value < 0
    return f"{100 * shown / draws:.0f} %"


def simulated(deviation: float, draws: int) -> list[str]:
    """The standard deviation of the accuracy over seeds, and the rates for each number of seeds a side."""
    generator = np.random.default_rng(0)
    cells = [f"{runs_of(generator, 1000, IMAGES, deviation, 1.0).mean(axis=1).std():.3f}"]
    for k in SIDES:
        rates = []
        for shift in (0.0, SHIFT):
            sides = ([runs_of(generator, k, IMAGES, deviation, 1.0, by) for by in (0.0, shift)] for _ in range(draws))
            rates.append(np.mean([recipes.several_seeds(*pair).p_value < ALPHA for pair in sides]))
        cells.append(f"{100 * rates[0]:.1f} % / {100 * rates[1]:.0f} %")
    return cells


def table(title: str, header: list[str]) -> None:
    print(f"\n{title}\n\n{row(*header)}\n|{'---|' * len(header)}")


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
