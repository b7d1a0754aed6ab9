"""The documents that follow from the code: environment variables, renamed keys, links."""

import re

import pytest
from conftest import ROOT

from heldout.core import params, process

SOURCES = [
    path
    for folder in ("src", "stages", ".ci")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and path.suffix in (".py", "") and "egg-info" not in str(path)
]
READS = (
    r"environ(?:\.get|\.setdefault)?[\[(]\s*[\"'](\w+)",
    r"getenv\(\s*[\"'](\w+)",
    r"[\"'](\w+)[\"'] (?:not )?in os\.environ",
    r"os\.environ \| \{[\"'](\w+)",
    r"need\([\"'](\w+)",
)
# Names that are not beside them: HELDOUT_TENSORBOARD and HELDOUT_DVCLIVE, what `need` is given, process.UNTRACKED.
INDIRECT = {
    "folder = os.environ.get(variable)",
    "return os.environ.get(name) or fail(",
    "os.environ.pop(name, None)",
}


def variables_read() -> set[str]:
    texts = [path.read_text(encoding="utf-8") for path in SOURCES]
    return {name for text in texts for pattern in READS for name in re.findall(pattern, text)}


def test_every_environment_variable_that_is_read_is_documented():
    names = variables_read()
    assert {"TF_CONFIG", "HELDOUT_CACHE", "DVC_ROOT", "DVC_STAGE", "TF_CPP_MIN_LOG_LEVEL", "GITHUB_TOKEN"} <= names
    documented = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs/environment.md").read_text("utf-8"), re.MULTILINE))
    assert names <= documented
    # Those whose names the code puts together.
    assert {"HELDOUT_TENSORBOARD", "HELDOUT_DVCLIVE", *process.UNTRACKED} <= documented


def test_no_environment_variable_is_read_by_a_name_that_the_patterns_miss():
    lines = [line.strip() for path in SOURCES for line in path.read_text(encoding="utf-8").splitlines()]
    missed = [
        line
        for line in lines
        if re.search(r"\bos\.environ|\bgetenv\b", line) and not any(re.search(pattern, line) for pattern in READS)
    ]
    assert len(missed) == len(INDIRECT)
    assert all(any(line.startswith(start) for start in INDIRECT) for line in missed), missed


def test_every_variable_that_make_takes_from_the_environment_is_documented():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    defaults = set(re.findall(r"^(?:export )?(\w+) \?=", makefile, re.MULTILINE))
    assigned = set(re.findall(r"^(?:export )?(\w+) :?=", makefile, re.MULTILINE))
    unassigned = set(re.findall(r"\$\((\w+)\)", makefile)) - assigned - {"CURDIR"}
    document = (ROOT / "docs/environment.md").read_text(encoding="utf-8")
    assert {"PYTHON", "GPU", "ARGS", "UPGRADE", "TF_CPP_MIN_LOG_LEVEL"} <= defaults | unassigned
    assert [name for name in sorted(defaults | unassigned) if f"`{name}`" not in document] == []
    assert [name for name in re.findall(r"^export (\w+)", makefile, re.MULTILINE) if f"`{name}`" not in document] == []


def test_every_changelog_entry_says_what_reruns():
    entries = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert len(entries) > 1
    assert [entry.split("\n")[0] for entry in entries if "Reruns: " not in entry] == []


def test_the_table_of_renamed_keys_is_the_one_that_messages_use():
    text = (ROOT / "docs/updating.md").read_text(encoding="utf-8").split("## What 0.2 renamed")[1]
    rows = dict(re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|$", text, re.MULTILINE))
    keys = {old: new for old, new in rows.items() if ":" not in old}
    values = {old: new for old, new in rows.items() if ":" in old}
    assert keys == params.RENAMED
    lower = {True: "true", False: "false"}
    assert values == {
        f"{key}: {lower.get(old, old)}": f"{key}: {new}" for (key, old), new in params.RENAMED_VALUES.items()
    }


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/*.md")) + sorted(ROOT.glob("*.md")), ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_the_index_names_every_document():
    listed = re.findall(r"^\| \[(\w+\.md)\]", (ROOT / "docs/index.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in ROOT.glob("docs/*.md") if path.name != "index.md")
