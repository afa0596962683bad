"""The whole lifecycle over what a team runs: every step is the same, wherever runs, artifacts, studies and jobs lie."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from mcp import Client
from mcp.types import TextContent

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.deep import deep_answers

from ...conftest import PATIENT, connected, finished, in_a_task_of_its_own
from .conftest import BUCKET, address_of
from .servers import KEYS, Program

pytestmark = pytest.mark.slow
Call = Callable[..., Awaitable[dict[str, Any]]]
RULE = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "hcp_id"}}
SPACE = {"C": {"low": 0.1, "high": 1.0, "log": True}}


@dataclass(frozen=True)
class Team:
    """Where an installation keeps its things; `place` is how addresses of artifacts begin."""

    settings: Settings
    place: str


def _embedded(_: pytest.FixtureRequest) -> tuple[dict[str, Any], str]:
    return {}, ""


def _postgres(request: pytest.FixtureRequest) -> tuple[dict[str, Any], str]:
    request.getfixturevalue("mlflow")  # whose server has migrated the database
    return {"mlflow.tracking_uri": request.getfixturevalue("runs_database")}, ""


def _proxied(request: pytest.FixtureRequest) -> tuple[dict[str, Any], str]:
    return {"mlflow.tracking_uri": _address(request, "mlflow")}, "mlflow-artifacts:"


def _direct(request: pytest.FixtureRequest) -> tuple[dict[str, Any], str]:
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for name, value in {**KEYS, "MLFLOW_S3_ENDPOINT_URL": _address(request, "s3")}.items():
        monkeypatch.setenv(name, value)
    place = f"s3://{BUCKET}"
    return {"mlflow.tracking_uri": _address(request, "mlflow"), "mlflow.artifact_root": place}, place


def _cluster(request: pytest.FixtureRequest) -> tuple[dict[str, Any], str]:
    kept = request.getfixturevalue("databases")("work_of_team")
    own = {
        "runtime.engine": "dask", "runtime.scheduler": request.getfixturevalue("scheduler"),
        "runtime.job_store": kept, "optuna.study_storage": kept,
    }  # fmt: skip
    runs, place = _postgres(request)
    return {**own, **runs}, place


def _address(request: pytest.FixtureRequest, server: str) -> str:
    found: Program = request.getfixturevalue(server)
    return address_of(found)


@pytest.fixture(params=[_embedded, _postgres, _proxied, _direct])
def team(request: pytest.FixtureRequest, environ: dict[str, str]) -> Team:
    """The settings of a team, with names of its own in what several share."""
    own, place = request.param(request)
    named = {"mlflow.experiment_prefix": f"{request.param.__name__}_", "runtime.job_slots": 1}
    settings = load({**environ, **PATIENT}, {**named, **own}).settings
    return Team(settings, place or settings.artifact_root)


@pytest.fixture
async def client(team: Team) -> AsyncGenerator[Client]:
    async with in_a_task_of_its_own(connected(team.settings)) as client:
        yield client


@pytest.fixture
def call(client: Client) -> Call:
    async def run(tool: str, **arguments: Any) -> dict[str, Any]:
        answer = await finished(client, tool, **arguments)
        text = " ".join(block.text for block in answer.content if isinstance(block, TextContent))
        found = answer.structured_content
        assert not answer.is_error, f"{tool}: {text}"
        assert isinstance(found, dict)
        if "job" not in found:
            return found
        assert found["state"] == "done", f"{tool}: {text}"
        return dict(found["result"])

    return run


async def rows(call: Call) -> dict[str, str]:
    """Parts of a dataset that has passed its rules."""
    made = (await call("generate_dataset", n_rows=300))["dataset"]
    suite = (await call("create_suite", name="ids", expectations=[RULE]))["suite"]
    assert (await call("validate_dataset", dataset=made, suite=suite))["verdict"] == "passed"
    parts = await call("split_dataset", dataset=made, strategy="random")
    return {name: parts[name]["dataset"] for name in ("train", "validation", "test")}


def asked(parts: dict[str, str], **more: Any) -> dict[str, Any]:
    shared = {"dataset": parts["train"], "validation": parts["validation"], "target": "target", "exclude": ["hcp_id"]}
    return {**shared, "algorithm": "LogisticRegression", **more}


async def searched(call: Call, parts: dict[str, str], **more: Any) -> dict[str, Any]:
    found = await call("tune_model", **asked(parts, search_space=SPACE, n_trials=2, study="search", **more))
    assert (await call("get_study", study=found["study"]))["states"] == {"complete": 2}
    assert (await call("get_run", run=found["run"]))["status"] == "FINISHED"
    return found


async def logged(call: Call, parts: dict[str, str], params: dict[str, Any], place: str) -> list[str]:
    """A model that is trained in a run, and the same in a run of its own."""
    run = (await call("start_run", name="pipeline"))["run"]
    model = str((await call("train_model", **asked(parts, params=params, run=run)))["model"])
    await call("log_run", run=run, metrics={"margin": 0.25}, tags={"team": "a"})
    assert (await call("evaluate_model", model=model, dataset=parts["test"]))["score"]["value"] > 0
    ended = await call("end_run", run=run)
    assert (ended["models"], ended["metrics"]["margin"]) == ([model], 0.25)
    assert (await call("create_experiment", name="mlops"))["artifact_root"].startswith(place)
    return [model, str((await call("log_model", model=model))["model"])]


async def held(call: Call, name: str) -> dict[int, str]:
    versions = (await call("get_model", model=f"model:{name}"))["versions"]
    return {int(version["model"].rpartition("/")[2]): version["stage"] for version in versions}


async def back_and_away(call: Call, name: str) -> None:
    """The second version is in Production: return to the first, look whether it works, delete the second."""
    assert await held(call, name) == {1: "Archived", 2: "Production"}
    assert (await call("rollback_model", model=name))["model"] == f"model:{name}/1"
    assert await held(call, name) == {1: "Production", 2: "Archived"}
    shown = await call("get_model", model=f"model:{name}@production", check=True)
    assert (shown["check"]["loaded"], shown["check"]["rows"]) == (True, 5), shown
    await call("delete", handle=f"model:{name}/2", dry_run=False)
    assert await held(call, name) == {1: "Production"}


async def test_every_step_is_the_same_whatever_a_team_runs(team: Team, call: Call) -> None:
    parts, name = await rows(call), f"tree{team.settings.mlflow.experiment_prefix}"
    best = (await searched(call, parts))["best_params"]
    for number, model in enumerate(await logged(call, parts, best, team.place), 1):
        wanted = {"model": name, "candidate": model, "dataset": parts["test"], "gates": ["load", "signature"]}
        promoted = await call("promote_model", **wanted)
        assert (promoted["model"], promoted["promoted"]) == (f"model:{name}/{number}", True), promoted
    await back_and_away(call, name)
    ours = await call("search_runs", experiment="mlops")
    assert {line["status"] for line in ours["items"]} == {"FINISHED"}


@pytest.mark.parametrize(
    ("team", "named"),
    [(_proxied, {"mlflow", "artifacts"}), (_direct, {"mlflow", "artifacts"}), (_cluster, {"jobs", "optuna", "dask"})],
    indirect=["team"],
)
def test_the_doctor_writes_and_reads_each_backend_and_says_what_it_cost(team: Team, named: set[str]) -> None:
    found = {answer.name: answer for answer in deep_answers(team.settings)}
    written = {name for name, answer in found.items() if re.search(r"written and read in \d+ ms", answer.detail)}
    assert named <= written, found


@pytest.mark.parametrize("team", [_cluster], indirect=True)
async def test_a_search_on_a_cluster_makes_what_is_put_into_production(call: Call) -> None:
    """Jobs on a cluster start cold, so there is one."""
    model = (await searched(call, await rows(call), refit=True))["model"]
    for candidate in (model, (await call("log_model", model=model))["model"]):
        version = (await call("register_model", model=candidate, name="on_cluster"))["model"]
        await call("transition_stage", model=version, stage="Production")
    await back_and_away(call, "on_cluster")
