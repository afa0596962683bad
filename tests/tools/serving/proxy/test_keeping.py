"""The processes of the proxy: there is one of each, one keeps the other, and both go with the last endpoint."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import psutil
import pytest

from mlops_mcp.tools.errors import Unavailable
from mlops_mcp.tools.runtime.jobs.alive import held
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving.proxy import handle
from mlops_mcp.tools.serving.proxy.keeper import relays
from mlops_mcp.tools.serving.proxy.places import Places
from mlops_mcp.tools.serving.proxy.start import HAPROXY, installed

from ....conftest import unable
from ....processes import words_of
from ....waiting import until
from ..conftest import kill
from .standins import deployment, write


class Named(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(params=["builtin", HAPROXY])
def work(request: pytest.FixtureRequest, work: Work) -> Work:
    """Of an installation with one of the two."""
    if request.param == HAPROXY and not installed():
        unable("haproxy is missing: apt-get install haproxy")
    bentoml = work.settings.bentoml.model_copy(update={"proxy": request.param})
    return replace(work, settings=work.settings.model_copy(update={"bentoml": bentoml}))


def fronts(places: Places) -> list[int]:
    """The processes of HAProxy."""
    ours = str(places.folder)
    return [each.pid for each in relays(places) if ours in words_of(each).split()]


@pytest.fixture
def places(work: Work, standin: Callable[[str, str], int]) -> Generator[Places]:
    """Of a state folder with one endpoint, which goes afterwards, and the proxy with it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Named)
    thread = Thread(target=server.serve_forever)
    thread.start()
    made = Places(work.home.absolute())
    write(made.endpoints, "credit", [deployment("old", server.server_port, 100, standin("credit", "old"))])
    try:
        yield made
    finally:
        (made.endpoints / "credit.json").unlink()
        until(lambda: not held(made.keeper) and not held(made.relay) and not relays(made))
        server.shutdown()
        thread.join()
        server.server_close()


def ask(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("POST", "/credit/predict", b"{}")
        return connection.getresponse().status
    finally:
        connection.close()


def process_of(places: Places, module: str) -> int:
    """The one that runs a module for this state folder."""
    (found,) = [
        each.pid
        for each in psutil.process_iter(["cmdline"])
        if str(places.home) in (command := each.info["cmdline"] or [])
        and any(part.endswith(module) for part in command)
    ]
    return int(found)


def test_many_that_want_a_proxy_at_once_get_the_same_one(work: Work, places: Places) -> None:
    with ThreadPoolExecutor(8) as pool:
        ports = set(pool.map(handle.ensure, [work] * 8))
    assert ports == {places.port()}
    assert process_of(places, ".keeper") != process_of(places, ".relay_process")
    assert handle.address(work, "credit") == f"http://127.0.0.1:{places.port()}/credit/predict"
    assert ask(places.port()) == 200


def test_whichever_of_its_processes_dies_callers_wait_and_are_answered_at_the_same_address(
    work: Work, places: Places
) -> None:
    port = handle.ensure(work)
    stop, found = Event(), list[int]()

    def calling() -> None:
        while not stop.is_set():
            found.append(ask(port))

    caller = Thread(target=calling)
    caller.start()
    until(lambda: len(found) > 10)
    # The keeper first, while nothing is under way there; a call that is under way in the relay dies with it.
    kill(process_of(places, ".keeper"))
    until(lambda: held(places.keeper))
    after = len(found) + 10
    until(lambda: len(found) > after)
    stop.set()
    caller.join()
    relay = process_of(places, ".relay_process")
    kill(relay)
    assert [ask(port) for _ in range(10)] == [200] * 10
    assert process_of(places, ".relay_process") != relay
    assert (set(found), places.port()) == ({200}, port)


def test_when_haproxy_dies_callers_wait_and_when_our_own_relay_does_they_notice_nothing(
    work: Work, places: Places
) -> None:
    port = handle.ensure(work)
    if work.settings.bentoml.proxy != HAPROXY:
        assert fronts(places) == []
        return
    (front,) = fronts(places)
    kill(process_of(places, ".relay_process"))
    assert [ask(port) for _ in range(10)] == [200] * 10
    until(lambda: held(places.relay))
    handle.reread(work)
    assert fronts(places) == [front]
    kill(front)
    assert [ask(port) for _ in range(10)] == [200] * 10
    assert (len(fronts(places)), places.port()) == (1, port)


def test_calls_are_counted_whoever_passes_them_on(work: Work, places: Places) -> None:
    port = handle.ensure(work)
    assert [ask(port) for _ in range(5)] == [200] * 5
    until(lambda: handle.figures(work, "old").requests == 5)
    found = handle.figures(work, "old")
    assert (found.errors, found.in_flight) == (0, 0)
    assert (found.p99_ms or 0) >= (found.p50_ms or 0) > 0
    assert handle.drained(work, "old")


def test_after_the_death_of_both_the_next_one_gives_the_endpoint_its_address_back(work: Work, places: Places) -> None:
    port = handle.ensure(work)
    for pid in (process_of(places, ".keeper"), process_of(places, ".relay_process")):
        kill(pid)
    until(lambda: not held(places.keeper) and not held(places.relay))
    if work.settings.bentoml.proxy == HAPROXY:
        assert ask(port) == 200
    assert handle.ensure(work) == port
    assert ask(port) == 200


def test_a_proxy_that_cannot_start_is_told_with_the_words_of_its_log(work: Work) -> None:
    places = Places(work.home.absolute())
    (places.folder / "port").mkdir(parents=True)  # where its port is to be written
    with pytest.raises(Unavailable, match=r"(?s)did not start.*Its log ends with:.*IsADirectoryError"):
        handle.ensure(work)
    assert not held(places.keeper)


def test_what_the_proxy_keeps_is_its_owners_alone(work: Work, places: Places) -> None:
    handle.ensure(work)
    behind = {"admin.sock", "calls.sock", "relay.sock", "haproxy.cfg", "endpoints.map"}
    assert {each.name for each in places.folder.iterdir()} == {
        "keeper.lock", "log.txt", "port", "relay.lock", "start.lock", "token",
    } | (behind if work.settings.bentoml.proxy == HAPROXY else set())  # fmt: skip
    assert [each for each in (places.folder, *places.folder.iterdir()) if each.stat().st_mode & 0o077] == []
    relay = psutil.Process(process_of(places, ".relay_process"))
    assert places.token() not in " ".join([*relay.cmdline(), *relay.environ().values()])
    listening = {each.laddr for each in relay.net_connections("inet") if each.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", places.port())}
