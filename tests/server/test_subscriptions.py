"""A client that subscribes to a card is told when a tool has changed it, in both eras."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.server.subscriptions import ResourceUpdated
from mcp.types import ResourceUpdatedNotification

from mlops_mcp.config.settings import Settings
from mlops_mcp.resources.changes import cards_of
from mlops_mcp.server import subscriptions
from mlops_mcp.server.app import create_server
from mlops_mcp.server.changes import LATE_S
from mlops_mcp.server.host import Host
from mlops_mcp.tools.runtime.jobs.launch import table_of
from mlops_mcp.tools.runtime.jobs.shares import Slots
from mlops_mcp.tools.runtime.jobs.table import End, NewJob

from .handshake import subscribe, unsubscribe

RUN = "0123456789abcdef0123456789abcdef"
CARD = f"mlflow://runs/{RUN}"
NEW = NewJob(
    tool="train_model", toolset="training", function="a:b", request="{}", attempts=1, trace_id="t", span_id="s",
    idempotency=None, settings="{}", folder="/", home="home", budget="{}", short=0,
)  # fmt: skip


class Told(list[str]):
    """The addresses that a client of the handshake era was told of."""

    def __init__(self) -> None:
        super().__init__()
        self.more = asyncio.Event()

    async def hear(self, message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            self.append(str(message.params.uri))
            self.more.set()

    async def wait_for(self, uri: str) -> None:
        async with asyncio.timeout(600):
            while uri not in self:
                self.more.clear()
                await self.more.wait()


@pytest.fixture
def server(settings: Settings) -> Host:
    return create_server(settings)


async def change(server: Host, *uris: str) -> None:
    for uri in uris:
        await server.services.bus.publish(ResourceUpdated(uri))


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_subscriber_is_told_of_what_it_asked_for_until_it_unsubscribes(server: Host) -> None:
    told, other = Told(), Told()
    async with (
        Client(server, mode="legacy", message_handler=told.hear) as client,
        Client(server, mode="legacy", message_handler=other.hear),
    ):
        resources = client.server_capabilities.resources
        assert resources is not None
        assert (resources.subscribe, resources.list_changed) == (True, False)
        await unsubscribe(client, CARD)  # before, twice, and of what nobody has: no error
        await subscribe(client, CARD)
        await subscribe(client, CARD)
        await change(server, "mlflow://runs/another")
        await asyncio.gather(change(server, CARD), change(server, CARD))  # told once
        await told.wait_for(CARD)
        await unsubscribe(client, CARD)
        await unsubscribe(client, CARD)
        await change(server, CARD)
        await settled()
    assert told == [CARD]
    assert other == []


async def test_what_no_address_fits_cannot_be_subscribed_to_and_what_is_not_there_yet_can(
    server: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "MAX_SUBSCRIPTIONS", 3)
    async with Client(server, mode="legacy") as client:
        for uri in ("mlflow://nothing", "file:///etc/passwd", "mlflow://runs/../../x", "x" * 5000):
            with pytest.raises(MCPError, match=r"unknown resource .* mlflow://experiments") as caught:
                await subscribe(client, uri)
            assert caught.value.error.code == -32602
        for uri in ("mlflow://experiments", "mlflow://models/later", CARD):
            await subscribe(client, uri)
        await subscribe(client, CARD)
        with pytest.raises(MCPError, match="3 resources are subscribed to already"):
            await subscribe(client, "mlflow://models/one-more")


async def test_a_client_that_is_gone_leaves_nothing_behind(server: Host) -> None:
    before = len(asyncio.all_tasks())
    for _ in range(20):
        async with Client(server, mode="legacy") as client:
            await subscribe(client, CARD)
            assert server.services.bus.heard
        assert not server.services.bus.heard
    async with Client(server) as client, client.listen(resource_subscriptions=[CARD]):
        assert server.services.bus.heard
    await settled()
    assert not server.services.bus.heard
    assert len(asyncio.all_tasks()) <= before


async def test_a_modern_client_listens_and_the_lists_are_not_said_to_change(server: Host) -> None:
    async with Client(server) as client:
        capabilities = client.server_capabilities
        assert capabilities.resources is not None
        assert capabilities.resources.subscribe
        for each in (capabilities.resources, capabilities.tools, capabilities.prompts):
            assert each is not None
            assert not each.list_changed
        async with client.listen(resource_subscriptions=[CARD]) as heard:
            await change(server, "mlflow://runs/another", CARD)
            async with asyncio.timeout(600):
                assert await anext(aiter(heard)) == ResourceUpdated(CARD)


@pytest.mark.parametrize(
    ("handles", "uris"),
    [
        ([f"run:{RUN}"], [CARD]),
        (["model:credit/3"], ["mlflow://models/credit", "mlflow://models/credit/versions/3"]),
        (["models:/credit/3", "model:credit"], ["mlflow://models/credit", "mlflow://models/credit/versions/3"]),
        (["model:credit@champion"], ["mlflow://models/credit"]),
        (["model:a b/1"], ["mlflow://models/a%20b", "mlflow://models/a%20b/versions/1"]),
        (["experiment:e", "experiment:f"], ["mlflow://experiments"]),
        ([f"models:/m-{RUN}", "dataset:x@0123456789ab", "run:short", "model:", "job:1"], []),
    ],
)
def test_a_handle_has_its_cards(handles: Sequence[str], uris: Sequence[str]) -> None:
    assert list(cards_of(handles)) == list(uris)


async def test_only_what_was_written_is_told(server: Host) -> None:
    seen: list[str] = []
    leave = server.services.bus.subscribe(lambda event: seen.append(getattr(event, "uri", "")))
    changes = server.services.changes
    await changes.made("upkeep", {"handle": f"run:{RUN}"}, {"state": "preview", "handles": [f"run:{RUN}"]})
    await changes.made("serving", {"model": "model:credit/1"}, {"model": "model:credit/1"})
    assert seen == []
    await changes.made("upkeep", {"handle": f"run:{RUN}"}, {"state": "deleted", "handles": [f"run:{RUN}"]})
    await changes.made("tracking", {"name": "e"}, {"experiment_id": "3", "name": "e"})
    assert seen == [CARD, "mlflow://experiments"]
    leave()


async def test_a_job_whose_end_is_seen_late_is_told_once(server: Host, settings: Settings) -> None:
    table, changes, seen = table_of(settings), server.services.changes, list[str]()

    def end(run: str, ago_s: float) -> None:
        row = table.insert(replace(NEW, request=json.dumps({"run": f"run:{run}"})))
        assert table.claim("home", "here", Slots(99))
        assert table.finish(row.id, 1, End("done", "{}"))
        with table.backend.open() as db:
            db.execute("update jobs set ended=? where id=?", (time.time() - ago_s, row.id))

    leave = server.services.bus.subscribe(lambda event: seen.append(getattr(event, "uri", "")))
    end(RUN, -3600)  # by a server whose clock is ahead
    await changes.look_at_jobs()
    end(RUN[::-1], LATE_S / 2)
    await changes.look_at_jobs()
    await changes.look_at_jobs()
    assert seen == [CARD, f"mlflow://runs/{RUN[::-1]}"]
    leave()


@pytest.mark.slow
async def test_runs_and_models_that_tools_and_jobs_change_are_told_to_both_eras(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("x,y\n" + "\n".join(f"{n},{int(n > 50)}" for n in range(100)))
    server, told = create_server(settings), Told()
    async with (
        server.services.running(),
        Client(server, mode="legacy", message_handler=told.hear) as client,
        Client(server) as modern,
    ):
        started = (await client.call_tool("start_run", {"name": "watched"})).structured_content
        assert started
        card = f"mlflow://runs/{started['run'].removeprefix('run:')}"
        for uri in (card, "mlflow://models/credit"):
            await subscribe(client, uri)
        async with modern.listen(resource_subscriptions=["mlflow://models/credit"]) as heard:
            await client.call_tool("log_run", {"run": started["run"], "metrics": {"auc": 0.5}})
            await told.wait_for(card)
            told.clear()
            made = await client.call_tool(
                "train_model",
                {
                    "dataset": str(tmp_path / "rows.csv"),
                    "target": "y",
                    "algorithm": "LogisticRegression",
                    "run": started["run"],
                    "wait_s": 0,
                },
            )
            job = (made.structured_content or {})["job"]
            await told.wait_for(card)  # its beginning
            told.clear()
            await told.wait_for(card)  # its end, which nobody waited for
            trained = (await client.call_tool("get_job", {"job": job})).structured_content
            assert trained
            await modern.call_tool("register_model", {"model": trained["result"]["model"], "name": "credit"})
            await told.wait_for("mlflow://models/credit")
            async with asyncio.timeout(600):
                assert await anext(aiter(heard)) == ResourceUpdated("mlflow://models/credit")
