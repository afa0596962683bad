"""State folders that were made once and are used in several places."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

# Where MLflow keeps places of artifacts, each from the root on.
PLACES = {
    "experiments": "artifact_location", "runs": "artifact_uri", "logged_models": "artifact_location",
    "model_versions": "storage_location",
}  # fmt: skip


def copied(home: Path, to: Path) -> Path:
    """A copy of a state folder, whose artifacts lie in it."""
    shutil.copytree(home, to, dirs_exist_ok=True)
    with closing(sqlite3.connect(to / "mlflow.db")) as db, db:
        for table, column in PLACES.items():
            db.execute(f"update {table} set {column}=replace({column}, ?, ?)", (str(home), str(to)))
    return to
