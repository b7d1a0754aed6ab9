"""ROC and precision-recall curves, of one class against all others."""

from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from heldout.core import fonts
from heldout.evaluation.plots import style

MAX_CURVES = 5
MAX_POINTS = 2000  # of a curve: more than pixels


def one_against_rest(
    numbers: np.ndarray, probabilities: np.ndarray, class_names: list[str], path: str | Path, positive: str = ""
) -> None:
    """ROC and precision-recall of the second of two classes, of `positive`, or of the classes with the lowest AUC.

    Args:
        numbers: the true class numbers, (n,).
        probabilities: (n, num_classes).
        class_names: by number.
        path: the PNG.
        positive: a class, or empty.
    """
    names = fonts.display_names(class_names)
    shown, which = _chosen(numbers, probabilities, class_names, positive)
    figure, (left, right) = style.plt.subplots(1, 2, figsize=(style.WIDTH, 4 + 0.22 * len(shown)), layout="constrained")
    for number, color, dash in zip(shown, style.BRIGHT, ("-", "--", "-.", ":", (0, (1, 3))), strict=False):
        true, score = numbers == number, probabilities[:, number]
        false_rate, true_rate, _ = roc_curve(true, score)
        precision, recall, _ = precision_recall_curve(true, score)
        # "class" in front: matplotlib leaves a label with an underscore in front out of the legend.
        label = f"class {names[number]}: AUC {roc_auc_score(true, score):.4f}, "
        label += f"average precision {average_precision_score(true, score):.4f}, {true.sum():,} of {len(true):,} images"
        left.plot(*_thin(false_rate, true_rate), color=color, linestyle=dash, label=label)
        right.plot(*_thin(recall, precision), color=color, linestyle=dash, drawstyle="steps-pre")
    left.plot([0, 1], [0, 1], color="gray", linewidth=0.8)
    left.set(xlabel="false positive rate", ylabel="true positive rate (recall)", title="ROC")
    right.set(xlabel="recall", ylabel="precision", title="Precision and recall")
    for axes in (left, right):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), box_aspect=1)
        axes.grid(alpha=0.3)
    figure.suptitle(style.class_axis(which, [names[number] for number in shown]), fontsize=11)
    if shown:
        figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    style.save(figure, path)


def _chosen(
    numbers: np.ndarray, probabilities: np.ndarray, class_names: list[str], positive: str
) -> tuple[list[int], str]:
    """The numbers of the classes that get a curve, and what to say of them; a class needs images in and outside it."""
    counts = np.bincount(numbers, minlength=len(class_names))
    able = np.flatnonzero((counts > 0) & (counts < len(numbers))).tolist()
    wanted = [class_names.index(positive)] if positive else [1] if len(class_names) == 2 else None
    if wanted is not None:
        shown = [number for number in wanted if number in able]
        return (
            shown,
            f"{fonts.display_names(class_names)[shown[0]]} against the rest"
            if shown
            else "no curve: the test images are all of one kind",
        )
    areas = {number: roc_auc_score(numbers == number, probabilities[:, number]) for number in able}
    shown = sorted(able, key=lambda number: (areas[number], number))[:MAX_CURVES]
    few = f"the {len(shown)} classes with the lowest AUC of {len(able):,}" if len(shown) < len(able) else "each class"
    return shown, f"{few}, against the rest" if shown else "no curve: the test images are all of one class"


def _thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most MAX_POINTS of a curve, evenly spaced, its ends among them."""
    rows = np.unique(np.linspace(0, len(x) - 1, min(len(x), MAX_POINTS)).round().astype(int))
    return x[rows], y[rows]
