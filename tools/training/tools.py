"""Tools of the training slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from ..modeling.target import TaskChoice
from ..runtime.models import DEFAULT_WAIT_S, JobView, Wait
from ..spec import Injected, Toolset, reads, writes
from . import client
from .models import Algorithms, EvaluateRequest, Evaluation, Show, Trained, TrainRequest

Dataset = Annotated[str, Field(description="Handle or file path.")]


async def list_algorithms(context: Injected) -> Algorithms:
    """List algorithms with their tasks, starting parameters and default search spaces."""
    return await context.call(client.list_algorithms)


async def train_model(
    context: Injected,
    dataset: Dataset,
    target: str,
    algorithm: str = "XGBoost",
    params: Annotated[dict[str, JsonValue] | None, Field(description="Over the algorithm's defaults.")] = None,
    features: Annotated[list[str] | None, Field(description="Default: all that can be.")] = None,
    exclude: list[str] | None = None,
    validation: Annotated[str, Field(description="Dataset to score on as well.")] = "",
    task: TaskChoice = "auto",
    positive: str = "",
    group: str = "",
    time: str = "",
    run: Annotated[str, Field(description="Log into this run; default: a new one.")] = "",
    experiment: str = "",
    seed: int = 0,
    wait_s: Wait = DEFAULT_WAIT_S,
) -> JobView[Trained]:
    """Train a model (models:/m-…) and score it on folds (whole `group`s, or in `time`) or on `validation`."""
    request = TrainRequest(
        dataset=dataset, target=target, algorithm=algorithm, task=task, params=params or {}, features=features or [],
        exclude=exclude or [], validation=validation, run=run, experiment=experiment, seed=seed,
        positive=positive, group=group, time=time,
    )  # fmt: skip
    return await context.submit(client.train_model, request, wait_s)


async def evaluate_model(
    context: Injected,
    model: Annotated[str, Field(description="models:/m-…, model:<name>/<version> or run:<id>.")],
    dataset: Dataset,
    metric: Annotated[str, Field(description="Primary metric; default auc or rmse.")] = "",
    positive: str = "",
    group: str = "",
    show: list[Show] | None = None,
    by: Annotated[str, Field(description="Column to slice by.")] = "",
    at: Annotated[dict[str, float] | None, Field(description="threshold, recall, specificity, cost of a miss.")] = None,
    log: Annotated[bool, Field(description="Log the scores to the model's run.")] = True,
    wait_s: Wait = DEFAULT_WAIT_S,
) -> JobView[Evaluation]:
    """Score a model on held-out data against a baseline, with an interval, a verdict, and what is off."""
    request = EvaluateRequest(
        model=model, dataset=dataset, metric=metric, log=log, positive=positive, group=group, show=show or [], by=by,
        at=at or {},
    )  # fmt: skip
    return await context.submit(client.evaluate_model, request, wait_s)


TOOLSET = Toolset(
    name="training",
    description="Train and evaluate models.",
    tools=(
        reads(list_algorithms, "List algorithms"),
        writes(train_model, "Train model", job="long"),
        writes(evaluate_model, "Evaluate model", job="short", idempotent=True),
    ),
)
