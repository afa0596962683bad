"""Runs read from the tables of MLflow, where its client takes minutes for as many as a team makes in a year."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..embedded import EXPERIMENTS
from ..records import Measured, RunRecord
from .conditions import RUN_NAME, TABLES, active, conditions
from .database import Database
from .ordering import after, cursor_of, place_of, sorted_by
from .query import RECENT, Kind, Query

FACTS = "run_uuid, name, experiment_id, status, lifecycle_stage, start_time, end_time, artifact_uri"
DATASETS = """
    select distinct i.destination_id, d.name, d.digest, d.dataset_uuid
    from inputs i join datasets d on i.source_id = d.dataset_uuid where i.destination_type = 'RUN' and i.destination_id
"""
MODELS = "select source_id, destination_id from inputs where source_type = 'RUN_OUTPUT' and source_id"


@dataclass(frozen=True)
class Straight:
    database: Database

    def experiments(self) -> dict[str, str]:
        return {str(name): str(identity) for name, identity in self.database.rows(EXPERIMENTS)}

    def experiment_name(self, identity: str) -> str:
        return str(self.database.rows("select name from experiments where experiment_id = ?", [int(identity)])[0][0])

    def has(self, experiment: str, kind: Kind, key: str) -> bool:
        text, values = active(experiment)
        joined = f"from {TABLES[kind]} x join runs r on r.run_uuid = x.run_uuid"
        return bool(self.database.rows(f"select 1 {joined} where x.key = ? and {text} limit 1", [key, *values]))

    def keys(self, experiment: str, kind: Kind) -> set[str]:
        text, values = active(experiment)
        recent = f"select r.run_uuid from runs r where {text} order by r.start_time desc limit {RECENT}"
        found = self.database.rows(f"select distinct key from {TABLES[kind]} where run_uuid in ({recent})", values)
        return {str(row[0]) for row in found}

    def page(self, query: Query, limit: int, cursor: str) -> tuple[list[RunRecord], str | None]:
        order = sorted_by(query)
        wanted = [active(query.experiment), *conditions(query.clauses, self.database)]
        if place := place_of(query, order, cursor, self.database):
            wanted.append(after(order, place))
        joined, keys = order.joined
        rows = self.database.rows(
            f"select {order.selected} from runs r {joined} where {' and '.join(text for text, _ in wanted)} "
            f"order by {order.by} limit ?",
            [*keys, *(value for _, values in wanted for value in values), limit + 1],
        )
        shown = rows[:limit]
        more = cursor_of(query, order, shown[-1]) if len(rows) > limit else None
        return self._records([row[-1] for row in shown]), more

    def found(self, identity: str) -> RunRecord | None:
        return next(iter(self._records([identity])), None)

    def history(self, identity: str, metric: str) -> list[Measured]:
        rows = self.database.rows(
            "select step, timestamp, value, is_nan from metrics where run_uuid = ? and key = ? "
            "order by timestamp, step, value",
            [identity, metric],
        )
        return [Measured(step, timestamp, _number(value, is_nan)) for step, timestamp, value, is_nan in rows]

    def _records(self, identities: Sequence[str]) -> list[RunRecord]:
        """The runs with these ids, in their order."""
        facts = {row[0]: row for row in self._of(f"select {FACTS} from runs where run_uuid", identities)}
        params, metrics, tags = (self._by_run(columns, table, identities) for columns, table in PARTS)
        datasets, models = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
        for run, name, digest, _ in self._of(DATASETS, identities):
            datasets[run].append(f"{name}@{digest}")
        for run, model in self._of(MODELS, identities, "and destination_type = 'MODEL_OUTPUT' order by destination_id"):
            models[run].append(model)
        return [
            _record(
                facts[each],
                dict(params[each]),
                {key: _number(value, is_nan) for key, (value, is_nan) in metrics[each]},
                dict(tags[each]),
                (datasets[each], models[each]),
            )
            for each in identities
            if each in facts
        ]

    def _by_run(self, columns: str, table: str, identities: Sequence[str]) -> dict[str, list[tuple[str, Any]]]:
        found = defaultdict[str, list[tuple[str, Any]]](list)
        for run, key, *values in self._of(f"select run_uuid, key, {columns} from {table} where run_uuid", identities):
            found[run].append((key, values[0] if len(values) == 1 else values))
        return found

    def _of(self, statement: str, identities: Sequence[str], then: str = "") -> list[tuple[Any, ...]]:
        """The rows of a statement that belong to these runs."""
        if not identities:
            return []
        return self.database.rows(f"{statement} in ({', '.join('?' * len(identities))}) {then}", identities)


PARTS = (("value", "params"), ("value, is_nan", "latest_metrics"), ("value", "tags"))


def _record(
    facts: tuple[Any, ...],
    params: dict[str, str],
    metrics: dict[str, float],
    tags: dict[str, str],
    others: tuple[list[str], list[str]],
) -> RunRecord:
    run, name, experiment, status, stage, start, end, artifacts = facts
    return RunRecord(
        run_id=run,
        name=name or tags.get(RUN_NAME) or "",
        experiment_id=str(experiment),
        status=status,
        lifecycle_stage=stage,
        start_time=start,
        end_time=end,
        artifact_uri=artifacts or "",
        params=params,
        metrics=metrics,
        tags=tags,
        datasets=others[0],
        models=others[1],
    )


def _number(value: float, is_nan: bool) -> float:
    return float("nan") if is_nan else value
