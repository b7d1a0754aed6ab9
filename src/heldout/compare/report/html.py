"""A comparison as one page, in the style of the report: the verdict, its tables, and the images that changed sides."""

import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from heldout.compare.comparison import Comparison, heading, verdict
from heldout.compare.report.sections import sections
from heldout.core import names
from heldout.data import images, raw_files
from heldout.evaluation.report.page import source_digest
from heldout.evaluation.report.thumbnails import thumbnail

TEMPLATE = Path(__file__).with_name("template")
STYLE = Path(__file__).resolve().parents[2] / "evaluation/report/template/style.css"
MAX_ROWS, MAX_FIGURES = 200, 24  # of a table; of the fixed and of the broken images
MAX_MEGAPIXELS = 100


def page(compared: Comparison, failures: list[str]) -> str:
    """The text of one HTML file without a request; every text from outside is escaped.

    Args:
        compared: of `comparison.compare`.
        failures: lines of `gates.failures`.
    """
    style = STYLE.read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    changed = {kind: compared.images[compared.images["change"] == kind] for kind in ("broken", "fixed")}
    return environment.get_template("compare.html.j2").render(
        style=style,
        policy=f"default-src 'none'; img-src data:; style-src '{source_digest(style)}'",
        heading=heading(compared),
        verdict=verdict(compared),
        failures=failures,
        sections=[section._replace(rows=section.rows[:MAX_ROWS]) for section in sections(compared)],
        figures={kind: _figures(rows) for kind, rows in changed.items()},
        counts={kind: len(rows) for kind, rows in changed.items()},
        base=compared.base,
        head=compared.head,
        printable=names.printable,
    )


def _figures(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The first images, each with its picture where the file, or DVC's copy of it, is here."""
    return [row._asdict() | {"picture": _picture(row.path, row.id)} for row in rows.head(MAX_FIGURES).itertuples()]


def _picture(path: str, identity: str) -> str:
    """A data URI; empty where the image is not here: git alone is enough for all the rest."""
    try:
        return thumbnail(images.decode(raw_files.read(path, identity), path, MAX_MEGAPIXELS))
    except (ValueError, OSError, subprocess.SubprocessError):
        return ""
