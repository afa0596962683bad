"""What a search for runs asks about: MLflow answers names that do not exist with silence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

from ..errors import ToolFailure, unknown
from .models import RunStatus

if TYPE_CHECKING:
    from mlflow import MlflowClient

RECENT = 200
# MLflow's word for a kind of key -> the word for it in a filter, and a filter that finds a run which has the key.
PROBES = {
    "metric": ("metrics", "metrics.`{}` > -1.7e308"),
    "parameter": ("params", "params.`{}` LIKE '%'"),
    "tag": ("tags", "tags.`{}` LIKE '%'"),
}


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
