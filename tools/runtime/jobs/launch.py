"""Start the keepers of claimed jobs, detached from whoever starts them: forked where that is possible, else cold."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ....config.secrets import revealed, without_secrets
from ....config.settings import Settings
from ... import detached
from ...audit import AuditLog, Entry, Outcome, named
from ...logtail import CHARACTERS, shorten, tail_of
from ...replica.steps import installation, is_shared
from ...storage.state_files import private_folder, written_once
from ...tracing.redaction import redact
from ..confined import is_held
from ..inherited import inherited
from ..limits import quiet_environment, thread_environment
from ..proctree import MARK
from ..template.handle import ADDRESS, own_template
from .alive import machine
from .backends import backend_of
from .shares import Slots
from .table import End, JobRow, JobTable

SETTINGS_VARIABLE = "MLOPS_JOB_SETTINGS"
CLEANUP_VARIABLE = "MLOPS_JOB_CLEANUP"
# How the audit log calls the end of a job.
OUTCOMES: Mapping[str, Outcome] = MappingProxyType(
    {"done": "done", "failed": "failed", "cancelled": "cancelled", "lost": "lost"}
)
KEEPER, CLEANUP = f"{__package__}.keeper", f"{__package__}.cleanup"


@dataclass(frozen=True)
class KeeperStart:
    """What the keeper of one attempt is started with, by whatever means.

    `settings` are the submitter's with the secrets, as JSON; `environment` is that of the process that starts it.
    """

    identity: str
    attempt: int
    settings: str
    log: Path
    environment: Mapping[str, str]
    path: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        return mark_of(self.identity, self.attempt)


# Starts a keeper in a process that has the libraries loaded; its process id, or None when that cannot be done.
Fork = Callable[[KeeperStart], int | None]


def launch_next(
    settings: Settings, table: JobTable, fork: Fork | None = None, own: Collection[str] = ()
) -> dict[int, JobRow]:
    """Claim and start queued jobs while slots are free, one caller's after the other's.

    Returns:
        Those that are our children, by process id.

    Args:
        own: the jobs of this server; a read-only one starts no others.
    """
    started: dict[int, JobRow] = {}
    runtime, among = settings.runtime, own if settings.server.read_only else None
    slots = Slots(runtime.slots, runtime.short_slots, runtime.guest_slots, runtime.caller_slots)
    while row := table.claim(home_id(settings), place_of(settings), slots, among):
        try:
            start = _keeper_start(settings, row)
            if fork is None or fork(start) is None:
                started[_exec(start)] = row
        except (OSError, ValueError, AttributeError) as error:  # no process, no disk, or settings of another world
            why = f"it cannot be started: {type(error).__name__}: {error}"
            table.finish(row.id, row.attempt, End("failed", error=redact(why), fault="crashed"))
    return started


def lock_path(settings: Settings, identity: str) -> Path:
    return settings.home / "jobs" / f"{identity}.lock"


def log_path(settings: Settings, identity: str) -> Path:
    return settings.home / "jobs" / f"{identity}.log"


def log_tail(settings: Settings, identity: str, characters: int = CHARACTERS) -> str:
    """The last words of a job."""
    return tail_of(log_path(settings, identity), characters)


def table_of(settings: Settings) -> JobTable:
    """The job table of an installation. Raises NotInstalled when the driver of its database is missing."""
    url, log = settings.job_store, AuditLog.of(settings)
    return JobTable(backend_of(url, settings.home / "jobs.db"), lambda row: log.note(_end_of(row)))


def _end_of(row: JobRow) -> Entry:
    """The end of a job as the audit log has it."""
    made = [f"job:{row.id}", *(json.loads(text) for text in (row.result, row.partial) if text)]
    return Entry(
        event="job",
        by=row.owner or None,
        tool=row.tool,
        handles=named(made),
        outcome=OUTCOMES[row.state],
        trace=row.trace_id,
    )


def home_id(settings: Settings) -> str:
    """A name of the state that is the same for all who have it, wherever its folder is mounted, or copied to."""
    return installation(settings) if is_shared(settings) else _folder_id(settings)


def place_of(settings: Settings) -> str:
    """The processes that see the locks of jobs that run here: those of a machine, of those that of this folder."""
    return f"{machine()}/{_folder_id(settings)}" if is_shared(settings) else machine()


def _folder_id(settings: Settings) -> str:
    return written_once(settings.home / "jobs" / "home.id", uuid.uuid4().hex)


def mark_of(identity: str, attempt: int) -> str:
    """What all processes of an attempt carry in their environment; always of the same length."""
    return f"{identity}.{attempt:02d}"


def stored(settings: Settings) -> str:
    """The settings as they are kept with a job: all but the secrets, and passwords in addresses masked."""
    return json.dumps(_masked(without_secrets(settings)))


def as_submitted(settings: Settings, kept: str) -> str:
    """The submitter's settings, which were `stored`, with the secrets of this process.

    What an older version of the submitter did not know is as it is here.
    """
    theirs: dict[str, Any] = json.loads(kept)
    tree = revealed(settings)
    for name, value in without_secrets(settings).items():
        if isinstance(value, dict):
            given: dict[str, Any] = theirs.get(name, {})
            tree[name] |= {key: _unmasked(given.get(key, known), known) for key, known in value.items()}
        else:
            tree[name] = theirs.get(name, value)
    if is_shared(settings):  # each server has a folder of its own
        tree["home"] = str(settings.home)
    return json.dumps(tree)


def _unmasked(value: Any, known: Any) -> Any:
    """An address whose password was masked is the one that is known here, if they are otherwise the same."""
    return known if isinstance(known, str) and value == redact(known) else value


def _masked(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _masked(item) for name, item in node.items()}
    return redact(node) if isinstance(node, str) else node


def start_cleanup(settings: Settings, row: JobRow, cleanup: str) -> int:
    """Start what closes the things that an ended attempt left open; its process id."""
    given = json.loads(cleanup) | {"toolset": row.toolset, "trace_id": row.trace_id, "span_id": row.span_id}
    start = _keeper_start(settings, row)
    variables = {CLEANUP_VARIABLE: json.dumps(given), SETTINGS_VARIABLE: start.settings}
    return detached.spawn(CLEANUP, environment={**start.environment, **variables}, log=start.log)


def _keeper_start(settings: Settings, row: JobRow) -> KeeperStart:
    log = log_path(settings, row.id)
    private_folder(log.parent)
    shorten(log)
    environment = keeper_environment(settings, row.toolset, row.function)
    return KeeperStart(row.id, row.attempt, as_submitted(settings, row.settings), log, environment, tuple(sys.path))


def keeper_environment(settings: Settings, toolset: str, function: str) -> dict[str, str]:
    """What a keeper has, and the job in it: the way to the template only where nothing holds the job.

    One that is held would have others work for it that are not.
    """
    template = own_template()
    found = inherited(template.environment(), settings) | job_environment(settings)
    hidden = {MARK, ADDRESS} if is_held(toolset, function) else {MARK}
    told = {} if is_held(toolset, function) else template.told
    return {name: value for name, value in found.items() if name not in hidden} | told


def _exec(start: KeeperStart) -> int:
    """Start a keeper cold: it imports everything anew."""
    variables = {MARK: start.mark, SETTINGS_VARIABLE: start.settings}
    environment = {**start.environment, **variables}
    return detached.spawn(KEEPER, start.identity, str(start.attempt), environment=environment, log=start.log)


def job_environment(settings: Settings) -> dict[str, str]:
    """What the libraries of a job have to find before they are imported."""
    return {**quiet_environment(), **thread_environment(settings.runtime.job_threads), "PYTHONUNBUFFERED": "1"}
