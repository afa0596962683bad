"""Spans of an Anthropic client, taken where its requests leave: at the transport.

Every way to call the Messages API passes there, with its own body, so nothing of one call can show up in another's
span; and a span ends with its response, whether that was read, broken off, refused or never came.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ...errors import require
from ..span import Span, Tracer
from .anthropic_stream import Assembly, decoded, mapping

if TYPE_CHECKING:
    import httpx2

Client = TypeVar("Client")
PATH = "/v1/messages"
MAX_KEPT_BYTES = 2_000_000
STREAM = "text/event-stream"
SHOWN = ("system", "messages", "tools", "tool_choice")


def tracked(client: Client, tracer: Tracer) -> Client:
    """A copy of a sync or async client whose requests are traced.

    Raises:
        NotInstalled: anthropic is missing.
        TypeError: it is no Anthropic client.
    """
    require("anthropic")
    import anthropic
    import httpx2

    inner = getattr(client, "_client", None)
    if isinstance(client, anthropic.AsyncAnthropic) and isinstance(inner, httpx2.AsyncClient):
        leaving: Any = _async_transport(inner, tracer)
        outer: Any = httpx2.AsyncClient(transport=leaving, base_url=inner.base_url, timeout=None)
        return cast(Client, client.copy(http_client=outer))
    if isinstance(client, anthropic.Anthropic) and isinstance(inner, httpx2.Client):
        outer = httpx2.Client(transport=_sync_transport(inner, tracer), base_url=inner.base_url, timeout=None)
        return cast(Client, client.copy(http_client=outer))
    raise TypeError(f"an Anthropic or AsyncAnthropic client is traced, not a {type(client).__name__}")


@dataclass
class Exchange:
    """One request and what has come back so far."""

    tracer: Tracer
    span: Span
    status: int = 0
    stream: Assembly | None = None
    kept: bytearray = field(default_factory=bytearray)
    legible: bool = True
    done: bool = False

    @classmethod
    def begin(cls, tracer: Tracer, body: bytes) -> Exchange:
        """Open the span; it shows as started, for a model may think long."""
        asked = decoded(body)
        shown = {name: asked[name] for name in SHOWN if name in asked}
        span = tracer.start("anthropic.messages", "llm", input=shown)
        for name, value in asked.items():
            if name not in shown and name != "model":
                span.set_attribute(name, value)
        span.model, span.provider = str(asked.get("model", "")), "anthropic"
        tracer.announce(span)
        return cls(tracer, span)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.legible = headers.get("content-encoding", "identity") == "identity"
        if headers.get("content-type", "").startswith(STREAM):
            self.stream = Assembly()

    def take(self, chunk: bytes) -> None:
        if not self.legible:
            return
        if self.stream is not None:
            self.stream.feed(chunk)
        elif len(self.kept) < MAX_KEPT_BYTES:
            self.kept += chunk

    @contextmanager
    def broken_off(self) -> Generator[None]:
        """Whatever ends the exchange before its time, a cancellation too, is told by its span."""
        try:
            yield
        except BaseException as error:
            self.end(None if isinstance(error, GeneratorExit) else error)
            raise

    def end(self, error: BaseException | None = None) -> None:
        """Report the span once, with what is known by now."""
        if self.done:
            return
        self.done = True
        message = self.stream.message() if self.stream else decoded(self.kept)
        self._note(message)
        if isinstance(error, Exception):
            self.span.fail(error)
        elif error is not None:
            self.span.set_status("cancelled")
        elif self.status >= 400 or message.get("error"):
            self._refused(mapping(message.get("error")))
        elif self.stream and self.legible and not message.get("stop_reason"):
            self.span.set_status("cancelled", "the stream was broken off")
        self.tracer.finish(self.span)

    def _refused(self, said: dict[str, Any]) -> None:
        status = f"HTTP {self.status}" if self.status >= 400 else "in the stream"
        self.span.fail(f"{status}: {said.get('message', '')}")
        self.span.error_type = str(said.get("type", "api_error"))

    def _note(self, message: dict[str, Any]) -> None:
        if "content" in message:
            self.span.set_output({"content": message["content"]})
        for name in ("id", "stop_reason"):
            if message.get(name):
                self.span.set_attribute(name, message[name])
        if usage := mapping(message.get("usage")):
            self.span.usage = _usage(usage)


def _usage(usage: dict[str, Any]) -> dict[str, int]:
    """Opik's names; what was read from or written to the cache is part of the prompt."""
    counts = {name: value for name, value in usage.items() if isinstance(value, int)}
    cached = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    prompt, completion = sum(counts.get(name, 0) for name in cached), counts.get("output_tokens", 0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **{f"original_usage.{name}": value for name, value in counts.items()},
    }


def _is_message(request: httpx2.Request) -> bool:
    return request.method == "POST" and request.url.path.rstrip("/").endswith(PATH)


def _plain(request: httpx2.Request) -> None:
    """What comes back is read on the way, so it should not be compressed."""
    request.headers["accept-encoding"] = "identity"


def _async_transport(inner: httpx2.AsyncClient, tracer: Tracer) -> httpx2.AsyncBaseTransport:
    """Sends through the client that was given, so that its proxies, certificates and hooks hold."""
    import httpx2

    class Body(httpx2.AsyncByteStream):
        def __init__(self, response: httpx2.Response, exchange: Exchange) -> None:
            self._response, self._exchange = response, exchange

        async def __aiter__(self) -> AsyncIterator[bytes]:
            with self._exchange.broken_off():
                async for chunk in self._response.aiter_raw():
                    self._exchange.take(chunk)
                    yield chunk
            self._exchange.end()

        async def aclose(self) -> None:
            self._exchange.end()
            await self._response.aclose()

    class Transport(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if not _is_message(request):
                return await inner.send(request, stream=True)
            _plain(request)
            exchange = Exchange.begin(tracer, await request.aread())
            with exchange.broken_off():
                response = await inner.send(request, stream=True)
            exchange.answered(response.status_code, response.headers)
            return _passed_on(response, Body(response, exchange))

        async def aclose(self) -> None:
            await inner.aclose()

    return Transport()


def _sync_transport(inner: httpx2.Client, tracer: Tracer) -> httpx2.BaseTransport:
    """As the asynchronous one."""
    import httpx2

    class Body(httpx2.SyncByteStream):
        def __init__(self, response: httpx2.Response, exchange: Exchange) -> None:
            self._response, self._exchange = response, exchange

        def __iter__(self) -> Iterator[bytes]:
            with self._exchange.broken_off():
                for chunk in self._response.iter_raw():
                    self._exchange.take(chunk)
                    yield chunk
            self._exchange.end()

        def close(self) -> None:
            self._exchange.end()
            self._response.close()

    class Transport(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            if not _is_message(request):
                return inner.send(request, stream=True)
            _plain(request)
            exchange = Exchange.begin(tracer, request.read())
            with exchange.broken_off():
                response = inner.send(request, stream=True)
            exchange.answered(response.status_code, response.headers)
            return _passed_on(response, Body(response, exchange))

        def close(self) -> None:
            inner.close()

    return Transport()


def _passed_on(response: httpx2.Response, body: Any) -> httpx2.Response:
    import httpx2

    return httpx2.Response(response.status_code, headers=response.headers, stream=body, extensions=response.extensions)
