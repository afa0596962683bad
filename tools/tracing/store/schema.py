"""The tables of the trace store, which is the outbox as well: each row knows its revision and the one that was shipped.

A revision is the time of the change in nanoseconds, so it never repeats. `held` keeps a row back: 'parked' after Opik
has refused it (`why` says why), 'sampled' when its trace is not among those to ship. `destination` is the Opik that a
row belongs to, 0 while none was configured.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from ...storage.database import transaction

VERSION = 2
SHIPPING = {
    "revision": "integer not null default 1",
    "shipped": "integer not null default 0",
    "held": "text not null default ''",
    "why": "text not null default ''",
    "destination": "integer not null default 0",
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
    return f"create table if not exists {name}({columns})"


def _waiting(name: str) -> str:
    return f"create index if not exists {name}_waiting on {name}(destination, revision) where {WAITING}"


# One line of the list of traces, those of callers included, of which `traces` has no row. A trace is named by its first
# root, or by its first span as long as no root is stored; `named` is when that span began.
SUMMARIES = (
    "create table if not exists summaries(id text primary key, name text not null, is_root integer not null, "
    "named real not null, start real not null, end real not null, spans integer not null, errors integer not null)"
)
_BETTER = (
    "(excluded.is_root > summaries.is_root or "
    "(excluded.is_root = summaries.is_root and excluded.named < summaries.named))"
)
# Triggers, so that the counts are right whoever writes or deletes.
TRIGGERS = (
    "create trigger if not exists spans_added after insert on spans begin "
    "insert into summaries values(new.trace_id, new.name, new.parent_id = '', new.start, new.start, "
    "max(new.start, new.end), 1, new.status = 'error') on conflict(id) do update set "
    f"name = case when {_BETTER} then excluded.name else summaries.name end, "
    f"named = case when {_BETTER} then excluded.named else summaries.named end, "
    "is_root = max(summaries.is_root, excluded.is_root), start = min(summaries.start, excluded.start), "
    "end = max(summaries.end, excluded.end), spans = summaries.spans + 1, errors = summaries.errors + excluded.errors; "
    "end",
    "create trigger if not exists spans_changed after update of end, status on spans begin "
    "update summaries set end = max(end, new.end), errors = errors + (new.status = 'error') - (old.status = 'error') "
    "where id = new.trace_id; end",
    "create trigger if not exists spans_deleted after delete on spans begin "
    "update summaries set spans = spans - 1, errors = errors - (old.status = 'error') where id = old.trace_id; "
    "delete from summaries where id = old.trace_id and spans <= 0; end",
)
# What the summaries of an older file are made of, and what its reader takes for them.
SUMMARISED = (
    "select trace_id id, (select name from spans s where s.trace_id = t.trace_id "
    "order by s.parent_id <> '', s.start, s.id limit 1) name, max(parent_id = '') is_root, "
    "coalesce(min(case when parent_id = '' then start end), min(start)) named, min(start) start, "
    "max(max(end, start)) end, "
    "count(*) spans, sum(status = 'error') errors from spans t group by trace_id"
)
STATEMENTS = (
    *map(_table, TABLES),
    SUMMARIES,
    "create index if not exists summaries_start on summaries(start, id)",
    # all that a tree of names is made of
    "create index if not exists spans_tree on spans(trace_id, start, id, parent_id, name)",
    "create index if not exists spans_start on spans(start)",
    "create index if not exists spans_open on spans(start) where end = 0",
    "create index if not exists scores_about on scores(about)",
    *map(_waiting, TABLES),
    *TRIGGERS,
    # the id that Opik knows a row by, when its own had become too old to be accepted
    "create table if not exists reminted(old text primary key, new text not null, at real not null)",
    "create table if not exists counts(name text primary key, n integer not null)",
    # as many as were ever configured; the times and the text say how shipping there went
    "create table if not exists destinations(id integer primary key, url text not null, workspace text not null, "
    "project text not null, last_success real not null default 0, last_failure real not null default 0, "
    "failure text not null default '', unique(url, workspace, project))",
    f"pragma user_version={VERSION}",
)
SCHEMA = "".join(f"{statement};" for statement in STATEMENTS)
# Of version 1, under other columns.
OUTDATED = ("spans_trace", *(f"{name}_waiting" for name in TABLES))
# The traces of the spans that were written before there was a table of traces.
DERIVE = (
    "insert or ignore into traces(id, root, last, name, start, end, revision) "
    "select trace_id, id, id, name, min(start), max(end), max(revision) from spans where parent_id='' group by trace_id"
)


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring a file of an older version up to this one; its rows wait to be shipped like new ones."""
    if version_of(connection) >= VERSION:
        return
    with transaction(connection):
        version = version_of(connection)
        if version >= VERSION:
            return
        _require_ours(connection)
        _add_columns(connection)
        for name in OUTDATED:
            connection.execute(f"drop index if exists {name}")
        for statement in STATEMENTS:
            connection.execute(statement)
        connection.execute(f"insert or replace into summaries {SUMMARISED}")
        if version < 1:
            connection.execute("update spans set revision=cast(max(start, end) * 1e9 as integer) where revision=1")
            connection.execute(DERIVE)


def _require_ours(connection: sqlite3.Connection) -> None:
    """Leave the file of somebody else as it is.

    Raises:
        sqlite3.OperationalError: it has tables, but none of spans.
    """
    if connection.execute("select 1 from sqlite_master limit 1").fetchone():
        connection.execute("select trace_id from spans limit 0")


def _add_columns(connection: sqlite3.Connection) -> None:
    for table, columns in TABLES.items():
        known = columns_of(connection, table)
        for name in [name for name in columns if known and name not in known]:
            connection.execute(f"alter table {table} add column {name} {columns[name]}")


def version_of(connection: sqlite3.Connection) -> int:
    """The version of a file; 0 is that of 0.1.0."""
    return int(connection.execute("pragma user_version").fetchone()[0])


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """The columns that the file has; `[]` without the table."""
    return [str(row[1]) for row in connection.execute(f"pragma table_info({table})")]
