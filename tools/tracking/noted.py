"""What MLflow itself has noted of where things come from: datasets that went into a run, models that came out of it."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import ToolFailure
from ..handles import parse
from ..lineage import Edge
from ..runtime.work import Work
from .reading.source import runs_of

BY = "MLflow"
RUN = "run:"


def noted_edges(work: Work, handles: Iterable[str]) -> list[Edge]:
    """The edges of those handles that are runs; a dataset is `input:<name>@<digest>`.

    Raises:
        Unavailable: the store does not answer. It is not asked where no handle is a run.
    """
    asked = [handle for handle in handles if handle.startswith(RUN)]
    if not asked:
        return []
    with runs_of(work) as runs:
        records = [found for handle in asked if (found := runs.found(_identity(handle)))]
    return [
        edge
        for found in records
        for edge in (
            *(Edge(found.handle, f"input:{name}", BY) for name in found.datasets),
            *(Edge(f"models:/{model}", found.handle, BY) for model in found.models),
        )
    ]


def _identity(handle: str) -> str:
    try:
        return str(parse(handle, "run").name)
    except ToolFailure:
        return ""
