"""The benchmarks: what they hand to the stages' functions is what these take today."""

import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["data", "split", "preprocess", "augment", "model", "train", "optimizer", "schedule"])
def test_the_sections_of_the_benchmarks_have_the_keys_of_params_yaml(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from results import SECTIONS

    assert SECTIONS[name].keys() == PARAMS[name].keys()


@pytest.mark.parametrize("name", ["data", "pretrain", "seeds", "suggest", "text", "transfer"])
def test_a_benchmark_can_be_imported(name):
    """Of what others moved: mypy looks at calls, in `make lint`."""
    subprocess.run([sys.executable, "-c", f"import {name}"], cwd=ROOT / "benchmarks", check=True)
