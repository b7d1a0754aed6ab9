"""The page: its sections filled into the template, which escapes every text."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from heldout.evaluation.report import sections
from heldout.evaluation.report.figures import Figure
from heldout.evaluation.report.inputs import Inputs
from heldout.evaluation.report.thumbnails import data_uri, thumbnail

PAGE, STYLE, SCRIPT = "page.html.j2", "style.css", "script.js"


def render(inputs: Inputs, figures: dict[str, list[Figure]], template: str | Path) -> str:
    """The text of index.html: no request, no time, no state of git, so that the same inputs give the same bytes.

    Args:
        inputs: what the stages wrote.
        figures: mistakes, suspects and explanations.
        template: the folder with the page's template, style and script.
    """
    style, script = (Path(template, name).read_text(encoding="utf-8") for name in (STYLE, SCRIPT))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["isolated"] = isolated
    environment.globals["interval"] = sections.interval
    policy = (
        f"default-src 'none'; img-src data:; style-src '{source_digest(style)}'; script-src '{source_digest(script)}'"
    )
    contents = _contents(inputs) | {"figures": {name: _shown(group) for name, group in figures.items()}}
    return environment.get_template(PAGE).render(contents, style=style, script=script, policy=policy)


def isolated(text: str) -> str:
    """A name as part of an attribute, such as an image's alternative text, where no <bdi> can stand: marks from right
    to left in it reach no further (Unicode's FSI and PDI)."""
    return f"\u2068{text}\u2069"


def _contents(inputs: Inputs) -> dict[str, Any]:
    """The variables of the template."""
    numbers, tables = inputs.numbers, inputs.tables
    data, scores = numbers["data"], numbers["eval"]
    slice_rows, slice_line = sections.slice_rows(tables["slices"])
    predictions = tables["predictions"]
    return {
        "numbers": numbers,
        "plots": {name: data_uri(content, "png") for name, content in inputs.plots.items()},
        "class_names": inputs.class_names,
        "verdict": sections.verdict(scores),
        "how_sure": sections.how_sure(scores),
        "architecture": inputs.model.get("model", {}).get("architecture", "the network"),
        "environment": inputs.model.get("environment", {}) | {"precision": inputs.params["hardware"]["precision"]},
        "left_out": sections.left_out(data, tables["problems"]),
        "leaks": sections.leak_lines(data),
        "training": sections.training_lines(
            tables["history"], numbers["train"], inputs.params["train"]["epochs"], len(inputs.class_names)
        ),
        "metrics": sections.metric_rows(scores),
        "classes": _rows(tables["by_class"]),
        "pairs": sections.confused_pairs(predictions),
        "wrong": int((predictions["label"] != predictions["predicted"]).sum()),
        "slices": slice_rows,
        "slice_line": slice_line,
        "suspects": _rows(tables["suspects"]),
        "robustness": _rows(tables["robustness"]),
        "shipped": sections.shipped(numbers["export"]),
        "digests": inputs.digests,
        "versions": inputs.versions,
        "params": sections.flat(inputs.params),
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries, without what is empty."""
    return [{key: value for key, value in row.items() if not pd.isna(value)} for row in table.to_dict("records")]


def _shown(figures: list[Figure]) -> list[dict[str, Any]]:
    return [figure._asdict() | {"pictures": [thumbnail(picture) for picture in figure.pictures]} for figure in figures]


def source_digest(text: str) -> str:
    """What a page's content policy allows: this style or script alone."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
