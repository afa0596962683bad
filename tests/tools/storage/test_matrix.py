"""What every store does when its file is locked, damaged, moved, not ours, or when its disk is full or read-only."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mlops_mcp.tools.storage.errors import StorageError

from .conftest import StoreProbe


@contextmanager
def refused(path: Path, kind: str, *words: str) -> Generator[None]:
    """The body fails; what it says names the file and holds these words."""
    with pytest.raises(StorageError) as caught:
        yield
    said = str(caught.value)
    assert caught.value.kind == kind, said
    for word in (str(path), *words):
        assert word in said


def test_a_locked_store_says_so_and_takes_the_same_once_it_is_free(store: StoreProbe, tmp_path: Path) -> None:
    store.write(tmp_path, "first")
    with closing(sqlite3.connect(store.path(tmp_path), isolation_level=None)) as db:
        db.execute("begin immediate")
        with refused(store.path(tmp_path), "locked", "database is locked", "Repeat it in a minute", "fuser"):
            store.write(tmp_path, "second")
        db.execute("rollback")
    store.write(tmp_path, "second")
    assert store.count(tmp_path) == 2


def test_a_full_disk_loses_nothing_that_was_accepted_and_is_usable_once_there_is_room(
    store: StoreProbe, small_disk: Path
) -> None:
    accepted = 0
    with refused(store.path(small_disk), "full", "full", "Make room on the disk"):
        for number in range(1000):
            store.write(small_disk, f"job{number}")
            accepted += 1
            if number == 3:
                fill(small_disk)
    (small_disk / "filler").unlink()
    assert accepted > 3
    assert store.count(small_disk) - accepted in (0, 1)  # a call with a key is claimed before its answer comes
    store.write(small_disk, "last")


def test_a_store_that_cannot_be_made_on_a_full_disk_leaves_nothing_behind(store: StoreProbe, small_disk: Path) -> None:
    fill(small_disk)
    for _ in range(2):
        with refused(store.path(small_disk), "full", "Make room on the disk"):
            store.write(small_disk, "first")
    assert [path for path in small_disk.iterdir() if path.name.startswith(".")] == []
    (small_disk / "filler").unlink()
    store.write(small_disk, "first")
    assert store.count(small_disk) == 1


@pytest.mark.parametrize("from_byte", [0, 100])
def test_a_damaged_store_says_so_and_a_new_one_is_made_when_it_was_moved_away(
    store: StoreProbe, tmp_path: Path, from_byte: int
) -> None:
    store.write(tmp_path, "first")
    damage(store.path(tmp_path), from_byte)
    with refused(store.path(tmp_path), "damaged", "Move the file away: a new one is made"):
        store.write(tmp_path, "second")
    store.path(tmp_path).rename(tmp_path / "away")
    store.write(tmp_path, "second")
    assert store.count(tmp_path) == 1


def test_a_store_that_was_moved_away_is_made_anew_and_takes_nothing_of_the_old_one(
    store: StoreProbe, tmp_path: Path
) -> None:
    store.write(tmp_path, "first")
    path = store.path(tmp_path)
    with closing(sqlite3.connect(path)) as user:
        user.execute(f"select count(*) from {store.table}").fetchall()
        store.write(tmp_path, "second")
        # Somebody has the file open, so its rows still lie beside it in the write-ahead log.
        assert path.with_name(path.name + "-wal").stat().st_size
        path.rename(tmp_path / "away")
        store.write(tmp_path, "third")
    assert store.count(tmp_path) == 1
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)


def test_a_read_only_folder_says_so_whether_the_store_is_there_or_not(
    store: StoreProbe, small_disk: Path, read_only: Callable[[bool], None]
) -> None:
    for there in (False, True):
        read_only(True)
        with refused(small_disk, "read-only", "MLOPS_HOME"):
            store.write(small_disk, "refused")
        read_only(False)
        store.write(small_disk, f"taken {there}")
    assert store.count(small_disk) == 2


@pytest.mark.parametrize("table", ["notes", ""])
def test_a_database_that_is_not_ours_is_left_as_it_is(store: StoreProbe, tmp_path: Path, table: str) -> None:
    with closing(sqlite3.connect(store.path(tmp_path))) as db, db:
        db.execute(f"create table {table or store.table}(x)")
        before = db.execute("select sql from sqlite_master").fetchall()
    with refused(store.path(tmp_path), "foreign", "not made by mlops-mcp", "Move the file away"):
        store.write(tmp_path, "first")
    with closing(sqlite3.connect(store.path(tmp_path))) as db:
        assert db.execute("select sql from sqlite_master").fetchall() == before


def test_a_file_that_is_no_database_is_left_as_it_is(store: StoreProbe, tmp_path: Path) -> None:
    store.path(tmp_path).write_text("notes of somebody\n" * 500)
    with refused(store.path(tmp_path), "damaged", "file is not a database", "Move the file away"):
        store.write(tmp_path, "first")
    assert store.path(tmp_path).read_text().startswith("notes of somebody")


def test_a_folder_in_the_place_of_the_file_is_named(store: StoreProbe, tmp_path: Path) -> None:
    store.path(tmp_path).mkdir()
    with pytest.raises(StorageError, match="cannot be used"):
        store.write(tmp_path, "first")


def damage(path: Path, from_byte: int) -> None:
    with path.open("r+b") as file:
        file.seek(from_byte)
        file.write(b"\xa5" * (path.stat().st_size - from_byte))


def fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file:
        for block in (4096, 1):
            while written(file.write, bytes(block)):
                pass


def written(write: Callable[[bytes], int | None], block: bytes) -> bool:
    try:
        return bool(write(block))
    except OSError:
        return False
