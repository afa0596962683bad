"""What a search for runs asks about: MLflow answers names that do not exist with silence."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, get_args

from ..errors import ToolFailure, unknown
from ..paging import no_cursor
from .models import RunStatus
from .reading.query import OF_RUNS, Kind, Query
from .reading.source import Runs

NAMES: dict[Kind, str] = {"metric": "metric", "parameter": "param", "tag": "tag"}
ATTRIBUTES = ("run_id", "run_name", "status", "start_time", "end_time", "user_id", "artifact_uri")
ATTRIBUTE = re.compile(r"Invalid attribute key '([^']*)'")
# A name that MLflow reads only between backticks.
ODD_NAME = re.compile(r"(metrics?|params?|tags?|attributes?)\.(?!mlflow\.)([\w.]*[^\w.\s=<>!'\"`,;]+[^\s=<>!'\"`,;]*)")
LANGUAGE = (
    "Filters are MLflow's: comparisons joined by AND, no OR and no NOT; metrics.auc > 0.9, params.depth = '3' and "
    "tags.team = \"team's\" with quotes, status = 'FINISHED', run_name LIKE 'a%'; odd names in backticks: "
    "metrics.`val loss`."
)
ORDER = "Pass one key: metrics.auc desc, params.depth or start_time desc; odd names in backticks: metrics.`val loss`."


@contextmanager
def explained(where: str, order_by: str, cursor: str) -> Generator[None]:
    """Say what MLflow cannot read in a search together with how it is written.

    Raises:
        ToolFailure: a text that would find nothing, or that MLflow refuses.
    """
    if not (where or order_by or cursor):
        yield
        return
    from mlflow.exceptions import MlflowException

    for text in _texts(where):
        _require_plain_quotes(text)
    try:
        yield
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        said = str(error.message).strip().splitlines()[0][:400]
        if cursor and "page token" in said:
            raise no_cursor(cursor) from error
        if attribute := ATTRIBUTE.search(said):
            language = LANGUAGE if attribute[1] in where else ORDER
            raise unknown("attribute", attribute[1], ATTRIBUTES, language) from error
        odd = ODD_NAME.search(f"{where} {order_by}")
        quoted = f"Write {odd[1]}.`{odd[2]}`. " if odd else ""
        raise ToolFailure(said, quoted + (ORDER if "order" in said else LANGUAGE)) from error


def _texts(where: str) -> Iterator[str]:
    """The quoted parts of a filter, read as MLflow reads them."""
    import sqlparse

    statements: Any = sqlparse.parse(where)
    for statement in statements:
        yield from (str(token) for token in statement.flatten() if str(token)[:1] in ("'", '"'))


def _require_plain_quotes(text: str) -> None:
    """MLflow knows no escapes: it would look for the doubled quote or the backslash itself."""
    quote, inside = text[0], text[1:-1]
    if quote * 2 in inside or f"\\{quote}" in inside:
        other = '"' if quote == "'" else "'"
        plain = inside.replace(quote * 2, quote).replace(f"\\{quote}", quote)
        raise ToolFailure(
            f"{text} holds an escaped quote, and MLflow has no escapes",
            f"Write {other}{plain}{other}: the other quote.",
        )


def require_known(runs: Runs, query: Query) -> dict[Kind, set[str]]:
    """The metrics, params and tags that a filter and an order refer to.

    Raises:
        ToolFailure: no run has such a key, or there is no such status.
    """
    asked: dict[Kind, set[str]] = {kind: set() for kind in OF_RUNS}
    for clause in query.clauses:
        if (clause.kind, clause.key) == ("attribute", "status"):
            _require_status(clause.comparator, clause.value)
    for kind, key in query.keys:
        if kind in OF_RUNS:
            _require_key(runs, query.experiment, kind, key)
            asked[kind].add(key)
    return asked


def _require_status(comparator: str, value: str) -> None:
    states = get_args(RunStatus)
    pattern = re.escape(value)
    if comparator.endswith("LIKE"):
        pattern = pattern.replace("%", ".*").replace("_", ".")
    flags = re.IGNORECASE if comparator == "ILIKE" else re.NOFLAG
    if not any(re.fullmatch(pattern, state, flags) for state in states):
        raise ToolFailure(f"unknown run status {value!r}", f"In capitals: {', '.join(states)}.")


def _require_key(runs: Runs, experiment: str, kind: Kind, key: str) -> None:
    if (kind == "tag" and key in _tags_of_mlflow()) or runs.has(experiment, kind, key):
        return
    known = {found for found in runs.keys(experiment, kind) if not found.startswith("mlflow.")}
    raise unknown(NAMES[kind], key, known)


def _tags_of_mlflow() -> set[str]:
    """Tags with a meaning of their own: that no run has one is an answer, e.g. to a search for nested runs."""
    from mlflow.utils import mlflow_tags

    return {value for name, value in vars(mlflow_tags).items() if name.startswith("MLFLOW_") and isinstance(value, str)}
