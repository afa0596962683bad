"""PostgreSQL, read by one statement: a server-side cursor in a transaction that may only read."""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from ...config.settings import DataSettings
from ..errors import ToolFailure, Unavailable, unknown
from ..tracing.redaction import redact
from .bounds import named
from .sandbox import bounded, stopped_after, too_slow

if TYPE_CHECKING:
    import pyarrow as pa

Reader = Callable[["pa.ChunkedArray"], "tuple[pa.ChunkedArray, str]"]
AT_A_TIME = 10_000
CONNECT_S = 5
# They run SQL that comes as text, reach beyond the tables or hold passwords, though a transaction only reads.
REFUSED = re.compile(
    r"(?i)\b(set_config|current_setting|pg_read_\w+|pg_ls_\w+|pg_stat_file|lo_(?:import|export|creat|open|put)\w*|dblink\w*"
    r"|\w+_to_xml\w*|ts_stat|pg_sleep\w*|pg_terminate_backend|pg_cancel_backend|pg_reload_conf|pg_rotate_logfile"
    r"|pg_advisory\w+|pg_try_advisory\w+|pg_notify|pg_file_\w+|pg_logical\w*|pg_create\w*|pg_drop\w*|pg_switch_wal"
    r"|pg_authid|pg_shadow|pg_user_mapping\w*|pg_hba\w*)\b|U&\""
)
# A superuser reads the files of its server; this role of PostgreSQL's reads tables alone.
READER = "pg_read_all_data"
# Types that psycopg reads as Python values which Arrow takes; all others come as PostgreSQL writes them.
KEPT = ("bool", "int2", "int4", "int8", "oid", "float4", "float8", "text", "varchar", "bpchar", "name", "bytea")
SCHEMAS = "('pg_catalog', 'information_schema')"
TABLES = (
    "select case table_schema when 'public' then table_name else table_schema || '.' || table_name end "
    f"from information_schema.tables where table_schema not in {SCHEMAS} order by 1 limit 1000"
)


def read_postgres(url: str, source: str, sql: str, data: DataSettings) -> tuple[pa.Table, list[str]]:
    """The rows of a statement, streamed; numerics become whole numbers where all are, else doubles, which is said.

    https://www.postgresql.org/docs/current/sql-declare.html, https://www.psycopg.org/psycopg3/docs/advanced/cursors.html

    Raises:
        ToolFailure: the server does not answer, or the statement is wrong, writes, takes too long or returns too much.
    """
    import psycopg

    if found := REFUSED.search(sql):
        raise ToolFailure(f"{found.group()} may not be used here", "Leave it out.")
    with _connected(url, source) as connection:
        notes = _prepared(connection, data, source)
        try:
            with stopped_after(data.query_timeout_s, connection.cancel_safe):
                table, said = _typed(*_rows(connection, sql, data))
        except psycopg.Error as error:
            raise _failure(connection, error, source, data) from None
    return table, [*notes, *said]


@contextmanager
def _connected(url: str, source: str) -> Generator[Any]:
    import psycopg

    try:
        connection = psycopg.connect(url, connect_timeout=CONNECT_S, application_name="mlops-mcp")
    except psycopg.Error as error:
        said = _without_password(url, error)
        raise Unavailable(f"source {source!r} does not answer: {said}", f"Setting data.sources.{source}.") from None
    try:
        yield connection
    finally:
        connection.close()


def _without_password(url: str, error: Exception) -> str:
    """What went wrong, in one line; of an address that cannot be read nothing is quoted."""
    import psycopg

    try:
        password = str(psycopg.conninfo.conninfo_to_dict(url).get("password") or "")
    except psycopg.Error:
        return "its address cannot be read"
    text = " ".join(redact(str(error)).split())[:300]
    return text.replace(password, "***") if password else text


def _prepared(connection: Any, data: DataSettings, source: str) -> list[str]:
    """A transaction that sees one state, reads only, and ends by itself; what has to be told about the role."""
    import psycopg
    from psycopg.types.string import TextLoader

    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    for info in psycopg.postgres.types:
        if info.name not in KEPT:
            connection.adapters.register_loader(info.oid, TextLoader)
    milliseconds = int(data.query_timeout_s * 1000)
    connection.execute(f"set local statement_timeout = {milliseconds}")
    connection.execute("set local timezone = 'UTC'; set local datestyle = 'ISO'; set local intervalstyle = 'iso_8601'")
    connection.execute("set local lock_timeout = '5s'; set local extra_float_digits = 1")
    if connection.info.parameter_status("is_superuser") != "on":
        return []
    # Not silently fewer rows, where a table shows each role its own.
    connection.execute(f"set local role {READER}; set local row_security = off")
    return [f"source {source} connects as a superuser, used as {READER}: give it a role that may only read"]


def _rows(connection: Any, sql: str, data: DataSettings) -> tuple[pa.Table, Sequence[Any]]:
    """The rows with numerics and times as text, and what PostgreSQL says of the columns."""
    import pyarrow as pa

    ends = time.monotonic() + data.query_timeout_s
    with connection.cursor(name="mlops_mcp") as cursor:
        cursor.execute(sql)
        described = cursor.description or ()
        names = [f"c{place}" for place in range(len(described))]
        schema = pa.schema([(name, _type(part.type_code)) for name, part in zip(names, described, strict=True)])

        def batches() -> Iterator[pa.RecordBatch]:
            while found := cursor.fetchmany(AT_A_TIME):
                if time.monotonic() > ends:
                    raise too_slow(data)
                columns = [
                    _array(values, field.type, part.name)
                    for values, field, part in zip(zip(*found, strict=True), schema, described, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

        return bounded(schema, batches(), data), described


def _array(values: Sequence[Any], kind: pa.DataType, name: str) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        raise ToolFailure(
            f"{name} holds what no column can, such as arrays of arrays", f"Cast it: {name}::text."
        ) from None


def _type(oid: int) -> pa.DataType:
    """The Arrow type of what psycopg reads: text for all that is not listed, lists for arrays."""
    import psycopg
    import pyarrow as pa

    kinds = {
        **dict.fromkeys(("int2", "int4", "int8", "oid"), pa.int64()),
        **dict.fromkeys(("float4", "float8"), pa.float64()),
        "bool": pa.bool_(),
        "bytea": pa.binary(),
    }
    info = psycopg.postgres.types.get(oid)
    kind = kinds.get(info.name, pa.string()) if info else pa.string()
    return pa.list_(kind) if info and info.oid != oid else kind


def _typed(table: pa.Table, described: Sequence[Any]) -> tuple[pa.Table, list[str]]:
    """Numerics and times as such, under the names of the columns; they came as text."""
    import psycopg
    import pyarrow as pa

    readers: dict[str, Reader] = {
        "numeric": _numeric,
        "date": _moment,
        "timestamp": _moment,
        "timestamptz": partial(_moment, zone="UTC"),
    }
    columns, told = list[pa.ChunkedArray](), dict[str, list[str]]()
    for place, part in enumerate(described):
        info = psycopg.postgres.types.get(part.type_code)
        kind = info.name if info and info.oid == part.type_code else ""
        column, said = readers[kind](table.column(place)) if kind in readers else (table.column(place), "")
        columns.append(column)
        if said:
            told.setdefault(said, []).append(part.name)
    made = pa.Table.from_arrays(columns, names=[part.name for part in described])
    return made, [f"{named(names)}: {said}" for said, names in told.items()]


def _numeric(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str]:
    """Whole numbers stay exact, as text if they must; fractions become doubles."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pc.all(pc.match_substring_regex(column, r"^-?\d+$")).as_py()
    if plain is not False:
        try:
            return column.cast(pa.int64()), ""
        except pa.ArrowInvalid:
            return column, "numeric beyond 64 bits, kept as text"
    return pc.replace_substring(column, "Infinity", "inf").cast(pa.float64()), "numeric stored as double"


def _moment(column: pa.ChunkedArray, zone: str | None = None) -> tuple[pa.ChunkedArray, str]:
    """Times as ISO text, of which those without end, or before our era, are none that Arrow knows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    endless = pc.match_substring_regex(column, r"infinity$")
    known = pc.if_else(endless, pa.scalar(None, pa.string()), column)
    text = pc.replace_substring_regex(known, r"\+00$", "Z")
    try:
        values = text.cast(pa.timestamp("us", zone))
    except pa.ArrowInvalid:
        return column, "holds times that no tool knows, so kept as text"
    return values, "infinite times read as missing" if pc.any(endless).as_py() else ""


def _failure(connection: Any, error: Any, source: str, data: DataSettings) -> ToolFailure:
    import psycopg

    if not connection.closed:
        connection.rollback()
    said = str(error.diag.message_primary or error).strip()[:600]
    if isinstance(error, psycopg.errors.QueryCanceled):
        return too_slow(data)
    if isinstance(error, psycopg.errors.UndefinedTable):
        name = re.search(r'"(.+)"', said)
        names = [row[0] for row in connection.execute(TABLES)]
        return unknown(f"table of {source}", name.group(1) if name else said, names)
    if isinstance(error, psycopg.errors.OperationalError):
        return Unavailable(f"source {source!r} failed: {redact(said)}", f"Setting data.sources.{source}.")
    hint = str(error.diag.message_hint or "").strip()
    return ToolFailure(f"{source} refuses the statement: {said}", hint or "Pass one SELECT; it may only read.")
