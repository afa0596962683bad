"""The inside of a call worker: one blocking library call at a time."""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ...config.settings import Settings
from ..errors import NotInstalled, OutOfMemory, ToolFailure
from ..tracing.span import Carrier, Span, Tracer, under
from .limits import die_with_parent, divert_standard_streams, limit_memory, make_folders
from .work import Work

# Set once by the initializer of the process; pebble offers no other place to keep it.
_process: dict[str, Any] = {}


@dataclass(frozen=True)
class Crash:
    """An exception nobody foresaw; the text stays on the server."""

    type: str
    message: str
    traceback: str

    def hint(self, trace_id: str) -> str:
        """What an agent is told: the text itself may hold what it should not see."""
        return f"unexpected {self.type}. get_trace(trace='trace:{trace_id}', detail='full') has the details"


@dataclass(frozen=True)
class Answer:
    value: Any = None
    failure: ToolFailure | None = None
    crash: Crash | None = None
    spans: list[Span] = field(default_factory=list[Span])
    rss_mb: int = 0


def slice_of(reference: str) -> str:
    """`mlops_mcp.tools.<slice>.client:function` -> `<slice>`, `mlops_mcp.resources.<module>` -> `<module>`."""
    return reference.split(".")[2]


def initialize(settings: Settings, environment: Mapping[str, str], parent: int) -> None:
    """Prepare a fresh worker before its first call."""
    die_with_parent(parent)
    divert_standard_streams()
    os.environ.update(environment)
    make_folders()
    # Preloaded libraries are mapped into every worker, and may take more than a low limit.
    limit_memory(settings.runtime.call_memory_mb + memory_mb()[0])
    if numpy := sys.modules.get("numpy"):
        # The generator was forked as well: all workers would draw the same numbers.
        numpy.random.seed()
    _process.update(settings=settings, cache={})


def invoke(function: Callable[..., Any], arguments: tuple[Any, ...], carrier: Carrier) -> Answer:
    """Run one call and bring back its value or failure together with the spans it made."""
    settings: Settings = _process["settings"]
    spans: list[Span] = []
    tracer = Tracer(spans.append, settings.tracing.capture_for(slice_of(function.__module__)))
    with under(carrier), _killable():
        outcome = attempt(lambda: function(Work(settings, tracer, cache=_process["cache"]), *arguments))
    return Answer(outcome.value, outcome.failure, outcome.crash, spans, memory_mb()[1])


@contextmanager
def _killable() -> Generator[None]:
    """Let SIGTERM end this process at once: pebble's handler, which cleans up, waits for native code to return."""
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def memory_mb() -> tuple[int, int]:
    """The address space of this process and the memory it has, both with what it shares."""
    with open("/proc/self/statm", encoding="ascii") as file:
        mapped, resident = (int(pages) * resource.getpagesize() >> 20 for pages in file.read().split()[:2])
    return mapped, resident


def attempt(run: Callable[[], Any]) -> Answer:
    """Turn whatever library code raises into data, at the edge of the process."""
    try:
        return Answer(run())
    except ToolFailure as failure:
        return Answer(failure=failure)
    except ModuleNotFoundError as error:
        missing = NotInstalled.of(error.name or "")
        return Answer(failure=missing) if missing else Answer(crash=_crash(error))
    except MemoryError:
        return Answer(failure=OutOfMemory("the memory limit was reached", "Use fewer rows or columns."))
    except (Exception, SystemExit) as error:  # the process edge: any library may raise anything, or call exit
        return Answer(crash=_crash(error))


def _crash(error: BaseException) -> Crash:
    return Crash(type(error).__name__, str(error), traceback.format_exc())
