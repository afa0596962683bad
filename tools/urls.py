"""Requests to addresses that hold a user and a password, which `urllib` takes for a part of the host."""

from __future__ import annotations

import base64
import urllib.request
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit, urlunsplit


def request_to(url: str, headers: Mapping[str, str] | None = None) -> urllib.request.Request:
    """A GET whose user and password go as basic authentication (RFC 7617)."""
    parts = urlsplit(url)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    given = dict(headers or {})
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        given["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return urllib.request.Request(bare, headers=given)
