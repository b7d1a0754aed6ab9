"""Ablation: what is left of the accuracy without the text or the pixels, and what the text could have given away."""

from pathlib import Path

import numpy as np
import pandas as pd

from heldout.evaluation import intervals, probabilities
from heldout.evaluation.significance import paired_tests
from heldout.networks import tokenizer

INPUTS = ("image_alone", "text_alone", "shuffled_text")  # of predict's folder `ablated`
GAINS = {"gain_of_text": "image_alone", "gain_of_image": "text_alone"}
COUNTS = ("test_texts", "texts_in_train", "texts_naming_class")


def scores(predictions: str | Path, labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """The accuracy of one model by parts of its input, and the paired differences: for eval.json; {} without texts.

    Args:
        predictions: the folder of `predict`.
        labels: class numbers of the test images, in the order of its images.csv, (n,).
        predicted: the class numbers that the model predicts by both, (n,).
        groups: the number of each image's group, (n,).

    Returns:
        For each of INPUTS NAME_accuracy with its interval of 95 %; for each of GAINS the accuracy by both less that
        by the part, with its paired interval, and NAME_p_value.

    Raises:
        ValueError: where a file is damaged.
    """
    folder = Path(predictions, probabilities.ABLATED)
    if not folder.is_dir():
        return {}
    result: dict[str, float] = {}
    right = {name: _read(folder / f"{name}.npy", len(labels)) == labels for name in INPUTS}
    for name, values in right.items():
        interval = intervals.proportion(values, groups)
        result |= {f"{name}_accuracy{end}": value for end, value in zip(("", "_low", "_high"), interval, strict=True)}
    for name, part in GAINS.items():
        difference = paired_tests.correct(right[part], predicted == labels, groups)
        result |= {name: difference.value, f"{name}_low": difference.low, f"{name}_high": difference.high}
        result[f"{name}_p_value"] = difference.p_value
    return result


def leaks(test: pd.DataFrame, train: pd.DataFrame) -> dict[str, float]:
    """What the texts of the test images could give away, compared word by word as the tokenizer reads them.

    Args:
        test, train: the manifests, with the columns label and text.

    Returns:
        COUNTS: the fraction of the test images that have a text; and of those the fraction whose text stands in train,
        of any class, and whose text holds the name of its class, all its words in a row.
    """
    texts = [tokenizer.words(text) for text in test["text"]]
    labels = [tokenizer.words(label) for label in test["label"]]
    with_text = [number for number, words in enumerate(texts) if words]
    known = {tuple(tokenizer.words(text)) for text in train["text"]}
    in_train = sum(tuple(texts[number]) in known for number in with_text)
    naming = sum(_holds(texts[number], labels[number]) for number in with_text)
    count = max(len(with_text), 1)
    return dict(zip(COUNTS, (len(with_text) / max(len(test), 1), in_train / count, naming / count), strict=True))


def describe(values: dict[str, float]) -> list[str]:
    """The scores and leaks in words, two lines; none without texts.

    Args:
        values: of eval.json.
    """
    if COUNTS[0] not in values:
        return []
    parts = [f"{name.replace('_', ' ')} {values[f'{name}_accuracy']:.4f}" for name in INPUTS]
    gains = [
        f"{name.replace('_', ' ')} {values[name]:+.4f} [{values[f'{name}_low']:+.3f}, {values[f'{name}_high']:+.3f}]"
        for name in GAINS
    ]
    leak = ", ".join(
        [
            f"{values['test_texts']:.1%} of the test images have a text",
            f"{values['texts_in_train']:.1%} of these texts stand verbatim in train",
            f"{values['texts_naming_class']:.1%} name their class",
        ]
    )
    warning = ": a text that is made from the label is a leak" if values["texts_naming_class"] > 0 else ""
    return [f"accuracy by {', '.join(parts)}; {', '.join(gains)}", leak + warning]


def _read(path: Path, count: int) -> np.ndarray:
    try:
        predicted = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        folder = path.parents[1]
        raise ValueError(f"{path} is damaged: run `dvc checkout --force {folder}` or `dvc repro`") from error
    if predicted.shape != (count,):
        raise ValueError(f"{path} is not of the {count} test images: run `dvc repro`")
    return predicted


def _holds(words: list[str], part: list[str]) -> bool:
    return any(words[start : start + len(part)] == part for start in range(len(words) - len(part) + 1)) and bool(part)
