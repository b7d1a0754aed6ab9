"""A search as one page, in the style of the report: what it gained, against random, at what size, by which keys."""

from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from heldout.core import names
from heldout.evaluation.report.page import source_digest
from heldout.evaluation.report.thumbnails import data_uri
from heldout.search import charts, summary
from heldout.search.confirmation import BASELINE, Confirmed
from heldout.search.journal import Journal
from heldout.search.space import Space, varies

TEMPLATE = Path(__file__).with_name("template")
STYLE = Path(__file__).resolve().parents[1] / "evaluation/report/template/style.css"
POINTS = 200  # of a curve
MAX_ROWS = 500


def page(
    journal: Journal, confirmed: list[Confirmed], space: Space, against: str, latencies: dict[str, float], images: int
) -> str:
    """The text of one HTML file without a request; every text from outside is escaped.

    Args:
        journal: of the search.
        confirmed: of `confirmation.results`.
        space: what was searched.
        against: what the front is held against, of `suggestions.OBJECTIVES`.
        latencies: milliseconds an image as TFLite of trials by name; empty where they were not measured.
        images: of the confirmation part.
    """
    style = STYLE.read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    trials = journal.trials
    front = summary.pareto(trials, against)
    important = {name: part for name, part in summary.importances(trials, space).items() if varies(space[name])}
    return environment.get_template("search.html.j2").render(
        style=style,
        policy=f"default-src 'none'; img-src data:; style-src '{source_digest(style)}'",
        verdict=summary.verdict(confirmed),
        counts=summary.figures(journal, confirmed),
        confirmed=confirmed,
        baseline=BASELINE,
        images=images,
        against=against.replace("_", "-"),
        front=front,
        size=lambda trial: getattr(trial, against),
        latencies=latencies,
        conditional=[name for name, entry in sorted(space.items()) if entry.when],
        plots=_plots(journal, space, against, important),
        trials=sorted(trials, key=lambda trial: (-trial.val_accuracy, trial.val_loss, trial.name))[:MAX_ROWS],
        changed=summary.changed,
        file=journal.path.as_posix(),
        printable=names.printable,
    )


def _plots(journal: Journal, space: Space, against: str, important: dict[str, float]) -> dict[str, Any]:
    """Data URIs by name; empty where there is nothing to draw."""
    trials = journal.trials
    if not trials:
        return dict.fromkeys(("best_so_far", "pareto", "importances", "slices"), "")
    spent = max(sum(trial.cost for trial in journal.of(*arm)) for arm in {(t.method, t.repeat) for t in trials})
    grid = np.linspace(0, spent, POINTS)
    pictures = {
        "best_so_far": charts.best_so_far(summary.best_so_far(trials, grid)),
        "pareto": charts.pareto(trials, summary.pareto(trials, against), against),
        "importances": charts.importances(important) if important else b"",
        "slices": charts.slices(trials, space),
    }
    return {name: data_uri(content, "png") if content else "" for name, content in pictures.items()}
