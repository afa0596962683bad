"""The commands `backup` and `restore` on a state folder that is used."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from mlops_mcp.config.load import load
from mlops_mcp.server.cli import main
from mlops_mcp.tools.locks import locked
from mlops_mcp.tools.storage.archive import CONTENT, MANIFEST, pack

ROOT = Path(__file__).parent


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "empty.yaml").touch()
    monkeypatch.setenv("MLOPS_CONFIG", str(tmp_path / "empty.yaml"))
    home = tmp_path / "home"
    monkeypatch.setenv("MLOPS_HOME", str(home))
    (home / "artifacts/1").mkdir(parents=True, mode=0o700)
    (home / "artifacts/1/model.skops").write_bytes(b"model")
    (home / "secret.key").write_bytes(b"k" * 32)
    (home / "secret.key").chmod(0o600)
    (home / "endpoints/credit/1a2b").mkdir(parents=True)
    (home / "endpoints/credit/1a2b/log.txt").write_text("log")
    (home / "endpoints/credit.token").write_text("token")
    with closing(sqlite3.connect(home / "mlflow.db")) as db:
        db.executescript("create table runs (id text); insert into runs values ('a')")
    return home


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


KEPT = {"artifacts/1/model.skops", "secret.key", "endpoints/credit.token", "mlflow.db"}


def test_a_state_folder_that_was_lost_comes_back(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "state.backup"
    assert main(["backup", str(file)]) == 0
    assert "4 files" in (said := capsys.readouterr().out)
    assert "secret key" in said
    home.rename(tmp_path / "lost")
    assert main(["restore", str(file)]) == 2  # no key is left that could tell who has written it
    assert "--foreign" in capsys.readouterr().err
    assert main(["restore", str(file), "--foreign"]) == 0
    assert names(home) == KEPT
    with closing(sqlite3.connect(home / "mlflow.db")) as db:
        assert db.execute("select id from runs").fetchall() == [("a",)]
    assert load().settings.home == home


def test_a_folder_that_holds_something_is_not_touched_unless_forced_and_is_kept_then(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "state.backup"
    main(["backup", str(file)])
    (home / "since").write_text("new")
    assert main(["restore", str(file)]) == 2
    assert "--force" in capsys.readouterr().err
    assert (home / "since").exists()
    assert main(["restore", str(file), "--force"]) == 0
    assert {name for name in names(home) if not name.startswith(".before-")} == KEPT
    (aside,) = home.glob(".before-*")
    assert (aside / "since").read_text() == "new"
    # What was set aside is no part of the next one.
    assert main(["backup", str(file), "--force"]) == 0
    assert "4 files" in capsys.readouterr().out


def test_a_damaged_backup_changes_nothing(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "state.backup"
    main(["backup", str(file)])
    content = file.read_bytes()
    at = content.index(b"model", content.index(b"model.skops") + len("model.skops"))
    file.write_bytes(content[:at] + b"other" + content[at + len("other") :])
    before = names(home)
    assert main(["restore", str(file), "--force"]) == 2
    assert "damaged" in capsys.readouterr().err
    assert names(home) == before


def test_a_restore_that_was_killed_is_in_nobodys_way(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "state.backup"
    main(["backup", str(file)])
    home.rename(tmp_path / "lost")
    (home / ".restoring-0123").mkdir(parents=True, mode=0o700)
    (home / ".restoring-0123/half").touch()
    home.chmod(0o700)
    assert main(["restore", str(file), "--foreign"]) == 0
    assert names(home) == KEPT


# Six are set aside, then four are put in their place.
@pytest.mark.parametrize("at", [0, 3, 6, 9])
@pytest.mark.parametrize("repaired", [True, False])
def test_a_restore_that_fails_midway_goes_back_or_says_where_things_are(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    repaired: bool,
) -> None:
    file, renamed, count = tmp_path / "state.backup", os.rename, itertools.count()
    main(["backup", str(file)])
    (home / "since").write_text("new")
    before = {name: (home / name).read_bytes() for name in names(home)}

    def rename(source: Path, target: Path) -> None:
        if (now := next(count)) == at or (now > at and not repaired):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        renamed(source, target)

    monkeypatch.setattr(os, "rename", rename)
    assert main(["restore", str(file), "--force"]) == 2
    assert next(count) > at
    said = capsys.readouterr().err
    assert "Input/output error" in said
    assert not list(home.glob(".restoring-*"))
    if repaired or at == 0:
        assert "Nothing has changed." in said
        assert {name: (home / name).read_bytes() for name in names(home)} == before
        assert not list(home.glob(".before-*"))
    else:
        (aside,) = home.glob(".before-*")
        assert all(str(each) in said for each in aside.iterdir())
        kept = {name.removeprefix(f"{aside.name}/") for name in names(home)}
        assert kept >= before.keys()


def test_a_name_that_is_taken_undoes_a_restore(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "state.backup"
    (home / ".before-then").mkdir()
    (home / ".before-then/kept").touch()
    pack(home, file, "1", "2026-01-01", ())
    before = names(home)
    assert main(["restore", str(file), "--force", "--foreign"]) == 2
    assert "Nothing has changed." in capsys.readouterr().err
    assert names(home) == before


def forged(file: Path, name: str, content: bytes) -> None:
    """Put another content into an archive, with a manifest that says so."""
    with zipfile.ZipFile(file) as opened:
        members = {each: opened.read(each) for each in opened.namelist()}
    manifest = json.loads(members.pop(MANIFEST))
    members[f"{CONTENT}{name}"] = content
    manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    with zipfile.ZipFile(file, "w") as written:
        for each, data in {**members, MANIFEST: json.dumps(manifest).encode()}.items():
            written.writestr(each, data)


@pytest.mark.parametrize("who", ["forger", "other installation", "no seal"])
def test_a_backup_that_this_installation_did_not_write_is_refused_unless_it_is_told(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], who: str
) -> None:
    file, key = tmp_path / "state.backup", home / "secret.key"
    assert main(["backup", str(file)]) == 0
    if who == "forger":
        forged(file, "tokens.json", b"{}")
    elif who == "other installation":
        key.write_bytes(b"o" * 32)
    else:
        pack(home, file, "1", "2026-01-01", ())
    before = {name: (home / name).read_bytes() for name in names(home)}
    assert main(["restore", str(file), "--force"]) == 2
    said = capsys.readouterr().err
    assert "this installation did not write it" in said
    assert "--foreign" in said
    assert {name: (home / name).read_bytes() for name in names(home)} == before
    assert main(["restore", str(file), "--force", "--foreign"]) == 0
    assert ("tokens.json" in names(home)) == (who == "forger")


def test_a_backup_is_sealed_also_where_nothing_was_before(home: Path, tmp_path: Path) -> None:
    (home / "secret.key").unlink()
    assert main(["backup", str(tmp_path / "state.backup")]) == 0
    assert main(["restore", str(tmp_path / "state.backup"), "--force"]) == 0
    assert len((home / "secret.key").read_bytes()) == 32


@pytest.mark.parametrize(
    "arguments", [["backup", "state.backup"], ["backup", "home/state.backup"], ["restore", "none"]]
)
def test_what_cannot_be_done_says_why(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("state.backup").write_text("something else")
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert any(word in said for word in ("--force", "lies in the state folder", "No such file"))
    assert Path("state.backup").read_text() == "something else"
    assert main(["backup", str(tmp_path / "no/such/folder/file")]) == 2


def test_a_backup_goes_back_to_where_its_files_are_named(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "state.backup"
    main(["backup", str(file)])
    assert main(["--home", str(tmp_path / "other"), "restore", str(file)]) == 2
    assert f"--home {home.resolve()}" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@contextmanager
def another_process(code: str, path: Path) -> Generator[int]:
    """The id of one that has run the code, and holds what that opened."""
    whole = f"import sys; {code}; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", whole, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.communicate()


@pytest.mark.parametrize("link", ["", "link"])
def test_a_folder_that_a_process_uses_is_not_replaced_by_whatever_path_it_is_named(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    file = tmp_path / "state.backup"
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / link / "home"))
    main(["backup", str(file)])
    with another_process("held = open(sys.argv[1])", home / "mlflow.db") as user:
        assert main(["restore", str(file), "--force"]) == 2
        assert f"process {user} uses" in capsys.readouterr().err
    assert main(["restore", str(file), "--force"]) == 0
    assert {name for name in names(home) if not name.startswith(".before-")} == KEPT


@pytest.mark.parametrize("lock", ["servers/1a2b.lock", "jobs/1a2b.lock"])
def test_a_folder_is_not_replaced_while_the_lock_of_a_server_or_a_job_is_held(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], lock: str
) -> None:
    file = tmp_path / "state.backup"
    main(["backup", str(file)])
    code = "import pathlib; from mlops_mcp.tools.runtime.jobs.alive import hold; held = hold(pathlib.Path(sys.argv[1]))"
    with another_process(code, home / lock):
        assert main(["restore", str(file), "--force"]) == 2
        assert f"holds {home / lock}" in capsys.readouterr().err
    assert main(["restore", str(file), "--force"]) == 0


def test_nothing_is_deleted_while_a_backup_is_made(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops_mcp.server.backup.PATIENCE_S", 0)
    with locked(home / "upkeep.lock", 0, "held"):
        assert main(["backup", str(tmp_path / "state.backup")]) == 2
    assert "being deleted" in capsys.readouterr().err


def test_what_lies_elsewhere_is_named(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("mlflow: {tracking_uri: 'postgresql://ann:hidden@db/mlflow'}")
    (home / "datasets").symlink_to(tmp_path)
    (home / "artifacts/1/latest").symlink_to("model.skops")
    (home / "artifacts/1/no\udcfftext").symlink_to("model.skops")
    (home / "artifacts/1/all").symlink_to(home / "artifacts")
    assert main(["--config", str(config), "backup", str(tmp_path / "state.backup")]) == 0
    said = capsys.readouterr().out
    assert "Not part of it: MLflow at" in said
    assert "hidden" not in said
    assert f"Not part of it: datasets at {tmp_path}\n" in said
    assert "Not part of it: artifacts/1/latest at model.skops\n" in said
    assert "Not part of it: artifacts/1/no?text at model.skops\n" in said
    assert f"Not part of it: artifacts/1/all at {home / 'artifacts'}\n" in said
