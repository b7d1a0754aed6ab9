"""F1 by class, with intervals."""

from pathlib import Path

import pandas as pd

from heldout.core import fonts
from heldout.evaluation.plots import style

MAX_ROWS = 30  # classes with a row each


def f1_by_class(table: pd.DataFrame, class_names: list[str], path: str | Path) -> None:
    """A row a class, the lowest F1 first: a dot, its interval, and how many test images the class has.

    Args:
        table: of metrics/by_class.csv: label, support, f1, f1_low, f1_high. Classes without a test image are left out.
        class_names: by number.
        path: the PNG.
    """
    names = dict(zip(class_names, fonts.display_names(class_names), strict=True))
    tested = table[table["support"] > 0].sort_values(["f1", "label"], kind="stable")
    shown = tested.head(MAX_ROWS)
    labels = [names[label] for label in shown["label"]]
    figure, axes = style.plt.subplots(figsize=(style.WIDTH, style.rows_height(len(shown))), layout="constrained")
    macro = axes.axvline(tested["f1"].mean(), color="gray", linestyle=":")
    style.draw_intervals(axes, shown["f1"], shown["f1_low"], shown["f1_high"], style.BRIGHT[0])
    style.name_rows(axes, labels, [f"{count:,.0f}" for count in shown["support"]], "images")
    low = shown["f1_low"].min() if len(shown) else 0
    axes.set(
        xlim=style.limits(low),
        xlabel="F1 with its 95 % interval",
        ylabel=style.class_axis("class", labels),
    )
    which = f"the {MAX_ROWS} lowest of {len(tested):,} classes" if len(tested) > MAX_ROWS else "the lowest first"
    absent = len(table) - len(tested)
    left_out = f"\nleft out, without a test image: {absent:,}" if absent else ""
    axes.set_title(f"F1 by class: {which}{left_out}")
    figure.legend(
        [macro], [f"mean of all classes: {tested['f1'].mean():.3f}"], loc="outside lower center", frameon=False
    )
    style.save(figure, path)
