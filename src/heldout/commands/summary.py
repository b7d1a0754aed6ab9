"""The lines that end `make`: the figures in metrics/ and where to look, by the standard library alone."""

import json
from pathlib import Path

NEXT_STEPS = [
    ("metrics/predictions.csv", "every test image and its prediction"),
    ("plots/", "split, classes, augment, curves, confusion, mistakes, suspects and more"),
    ("export/", "the files to ship; try `heldout predict data/sample/7`"),
    ("report/index.html", "the page that shows all of it: open it in a browser"),
]
TITLES = {"data": "data", "train": "training", "eval": "test", "calibration": "unsure", "export": "export"}


def summary(folder: str | Path = "metrics") -> str:
    """A table of the figures in the files of FOLDER that TITLES names, those that exist; a score with its interval."""
    rows = []
    for name, title in TITLES.items():
        path = Path(folder) / f"{name}.json"
        if path.is_file():
            figures = json.loads(path.read_text(encoding="utf-8"))
            rows += [
                (title, key.replace("_", " "), _text(value), _interval(figures, key))
                for key, value in figures.items()
                if not _is_end(figures, key) and (value or not key.startswith("problems_"))
            ]
    names, values = (max((len(row[column]) for row in rows), default=0) for column in (1, 2))
    lines = [f"{title:<9} {name:<{names}}  {value:>{values}} {ends}".rstrip() for title, name, value, ends in rows]
    return "\n".join([*lines, "", *(f"{path:<24} {what}" for path, what in NEXT_STEPS)])


def _is_end(figures: dict[str, float | int], key: str) -> bool:
    """Whether a figure is the end of another one's interval."""
    return any(key.endswith(end) and key.removesuffix(end) in figures for end in ("_low", "_high"))


def _interval(figures: dict[str, float | int], key: str) -> str:
    """A score's interval of 95 %, such as [0.968, 0.989], if it has one."""
    ends = [f"{figures[key + end]:.3f}" for end in ("_low", "_high") if key + end in figures]
    return f"[{', '.join(ends)}]" if ends else ""


def _text(value: float | int) -> str:
    """A count in full; a ratio to four places; what is smaller as a power of ten."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.0e}" if abs(value) < 1e-3 and value else f"{value:,.4f}"
