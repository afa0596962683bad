"""Open the Feast store: SQL registry, DuckDB for history, SQLite for online reads, all below one folder."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ...config.feast_file import FILE, is_repository
from ...config.settings import Settings
from ..errors import ToolFailure, Unavailable, require
from ..locks import locked
from ..runtime.work import Work
from ..storage.database import reading
from ..tracing.redaction import redact
from .views import Definition, all_views

# Feast executes what these tables hold as soon as somebody lists or joins views.
CODE_TABLES = ("on_demand_feature_views", "stream_feature_views")
KEY_VERSION = 3
# Values in one transaction: other writers wait for its end.
BATCH = 50_000
PATIENCE_S = 20.0


@contextmanager
def opened(work: Work) -> Generator[Any]:
    """The store of this installation, with what Feast raises put into words.

    Raises:
        ToolFailure: the registry holds views that are code.
        Unavailable: a database of the store cannot be used.
    """
    require("feast")
    try:
        _require_folder(work.settings)
        _refuse_code(_registry(work.settings))
        yield work.once(_open)
    except database_errors() as error:
        raise Unavailable(
            f"the feature store cannot be used: {str(error).splitlines()[0][:200]}",
            f"It lies in {work.settings.feast_home} (setting feast.repo_path); another process may be writing.",
        ) from error


def registered(work: Work, store: Any) -> list[Definition]:
    """All views for online reads, which Feast makes of what it has in memory: it is read anew when it was changed."""
    version = work.once(Changes).version()
    kept = work.cache.get(registered)
    if not (isinstance(kept, Kept) and kept.version == version):
        store.refresh_registry()
        kept = work.cache[registered] = Kept(version, all_views(store))
    return kept.views


@dataclass(frozen=True)
class Kept:
    version: tuple[int, ...]
    views: list[Definition]


class Changes:
    """Tells whether the registry was written, by SQLite's own count (https://www.sqlite.org/pragma.html#pragma_data_version)."""

    def __init__(self, settings: Settings) -> None:
        self.path = _registry(settings)
        self.database: sqlite3.Connection | None = None
        self.file: tuple[int, int] | None = None

    def version(self) -> tuple[int, ...]:
        """Another one after every commit, and of every other file in its place."""
        now = self.path.stat()
        file = (now.st_dev, now.st_ino)
        if self.database is None or self.file != file:
            self.file = file
            self.database = sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, check_same_thread=False)
        return *file, *self.database.execute("pragma data_version").fetchone()


def is_unused(work: Work) -> bool:
    """Whether nothing was ever registered: to open the store would make its files.

    Raises:
        NotInstalled: Feast is missing.
        ToolFailure: the folder is a Feast repository of somebody's own.
    """
    require("feast")
    if "://" in work.settings.feast.repo_path:
        return False
    _refuse_repository(work.settings)
    file = _registry(work.settings)
    return not file.exists() and all(each.is_dir() for each in file.parents if each.exists())


@contextmanager
def changing(work: Work, view: str) -> Generator[None]:
    """Change one view, alone: Feast loses what two writers do at once."""
    _require_folder(work.settings)
    busy = f"features:{view} is being written by another process"
    with locked(work.settings.feast_home / "locks" / f"{view}.lock", PATIENCE_S, busy):
        yield


@contextmanager
def applying(settings: Settings) -> Generator[None]:
    """Change the registry, alone: parallel first writes collide."""
    with locked(settings.feast_home / "locks" / ".registry.lock", PATIENCE_S, "the feature registry is being changed"):
        yield


class Cell(NamedTuple):
    """One value in Feast's table of a view."""

    entity_key: bytes
    feature_name: str
    value: bytes
    value_text: str | None
    event_ts: int
    created_ts: int | None


def put_online(settings: Settings, view: str, cells: Iterator[Cell]) -> None:
    """Write values over those of the same key and feature."""
    table, columns = f"{settings.feast.project}_{view}", ", ".join(Cell._fields)
    renewed = ", ".join(f"{name} = excluded.{name}" for name in Cell._fields[2:])
    statement = (
        f'insert into "{table}" ({columns}) values (?, ?, ?, ?, ?, ?) '
        f"on conflict (entity_key, feature_name) do update set {renewed}"
    )
    with closing(sqlite3.connect(_online(settings), timeout=PATIENCE_S)) as database:
        while batch := list(islice(cells, BATCH)):
            with database:
                database.executemany(statement, batch)


def online_keys(settings: Settings, view: str) -> int:
    """Keys of a view that have a row in the online store."""
    table = f"{settings.feast.project}_{view}"
    with closing(sqlite3.connect(_online(settings))) as database:
        known = database.execute("select 1 from sqlite_master where name = ?", (table,)).fetchone()
        return database.execute(f'select count(distinct entity_key) from "{table}"').fetchone()[0] if known else 0


def empty_online(settings: Settings, view: str) -> None:
    """Delete the online values of a view, whose table stays for the next ones."""
    _change_online(settings, f'delete from "{settings.feast.project}_{view}"')


def drop_online(settings: Settings, view: str) -> None:
    """Take the table of a view that is gone away."""
    _change_online(settings, f'drop table if exists "{settings.feast.project}_{view}"')


def _change_online(settings: Settings, statement: str) -> None:
    if _online(settings).is_file():
        with closing(sqlite3.connect(_online(settings))) as database, database:
            database.execute(statement)


def _open(settings: Settings) -> Any:
    feast = imported()
    settings.feast_home.mkdir(parents=True, exist_ok=True)
    store = feast.FeatureStore(repo_path=str(settings.feast_home), config=_configuration(settings))
    with applying(settings):
        store.list_feature_views()
        with closing(sqlite3.connect(_online(settings))) as database:
            database.execute("pragma journal_mode=wal")
    return store


def _configuration(settings: Settings) -> Any:
    return imported().RepoConfig(
        project=settings.feast.project,
        provider="local",
        repo_path=settings.feast_home,
        registry={"registry_type": "sql", "path": f"sqlite:///{_registry(settings)}", "cache_ttl_seconds": 0},
        online_store={"type": "sqlite", "path": str(_online(settings))},
        offline_store={"type": "duckdb"},
        entity_key_serialization_version=KEY_VERSION,
    )


def imported() -> Any:
    """Feast without the run-time type checks that cost two thirds of its import."""
    try:
        import typeguard
    except ModuleNotFoundError:
        import feast  # says which of our extras is missing

        return feast
    real: Any = typeguard.typechecked

    def unchecked(target: Any = None, **_: Any) -> Any:
        return target if target is not None else lambda function: function

    typeguard.typechecked = unchecked
    try:
        import feast
    finally:
        typeguard.typechecked = real
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(ibis|feast)\.")
    return feast


def database_errors() -> tuple[type[BaseException], ...]:
    try:
        import duckdb
        from sqlalchemy.exc import SQLAlchemyError
    except ModuleNotFoundError:
        return (sqlite3.Error,)
    return sqlite3.Error, SQLAlchemyError, duckdb.Error


def _require_folder(settings: Settings) -> None:
    if "://" in settings.feast.repo_path:
        raise ToolFailure(
            f"feast.repo_path is {redact(settings.feast.repo_path)}, which is no folder",
            "Set it (FEAST_REPO_PATH) to a folder: the registry is a file in it. Tools that use no features work on.",
        )
    _refuse_repository(settings)
    try:
        settings.feast_home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"the folder of the feature store {settings.feast_home} cannot be made: {error.strerror}",
            "Change feast.repo_path (FEAST_REPO_PATH).",
        ) from error


def _refuse_repository(settings: Settings) -> None:
    """Views of ours would be sources in our state folder, which nobody else of the team can read.

    And the team's next `feast apply` would delete them, as it does all that its own files do not define.
    """
    if is_repository(settings):
        raise ToolFailure(
            f"{settings.feast_home} is the Feast repository of a team ({FILE}): its views are read, and none is "
            "registered or deleted there",
            "Its own feast apply does that, and deletes what its files do not define; to have views of your own, set "
            "feast.repo_path (FEAST_REPO_PATH) to another folder, or leave it empty.",
        )


def _refuse_code(registry: Path) -> None:
    if not registry.exists():
        return
    with reading(registry) as database:
        tables = {row[0] for row in database.execute("select name from sqlite_master where type = 'table'")}
        for table in CODE_TABLES:
            if table in tables and database.execute(f"select 1 from {table} limit 1").fetchone():
                raise ToolFailure(
                    f"the registry {registry.name} holds {table.replace('_', ' ')}, which run code when it is read",
                    "Remove them, or point feast.repo_path to another folder.",
                )


def _registry(settings: Settings) -> Path:
    return settings.feast_home / "registry.db"


def _online(settings: Settings) -> Path:
    return settings.feast_home / "online.db"
