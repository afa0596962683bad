"""What callers of the proxy see, whatever happens behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from mlops_mcp.tools.serving.proxy.owners import is_ours
from mlops_mcp.tools.serving.proxy.start import installed

from ....conftest import unable
from ....waiting import eventually
from .standins import Proxied, Service, deployment, proxied, service, write


@pytest.fixture(params=["builtin", "haproxy"])
async def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Proxied]:
    if request.param == "haproxy" and not installed():
        unable("haproxy is missing: apt-get install haproxy")
    async with proxied(tmp_path, request.param == "haproxy") as made:
        yield made


@pytest.fixture
async def old() -> AsyncGenerator[Service]:
    async with service("old") as made:
        yield made


@pytest.fixture
async def new() -> AsyncGenerator[Service]:
    async with service("new") as made:
        yield made


async def test_while_shares_change_no_call_is_lost_and_each_share_is_exact(
    proxy: Proxied, old: Service, new: Service
) -> None:
    for percent in (10, 50, 100):
        await proxy.share({old: 100 - percent, new: percent})
        expected = {(200, "old"): 3 * (100 - percent), (200, "new"): 3 * percent}
        assert await proxy.asked(300) == {key: count for key, count in expected.items() if count}


async def test_shares_that_change_under_load_cost_nobody_a_call(proxy: Proxied, old: Service, new: Service) -> None:
    async def seen(calls: int) -> None:
        await eventually(lambda: len(old.seen) + len(new.seen) >= calls or None)

    await proxy.share({old: 90, new: 10})
    load = asyncio.ensure_future(proxy.asked(600))
    for calls, percent in ((100, 50), (200, 100), (300, 50), (400, 100)):
        await seen(calls)
        await proxy.share({old: 100 - percent, new: percent})
    assert {status for status, _ in await load} == {200}


async def test_shares_that_were_written_again_as_they_were_go_on_where_they_are(
    proxy: Proxied, old: Service, new: Service
) -> None:
    found: Counter[tuple[int, str]] = Counter()
    for _ in range(10):
        await proxy.share({old: 90, new: 10})
        found += await proxy.asked(10, at_once=1)
    assert found == {(200, "old"): 90, (200, "new"): 10}


async def test_a_key_stays_with_its_version(proxy: Proxied, old: Service, new: Service) -> None:
    await proxy.share({old: 50, new: 50})
    found = {key: {(await proxy.ask(X_Route_Key=key))[1] for _ in range(4)} for key in map(str, range(20))}
    assert {len(each) for each in found.values()} == {1}
    assert {name for each in found.values() for name in each} == {"old", "new"}


async def test_what_is_dead_gets_nothing_and_the_others_answer(proxy: Proxied, old: Service) -> None:
    gone = Service("gone", unused())
    await proxy.share({old: 10, gone: 90})
    assert await proxy.asked(50) == {(200, "old"): 50}


async def test_where_nothing_answers_a_caller_is_told_when_to_come_again(proxy: Proxied) -> None:
    await proxy.share({Service("gone", unused()): 100})
    async with proxy.client.post(proxy.url(), json={}) as said:
        assert (said.status, said.headers["Retry-After"]) == (503, "1")
        assert "nothing of this endpoint answers" in (await said.json())["error"]


async def test_what_may_have_been_sent_is_not_sent_again(proxy: Proxied, old: Service, new: Service) -> None:
    await proxy.share({old: 50, new: 50})
    # HAProxy says it by closing a connection that was kept, whose caller knows by that.
    with contextlib.suppress(aiohttp.ServerDisconnectedError):
        assert (await proxy.ask("/broken"))[0] == 502
    assert len(old.seen) + len(new.seen) == 1


async def test_a_call_passes_as_it_is_but_for_what_belongs_to_one_connection(proxy: Proxied, old: Service) -> None:
    await proxy.share({old: 100})
    headers = {
        "Authorization": "Bearer of the endpoint", "Host": "localhost:1", "X-Own": "ü", "Connection": "X-Hop",
        "X-Hop": "1",
    }  # fmt: skip
    async with proxy.client.get(proxy.url("/a%2Fb?c=%20d"), headers=headers) as said:
        assert said.status == 200
    method, path, seen, body = old.seen[0]
    assert (method, path, body) == ("GET", "/a%2Fb?c=%20d", b"")
    kept = {name.lower(): value for name, value in seen.items()}
    assert (kept["authorization"], kept["host"], kept["x-own"]) == ("Bearer of the endpoint", "localhost:1", "ü")
    assert "x-hop" not in kept


async def test_long_bodies_pass_in_pieces_both_ways(proxy: Proxied, old: Service) -> None:
    await proxy.share({old: 100})
    async with proxy.client.post(proxy.url(), data=bytes(3 << 20)) as said:
        assert (await said.json())["size"] == 3 << 20
    async with proxy.client.get(proxy.url("/long")) as said:
        assert len(await said.read()) == 64 << 16


async def test_connections_to_a_service_are_used_again(proxy: Proxied, tmp_path: Path) -> None:
    made = 0
    other = web.Server(Service("old", 0))

    def connected() -> asyncio.Protocol:
        nonlocal made
        made += 1
        return other()

    listener = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    write(tmp_path, "credit", [deployment("old", listener.sockets[0].getsockname()[1], 100)])
    await proxy.order("table")
    assert await proxy.asked(100, at_once=2) == {(200, "old"): 100}
    assert made <= 2
    listener.close()
    await other.shutdown(1)


async def test_what_is_replaced_has_given_its_last_answer_before_it_may_end(
    proxy: Proxied, old: Service, new: Service
) -> None:
    await proxy.share({old: 100})
    call = asyncio.ensure_future(proxy.ask("/held"))
    await eventually(lambda: old.seen)
    await proxy.share({new: 100})
    assert await proxy.order("drained?deployment=old&wait_s=0") == (200, False)
    waiting = asyncio.ensure_future(proxy.order("drained?deployment=old&wait_s=600"))
    assert await proxy.asked(20) == {(200, "new"): 20}
    assert not waiting.done()
    old.held.set()
    assert await waiting == (200, True)
    assert await call == (200, "old")


async def test_calls_and_failures_and_their_times_are_counted(proxy: Proxied, old: Service) -> None:
    await proxy.share({old: 100})
    await proxy.asked(8)
    assert (await proxy.ask("/failing"))[0] == 500
    counted = proxy.orders.counted("old")
    await eventually(lambda: counted.requests == 9)
    found = counted.figures()
    assert (found.requests, found.errors, found.in_flight) == (9, 1, 0)
    assert found.p50_ms is not None
    assert found.p99_ms is not None
    assert 0 < found.p50_ms <= found.p99_ms
    later = counted.figures(after=8)
    assert (later.requests, later.errors) == (1, 1)
    assert counted.figures(after=9).p99_ms is None


async def test_only_the_owner_gives_orders(proxy: Proxied, old: Service) -> None:
    await proxy.share({old: 100})
    for path in ("table", "drained?deployment=old&wait_s=0", "figures"):
        status, said = await proxy.order(path, token="another")
        assert (status, said) == (401, {"error": "this is for the owner of the endpoints"})
    assert (await proxy.order("nothing"))[0] == 404


async def test_no_endpoint_is_found_but_those_that_there_are(proxy: Proxied, old: Service) -> None:
    await proxy.share({old: 100})
    for endpoint in ("other", "", "credit.json", ".."):
        async with proxy.client.post(proxy.url(endpoint=endpoint), json={}) as said:
            assert said.status == 404
    assert old.seen == []


async def test_a_change_that_nobody_told_is_seen_and_an_unfinished_one_gets_nothing(
    proxy: Proxied, old: Service, tmp_path: Path
) -> None:
    starting = deployment("new", unused(), 100).model_copy(update={"ready": False})
    write(tmp_path, "credit", [deployment("old", old.port, 100), starting])
    proxy.orders.look()
    assert await proxy.asked(10) == {(200, "old"): 10}
    (tmp_path / "credit.json").unlink()
    proxy.orders.look()
    assert (await proxy.ask())[0] == 404


async def test_a_shadow_is_asked_the_same_and_only_compared(proxy: Proxied, old: Service, new: Service) -> None:
    shadow = deployment("new", new.port, 0).model_copy(update={"shadow": True})
    write(proxy.folder, "credit", [deployment("old", old.port, 100), shadow])
    await proxy.order("table")
    counted = proxy.orders.counted("new")
    assert await proxy.asked(10, at_once=2) == {(200, "old"): 10}
    await eventually(lambda: counted.compared == 10)
    assert counted.differed == 0
    assert json.loads(new.seen[0][3]) == {"rows": []}
    new.prediction = 2
    await proxy.asked(5, at_once=1)
    await eventually(lambda: counted.compared == 15)
    assert counted.differed == 5


def unused() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


DAMAGE = (b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"deployments": 3}', b'{"deployments": [{"id": "a"}]}')


@pytest.mark.parametrize("content", DAMAGE, ids=lambda content: repr(content[:30]))
async def test_a_damaged_file_of_one_endpoint_changes_nothing_for_any(
    proxy: Proxied, old: Service, new: Service, content: bytes
) -> None:
    await proxy.share({old: 100})
    (proxy.folder / "credit.json").write_bytes(content)
    (proxy.folder / "never.json").write_bytes(content)
    write(proxy.folder, "other", [deployment("new", new.port, 100)])
    assert await proxy.order("table") == (200, ["credit", "other"])
    assert await proxy.ask() == (200, "old")
    async with proxy.client.post(proxy.url(endpoint="other"), json={}) as said:
        assert said.headers["X-Deployment"] == "new"


STRANGER = """
import os, socket
os.setuid(65534)
opened = socket.create_server(("127.0.0.1", 0))
print(opened.getsockname()[1], flush=True)
print(opened.accept()[0].recv(1 << 16), flush=True)
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be another user")
async def test_another_user_who_has_the_port_of_a_dead_service_is_told_nothing(proxy: Proxied, old: Service) -> None:
    stranger = await asyncio.create_subprocess_exec(sys.executable, "-c", STRANGER, stdout=asyncio.subprocess.PIPE)
    assert stranger.stdout is not None
    port = int(await stranger.stdout.readline())
    assert not is_ours(port)
    assert is_ours(old.port)
    await proxy.share({Service("dead", port): 100})
    assert (await proxy.ask(Authorization="Bearer secret"))[0] == 503
    await proxy.share({Service("dead", port): 50, old: 50})
    assert await proxy.asked(10) == {(200, "old"): 10}
    # Nobody was there before us.
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"first")
    assert (await stranger.stdout.readline()).strip() == b"b'first'"
    writer.close()
    assert await stranger.wait() == 0
