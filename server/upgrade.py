"""`mlops-mcp upgrade`: what older versions wrote comes up to this one, all at once and after a backup.

Each of our own files would come up by itself when it is next opened; here one sees before what that does.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..config.settings import Settings
from ..tools.decisions import Decisions
from ..tools.errors import ToolFailure
from ..tools.lineage import Lineage
from ..tools.replica.copies import Copies
from ..tools.runtime.jobs.backends import SqliteBackend
from ..tools.storage.database import is_database, reading
from ..tools.storage.errors import StorageError
from ..tools.tracing.redaction import redact
from ..tools.tracing.store.opening import opened
from ..tools.tracking import embedded, migrating
from .answer_table import store_of
from .backup import require_unused, told, written


@dataclass(frozen=True)
class Request:
    """`file` is where the backup goes; `backed_up` says that there is one of a database that this one leaves out."""

    file: str
    mlflow: bool = False
    backed_up: bool = False
    dry_run: bool = False


def upgrade(settings: Settings, request: Request) -> int:
    """Bring it all up, or say what that would change; the exit code is 2 when it fails."""
    return told(lambda: _upgraded(settings, request))


def _upgraded(settings: Settings, request: Request) -> list[str]:
    home = settings.home.resolve()
    if not home.is_dir():
        raise ToolFailure(f"there is no state folder {home}", "Name it with --home.")
    changes = dict(_changes(home))
    said = [f"{name}: {what}" for name, what in changes.items()]
    migration = _migration(settings, request)
    said += [f"MLflow: from {migration.found} to {migration.wanted}"] if migration else []
    if not said:
        return ["Everything is of this version."]
    if request.dry_run:
        return [*said, "Nothing was written."]
    kept = _backed_up(settings, home, request)
    for name in changes:
        OPENERS[name](home / name)
    if migration and (reached := migrating.migrate(settings)).differ:
        raise ToolFailure(f"MLflow is at {reached.found}, not at {reached.wanted}", "The backup has what was there.")
    return [*kept, *said]


def _backed_up(settings: Settings, home: Path, request: Request) -> list[str]:
    if not request.file:
        raise ToolFailure("there is no backup yet", "Say where it goes: mlops-mcp upgrade FILE. --dry-run needs none.")
    store = embedded.path(settings)
    inside = store is not None and store.resolve().is_relative_to(home)
    if request.mlflow and not inside and not request.backed_up:
        raise ToolFailure(
            f"{redact(settings.tracking_uri)} is not part of the backup", "Make one of it, then pass --backed-up."
        )
    require_unused(home, "upgrade")
    return written(settings, Path(request.file).absolute(), force=False)


def _migration(settings: Settings, request: Request) -> migrating.Revisions | None:
    if not request.mlflow:
        return None
    found = migrating.revisions(settings)
    return found if found.differ else None


def _changes(home: Path) -> Iterator[tuple[str, str]]:
    """What opening each file would do to it, seen on a copy."""
    for name, opener in OPENERS.items():
        if (home / name).exists() and (what := _change(home / name, opener)):
            yield name, what


def _change(path: Path, opener: Callable[[Path], None]) -> str:
    if not is_database(path):
        raise ToolFailure(f"{path} is no database", "A backup has it, or set it aside.")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        with reading(path) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        before = _shape(copy)
        try:
            opener(copy)
        except (StorageError, sqlite3.Error) as error:
            raise ToolFailure(
                f"{path} cannot be brought up: {error}", "Nothing was written. A backup has it, or set it aside."
            ) from error
        return _words(before, _shape(copy))


def _shape(path: Path) -> dict[str, str]:
    """Tables with their columns, indexes, and the version that the file says."""
    with reading(path) as db:
        rows = db.execute("select name, type from sqlite_master where name not like 'sqlite_%'").fetchall()
        columns = {name: sorted(row[1] for row in db.execute(f"pragma table_info({name})")) for name, _ in rows}
        version = db.execute("pragma user_version").fetchone()[0]
    return {f"{kind} {name}": ", ".join(columns[name]) for name, kind in rows} | {"version": str(version)}


def _words(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    parts = {
        "new": sorted(after.keys() - before.keys()),
        "dropped": sorted(before.keys() - after.keys()),
        "changed": sorted(name for name in before.keys() & after.keys() if before[name] != after[name]),
    }
    return "; ".join(f"{what} {', '.join(names)}" for what, names in parts.items() if names)


def _open_jobs(path: Path) -> None:
    with SqliteBackend(path).open():
        pass


def _open_lineage(path: Path) -> None:
    Lineage(path.parent).deleted(())


def _open_decisions(path: Path) -> None:
    Decisions(path.parent).count(())


def _open_traces(path: Path) -> None:
    with opened(path):
        pass


def _open_answers(path: Path) -> None:
    with store_of(path.parent).open():
        pass


def _open_replica(path: Path) -> None:
    Copies(path.parent).seen("files")


OPENERS: Mapping[str, Callable[[Path], None]] = {
    "jobs.db": _open_jobs,
    "lineage.db": _open_lineage,
    "decisions.db": _open_decisions,
    "traces.db": _open_traces,
    "answers.db": _open_answers,
    "replica.db": _open_replica,
}
