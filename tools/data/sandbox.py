"""DuckDB behind locks: it reads the files that it is given and nothing else, and is bounded in time and memory."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ...config.settings import DataSettings, Settings
from ..errors import OutOfMemory, ToolFailure
from ..storage.state_files import private_folder
from .statement import said

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BATCH = 100_000
# More bytes than these wait on disk to be stored.
HELD = 128 << 20
LEFT_S = 600.0
# What no Parquet file holds, and Arrow as bytes that only DuckDB understands.
UNSTORABLE = ("INTERVAL", "UNION", "BIT", "BIGNUM", "VARINT", "GEOMETRY", "TIME WITH TIME ZONE")


@contextmanager
def sandbox(settings: Settings, database: str = ":memory:", threads: int = 1) -> Generator[duckdb.DuckDBPyConnection]:
    """A connection that is not locked yet: `lock` it before it is given SQL of an agent.

    By one thread, sums of floats, and rows that no order is asked for, come out alike each time.
    """
    import duckdb

    data, folder = settings.data, private_folder(settings.home / "queries")
    _remove_left(folder, data.query_timeout_s)
    with TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as spill:
        given = _configuration(data, Path(spill)) | {"threads": str(threads)}
        connection = duckdb.connect(database, read_only=database != ":memory:", config=given)
        try:
            connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
            yield connection
        finally:
            connection.close()


def _remove_left(folder: Path, timeout_s: float) -> None:
    """Delete what processes that were killed in a query have left behind."""
    for left in folder.iterdir():
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > timeout_s + LEFT_S:
                shutil.rmtree(left, ignore_errors=True)


def _configuration(data: DataSettings, spill: Path) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "memory_limit": f"{data.query_memory_mb}MiB",
        "temp_directory": str(spill / "spill"),
        "max_temp_directory_size": f"{data.query_spill_mb}MiB",
        "home_directory": str(spill),
        "secret_directory": str(spill),
        "python_enable_replacements": "false",
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
        "allow_community_extensions": "false",
        "allow_persistent_secrets": "false",
    }


def lock(connection: duckdb.DuckDBPyConnection, views: Mapping[str, Path]) -> None:
    """Show Parquet files under names, and close the door to every other file, the network and all settings."""
    paths = [str(path) for path in dict.fromkeys(views.values())]
    connection.execute(f"set allowed_paths = [{', '.join(map(literal, paths))}]")
    for name, path in views.items():
        connection.execute(f"create view {quoted(name)} as select * from {parquet(path)}")
    connection.execute("set enable_external_access = false")
    # Samples and random numbers are the same each time as well.
    connection.execute("select setseed(0.5)")
    connection.execute("set lock_configuration = true")


def parquet(path: Path, *options: str) -> str:
    """A file as a table. Its limits leave NaN out, so that without a word rows that hold one are passed over.

    https://github.com/duckdb/duckdb/pull/17883
    """
    given = ("hive_partitioning = false", "can_have_nan = true", *options)
    return f"read_parquet({', '.join([literal(str(path)), *given])})"


def literal(text: str) -> str:
    """A text as SQL writes it, whatever it holds."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name as SQL writes it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def run(connection: duckdb.DuckDBPyConnection, sql: str, data: DataSettings) -> pa.Table:
    """The rows of a query, within the limits of time, memory and size.

    Raises:
        ToolFailure: the query is wrong, takes too long, or returns too much or what cannot be stored.
    """
    with _batches(connection, sql, data) as reader:
        return bounded(reader.schema, reader, data)


def run_into(connection: duckdb.DuckDBPyConnection, sql: str, data: DataSettings, file: Path) -> pa.Table | None:
    """`run`; None where the rows are more than are held, which then are in a Parquet file."""
    with _batches(connection, sql, data) as reader:
        return _held_or_spilled(reader.schema, reader, data, file)


@contextmanager
def _batches(connection: duckdb.DuckDBPyConnection, sql: str, data: DataSettings) -> Generator[pa.RecordBatchReader]:
    import duckdb

    try:
        with stopped_after(data.query_timeout_s, connection.interrupt):
            relation = connection.sql(sql)
            _require_storable(relation.columns, relation.types)
            yield relation.to_arrow_reader(BATCH)
    except duckdb.InterruptException:
        raise too_slow(data) from None
    except (duckdb.OutOfMemoryException, MemoryError):
        raise _too_hungry(data) from None
    except duckdb.Error as error:
        raise _wrong(error) from None
    except OSError as error:
        raise _streamed(error, data) from None


def _streamed(error: OSError, data: DataSettings) -> Exception:
    """What Arrow has made of an error of DuckDB while it took the rows; one of the system has a number."""
    if error.errno is not None:
        return error
    kind = str(error).partition(" Error")[0].upper()
    return too_slow(data) if kind == "INTERRUPT" else _too_hungry(data) if kind == "OUT OF MEMORY" else _wrong(error)


def _too_hungry(data: DataSettings) -> OutOfMemory:
    limit = f"the query needs more than {data.query_memory_mb} MB (data.query_memory_mb)"
    return OutOfMemory(limit, "Filter rows, select fewer columns, or aggregate first.")


def _wrong(error: Exception) -> ToolFailure:
    return ToolFailure(said(error), "DESCRIBE <dataset> lists its columns with their types.")


def _held_or_spilled(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], data: DataSettings, file: Path
) -> pa.Table | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept, size, rest = list[pa.RecordBatch](), 0, iter(_limited(batches, data))
    for batch in rest:
        kept.append(batch)
        size += batch.nbytes
        if size > HELD:
            break
    else:
        return pa.Table.from_batches(kept, schema)
    with pq.ParquetWriter(file, schema, compression="snappy", use_dictionary=False) as writer:
        for batch in chain(_taken(kept), rest):
            writer.write_batch(batch)
    return None


def _taken(batches: list[pa.RecordBatch]) -> Generator[pa.RecordBatch]:
    """Each is let go once it is taken."""
    while batches:
        yield batches.pop(0)


def too_slow(data: DataSettings) -> ToolFailure:
    """A query was ended, since its time was up."""
    limit = f"the query took longer than {data.query_timeout_s:g} s (data.query_timeout_s)"
    return ToolFailure(limit, "Filter first, join on keys, or aggregate in steps.")


def too_large(data: DataSettings, rows: int) -> ToolFailure:
    """A query returned more than a dataset may hold, after so many rows."""
    limit = f"the result is larger than {data.max_mb} MB (data.max_mb): {rows} rows and more"
    return ToolFailure(limit, "Filter rows, select fewer columns, or aggregate.")


@contextmanager
def stopped_after(seconds: float, stop: Callable[[], object]) -> Generator[None]:
    """What runs in it is stopped from outside when the time is up."""
    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _require_storable(names: Sequence[str], types: Sequence[Any]) -> None:
    for name, kind in zip(names, types, strict=True):
        if any(word in str(kind).upper() for word in UNSTORABLE):
            raise ToolFailure(f"{name} is {kind}, which no dataset holds", f"Cast it: {quoted(name)}::VARCHAR.")


def bounded(schema: pa.Schema, batches: Iterable[pa.RecordBatch], data: DataSettings) -> pa.Table:
    """All batches as a table.

    Raises:
        ToolFailure: they hold more than the limit.
    """
    import pyarrow as pa

    return pa.Table.from_batches(list(_limited(batches, data)), schema)


def _limited(batches: Iterable[pa.RecordBatch], data: DataSettings) -> Generator[pa.RecordBatch]:
    rows = size = 0
    for batch in batches:
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if size > data.max_mb << 20:
            raise too_large(data, rows)
        yield batch
