"""What an agent is told of an exception that nobody has foreseen."""

from __future__ import annotations

import logging
import traceback

from mcp.server.mcpserver.exceptions import ToolError

from ..tools.runtime.calls.executor import CallCrashed
from ..tools.runtime.outcome import Crash
from ..tools.tracing.span import current, current_span

logger = logging.getLogger(__name__)


def crashed(tool: str, error: BaseException) -> ToolError:
    """The text of an unforeseen exception goes to the log and the trace; the agent gets the way there.

    It is a plain ToolError, since the SDK logs the other kind once more.
    """
    if not isinstance(error, CallCrashed):  # a worker's has been logged with its own traceback
        logger.error("%s crashed", tool, exc_info=error)
    crash = _crash_of(error)
    if (span := current_span()) is not None:
        span.crash(crash.type, crash.message, crash.traceback)
    return ToolError(f"{tool} failed: {crash.hint(current().trace_id)}.")


def _crash_of(error: BaseException) -> Crash:
    if isinstance(error, CallCrashed):
        return error.crash
    return Crash(type(error).__name__, str(error), "".join(traceback.format_exception(error)))
