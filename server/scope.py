"""Whose call it is: neither an idempotency key nor a job of one caller is that of another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from mcp.server import ServerRequestContext
from mcp.server.mcpserver import Context

from ..tools.runtime.identity import acting
from ..tools.runtime.waits import Caller


def caller_of(context: Context[Any, Any] | None) -> Caller:
    """Whose call it is, as `caller_of_request` has it."""
    return caller_of_request(context.request_context if context else None)


def caller_of_request(request: ServerRequestContext[Any, Any] | None) -> Caller:
    """A digest of the caller with the name of its client: of its token's name, else its HTTP session, else its name.

    The name outlives a connection: over stdio a client that is started again finds its answers. Over HTTP without
    sessions it counts together with the address. Nothing that a caller sends is stored as it is.
    """
    name = _client(request)
    return Caller(digest(_caller(request, name)), name, digest(_peer(request, name)))


async def gone(context: Context[Any, Any] | None) -> bool:
    """Whether the connection of a call is closed whose end nobody is told of: a session's goes on without it."""
    request = context.request_context.request if context else None
    headers: Mapping[str, str] = getattr(request, "headers", None) or {}
    return request is not None and "mcp-session-id" in headers and bool(await request.is_disconnected())


def _client(request: ServerRequestContext[Any, Any] | None) -> str:
    params = request.session.client_params if request else None
    return params.client_info.name if params else ""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]


def _caller(request: ServerRequestContext[Any, Any] | None, name: str) -> str:
    if owner := acting().name:
        return f"owner {owner}"
    if request is None:
        return ""
    headers: Mapping[str, str] = getattr(request.request, "headers", None) or {}
    query: Mapping[str, str] = getattr(request.request, "query_params", None) or {}
    if token := headers.get("authorization"):
        return f"token {token}"
    if session := headers.get("mcp-session-id") or query.get("session_id"):
        return f"session {session}"
    return _peer(request, name)


def _peer(request: ServerRequestContext[Any, Any] | None, name: str) -> str:
    address = getattr(request.request, "client", None) if request else None
    return f"client {name} at {address.host}" if address else f"client {name}"
