"""Short, bounded questions to the backends of a configuration; no ML library is imported for any of them."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
import urllib.error
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from ..config.feast_file import is_repository
from ..config.settings import Settings
from ..tools.errors import ToolFailure
from ..tools.features.team.configuration import configuration
from ..tools.storage.database import reading
from ..tools.tracing.opik.outbox import status
from ..tools.tracing.redaction import redact
from ..tools.tracing.store.destination import Destination
from ..tools.urls import answered

TIMEOUT_S = 1.4
# Of a file that somebody has locked.
LOCKED_S = 0.5
PORTS = {
    "postgresql": 5432,
    "postgres": 5432,
    "mysql": 3306,
    "mariadb": 3306,
    "mssql": 1433,
    "oracle": 1521,
    "redis": 6379,
    "tcp": 8786,
}

State = Literal["ok", "embedded", "failed", "unchecked"]


@dataclass(frozen=True)
class Backend:
    """What one backend answered. `embedded` means: lies below home and is created at its first use."""

    name: str
    where: str
    state: State
    detail: str
    remedy: str
    milliseconds: int


@dataclass(frozen=True)
class Question:
    """Where a backend lies, the setting that says so, and how to ask it."""

    name: str
    where: str
    setting: str
    ask: Callable[[], str]


class ProbeFailed(Exception):
    """The backend does not answer as it should; the text says what happened."""


class NotCreated(Exception):
    """Nothing is there yet, which is how every installation begins."""


class NotChecked(Exception):
    """There is no cheap question for this kind of backend."""


def questions(settings: Settings) -> list[Question]:
    """What the configuration makes necessary to ask."""
    home, feast, bentoml = settings.home, settings.feast_home, settings.bentoml_home
    ours = "home (MLOPS_HOME)"
    return [
        Question("state folder", str(home), ours, partial(_folder, home)),
        _jobs(settings),
        *_cluster(settings),
        *_shared(settings),
        Question("traces", str(settings.trace_store), ours, partial(_traces, settings)),
        _store("mlflow", settings.tracking_uri, "mlflow.tracking_uri (MLFLOW_TRACKING_URI)"),
        Question("feast", str(feast), "feast.repo_path (FEAST_REPO_PATH)", partial(_features, settings)),
        _optuna(settings),
        Question("bentoml", str(bentoml), "bentoml.home (BENTOML_HOME)", partial(_folder, bentoml)),
        *_opik(settings),
    ]


def answers(asked: list[Question], timeout_s: float = TIMEOUT_S) -> list[Backend]:
    """Ask all at the same time; whoever has not answered by then has failed."""
    done: dict[str, Backend] = {}

    def ask(question: Question) -> None:
        done[question.name] = _answer(question)

    # Not a pool: its threads are waited for at exit, and a name lookup cannot be interrupted.
    threads = [threading.Thread(target=ask, args=(question,), daemon=True) for question in asked]
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"no answer within {timeout_s:g} s"
    return [done.get(question.name) or _backend(question, "failed", late, timeout_s) for question in asked]


def _answer(question: Question) -> Backend:
    began = time.monotonic()
    state: State
    try:
        state, detail = "ok", question.ask()
    except NotCreated:
        state, detail = "embedded", "not created yet"
    except NotChecked as unchecked:
        state, detail = "unchecked", str(unchecked)
    # ValueError: a URL that is none
    except (ProbeFailed, OSError, ValueError, sqlite3.Error) as error:
        state, detail = "failed", redact(str(error))
    return _backend(question, state, detail, time.monotonic() - began)


def _backend(question: Question, state: State, detail: str, seconds: float) -> Backend:
    remedy = f"check {question.setting}" if state == "failed" else ""
    return Backend(question.name, redact(question.where), state, detail, remedy, round(seconds * 1000))


def _jobs(settings: Settings) -> Question:
    if url := settings.job_store:
        return _store("jobs", url, "runtime.job_store")
    path = settings.home / "jobs.db"
    return Question("jobs", str(path), "home (MLOPS_HOME)", partial(_sqlite, path))


def _shared(settings: Settings) -> list[Question]:
    database, files = settings.storage.database.get_secret_value(), settings.storage.files
    if not files:
        return []
    parts = urlsplit(settings.storage.endpoint)
    ask = partial(_tcp, parts, 80 if parts.scheme == "http" else 443) if settings.storage.endpoint else _unasked
    return [
        _store("shared state", database, "storage.database"),
        Question("shared files", files, "storage.files", ask),
    ]


def _unasked() -> str:
    raise NotChecked("doctor --deep writes and reads there")


def _cluster(settings: Settings) -> list[Question]:
    address = settings.runtime.scheduler
    if settings.runtime.engine == "local":
        return []
    return [Question("dask", address, "runtime.scheduler", partial(_tcp, urlsplit(address), PORTS["tcp"]))]


def _optuna(settings: Settings) -> Question:
    uri = settings.optuna.study_storage
    if "://" in uri:
        return _store("optuna", uri, "optuna.study_storage")
    folder = Path(uri) if uri else settings.home / "optuna"
    return Question("optuna", str(folder), "optuna.study_storage", partial(_folder, folder))


def _opik(settings: Settings) -> list[Question]:
    key = settings.opik.api_key.get_secret_value()
    if not settings.opik.configured:
        return []
    url = settings.opik.target
    headers = {"Authorization": key, "Comet-Workspace": settings.opik.workspace}
    given = {name: value for name, value in headers.items() if value}
    return [Question("opik", url, "opik.url (OPIK_URL_OVERRIDE)", partial(_http, f"{url}/is-alive/ping", given))]


def _store(name: str, uri: str, setting: str) -> Question:
    return Question(name, uri, setting, partial(_database, uri))


def _database(uri: str) -> str:
    parts = urlsplit(uri)
    scheme = parts.scheme.split("+")[0]
    if uri.startswith("databricks"):
        raise NotChecked("needs its own login")
    if scheme == "sqlite":
        return _sqlite(Path(uri.partition("///")[2]))
    if scheme in ("http", "https"):
        return _http(f"{uri.rstrip('/')}/health", {})
    if "host=" in parts.query:
        raise NotChecked("a socket of this machine is not checked")
    if scheme in PORTS:
        return _tcp(parts, PORTS[scheme])
    if scheme in ("", "file"):
        return _folder(Path(unquote(parts.path)))
    raise NotChecked(f"{scheme}: is not checked")


def _http(url: str, headers: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ProbeFailed("not an http or https URL")
    try:
        with answered(url, TIMEOUT_S, headers):
            return "answers"
    except urllib.error.HTTPError as error:
        # A proxy that wants a token, or a server without this path, is alive all the same.
        if error.code < 500:
            return f"answers HTTP {error.code}"
        raise ProbeFailed(f"answers HTTP {error.code}") from error
    except urllib.error.URLError as error:
        raise ProbeFailed(f"does not answer: {error.reason}") from error
    except HTTPException as error:
        raise ProbeFailed(f"does not speak HTTP: {error!r}") from error


def _tcp(parts: SplitResult, default_port: int) -> str:
    host, port = parts.hostname or "localhost", parts.port or default_port
    try:
        socket.create_connection((host, port), timeout=TIMEOUT_S).close()
    except OSError as error:
        raise ProbeFailed(f"{host}:{port} does not answer: {error}") from error
    return f"{host}:{port} accepts connections"


def _sqlite(path: Path) -> str:
    if not path.exists():
        _folder(path.parent)
        raise NotCreated
    with reading(path, LOCKED_S) as db:
        tables = int(db.execute("select count(*) from sqlite_master where type='table'").fetchone()[0])
        if not tables:
            raise ProbeFailed("holds no tables")
    return f"{tables} tables, {path.stat().st_size / 1e6:.1f} MB"


def _traces(settings: Settings) -> str:
    said, destination = _sqlite(settings.trace_store), Destination.of(settings)
    found = status(settings.trace_store, destination)
    return ", ".join(part for part in (said, found.backlog if destination else found.losses) if part)


def _folder(path: Path) -> str:
    """Whether files can be made there, now or once the folder is created."""
    nearest = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not nearest.is_dir():
        raise ProbeFailed(f"{nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ProbeFailed(f"{nearest} is not writable")
    if nearest != path:
        raise NotCreated
    return "writable"


def _features(settings: Settings) -> str:
    folder = settings.feast_home
    if is_repository(settings):
        return _of_team(settings)
    _folder(folder)
    registries = sorted(folder.glob("registry*.db"))
    if not registries:
        raise NotCreated
    return _sqlite(registries[0])


def _of_team(settings: Settings) -> str:
    """What the file of a team's repository names; its stores are asked by who uses them."""
    try:
        found = configuration(settings.feast_home)
    except ToolFailure as failure:
        raise ProbeFailed(str(failure)) from None
    if not found.has_sql_registry and not Path(found.registry["path"]).is_file():
        raise ProbeFailed(f"a team's repository whose registry {found.registry['path']} is missing: feast apply")
    written = "may be written" if settings.feast.write_repository else "is read only"
    return f"a team's repository, which {written}: project {found.project}, online {found.online['type']}"
