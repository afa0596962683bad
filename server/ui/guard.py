"""Who may look: a browser that was given the token of this process, on this machine, and asks under its address."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..html.document import document
from ..html.markup import Html, joined, tag
from ..web import HostCheck

ENTER = "/enter"
SCHEME = "bearer "
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
POLICY = "default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
# The token stands behind the #, which browsers send to nobody; it is exchanged for a cookie and leaves the address.
SCRIPT = Html("""
const token = new URLSearchParams(location.hash.slice(1)).get("token");
history.replaceState(null, "", location.pathname + location.search);
if (token) fetch("/enter", { headers: { Authorization: "Bearer " + token } }).then((answer) => {
  if (answer.ok) location.reload();
  else document.getElementById("said").textContent = "This token is not the one that mlops-mcp ui has printed.";
});
""")
SAID = "Open the address that mlops-mcp ui has printed; it ends in #token=…"


@dataclass(frozen=True)
class Keys:
    """What lets in: the token that is printed, and the value of the cookie that a browser is given for it."""

    token: str
    session: str
    cookie: str

    @classmethod
    def fresh(cls, port: int) -> Keys:
        # Cookies do not tell ports apart: each process has a name of its own.
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), f"mlops-mcp-ui-{port}")

    def admits(self, headers: Headers) -> bool:
        return self.is_token(headers) or self._has_cookie(headers)

    def is_token(self, headers: Headers) -> bool:
        given = headers.get("authorization", "")
        return given[: len(SCHEME)].lower() == SCHEME and _same(given[len(SCHEME) :].strip(), self.token)

    def _has_cookie(self, headers: Headers) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return found is not None and _same(found.value, self.session)

    @property
    def handed_out(self) -> str:
        return f"{self.cookie}={self.session}; HttpOnly; SameSite=Strict; Path=/"


def _same(given: str, wanted: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def security(port: int) -> TransportSecuritySettings:
    """This machine's names at this port alone; no page of another origin may ask."""
    hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=[f"http://{each}" for each in hosts]
    )


class Guard:
    """Answers what may not be asked; everything is sent with headers that let a page do nothing but be shown."""

    def __init__(self, app: ASGIApp, keys: Keys, port: int) -> None:
        self._keys = keys
        self._app = app
        self._checked = HostCheck(self._admitted, security(port))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Content-Security-Policy", POLICY.format(nonce="none"))
            await send(message)

        if scope["method"] == "GET":
            await self._checked(scope, receive, sent)
        else:
            refusal = PlainTextResponse("Only GET is answered here.", 405, {"Allow": "GET"})
            await refusal(scope, receive, sent)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if request.url.path == ENTER:
            await self._entered(request)(scope, receive, send)
        elif self._keys.admits(request.headers):
            await self._app(scope, receive, send)
        else:
            await _gate(request)(scope, receive, send)

    def _entered(self, request: Request) -> Response:
        if self._keys.is_token(request.headers):
            return Response(status_code=204, headers={"Set-Cookie": self._keys.handed_out})
        return PlainTextResponse("This is not the token.", 401)


def _gate(request: Request) -> Response:
    """The page that exchanges the token, shown to whoever has none yet."""
    if "authorization" in request.headers:
        return PlainTextResponse("This is not the token.", 401)
    nonce = secrets.token_urlsafe(16)
    said = tag("p", SAID, id="said", role="status")
    body = joined(tag("main", tag("h1", "mlops-mcp"), said), tag("script", SCRIPT, nonce=nonce))
    policy = f"{POLICY.format(nonce=nonce)}; script-src 'nonce-{nonce}'; connect-src 'self'"
    return HTMLResponse(document("mlops-mcp", body, nonce), 401, {"Content-Security-Policy": policy})
