"""A new bento proves itself at a real proxy; its service and its process are stand-ins."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
from pydantic import ValidationError

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.jobs.alive import held
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import client, deploying, endpoints, marks
from mlops_mcp.tools.serving.models import Canary, Deployment, EndpointFile, RollbackRequest
from mlops_mcp.tools.serving.proxy import handle
from mlops_mcp.tools.serving.proxy.places import Places

from ....waiting import until
from ..conftest import kill
from .standins import deployment
from .test_keeping import Named, ask

Standin = Callable[[str, str], int]


class Failing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(500)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Tried:
    """An endpoint at which one bento serves, and others can be tried."""

    work: Work
    old: Deployment
    ports: Mapping[str, int]
    standin: Standin

    def begun(self, name: str, percent: int = 0) -> Deployment:
        """Another one, started under the endpoint's lock: what no file knows is ended otherwise."""
        return deployment(name, self.ports[name], percent, self.standin("credit", name))

    def prove(self, name: str, steps: list[int], **bounds: float) -> None:
        canary = Canary.model_validate({"steps": steps, "hold_s": 0.5, **bounds})
        with endpoints.change(self.work, "credit"):
            deploying.prove(self.work, "credit", [self.old], self.begun(name), canary)

    def state(self) -> EndpointFile:
        return endpoints.read(self.work, "credit")

    def alive(self, name: str) -> bool:
        return any(identity == name for _, identity in marks.found(self.work.home))


@pytest.fixture
def tried(work: Work, standin: Standin) -> Generator[Tried]:
    places = Places(work.home.absolute())
    with ExitStack() as stack:
        ports = {name: stack.enter_context(served(kind)) for name, kind in SERVICES.items()}
        old = deployment("old", ports["old"], 100, standin("credit", "old"))
        endpoints.write(work, EndpointFile(endpoint="credit", deployments=[old]))
        handle.ensure(work)
        yield Tried(work, old, ports, standin)
        endpoints.remove(work, "credit")
        until(lambda: not held(places.keeper) and not held(places.relay))


SERVICES: dict[str, type[BaseHTTPRequestHandler]] = {"old": Named, "good": Named, "bad": Failing}


@contextmanager
def served(kind: type[BaseHTTPRequestHandler]) -> Generator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def calls(tried: Tried) -> Generator[None]:
    """Callers that go on until the test ends."""
    ending, port = Event(), handle.port_of(tried.work)

    def calling() -> None:
        while not ending.is_set():
            ask(port)

    callers = [Thread(target=calling) for _ in range(2)]
    for each in callers:
        each.start()
    yield
    ending.set()
    for each in callers:
        each.join()


@pytest.mark.usefixtures("calls")
def test_one_that_holds_goes_from_step_to_step(tried: Tried) -> None:
    with endpoints.change(tried.work, "credit"):
        made = tried.begun("good")
        canary = Canary(steps=[30, 60], hold_s=0.5)
        deploying.prove(tried.work, "credit", [tried.old], made, canary)
        assert [(each.id, each.percent, each.trial) for each in tried.state().deployments] == [
            ("old", 40, False), ("good", 60, True),
        ]  # fmt: skip


@pytest.mark.usefixtures("calls")
def test_one_that_fails_goes_and_what_served_before_has_all_calls_again(tried: Tried) -> None:
    with pytest.raises(ToolFailure, match=r"bento:credit:bad was rolled back at 50 %: \d+ of \d+ calls failed"):
        tried.prove("bad", [50, 90])
    assert tried.state().deployments == [tried.old]
    assert "was rolled back at 50 %" in tried.state().events[0].what
    assert not tried.alive("bad")


@pytest.mark.usefixtures("calls")
def test_one_that_is_slower_than_allowed_goes(tried: Tried) -> None:
    with pytest.raises(ToolFailure, match=r"p99 of \d+ calls is .* ms \(allowed 0.001\)"):
        tried.prove("good", [50], max_p99_ms=0.001)
    assert tried.state().deployments == [tried.old]


def test_one_that_nobody_calls_has_proven_nothing(tried: Tried) -> None:
    with pytest.raises(ToolFailure, match=r"at 5 %: no call reached it in 0.5 s"):
        tried.prove("good", [5])
    assert tried.state().deployments == [tried.old]


def test_one_whose_process_dies_goes(tried: Tried) -> None:
    with endpoints.change(tried.work, "credit"):
        made = tried.begun("good")
        kill(made.pid)
        with pytest.raises(ToolFailure, match="at 5 %: its process died"):
            deploying.prove(tried.work, "credit", [tried.old], made, Canary(steps=[5]))


def test_who_was_killed_while_he_tried_one_leaves_what_served_before(tried: Tried) -> None:
    with endpoints.change(tried.work, "credit"):
        trial = tried.begun("good", 30).model_copy(update={"trial": True})
        endpoints.keep(tried.work, "credit", [tried.old.model_copy(update={"percent": 70}), trial])
    until(lambda: tried.state().deployments == [tried.old])
    until(lambda: not tried.alive("good"))


def test_a_rollback_ends_the_newest_and_gives_the_others_its_calls(tried: Tried) -> None:
    with endpoints.change(tried.work, "credit"):
        shared = [tried.old.model_copy(update={"percent": 90}), tried.begun("good", 10)]
        endpoints.keep(tried.work, "credit", shared)
    assert client.get_endpoint(tried.work, "credit").rollback_to == tried.old.bento
    back = client.rollback_endpoint(tried.work, RollbackRequest(endpoint="credit"))
    assert (back.traffic, back.stopped) == ({tried.old.bento: 100}, ["bento:credit:good"])
    assert back.undo == "deploy_model(bento='bento:credit:good', endpoint='endpoint:credit', percent=10)"
    assert tried.state().deployments == [tried.old]
    with pytest.raises(ToolFailure, match="has served nothing before"):
        client.rollback_endpoint(tried.work, RollbackRequest(endpoint="credit"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": []}, {"steps": [0]}, {"steps": [100]}, {"steps": [5] * 11}, {"steps": [5], "hold_s": 0},
        {"steps": [5], "max_error_rate": 1.1}, {"steps": [5], "max_p99_ms": 0}, {"steps": [5], "hold_s": float("nan")},
    ],
)  # fmt: skip
def test_a_canary_out_of_reason_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"steps are|hold_s is|max_p99_ms is"):
        Canary.model_validate(wrong)


def test_an_endpoint_is_shown_with_what_was_counted_of_each_bento(tried: Tried) -> None:
    for _ in range(4):
        ask(handle.port_of(tried.work))
    seen = client.get_endpoint(tried.work, "endpoint:credit")
    (version,) = seen.versions
    assert (version.requests, version.errors, version.error_rate, version.restarts) == (4, 0, 0, 0)
    assert version.p50_ms is not None
    assert (seen.url, seen.rollback_to) == (handle.address(tried.work, "credit"), None)
    log = endpoints.folder(tried.work, "credit", "old") / "log.txt"
    log.parent.mkdir(parents=True)
    log.write_text("x" * 9000 + " Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG end")
    text = client.get_endpoint_logs(tried.work, "credit").logs[tried.old.bento]
    assert len(text) <= 4000
    assert "abcdefghijklmnopqrstuvwxyz" not in text
    assert text.endswith("end")
