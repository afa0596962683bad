"""The audit log of a state folder: whole lines, private, bounded, and in nobody's way."""

from __future__ import annotations

import json
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.audit import FILE, LOST, MAX_NAME, OLDER, AuditLog, Entry, named
from mlops_mcp.tools.runtime.jobs.launch import home_id, stored, table_of
from mlops_mcp.tools.runtime.jobs.shares import Slots
from mlops_mcp.tools.runtime.jobs.table import End, JobRow, JobTable, NewJob
from mlops_mcp.tools.tracing.redaction import redact

WRITER = """
import sys
from pathlib import Path
from mlops_mcp.tools.audit import AuditLog, Entry
log = AuditLog(Path(sys.argv[1]), lambda: str, 20_000)
for number in range(150):
    log.note(Entry(by=sys.argv[2], tool=f"tool {number}", outcome="done"))
"""


def log_in(folder: Path, most: int = 1 << 20) -> AuditLog:
    return AuditLog(folder, lambda: redact, most)


def noted(folder: Path, *names: str) -> list[dict[str, Any]]:
    """The lines, the oldest first."""
    files = [folder / name for name in names or (*reversed(OLDER), FILE) if (folder / name).exists()]
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def entry(tool: str = "train_model", **more: Any) -> Entry:
    return Entry.model_validate({"by": "ann", "tool": tool, "outcome": "done", **more})


def test_a_line_says_who_has_called_what_and_how_it_ended_and_the_file_is_private(tmp_path: Path) -> None:
    handles = named(
        [{"dataset": "dataset:loans@3f2a9c81d0be"}, {"model": "models:/loans/1", "n": 7}, "run:" + "0" * 32]
    )
    log_in(tmp_path).note(entry(handles=handles, trace="0198-7"))
    (line,) = noted(tmp_path)
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "call", "by": "ann", "tool": "train_model", "outcome": "done", "trace": "0198-7",
        "handles": ["dataset:loans@3f2a9c81d0be", "models:/loans/1", "run:" + "0" * 32],
    }  # fmt: skip
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_what_looks_like_a_secret_or_like_a_line_is_neither_in_the_log(tmp_path: Path) -> None:
    secret = "sk-" + "a1B2" * 10
    log_in(tmp_path).note(entry(f"a\nb\u202e\x1b[31m {secret}", by="x" * 10_000, handles=(secret, "é" * 999)))
    text = (tmp_path / FILE).read_text(encoding="utf-8")
    assert text.count("\n") == 1
    assert secret not in text
    assert "\u202e" not in text
    (line,) = noted(tmp_path)
    assert [len(line["by"]), len(line["handles"][1])] == [MAX_NAME] * 2


def test_two_processes_lose_no_line_and_leave_none_in_pieces(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in ("ann", "bob")]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    lines = noted(tmp_path)
    for name in ("ann", "bob"):
        assert [line["tool"] for line in lines if line["by"] == name] == [f"tool {number}" for number in range(150)]
    assert (tmp_path / OLDER[0]).exists()
    assert log_in(tmp_path).lost == 0


def test_a_full_file_becomes_an_older_one_and_of_those_four_are_kept(tmp_path: Path) -> None:
    log = log_in(tmp_path, 1000)
    for number in range(60):
        log.note(entry(f"tool {number}"))
    kept = sorted(file.name for file in tmp_path.glob("audit*.jsonl"))
    assert kept == sorted((FILE, *OLDER))
    assert all((tmp_path / name).stat().st_size <= 1000 for name in kept)
    tools = [line["tool"] for line in noted(tmp_path)]
    assert tools == [f"tool {number}" for number in range(60 - len(tools), 60)]
    assert json.loads(log.recent().splitlines()[-1])["tool"] == "tool 59"
    assert len(log.recent().splitlines()) > len(noted(tmp_path, FILE))


def test_a_piece_that_a_killed_process_left_stays_alone_on_its_line(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.note(entry("before"))
    with (tmp_path / FILE).open("a", encoding="utf-8") as file:
        file.write('{"time":"2026')
    log.note(entry("after"))
    lines = (tmp_path / FILE).read_text(encoding="utf-8").splitlines()
    assert [json.loads(lines[0])["tool"], json.loads(lines[2])["tool"]] == ["before", "after"]
    assert lines[1] == '{"time":"2026'


@pytest.fixture
def limited() -> Any:
    """Lets no file of this process grow beyond so many bytes, as a quota does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_does_not_fit_on_the_disk_is_counted_and_said_once_and_leaves_no_half_line(
    tmp_path: Path, limited: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    log = log_in(tmp_path)
    log.note(entry("before"))
    size = (tmp_path / FILE).stat().st_size
    limited(size + 10)
    for _ in range(3):
        log.note(entry("lost"))
    said = [record for record in caplog.records if "audit log" in record.getMessage()]
    limited(1 << 30)
    log.note(entry("after"))
    assert [line["tool"] for line in noted(tmp_path)] == ["before", "after"]
    assert (log.lost, log_in(tmp_path).lost, len(said)) == (3, 3, 1)


def test_where_not_even_the_number_can_be_kept_it_is_kept_in_the_process(tmp_path: Path) -> None:
    for name in (FILE, LOST):
        (tmp_path / name).mkdir()
    log = log_in(tmp_path)
    log.note(entry())
    assert log.lost == 1
    with pytest.raises(OSError, match="directory"):
        log.recent()


def test_nothing_is_written_until_something_happens(tmp_path: Path) -> None:
    assert (log_in(tmp_path).recent(), log_in(tmp_path).lost, list(tmp_path.iterdir())) == ("", 0, [])


def queued(settings: Settings) -> tuple[JobTable, JobRow]:
    new = NewJob(
        "train_model",
        "",
        "x:y",
        "{}",
        2,
        "trace",
        "",
        None,
        stored(settings),
        "/",
        home_id(settings),
        "{}",
        owner="ann",
    )
    table = table_of(settings)
    return table, table.insert(new)


def test_the_end_of_a_job_is_written_once_by_whoever_ends_it(settings: Settings) -> None:
    table, row = queued(settings)
    claimed = table.claim(row.home, "here", Slots(1))
    assert claimed
    assert table.lose(row.id, 1, "its process died")  # it is queued again
    assert noted(settings.home) == []
    assert table.claim(row.home, "here", Slots(1))
    assert not table.finish(row.id, 1, End("done"))
    assert table.finish(row.id, 2, End("done", '{"model": "models:/loans/1"}'))
    assert not table_of(settings).cancel(row.id)
    (line,) = noted(settings.home)
    assert (line["event"], line["by"], line["tool"], line["outcome"]) == ("job", "ann", "train_model", "done")
    assert (line["handles"], line["trace"]) == ([f"job:{row.id}", "models:/loans/1"], "trace")


def test_a_job_that_is_cancelled_or_lost_has_ended_as_well(settings: Settings) -> None:
    table, row = queued(settings)
    assert table.cancel(row.id)
    table, row = queued(settings)
    for attempt in (1, 2):
        assert table.claim(row.home, "here", Slots(1))
        assert table.lose(row.id, attempt, "its process died")
    assert [line["outcome"] for line in noted(settings.home)] == ["cancelled", "lost"]
