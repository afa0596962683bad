"""The keys of an identity provider over HTTP: fetched now and then, by one caller at a time, and from nowhere else."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

import pytest

from mlops_mcp.server.access.keys import BACK_OFF_S, DISCOVERY, FRESH_S, LAST_S, MOST, FetchedKeys

from .provider import Provider, Web, listening


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def keys_at(web: Web, clock: Clock, path: str = "/keys") -> FetchedKeys:
    return FetchedKeys(web.address, f"{web.address}{path}" if path else "", clock)


async def test_a_key_is_fetched_once_and_an_unknown_one_looked_for_after_a_while() -> None:
    clock, first, second = Clock(), Provider("first"), Provider("second")
    async with listening() as web:
        web.serve("/keys", first.keys)
        keys = keys_at(web, clock)
        assert [await keys.find("first") is not None for _ in range(3)] == [True] * 3
        web.serve("/keys", json.dumps({"keys": [first.public, second.public]}))
        assert [await keys.find(kid) for kid in ("second", "third", "fourth")] == [None] * 3
        assert web.asked == ["/keys"]
        clock.now += BACK_OFF_S
        assert await keys.find("second") is not None
        assert await keys.find("third") is None
        assert web.asked == ["/keys"] * 2


async def test_old_keys_are_asked_for_again_and_a_key_that_is_gone_is_gone() -> None:
    clock, first, second = Clock(), Provider("first"), Provider("second")
    async with listening() as web:
        web.serve("/keys", first.keys)
        keys = keys_at(web, clock)
        assert await keys.find("first")
        web.serve("/keys", second.keys)
        clock.now += FRESH_S
        assert await keys.find("first") is None
        assert await keys.find("second")


async def test_while_the_provider_is_away_its_keys_last_for_an_hour_and_it_is_asked_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, first = Clock(), Provider("first")
    async with listening() as web:
        web.serve("/keys", first.keys)
        keys = keys_at(web, clock)
        assert await keys.find("first")
        web.serve("/keys", "no", 503)
        clock.now += FRESH_S
        assert [await keys.find("first") is not None for _ in range(5)] == [True] * 5
        assert len(web.asked) == 2
        clock.now += LAST_S - FRESH_S
        assert await keys.find("first") is None
        web.serve("/keys", first.keys)
        clock.now += BACK_OFF_S
        assert await keys.find("first")
    assert f"the keys of {web.address} cannot be had" in caplog.text


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (200, ""),
        (200, "[]"),
        (200, '{"keys": []}'),
        (200, "[" * 100_000),
        (200, json.dumps({"keys": [], "more": "x" * MOST})),
        (500, Provider().keys),
        (302, "/elsewhere"),
    ],
)
async def test_an_answer_that_holds_no_keys_makes_none(status: int, text: str) -> None:
    async with listening() as web:
        web.serve("/keys", text, status)
        web.serve("/elsewhere", Provider().keys)
        assert await keys_at(web, Clock()).find("first") is None
        assert web.asked == ["/keys"]


async def test_without_a_provider_nobody_is_let_in_and_nobody_waits_long() -> None:
    async with listening() as web:
        pass
    async with asyncio.timeout(30):
        assert await keys_at(web, Clock()).find("first") is None


async def test_while_one_caller_waits_for_the_provider_those_with_known_keys_do_not() -> None:
    clock, first = Clock(), Provider("first")
    async with asyncio.timeout(30), listening() as web:
        web.serve("/keys", first.keys)
        keys = keys_at(web, clock)
        assert await keys.find("first")
        clock.now += FRESH_S
        web.holds.clear()
        forger = asyncio.create_task(keys.find("forged"))
        while len(web.asked) < 2:
            await asyncio.sleep(0)
        assert await keys.find("first")
        web.holds.set()
        assert await forger is None
        assert len(web.asked) == 2


async def test_an_issuer_says_itself_where_its_keys_are_and_is_believed_of_itself_alone() -> None:
    first = Provider("first")
    async with listening() as web:
        web.serve("/keys", first.keys)
        for said, found in (
            ({"issuer": web.address, "jwks_uri": f"{web.address}/keys"}, True),
            ({"issuer": "https://other.example.org", "jwks_uri": f"{web.address}/keys"}, False),
            ({"issuer": web.address, "jwks_uri": "http://10.0.0.1/keys"}, False),
            ({"issuer": web.address, "jwks_uri": "file:///etc/passwd"}, False),
            ({"issuer": web.address}, False),
            ([], False),
        ):
            web.serve(DISCOVERY, json.dumps(said))
            assert (await keys_at(web, Clock(), "").find("first") is not None) == found, said
