"""What the proxy does with a call: pass it on to the deployment whose turn it is, and its answer back (aiohttp)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from .figures import Counted
from .orders import Orders
from .owners import OwnSockets
from .places import HOST
from .table import DEPLOYMENT, KEY, WANTED, Backend, Route

# uvicorn, which BentoML serves with, closes what was idle for 5 s.
KEPT_S = 3.0
CONNECT_S, ANSWER_S = 2.0, 60.0
# Larger ones are passed on in pieces, as they come.
WHOLE = 1 << 18
RETRY_S = 1
SHADOWS_AT_ONCE = 16
CONTROL = "-"
# RFC 9110, 7.6.1: of one connection only. `Expect` was answered here.
OF_ONE_CONNECTION = frozenset(
    (
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "expect",
    )
)  # fmt: skip


class Relay:
    """Answers the calls of all endpoints of a state folder."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._shadows: set[asyncio.Task[None]] = set()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_S, socket_factory=OwnSockets()),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=ANSWER_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        name, slash, path = request.rel_url.raw_path_qs.removeprefix("/").partition("/")
        if name == CONTROL:
            return await self._orders.answer(request, path)
        if (route := self._orders.table.get(name)) is None:
            return refusal(404, "no such endpoint is here")
        if "100-continue" in request.headers.get("Expect", "").lower() and request.transport:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await self._pass_on(request, route, f"{slash}{path}" or "/")

    async def close(self) -> None:
        await self._session.close()

    async def _pass_on(self, request: web.BaseRequest, route: Route, path: str) -> web.StreamResponse:
        small = request.content_length is not None and request.content_length <= WHOLE
        body = await request.read() if small or not request.can_read_body else request.content
        tried: set[str] = set()
        while backend := route.pick(request.headers.get(KEY, ""), tried, request.headers.get(WANTED, "")):
            try:
                answer = await self._counted(request, backend, path, body)
            except aiohttp.ClientConnectorError:  # nothing was sent
                tried.add(backend.id)
                continue
            if isinstance(body, bytes) and isinstance(answer, web.Response):
                self._shadow(request, route, path, body, answer)
            return answer
        return refusal(503, "nothing of this endpoint answers at the moment", {"Retry-After": str(RETRY_S)})

    async def _counted(
        self, request: web.BaseRequest, backend: Backend, path: str, body: bytes | aiohttp.StreamReader
    ) -> web.StreamResponse:
        counted = self._orders.counted(backend.id)
        counted.in_flight += 1
        began = time.perf_counter()
        try:
            answer = await self._asked(request, backend, path, body)
        except aiohttp.ClientConnectorError:
            raise
        except TimeoutError:
            answer = refusal(504, f"no answer within {ANSWER_S:g} s")
        except (aiohttp.ClientError, ConnectionResetError) as error:
            answer = refusal(502, f"the connection broke before the answer was whole: {type(error).__name__}")
        finally:
            counted.in_flight -= 1
        counted.note((time.perf_counter() - began) * 1000, answer.status >= 500)
        answer.headers.setdefault(DEPLOYMENT, backend.id)
        return answer

    async def _asked(
        self, request: web.BaseRequest, backend: Backend, path: str, body: bytes | aiohttp.StreamReader
    ) -> web.StreamResponse:
        async with self._session.request(
            request.method,
            URL(f"http://{HOST}:{backend.port}{path}", encoded=True),
            headers=_passed(request.headers, drop_length=isinstance(body, bytes)),
            data=body or None,
            allow_redirects=False,
        ) as said:
            headers = _passed(said.headers, drop_length=False)
            headers[DEPLOYMENT] = backend.id
            if said.content_length is not None and said.content_length <= WHOLE and request.method != "HEAD":
                del headers["Content-Length"]
                return web.Response(status=said.status, body=await said.read(), headers=headers)
            return await _streamed(request, said, headers)

    def _shadow(self, request: web.BaseRequest, route: Route, path: str, body: bytes, answer: web.Response) -> None:
        """Ask those whose answers nobody is told, unless too many are asked already."""
        for shadow in route.shadows:
            if len(self._shadows) < SHADOWS_AT_ONCE and request.method == "POST":
                task = asyncio.ensure_future(self._compared(request, shadow, path, body, answer))
                self._shadows.add(task)
                task.add_done_callback(self._shadows.discard)

    async def _compared(
        self, request: web.BaseRequest, shadow: Backend, path: str, body: bytes, answer: web.Response
    ) -> None:
        try:
            said = await self._counted(request, shadow, path, body)
        except aiohttp.ClientConnectorError:
            return
        note_difference(self._orders.counted(shadow.id), answer, said)


def note_difference(counted: Counted, answer: web.Response, said: web.StreamResponse) -> None:
    """Only answers that are ones are compared: their predictions where they have some, else all of them."""
    if answer.status == 200 and isinstance(said, web.Response):
        counted.compared += 1
        counted.differed += said.status != 200 or _predictions(answer.body) != _predictions(said.body)


def refusal(status: int, words: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": words}, status=status, headers=headers)


def _predictions(body: object) -> object:
    try:
        content = json.loads(body) if isinstance(body, bytes) else body
    except ValueError:
        return body
    return content.get("predictions", content) if isinstance(content, dict) else content


def _passed(headers: Mapping[str, str], drop_length: bool) -> CIMultiDict[str]:
    """Without what belongs to one connection: the standard ones, and those that `Connection` names."""
    named = {each.strip().lower() for each in headers.get("Connection", "").split(",")}
    dropped = OF_ONE_CONNECTION | named | ({"content-length"} if drop_length else set())
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


async def _streamed(
    request: web.BaseRequest, said: aiohttp.ClientResponse, headers: CIMultiDict[str]
) -> web.StreamResponse:
    answer = web.StreamResponse(status=said.status, headers=headers)
    await answer.prepare(request)
    try:
        async for piece in said.content.iter_any():
            await answer.write(piece)
        await answer.write_eof()
    except (aiohttp.ClientError, TimeoutError):
        # The beginning was sent: the only way to say that the end is missing.
        if request.transport:
            request.transport.abort()
    return answer
