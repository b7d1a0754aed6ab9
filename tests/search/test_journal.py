"""The file: whole lines only, one search only, and the same bytes after a kill."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from searches import execute, plan, search

from heldout.search import journal
from heldout.search.journal import Confirmation, Journal, Trial
from heldout.search.rounds import Arm

HEADER = {"seed": 0}
TRIAL = Trial("tpe", 0, 0, {"model.depth": 8}, 5, 2.0, val_accuracy=1 / 3, val_accuracies=[0.1, 1 / 3])


def test_records_come_back_as_the_file_has_them(tmp_path):
    first = Journal(tmp_path / "a.jsonl", HEADER)
    added = first.append(TRIAL)
    first.append(Confirmation("tpe/0/0", {}, 3, accuracy=0.25, correct="gA=="))
    again = Journal(tmp_path / "a.jsonl", HEADER)
    assert again.trials == first.trials == [added] and added.val_accuracy == 0.333333
    assert again.confirmations == first.confirmations
    assert journal.load(tmp_path / "a.jsonl").trials == first.trials


def test_a_torn_last_line_is_cut_and_a_damaged_one_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    Journal(path, HEADER).append(TRIAL)
    content = path.read_bytes()
    for torn in (b'{"method": "tp', b"\x00\xff", '{"a": "é'.encode()[:-1]):
        path.write_bytes(content + torn)
        assert Journal(path, HEADER).trials and path.read_bytes() == content
    path.write_bytes(content + b"{nonsense\n")
    with pytest.raises(ValueError, match=r"a.jsonl is damaged in line 3"):
        Journal(path, HEADER)
    path.write_bytes(b'{"seed"')  # not even the first line was whole
    assert Journal(path, HEADER).trials == [] and path.read_bytes() == b'{"seed": 0}\n'


def test_another_search_in_the_file_is_one_line(tmp_path):
    Journal(tmp_path / "a.jsonl", {"seed": 0, "space": {"model.depth": [8]}})
    with pytest.raises(ValueError, match=r"a search with another seed \(0, now 1\): give this one a --file"):
        Journal(tmp_path / "a.jsonl", {"seed": 1, "space": {"model.depth": [8]}})
    with pytest.raises(ValueError, match="a search with another space"):
        Journal(tmp_path / "a.jsonl", {"seed": 0, "space": {"model.depth": [14]}})
    with pytest.raises(ValueError, match="holds no search"):
        journal.load(tmp_path / "b.jsonl")


def test_a_second_search_keeps_off(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # zc.lockfile locks by process: a second one must ask.
    code = "import pathlib; from heldout.search import journal\nwith journal.exclusive(pathlib.Path('a.jsonl')): pass"
    with journal.exclusive(Path("a.jsonl")):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "another search holds a.jsonl" in done.stderr
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("method", ["tpe", "evolution"])
def test_kill_in_a_trial_and_between_trials_ends_in_the_same_bytes(tmp_path, method):
    whole = search(tmp_path / "whole.jsonl", Arm(method, 0), plan(halving=True), execute).path.read_bytes()
    path = tmp_path / "killed.jsonl"
    command = [sys.executable, str(Path(__file__).with_name("searches.py")), str(path), method]
    for trials in (0, 5, 4):  # that end before the kill comes, in the next one
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(trials):
            assert child.stdout.readline() == "in a trial\n"
            child.stdin.write("\n")
            child.stdin.flush()
        assert child.stdout.readline() == "in a trial\n"
        child.send_signal(signal.SIGKILL)
        child.communicate()
        with path.open("ab") as file:  # and a line that it was about to write
            file.write(whole.splitlines()[-1][:40])
    assert 8 < len(path.read_bytes().splitlines()) < len(whole.splitlines())
    subprocess.run(command, input="\n" * 100, stdout=subprocess.DEVNULL, text=True, check=True)
    assert path.read_bytes() == whole
