"""What a search came to: best so far, the Pareto front, importances, and the figures of metrics/search.json."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from heldout.search.confirmation import BASELINE, Confirmed
from heldout.search.journal import Journal, Trial
from heldout.search.space import Space
from heldout.search.suggestions import frozen, load_optuna

CONFIDENCE = 0.95
MIN_TRIALS = 8  # of which importances are computed; they are rough for long after


def best_so_far(trials: list[Trial], grid: np.ndarray) -> pd.DataFrame:
    """The best accuracy on the search part by what was spent: method, cost, repeats, mean, low, high.

    The interval is Student's, of 95 %, over repeats; none (NaN) of a single one.

    Args:
        trials: of all methods and repeats.
        grid: costs in epochs, ascending, (n,).
    """
    tables = []
    for method in dict.fromkeys(trial.method for trial in trials):
        repeats = sorted({trial.repeat for trial in trials if trial.method == method})
        curves = np.array([_curve([t for t in trials if (t.method, t.repeat) == (method, r)], grid) for r in repeats])
        count, mean = len(repeats), curves.mean(axis=0)
        reach = np.full(len(grid), np.nan)
        if count > 1:
            reach = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * curves.std(axis=0, ddof=1) / np.sqrt(count)
        tables.append(
            pd.DataFrame(
                {
                    "method": method,
                    "cost": grid,
                    "repeats": count,
                    "mean": mean,
                    "low": mean - reach,
                    "high": mean + reach,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _curve(trials: list[Trial], grid: np.ndarray) -> np.ndarray:
    """The best so far at each cost, (n,); NaN before the first trial has ended."""
    ended = np.cumsum([trial.cost for trial in trials])
    best = np.maximum.accumulate([trial.val_accuracy for trial in trials])
    position = np.searchsorted(ended, grid + 1e-9, side="right") - 1
    return np.where(position >= 0, best[np.maximum(position, 0)], np.nan)


def pareto(trials: list[Trial], against: str) -> list[Trial]:
    """The trials that no other one beats in accuracy without being larger, the smallest first."""
    front: list[Trial] = []
    complete = [trial for trial in trials if not trial.failed and trial.pruned_at is None]
    for trial in sorted(complete, key=lambda trial: (getattr(trial, against), -trial.val_accuracy, trial.name)):
        if not front or trial.val_accuracy > front[-1].val_accuracy:
            front.append(trial)
    return front


def importances(trials: list[Trial], space: Space) -> dict[str, float]:
    """How much of the accuracy's variance over the space each key accounts for by itself, the largest first.

    By fANOVA (Hutter et al., An Efficient Approach for Assessing Hyperparameter Importance, 2014), as Optuna has it;
    nothing of fewer than MIN_TRIALS trials, or where all are equally good.
    """
    complete = [trial for trial in trials if not trial.failed and trial.pruned_at is None]
    if len(complete) < MIN_TRIALS or len({trial.val_accuracy for trial in complete}) == 1:
        return {}
    optuna = load_optuna()
    study = optuna.create_study(direction="maximize")
    study.add_trials([frozen(trial, space, [trial.val_accuracy]) for trial in complete])
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def figures(journal: Journal, confirmed: list[Confirmed]) -> dict[str, float | int]:
    """For metrics/search.json, flat; nothing that a clock says."""
    trials = journal.trials
    result: dict[str, float | int] = {
        "trials": len(trials),
        "failed_trials": sum(bool(trial.failed) for trial in trials),
        "pruned_trials": sum(trial.pruned_at is not None for trial in trials),
        "epochs": round(sum(trial.cost for trial in trials), 3),
        "confirmation_runs": len(journal.confirmations),
        "search_fingerprint": int(md5(journal.path)[:12], 16),
    }
    for found in confirmed:
        prefix = "params_yaml" if found.name == BASELINE else "best"
        if f"{prefix}_accuracy" in result:
            continue
        if prefix == "best":
            result["best_accuracy_shown"] = found.shown
        ends = zip(("", "_low", "_high"), found.accuracy, strict=True)
        result |= {f"{prefix}_accuracy{end}": value for end, value in ends}
        if found.gain:
            names = ("gain", "gain_low", "gain_high")
            result |= dict(zip(names, (found.gain.value, found.gain.low, found.gain.high), strict=True))
    return result


def verdict(confirmed: list[Confirmed]) -> str:
    """What the search gained, in a line."""
    candidates = [found for found in confirmed if found.name != BASELINE]
    if not candidates:
        return "no candidate was confirmed"
    best = candidates[0]
    line = (
        f"{best.name} showed accuracy {best.shown:.4f} on the search part; confirmed are {best.accuracy.value:.4f} "
        f"[{best.accuracy.low:.3f}, {best.accuracy.high:.3f}] over {best.seeds} new seeds"
    )
    if best.gain is None:
        return line
    gain = f"{round(best.gain.value, 6) + 0:+.4f} [{best.gain.low:+.4f}, {best.gain.high:+.4f}]"
    word = "more" if best.gain.low > 0 else "less" if best.gain.high < 0 else "no detectable difference"
    return f"{line}; against params.yaml as it is {gain}: {word}"


def md5(path: str | Path) -> str:
    """Of a file."""
    return hashlib.md5(Path(path).read_bytes(), usedforsecurity=False).hexdigest()


def md5_of_text(text: str) -> str:
    """Of a text in UTF-8."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def changed(values: dict[str, Any]) -> str:
    """A trial's values in a line."""
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items())) or "as it is"
