"""How calls are shared, what is kept of an endpoint, and who may change it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_mcp.server.cli import main
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.locks import Busy
from mlops_mcp.tools.platforms import limit_data
from mlops_mcp.tools.runtime.jobs.alive import held
from mlops_mcp.tools.runtime.work import Reporter, Work
from mlops_mcp.tools.serving import client, endpoints, processes, reverse
from mlops_mcp.tools.serving.bentos import Bento, find_bento
from mlops_mcp.tools.serving.connection import Connections
from mlops_mcp.tools.serving.endpoint_tokens import made_token, token_of
from mlops_mcp.tools.serving.models import (
    Canary,
    Deployment,
    DeployRequest,
    EndpointFile,
    PackageRequest,
    Resources,
    ServiceSpec,
    data_limit,
)
from mlops_mcp.tools.serving.planning import is_served, require_beside, size
from mlops_mcp.tools.serving.proxy.places import Places

from ...waiting import until


def deployment(identity: str, percent: int, pid: int = 0) -> Deployment:
    return Deployment(
        id=identity, bento=f"bento:credit:{identity}", pid=pid, port=1, started="", replicas=1,
        percent=percent, ready=True,
    )  # fmt: skip


@given(
    percents=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 100), min_size=1),
    percent=st.integers(0, 100),
)
def test_shares_are_whole_and_always_add_up_to_a_hundred(percents: dict[str, int], percent: int) -> None:
    found = endpoints.share(percents, "new", percent)
    assert sum(found.values()) == 100
    assert found["new"] == percent
    assert min(found.values()) >= 0


def test_the_others_keep_their_proportions_in_what_is_left() -> None:
    assert endpoints.share({"a": 75, "b": 25}, "c", 20) == {"a": 60, "b": 20, "c": 20}


def test_a_lone_bento_cannot_have_less_than_all_calls() -> None:
    with pytest.raises(ToolFailure, match="nothing else runs there"):
        endpoints.share({"a": 100}, "a", 40)


def test_what_is_written_of_an_endpoint_is_read_back(work: Work) -> None:
    state = EndpointFile(endpoint="credit", deployments=[deployment("old", 30), deployment("new", 70)])
    endpoints.write(work, state)
    assert endpoints.read(work, "endpoint:credit") == endpoints.read(work, "credit") == state
    assert endpoints.names(work) == ["credit"]
    assert [path.name for path in (work.home / "endpoints").iterdir()] == ["credit.json"]


def test_an_unknown_endpoint_is_refused_with_the_nearest_one(work: Work) -> None:
    endpoints.write(work, EndpointFile(endpoint="credit"))
    for call in (lambda: client.predict(work, "credti", [{}]), lambda: client.stop_endpoint(work, "credti")):
        with pytest.raises(ToolFailure, match="Did you mean endpoint:credit"):
            call()


@pytest.mark.parametrize("name", ["../credit", "a/b", "", "dataset:credit"])
def test_a_name_that_is_none_reads_nothing(work: Work, name: str) -> None:
    (work.home / "credit.json").parent.mkdir(parents=True, exist_ok=True)
    (work.home / "credit.json").write_text('{"endpoint": "credit"}')
    with pytest.raises(ToolFailure):
        endpoints.read(work, name)


def test_two_cannot_change_an_endpoint_at_once_but_two_endpoints_can_be_changed(work: Work) -> None:
    with endpoints.change(work, "credit"), endpoints.change(work, "other"), pytest.raises(Busy, match="list_jobs"):
        endpoints.change(work, "credit", wait_s=0).__enter__()
    with endpoints.change(work, "credit", wait_s=0):
        pass


def test_an_endpoint_whose_process_is_another_one_by_now_is_dead_and_says_how_to_revive_it(work: Work) -> None:
    # A process of ours, but without the mark: the number was used again.
    endpoints.write(work, EndpointFile(endpoint="credit", deployments=[deployment("old", 100, os.getpid())]))
    line = client.list_endpoints(work, 20, "").items[0]
    assert (line.state, line.deployments[0].state) == ("dead", "dead")
    with pytest.raises(ToolFailure, match=r"deploy_model\(bento='bento:credit:old', endpoint='endpoint:credit'\)"):
        client.predict(work, "credit", [{}])
    with pytest.raises(ToolFailure, match=r"is dead. .*get_endpoint\(endpoint='endpoint:credit'\)"):
        client.set_traffic(work, "credit", "bento:credit:old", 100)
    assert client.stop_endpoint(work, "credit").processes == 0
    assert client.list_endpoints(work, 20, "").total == 0
    without_proxy(work)


def test_who_asks_for_another_log_gets_another_process_and_going_back_brings_the_log_of_before(work: Work) -> None:
    old = deployment("old", 100).model_copy(update={"log_sample": 0.25})
    bento = Bento(ServiceSpec.model_construct(name="credit", version="old"), work.home)
    assert is_served(processes.Plan("credit", bento, 1, 1, 0, log_sample=0.25), old)
    for other in (0.0, 0.5):
        assert not is_served(processes.Plan("credit", bento, 1, 1, 0, log_sample=other), old)
    endpoints.write(work, EndpointFile(endpoint="credit", deployments=[deployment("new", 100)]))
    endpoints.take_over(work, "credit", deployment("new", 100), [old])
    former = endpoints.read(work, "credit").former
    assert former is not None
    assert former.log_sample == 0.25
    assert "log_sample=0.25" in (reverse.of_stop(EndpointFile(endpoint="credit", deployments=[old])) or "")


class Broken(BaseHTTPRequestHandler):
    """A service with a fault of its own."""

    def do_POST(self) -> None:
        self.send_response(500)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def broken_port() -> Generator[int]:
    server = HTTPServer(("127.0.0.1", 0), Broken)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_service_that_fails_says_why_in_the_words_of_its_log(
    work: Work, broken_port: int, standin: Callable[[str, str], int]
) -> None:
    alive = deployment("old", 100, standin("credit", "old")).model_copy(update={"port": broken_port})
    endpoints.write(work, EndpointFile(endpoint="credit", deployments=[alive]))
    log = endpoints.folder(work, "credit", "old") / processes.LOG_FILE
    log.parent.mkdir(parents=True)
    log.write_text("...\nMemoryError: 8 GB were asked for\n", encoding="utf-8")
    with pytest.raises(ToolFailure, match=r"failed: HTTP 500.*ends with: \.\.\.\nMemoryError: 8 GB"):
        client.predict(work, "credit", [{}])
    endpoints.remove(work, "credit")
    without_proxy(work)
    close(work)


def without_proxy(work: Work) -> None:
    """It ends with the last endpoint."""
    places = Places(work.home.absolute())
    until(lambda: not held(places.keeper) and not held(places.relay))


def close(work: Work) -> None:
    for kept in work.cache.values():
        if isinstance(kept, Connections):
            kept.close()


@pytest.mark.parametrize("name", ["credit-", "credit_"])
def test_a_name_that_bentoml_would_refuse_is_refused_first(work: Work, name: str) -> None:
    request = PackageRequest(model="models:/m-0", name=name, version="", batchable=False)
    with pytest.raises(ToolFailure, match="End it with a letter or a digit"):
        client.package_model(work, request)


def test_a_bento_of_no_endpoint_cannot_get_its_calls(work: Work) -> None:
    endpoints.write(work, EndpointFile(endpoint="credit", deployments=[deployment("old", 100)]))
    with pytest.raises(ToolFailure, match="Did you mean bento:credit:old"):
        client.set_traffic(work, "credit", "bento:credit:odl", 10)


def test_an_unknown_bento_is_refused_with_those_that_exist(work: Work) -> None:
    with pytest.raises(ToolFailure, match=r"no bento yet\. package_model makes one"):
        find_bento(work, "bento:credit:1")
    (work.settings.bentoml_home / "bentos/credit/1").mkdir(parents=True)
    (work.settings.bentoml_home / "bentos/credit/1/bento.yaml").touch()
    with pytest.raises(ToolFailure, match="Did you mean bento:credit:1"):
        find_bento(work, "credit:2")
    with pytest.raises(ToolFailure, match="not packaged by this server"):
        find_bento(work, "credit")


def test_a_deployment_with_a_bad_name_is_refused_before_anything_is_looked_up(work: Work) -> None:
    request = DeployRequest(bento="x", endpoint="Credit Risk", replicas=1, resources=Resources(), percent=100)
    with pytest.raises(ToolFailure, match=r"e\.g\. 'credit_risk'"):
        client.deploy_model(work, request)


@pytest.mark.parametrize(("text", "count"), [("", 0), ("2Gi", 2 << 30), ("512 MiB", 512 << 20), ("1.5g", 3 << 29)])
def test_sizes_are_read_as_kubernetes_writes_them(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("text", ["lots", "-1Gi", "2Ti", "100Mi", "5", f"{'9' * 30}Gi", f"{'9' * 400}Gi"])
def test_a_size_that_is_none_or_too_small_or_beyond_any_machine_is_refused(text: str) -> None:
    with pytest.raises(ToolFailure):
        size(text)


@pytest.mark.parametrize(("asked", "configured", "limit"), [(0, 4096, 4 << 30), (1 << 30, 4096, 1 << 30), (0, 0, 0)])
def test_each_process_may_have_what_was_asked_for_or_is_configured(
    work: Work, asked: int, configured: int, limit: int
) -> None:
    bentoml = work.settings.bentoml.model_copy(update={"memory_mb": configured})
    assert data_limit(work.settings.model_copy(update={"bentoml": bentoml}), asked) == limit
    assert work.settings.bentoml.memory_mb == 4096


@pytest.mark.parametrize(
    ("asked", "bento", "failure"),
    [
        ({"shadow": True}, "first", "Leave shadow out"),
        ({"canary": Canary()}, "first", "Leave canary out"),
        ({"percent": 10}, "first", "Leave percent out"),
        ({"shadow": True, "percent": 10}, "new", "neither percent nor canary"),
        ({"shadow": True, "canary": Canary()}, "new", "neither percent nor canary"),
        ({"canary": Canary()}, "old", "runs there already"),
        ({"percent": 0}, "old", "runs there already"),
    ],
)
def test_what_cannot_run_beside_another_bento_is_refused_with_what_to_leave_out(
    asked: dict[str, object], bento: str, failure: str
) -> None:
    running = [] if bento == "first" else [deployment("old", 100)]
    with pytest.raises(ToolFailure, match=failure):
        require_beside(request(**asked), f"bento:credit:{bento}", running)


@pytest.mark.parametrize("asked", [{"shadow": True, "percent": 0}, {"canary": Canary()}, {"percent": 10}, {}])
def test_what_can_run_beside_another_bento_is_let_through(asked: dict[str, object]) -> None:
    require_beside(request(**asked), "bento:credit:new", [deployment("old", 100)])


def request(**asked: object) -> DeployRequest:
    alone = {"bento": "x", "endpoint": "credit", "replicas": 1, "resources": Resources(), "percent": 100}
    return DeployRequest.model_validate({**alone, **asked})


def test_a_process_with_a_limit_gets_no_more_and_goes_on() -> None:
    greedy = "import sys; input()\ntry: bytearray(600 << 20)\nexcept MemoryError: print('refused')\nprint('well')"
    with subprocess.Popen([sys.executable, "-c", greedy], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        limit_data(psutil.Process(process.pid), 300 << 20)
        assert process.communicate(b"\n")[0].split() == [b"refused", b"well"]


def test_a_list_of_endpoints_changes_nothing(work: Work) -> None:
    begun = deployment("new", 100, os.getpid()).model_copy(update={"ready": False})
    endpoints.write(work, EndpointFile(endpoint="credit", deployments=[begun]))
    before = files(work)
    assert client.list_endpoints(work, 20, "").total == 1
    assert files(work) == before


def test_a_list_of_many_endpoints_looks_at_the_processes_of_the_machine_once(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        endpoints.write(work, EndpointFile(endpoint=name, deployments=[deployment("1", 50), deployment("2", 50)]))
    looks, every = list[None](), psutil.process_iter

    def counted() -> Iterator[psutil.Process]:
        looks.append(None)
        return every()

    monkeypatch.setattr(psutil, "process_iter", counted)
    assert len(client.list_endpoints(work, 20, "").items) == 3
    assert len(looks) == 1


def test_a_deployment_that_did_not_come_to_its_end_leaves_what_was_there_before(work: Work) -> None:
    ended, begun = deployment("old", 100), deployment("new", 0).model_copy(update={"ready": False})
    endpoints.write(work, EndpointFile(endpoint="credit", deployments=[ended, begun]))
    with endpoints.change(work, "credit"):
        client.forget_unfinished(work, "credit")
        assert len(endpoints.read(work, "credit").deployments) == 2  # another one is under way, and does it itself
    client.forget_unfinished(work, "endpoint:credit")
    assert endpoints.read(work, "credit").deployments == [ended]
    client.forget_unfinished(work, "other")


def test_a_deployment_says_how_to_tidy_up_after_it_before_it_begins(work: Work) -> None:
    said: list[tuple[str, str]] = []
    told = Work(work.settings, work.tracer, Reporter(say=lambda kind, text: said.append((kind, text))))
    with pytest.raises(ToolFailure):
        client.deploy_model(told, request())
    assert [(kind, json.loads(text)) for kind, text in said] == [
        ("cleanup", {"function": "mlops_mcp.tools.serving.client:forget_unfinished", "arguments": ["credit"]})
    ]


def files(work: Work) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in work.home.rglob("*") if path.is_file()}


def test_the_token_of_an_endpoint_is_private_stays_the_same_and_goes_with_it(work: Work) -> None:
    token = made_token(work.home, "credit")
    assert len(token) >= 43
    assert made_token(work.home, "credit") == token != made_token(work.home, "other")
    endpoints.write(work, EndpointFile(endpoint="credit"))
    assert token_of(work.home, "endpoint:credit") == token_of(work.home, "credit") == token
    assert stat.S_IMODE((work.home / "endpoints/credit.token").stat().st_mode) == 0o600
    assert token not in (work.home / "endpoints/credit.json").read_text()
    endpoints.remove(work, "credit")
    assert not (work.home / "endpoints/credit.token").exists()
    assert made_token(work.home, "credit") != token


@pytest.mark.parametrize("name", ["credti", "../endpoints/credit", "other", ""])
def test_a_token_of_no_endpoint_is_refused(work: Work, name: str) -> None:
    made_token(work.home, "credit")
    made_token(work.home, "other")
    endpoints.write(work, EndpointFile(endpoint="credit"))
    with pytest.raises(ToolFailure):
        token_of(work.home, name)


def test_the_owner_is_told_the_token_by_a_command(
    work: Work, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_CONFIG", os.devnull)
    endpoints.write(work, EndpointFile(endpoint="credit"))
    assert main(["--home", str(work.home), "endpoint-token", "credit"]) == 2
    assert "started by a version without tokens" in capsys.readouterr().err
    token = made_token(work.home, "credit")
    assert main(["--home", str(work.home), "endpoint-token", "credit"]) == 0
    assert capsys.readouterr().out == f"{token}\n"
    assert main(["--home", str(work.home), "endpoint-token", "credti"]) == 2
    assert "Did you mean endpoint:credit" in capsys.readouterr().err


def test_nobody_who_took_the_port_is_told_the_token(work: Work, broken_port: int) -> None:
    """A process of ours that does not listen there, and one of another that does."""
    ours = deployment("new", 0, os.getppid()).model_copy(update={"port": broken_port})
    assert not processes.listens(ours)
    assert processes.listens(ours.model_copy(update={"pid": os.getpid()}))
    assert not processes.listens(ours.model_copy(update={"pid": 2**22 + 1}))
