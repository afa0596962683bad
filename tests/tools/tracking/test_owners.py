"""Whose run it is, as jobs and calls of several callers see it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking.backend import mlflow_client
from mlops_mcp.tools.tracking.client import end_run, get_run, log_run, require_running, start_run

pytestmark = pytest.mark.slow


def test_a_run_takes_work_of_its_owner_and_scores_of_anybodys_jobs(work: Work) -> None:
    ann, bob = (replace(work, by=Identity(name, "write")) for name in ("ann", "bob"))
    jobs = {name: replace(work, by=Identity(name), job="1") for name in ("ann", "bob", "")}
    run = start_run(ann, "e", "", {}).run
    for other in (bob, jobs["bob"]):
        with pytest.raises(ToolFailure, match="belongs to another caller"):
            require_running(other, run)
    for other in (ann, jobs["ann"], jobs[""], work):
        assert require_running(other, run) == run
    for refused in (lambda: log_run(bob, run, {}, {"m": 1.0}, 0, {}), lambda: end_run(bob, run, "KILLED")):
        with pytest.raises(ToolFailure, match="belongs to another caller"):
            refused()
    log_run(jobs["bob"], run, {}, {"auc": 0.9}, 0, {})
    assert get_run(bob, run).metrics == {"auc": 0.9}
    assert end_run(ann, run, "FINISHED").status == "FINISHED"
    assert "mlops.owner" not in start_run(work, "e", "", {}).tags
    assert start_run(jobs["bob"], "e", "", {}).tags["mlops.owner"] == "bob"


def test_mlflow_itself_shows_who_has_started_a_run_whatever_the_settings_say(work: Work) -> None:
    given = work.settings.mlflow.model_copy(update={"default_tags": {"mlflow.user": "root", "mlops.owner": "root"}})
    ann = replace(work, settings=work.settings.model_copy(update={"mlflow": given}), by=Identity("ann", "write"))
    run = mlflow_client(ann).get_run(start_run(ann, "e", "", {}).run.removeprefix("run:"))
    assert [run.data.tags[tag] for tag in ("mlflow.user", "mlops.owner")] == ["ann", "ann"]
