"""How often the intervals of 95 % hold the true score, in simulated exams: ours, and the bootstraps of scipy.

$ python benchmarks/intervals.py [--exams 2000] [--others 500]

Exams are of independent images, or of groups of 1 to 20 images: for the first table each group has its own accuracy
(beta-binomial, intra-group correlation RHO), for the others its images share a difficulty. Prints Markdown.
"""

import argparse
import warnings

import numpy as np
from scipy import special, stats

from heldout.evaluation import intervals, metrics

ACCURACIES, SIZES, RHOS = (0.5, 0.9, 0.99), (30, 300, 3000), (0.1, 0.3)
NUM_CLASSES = 10
MARGINS = {0.54: 2.2, 0.89: 5.5, 0.995: 14.0}  # of the label's logit, for about these accuracies


def draw_groups(n: int, generator: np.random.Generator) -> np.ndarray:
    """The group of each of n images: of 1 to 20 images each, in order."""
    return np.repeat(np.arange(n), generator.integers(1, 21, n))[:n]


def accuracy_coverage(accuracy: float, n: int, rho: float | None, exams: int, generator: np.random.Generator) -> float:
    """The fraction of exams whose interval of the accuracy holds the true one; independent images where rho is None."""
    if rho is None:
        low, high = intervals.wilson(generator.binomial(n, accuracy, exams) / n, np.full(exams, n))
        return float(((low <= accuracy) & (accuracy <= high)).mean())
    held = 0
    for _ in range(exams):
        groups = draw_groups(n, generator)
        of_group = generator.beta(accuracy * (1 / rho - 1), (1 - accuracy) * (1 / rho - 1), groups[-1] + 1)
        interval = intervals.proportion(generator.random(n) < of_group[groups], groups)
        held += interval.low <= accuracy <= interval.high
    return held / exams


def draw_predictions(n: int, margin: float, grouped: bool, generator: np.random.Generator):
    """Probabilities (n, NUM_CLASSES), too sure of themselves, labels and groups."""
    groups = draw_groups(n, generator) if grouped else np.arange(n)
    labels = generator.integers(0, NUM_CLASSES, n)
    logits = generator.gumbel(size=(n, NUM_CLASSES))
    logits[np.arange(n), labels] += margin * np.exp(0.5 * generator.normal(size=groups[-1] + 1)[groups])
    return special.softmax(logits / 0.6, axis=1), labels, groups


def all_scores(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> dict[str, intervals.Interval]:
    names = [str(number) for number in range(NUM_CLASSES)]
    table = metrics.predictions(np.arange(len(labels)), labels, probabilities, names)
    scores = metrics.table_scores(table.assign(group=groups.astype(str)), NUM_CLASSES, top_k=2)
    scores["brier_score"] = metrics.brier_score(probabilities, labels, groups)
    macro_auc = metrics.macro_auc(probabilities, labels, groups)
    assert macro_auc  # every class has images
    scores["macro_auc"] = macro_auc
    return {name: interval for name, interval in scores.items() if not name.startswith("calibrated")}


def score_coverage(margin: float, n: int, grouped: bool, exams: int, truth: dict, generator) -> dict[str, float]:
    held = dict.fromkeys(truth, 0)
    for _ in range(exams):
        for name, interval in all_scores(*draw_predictions(n, margin, grouped, generator)).items():
            held[name] += interval.low <= truth[name].value <= interval.high
    return {name: count / exams for name, count in held.items()}


def bootstrap_coverage(method: str, margin: float, n: int, exams: int, truth: dict, generator) -> dict[str, float]:
    """The same of scipy.stats.bootstrap, of independent images."""

    def losses(probabilities, labels):
        own = probabilities[np.arange(len(labels)), labels]
        return -np.log(np.maximum(own, metrics.SMALLEST)), (probabilities**2).sum(axis=1) - 2 * own + 1

    def macro_f1(labels, predicted):
        hits = np.bincount(labels[labels == predicted], minlength=NUM_CLASSES)
        both = np.bincount(labels, minlength=NUM_CLASSES) + np.bincount(predicted, minlength=NUM_CLASSES)
        return (2 * hits[both > 0] / both[both > 0]).mean()

    held = dict.fromkeys(("accuracy", "macro_f1", "log_loss", "brier_score"), 0)
    for _ in range(exams):
        probabilities, labels, _ = draw_predictions(n, margin, False, generator)
        predicted = probabilities.argmax(axis=1)
        log_loss, brier = losses(probabilities, labels)
        samples = {"accuracy": predicted == labels, "log_loss": log_loss, "brier_score": brier}
        settings = {"method": method, "n_resamples": 499, "rng": generator}
        found = {name: stats.bootstrap((sample,), np.mean, **settings) for name, sample in samples.items()}
        found["macro_f1"] = stats.bootstrap((labels, predicted), macro_f1, paired=True, vectorized=False, **settings)
        for name, result in found.items():
            held[name] += result.confidence_interval.low <= truth[name].value <= result.confidence_interval.high
    return {name: count / exams for name, count in held.items()}


def print_row(*cells: object) -> None:
    print(
        "| " + " | ".join(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exams", type=int, default=2000)
    parser.add_argument("--others", type=int, default=500)
    exams, others = vars(parser.parse_args()).values()
    warnings.simplefilter("ignore")  # of BCa, where an exam has no mistake
    generator = np.random.default_rng(0)
    print(f"Accuracy, {exams} exams:\n")
    print_row("accuracy", "images", "independent", *(f"groups, RHO {rho}" for rho in RHOS))
    print("|---|---|---|---|---|")
    for accuracy in ACCURACIES:
        for n in SIZES:
            print_row(
                str(accuracy), n, *(accuracy_coverage(accuracy, n, rho, exams, generator) for rho in (None, *RHOS))
            )
    for grouped in (False, True):
        print(f"\nOther scores, {others} exams of {'groups' if grouped else 'independent images'}:\n")
        for margin in MARGINS.values():
            truth = all_scores(*draw_predictions(200_000, margin, grouped, generator))
            if margin == 2.2:
                print_row("accuracy", "images", *(name.replace("_", " ") for name in truth))
                print("|---" * (2 + len(truth)) + "|")
            for n in SIZES:
                coverage = score_coverage(margin, n, grouped, others if n < 3000 else others // 2, truth, generator)
                print_row(f"{truth['accuracy'].value:.3f}", n, *coverage.values())
    print(f"\nscipy.stats.bootstrap, 499 resamples, {others // 5} exams of 300 independent images:\n")
    print_row("accuracy", "method", "accuracy", "macro f1", "log loss", "brier score")
    print("|---" * 6 + "|")
    for margin in MARGINS.values():
        truth = all_scores(*draw_predictions(200_000, margin, False, generator))
        for method in ("percentile", "BCa"):
            coverage = bootstrap_coverage(method, margin, 300, others // 5, truth, generator)
            print_row(f"{truth['accuracy'].value:.3f}", method, *coverage.values())


if __name__ == "__main__":
    main()
