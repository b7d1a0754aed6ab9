"""What the processes share that tests start: so many devices, and a line at each step, by which a test knows where it
may kill them."""

import time

import tensorflow as tf

from heldout.training import optimization


def use_logical_cpus(count: int) -> None:
    """Let TensorFlow see the CPU as so many devices."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


def print_steps(pause: float) -> None:
    """Print `step N` after each step, and wait so many seconds."""
    silent = optimization.LearningRate.on_train_batch_end

    def print_step(self, batch: int, logs: dict | None = None) -> None:
        silent(self, batch, logs)
        print(f"step {batch}", flush=True)
        time.sleep(pause)

    optimization.LearningRate.on_train_batch_end = print_step
