"""Runs as MLflow reads them, from whatever store it knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..connection import everything, token_of
from ..records import Measured, RunRecord, record_of
from .query import RECENT, Kind, Query

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Kind -> where a run keeps it, and filters of which one finds each run that has the key.
PROBES = {
    "metric": ("metrics", ("metrics.`{}` >= -1.7976931348623157e308", "metrics.`{}` != 0")),
    "parameter": ("params", ("params.`{}` LIKE '%'",)),
    "tag": ("tags", ("tags.`{}` LIKE '%'",)),
}


@dataclass(frozen=True)
class ThroughMlflow:
    client: MlflowClient

    def experiments(self) -> dict[str, str]:
        found = everything(lambda token: self.client.search_experiments(max_results=1000, page_token=token))
        return {each.name: each.experiment_id for each in found}

    def experiment_name(self, identity: str) -> str:
        return str(self.client.get_experiment(identity).name)

    def has(self, experiment: str, kind: Kind, key: str) -> bool:
        where = [probe.format(key) for probe in PROBES[kind][1]]
        scope = self._scope(experiment)
        return any(self.client.search_runs(scope, filter_string=each, max_results=1) for each in where)

    def keys(self, experiment: str, kind: Kind) -> set[str]:
        recent = self.client.search_runs(self._scope(experiment), max_results=RECENT)
        return {key for run in recent for key in getattr(run.data, PROBES[kind][0])}

    def page(self, query: Query, limit: int, cursor: str) -> tuple[list[RunRecord], str | None]:
        found = self.client.search_runs(
            self._scope(query.experiment),
            filter_string=query.where,
            max_results=limit,
            order_by=[query.order_by] if query.order_by else None,
            page_token=cursor or None,
        )
        return [record_of(run) for run in found], token_of(found.token)

    def found(self, identity: str) -> RunRecord | None:
        from mlflow.exceptions import MlflowException

        try:
            return record_of(self.client.get_run(identity))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def history(self, identity: str, metric: str) -> list[Measured]:
        found = self.client.get_metric_history(identity, metric)
        return [Measured(each.step, each.timestamp, each.value) for each in found]

    def _scope(self, experiment: str) -> list[str]:
        return [experiment] if experiment else list(self.experiments().values())
