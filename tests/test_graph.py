"""The graph says what the code does: each stage's deps, params and library versions, and the README's table."""

import ast
import re
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
ENV = yaml.safe_load((ROOT / "env.yaml").read_text(encoding="utf-8"))
EXTERNAL = {"${data.dir}", "pretrained"}  # the images, and weights from elsewhere


@cache
def imports(path: Path) -> frozenset[Path]:
    """The files of the project that a file imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide what is imported"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] == "heldout":
                base = ROOT / "src" / Path(*name.split("."))
                found |= {file for file in (base.with_suffix(".py"), base / "__init__.py") if file.exists()}
    return frozenset(found)


def closure(script: Path) -> set[str]:
    """A stage's script, its package, and everything that they import inside src/."""
    seen, todo = set(), [script, script.parent / "__init__.py"]
    while todo:
        file = todo.pop()
        if file not in seen:
            seen.add(file)
            todo += imports(file)
    return {file.relative_to(ROOT).as_posix() for file in seen}


def calls(script: Path) -> tuple[set[str], set[str]]:
    """The params sections and the library versions that a stage reads: the literals of its calls on `params`."""
    sections, libraries = set(), set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("params."):
            literals = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            (libraries if node.func.attr == "installed" else sections).update(literals)
    return sections, libraries


def outs(stage: dict) -> list[str]:
    """The paths of all outputs, metrics and plots of a stage."""
    listed = [item for kind in ("outs", "metrics", "plots") for item in stage.get(kind, [])]
    return [item if isinstance(item, str) else next(iter(item)) for item in listed]


def expanded() -> dict[str, dict]:
    """The stages, a matrix stage once a value, as plain text replaced."""
    stages = {}
    for name, stage in GRAPH.items():
        values = stage.get("matrix", {}).get("split", [None])
        for value in values:
            text = yaml.safe_dump(stage).replace("${item.split}", str(value))
            stages[f"{name}@{value}" if value else name] = yaml.safe_load(text)
    return stages


def data_deps(stage: dict) -> set[str]:
    return {dep for dep in stage.get("deps", []) if not dep.endswith(".py")}


def downstream(name: str) -> set[str]:
    """The stages whose input may change when the outputs of stage `name` do."""
    stages, result, todo = expanded(), set(), [name]
    while todo:
        produced = set(outs(stages[todo.pop()]))
        follow = {other for other, stage in stages.items() if data_deps(stage) & produced} - result
        result |= follow
        todo += follow
    return result


@pytest.mark.parametrize("name", GRAPH)
def test_code_deps_are_the_import_closure(name):
    listed = {dep for dep in GRAPH[name]["deps"] if dep.endswith(".py")}
    assert listed == closure(ROOT / "stages" / f"{name}.py")


@pytest.mark.parametrize("name", GRAPH)
def test_params_are_what_the_stage_reads(name):
    sections, libraries = calls(ROOT / "stages" / f"{name}.py")
    listed = GRAPH[name].get("params", [])
    assert {item for item in listed if isinstance(item, str)} == sections
    assert {key for item in listed if isinstance(item, dict) for key in item["env.yaml"]} == libraries
    assert libraries <= set(ENV)


def test_only_the_params_module_reads_params_yaml():
    readers = [path.name for path in (ROOT / "src/heldout").glob("*.py") if "yaml.safe_load" in path.read_text("utf-8")]
    assert sorted(readers) == ["doctor.py", "params.py", "recipes.py"]
    for module in ("doctor", "recipes"):
        assert not [name for name, stage in GRAPH.items() if f"src/heldout/{module}.py" in stage["deps"]]


def test_every_dep_is_exactly_an_out_of_a_stage():
    stages = expanded()
    produced = [path for stage in stages.values() for path in outs(stage)]
    assert len(produced) == len(set(produced))
    for name, stage in stages.items():
        assert data_deps(stage) - EXTERNAL <= set(produced), name


def test_one_stage_depends_on_the_image_folder():
    assert [name for name, stage in GRAPH.items() if "${data.dir}" in stage["deps"]] == ["index"]


def test_every_section_is_read_by_a_stage():
    read = {item for stage in GRAPH.values() for item in stage.get("params", []) if isinstance(item, str)}
    assert read == set(PARAMS)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-gpu.lock"])
def test_env_is_what_the_locks_say(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert {name: re.findall(rf"^{name}==(\S+)", text, re.MULTILINE) for name in ENV} == {
        name: [wanted] for name, wanted in ENV.items()
    }


def test_env_is_what_is_installed():
    assert {name: version(name) for name in ENV} == ENV


def test_locks_name_no_address_and_every_hash():
    for lock in ("requirements.lock", "requirements-gpu.lock"):
        text = (ROOT / lock).read_text(encoding="utf-8")
        assert "://" not in text
        blocks = re.split(r"\n(?=\S)", text.strip())
        assert all("--hash=sha256:" in block for block in blocks if not block.startswith("#"))


def test_readme_table_of_changes_is_the_graph():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = dict(
        re.findall(r"^\| `(\w+)` \| (.*?) \|$", text.split("## What reruns")[1].split("\n## ")[0], re.MULTILINE)
    )
    assert set(rows) == set(PARAMS)
    for section, row in rows.items():
        at_once, _, after = row.partition(" | ")
        readers = {name for name, stage in expanded().items() if section in stage.get("params", [])}
        follow = set().union(*map(downstream, readers)) - readers
        assert set(re.findall(r"`([\w@]+)`", at_once)) == {name.split("@")[0] for name in readers}, section
        assert set(re.findall(r"`([\w@]+)`", after)) == {name.split("@")[0] for name in follow}, section


def test_readme_table_of_stages_names_each():
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## The stages")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(GRAPH)
