"""Tools of the registry slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..paging import Cursor, Limit, Page
from ..runtime.models import JobView, Wait
from ..spec import Injected, Toolset, reads, writes
from ..vocabulary import Group, Metric, Registered, Run
from . import client, evidence, promotion, stages
from .foreign import client as foreign
from .models import (
    GateName,
    ImportedModel,
    ImportRequest,
    LoggedModel,
    LogRequest,
    ModelLine,
    ModelVersion,
    PromoteRequest,
    Promotion,
    RegisteredModel,
    Stage,
    Transition,
    WhyThere,
)  # fmt: skip

NAMES = "A-Z, a-z, 0-9, _, -, ."


async def log_model(
    context: Injected,
    model: Annotated[str, Field(description="models:/m-… or local:<name>")],
    run: Run = "",
    name: Annotated[str, Field(description="Registers it.")] = "",
) -> LoggedModel:
    """Log a trained model in an MLflow run and optionally register it."""
    return await context.call(client.log_model, LogRequest(model=model, run=run, name=name))


async def import_model(
    context: Injected,
    dataset: Annotated[str, Field(description="Its training rows.")],
    model: Annotated[str, Field(description="A model of plain MLflow: version, models:/m-… or run:<id>.")] = "",
    path: Annotated[str, Field(description="Or a file: .skops, .onnx, .ubj/.json of XGBoost, .lgb of LightGBM.")] = "",
    preprocessor: Annotated[str, Field(description=".skops transformer before it.")] = "",
    target: str = "",
    classes: Annotated[list[str] | None, Field(description="In the order of its scores.")] = None,
    run: Run = "",
    name: Annotated[str, Field(description="Registers it.")] = "",
) -> ImportedModel:
    """Make a model trained elsewhere usable here (evaluate, explain, promote, serve); the original stays as it is."""
    request = ImportRequest(
        model=model, path=path, preprocessor=preprocessor, dataset=dataset, target=target, classes=classes or [],
        run=run, name=name,
    )  # fmt: skip
    return await context.call(foreign.import_model, request)


async def register_model(
    context: Injected,
    model: Annotated[str, Field(description="models:/m-… of train_model, or run:<id>.")],
    name: Annotated[str, Field(description=NAMES)],
    tags: Annotated[dict[str, str] | None, Field(description="{name: text}")] = None,
    description: str = "",
) -> ModelVersion:
    """Register a trained model as the next version of a name. Returns model:<name>/<version>."""
    return await context.call(client.register_model, model, name, tags or {}, description)


async def list_models(context: Injected, limit: Limit = 20, cursor: Cursor = "") -> Page[ModelLine]:
    """List registered models."""
    return await context.call(client.list_models, limit, cursor)


async def get_model(
    context: Injected,
    model: Annotated[str, Field(description="Name, model:<name>/<version> or @<alias>")],
    check: Annotated[bool, Field(description="Load it and predict some rows.")] = False,
    limit: Limit = 5,
) -> RegisteredModel:
    """Read a registered model: versions, stages, aliases, inputs; without a version, those of Production."""
    return await context.call(client.get_model, model, limit, check)


async def get_latest_version(
    context: Injected, model: Registered, stages: Annotated[list[Stage] | None, Field(description="In order.")] = None
) -> ModelVersion:
    """The newest version in Production, else Staging, or in the given stages in their order."""
    return await context.call(client.get_latest_version, model, stages or ["Production", "Staging"])


async def explain_promotion(
    context: Injected, model: Annotated[str, Field(description="Name, model:<name>/<version> or @<alias>")]
) -> WhyThere:
    """Say why a version is in its stage: who put it there, comparison, gates, decisions."""
    return await context.call(evidence.explain_promotion, model)


async def transition_stage(
    context: Injected,
    model: Annotated[str, Field(description="model:<name>/<version> or @<alias>")],
    stage: Stage,
    archive_existing: Annotated[bool, Field(description="Archive those now in it.")] = True,
) -> Transition:
    """Move a model version that loads to a stage; Staging and Production also become its alias."""
    return await context.call(stages.transition_stage, model, stage, archive_existing)


async def promote_model(
    context: Injected,
    model: Registered,
    candidate: Annotated[str, Field(description="models:/m-…, run:<id> or a version.")],
    dataset: Annotated[str, Field(description="Held-out rows.")],
    metric: Metric = "",
    min_gain: Annotated[float, Field(description="The gain's interval has to lie above it.")] = 0,
    suite: Annotated[str, Field(description="The dataset has to pass it.")] = "",
    group: Group = "",
    gates: Annotated[list[GateName] | None, Field(description="Required ones; default: all.")] = None,
    wait_s: Wait = None,
) -> JobView[Promotion]:
    """Register a candidate and put it into Production if it loads, fits and beats the version there on these rows."""
    request = PromoteRequest(
        name=model, candidate=candidate, dataset=dataset, metric=metric, min_gain=min_gain, suite=suite, group=group,
        gates=gates or [],
    )  # fmt: skip
    return await context.submit(promotion.promote_model, request, wait_s, once=True)


async def rollback_model(context: Injected, model: Registered) -> Transition:
    """Put the version back into Production that was there before."""
    return await context.call(stages.rollback_model, model)


TOOLSET = Toolset(
    name="registry",
    description="Registered models, versions, stages.",
    tools=(
        writes(log_model, "Log model"),
        writes(import_model, "Import model"),
        writes(register_model, "Register model", idempotent=True),
        reads(list_models, "List models"),
        reads(get_model, "Get model"),
        reads(get_latest_version, "Get latest version"),
        reads(explain_promotion, "Explain promotion"),
        writes(transition_stage, "Transition stage", destructive=True, idempotent=True),
        writes(promote_model, "Promote model", destructive=True, job="short"),
        writes(rollback_model, "Roll back model", destructive=True),
    ),
)
