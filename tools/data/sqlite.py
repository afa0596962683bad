"""A SQLite file, read by one statement; the library itself refuses all else."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...config.settings import DataSettings
from ..errors import ToolFailure, Unavailable, unknown
from .documents import table_of
from .layout import distinct
from .sandbox import too_large, too_slow

if TYPE_CHECKING:
    import pyarrow as pa

ALLOWED = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE))
REFUSED_FUNCTIONS = frozenset(("load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"))
AT_A_TIME = 10_000
# Instructions of SQLite's machine between two looks at the clock.
STEPS = 10_000
LONGEST_CELL = 64 << 20
# What Python takes for a value beside its text.
OF_A_CELL = 40


def read_sqlite(file: Path, source: str, sql: str, data: DataSettings) -> tuple[pa.Table, list[str]]:
    """The rows of a statement; each column has the type that its values share, as SQLite's columns have none.

    https://www.sqlite.org/c3ref/set_authorizer.html

    Raises:
        ToolFailure: the file is no database, or the statement is wrong, writes, takes too long or returns too much.
    """
    with closing(sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro", uri=True)) as connection:
        try:
            connection.execute("pragma query_only = on")
            names = [
                row[0] for row in connection.execute("select name from sqlite_master where type in ('table', 'view')")
            ]
        except sqlite3.Error as error:
            raise Unavailable(f"source {source!r} cannot be read: {error}", "It must be a SQLite file.") from None
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_CELL)
        connection.set_authorizer(_authorised)
        ends = time.monotonic() + data.query_timeout_s
        connection.set_progress_handler(lambda: time.monotonic() > ends, STEPS)
        try:
            return _rows(connection.execute(sql), data)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise _failure(error, source, names, data) from None


def _authorised(action: int, _first: Any, second: Any, _database: Any, _trigger: Any) -> int:
    refused = action == sqlite3.SQLITE_FUNCTION and str(second).lower() in REFUSED_FUNCTIONS
    return sqlite3.SQLITE_OK if action in ALLOWED and not refused else sqlite3.SQLITE_DENY


def _rows(cursor: sqlite3.Cursor, data: DataSettings) -> tuple[pa.Table, list[str]]:
    if cursor.description is None:
        raise ToolFailure("the statement returns no columns", "Pass one SELECT.")
    names = distinct([str(part[0]) for part in cursor.description])
    columns: list[list[Any]] = [[] for _ in names]
    size, rows = 0, 0
    while found := cursor.fetchmany(AT_A_TIME):
        rows += len(found)
        for column, values in zip(columns, zip(*found, strict=True), strict=True):
            column.extend(values)
            size += sum(OF_A_CELL + (len(value) if isinstance(value, str | bytes) else 0) for value in values)
        if size > data.max_mb << 20:
            raise too_large(data, rows)
    return table_of(dict(zip(names, columns, strict=True)))


def _failure(error: Exception, source: str, names: list[str], data: DataSettings) -> ToolFailure:
    text = str(error)
    if text == "interrupted":
        return too_slow(data)
    if text.startswith("no such table: "):
        return unknown(f"table of {source}", text.removeprefix("no such table: "), names)
    if "not authorized" in text or "prohibited" in text or "readonly" in text:
        return ToolFailure("the statement does more than read", "Pass one SELECT.")
    return ToolFailure(f"{source} refuses the statement: {text[:500]}", "Pass one SELECT that SQLite understands.")
