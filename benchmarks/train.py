"""What training costs, each as a ratio to a named baseline in the same run.

$ python benchmarks/train.py [--turns N] [--part PART ...] [--json FILE]

Every run is a process of its own, in turn with the others; of each, the fastest epoch after the first counts, because
other work on the machine can only add to it. CPU seconds are of all threads of the process. With PyTorch installed
beside the packages of this project, its eager mode is measured as well. The part `large` needs root: it holds a process
to less memory than its images take.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from heldout import augment, shards

ROOT = Path(__file__).resolve().parents[1]
BATCH = 32
TUTORIAL = {
    **{"rotation": 20, "width_shift": 0.2, "height_shift": 0.2, "shear": 0.2, "zoom": 0.2, "horizontal_flip": True},
    "fill": "nearest",
}
CASES = {  # name: pixels, images, architecture
    "cnn": (150, 512, {"family": "cnn", "filters": [32, 64, 128], "dense_units": 512, "dropout": 0.5}),
    "resnet20": (32, 1024, {"family": "resnet", "depth": 20}),
}
LARGE = (224, 12000, {"family": "cnn", "filters": [8], "pooling": "average", "dense_units": 0, "dropout": 0.0})
LIMIT = 1200 * 2**20  # bytes of memory for the process that trains on LARGE, 1.8 GB of images
rows: list[dict] = []


def report(what: str, ratio: float, baseline: str, wanted: str = "") -> None:
    rows.append({"what": what, "ratio": round(ratio, 3), "baseline": baseline, "wanted": wanted})
    print(f"{what:<62}{ratio:>7.2f}  of {baseline}{f'  (wanted {wanted})' if wanted else ''}", flush=True)


def off() -> dict:
    """Every augmentation off, by the keys of params.yaml."""
    keys = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["augment"]
    return {key: type(value)() if key != "fill" else value for key, value in keys.items()}


def used() -> tuple[float, float]:
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime, time.perf_counter()


def peak() -> float:
    """The most memory that this process has held, MB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    return int(found[1]) / 1024 if found else 0.0


def make(folder: Path, side: int, count: int) -> None:
    """Shards of noise with ten classes."""
    random = np.random.default_rng(0)
    ids = [f"{number:032x}" for number in sorted(random.choice(2**62, count, replace=False) << 64 >> 64)]
    table = pd.DataFrame({"id": ids, "label": [str(number % 10) for number in range(count)]}).sort_values("id")
    folder.mkdir()
    for shard in shards.lay_out(table.reset_index(drop=True), (side, side, 3), folder):
        with shard.path.open("r+b") as file:
            file.seek(shard.head)
            for _ in range(shard.start, shard.stop):
                file.write(random.integers(0, 256, (side, side, 3), np.uint8).data)


def measured(clock: list[tuple[float, float]], images: int) -> None:
    """Print images per CPU second and per second of the fastest epoch; `clock` holds begin and end of each."""
    spans = np.diff(np.array(clock).reshape(-1, 2, 2), axis=1)[:, 0]
    # Seconds of the fastest epoch after the first, which builds the graph.
    print(json.dumps({"cpu": images / spans[1:, 0].min(), "wall": images / spans[1:, 1].min(), "peak": peak()}))


def run_fit(folder: str, architecture: dict, epochs: int) -> None:
    """Keras's own fit, as one would type it, on one uint8 array in memory."""
    import keras

    from heldout import models

    images = shards.Images(folder)
    pixels, labels = images[np.arange(len(images))], images.numbers([str(number) for number in range(10)])
    clock: list[tuple[float, float]] = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            clock.append(used())

        def on_epoch_end(self, epoch, logs=None):
            clock.append(used())

    model = models.build(images.image_shape, 10, **architecture)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(pixels, labels, batch_size=BATCH, epochs=epochs, callbacks=[Clock()], verbose=0)
    measured(clock, len(images))


def run_ours(folder: str, architecture: dict, epochs: int, **changed) -> None:
    """What the stage `train` does, without validation's time."""
    from heldout import devices, models, resuming, training

    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["train"]
    settings |= {"epochs": epochs, "batch_size": BATCH, "patience": epochs, "threads": os.cpu_count() or 1}
    settings |= {"checkpoint_every": 10**6} | changed.get("settings", {})
    devices.deterministic(0, settings["threads"], settings["precision"])
    images = shards.Images(folder)
    model = models.build(images.image_shape, 10, **architecture)
    clock: list[tuple[float, float]] = []
    begin, end = training.EpochLine.on_epoch_begin, training.EpochLine.on_train_batch_end

    def at_begin(self, epoch, logs=None):
        begin(self, epoch, logs)
        clock.append(used())

    def at_end(self, batch, logs=None):
        end(self, batch, logs)
        if batch + 1 == self.params["steps"]:
            clock.append(used())

    training.EpochLine.on_epoch_begin, training.EpochLine.on_train_batch_end = at_begin, at_end
    few = shards.Images(changed.get("val", folder))
    names = [str(number) for number in range(10)]
    state = resuming.State(Path(folder).parent / "state.npz")
    augmentation = off() | changed.get("augment", {})
    training.fit(model, images, few, names, augmentation, 0, state, devices.strategy("one"), **settings)
    measured(clock, len(images))


def run_torch(folder: str, architecture: dict, epochs: int) -> None:
    """PyTorch's eager mode: the same network, batches and optimizer, channels last."""
    import torch

    images = shards.Images(folder)
    pixels = torch.from_numpy(images[np.arange(len(images))]).permute(0, 3, 1, 2)
    labels = torch.from_numpy(images.numbers([str(number) for number in range(10)])).long()
    blocks, channels, side = [], 3, images.image_shape[0]
    for filters in architecture["filters"]:
        blocks += [torch.nn.Conv2d(channels, filters, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
        channels, side = filters, (side - 2) // 2
    dense = [torch.nn.Linear(channels * side * side, architecture["dense_units"]), torch.nn.ReLU()]
    head = [torch.nn.Flatten(), *dense, torch.nn.Dropout(architecture["dropout"])]
    network = torch.nn.Sequential(*blocks, *head, torch.nn.Linear(architecture["dense_units"], 10))
    network = network.to(memory_format=torch.channels_last)
    optimizer, loss = torch.optim.Adam(network.parameters()), torch.nn.CrossEntropyLoss()
    clock: list[tuple[float, float]] = []
    for _ in range(epochs):
        clock.append(used())
        for rows in torch.randperm(len(labels)).split(BATCH):
            batch = (pixels[rows].float() / 255).contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            loss(network(batch), labels[rows]).backward()
            optimizer.step()
        clock.append(used())
    measured(clock, len(labels))


def run_first_step(folder: str, architecture: dict, epochs: int) -> None:
    """Seconds from TensorFlow imported to the first step done."""
    import tensorflow  # noqa: F401

    start = time.perf_counter()
    from heldout import control

    spoken = control.LearningRate.on_train_batch_end

    def stop(self, batch, logs=None):
        spoken(self, batch, logs)
        print(json.dumps(time.perf_counter() - start), flush=True)
        os._exit(0)

    control.LearningRate.on_train_batch_end = stop
    run_ours(folder, architecture, epochs)


def run_augmented(folder: str, architecture: dict, epochs: int) -> None:
    run_ours(folder, architecture, epochs, augment=TUTORIAL, val=f"{folder}-val")


def run_plain(folder: str, architecture: dict, epochs: int) -> None:
    run_ours(folder, architecture, epochs, val=f"{folder}-val")


def run_bfloat16(folder: str, architecture: dict, epochs: int) -> None:
    run_ours(folder, architecture, epochs, val=f"{folder}-val", settings={"precision": "mixed_bfloat16"})


def run_warp(folder: str, architecture: dict, epochs: int) -> None:
    """The tutorial's augmentation, ours, in one thread."""
    import cv2

    cv2.setNumThreads(1)
    images, settings = shards.Images(folder), off() | TUTORIAL
    labels, clock = images.numbers([str(number) for number in range(10)]), []
    for epoch in range(epochs):
        drawn = augment.draws(len(images), 0, epoch)
        clock.append(used())
        for start in range(0, len(images), BATCH):
            rows_now = np.arange(start, min(start + BATCH, len(images)))
            augment.batch(images, labels, 10, rows_now, drawn, **settings)
        clock.append(used())
    measured(clock, len(images))


def run_layers(folder: str, architecture: dict, epochs: int) -> None:
    """The four layers of Keras that come nearest, in tf.data's map, on batches."""
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    images = shards.Images(folder)
    pixels = images[np.arange(len(images))]
    fill = {"fill_mode": "nearest"}
    chain = [
        keras.layers.RandomRotation(20 / 360, **fill),
        keras.layers.RandomTranslation(0.2, 0.2, **fill),
        keras.layers.RandomZoom(0.2, 0.2, **fill),
        keras.layers.RandomFlip("horizontal"),
    ]

    def altered(batch: tf.Tensor) -> tf.Tensor:
        batch = tf.cast(batch, tf.float32)
        for layer in chain:
            batch = layer(batch, training=True)
        return batch

    batches = tf.data.Dataset.from_tensor_slices(pixels).batch(BATCH).map(altered)
    clock: list[tuple[float, float]] = []
    for _ in range(epochs):
        clock.append(used())
        for _ in batches:
            pass
        clock.append(used())
    measured(clock, len(images))


def in_turn(roles: list[str], folder: Path, architecture: dict, epochs: int, turns: int) -> dict[str, dict]:
    """The best of several runs of each role, in turn."""
    found: dict[str, list] = {role: [] for role in roles}
    for _ in range(turns):
        for role in roles:
            found[role].append(once(role, folder, architecture, epochs))
    best = {}
    for role, runs in found.items():
        best[role] = {key: max(run[key] for run in runs) for key in runs[0]}
    return best


def once(role: str, folder: Path, architecture: dict, epochs: int, limit: int = 0):
    """What a run of a role, in a process of its own, prints at its end; within `limit` bytes of memory, if any."""
    command = [sys.executable, __file__, "--role", role, str(folder), json.dumps(architecture), str(epochs)]
    if limit:
        command = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(control_group(limit)), *command]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{role} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def control_group(limit: int) -> Path:
    """A control group of Linux, of version 1 or 2, with so many bytes of memory, file cache included."""
    root = Path("/sys/fs/cgroup")
    first = (root / "memory").is_dir()
    group = (root / "memory" if first else root) / "heldout-bench"
    group.mkdir(exist_ok=True)
    (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(limit))
    return group


def compare(case: str, work: Path, turns: int) -> None:
    """The whole loop against `fit`, without and with augmentation."""
    side, count, architecture = CASES[case]
    folder = work / case
    make(folder, side, count)
    make(work / f"{case}-val", side, 64)
    torch = ["torch"] if case == "cnn" and find_spec("torch") else []
    half = ["bfloat16"] if "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8") else []
    found = in_turn(["fit", "plain", "augmented", *half, *torch], folder, architecture, 3, turns)
    for kind, unit in (("cpu", "CPU second"), ("wall", "second")):
        base = f"keras fit, {found['fit'][kind]:.0f} images per {unit}"
        what = f"{case} at {side} px: images per {unit}"
        report(what, found["plain"][kind] / found["fit"][kind], base, ">= 0.95")
        report(f"{what}, augmented", found["augmented"][kind] / found["fit"][kind], base, ">= 0.90")
        for role in half:
            report(f"{what}, {role}", found[role][kind] / found["plain"][kind], "float32", ">= 1.5")
        for role in torch:
            report(what, found["plain"][kind] / found[role][kind], "PyTorch eager", "> 1")


def compare_warp(work: Path, turns: int) -> None:
    make(work / "warp", 96, 1024)
    found = in_turn(["layers", "warp"], work / "warp", {}, 4, turns)
    ratio = found["warp"]["cpu"] / found["layers"]["cpu"]
    report("the tutorial's augmentation at 96 px: images per CPU second", ratio, "four Keras layers in map", ">= 2.5")


def compare_memory(work: Path, turns: int) -> None:
    make(work / "few", 32, 512)
    make(work / "few-val", 32, 64)
    architecture = CASES["resnet20"][2]
    two, twenty = (once("augmented", work / "few", architecture, epochs)["peak"] for epochs in (2, 20))
    report("peak memory after 20 epochs", twenty / two, f"after 2, {two:.0f} MB", "<= 1.05")


def compare_first_step(work: Path, turns: int) -> None:
    for case, (side, _, architecture) in CASES.items():
        make(work / f"first-{case}", side, 128)
        found = [once("first_step", work / f"first-{case}", architecture, 1) for _ in range(turns)]
        print(f"{case}: the first step is done {min(found):.1f} s after TensorFlow is imported (wanted <= 15)")
        rows.append({"what": f"first step, {case}", "seconds": round(min(found), 1)})


def compare_large(work: Path, turns: int) -> None:
    side, count, architecture = LARGE
    make(work / "large", side, count)
    make(work / "large-val", side, 64)
    found: dict[str, list[dict]] = {"free": [], "held": []}
    for _ in range(turns):
        found["free"].append(once("plain", work / "large", architecture, 2))
        found["held"].append(once("plain", work / "large", architecture, 2, LIMIT))
    free, held = (max(run["wall"] for run in runs) for runs in found.values())
    size = side * side * 3 * count / LIMIT
    report(f"images of {size:.1f} times the memory: images per second", held / free, f"all in memory, {free:.0f}")


PARTS = {
    "warp": compare_warp,
    **{case: partial(compare, case) for case in CASES},
    "memory": compare_memory,
    "first_step": compare_first_step,
    "large": compare_large,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--turns", type=int, default=3, help="runs of each (%(default)s)")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS)[:-1], help="(all but large)")
    parser.add_argument("--json", type=Path, help="write the table here as well")
    parser.add_argument("--role", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        role, folder, architecture, epochs = options.role
        globals()[f"run_{role}"](folder, complete(json.loads(architecture)), int(epochs))
        return
    with tempfile.TemporaryDirectory(prefix="heldout-bench-") as name:
        for part in options.part:
            PARTS[part](Path(name), options.turns)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))
    print(json.dumps(rows))


def complete(architecture: dict) -> dict:
    """With the default of every other key of params.yaml's section."""
    return yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["model"] | architecture


if __name__ == "__main__":
    main()
