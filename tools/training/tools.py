"""Tools of the training slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from ..modeling.target import TaskChoice
from ..runtime.models import JobView, Wait
from ..spec import Injected, Toolset, reads, writes
from ..vocabulary import Dataset, Group, Metric, Model, Positive
from . import client, reproduce
from .models import (
    Algorithms,
    EvaluateRequest,
    Evaluation,
    ReproduceRequest,
    Reproduction,
    Show,
    Trained,
    TrainRequest,
)


async def list_algorithms(
    context: Injected, algorithm: Annotated[str, Field(description="Adds its parameters and search space.")] = ""
) -> Algorithms:
    """List algorithms and their tasks."""
    return await context.call(client.list_algorithms, algorithm)


async def train_model(
    context: Injected,
    dataset: Dataset,
    target: str = "",
    algorithm: Annotated[str, Field(description="Default: XGBoost.")] = "",
    study: Annotated[str, Field(description="Use its best parameters.")] = "",
    params: Annotated[dict[str, JsonValue] | None, Field(description="Over the defaults.")] = None,
    features: list[str] | None = None,
    exclude: list[str] | None = None,
    validation: str = "",
    task: TaskChoice = "auto",
    positive: Positive = "",
    group: str = "",
    time: str = "",
    run: str = "",
    experiment: str = "",
    seed: int = 0,
    wait_s: Wait = None,
) -> JobView[Trained]:
    """Train a model (models:/m-…) and score it on folds (whole `group`s, or in `time`) or on `validation`."""
    request = TrainRequest(
        dataset=dataset, target=target, algorithm=algorithm, task=task, params=params or {}, features=features or [],
        exclude=exclude or [], validation=validation, run=run, experiment=experiment, seed=seed,
        positive=positive, group=group, time=time, study=study,
    )  # fmt: skip
    return await context.submit(client.train_model, request, wait_s)


async def evaluate_model(
    context: Injected,
    model: Model,
    dataset: Dataset,
    metric: Metric = "",
    positive: Positive = "",
    group: Group = "",
    show: Annotated[list[Show] | None, Field(description="More of it.")] = None,
    by: Annotated[str, Field(description="Column to slice by.")] = "",
    at: Annotated[dict[str, float] | None, Field(description="threshold, recall, specificity, cost of a miss.")] = None,
    log: Annotated[bool, Field(description="Log the scores to the model's run.")] = True,
    wait_s: Wait = None,
) -> JobView[Evaluation]:
    """Score a model on held-out data against a baseline, with an interval, a verdict, and what is off."""
    request = EvaluateRequest(
        model=model, dataset=dataset, metric=metric, log=log, positive=positive, group=group, show=show or [], by=by,
        at=at or {},
    )  # fmt: skip
    return await context.submit(client.evaluate_model, request, wait_s)


async def reproduce_run(
    context: Injected,
    run: Annotated[str, Field(description="run:<id> or a model of train_model.")],
    wait_s: Wait = None,
) -> JobView[Reproduction]:
    """Train a model again from the same data, params and seed: what differs, to the bit or by how much."""
    return await context.submit(reproduce.reproduce_run, ReproduceRequest(run=run), wait_s)


TOOLSET = Toolset(
    name="training",
    description="Train and evaluate models.",
    tools=(
        reads(list_algorithms, "List algorithms"),
        writes(train_model, "Train model", job="long"),
        writes(evaluate_model, "Evaluate model", job="short", idempotent=True),
        writes(reproduce_run, "Reproduce run", job="long"),
    ),
)
