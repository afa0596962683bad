"""A folder as one file and back: whole while others write, and refused when it is not what was written."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.storage.archive import CONTENT, FORMAT, MANIFEST, pack, read_manifest, unpack


def packed(folder: Path, target: Path) -> Path:
    pack(folder, target, "1.2", "2026-01-01", ("cache/*",))
    return target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "state"
    (home / "datasets/a").mkdir(parents=True)
    (home / "datasets/a/rows.parquet").write_bytes(os.urandom(3 << 20))
    (home / "datasets/a/.rows.parquet.0123456789abcdef0123456789abcdef").write_text("half")
    (home / "cache").mkdir()
    (home / "cache/again").write_text("fetched")
    (home / "secret.key").write_bytes(b"k" * 32)
    (home / "secret.key").chmod(0o600)
    (home / "jobs.lock").touch()
    (home / "looks.db").write_bytes(b"SQLite format 3\0 and nothing else")
    (home / "größe 東京.txt").write_text("ü")
    with closing(sqlite3.connect(home / "jobs.db")) as db:
        db.execute("pragma journal_mode=wal")
        db.executescript("create table jobs (id integer primary key, half integer); insert into jobs values (1, 0)")
    return home


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_packed_comes_back_for_its_owner_only_without_what_is_under_way(folder: Path, tmp_path: Path) -> None:
    archive = packed(folder, tmp_path / "state.backup")
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    back = tmp_path / "back"
    back.mkdir()
    made = unpack(archive, back)
    assert (made.version, made.home, made.format) == ("1.2", str(folder), FORMAT)
    kept = {"datasets/a/rows.parquet", "secret.key", "looks.db", "größe 東京.txt", "jobs.db"}
    assert files(back).keys() == made.files.keys() == kept
    assert all(files(back)[name] == files(folder)[name] for name in kept - {"jobs.db"})
    assert {stat.S_IMODE(path.stat().st_mode) for path in back.rglob("*") if path.is_file()} == {0o600}
    with closing(sqlite3.connect(back / "jobs.db")) as db:
        assert db.execute("select * from jobs").fetchall() == [(1, 0)]


def test_files_that_only_have_the_name_of_a_lock_or_a_journal_come_back(folder: Path, tmp_path: Path) -> None:
    theirs = {
        "artifacts/1/poetry.lock": b"[[package]]",
        "artifacts/1/.lock": b"1234",
        "artifacts/1/travel-journal": b"Monday",
        "artifacts/1/rows.parquet-wal": b"rows",
        "artifacts/1/rows.parquet": b"PAR1",
        "artifacts/1/door.lock/key": b"key",
    }
    for name, content in theirs.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "new.db").touch()
    ours = ("new.db-journal", ".new.db.0123456789abcdef0123456789abcdef-journal")
    for name in ours:
        (folder / name).write_bytes(b"pages")
    back = tmp_path / "back"
    back.mkdir()
    with closing(sqlite3.connect(folder / "jobs.db")) as db:
        db.execute("insert into jobs values (2, 0)")
        assert (folder / "jobs.db-wal").exists()
        assert (folder / "jobs.db-shm").exists()
        unpack(packed(folder, tmp_path / "state.backup"), back)
    came = files(back)
    assert theirs.items() <= came.items()
    assert not {"jobs.lock", "jobs.db-wal", "jobs.db-shm", *ours} & came.keys()


def test_a_database_that_is_written_meanwhile_is_copied_between_two_transactions(folder: Path, tmp_path: Path) -> None:
    stop, written = threading.Event(), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(folder / "jobs.db", timeout=30, isolation_level=None)) as db:
            while not stop.is_set():
                db.execute("begin immediate")
                db.execute("insert into jobs (half) values (1)")
                db.execute("insert into jobs (half) values (2)")
                db.execute("commit")
                written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        written.wait()
        archives = [packed(folder, tmp_path / f"{count}.backup") for count in range(3)]
    finally:
        stop.set()
        writer.join()
    for archive in archives:
        back = tmp_path / f"back-{archive.stem}"
        back.mkdir()
        unpack(archive, back)
        with closing(sqlite3.connect(back / "jobs.db")) as db:
            assert db.execute("pragma integrity_check").fetchone() == ("ok",)
            counts = dict(db.execute("select half, count(*) from jobs where half > 0 group by half"))
            assert counts[1] == counts[2] > 0


KILLED = """
import os, signal, sys
from pathlib import Path
from mlops_mcp.tools.storage import archive

def die(**_):
    os.kill(os.getpid(), signal.SIGKILL)

archive.Manifest = die  # everything is in it but the manifest
archive.pack(Path(sys.argv[1]), Path(sys.argv[2]), "1", "", ())
"""


def test_a_backup_that_is_killed_leaves_the_one_before_it(folder: Path, tmp_path: Path) -> None:
    target = packed(folder, tmp_path / "state.backup")
    before = target.read_bytes()
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(target)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert target.read_bytes() == before
    (left,) = tmp_path.glob(".state.backup.*")
    assert stat.S_IMODE(left.stat().st_mode) == 0o600
    with pytest.raises(ToolFailure, match="damaged"):
        read_manifest(left)
    os.utime(left, (0, 0))
    packed(folder, target)
    assert not list(tmp_path.glob(".state.backup.*"))


def rewritten(archive: Path, change: Callable[[dict[str, bytes]], Any]) -> Path:
    """The archive with changed members."""
    with zipfile.ZipFile(archive) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return archive


def with_manifest(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, bytes]], None]:
    def edit(members: dict[str, bytes]) -> None:
        manifest = json.loads(members[MANIFEST])
        change(manifest)
        members[MANIFEST] = json.dumps(manifest).encode()

    return edit


def renamed(name: str) -> Callable[[dict[str, bytes]], None]:
    """A member that leads elsewhere, with a manifest that agrees."""

    def edit(members: dict[str, bytes]) -> None:
        members[f"{CONTENT}{name}"] = members.pop(f"{CONTENT}secret.key")
        with_manifest(lambda manifest: manifest["files"].update({name: manifest["files"].pop("secret.key")}))(members)

    return edit


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "./out", "a//out", "..", "", "a/./b"])
def test_a_path_that_leads_out_of_the_folder_is_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, name: str
) -> None:
    archive = rewritten(packed(folder, tmp_path / "state.backup"), renamed(name))
    back = tmp_path / "deep/back"
    back.mkdir(parents=True)
    with pytest.raises(ToolFailure, match="leads out of the folder"):
        unpack(archive, back)
    assert not files(tmp_path / "deep")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda members: members.update({f"{CONTENT}secret.key": b"x" * 32}),
        lambda members: members.update({f"{CONTENT}secret.key": b"k" * 31}),
        lambda members: members.update({f"{CONTENT}more": b""}),
        lambda members: members.pop(f"{CONTENT}secret.key"),
        lambda members: members.pop(MANIFEST),
        lambda members: members.update({MANIFEST: b"{}"}),
        lambda members: members.update({MANIFEST: b"[" * 100_000}),
        with_manifest(lambda manifest: manifest["files"]["secret.key"].update(size=10**3)),
        with_manifest(lambda manifest: manifest["files"]["secret.key"].update(size="32")),
        with_manifest(lambda manifest: manifest["files"]["secret.key"].update(more=1)),
        with_manifest(lambda manifest: manifest.update(files=[])),
        with_manifest(lambda manifest: manifest.update(format="1")),
    ],
)
def test_an_archive_that_was_changed_is_refused(
    folder: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], Any]
) -> None:
    archive = rewritten(packed(folder, tmp_path / "state.backup"), change)
    back = tmp_path / "back"
    back.mkdir()
    with pytest.raises(ToolFailure, match="damaged"):
        unpack(archive, back)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_an_archive_that_was_cut_short_is_refused(folder: Path, tmp_path: Path, part: float) -> None:
    archive = packed(folder, tmp_path / "state.backup")
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ToolFailure, match="damaged"):
        read_manifest(archive)


def test_a_flipped_bit_anywhere_in_the_content_is_noticed(folder: Path, tmp_path: Path) -> None:
    archive = packed(folder, tmp_path / "state.backup")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    back = tmp_path / "back"
    back.mkdir()
    with pytest.raises(ToolFailure, match="damaged"):
        unpack(archive, back)


def test_an_archive_of_a_later_form_names_the_version_that_reads_it(folder: Path, tmp_path: Path) -> None:
    later = with_manifest(lambda manifest: manifest.update(format=FORMAT + 1, version="9.0", news={}))
    archive = rewritten(packed(folder, tmp_path / "state.backup"), later)
    with pytest.raises(ToolFailure, match=r"mlops-mcp 9\.0.*Restore it with that version"):
        read_manifest(archive)


def test_more_than_there_is_room_for_is_not_begun(folder: Path, tmp_path: Path) -> None:
    huge = with_manifest(lambda manifest: manifest["files"]["secret.key"].update(size=1 << 60))
    archive = rewritten(packed(folder, tmp_path / "state.backup"), huge)
    back = tmp_path / "back"
    back.mkdir()
    with pytest.raises(ToolFailure, match="MB are free"):
        unpack(archive, back)
    assert not files(back)
