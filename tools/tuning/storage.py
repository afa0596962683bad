"""Where studies live: one journal file each below home, or the configured database."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config.settings import Settings
from ..errors import ToolFailure, Unavailable, require, unknown
from ..handles import parse
from ..locks import locked
from ..runtime.work import Work
from ..tracing.redaction import redact
from ..tracking.backend import probe
from .patient import SETTING, Patience, patient

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

SCHEMA = "mlops_mcp_optuna"
# Any fixed number: whoever makes the schema takes this lock first.
LOCK = 0x6F7074756E61
# Who only reads is told soon.
AT_ONCE = Patience(most_s=2.0)


@contextmanager
def driving(work: Work, name: str) -> Generator[BaseStorage]:
    """The storage of a study, held by one driver at a time.

    Raises:
        ToolFailure: another job drives the study.
    """
    require_storage(work)
    path = journal(work, name)
    busy = f"study:{name} is being tuned by another job"
    with locked(driver(work, name), 0, busy, "Wait for it, or use another name."):
        if not work.settings.study_storage:
            repair(path)
        yield open_storage(work, name, Patience())


def open_storage(work: Work, name: str, patience: Patience = AT_ONCE) -> BaseStorage:
    """The configured database, or the journal of one study.

    Args:
        patience: of calls of the database when it goes away once it is opened.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if url := work.settings.study_storage:
        with _translated():
            made = optuna.storages.RDBStorage(url, engine_kwargs=work.once(_engine_of))
        return patient(made, patience)
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

    path = str(journal(work, name))
    return JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))


def find_study(work: Work, handle: str) -> Study:
    """A stored study.

    Raises:
        ToolFailure: there is none of that name.
    """
    require_storage(work)
    name = parse(handle, "study").name
    if work.settings.study_storage or name in names(work):
        try:
            return load_study(work, name)
        except KeyError:
            pass
    raise unknown("study", handle, names(work), "tune_model makes one.")


def load_study(work: Work, name: str) -> Study:
    """A study by its very name, which may be one that no handle can have.

    Raises:
        KeyError: there is none.
    """
    import optuna

    return optuna.load_study(study_name=name, storage=open_storage(work, name))


def names(work: Work) -> list[str]:
    import optuna

    if work.settings.study_storage:
        with _translated():
            return optuna.get_all_study_names(open_storage(work, ""))
    return [path.stem for path in (work.home / "optuna").glob("*.log")]


def require_storage(work: Work) -> None:
    """Find out what is missing or dead before the libraries are imported."""
    require("optuna")
    if url := work.settings.study_storage:
        if "://" not in url:
            raise ToolFailure(
                f"{url!r} is no address of a database", f"Write sqlite:///… or postgresql://… ({SETTING})."
            )
        probe(url, "the study storage", SETTING)


def _engine_of(settings: Settings) -> dict[str, Any]:
    """How a database is opened: in PostgreSQL with a schema of its own, unless it has tables of Optuna already.

    Optuna and MLflow both note the version of their tables in `alembic_version`, and may be given one database.
    """
    if not settings.study_storage.startswith("postgresql"):
        return {}
    from sqlalchemy import create_engine, text

    engine = create_engine(settings.study_storage)
    try:
        with engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            if connection.scalar(text("select to_regclass('study_directions')")) is not None:
                return {}
            if connection.scalar(text("select to_regnamespace(:name)"), {"name": SCHEMA}) is None:
                connection.execute(text(f"create schema {SCHEMA}"))
    finally:
        engine.dispose()
    return {"connect_args": {"options": f"-csearch_path={SCHEMA}"}}


@contextmanager
def _translated() -> Generator[None]:
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError, ImportError) as error:
        said = redact(str(error).splitlines()[0][:200])
        raise Unavailable(f"the study storage cannot be used: {said}", f"See the setting {SETTING}.") from error


def journal(work: Work, name: str) -> Path:
    return work.home / "optuna" / f"{name}.log"


def driver(work: Work, name: str) -> Path:
    """The lock of whoever adds trials to a study."""
    return journal(work, name).with_suffix(".driver")


def forget(work: Work, name: str) -> bool:
    """Whether there was a study of that name, which the database does not have any more; a journal is its file."""
    import optuna

    if not work.settings.study_storage:
        return journal(work, name).is_file()
    try:
        with _translated():
            optuna.delete_study(study_name=name, storage=open_storage(work, name))
    except KeyError:
        return False
    return True


def repair(path: Path) -> None:
    """Cut a line that a killed writer left half-written: the next write would merge into it and lose the study."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if not path.is_file():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)
