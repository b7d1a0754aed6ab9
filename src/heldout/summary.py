"""The lines that end `make`: the figures in metrics/ and where to look, by the standard library alone."""

import json
from pathlib import Path

LOOK = [
    ("metrics/predictions.csv", "every test image and its answer"),
    ("plots/", "split, classes, augment, curves, confusion"),
    ("export/", "the files to ship; try `heldout predict data/sample/7`"),
]


def summary(folder: str | Path = "metrics") -> str:
    """A table of the figures in FOLDER/data.json, train.json, eval.json and export.json, those that are there."""
    lines = []
    for name, title in (("data", "data"), ("train", "training"), ("eval", "test"), ("export", "export")):
        path = Path(folder) / f"{name}.json"
        if path.is_file():
            figures = json.loads(path.read_text(encoding="utf-8"))
            lines += [f"{title:<9} {key:<32} {value:>12}" for key, value in _rows(figures)]
    return "\n".join(lines + [""] + [f"{place:<24} {what}" for place, what in LOOK])


def _rows(figures: dict) -> list[tuple[str, str]]:
    rows = []
    for key, value in figures.items():
        if isinstance(value, dict) and "largest_difference" in value:
            rows.append((f"{key} differs by", f"{value['largest_difference']:.0e}"))
        elif isinstance(value, dict):
            rows += [
                (f"{key}: {name}".replace("_", " "), f"{count:,}")
                for name, count in value.items()
                if count and key != "by_class"
            ]
        else:
            rows.append((key.replace("_", " "), f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"))
    return rows
