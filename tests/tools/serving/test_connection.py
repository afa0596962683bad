"""Connections to an endpoint are kept, shared by threads, opened again where one was closed, and told from answers."""

from __future__ import annotations

import json
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Barrier, Thread
from typing import Any

import pytest

from mlops_mcp.tools.serving import connection
from mlops_mcp.tools.serving.connection import Connections, Front, Unreachable

from ...waiting import until

AT_ONCE = 12


class Service(BaseHTTPRequestHandler):
    """Answers with what it was sent, and counts the connections."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        assert isinstance(self.server, Server)
        self.counts = self.server
        self.counts.opened += 1

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if content == "hold":
            self.counts.holding.wait()
        if content == "drop":
            self.close_connection = True
            return
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        if content == "last":
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    """The calls that hold on are answered together."""

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Service)
        self.opened = 0
        self.holding = Barrier(AT_ONCE, timeout=600)


@pytest.fixture
def server() -> Generator[Server]:
    with Server() as made:
        thread = Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def connections() -> Generator[Connections]:
    made = Connections()
    yield made
    made.close()


def ask(connections: Connections, server: Server, content: Any, identity: str = "one") -> Any:
    return json.loads(connections.post(Front(identity, server.server_port), "token", "/predict", content).body)


def test_one_caller_after_the_other_uses_one_connection(connections: Connections, server: Server) -> None:
    assert [ask(connections, server, number) for number in range(20)] == list(range(20))
    assert server.opened == 1


def test_callers_at_once_have_a_connection_each_which_is_kept(connections: Connections, server: Server) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert list(pool.map(lambda _: ask(connections, server, "hold"), range(AT_ONCE))) == ["hold"] * AT_ONCE
        assert server.opened == AT_ONCE
        assert sorted(pool.map(lambda number: ask(connections, server, number), range(100))) == list(range(100))
    assert server.opened == AT_ONCE


def test_a_connection_that_was_closed_meanwhile_is_opened_again(connections: Connections, server: Server) -> None:
    assert ask(connections, server, "last") == "last"
    assert ask(connections, server, "more") == "more"
    assert server.opened == 2


def test_a_service_that_breaks_off_is_asked_once_more_and_not_again_and_again(
    connections: Connections, server: Server
) -> None:
    assert ask(connections, server, "well") == "well"
    with pytest.raises(Unreachable):
        ask(connections, server, "drop")
    assert server.opened == 2
    assert ask(connections, server, "well") == "well"


def test_those_of_what_was_not_asked_for_longest_are_closed_first(
    connections: Connections, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_KEPT", 2)
    for identity in ("one", "two", "three", "two", "three", "one"):
        assert ask(connections, server, identity, identity) == identity
    assert server.opened == 4


def test_an_answer_that_is_no_prediction_is_not_read_to_its_end(
    connections: Connections, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_ANSWER", 1000)
    with pytest.raises(Unreachable, match="an answer of more than"):
        ask(connections, server, "x" * 1000)
    assert ask(connections, server, "x" * 998) == "x" * 998


def test_a_call_that_waits_ends_when_all_are_closed(connections: Connections, server: Server) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, connections, server, "hold")
        until(lambda: server.holding.n_waiting)
        connections.close()
        with pytest.raises(Unreachable):
            waiting.result(600)
    server.holding.abort()
