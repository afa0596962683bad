"""Open MLflow: place the embedded store if it is the one, and find out fast when a remote one is dead."""

from __future__ import annotations

import gzip
import os
import socket
import sqlite3
import struct
import sys
import threading
import time
import urllib.error
from collections.abc import Generator
from contextlib import closing, contextmanager
from functools import cache, partial
from http.client import HTTPException
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from ...config.settings import Settings
from ..errors import NotInstalled, ToolFailure, Unavailable, require
from ..runtime.work import Work
from ..storage.database import require_readable
from ..storage.state_files import draft_of, place, private_folder, remove_old_drafts, write_private
from ..tracing.redaction import redact
from ..urls import answered
from . import embedded
from .patient import patient, patiently

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

TEMPLATE = "mlflow_store.db.gz"
PROBE_TIMEOUT_S = 1.0
# How long a sign of life is good for.
PROBE_EVERY_S = 5.0
# A lock of PostgreSQL is a number; any will do that nobody else takes.
FIRST_OPENING = 0x6D6C6F7073
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433, "https": 443}
SETTING = "mlflow.tracking_uri (MLFLOW_TRACKING_URI)"
# What to do as long as artifacts cannot be stored, or nothing of MLflow can be used.
WITHOUT_ARTIFACTS = (
    "Meanwhile tools of data, quality, features and serving work, and train_model keeps models here (local:…) for "
    "evaluate_model, predict_dataset, explain_model and package_model."
)
WITHOUT_MLFLOW = f"{WITHOUT_ARTIFACTS} tune_model, compare_models, estimate_effect and promote_model need it."
# PostgreSQL's SSLRequest: every server answers it with one byte, before any login.
POSTGRES_HELLO = struct.pack("!II", 8, 80877103)


def mlflow_client(work: Work) -> MlflowClient:
    """The client of this process.

    Raises:
        Unavailable: the configured server does not answer.
    """
    require_backend(work)
    return patient(work, work.once(open_client))


def require_backend(work: Work) -> None:
    """Look whether MLflow is there and its store answers, importing nothing: call it before work that takes long.

    Raises:
        NotInstalled: MLflow, or the driver of its database, is missing.
        Unavailable: the configured server does not answer, or the file cannot be opened.
    """
    try:
        require("mlflow")
    except NotInstalled as missing:
        raise NotInstalled(missing.message, f"{missing.hint}. {WITHOUT_MLFLOW}") from None
    uri = work.settings.tracking_uri
    if store := embedded.path(work.settings):
        _require_file(store)
    if "://" in uri and not uri.startswith((embedded.SQLITE, "file:", "databricks")):
        _probe_now_and_then(work, uri)


def has_no_store(settings: Settings) -> bool:
    """Whether the store is to be a file that is not there yet."""
    store = embedded.path(settings)
    return store is not None and not store.exists()


def _require_file(store: Path) -> None:
    """MLflow tries for more than a minute and a half to open what is no file, or is not ours."""
    try:
        if store.exists():
            require_readable(store)
    except OSError as error:
        raise Unavailable(
            f"the MLflow store {store} cannot be used: {error.strerror}",
            f"Mend it, or change the setting {SETTING}. {WITHOUT_MLFLOW}",
        ) from error


def open_client(settings: Settings) -> MlflowClient:
    """Build the client; `models:/` URIs are looked up through the global URI, so that is set as well."""
    uri = settings.tracking_uri
    os.environ["MLFLOW_TRACKING_URI"] = os.environ["MLFLOW_REGISTRY_URI"] = uri
    if store := embedded.path(settings):
        place_store(store)
    from mlflow import MlflowClient, set_registry_uri, set_tracking_uri

    get_ready()
    # Once anything in the process has set them, the variables above are not looked at any more.
    set_tracking_uri(uri)
    set_registry_uri(uri)
    with translated(), _one_at_a_time(uri):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def _one_at_a_time(uri: str) -> Generator[None]:
    """MLflow makes its tables in a database that has none: of several that meet there, all but one would fail."""
    if not uri.startswith("postgresql"):
        yield
        return
    from sqlalchemy import create_engine, func, select
    from sqlalchemy.pool import NullPool

    with create_engine(uri, poolclass=NullPool).connect() as connection:
        connection.execute(select(func.pg_advisory_lock(FIRST_OPENING)))
        yield


def probe(uri: str, what: str, setting: str, then: str = "What does not use it works on.") -> None:
    """Ask a server or database for a sign of life before any library waits minutes for one.

    Raises:
        Unavailable: nothing answers within 1 s, or an error does.
        NotInstalled: it lives, but its driver is missing.
    """
    reasons: list[str] = []
    # A thread: looking up a name has no time limit.
    asking = threading.Thread(target=lambda: reasons.append(_silence(uri)), daemon=True)
    asking.start()
    asking.join(PROBE_TIMEOUT_S)
    if reason := reasons[0] if reasons else f"does not answer within {PROBE_TIMEOUT_S:g} s":
        raise Unavailable(
            f"{what} at {redact(uri)} {reason}",
            f"Start it, or change the setting {setting}. {then}",
        )
    if uri.startswith("postgresql+psycopg:"):
        require("psycopg")


def _probe_now_and_then(work: Work, uri: str) -> None:
    last = work.cache.get(probe)
    if isinstance(last, float) and time.monotonic() - last < PROBE_EVERY_S:
        return
    ask = partial(probe, uri, "the MLflow server", SETTING, WITHOUT_MLFLOW)
    # Whoever has answered this process before is waited for; one that is dead from the beginning is told at once.
    patiently(work, ask) if last else ask()
    work.cache[probe] = time.monotonic()


def _silence(uri: str) -> str:
    """What is wrong with what listens at an address; an empty text if it is alive."""
    try:
        if uri.startswith(("http://", "https://")):
            return _http_silence(uri)
        return _database_silence(uri)
    except (OSError, ValueError, HTTPException) as error:
        return f"does not answer: {getattr(error, 'reason', error)}"


def _http_silence(uri: str) -> str:
    try:
        with answered(f"{uri.rstrip('/')}/health", PROBE_TIMEOUT_S):
            return ""
    except urllib.error.HTTPError as error:
        # A proxy that wants a token, or an older server without /health, is alive all the same.
        return f"answers HTTP {error.code}" if error.code >= 500 else ""


def _database_silence(uri: str) -> str:
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if scheme not in PORTS:
        return ""
    port = parts.port or PORTS[scheme]
    # libpq takes a host, or the folder of a socket, from either place.
    host = dict(parse_qsl(parts.query)).get("host", "") or parts.hostname or "localhost"
    with _connection(f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)) as connection:
        if scheme != "postgresql":
            return ""
        connection.sendall(POSTGRES_HELLO)
        return "" if connection.recv(1) in (b"S", b"N") else "is no PostgreSQL server"


def _connection(address: str | tuple[str, int]) -> socket.socket:
    if isinstance(address, tuple):
        return socket.create_connection(address, timeout=PROBE_TIMEOUT_S)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PROBE_TIMEOUT_S)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


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
    private_folder(path.parent)
    remove_old_drafts(path)
    with draft_of(path) as draft:
        write_private(draft, gzip.decompress(files(__package__ or "").joinpath(TEMPLATE).read_bytes()))
        _require_current(draft)
        place(draft, path)


def build_template(folder: Path) -> bytes:
    """A fresh store of the installed MLflow: migrated, in WAL mode, without experiment 0, compressed."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path = folder / "template.db"
    store = SqlAlchemyStore(f"{embedded.SQLITE}{path}", str(folder / "unused"))
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
        _upgrade_db(create_sqlalchemy_engine(f"{embedded.SQLITE}{draft}"))


def get_ready() -> None:
    """Do what every client needs and no store is needed for: what is forked from this process finds it done."""
    _import_request_headers()
    import mlflow.store.db.utils as stores

    # It imports each migration that there ever was, to find the last one, whenever a store is opened.
    if not hasattr(stores._get_latest_schema_revision, "cache_info"):  # pyright: ignore[reportPrivateUsage]
        stores._get_latest_schema_revision = cache(stores._get_latest_schema_revision)  # pyright: ignore[reportPrivateUsage]


def preloaded() -> None:
    """For the template: ready, and the last migration known."""
    get_ready()
    import mlflow.store.db.utils as stores

    stores._get_latest_schema_revision()  # pyright: ignore[reportPrivateUsage]


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
        return ToolFailure(
            "the MLflow store is older than MLflow",
            "Run: mlops-mcp upgrade BACKUP --mlflow, or mlflow db upgrade <tracking URI>",
        )
    if error.error_code == "INTERNAL_ERROR" and "API request" in text:
        return Unavailable(f"the MLflow server failed: {text}", "See the setting mlflow.tracking_uri.")
    return ToolFailure(
        f"MLflow refuses it: {text}", "Change what it names; get_run, search_runs and get_model show it."
    )


if __name__ == "__main__":
    # Refreshes the shipped template: python -m mlops_mcp.tools.tracking.backend
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(__file__).with_name(TEMPLATE).write_bytes(build_template(Path(folder)))
