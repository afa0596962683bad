"""What a report is made of: the trace, its jobs with what they found, and where its things come from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ...tools.audit import named
from ...tools.errors import ToolFailure, unknown
from ...tools.explain.models import Explanation
from ...tools.observability import client as observability
from ...tools.observability.models import LineageGraph, TraceTree
from ...tools.runtime.jobs.launch import table_of
from ...tools.runtime.jobs.table import JobRow
from ...tools.runtime.work import Work
from ...tools.training.models import Evaluation
from ...tools.tuning.models import Comparison, Tuned

T = TypeVar("T", bound=BaseModel)
SPANS, EDGES, JOBS = 200, 60, 1000
TRACE = "trace:"
# What was made last is what the others lead to.
LAST = ("endpoint", "bento", "model", "run", "comparison", "study", "dataset")


@dataclass(frozen=True)
class Gathered:
    """Of `jobs` the first comes first; `problems` say what could not be read."""

    about: str
    tree: TraceTree | None = None
    jobs: list[JobRow] = field(default_factory=list[JobRow])
    graph: LineageGraph | None = None
    problems: list[str] = field(default_factory=list[str])

    @property
    def evaluations(self) -> list[Evaluation]:
        return self._results("evaluate_model", Evaluation)

    @property
    def searches(self) -> list[Tuned]:
        return self._results("tune_model", Tuned)

    @property
    def comparisons(self) -> list[Comparison]:
        return self._results("compare_models", Comparison)

    @property
    def explanations(self) -> list[Explanation]:
        return self._results("explain_model", Explanation)

    def _results(self, tool: str, model: type[T]) -> list[T]:
        """What the jobs of a tool answered; what an older version wrote in another form is left out."""
        rows = (row for row in self.jobs if row.tool == tool and row.result)
        return [found for row in rows if (found := _read(row.result or "", model)) is not None]


def _read(text: str, model: type[T]) -> T | None:
    try:
        return model.model_validate_json(text)
    except ValidationError:
        return None


def gathered(work: Work, handle: str) -> Gathered:
    """All that belongs to a trace, or to the one in which a thing was made last.

    Raises:
        ToolFailure: nothing is known of the handle.
    """
    problems: list[str] = []
    rows = _jobs(work)
    trace = handle if handle.startswith(TRACE) else _trace_of(rows, handle)
    tree = observability.get_trace(work, trace, "", "full", SPANS) if trace else None
    identity = tree.trace.removeprefix(TRACE) if tree else ""
    mine = [row for row in rows if identity and row.trace_id == identity]
    graph = _graph(work, _last(mine) if handle.startswith(TRACE) else handle, problems)
    if tree is None and graph is None:
        raise unknown("handle", handle, [], "Pass a trace, or what a job has made: run:…, model:…, endpoint:…")
    return Gathered(handle, tree, mine, graph, problems)


def _jobs(work: Work) -> list[JobRow]:
    if not work.settings.job_store and not (work.home / "jobs.db").exists():
        return []
    return sorted(table_of(work.settings).recent(JOBS), key=lambda row: row.created)


def _trace_of(rows: Sequence[JobRow], handle: str) -> str:
    made = (row for row in reversed(rows) if row.trace_id and handle in _made(row))
    found = next(made, None)
    return f"{TRACE}{found.trace_id}" if found else ""


def _made(row: JobRow) -> tuple[str, ...]:
    """The handles in what a job has answered."""
    return named([json.loads(row.result)]) if row.result else ()


def _last(rows: Iterable[JobRow]) -> str:
    handles = [handle for row in rows for handle in _made(row)]
    ranked = [handle for kind in LAST for handle in reversed(handles) if handle.startswith(f"{kind}:")]
    return ranked[0] if ranked else ""


def _graph(work: Work, handle: str, problems: list[str]) -> LineageGraph | None:
    if not handle or not (work.home / "lineage.db").exists():
        return None
    try:
        return observability.get_lineage(work, handle, EDGES)
    except ToolFailure as failure:
        problems.append(str(failure))
        return None
