"""Slices of the test images on which the model is worse than on the rest: by class, size, looks, group and more."""

from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from scipy import stats

from heldout.data import manifest
from heldout.data.shards import Images
from heldout.evaluation import intervals, metrics
from heldout.evaluation.significance import slice_tests

FALSE_DISCOVERY_RATE = 0.05  # of the slices that are flagged, at most so many are no worse than the rest, on average
MAX_WORDS = 3  # slices that `describe` names
QUARTERS = {
    "size": ("smallest", "second", "third", "largest"),
    "aspect": ("narrowest", "second", "third", "widest"),
    "brightness": ("darkest", "second", "third", "brightest"),
    "sharpness": ("blurriest", "second", "third", "sharpest"),
}
LOWEST_TO_HIGHEST = ("lowest", "second", "third", "highest")  # of the user's columns
OWN = ("id", "path", "label", "group", "text", "cluster", "width", "height", "orientation")  # the rest is the user's
COLUMNS = [
    *("slice", "value", "images", "accuracy", "accuracy_low", "accuracy_high", "rest_accuracy", "difference"),
    *("p_value", "q_value", "flagged"),
]


class Cut(NamedTuple):
    """A way to cut the images into slices: its name, the text of each value, the value of each image or -1, (n,)."""

    name: str
    values: list[str]
    codes: np.ndarray


def cuts(table: pd.DataFrame, test: pd.DataFrame, train: pd.DataFrame, images: Images, columns: list[str]) -> list[Cut]:
    """The ways to cut the test images: by class, size, aspect, brightness, sharpness, group, whether a near-duplicate
    is in train, and by columns of the user's.

    Args:
        table: of `metrics.predictions`, and a column group where groups are known.
        test, train: their manifests; of the columns width, height, orientation and cluster those that there are count.
        images: the preprocessed test images, of which brightness and sharpness are taken.
        columns: of the user's CSV, by which to cut as well: numbers by quarters, text by value; '' is in no slice.

    Raises:
        ValueError: where a column is not among the manifest's, or the rows are not those of the table.
    """
    test = manifest.match(test, table["id"], "the predictions", "data/splits/test.csv")
    manifest.match(test, images.ids, "the images of data/processed/test", "data/splits/test.csv")
    _check_columns(columns, test)
    result = [_by_text("class", table["label"]), *_by_geometry(test), *_by_looks(images)]
    if "group" in table:
        result.append(_by_text("group", table["group"]))
    if "cluster" in test and "cluster" in train:
        known = test["cluster"].isin(set(train["cluster"]) - {""})
        result.append(_by_text("near_duplicate_of_train", known.map({True: "yes", False: "no"})))
    return result + [_by_column(name, test[name]) for name in columns]


def members(cuts: list[Cut]) -> dict[str, np.ndarray]:
    """Which slice of each cut an image is in: columns slice_NAME, a word an image (`darkest`, `third`), '' for none.

    As columns of predictions.csv they let `heldout compare` tell from git alone where images were fixed or broken.
    Class and group have columns already; a cut that parts nothing has none.
    """
    result = {}
    for cut in cuts:
        if cut.name not in ("class", "group") and len(np.unique(cut.codes)) > 1:
            words = np.array([*(value.split(" quarter (")[0] for value in cut.values), ""], object)
            result[f"slice_{cut.name}"] = words[cut.codes]
    return result


def slices(wrong: np.ndarray, cuts: list[Cut], groups: np.ndarray, min_slice: int) -> pd.DataFrame:
    """The accuracy of each slice against that of the rest, the surest to be worse first.

    A slice has `min_slice` images or more, and not all of them. All that were looked at are listed; flagged are those
    that are worse by more than chance (slice_tests.p_values) after correction for how many were looked at, at a false
    discovery rate of 5 % (Benjamini and Hochberg 1995). Where groups are known, a slice must be worse by more than
    groups differ; but a group itself is compared by its images: whether it is worse, not whether such a group is rare.

    Args:
        wrong: whether each image is a mistake, bool (n,).
        cuts: of `cuts`.
        groups: the number of each image's group, (n,).
        min_slice: the fewest images of a slice.

    Returns:
        slice (how the images were cut), value, images, accuracy with its interval of 95 %, rest_accuracy (of all
        others), difference, p_value, q_value, flagged (bool).
    """
    rows = [row for cut in cuts for row in _rows(cut, wrong, groups, min_slice)]
    result = pd.DataFrame(rows, columns=[name for name in COLUMNS if name not in ("q_value", "flagged")])
    q_values = stats.false_discovery_control(result["p_value"]) if rows else np.empty(0)
    flagged = (q_values < FALSE_DISCOVERY_RATE) & (result["difference"] < 0).to_numpy(bool)
    result = result.assign(q_value=q_values, flagged=flagged)
    result = result.sort_values(["p_value", "difference", "slice", "value"], kind="stable", ignore_index=True)
    numbers = result.select_dtypes(float).columns
    return result.assign(**{name: metrics.round_significant(result[name]) for name in numbers})[COLUMNS]


def describe(table: pd.DataFrame) -> str:
    """The worst slices in words, of the table of `slices`."""
    count = len(table)
    if not count:
        return "no slice has enough images to be looked at (evaluate.min_slice)"
    worse = table[table["flagged"]]
    if not len(worse):
        return f"no slice is worse than the rest by more than chance ({count:,} looked at)"
    worst = [
        f"{row.slice} {row.value} ({row.accuracy:.3f} of {row.images:,} images, the rest {row.rest_accuracy:.3f})"
        for row in worse.head(MAX_WORDS).itertuples()
    ]
    more = f" and {len(worse) - MAX_WORDS:,} more" if len(worse) > MAX_WORDS else ""
    verb = "is" if len(worse) == 1 else "are"
    looks = f"after correction for {count:,} look{'s' * (count > 1)}"
    return f"{len(worse):,} of {count:,} slices {verb} worse than the rest {looks}: {', '.join(worst)}{more}"


def appearance(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """The brightness of each image, the mean of its gray levels (0 to 255); and its sharpness, the variance of their
    Laplacian (Pech-Pacheco et al. 2000): float (n,) each, of the pixels that the model sees."""
    brightness, sharpness = np.empty(len(images)), np.empty(len(images))
    row = 0
    for batch in images.batches():
        for image in batch:
            gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.shape[-1] == 3 else image[..., 0]
            brightness[row] = gray.mean()
            sharpness[row] = cv2.meanStdDev(cv2.Laplacian(gray, cv2.CV_64F))[1].item() ** 2
            row += 1
    return brightness, sharpness


def _rows(cut: Cut, wrong: np.ndarray, groups: np.ndarray, min_slice: int) -> list[tuple]:
    """The rows of a cut, without those that follow from all rows."""
    if cut.name == "group":  # which is asked about its own images: within a group they are draws
        groups = np.arange(len(wrong))
    p_values = slice_tests.p_values(wrong, cut.codes, groups)
    sizes = np.bincount(cut.codes[cut.codes >= 0], minlength=len(cut.values))
    order = np.argsort(cut.codes, kind="stable")[len(cut.codes) - sizes.sum() :]
    rows = []
    for number in np.flatnonzero((sizes >= min_slice) & (sizes < len(wrong))):
        stop = sizes[: number + 1].sum()
        members = order[stop - sizes[number] : stop]
        mistakes = int(wrong[members].sum())
        accuracy = intervals.proportion(~wrong[members], groups[members])
        rest = 1 - (int(wrong.sum()) - mistakes) / (len(wrong) - len(members))
        difference = accuracy.value - rest
        rows.append((cut.name, cut.values[number], len(members), *accuracy, rest, difference, p_values[number]))
    return rows


def _by_text(name: str, texts: pd.Series) -> Cut:
    """A slice for each text but ''."""
    codes, values = pd.factorize(texts.where(texts != ""), sort=True)
    return Cut(name, list(values), codes)


def _by_number(name: str, numbers: np.ndarray, names: tuple[str, ...]) -> Cut:
    """Slices by quarters, of few different numbers a slice for each; NaN is in none.

    Equal numbers are in the same quarter, so that quarters may differ in size.
    """
    known = ~np.isnan(numbers)
    distinct = np.unique(numbers[known])
    codes = np.full(len(numbers), -1)
    if len(distinct) <= len(names):
        codes[known] = np.searchsorted(distinct, numbers[known])
        return Cut(name, [f"{value:.6g}" for value in distinct], codes)
    edges = np.quantile(numbers[known], [0.25, 0.5, 0.75])
    codes[known] = np.searchsorted(edges, numbers[known])
    low, middle, high = (f"{edge:.4g}" for edge in edges)
    ranges = (f"up to {low}", f"up to {middle}", f"up to {high}", f"above {high}")
    return Cut(name, [f"{which} quarter ({part})" for which, part in zip(names, ranges, strict=True)], codes)


def _by_geometry(test: pd.DataFrame) -> list[Cut]:
    """By the area of the original image in pixels, and by its width / height as it is seen, upright."""
    if not {"width", "height"} <= set(test):
        return []
    width, height = test["width"].to_numpy(float), test["height"].to_numpy(float)
    turned = (test["orientation"] >= 5).to_numpy() if "orientation" in test else np.zeros(len(test), bool)
    aspect = np.where(turned, height / width, width / height)
    return [_by_number("size", width * height, QUARTERS["size"]), _by_number("aspect", aspect, QUARTERS["aspect"])]


def _by_looks(images: Images) -> list[Cut]:
    names = ("brightness", "sharpness")
    return [_by_number(name, values, QUARTERS[name]) for name, values in zip(names, appearance(images), strict=True)]


def _by_column(name: str, texts: pd.Series) -> Cut:
    """By a column of the user's CSV: by quarters where all that is there are numbers, else by value."""
    numbers = pd.to_numeric(texts.where(texts != ""), errors="coerce").astype(float)
    if (numbers.notna() == (texts != "")).all() and np.isfinite(numbers.dropna()).all():
        return _by_number(name, numbers.to_numpy(), LOWEST_TO_HIGHEST)
    return _by_text(name, texts)


def _check_columns(columns: list[str], test: pd.DataFrame) -> None:
    known = [name for name in test if name not in OWN]
    for name in columns:
        if name not in known:
            expected = f"expected {', '.join(known)}" if known else "the images' CSV has no further columns"
            raise ValueError(f"evaluate.slices names {name!r}, which is no column of data/splits/test.csv: {expected}")
