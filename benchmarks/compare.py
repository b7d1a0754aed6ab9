"""How often `heldout compare` says better or worse of models that do not differ, and how often it sees what it could.

$ python benchmarks/compare.py [PAIRS]

A simulated pair: answers that are a third the image's, a third the group's and a third the model's own luck. Without a
difference the verdicts are false ones (5 % at most); with the smallest difference that the exam is said to show, they
are its power (80 % are promised).
"""

import sys
from pathlib import Path

import numpy as np

from heldout.evaluation.significance import paired_tests

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/compare"))
from simulation import pair

ACCURACIES = (0.6, 0.9, 0.99)
IMAGES = (100, 372, 2000)


def main(pairs: int) -> None:
    print(
        f"{pairs} pairs a row; the simulation's own error is {200 * np.sqrt(0.05 * 0.95 / pairs):.1f} points at 5 %\n"
    )
    print(
        "| images | groups of 1 to 20 | accuracy | false verdicts | interval holds 0 | smallest shown | power there |"
    )
    print("|---|---|---|---|---|---|---|")
    for grouped in (False, True):
        for images in IMAGES:
            for accuracy in ACCURACIES:
                print(
                    row(
                        np.random.default_rng([images, grouped, int(1000 * accuracy)]), images, accuracy, grouped, pairs
                    )
                )


def row(generator: np.random.Generator, images: int, accuracy: float, grouped: bool, pairs: int) -> str:
    tests = [paired_tests.correct(*pair(generator, images, accuracy, accuracy, grouped)) for _ in range(pairs)]
    false = np.mean([test.p_value < paired_tests.ALPHA for test in tests])
    covered = np.mean([test.low <= 0 <= test.high for test in tests])
    smallest = float(np.median([test.smallest_detectable for test in tests]))
    better, worse = accuracy + smallest / 2, accuracy - smallest / 2
    if better > 1:  # the better model gains what the worse one lacks
        better, worse = 1.0, 1.0 - smallest
    shown = 0
    for _ in range(pairs):
        test = paired_tests.correct(*pair(generator, images, worse, better, grouped))
        shown += test.p_value < paired_tests.ALPHA and test.value > 0
    cells = [images, "yes" if grouped else "no", accuracy, f"{100 * false:.1f} %", f"{100 * covered:.1f} %"]
    return f"| {' | '.join(map(str, cells))} | {smallest:.3f} | {100 * shown / pairs:.0f} % |"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
