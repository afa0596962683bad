"""What can be read of the embedded store without MLflow, whose import takes longer than some clients wait."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from ...config.settings import Settings
from ..errors import require
from .backend import SQLITE

EXPERIMENTS = """
    select name, experiment_id from experiments where lifecycle_stage = 'active'
    order by creation_time desc, experiment_id
"""


def experiment_ids(settings: Settings) -> dict[str, str] | None:
    """Name -> id of the active experiments, the newest first; None where only MLflow can say.

    Raises:
        NotInstalled: MLflow is missing.
    """
    require("mlflow")
    if not settings.tracking_uri.startswith(SQLITE):
        return None
    store = Path(settings.tracking_uri.removeprefix(SQLITE))
    if not store.exists():  # whoever writes first places it
        return {}
    try:
        with closing(sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return {str(name): str(identity) for name, identity in db.execute(EXPERIMENTS)}
    except sqlite3.Error:  # of another version, or none: MLflow says what is wrong with it
        return None
