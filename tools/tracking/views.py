"""Runs as an agent sees them: short enough for its context, and saying what was left out."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import cast

from ..errors import unknown
from ..numbers import finite, rounded
from .models import Run, RunLine, RunStatus, cut, fit
from .records import RunRecord

# Characters on the wire, so that a whole run, or ten lines, stay within 1,500 tokens.
PARAM_CHARS, METRIC_CHARS, TAG_CHARS, LEFT_OUT_CHARS = 1600, 1600, 700, 400
NAME_CHARS, VALUE_CHARS, MODELS = 100, 200, 10
# The tag with which a search marks the runs of its trials.
TRIAL_STATE = "trial_state"
LINE_NAME_CHARS, LINE_PARAM_CHARS, LINE_METRIC_CHARS, LINE_VALUE_CHARS = 40, 120, 170, 40


def run_view(run: RunRecord, experiment: str, names: Sequence[str]) -> Run:
    """A run; with `names` (`*` for any text) only these params, metrics and tags, at full length."""
    params, metrics, tags = dict(run.params), measured_in(run), visible(run.tags)
    if names:
        params, metrics, tags = _chosen(names, params, metrics, tags)
    models = [f"models:/{each}" for each in run.models]
    length = None if names else VALUE_CHARS
    shown = Run(
        run=run.handle,
        name=cut(run.name, NAME_CHARS),
        experiment=cut(experiment, NAME_CHARS),
        status=cast(RunStatus, run.status),
        started=_time(run.start_time),
        duration_s=_duration_s(run),
        artifact_uri=run.artifact_uri,
        params=fit(_cut_all(params, length), PARAM_CHARS),
        metrics=fit(metrics, METRIC_CHARS),
        tags=fit(_cut_all(tags, length), TAG_CHARS),
        models=models if names else models[:MODELS],
        datasets=[cut(each, NAME_CHARS) for each in run.datasets[:MODELS]],
        notes=_notes(run),
    )
    left = {
        "params": _rest(params, shown.params),
        "metrics": _rest(metrics, shown.metrics),
        "tags": _rest(tags, shown.tags),
        "long values": [] if names else [*_longer(params), *_longer(tags)],
        "models": models[len(shown.models) :],
        "datasets": run.datasets[MODELS:],
    }
    shown.omitted = _left_out(left, _not_finite(run))
    return shown


def run_line(run: RunRecord, metrics: Collection[str], params: Collection[str]) -> RunLine:
    """One line of a list; the metrics and params that were asked about are shown in any case."""
    numbers = measured_in(run)
    shown = fit({key: rounded(value) for key, value in numbers.items()}, LINE_METRIC_CHARS, metrics)
    texts = fit(_cut_all(run.params, LINE_VALUE_CHARS), LINE_PARAM_CHARS, params)
    counts = {"metrics": len(numbers) - len(shown), "params": len(run.params) - len(texts)}
    more = [f"{count} {kind}" for kind, count in counts.items() if count]
    if odd := _not_finite(run):
        more.append(f"{cut(', '.join(odd), LINE_VALUE_CHARS)}: no number")
    return RunLine(
        run=run.handle,
        name=cut(run.name, LINE_NAME_CHARS),
        status=cast(RunStatus, run.status),
        started=_time(run.start_time),
        metrics={key: numbers[key] for key in shown},
        params=texts,
        more=", ".join([*more, *_notes(run)]) or None,
    )


def visible(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not key.startswith("mlflow.")}


def _cut_all(texts: Mapping[str, str], length: int | None) -> dict[str, str]:
    return {key: cut(value, length) if length else value for key, value in texts.items()}


def _longer(texts: Mapping[str, str]) -> list[str]:
    return [key for key, value in texts.items() if len(value) > VALUE_CHARS]


def _rest(items: Iterable[str], shown: Collection[str]) -> list[str]:
    return sorted(key for key in items if key not in shown)


def measured_in(run: RunRecord) -> dict[str, float]:
    return {key: value for key, value in run.metrics.items() if is_measured(value)}


def _not_finite(run: RunRecord) -> list[str]:
    return sorted(key for key, value in run.metrics.items() if not is_measured(value))


def is_measured(value: float) -> bool:
    """The SQL store gives the largest float for an infinite number."""
    return finite(value) is not None and abs(value) < sys.float_info.max


def _notes(run: RunRecord) -> list[str]:
    """What the status alone does not say."""
    notes: list[str] = []
    if run.deleted:
        notes.append("this run is deleted: it takes nothing more, and no search finds it")
    if run.tags.get(TRIAL_STATE) == "PRUNED":
        notes.append("a trial that was pruned, not killed")
    return notes


def _chosen(
    names: Sequence[str], params: dict[str, str], metrics: dict[str, float], tags: dict[str, str]
) -> tuple[dict[str, str], dict[str, float], dict[str, str]]:
    """What the names stand for; each has to stand for something."""
    keys = [*params, *metrics, *tags]
    for name in names:
        if not any(fnmatchcase(key, name) for key in keys):
            raise unknown("param, metric or tag", name, keys)
    wanted = {key for key in keys if any(fnmatchcase(key, name) for name in names)}
    return (
        {key: value for key, value in params.items() if key in wanted},
        {key: value for key, value in metrics.items() if key in wanted},
        {key: value for key, value in tags.items() if key in wanted},
    )


def _left_out(left: Mapping[str, list[str]], not_finite: list[str]) -> str | None:
    parts: list[str] = []
    if any(left.values()):
        counts = ", ".join(f"{len(names)} {kind}" for kind, names in left.items() if names)
        named = cut(", ".join(name for names in left.values() for name in names), LEFT_OUT_CHARS)
        parts.append(f"{counts}: {named}. get_run(run, names=[…]) shows them, e.g. names=['prefix*']")
    if not_finite:
        parts.append(f"metrics that are no number: {cut(', '.join(not_finite), NAME_CHARS)}")
    return "; ".join(parts) or None


def _time(milliseconds: int | None) -> str:
    """Empty where the store has none."""
    if milliseconds is None:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


def _duration_s(run: RunRecord) -> float | None:
    return (run.end_time - run.start_time) / 1000 if run.end_time and run.start_time is not None else None
