"""A file that takes longer than a call may is loaded by a job, which answers alike and leaves nothing when it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.data import client as data
from mlops_mcp.tools.data.models import DatasetInfo, Loaded
from mlops_mcp.tools.data.store import discard, load_file
from mlops_mcp.tools.runtime.jobs.functions import function_of
from mlops_mcp.tools.runtime.models import JobView
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

from ...conftest import connected, finished, in_a_task_of_its_own

# A job that is killed when it says these words of its progress; it prints what it said is to be closed then.
KILLED = """
import os, signal, sys
from mlops_mcp.config.load import load
from mlops_mcp.tools.data import blocks, client, large, streamed
from mlops_mcp.tools.data.models import LoadRequest
from mlops_mcp.tools.runtime.work import Reporter, Work
from mlops_mcp.tools.tracing.span import Tracer

home, roots, path, way, words = sys.argv[1:]
large.LARGE = blocks.BLOCK = streamed.BLOCK = 1000
if way == "in one pass":
    streamed.LEAST, streamed.HEAD_BLOCKS = 0, 1000

def die(progress):
    if words in progress.message:
        os.kill(os.getpid(), signal.SIGKILL)

settings = load({"MLOPS_HOME": home}, {"data.roots": [roots]}).settings
reporter = Reporter(die, lambda kind, text: print(text, flush=True))
client.load_large_file(Work(settings, Tracer(lambda _: None), reporter, job="01J"), LoadRequest(path=path))
"""


def loading_by_jobs(settings: Settings, size: int) -> Settings:
    """The same installation, where files of more bytes are loaded by a job."""
    return settings.model_copy(update={"data": settings.data.model_copy(update={"job_mb": size / (1 << 20)})})


def _left(work: Work) -> list[Path]:
    return [*(work.home / "queries").glob("*"), *(work.home / "datasets").glob(".rows*")]


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("in one pass", "MB of text read"),
        *(("kept on disk", words) for words in ("text read", "columns read", "stored")),
    ],
)
def test_what_a_killed_job_leaves_is_removed_and_nothing_else(work: Work, tmp_path: Path, way: str, words: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,v\n" + "".join(f"{place},{place / 4}\n" for place in range(1000)))
    other = [work.home / "queries" / "02K-7-x", work.home / "datasets" / ".rows.parquet.abc"]
    for each in other:
        each.parent.mkdir(parents=True, exist_ok=True)
        each.touch()
    command = [sys.executable, "-c", KILLED, str(work.home), str(tmp_path), str(path), way, words]
    said = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    assert len(_left(work)) > len(other)
    function_of(said["function"])(work, *said["arguments"])
    assert _left(work) == other


@pytest.mark.parametrize("mark", ["", "*", "../datasets", "../-", "-*-"])
def test_what_is_no_mark_of_a_job_removes_nothing(work: Work, tmp_path: Path, mark: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id\n1\n")
    load_file(work, str(path), "")
    (work.home / "queries").mkdir(exist_ok=True)
    before = sorted(work.home.rglob("*"))
    discard(work, mark)
    assert sorted(work.home.rglob("*")) == before


def test_a_job_that_is_done_answers_as_a_call_does(work: Work, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id\n1\n")
    info = data.load_dataset(work, str(path), "")
    seen = JobView[DatasetInfo](job="job:1", tool="load_dataset", state="done", seconds=1, result=info)
    told = Loaded.of(seen)
    assert told.model_copy(update={"job": None, "state": None}) == Loaded.of(info)
    waiting = Loaded.of(seen.model_copy(update={"result": None, "state": "running", "next": "get_job(job='job:1')"}))
    assert (waiting.dataset, waiting.state, waiting.next) == (None, "running", "get_job(job='job:1')")


def test_large_files_and_folders_of_many_bytes_are_long(settings: Settings, tmp_path: Path) -> None:
    folder, rows = tmp_path / "parts", pa.table({"id": range(1000)})
    folder.mkdir()
    for name in ("a", "b"):
        pq.write_table(rows, folder / f"{name}.parquet")
    one = (folder / "a.parquet").stat().st_size
    work = Work(loading_by_jobs(settings, one), Tracer(lambda _: None))
    asked = [folder, folder / "a.parquet", tmp_path / "nothing.csv", Path("/etc/passwd"), tmp_path]
    assert [data.is_long(work, str(path)) for path in asked] == [True, False, False, False, False]
    smaller = Work(loading_by_jobs(settings, one - 1), Tracer(lambda _: None))
    assert data.is_long(smaller, str(folder / "a.parquet"))


@pytest.mark.slow
async def test_a_large_file_is_a_job_for_who_does_not_wait_and_an_answer_for_who_does(
    settings: Settings, work: Work, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n" + "".join(f"{place},{'x' * 100}\n" for place in range(1400)))
    async with in_a_task_of_its_own(connected(loading_by_jobs(settings, 1000))) as client:
        begun = (await client.call_tool("load_dataset", {"path": str(path), "wait_s": 0})).structured_content
        assert begun
        assert begun["job"]
        ended = (await finished(client, "get_job", job=begun["job"], wait_s=50)).structured_content
        again = (await finished(client, "load_dataset", path=str(path))).structured_content
    assert ended
    assert again
    assert ended["result"]["rows"] == again["rows"] == 1400
    assert ended["result"]["dataset"] == again["dataset"] == load_file(work, str(path), "").handle
    assert not _left(work)
