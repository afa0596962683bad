"""Average and individual treatment effects by double machine learning, with the checks that belong to them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from ..data.store import Dataset, resolve, save
from ..handles import slug
from ..modeling.card import ModelCard
from ..modeling.effects import (
    FOLDS,
    EffectModel,
    EffectRows,
    effect_card,
    effect_rows,
    fit_effect,
    stages,
    treatment_of,
    unfitted,
)
from ..modeling.pipelines import onehot
from ..modeling.store import log_effect_model, record_model, require_ready
from ..numbers import finite
from ..runtime.work import Work
from ..tracking.client import end_run, log_run, start_run
from .models import Effect, EffectRequest, Overlap, Overlapping

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Beyond these chances of treatment a row has next to no counterpart.
LOW, HIGH = 0.05, 0.95


SAMPLE_ROWS = 5


def estimate_effect(work: Work, request: EffectRequest) -> Effect:
    """Fit, log the model, and report the effect with what an honest analyst would check first."""
    require_ready(work, request.estimator, request.run)
    source = resolve(work, request.dataset)
    frame = source.frame()
    card = effect_card(
        source, frame, request.estimator, request.treatment, request.outcome, request.effect_modifiers,
        request.controls, request.params, request.seed,
    )  # fmt: skip
    rows = effect_rows(frame, card)
    unfitted(card, 1)
    work.progress(1, 4, "overlap")
    overlap = _overlap(card, rows)
    work.progress(2, 4, f"fitting {card.algorithm} on {len(rows.outcome)} rows")
    with work.tracer.span("fit", estimator=card.algorithm, rows=len(rows.outcome)):
        model = fit_effect(card, rows, work.settings.runtime.job_threads)
    average, bounds, per_row = _effects(model, rows)
    work.progress(3, 4, "logging to MLflow")
    run, uri = _log(work, request, card, model, rows, average, bounds)
    made = _store(work, request, card, per_row, uri)
    return Effect(
        treatment=request.treatment,
        outcome=request.outcome,
        estimator=request.estimator,
        rows=len(rows.outcome),
        treated=float(rows.treatment.mean()) if treatment_of(card).discrete else None,
        effect=average,
        interval=bounds,
        naive_difference=_naive(card, rows),
        effect_quantiles=_quantiles(per_row["effect"].to_numpy()),
        effects=made.handle,
        model=uri,
        run=run,
        overlap=overlap,
        first_stage=_first_stage(model.estimator),
        notes=_notes(card, model, rows, overlap, bounds),
    )


def _effects(model: EffectModel, rows: EffectRows) -> tuple[float, list[float], pd.DataFrame]:
    """The average effect, its 95 % interval, and effect and interval of each row."""
    import numpy as np
    import pandas as pd

    inputs = model.inputs(rows.modifiers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        average = model.scale * float(model.estimator.ate(inputs))
        bounds = [model.scale * float(bound) for bound in model.estimator.ate_interval(inputs, alpha=0.05)]
        inference = model.estimator.const_marginal_effect_inference(inputs)
        parts = [model.scale * np.ravel(part) for part in (inference.point_estimate, *inference.conf_int(alpha=0.05))]
    every = [np.broadcast_to(part, len(rows.outcome)) for part in parts]
    return average, bounds, pd.DataFrame(dict(zip(("effect", "lower", "upper"), every, strict=True)))


def _log(
    work: Work,
    request: EffectRequest,
    card: ModelCard,
    model: EffectModel,
    rows: EffectRows,
    average: float,
    bounds: list[float],
) -> tuple[str, str]:
    """The run and the model in it."""
    run = request.run or start_run(work, request.experiment, f"effect of {request.treatment}", {}).run
    params = {
        "algorithm": card.algorithm, "treatment": request.treatment, "target": request.outcome, "seed": request.seed,
        **request.params,
    }  # fmt: skip
    metrics = {"effect": average, "effect_lower": bounds[0], "effect_upper": bounds[1]}
    log_run(work, run, params, metrics, 0, {"dataset": card.dataset})
    uri = log_effect_model(work, model, card, run.removeprefix("run:"), rows.modifiers.head(SAMPLE_ROWS))
    record_model(work, uri, [card.dataset], "estimate_effect")
    if not request.run:
        end_run(work, run, "FINISHED")
    return f"run:{run.removeprefix('run:')}", uri


def _overlap(card: ModelCard, rows: EffectRows) -> Overlapping:
    """Out-of-fold chances of treatment: econml gives a number without a warning when there is no overlap at all."""
    import numpy as np
    import pandas as pd
    from sklearn.model_selection import cross_val_predict

    treatment = treatment_of(card)
    known = [*card.features, *treatment.controls]
    if not treatment.discrete or not known:
        return Overlapping(verdict="not_evaluated")
    every = card.model_copy(update={"features": known, "params": {}})
    columns = onehot(every, scale=False).fit_transform(pd.concat([rows.modifiers, rows.controls], axis=1))
    both = cross_val_predict(stages(every)[1], columns.to_numpy(), rows.treatment, cv=FOLDS, method="predict_proba")
    chances = np.asarray(both)[:, 1]
    outside = float(((chances < LOW) | (chances > HIGH)).mean())
    verdict: Overlap = "good" if outside < 0.1 else "weak" if outside < 0.5 else "none"
    return Overlapping(verdict=verdict, propensity=_quantiles(chances), outside_5_95=round(outside, 4))


def _store(work: Work, request: EffectRequest, card: ModelCard, effects: pd.DataFrame, model: str) -> Dataset:
    import pyarrow as pa

    name = slug(request.name or f"effect_of_{request.treatment}_on_{request.outcome}")
    table = pa.Table.from_pandas(effects.assign(row=range(len(effects))), preserve_index=False)
    return save(work, table, name, [card.dataset, model], "estimate_effect")


def _naive(card: ModelCard, rows: EffectRows) -> float | None:
    if not treatment_of(card).discrete:
        return None
    treated = rows.treatment == 1
    return float(rows.outcome[treated].mean() - rows.outcome[~treated].mean())


def _first_stage(model: Any) -> dict[str, float]:
    """Mean out-of-fold scores of the first stages (R² of the outcome; R² or accuracy of the treatment)."""
    import numpy as np

    parts = {"outcome": model.nuisance_scores_y, "treatment": model.nuisance_scores_t}
    return {name: number for name, part in parts.items() if (number := finite(np.mean(part))) is not None}


def _quantiles(values: np.ndarray) -> dict[str, float]:
    import numpy as np

    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    return {f"{share:.0%}": float(value) for share, value in zip(shares, np.quantile(values, shares), strict=True)}


def _notes(
    card: ModelCard, model: EffectModel, rows: EffectRows, overlap: Overlapping, bounds: list[float]
) -> list[str]:
    notes = [f"{rows.dropped} rows without treatment or outcome were dropped"] if rows.dropped else []
    notes.append("holds only if the covariates include everything that drives both treatment and outcome")
    if overlap.verdict in ("weak", "none"):
        notes.append(
            f"{overlap.outside_5_95:.0%} of the rows were almost surely treated or untreated: "
            "the effect rests on extrapolation"
        )
    if not bounds[0] < bounds[1]:
        notes.append("econml gave the interval no width, so it says nothing")
    if model.warnings:
        notes.append("effect modifiers repeat each other: effects hold, their intervals by row do not")
    if not card.features and not treatment_of(card).controls:
        notes.append("no covariates were given: this is no more than the naive difference")
    return notes
