"""The documents that follow from the code: environment variables, renamed keys, links."""

import re

import pytest
from conftest import ROOT

from heldout.core import params

SOURCES = [
    path
    for folder in ("src", "stages", ".ci")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and path.suffix in (".py", "") and "egg-info" not in str(path)
]
READS = (
    r"environ(?:\.get|\.setdefault)?[\[(]\s*[\"'](\w+)",
    r"[\"'](\w+)[\"'] (?:not )?in os\.environ",
    r"need\([\"'](\w+)",
)


def variables_read() -> set[str]:
    texts = [path.read_text(encoding="utf-8") for path in SOURCES]
    return {name for text in texts for pattern in READS for name in re.findall(pattern, text)}


def test_every_environment_variable_that_is_read_is_documented():
    names = variables_read()
    assert {"TF_CONFIG", "HELDOUT_CACHE", "DVC_ROOT", "DVC_STAGE", "TF_CPP_MIN_LOG_LEVEL", "GITHUB_TOKEN"} <= names
    documented = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs/environment.md").read_text("utf-8"), re.MULTILINE))
    assert names <= documented
    # Those whose names the code puts together.
    assert {"HELDOUT_TENSORBOARD", "HELDOUT_DVCLIVE"} <= documented


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
