"""How fast `heldout predict` is beside decoding and the runtime alone, and how soon the first answer comes.

$ python benchmarks/predict.py EXPORT PHOTOS [--images 1000] [--rounds 5]

EXPORT is a folder that the stage `export` wrote, PHOTOS a folder of images, repeated to as many. A round times, in this
process and one after another: decoding alone (in prediction's own threads), the runtime alone (batches of 64), and
prediction. The ratios are (decoding + runtime) / prediction, the median of the rounds with their range: of wall time,
where above 1 says that the two overlap, and of CPU time of all threads, which other work on the machine moves less.
Seconds are wall time. `first` is the first answer in a new process beyond its imports: the model is loaded and asked.
"""

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from heldout.core import process
from heldout.export import files, predict
from heldout.export.prediction import image_files, model_file

FIRST = """
import sys, time
from heldout.core import process
process.setup()
from heldout.commands import predict
from heldout.data import images
from heldout.export.prediction import image_files, model_file
name, export, photo = sys.argv[1:]
if name == "onnx":
    import onnx, onnxruntime
else:
    from ai_edge_litert import interpreter
start = time.perf_counter()
next(iter(predict.stream(image_files.find(photo), model_file.load(name, export))))
print(time.perf_counter() - start)
"""


def seconds(work: Callable[[], object]) -> np.ndarray:
    """Wall time, and CPU time of all threads."""
    start = np.array([time.perf_counter(), time.process_time()])
    work()
    return np.array([time.perf_counter(), time.process_time()]) - start


def measure(model: model_file.ModelFile, sources: list[image_files.ImageFile]) -> np.ndarray:
    """Seconds of decoding, of the runtime, and of prediction, float (3, 2), wall and CPU."""
    decoding = seconds(lambda: list(predict.decoded(sources, model, predict.MAX_MEGAPIXELS)))
    made = predict.decoded(sources, model, predict.MAX_MEGAPIXELS)
    pixels = np.stack([item for item in made if isinstance(item, np.ndarray)])
    batches = [pixels[start : start + predict.BATCH] for start in range(0, len(pixels), predict.BATCH)]
    runtime = seconds(lambda: [model.run(model.inputs(batch)) for batch in batches])
    return np.stack([decoding, runtime, seconds(lambda: list(predict.stream(sources, model)))])


def main() -> None:
    """Print a table of the formats that need no TensorFlow."""
    process.setup()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("photos")
    parser.add_argument("--images", type=int, default=1000, help="how many (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed (%(default)s)")
    options = parser.parse_args()
    sources = list(itertools.islice(itertools.cycle(image_files.find(options.photos)), options.images))
    print(
        "| format | decoding, s | runtime, s | prediction, s | ratio, wall | ratio, CPU | first, s |\n"
        + "|---" * 7
        + "|"
    )
    for name in ("tflite", "onnx"):
        if not (options.export / files.FILES[name]).exists():
            continue
        model = model_file.load(name, options.export)
        rounds = np.stack([measure(model, sources) for _ in range(options.rounds)])
        ratios = (rounds[:, 0] + rounds[:, 1]) / rounds[:, 2]
        command = [sys.executable, "-c", FIRST, name, str(options.export), sources[0].path]
        first = [float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(options.rounds)]
        cells = [f"{value:.2f}" for value in np.median(rounds[..., 0], axis=0)]
        cells += [f"{np.median(column):.2f} [{column.min():.2f}, {column.max():.2f}]" for column in ratios.T]
        print(f"| `{name}` | {' | '.join(cells)} | {np.median(first):.2f} |")


if __name__ == "__main__":
    main()
