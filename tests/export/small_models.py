"""Small models for the tests of export, with the exam and the sources that it needs."""

from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from conftest import PREPROCESS, ROOT

from heldout.core import atomic
from heldout.core.process import suppress_native_stderr
from heldout.data.shards import Images
from heldout.evaluation.intervals import Interval
from heldout.export import exam, files, lineage, model_card, self_test
from heldout.export.exam import Parity
from heldout.export.sources import Sources
from heldout.networks import build

with suppress_native_stderr():
    import keras

MODEL = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["model"]
CLASS_NAMES = ["cat", "dog", "wolf"]
TEMPLATE = ROOT / "src/heldout/export/template"
CALIBRATION = {"temperature": 1.25, "threshold": 0.5, "target_accuracy": 0.9}
CARD = dict.fromkeys(("title", "owner", "license", "data_license", "intended_use", "out_of_scope"), "")


def network(**changed) -> keras.Model:
    """A network of 16 x 16 pixels and three classes that prefers none of them much."""
    keras.utils.set_random_seed(0)
    small = {"weights": "none", "filters": [8, 8], "dense_units": 16}
    return build.build((16, 16, 3), len(CLASS_NAMES), **(MODEL | small | changed))


def pixels(count: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), np.uint8)


def exam_of(images: Images) -> exam.Exam:
    return exam.read(images, pd.DataFrame({"id": images.ids, "label": images.labels}), CLASS_NAMES)


def sources(train: np.ndarray | Images, **changed) -> Sources:
    """Of images that have the model's size already."""
    height, width = (train.shape[1:] if isinstance(train, np.ndarray) else train.image_shape)[:2]
    return Sources(PREPROCESS | {"image_size": [height, width]} | changed, train)


def write_export(folder: Path, formats: list[str], text: dict | None = None, **card: str) -> None:
    """What the stage writes, of a small network, with the figures of the project's own metrics on its card.

    Args:
        folder: which exists.
        formats: of `files.FILES`.
        text: the section `text` of a network that sees texts.
        card: of the section `card`, other than "".
    """
    model, settings = network(**({"text": text} if text else {})), PREPROCESS | {"image_size": [16, 16]}
    test = pd.DataFrame({"id": ["0" * 32], "label": ["cat"]})
    description = lineage.describe(CLASS_NAMES, settings, CALIBRATION, text, test, [str(ROOT / "params.yaml")])
    kit = self_test.gather(test, settings, text, images=0)
    runs = {}
    for name in formats:
        files.write(name, model, folder / files.FILES[name], sources(pixels()))
        runs[name] = files.load(name, folder / files.FILES[name])
    atomic.write_text(folder / "labels.txt", "".join(f"{name}\n" for name in CLASS_NAMES))
    atomic.write_json(folder / files.DESCRIPTION, description)
    same = Interval(0.9, 0.85, 0.94)
    parity = {name: Parity(0.0, 0, files.size(folder / files.FILES[name]), same, same) for name in formats}
    model_card.write(folder, model_card.read(ROOT / "metrics", description), parity, kit, TEMPLATE, **(CARD | card))
    self_test.write(folder, kit, model.predict_on_batch, runs, 1e-4, TEMPLATE)
