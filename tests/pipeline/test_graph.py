"""The graph says what the code does: each stage's params and library versions, and what depends on what."""

import re
from importlib.metadata import version

import pytest
import yaml
from conftest import ROOT, execute

from heldout.commands import graph
from heldout.core import code

GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
ENV = yaml.safe_load((ROOT / "env.yaml").read_text(encoding="utf-8"))
INSTANCES = graph.instances(GRAPH)
TEMPLATE = "src/heldout/evaluation/report/template"
CARD = "src/heldout/export/template"
EXTERNAL = {"${data.dir}", *graph.CHOSEN, "src/heldout", "stages", TEMPLATE, CARD}  # images, weights, the code


def params_of(stage: dict, file: str) -> set[str]:
    """The keys of a params file that a stage lists."""
    return {key for item in stage.get("params", []) if isinstance(item, dict) for key in item.get(file, [])}


def test_every_script_is_a_stage():
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"} == set(GRAPH)


@pytest.mark.parametrize("name", sorted(set(GRAPH) - {"code"}))
def test_params_are_what_the_stage_reads(name):
    script = ROOT / "stages" / f"{name}.py"
    sections, libraries = graph.inputs(script)
    assert {item for item in GRAPH[name]["params"] if isinstance(item, str)} == set(sections)
    assert params_of(GRAPH[name], "env.yaml") == set(libraries) <= set(ENV)
    assert params_of(GRAPH[name], "code.yaml") == {name}


@pytest.mark.parametrize("name", sorted(set(GRAPH) - {"code"}))
def test_every_stage_checks_its_code_first(name):
    text = (ROOT / "stages" / f"{name}.py").read_text(encoding="utf-8")
    first = text.split("def main(")[1].split('"""\n', 2)[1].strip().splitlines()[0]
    assert re.fullmatch(r"(digest = )?code\.check\(__file__\)", first), first


def test_no_python_file_is_a_dep():
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert ".py" not in re.sub(r"#.*|python -m", "", text)


def test_every_dep_is_exactly_an_out_of_a_stage():
    produced = [path for stage in INSTANCES.values() for path in graph.outs(stage)]
    assert len(produced) == len(set(produced))
    for name, stage in INSTANCES.items():
        assert set(stage.get("deps", [])) - EXTERNAL <= set(produced), name


def test_one_stage_depends_on_the_image_folder_and_one_on_the_code():
    for dep, name in (("${data.dir}", "index"), ("src/heldout", "code"), ("stages", "code")):
        assert [stage for stage, entry in GRAPH.items() if dep in entry.get("deps", [])] == [name]


def test_every_section_is_read_by_a_stage():
    read = {item for stage in GRAPH.values() for item in stage.get("params", []) if isinstance(item, str)}
    assert read == set(PARAMS)


def test_only_params_and_commands_read_params_yaml():
    """What a stage reads of params.yaml goes through its literal calls, which the lists follow."""
    readers = {
        path.relative_to(code.PACKAGE).as_posix()
        for path in code.PACKAGE.rglob("*.py")
        if "yaml.safe_load" in path.read_text(encoding="utf-8")
    }
    assert readers == {
        "core/params.py",
        "core/code.py",
        "commands/doctor.py",
        "commands/recipes.py",
        "commands/graph.py",
    }


def test_the_lists_that_follow_from_the_stages_are_as_written():
    assert graph.stale_files(ROOT) == {}


def test_a_stale_list_is_found_and_written(tmp_path):
    for name in ("dvc.yaml", "params.yaml", "env.yaml", "Makefile", "README.md", "docs", "stages"):
        execute("cp", "-r", str(ROOT / name), str(tmp_path / name), cwd=ROOT)
    script = tmp_path / "stages/evaluate.py"
    script.write_text(script.read_text("utf-8").replace('"scipy")', '"pillow")\n    params.scalar("seed")'), "utf-8")
    stale = {path.name for path in graph.stale_files(tmp_path)}
    assert stale == {"dvc.yaml", "README.md", "architecture.md"}
    assert {path.split("/")[-1] for path in graph.write(tmp_path)} == stale
    stage = yaml.safe_load((tmp_path / "dvc.yaml").read_text("utf-8"))["stages"]["evaluate"]
    libraries = {"matplotlib", "numpy", "opencv-python-headless", "pillow", "scikit-learn"}
    assert stage["params"][0] == "seed" and params_of(stage, "env.yaml") == libraries
    assert graph.stale_files(tmp_path) == {}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-gpu.lock"])
def test_env_is_what_the_locks_say(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert {name: re.findall(rf"^{name}==(\S+)", text, re.MULTILINE) for name in ENV} == {
        name: [expected] for name, expected in ENV.items()
    }


def test_env_is_what_is_installed():
    assert {name: version(name) for name in ENV} == ENV


def test_locks_name_no_address_and_every_hash():
    for lock in ("requirements.lock", "requirements-gpu.lock"):
        text = (ROOT / lock).read_text(encoding="utf-8")
        assert "://" not in text
        blocks = re.split(r"\n(?=\S)", text.strip())
        assert all("--hash=sha256:" in block for block in blocks if not block.startswith("#"))
