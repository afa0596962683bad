"""Average and individual treatment effects, with the checks that belong to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..data.store import Dataset, resolve, save
from ..handles import slug
from ..modeling.effects import EffectModel
from ..modeling.store import log_effect_model, record_model, require_ready
from ..runtime.work import Work
from ..tracking.client import log_run
from ..tracking.ending import logging_run
from ..tracking.models import cut
from ..undo import deletes
from .answers import Answer, answer
from .estimate import averages, by_row, check, fitted
from .models import Effect, EffectRequest, Segment
from .notes import compares, estimand, notes
from .overlap import quantiles
from .question import Question, question
from .refute import refuted

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 5
# Characters of a list that a run keeps: MLflow has room for 6,000.
LISTED = 2000
# Segments in an answer; of more, the surest.
SHOWN = 12


def estimate_effect(work: Work, request: EffectRequest) -> Effect:
    """Estimate, log the model, and report the effect with what an honest analyst would check first."""
    require_ready(work, request.estimator, request.run, request.experiment)
    source = resolve(work, request.dataset)
    asked, threads = question(request, source), work.settings.runtime.job_threads
    check(asked)
    work.progress(1, 5, "first stages, overlap and average")
    found = averages(asked, request.target, threads)
    work.progress(2, 5, f"fitting {asked.card.algorithm} on {len(asked.rows.places)} rows")
    with work.tracer.span("fit", estimator=asked.card.algorithm, rows=len(asked.rows.places)):
        model = fitted(asked, found, threads)
    said, table = answer(asked, found, model, request.target, threads), by_row(asked, found, model)
    work.progress(3, 5, "attempts to refute it" if request.refute else "no attempts to refute it were asked for")
    refutation = refuted(asked, found, request.target, threads) if request.refute else []
    work.progress(4, 5, "logging to MLflow")
    run, uri = _log(work, request, asked, model, said)
    made = _store(work, request, asked, table, uri)
    shown, parts = _shown(work, request, asked, said)
    new = [each.handle for each in (made, parts, source) if each and each.new]
    return Effect(
        treatment=request.treatment, outcome=request.outcome, estimator=request.estimator,
        estimand=estimand(request, asked), compares=compares(asked), rows=len(asked.rows.places), effect=said.effect,
        **said.one, means=said.means, arms=said.arms if len(said.arms) > 1 else [], heterogeneity=said.heterogeneity,
        segments=shown, segments_dataset=parts.handle if parts else None,
        strongest_pair=said.strongest_pair, effect_quantiles=_quantiles(table),
        effects=made.handle, model=uri, run=run, overlap=found.overlap, balance=said.balance, first_stage=found.chosen,
        refutation=refutation, notes=notes(request, asked, found, model, table, said, refutation),
        undo=deletes(uri, None if request.run else run, *new),
    )  # fmt: skip


def _log(work: Work, request: EffectRequest, asked: Question, model: EffectModel, said: Answer) -> tuple[str, str]:
    """The run and the model in it."""
    card = asked.card
    params = {
        "algorithm": card.algorithm, "treatment": request.treatment, "target": request.outcome, "seed": request.seed,
        "estimand": estimand(request, asked), **_adjusted_for(request), **request.params,
    }  # fmt: skip
    sample = asked.rows.modifiers.head(SAMPLE_ROWS)
    with logging_run(work, request.run, request.experiment, f"effect of {request.treatment}") as run:
        log_run(work, run, params, _metrics(said), 0, {"dataset": card.dataset})
        uri = log_effect_model(work, model, card, run.removeprefix("run:"), sample)
        record_model(work, uri, [card.dataset], "estimate_effect")
    return run, uri


def _adjusted_for(request: EffectRequest) -> dict[str, str]:
    """What the number rests on beside the data."""
    given = {"controls": cut(", ".join(request.controls), LISTED), "cluster": request.cluster}
    return {name: value for name, value in given.items() if value}


def _metrics(said: Answer) -> dict[str, float]:
    every = [("effect", said.effect)]
    if len(said.arms) > 1:
        every = [(f"effect_{slug(each.arm)}", each.effect) for each in said.arms]
    return {
        name + end: value
        for name, each in every
        if each is not None
        for end, value in zip(("", "_lower", "_upper"), (each.value, *(each.interval or ())), strict=False)
        if value is not None
    }


def _shown(work: Work, request: EffectRequest, asked: Question, said: Answer) -> tuple[list[Segment], Dataset | None]:
    """The segments of the answer and, where there are too many, the dataset of all."""
    import pandas as pd
    import pyarrow as pa

    if len(said.segments) <= SHOWN:
        return said.segments, None
    surest = sorted(said.segments, key=lambda one: (one.p is None, one.p or 0.0))[:SHOWN]
    rows = [one.model_dump() for one in said.segments]
    frame = pd.DataFrame(rows).drop(columns="interval")
    for place, name in enumerate(("lower", "upper")):
        frame[name] = [row["interval"][place] if row["interval"] else None for row in rows]
    table = pa.Table.from_pandas(frame.astype({"lower": float, "upper": float}), preserve_index=False)
    name = slug(f"segments_of_{request.treatment}_on_{request.outcome}")
    return surest, save(work, table, name, [asked.card.dataset], "estimate_effect")


def _store(work: Work, request: EffectRequest, asked: Question, effects: pd.DataFrame, model: str) -> Dataset:
    import pyarrow as pa

    name = slug(f"effect_of_{request.treatment}_on_{request.outcome}")
    table = pa.Table.from_pandas(effects, preserve_index=False)
    return save(work, table, name, [asked.card.dataset, model], "estimate_effect")


def _quantiles(table: pd.DataFrame) -> dict[str, float]:
    """Of the effects by row, where there is one for each and they vary."""
    if "arm" in table or table["effect"].isna().any() or table["effect"].nunique() == 1:
        return {}
    return quantiles(table["effect"].to_numpy())
