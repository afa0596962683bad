"""Average and individual treatment effects, with the checks that belong to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..data.store import Dataset, resolve, save
from ..handles import slug
from ..modeling.effects import EffectModel
from ..modeling.store import log_effect_model, record_model, require_ready
from ..runtime.work import Work
from ..tracking.client import end_run, log_run, start_run
from .average import around, naive
from .estimate import Averages, averages, by_row, check, fitted, per_unit
from .models import ArmEffect, Effect, EffectRequest
from .notes import compares, estimand, notes
from .overlap import quantiles
from .question import Question, question

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 5


def estimate_effect(work: Work, request: EffectRequest) -> Effect:
    """Estimate, log the model, and report the effect with what an honest analyst would check first."""
    require_ready(work, request.estimator, request.run)
    source = resolve(work, request.dataset)
    asked, threads = question(request, source), work.settings.runtime.job_threads
    check(asked)
    work.progress(1, 4, "first stages, overlap and average")
    found = averages(asked, request.target, threads)
    work.progress(2, 4, f"fitting {asked.card.algorithm} on {len(asked.rows.places)} rows")
    with work.tracer.span("fit", estimator=asked.card.algorithm, rows=len(asked.rows.places)):
        model = fitted(asked, found, threads)
    arms = arm_effects(asked, found)
    average = _average(asked, found, model, arms, threads)
    table = by_row(asked, found, model)
    work.progress(3, 4, "logging to MLflow")
    run, uri = _log(work, request, asked, model, average, arms)
    made = _store(work, request, asked, table, uri)
    return Effect(
        treatment=request.treatment, outcome=request.outcome, estimator=request.estimator,
        estimand=estimand(request, asked), compares=compares(asked), rows=len(asked.rows.places),
        treated=1 - asked.sizes[0] / sum(asked.sizes) if asked.arms else None, **average,
        arms=arms if len(arms) > 1 else [], effect_quantiles=_quantiles(table), effects=made.handle, model=uri, run=run,
        overlap=found.overlap, first_stage=found.chosen, notes=notes(request, asked, found, model, table),
    )  # fmt: skip


def arm_effects(asked: Question, found: Averages) -> list[ArmEffect]:
    """Each arm against the untreated, adjusted and naive."""
    rows, made = asked.rows, []
    for arm, each in enumerate(found.contrasts, start=1):
        plain, error = naive(rows.outcome, rows.treatment == arm, rows.treatment == 0)
        made.append(
            ArmEffect(
                arm=asked.arms[arm], rows=asked.sizes[arm], effect=each.effect, interval=each.interval(),
                population_interval=each.population_interval(), naive_difference=plain,
                naive_interval=around(plain, error),
            )
        )  # fmt: skip
    return made


def _average(
    asked: Question, found: Averages, model: EffectModel, arms: list[ArmEffect], threads: int
) -> dict[str, Any]:
    """The fields of the answer that hold one effect; of several arms there is none."""
    names = ("effect", "interval", "population_interval", "naive_difference", "naive_interval")
    if not arms:
        effect, bounds = per_unit(asked, found, model, threads)
        return dict.fromkeys(names) | {"effect": effect, "interval": bounds}
    return {name: getattr(arms[0], name) if len(arms) == 1 else None for name in names}


def _log(
    work: Work,
    request: EffectRequest,
    asked: Question,
    model: EffectModel,
    average: dict[str, Any],
    arms: list[ArmEffect],
) -> tuple[str, str]:
    """The run and the model in it."""
    card = asked.card
    run = request.run or start_run(work, request.experiment, f"effect of {request.treatment}", {}).run
    params = {
        "algorithm": card.algorithm, "treatment": request.treatment, "target": request.outcome, "seed": request.seed,
        "estimand": estimand(request, asked), **request.params,
    }  # fmt: skip
    log_run(work, run, params, _metrics(average, arms), 0, {"dataset": card.dataset})
    sample = asked.rows.modifiers.head(SAMPLE_ROWS)
    uri = log_effect_model(work, model, card, run.removeprefix("run:"), sample)
    record_model(work, uri, [card.dataset], "estimate_effect")
    if not request.run:
        end_run(work, run, "FINISHED")
    return f"run:{run.removeprefix('run:')}", uri


def _metrics(average: dict[str, Any], arms: list[ArmEffect]) -> dict[str, float]:
    every = [("effect", average["effect"], average["interval"])]
    if len(arms) > 1:
        every = [(f"effect_{slug(each.arm)}", each.effect, each.interval) for each in arms]
    return {
        name + end: value
        for name, effect, bounds in every
        for end, value in (("", effect), ("_lower", bounds[0]), ("_upper", bounds[1]))
    }


def _store(work: Work, request: EffectRequest, asked: Question, effects: pd.DataFrame, model: str) -> Dataset:
    import pyarrow as pa

    name = slug(request.name or f"effect_of_{request.treatment}_on_{request.outcome}")
    table = pa.Table.from_pandas(effects, preserve_index=False)
    return save(work, table, name, [asked.card.dataset, model], "estimate_effect")


def _quantiles(table: pd.DataFrame) -> dict[str, float]:
    """Of the effects by row, where there is one for each."""
    if "arm" in table or table["effect"].isna().any():
        return {}
    return quantiles(table["effect"].to_numpy())
