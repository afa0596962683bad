"""Runs end with the work that opened them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking import left
from mlops_mcp.tools.tracking.checks import PARENT
from mlops_mcp.tools.tracking.client import end_run, get_run, log_run, search_runs, start_run
from mlops_mcp.tools.tracking.ending import close_abandoned, logging_run

pytestmark = pytest.mark.slow


def status(work: Work, run: str) -> str:
    return str(get_run(work, run).status)


def failing(work: Work, given: str, raised: BaseException, opened: list[str]) -> None:
    with logging_run(work, given, "e", "work") as run:
        opened.append(run)
        raise raised


@pytest.mark.parametrize("raised", [ToolFailure("refused", ""), KeyboardInterrupt(), ValueError("a crash")])
def test_a_run_of_its_own_fails_with_the_work_and_the_error_stays_what_it_was(
    work: Work, raised: BaseException
) -> None:
    opened: list[str] = []
    with pytest.raises(type(raised)) as caught:
        failing(work, "", raised, opened)
    assert caught.value is raised
    assert status(work, opened[0]) == "FAILED"


def test_a_run_of_its_own_is_finished_and_a_given_one_stays_open(work: Work) -> None:
    with logging_run(work, "", "e", "work") as own:
        log_run(work, own, {}, {"auc": 1.0}, 0, {})
    given = start_run(work, "e", "given", {}).run
    with pytest.raises(ValueError, match="a crash"):
        failing(work, given, ValueError("a crash"), [])
    assert (status(work, own), status(work, given)) == ("FINISHED", "RUNNING")
    end_run(work, given, "FINISHED")
    with pytest.raises(ToolFailure, match="has ended"):
        failing(work, given, ValueError("never raised"), [])


def test_what_is_left_of_a_killed_job_is_killed_and_what_had_ended_is_not(work: Work) -> None:
    parent = start_run(work, "e", "parent", {}).run
    children = [start_run(work, "e", "child", {PARENT: parent.removeprefix("run:")}).run for _ in range(2)]
    end_run(work, children[0], "FINISHED")
    close_abandoned(work, parent)
    close_abandoned(work, parent)
    assert [status(work, run) for run in (parent, *children)] == ["KILLED", "FINISHED", "KILLED"]


def unknown(work: Work) -> str:
    return "0" * 32


def deleted(work: Work) -> str:
    from mlops_mcp.tools.tracking.backend import mlflow_client

    identity = start_run(work, "e", "deleted", {}).run.removeprefix("run:")
    mlflow_client(work).delete_run(identity)
    return identity


@pytest.mark.parametrize("gone", [unknown, deleted])
def test_a_note_of_a_run_that_is_gone_is_forgotten_and_hinders_nobody(work: Work, gone: Callable[[Work], str]) -> None:
    run = start_run(work, "e", "other", {}).run
    left.note(work, gone(work), "FAILED")
    left.note(work, run.removeprefix("run:"), "FAILED")
    assert [line.status for line in search_runs(work, "e", "", "", 10, "").items] == ["FAILED"]
    assert left.waiting(replace(work)) == []
