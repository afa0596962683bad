"""What the owner of the state folder tells the proxy, and asks it: under the path `/-/`, with its token."""

from __future__ import annotations

import asyncio
import hmac
import os
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from aiohttp import web

from .figures import Counted, Figures
from .table import Route, read_table

LOOK_EVERY_S = 0.01


class Front(Protocol):
    """What passes calls on in our place, and knows what is under way there."""

    async def look(self) -> None: ...
    async def in_flight(self, deployment: str) -> int: ...


class Orders:
    """The table, and the figures of each deployment that is in it."""

    def __init__(self, endpoints: Path, token: str) -> None:
        self._endpoints = endpoints
        self._token = token
        self._counted: dict[str, Counted] = {}
        self._seen: frozenset[tuple[str, int]] = frozenset()
        self.table: dict[str, Route] = {}
        self.front: Front | None = None
        self.read()

    def look(self) -> None:
        """Read what was changed by somebody who did not say so: he was killed before."""
        if self._stamps() != self._seen:
            self.read()

    def read(self) -> None:
        """Exchange the table; calls that are under way go on where they are."""
        self._seen = self._stamps()
        self.table = read_table(self._endpoints, self.table)
        known = {each for route in self.table.values() for each in route.backends}
        self._counted = {name: each for name, each in self._counted.items() if name in known or each.in_flight}

    def counted(self, deployment: str) -> Counted:
        return self._counted.setdefault(deployment, Counted())

    def _stamps(self) -> frozenset[tuple[str, int]]:
        """Each change is a new file."""
        return frozenset((each.name, each.inode()) for each in _entries(self._endpoints) if each.name.endswith(".json"))

    async def answer(self, request: web.BaseRequest, path: str) -> web.Response:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            return web.json_response({"error": "this is for the owner of the endpoints"}, status=401)
        order = path.partition("?")[0]
        if order == "table" and request.method == "POST":
            self.read()
            if self.front:
                await self.front.look()
            return web.json_response(sorted(self.table))
        if order == "drained" and request.method == "POST":
            return web.json_response(await self._drained(request.query["deployment"], float(request.query["wait_s"])))
        if order == "turn" and request.method == "POST":
            route = self.table.get(request.query["endpoint"])
            chosen = route.pick("", ()) if route else None
            return web.json_response(chosen.id if chosen else "")
        if order == "figures":
            return web.json_response({name: asdict(each) for name, each in self._figures(request).items()})
        return web.json_response({"error": "no such order"}, status=404)

    async def _drained(self, deployment: str, wait_s: float) -> bool:
        """Whether nothing is under way there any more."""
        deadline = asyncio.get_running_loop().time() + wait_s
        while await self._in_flight(deployment):
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(LOOK_EVERY_S)
        return True

    async def _in_flight(self, deployment: str) -> int:
        found = self._counted.get(deployment)
        in_front = await self.front.in_flight(deployment) if self.front else 0
        return in_front + (found.in_flight if found else 0)

    def _figures(self, request: web.BaseRequest) -> dict[str, Figures]:
        after = int(request.query.get("after", "0"))
        wanted = request.query.get("deployment", "")
        return {name: each.figures(after) for name, each in self._counted.items() if wanted in ("", name)}


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except FileNotFoundError:
        return []
