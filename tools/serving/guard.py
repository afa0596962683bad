"""Who may ask a service, and what: an ASGI middleware (https://asgi.readthedocs.io) in front of what BentoML answers.

Copied as it is into every bento, so it imports nothing of this package.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

# SHA-256 of the token, in hexadecimal: what a service knows of it. Without, the service is run by somebody else, who
# guards it: his platform asks for its health and is the one that lets callers in.
TOKEN_DIGEST = "MLOPS_ENDPOINT_TOKEN_SHA256"
# The names, with commas between, by which callers know a service that another platform runs (`*`: any); without, it is
# this machine's alone. That platform asks for its health, and bears no token.
HOSTS = "MLOPS_ENDPOINT_HOSTS"
# Some 10,000 rows of a hundred features.
MAX_BODY, MOST_PASSED = 16 << 20, 64 << 20
# Digits of a length that nobody sends.
LONG = 20
# The names of `config/settings.py`, as they stand in a header.
HERE = ("localhost", "127.0.0.1", "[::1]")
SCHEME = "bearer "
HEALTH = ("/livez", "/readyz")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Refused(Exception):
    """An HTTP status and the words for it."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(status, words)
        self.status = status
        self.words = words


class Guard:
    """Lets through what bears the token, asks a route that there is, and is a small piece of JSON.

    Args:
        digest: of the token; empty: nobody is asked for one.
        posts: the routes that rows are sent to.
        hosts: by which names it is known, with commas between; empty: those of this machine.
    """

    def __init__(self, app: App, digest: str, posts: tuple[str, ...], hosts: str = "") -> None:
        self._app = app
        self._digest = digest
        self._posts = posts
        self._elsewhere = tuple(name.strip().lower() for name in hosts.split(",") if name.strip())

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        try:
            self._require_allowed(scope)
            body = await _body(scope, receive)
        except Refused as refused:
            return await _refuse(send, refused)
        return await self._app(scope, _again(body, receive), send)

    def _require_allowed(self, scope: Mapping[str, Any]) -> None:
        if self._digest and not (self._elsewhere and scope["path"] in HEALTH):
            self._require_token(_header(scope, b"authorization"))
            self._require_host(_host(_header(scope, b"host")), _header(scope, b"origin"))
        self._require_route(scope["path"], scope["method"])
        kind = _header(scope, b"content-type").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and kind != "application/json":
            raise Refused(415, "send rows as JSON, with Content-Type: application/json")

    def _require_host(self, host: str, origin: str) -> None:
        names = self._elsewhere or HERE
        if host not in names and "*" not in names:
            where = (
                "by its own names" if self._elsewhere else "on this machine alone: Host must be 127.0.0.1 or localhost"
            )
            raise Refused(421, f"this endpoint answers {where}")
        if origin and _host(origin.partition("://")[2]) not in names:
            raise Refused(403, "a page of another origin may not ask this endpoint")

    def _require_token(self, given: str) -> None:
        token = given[len(SCHEME) :].strip() if given.lower().startswith(SCHEME) else ""
        found = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        if not hmac.compare_digest(found, self._digest):
            raise Refused(401, "this endpoint wants its token: Authorization: Bearer …")

    def _require_route(self, path: str, method: str) -> None:
        allowed = "POST" if path in self._posts else "GET" if path in HEALTH else ""
        if not allowed:
            raise Refused(404, f"nothing is here; POST rows to {' or '.join(self._posts)}")
        if method != allowed:
            raise Refused(405, f"{path} takes {allowed}")


def _header(scope: Mapping[str, Any], name: bytes) -> str:
    """A header's value, empty if it is absent. Of two, nobody could say which one counts."""
    found = [value for key, value in scope["headers"] if key == name]
    if len(found) > 1:
        raise Refused(400, f"{name.decode()} stands twice")
    return found[0].decode("latin-1") if found else ""


def _host(address: str) -> str:
    """Of `host:port`, the host."""
    name, _, port = address.rpartition(":")
    return (name if name and port.isdigit() else address).lower()


async def _body(scope: Mapping[str, Any], receive: Receive) -> bytes:
    """All of it. What is too long is let go by, within reason: its sender would not hear why before he has sent it."""
    said = _header(scope, b"content-length")
    size = int(said) if said.isdigit() and len(said) < LONG else 0
    if size > MOST_PASSED:
        raise _too_long()
    parts: list[bytes] = []
    size, more = 0, True
    while more and size <= MOST_PASSED:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused(400, "the request was not sent to its end")
        size += len(message.get("body", b""))
        parts.append(message.get("body", b"") if size <= MAX_BODY else b"")
        more = message.get("more_body", False)
    if size > MAX_BODY:
        raise _too_long()
    return b"".join(parts)


def _too_long() -> Refused:
    return Refused(413, f"more than {MAX_BODY >> 20} MiB: send the rows in parts")


def _again(body: bytes, receive: Receive) -> Receive:
    """Hand on what was read, once, and then whatever else comes."""
    waiting = [body]

    async def following() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return following


async def _refuse(send: Send, refused: Refused) -> None:
    content = json.dumps({"error": refused.words}, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refused.status == 413:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
