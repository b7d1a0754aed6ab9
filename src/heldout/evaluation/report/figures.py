"""The images that the page shows: which, and what stands below each."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from heldout.core import fonts
from heldout.data import shards
from heldout.evaluation.plots import sheet


class Figure(NamedTuple):
    """Pictures side by side (uint8, each (height, width, channels)), the label, the class that stands against it, and
    further lines."""

    pictures: list[np.ndarray]
    label: str
    other: str
    notes: list[str]
    path: str


def mistakes(predictions: pd.DataFrame, images: shards.Images, limit: int) -> list[Figure]:
    """The most confident mistakes of the test images, the worst first."""
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    shown = wrong.sort_values(["confidence", "id", "label"], ascending=[False, True, True], kind="stable").head(limit)
    pixels = _pixels(images, shown["id"])
    return [
        Figure([picture], row.label, row.predicted, [f"confidence {row.confidence:.3f}"], row.path)
        for picture, row in zip(pixels, shown.itertuples(), strict=True)
    ]


def suspects(table: pd.DataFrame, images: dict[str, shards.Images], limit: int) -> list[Figure]:
    """The images whose label is most in doubt, by split, in the order of the table."""
    shown = table.head(limit) if len(table) else table
    result = []
    for number in range(len(shown)):
        row = shown.iloc[number]
        note = f"{row['split']}, rank {row['rank']:.0f}: label's probability {row['label_probability']:.3f}, "
        note += f"suggestion's {row['suggested_probability']:.3f}"
        pixels = _pixels(images[row["split"]], [row["id"]])
        result.append(Figure([pixels[0]], row["label"], row["suggested"], [note], row["path"]))
    return result


def explanations(
    table: pd.DataFrame, heatmaps: np.ndarray, paths: dict[str, str], images: shards.Images, limit: int
) -> list[Figure]:
    """Images beside what the network looked at (Grad-CAM), one of each reason after another until `limit`."""
    if not len(table):
        return []
    order = table.groupby("reason", sort=False).cumcount().sort_values(kind="stable").index[:limit]
    rows = table.loc[sorted(order)]
    rows = rows[rows["id"].isin(images.ids)]
    return [
        Figure(
            [picture, sheet.overlay(picture, heatmap)],
            row.label,
            row.predicted,
            [_reason(row.reason, heatmap)],
            paths.get(row.id, ""),
        )
        for picture, heatmap, row in zip(
            _pixels(images, rows["id"]), heatmaps[rows.index.to_numpy()], rows.itertuples(), strict=True
        )
    ]


def _reason(text: str, heatmap: np.ndarray) -> str:
    """Why an image is explained, without the names that stand beside it, and whether its heat map is empty."""
    reason = "of a frequent confusion" if text.startswith("confusion ") else text
    return reason if heatmap.any() else f"{reason}; no part speaks for the class"


def write_sheet(figures: list[Figure], class_names: list[str], other: str, title: str, path: str) -> None:
    """The same as a PNG.

    Args:
        figures: any number.
        class_names: by number.
        other: what `Figure.other` is, in a word.
        title: a line above them.
        path: the PNG.
    """
    names = dict(zip(class_names, fonts.display_names(class_names), strict=True))
    captions = [
        [f"label {names[figure.label]}", f"{other} {names[figure.other]}", *figure.notes[0].split(": ", 1)]
        for figure in figures
    ]
    lines = max(map(len, captions), default=0)
    captions = [[*caption, *[""] * (lines - len(caption))] for caption in captions]
    numbered = any(fonts.is_numbered([names[figure.label], names[figure.other]]) for figure in figures)
    heading = f"{title} ({fonts.NUMBERED})" if numbered else title
    sheet.sheet([figure.pictures for figure in figures], captions, heading, path)


def _pixels(images: shards.Images, ids: pd.Series | list[str]) -> np.ndarray:
    """The images of these ids, uint8 (n, height, width, channels)."""
    row_of = {identity: row for row, identity in enumerate(images.ids.tolist())}
    return images[[row_of[identity] for identity in ids]] if len(ids) else np.zeros((0, *images.image_shape), np.uint8)
