"""What training runs on: one device, all of a machine's, several machines', or a TPU; and what of it a result needs."""

import json
import os
from typing import Any, Literal

import numpy as np

from heldout.process import quiet

with quiet():
    import keras
    import tensorflow as tf

Strategy = Literal["one", "mirrored", "multi_worker", "tpu"]
PORTABLE = "AVX2"  # what every x86 server and laptop of the last ten years has


def prepare(seed: int, *, threads: int, portable: bool, deterministic: bool, precision: str = "float32") -> None:
    """Make TensorFlow give the same bytes again, and layers that are built from here on compute in `precision`.

    On a CPU the sums of a step depend on the number of intra-op threads, which is the number of cores unless it is
    set; with it set, the result is the same on any number of cores. They also depend on the instructions that oneDNN
    finds: `portable` holds it to those of AVX2. On a GPU they depend on kernels, of which `deterministic` chooses those
    that give the same bytes again. Call it before anything else uses TensorFlow.

    Raises:
        ValueError: for `portable` in bfloat16: held to AVX2, TensorFlow's kernels crash (2.21).
    """
    if portable and precision == "mixed_bfloat16":
        raise ValueError(
            f"train.portable holds the CPU to {PORTABLE}, which has no bfloat16: expected train.precision float32, or "
            "train.portable false"
        )
    if portable:
        os.environ["ONEDNN_MAX_CPU_ISA"] = PORTABLE  # read when the first operation runs
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def same_again(values: dict[str, Any]) -> dict[str, Any]:
    """Those of the params of training, or of what was kept with a model, that its digits depend on in every use."""
    return {key: values[key] for key in ("threads", "portable", "deterministic")}


def strategy(name: Strategy) -> tf.distribute.Strategy:
    """TensorFlow's strategy; networks are built in its scope. Call it once, right after `prepare`.

    Args:
        name: `one` device; `mirrored`, every GPU of this machine (its logical CPUs where there is none);
            `multi_worker`, every GPU of every machine in the environment variable TF_CONFIG; or `tpu`.

    Raises:
        ValueError: where TF_CONFIG is missing or wrong, or no TPU is found.
    """
    if name == "multi_worker":
        _check(os.environ.get("TF_CONFIG", ""))
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "tpu":  # as TensorFlow documents it; nobody has run it here
        try:
            found = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu=os.environ.get("TPU_NAME", ""))
        except (ValueError, tf.errors.OpError) as error:
            raise ValueError("train.strategy is tpu, but no TPU was found: set TPU_NAME, or choose another") from error
        return tf.distribute.TPUStrategy(found)
    return tf.distribute.get_strategy()


def is_chief(chosen: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes: it is, unless it is a worker after the first."""
    resolver = getattr(chosen, "cluster_resolver", None)
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker" and resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs
    )


def description(chosen: tf.distribute.Strategy, *, threads: int, portable: bool, deterministic: bool) -> dict[str, Any]:
    """What a result depends on beside its inputs: kept with the model."""
    gpus = tf.config.list_physical_devices("GPU")
    device = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"
    return {
        "device": device,
        "replicas": chosen.num_replicas_in_sync,
        "threads": threads,
        "portable": portable,
        "instructions": PORTABLE if portable else _instructions(),
        "deterministic": deterministic,
    }


def _instructions() -> str:
    """The widest vector instructions of the processor that numpy knows of."""
    found = getattr(np._core._multiarray_umath, "__cpu_features__", {})  # type: ignore[attr-defined]
    return next((name for name in ("AVX512F", "AVX2", "ASIMD") if found.get(name)), "unknown")


def _check(said: str) -> None:
    """Refuse a TF_CONFIG that TensorFlow would only wait for."""
    try:
        config = json.loads(said)
        addresses = [address for job in config["cluster"].values() for address in job]
        known = config["task"]["index"] < len(config["cluster"][config["task"]["type"]])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            "train.strategy is multi_worker, so TF_CONFIG must say the machines and this one's place, as in "
            '{"cluster": {"worker": ["one:2222", "two:2222"]}, "task": {"type": "worker", "index": 0}}'
            f": it is {said or 'not set'}"
        ) from error
    if not known or not addresses:
        raise ValueError(f"TF_CONFIG names a task that its cluster does not have: {said}")
