"""Whose call it is: an idempotency key of one caller is not the key of another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from mcp.server.mcpserver import Context


def scope_of(context: Context[Any, Any] | None) -> str:
    """A digest of the caller: its token, else its HTTP session, else the name of the client.

    The name outlives a connection: over stdio a client that is started again finds its answers. Nothing that a caller
    sends is stored as it is.
    """
    return hashlib.sha256(_caller(context).encode("utf-8", "replace")).hexdigest()[:24]


def _caller(context: Context[Any, Any] | None) -> str:
    if context is None:
        return ""
    request = context.request_context.request
    headers: Mapping[str, str] = getattr(request, "headers", None) or {}
    query: Mapping[str, str] = getattr(request, "query_params", None) or {}
    if token := headers.get("authorization"):
        return f"token {token}"
    if session := headers.get("mcp-session-id") or query.get("session_id"):
        return f"session {session}"
    client = context.request_context.session.client_params
    return f"client {client.client_info.name if client else ''}"
