"""Whose call it is, by what a transport tells of its caller."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from mcp import Client
from mcp.types import Implementation
from starlette.requests import Request

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.server.scope import caller_of
from mlops_mcp.tools.spec import Injected, Toolset, writes


def scope(
    headers: Mapping[str, str] | None = None, query: str = "", client: str | None = None, address: str = ""
) -> str:
    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    client_address = (address, 1) if address else None
    asked = {"type": "http", "headers": raw, "query_string": query.encode(), "client": client_address}
    request = None if headers is None else Request(asked)
    info = SimpleNamespace(client_info=SimpleNamespace(name=client)) if client is not None else None
    context = SimpleNamespace(request=request, session=SimpleNamespace(client_params=info))
    return caller_of(cast(Any, SimpleNamespace(request_context=context))).scope


def test_a_token_is_the_caller_whatever_its_session_and_client() -> None:
    token = {"authorization": "Bearer hunter2"}
    assert scope(token, client="a") == scope({**token, "mcp-session-id": "1"}, client="b")
    assert scope(token) != scope({"authorization": "Bearer other"})
    assert "hunter2" not in scope(token)


def test_without_a_token_the_session_is_the_caller() -> None:
    assert scope({"mcp-session-id": "1"}, client="a") == scope({"mcp-session-id": "1"})
    assert len({scope({"mcp-session-id": "1"}), scope({"mcp-session-id": "2"}), scope({}, "session_id=3")}) == 3


def test_without_either_the_name_of_the_client_is_the_caller() -> None:
    assert scope(client="a") == scope({}, client="a") != scope(client="b")
    assert len({scope(), scope({"authorization": "a"}), scope({"mcp-session-id": "a"}), scope(client="a")}) == 4


def test_over_http_the_same_name_at_another_address_is_another_caller() -> None:
    assert scope({}, client="a", address="10.0.0.1") != scope({}, client="a", address="10.0.0.2")
    token = {"authorization": "Bearer hunter2"}
    assert scope(token, client="a", address="10.0.0.1") == scope(token, client="a", address="10.0.0.2")


async def test_a_job_knows_whose_idempotency_key_it_was_started_with(settings: Settings) -> None:
    seen: list[tuple[str, str]] = []

    async def start_work(context: Injected) -> int:
        """Start work."""
        seen.append((context.idempotency, context.scope))
        return len(seen)

    server = create_server(settings, Toolset("work", "", (writes(start_work, "Start work", job="short"),)))
    async with server.services.running():
        for name in ("a", "b", "a"):
            async with Client(server, client_info=Implementation(name=name, version="1")) as client:
                assert not (await client.call_tool("start_work", {"idempotency_key": "k"})).is_error
    assert [key for key, _ in seen] == ["k"] * 3
    first, other, again = (scope for _, scope in seen)
    assert first == again != other
