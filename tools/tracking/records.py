"""A run as it was read, whoever has read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun


@dataclass(frozen=True)
class RunRecord:
    """A run with its last metrics; times are milliseconds, `datasets` are name@digest, `models` ids."""

    run_id: str
    name: str
    experiment_id: str
    status: str
    lifecycle_stage: str
    start_time: int | None
    end_time: int | None
    artifact_uri: str
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    datasets: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)

    @property
    def handle(self) -> str:
        return f"run:{self.run_id}"

    @property
    def deleted(self) -> bool:
        return self.lifecycle_stage == "deleted"


@dataclass(frozen=True)
class Measured:
    """A value of a metric; it was taken at `timestamp` (milliseconds)."""

    step: int
    timestamp: int
    value: float


def record_of(run: MlflowRun) -> RunRecord:
    """A run that MLflow has read."""
    info, data = run.info, run.data
    inputs = [entry.dataset for entry in (run.inputs.dataset_inputs if run.inputs else [])]
    outputs = run.outputs.model_outputs if run.outputs else []
    return RunRecord(
        run_id=info.run_id,
        name=info.run_name or "",
        experiment_id=info.experiment_id,
        status=info.status,
        lifecycle_stage=info.lifecycle_stage,
        start_time=info.start_time,
        end_time=info.end_time,
        artifact_uri=info.artifact_uri or "",
        params=dict(data.params),
        metrics=dict(data.metrics),
        tags=dict(data.tags),
        datasets=[f"{each.name}@{each.digest}" for each in inputs],
        models=[each.model_id for each in outputs],
    )
