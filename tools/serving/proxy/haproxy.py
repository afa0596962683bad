"""HAProxy in front of the endpoints, where it is installed: what it is told, over the socket of its run-time API.

Its configuration never changes: endpoints are put into backends that are there from the start, and their deployments
are added as servers, so that it is never started anew while it serves. What it cannot do goes to our own relay behind
it: orders, shadows, calls with a key or for a wanted deployment, and an endpoint for which there is no backend left.

It does not look whose a port is; here that is done when it is told of one, and again whenever we look.
"""

from __future__ import annotations

import asyncio
import csv
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...detached import has_ended, spawn_program
from ...storage.state_files import replaced
from .orders import Orders
from .owners import is_ours
from .places import HOST
from .start import installed
from .table import DEPLOYMENT, KEY, WANTED, Route

CONFIGURATION, MAP = "haproxy.cfg", "endpoints.map"
# Their names are relative to the folder of the proxy, since those of sockets are short.
ADMIN, CALLS, RELAY = "admin.sock", "calls.sock", "relay.sock"
BACKENDS = tuple(f"endpoint{number}" for number in range(64))
# What stands in a command as it is.
PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,128}")
START_S, POLL_S, ANSWER_S = 20.0, 0.02, 5.0
STATE_FIELDS, ADMIN_FIELD, WEIGHT_FIELD, PORT_FIELD = 20, 6, 7, 18
# The bits of srv_admin_state that say that it was put out of service.
OUT_OF_SERVICE = 0x01
FRONT = """\
global
    stats socket unix@{admin} mode 600 level admin
    log unix@./{calls} len 1024 format raw local0 info
    nbthread 1
    hard-stop-after 30s
defaults
    mode http
    log global
    timeout connect 2s
    timeout client 120s
    timeout server 60s
    retries 2
    option redispatch 1
    option http-no-delay
    http-reuse always
{errors}
frontend calls
    bind fd@{listening}
    log-format "call %s %ST %ts %[date(0,us),sub(txn.began)]"
    http-request set-var(txn.began) date(0,us)
    http-request set-var(txn.backend) path,field(2,/),map_str({map})
    use_backend relay if {{ req.hdr({wanted}) -m found }} or {{ req.hdr({key}) -m found }}
    # It names headers of this connection alone, which would be passed on.
    acl alone req.fhdr(Connection),lower -m reg ^(keep-alive|close)$
    use_backend relay if {{ req.fhdr(Connection) -m found }} !alone
    use_backend %[var(txn.backend)] if {{ var(txn.backend) -m found }}
    default_backend relay
backend relay
    # A relay that died is started again; its callers wait, a second each time.
    no option redispatch
    retries 60
    server relay unix@./{relay}
"""
ERROR = '    http-error status {status} content-type "application/json" string \'{{"error": "{words}"}}\'{more}\n'
BACKEND = """\
backend {name}
    balance roundrobin
    http-request set-path / unless {{ path_reg ^/[^/]+/ }}
    http-request replace-path ^/[^/]+(/.*)$ \\1
    http-response set-header {deployment} %[srv_name]
"""
WORDS = {
    502: "the connection broke before the answer was whole",
    503: "nothing of this endpoint answers at the moment",
    504: "no answer within 60 s",
}


def configuration(listening: int) -> str:
    """All of it, for a socket that it inherits."""
    errors = "".join(
        ERROR.format(status=status, words=words, more=" hdr Retry-After 1" if status == 503 else "")
        for status, words in WORDS.items()
    )
    names = {"admin": ADMIN, "calls": CALLS, "relay": RELAY, "map": MAP, "wanted": WANTED, "key": KEY}
    front = FRONT.format(errors=errors, listening=listening, **names)
    return front + "".join(BACKEND.format(name=name, deployment=DEPLOYMENT) for name in BACKENDS)


@dataclass(frozen=True)
class Server:
    """A deployment as HAProxy has it in a backend."""

    port: int
    weight: int
    serves: bool


Servers = Mapping[tuple[str, str], Server]


class Silent(Exception):
    """There is no HAProxy."""


class Slow(Silent):
    """There is one, but it does not answer: a second one would take half of its calls."""


class Front:
    """HAProxy of a state folder, whose folder of the proxy is the working directory of this process.

    What it knows is asked of it each time: it goes on when this process ends, and the next one takes it over.
    """

    def __init__(self, folder: Path, orders: Orders, listening: socket.socket) -> None:
        self._folder = folder
        self._orders = orders
        self._listening = listening
        self._pid = 0
        self._one = asyncio.Lock()

    async def look(self) -> None:
        """Start it if it is gone, and tell it what has changed.

        Raises:
            Silent: it does not start.
        """
        async with self._one:
            try:
                await self._tell()
            except Slow:
                raise
            except Silent:
                await self._start()
                await self._tell()

    async def in_flight(self, deployment: str) -> int:
        """The calls that it has given to a deployment, and that are not answered yet."""
        try:
            rows = csv.DictReader((await say("show stat -1 4 -1")).removeprefix("# ").splitlines())
        except Slow:
            return 1  # perhaps; whoever waits asks again
        except Silent:
            return 0
        return sum(int(row["scur"]) for row in rows if row["svname"] == deployment)

    async def _tell(self) -> None:
        known = _mapped(await say(f"show map {MAP}"))
        servers = _servers(await say("show servers state"))
        for command in changes(self._orders.table, known, servers):
            await say(command)

    async def _start(self) -> None:
        program = installed()
        if program is None:
            raise Silent
        if self._pid:
            has_ended(self._pid)
        descriptor = self._listening.fileno()
        replaced(self._folder / CONFIGURATION, configuration(descriptor).encode())
        replaced(self._folder / MAP, b"")
        self._listening.set_inheritable(True)
        try:
            command = [program, "-db", "-C", str(self._folder), "-f", CONFIGURATION]
            self._pid = spawn_program(command, environment={}, log=self._folder / "log.txt")
        finally:
            self._listening.set_inheritable(False)
        await self._await_answer()

    async def _await_answer(self) -> None:
        deadline = asyncio.get_running_loop().time() + START_S
        while asyncio.get_running_loop().time() < deadline and not has_ended(self._pid):
            try:
                await say("show info")
            except Silent:
                await asyncio.sleep(POLL_S)
            else:
                return
        raise Silent


class Calls(asyncio.DatagramProtocol):
    """Counts what HAProxy says of each call, in the words of `log-format`."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def datagram_received(self, data: bytes, addr: object) -> None:
        fields = data.decode("ascii", "replace").split()
        if len(fields) != 5 or fields[0] != "call":  # something else that it notes
            return
        _, deployment, status, ended, microseconds = fields
        # Nothing was sent to one that could not be reached (C: while connecting).
        if deployment not in ("relay", "<NOSRV>") and ended[1:2] != "C" and microseconds.isdigit():
            failed = not status.isdigit() or int(status) >= 500
            self._orders.counted(deployment).note(int(microseconds) / 1000, failed)


async def put_before(
    folder: Path, orders: Orders, server: Callable[[], asyncio.Protocol], listening: socket.socket
) -> asyncio.Server:
    """Let HAProxy take the calls at a socket, with our own server behind it.

    Raises:
        Silent: it does not start.
    """
    loop = asyncio.get_running_loop()
    (folder / CALLS).unlink(missing_ok=True)
    await loop.create_datagram_endpoint(lambda: Calls(orders), local_addr=CALLS, family=socket.AF_UNIX)
    orders.front = Front(folder, orders, listening)
    behind = await loop.create_unix_server(server, RELAY)
    try:
        await orders.front.look()
    except Silent:
        orders.front = None
        behind.close()
        raise
    return behind


def changes(table: Mapping[str, Route], known: Mapping[str, str], servers: Servers) -> Iterator[str]:
    """The commands that lead from what it has to what the table says.

    Args:
        known: the backend of each endpoint.
        servers: by backend and name.
    """
    wanted = {name: route for name, route in table.items() if _is_plain(name, route)}
    for name in known.keys() - wanted.keys():
        yield f"del map {MAP} {name}"
    kept = {name: backend for name, backend in known.items() if name in wanted}
    free = iter([each for each in BACKENDS if each not in kept.values()])
    placed = dict(kept)
    for name in wanted.keys() - kept.keys():
        if backend := next(free, None):
            placed[name] = backend
    yield from _removed(wanted, placed, servers)
    for name, backend in placed.items():
        for each in wanted[name].backends.values():
            yield from _served(backend, each.id, Server(each.port, each.weight, is_ours(each.port)), servers)
    for name in placed.keys() - kept.keys():
        yield f"add map {MAP} {name} {placed[name]}"


def _is_plain(name: str, route: Route) -> bool:
    """Whether it can do all that the endpoint wants."""
    return not route.shadows and all(PLAIN.fullmatch(each) for each in (name, *route.backends))


def _removed(wanted: Mapping[str, Route], placed: Mapping[str, str], servers: Servers) -> Iterator[str]:
    """One that still answers stays until we look again; it gets nothing any more."""
    for backend, name in servers:
        if not any(place == backend and name in wanted[endpoint].backends for endpoint, place in placed.items()):
            yield f"set server {backend}/{name} state maint"
            yield f"del server {backend}/{name}"


def _served(backend: str, name: str, wanted: Server, servers: Servers) -> Iterator[str]:
    one, has = f"{backend}/{name}", servers.get((backend, name))
    if has is None:
        yield f"add server {one} {HOST}:{wanted.port} weight {wanted.weight} pool-purge-delay 2s pool-max-conn 1000"
        has = Server(wanted.port, wanted.weight, serves=False)
    if has.port != wanted.port:
        yield f"set server {one} addr {HOST} port {wanted.port}"
    if has.weight != wanted.weight:
        yield f"set server {one} weight {wanted.weight}"
    if has.serves != wanted.serves:
        yield f"set server {one} state {'ready' if wanted.serves else 'maint'}"


async def say(command: str) -> str:
    """What it answers to a command.

    Raises:
        Silent: nobody is there.
        Slow: somebody is.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(ADMIN)
            try:
                writer.write(f"{command}\n".encode())
                return (await reader.read()).decode("utf-8", "replace")
            finally:
                writer.close()
    except (FileNotFoundError, ConnectionError) as error:
        raise Silent(str(error)) from error
    except (OSError, TimeoutError) as error:
        raise Slow(str(error)) from error


def _mapped(said: str) -> dict[str, str]:
    fields = (line.split() for line in said.splitlines())
    return {line[1]: line[2] for line in fields if len(line) == 3}


def _servers(said: str) -> dict[tuple[str, str], Server]:
    found: dict[tuple[str, str], Server] = {}
    for line in said.splitlines():
        fields = line.split()
        if len(fields) > STATE_FIELDS and fields[1] in BACKENDS:
            serves = not int(fields[ADMIN_FIELD]) & OUT_OF_SERVICE
            found[fields[1], fields[3]] = Server(int(fields[PORT_FIELD]), int(fields[WEIGHT_FIELD]), serves)
    return found
