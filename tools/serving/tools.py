"""Tools of the serving slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..features.client import get_online_features
from ..handles import NewName
from ..paging import Cursor, Limit, Page
from ..runtime.models import JobView, Wait
from ..spec import Injected, Toolset, reads, writes
from ..vocabulary import Bento, Dataset, Endpoint, Model
from . import batch, client
from .joined import asked
from .models import (
    BatchRequest,
    Deployed,
    DeployRequest,
    EndpointLine,
    Packaged,
    PackageRequest,
    Percent,
    Predicted,
    Prediction,
    Resources,
    Row,
    Stopped,
    Traffic,
)

MAX_ROWS = 100


async def package_model(
    context: Injected,
    model: Model,
    name: NewName = "",
    version: Annotated[str, Field(description="Default: a digest.")] = "",
    batchable: Annotated[bool, Field(description="Add a route that predicts concurrent requests together.")] = False,
    wait_s: Wait = None,
) -> JobView[Packaged]:
    """Package a model, with its preprocessing, as a bento that can be deployed. The same model gives the same bento."""
    request = PackageRequest(model=model, name=name, version=version, batchable=batchable)
    return await context.submit(client.package_model, request, wait_s)


async def deploy_model(
    context: Injected,
    bento: Annotated[str, Field(description="bento:<name>:<version>, or a model.")],
    endpoint: NewName,
    replicas: Annotated[int, Field(ge=1, le=16)] = 1,
    resources: Resources | None = None,
    percent: Annotated[Percent, Field(description="Below 100: share the calls with what runs there.")] = 100,
    wait_s: Wait = None,
) -> JobView[Deployed]:
    """Serve a bento at an endpoint and wait until it answers. If the endpoint exists, what runs there is replaced
    without a gap."""
    request = DeployRequest(
        bento=bento, endpoint=endpoint, replicas=replicas, resources=resources or Resources(), percent=percent
    )
    return await context.submit(client.deploy_model, request, wait_s, once=True)


async def set_traffic(
    context: Injected, endpoint: Endpoint, bento: Bento, percent: Annotated[Percent, Field(description="Of the calls.")]
) -> Traffic:
    """Set the share of calls that one of an endpoint's bentos gets; the others share the rest."""
    return await context.call(client.set_traffic, endpoint, bento, percent)


async def predict(
    context: Injected,
    endpoint: Endpoint,
    rows: Annotated[
        list[Row] | None, Field(min_length=1, max_length=MAX_ROWS, description="{feature: value}, null: missing")
    ] = None,
    features: Annotated[
        list[str] | None, Field(description="view[:feature] to read online by the keys in rows, and join.")
    ] = None,
    dataset: Annotated[str, Field(description="Instead of rows: a block of it.")] = "",
    limit: Limit = MAX_ROWS,
    cursor: Cursor = "",
) -> Prediction:
    """Predict rows through an endpoint: predictions, class probabilities, and which bento answered."""
    given = asked(rows, features, dataset)
    block = await context.call(batch.block_of, endpoint, dataset, limit, cursor) if dataset else Page(items=given)
    reading = context.calls.call("features", get_online_features, features, given, True) if features else None
    answer = await context.ask(client.predict, endpoint, block.items, await reading if reading else None)
    return answer.model_copy(update={"total": block.total, "next_cursor": block.next_cursor})


async def predict_dataset(
    context: Injected,
    model: Annotated[str, Field(description="Or endpoint:<name>, for the model it serves.")],
    dataset: Dataset,
    name: NewName = "",
    columns: Annotated[list[str] | None, Field(description="To keep; default: all.")] = None,
    wait_s: Wait = None,
) -> JobView[Predicted]:
    """Predict every row of a dataset: a dataset of predictions and probabilities, or effects."""
    request = BatchRequest(model=model, dataset=dataset, name=name, columns=columns)
    return await context.submit(batch.predict_dataset, request, wait_s)


async def list_endpoints(context: Injected, limit: Limit = 20, cursor: Cursor = "") -> Page[EndpointLine]:
    """List endpoints: state, traffic, URL and memory, as their processes are now."""
    return await context.call(client.list_endpoints, limit, cursor)


async def stop_endpoint(context: Injected, endpoint: Endpoint) -> Stopped:
    """End all processes of an endpoint. Its bentos stay."""
    return await context.call(client.stop_endpoint, endpoint)


TOOLSET = Toolset(
    name="serving",
    description="Package models and serve them.",
    tools=(
        writes(package_model, "Package model", job="short", idempotent=True),
        writes(deploy_model, "Deploy model", job="short", destructive=True),
        writes(set_traffic, "Set traffic", idempotent=True),
        reads(predict, "Predict"),
        writes(predict_dataset, "Predict dataset", job="long", idempotent=True),
        reads(list_endpoints, "List endpoints"),
        writes(stop_endpoint, "Stop endpoint", destructive=True, idempotent=True),
    ),
)
