"""Two identities of every scope, all tools, resources, prompts and tasks, and every way in, as the declarations say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from mlops_mcp.config.settings import Settings
from mlops_mcp.prompts.templates import PROMPTS
from mlops_mcp.server.access.callers import Callers
from mlops_mcp.server.access.scopes import METHODS, NEEDED, RESOURCES
from mlops_mcp.server.app import create_server
from mlops_mcp.server.ending import Ending, WebServer
from mlops_mcp.server.host import Host
from mlops_mcp.server.policy.policy import Policy
from mlops_mcp.server.task_extension import Tasks
from mlops_mcp.server.transports import web_config
from mlops_mcp.server.web import web_app
from mlops_mcp.tools import wire
from mlops_mcp.tools.runtime.identity import ACCESSES, Access
from mlops_mcp.tools.runtime.jobs.launch import home_id, stored, table_of
from mlops_mcp.tools.runtime.jobs.table import NewJob

from ...conftest import in_a_task_of_its_own
from .conftest import Door, opened

pytestmark = pytest.mark.slow

TOOLS = [name for names in wire.index().values() for name in names]
SCOPES: tuple[Access, ...] = ACCESSES
Key = tuple[str, Access]
KEYS: tuple[Key, ...] = tuple((name, scope) for name in ("ann", "bob") for scope in SCOPES)


def access_of(tool: str) -> Access:
    """The scope that a tool takes by what it says of itself."""
    hints = wire.shipped(tool)["annotations"]
    said: Access = "read" if hints["readOnlyHint"] else "admin" if hints["destructiveHint"] else "write"
    return NEEDED.get(tool, said)


def reaches(scope: Access, needed: Access) -> bool:
    return SCOPES.index(scope) >= SCOPES.index(needed)


@dataclass
class Building:
    """One server, its address, and a token of each name and scope."""

    host: Host
    url: str
    tokens: Mapping[Key, str]


@asynccontextmanager
async def standing(settings: Settings) -> AsyncGenerator[Building]:
    server, callers = create_server(settings), Callers(settings)
    tokens = {key: callers.tokens.make("-".join(key), key[1]) for key in KEYS}
    config = web_config(web_app(server, settings, callers, True, Ending()), settings.server)
    config.port = 0
    web = WebServer(config)
    async with server.services.running():
        task = asyncio.create_task(web.serve())
        while not web.started:
            await asyncio.sleep(0)
        try:
            yield Building(server, f"http://127.0.0.1:{web.servers[0].sockets[0].getsockname()[1]}", tokens)
        finally:
            web.should_exit = web.force_exit = True
            await task


@pytest.fixture
async def building(settings: Settings) -> AsyncGenerator[Building]:
    async with in_a_task_of_its_own(standing(settings)) as building:
        yield building


Way = Callable[[Building, str], AbstractAsyncContextManager[Client]]


def over_http(mode: Any) -> Way:
    @asynccontextmanager
    async def open_(building: Building, token: str) -> AsyncGenerator[Client]:
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=120) as http,
            Client(streamable_http_client(f"{building.url}/mcp", http_client=http), mode=mode) as client,
        ):
            yield client

    return open_


def over_sse(mode: Any) -> Way:
    @asynccontextmanager
    async def open_(building: Building, token: str) -> AsyncGenerator[Client]:
        headers = {"Authorization": f"Bearer {token}"}
        async with Client(sse_client(f"{building.url}/sse", headers=headers), mode=mode) as client:
            yield client

    return open_


WAYS: dict[str, Way] = {
    "http": over_http("auto"),
    "http, older era": over_http("legacy"),
    "sse": over_sse("auto"),
    "sse, older era": over_sse("legacy"),
}


async def said(asking: Awaitable[Any]) -> str:
    """What a caller is answered, be it an error of the protocol or of a tool."""
    try:
        return str((await asking).model_dump_json())
    except MCPError as error:
        return str(error)


def denied(text: str) -> bool:
    return "needs a token of scope" in text


@pytest.mark.parametrize("way", WAYS)
async def test_by_every_way_each_identity_sees_and_calls_what_its_scope_says(way: str, building: Building) -> None:
    async with AsyncExitStack() as stack:
        clients = {key: await stack.enter_async_context(WAYS[way](building, building.tokens[key])) for key in KEYS}
        seen = {key: await _seen(client) for key, client in clients.items()}
        for (name, scope), client in clients.items():
            assert seen[name, scope]["tools"] == {tool for tool in TOOLS if reaches(scope, access_of(tool))}
            assert seen[name, scope]["prompts"] == {prompt.name for prompt in PROMPTS}
            hidden = {uri for uri, needed in RESOURCES.items() if not reaches(scope, needed)}
            assert seen[name, scope]["resources"] == seen["ann", "admin"]["resources"] - hidden
            assert seen[name, scope]["templates"] == seen["ann", "admin"]["templates"]
            if name == "ann":  # bob's tokens are as good as hers
                await _try_all(client, scope, seen["ann", "admin"]["resources"])


async def _seen(client: Client) -> dict[str, set[str]]:
    return {
        "tools": {tool.name for tool in (await client.list_tools()).tools},
        "prompts": {prompt.name for prompt in (await client.list_prompts()).prompts},
        "resources": {str(each.uri) for each in (await client.list_resources()).resources},
        "templates": {each.uri_template for each in (await client.list_resource_templates()).resource_templates},
    }


async def _try_all(client: Client, scope: Access, resources: set[str]) -> None:
    for tool in TOOLS:
        # An argument that no tool has: whoever may call it is told of that, and nothing is done.
        text = await said(client.call_tool(tool, {"no_such_argument": 1}))
        assert (tool, denied(text)) == (tool, not reaches(scope, access_of(tool)))
        assert denied(text) or "no_such_argument" in text, text
    for spec in PROMPTS:
        given = {name: "x" for name, argument in spec.arguments.items() if argument.required}
        assert '"messages"' in await said(client.get_prompt(spec.name, given))
    for uri in resources:
        text = await said(client.read_resource(uri))
        assert (uri, '"contents"' in text) == (uri, reaches(scope, RESOURCES.get(uri, "read"))), text


def queued(settings: Settings, owner: str) -> str:
    """A job in the table that nobody starts: it belongs to another folder."""
    home = f"{home_id(settings)}x"
    new = NewJob("train_model", "", "x:y", "{}", 1, "", "", None, stored(settings), "/", home, "{}", owner=owner)
    return table_of(settings).insert(new).id


async def test_each_identity_follows_and_ends_the_tasks_that_are_its_own_as_far_as_its_scope_says(
    settings: Settings,
) -> None:
    async with opened(settings) as door:
        services = door.host.services
        tasks = Tasks(services.jobs, services.audit, (), Policy.of(settings, dict))
        methods = [binding.method for binding in tasks.methods()]
        assert METHODS.keys() < set(methods)
        bearers = {key: door.bearer("-".join(key), key[1]) for key in KEYS}
        for method in methods:
            jobs = {key: queued(settings, f"{key[0]}-{key[1]}") for key in bearers}
            for key, bearer in bearers.items():
                for owner, job in jobs.items():
                    told = await _task(door, bearer, method, job)
                    allowed = reaches(key[1], METHODS.get(method, "read"))
                    own = owner == key or key[1] == "admin"
                    expected = ("done" if own else "unknown") if allowed else "denied"
                    assert (method, key, owner, told) == (method, key, owner, expected)


async def _task(door: Door, bearer: Mapping[str, str], method: str, job: str) -> str:
    more: dict[str, Any] = {"inputResponses": {}} if method == "tasks/update" else {}
    answer = await door.ask(bearer, method, taskId=job, **more)
    message = str(answer.get("message", ""))
    return "denied" if denied(message) else "unknown" if "unknown task" in message else "done"


async def test_whoever_has_the_machine_sees_and_calls_all(settings: Settings) -> None:
    server = create_server(settings)
    async with server.services.running(), Client(server) as client:
        seen = await _seen(client)
        assert seen["tools"] == set(TOOLS)
        assert RESOURCES.keys() <= seen["resources"]
        await _try_all(client, "admin", seen["resources"])
