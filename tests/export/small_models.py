"""Small models for the tests of export, with the exam and the sources that it needs."""

import numpy as np
import pandas as pd
import yaml
from conftest import PREPROCESS, ROOT

from heldout.core.process import suppress_native_stderr
from heldout.data.shards import Images
from heldout.export import exam
from heldout.export.sources import Sources
from heldout.networks import build

with suppress_native_stderr():
    import keras

MODEL = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["model"]
CLASS_NAMES = ["cat", "dog", "wolf"]


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
