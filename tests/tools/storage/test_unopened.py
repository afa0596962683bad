"""Files of SQLite are opened by SQLite alone: to close one otherwise takes its locks from the whole process."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import pytest

from mlops_mcp.tools.errors import Unavailable
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.storage.archive import pack
from mlops_mcp.tools.storage.database import is_database, require_readable
from mlops_mcp.tools.tracking.backend import require_backend

ANOTHER = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('insert into t values (2)'); db.commit()"


@pytest.fixture
def store(work: Work) -> Generator[Path]:
    """The embedded store in use: a connection of this process holds it open."""
    path = work.settings.home / "mlflow.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("pragma journal_mode=wal")
        db.execute("create table t as select 1 as n")
        yield path


def looked_at(work: Work, _store: Path) -> None:
    require_backend(work)


def packed(work: Work, store: Path) -> None:
    pack(store.parent, work.settings.home.parent / "state.backup", "1.2", "2026-01-01", ())


@pytest.mark.parametrize("used", [looked_at, packed])
def test_the_log_of_a_store_in_use_outlives_the_last_close_of_another_process(
    work: Work, store: Path, used: Callable[[Work, Path], None]
) -> None:
    log = store.with_name(f"{store.name}-wal")
    used(work, store)
    subprocess.run([sys.executable, "-c", ANOTHER, str(store)], check=True)
    assert log.exists(), "the other process took itself for the last one"


def test_a_store_that_cannot_be_opened_is_told_without_opening_it(work: Work) -> None:
    (work.settings.home / "mlflow.db").mkdir(parents=True)
    with pytest.raises(Unavailable, match="cannot be used: Is a directory"):
        require_backend(work)


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="Invalid argument"):
        require_readable(tmp_path / "pipe")
    assert not is_database(tmp_path / "pipe")


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite format 3", b"PAR1" * 5000, b"SQLite format 3\0 and no more"])
def test_what_is_no_database_is_told_from_one_and_what_lies_beside_it_is_left(tmp_path: Path, content: bytes) -> None:
    path, beside = tmp_path / "rows", {f"rows-{end}": b"theirs" for end in ("wal", "journal")}
    for name, held in ({"rows": content} | beside).items():
        (tmp_path / name).write_bytes(held)
    assert not is_database(path)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"rows": content} | beside
