"""Average and individual treatment effects by double machine learning (econml.dml).

Chernozhukov et al., "Double/debiased machine learning", 2018; Athey, Tibshirani, Wager, "Generalized
random forests", 2019.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..data.store import Dataset, resolve, save
from ..errors import ToolFailure
from ..handles import slug
from ..modeling.card import ModelCard
from ..modeling.frame import choose_features, design
from ..modeling.pipelines import onehot
from ..numbers import finite
from ..runtime.work import Work
from .models import Effect, EffectRequest, Overlap, Overlapping

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FOLDS = 3
TREES = 400
MIN_ARM_ROWS = 30
# Beyond these chances of treatment a row has next to no counterpart.
LOW, HIGH = 0.05, 0.95


@dataclass(frozen=True)
class Problem:
    """Outcome and treatment of shape (rows,); modifiers and controls of shape (rows, columns) or None."""

    source: Dataset
    outcome: np.ndarray
    treatment: np.ndarray
    discrete: bool
    modifiers: np.ndarray | None
    controls: np.ndarray | None
    notes: list[str]


def estimate_effect(work: Work, request: EffectRequest) -> Effect:
    """Fit, and report the effect with what an honest analyst would check first."""
    problem = _problem(work, request)
    work.progress(1, 4, "overlap")
    overlap = _overlap(problem, request.seed)
    work.progress(2, 4, f"fitting {request.estimator} on {len(problem.outcome)} rows")
    with work.tracer.span("fit", estimator=request.estimator), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _fit(problem, request, work.settings.runtime.job_threads)
        low, high = (float(bound) for bound in model.ate_interval(problem.modifiers, alpha=0.05))
        average = float(model.ate(problem.modifiers))
        rows = _per_row(model, problem)
    work.progress(3, 4, "storing effects")
    made = _store(work, request, problem, rows)
    return Effect(
        treatment=request.treatment,
        outcome=request.outcome,
        estimator=request.estimator,
        rows=len(problem.outcome),
        treated=float(problem.treatment.mean()) if problem.discrete else None,
        effect=average,
        interval=[low, high],
        naive_difference=_naive(problem),
        effect_quantiles=_quantiles(rows["effect"].to_numpy()),
        effects=made.handle,
        overlap=overlap,
        first_stage=_first_stage(model),
        notes=[*problem.notes, *_caveats(problem, overlap)],
    )


def _problem(work: Work, request: EffectRequest) -> Problem:
    source = resolve(work, request.dataset)
    named = [request.treatment, request.outcome, *request.effect_modifiers, *request.controls]
    source.require(named)
    if request.treatment == request.outcome or {request.treatment, request.outcome} & {
        *request.effect_modifiers,
        *request.controls,
    }:
        raise ToolFailure("treatment, outcome and covariates must be different columns", "Name each once.")
    if request.estimator == "CausalForest" and not request.effect_modifiers:
        raise ToolFailure("CausalForest splits on effect modifiers, and none is given", "Name some, or use LinearDML.")
    frame = source.frame(list(dict.fromkeys(named)))
    complete = frame[frame[[request.treatment, request.outcome]].notna().all(axis=1)].reset_index(drop=True)
    dropped = len(frame) - len(complete)
    treatment, discrete = _treatment(complete[request.treatment])
    return Problem(
        source,
        _numbers(complete[request.outcome]),
        treatment,
        discrete,
        _columns(complete, request, request.effect_modifiers),
        _columns(complete, request, [name for name in request.controls if name not in request.effect_modifiers]),
        [f"{dropped} rows without treatment or outcome were dropped"] if dropped else [],
    )


def _treatment(values: pd.Series) -> tuple[np.ndarray, bool]:
    numbers = _numbers(values)
    levels = sorted(set(numbers.tolist()))
    if len(levels) < 2:
        raise ToolFailure(f"the treatment {values.name!r} has one value only", "There is nothing to compare.")
    if len(levels) > 2:
        return numbers, False
    treated = (numbers == levels[1]).astype(int)
    if min(treated.sum(), len(treated) - treated.sum()) < MIN_ARM_ROWS:
        raise ToolFailure(f"fewer than {MIN_ARM_ROWS} rows are treated or untreated", "Use more data.")
    return treated, True


def _numbers(values: pd.Series) -> np.ndarray:
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float)
    if not np.isfinite(numbers).all():
        raise ToolFailure(f"{values.name} must be numbers, e.g. 0 and 1", "Recode the column.")
    return numbers


def _columns(frame: pd.DataFrame, request: EffectRequest, names: list[str]) -> np.ndarray | None:
    if not names:
        return None
    features, _ = choose_features(frame, request.outcome, names, [])
    card = ModelCard(algorithm="", task="regression", target=request.outcome, features=features, dataset="", rows=0)
    return onehot(card, scale=False).fit_transform(design(frame, card)).to_numpy(dtype=float)


def _stages(problem: Problem, seed: int) -> tuple[Any, Any]:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    treatment = HistGradientBoostingClassifier if problem.discrete else HistGradientBoostingRegressor
    return HistGradientBoostingRegressor(random_state=seed), treatment(random_state=seed)


def _fit(problem: Problem, request: EffectRequest, threads: int) -> Any:
    from econml.dml import CausalForestDML, LinearDML

    outcome, treatment = _stages(problem, request.seed)
    options: dict[str, Any] = {
        "model_y": outcome,
        "model_t": treatment,
        "discrete_treatment": problem.discrete,
        "cv": FOLDS,
        "random_state": request.seed,
    }
    if request.estimator == "CausalForest":
        model = CausalForestDML(n_estimators=TREES, n_jobs=threads, **options)
    else:
        model = LinearDML(**options)
    try:
        return model.fit(problem.outcome, problem.treatment, X=problem.modifiers, W=problem.controls)
    except (ValueError, AttributeError) as error:
        raise ToolFailure(f"{request.estimator} cannot be fitted: {str(error).splitlines()[0][:300]}") from error


def _overlap(problem: Problem, seed: int) -> Overlapping:
    """Out-of-fold chances of treatment: econml gives a number without a warning when there is no overlap at all."""
    import numpy as np
    from sklearn.model_selection import cross_val_predict

    known = [part for part in (problem.modifiers, problem.controls) if part is not None]
    if not problem.discrete or not known:
        return Overlapping(verdict="not_evaluated")
    stage = _stages(problem, seed)[1]
    both = cross_val_predict(stage, np.hstack(known), problem.treatment, cv=FOLDS, method="predict_proba")
    chances = np.asarray(both)[:, 1]
    outside = float(((chances < LOW) | (chances > HIGH)).mean())
    verdict: Overlap = "good" if outside < 0.1 else "weak" if outside < 0.5 else "none"
    return Overlapping(verdict=verdict, propensity=_quantiles(chances), outside_5_95=round(outside, 4))


def _per_row(model: Any, problem: Problem) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    if problem.modifiers is None:
        inference = model.const_marginal_effect_inference(None)
        low, high = inference.conf_int(alpha=0.05)
        values = [float(np.ravel(part)[0]) for part in (inference.point_estimate, low, high)]
        parts = [np.full(len(problem.outcome), value) for value in values]
    else:
        inference = model.const_marginal_effect_inference(problem.modifiers)
        parts = [np.ravel(part) for part in (inference.point_estimate, *inference.conf_int(alpha=0.05))]
    return pd.DataFrame(dict(zip(("effect", "lower", "upper"), parts, strict=True)))


def _store(work: Work, request: EffectRequest, problem: Problem, rows: pd.DataFrame) -> Dataset:
    import pyarrow as pa

    name = slug(request.name or f"effect_of_{request.treatment}_on_{request.outcome}")
    table = pa.Table.from_pandas(rows.assign(row=range(len(rows))), preserve_index=False)
    return save(work, table, name, [problem.source.handle], "estimate_effect")


def _naive(problem: Problem) -> float | None:
    if not problem.discrete:
        return None
    treated = problem.treatment == 1
    return float(problem.outcome[treated].mean() - problem.outcome[~treated].mean())


def _first_stage(model: Any) -> dict[str, float]:
    """Mean out-of-fold scores of the first stages (R² of the outcome; R² or accuracy of the treatment)."""
    import numpy as np

    parts = {"outcome": model.nuisance_scores_y, "treatment": model.nuisance_scores_t}
    return {name: number for name, part in parts.items() if (number := finite(np.mean(part))) is not None}


def _quantiles(values: np.ndarray) -> dict[str, float]:
    import numpy as np

    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    return {f"{share:.0%}": float(value) for share, value in zip(shares, np.quantile(values, shares), strict=True)}


def _caveats(problem: Problem, overlap: Overlapping) -> list[str]:
    notes = ["holds only if the covariates include everything that drives both treatment and outcome"]
    if overlap.verdict in ("weak", "none"):
        notes.append(
            f"{overlap.outside_5_95:.0%} of the rows were almost surely treated or untreated: "
            "the effect rests on extrapolation"
        )
    if problem.modifiers is None and problem.controls is None:
        notes.append("no covariates were given: this is no more than the naive difference")
    return notes
