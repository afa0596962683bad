"""Spans, and the context that nests them: within a task by contextvar, across processes by carrier."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from .ids import uuid7
from .snapshot import redact, snapshot

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

    def fail(self, error: BaseException | str) -> None:
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        self.status, self.error = "error", redact(text[:4000])

    def close(self) -> None:
        self.end = time.time()
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

    def __init__(self, sink: Sink, capture: Literal["full", "metadata", "off"] = "full") -> None:
        self._sink = sink
        self._capture = capture

    @contextmanager
    def span(
        self,
        name: str,
        kind: Kind = "general",
        *,
        parent: Carrier | None = None,
        input: Any = None,
        announce: bool = False,
        **attributes: Any,
    ) -> Generator[Span]:
        """Time the body as one span; an exception marks it failed and goes on.

        Args:
            parent: the span to hang it under, if not the current one.
            announce: also report the span when it starts, for work that takes long.
        """
        above = parent or current()
        span = Span(above.trace_id or uuid7(), above.span_id, name, kind, metadata=snapshot(attributes))
        if self._capture == "full" and input is not None:
            span.input = snapshot(input)
        if announce:
            self._emit(span)
        token = _current.set(span)
        try:
            yield span
        except BaseException as error:
            self._fail(span, error)
            raise
        finally:
            _current.reset(token)
            span.close()
            self._emit(span)

    def _fail(self, span: Span, error: BaseException) -> None:
        # CancelledError, KeyboardInterrupt and GeneratorExit end work from outside: nothing went wrong inside.
        if isinstance(error, Exception):
            span.fail(error)
        else:
            span.status = "cancelled"

    def _emit(self, span: Span) -> None:
        if self._capture == "off":
            return
        if self._capture == "metadata":
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
