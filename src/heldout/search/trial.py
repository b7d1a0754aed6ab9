"""One run of the training for a search: as stages/train.py does it, with the search part of val in the place of val."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from heldout.data import manifest
from heldout.data.shards import Images
from heldout.evaluation.metrics import SMALLEST
from heldout.networks import build, devices, encoder, pretrained, tokenizer
from heldout.networks.batch_norm import BatchNormalization
from heldout.search import costs, parts
from heldout.search.pool import Setup
from heldout.search.rounds import Job
from heldout.search.space import merged
from heldout.training import fit
from heldout.training.checkpoint import Checkpoint, checkpoint_path
from heldout.training.pruning import Pruning


class Data(NamedTuple):
    """The training images, the two parts of val, and the class names."""

    train: Images
    search: parts.Part
    confirmation: parts.Part
    class_names: list[str]


def run(job: Job, setup: Setup) -> tuple[dict[str, Any], str]:
    """Train with the job's values and seed.

    Returns:
        The fields of its `journal.Trial` or `journal.Confirmation`; and its checkpoint, which the caller removes once
        they are written: until then the run can be had again for an epoch.
    """
    data = _data(setup.train, setup.val, setup.val_csv, setup.classes_txt)
    sections = merged(setup.base, job.params)
    text = tokenizer.section(sections["text"])
    strategy = devices.configure_tensorflow(job.seed, **sections["hardware"])
    environment = devices.environment(strategy, **devices.determinism_settings(sections["hardware"]))
    try:
        with strategy.scope():
            shape, count = data.train.image_shape, len(data.class_names)
            model = build.build(shape, count, BatchNormalization, text, **sections["model"])
            weights = encoder.transfer(model, sections["model"], sections["transfer"]["start"], **sections["transfer"])
        weights = weights or pretrained.weights_id(sections["model"]["weights"], setup.pretrained)
        inputs = (job.seed, job.thresholds, {name: sections[name] for name in sorted(sections)}, weights, environment)
        digests = [images.digest() for images in (data.train, data.search)]
        checkpoint = Checkpoint(checkpoint_path("search", setup.digest, *inputs, data.class_names, *digests))
    except ValueError as error:
        return {"failed": _first_line(error)}, ""
    try:
        pruning = Pruning(job.thresholds)
        history = fit.fit(
            model, data.train, data.search, data.class_names, sections, job.seed, strategy, checkpoint, [pruning],
            **sections["train"],
        )  # fmt: skip
    except ValueError as error:  # such as a loss that is no number: what the values led to, not a fault
        return {"failed": _first_line(error)}, str(checkpoint.path)
    summary = fit.summarize(history, model.count_params())
    fields = {name: summary[name] for name in ("val_accuracy", "val_loss", "epochs")}
    if job.confirm:
        return fields | _score(model, data.confirmation, data.class_names, text), str(checkpoint.path)
    return fields | {
        "best_epoch": summary["best_epoch"],
        "cost": len(history) * costs.epoch_cost(sections, len(data.train)),
        "val_accuracies": history["val_accuracy"].tolist(),
        "pruned_at": pruning.pruned_at or None,
        "parameters": summary["parameters"],
        "multiply_adds": costs.multiply_adds(model),
    }, str(checkpoint.path)


def latencies(setup: Setup, models: list[dict[str, Any]]) -> list[float]:
    """Milliseconds an image of the networks of these values, {"SECTION.KEY": value}, as `costs.latency` has them."""
    data = _data(setup.train, setup.val, setup.val_csv, setup.classes_txt)
    devices.configure_tensorflow(0, **setup.base["hardware"] | {"precision": "float32"})
    shape, count = data.train.image_shape, len(data.class_names)
    sections = [merged(setup.base, values)["model"] for values in models]
    text = tokenizer.section(setup.base["text"])
    return [costs.latency(build.build(shape, count, text=text, **section)) for section in sections]


@lru_cache(1)
def _data(train: str, val: str, val_csv: str, classes_txt: str) -> Data:
    whole = Images(val)
    chosen, _ = parts.cut(whole, manifest.read(val_csv))
    first, second = (parts.Part(whole, np.flatnonzero(rows)) for rows in (chosen, ~chosen))
    return Data(Images(train), first, second, manifest.read_class_names(classes_txt))


def _score(model: Any, images: Images, class_names: list[str], text: dict[str, Any] | None) -> dict[str, Any]:
    """Accuracy, log loss (nats), and which images are right."""
    labels = images.class_numbers(class_names)
    inputs = tokenizer.model_inputs(images.batches(), tokenizer.tokens_of(images, text))
    probabilities = np.concatenate([model.predict_on_batch(batch) for batch in inputs])
    of_label = probabilities[np.arange(len(labels)), labels].astype(float)
    correct = probabilities.argmax(axis=1) == labels
    return {
        "accuracy": float(correct.mean()),
        "log_loss": float(-np.log(np.maximum(of_label, SMALLEST)).mean()),
        "correct": parts.pack(correct),
    }


def _first_line(error: ValueError) -> str:
    return (str(error).splitlines() or ["ValueError"])[0][:300]
