"""What a search for runs asks about: MLflow answers names that do not exist with silence."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

from ..errors import ToolFailure, unknown
from ..paging import no_cursor
from .models import RunStatus

if TYPE_CHECKING:
    from mlflow import MlflowClient

RECENT = 200
# MLflow's word for a kind of key -> the word for it in a filter, and a filter that finds a run which has the key.
PROBES = {
    "metric": ("metrics", "metrics.`{}` >= -1.7976931348623157e308"),
    "parameter": ("params", "params.`{}` LIKE '%'"),
    "tag": ("tags", "tags.`{}` LIKE '%'"),
}


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


def require_known(client: MlflowClient, experiments: list[str], where: str, order_by: str) -> dict[str, set[str]]:
    """The metrics, params and tags that a filter and an order refer to, read with the parser of MLflow itself.

    Raises:
        ToolFailure: no run has such a key, or there is no such status.
        MlflowException: the text cannot be read, or names no attribute of a run.
    """
    from mlflow.utils.search_utils import SearchUtils

    asked: dict[str, set[str]] = {name: set() for name, _ in PROBES.values()}
    clauses: list[dict[str, Any]] = SearchUtils.parse_search_filter(where)
    for clause in clauses:
        if (clause["type"], clause["key"]) == ("attribute", "status"):
            _require_status(clause["comparator"].upper(), clause["value"])
    keys = [(clause["type"], clause["key"]) for clause in clauses]
    if order_by:
        keys.append(SearchUtils.parse_order_by_for_search_runs(order_by)[:2])
    for kind, key in keys:
        if kind in PROBES:
            _require_key(client, experiments, kind, key)
            asked[PROBES[kind][0]].add(key)
    return asked


def _require_status(comparator: str, value: str) -> None:
    states = get_args(RunStatus)
    pattern = re.escape(value)
    if comparator.endswith("LIKE"):
        pattern = pattern.replace("%", ".*").replace("_", ".")
    flags = re.IGNORECASE if comparator == "ILIKE" else re.NOFLAG
    if not any(re.fullmatch(pattern, state, flags) for state in states):
        raise ToolFailure(f"unknown run status {value!r}", f"In capitals: {', '.join(states)}.")


def _require_key(client: MlflowClient, experiments: list[str], kind: str, key: str) -> None:
    name, probe = PROBES[kind]
    if kind == "tag" and key in _tags_of_mlflow():
        return
    if client.search_runs(experiments, filter_string=probe.format(key), max_results=1):
        return
    recent = client.search_runs(experiments, max_results=RECENT)
    known = {found for run in recent for found in getattr(run.data, name) if not found.startswith("mlflow.")}
    raise unknown(name.rstrip("s"), key, known)


def _tags_of_mlflow() -> set[str]:
    """Tags with a meaning of their own: that no run has one is an answer, e.g. to a search for nested runs."""
    from mlflow.utils import mlflow_tags

    return {value for name, value in vars(mlflow_tags).items() if name.startswith("MLFLOW_") and isinstance(value, str)}
