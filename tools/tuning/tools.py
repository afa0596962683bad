"""Tools of the tuning slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue, WithJsonSchema

from ..modeling.target import TaskChoice
from ..paging import Cursor, Limit, Page
from ..runtime.models import JobView, Wait
from ..spec import Injected, Toolset, reads, writes
from ..vocabulary import Dataset, Metric, Positive, TextOrObject
from ..vocabulary import Study as StudyHandle
from . import client, compare, studies
from .models import CompareRequest, Comparison, EffectQuestion, Study, StudyLine, Tuned, TuneRequest

# A schema of its own would cost as much as half a tool.
EFFECT = "treatment, controls"
Effect = Annotated[EffectQuestion | None, WithJsonSchema({"type": "object", "description": EFFECT})]


async def tune_model(
    context: Injected,
    dataset: Dataset,
    target: str,
    algorithm: str = "XGBoost",
    search_space: Annotated[
        dict[str, JsonValue] | None,
        Field(description="[low, high], {low, high, log, choices}"),
    ] = None,
    n_trials: int = 50,
    metric: str = "",
    validation: str = "",
    folds: int = 3,
    features: list[str] | None = None,
    exclude: list[str] | None = None,
    effect: Effect = None,
    task: TaskChoice = "auto",
    positive: str = "",
    group: str = "",
    time: str = "",
    study: str = "",
    refit: bool = False,
    test: str = "",
    experiment: str = "",
    seed: int = 0,
    wait_s: Wait = None,
) -> JobView[Tuned]:
    """Search parameters by `metric` of `positive` on folds of `group`s or `time`."""
    request = TuneRequest(
        dataset=dataset, target=target, algorithm=algorithm, search_space=search_space or {}, n_trials=n_trials,
        metric=metric, validation=validation, folds=folds, features=features or [], exclude=exclude or [],
        effect=effect or EffectQuestion(), study=study, experiment=experiment, seed=seed, task=task,
        positive=positive, group=group, time=time, refit=refit, test=test,
    )  # fmt: skip
    return await context.submit(client.tune_model, request, wait_s)


async def get_study(
    context: Injected,
    study: StudyHandle,
    limit: Annotated[int, Field(ge=0, le=500, description="Trials of its history.")] = 0,
) -> Study:
    """Read a study: trials by state, the best ones, which parameters mattered."""
    return await context.call(client.get_study, study, limit)


async def list_studies(context: Injected, limit: Limit = 20, cursor: Cursor = "") -> Page[StudyLine]:
    """List studies: trials by state, best value."""
    return await context.call(studies.list_studies, limit, cursor)


async def compare_models(
    context: Injected,
    dataset: Dataset,
    target: str,
    candidates: Annotated[list[TextOrObject], Field(description="Algorithms, {algorithm, params}, models.")],
    metric: Metric = "",
    folds: int = 5,
    repeats: int = 2,
    n_trials: int = 0,
    test: str = "",
    task: TaskChoice = "auto",
    positive: Positive = "",
    group: str = "",
    time: str = "",
    features: list[str] | None = None,
    exclude: list[str] | None = None,
    experiment: str = "",
    seed: int = 0,
    wait_s: Wait = None,
) -> JobView[Comparison]:
    """Compare models on the same folds (whole `group`s, or in `time`) or on `test`. One: cross-validation."""
    request = CompareRequest(
        dataset=dataset, target=target, candidates=candidates, metric=metric, folds=folds, repeats=repeats,
        n_trials=n_trials, test=test, task=task, positive=positive, group=group, time=time,
        features=features or [], exclude=exclude or [], experiment=experiment, seed=seed,
    )  # fmt: skip
    return await context.submit(compare.compare_models, request, wait_s)


async def get_comparison(
    context: Injected,
    comparison: Annotated[str, Field(description="comparison:<id>")],
    candidate: Annotated[str, Field(description="Adds its folds.")] = "",
) -> Comparison:
    """Read a comparison again."""
    return await context.call(compare.get_comparison, comparison, candidate)


TOOLSET = Toolset(
    name="tuning",
    description="Compare models, search hyper-parameters.",
    tools=(
        writes(tune_model, "Tune model", job="long"),
        reads(get_study, "Get study"),
        reads(list_studies, "List studies"),
        writes(compare_models, "Compare models", job="long"),
        reads(get_comparison, "Get comparison"),
    ),
)
