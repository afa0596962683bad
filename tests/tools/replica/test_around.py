"""What stands around the shared state: tokens, doctor, and servers that cannot reach it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, fields
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.access.command import new, revoke, show
from mlops_mcp.server.access.tokens import Tokens
from mlops_mcp.server.deep import deep_answers
from mlops_mcp.server.probes import answers, questions
from mlops_mcp.server.transports import require_shared
from mlops_mcp.tools.modeling import sealed
from mlops_mcp.tools.observability.client import search_traces
from mlops_mcp.tools.replica.steps import fetch, in_step
from mlops_mcp.tools.runtime.calls import worker
from mlops_mcp.tools.runtime.dask.remote import other_storage
from mlops_mcp.tools.runtime.dask.runner import REMOTE
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.runtime.inherited import inherited
from mlops_mcp.tools.runtime.jobs.launch import as_submitted, home_id, place_of, stored
from mlops_mcp.tools.runtime.jobs.supervisor import ENDED
from mlops_mcp.tools.runtime.jobs.table import JobRow
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving.client import list_endpoints
from mlops_mcp.tools.serving.stored import list_bentos
from mlops_mcp.tools.tracing.span import Carrier, Tracer

from .conftest import Server

pytestmark = pytest.mark.slow


def away(settings: Settings) -> Settings:
    storage = settings.storage.model_copy(
        update={"database": SecretStr("postgresql://nobody@127.0.0.1:1/none"), "files": "s3://nobody/x"}
    )
    return settings.model_copy(update={"storage": storage.model_copy(update={"endpoint": "http://127.0.0.1:1"})})


def test_a_token_that_is_made_on_one_server_opens_the_other_until_it_is_revoked_there(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = server("one").settings, server("two").settings
    assert new(one, "ann", "write") == 0
    presented = capsys.readouterr().out.strip()
    tokens = Tokens(two.home)
    assert tokens.identity(presented) is None
    require_shared(two)
    found = tokens.identity(presented)
    assert found
    assert (found.name, found.access) == ("ann", "write")
    assert revoke(two, "ann") == 0
    fetch(one)
    assert Tokens(one.home).identity(presented) is None
    assert show(one) == 0
    assert "ann" not in capsys.readouterr().out


def test_a_model_that_one_server_has_sealed_opens_on_the_other(server: Server) -> None:
    one, two = server("one"), server("two")
    with in_step(one.settings):
        seal = sealed.of_bytes(one.home, b"model")
    with in_step(two.settings):
        assert sealed.of_bytes(two.home, b"model") == seal


def test_a_server_that_cannot_know_its_tokens_does_not_start(server: Server) -> None:
    with pytest.raises(SettingsError, match=r"the shared state at 127.0.0.1:1/none does not answer"):
        require_shared(away(server("one").settings))


def test_servers_have_one_queue_of_jobs_and_a_place_and_folder_each(server: Server) -> None:
    one, two = server("one").settings, server("two").settings
    assert home_id(one) == home_id(two)
    assert place_of(one) != place_of(two)
    submitted = Settings.model_validate_json(as_submitted(two, stored(one)))
    assert submitted == two
    assert one.job_store == one.storage.database.get_secret_value()


def test_workers_are_given_the_keys_of_the_bucket_and_the_database_and_no_others(server: Server) -> None:
    environ = {"AWS_SECRET_ACCESS_KEY": "s", "PGPASSWORD": "p", "GITHUB_TOKEN": "t"}
    settings = server("one").settings
    in_bucket = settings.storage.model_copy(update={"files": "s3://shared/x"})
    assert inherited(environ, settings).keys() == {"PGPASSWORD"}
    assert inherited(environ, settings.model_copy(update={"storage": in_bucket})).keys() == {
        "AWS_SECRET_ACCESS_KEY", "PGPASSWORD"
    }  # fmt: skip


@pytest.mark.usefixtures("keys")
def test_the_doctor_asks_what_is_shared_and_deep_writes_and_reads_there(server: Server, bucket: str) -> None:
    settings = server("one").settings
    storage = settings.storage.model_copy(update={"files": "s3://shared/doctor", "endpoint": bucket})
    shared = settings.model_copy(update={"storage": storage})
    asked = [each for each in questions(shared) if "shared" in each.name]
    assert [each.detail.endswith("accepts connections") for each in answers(asked)][1:] == [True]
    found = {each.name: each for each in deep_answers(shared) if "shared" in each.name}
    assert all("written and read in" in each.detail for each in found.values()), found
    assert found.keys() == {"shared state", "shared files"}
    dead = {each.name: each for each in deep_answers(away(settings)) if "shared" in each.name}
    assert {each.state for each in dead.values()} == {"failed"}
    assert dead["shared files"].remedy == "check storage.files"


def test_a_dask_worker_with_another_storage_refuses_the_job_before_it_runs(server: Server, settings: Settings) -> None:
    shared = server("one").settings
    row = {field.name: None for field in fields(JobRow)} | {"id": "j", "settings": stored(shared), "folder": "/"}
    carrier = asdict(Carrier())
    spec = json.dumps({"row": json.dumps(row), "carrier": json.dumps(carrier), "mark": "j.01"})
    environment = {**os.environ, "MLOPS_HOME": str(settings.home), "MLOPS_CONFIG": os.devnull}
    command = [sys.executable, "-P", "-m", REMOTE]
    said = subprocess.run(command, input=f"{spec}\n", env=environment, capture_output=True, text=True, timeout=600)
    (line,) = said.stdout.splitlines()
    kind, text = json.loads(line)[:2]
    assert kind == ENDED, said.stderr
    assert json.loads(text)["fault"] == "refused"
    assert f"storage.files '', and the server that sent the job {shared.storage.files!r}" in json.loads(text)["error"]
    assert other_storage(shared, stored(shared)) is None
    assert other_storage(settings, stored(settings)) is None
    assert other_storage(shared, stored(settings)), "what the server has alone is not there either"


def test_lists_of_what_each_server_has_alone_say_so(server: Server, settings: Settings) -> None:
    work = Work(settings, Tracer(lambda _span: None))
    calls = (
        lambda of: search_traces(of, "", False, 5, ""), lambda of: list_endpoints(of, 5, ""),
        lambda of: list_bentos(of, 5, ""),
    )  # fmt: skip
    for call in calls:
        assert call(work).notes == []
        (note,) = call(server("one")).notes
        assert note == f"those of this server ({platform.node()}) alone: the others that share its state have their own"


def test_a_call_waits_for_a_shared_database_as_long_as_its_caller_and_the_next_one_does_not(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, waited = [1000.0], list[float]()

    def wait(seconds: float) -> None:
        waited.append(seconds)
        clock[0] += seconds

    watch = SimpleNamespace(monotonic=lambda: clock[0], sleep=wait, time=time.time)
    monkeypatch.setattr("mlops_mcp.tools.replica.steps.time", watch)
    monkeypatch.setattr("mlops_mcp.tools.runtime.calls.worker.time", watch)
    monkeypatch.setattr(worker, "_process", {"settings": away(server("one").settings), "cache": {}, "confined": True})
    for _ in range(2):
        failure = worker.invoke(list_endpoints, (5, ""), "off", Carrier(), Identity(), 7.0).failure
        assert "does not answer" in str(failure)
    assert sum(waited) == 7
