"""The clauses of a filter as conditions of SQL: what MLflow makes of them in mlflow.store.tracking.sqlalchemy_store."""

from __future__ import annotations

import math
from typing import Any

from ...errors import ToolFailure
from .database import Database
from .query import Clause

Condition = tuple[str, list[Any]]
TABLES = {"metric": "latest_metrics", "parameter": "params", "tag": "tags"}
# Attribute -> column of `runs`.
COLUMNS = {
    "run_id": "run_uuid", "run_name": "name", "status": "status", "user_id": "user_id", "artifact_uri": "artifact_uri",
    "start_time": "start_time", "end_time": "end_time",
}  # fmt: skip
RUN_NAME, CONTEXT = "mlflow.runName", "mlflow.data.context"
INPUTS = "select i.destination_id from datasets x join inputs i on i.source_id = x.dataset_uuid"
LARGEST = 2**63


def active(experiment: str) -> Condition:
    """The runs of an experiment, or of all, that are not deleted."""
    if experiment:
        return "r.lifecycle_stage = 'active' and r.experiment_id = ?", [int(experiment)]
    every = "select experiment_id from experiments where lifecycle_stage = 'active'"
    return f"r.lifecycle_stage = 'active' and r.experiment_id in ({every})", []


def conditions(clauses: list[Clause], database: Database) -> list[Condition]:
    """One condition a clause.

    Raises:
        MlflowException: a comparison that such a key does not know.
    """
    return [_condition(each, database) for each in clauses]


def _condition(clause: Clause, database: Database) -> Condition:
    from mlflow.utils.search_utils import SearchUtils

    key: str = SearchUtils.translate_key_alias(clause.key)
    if SearchUtils.is_attribute(clause.kind, key, clause.comparator):
        if key == "run_name":  # runs of old have their name in the tag alone
            return _having("tags", RUN_NAME, _compared("x.value", clause, database))
        return _compared(f"r.{COLUMNS[key]}", clause, database)
    if SearchUtils.is_dataset(clause.kind, clause.comparator):
        return _of_dataset(key, clause, database)
    for check in (SearchUtils.is_metric, SearchUtils.is_param, SearchUtils.is_tag):
        check(clause.kind, clause.comparator)
    table = TABLES[clause.kind]
    if clause.value is None:
        negation = "not " if clause.comparator == "IS NULL" else ""
        return f"r.run_uuid {negation}in (select x.run_uuid from {table} x where x.key = ?)", [key]
    if clause.kind == "metric":
        return _having(table, key, _measured(clause, database))
    return _having(table, key, _compared("x.value", clause, database))


def _having(table: str, key: str, condition: Condition) -> Condition:
    text, values = condition
    return f"r.run_uuid in (select x.run_uuid from {table} x where x.key = ? and {text})", [key, *values]


def _measured(clause: Clause, database: Database) -> Condition:
    """NaN is kept as 0 beside a mark; it differs from everything and is neither more nor less."""
    number = Clause(clause.kind, clause.key, clause.comparator, float(clause.value))
    text, values = _compared("x.value", number, database)
    return f"({text} or x.is_nan)" if clause.comparator == "!=" else f"({text} and not x.is_nan)", values


def _of_dataset(key: str, clause: Clause, database: Database) -> Condition:
    if key == "context":
        text, values = _compared("t.value", clause, database)
        tags = f"join input_tags t on t.input_uuid = i.input_uuid where t.name = '{CONTEXT}'"
        return f"r.run_uuid in ({INPUTS} {tags} and {text})", values
    column = {"name": "x.name", "digest": "x.digest"}[key]
    text, values = _compared(column, clause, database)
    return f"r.run_uuid in ({INPUTS} where {text})", values


def _compared(column: str, clause: Clause, database: Database) -> Condition:
    comparator, value = clause.comparator, clause.value
    if isinstance(value, tuple):
        listed: list[Any] = list(value)
        if comparator in ("IN", "NOT IN"):
            return f"{column} {comparator} ({', '.join('?' * len(listed))})", listed
        raise ToolFailure(f"{comparator} takes one value", "Write run_id IN ('…', '…').")
    if comparator == "ILIKE" and database.dialect == "sqlite":
        return f"lower({column}) LIKE lower(?)", [value]
    return f"{column} {comparator} ?", [_within(value)]


def _within(value: Any) -> Any:
    """SQLite takes no larger integer than 64 bits, and no time is one."""
    too_large = isinstance(value, int) and abs(value) >= LARGEST
    return math.copysign(math.inf, value) if too_large else value
