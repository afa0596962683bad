"""Databases that the configuration names, read by one statement that changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ToolFailure, Unavailable, require, unknown
from ..handles import slug
from ..runtime.work import Work
from ..user_files import require_public
from .postgres import read_postgres
from .sandbox import lock, quoted, run, sandbox
from .sqlite import read_sqlite
from .statement import query_of, said

if TYPE_CHECKING:
    import pyarrow as pa

PREFIX = "source:"


def table_in(text: str) -> tuple[str, str, str]:
    """What `source:<name>/<table>` names: the source, a statement for all rows, and a name for them.

    The table may be in a schema, as in `public.loans`.

    Raises:
        ToolFailure: it names no table.
    """
    source, _, table = text.strip().removeprefix(PREFIX).partition("/")
    if not table:
        raise ToolFailure(f"{text!r} names no table", f"Pass {PREFIX}{source}/<table>.")
    return source, f"SELECT * FROM {'.'.join(map(quoted, table.split('.')))}", slug(table)


def read_source(work: Work, source: str, sql: str) -> tuple[pa.Table, list[str]]:
    """The rows of one statement of a source, and what was changed on the way.

    Raises:
        ToolFailure: an unknown source, one that does not answer, or a statement that is wrong, writes, takes too long
            or returns too much.
    """
    if not sql.strip():
        raise ToolFailure("no statement", "Pass sql='SELECT …' beside the source.")
    sources = work.settings.data.sources
    if source not in sources:
        raise unknown("source", source, sources, "The setting data.sources names them.")
    url = sources[source].get_secret_value()
    scheme, _, rest = url.partition(":///" if ":///" in url else "://")
    with work.tracer.span("read source", source=source):
        if scheme == "sqlite":
            return read_sqlite(_file(work, source, rest), source, sql, work.settings.data)
        if scheme == "duckdb":
            return _read_duckdb(work, source, _file(work, source, rest), sql)
        require("psycopg")
        return read_postgres(url, source, sql, work.settings.data)


def _file(work: Work, source: str, path: str) -> Path:
    file = Path(path).expanduser()
    require_public(work.settings, file.resolve())
    if not file.is_file():
        raise Unavailable(f"the file of source {source!r} is not there", f"The setting data.sources.{source} names it.")
    return file


def _read_duckdb(work: Work, source: str, file: Path, sql: str) -> tuple[pa.Table, list[str]]:
    import duckdb

    try:
        with sandbox(work.settings, str(file)) as connection:
            query_of(connection, sql)
            lock(connection, {})
            return run(connection, sql, work.settings.data), []
    except duckdb.Error as error:
        raise Unavailable(f"source {source!r} cannot be opened: {said(error)[:200]}", "Is it in use?") from None
