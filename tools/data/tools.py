"""Tools of the data slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, WithJsonSchema

from ..paging import Cursor, Limit, Page
from ..spec import Injected, Toolset, reads, writes
from . import client, query
from .models import DatasetInfo, DatasetLine, DatasetProfile, QueryResult, ReadOptions, Split
from .split import Strategy
from .synthetic import Kind

Dataset = Annotated[str, Field(description="Handle, bare name or file path.")]
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
) -> DatasetInfo:
    """Load a file, or rows of a database, as an immutable dataset; its notes say how it was read."""
    return await context.call(client.load_dataset, path, name, options, source, sql)


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
    rows: Annotated[int, Field(ge=100, le=1_000_000)] = 2000,
    seed: Annotated[int, Field(ge=0)] = 0,
    name: str = "",
) -> DatasetInfo:
    """Make synthetic pharma data: HCPs, calls, a target, a confounded treatment. Its notes tell the true effect."""
    return await context.call(client.generate_dataset, kind, rows, seed, name)


async def list_datasets(context: Injected, limit: Limit = 10, cursor: Cursor = "") -> Page[DatasetLine]:
    """List datasets, newest first."""
    return await context.call(client.list_datasets, limit, cursor)


async def describe_dataset(
    context: Injected, dataset: Dataset, columns: list[str] | None = None, limit: Limit = 20, cursor: Cursor = ""
) -> DatasetProfile:
    """Profile a dataset: types, missing and unique values, ranges, duplicates, likely identifiers."""
    return await context.call(client.describe_dataset, dataset, columns or [], limit, cursor)


async def split_dataset(
    context: Injected,
    dataset: Dataset,
    strategy: Strategy,
    column: Annotated[str, Field(description="Time column, or column to stratify by.")] = "",
    validation: Share = 0.15,
    test: Annotated[float, Field(gt=0, lt=1)] = 0.15,
    seed: Annotated[int, Field(ge=0)] = 0,
    group: Annotated[str, Field(description="Column; its rows stay in one part.")] = "",
) -> Split:
    """Split into train, validation and test datasets. Use `time` when rows have a time, or the future leaks."""
    return await context.call(client.split_dataset, dataset, strategy, column, validation, test, seed, group)


TOOLSET = Toolset(
    name="data",
    description="Load, query, generate, describe and split datasets.",
    tools=(
        writes(load_dataset, "Load dataset", idempotent=True),
        writes(query_dataset, "Query dataset", idempotent=True),
        writes(generate_dataset, "Generate dataset", idempotent=True),
        reads(list_datasets, "List datasets"),
        reads(describe_dataset, "Describe dataset"),
        writes(split_dataset, "Split dataset", idempotent=True),
    ),
)
