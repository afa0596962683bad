"""Runs that are logged whole, as parts of another one: what they measured has ended before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from ..runtime.work import Work
from .checks import OWNER, PARENT, USER, check_tags, check_title, check_values, owned
from .client import opened_at, text_of
from .connection import opened
from .models import RunStatus

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param


@dataclass(frozen=True)
class Part:
    """`began` and `ended` are seconds since the epoch."""

    name: str
    params: Mapping[str, JsonValue]
    metrics: Mapping[str, float]
    status: RunStatus
    began: float
    ended: float
    tags: Mapping[str, str]


def experiment_of(work: Work, run: str) -> str:
    """The id of the experiment that a run is in."""
    with opened_at(work, run) as (_, found):
        return str(found.info.experiment_id)


def log_part(work: Work, parent: str, experiment: str, part: Part) -> None:
    """Log a run below another one with as few questions to the store as there can be: there may be thousands.

    Args:
        experiment: the id of that of the parent.
    """
    tags = {**part.tags, PARENT: parent.removeprefix("run:")}
    texts = {key: text_of(value) for key, value in part.params.items()}
    check_tags(part.tags)
    check_title(part.name, "a run")
    check_values(texts, dict(part.metrics))
    given = {**work.settings.mlflow.default_tags, **tags, **owned(work.by.name, OWNER, USER)}
    with opened(work) as client:
        run = client.create_run(experiment, _ms(part.began), given, part.name).info.run_id
        if texts or part.metrics:
            client.log_batch(run, metrics=_metrics(part), params=_params(texts))
        client.set_terminated(run, part.status, _ms(part.ended))


def _metrics(part: Part) -> list[Metric]:
    from mlflow.entities import Metric

    return [Metric(key, float(value), _ms(part.ended), 0) for key, value in part.metrics.items()]


def _params(texts: Mapping[str, str]) -> list[Param]:
    from mlflow.entities import Param

    return [Param(key, text) for key, text in texts.items()]


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
