"""A store with traces to ship, an Opik that records, and a shipper in a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from mlops_mcp.config.settings import Settings
from mlops_mcp.config.watch import Watch
from mlops_mcp.server.cli import main
from mlops_mcp.tools.tracing.opik import outbox
from mlops_mcp.tools.tracing.opik.backoff import Timing
from mlops_mcp.tools.tracing.opik.shipper import ship
from mlops_mcp.tools.tracing.opik.shipper_lock import ShipperLock
from mlops_mcp.tools.tracing.score import Score
from mlops_mcp.tools.tracing.span import Span, Tracer
from mlops_mcp.tools.tracing.store.destination import Destination
from mlops_mcp.tools.tracing.store.writer import TraceStore

from .recorder import Recorder

Command = Callable[..., tuple[int, str]]

FAST = Timing(
    connect_s=60.0, read_s=60.0, first_wait_s=0.05, longest_wait_s=0.4, locked_out_s=0.3, poll_s=0.02, give_up_s=1.0,
    started_after_s=0.5,
)  # fmt: skip
# For an Opik that never answers: everybody else is given the time that a busy machine takes.
IMPATIENT = replace(FAST, read_s=3.0)


@dataclass
class Made:
    """What a test has put into the store: the ids of it."""

    traces: set[str] = field(default_factory=set)
    spans: set[str] = field(default_factory=set)

    @property
    def rows(self) -> int:
        return len(self.traces) + len(self.spans)


@dataclass
class Site:
    """A state folder, and what shall reach Opik from it."""

    settings: Settings
    made: Made = field(default_factory=Made)

    @property
    def store(self) -> Path:
        return self.settings.home / "traces.db"

    @property
    def lock(self) -> ShipperLock:
        destination = Destination.of(self.settings)
        assert destination is not None
        return ShipperLock(self.store, destination)

    @property
    def status(self) -> outbox.Status:
        return outbox.status(self.store)

    def put(self, *spans: Span) -> None:
        store = TraceStore(self.store, 64)
        for span in spans:
            store.put(span)
        store.close()

    def calls(self, number: int, name: str = "call") -> Made:
        """Write tool calls, each with one call of a model below it and a score."""
        made = Made()
        store = TraceStore(self.store, 64)
        tracer = Tracer(store.put)
        for count in range(number):
            with tracer.span(f"{name} {count}", "tool", input={"count": count}) as outer:
                with tracer.span("model", "llm") as inner:
                    inner.model, inner.usage = "claude", {"total_tokens": count}
                outer.set_output({"done": True})
            store.put_score(Score("trace", outer.trace_id, "quality", 0.5))
            made.traces.add(outer.trace_id)
            made.spans |= {outer.id, inner.id}
        store.close()
        self.made.traces |= made.traces
        self.made.spans |= made.spans
        return made

    @contextmanager
    def shipping(self, settings: Settings | None = None, timing: Timing = FAST) -> Generator[None]:
        """A shipper in a thread while the body runs."""
        ended = threading.Event()
        used = settings or self.settings

        def run() -> None:
            ship(used, lambda _: not ended.is_set(), Watch(used), timing)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def delivered(self) -> bool:
        return self.status.waiting == 0


def with_opik(settings: Settings, url: str, **given: object) -> Settings:
    opik = settings.opik.model_copy(update={"url": url, "api_key": SecretStr(""), **given})
    return settings.model_copy(update={"opik": opik})


@pytest.fixture
def opik() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder
        assert recorder.problems == []


@pytest.fixture
def site(settings: Settings, opik: Recorder) -> Site:
    return Site(with_opik(settings, opik.url))


@pytest.fixture
def command(
    site: Site,
    opik: Recorder,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPIK_URL_OVERRIDE", opik.url)

    def run(*arguments: str) -> tuple[int, str]:
        code = main(["traces", *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run
