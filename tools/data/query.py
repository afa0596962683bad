"""Datasets asked by SQL; the answer is a dataset as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ToolFailure
from ..runtime.work import Work
from .bounds import few, named
from .columnar import columnar
from .models import QueryResult
from .preview import ROWS, first_rows
from .readers import plain_names
from .sandbox import lock, run_into, sandbox
from .statement import query_of
from .store import Dataset, looks_like_path, resolve, save, save_parts, spilling

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN_COLUMNS = 40


def query_dataset(work: Work, sql: str, name: str) -> QueryResult:
    """Run one query over datasets and store what it returns.

    Tables are datasets by bare name, handle or path. The same query over the same data gives the same dataset.

    Raises:
        ToolFailure: it is no single query, is wrong, names what is no dataset, or exceeds a limit.
    """
    with spilling(work) as folder:
        file = folder / "rows.parquet"
        with sandbox(work.settings) as connection:
            statement = query_of(connection, sql)
            sources = {table: _dataset(work, table) for table in statement.datasets}
            views = _views(sources)
            lock(connection, views)
            with work.tracer.span("duckdb", tables=len(views)):
                rows = run_into(connection, sql, work.settings.data, file)
        # What the connection holds is given back before the rows are stored.
        notes = ["it reads the clock or draws identifiers: run again, it may return others"] if statement.timely else []
        notes += _durations(sources)
        parents = list(dict.fromkeys(source.handle for source in sources.values()))
        made = _kept(work, rows, file, Result(name or _named_after(list(sources.values())), parents, notes, sql))
    return _told(made, parents)


@dataclass(frozen=True)
class Result:
    """What the rows of a query are stored as."""

    name: str
    parents: list[str]
    notes: list[str]
    sql: str


def _kept(work: Work, rows: pa.Table | None, file: Path, result: Result) -> Dataset:
    """The rows as a dataset, be they in memory or in the file."""
    by = "query_dataset"
    if rows is None:
        with file.open("rb") as spilled:
            if found := columnar("the result", spilled):
                notes = [*result.notes, *found.renamed, *found.notes]
                return save_parts(work, found.parts(), result.name, result.parents, by, notes, result.sql)
        rows = _read(file)
    table, renamed = plain_names(rows)
    notes = [*result.notes, *renamed, *([] if table.num_rows else ["it returns no rows"])]
    return save(work, table, result.name, result.parents, by, notes, result.sql)


def _read(file: Path) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.ParquetFile(file).read()


def _dataset(work: Work, table: str) -> Dataset:
    """The dataset behind a table's name, whose case SQL does not tell apart."""
    return resolve(work, table if looks_like_path(table) else table.lower())


def _views(sources: Mapping[str, Dataset]) -> dict[str, Path]:
    """Name -> file; names that differ by case alone are one name in SQL."""
    views = dict[str, Path]()
    for table, source in sources.items():
        if views.setdefault(table.lower(), source.path) != source.path:
            raise ToolFailure(
                f"{table!r} and another name differ by case alone", "Pass the handle of one: load_dataset gives it."
            )
        _require_told_apart(table, source)
    return views


def _require_told_apart(table: str, source: Dataset) -> None:
    """SQL would take one column for another one.

    Raises:
        ToolFailure: columns that differ by case alone.
    """
    seen = dict[str, str]()
    for column in source.info.columns:
        if (before := seen.setdefault(column.lower(), column)) != column:
            raise ToolFailure(
                f"{table} has columns that SQL cannot tell apart: {before!r} and {column!r}",
                "Rename one where the data come from, and load them again.",
            )


def _durations(sources: Mapping[str, Dataset]) -> list[str]:
    """What Parquet, and so DuckDB, knows of spans of time: their numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = [
        f"{table}.{field.name} ({field.type.unit})"
        for table, source in sources.items()
        for field in pq.read_schema(source.path)
        if pa.types.is_duration(field.type)
    ]
    return [f"durations are whole numbers here: {named(found)}"] if found else []


def _named_after(sources: list[Dataset]) -> str:
    """A name for the result, after what it was made of."""
    first = sources[0].name if sources else "values"
    return first if first.endswith("_query") else f"{first[:57]}_query"


def _head(made: Dataset) -> pa.Table:
    """The first rows, without reading the others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(made.path)
    return pa.Table.from_batches(list(islice(file.iter_batches(ROWS), 1)), file.schema_arrow)


def _told(made: Dataset, parents: list[str]) -> QueryResult:
    stored = _head(made)
    shown = few(made.info.columns, SHOWN_COLUMNS, 1500)
    rows, cut = first_rows(stored)
    more = len(made.info.columns) - len(shown)
    cut += [f"{more} more columns; describe_dataset pages through all"] if more else []
    return QueryResult(
        dataset=made.handle,
        rows=made.info.rows,
        columns={column: str(stored.schema.field(column).type) for column in shown},
        first_rows=rows,
        sources=parents,
        notes=[*made.info.notes, *cut],
        undo=made.info.undo,
    )
