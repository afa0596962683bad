"""Runs side by side: what was set and measured differently, and whether they saw the same data and libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, cast

from ..errors import ToolFailure
from ..handles import parse
from ..runtime.work import Work
from .client import record
from .models import RunComparison, RunStatus, cut, fit
from .reading.source import runs_of
from .records import RunRecord
from .views import measured_in

T = TypeVar("T")
MOST_RUNS = 10
PARAM_CHARS, METRIC_CHARS, VALUE_CHARS, NAME_CHARS = 1500, 1500, 60, 40
# Tags of a run: the data it was trained on, and the libraries as `name==version` with blanks between them.
DATASET, VERSIONS = "dataset", "versions"
# MLflow's own tag for the commit of the code that logged a run.
COMMIT = "mlflow.source.git.commit"


def compare_runs(work: Work, runs: Sequence[str]) -> RunComparison:
    """Two to ten runs; the first is the one that the others are held against.

    Raises:
        ToolFailure: too few, too many, or the same run twice.
    """
    for run in runs:
        parse(run, "run")
    with runs_of(work) as source:
        found = [record(source, run) for run in runs]
    handles = [run.handle for run in found]
    if not 2 <= len(set(handles)) == len(handles) <= MOST_RUNS:
        raise ToolFailure(f"2 to {MOST_RUNS} different runs are compared", "search_runs lists runs.")
    params = _differing([run.params for run in found])
    metrics = _beside([measured_in(run) for run in found])
    differences = {name: [_less(value, values[0]) for value in values] for name, values in metrics.items()}
    versions = [_versions(run) for run in found]
    data = [_data(run) for run in found]
    shown = fit({name: [_short(value) for value in values] for name, values in params.items()}, PARAM_CHARS)
    told = fit(metrics, METRIC_CHARS)
    return RunComparison(
        runs=handles,
        names=[cut(run.name, NAME_CHARS) for run in found],
        status=[cast(RunStatus, run.status) for run in found],
        params=shown,
        metrics=told,
        differences={name: differences[name] for name in told},
        data=data,
        same_data=_same(data),
        versions=_differing([each or {} for each in versions]),
        same_versions=_same(versions),
        omitted=_omitted(params, shown, "params") or _omitted(metrics, told, "metrics"),
        notes=_notes(found),
    )


def _beside(each: Sequence[Mapping[str, T]]) -> dict[str, list[T | None]]:
    return {name: [one.get(name) for one in each] for name in sorted({name for one in each for name in one})}


def _differing(each: Sequence[Mapping[str, T]]) -> dict[str, list[T | None]]:
    return {name: values for name, values in _beside(each).items() if any(value != values[0] for value in values)}


def _less(value: float | None, first: float | None) -> float | None:
    return None if value is None or first is None else value - first


def _same(values: Sequence[object]) -> bool | None:
    return None if None in values else all(value == values[0] for value in values)


def _short(value: str | None) -> str | None:
    return None if value is None else cut(value, VALUE_CHARS)


def _data(run: RunRecord) -> str | None:
    """The dataset of ours that a run names, else the datasets that MLflow has noted as its inputs."""
    return run.tags.get(DATASET) or ", ".join(sorted(run.datasets)) or None


def _versions(run: RunRecord) -> dict[str, str] | None:
    pairs = dict(each.split("==", 1) for each in run.tags.get(VERSIONS, "").split() if "==" in each)
    commit = run.tags.get(COMMIT)
    return (pairs | ({"commit": commit} if commit else {})) or None


def _omitted(every: Mapping[str, object], shown: Mapping[str, object], kind: str) -> str | None:
    left = len(every) - len(shown)
    return f"{left} more {kind} differ: get_run(run, names=[…]) shows them" if left else None


def _notes(runs: Sequence[RunRecord]) -> list[str]:
    tests: list[tuple[str, Callable[[RunRecord], bool]]] = [
        ("is deleted", lambda run: run.deleted),
        ("has not ended", lambda run: run.status == "RUNNING"),
    ]
    return [f"{run.handle} {said}" for run in runs for said, is_so in tests if is_so(run)]
