"""Who wants to know when a card has changed: clients of the handshake era, and the bus that tells all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

import anyio
from mcp import MCPError
from mcp.server import MCPServer, Server
from mcp.server.context import HandlerResult
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated, ServerEvent
from mcp.shared.uri_template import UriTemplate
from mcp.types import (
    INVALID_PARAMS,
    DiscoverResult,
    EmptyResult,
    RequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)

from .connections import Request, connection_of

# Of one client; each costs a look at every change.
MAX_SUBSCRIPTIONS = 1000
STATE = "subscriber"
Answer = Callable[[Request, RequestParams], Awaitable[HandlerResult]]


class Bus(InMemorySubscriptionBus):
    """The SDK's bus, which says whether anybody listens at all."""

    @property
    def heard(self) -> bool:
        return bool(self._listeners)


class Subscriber:
    """One client of the handshake era: an address that changes twice before it could be told is told once."""

    def __init__(self, session: ServerSession, bus: Bus) -> None:
        self.uris: set[str] = set()
        self._session = session
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._leave = bus.subscribe(self._note)
        # In a context of its own: it outlives the request, whose trace and log are none of its business.
        self._telling = asyncio.create_task(self._tell(), context=Context())

    async def close(self) -> None:
        self._leave()
        self._telling.cancel()

    def _note(self, event: ServerEvent) -> None:
        if isinstance(event, ResourceUpdated) and event.uri in self.uris:
            self._changed[event.uri] = None
            self._wake.set()

    async def _tell(self) -> None:
        while await self._wake.wait():
            self._wake.clear()
            changed, self._changed = self._changed, {}
            for uri in changed:
                try:
                    await self._session.send_resource_updated(uri)
                except (anyio.ClosedResourceError, anyio.BrokenResourceError):  # it is gone
                    return


class Subscriptions:
    """`resources/subscribe` and its opposite; the modern era has `subscriptions/listen`, which the SDK serves."""

    def __init__(self, server: MCPServer[Any], bus: Bus) -> None:
        self._server = server
        self._bus = bus

    def serve(self, protocol: Server[Any]) -> None:
        """Answer these requests, and say of our lists what is true."""
        discover = protocol.get_request_handler("server/discover")
        assert discover is not None
        protocol.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        protocol.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)
        protocol.add_request_handler("server/discover", RequestParams, _honest(discover.handler))

    async def _subscribe(self, ctx: Request, params: SubscribeRequestParams) -> EmptyResult:
        uri = str(params.uri)
        await self._require_served(uri)
        subscriber = self._subscriber(ctx)
        if len(subscriber.uris) >= MAX_SUBSCRIPTIONS and uri not in subscriber.uris:
            raise MCPError(
                code=INVALID_PARAMS,
                message=f"{MAX_SUBSCRIPTIONS} resources are subscribed to already; unsubscribe from one first",
            )
        subscriber.uris.add(uri)
        return EmptyResult()

    async def _unsubscribe(self, ctx: Request, params: UnsubscribeRequestParams) -> EmptyResult:
        if subscriber := connection_of(ctx).state.get(STATE):
            subscriber.uris.discard(str(params.uri))
        return EmptyResult()

    def _subscriber(self, ctx: Request) -> Subscriber:
        connection = connection_of(ctx)
        if STATE not in connection.state:
            connection.state[STATE] = subscriber = Subscriber(ctx.session, self._bus)
            connection.exit_stack.push_async_callback(subscriber.close)
        found: Subscriber = connection.state[STATE]
        return found

    async def _require_served(self, uri: str) -> None:
        """What is not there yet may come; what no address of ours fits never will.

        Raises:
            MCPError: there is no such resource, nor a template that it fits.
        """
        fixed = [str(resource.uri) for resource in await self._server.list_resources()]
        forms = [template.uri_template for template in await self._server.list_resource_templates()]
        if uri in fixed or any(UriTemplate.parse(form).match(uri) is not None for form in forms):
            return
        message = f"unknown resource {uri[:200]!r}. Valid: {', '.join((*fixed, *forms))}"
        raise MCPError(code=INVALID_PARAMS, message=message, data={"uri": uri[:200]})


def _honest(discover: Answer) -> Answer:
    """Our lists stay as they are while a server runs; the SDK says they change wherever one can listen."""

    async def answer(ctx: Request, params: RequestParams) -> DiscoverResult:
        found = await discover(ctx, params)
        assert isinstance(found, DiscoverResult)
        for each in (found.capabilities.tools, found.capabilities.resources, found.capabilities.prompts):
            if each is not None:
                each.list_changed = False
        return found

    return answer
