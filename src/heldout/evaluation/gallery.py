"""Which test images a person should look at: those that cost most, each with the reason."""

from pathlib import Path

import pandas as pd

TEXT = ("split", "id", "path", "label", "group", "predicted", "suggested")
COLUMNS = ["id", "label", "predicted", "reason"]
MISTAKE, HIT, SUSPECT, CONFUSION = "confident mistake", "least confident hit", "label suspect", "confusion"


def select(table: pd.DataFrame, suspects: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` test images, each once: in turn the next confident mistake, the next label suspect, the next of
    the most frequent confusions, and the next least confident hit, until there are enough.

    Args:
        table: of `metrics.predictions`: id, label, predicted, confidence.
        suspects: of `label_errors.suspects`: split, rank, id, label.
        count: how many, at most.

    Returns:
        id, label, predicted, reason: `confident mistake`, `label suspect`, `confusion LABEL -> PREDICTED` or `least
        confident hit`; reason by reason in this order. The same image in two classes is two rows of the table.
    """
    order = table.sort_values(["id", "label"], kind="stable")
    wrong = order["label"] != order["predicted"]
    mistakes = order[wrong].sort_values("confidence", ascending=False, kind="stable")
    queues = {
        MISTAKE: mistakes.index.tolist(),
        SUSPECT: _suspect_rows(order, suspects),
        CONFUSION: _by_confusion(mistakes),
        HIT: order[~wrong].sort_values("confidence", kind="stable").index.tolist(),
    }
    reasons: dict[int, str] = {}
    positions = {name: iter(queue) for name, queue in queues.items()}
    while positions and len(reasons) < count:
        for name in list(positions):
            row = next((row for row in positions[name] if row not in reasons), None)
            if row is None:
                del positions[name]
            elif len(reasons) < count:
                reasons[row] = name
    chosen = table.loc[list(reasons)].assign(reason=list(reasons.values()))
    confused = CONFUSION + " " + chosen["label"] + " -> " + chosen["predicted"]
    kinds = chosen["reason"].map({name: number for number, name in enumerate(queues)})
    chosen["reason"] = chosen["reason"].where(chosen["reason"] != CONFUSION, confused)
    return chosen.iloc[kinds.argsort(kind="stable")][COLUMNS].reset_index(drop=True)


def _suspect_rows(order: pd.DataFrame, suspects: pd.DataFrame) -> list[int]:
    """The rows of the label suspects of test, by rank."""
    rows = dict(zip(zip(order["id"], order["label"], strict=True), order.index, strict=True))
    listed = suspects[suspects["split"] == "test"].sort_values("rank", kind="stable")
    keys = zip(listed["id"], listed["label"], strict=True)
    return [rows[key] for key in keys if key in rows]


def _by_confusion(mistakes: pd.DataFrame) -> list[int]:
    """The most confident mistake of each pair of classes, the pairs that are confused most first; then the second."""
    pairs = mistakes.groupby(["label", "predicted"])
    ranked = mistakes.assign(turn=pairs.cumcount(), often=-pairs["id"].transform("size"))
    return ranked.sort_values(["turn", "often", "label", "predicted"], kind="stable").index.tolist()


def read(path: str | Path) -> pd.DataFrame:
    """A table of metrics/ with a row an image: names as text (a class may be called NA or 007), numbers as numbers."""
    return pd.read_csv(path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, encoding="utf-8")
