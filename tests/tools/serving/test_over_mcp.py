"""The serving tools as an agent calls them, through servers that come and go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from mcp import Client
from mcp.types import TextContent

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.serving.marks import HOME

from ...conftest import connected, finished
from ...waiting import eventually

LOANS = Path(__file__).parents[3] / "examples/credit_risk/loan_table.parquet"
LOAN = {
    "person_age": 30, "person_income": 60000, "loan_amnt": 9000, "loan_int_rate": None, "loan_intent": "MEDICAL",
}  # fmt: skip

pytestmark = pytest.mark.slow


async def answer(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    call = finished(client, tool, **arguments) if arguments.get("wait_s") else client.call_tool(tool, arguments)
    found = await call
    assert not found.is_error, found.content
    assert found.structured_content is not None
    return found.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    found = await client.call_tool(tool, arguments)
    assert found.is_error
    assert isinstance(found.content[0], TextContent)
    return found.content[0].text


def serving_processes(home: str) -> int:
    count = 0
    for process in psutil.process_iter():
        try:
            count += process.environ().get(HOME) == home
        except psutil.Error:
            continue
    return count


async def test_a_model_goes_from_training_to_predictions_and_nothing_of_it_is_left(
    settings: Settings, tmp_path: Path
) -> None:
    home, loans = str(settings.home.resolve()), str(tmp_path / "loans.parquet")
    pd.read_parquet(LOANS).sample(2000, random_state=0).to_parquet(loans, index=False)
    async with connected(settings) as client:
        trained = await answer(
            client, "train_model", dataset=loans, target="loan_status", algorithm="LogisticRegression",
            features=list(LOAN), wait_s=50,
        )  # fmt: skip
        # A model is packaged on the way, and the deployment outlives the job that made it.
        model = trained["result"]["model"]
        deployed = await answer(client, "deploy_model", bento=model, endpoint="credit", wait_s=50)
        assert deployed["state"] == "done"
        packed = await answer(client, "package_model", model=model, wait_s=50)
        assert (packed["result"]["built"], packed["result"]["bento"]) == (False, deployed["result"]["bento"])

        # What others serve it with is written by a job that reaches files alone, and deleted as all things are.
        exported = await answer(
            client, "export_deployment", platform="kubernetes", name="credit", traffic={model: 100}, wait_s=50
        )
        assert exported["result"]["traffic"] == {deployed["result"]["bento"]: 100}
        folder = Path(exported["result"]["folder"])
        assert (folder / "manifests").is_dir()
        await answer(client, "delete", handle=exported["result"]["export"], dry_run=False)
        assert not folder.exists()

        found = await answer(client, "predict", endpoint="credit", rows=[LOAN, {**LOAN, "loan_intent": "NEVER SEEN"}])
        assert (found["bento"], found["classes"]) == (deployed["result"]["bento"], [0, 1])
        assert [round(sum(row), 9) for row in found["probabilities"]] == [1, 1]
        assert "unknown loan_amt: did you mean loan_amnt?" in await refusal(
            client, "predict", endpoint="credit", rows=[{**LOAN, "loan_amt": 1}]
        )
        assert "Did you mean endpoint:credit" in await refusal(client, "predict", endpoint="credits", rows=[LOAN])
        lineage = await answer(client, "get_lineage", handle="endpoint:credit")
        assert [edge["parent"] for edge in lineage["ancestors"] if edge["parent"].startswith("file:")]

        # A deployment that is cancelled while it starts leaves what was there before.
        other = {"bento": packed["result"]["bento"], "endpoint": "credit", "resources": {"cpu": 2}}
        job = await answer(client, "deploy_model", **other, wait_s=0)
        states: list[str] = []
        while "starting" not in states:
            listed = await answer(client, "list_endpoints")
            states = [each["state"] for each in listed["items"][0]["deployments"]]
            assert (await answer(client, "get_job", job=job["job"], wait_s=0))["state"] in ("queued", "running")
        await answer(client, "cancel_job", job=job["job"])
        while states != ["ready"]:
            listed = await answer(client, "list_endpoints")
            states = [each["state"] for each in listed["items"][0]["deployments"]]
        # What it has started is ended by a process of its own.
        await eventually(lambda: serving_processes(home) == 2)
        assert (await answer(client, "predict", endpoint="credit", rows=[LOAN]))["bento"] == found["bento"]

    # Neither does the end of the server end it.
    async with connected(settings) as client:
        assert (await answer(client, "list_endpoints"))["items"][0]["state"] == "ready"
        assert (await answer(client, "stop_endpoint", endpoint="endpoint:credit"))["processes"] == 2
        assert serving_processes(home) == 0
        assert (await answer(client, "list_endpoints"))["items"] == []
