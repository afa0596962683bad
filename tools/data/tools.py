"""Tools of the data slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, WithJsonSchema

from ..paging import Cursor, Limit, Page
from ..runtime.models import JobView, Wait
from ..spec import Injected, Toolset, reads, writes
from ..vocabulary import Dataset, Group
from . import client, comparison, description, query
from .models import (
    CompareRequest,
    DatasetComparison,
    DatasetInfo,
    DatasetLine,
    DatasetProfile,
    Loaded,
    LoadRequest,
    QueryResult,
    ReadOptions,
    Split,
)
from .split import Strategy
from .synthetic import Kind

# Each option with a schema of its own would cost as much as two tools.
OPTIONS = (
    "Where notes or errors ask: encoding, separator, quote, header (bool), skip_rows, decimal, day_first (bool), types"
    " {column: text|number|time|boolean}, time_format, null_values [], bad_cells null, bad_rows drop|pad, sheet."
)
Options = Annotated[ReadOptions | None, WithJsonSchema({"type": "object", "description": OPTIONS})]
Share = Annotated[float, Field(ge=0, lt=1)]


async def load_dataset(
    context: Injected,
    path: Annotated[str, Field(description="Parquet (folders too), Feather, CSV, JSON, Excel; packed too.")] = "",
    name: Annotated[str, Field(description="Default: the file's or source's.")] = "",
    options: Options = None,
    source: Annotated[
        str, Field(description="Database of data.sources; source:<name>/<table> goes where a dataset goes.")
    ] = "",
    sql: Annotated[str, Field(description="One SELECT, for `source`.")] = "",
    wait_s: Wait = None,
) -> Loaded:
    """Load a file, or rows of a database, as an immutable dataset; its notes say how it was read."""
    if path and not source and await context.call(client.is_long, path):
        request = LoadRequest(path=path, name=name, options=options)
        return Loaded.of(await context.submit(client.load_large_file, request, wait_s))
    return Loaded.of(await context.call(client.load_dataset, path, name, options, source, sql))


async def query_dataset(
    context: Injected,
    sql: Annotated[
        str, Field(description='One DuckDB SELECT; tables are datasets: loans, "dataset:loans@3f2a9c81d0be", "a.csv".')
    ],
    name: str = "",
) -> QueryResult:
    """Filter, cast, rename, derive, deduplicate, aggregate or join datasets by SQL into a new dataset."""
    return await context.call(query.query_dataset, sql, name)


async def generate_dataset(
    context: Injected,
    kind: Kind = "e2i_classification",
    n_rows: Annotated[int, Field(ge=100, le=1_000_000)] = 2000,
    seed: Annotated[int, Field(ge=0)] = 0,
    name: str = "",
) -> DatasetInfo:
    """Make synthetic pharma data: HCPs, calls, a target, a confounded treatment. Its notes tell the true effect."""
    return await context.call(client.generate_dataset, kind, n_rows, seed, name)


async def list_datasets(context: Injected, limit: Limit = 10, cursor: Cursor = "") -> Page[DatasetLine]:
    """List datasets, newest first."""
    return await context.call(client.list_datasets, limit, cursor)


async def describe_dataset(
    context: Injected,
    dataset: Dataset,
    target: Annotated[str, Field(description="Scores each column alone against it; names leaks.")] = "",
    columns: Annotated[list[str] | None, Field(description="Default: all.")] = None,
    limit: Limit = 15,
    cursor: Cursor = "",
) -> DatasetProfile:
    """Profile a dataset: types, missing, quantiles, duplicates, odd cells, likely identifiers, groups and times."""
    return await context.call(description.describe_dataset, dataset, columns or [], limit, cursor, target)


async def compare_datasets(
    context: Injected,
    reference: Annotated[str, Field(description="Dataset; or model, endpoint: its training data.")],
    current: Annotated[str, Field(description="Dataset, or endpoint:<name> for its log.")],
    columns: Annotated[list[str] | None, Field(description="Default: all.")] = None,
    target: str = "",
    key: Annotated[str, Field(description="Names the same row in both.")] = "",
    wait_s: Wait = None,
) -> JobView[DatasetComparison]:
    """What drifted: schema, missing, distributions (tested, corrected), units; and rows shared by both."""
    request = CompareRequest(reference=reference, current=current, columns=columns or [], target=target, key=key)
    return await context.submit(comparison.compare_datasets, request, wait_s)


async def split_dataset(
    context: Injected,
    dataset: Dataset,
    strategy: Strategy,
    column: Annotated[str, Field(description="Time column, column to stratify by, or group.")] = "",
    validation_share: Share = 0.15,
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.15,
    seed: Annotated[int, Field(ge=0)] = 0,
    group: Group = "",
    target: Annotated[str, Field(description="Counts shared rows with another target.")] = "",
) -> Split:
    """Split into train, validation, test datasets; says what they share. Use `time` when rows have one, or the future
    leaks."""
    request = (dataset, strategy, column, validation_share, test_share, seed, group, target)
    return await context.call(client.split_dataset, *request)


TOOLSET = Toolset(
    name="data",
    description="Load, query, generate, describe, compare and split datasets.",
    tools=(
        writes(load_dataset, "Load dataset", idempotent=True, job="long"),
        writes(query_dataset, "Query dataset", idempotent=True),
        writes(generate_dataset, "Generate dataset", idempotent=True),
        reads(list_datasets, "List datasets"),
        reads(describe_dataset, "Describe dataset"),
        reads(compare_datasets, "Compare datasets", job="short"),
        writes(split_dataset, "Split dataset", idempotent=True),
    ),
)
