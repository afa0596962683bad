"""The inside of a call worker: one blocking library call at a time."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ....config.settings import Capture, Settings
from ... import platforms
from ...slices import SLICES
from ...storage.usage import LEAST, Usage
from ...tracing.span import Carrier, Span, Tracer, under
from ..confined import confine_to, slice_of
from ..identity import Identity
from ..inherited import keep_only
from ..limits import die_with_parent, divert_standard_streams, limit_memory, make_folders, memory_mb
from ..outcome import Outcome, outcome_of
from ..template.preload import preload
from ..work import Work

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
    function: Callable[..., Any], arguments: tuple[Any, ...], capture: Capture, carrier: Carrier, by: Identity
) -> Outcome:
    """Run one call and bring back its value or failure together with the spans it made."""
    settings: Settings = _process["settings"]
    spans: list[Span] = []
    tracer, before = Tracer(spans.append, capture), platforms.written()
    _confine(settings, function)
    with under(carrier), _killable():
        outcome = outcome_of(lambda: function(Work(settings, tracer, cache=_process["cache"], by=by), *arguments))
    _count(settings, by.name, platforms.written() - before)
    return Outcome(outcome.value, outcome.failure, outcome.crash, spans, memory_mb()[1])


def _confine(settings: Settings, function: Callable[..., Any]) -> None:
    """Before the first call: all that a worker runs is of slices with the same reach, or ours beside them (cards)."""
    name = slice_of(function.__module__)
    if name not in SLICES and function.__module__.startswith(OURS):
        name = _process.get("serves", "")
    if name in SLICES and not _process.get("confined"):
        confine_to(settings, name)
        _process["confined"] = True


def _count(settings: Settings, owner: str, written: int) -> None:
    """Small calls add up; a worker that ends owes its last ones."""
    owed: dict[str, int] = _process.setdefault("owed", {})
    owed[owner] = owed.get(owner, 0) + written
    if owed[owner] >= LEAST:
        Usage(settings.home).add(owner, owed.pop(owner))


@contextmanager
def _killable() -> Generator[None]:
    """Let SIGTERM end this process at once: pebble's handler, which cleans up, waits for native code to return."""
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
