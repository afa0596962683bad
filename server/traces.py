"""`mlops-mcp traces`: what of the traces waits to be shipped to Opik, what it has refused, and shipping by hand."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

from ..config.settings import Settings
from ..config.watch import Watch
from ..tools.errors import NotInstalled, require
from ..tools.locks import Busy
from ..tools.storage.errors import storage_error
from ..tools.tracing.opik import outbox
from ..tools.tracing.opik.backoff import Timing
from ..tools.tracing.opik.outbox import Backlog, Status
from ..tools.tracing.opik.shipper import Shipper, ship
from ..tools.tracing.opik.shipper_lock import ShipperLock, fingerprint_of
from ..tools.tracing.store.destination import Destination
from ..tools.tracing.store.drops import drops
from ..tools.tracing.store.opening import opened

LOOK_EVERY_S = 0.2


def print_status(settings: Settings, as_json: bool) -> int:
    """Print the counts; the exit code is 1 when the store cannot be read."""
    return _readable(settings, lambda: _print_status(settings, as_json))


def ship_now(settings: Settings, wait_s: float, everything: bool = False) -> int:
    """Ship the backlog in this process, for `wait_s` seconds at most; the exit code is 1 when something is left.

    Args:
        everything: also what was written while another Opik was configured.
    """
    destination = Destination.of(settings)
    if destination is None:
        print("no Opik is configured: set opik.url (OPIK_URL_OVERRIDE) or opik.api_key (OPIK_API_KEY)", file=sys.stderr)
        return 1
    return _readable(settings, lambda: _ship_now(settings, destination, time.monotonic() + wait_s, everything))


def print_parked(settings: Settings, requeue: str, as_json: bool) -> int:
    """Print what Opik has refused, or let one row of it (or `all`) wait again."""
    return _readable(settings, lambda: _requeue(settings, requeue) if requeue else _print_parked(settings, as_json))


def _readable(settings: Settings, command: Callable[[], int]) -> int:
    try:
        return command()
    except (OSError, sqlite3.Error) as error:
        print(storage_error("the trace store", settings.trace_store, error), file=sys.stderr)
        if lost := drops(settings.trace_store):
            print(f"{lost} spans and scores could not be written so far", file=sys.stderr)
        return 1


def _print_status(settings: Settings, as_json: bool) -> int:
    destination = Destination.of(settings)
    status = outbox.status(settings.trace_store, destination)
    others = [each for each in outbox.backlogs(settings.trace_store) if each.url and not _is(each, destination)]
    target = destination.url if destination else ""
    if as_json:
        print(json.dumps({"target": target, **asdict(status), "others": [asdict(each) for each in others]}))
    else:
        print("\n".join([*_lines(target, status), *map(_other, others)]))
    return 0


def _is(backlog: Backlog, destination: Destination | None) -> bool:
    return Destination(backlog.url, backlog.workspace, backlog.project) == destination


def _other(backlog: Backlog) -> str:
    workspace = f", workspace {backlog.workspace}" if backlog.workspace else ""
    return f"for another Opik    {backlog.waiting} wait for {backlog.url}{workspace}, project {backlog.project}"


def _lines(target: str, status: Status) -> Iterator[str]:
    yield f"target             {target or 'none: traces stay in the local store'}"
    for name in ("stored", "waiting", "elsewhere", "shipped", "parked", "left_out", "delivered"):
        yield f"{name.replace('_', ' '):<18} {getattr(status, name)}"
    yield f"evicted            {status.evicted_shipped} shipped, {status.evicted_unshipped} unshipped"
    yield f"dropped            {status.dropped}"
    yield f"oldest waiting     {_moment(status.oldest_waiting)}"
    yield f"last success       {_moment(status.last_success)}"
    yield f"last failure       {_moment(status.last_failure)}  {status.failure}".rstrip()


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else "never"


def _ship_now(settings: Settings, destination: Destination, deadline: float, everything: bool) -> int:
    store = settings.trace_store
    try:
        require("opik")
    except NotInstalled as missing:
        print(missing, file=sys.stderr)
        return 1
    if everything and store.exists():
        with opened(store) as connection:
            outbox.redirect(connection, destination)
    while outbox.waits(store, destination) and not _shipped(settings, destination, deadline):
        time.sleep(LOOK_EVERY_S)
    status = outbox.status(store, destination)
    failure = f"; {status.failure}" if status.waiting and status.last_failure > status.last_success else ""
    print(f"{status.delivered} delivered so far, {status.backlog or 'nothing is left'}{failure}")
    return 1 if status.waiting or status.parked else 0


def _shipped(settings: Settings, destination: Destination, deadline: float) -> bool:
    """Ship, or let the shipper of a server do it; whether there is nothing more to wait for."""
    try:
        ship(settings, partial(_goes_on, deadline), Watch(settings), Timing(give_up_s=0))
    except Busy:
        # It may have other settings, another key for example; then it ends for this one.
        ShipperLock(settings.trace_store, destination).publish(fingerprint_of(settings))
        return time.monotonic() >= deadline
    return True


def _goes_on(deadline: float, shipper: Shipper) -> bool:
    return shipper.waiting and time.monotonic() < deadline


def _print_parked(settings: Settings, as_json: bool) -> int:
    rows = outbox.parked(settings.trace_store)
    lines = (f"{row.kind:<7} {row.id}  {row.name}\n        {row.why}" for row in rows)
    print(json.dumps([asdict(row) for row in rows]) if as_json else "\n".join(lines) or "nothing is parked")
    return 0


def _requeue(settings: Settings, identity: str) -> int:
    with opened(settings.trace_store) as connection:
        number = outbox.requeue(connection, identity)
    print(f"{number} rows wait to be shipped again" if number else f"nothing is parked under {identity}")
    return 0 if number or identity == "all" else 1
