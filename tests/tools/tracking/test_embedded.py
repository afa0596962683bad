"""The embedded store is read without MLflow, wherever it is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mlops_mcp.tools.tracking import embedded


def test_the_embedded_store_is_read_and_not_written_whatever_its_folder_is_called(tmp_path: Path) -> None:
    store = tmp_path / "50%25 of #1?" / "mlflow.db"
    store.parent.mkdir()
    with closing(sqlite3.connect(store)) as db:
        db.execute("create table runs as select '7' as experiment_id")
        db.commit()
    assert embedded.rows(store, "select * from runs") == [("7",)]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        embedded.rows(store, "delete from runs")
