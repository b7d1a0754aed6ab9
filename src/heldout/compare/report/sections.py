"""What a comparison has to say, section by section, as tables of text: every output is made of these."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from heldout.compare import manifests
from heldout.compare.comparison import Comparison
from heldout.evaluation.significance.paired_tests import small

NUM_BRIEF, MAX_BRIEF = 5, 100  # items, and characters of one
FALSE_DISCOVERIES = 0.05


class Section(NamedTuple):
    """A heading, a sentence, a table (header and rows; no rows where the sentence says it all), and what of its rows is
    said where there is no room for a table."""

    title: str
    text: str
    header: list[str]
    rows: list[list[str]]
    brief: str = ""


def sections(compared: Comparison) -> list[Section]:
    """All sections, what a reviewer decides on first."""
    return [
        _exam(compared),
        _metrics(compared),
        _causes(compared),
        _images(compared),
        _classes(compared),
        _confusions(compared),
        _costs(compared),
    ]


def _exam(compared: Comparison) -> Section:
    exam = compared.exam
    counts = [
        (len(exam.added), "added"),
        (len(exam.removed), "removed"),
        (len(exam.relabelled), "relabelled"),
        (len(exam.classes_added), "classes added"),
        (len(exam.classes_removed), "classes removed"),
    ]
    changed = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    same = f"another exam: {changed}; compared are the {len(exam.common):,} images that both have under one label"
    text = same if changed else f"the same {len(exam.common):,} test images, labels and classes"
    if compared.trained_on:
        text += f" (of those left out, {compared.trained_on:,} were in the other side's train or val)"
    if compared.num_looks > 1:
        gain = f"{compared.gain_by_choice:.4f}"
        text += (
            f"; result {compared.num_looks} on this exam in main's history: choosing the best of {compared.num_looks} "
            f"that do not differ would gain {gain} by chance alone"
        )
    rows = [
        [row.id, str(row.path_head), row.label_base, row.label_head]
        for row in exam.relabelled.sort_values("id").itertuples()
    ]
    return Section("Exam", text, ["relabelled image", "path", "base", "head"], rows)


def _metrics(compared: Comparison) -> Section:
    header = ["metric", "base", "head", "difference", "95 % interval"]
    if compared.models is None:
        return Section("Metrics", "not compared", header, [])
    models, (base, head) = compared.models, compared.accuracies
    rows = [["accuracy", _number(base), _number(head), *_interval(models.value, models.low, models.high)]]
    for row in compared.metrics.itertuples():
        if row.difference or row.low or row.high:
            name = row.metric.replace("_", " ")
            values = _interval(row.difference, row.low, row.high)
            rows.append([name, _number(row.base), _number(row.head), *values])
    text = f"accuracy: exact paired test, p {small(models.p_value)}; the others: paired bootstrap"
    return Section("Metrics", text, header, rows)


def _causes(compared: Comparison) -> Section:
    rows = [
        [row.kind, row.name, _value(row.base), _value(row.head), ", ".join(row.stages)]
        for row in compared.causes.itertuples()
    ]
    kinds = list(dict.fromkeys(row[0] for row in rows))
    text = f"what differs: {', '.join(kinds)}" if rows else "no param, code, version or data differs"
    if differing := manifests.differing_splits(compared.base, compared.head):
        text += f"; images or labels of {', '.join(differing)}"
    if compared.splits is None:
        text += " (which images: `dvc fetch --all-branches data/splits` brings the lists of both sides)"
    else:
        rows += [_split(row) for row in compared.splits.itertuples()]
    if compared.attribution:
        divided, parts = compared.attribution, compared.attribution.parts.items()
        text += f"; of {divided.difference:+.4f} on {divided.images:,} images, "
        text += ", ".join(f"{part} {value:+.4f}" for part, value in parts) + " (Shapley)"
    if compared.outputs:
        text += f"; outputs differ from the stage {next(iter(compared.outputs))} on"
    changes = [
        f"{kind} {name} {base} to {head}" if kind != "code" else f"code of {name}" for kind, name, base, head, _ in rows
    ]
    changes.sort(key=lambda change: not change.startswith("images "))  # what most is told in fewest words
    return Section("What did it", text, ["kind", "what", "base", "head", "read by"], rows, _first(changes))


def _split(row: tuple) -> list[str]:
    """What was done to the images of a split, as a row of causes."""
    counts = [(getattr(row, name), name.replace("_", " ")) for name in manifests.CHANGES[3:]]
    done = ", ".join(f"{count:,} {what}" for count, what in counts if count)
    return ["images", row.split, f"{row.base:,}", f"{row.head:,} ({done})", "split"]  # type: ignore[attr-defined]


def _images(compared: Comparison) -> Section:
    images = compared.images
    fixed = int((images["change"] == "fixed").sum())
    text = f"{fixed:,} fixed, {len(images) - fixed:,} broken" if len(images) else "no image changed sides"
    rows = [
        [row.change, row.path, row.label, row.predicted_base, row.predicted_head, f"{row.probability_change:+.3f}"]
        for row in images.itertuples()
    ]
    return Section("Images", text, ["change", "path", "label", "base", "head", "label's probability"], rows)


def _classes(compared: Comparison) -> Section:
    subsets = compared.subsets
    tested, looks = int(subsets["p_value"].notna().sum()), _looks(compared)
    differing = subsets[subsets["q_value"] < FALSE_DISCOVERIES]
    text = f"{len(differing)} of {tested} differ by more than chance, corrected for {looks} looks (Benjamini-Hochberg)"
    rows = [
        [
            row.cut,
            str(row.value),
            str(row.images),
            _number(row.base),
            _number(row.head),
            f"{row.fixed} / {row.broken}",
            *_p(row),
        ]
        for row in subsets.itertuples()
        if row.fixed or row.broken
    ]
    brief = _first([f"{row.cut} {row.value} {row.base:.3f} to {row.head:.3f}" for row in differing.itertuples()])
    header = ["cut by", "value", "images", "base", "head", "fixed / broken", "p", "corrected"]
    return Section("Classes and slices", text, header, rows, brief)


def _confusions(compared: Comparison) -> Section:
    rows = [
        [row.label, row.predicted, str(row.base), str(row.head), f"{row.change:+d}", *_p(row)]
        for row in compared.confusions.itertuples()
    ]
    tested = int(compared.confusions["p_value"].notna().sum())
    differing = int((compared.confusions["q_value"] < FALSE_DISCOVERIES).sum())
    text = "no pair of classes is confused more or less often"
    if rows:
        text = f"{differing} of {tested} pairs with enough changes differ by more than chance, corrected likewise"
    brief = _first([f"{label} taken for {predicted} {base} to {head}" for label, predicted, base, head, *_ in rows])
    return Section("Confusions", text, ["label", "predicted", "base", "head", "change", "p", "corrected"], rows, brief)


def _looks(compared: Comparison) -> int:
    """How many classes, slices and confusions were tested."""
    return sum(int(table["p_value"].notna().sum()) for table in (compared.subsets, compared.confusions))


def _costs(compared: Comparison) -> Section:
    changed = compared.costs[compared.costs["base"] != compared.costs["head"]]
    rows = [[row.name.replace("_", " "), _count(row.base), _count(row.head)] for row in changed.itertuples()]
    text = "what it costs" if rows else "parameters, epochs and bytes of the shipped files are the same"
    text += _searched(compared)
    return Section("Cost", text, ["what", "base", "head"], rows, _first([f"{name} {a} to {b}" for name, a, b in rows]))


def _searched(compared: Comparison) -> str:
    """What HEAD's params were chosen from, where BASE's were not, and at what cost, where metrics/search.json says."""
    base, head = (side.metrics["eval"].get("search_fingerprint") for side in (compared.base, compared.head))
    if not head or head == base:
        return ""
    text = f"; HEAD's params were chosen from {compared.head.metrics['eval']['searched_trials']:,} trials on val"
    search = compared.head.metrics.get("search", {})
    if search.get("search_fingerprint") == head:
        text += f", {search['epochs']:,g} epochs and {search['cpu_hours']:.2g} CPU hours or more"
    return text


def _first(items: list[str]) -> str:
    """The first of them, and how many more there are."""
    shortened = [item if len(item) <= MAX_BRIEF else f"{item[:MAX_BRIEF]}…" for item in items[:NUM_BRIEF]]
    more = [f"{len(items) - NUM_BRIEF:,} more"] if len(items) > NUM_BRIEF else []
    return "; ".join(shortened + more)


def _interval(value: float, low: float, high: float) -> Iterator[str]:
    yield f"{value:+.4f}"
    yield f"[{low:+.4f}, {high:+.4f}]"


def _p(row: tuple) -> list[str]:
    values = (row.p_value, row.q_value)  # type: ignore[attr-defined]
    return ["" if pd.isna(value) else f"{value:.2g}" for value in values]


def _number(value: float) -> str:
    return f"{value:.4f}"


def _count(value: float | None) -> str:
    return "none" if value is None or pd.isna(value) else f"{value:,.0f}"


def _value(value: object) -> str:
    """A param as it is; of a digest its first characters; nothing where one side lacks it."""
    if value is None:
        return "none"
    text = str(value)
    return text[:8] if len(text) >= 32 and set(text[:32]) <= set("0123456789abcdef") else text
