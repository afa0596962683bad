"""Spans, and the context that nests them: within a task by contextvar, across processes by carrier."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from ...config.settings import Capture
from .ids import uuid7
from .redaction import redact
from .snapshot import shortened, snapshot

MAX_ERROR = 4000
MAX_NAME = 500
# Where a secret begins may lie before what is kept of a traceback.
MAX_LOOKED_AT = 64 * 1024
MAX_EVENTS = 64
# Among the metadata: the name of the token with which it was asked for.
OWNER = "mlops.owner"
Kind = Literal["general", "tool", "llm"]
Status = Literal["started", "ok", "error", "cancelled"]


@dataclass(frozen=True)
class Carrier:
    """Where a child in another process hangs its spans. Empty ids start a new trace."""

    trace_id: str = ""
    span_id: str = ""


@dataclass
class Span:
    """One timed operation. `start` and `end` are seconds since the epoch; `end` is 0 while it runs.

    `thread` names the conversation (MCP session) of a root. `usage` counts tokens: `prompt_tokens`,
    `completion_tokens`, `total_tokens` and whatever else a model reports. `foreign` means that the trace belongs to
    the caller, so that no trace is made of a root.
    """

    trace_id: str
    parent_id: str
    name: str
    kind: Kind
    id: str = field(default_factory=uuid7)
    start: float = field(default_factory=time.time)
    end: float = 0.0
    status: Status = "started"
    input: Any = None
    output: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    tags: list[str] = field(default_factory=list)
    model: str = ""
    provider: str = ""
    usage: dict[str, int] = field(default_factory=dict)
    thread: str = ""
    error_type: str = ""
    error_trace: str = ""
    foreign: bool = False

    @property
    def carrier(self) -> Carrier:
        return Carrier(self.trace_id, self.id)

    def set_output(self, value: Any) -> None:
        self.output = snapshot(value)

    def set_attribute(self, key: str, value: Any) -> None:
        self.metadata.update(snapshot({key: value}))

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None) -> None:
        """Note something that happened while it ran; Opik has no events, so they are kept in the metadata."""
        events: list[Any] = self.metadata.setdefault("events", [])
        if len(events) < MAX_EVENTS:
            events.append(snapshot({"name": name, "at": time.time(), **(attributes or {})}))

    def set_status(self, status: Status, message: str = "") -> None:
        """Say how it went; what is said last counts."""
        self.status, self.error = status, shortened(message, MAX_ERROR)

    def log_tokens(self, input: int, output: int) -> None:
        """Tokens that a model took and made."""
        self.usage = {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output}

    def fail(self, error: BaseException | str) -> None:
        """Mark it failed, with what is known of the exception."""
        if isinstance(error, str):
            self.set_status("error", error)
        else:
            trace = "".join(traceback.format_exception(error))
            self.crash(type(error).__name__, str(error), trace)

    def crash(self, kind: str, message: str, trace: str) -> None:
        """Mark it failed by an exception of another process."""
        self.set_status("error", f"{kind}: {message}")
        self.error_type = kind
        self.error_trace = redact(trace[-MAX_LOOKED_AT:])[-MAX_ERROR:]

    def close(self, at: float = 0.0) -> None:
        self.end = at or time.time()
        if self.status == "started":
            self.status = "ok"


Sink = Callable[[Span], None]
_current: ContextVar[Span | Carrier] = ContextVar("mlops_mcp_span", default=Carrier())  # noqa: B039 (frozen)


def current() -> Carrier:
    """The span that the running code belongs to."""
    held = _current.get()
    return held.carrier if isinstance(held, Span) else held


def current_span() -> Span | None:
    """The open span of this process that the running code belongs to."""
    held = _current.get()
    return held if isinstance(held, Span) else None


class Tracer:
    """Opens spans under the current one and hands each finished span to a sink."""

    def __init__(self, sink: Sink, capture: Capture = "full") -> None:
        self._sink = sink
        self._capture: Capture = capture

    @contextmanager
    def span(
        self,
        name: str,
        kind: Kind = "general",
        *,
        parent: Carrier | None = None,
        input: Any = None,
        announce: bool = False,
        capture: Capture | None = None,
        thread: str = "",
        foreign: bool = False,
        **attributes: Any,
    ) -> Generator[Span]:
        """Time the body as one span; an exception marks it failed and goes on.

        Args:
            parent: the span to hang it under, if not the current one.
            announce: also report the span when it starts, for work that may take long.
            capture: another one than the tracer's.
            thread: the conversation that a root belongs to.
            foreign: the trace is the caller's.
        """
        kept = capture or self._capture
        span = self.start(
            name, kind, parent=parent, input=input, capture=kept, thread=thread, foreign=foreign, **attributes
        )
        if announce:
            self._emit(span, kept)
        token = _current.set(span)
        try:
            yield span
        except BaseException as error:
            self._fail(span, error)
            raise
        finally:
            _current.reset(token)
            self.finish(span, kept)

    def start(
        self,
        name: str,
        kind: Kind = "general",
        *,
        parent: Carrier | None = None,
        input: Any = None,
        capture: Capture | None = None,
        thread: str = "",
        foreign: bool = False,
        **attributes: Any,
    ) -> Span:
        """A span whose end is for the caller to report, by `finish`; it nests nothing by itself."""
        above = parent or current()
        span = Span(
            above.trace_id or uuid7(), above.span_id, shortened(name, MAX_NAME), kind,
            metadata=snapshot(attributes), thread=thread, foreign=foreign,
        )  # fmt: skip
        if (capture or self._capture) == "full" and input is not None:
            span.input = snapshot(input)
        return span

    def announce(self, span: Span) -> None:
        """Report a span as it is now, still running or changed later."""
        self._emit(span, self._capture)

    def finish(self, span: Span, capture: Capture | None = None, at: float = 0.0) -> None:
        """Close a span, now or as of a time, and report it."""
        span.close(at)
        self._emit(span, capture or self._capture)

    def _fail(self, span: Span, error: BaseException) -> None:
        # CancelledError, KeyboardInterrupt and GeneratorExit end work from outside: nothing went wrong inside.
        if isinstance(error, Exception):
            span.fail(error)
        else:
            span.status = "cancelled"

    def _emit(self, span: Span, capture: Capture) -> None:
        if capture == "off":
            return
        if capture == "metadata":
            span.output = None
        self._sink(span)


@contextmanager
def under(carrier: Carrier) -> Generator[None]:
    """Run the body as a child of a span of another process."""
    token = _current.set(carrier)
    try:
        yield
    finally:
        _current.reset(token)
