"""The lists that follow from the stages' code: written into dvc.yaml, Makefile and documents, or checked (`make lint`).

$ python -m heldout graph [--check]
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from heldout.core import atomic

PARAMS_FUNCTIONS = ("section", "scalar")
WHOLE_FILES = ("params_yaml", "env_yaml")  # arguments of a stage that is handed one of these files, so reads all keys
CHOSEN = {"${transfer.start}": "models/encoder"}  # a dep that params.yaml names, and the output that it can be
STAGE_TABLE, RERUN_TABLE = "stages", "what reruns"


def stale_files(root: Path) -> dict[Path, str]:
    """The files whose lists are not those that the stages call for, each with its right text.

    Args:
        root: of the repository.

    Raises:
        ValueError: where a stage of dvc.yaml lists no params, or a file lacks the place of its list.
    """
    graph_text = (root / "dvc.yaml").read_text(encoding="utf-8")
    texts = {root / "dvc.yaml": _with_params(graph_text, root)}
    stages = yaml.safe_load(texts[root / "dvc.yaml"])["stages"]
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    cached = [path for stage in stages.values() for path in outs(stage, cached=True)]
    texts[root / "Makefile"] = _replaced(makefile, r"(?<=^OUTS := ).*$", " ".join(map(_glob, cached)), "OUTS := ...")
    for name, title, table in (
        ("README.md", RERUN_TABLE, rerun_table(stages, root)),
        ("docs/architecture.md", STAGE_TABLE, stage_table(stages)),
    ):
        text = (root / name).read_text(encoding="utf-8")
        marker = f"<!-- make graph: {title} -->\n"
        pattern = rf"(?<={re.escape(marker)})(.*?)(?=<!-- end -->)"
        texts[root / name] = _replaced(text, pattern, f"\n{table}\n", marker.strip())
    return {path: text for path, text in texts.items() if text != path.read_text(encoding="utf-8")}


def write(root: Path) -> list[str]:
    """Write the lists anew; the names of the files that changed."""
    stale = stale_files(root)
    for path, text in stale.items():
        atomic.write_text(path, text)
    return [path.relative_to(root).as_posix() for path in stale]


def inputs(script: Path) -> tuple[list[str], list[str]]:
    """The params (sections, scalars) and the libraries that a stage reads: the literals of its calls on `params`, or
    all keys of a file that it is handed."""
    names: dict[bool, list[str]] = {True: [], False: []}
    for call in _calls(script):
        is_param = call.func.attr in PARAMS_FUNCTIONS  # type: ignore[attr-defined]
        names[is_param] += [str(argument.value) for argument in call.args if isinstance(argument, ast.Constant)]
    arguments = {node.arg for node in ast.walk(_parse(script)) if isinstance(node, ast.arg)}
    for is_param, argument in zip((True, False), WHOLE_FILES, strict=True):
        if argument in arguments:
            path = script.parents[1] / argument.replace("_", ".")
            names[is_param] = list(yaml.safe_load(path.read_text(encoding="utf-8")))
    return names[True], sorted(names[False])


def section_functions(stages_folder: Path) -> dict[str, tuple[str, str]]:
    """For each section of params.yaml the function whose keyword arguments it holds, as module and name."""
    functions: dict[str, tuple[str, str]] = {}
    for script in sorted(stages_folder.glob("*.py")):
        modules = {
            alias.asname or alias.name: f"{node.module}.{alias.name}"
            for node in ast.walk(_parse(script))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for call in _calls(script):
            if call.func.attr == "section":  # type: ignore[attr-defined]
                module, _, function = ast.unparse(call.args[1]).partition(".")
                functions[ast.literal_eval(call.args[0])] = (modules[module], function)
    return functions


def instances(stages: dict[str, dict]) -> dict[str, dict]:
    """The stages, one of a matrix once a value, named as DVC names it; one over values of params.yaml counts once."""
    result = {}
    for name, stage in stages.items():
        for value in stage.get("matrix", {}).get("split", [None]):
            text = yaml.safe_dump(stage).replace("${item.split}", str(value))
            result[f"{name}@{value}" if value else name] = yaml.safe_load(text)
    return result


def outs(stage: dict, cached: bool = False) -> list[str]:
    """The paths of all outputs, metrics and plots of a stage; or those in DVC's cache alone."""
    items: list[Any] = [item for kind in ("outs", "metrics", "plots") for item in stage.get(kind, [])]
    options = [({item: {}} if isinstance(item, str) else item) for item in items]
    return [path for item in options for path, how in item.items() if not cached or (how or {}).get("cache", True)]


def downstream(stages: dict[str, dict], name: str) -> set[str]:
    """The stages whose input may change when the outputs of stage `name` do."""
    all_instances, result, pending = instances(stages), set[str](), [name]
    while pending:
        produced = set(outs(all_instances[pending.pop()]))
        produced |= {dep for dep, path in CHOSEN.items() if path in produced}
        following = {key for key, stage in all_instances.items() if set(stage.get("deps", [])) & produced} - result
        result |= following
        pending += following
    return result


def rerun_table(stages: dict[str, dict], root: Path) -> str:
    """Markdown: the sections of params.yaml by the stages that read them, and the stages that may follow."""
    sections_of: dict[frozenset[str], list[str]] = {}
    all_instances = instances(stages)
    for section in yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8")):
        readers = frozenset(name for name, stage in all_instances.items() if section in stage.get("params", []))
        sections_of.setdefault(readers, []).append(section)
    lines = ["| you change | reruns at once | may follow |", "|---|---|---|"]
    for readers, sections in sections_of.items():
        following = set().union(*(downstream(stages, name) for name in readers)) - readers
        lines.append(f"| {_code(sections)} | {_stage_list(stages, readers)} | {_stage_list(stages, following)} |")
    return "\n".join(lines) + "\n"


def stage_table(stages: dict[str, dict]) -> str:
    """Markdown: what each stage does, reads and writes, and its params."""
    lines = ["| stage | what it does | reads | writes | params |", "|---|---|---|---|---|"]
    for name, stage in stages.items():
        sections = [item for item in stage.get("params", []) if isinstance(item, str)]
        cells = [_code(map(_plain, paths)) for paths in (stage.get("deps", []), outs(stage), sections)]
        lines.append(f"| `{name}` | {stage['desc']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _with_params(text: str, root: Path) -> str:
    """dvc.yaml with the `params` of every stage that has a script."""
    order = list(yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8")))
    for script in sorted((root / "stages").glob("*.py")):
        if script.stem in ("__init__", "code"):
            continue
        sections, libraries = inputs(script)
        lines = [f"      - {section}\n" for section in sorted(sections, key=order.index)]
        lines.append(f"      - code.yaml: [{script.stem}]\n")
        lines += [f"      - env.yaml: [{', '.join(libraries)}]\n"] if libraries else []
        pattern = rf"(?<=^  {script.stem}:\n)((?:    .*\n)*?    params:\n)(?:      .*\n)+"
        text = _replaced(text, pattern, rf"\g<1>{''.join(lines)}", f"{script.stem}: ... params: ...")
    return text


def _replaced(text: str, pattern: str, new: str, what: str) -> str:
    result, count = re.subn(pattern, new, text, count=1, flags=re.MULTILINE | re.DOTALL if "(.*?)" in pattern else re.M)
    if not count:
        raise ValueError(f"expected a place for `{what}`, found none: `git diff` shows where it was")
    return result


def _calls(script: Path) -> Iterator[ast.Call]:
    """The calls of a stage on the module `params`."""
    for node in ast.walk(_parse(script)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("params."):
            yield node


def _parse(script: Path) -> ast.Module:
    return ast.parse(script.read_text(encoding="utf-8"), str(script))


def _stage_list(stages: dict[str, dict], names: Iterable[str]) -> str:
    plain = {name.split("@")[0] for name in names}
    return _code(name for name in stages if name in plain)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _plain(path: str) -> str:
    return re.sub(r"\$\{(.*?)\}", r"\1", path.replace("${item.split}", "SPLIT"))


def _glob(path: str) -> str:
    return path.replace("/${item.split}", "")
