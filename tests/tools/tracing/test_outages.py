"""A trace store that cannot be written for a while: locked, full, corrupt, moved away, or in a read-only folder."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.probes import answers, questions
from mlops_mcp.server.traces import print_status
from mlops_mcp.tools.tracing.ids import uuid7
from mlops_mcp.tools.tracing.opik.outbox import status
from mlops_mcp.tools.tracing.span import Span
from mlops_mcp.tools.tracing.store import writer
from mlops_mcp.tools.tracing.store.drops import drops
from mlops_mcp.tools.tracing.store.reader import TraceReader
from mlops_mcp.tools.tracing.store.writer import TraceStore

from ...waiting import until


@pytest.fixture
def path(settings: Settings) -> Path:
    return settings.trace_store


@pytest.fixture
def store(path: Path) -> Iterator[TraceStore]:
    """A store in which one span is written."""
    opened = TraceStore(path, 64)
    put(opened, 1)
    until(lambda: spans(path) == 1)
    yield opened
    opened.close()


def put(store: TraceStore, number: int, size: int = 10) -> None:
    for _ in range(number):
        store.put(Span(uuid7(), "", "call", "tool", end=time.time(), input="x" * size))


def spans(path: Path) -> int:
    return TraceReader(path).count()


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Another process writes and does not come to an end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        try:
            yield
        finally:
            other.execute("rollback")


def failed_once(store: TraceStore, caplog: pytest.LogCaptureFixture) -> Callable[[], bool]:
    return lambda: "traces wait in memory" in caplog.text


def test_what_is_put_while_the_store_is_locked_is_written_when_it_is_free(
    store: TraceStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with locked(path):
        put(store, 600)
        until(failed_once(store, caplog))
        put(store, 5)
    until(lambda: spans(path) == 606)
    assert store.close()
    assert (store.dropped, status(path).dropped) == (0, 0)


def test_what_a_locked_store_could_not_take_until_its_end_is_counted_where_others_see_it(
    store: TraceStore, path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(path):
        put(store, 7)
        assert not store.close()
        assert status(path).dropped == 7
    assert spans(path) == 1
    assert print_status(settings, as_json=False) == 0
    assert "dropped            7" in capsys.readouterr().out
    traces = next(found for found in answers(questions(settings)) if found.name == "traces")
    assert traces.detail.endswith("7 not written")


def test_what_has_no_room_in_memory_is_counted_while_the_store_is_still_locked(
    store: TraceStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_QUEUED", 500)
    with locked(path):
        put(store, 505)
        until(lambda: status(path).dropped == 5)
    until(lambda: spans(path) == 501)


def test_a_disk_that_was_full_gets_everything_when_there_is_room(
    store: TraceStore, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mlops_mcp.tools.tracing.store import writer
    from mlops_mcp.tools.tracing.store.writing import write

    def full(connection: sqlite3.Connection, *arguments: object) -> int:
        (pages,) = connection.execute("pragma page_count").fetchone()
        connection.execute(f"pragma max_page_count={pages}")
        return write(connection, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(writer, "write", full)
    put(store, 50, size=5000)
    until(failed_once(store, caplog))
    assert "disk is full" in caplog.text
    monkeypatch.setattr(writer, "write", write)
    until(lambda: spans(path) == 51)
    assert (store.close(), status(path).dropped) == (True, 0)


def test_a_file_that_is_moved_away_is_made_again_and_nothing_is_lost(store: TraceStore, path: Path) -> None:
    away = path.with_name("away.db")
    path.rename(away)
    put(store, 3)
    until(lambda: spans(path) == 3)
    with closing(sqlite3.connect(path)) as made:
        assert made.execute("pragma integrity_check").fetchone() == ("ok",)
    assert (store.close(), status(path).dropped) == (True, 0)


def test_a_file_that_is_deleted_is_made_again(store: TraceStore, path: Path) -> None:
    path.unlink()
    put(store, 2)
    until(lambda: spans(path) == 2)


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("size", [10, 3000])
def test_a_file_that_is_replaced_by_another_goes_on_there_and_mixes_nothing(path: Path, size: int, others: int) -> None:
    """Also while another process has the old file open, so that the log of that one lies beside the new file."""
    backup = path.with_name("other.db")
    before = TraceStore(backup, 64)
    put(before, 5)
    assert before.close()
    store = TraceStore(path, 64)
    put(store, 30, size=size)
    store.flush(30)
    with ExitStack() as held:
        for _ in range(others):
            held.enter_context(closing(sqlite3.connect(path))).execute("select count(*) from spans").fetchone()
        backup.replace(path)
        put(store, 2)
        until(lambda: spans(path) == 7)
        put(store, 1)
        until(lambda: spans(path) == 8)
    assert (store.close(), status(path).dropped) == (True, 0)
    assert spans(path) == 8
    with closing(sqlite3.connect(path)) as kept:
        assert kept.execute("pragma integrity_check").fetchone() == ("ok",)


def test_a_file_that_is_replaced_is_read_as_it_is_although_nothing_is_written(path: Path) -> None:
    backup = path.with_name("other.db")
    before = TraceStore(backup, 64)
    put(before, 5)
    assert before.close()
    store = TraceStore(path, 64)
    put(store, 30, size=3000)
    store.flush(30)
    backup.replace(path)
    until(lambda: spans(path) == 5)
    assert store.close()


def test_a_new_file_is_free_of_what_the_log_of_the_old_one_says(path: Path) -> None:
    """Another process still has the old file open, so that its log lies there."""
    store = TraceStore(path, 64)
    put(store, 30, size=3000)
    store.flush(30)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("select count(*) from spans").fetchone() == (30,)
        path.unlink()
        put(store, 2)
        until(lambda: path.exists() and spans(path) == 2)
        store.close()
    assert spans(path) == 2
    with closing(sqlite3.connect(path)) as made:
        assert made.execute("pragma integrity_check").fetchone() == ("ok",)


def test_what_waits_because_the_file_is_corrupt_is_written_once_it_is_moved_away(
    settings: Settings, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database" * 1000)
    store = TraceStore(path, 64)
    put(store, 40)
    until(failed_once(store, caplog))
    assert "file is not a database" in caplog.text
    path.rename(path.with_name("broken.db"))
    until(lambda: path.exists() and spans(path) == 40)
    assert (store.close(), status(path).dropped) == (True, 0)


def test_a_file_that_becomes_corrupt_is_kept_and_what_comes_later_waits(
    store: TraceStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, 300, size=2000)
    until(lambda: spans(path) == 301)
    store.close()
    with path.open("r+b") as file:
        file.write(b"garbage" * 3000)
    put(store, 3)
    assert not store.close()
    assert drops(path) == 3
    path.rename(path.with_name("broken.db"))
    put(store, 2)
    until(lambda: path.exists() and spans(path) == 2)
    assert drops(path) == 3


def test_the_status_of_a_corrupt_store_still_says_what_was_dropped(
    settings: Settings, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database" * 1000)
    store = TraceStore(path, 64)
    put(store, 4)
    assert not store.close()
    assert print_status(settings, as_json=False) == 1
    said = capsys.readouterr().err
    assert "cannot be used: file is not a database" in said
    assert "4 spans and scores could not be written" in said


def test_a_folder_that_cannot_be_used_costs_nothing_but_the_spans(tmp_path: Path) -> None:
    """A file where the folder should be: unlike permissions, that also holds for an administrator."""
    (tmp_path / "file").touch()
    store = TraceStore(tmp_path / "file" / "traces.db", 64)
    put(store, 9)
    assert not store.close()
    assert store.dropped == 9


def test_spans_wait_until_their_folder_can_be_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "traces.db"
    store = TraceStore(path, 64)
    put(store, 6)
    until(failed_once(store, caplog))
    path.parent.unlink()
    until(lambda: path.exists() and spans(path) == 6)
    assert store.close()


UMASK = """
import os, sys
from pathlib import Path
os.umask(0)
from mlops_mcp.tools.tracing.span import Span
from mlops_mcp.tools.tracing.store.writer import TraceStore

store = TraceStore(Path(sys.argv[1]), 64)
store.put(Span("t", "", "call", "tool"))
store.flush(30)
kinds = {file.name: oct(file.stat().st_mode & 0o777) for file in Path(sys.argv[1]).parent.iterdir()}
assert "traces.db-wal" in kinds, kinds
assert set(kinds.values()) == {"0o600"}, kinds
store.close()
"""


def test_files_and_their_folder_are_private_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "home" / "traces.db"
    subprocess.run([sys.executable, "-c", UMASK, str(path)], check=True)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_path_that_leads_nowhere_is_an_error_and_no_empty_list(tmp_path: Path) -> None:
    loop = tmp_path / "traces.db"
    loop.symlink_to(loop)
    with pytest.raises(sqlite3.Error):
        TraceReader(loop).traces(1)
