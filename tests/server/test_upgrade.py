"""The command `upgrade` on what older versions wrote."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from mlops_mcp.server.cli import main
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.storage.archive import read_manifest

# As the lineage was before what is deleted had a place.
OLD_LINEAGE = """
create table edges(child text not null, parent text not null, by text not null, at real not null,
  primary key(child, parent));
create index edges_parent on edges(parent);
insert into edges values('model:m/1', 'dataset:d@1', 'train_model', 0);
"""
OLD_ANSWERS = "create table answers(tool text, key text, answer text); insert into answers values('a', 'b', 'c');"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "empty.yaml").touch()
    monkeypatch.setenv("MLOPS_CONFIG", str(tmp_path / "empty.yaml"))
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


def written(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as db:
        return {row[0] for row in db.execute("select name from sqlite_master where type='table'")}


def test_a_dry_run_says_what_would_change_and_changes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(home / "lineage.db", OLD_LINEAGE)
    written(home / "answers.db", OLD_ANSWERS)
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    assert main(["upgrade", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "lineage.db: new index edges_children, table deleted; dropped index edges_parent\n" in said
    assert "answers.db: new index calls_at, table calls; dropped table answers\n" in said
    assert said.endswith("Nothing was written.\n")
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


def test_an_upgrade_keeps_a_backup_of_what_was_there_and_a_second_one_finds_nothing(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(home / "lineage.db", OLD_LINEAGE)
    file = tmp_path / "before.backup"
    assert main(["upgrade", str(file)]) == 0
    assert "lineage.db" in read_manifest(file).files
    assert "lineage.db: new" in capsys.readouterr().out
    assert "deleted" in tables(home / "lineage.db")
    assert [edge.by for edge in Lineage(home).ancestors("model:m/1")] == ["train_model"]
    assert main(["upgrade"]) == 0
    assert capsys.readouterr().out == "Everything is of this version.\n"


def test_without_a_place_for_the_backup_nothing_is_changed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(home / "lineage.db", OLD_LINEAGE)
    assert main(["upgrade"]) == 2
    assert "there is no backup yet" in capsys.readouterr().err
    assert "deleted" not in tables(home / "lineage.db")


def test_while_somebody_uses_the_folder_nothing_is_changed(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(home / "lineage.db", OLD_LINEAGE)
    code = f"f = open({str(home / 'used')!r}, 'w'); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        assert main(["upgrade", str(tmp_path / "b")]) == 2
        other.communicate(b"\n")
    assert f"process {other.pid} uses" in (said := capsys.readouterr().err)
    assert "then upgrade again" in said
    assert not (tmp_path / "b").exists()
    assert "deleted" not in tables(home / "lineage.db")


def test_the_file_of_somebody_else_is_named_and_left(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "jobs.db").write_text("a note, and not a database at all" * 40)
    assert main(["upgrade", "--dry-run"]) == 2
    assert "jobs.db is no database" in capsys.readouterr().err


def test_an_mlflow_server_is_upgraded_where_it_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.org")
    assert main(["upgrade", "--mlflow", "--dry-run"]) == 2
    assert "mlflow db upgrade" in capsys.readouterr().err


def _older_by_one(store: Path) -> tuple[str, str]:
    """Make a store as an older MLflow would have: its revision, and the newest."""
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils
    from mlflow.store.tracking.dbmodels.initial_models import Base

    engine = utils.create_sqlalchemy_engine(f"sqlite:///{store}")
    Base.metadata.create_all(engine)
    config = utils._get_alembic_config(f"sqlite:///{store}")  # pyright: ignore[reportPrivateUsage]
    script = ScriptDirectory.from_config(config)
    newest = str(script.get_current_head())
    older = str(script.get_revision(newest).down_revision)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, older)
    engine.dispose()
    return older, newest


@pytest.mark.slow
def test_a_database_of_an_older_mlflow_comes_up_when_it_is_asked_for(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older, newest = _older_by_one(home / "mlflow.db")
    assert main(["upgrade", "--dry-run"]) == 0
    assert "Everything is of this version." in capsys.readouterr().out
    assert main(["upgrade", "--mlflow", "--dry-run"]) == 0
    assert f"MLflow: from {older} to {newest}" in capsys.readouterr().out
    file = tmp_path / "before.backup"
    assert main(["upgrade", str(file), "--mlflow"]) == 0
    assert "mlflow.db" in read_manifest(file).files
    with closing(sqlite3.connect(home / "mlflow.db")) as db:
        assert db.execute("select version_num from alembic_version").fetchall() == [(newest,)]


@pytest.mark.slow
def test_a_database_elsewhere_is_migrated_only_by_who_has_a_backup_of_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "elsewhere/mlflow.db"
    store.parent.mkdir()
    older, _ = _older_by_one(store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    assert main(["upgrade", str(tmp_path / "b"), "--mlflow"]) == 2
    assert "not part of the backup" in capsys.readouterr().err
    with closing(sqlite3.connect(store)) as db:
        assert db.execute("select version_num from alembic_version").fetchall() == [(older,)]
    assert main(["upgrade", str(tmp_path / "b"), "--mlflow", "--backed-up"]) == 0
    assert "MLflow: from" in capsys.readouterr().out
