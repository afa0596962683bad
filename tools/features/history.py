"""Join features to rows as they were known at the time of each row."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ..data.pieces import ahead
from ..data.readers import normalise
from ..data.store import Dataset, resolve
from ..errors import ToolFailure, unknown
from ..numbers import finite, rounded
from ..runtime.work import Work
from .known import PART, asking, at, find, in_utc, key_type, picked, places, table_of
from .models import AddedColumn, ViewMatch
from .views import EVENT_TIME, KEY_TYPES, Definition, dtypes_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Rows:
    """The rows to which features are joined, and the column that holds their time."""

    source: Dataset
    schema: pa.Schema
    time: str

    def askable(self, view: Definition) -> str:
        """SQL of key, number and time of the rows that have key and time; the others cannot match.

        Raises:
            ToolFailure: the rows have no such key, or one of another type.
        """
        dtypes = dtypes_of(self.schema)
        if view.entity not in dtypes:
            raise unknown(f"key column of {self.source.handle} for {view.name}", view.entity, dtypes)
        if (dtypes[view.entity] == "string") != (view.entity_type == "string") or dtypes[view.entity] not in KEY_TYPES:
            raise ToolFailure(
                f"{view.entity} is {dtypes[view.entity]} in {self.source.handle}, {view.entity_type} in {view.handle}",
                f"Cast it by query_dataset: SELECT * REPLACE ({view.entity}::… AS {view.entity}) FROM ….",
            )
        names = self.schema.names
        key, time = (f"c{names.index(name)}" for name in (view.entity, self.time))
        return (
            f"select {key}::{key_type(view)} as key, file_row_number as row, {in_utc(time)} as time "
            f"from {table_of(str(self.source.path), names)} where key is not null and time is not null"
        )


def rows_of(work: Work, dataset: str, time: str) -> Rows:
    """The dataset and its time column: the named one, `event_timestamp`, or the only one.

    Raises:
        ToolFailure: several columns could be meant, or none.
    """
    import pyarrow.parquet as pq

    source = resolve(work, dataset)
    schema = pq.read_schema(source.path)
    times = [name for name, kind in dtypes_of(schema).items() if kind == "timestamp"]
    if time and time not in times:
        raise unknown(f"time column of {source.handle}", time, times)
    if not time and EVENT_TIME not in times and len(times) != 1:
        listed = f"Time columns: {', '.join(times)}." if times else "It has no column of times: load it with one."
        raise ToolFailure(f"which time of {source.handle} counts is not clear", f"Pass timestamp_column. {listed}")
    return Rows(source, schema, time or (EVENT_TIME if EVENT_TIME in times else times[0]))


@dataclass(frozen=True)
class Match:
    """Where each row's value stands in the view's file (int64, -1 where it has none), and why others have none."""

    report: ViewMatch
    places: np.ndarray


def match(work: Work, rows: Rows, view: Definition) -> Match:
    """Look up which value of the view was known at the time of each row, and is not older than the ttl."""
    asked, every = rows.askable(view), rows.source.info.rows
    with asking(work) as connection, work.tracer.span("duckdb", view=view.name, rows=every):
        counts = find(connection, view, asked)
        found = places(connection, every)
    report = ViewMatch(
        view=view.handle,
        matched=counts.usable,
        key_or_time_missing=every - counts.rows,
        key_unknown=counts.unknown,
        before_first_value=counts.rows - counts.found - counts.unknown,
        older_than_ttl=counts.found - counts.usable,
        created_later=counts.later,
        oldest_match_days=None if counts.oldest is None else round(counts.oldest / DAY, 2),
    )
    return Match(report, found)


@dataclass(frozen=True)
class Joined:
    """The features of one view: those of its values that any row has, and which of them each row has."""

    values: pa.Table
    index: pa.Array

    def of(self, first: int, rows: int) -> pa.Table:
        """The features of some rows, null where a row has no value."""
        return self.values.take(self.index.slice(first, rows))


def gather(view: Definition, names: Sequence[str], places: np.ndarray) -> Joined:
    """Read the values that rows have out of the view's file, bit by bit as they are."""
    import numpy as np
    import pyarrow as pa

    has = places >= 0
    needed = at(view, places[has])
    values, _ = normalise(picked(view.path, names, needed))
    ranks = np.cumsum(needed) - 1
    return Joined(values.combine_chunks(), pa.array(ranks[places * has], mask=~has))


def parts(work: Work, rows: Rows, joined: Sequence[tuple[Joined, Sequence[str]]]) -> Generator[pa.Table]:
    """The rows with what was joined to them, under its new names, some at a time; at least one table."""
    first, every = 0, rows.source.info.rows
    with closing(ahead(_joined_parts(rows, joined))) as made:
        for part in made:
            yield part
            first += len(part)
            if every:
                work.progress(first, every, f"row {first} of {every}")


def _joined_parts(rows: Rows, joined: Sequence[tuple[Joined, Sequence[str]]]) -> Generator[pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = 0
    with pq.ParquetFile(rows.source.path) as file:
        for batch in file.iter_batches(PART):
            yield _beside(pa.Table.from_batches([batch]), first, joined)
            first += batch.num_rows
    if not first:
        yield _beside(rows.schema.empty_table(), 0, joined)


def _beside(table: pa.Table, first: int, joined: Sequence[tuple[Joined, Sequence[str]]]) -> pa.Table:
    for view, names in joined:
        for name, column in zip(names, view.of(first, table.num_rows).columns, strict=True):
            table = table.append_column(name, column)
    return table


def output_names(rows: Rows, wanted: Sequence[tuple[Definition, list[str]]], full: bool) -> list[list[str]]:
    """The columns that the features of each view become.

    Raises:
        ToolFailure: two columns would have the same name.
    """
    names = [[f"{view.name}__{name}" if full else name for name in features] for view, features in wanted]
    taken_once(rows, names, full)
    return names


def taken_once(rows: Rows, names: Sequence[Sequence[str]], full: bool) -> None:
    """Raises ToolFailure where a column of these views, or of the rows, would have the name of another one."""
    taken = set(rows.schema.names)
    for name in (name for part in names for name in part):
        if name in taken:
            where = rows.source.handle if name in rows.schema.names else "two views"
            hint = "Leave the feature out." if full else "Pass full_feature_names=true."
            raise ToolFailure(f"{name} would exist twice: it is also in {where}", hint)
        taken.add(name)


def summary(name: str, values: pa.ChunkedArray) -> AddedColumn:
    """What a joined column looks like; NaN counts as missing."""
    import numpy as np
    import pyarrow as pa

    kind, known, mean = values.type, len(values) - values.null_count, None
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        numbers = values.drop_null().cast(pa.float64(), safe=False).to_numpy()
        numbers = numbers[~np.isnan(numbers)]
        known, mean = len(numbers), finite(numbers.mean()) if len(numbers) else None
    missing = rounded((len(values) - known) / max(1, len(values)))
    return AddedColumn(name=name, missing=missing, mean=mean)
