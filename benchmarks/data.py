"""What the data stages cost, each as a ratio to a named baseline in the same run.

$ python benchmarks/data.py [--photos DIR] [--small 60000] [--json FILE]

DIR holds photos, at any depth: a few thousand of about 400 pixels. Without it, photos of coarse noise are made.
CPU seconds are the least of several runs in turn, because other work on the machine can only add to them.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import yaml
from results import SECTIONS

from heldout.core import array_cache
from heldout.data import decode_cache, image_info, images, index, preprocess, shards
from heldout.data.listing.files import ImageFile

ROOT = Path(__file__).resolve().parents[1]
EXACT = SECTIONS["preprocess"] | {"image_size": [150, 150]}
FAST = EXACT | {"fast_decode": True}
RUNS = 12
rows: list[dict] = []


def cpu(work: Callable) -> float:
    """CPU seconds of this process and of the commands that it waits for."""

    def now() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    before = now()
    work()
    return now() - before


def wall(work: Callable) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def least(works: dict[str, Callable], measure: Callable = cpu, runs: int = RUNS) -> dict[str, float]:
    """The least of several measurements of each, taken in turn, the cache empty before each."""
    measured: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            array_cache.clear()
            measured[name].append(measure(work))
    return {name: min(values) for name, values in measured.items()}


def report(what: str, ratio: float, baseline: str, target: str = "") -> None:
    rows.append({"what": what, "ratio": round(ratio, 3), "baseline": baseline, "target": target})
    print(f"{what:<66}{ratio:>8.2f}  of {baseline}{f'  (target {target})' if target else ''}", flush=True)


def execute(*command: str, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_photos(folder: Path, count: int) -> None:
    """JPEGs of coarse noise, 400 x 533 pixels, in ten classes."""
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (12, 9, 3), np.uint8)
        path = folder / f"class-{number % 10}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(noise, (400, 533), interpolation=cv2.INTER_CUBIC))


def make_tiles(photos: list[str], folder: Path, count: int, side: int = 64) -> None:
    """Small JPEGs, cut out of the photos at different positions."""
    made = 0
    while made < count:
        for photo in photos:
            pixels = cv2.imdecode(np.fromfile(photo, np.uint8), cv2.IMREAD_COLOR)
            assert pixels is not None, photo
            random = np.random.default_rng([made, 1])
            for _ in range(min(16, count - made)):
                y, x = (int(random.integers(0, max(1, length - side))) for length in pixels.shape[:2])
                path = folder / f"class-{made % 10}" / f"{made:06}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                tile = pixels[y : y + side, x : x + side]
                tile[0, 0] = (made % 256, made // 256 % 256, made // 65536)  # no two are identical
                cv2.imwrite(str(path), tile)
                made += 1
            if made == count:
                break


def manifest_of(paths: list[str]) -> pd.DataFrame:
    read = image_info.read([ImageFile(path, "photo") for path in paths], ".", 1e6)
    table = pd.DataFrame([(row.id, row.file.path, "photo") for row in read if isinstance(row, image_info.IndexedImage)])
    return table.set_axis(["id", "path", "label"], axis=1).drop_duplicates("id").sort_values("id", ignore_index=True)


def scan(folder: Path) -> pd.DataFrame:
    settings = {"dir": str(folder), "layout": "classes", "on_problem": "skip", "on_conflict": "keep"}
    return index.scan(**SECTIONS["data"] | settings).images


def build(table: pd.DataFrame, settings: dict, folder: Path, threads: int | None = None) -> int:
    """Preprocess as the stage does; how many images were decoded."""
    cache = decode_cache.DecodeCache(settings)
    preprocess.write_shards(table, str(folder), cache, threads, **settings)
    return len(table) - cache.num_reused


def bench_index(paths: list[str], work: Path) -> None:
    def naive() -> None:
        """Read, hash and decode at the scale that the index decodes at, in one thread, and nothing else."""
        import hashlib

        cv2.setNumThreads(1)
        for path in paths:
            content = Path(path).read_bytes()
            hashlib.md5(content, usedforsecurity=False).hexdigest()
            cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_REDUCED_COLOR_8)

    folder = work / "photos"
    for number, path in enumerate(paths):
        target = folder / f"class-{number % 10}" / f"{number:06}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(path).read_bytes())
    seconds = least({"naive": naive, "index": lambda: scan(folder)}, runs=5)
    report("index: CPU", seconds["index"] / seconds["naive"], "reading, md5 and decoding at 1/8", "<= 1.5")


LOOP = """
import resource, sys, cv2
cv2.setNumThreads(1)
paths = open(sys.argv[1]).read().splitlines()
used = lambda: sum(getattr(resource.getrusage(resource.RUSAGE_SELF), key) for key in ("ru_utime", "ru_stime"))
def loop():
    for path in paths:
        cv2.resize(cv2.imread(path), (150, 150), interpolation=cv2.INTER_AREA)
loop()  # once to warm up
start = used()
loop()
print(used() - start)
"""

OURS = """
import json, os, pathlib, shutil, sys
sys.path.insert(0, sys.argv[2])
import data, pandas as pd
table, settings, out = pd.read_csv(sys.argv[3], dtype=str), json.loads(sys.argv[4]), pathlib.Path(sys.argv[5])
for _ in range(2):  # once to warm up
    data.array_cache.clear()
    shutil.rmtree(out, ignore_errors=True)
    seconds = data.cpu(lambda: data.build(table, settings, out, threads=1))
print(seconds)
"""


def bench_exact(table: pd.DataFrame, work: Path) -> None:
    """Each in a process of its own: how fast one is depends on where its memory happens to lie, and the best counts."""
    (work / "paths.txt").write_text("\n".join(table["path"]))
    table.to_csv(work / "table.csv", index=False)

    def process(script: str, *arguments: str) -> Callable:
        command = [sys.executable, "-c", script, str(work / "paths.txt"), str(Path(__file__).parent), *arguments]
        return lambda: float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def ours(settings: dict) -> Callable:
        return process(OURS, str(work / "table.csv"), json.dumps(settings), str(work / "out"))

    loop = process(LOOP)
    seconds = least({"loop": loop, "exact": ours(EXACT), "fast": ours(FAST)}, lambda run: run())
    name = "cv2.imread + cv2.resize(INTER_AREA)"
    report("preprocess, exact: images per CPU second", seconds["loop"] / seconds["exact"], name, ">= 0.95")
    report("preprocess, fast_decode: images per CPU second", seconds["loop"] / seconds["fast"], name, ">= 1.8")
    print(f"{'':<66}{len(table) / seconds['loop']:>8.0f} images per CPU second of the loop")

    def threaded(threads: int) -> Callable:
        return lambda: build(table, EXACT, work / "out", threads=threads)  # in one process, whichever it is

    walls = least({"1": threaded(1), "2": threaded(2)}, wall)
    report("preprocess: images per second, 2 threads", walls["1"] / walls["2"], "1 thread", ">= 1.7")
    bench_keras(table, work, seconds)


def bench_keras(table: pd.DataFrame, work: Path, opencv_seconds: dict[str, float]) -> None:
    """Speed and fidelity of fast_decode and of Keras's own loader, both against the exact result."""
    folder = work / "keras" / "photo"
    folder.mkdir(parents=True)
    for identity, path in zip(table["id"], table["path"], strict=True):
        (folder / f"{identity}.jpg").symlink_to(Path(path).resolve())
    script = (
        "import sys, keras, tensorflow as tf, numpy as np, resource, json, time\n"
        "tf.config.threading.set_intra_op_parallelism_threads(1)\n"
        "ds = keras.utils.image_dataset_from_directory(sys.argv[1], labels=None, image_size=(150, 150), batch_size=32,"
        " shuffle=False, verbose=False)\n"
        "list(ds.take(2))\n"
        "used = lambda: sum(getattr(resource.getrusage(resource.RUSAGE_SELF), k) for k in ('ru_utime', 'ru_stime'))\n"
        "best = 1e9\n"
        "for _ in range(10):\n"
        "    start = used(); batches = [b.numpy() for b in ds]; best = min(best, used() - start)\n"
        "np.save(sys.argv[2], np.concatenate(batches)); print(json.dumps(best))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder.parent), str(work / "keras.npy")],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    keras_seconds = json.loads(done.stdout.splitlines()[-1])
    exact, fast = [], []
    for path in table["path"]:
        content = Path(path).read_bytes()
        exact.append(images.decode_and_resize(content, path, **EXACT))
        fast.append(images.decode_and_resize(content, path, **FAST))
    reference = np.stack(exact).astype(np.float32)

    def psnr(pixels: np.ndarray) -> float:
        return float(np.mean(10 * np.log10(255**2 / ((reference - pixels) ** 2).mean(axis=(1, 2, 3)))))

    name = "cv2.imread + cv2.resize(INTER_AREA)"
    ours, theirs = psnr(np.stack(fast).astype(np.float32)), psnr(np.load(work / "keras.npy"))
    report(
        "keras.utils.image_dataset_from_directory: images per CPU second", opencv_seconds["loop"] / keras_seconds, name
    )
    report(
        "fast_decode: images per CPU second",
        keras_seconds / opencv_seconds["fast"],
        "image_dataset_from_directory",
        "> 1",
    )
    report(f"fast_decode: PSNR to exact, {ours:.1f} dB", ours / theirs, f"that loader's, {theirs:.1f} dB", "> 1")


def bench_incremental(table: pd.DataFrame, work: Path) -> None:
    num_added = min(100, len(table) // 10)
    old = table.drop(table.sample(num_added, random_state=0).index).reset_index(drop=True)

    def clean() -> None:
        array_cache.clear()
        build(table, EXACT, work / "clean")

    def incremental() -> None:
        num_decoded.append(build(table, EXACT, work / "incremental"))

    num_decoded: list[int] = []
    clean_seconds, incremental_seconds = [], []
    for _ in range(3):
        clean_seconds.append(cpu(clean))
        array_cache.clear()
        build(old, EXACT, work / "incremental")
        incremental_seconds.append(cpu(incremental))
    assert set(num_decoded) == {num_added}, f"{num_decoded} images were decoded, expected {num_added}"
    same = all((work / "clean" / p.name).read_bytes() == p.read_bytes() for p in (work / "incremental").iterdir())
    assert same, "the incremental build differs from a clean one"
    ratio = min(incremental_seconds) / min(clean_seconds)
    report(
        f"{num_added} images added to {len(old):,}: CPU, {num_added} decoded, same bytes",
        ratio,
        "a clean build",
        "<= 0.5",
    )


def bench_reading(table: pd.DataFrame, work: Path) -> None:
    build(table, EXACT, work / "read")
    stored = shards.Images(work / "read")
    memory = stored[np.arange(len(stored))]
    batches = np.random.default_rng(0).permutation(len(stored))[: len(stored) // 32 * 32].reshape(-1, 32)

    def read(source: np.ndarray | shards.Images) -> Callable:
        return lambda: [source[batch] for batch in batches for _ in range(3)]

    seconds = least({"memory": read(memory), "shards": read(stored)}, runs=5)
    report(
        "shards: shuffled batches of 32 by mmap, images per CPU second",
        seconds["memory"] / seconds["shards"],
        "fancy indexing of one array in memory",
        ">= 0.7",
    )


def bench_small_files(paths: list[str], work: Path, count: int) -> None:
    """The graph over many small files: what one image more costs."""
    project = work / "project"
    execute("git", "clone", "-q", str(ROOT), str(project), cwd=work)
    make_tiles(paths, project / "data/raw", count)
    seconds = {"dvc add": cpu(lambda: execute("dvc", "add", "-q", "data/raw", cwd=project))}
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["data"] |= {"dir": "data/raw", "on_problem": "skip", "on_conflict": "keep"}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    execute(sys.executable, "-m", "stages.code", "code.yaml", cwd=project)
    stage = [sys.executable, "-m", "stages.index", "data/index.csv", "data/problems.csv"]
    seconds["index"] = cpu(lambda: execute(*stage, cwd=project))
    report(f"index of {count:,} small files: CPU", seconds["index"] / seconds["dvc add"], "dvc add of them", "<= 1")

    data_stages = ["preprocess", "augment"]
    execute("dvc", "repro", *data_stages, cwd=project)
    seconds["status"] = cpu(lambda: execute("dvc", "status", cwd=project))

    def one_more(number: int) -> float:
        make_tiles([paths[number]], project / "new", 1)
        (project / "new/class-0/000000.jpg").rename(project / f"data/raw/class-0/new-{number}.jpg")
        return cpu(lambda: execute("dvc", "repro", *data_stages, cwd=project))

    seconds["ours"] = one_more(1)
    graph = yaml.safe_load((project / "dvc.yaml").read_text())
    for name in ("split", "preprocess", "augment"):
        graph["stages"][name]["deps"].insert(0, "${data.dir}")
    (project / "dvc.yaml").write_text(yaml.safe_dump(graph, sort_keys=False))
    execute("dvc", "repro", *data_stages, cwd=project)
    seconds["naive"] = one_more(2)
    report(
        "one image added: CPU of dvc repro", seconds["ours"] / seconds["status"], "dvc status of the same repository"
    )
    report(
        "one image added: CPU of dvc repro", seconds["ours"] / seconds["naive"], "a graph whose every stage reads raw"
    )
    print("CPU seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))


def bench_slopes(paths: list[str], work: Path, counts: list[int]) -> None:
    """Disk, time and memory of preprocess at 224 px, without a cache, by the number of images."""
    print(f"{'images at 224 px':>20}{'disk MB':>10}{'files':>8}{'CPU s':>8}{'peak MB':>10}")
    for count in counts:
        script = (
            "import sys, re, resource; sys.path.insert(0, 'benchmarks'); import data, pandas as pd\n"
            "table = pd.read_csv(sys.argv[1], dtype=str)\n"
            "data.build(table, data.EXACT | {'image_size': [224, 224]}, data.Path(sys.argv[2]))\n"
            "used = resource.getrusage(resource.RUSAGE_SELF)\n"
            "peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]\n"  # maxrss counts the parent's
            "print(used.ru_utime + used.ru_stime, int(peak) / 1024)\n"
        )
        table = manifest_of(paths).set_index("id")
        # The same photos again and again, each time under an identity of its own (a copy with a comment after its end).
        folder = work / "many"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        copies = []
        for number in range(count):
            path = folder / f"{number:06}.jpg"
            path.write_bytes(Path(table["path"].iloc[number % len(table)]).read_bytes() + number.to_bytes(4))
            copies.append(str(path))
        many = manifest_of(copies)
        many.to_csv(work / "many.csv", index=False)
        command = [sys.executable, "-c", script, str(work / "many.csv"), str(work / "many-out")]
        environment = os.environ | {"HELDOUT_CACHE": array_cache.OFF}
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment)
        seconds, peak = map(float, done.stdout.split())
        files = list((work / "many-out").iterdir())
        size = sum(path.stat().st_size for path in files) / 1e6
        print(f"{len(many):>20,}{size:>10,.0f}{len(files):>8}{seconds:>8.0f}{peak:>10.0f}", flush=True)
        rows.append({"what": f"preprocess of {len(many)} images at 224 px", "disk_mb": size, "files": len(files),
                     "cpu_s": seconds, "peak_mb": peak})  # fmt: skip
        shutil.rmtree(work / "many-out")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=Path, help="a folder of photos, at any depth")
    parser.add_argument("--small", type=int, default=60000, help="how many small files (%(default)s)")
    parser.add_argument("--slopes", type=int, nargs="*", default=[1000, 10000], help="images at 224 px (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the table here as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heldout-bench-") as folder:
        work = Path(folder)
        os.environ["HELDOUT_CACHE"] = str(work / "cache")
        if not options.photos:
            options.photos = work / "made"
            make_photos(options.photos, 2000)
        paths = sorted(str(path) for path in options.photos.resolve().rglob("*.jpg"))
        table = manifest_of(paths)
        print(f"{len(table):,} photos, {os.cpu_count()} cores, OpenCV {cv2.__version__}")
        bench_index(paths, work)
        bench_exact(table.sample(min(900, len(table)), random_state=0).sort_values("id", ignore_index=True), work)
        bench_incremental(table, work)
        bench_reading(table, work)
        if options.small:
            bench_small_files(paths, work, options.small)
        bench_slopes(paths, work, options.slopes)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
