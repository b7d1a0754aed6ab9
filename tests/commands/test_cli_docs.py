"""docs/cli.md holds the help of every command, word for word."""

import argparse
from collections.abc import Iterator

from conftest import ROOT

from heldout.__main__ import COMMANDS, parser


def subcommands() -> dict[str, argparse.ArgumentParser]:
    actions = parser()._actions
    return next(action for action in actions if isinstance(action, argparse._SubParsersAction)).choices


def helps() -> Iterator[str]:
    yield parser().format_help()
    for command in subcommands().values():
        yield command.format_help()


def words(text: str) -> str:
    """Without line breaks: where argparse breaks lines depends on the version of Python."""
    return " ".join(text.split())


def test_the_help_of_every_command_is_in_the_document(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    document = words((ROOT / "docs/cli.md").read_text(encoding="utf-8"))
    for text in helps():
        assert words(text) in document


def test_every_command_has_a_heading_and_a_function():
    headings = [
        line.removeprefix("## heldout ")
        for line in (ROOT / "docs/cli.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("## ")
    ]
    assert headings == list(subcommands()) == list(COMMANDS)
