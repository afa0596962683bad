"""`mlops-mcp doctor --deep`: a write and a read on each backend, which leave nothing behind, and how long they take."""

from __future__ import annotations

import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..config.feast_file import is_repository
from ..config.settings import Settings
from ..tools.runtime.outcome import outcome_of
from ..tools.runtime.work import Work
from ..tools.tracing.span import Tracer
from .probes import Backend, NotChecked, NotCreated, ProbeFailed, Question, answers, questions

# Libraries are imported for it, and a write may wait for others.
DEEP_TIMEOUT_S = 60.0
CONTENT = b"mlops-mcp doctor\n" * 64
Try = Callable[[Settings], None]


def deep_answers(settings: Settings) -> list[Backend]:
    return answers(_questions(settings), DEEP_TIMEOUT_S)


def _questions(settings: Settings) -> list[Question]:
    """Those of `probes`, each with a write and a read where there is something to write to; and the artifacts."""
    tries: dict[str, Try] = {
        "state folder": lambda _: _file(settings.home),
        "jobs": _jobs,
        "traces": lambda _: _sqlite(settings.trace_store),
        "mlflow": _registry,
        "feast": _features,
        "optuna": _study,
        "bentoml": lambda _: _file(settings.bentoml_home),
        "dask": _task,
        "shared state": _catalogue,
        "shared files": _contents,
    }
    only_read = {"feast"} if is_repository(settings) else set[str]()
    asked = [
        replace(
            question,
            ask=partial(
                _both,
                question.ask,
                partial(tries[question.name], settings),
                "read" if question.name in only_read else "written and read",
            ),
        )
        if question.name in tries
        else question
        for question in questions(settings)
    ]
    return [
        *asked,
        Question("artifacts", _artifact_root(settings), "mlflow.artifact_root", partial(_artifacts, settings)),
    ]


def _both(look: Callable[[], str], write: Callable[[], None], done: str) -> str:
    """Raises NotCreated for what is not there yet: to look at it must not make it."""
    try:
        said = f"{look()}; "
    except NotChecked:
        said = ""
    return f"{said}{_took(write, done)}"


def _artifact_root(settings: Settings) -> str:
    """A tracking server knows its own store, unless another one is set."""
    of_server = settings.tracking_uri.startswith("http") and not settings.mlflow.artifact_root
    return settings.tracking_uri if of_server else settings.artifact_root


def _artifacts(settings: Settings) -> str:
    root = _artifact_root(settings)
    if not root.partition("://")[1] and not Path(root).is_dir():
        raise NotCreated
    return _took(partial(_artifact, settings))


def _took(write: Callable[[], None], done: str = "written and read") -> str:
    began = time.perf_counter()
    outcome = outcome_of(write)
    if outcome.failure:
        raise ProbeFailed(str(outcome.failure))
    if outcome.crash:
        raise ProbeFailed(" ".join(f"{outcome.crash.type}: {outcome.crash.message}".split())[:300])
    return f"{done} in {(time.perf_counter() - began) * 1e3:.0f} ms, with what is imported for it"


def _work(settings: Settings) -> Work:
    return Work(settings, Tracer(lambda _span: None))


def _features(settings: Settings) -> None:
    """The registry and the online store of a team are only read: what was written there others would find."""
    if not is_repository(settings):
        return _sqlite(settings.feast_home / "online.db")
    from ..tools.features.team.client import look_into

    return look_into(_work(settings))


def _file(folder: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(CONTENT)
        file.flush()
        if Path(file.name).read_bytes() != CONTENT:
            raise OSError(f"{folder} does not give back what was written")


def _sqlite(path: Path) -> None:
    """Take the lock of writers and give it back: nothing is changed, whoever else writes waits no longer than that."""
    if not path.is_file():
        return
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)) as database:
        database.execute("begin immediate")
        database.execute("select count(*) from sqlite_master").fetchone()
        database.execute("rollback")


def _jobs(settings: Settings) -> None:
    if not (url := settings.job_store):
        _sqlite(settings.home / "jobs.db")
        return
    import psycopg

    with psycopg.connect(url, connect_timeout=2) as connection:
        connection.execute("create temporary table doctor (word text) on commit drop")
        connection.execute("insert into doctor values ('written')")
        connection.execute("select word from doctor").fetchone()


def _catalogue(settings: Settings) -> None:
    """Where what the servers share is noted, which makes the tables if there are none."""
    from ..tools.replica.catalogue import Catalogue
    from ..tools.replica.steps import installation

    catalogue = Catalogue(settings.storage.database.get_secret_value(), installation(settings))
    try:
        with catalogue.alone() as db:
            db.execute("create temporary table doctor (word text) on commit drop")
            db.execute("insert into doctor values ('written')")
            db.execute("select word from doctor").fetchone()
    finally:
        catalogue.close()


def _contents(settings: Settings) -> None:
    from ..tools.replica.contents import contents_of
    from ..tools.replica.copies import digest

    contents = contents_of(settings.storage)
    with tempfile.TemporaryDirectory() as folder:
        written, read = Path(folder, "written"), Path(folder, "read")
        written.write_bytes(CONTENT + uuid.uuid4().bytes)
        name = digest(written)
        contents.put(name, written)
        found = contents.get(name, read) and read.read_bytes() == written.read_bytes()
        contents.drop(name)
    if not found:
        raise OSError("it does not give back what was written")


def _registry(settings: Settings) -> None:
    """A model that is registered and deleted: of runs and experiments MLflow would keep a trace."""
    from ..tools.tracking.connection import opened

    name = f"doctor-{uuid.uuid4().hex}"
    with opened(_work(settings)) as client:
        client.create_registered_model(name)
        client.get_registered_model(name)
        client.delete_registered_model(name)


def _study(settings: Settings) -> None:
    import optuna

    from ..tools.tuning.storage import forget, load_study, open_storage

    work, name = _work(settings), f"doctor-{uuid.uuid4().hex}"
    try:
        optuna.create_study(storage=open_storage(work, name), study_name=name)
        load_study(work, name)
    finally:
        forget(work, name)
        for file in _journals(settings, name):
            file.unlink()


def _journals(settings: Settings, name: str) -> Iterator[Path]:
    if not settings.study_storage:
        yield from (settings.home / "optuna").glob(f"{name}.log*")


def _artifact(settings: Settings) -> None:
    from ..tools.tracking.client import artifact_place
    from ..tools.tracking.locations import artifacts_at

    root = settings.mlflow.artifact_root or artifact_place(_work(settings), "", "")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "doctor.txt")
        path.write_bytes(CONTENT)
        place = artifacts_at(settings, f"{root.rstrip('/')}/doctor-{uuid.uuid4().hex}")
        place.log_artifact(str(path))
        found = Path(place.download_artifacts("doctor.txt", folder)).read_bytes()
        place.delete_artifacts()
    if found != CONTENT:
        raise OSError("it does not give back what was written")


def _task(settings: Settings) -> None:
    from ..tools.runtime.dask.engine import connected

    with connected(settings) as client:
        if client.submit(sum, [1, 2]).result(timeout=30) != 3:
            raise OSError("a task of the cluster answers wrongly")
