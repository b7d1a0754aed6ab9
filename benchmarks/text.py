"""What titles add to drawings: a classifier of pixels, of titles and of both, on the same held-out images.

$ python benchmarks/text.py ../shared/data/clipart ../shared/pretrained/mobilenet_v2_1.0_224_ptq_no_top.weights.h5

The folder is indexed, split by group and preprocessed as the stages do (identical drawings in two classes are dropped).
A frozen MobileNetV2 gives the features of each image and of its mirror image once; the layers on them, and their
training, are those of the recipe `captions`: fusion, dropout, a dense layer; AdamW along a cosine, smoothed labels.
Prints the split, a table of accuracies a seed, and the paired differences of the mean over the seeds with 95 %
intervals by group. The validation images choose the epoch, and nothing else. --sentence-encoder FOLDER does the same
with vectors of `sentence_encoder.py` in the place of hashed tokens, and holds both against each other.
"""

import argparse
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from results import SECTIONS
from sentence_encoder import SentenceEncoder

from heldout.core.process import suppress_native_stderr
from heldout.data import components, index, preprocess, shards
from heldout.data import split as splitting
from heldout.data.decode_cache import DecodeCache
from heldout.evaluation import ablation
from heldout.evaluation.significance import paired_tests
from heldout.networks import fusion, pretrained, tokenizer
from heldout.training import modality_dropout

with suppress_native_stderr():
    import keras

SIDE = 160
DATA = SECTIONS["data"] | {"dir": "raw", "layout": "csv", "on_problem": "skip", "on_conflict": "drop"}
PREPROCESS = SECTIONS["preprocess"] | {
    "image_size": [SIDE, SIDE], "resize": "pad", "interpolation": "linear", "pad_color": [255, 255, 255],
}  # fmt: skip
TEXT = {"buckets": 16384, "length": 128}
EPOCHS, BATCH, DROPOUT = 20, 32, 0.5
LEARNING_RATE, WEIGHT_DECAY, LABEL_SMOOTHING = 0.003, 0.02, 0.1
INPUTS = ("image", "text", "both")


class Data(NamedTuple):
    """Of all images: features float32 (2, n, units), as they are and mirrored; texts (n,), and their tokens int32
    (n, length) or vectors float32 (n, dimensions); labels and groups (n,), rows by split; and the number of classes."""

    features: np.ndarray
    texts: np.ndarray
    tokens: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    rows: dict[str, np.ndarray]
    num_classes: int


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("weights", type=Path)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--text-dropout", type=float, default=0.2)
    options.add_argument("--image-dropout", type=float, default=0.1)
    options.add_argument("--sentence-encoder", type=Path, metavar="FOLDER")
    arguments = options.parse_args()
    os.environ["HELDOUT_CACHE"] = "off"
    weights = str(arguments.weights.resolve())
    vectors = SentenceEncoder(arguments.sentence_encoder) if arguments.sentence_encoder else None
    with tempfile.TemporaryDirectory() as work:
        copy(arguments.folder, Path(work, "raw"))
        os.chdir(work)
        data = read(weights)
    right = train_all(data, INPUTS, arguments)
    pairs = [("both", base) for base in ("image", "text", "both, without the text", "both, shuffled text")]
    if vectors:
        embedded = data._replace(tokens=vectors(data.texts) * np.float32(np.sqrt(384)))
        right |= {f"{name}, vectors": of for name, of in train_all(embedded, ("text", "both"), arguments).items()}
        pairs += [(f"{name}, vectors", name) for name in ("text", "both")]
    print(f"{'':32}{'mean':>8}  by seed")
    for name, by_seed in right.items():
        print(f"{name:32}{np.mean(by_seed):8.3f}  {' '.join(f'{value.mean():.3f}' for value in by_seed)}")
    for head, base in pairs:
        print(difference(head, base, right, data.groups[data.rows["test"]]))


def train_all(data: Data, inputs: Sequence[str], arguments: argparse.Namespace) -> dict[str, list[np.ndarray]]:
    """Of each seed, whether each test image is predicted right, by the name of what the model sees."""
    right: dict[str, list[np.ndarray]] = {}
    for seed in range(arguments.seeds):
        for seen in inputs:
            for name, values in train(data, seen, seed, arguments.text_dropout, arguments.image_dropout).items():
                right.setdefault(name, []).append(values)
    return right


def copy(folder: Path, to: Path) -> None:
    """The drawings, and their CSV without the control characters of two titles, which `index` refuses."""
    shutil.copytree(folder, to)
    table = (to / "labels.csv").read_text(encoding="utf-8")
    (to / "labels.csv").write_text(re.sub("[\x80-\x9f]", " ", table), encoding="utf-8")


def read(weights: str) -> Data:
    """Index, split and preprocess raw/; the features of the frozen network."""
    table = index.scan(**DATA).images
    component = components.label(table)
    splits, _ = splitting.assign(table, **SECTIONS["split"])
    table = table.assign(split=splits, component=component).drop_duplicates(["id", "label"])
    table = table.sort_values(["id", "label"], ignore_index=True)
    preprocess.write_shards(table, "shards", DecodeCache(PREPROCESS), texts=True, **PREPROCESS)
    images = shards.Images("shards")
    inputs = keras.Input(images.image_shape)
    average = keras.layers.GlobalAveragePooling2D()
    network = keras.Model(inputs, average(pretrained.frozen_features(inputs, "MobileNetV2", weights)))
    batches = [(batch, batch[:, :, ::-1]) for batch in images.batches()]
    features = np.stack([np.concatenate([network.predict_on_batch(pair[n]) for pair in batches]) for n in (0, 1)])
    class_names = sorted(set(images.labels))
    rows = {name: np.flatnonzero(table["split"] == name) for name in splitting.SPLITS}
    print(", ".join(f"{len(numbers):,} {name}" for name, numbers in rows.items()), f"of {len(class_names)} classes")
    print(f"largest class of test: {table.loc[rows['test'], 'label'].value_counts(normalize=True).iloc[0]:.3f}")
    for name, value in ablation.leaks(table.loc[rows["test"]], table.loc[rows["train"]]).items():
        print(f"{name}: {value:.3f}")
    assert images.texts is not None
    texts = np.array([text or "" for text in images.texts], object)
    tokens = tokenizer.hashed(texts, **TEXT)
    numbers = images.class_numbers(class_names)
    return Data(features, texts, tokens, numbers, table["component"].to_numpy(), rows, len(class_names))


def build(data: Data, inputs: str, steps: int) -> keras.Model:
    """The layers on the features; `steps` of training an epoch."""
    images = keras.Input((data.features.shape[-1],))
    x, model_inputs = images, [images]
    if inputs != "image" and data.tokens.dtype == np.int32:
        tokens, x = fusion.fuse(images, TEXT["buckets"], TEXT["length"])
        model_inputs.append(tokens)
    elif inputs != "image":
        model_inputs.append(keras.Input((data.tokens.shape[1],)))
        x = keras.layers.Concatenate()(model_inputs)
    x = keras.layers.Dropout(DROPOUT)(x)
    model = keras.Model(model_inputs, keras.layers.Dense(data.num_classes, activation="softmax")(x))
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, (EPOCHS - 1) * steps, warmup_target=LEARNING_RATE, warmup_steps=steps
    )
    optimizer = keras.optimizers.AdamW(rate, WEIGHT_DECAY)
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING))
    return model


def train(data: Data, inputs: str, seed: int, text_dropout: float, image_dropout: float) -> dict[str, np.ndarray]:
    """Whether each test image is predicted right, bool (n,), by the name of what the model sees; its best epoch's."""
    started = time.process_time()
    keras.utils.set_random_seed(seed)
    rows, val, test = (data.rows[name] for name in splitting.SPLITS)
    model = build(data, inputs, -(-len(rows) // BATCH))
    black = np.zeros_like(data.features[0])
    both_views = np.zeros_like(data.features) if inputs == "text" else data.features
    features = both_views[0]
    # Of an image without a text: the token that says so, or no vector.
    empty = tokenizer.without_text(*data.tokens.shape) if data.tokens.dtype == np.int32 else np.zeros_like(data.tokens)
    targets = np.eye(data.num_classes, dtype=np.float32)[data.labels]

    def batch(features: np.ndarray, tokens: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
        return [features[rows], tokens[rows]][: len(model.inputs)]

    best, best_weights, best_epoch = np.inf, model.get_weights(), 0
    for epoch in range(EPOCHS):
        seen = (both_views[epoch % 2], data.tokens)
        if inputs == "both":
            drawn = modality_dropout.draws(len(features), seed, epoch)
            without_text, without_image = drawn < text_dropout, drawn >= 1 - image_dropout
            seen = (np.where(without_image[:, None], 0, seen[0]), np.where(without_text[:, None], empty, data.tokens))
        model.fit(batch(*seen, rows), targets[rows], batch_size=BATCH, verbose=0)
        probabilities = model.predict(batch(features, data.tokens, val), verbose=0)
        loss = -np.log(np.maximum(probabilities[np.arange(len(val)), data.labels[val]], 1e-7)).mean()
        if loss < best:
            best, best_weights, best_epoch = loss, model.get_weights(), epoch + 1
    model.set_weights(best_weights)
    cpu = time.process_time() - started
    print(f"{inputs}, seed {seed}: epoch {best_epoch} of {EPOCHS}, {cpu:.0f} CPU s", flush=True)
    shuffled = data.tokens[np.random.default_rng(0).permutation(len(data.tokens))]
    views = {inputs: (features, data.tokens)}
    if inputs == "both":
        views |= {
            "both, without the text": (features, empty),
            "both, without the image": (black, data.tokens),
            "both, shuffled text": (features, shuffled),
        }
    return {
        name: model.predict(batch(*view, test), verbose=0).argmax(axis=1) == data.labels[test]
        for name, view in views.items()
    }


def difference(head: str, base: str, right: dict[str, list[np.ndarray]], groups: np.ndarray) -> str:
    """The difference of two accuracies, each the mean over the seeds, with its interval by group."""
    change = np.mean(right[head], axis=0) - np.mean(right[base], axis=0)
    low, high = paired_tests.interval(*paired_tests.group_sums(change, groups))
    return f"{head} - {base}: {change.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


if __name__ == "__main__":
    main()
