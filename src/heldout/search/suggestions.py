"""What to try next: random, TPE and NSGA-II (Optuna's), regularized evolution; each a function of the lines before it.

A sampler is made anew for each trial, seeded by (seed, method, repeat, number), and told the trials of earlier rounds
in their order. So a search that is killed goes on with the suggestions that it would have had, which Optuna's own way
of going on (a seeded sampler and a stored study) does not give: its generator begins again.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from heldout.search import conditions
from heldout.search.journal import Trial
from heldout.search.space import Choice, Range, Space

ROUND = 4  # trials that are suggested together, so that as many can run at once; whatever runs at once, it is the same
POPULATION = 8  # of NSGA-II and evolution: two rounds; the papers' 100 are more trials than most searches here have
TOURNAMENT = 3  # of evolution: a quarter to a half of the population finds a good parent and keeps others in play
STARTUP = 8  # trials at random before TPE has anything to go by: two rounds
OBJECTIVES = ("parameters", "multiply_adds")


def suggest(
    method: str, space: Space, history: list[Trial], number: int, key: tuple[int, int], against: str
) -> dict[str, Any]:
    """The values of a trial: {"SECTION.KEY": value}.

    Args:
        method: one of METHODS.
        space: what to choose from.
        history: the trials of earlier rounds, in order.
        number: the trial's, from 0.
        key: the search's seed, and which of its repeats this is.
        against: what NSGA-II makes small beside a large accuracy, one of OBJECTIVES.
    """
    seed = seed_of(*key, list(METHODS).index(method), number)
    return METHODS[method](space, history, seed, number, against)


def seed_of(*key: int) -> int:
    """A seed, 0 to 2^31 - 1, by numbers that are not negative."""
    return int(np.random.SeedSequence(key).generate_state(1)[0]) % 2**31


def _random(space: Space, history: list[Trial], seed: int, number: int, against: str) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    # A position for every key, so that what one of them decides moves no other.
    positions = {name: rng.random() for name in sorted(space)}
    return conditions.resolve(space, lambda name: space[name].at(positions[name]))


def _evolution(space: Space, history: list[Trial], seed: int, number: int, against: str) -> dict[str, Any]:
    """Real et al., Regularized Evolution for Image Classifier Architecture Search (2019): the best of a few drawn from
    the youngest, with one value mutated; the oldest die, however good they are. What the parent lacked
    is random."""
    if len(history) < POPULATION:
        return _random(space, history, seed, number, against)
    rng = np.random.default_rng(seed)
    alive = history[-POPULATION:]
    drawn = [alive[index] for index in sorted(rng.choice(len(alive), TOURNAMENT, replace=False))]
    parent = max(drawn, key=lambda trial: (not trial.failed, trial.val_accuracy, -trial.val_loss))
    name = sorted(parent.params)[rng.integers(len(parent.params))]
    values = parent.params | {name: space[name].mutate(parent.params[name], rng)}
    return conditions.resolve(space, lambda name: values[name] if name in values else space[name].at(rng.random()))


def _tpe(space: Space, history: list[Trial], seed: int, number: int, against: str) -> dict[str, Any]:
    """Bergstra et al., Algorithms for Hyper-Parameter Optimization (2011), as Optuna has it."""
    optuna = load_optuna()
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=seed), direction="maximize"
    )
    for trial in history:
        study.add_trial(frozen(trial, space, [trial.val_accuracy]))
    return _asked(study, space)


def _nsga2(space: Space, history: list[Trial], seed: int, number: int, against: str) -> dict[str, Any]:
    """Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II (2002), as Optuna has it: accuracy
    against the size of the network."""
    optuna = load_optuna()
    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
    study = optuna.create_study(sampler=sampler, directions=["maximize", "minimize"])
    worst = max((getattr(trial, against) for trial in history), default=0)
    for position, trial in enumerate(history):
        values = [trial.val_accuracy, float(worst if trial.failed else getattr(trial, against))]
        # Optuna keeps a trial's generation as an attribute, which is lost where a study is built anew.
        generation = {sampler._get_generation_key(): position // POPULATION}
        study.add_trial(frozen(trial, space, values, system_attrs=generation))
    return _asked(study, space)


def frozen(trial: Trial, space: Space, values: list[float], **attributes: Any) -> Any:
    """A trial as Optuna has it: pruned where it was pruned or failed and there is one value."""
    optuna = load_optuna()
    pruned = len(values) == 1 and (trial.pruned_at is not None or bool(trial.failed))
    reached = {trial.pruned_at: trial.val_accuracy} if pruned and trial.pruned_at is not None else {}
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE,
        values=None if pruned else values,
        params={name: _encode(space[name], value) for name, value in sorted(trial.params.items())},
        distributions={name: _distribution(space[name]) for name in sorted(trial.params)},
        intermediate_values=reached,
        **attributes,
    )


def _asked(study: Any, space: Space) -> dict[str, Any]:
    """What its sampler suggests, a key after another, as Optuna's users write it ("define by run")."""
    asked = study.ask()

    def choose(name: str) -> Any:
        entry, distribution = space[name], _distribution(space[name])
        if isinstance(entry, Choice):
            return json.loads(asked.suggest_categorical(name, distribution.choices))
        low, high, step, log = distribution.low, distribution.high, distribution.step, distribution.log
        if entry.integer:
            return asked.suggest_int(name, low, high, step=step, log=log)
        return entry.rounded(asked.suggest_float(name, low, high, step=step, log=log))

    return conditions.resolve(space, choose)


def _distribution(entry: Choice | Range) -> Any:
    distributions = load_optuna().distributions
    if isinstance(entry, Choice):  # a list is no choice of Optuna's, a text is
        return distributions.CategoricalDistribution([_encode(entry, value) for value in entry.values])
    if entry.integer:
        return distributions.IntDistribution(int(entry.low), int(entry.high), log=entry.log, step=entry.step)
    return distributions.FloatDistribution(entry.low, entry.high, log=entry.log)


def _encode(entry: Choice | Range, value: Any) -> Any:
    return json.dumps(value) if isinstance(entry, Choice) else value


def load_optuna() -> Any:
    """Optuna, which reports warnings alone.

    Raises:
        ValueError: where it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise ValueError("optuna is not installed, which tpe and nsga2 need: run `make setup`") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


METHODS: dict[str, Callable[[Space, list[Trial], int, int, str], dict[str, Any]]] = {
    "random": _random,
    "tpe": _tpe,
    "nsga2": _nsga2,
    "evolution": _evolution,
}
