"""Requests to the addresses of backends, as `urllib` makes them but for two things.

It takes a user and a password for a part of the host, and follows whoever answers, with them, to any other host.
"""

from __future__ import annotations

import base64
import urllib.request
from collections.abc import Mapping
from contextlib import AbstractContextManager
from http.client import HTTPResponse
from typing import Any, cast
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


class _Stays(urllib.request.HTTPRedirectHandler):
    """Takes a redirection for the answer that it is."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        return None


def answered(
    url: str, timeout_s: float, headers: Mapping[str, str] | None = None
) -> AbstractContextManager[HTTPResponse]:
    """The answer of an address to a GET.

    Raises:
        urllib.error.HTTPError: it is an error, or a redirection.
        OSError, HTTPException: there is none.
    """
    opener = urllib.request.build_opener(_Stays)
    return cast("AbstractContextManager[HTTPResponse]", opener.open(request_to(url, headers), timeout=timeout_s))
