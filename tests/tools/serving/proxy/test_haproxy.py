"""What HAProxy is told, and what goes to our own relay instead; what callers see of it stands in `test_relay.py`."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from mlops_mcp.tools.errors import Unavailable
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving.proxy import handle
from mlops_mcp.tools.serving.proxy.haproxy import BACKENDS, Calls, Front, Server, Slow, changes
from mlops_mcp.tools.serving.proxy.orders import Orders
from mlops_mcp.tools.serving.proxy.start import SETTINGS_VARIABLE, behind_haproxy
from mlops_mcp.tools.serving.proxy.table import Backend, Route

PORT = 1  # on which nobody listens


def route(*weights: int, shadow: bool = False) -> Route:
    return Route([Backend(f"d{number}", PORT, weight, shadow) for number, weight in enumerate(weights)])


def told(
    table: Mapping[str, Route],
    known: Mapping[str, str] | None = None,
    servers: Mapping[tuple[str, str], Server] | None = None,
) -> list[str]:
    return list(changes(table, known or {}, servers or {}))


def test_an_endpoint_gets_its_calls_when_its_deployments_are_there() -> None:
    first = BACKENDS[0]
    assert told({"credit": route(90, 10)}) == [
        f"add server {first}/d0 127.0.0.1:1 weight 90 pool-purge-delay 2s pool-max-conn 1000",
        f"set server {first}/d0 state ready",
        f"add server {first}/d1 127.0.0.1:1 weight 10 pool-purge-delay 2s pool-max-conn 1000",
        f"set server {first}/d1 state ready",
        f"add map endpoints.map credit {first}",
    ]


def test_of_what_it_knows_only_the_changes_are_told() -> None:
    servers = {("endpoint3", "d0"): Server(PORT, 90, True), ("endpoint3", "d1"): Server(PORT, 10, True)}
    known = {"credit": "endpoint3"}
    assert told({"credit": route(90, 10)}, known, servers) == []
    assert told({"credit": route(50, 50)}, known, servers) == [
        "set server endpoint3/d0 weight 50", "set server endpoint3/d1 weight 50",
    ]  # fmt: skip
    assert told({"credit": route(100)}, known, servers) == [
        "set server endpoint3/d1 state maint", "del server endpoint3/d1", "set server endpoint3/d0 weight 100",
    ]  # fmt: skip


def test_what_it_cannot_do_goes_to_the_relay_before_its_deployments_go() -> None:
    servers = {("endpoint3", "d0"): Server(PORT, 100, True)}
    for table in ({"credit": route(100, shadow=True)}, {}):
        assert told(table, {"credit": "endpoint3"}, servers) == [
            "del map endpoints.map credit", "set server endpoint3/d0 state maint", "del server endpoint3/d0",
        ]  # fmt: skip


@pytest.mark.parametrize("name", ["a b", "a;del map endpoints.map", "a\nshow info", "ü", "", "a" * 200])
def test_a_name_that_is_more_than_one_is_never_part_of_a_command(name: str) -> None:
    assert told({name: route(100)}) == []
    assert told({"credit": Route([Backend(name, PORT, 100)])}) == []


def test_endpoints_that_find_no_place_go_to_the_relay() -> None:
    many = {f"e{number}": route(100) for number in range(len(BACKENDS) + 3)}
    placed = [line.split() for line in told(many) if line.startswith("add map")]
    assert sorted(line[-1] for line in placed) == sorted(BACKENDS)


async def test_one_that_is_slow_is_not_taken_for_none_and_nobody_takes_its_place(
    tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mlops_mcp.tools.serving.proxy.haproxy.ANSWER_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket(socket.AF_UNIX) as admin:
        front = Front(tmp_path, Orders(work.home / "endpoints", "token"), listening)
        assert await front.in_flight("d0") == 0
        admin.bind("admin.sock")
        admin.listen()
        with pytest.raises(Slow):
            await front.look()
        assert await front.in_flight("d0") == 1
    assert not (tmp_path / "haproxy.cfg").exists()


def test_only_what_reached_a_deployment_is_counted_of_it(work: Work) -> None:
    orders = Orders(work.home / "endpoints", "token")
    calls = Calls(orders)
    for line in (
        "call d0 200 -- 1500", "call d0 500 -- 2500", "call d0 504 sH 9", "call d0 503 SC 9", "call relay 200 -- 9",
        "call <NOSRV> 503 SC 9", "call d0 200 -- -", "Server endpoint0/d0 is UP", "", "call",
    ):  # fmt: skip
        calls.datagram_received(line.encode(), None)
    found = orders.counted("d0").figures()
    assert (found.requests, found.errors, found.p99_ms) == (3, 2, 2.5)


def test_who_asks_for_haproxy_where_it_is_missing_is_told(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    bentoml = work.settings.bentoml.model_copy(update={"proxy": "haproxy"})
    work = Work(work.settings.model_copy(update={"bentoml": bentoml}), work.tracer)
    monkeypatch.setattr("mlops_mcp.tools.serving.proxy.start.SYSTEM", "")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match=r"HAProxy is not installed\. Install haproxy"):
        handle.ensure(work)
    for wish in ("auto", "haproxy", "builtin"):
        assert not behind_haproxy({SETTINGS_VARIABLE: f'{{"bentoml.proxy": "{wish}"}}'})
