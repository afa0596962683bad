"""Tools of the tuning slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from ..modeling.target import TaskChoice
from ..paging import Cursor, Limit, Page
from ..runtime.models import DEFAULT_WAIT_S, JobView, Wait
from ..spec import Injected, Toolset, reads, writes
from . import client, studies
from .models import Study, StudyLine, Tuned, TuneRequest


async def tune_model(
    context: Injected,
    dataset: str,
    target: str,
    algorithm: str = "XGBoost",
    search_space: Annotated[
        dict[str, JsonValue] | None,
        Field(description="name: [low, high] | {low, high, log} | {choices}"),
    ] = None,
    n_trials: int = 50,
    metric: str = "",
    direction: str = "",
    validation: str = "",
    folds: int = 3,
    features: list[str] | None = None,
    exclude: list[str] | None = None,
    treatment: str = "",
    controls: list[str] | None = None,
    task: TaskChoice = "auto",
    positive: str = "",
    group: str = "",
    time: str = "",
    study: str = "",
    experiment: str = "",
    run: str = "",
    seed: int = 0,
    wait_s: Wait = DEFAULT_WAIT_S,
) -> JobView[Tuned]:
    """Search hyper-parameters (Optuna)."""
    request = TuneRequest(
        dataset=dataset, target=target, algorithm=algorithm, search_space=search_space or {}, n_trials=n_trials,
        metric=metric, direction=direction, validation=validation, folds=folds,
        features=features or [], exclude=exclude or [], treatment=treatment,
        controls=controls or [], study=study, experiment=experiment, run=run, seed=seed,
        task=task, positive=positive, group=group, time=time,
    )  # fmt: skip
    return await context.submit(client.tune_model, request, wait_s)


async def get_study(context: Injected, study: Annotated[str, Field(description="study:<name>")]) -> Study:
    """Read a study: trials by state, the best ones, which parameters mattered."""
    return await context.call(client.get_study, study)


async def list_studies(context: Injected, limit: Limit = 20, cursor: Cursor = "") -> Page[StudyLine]:
    """List studies: trials by state, best value."""
    return await context.call(studies.list_studies, limit, cursor)


TOOLSET = Toolset(
    name="tuning",
    description="Hyper-parameter search.",
    tools=(
        writes(tune_model, "Tune model", job="long"),
        reads(get_study, "Get study"),
        reads(list_studies, "List studies"),
    ),
)
