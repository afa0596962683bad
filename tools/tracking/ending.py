"""Runs that end with the work that opened them, however it ends, also while MLflow is away."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ..errors import ToolFailure, Unavailable
from ..handles import parse
from ..runtime.work import Work
from . import left
from .client import end_run, require_running, start_run
from .connection import opened
from .models import RunStatus


@contextmanager
def logging_run(work: Work, given: str, experiment: str, title: str) -> Generator[str]:
    """The handle of a run to log in: the given one, or one of its own.

    Its own ends as FINISHED with the body and as FAILED if that fails; a given one stays open.

    Raises:
        ToolFailure: the given one is unknown or has ended.
    """
    if given:
        yield require_running(work, given, "a model")
        return
    run = start_run(work, experiment, title, {}).run
    work.afterwards(close_abandoned, run)
    try:
        yield run
        end_run(work, run, "FINISHED")
    except BaseException:
        close(work, run, "FAILED")
        raise


def close_abandoned(work: Work, run: str) -> None:
    """Mark what ended work left open as KILLED: a run, and those below it."""
    close(work, run, left.ABANDONED)


def close(work: Work, run: str, status: RunStatus) -> None:
    """End a run and those below it that are open; if MLflow is away, as soon as it is used again."""
    identity = parse(run, "run").name
    try:
        with opened(work) as client:
            left.end(client, identity, status)
    except Unavailable:
        left.note(work, identity, status)
    except ToolFailure:  # it is gone
        return
