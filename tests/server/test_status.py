"""`mlops-mcp status`: what it shows of real stores, of none and of damaged ones."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.status.board import rendered, show
from mlops_mcp.server.status.snapshot import look
from mlops_mcp.tools.runtime.jobs.launch import table_of
from mlops_mcp.tools.runtime.jobs.table import End, NewJob
from mlops_mcp.tools.runtime.models import Progress
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import endpoints
from mlops_mcp.tools.serving.models import Deployment, EndpointFile
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracing.store.writer import TraceStore


def printed(settings: Settings, width: int = 200) -> str:
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(rendered(look(settings)))
    return capture.get()


def test_an_installation_that_nobody_has_used_is_shown_and_stays_as_it_is(settings: Settings) -> None:
    said = printed(settings)
    assert [word for word in ("jobs: none yet", "endpoints: none", "traces: none yet") if word not in said] == []
    assert not settings.home.exists()


def test_jobs_that_run_come_first_then_those_that_wait_then_those_that_have_ended(settings: Settings) -> None:
    table = table_of(settings)
    ended, runs, waits = (table.insert(new_job(tool)) for tool in ("first", "second", "third"))
    for row in (ended, runs):
        run(settings, row.id)
    table.note(runs.id, 1, "progress", Progress(done=1, total=4, message="trial 1/4 [red]").model_dump_json())
    table.finish(ended.id, 1, End("failed", error="no column 'x' in sk-ant-api03-abcdefghij0123456789_ABCDEFG"))
    found = look(settings)
    assert [(line.tool, line.state) for line in found.jobs] == [
        ("second", "running"), ("third", "queued"), ("first", "failed"),
    ]  # fmt: skip
    assert waits.id in found.jobs[1].job
    said = printed(settings)
    assert "trial 1/4 [red]" in said
    assert "no column 'x'" in said
    assert "abcdefghij" not in said


def test_what_callers_name_things_obeys_no_terminal(settings: Settings) -> None:
    with Tracer((store := TraceStore(settings.trace_store, 16)).put).span("a\x1b]0;title\x07\x1b[2Jb"):
        pass
    store.close()
    table = table_of(settings)
    table.finish(run_of(settings), 1, End("failed", error="no\x1b[8mthing"))
    said = printed(settings)
    assert "\x1b]" not in said
    assert "\x1b[2J" not in said
    assert "\x1b[8m" not in said
    assert "nothing" in said


def run_of(settings: Settings) -> str:
    identity = table_of(settings).insert(new_job("first")).id
    run(settings, identity)
    return identity


def test_a_store_that_cannot_be_read_is_a_problem_and_the_rest_is_shown(settings: Settings, tmp_path: Path) -> None:
    settings.home.mkdir(parents=True)
    (settings.home / "jobs.db").write_text("no database" * 500)
    with Tracer((store := TraceStore(settings.trace_store, 16)).put).span("train_model"):
        pass
    store.close()
    folder = settings.home / "endpoints"
    folder.mkdir()
    (folder / "credit.json").write_text("{")
    found = look(settings)
    assert [trace.name for trace in found.traces] == ["train_model"]
    assert len(found.problems) == 2
    assert "jobs.db" in found.problems[0]
    assert "endpoint:credit" in found.problems[1]
    assert show(settings, 1, once=True, as_json=False) == 1


def test_a_damaged_row_is_a_problem_and_no_crash(settings: Settings) -> None:
    table = table_of(settings)
    row = table.insert(new_job("first"))
    run(settings, row.id)
    table.note(row.id, 1, "progress", "{")
    (problem,) = look(settings).problems
    assert "job table is damaged" in problem


def test_an_endpoint_is_shown_with_the_share_and_state_of_each_bento(settings: Settings) -> None:
    work = Work(settings, Tracer(lambda _span: None))
    dead = Deployment(id="a", bento="bento:tree:1", model="model:tree/1", pid=2**22 + 1, port=9, started="", replicas=1,
                      percent=90, ready=True)  # fmt: skip
    endpoints.write(work, EndpointFile(endpoint="credit", deployments=[dead]))
    said = printed(settings)
    assert [word for word in ("credit", "dead", "tree:1", "90") if word not in said] == []


def test_as_json_it_is_one_object(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(settings, 1, once=False, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["home"] == str(settings.home)


@pytest.mark.slow
def test_on_a_terminal_it_looks_again_until_it_is_interrupted(environ: dict[str, str]) -> None:
    leader, follower = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "mlops_mcp.server", "status", "--every", "0.1"],
        env={**os.environ, **environ, "TERM": "xterm"}, stdin=follower, stdout=follower, stderr=follower,
    )  # fmt: skip
    os.close(follower)
    shown, told = b"", False
    with suppress(OSError):  # how a terminal says that nobody is left
        while part := os.read(leader, 1 << 16):
            shown += part
            if shown.count(b"endpoints: none") > 2 and not told:
                watching.send_signal(signal.SIGINT)
                told = True
    os.close(leader)
    assert watching.wait() == 130, shown


def new_job(tool: str) -> NewJob:
    return NewJob(tool, "", "x:y", "{}", 1, "", "", None, "{}", "/", "/home", "{}")


def run(settings: Settings, identity: str) -> None:
    with table_of(settings).backend.open() as db:
        db.execute("update jobs set state='running', attempt=1 where id=?", (identity,))
