"""Every format that is installed, of the model in models/: bytes, how it compares on the test images, and its speed.

$ python benchmarks/formats.py [--rounds 5]

Run it in a clone whose pipeline ran. Prints the table of docs/export.md. Speeds are ratios of CPU time, of all threads,
to the float32 TFLite file, the median over the rounds, in which the formats take turns. LiteRT, ONNX Runtime and
OpenVINO run in one thread, TensorFlow and Keras in hardware.intra_op_threads of params.yaml.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from heldout.core import params, process
from heldout.data import images, manifest, shards
from heldout.evaluation import predictions
from heldout.export import calibrate, exam, export, files, speed
from heldout.export.sources import Sources

BARS = {"tolerance": 1.0, "max_accuracy_drop": 1.0, "on_miss": "error", "gate": 0.0}  # a benchmark shows all of them


def installed() -> list[str]:
    """The formats whose runtime is there."""
    names = []
    for name in files.FORMATS:
        try:
            files.check_runtimes([name])
            names.append(name)
        except ValueError as error:
            print(f"left out: {error}")
    return names


def main() -> None:
    """Write all formats to a temporary folder, and print the table."""
    process.setup()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each format is timed (%(default)s)")
    rounds = parser.parse_args().rounds
    trained, class_names = predictions.load_model("models")
    model = calibrate.calibrate(trained, calibrate.read("metrics/calibration.json")["temperature"])
    test = exam.read(shards.Images("data/processed/test"), manifest.read("data/splits/test.csv"), class_names)
    preprocess = params.section("preprocess", images.decode_and_resize)
    sources = Sources(preprocess, shards.Images("data/processed/train"))
    with tempfile.TemporaryDirectory() as folder:
        names = installed()
        shipped = export.export(model, Path(folder), test, sources, formats=names, **BARS)
        runs = {name: files.load(name, Path(folder, files.FILES[name])) for name in names}
        inputs = next(test.batches())
        speeds = [
            {name: speed.measure(run, inputs, time.process_time) for name, run in runs.items()} for _ in range(rounds)
        ]
    print(f"{len(test.labels)} test images, accuracy of the model {shipped.parity['keras'].accuracy.value:.4f}\n")
    print("| format | runtime | bytes | max difference | changed | accuracy difference | batch 1 | batch 32 |")
    print("|---|---|---|---|---|---|---|---|")
    for name, parity in shipped.parity.items():
        alone = np.median([round_["tflite"].median_ms / round_[name].median_ms for round_ in speeds])
        many = np.median([round_[name].images_per_second / round_["tflite"].images_per_second for round_ in speeds])
        value, low, high = parity.accuracy_difference
        print(
            f"| `{name}` | {files.FORMATS[name].RUNTIME[0]} | {parity.bytes:,} | {parity.max_abs_difference:.0e} | "
            f"{parity.changed_predictions} | {value:+.4f} [{low:+.4f}, {high:+.4f}] | {alone:.2f} | {many:.2f} |"
        )


if __name__ == "__main__":
    main()
