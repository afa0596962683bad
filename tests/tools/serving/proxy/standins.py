"""Services that stand in for those of bentos: small HTTP servers of this loop, with a real relay before them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
from aiohttp import web

from mlops_mcp.tools.serving.models import Deployment, EndpointFile
from mlops_mcp.tools.serving.proxy.haproxy import put_before
from mlops_mcp.tools.serving.proxy.orders import Orders
from mlops_mcp.tools.serving.proxy.relay import Relay
from mlops_mcp.tools.storage.state_files import private_folder

from ..conftest import kill

TOKEN = "the token of the owner"


@dataclass(eq=False)
class Service:
    """Answers with its name; what it was sent stands in `seen`."""

    name: str
    port: int
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    prediction: int = 1

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        self.seen.append((request.method, request.path_qs, dict(request.headers), body))
        if request.path == "/held":
            await self.held.wait()
        if request.path == "/broken":
            assert request.transport is not None
            request.transport.abort()
        if request.path == "/failing":
            return web.Response(status=500)
        if request.path == "/long":
            return await _long(request)
        return web.json_response({"predictions": [self.prediction], "name": self.name, "size": len(body)})


async def _long(request: web.BaseRequest) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    for _ in range(64):
        await answer.write(bytes(1 << 16))
    await answer.write_eof()
    return answer


@asynccontextmanager
async def service(name: str, port: int = 0) -> AsyncGenerator[Service]:
    made = Service(name, port)
    server = web.Server(made)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", port)
    made.port = listener.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.held.set()
        listener.close()
        await server.shutdown(1)


@dataclass(frozen=True)
class Proxied:
    """A relay with its endpoints' folder, and a client of it."""

    folder: Path
    orders: Orders
    port: int
    client: aiohttp.ClientSession

    def url(self, path: str = "/predict", endpoint: str = "credit") -> str:
        return f"http://127.0.0.1:{self.port}/{endpoint}{path}"

    async def share(self, weights: dict[Service, int], endpoint: str = "credit") -> None:
        """As a deployment does it: the file is exchanged, then the relay is told."""
        write(self.folder, endpoint, [deployment(each.name, each.port, weight) for each, weight in weights.items()])
        assert (await self.order("table"))[0] == 200

    async def order(self, path: str, token: str = TOKEN) -> tuple[int, object]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.client.post(f"http://127.0.0.1:{self.port}/-/{path}", headers=headers) as said:
            return said.status, await said.json()

    async def ask(self, path: str = "/predict", **headers: str) -> tuple[int, str]:
        """The status, and who has answered."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.post(self.url(path), json={"rows": []}, headers=given) as said:
            await said.read()
            return said.status, said.headers.get("X-Deployment", "")

    async def asked(self, calls: int, at_once: int = 16) -> Counter[tuple[int, str]]:
        """What came of that many calls of as many callers."""
        left = iter(range(calls))

        async def caller() -> list[tuple[int, str]]:
            return [await self.ask() for _ in left]

        return Counter(each for some in await asyncio.gather(*(caller() for _ in range(at_once))) for each in some)


@asynccontextmanager
async def proxied(folder: Path, haproxy: bool = False) -> AsyncGenerator[Proxied]:
    """A relay at the endpoints of a folder; behind HAProxy, which keeps its files in the folder `proxy` there."""
    orders = Orders(folder, TOKEN)
    relay = Relay(orders)
    server = web.Server(relay)
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as stack:
        if haproxy:
            place = private_folder(folder / "proxy")
            stack.enter_context(contextlib.chdir(place))
            listener: asyncio.AbstractServer = await put_before(place, orders, server, listening)
            stack.callback(kill_front, place)
        else:
            listener = await asyncio.get_running_loop().create_server(server, sock=listening)
        try:
            async with aiohttp.ClientSession() as client:
                yield Proxied(folder, orders, listening.getsockname()[1], client)
        finally:
            listener.close()
            await server.shutdown(1)
            await relay.close()


def kill_front(place: Path) -> None:
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.ZombieProcess):  # what another test has not waited for
            if str(place) in process.cmdline():
                kill(process.pid)


def deployment(identity: str, port: int, percent: int, pid: int = 0) -> Deployment:
    return Deployment(
        id=identity, bento=f"bento:credit:{identity}", pid=pid, port=port, started="", replicas=1, percent=percent,
        ready=True,
    )  # fmt: skip


def write(folder: Path, endpoint: str, deployments: list[Deployment]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / "draft"
    draft.write_text(EndpointFile(endpoint=endpoint, deployments=deployments).model_dump_json())
    draft.rename(folder / f"{endpoint}.json")
