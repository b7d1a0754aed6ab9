"""A comparison as text for a terminal, as Markdown for a pull request, and as JSON for a program."""

import json
from typing import Any

import pandas as pd

from heldout.compare.comparison import Comparison, heading, verdict, word
from heldout.compare.report.sections import sections
from heldout.core import markdown as markdown_text
from heldout.core import names

MARKER = "<!-- heldout report -->"
TEXT_ROWS = 10  # of a table on a terminal
MARKDOWN_TABLE, MARKDOWN_ROWS = "Metrics", 6
MAX_CELL = 60


def text(compared: Comparison, failures: list[str]) -> str:
    """For a terminal: the verdict, then each section with the first rows of its table."""
    lines = [verdict(compared), *(f"gate: {line}" for line in failures), ""]
    for section in sections(compared):
        lines.append(f"{section.title}: {section.text}")
        if section.rows:
            table = pd.DataFrame(section.rows[:TEXT_ROWS], columns=section.header).map(_cell)
            lines += [f"  {line}".rstrip() for line in table.to_string(index=False, justify="left").splitlines()]
            if len(section.rows) > TEXT_ROWS:
                lines.append(f"  ... {len(section.rows) - TEXT_ROWS:,} more (--json has all)")
    return "\n".join(lines)


def markdown(compared: Comparison, failures: list[str]) -> str:
    """For a pull request: at most 30 lines, what decides first; all that comes from outside is escaped.

    Args:
        compared: of `comparison.compare`.
        failures: lines of `gates.failures`.
    """
    lines = [MARKER, f"## heldout: {heading(compared)}", "", markdown_text.escape(verdict(compared)), ""]
    lines += [f"- **gate:** {markdown_text.escape(line)}" for line in failures[:3]]
    if len(failures) > 3:
        lines.append(f"- **gate:** {len(failures) - 3} more")
    for section in sections(compared):
        brief = f": {section.brief}" if section.brief else ""
        lines.append(f"- **{section.title}:** {markdown_text.escape(section.text + brief)}")
        if section.title == MARKDOWN_TABLE and section.rows:
            lines += ["", _row(section.header), _row(["---"] * len(section.header), escape=False)]
            lines += [*map(_row, section.rows[:MARKDOWN_ROWS]), ""]
    return "\n".join(lines) + "\n"


def as_json(compared: Comparison, failures: list[str]) -> str:
    """All of it; docs/compare.md has the schema."""
    exam = compared.exam
    values: dict[str, Any] = {
        "verdict": verdict(compared),
        "base": {"name": compared.base.name, "commit": compared.base.commit},
        "head": {"name": compared.head.name, "commit": compared.head.commit},
        "exam": {
            "same": exam.is_same,
            "common": len(exam.common),
            "added": exam.added["id"].tolist(),
            "removed": exam.removed["id"].tolist(),
            "relabelled": exam.relabelled["id"].tolist(),
            "classes_added": exam.classes_added,
            "classes_removed": exam.classes_removed,
            "trained_on": compared.trained_on,
            "looks": compared.num_looks,
            "gain_by_choice": compared.gain_by_choice,
        },
        "models": compared.models and {"word": word(compared.models, compared.margin), **compared.models._asdict()},
        "recipes": compared.recipes and {"word": word(compared.recipes), **compared.recipes._asdict()},
        "recipes_note": compared.recipes_note,
        "attribution": compared.attribution and compared.attribution._asdict(),
        "failures": failures,
    }
    for name in ("metrics", "images", "subsets", "confusions", "causes", "splits", "costs"):
        table = getattr(compared, name)
        values[name] = None if table is None else json.loads(table.to_json(orient="records"))
    return json.dumps(values | {"outputs": compared.outputs}, indent=2, ensure_ascii=False)


def _row(cells: list[str], escape: bool = True) -> str:
    return f"| {' | '.join(markdown_text.escape(_cell(cell)) if escape else cell for cell in cells)} |"


def _cell(value: str) -> str:
    """A name without line breaks, its middle cut out where it is long."""
    value = names.printable(value)
    return value if len(value) <= MAX_CELL else f"{value[: MAX_CELL // 2]}…{value[-MAX_CELL // 2 + 1 :]}"
