"""What an answer says in `undo` is called as it stands, and everything is as it was before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mcp import Client

from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import client as serving
from mlops_mcp.tools.serving import endpoints, reverse
from mlops_mcp.tools.serving.models import Deployment, EndpointFile
from mlops_mcp.tools.undo import call as written
from mlops_mcp.tools.undo import deletes

from ...conftest import finished
from .undo_text import parsed

ROOT = Path(__file__).parents[3]
LOANS, ZIPCODES = (ROOT / "examples" / "credit_risk" / f"{name}_table.parquet" for name in ("loan", "zipcode"))
Call = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def call(client: Client) -> Call:
    """The result of a tool or of its job."""

    async def run(tool: str, **arguments: Any) -> dict[str, Any]:
        answer = await finished(client, tool, **arguments)
        assert not answer.is_error, f"{tool}: {answer.content}"
        found = dict(answer.structured_content or {})
        return dict(found["result"]) if "job" in found and "result" in found else found

    return run


@pytest.fixture
def loans(tmp_path: Path) -> str:
    pd.read_parquet(LOANS).sample(2000, random_state=0).to_parquet(tmp_path / "loans.parquet", index=False)
    return str(tmp_path / "loans.parquet")


@pytest.fixture
def check(call: Call) -> Call:
    """Calls a tool and its undo, and holds what the lists `of` show against what they showed; then calls it again."""

    async def run(tool: str, of: tuple[str, ...] = ("list_datasets",), **arguments: Any) -> dict[str, Any]:
        before = await _state(call, *of)
        made = await call(tool, **arguments)
        assert await _state(call, *of) != before, f"{tool} changed nothing"
        undoing, given = parsed(made["undo"])
        await call(undoing, **given)
        assert await _state(call, *of) == before, f"{made['undo']} does not take {tool} back"
        return await call(tool, **arguments)

    return run


async def _state(call: Call, *of: str) -> list[list[dict[str, Any]]]:
    """All that some lists show, but for the words beside it and for what changes by itself."""
    return [[_settled(line) for line in (await call(name, limit=50))["items"]] for name in of]


def _settled(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in ("notes", "undo", "deployments")}


@pytest.mark.slow
async def test_what_is_made_of_data_is_taken_back(check: Call, call: Call, loans: str) -> None:
    loaded = await check("load_dataset", path=loans)
    assert (await call("load_dataset", path=loans))["undo"] is None
    await check("generate_dataset", n_rows=100)
    halves = {"dataset": loaded["dataset"], "strategy": "random", "validation_share": 0, "test_share": 0.5}
    await check("split_dataset", **halves)
    assert (await call("split_dataset", **halves))["undo"] is None
    rule = {"type": "expect_column_to_exist", "kwargs": {"column": "a"}}
    await check("create_suite", of=("list_suites",), name="own", expectations=[rule])
    await check(
        "create_suite", of=("list_suites",), name="own", expectations=[rule, {**rule, "kwargs": {"column": "b"}}]
    )
    zipcodes = (await call("load_dataset", path=str(ZIPCODES)))["dataset"]
    views = ("list_datasets", "list_features")
    view = {"view": "zip", "entity": "zipcode", "timestamp_column": "event_timestamp"}
    await check("register_features", of=views, dataset=zipcodes, features=["city"], **view)
    await check("register_features", of=views, dataset=zipcodes, features=["city", "state"], ttl_days=900.5, **view)
    await check("register_feature", of=views, feature="population", view="zip", entity="zipcode", dtype="int64")
    await check("get_historical_features", dataset=loaded["dataset"], features=["zip:city"])
    await check("materialize_features", of=views, views=["zip"])


@pytest.mark.slow
async def test_what_is_logged_trained_and_searched_is_taken_back(check: Call, call: Call, loans: str) -> None:
    data = (await call("load_dataset", path=loans))["dataset"]
    made = await call("create_experiment", name="passing")
    undoing, given = parsed(made["undo"])
    await call(undoing, **given)
    assert (await call("create_experiment", name="passing"))["undo"] == made["undo"]
    assert (await call("create_experiment", name="passing"))["undo"] is None
    await check("start_run", of=("search_runs",), experiment="passing", name="mine")
    question = {"dataset": data, "target": "loan_status", "algorithm": "LogisticRegression"}
    trained = await check("train_model", of=("search_runs",), features=["loan_amnt"], validation=data, **question)
    inside = (await call("start_run", experiment="passing"))["run"]
    own = await call("train_model", features=["loan_amnt"], validation=data, run=inside, **question)
    assert own["undo"] == deletes(own["model"])
    undoing, given = parsed(trained["undo"])
    await call(undoing, **given)
    space = {"C": {"low": 0.1, "high": 1.0}}
    search = {"features": ["loan_amnt"], "validation": data, "search_space": space, "n_trials": 2, "study": "small"}
    tuned = await check("tune_model", of=("search_runs",), **question, **search)
    assert tuned["undo"] is not None
    assert (await call("tune_model", **question, **search))["undo"] is None


@pytest.mark.slow
async def test_train_register_serve_predict_undo_leaves_only_traces(call: Call, loans: str) -> None:
    data = (await call("load_dataset", path=loans))["dataset"]
    await call("create_experiment", name="serving")
    everything = ("list_datasets", "search_runs", "list_models", "list_endpoints")
    before = await _state(call, *everything)
    trained = await call(
        "train_model", dataset=data, target="loan_status", algorithm="LogisticRegression", features=["loan_amnt"],
        validation=data, experiment="serving",
    )  # fmt: skip
    version = (await call("register_model", model=trained["model"], name="credit"))["model"]
    packed = await call("package_model", model=version)
    deployed = await call("deploy_model", bento=packed["bento"], endpoint="credit")
    answer = await call("predict", endpoint="credit", rows=[{"loan_amnt": 1000}])
    assert (answer["model"], answer["bento"]) == (version, packed["bento"])
    assert parsed(deployed["undo"]) == ("stop_endpoint", {"endpoint": "endpoint:credit"})
    stopped = await call("stop_endpoint", endpoint="endpoint:credit")
    assert parsed(stopped["undo"])[1] == {"bento": packed["bento"], "endpoint": "endpoint:credit"}
    for text in (packed["undo"], deletes(version), trained["undo"]):
        undoing, given = parsed(text)
        assert (await call(undoing, **given))["state"] == "deleted"
    assert await _state(call, *everything) == before
    lineage = await call("get_lineage", handle=data)
    assert {trained["model"], version, packed["bento"], "endpoint:credit"} <= {*lineage["deleted"]}


# The endpoints, with processes that stand in for those of services.


def _serving(work: Work, standin: Callable[[str, str], int], *percents: int) -> EndpointFile:
    deployments = [
        Deployment(
            id=f"d{number}", bento=f"bento:m:v{number}", pid=standin("live", f"d{number}"), port=1,
            started="", replicas=1, percent=percent, ready=True,
        )
        for number, percent in enumerate(percents)
    ]  # fmt: skip
    state = EndpointFile(endpoint="live", deployments=deployments)
    endpoints.write(work, state)
    return state


@pytest.mark.parametrize(
    ("percents", "chosen", "percent"),
    [((90, 10), "v1", 50), ((100, 0), "v1", 100), ((60, 30, 10), "v2", 40), ((50, 50), "v0", 0)],
)
def test_traffic_goes_back_to_the_shares_of_before(
    percents: tuple[int, ...], chosen: str, percent: int, work: Work, standin: Callable[[str, str], int]
) -> None:
    state = _serving(work, standin, *percents)
    made = serving.set_traffic(work, "live", f"bento:m:{chosen}", percent)
    assert made.traffic[f"bento:m:{chosen}"] == percent
    undoing, given = parsed(made.undo or "")
    assert undoing == "set_traffic"
    back = serving.set_traffic(work, **given)
    assert back.traffic == {each.bento: each.percent for each in state.deployments}


def test_shares_that_no_one_call_brings_back_have_no_undo(work: Work, standin: Callable[[str, str], int]) -> None:
    _serving(work, standin, 70, 20, 10)
    assert serving.set_traffic(work, "live", "bento:m:v0", 100).undo is None
    assert serving.set_traffic(work, "live", "bento:m:v0", 100).undo is None


def test_a_replaced_deployment_comes_back_as_it_was(work: Work, standin: Callable[[str, str], int]) -> None:
    state = _serving(work, standin, 100)
    old = state.deployments[0].model_copy(update={"replicas": 2, "threads": 3, "memory": 1 << 30})
    new = old.model_copy(update={"id": "n", "bento": "bento:m:n"})
    arguments = {"bento": "bento:m:v0", "endpoint": "endpoint:live"}
    wanted = arguments | {"replicas": 2, "resources": {"cpu": 3, "memory": str(1 << 30)}}
    assert parsed(reverse.of_deployment("live", [old], new, 100) or "") == ("deploy_model", wanted)
    assert parsed(reverse.of_deployment("live", [old], new, 10) or "") == (
        "set_traffic", {"endpoint": "endpoint:live", "bento": "bento:m:n", "percent": 0},
    )  # fmt: skip
    assert parsed(reverse.of_deployment("live", [], new, 100) or "") == ("stop_endpoint", {"endpoint": "endpoint:live"})
    assert reverse.of_deployment("live", [old, new], new, 100) is None
    assert reverse.of_stop(EndpointFile(endpoint="live", deployments=[old, new])) is None
    assert parsed(reverse.of_stop(state) or "") == ("deploy_model", arguments)


@pytest.mark.parametrize("value", ["it's", 'a "b"', "back\\slash", "z\u00fcri", "two\nlines", 2.5, True, ["a", False]])
def test_every_value_survives_its_way_through_the_text(value: object) -> None:
    assert parsed(written("tool", value=value, nested={"key": value})) == (
        "tool", {"value": value, "nested": {"key": value}},
    )  # fmt: skip
