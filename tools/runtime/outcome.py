"""What came of running library code at the edge of a process: a value, a foreseen failure, or a crash."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import NotInstalled, OutOfMemory, ToolFailure
from ..tracing.span import Span


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
class Outcome:
    value: Any = None
    failure: ToolFailure | None = None
    crash: Crash | None = None
    spans: list[Span] = field(default_factory=list[Span])
    rss_mb: int = 0


def outcome_of(run: Callable[[], Any]) -> Outcome:
    """Turn whatever library code raises into data, at the edge of the process."""
    try:
        return Outcome(run())
    except ToolFailure as failure:
        return Outcome(failure=failure)
    except ModuleNotFoundError as error:
        missing = NotInstalled.of(error.name or "")
        return Outcome(failure=missing) if missing else Outcome(crash=_crash(error))
    except MemoryError:
        return Outcome(failure=OutOfMemory("the memory limit was reached", "Use fewer rows or columns."))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the process edge: any library may raise anything, call exit, or panic in Rust
        return Outcome(crash=_crash(error))


def _crash(error: BaseException) -> Crash:
    return Crash(type(error).__name__, str(error), traceback.format_exc())
