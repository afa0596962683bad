"""What belongs to one client of the handshake era for as long as it is connected."""

from __future__ import annotations

from typing import Any

from mcp.server import ServerRequestContext
from mcp.server.connection import Connection

Request = ServerRequestContext[Any, Any]


def connection_of(request: Request) -> Connection:
    """The connection that a request came over: its `state` and its `exit_stack` end with it.

    In the modern era that is the request alone.
    """
    # The SDK hands out a session per request, and keeps what outlives it to itself.
    connection: Connection = vars(request.session)["_connection"]
    return connection
