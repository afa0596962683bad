"""The tables of the trace store, which is the outbox as well: each row knows its revision and the one that was shipped.

A revision is the time of the change in nanoseconds, so it never repeats. `held` keeps a row back: 'parked' after Opik
has refused it (`why` says why), 'sampled' when its trace is not among those to ship.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from ...storage.database import transaction

VERSION = 1
SHIPPING = {
    "revision": "integer not null default 1",
    "shipped": "integer not null default 0",
    "held": "text not null default ''",
    "why": "text not null default ''",
}
SPANS = {
    "id": "text primary key", "trace_id": "text not null", "parent_id": "text not null", "name": "text not null",
    "kind": "text not null", "start": "real not null", "end": "real not null", "status": "text not null",
    "input": "text", "output": "text", "metadata": "text", "error": "text not null",
    # added after 0.1.0: an older file gets them when it is opened
    "tags": "text", "model": "text not null default ''", "provider": "text not null default ''", "usage": "text",
    "thread": "text not null default ''", "error_type": "text not null default ''",
    "error_trace": "text not null default ''", "is_foreign": "integer not null default 0",
    **SHIPPING,
}  # fmt: skip
# `root` is the first root span of the trace, `last` the one that ended last: what the trace says is read from them.
TRACES = {
    "id": "text primary key", "root": "text not null", "last": "text not null", "name": "text not null",
    "start": "real not null", "end": "real not null", **SHIPPING,
}  # fmt: skip
SCORES = {
    "id": "text primary key", "target": "text not null", "about": "text not null", "name": "text not null",
    "value": "real not null", "reason": "text not null", "category": "text not null", "project": "text not null",
    **SHIPPING,
}  # fmt: skip
TABLES: Mapping[str, Mapping[str, str]] = {"traces": TRACES, "spans": SPANS, "scores": SCORES}
WAITING = "shipped < revision and held = ''"
DONE = "(shipped >= revision or held = 'sampled')"


def _table(name: str) -> str:
    columns = ", ".join(f"{column} {kind}" for column, kind in TABLES[name].items())
    return f"create table if not exists {name}({columns});"


def _waiting(name: str) -> str:
    return f"create index if not exists {name}_waiting on {name}(revision) where {WAITING};"


SCHEMA = (
    "".join(map(_table, TABLES))
    + "create index if not exists spans_trace on spans(trace_id);"
    + "create index if not exists spans_start on spans(start);"
    + "create index if not exists scores_about on scores(about);"
    + "".join(map(_waiting, TABLES))
    # the id that Opik knows a row by, when its own had become too old to be accepted
    + "create table if not exists reminted(old text primary key, new text not null, at real not null);"
    + "create table if not exists counts(name text primary key, n integer not null);"
    + "create table if not exists notes(name text primary key, at real not null, text text not null);"
    + f"pragma user_version={VERSION};"
)
# The traces of the spans that were written before there was a table of traces.
DERIVE = (
    "insert or ignore into traces(id, root, last, name, start, end, revision) "
    "select trace_id, id, id, name, min(start), max(end), max(revision) from spans where parent_id='' group by trace_id"
)


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring a file of an older version up to this one; its rows wait to be shipped like new ones."""
    if _version(connection) >= VERSION:
        return
    with transaction(connection):
        if _version(connection) >= VERSION:
            return
        known = {row[1] for row in connection.execute("pragma table_info(spans)")}
        for name in [name for name in SPANS if known and name not in known]:
            connection.execute(f"alter table spans add column {name} {SPANS[name]}")
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute("update spans set revision=cast(max(start, end) * 1e9 as integer) where revision=1")
        connection.execute(DERIVE)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma user_version").fetchone()[0])


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """The columns that the file has; `[]` without the table."""
    return [str(row[1]) for row in connection.execute(f"pragma table_info({table})")]
