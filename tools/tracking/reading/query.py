"""What a search for runs asks for, read with the parser of MLflow itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal, cast

Kind = Literal["metric", "parameter", "tag", "attribute", "dataset"]
# The newest runs whose names stand for those of all, where a name is unknown.
RECENT = 200
OF_RUNS: tuple[Kind, ...] = ("metric", "parameter", "tag")


@dataclass(frozen=True)
class Clause:
    """One comparison of a filter; `value` is None for IS NULL and IS NOT NULL."""

    kind: Kind
    key: str
    comparator: str
    value: Any


@dataclass(frozen=True)
class Order:
    kind: Kind
    key: str
    ascending: bool


@dataclass(frozen=True)
class Query:
    """A filter and an order, as they were written and as they were read; `experiment` is an id, or empty for all."""

    experiment: str = ""
    where: str = ""
    order_by: str = ""
    clauses: list[Clause] = field(default_factory=list)
    order: Order | None = None

    @property
    def keys(self) -> list[tuple[Kind, str]]:
        """The kinds and names that it asks about."""
        asked: list[Clause | Order] = [*self.clauses, *([self.order] if self.order else [])]
        return [(each.kind, each.key) for each in asked]

    @property
    def digest(self) -> str:
        """Tells the cursors of one query from those of another."""
        return hashlib.sha256("\0".join((self.experiment, self.where, self.order_by)).encode()).hexdigest()[:8]


def query_of(experiment: str, where: str, order_by: str) -> Query:
    """Read the two texts; MLflow is imported only if there are any.

    Raises:
        MlflowException: a text cannot be read, or names no attribute of a run.
    """
    if not (where or order_by):
        return Query(experiment)
    from mlflow.utils.search_utils import SearchUtils

    parsed: list[dict[str, Any]] = SearchUtils.parse_search_filter(where)
    clauses = [Clause(each["type"], each["key"], each["comparator"].upper(), each["value"]) for each in parsed]
    if not order_by:
        return Query(experiment, where, order_by, clauses)
    kind, key, ascending = SearchUtils.parse_order_by_for_search_runs(order_by)
    return Query(experiment, where, order_by, clauses, Order(cast(Kind, kind), key, ascending))
