"""Which value of a key was known at a moment: the newest one that was true and recorded by then, found by DuckDB.

A row sees the values whose time and created time are not after its own, and of these takes the one with the largest
(time, created time, place in the file). Its ASOF join (https://duckdb.org/docs/stable/guides/sql_features/asof_join)
finds the last of the values that are the best one from some moment on. All times are microseconds in UTC.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.sandbox import parquet, sandbox
from ..errors import OutOfMemory, ToolFailure, unknown
from ..runtime.work import Work
from .views import Definition

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BATCH = 1 << 20
# Rows of a file that are read at a time.
PART = 1 << 17


@dataclass(frozen=True)
class Counts:
    """What rows that have key and time see of a view."""

    rows: int
    unknown: int
    """Of these, the rows whose key has no value at any time."""
    found: int
    usable: int
    """Those whose value is not beyond its ttl."""
    later: int
    """Those before whose time lies a newer value, not beyond its ttl, that was created only after it."""
    oldest: timedelta | None


@contextmanager
def asking(work: Work) -> Generator[duckdb.DuckDBPyConnection]:
    """A connection for the queries of this module, which say where each row and value belongs: threads change nothing.

    Raises:
        OutOfMemory: the memory of a query does not suffice.
        ToolFailure: a file cannot be read.
    """
    import duckdb

    data = work.settings.data
    try:
        with sandbox(work.settings, threads=work.settings.runtime.job_threads) as connection:
            # Few rows and many are joined in one way.
            connection.execute("set asof_loop_join_threshold = 0")
            yield connection
    except (duckdb.OutOfMemoryException, MemoryError):
        limit = f"the history needs more than {data.query_memory_mb} MB (data.query_memory_mb)"
        raise OutOfMemory(limit, "Raise it, or join fewer rows at a time.") from None
    except duckdb.Error as error:
        said = f"the history cannot be read: {str(error).splitlines()[0][:200]}"
        raise ToolFailure(said, "Load the data again, then register_features.") from None


def schema_of(view: Definition) -> pa.Schema:
    """The columns of the view's file, its own among them.

    Raises:
        ToolFailure: it is over something else than a Parquet file that is there and has them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(view.path)
    except (OSError, pa.ArrowInvalid):
        raise ToolFailure(
            f"{view.handle} is not over a Parquet file that can be read here: {view.path or 'it has no path'}",
            "load_dataset its rows, then register_features.",
        ) from None
    for name in (view.entity, view.timestamp, view.created, *view.features):
        if name and name not in schema.names:
            raise unknown(f"column in the file of {view.handle}", name, schema.names, "register_features again.")
    return schema


def table_of(path: str, columns: list[str]) -> str:
    """A file in SQL, its columns called c0, c1 … after their place: names of files may be equal but for their case."""
    called = ", ".join(f"c{place}" for place in range(len(columns)))
    return f"{parquet(Path(path))} as file({called})"


def given(view: Definition) -> str:
    """SQL of all values that can be found: key, place in the file, time, created (the time where there is no such)."""
    names = schema_of(view).names
    key, time = (f"c{names.index(name)}" for name in (view.entity, view.timestamp))
    created = f"c{names.index(view.created)}" if view.created else time
    return (
        f"select {key}::{key_type(view)} as key, file_row_number as place, "
        f"{in_utc(time)} as time, {in_utc(created)} as created from {table_of(view.path, names)} "
        f"where key is not null and time is not null and created is not null"
    )


def in_utc(column: str) -> str:
    """SQL of a time of any kind in microseconds; a naive one is taken for UTC, which is the zone of the connection."""
    return f"epoch_us({column}::timestamptz)"


def key_type(view: Definition) -> str:
    return "varchar" if view.entity_type == "string" else "bigint"


def find(connection: duckdb.DuckDBPyConnection, view: Definition, asked: str) -> Counts:
    """Look up what each row of `asked` (SQL of key, row, time) sees, which `places` then tells, and count it."""
    later, newest = "false", ""
    if view.created:
        later = f"coalesce(n.created > a.time and {_young(view, 'a.time - n.time')}, false)"
        newest = "asof left join newest n on a.key = n.key and a.time >= n.time"
    connection.execute(
        f"create or replace temp table seen as with asked as ({asked}), given as ({given(view)}), "
        f"steps as ({_steps(view)}), "
        "newest as (select key, time, max(created) as created from given group by key, time), "
        f"found as (select a.key, a.row, s.place, a.time - s.time as age, {later} as later from asked a "
        f"asof left join steps s on a.key = s.key and a.time >= s.known {newest}) "
        f"select * exclude (key), case when place is null then key end as lacking, "
        f"place is not null and {_young(view, 'age')} as usable from found"
    )
    counted = (
        "select count(*), count(place), count(*) filter (usable), count(*) filter (later), max(age) filter (usable) "
        "from seen"
    )
    rows, found, usable, late, oldest = connection.sql(counted).fetchall()[0]
    unknown_keys = _unknown(connection, view) if found < rows else 0
    return Counts(rows, unknown_keys, found, usable, late, None if oldest is None else oldest * MICROSECOND)


def _young(view: Definition, age: str) -> str:
    """SQL of not being beyond the ttl, that moment included."""
    return f"{age} <= {view.ttl // MICROSECOND}" if view.ttl else "true"


def places(connection: duckdb.DuckDBPyConnection, rows: int) -> np.ndarray:
    """Where the value that `find` has found for each of so many rows stands in the view's file, int64; -1 for none."""
    import numpy as np

    found = np.full(rows, -1, dtype=np.int64)
    for batch in connection.sql("select row, place from seen where usable").to_arrow_reader(BATCH):
        found[batch.column(0).to_numpy()] = batch.column(1).to_numpy()
    return found


def _steps(view: Definition) -> str:
    """SQL of the values that are ever the best one, and from when on.

    In the order of their becoming known, that is each whose time is the latest so far. Of those that become known in
    one moment, it is the last.
    """
    if not view.created:
        return "select key, time, time as known, max(place) as place from given group by key, time"
    return (
        "select key, time, known, place from (select *, greatest(time, created) as known from given) "
        "window so_far as (partition by key order by known, time, created, place rows unbounded preceding) "
        "qualify time = max(time) over so_far and known is distinct from lead(known) over so_far"
    )


def _unknown(connection: duckdb.DuckDBPyConnection, view: Definition) -> int:
    """Rows whose key has no value at any time."""
    lacking = "select lacking as key, count(*) as rows from seen where lacking is not null group by lacking"
    sql = f"select coalesce(sum(rows), 0) from ({lacking}) l where key not in (select key from ({given(view)}))"
    return int(connection.sql(sql).fetchall()[0][0])


@dataclass(frozen=True)
class Window:
    """What a view holds beside the values of a time: until when and how many lie after it, or are not known yet."""

    first: datetime
    last: datetime
    after: int
    ahead: int


def window(connection: duckdb.DuckDBPyConnection, view: Definition, last: datetime, now: datetime) -> Window:
    """Counts the values after `last`, and those that are true but recorded after `now`."""
    sql = (
        f"select min(time), max(time), count(*) filter (time > {_us(last)}), "
        f"count(*) filter (created > {_us(now)} and time <= {_us(now)}) from ({given(view)})"
    )
    earliest, latest, after, ahead = connection.sql(sql).fetchall()[0]
    if earliest is None:
        raise ToolFailure(f"{view.handle} has no value with a key and a time", "register_features over other rows.")
    return Window(EPOCH + earliest * MICROSECOND, EPOCH + latest * MICROSECOND, after, ahead)


def newest(
    connection: duckdb.DuckDBPyConnection, view: Definition, first: datetime, last: datetime, now: datetime
) -> np.ndarray:
    """Places, in their order, of the newest value of each key in the window that is known by now."""
    sql = (
        f"select place from ({given(view)}) where time between {_us(first)} and {_us(last)} and created <= {_us(now)} "
        "qualify row_number() over (partition by key order by time desc, created desc, place desc) = 1 order by place"
    )
    return connection.sql(sql).to_arrow_table().column(0).to_numpy()


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def picked(path: str, names: Sequence[str], needed: np.ndarray) -> pa.Table:
    """Columns of the rows of a file for which `needed` (bool, one for each row) is true, each bit as it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept, first = list[pa.RecordBatch](), 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(PART, columns=list(names)):
            kept.append(batch.select(names).filter(pa.array(needed[first : first + batch.num_rows])))
            first += batch.num_rows
        schema = file.schema_arrow.empty_table().select(names).schema
    return pa.Table.from_batches(kept, schema)


def at(view: Definition, places: np.ndarray) -> np.ndarray:
    """Which rows of the view's file stand at these places, as `picked` takes it."""
    import numpy as np
    import pyarrow.parquet as pq

    needed = np.zeros(pq.read_metadata(view.path).num_rows, dtype=bool)
    needed[places] = True
    return needed
