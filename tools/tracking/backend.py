"""Open MLflow: place the embedded store if it is the one, and find out fast when a remote one is dead."""

from __future__ import annotations

import gzip
import os
import sqlite3
import sys
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from ...config.load import without_password
from ...config.settings import Settings
from ..database import place
from ..errors import ToolFailure, Unavailable
from ..runtime.work import Work
from ..tracing.ids import uuid7

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

TEMPLATE = "mlflow_store.db.gz"
PROBE_TIMEOUT_S = 1.5
SQLITE = "sqlite:///"


def mlflow_client(work: Work) -> MlflowClient:
    """The client of this process.

    Raises:
        Unavailable: the configured server does not answer.
    """
    if work.settings.tracking_uri.startswith(("http://", "https://")) and open_client not in work.cache:
        probe(work.settings.tracking_uri)
    return work.once(open_client)


def open_client(settings: Settings) -> MlflowClient:
    """Build the client; `models:/` URIs are looked up through the global URI, so that is set as well."""
    uri = settings.tracking_uri
    os.environ["MLFLOW_TRACKING_URI"] = os.environ["MLFLOW_REGISTRY_URI"] = uri
    if uri.startswith(SQLITE):
        place_store(Path(uri.removeprefix(SQLITE)))
    from mlflow import MlflowClient

    _import_request_headers()
    with translated():
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def probe(uri: str) -> None:
    """Ask a tracking server for a sign of life before any library waits minutes for one.

    Raises:
        Unavailable: nothing answers within 1.5 s, or an error does.
    """
    shown = without_password(uri)
    hint = "Start the server, or change mlflow.tracking_uri (MLFLOW_TRACKING_URI); all other tools work on."
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PROBE_TIMEOUT_S):
            return
    except urllib.error.HTTPError as error:
        # A proxy that wants a token, or an older server without /health, is alive all the same.
        if error.code < 500:
            return
        raise Unavailable(f"the MLflow server at {shown} answers HTTP {error.code}", hint) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Unavailable(f"the MLflow server at {shown} does not answer: {reason}", hint) from error


@contextmanager
def translated() -> Generator[None]:
    """Say what MLflow refused in the words of a tool."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise _failure(error) from error


def place_store(path: Path) -> None:
    """Put the migrated empty store where none is yet.

    Migrations take seconds, and processes that meet on an empty file make all but one of them fail.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid7()}")
    draft.write_bytes(gzip.decompress(files(__package__ or "").joinpath(TEMPLATE).read_bytes()))
    _require_current(draft)
    place(draft, path)


def build_template(folder: Path) -> bytes:
    """A fresh store of the installed MLflow: migrated, in WAL mode, without experiment 0, compressed."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path = folder / "template.db"
    store = SqlAlchemyStore(f"{SQLITE}{path}", str(folder / "unused"))
    store._dispose_engine()  # pyright: ignore[reportPrivateUsage]
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in (
            "pragma journal_mode=wal",
            "delete from experiments where experiment_id=0",
            "vacuum",
            "analyze",
        ):
            db.execute(statement)
    return gzip.compress(path.read_bytes(), mtime=0)


def _require_current(draft: Path) -> None:
    """Migrate the draft if the installed MLflow is newer than the one the template was made with."""
    # MLflow offers no public way to ask for the schema it expects.
    from mlflow.store.db.utils import (
        _get_latest_schema_revision,  # pyright: ignore[reportPrivateUsage]
        _upgrade_db,  # pyright: ignore[reportPrivateUsage]
        create_sqlalchemy_engine,
    )

    with closing(sqlite3.connect(draft)) as db:
        found = db.execute("select version_num from alembic_version").fetchone()[0]
    if found != _get_latest_schema_revision():
        _upgrade_db(create_sqlalchemy_engine(f"{SQLITE}{draft}"))


def _import_request_headers() -> None:
    """Load MLflow's header providers without Feast's, whose entry point imports all of Feast (5 to 8 s)."""
    name = "mlflow.tracking.request_header.registry"
    if name in sys.modules:
        return
    from importlib import import_module

    import mlflow.utils.plugins as plugins

    every = plugins.get_entry_points
    plugins.get_entry_points = lambda group: [point for point in every(group) if not point.value.startswith("feast.")]
    try:
        import_module(name)
    finally:
        plugins.get_entry_points = every


def _failure(error: MlflowException) -> ToolFailure:
    text = str(error.message).strip().splitlines()[0][:400]
    if "out-of-date database schema" in text:
        return ToolFailure("the MLflow store is older than MLflow", "Run: mlflow db upgrade <tracking URI>")
    if error.error_code == "INTERNAL_ERROR" and "API request" in text:
        return Unavailable(f"the MLflow server failed: {text}", "See the setting mlflow.tracking_uri.")
    return ToolFailure(text)


if __name__ == "__main__":
    # Refreshes the shipped template: python -m mlops_mcp.tools.tracking.backend
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(__file__).with_name(TEMPLATE).write_bytes(build_template(Path(folder)))
