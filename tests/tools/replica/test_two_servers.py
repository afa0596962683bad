"""The pipeline over two servers with nothing in common but PostgreSQL and an S3 store; one of them is killed."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from mcp import Client, StdioServerParameters

from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime import proctree
from mlops_mcp.tools.runtime.jobs.launch import mark_of, table_of

from ...conftest import PATIENT, ROOT, UNHURRIED, connected, finished, in_a_task_of_its_own, server_pids
from ...waiting import eventually

pytestmark = pytest.mark.slow
LOANS = ROOT / "examples" / "credit_risk" / "loan_table.parquet"


@pytest.fixture
def variables(tmp_path: Path, postgres: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What all servers are told; libraries in this process look for keys in its own."""
    import psycopg

    keys = {
        "MLFLOW_S3_ENDPOINT_URL": bucket,
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for key, value in keys.items():
        monkeypatch.setenv(key, value)

    name = f"pipeline_{os.getpid()}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    return {
        "MLOPS_CONFIG": os.devnull,
        "MLOPS_STORAGE__DATABASE": postgres,
        "MLOPS_STORAGE__FILES": f"s3://shared/{tmp_path.name}",
        "MLOPS_STORAGE__ENDPOINT": bucket,
        "MLOPS_DATA__ROOTS": f"[{ROOT / 'examples'}]",
        "MLOPS_RUNTIME__CLIENT_WAITS": "{}",
        "MLFLOW_TRACKING_URI": postgres.replace("/postgres?", f"/{name}?"),
        "MLFLOW_ARTIFACT_ROOT": f"s3://shared/{tmp_path.name}/runs",
        **keys,
        **PATIENT,
    }


@asynccontextmanager
async def served(home: Path, variables: dict[str, str]) -> AsyncGenerator[Client]:
    """A client of a server that can be killed, with a folder of its own, which is made as it starts."""
    home.mkdir()
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home / "user"), "MLOPS_HOME": str(home / "state"),
        **variables, **UNHURRIED,
    }  # fmt: skip
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "mlops_mcp.server", "serve"], env=environment, cwd=home
    )
    async with Client(command) as client:
        yield client


def beside(home: Path, variables: dict[str, str]) -> AbstractAsyncContextManager[Client]:
    """A client of a server in this process, whose jobs find their libraries loaded."""
    return connected(load({"MLOPS_HOME": str(home / "state"), **variables}).settings)


async def answered(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await finished(client, tool, **arguments)
    assert not answer.is_error, answer.content
    assert answer.structured_content is not None
    made: dict[str, Any] = answer.structured_content
    return made.get("result") or made


def killed(home: Path, variables: dict[str, str], job: str) -> None:
    """End a server and all that keeps its job at once, as the loss of its machine does."""
    settings = load({"MLOPS_HOME": str(home / "state"), **variables}).settings
    table, identity = table_of(settings), job.removeprefix("job:")
    (server,) = (each for each in server_pids() if psutil.Process(each).cwd() == str(home))
    psutil.Process(server).kill()
    assert proctree.marked(mark_of(identity, 1))
    proctree.kill(mark_of(identity, 1))
    assert table.get(identity).state == "running"


def attempts(variables: dict[str, str], job: str) -> int:
    return table_of(load(variables).settings).get(job.removeprefix("job:")).attempt


async def test_a_training_of_a_server_that_was_killed_ends_on_the_other_which_goes_on_from_there(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    one = in_a_task_of_its_own(served(tmp_path / "one", variables))
    async with beside(tmp_path / "two", variables) as two:
        first = await one.__aenter__()
        made = await answered(first, "load_dataset", path=str(LOANS), name="loans")
        parts = await answered(two, "split_dataset", dataset=made["dataset"], strategy="random", seed=0)
        train, test = (parts[name]["dataset"] for name in ("train", "test"))
        asked = {"dataset": train, "target": "loan_status", "algorithm": "LogisticRegression", "wait_s": 0}
        begun = (await first.call_tool("train_model", asked)).structured_content or {}
        await eventually(lambda: proctree.marked(mark_of(begun["job"].removeprefix("job:"), 1)))
        killed(tmp_path / "one", variables, begun["job"])
        model = (await answered(two, "get_job", job=begun["job"], wait_s=50))["model"]
        assert attempts(variables, begun["job"]) == 2
        scored = await answered(two, "evaluate_model", model=model, dataset=test)
        assert scored["score"]["value"] > scored["score"]["baseline"]
        explained = await answered(two, "explain_model", model=model, dataset=test, n_rows=20)
        async with beside(tmp_path / "three", variables) as three:  # which has seen nothing of all this
            drawn = await answered(three, "plot_explanation", explanation=explained["explanation"])
            assert drawn["rows"] == 20
            lineage = await answered(three, "get_lineage", handle=explained["explanation"])
            assert {made["dataset"], train, model, f"file:{LOANS}"} <= {each["parent"] for each in lineage["ancestors"]}
    with suppress(Exception):
        await one.__aexit__(None, None, None)
