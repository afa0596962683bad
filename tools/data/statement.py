"""One statement of SQL, looked at before it runs: which tables it reads, and that it does nothing else.

DuckDB's own parser gives the tree (https://duckdb.org/docs/stable/data/json/sql_to_and_from_json); what is not known to
be harmless in it is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ToolFailure

if TYPE_CHECKING:
    import duckdb

LONGEST = 20_000
QUERIES = frozenset(("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"))
# Every other one reads files, settings, memory, or runs SQL that comes as text.
TABLE_FUNCTIONS = frozenset(("range", "generate_series", "unnest", "json_each", "json_tree"))
REFUSED_FUNCTIONS = frozenset(
    (
        "current_setting", "getenv", "getvariable", "write_log", "nextval", "currval", "setseed", "current_query",
        "json_execute_serialized_sql", "query", "query_table", "read_blob", "read_text", "which_secret",
    )
)  # fmt: skip
SHOWN = frozenset(("DESCRIBE", "SUMMARY"))
# What SQL reads from the clock without brackets, and what a macro of DuckDB that reads it is written with.
CLOCK = frozenset(("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"))
# Of a function without arguments DuckDB knows that it answers otherwise each time: the clock, identifiers, sessions.
# Its random numbers come from a seed of ours.
MOVING = """
    select count(*) from duckdb_functions()
    where list_contains(?, lower(function_name)) and lower(function_name) <> 'random'
    and ((stability <> 'CONSISTENT' and len(parameters) = 0) or regexp_matches(macro_definition, ?))
"""
# It reads the clock if it is given one time, which DuckDB does not tell.
SINCE = "age"
ONE_QUERY = "Pass one query: SELECT (WITH … too), VALUES, DESCRIBE or SUMMARIZE."
ONLY_DATASETS = 'Name datasets: FROM loans, or FROM "dataset:loans@3f2a9c81d0be" where a name has several versions.'


@dataclass(frozen=True)
class Statement:
    """A query, the tables that it names (with their schemas), and whether it may answer otherwise tomorrow."""

    sql: str
    tables: tuple[tuple[str, ...], ...]
    timely: bool

    @property
    def datasets(self) -> list[str]:
        """The tables as names of datasets, as the query writes them.

        Raises:
            ToolFailure: one is in a schema.
        """
        for path in self.tables:
            if len(path) != 1:
                raise ToolFailure(f"{'.'.join(path)!r} is no dataset", ONLY_DATASETS)
        return [path[0] for path in self.tables]


def query_of(connection: duckdb.DuckDBPyConnection, sql: str) -> Statement:
    """The statement, if it is a single query.

    Raises:
        ToolFailure: it cannot be parsed, is no single query, or names what a query may not use.
    """
    _require_one(connection, sql)
    found = connection.execute("select json_serialize_sql(?::varchar)", [sql]).fetchone()
    try:
        tree = json.loads(found[0]) if found else {}
        tables = list(_tables(tree, frozenset())) if _checked(tree) else []
    except RecursionError:
        raise ToolFailure("the query is nested too deeply", "Split it: query_dataset reads its own results.") from None
    return Statement(sql, tuple(dict.fromkeys(tables)), _is_timely(connection, tree))


def _is_timely(connection: duckdb.DuckDBPyConnection, tree: Any) -> bool:
    """Whether it reads the clock, or anything else that is another one each time."""
    names = [name.lower() for node in _nodes(tree) for name in node.get("column_names") or [] if _is_bare(node)]
    calls = [node for node in _nodes(tree) if node.get("class") == "FUNCTION"]
    since = any(_function(node) == SINCE and len(node.get("arguments") or []) == 1 for node in calls)
    if since or CLOCK & set(names):
        return True
    found = connection.execute(MOVING, [[_function(node) for node in calls], "|".join(sorted(CLOCK))]).fetchone()
    return bool(found and found[0])


def _is_bare(node: Mapping[str, Any]) -> bool:
    return node.get("class") == "COLUMN_REF" and len(node.get("column_names") or []) == 1


def _require_one(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    import duckdb

    if len(sql) > LONGEST:
        raise ToolFailure(f"the query has {len(sql)} characters", f"At most {LONGEST}: split it.")
    try:
        statements = connection.extract_statements(sql)
    except duckdb.ParserException as error:
        raise ToolFailure(
            said(error), 'Names with hyphens, and words of SQL, stand in double quotes: "my-data".'
        ) from None
    if len(statements) != 1:
        raise ToolFailure(f"{len(statements) or 'no'} statements", ONE_QUERY)
    kind = statements[0].type.name
    if kind == "MULTI":
        raise ToolFailure("PIVOT without its values is several statements", "List them: PIVOT t ON c IN ('a', 'b') …")
    if kind != "SELECT":
        raise ToolFailure(f"{kind} is no query", ONE_QUERY)


def said(error: Exception) -> str:
    """What DuckDB says is wrong, with the place, and without the name of its class."""
    return re.sub(r"^[\w ]+ Error: ", "", str(error)).strip()[:1000]


def _checked(tree: Any) -> bool:
    """Whether it holds a query; every part of it is looked at.

    Raises:
        ToolFailure: something that a query may not use.
    """
    if tree.get("error"):
        raise ToolFailure(str(tree.get("error_message"))[:1000], ONE_QUERY)
    for node in _nodes(tree):
        kind = node.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE") and kind not in QUERIES:
            raise ToolFailure(f"{kind.split('_')[0]} is no query", ONE_QUERY)
        if kind == "SHOW_REF" and node.get("show_type") not in SHOWN:
            raise ToolFailure("SHOW is no query", "list_datasets shows all; DESCRIBE <dataset> its columns.")
        if kind == "TABLE_FUNCTION" and (name := _function(node.get("function"))) not in TABLE_FUNCTIONS:
            raise ToolFailure(f"{name}() may not be used here", ONLY_DATASETS)
        if node.get("class") == "FUNCTION" and _function(node) in REFUSED_FUNCTIONS:
            raise ToolFailure(f"{_function(node)}() may not be used here", "Leave it out.")
    return True


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _function(node: Any) -> str:
    """The name of a function, or of what stands where a table function does."""
    named = node if isinstance(node, dict) else {}
    return str(named.get("function_name") or named.get("class") or "").lower()


def _tables(node: Any, known: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """The tables that are no common table expressions where they are named."""
    if isinstance(node, list):
        for item in node:
            yield from _tables(item, known)
    if not isinstance(node, dict):
        return
    entries = (node.get("cte_map") or {}).get("map") or []
    for entry in entries:
        name, value = str(entry["key"]).lower(), entry["value"]
        recursive = _recursive(value)
        yield from _tables(value, known | {name} if recursive else known)
        known |= {name}
    if node.get("type") == "BASE_TABLE":
        path: list[str] = node["qualified_name"]["path"]
        if len(path) > 1 or path[0].lower() not in known:
            yield tuple(path)
    for key, child in node.items():
        if key != "cte_map":
            yield from _tables(child, known)


def _recursive(entry: Mapping[str, Any]) -> bool:
    return (entry.get("query_node") or {}).get("type") == "RECURSIVE_CTE_NODE"
