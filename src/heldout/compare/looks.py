"""How often an exam was looked at: verdicts on main's test set, counted from git history, and what choosing gives."""

import subprocess
from pathlib import Path

import numpy as np
from scipy import stats

EVAL, DATA = "metrics/eval.json", "metrics/data.json"


def count(root: str | Path, revision: str, fingerprint: int) -> int:
    """How many different results of one exam the first-parent history of a revision holds.

    Args:
        root: of the repository.
        revision: the end of the history, such as the main branch.
        fingerprint: of the exam: `test_fingerprint` of metrics/data.json.
    """
    words = ["git", "-C", str(root), "log", "--first-parent", "--format=%H", revision, "--", EVAL]
    commits = subprocess.run(words, capture_output=True, text=True).stdout.split()
    seen = set()
    for commit in commits:
        digest = _blob(root, commit, EVAL)
        if digest and f'"test_fingerprint": {fingerprint}' in _text(root, commit, DATA):
            seen.add(digest)
    return len(seen)


def gain_by_choice(looks: int, error: float) -> float:
    """What the best of so many models that do not differ is above their mean, expected by chance alone.

    Args:
        looks: how many results there were to choose from.
        error: the standard error of one accuracy on this exam.
    """
    if looks < 2:
        return 0.0
    # The expected maximum of standard normal numbers, by integrating over its distribution.
    grid = np.linspace(-8, 8, 4001)
    density = looks * stats.norm.pdf(grid) * stats.norm.cdf(grid) ** (looks - 1)
    return float(np.trapezoid(grid * density, grid) * error)


def _blob(root: str | Path, commit: str, path: str) -> str:
    words = ["git", "-C", str(root), "rev-parse", "--quiet", "--verify", f"{commit}:{path}"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()


def _text(root: str | Path, commit: str, path: str) -> str:
    return subprocess.run(["git", "-C", str(root), "show", f"{commit}:{path}"], capture_output=True, text=True).stdout
