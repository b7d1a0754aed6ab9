"""How fast a file predicts on this machine: printed, and kept where neither git nor DVC look, as no two runs agree."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

FILE = "export_speed.json"
BATCH = 32
CALLS, SECONDS = 100, 1.0  # at most, of each batch size; five calls at least
WARM_UP = 2


class Speed(NamedTuple):
    """Milliseconds of one image alone, median and 95th percentile; images a second in batches of BATCH (median)."""

    median_ms: float
    p95_ms: float
    images_per_second: float


def measure(run: Callable[[Any], np.ndarray], inputs: Any, clock: Callable[[], float] = time.perf_counter) -> Speed:
    """The speed of a loaded file.

    Args:
        run: of `files.load`.
        inputs: of one batch of images, repeated where they are fewer.
        clock: seconds; `time.process_time` on a machine that does other work.
    """
    alone, many = _seconds(run, _take(inputs, 1), clock), _seconds(run, _take(inputs, BATCH), clock)
    median, p95 = np.percentile(alone, [50, 95]) * 1000
    return Speed(float(median), float(p95), BATCH / float(np.median(many)))


def describe(speed: Speed) -> str:
    """Such as `one image 0.31 ms (p95 0.4), 5,100 images/s in batches of 32`."""
    alone = f"one image {speed.median_ms:.3g} ms (p95 {speed.p95_ms:.3g})"
    return f"{alone}, {speed.images_per_second:,.0f} images/s in batches of {BATCH}"


def _take(inputs: Any, count: int) -> Any:
    if isinstance(inputs, list):
        return [_take(array, count) for array in inputs]
    return inputs[np.arange(count) % len(inputs)]


def _seconds(run: Callable[[Any], np.ndarray], inputs: Any, clock: Callable[[], float]) -> list[float]:
    for _ in range(WARM_UP):
        run(inputs)
    seconds: list[float] = []
    while len(seconds) < 5 or (len(seconds) < CALLS and sum(seconds) < SECONDS):
        start = clock()
        run(inputs)
        seconds.append(clock() - start)
    return seconds
