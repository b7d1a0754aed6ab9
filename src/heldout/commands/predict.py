"""`heldout predict`: predictions of the images that are named, as a table, CSV or JSON, and what could not be read."""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tqdm import tqdm

from heldout.core import names
from heldout.export.predict import Prediction, stream
from heldout.export.prediction import image_files, model_file

FORMATS = ("table", "csv", "json", "jsonl")
DIGITS = 6  # decimals in a CSV file, as in metrics/predictions.csv


def predict(options: argparse.Namespace) -> int:
    """Print a row an image as soon as it is predicted; 1 where one could not be."""
    model = model_file.load(options.model, options.export)
    sources = list(_sources(options.paths, options.null))
    rows = stream(sources, model, options.top, options.text, options.max_megapixels)
    top = min(options.top, len(model.class_names))
    errors = WRITERS["jsonl" if options.json else options.format](_with_bar(rows, len(sources)), top)
    if errors:
        print(f"heldout: {errors:,} of {len(sources):,} not predicted", file=sys.stderr)
    return 1 if errors else 0


def as_json(row: Prediction) -> dict[str, Any]:
    """A row as JSON has it: path and error, or path, predictions and unsure."""
    if row.error:
        return {"path": row.path, "error": row.error}
    ranked = [{"class": name, "confidence": confidence} for name, confidence in row.ranked]
    return {"path": row.path, "predictions": ranked, "unsure": row.unsure}


def _sources(paths: list[str], null: bool) -> Iterator[image_files.ImageFile]:
    for path in paths:
        if path == image_files.STDIN:
            for name in image_files.read_names(null):
                yield from image_files.literal(name)
        else:
            yield from image_files.find(path)


def _with_bar(rows: Iterable[Prediction], total: int) -> Iterator[Prediction]:
    """The rows, with a bar of them on a terminal that does not show the rows themselves."""
    hidden = not sys.stderr.isatty() or sys.stdout.isatty()
    with tqdm(rows, "predict", total, unit=" images", delay=2, mininterval=1, disable=hidden) as bar:
        yield from bar


def _table(rows: Iterable[Prediction], top: int) -> int:
    errors = 0
    for row in rows:
        if row.error:
            errors += 1
            tqdm.write(f"heldout: {names.printable(row.error)}", file=sys.stderr)
            continue
        ranked = "  ".join(f"{name} {confidence:.1%}" for name, confidence in row.ranked)
        print(f"{names.printable(row.path)}  {ranked}{'  unsure' if row.unsure else ''}", flush=True)
    return errors


def _csv(rows: Iterable[Prediction], top: int) -> int:
    """A name that a table cannot hold has escapes, so that a line is a row."""
    errors = 0
    others = [f"{key}_{rank}" for rank in range(2, top + 1) for key in ("class", "confidence")]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "predicted", "confidence", "unsure", "error", *others])
    for row in rows:
        errors += bool(row.error)
        more = [value for name, confidence in row.ranked[1:] for value in (name, round(confidence, DIGITS))]
        values = ["", "", ""] if row.error else [row.predicted, round(row.confidence, DIGITS), row.unsure]
        writer.writerow([names.printable(row.path), *values, names.printable(row.error), *(more or [""] * len(others))])
        sys.stdout.flush()
    return errors


def _json(rows: Iterable[Prediction], top: int) -> int:
    """One array, in lines of one object, which is complete when all is predicted."""
    errors, separator = 0, "["
    for row in rows:
        errors += bool(row.error)
        print(separator, json.dumps(as_json(row), ensure_ascii=False), sep="\n", end="")
        separator = ","
    print("[]" if separator == "[" else "\n]")
    return errors


def _jsonl(rows: Iterable[Prediction], top: int) -> int:
    errors = 0
    for row in rows:
        errors += bool(row.error)
        print(json.dumps(as_json(row), ensure_ascii=False), flush=True)
    return errors


WRITERS: dict[str, Callable[[Iterable[Prediction], int], int]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
}
