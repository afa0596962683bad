"""Hyper-parameter search on a study that is kept: its set-up, its answer, and what is left of it later."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..data.store import with_handles
from ..errors import ToolFailure, Unavailable
from ..handles import check_name, parse
from ..lineage import Lineage
from ..modeling.algorithms import algorithm
from ..modeling.card import ModelCard
from ..modeling.metrics import Direction
from ..modeling.searches import Search, record
from ..modeling.store import require_ready
from ..runtime.pool import Pool, pool_of
from ..runtime.work import Work
from .driver import Driver
from .found import Found, best_first, directions, importance, trial_view
from .history import history
from .models import Study, Tuned, TuneRequest
from .objective import Objective, open_objective
from .refit import check_refit, refitted
from .report import TrialLog
from .sampling import sampler
from .scoring import scoring_of
from .space import contains, kinds, read_space
from .storage import driving, find_study, require_storage
from .trials import JobTrials, job_begun

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study as OptunaStudy

# What a library takes for a parameter that its constructor leaves at None (XGBoost's documentation).
FALLBACKS = {"min_child_weight": 1.0, "reg_lambda": 1.0, "reg_alpha": 0.0, "gamma": 0.0}
TOP = 5


def tune_model(work: Work, request: TuneRequest) -> Tuned:
    """Search until the trials or the time are used up, on a study that can be resumed by its name."""
    with pool_of(work, request.n_trials, work.settings.optuna.processes) as pool:
        return _tuned(work, request, pool)


def _tuned(work: Work, request: TuneRequest, pool: Pool | None) -> Tuned:
    began = time.monotonic()
    require_storage(work)
    require_ready(work, request.algorithm, experiment=request.experiment)
    space = read_space(request.search_space or algorithm(request.algorithm).space)
    request, loaded = with_handles(work, request, "dataset", "validation", "test")
    objective, scored_on, notes = open_objective(work, request)
    objective.check(space)
    check_refit(work, request, objective.card)
    name = _study_name(request, objective.card, job_begun(work.job))
    with driving(work, name) as storage:
        study = _open(storage, name, objective.metric.direction, objective, request, space)
        inside = _enqueue_default(study, objective, space)
        log = TrialLog.open(work, request, name, objective.metric.name)
        trials = JobTrials(study, space, work.job, not inside)

        found = Found(study, objective, space, scored_on, trials.before, notes, loaded)

        reached: list[Tuned] = []

        def so_far() -> Tuned:
            record(work.home, _as_search(study, objective.card, request, space))
            reached[:] = [found.told(log.run, time.monotonic() - began)]
            return reached[0]

        scoring = scoring_of(objective, pool)
        try:
            Driver(work, trials, scoring, log, request.n_trials, objective.parts, so_far).run()
        except Unavailable as failure:
            if not reached:
                raise
            return _cut_short(log, reached[0], failure)
        Lineage(work.home).record(f"study:{name}", [objective.card.dataset, request.validation], "tune_model")
        (score, notes), made = found.judged(), so_far()
        notes = [*scoring.notes, *notes, *made.notes]
        made = made.model_copy(update={"score": score, "importance": importance(study), "notes": notes})
        if request.refit or request.test:
            made = refitted(work, request, made)
            made = made.model_copy(update={"undo": found.undo(log.run, made.model)})
        log.close(study)
    return made


def _cut_short(log: TrialLog, reached: Tuned, failure: Unavailable) -> Tuned:
    """The best so far of a search whose database has gone away, which its study still has when that is back."""
    log.end(reached.study.removeprefix("study:"), reached.best_value)
    why = f"ended early with the best so far: {failure.message}; tune_model(study={reached.study!r}) goes on"
    return reached.model_copy(update={"notes": [why, *reached.notes]})


def get_study(work: Work, study: str, limit: int = 0) -> Study:
    """A study's best trials, how many there are of each state, and `limit` of its history.

    Of several objectives the best are the Pareto front.
    """
    found = find_study(work, study)
    trials = found.get_trials(deepcopy=False)
    states = [trial.state.name.lower() for trial in trials]
    top = best_first(found)
    return Study(
        study=f"study:{found.study_name}",
        direction=directions(found),
        metric=found.user_attrs.get("metric"),
        algorithm=found.user_attrs.get("algorithm"),
        states={state: states.count(state) for state in sorted(set(states))},
        best=trial_view(top[0]) if top else None,
        top=[trial_view(trial) for trial in top[:TOP]],
        importance=importance(found),
        history=history(found, limit),
    )


def _study_name(request: TuneRequest, card: ModelCard, begun: float) -> str:
    """The name that was asked for, or one that is the same for each attempt of a job, which `begun` at that time.

    To the millisecond: two searches of one second are two studies.
    """
    if request.study:
        return check_name(parse(request.study, "study").name, "study")
    data = parse(card.dataset, "dataset")
    stamp = datetime.fromtimestamp(begun, UTC).strftime("%y%m%d_%H%M%S_%f")[:-3]
    return f"{card.algorithm.lower()}_{data.name[:24]}_{stamp}"


def _as_search(
    study: OptunaStudy, card: ModelCard, request: TuneRequest, space: Mapping[str, BaseDistribution]
) -> Search:
    return Search(
        study=study.study_name,
        algorithm=card.algorithm,
        target=card.target,
        params=list(space),
        dataset=request.validation or card.dataset,
        best=best_first(study)[0].params,
        task=card.task,
        features=card.names,
        positive=request.positive,
        group=request.group,
        time=request.time,
    )


def _open(
    storage: Any,
    name: str,
    direction: Direction,
    objective: Objective,
    request: TuneRequest,
    space: Mapping[str, BaseDistribution],
) -> OptunaStudy:
    """Create or resume. `load_if_exists` would overlook another direction, data set or metric."""
    import optuna

    identity = _identity(objective, request)
    study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
    _require_ours(study, direction)
    for key, value in identity.items():
        known = study.user_attrs.get(key)
        if known is not None and known != value:
            raise ToolFailure(
                f"study:{name} was made with another {key} ({str(known)[:80]})", "Use another study name."
            )
        study.set_user_attr(key, value)
    _keep_kinds(study, space)
    # A resumed study with the same seed would propose its first points again.
    study.sampler = sampler(space, request.seed + len(study.trials))
    return study


def _require_ours(study: OptunaStudy, direction: Direction) -> None:
    """A study that others have made is read and never written: their scores are of something else.

    Raises:
        ToolFailure: it has another direction, or trials and not a word of what was scored.
    """
    if study.user_attrs.get("dataset"):
        return
    theirs = directions(study)
    if (foreign := bool(study.get_trials(deepcopy=False))) or theirs != direction:
        made = "was not made by tune_model" if foreign else f"searches to {theirs}, not to {direction}"
        raise ToolFailure(
            f"study:{study.study_name} {made}, so its scores cannot be compared with new ones",
            "Use another study name; get_study reads it.",
        )


def _keep_kinds(study: OptunaStudy, space: Mapping[str, BaseDistribution]) -> None:
    known: dict[str, str] = study.user_attrs.get("space") or {}
    for name, kind in kinds(space).items():
        if known.get(name, kind) != kind:
            raise ToolFailure(
                f"study:{study.study_name} has searched {name} in {known[name][:80]}, not {kind[:80]}",
                "Use another study name; of a range only the bounds may change.",
            )
    study.set_user_attr("space", known | kinds(space))


def _identity(objective: Objective, request: TuneRequest) -> dict[str, Any]:
    """All that makes two scores comparable: the same rows, folds, model and measure."""
    return {
        "algorithm": objective.card.algorithm,
        "metric": objective.metric.name,
        "dataset": objective.card.dataset,
        "validation": request.validation,
        "folds": request.folds if not request.validation else 0,
        "features": objective.card.names,
        "treatment": request.effect.treatment,
        "controls": request.effect.controls,
        "dose": request.effect.dose,
        "task": objective.card.task,
        "positive": objective.card.positive or "",
        "group": request.group,
        "time": request.time,
        "seed": request.seed,
    }


def _enqueue_default(study: OptunaStudy, objective: Objective, space: Mapping[str, BaseDistribution]) -> bool:
    """Put the algorithm's own parameters first, as a point of the space if they are one; whether they are."""
    known = objective.defaults()
    point = {name: FALLBACKS.get(name) if known.get(name) is None else known[name] for name in space}
    inside = contains(space, point)
    if inside and not study.trials:
        study.enqueue_trial(point)
    return inside
