"""The stores that the matrix goes over, and disks that are small or read-only."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops_mcp.server.answer_table import AnswerTable, Call
from mlops_mcp.tools.decisions import Decisions, Entry
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.runtime.jobs.backends import SqliteBackend
from mlops_mcp.tools.runtime.jobs.table import JobTable, NewJob
from mlops_mcp.tools.tracing.span import Span
from mlops_mcp.tools.tracing.store.reader import TraceReader
from mlops_mcp.tools.tracing.store.writer import TraceStore

from ...conftest import unable

# A lock that is never given back is as long as any.
TIMEOUT_S = 0.05
BYTES = 20_000


@dataclass(frozen=True)
class StoreProbe:
    """A store as the matrix uses it: `write` adds one row of some 20 KB to `table`, with a short wait for locks."""

    file: str
    table: str
    write: Callable[[Path, str], None]

    def path(self, home: Path) -> Path:
        return home / self.file

    def count(self, home: Path) -> int:
        with closing(sqlite3.connect(self.path(home))) as db:
            return int(db.execute(f"select count(*) from {self.table}").fetchone()[0])


def record_edge(home: Path, name: str) -> None:
    Lineage(home, TIMEOUT_S).record(name, ["file:" + "x" * BYTES], "load_dataset")


def record_decision(home: Path, name: str) -> None:
    Decisions(home, TIMEOUT_S).record(Entry(name, "x" * BYTES, (f"file:{name}",)))


def keep_answer(home: Path, name: str) -> None:
    table = AnswerTable.of(home, 30, TIMEOUT_S)
    call = Call("me", "start_run", name, "digest")
    try:
        assert table.claim(call) is True
        table.keep(call, "x" * BYTES)
    finally:
        table.close()


def insert_job(home: Path, name: str) -> None:
    new = NewJob(
        tool=name, toolset="", function="a:b", request="x" * BYTES, attempts=1, trace_id="t", span_id="s",
        idempotency=None, settings="{}", folder="/", home="home", budget="{}",
    )  # fmt: skip
    JobTable(SqliteBackend(home / "jobs.db", TIMEOUT_S)).insert(new)


def put_span(home: Path, name: str) -> None:
    traces = TraceStore(home / "traces.db", 64)
    traces.put(Span(name, "", "call", "tool", input="x" * BYTES))
    if not traces.close():
        raise traces.failure or AssertionError(f"{traces.dropped} spans are lost, and nothing says why")
    assert TraceReader(home / "traces.db").has_trace(name)


STORES = {
    "lineage": StoreProbe("lineage.db", "edges", record_edge),
    "decisions": StoreProbe("decisions.db", "decisions", record_decision),
    "answers": StoreProbe("answers.db", "calls", keep_answer),
    "jobs": StoreProbe("jobs.db", "jobs", insert_job),
    "traces": StoreProbe("traces.db", "spans", put_span),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> StoreProbe:
    return STORES[request.param]


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A filesystem of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        unable("no filesystem can be mounted here: run as root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def read_only(small_disk: Path) -> Callable[[bool], None]:
    """Makes the small disk read-only, which holds for the superuser too, or writable again."""

    def set_to(value: bool) -> None:
        subprocess.run(["mount", "-o", f"remount,{'ro' if value else 'rw'}", small_disk], check=True)

    return set_to


def modes(home: Path) -> set[tuple[bool, int]]:
    """Of all that lies in a folder and of itself: whether it is a folder, and who may do what."""
    return {(path.is_dir(), os.stat(path).st_mode & 0o777) for path in (home, *home.rglob("*"))}
