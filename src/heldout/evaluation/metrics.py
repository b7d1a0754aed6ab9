"""How good predictions are: the table of a split's images, scores that follow from it, scores of probabilities."""

import numpy as np
import pandas as pd

from heldout.evaluation import calibration, intervals
from heldout.evaluation.intervals import Interval

SMALLEST = np.finfo(np.float64).eps  # a probability of 0 counts as this, as it does in scikit-learn's log_loss
DIGITS = 6  # significant ones of a probability
COLUMNS_AT_ONCE = 64  # classes of a block that is read for the ranks: a row of it is what memory reads anyway


def predictions(
    ids: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, class_names: list[str], *, temperature: float = 1.0
) -> pd.DataFrame:
    """One row an image: what metrics/predictions.csv holds, without path and group.

    Args:
        ids: of the images, (n,).
        labels: class numbers (n,).
        probabilities: (n, num_classes), rows that sum to 1.
        class_names: by number.
        temperature: of the calibrated columns.

    Returns:
        id, label, predicted class, its confidence, the label's probability, the label's rank by probability (1 is the
        predicted class; of equal ones the lower class number comes first), and both probabilities once calibrated.
    """
    names, parts = np.array(class_names, object), []
    for rows in calibration.chunk_rows(*probabilities.shape):
        values, own = probabilities[rows], labels[rows]
        at = (np.arange(len(own)), own)
        calibrated, mine = calibration.rescale(values, temperature), values[at][:, None]
        before = (values == mine) & (np.arange(len(names)) < own[:, None])
        parts.append(
            {
                "id": ids[rows],
                "label": names[own],
                "predicted": names[values.argmax(axis=1)],
                "confidence": values.max(axis=1),
                "label_probability": values[at],
                "label_rank": 1 + (values > mine).sum(axis=1) + before.sum(axis=1),
                "calibrated_confidence": calibrated.max(axis=1),
                "calibrated_label_probability": calibrated[at],
            }
        )
    table = pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    shortened = {name: round_significant(table[name]) for name in table if table[name].dtype.kind == "f"}
    return table.assign(**shortened)


def table_scores(table: pd.DataFrame, num_classes: int, *, top_k: int) -> dict[str, Interval]:
    """The scores that follow from the table that is in git: anyone can compute them again without the data.

    Args:
        table: of `predictions`, and a column group where groups are known.
        num_classes: how many classes the model tells apart.
        top_k: k of the top-k accuracy, which is left out where there are no more than k classes (it would be 1).

    Returns:
        accuracy, balanced_accuracy, top_K_accuracy, macro_f1, weighted_f1, log_loss (nats), expected_calibration_error,
        and the last two once calibrated, as calibrated_NAME.
    """
    groups = group_numbers(table)
    correct = (table["label"] == table["predicted"]).to_numpy()
    result = {"accuracy": intervals.proportion(correct, groups)}
    result |= class_scores(table["label"].to_numpy(object), table["predicted"].to_numpy(object), groups)
    if top_k < num_classes:
        result[f"top_{top_k}_accuracy"] = intervals.proportion((table["label_rank"] <= top_k).to_numpy(), groups)
    for prefix in ("", "calibrated_"):
        losses = -np.log(np.maximum(table[f"{prefix}label_probability"].to_numpy(), SMALLEST))
        mistake = max(float(np.log(num_classes)), float(losses.max()))
        confidence = table[f"{prefix}confidence"].to_numpy()
        result[f"{prefix}log_loss"] = intervals.mean_loss(losses, groups, mistake)
        result[f"{prefix}expected_calibration_error"] = calibration.calibration_error(confidence, correct, groups)
    return result


def class_scores(labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray) -> dict[str, Interval]:
    """The scores that are means over classes, with the interval of each by its influence values.

    Args:
        labels: any values that sort, (n,).
        predicted: (n,).
        groups: their numbers (n,).

    Returns:
        balanced_accuracy, the mean recall of the classes among the labels; macro_f1, the mean F1 of those among labels
        or predictions; weighted_f1, the mean F1 weighted by the labels.
    """
    n, correct = len(labels), labels == predicted
    numbers, names = pd.factorize(np.concatenate([labels, predicted]))
    own, other = numbers[:n], numbers[n:]
    support, named = np.bincount(own, minlength=len(names)), np.bincount(other, minlength=len(names))
    hits = np.bincount(own[correct], minlength=len(names))
    recall, f1, both = hits / np.maximum(support, 1), 2 * hits / (support + named), support + named
    present = support > 0
    balanced, macro, weighted = recall[present].mean(), f1.mean(), support @ f1 / n
    # The derivatives by an image's weight: it is in the counts of its label and of its prediction.
    gain, loss = (2 * correct - f1[own]) / both[own], f1[other] / both[other]
    of_balanced = n / present.sum() * (correct - recall[own]) / support[own]
    of_macro = n / len(names) * (gain - loss)
    of_weighted = f1[own] - weighted + support[own] * gain - support[other] * loss
    even = (
        present.sum() ** 2 / (1 / support[present]).sum()
    )  # images that weigh alike and say as much of the mean recall
    return {
        "balanced_accuracy": intervals.score(float(balanced), of_balanced, groups, images=float(even)),
        "macro_f1": intervals.score(float(macro), of_macro, groups, images=float(even)),
        "weighted_f1": intervals.score(float(weighted), of_weighted, groups, images=n),
    }


def macro_auc(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Interval | None:
    """The mean area under the ROC curve of each class against the rest, with DeLong's interval (1988) of the mean.

    An image's influence is the fraction of the others' side that it is ranked before or behind, so that one pass over
    the classes gives the variance of their mean, groups and all.

    Args:
        probabilities: (n, num_classes).
        labels: class numbers (n,).
        groups: their numbers (n,).

    Returns:
        None where no class has both images of its own and others.
    """
    n, num_classes = probabilities.shape
    support = np.bincount(labels, minlength=num_classes)
    classes = np.flatnonzero((support > 0) & (support < n))
    if not len(classes):
        return None
    influence, areas = np.zeros(n), []
    for start in range(0, len(classes), COLUMNS_AT_ONCE):
        block = classes[start : start + COLUMNS_AT_ONCE]
        for number, column in zip(block, np.ascontiguousarray(probabilities[:, block].T), strict=True):
            own = labels == number
            above = _fraction_below(column[own], column[~own])
            below = 1 - _fraction_below(column[~own], column[own])
            areas.append(above.mean())
            influence[own] += (above - areas[-1]) * n / len(above)
            influence[~own] += (below - areas[-1]) * n / len(below)
    smaller = np.minimum(support, n - support)[classes]
    even = len(classes) ** 2 / (1 / smaller).sum()
    value = min(float(np.mean(areas)), 1.0)
    return intervals.score(value, influence / len(classes), groups, images=float(even), limit=np.inf)


def brier_score(
    probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray, temperature: float = 1.0
) -> Interval:
    """The Brier score (1950): squared differences from 1 for the label and 0 for the others, summed over classes.

    The mean over images, in [0, 2]; all classes alike give 1 - 1 / num_classes. One mistake more costs about 1.
    """
    losses = []
    for rows in calibration.chunk_rows(*probabilities.shape):
        values = calibration.rescale(probabilities[rows], temperature)
        own = values[np.arange(len(values)), labels[rows]]
        losses.append((values**2).sum(axis=1) - own**2 + (1 - own) ** 2)
    return intervals.mean_loss(np.concatenate(losses), groups, 1.0)


def group_numbers(table: pd.DataFrame) -> np.ndarray:
    """The number of each row's group, (n,): its own where the table or the row has none."""
    return intervals.group_numbers(table["group"]) if "group" in table else np.arange(len(table))


def absent_classes(table: pd.DataFrame, class_names: list[str]) -> list[str]:
    """The classes without an image among the labels: no score says anything of them."""
    return [name for name in class_names if name not in set(table["label"])]


def round_significant(values: np.ndarray) -> np.ndarray:
    """float64 of the shortest text: a probability of 1e-9 keeps its digits, so that the loss can be computed again."""
    return np.array([float(f"{value:.{DIGITS}g}") for value in values])


def _fraction_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each value the fraction of the others below it, equal ones by half."""
    others = np.sort(others)
    return (np.searchsorted(others, values, "left") + np.searchsorted(others, values, "right")) / (2 * len(others))
