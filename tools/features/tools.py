"""Tools of the features slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from ..handles import NewName
from ..paging import Cursor, Limit, Page
from ..runtime.models import JobView, Wait
from ..spec import Injected, Toolset, reads, writes
from ..vocabulary import Dataset
from ..vocabulary import View as ViewName
from . import client
from .models import (
    DType,
    FeatureJoin,
    JoinRequest,
    Materialized,
    MaterializeRequest,
    OnlineFeatures,
    Pushed,
    View,
    ViewStatistics,
)

Entity = Annotated[str, Field(description="Key column.")]
References = Annotated[list[str], Field(description="view:feature, or view for all.", min_length=1)]


async def register_features(
    context: Injected,
    dataset: Dataset,
    view: NewName,
    entity: Entity,
    timestamp_column: Annotated[str, Field(description="When a value became true.")],
    features: Annotated[list[str] | None, Field(description="Default: all other columns.")] = None,
    created_timestamp_column: Annotated[
        str, Field(description="When it was recorded: joins leave out later ones.")
    ] = "",
    ttl_days: Annotated[float | None, Field(gt=0, le=36500, description="Default: no limit.")] = None,
    description: str = "",
) -> View:
    """Register columns as a feature view; again to replace it."""
    request = (dataset, view, entity, timestamp_column, features or [], created_timestamp_column)
    return await context.call(client.register_features, *request, ttl_days, description)


async def register_feature(
    context: Injected,
    feature: Annotated[str, Field(description="Column of its dataset.")],
    view: ViewName,
    entity: Entity,
    dtype: DType,
    description: str = "",
) -> View:
    """Add one feature to a registered view."""
    return await context.call(client.register_feature, feature, view, entity, dtype, description)


async def list_features(context: Injected, view: ViewName = "", limit: Limit = 10, cursor: Cursor = "") -> Page[View]:
    """List feature views, or show one."""
    return await context.call(client.list_features, view, limit, cursor)


async def get_historical_features(
    context: Injected,
    dataset: Dataset,
    features: References,
    timestamp_column: Annotated[str, Field(description="Default: event_timestamp.")] = "",
    full_feature_names: Annotated[bool, Field(description="view__feature")] = False,
    name: NewName = "",
    wait_s: Wait = None,
) -> JobView[FeatureJoin]:
    """Join features to rows, as known at each row's time."""
    request = JoinRequest(
        dataset=dataset,
        features=features,
        timestamp_column=timestamp_column,
        full_feature_names=full_feature_names,
        name=name,
    )
    return await context.submit(client.get_historical_features, request, wait_s)


async def materialize_features(
    context: Injected,
    views: Annotated[list[str] | None, Field(description="Default: all.")] = None,
    start: Annotated[str, Field(description="ISO time; default: the first value.")] = "",
    end: Annotated[str, Field(description="Default: now.")] = "",
    wait_s: Wait = None,
) -> JobView[Materialized]:
    """Copy each key's newest value to the online store."""
    request = MaterializeRequest(views=views or [], start=start, end=end)
    return await context.submit(client.materialize_features, request, wait_s)


async def get_online_features(
    context: Injected,
    features: References,
    rows: Annotated[list[dict[str, JsonValue]], Field(description="One {key: value} per row.", max_length=100)],
) -> OnlineFeatures:
    """Read the newest materialized values of keys."""
    return await context.call(client.get_online_features, features, rows)


async def push_features(
    context: Injected,
    source: Annotated[str, Field(description="Push source, from list_features.")],
    rows: Annotated[
        list[dict[str, JsonValue]],
        Field(description="Keys, all features, and their time; default: now.", min_length=1, max_length=100),
    ],
) -> Pushed:
    """Write rows to a team's online features."""
    return await context.call(client.push_features, source, rows)


async def get_feature_statistics(
    context: Injected, view: ViewName, limit: Limit = 20, cursor: Cursor = ""
) -> ViewStatistics:
    """Show distributions, gaps and age of a view's features."""
    return await context.call(client.get_feature_statistics, view, limit, cursor)


TOOLSET = Toolset(
    name="features",
    description="Feature store: point-in-time joins and online values.",
    tools=(
        writes(register_features, "Register features", idempotent=True),
        writes(register_feature, "Register feature", idempotent=True),
        reads(list_features, "List features"),
        writes(get_historical_features, "Get historical features", job="short", idempotent=True),
        writes(materialize_features, "Materialize features", job="long", idempotent=True),
        reads(get_online_features, "Get online features"),
        writes(push_features, "Push features", idempotent=True),
        reads(get_feature_statistics, "Get feature statistics"),
    ),
)
