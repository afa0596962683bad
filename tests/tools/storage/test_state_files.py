"""Files of the state folder: whose they are, how they get their names, and what is left of a failure."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from mlops_mcp.tools.locks import locked
from mlops_mcp.tools.logtail import shorten, tail_of
from mlops_mcp.tools.runtime.jobs.alive import held, hold
from mlops_mcp.tools.storage.database import database, file_of, transaction
from mlops_mcp.tools.storage.state_files import place, remove_old_drafts, replaced, written_once

from .conftest import StoreProbe, modes

SCHEMA = "create table if not exists notes(text text);"


@pytest.fixture(params=[0o000, 0o022, 0o277])
def umask(request: pytest.FixtureRequest) -> Generator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filesystem that knows no hard links, as FAT and some network ones."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


def test_a_store_and_what_lies_beside_it_is_private_whatever_the_umask(
    store: StoreProbe, tmp_path: Path, umask: int
) -> None:
    home = tmp_path / "new" / "home"
    store.write(home, "first")
    with closing(sqlite3.connect(store.path(home))) as db:
        db.execute(f"select * from {store.table}").fetchall()
        assert len(list(home.glob(f"{store.file}-*"))) == 2  # the write-ahead log and its index
        assert modes(home) <= {(True, 0o700), (False, 0o600)}
    assert home.parent.stat().st_mode & 0o777 == 0o700


def test_locks_and_small_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    with locked(tmp_path / "home" / "locks" / "a.lock", 0, "busy"):
        os.close(hold(tmp_path / "home" / "jobs" / "b.lock"))
        assert written_once(tmp_path / "home" / "c" / "home.id", "x") == "x"
        assert modes(tmp_path / "home") <= {(True, 0o700), (False, 0o600)}


def test_a_file_is_replaced_in_one_step_and_stays_private(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "home" / "endpoint.json"
    for text in (b"first", b"second"):
        replaced(path, text)
    assert (path.read_bytes(), list(path.parent.iterdir())) == (b"second", [path])
    assert modes(path.parent) == {(True, 0o700), (False, 0o600)}


def test_a_file_that_cannot_be_replaced_stays_as_it_is_and_its_draft_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "endpoint.json"
    replaced(path, b"first")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        replaced(path, b"second")
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"first", [path])


def test_a_store_that_others_could_read_is_closed_to_them(store: StoreProbe, tmp_path: Path) -> None:
    store.write(tmp_path, "first")
    store.path(tmp_path).chmod(0o644)
    store.write(tmp_path, "second")
    assert store.path(tmp_path).stat().st_mode & 0o777 == 0o600


def test_a_folder_of_somebody_is_left_as_it_is(store: StoreProbe, tmp_path: Path) -> None:
    home = tmp_path / "shared"
    home.mkdir()
    home.chmod(0o755)
    store.write(home, "first")
    assert home.stat().st_mode & 0o777 == 0o755


def test_a_draft_goes_when_its_file_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError), database(tmp_path / "notes.db", "this is no schema"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_drafts_that_killed_processes_left_go_when_they_are_old(tmp_path: Path) -> None:
    old, young, other = (tmp_path / name for name in (".notes.db.1", ".notes.db.2", ".other.db.1"))
    for draft in (old, young, other):
        draft.touch()
        os.utime(draft, (1, 1))
    os.utime(young)
    with database(tmp_path / "notes.db", SCHEMA):
        assert {path.name for path in tmp_path.glob(".*")} == {young.name, other.name}
    os.utime(young, (1, 1))
    remove_old_drafts(tmp_path / "notes.db")
    assert not young.exists()


@pytest.mark.usefixtures("without_links")
def test_without_hard_links_the_first_file_keeps_its_name_too(tmp_path: Path) -> None:
    first, second, path = (tmp_path / name for name in ("first", "second", "path"))
    for draft in (first, second):
        draft.write_text(draft.name)
        place(draft, path)
    assert (path.read_text(), sorted(tmp_path.iterdir())) == ("first", [path])


@pytest.mark.usefixtures("without_links")
def test_without_hard_links_stores_and_the_name_of_the_state_folder_are_made_too(
    store: StoreProbe, tmp_path: Path
) -> None:
    store.write(tmp_path, "first")
    assert store.count(tmp_path) == 1
    assert [written_once(tmp_path / "jobs" / "home.id", text) for text in ("a", "b")] == ["a", "a"]


def test_a_link_that_fails_for_another_reason_is_an_error_and_its_draft_goes(tmp_path: Path) -> None:
    draft = tmp_path / "draft"
    draft.touch()
    with pytest.raises(FileNotFoundError):
        place(draft, tmp_path / "missing" / "path")
    assert not draft.exists()


def test_a_file_that_was_replaced_while_it_was_open_can_be_told(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with database(path, SCHEMA):
        opened = file_of(path)
        path.rename(tmp_path / "away")
        assert file_of(path) is None
        with database(path, SCHEMA):
            assert file_of(path) not in (None, opened)


def test_a_transaction_that_sqlite_has_ended_already_raises_what_was_wrong(tmp_path: Path) -> None:
    def fail(db: sqlite3.Connection) -> None:
        with transaction(db):
            db.execute("rollback")
            raise ZeroDivisionError

    with database(tmp_path / "notes.db", SCHEMA) as db, pytest.raises(ZeroDivisionError):
        fail(db)


def test_a_lock_that_nobody_holds_says_so(tmp_path: Path) -> None:
    assert not held(tmp_path / "none.lock")


def test_a_log_that_has_grown_too_long_is_cut_down_to_its_end_while_its_process_writes_on(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    with log.open("ab", buffering=0) as process:
        process.write(b"a" * 1000 + b"end")
        shorten(log, max_bytes=2000, kept_bytes=100)
        assert log.stat().st_size == 1003
        shorten(log, max_bytes=1000, kept_bytes=100)
        process.write(b" and more")
    assert log.stat().st_size == 109
    assert tail_of(log, 12) == "end and more"
    shorten(tmp_path / "none.log")
