"""Export: the files to ship, byte-stable, taking raw pixels, each scored on the images that the model was scored on."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Len
from pydantic import Field

from heldout.evaluation.intervals import Interval
from heldout.export import exam as exams
from heldout.export import files, speed
from heldout.export.exam import Exam, Parity
from heldout.export.sources import Sources
from heldout.export.speed import Speed

# Here, where `heldout doctor` reads it without importing the formats, and with them TensorFlow.
Format = Literal[
    "keras",
    "h5",
    "saved_model",
    "tflite",
    "tflite_float16",
    "tflite_dynamic",
    "tflite_int8",
    "onnx",
    "openvino",
]


class Shipped(NamedTuple):
    """What is known of the files: how each compares with the model, how fast it is, and what missed its bar."""

    parity: dict[str, Parity]
    speed: dict[str, Speed]
    missed: list[str]


def export(
    model: Any,
    folder: Path,
    exam: Exam,
    sources: Sources,
    *,
    formats: Annotated[list[Format], Len(1)],
    tolerance: Annotated[float, Field(gt=0, le=1)],
    max_accuracy_drop: Annotated[float, Field(ge=0, le=1)],
    on_miss: Literal["error", "warn"],
    gate: Annotated[float, Field(ge=0, le=1)],
) -> Shipped:
    """Write the model in each format, load it again in the format's own runtime, and score it on every test image.

    Args:
        model: the Keras model, calibrated.
        folder: where the files go.
        exam: of `exam.read`.
        sources: what formats need beside the model.
        formats: keras (model.keras), h5, saved_model (a folder), tflite (float32), tflite_float16, tflite_dynamic,
            tflite_int8, onnx, openvino (a folder).
        tolerance: the largest difference of a probability from the model's that is accepted of a float32 format.
        max_accuracy_drop: by how much less accurate than the model, on the same images, a quantized file may be.
        on_miss: `error`, or `warn`: leave the file out and say so.
        gate: what the accuracy's lower bound of 95 % must reach; below, nothing ships. It is that of `evaluate` unless
            predict.test_time_augmentation averages, which no shipped file does.

    Raises:
        ValueError: where the gate is missed, a runtime is not installed, or a file cannot be written or misses its bar.
    """
    files.check_runtimes(formats)
    expected = exams.predict(model.predict_on_batch, exam)
    _check_gate(exams.accuracy(expected, exam), gate)
    for name in formats:  # all of them before anything is timed: TensorFlow numbers functions by what was run before
        files.write(name, model, folder / files.FILES[name], sources)
    shipped, runs = Shipped({}, {}, []), {}
    for name in formats:
        path = folder / files.FILES[name]
        run = files.load(name, path)
        predicted = exams.predict(run, exam)
        parity = exams.compare(predicted, expected, exam, files.size(path))
        if miss := _miss(name, parity, float(np.abs(predicted - expected).max()), tolerance, max_accuracy_drop):
            if on_miss == "error":
                raise ValueError(f"{path.name} {miss}; export.on_miss: warn leaves it out")
            files.remove(path)
            shipped.missed.append(f"{path.name} is left out: it {miss}")
        else:
            shipped.parity[name], runs[name] = parity, run
    if not runs:
        raise ValueError(f"nothing ships: {'; '.join(shipped.missed)}")
    inputs = next(exam.batches())
    shipped.speed.update({name: speed.measure(run, inputs) for name, run in runs.items()})
    return shipped


def metrics(shipped: Shipped) -> dict[str, float | int]:
    """The figures of metrics/export.json, flat: the format's name in front."""
    figures: dict[str, float | int] = {}
    for name, parity in shipped.parity.items():
        for key, value in parity._asdict().items():
            if isinstance(value, Interval):
                ends = zip(("", "_low", "_high"), value, strict=True)
                figures |= {f"{name}_{key}{end}": round(number, 6) for end, number in ends}
            else:
                figures[f"{name}_{key}"] = value
    return figures


def speeds(shipped: Shipped) -> dict[str, dict[str, float]]:
    """The figures of speed.FILE, by format."""
    return {name: measured._asdict() for name, measured in shipped.speed.items()}


def lines(shipped: Shipped, num_images: int) -> list[str]:
    """What a person wants to read of each file."""
    result = []
    for name, parity in shipped.parity.items():
        difference = f"max difference {parity.max_abs_difference:.0e}"
        changed = f"{parity.changed_predictions} of {num_images} predictions changed"
        line = f"{files.FILES[name]}, {parity.bytes:,} bytes, {difference}, {changed}"
        if parity.changed_predictions:
            value, low, high = parity.accuracy_difference
            line += f", accuracy {value:+.4f} [{low:+.4f}, {high:+.4f}]"
        result += [line, f"{files.FILES[name]}: {speed.describe(shipped.speed[name])}"]
    return result + shipped.missed


def _check_gate(accuracy: Interval, gate: float) -> None:
    if accuracy.low < gate:
        raise ValueError(
            f"nothing ships: the accuracy is {accuracy.low:.4f} at least ({accuracy.value:.4f}, lower end of 95 %), "
            f"{gate - accuracy.low:.4f} below export.gate {gate:g}; `dvc checkout --force export` and `git checkout "
            "metrics/export.json` bring back what shipped before"
        )


def _miss(name: str, parity: Parity, difference: float, tolerance: float, max_accuracy_drop: float) -> str:
    """How a file misses its bar; '' where it does not."""
    if files.FORMATS[name].IS_QUANTIZED:
        value, low, high = parity.accuracy_difference
        if not value >= -max_accuracy_drop:
            return (
                f"is less accurate than the model: by {-value:.4f} [{-high:.4f}, {-low:.4f}], expected "
                f"{max_accuracy_drop:g} at most (export.max_accuracy_drop)"
            )
    elif not difference <= tolerance:
        return (
            f"does not predict what the model does: max difference {difference:.2g}, expected {tolerance:g} at most "
            f"(export.tolerance), {parity.changed_predictions} predictions changed"
        )
    return ""
