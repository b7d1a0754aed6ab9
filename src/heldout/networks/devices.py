"""What training runs on: one device, all of a machine's, several machines', or a TPU; and what of it a result needs."""

import json
import os
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from heldout.core.process import suppress_native_stderr

with suppress_native_stderr():
    import keras
    import tensorflow as tf


def configure_tensorflow(
    seed: int,
    *,
    strategy: Literal["single", "mirrored", "multi_worker", "tpu"],
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"],
    intra_op_threads: Annotated[int, Field(ge=1)],
    max_cpu_isa: Literal["default", "avx2"],
    deterministic: bool,
) -> tf.distribute.Strategy:
    """Make TensorFlow give the same bytes again. Call it once, before anything else uses TensorFlow.

    On a CPU the sums of a step depend on the number of intra-op threads, which is the number of cores unless it is
    set; with it set, the result is the same on any number of cores. They also depend on the instructions that oneDNN
    finds, and on a GPU on kernels, of which `deterministic` chooses those that give the same bytes again.

    Args:
        seed: of the global generators, from which Keras draws initial weights and dropout.
        strategy: `single` device; `mirrored`, every GPU of this machine (its logical CPUs where there is none);
            `multi_worker`, every GPU of every machine in the environment variable TF_CONFIG; or `tpu`.
        precision: the dtype policy of layers that are built from here on.
        intra_op_threads: CPU threads of one operation.
        max_cpu_isa: oneDNN's ONEDNN_MAX_CPU_ISA: `avx2` is what every x86 server and laptop of the last ten years has.
        deterministic: TensorFlow's enable_op_determinism.

    Returns:
        TensorFlow's strategy: networks are built in its scope.

    Raises:
        ValueError: for `avx2` in bfloat16 (TensorFlow's kernels crash: 2.21); where TF_CONFIG is missing or wrong, or
            no TPU is found.
    """
    if max_cpu_isa == "avx2" and precision == "mixed_bfloat16":
        raise ValueError(
            "hardware.max_cpu_isa is avx2, which has no bfloat16: expected hardware.precision float32, or "
            "hardware.max_cpu_isa default"
        )
    if max_cpu_isa != "default":
        os.environ["ONEDNN_MAX_CPU_ISA"] = max_cpu_isa.upper()  # read when the first operation runs
    tf.config.threading.set_intra_op_parallelism_threads(intra_op_threads)
    tf.config.threading.set_inter_op_parallelism_threads(intra_op_threads)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    return _strategy(strategy)


def determinism_settings(values: dict[str, Any]) -> dict[str, Any]:
    """Those of the section `hardware`, or of a model's environment, that its digits depend on in every use."""
    return {key: values[key] for key in ("intra_op_threads", "max_cpu_isa", "deterministic")}


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes: it is, unless it is a worker after the first."""
    resolver = getattr(strategy, "cluster_resolver", None)
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker" and resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs
    )


def environment(
    strategy: tf.distribute.Strategy, *, intra_op_threads: int, max_cpu_isa: str, deterministic: bool
) -> dict[str, Any]:
    """What a result depends on beside its inputs: kept with the model."""
    gpus = tf.config.list_physical_devices("GPU")
    device = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"
    return {
        "device": device,
        "replicas": strategy.num_replicas_in_sync,
        "intra_op_threads": intra_op_threads,
        "max_cpu_isa": max_cpu_isa,
        "cpu_features": max_cpu_isa.upper() if max_cpu_isa != "default" else _cpu_features(),
        "deterministic": deterministic,
    }


def _strategy(name: str) -> tf.distribute.Strategy:
    if name == "multi_worker":
        _check_tf_config(os.environ.get("TF_CONFIG", ""))
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "tpu":  # as TensorFlow documents it; nobody has run it here
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu=os.environ.get("TPU_NAME", ""))
        except (ValueError, tf.errors.OpError) as error:
            raise ValueError(
                "hardware.strategy is tpu, but no TPU was found: set TPU_NAME, or choose another strategy"
            ) from error
        return tf.distribute.TPUStrategy(resolver)
    return tf.distribute.get_strategy()


def _cpu_features() -> str:
    """The widest vector instructions of the processor that numpy knows of."""
    features = getattr(np._core._multiarray_umath, "__cpu_features__", {})  # type: ignore[attr-defined]
    return next((name for name in ("AVX512F", "AVX2", "ASIMD") if features.get(name)), "unknown")


def _check_tf_config(text: str) -> None:
    """Refuse a TF_CONFIG that TensorFlow would only wait for."""
    try:
        config = json.loads(text)
        addresses = [address for job in config["cluster"].values() for address in job]
        in_cluster = config["task"]["index"] < len(config["cluster"][config["task"]["type"]])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            "hardware.strategy is multi_worker, so TF_CONFIG must name the cluster and this worker's task, as in "
            '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'
            f": it is {text or 'not set'}"
        ) from error
    if not in_cluster or not addresses:
        raise ValueError(f"TF_CONFIG names a task that its cluster does not have: {text}")
