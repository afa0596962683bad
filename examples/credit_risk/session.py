"""What an agent needs of a client: call a tool, follow its job to the end, keep everything in one trace."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from mcp import Client, StdioServerParameters
from mcp.types import BlobResourceContents, RequestParamsMeta, TextContent

Progress = Callable[[float, float | None, str | None], None]
WAIT_S = 50


class ToolRefused(Exception):
    """The server answered a call with an error."""


def server_parameters(home: Path, data: Path = Path(__file__).parent) -> StdioServerParameters:
    """The server as a subprocess of this interpreter, on the given state folder; it may read the data."""
    environment = {**os.environ, "MLOPS_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    roots = f"[{data}, {Path.cwd()}]"
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "mlops_mcp.server", "serve"],
        env={**environment, "MLOPS_DATA__ROOTS": roots},
    )


class Session:
    """Tool calls of one agent; `calls` counts them, `trace_id` is the trace they all belong to."""

    def __init__(self, client: Client, trace_id: str) -> None:
        self._client = client
        self.trace_id = trace_id
        self.calls = 0
        self.progress: Progress = lambda _done, _total, _message: None

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured result of a tool; of a job, its result once it is done.

        Raises:
            ToolRefused: the tool answered with an error.
        """
        answer = await self._once(tool, arguments)
        while answer.get("state") in ("queued", "running"):
            answer = await self._once("get_job", {"job": answer["job"], "wait_s": WAIT_S})
        return answer["result"] if "job" in answer and "result" in answer else answer

    async def picture(self, address: str) -> bytes:
        """A PNG in full."""
        found = await self._client.read_resource(address)
        return next(base64.b64decode(part.blob) for part in found.contents if isinstance(part, BlobResourceContents))

    async def _once(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        result = await self._send(tool, arguments)
        assert isinstance(result.structured_content, dict)
        return result.structured_content

    async def _send(self, tool: str, arguments: dict[str, Any]) -> Any:
        self.calls += 1
        meta = cast(RequestParamsMeta, {"opik_trace_id": self.trace_id})
        result = await self._client.call_tool(tool, arguments, progress_callback=self._report, meta=meta)
        if result.is_error:
            text = " ".join(block.text for block in result.content if isinstance(block, TextContent))
            raise ToolRefused(f"{tool}: {text}")
        return result

    async def _report(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress(progress, total, message)
