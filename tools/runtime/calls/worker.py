"""The inside of a call worker: one blocking library call at a time."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ....config.settings import Capture, Settings
from ... import platforms
from ...replica.steps import in_step
from ...slices import SLICES
from ...storage.errors import StorageError
from ...storage.usage import LEAST, Usage
from ...tracing.span import Carrier, Span, Tracer, under
from ..confined import confine_to, slice_of
from ..identity import Identity
from ..inherited import keep_only
from ..limits import die_with_parent, divert_standard_streams, limit_memory, make_folders, memory_mb
from ..outcome import Outcome, outcome_of
from ..template.preload import preload
from ..work import Work

# So long after a call has waited in vain the others of its worker do not.
VAIN_FOR_S = 60.0
# A call that is ended in between has what it has written since then uncounted.
COUNT_EVERY_S = 0.5
OURS = __name__.partition("tools.")[0]
# Set once by the initializer of the process; pebble offers no other place to keep it.
_process: dict[str, Any] = {}


def initialize(settings: Settings, environment: Mapping[str, str], parent: int, serves: str) -> None:
    """Prepare a fresh worker before its first call.

    Args:
        environment: all that it has.
        serves: the slice whose calls it runs.
    """
    die_with_parent(parent)
    divert_standard_streams()
    keep_only(environment)
    make_folders()
    # Preloaded libraries are mapped into every worker, and may take more than a low limit.
    limit_memory(settings.runtime.call_memory_mb + memory_mb()[0])
    if numpy := sys.modules.get("numpy"):
        # The generator was forked as well: all workers would draw the same numbers.
        numpy.random.seed()
    _process.update(settings=settings, cache={}, serves=serves)


def load(entries: Sequence[str]) -> None:
    """Import what the calls of a slice use, as the template does."""
    with _killable():
        for entry in entries:
            preload(entry)


def invoke(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    capture: Capture,
    carrier: Carrier,
    by: Identity,
    borne_s: float = 0.0,
) -> Outcome:
    """Run one call and bring back its value or failure together with the spans it made.

    Args:
        borne_s: how long its caller bears to wait for what has gone away.
    """
    settings: Settings = _process["settings"]
    spans: list[Span] = []
    tracer = Tracer(spans.append, capture)
    _confine(settings, function)
    with under(carrier), _killable(), _counted(settings, by.name):
        bears_until = time.monotonic() + borne_s
        work = Work(settings, tracer, cache=_process["cache"], by=by, bears_until=bears_until)
        outcome = outcome_of(lambda: _answer(function, work, arguments))
    return Outcome(outcome.value, outcome.failure, outcome.crash, spans, memory_mb()[1])


def _answer(function: Callable[..., Any], work: Work, arguments: tuple[Any, ...]) -> Any:
    """The answer; whoever has waited in vain for what servers share lets the next calls not wait at all."""
    in_vain = time.monotonic() - _process.get("in_vain", -math.inf) < VAIN_FOR_S
    try:
        with in_step(work.settings, bears_until=0.0 if in_vain else work.bears_until or 0.0):
            return function(work, *arguments)
    except StorageError as error:
        if error.kind == "away":
            _process["in_vain"] = time.monotonic()
        raise


def _confine(settings: Settings, function: Callable[..., Any]) -> None:
    """Before the first call: all that a worker runs is of slices with the same reach, or ours beside them (cards)."""
    name = slice_of(function.__module__)
    if name not in SLICES and function.__module__.startswith(OURS):
        name = _process.get("serves", "")
    if name in SLICES and not _process.get("confined"):
        confine_to(settings, name)
        _process["confined"] = True


@contextmanager
def _counted(settings: Settings, owner: str) -> Generator[None]:
    """Count what a call writes, while it does: it may be killed. Small calls add up until it is worth a transaction."""
    if not owner:
        yield
        return
    owed: dict[str, int] = _process.setdefault("owed", {})
    so_far, done = platforms.written(), threading.Event()

    def count() -> None:
        nonlocal so_far
        now = platforms.written()
        so_far, owed[owner] = now, owed.get(owner, 0) + now - so_far
        if owed[owner] >= LEAST:
            Usage(settings.home).add(owner, owed.pop(owner))

    def keep_counting() -> None:
        while not done.wait(COUNT_EVERY_S):
            count()

    counting = threading.Thread(target=keep_counting, daemon=True)
    counting.start()
    try:
        yield
    finally:
        done.set()
        counting.join()
        count()


@contextmanager
def _killable() -> Generator[None]:
    """Let SIGTERM end this process at once: pebble's handler, which cleans up, waits for native code to return."""
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
