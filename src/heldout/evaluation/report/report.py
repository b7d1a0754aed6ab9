"""The page and the sheets of images beside it."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from heldout.core import atomic
from heldout.data import shards
from heldout.evaluation.report import figures, page
from heldout.evaluation.report.inputs import Inputs


def write(
    inputs: Inputs,
    pixels: dict[str, shards.Images],
    template: str | Path,
    html: str | Path,
    plots: str | Path,
    *,
    images: Annotated[int, Field(ge=1, le=100)],
) -> dict[str, list[figures.Figure]]:
    """Write the page, and plots/mistakes.png and plots/suspects.png, which a pull request shows.

    Args:
        inputs: of `inputs.read`.
        pixels: of val and test.
        template: the folder of the page's template.
        html: the page.
        plots: the folder of the sheets.
        images: in each gallery, at most.

    Returns:
        The images shown: mistakes, suspects, explanations.
    """
    tables, names = inputs.tables, inputs.class_names
    predictions = tables["predictions"]
    paths = dict(zip(predictions["id"], predictions["path"], strict=True))
    groups = {
        "mistakes": figures.mistakes(predictions, pixels["test"], images),
        "suspects": figures.suspects(tables["suspects"], pixels, images),
        "explanations": figures.explanations(tables["explanations"], inputs.heatmaps, paths, pixels["test"], images),
    }
    atomic.write_text(html, page.render(inputs, groups, template))
    wrong = int((predictions["label"] != predictions["predicted"]).sum())
    title = f"{len(groups['mistakes'])} of {wrong:,} mistakes, the most confident first" if wrong else "no mistakes"
    figures.write_sheet(groups["mistakes"], names, "predicted", title, f"{plots}/mistakes.png")
    title = "labels most in doubt, first to be looked at" if groups["suspects"] else "no label is in doubt"
    figures.write_sheet(groups["suspects"], names, "suggested", title, f"{plots}/suspects.png")
    return groups
