"""The lines that end `make`: the figures in metrics/ and where to look, by the standard library alone."""

import json
from pathlib import Path

NEXT_STEPS = [
    ("metrics/predictions.csv", "every test image and its prediction"),
    ("plots/", "split, classes, augment, curves, confusion, mistakes, suspects and more"),
    ("export/", "the files to ship; try `heldout predict data/sample/7`"),
    ("report/index.html", "the page that shows all of it: open it in a browser"),
]
TITLES = {"data": "data", "train": "training", "eval": "test", "export": "export"}


def summary(folder: str | Path = "metrics") -> str:
    """A table of the figures in FOLDER/data.json, train.json, eval.json and export.json, those that exist."""
    lines = []
    for name, title in TITLES.items():
        path = Path(folder) / f"{name}.json"
        if path.is_file():
            figures = json.loads(path.read_text(encoding="utf-8"))
            lines += [
                f"{title:<9} {key.replace('_', ' '):<34} {_text(value):>12}"
                for key, value in figures.items()
                if value or not key.startswith("problems_")
            ]
    return "\n".join([*lines, "", *(f"{path:<24} {what}" for path, what in NEXT_STEPS)])


def _text(value: float | int) -> str:
    """A count in full; a ratio to four places; what is smaller as a power of ten."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.0e}" if abs(value) < 1e-3 and value else f"{value:,.4f}"
