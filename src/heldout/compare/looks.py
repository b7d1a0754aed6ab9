"""How often an exam was looked at: the results that git's history holds of it, and what choosing among them gives."""

import json
import subprocess
from pathlib import Path

import numpy as np
from scipy import stats

EVAL, DATA = "metrics/eval.json", "metrics/data.json"


def count(root: str | Path, branch: str, fingerprint: int, scores: dict[str, float]) -> int:
    """How many different results of one exam the first-parent history of a branch holds, these scores among them.

    Args:
        root: of the repository.
        branch: such as main; one that does not exist has no history.
        fingerprint: of the exam, `test_fingerprint` of metrics/data.json.
        scores: of the latest look, as metrics/eval.json has them.
    """
    words = ["git", "-C", str(root), "log", "--first-parent", "--format=%H", branch, "--", EVAL, DATA]
    commits = subprocess.run(words, capture_output=True, text=True).stdout.split()
    seen = {_key(scores)}
    for commit in commits:
        data, result = _json(root, commit, DATA), _json(root, commit, EVAL)
        if result and data.get("test_fingerprint") == fingerprint:
            seen.add(_key(result))
    return len(seen)


def gain_by_choice(looks: int, error: float) -> float:
    """How far the best of so many models that do not differ lies above their mean, expected by chance alone.

    Args:
        looks: how many results there were to choose from.
        error: the standard error of one accuracy on this exam.
    """
    grid = np.linspace(-8, 8, 4001)  # the expected largest of so many standard normal numbers
    density = looks * stats.norm.pdf(grid) * stats.norm.cdf(grid) ** (looks - 1)
    return float(np.trapezoid(grid * density, grid) * error) if looks > 1 else 0.0


def _key(scores: dict[str, float]) -> str:
    """What tells one result from another: a score alone that is new, or was renamed, is no new look."""
    return json.dumps([scores.get("accuracy"), scores.get("log_loss", scores.get("loss"))])


def _json(root: str | Path, commit: str, path: str) -> dict[str, float]:
    done = subprocess.run(["git", "-C", str(root), "show", f"{commit}:{path}"], capture_output=True)
    try:
        return json.loads(done.stdout) if done.returncode == 0 else {}
    except ValueError:
        return {}
