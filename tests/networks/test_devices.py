"""The hardware section: what is refused in one line, and what a result is said to depend on."""

import json

import pytest
import tensorflow as tf

from heldout.networks import devices

HARDWARE = {
    "strategy": "single", "precision": "float32", "intra_op_threads": 2, "max_cpu_isa": "default",
    "deterministic": False,
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"cluster": {"worker": ["a:1"]}}', '{"cluster": {"worker": 1}, "task": {"type": "worker"}}'],
)
def test_a_missing_or_wrong_cluster_is_one_clear_line(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match="TF_CONFIG must name the cluster and this worker's task"):
        devices._strategy("multi_worker")


def test_a_task_outside_its_cluster_is_refused(monkeypatch):
    cluster = {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(ValueError, match="names a task that its cluster does not have"):
        devices._strategy("multi_worker")


def test_bfloat16_on_avx2_is_refused_where_tensorflow_would_crash():
    with pytest.raises(ValueError, match=r"avx2, which has no bfloat16: expected hardware\.precision float32, or"):
        devices.configure_tensorflow(0, **(HARDWARE | {"max_cpu_isa": "avx2", "precision": "mixed_bfloat16"}))


def test_what_a_result_depends_on_is_in_the_environment():
    strategy = tf.distribute.get_strategy()
    settings = devices.determinism_settings(HARDWARE)
    environment = devices.environment(strategy, **settings)
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    assert environment["device"].startswith(kind) or kind == "GPU"
    assert environment | {"device": "", "cpu_features": ""} == {
        "device": "", "replicas": 1, "intra_op_threads": 2, "max_cpu_isa": "default", "cpu_features": "",
        "deterministic": False,
    }  # fmt: skip
    narrow = devices.environment(strategy, **(settings | {"max_cpu_isa": "avx2"}))
    assert narrow["cpu_features"] == "AVX2"
    assert devices.is_chief(strategy)
