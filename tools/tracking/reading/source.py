"""Who reads runs: what all readers can do, and which one a store is read by."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from ...runtime.work import Work
from ..backend import require_backend
from ..connection import opened, unusable
from ..left import waiting
from ..records import Measured, RunRecord
from .database import Broken, connected
from .mlflow import ThroughMlflow
from .query import Kind, Query
from .straight import Straight


class Runs(Protocol):
    """The runs of a store, none of which is changed."""

    def experiments(self) -> dict[str, str]:
        """Name -> id of the active ones, the newest first."""
        ...

    def experiment_name(self, identity: str) -> str: ...

    def has(self, experiment: str, kind: Kind, key: str) -> bool:
        """Whether an active run of an experiment (all, if empty) has a metric, a parameter or a tag."""
        ...

    def keys(self, experiment: str, kind: Kind) -> set[str]:
        """The names that runs which started last have."""
        ...

    def page(self, query: Query, limit: int, cursor: str) -> tuple[list[RunRecord], str | None]:
        """The active runs of a query in its order, and the cursor of the next ones."""
        ...

    def found(self, identity: str) -> RunRecord | None:
        """A run, which may be deleted."""
        ...

    def history(self, identity: str, metric: str) -> list[Measured]: ...


@contextmanager
def runs_of(work: Work) -> Generator[Runs]:
    """Read a database by statements if its tables are those that we know, everything else through MLflow.

    Raises:
        Unavailable: the server or the database does not answer, or cannot be read.
    """
    require_backend(work)
    if waiting(work):
        with opened(work):  # which ends them
            pass
    with connected(work.settings) as database:
        if database is not None:
            try:
                yield Straight(database)
            except Broken as error:
                raise unusable(work, error) from error
            return
    with opened(work) as client:
        yield ThroughMlflow(client)
