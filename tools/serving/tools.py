"""Tools of the serving slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, WithJsonSchema

from ..features.client import get_online_features
from ..handles import NewName
from ..paging import Cursor, Limit, OwnPage, Page
from ..runtime.models import JobView, Wait
from ..spec import Injected, Toolset, reads, writes
from ..vocabulary import Bento, Dataset, Endpoint, Model
from . import batch, client, stored
from .joined import asked
from .models import (
    BatchRequest,
    Canary,
    Deployed,
    DeployRequest,
    EndpointLine,
    EndpointLogs,
    EndpointView,
    Packaged,
    PackageRequest,
    Percent,
    Predicted,
    Prediction,
    Resources,
    RollbackRequest,
    Row,
    Stopped,
    StoredLine,
    Traffic,
)
from .targets import applying, exporting
from .targets.answers import Applied, ApplyRequest, Exported, ExportRequest, Platform, Standing

MAX_ROWS = 100
# A schema of its own would cost as much as half a tool.
CANARY = "steps: [percent, …], hold_s, max_error_rate, max_p99_ms: else back"
LIMITS = "Per replica: {cpu, memory: 2Gi}"
Limited = Annotated[Resources | None, WithJsonSchema({"type": "object", "description": LIMITS})]
Proving = Annotated[Canary | None, WithJsonSchema({"type": "object", "description": CANARY})]


async def package_model(
    context: Injected,
    model: Model,
    name: NewName = "",
    version: Annotated[str, Field(description="Default: a digest.")] = "",
    batchable: Annotated[bool, Field(description="Add a route for concurrent requests.")] = False,
    wait_s: Wait = None,
) -> JobView[Packaged]:
    """Package a model with its preprocessing as a bento; the same model as the same."""
    request = PackageRequest(model=model, name=name, version=version, batchable=batchable)
    return await context.submit(client.package_model, request, wait_s)


async def list_bentos(context: Injected, limit: Limit = 20, cursor: Cursor = "") -> OwnPage[StoredLine]:
    """List all bentos and models of BentoML's store, and why one cannot be deployed."""
    return await context.call(stored.list_bentos, limit, cursor)


async def deploy_model(
    context: Injected,
    bento: Annotated[str, Field(description="bento:<name>:<version>, or a model.")],
    endpoint: NewName,
    replicas: Annotated[int, Field(ge=1, le=16)] = 1,
    resources: Resources | None = None,
    log_sample: Annotated[float, Field(ge=0, le=1, description="Share of rows to log.")] = 0,
    percent: Annotated[Percent, Field(description="Below 100: shares the calls.")] = 100,
    canary: Proving = None,
    shadow: Annotated[bool, Field(description="Only compare answers.")] = False,
    wait_s: Wait = None,
) -> JobView[Deployed]:
    """Serve a bento at an endpoint and wait until it answers. What runs there is replaced without a gap."""
    request = DeployRequest(
        bento=bento, endpoint=endpoint, replicas=replicas, resources=resources or Resources(), percent=percent,
        canary=canary, shadow=shadow, log_sample=log_sample,
    )  # fmt: skip
    return await context.submit(client.deploy_model, request, wait_s, once=True)


async def set_traffic(
    context: Injected, endpoint: Endpoint, bento: Bento, percent: Annotated[Percent, Field(description="Of calls.")]
) -> Traffic:
    """Set the share of calls of one bento of an endpoint."""
    return await context.call(client.set_traffic, endpoint, bento, percent)


async def predict(
    context: Injected,
    endpoint: Endpoint,
    rows: Annotated[
        list[Row] | None, Field(min_length=1, max_length=MAX_ROWS, description="{feature: value}, null: missing")
    ] = None,
    features: Annotated[list[str] | None, Field(description="view[:feature], read online by keys in rows.")] = None,
    dataset: Annotated[str, Field(description="In place of rows.")] = "",
    cursor: Cursor = "",
) -> Prediction:
    """Predict rows through an endpoint; of a dataset 100 at a time."""
    given = asked(rows, features, dataset)
    block = await context.call(batch.block_of, endpoint, dataset, MAX_ROWS, cursor) if dataset else Page(items=given)
    reading = context.calls.call("features", get_online_features, features, given, True) if features else None
    answer = await context.ask(client.predict, endpoint, block.items, await reading if reading else None)
    return answer.model_copy(update={"total": block.total, "next_cursor": block.next_cursor})


async def predict_dataset(
    context: Injected,
    model: Annotated[str, Field(description="Or endpoint:<name>, for its model.")],
    dataset: Dataset,
    name: NewName = "",
    columns: Annotated[list[str] | None, Field(description="To keep.")] = None,
    wait_s: Wait = None,
) -> JobView[Predicted]:
    """Predict every row of a dataset: predictions, probabilities or effects."""
    request = BatchRequest(model=model, dataset=dataset, name=name, columns=columns)
    return await context.submit(batch.predict_dataset, request, wait_s)


async def list_endpoints(context: Injected, limit: Limit = 20, cursor: Cursor = "") -> OwnPage[EndpointLine]:
    """List endpoints: state, traffic, URL, memory."""
    return await context.call(client.list_endpoints, limit, cursor)


async def get_endpoint(context: Injected, endpoint: Endpoint) -> EndpointView:
    """Versions of an endpoint: shares, health, calls, errors, p50/p99, restarts, events."""
    return await context.call(client.get_endpoint, endpoint)


async def get_endpoint_logs(context: Injected, endpoint: Endpoint) -> EndpointLogs:
    """The end of each bento's log."""
    return await context.call(client.get_endpoint_logs, endpoint)


async def rollback_endpoint(context: Injected, endpoint: Endpoint, wait_s: Wait = None) -> JobView[Deployed]:
    """Go back to what served before the newest bento of an endpoint."""
    return await context.submit(client.rollback_endpoint, RollbackRequest(endpoint=endpoint), wait_s, once=True)


async def export_deployment(
    context: Injected,
    platform: Platform,
    name: NewName,
    traffic: Annotated[dict[str, Percent], Field(description="{bento or model: percent}")],
    replicas: Annotated[int, Field(ge=1, le=100)] = 1,
    resources: Limited = None,
    wait_s: Wait = None,
) -> JobView[Exported]:
    """Write what others serve bentos with: images, manifests, configuration."""
    request = ExportRequest(
        platform=platform, name=name, traffic=traffic, replicas=replicas, resources=resources or Resources()
    )
    return await context.submit(exporting.export_deployment, request, wait_s)


async def apply_deployment(
    context: Injected,
    export: Annotated[str, Field(description="export:<id>")],
    withdraw: bool = False,
    wait_s: Wait = None,
) -> JobView[Applied]:
    """Apply an export to the cluster or account of the settings; `withdraw`: take it away."""
    return await context.submit(applying.apply_deployment, ApplyRequest(export=export, withdraw=withdraw), wait_s)


async def get_deployment(context: Injected, export: str) -> Standing:
    """State and address of an applied `export`."""
    return await context.call(applying.get_deployment, export)


async def stop_endpoint(context: Injected, endpoint: Endpoint) -> Stopped:
    """End all processes of an endpoint. Its bentos stay."""
    return await context.call(client.stop_endpoint, endpoint)


TOOLSET = Toolset(
    name="serving",
    description="Package models and serve them.",
    tools=(
        writes(package_model, "Package model", job="short", idempotent=True),
        reads(list_bentos, "List bentos"),
        writes(deploy_model, "Deploy model", job="short", destructive=True),
        writes(set_traffic, "Set traffic", idempotent=True),
        reads(predict, "Predict"),
        writes(predict_dataset, "Predict dataset", job="long", idempotent=True),
        reads(list_endpoints, "List endpoints"),
        reads(get_endpoint, "Get endpoint"),
        reads(get_endpoint_logs, "Get endpoint logs"),
        writes(rollback_endpoint, "Roll back endpoint", job="short", destructive=True),
        writes(export_deployment, "Export deployment", job="short", idempotent=True),
        writes(apply_deployment, "Apply deployment", job="short", destructive=True, idempotent=True, open_world=True),
        reads(get_deployment, "Get deployment", open_world=True),
        writes(stop_endpoint, "Stop endpoint", destructive=True, idempotent=True),
    ),
)
