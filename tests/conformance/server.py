"""The server as it is, with the fixtures of the conformance suite: `python -m tests.conformance.server`."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, cast

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import JSONRPCMessage, RequestParams

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.server.host import Host
from mlops_mcp.server.transports import run

from . import core_tools, round_trip_tools, task_tools
from .contents import add_contents

RETRY_MS = 100


class Events(EventStore):
    """Keeps everything that a client might come back for."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self._kept.append((stream_id, message))
        return str(len(self._kept))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        last = int(last_event_id)
        stream = self._kept[last - 1][0]
        for number, (name, message) in enumerate(self._kept[last:], last + 1):
            if name == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def fixture_server(settings: Settings) -> Host:
    """The product's own server; what only a test does to it is done here."""
    server = create_server(settings, core_tools.TOOLSET, round_trip_tools.TOOLSET, task_tools.TOOLSET)
    bare = cast(Any, server)
    bare._wire["json_schema_2020_12_tool"]["inputSchema"] = core_tools.JSON_SCHEMA
    # The product's lists never change, so it says so; here tools say that they have.
    bare.protocol.add_request_handler("server/discover", RequestParams, bare.protocol._handle_discover)
    bare.streamable_http_app = partial(server.streamable_http_app, event_store=Events(), retry_interval=RETRY_MS)
    add_contents(bare)
    return server


if __name__ == "__main__":
    settings = load(os.environ, {"server.port": 0, "runtime.job_slots": 4}).settings
    run(fixture_server(settings), settings, "http")
