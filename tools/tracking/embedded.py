"""What can be read of the embedded store without MLflow, whose import takes longer than some clients wait."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from ...config.settings import Settings
from ..errors import require

SQLITE = "sqlite:///"
EXPERIMENTS = """
    select name, experiment_id from experiments where lifecycle_stage = 'active'
    order by creation_time desc, experiment_id
"""


def path(settings: Settings) -> Path | None:
    """The file of the store, which may not be there yet; None where what MLflow keeps is elsewhere."""
    uri = settings.tracking_uri
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def rows(store: Path, query: str) -> list[tuple[Any, ...]]:
    """What a query finds in the store, which is not written to. Raises sqlite3.Error as SQLite does."""
    with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def experiment_ids(settings: Settings) -> dict[str, str] | None:
    """Name -> id of the active experiments, the newest first; None where only MLflow can say.

    Raises:
        NotInstalled: MLflow is missing.
    """
    require("mlflow")
    if (store := path(settings)) is None:
        return None
    if not store.exists():  # whoever writes first places it
        return {}
    try:
        return {str(name): str(identity) for name, identity in rows(store, EXPERIMENTS)}
    except sqlite3.Error:  # of another version, or none: MLflow says what is wrong with it
        return None
