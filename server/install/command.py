"""`mlops-mcp install CLIENT` and `uninstall CLIENT`: show what changes, then write it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from ...config.settings import Settings
from ...tools.errors import unknown
from ...tools.tracing.redaction import Redactor
from ..published import published
from . import files
from .change import Change, Config
from .clients import CLIENTS, Client, Machine, Platform, Scope
from .entry import entry, require_name, this_installation
from .errors import InstallError


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line; the last four go into the entry."""

    client: str
    name: str
    scope: Scope
    dry_run: bool
    force: bool
    home: str | None = None
    agent: str | None = None
    toolsets: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """The client, its file, and how what is printed is cleaned of keys."""

    client: Client
    config: Config
    redactor: Redactor


def install(settings: Settings, request: Request) -> int:
    """Write our entry; the exit code is 2 when it could not be. Without a client, tell which there are."""
    return _carried_out(_install, settings, request) if request.client else _print_clients(request)


def uninstall(settings: Settings, request: Request) -> int:
    """Take our entry back; the exit code is 2 when it could not be."""
    return _carried_out(_uninstall, settings, request)


def this_machine() -> Machine:
    """Where this program runs."""
    platform: Platform = "darwin" if sys.platform == "darwin" else "linux"
    return Machine(platform, Path.home(), os.environ, Path.cwd())


def _carried_out(step: Callable[[Settings, Request, Target], None], settings: Settings, request: Request) -> int:
    try:
        target = _target(settings, request)
    except InstallError as error:
        return _refused(str(error))
    try:
        step(settings, request, target)
    except InstallError as error:
        return _refused(f"{target.config.path}: {error}")
    except OSError as error:
        return _refused(f"{error.filename or target.config.path}: {error.strerror or error}")
    return 0


def _target(settings: Settings, request: Request) -> Target:
    if request.client not in CLIENTS:
        raise InstallError(str(unknown("client", request.client, CLIENTS, "`mlops-mcp install` lists them.", limit=12)))
    client = CLIENTS[request.client]
    config = Config(client.path(this_machine(), request.scope), (client.key, require_name(request.name)))
    return Target(client, config, Redactor.of(settings))


def _install(settings: Settings, request: Request, target: Target) -> None:
    # A client that is started from a desktop knows nothing of what a shell has set.
    home = request.home or os.environ.get("MLOPS_HOME")
    ours = entry(this_installation(), home, request.agent, request.toolsets, request.roots)
    path, client, tools = target.config.path, target.client, len(published(settings).tools)
    with nullcontext() if request.dry_run else files.held(path):
        change = target.config.install(ours.written(client.extra))
        if change is None:
            print(f"{client.title} has `{request.name}` already, with this very content: {path}")
        elif _written(change, request, target, "--force replaces it, --name NAME adds another"):
            print(f"{client.title} has `{request.name}` now: {path}. {client.restart}")
    _warn_of_many(client, tools)


def _uninstall(_settings: Settings, request: Request, target: Target) -> None:
    path, title = target.config.path, target.client.title
    with nullcontext() if request.dry_run or files.read(path) is None else files.held(path):
        change = target.config.uninstall()
        if change is None:
            print(f"{title} has no `{request.name}`: {path}")
        elif _written(change, request, target, "--force takes it out nevertheless"):
            print(f"{title} has no `{request.name}` any more: {path}")


def _written(change: Change, request: Request, target: Target, otherwise: str) -> bool:
    """Show the change; write it unless it is a trial or a conflict."""
    print(target.redactor(change.diff()))
    if change.conflict and not request.force:
        raise InstallError(f"{change.conflict}; {otherwise}")
    if request.dry_run:
        print(f"{change.path} is as it was (--dry-run)")
        return False
    change.write()
    if change.backup.exists():
        print(f"as it was before: {change.backup}")
    return True


def _warn_of_many(client: Client, tools: int) -> None:
    if client.takes and tools > client.takes:
        print(
            f"{client.title} takes {client.takes} tools of all servers together and this server has {tools}: "
            "choose with --agent NAME or --toolset NAME"
        )


def _print_clients(request: Request) -> int:
    machine = this_machine()
    for client in CLIENTS.values():
        scope = request.scope if client.project else "user"
        print(f"{client.name:<15}{client.path(machine, scope)}")
    return 0


def _refused(reason: str) -> int:
    print(f"mlops-mcp: {reason}", file=sys.stderr)
    return 2
