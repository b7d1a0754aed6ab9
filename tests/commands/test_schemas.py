"""Schemas read from the source are those of the imported functions."""

import importlib

import pytest
import yaml
from conftest import ROOT

from heldout.commands import graph, schemas
from heldout.core import params

FUNCTIONS = graph.section_functions(ROOT / "stages")
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_schemas_are_those_of_the_imported_functions():
    read = schemas.load(ROOT / "stages")
    for name, (module, function) in FUNCTIONS.items():
        imported = params.schema(getattr(importlib.import_module(module), function))
        assert repr(read[name]) == repr(imported), name


def test_every_section_has_a_schema_and_the_default_params_are_right():
    read = schemas.load(ROOT / "stages")
    assert set(read) == {name for name, values in PARAMS.items() if isinstance(values, dict)}
    for name, schema in read.items():
        params.check(name, PARAMS[name], schema)
