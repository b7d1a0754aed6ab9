"""What docs/search.md says of the search's methods: trials needed, what the best of many shows, weight-free scores.

$ python benchmarks/search.py                                # the first two tables; 30 repeats, two minutes
$ python benchmarks/search.py metrics/search.jsonl           # and weight-free scores on that search's own trials
"""

import sys
import tempfile
from math import log10

import numpy as np
import pandas as pd
from scipy import stats

from heldout.search import journal
from heldout.search.journal import Trial
from heldout.search.space import Choice, Range, Space, merged
from heldout.search.suggestions import METHODS, ROUND, suggest

REPEATS, MOST, TARGET = 30, 100, 0.75
SPACE: Space = {
    "schedule.learning_rate": Range(0.0001, 0.1, 1, True, False),
    "model.dropout": Range(0, 0.6, 1, False, False),
    "model.depth": Range(8, 32, 6, False, True),
    "model.filters": Choice([[8], [8, 16], [16, 32]]),
}
BATCH = 64  # images of NASWOT


def planted(values: dict) -> float:
    """A cheap function in an accuracy's place, 1 at learning rate 0.003, dropout 0.2, depth 20, filters [8, 16]."""
    distance = abs(log10(values["schedule.learning_rate"] / 0.003)) + abs(values["model.dropout"] - 0.2)
    distance += abs(values["model.depth"] - 20) / 24 + 0.5 * (values["model.filters"] != [8, 16])
    return 1 / (1 + distance)


def trials_needed(method: str, repeat: int) -> int:
    """How many trials until TARGET is reached; MOST where it is not."""
    history: list[Trial] = []
    for number in range(MOST):
        earlier = history[: number - number % ROUND]
        values = suggest(method, SPACE, earlier, number, (0, repeat), "parameters")
        history.append(Trial(method, repeat, number, values, 0, 1, val_accuracy=planted(values), parameters=1))
        if history[-1].val_accuracy >= TARGET:
            return number + 1
    return MOST


def differing_after_a_restart(count: int = 40) -> int:
    """Of so many suggestions, those that a kill after half of them changes, done as Optuna documents it: a seeded
    sampler, and a stored study that is loaded again."""

    def run(stops: list[int], folder: str) -> list[dict]:
        storage = f"sqlite:///{folder}/study.db"
        for stop in stops:
            study = optuna.create_study(
                study_name="a", storage=storage, load_if_exists=True, direction="maximize",
                sampler=optuna.samplers.TPESampler(seed=0),
            )  # fmt: skip
            while len(study.trials) < stop:
                trial = study.ask()
                x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
                study.tell(trial, -((x - 0.3) ** 2) - (y - 0.6) ** 2)
        return [trial.params for trial in study.trials]

    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        whole, killed = run([count], one), run([count // 2, count], other)
    return sum(first != second for first, second in zip(whole, killed, strict=True))


def optimism(trials: int, images: int, deviation: float, draws: int = 20_000) -> tuple[float, float, float]:
    """How much the best of `trials` shows that is not there, in points of accuracy: against the mean of all, of which
    so much is true, and what the best of the top three by a second draw shows of the first one's.

    Args:
        trials: whose true accuracies have the standard deviation `deviation` around 0.8.
        images: by which each is measured, in the search and again in the confirmation.
    """
    rng = np.random.default_rng(0)
    true = np.clip(rng.normal(0.8, deviation, (draws, trials)), 0, 1)
    shown = rng.binomial(images, true) / images
    best = shown.argmax(axis=1)
    rows = np.arange(draws)
    top = np.argsort(-shown, axis=1)[:, :3]
    again = rng.binomial(images, true[rows[:, None], top]) / images
    chosen = top[rows, again.argmax(axis=1)]
    return (
        100 * float((shown[rows, best] - true[rows, best]).mean()),
        100 * float((again.max(axis=1) - true[rows, chosen]).mean()),
        100 * float((true[rows, chosen] - true[rows, best]).mean()),
    )


def weight_free(path: str) -> pd.DataFrame:
    """Kendall's tau of each score with the accuracy of a search's complete trials, and its p-value."""
    from heldout.data.shards import Images
    from heldout.networks import build

    found = journal.load(path)
    images = Images("data/processed/train")
    batch = images[np.random.default_rng(0).choice(len(images), BATCH, replace=False)]
    classes = len(set(images.labels))
    rows = []
    for trial in found.trials:
        if trial.failed or trial.pruned_at:
            continue
        model = build.build(images.image_shape, classes, **merged(found.header["params"], trial.params)["model"])
        sizes = {"parameters": trial.parameters, "multiply-adds": trial.multiply_adds}
        scores = {"NASWOT": naswot(model, batch), "SynFlow": synflow(model)}
        rows.append({"accuracy": trial.val_accuracy} | sizes | scores)
    table = pd.DataFrame(rows)
    found_taus = {name: stats.kendalltau(table[name], table["accuracy"]) for name in table.columns[1:]}
    return pd.DataFrame(
        {
            "tau": {name: tau.statistic for name, tau in found_taus.items()},
            "p": {n: t.pvalue for n, t in found_taus.items()},
        }
    )


def naswot(model, batch: np.ndarray) -> float:
    """Mellor et al., Neural Architecture Search without Training (2021): how differently the ReLUs see images."""
    import keras

    relus = [
        layer.output
        for layer in model.layers
        if isinstance(layer, keras.layers.ReLU) or getattr(getattr(layer, "activation", None), "__name__", "") == "relu"
    ]
    kernel = np.zeros((len(batch), len(batch)))
    for values in keras.Model(model.input, relus)(batch, training=False):
        codes = (np.asarray(values).reshape(len(batch), -1) > 0).astype(float)
        kernel += codes @ codes.T + (1 - codes) @ (1 - codes).T
    return float(np.linalg.slogdet(kernel)[1])


def synflow(model) -> float:
    """Tanaka et al., Pruning Neural Networks without Any Data by Iteratively Conserving Synaptic Flow (2020): the flow
    through a network of absolute weights, as a logarithm."""
    import keras
    import tensorflow as tf

    model.layers[-1].activation = keras.activations.linear
    for variable in model.trainable_variables:
        variable.assign(abs(variable))
    with tf.GradientTape() as tape:
        flow = tf.reduce_sum(model(tf.ones((1, *model.input_shape[1:])), training=False))
    weights = [variable.value for variable in model.trainable_variables]
    gradients = tape.gradient(flow, weights)
    total = sum(float(tf.reduce_sum(abs(w * g))) for w, g in zip(weights, gradients, strict=True) if g is not None)
    return float(np.log(total))


def main(path: str = "") -> None:
    needed = {method: np.array([trials_needed(method, repeat) for repeat in range(REPEATS)]) for method in METHODS}
    print(
        f"trials until {TARGET} of a planted optimum, {REPEATS} repeats, {MOST} at most; p: Mann-Whitney against random"
    )
    for method, counts in needed.items():
        p_value = stats.mannwhitneyu(counts, needed["random"], alternative="less").pvalue
        quartiles = np.percentile(counts, [25, 50, 75])
        ratio = counts.mean() / needed["random"].mean()
        print(f"{method:<10} median {quartiles[1]:5.1f} [{quartiles[0]:.0f}, {quartiles[2]:.0f}]", end="  ")
        print(f"mean / random's {ratio:.2f}  p {p_value:.2g}")
    print(f"\nOptuna's own way, killed after 20 of 40: {differing_after_a_restart()} of 40 suggestions are others")
    print("\nwhat the best of many trials shows that is not there, points (simulated: mean accuracy .8, true sd .02)")
    for trials, images in [(20, 341), (20, 2000), (100, 341), (100, 2000)]:
        shown, confirmed, kept = optimism(trials, images, 0.02)
        print(f"{trials:>4} trials, {images:>5} images: shown {shown:4.1f}", end="; ")
        print(f"of the confirmed best of three {confirmed:4.1f}, truly better than the shown best by {kept:+.1f}")
    if path:
        print(f"\nranks of the trials of {path}: Kendall's tau with the accuracy")
        print(weight_free(path).to_string(float_format="%.2g"))


if __name__ == "__main__":
    main(*sys.argv[1:])
