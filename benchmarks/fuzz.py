"""Damage files of every format and see that each becomes pixels or one line, in bounded memory.

$ python benchmarks/fuzz.py [--inputs 100000] [--first 0] [--workers 1]

Each input is made from its number alone: `--first N --inputs 1` makes one again. It goes through what the index does,
and what preprocess and predictions do, with and without fast_decode, in child processes: a crash ends one of them and
is counted. The images are small; headers that say otherwise must not take more memory than MEGAPIXELS allow.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/data"))

import encoded  # noqa: E402

from heldout.data import image_info, images  # noqa: E402
from heldout.data.listing.files import ImageFile, Problem  # noqa: E402

MEGAPIXELS = 4
MEMORY = 128 * 2**20  # bytes above an idle child: 32 a pixel
SECONDS = 5  # CPU, of one input
BATCH = 500  # inputs of a child
SETTINGS = {"channels": 3, "resize": "crop", "interpolation": "area", "pad_color": [0, 0, 0], "image_size": [16, 16]}


def make(number: int, files: dict[str, bytes]) -> tuple[str, bytes]:
    """The format and the bytes of an input."""
    random = np.random.default_rng([number, 8])
    names = list(files)
    by_format = sorted({name.split()[0] for name in names})
    image_format = by_format[number % len(by_format)]
    content = files[str(random.choice([name for name in names if name.split()[0] == image_format]))]
    for _ in range(random.integers(1, 4)):
        kind, other = str(random.choice(encoded.CHANGES)), files[str(random.choice(names))]
        content = encoded.change(content, kind, random.random(), int(random.integers(65536)), other)
    return image_format, encoded.with_right_checksums(
        content
    ) if image_format == "PNG" and random.random() < 0.7 else content


def outcome(content: bytes, path: Path) -> tuple[str, str]:
    """What became of an input: `pixels`, `problem` with its reason, or `failure` with what is wrong."""
    path.write_bytes(content)
    row = image_info._read_file(ImageFile(str(path), "x"), path.parent, MEGAPIXELS)
    lines = set()
    for fast in (False, True):
        try:
            decoded = images.decode_and_resize(content, "a.img", None, MEGAPIXELS, fast_decode=fast, **SETTINGS)
            if decoded.shape != (16, 16, 3) or decoded.dtype != np.uint8:
                return "failure", f"an array {decoded.shape}"
            lines.add("")
        except ValueError as error:
            lines.add(str(error))
    line = f"a.img {row.reason}: {row.remedy}" if isinstance(row, Problem) else ""
    if lines != {line} or (line and not re.fullmatch(r"a\.img [^\n]{1,200}: [^\n]{1,100}", line)):
        return "failure", f"index: {line!r}, decode_and_resize: {sorted(lines)}"
    return ("problem", line[6:]) if line else ("pixels", "")


def peak() -> int:
    """Bytes of memory that this process had at most: of its own, where ru_maxrss counts the parent's."""
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) * 1024


def child(first: int, count: int) -> None:
    """Print a line of JSON an input."""
    files = encoded.corpus()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.img")
        for content in files.values():  # the libraries are loaded, and their first memory is taken
            outcome(content, path)
        idle = peak()
        for number in range(first, first + count):
            image_format, content = make(number, files)
            started = time.process_time()
            try:
                kind, text = outcome(content, path)
            except BaseException as error:
                kind, text = "failure", f"{type(error).__name__}: {error}"
            if time.process_time() - started > SECONDS:
                kind, text = "failure", f"took {time.process_time() - started:.0f} s"
            print(json.dumps([number, image_format, kind, text, peak() - idle]), flush=True)


def rows_of(first: int, count: int) -> Iterator[list]:
    """What a child says of inputs; where one crashes it, a row that says so, and the rest by another child."""
    while count:
        command = [sys.executable, __file__, "--child", "--first", str(first), "--inputs", str(count)]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(command, capture_output=True, env=environment, text=True)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        yield from rows
        first, count = first + len(rows), count - len(rows)
        if count and done.returncode >= 0:
            raise RuntimeError(done.stderr[-2000:])
        if count:
            yield [first, make(first, encoded.corpus())[0], "failure", f"crash: signal {-done.returncode}", 0]
            first, count = first + 1, count - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=100_000, help="how many (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="children at a time (%(default)s)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.first, options.inputs)
        return
    counts: collections.Counter = collections.Counter()
    reasons: collections.Counter = collections.Counter()
    memory, failures = 0, []
    stop = options.first + options.inputs
    with ThreadPoolExecutor(options.workers) as pool:
        batches = [(first, min(BATCH, stop - first)) for first in range(options.first, stop, BATCH)]
        for rows in pool.map(lambda batch: list(rows_of(*batch)), batches):
            for number, image_format, kind, text, above in rows:
                memory = max(memory, above)
                if above > MEMORY and kind != "failure":
                    kind, text = "failure", f"a peak of {above / 2**20:.0f} MB above idle, by it or one before"
                counts[image_format, kind] += 1
                if kind == "problem":
                    reasons[re.sub(r"\d+", "N", text)] += 1
                if kind == "failure":
                    failures.append(f"{number} ({image_format}): {text}")
                    print(f"FAILURE {failures[-1]}", flush=True)
            print(f"\r{sum(counts.values()):,}", end="", file=sys.stderr, flush=True)
    print(f"\n{'format':<12}{'inputs':>9}{'pixels':>9}{'problem':>9}{'failure':>9}")
    for image_format in sorted({name for name, _ in counts}):
        cells = [counts[image_format, kind] for kind in ("pixels", "problem", "failure")]
        print(f"{image_format:<12}{sum(cells):>9,}{cells[0]:>9,}{cells[1]:>9,}{cells[2]:>9,}")
    print(f"{sum(counts.values()):,} inputs, {len(failures)} failures, {memory / 2**20:.0f} MB above idle at most")
    for reason, count in reasons.most_common():
        print(f"{count:>9,}  {reason}")


if __name__ == "__main__":
    main()
