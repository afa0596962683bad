"""Two real models behind real endpoints, and how to ask them."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.modeling.card import CARD_FILE
from mlops_mcp.tools.modeling.store import find_model
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import client, endpoints
from mlops_mcp.tools.serving.connection import Connections
from mlops_mcp.tools.serving.marks import HOME, MARK
from mlops_mcp.tools.serving.models import Deployed, DeployRequest, Packaged, PackageRequest, Resources, Row
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.training.client import train_model
from mlops_mcp.tools.training.models import TrainRequest

from ...conftest import PATIENT
from ...processes import variables_of

ROOT = Path(__file__).parents[3]
LOANS = ROOT / "examples/credit_risk/loan_table.parquet"


@dataclass(frozen=True)
class Served:
    """Two models in one state folder, both packaged, the old one deployed as `credit`."""

    work: Work
    old: Packaged
    new: Packaged
    deployed: Deployed
    rows: list[Row]

    def deploy(self, bento: str, endpoint: str, percent: int = 100, replicas: int = 1) -> Deployed:
        return client.deploy_model(self.work, request(bento, endpoint, percent, replicas))


def request(bento: str, endpoint: str, percent: int = 100, replicas: int = 1) -> DeployRequest:
    return DeployRequest(
        bento=bento, endpoint=endpoint, replicas=replicas, resources=Resources(memory="1Gi"), percent=percent
    )


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    home = tmp_path_factory.mktemp("serving")
    (home / "empty.yaml").touch()
    pd.read_parquet(LOANS).sample(3000, random_state=0).to_parquet(home / LOANS.name, index=False)
    environ = {"MLOPS_HOME": str(home / "home"), "MLOPS_CONFIG": str(home / "empty.yaml"), **PATIENT}
    work = Work(load(environ, {"data.roots": [str(home)]}).settings, Tracer(lambda _span: None))
    old, new = packaged(work, trained(work, 20), "credit"), packaged(work, trained(work, 40), "credit")
    rows: list[Row] = json.loads(pd.read_parquet(LOANS)[names(old)].head(200).to_json(orient="records"))
    try:
        yield Served(work, old, new, client.deploy_model(work, request(old.bento, "credit")), rows)
    finally:
        for line in client.list_endpoints(work, 100, "").items:
            client.stop_endpoint(work, line.endpoint)
        assert serving_processes(work) == []
        close_connections(work)


def trained(work: Work, trees: int, target: str = "loan_status") -> str:
    wanted = TrainRequest(
        dataset=str(work.home.parent / LOANS.name), target=target, algorithm="XGBoost", params={"n_estimators": trees},
        task="regression" if target == "loan_amnt" else "auto",
    )  # fmt: skip
    return with_seen(work, train_model(work, wanted).model)


def with_seen(work: Work, model: str) -> str:
    """The model, its card with what pandas finds in the rows it was trained on."""
    stored = find_model(work, model)
    frame = pd.read_parquet(LOANS)[stored.card.names]
    seen = {
        feature.name: {"missing": int(frame[feature.name].isna().sum())}
        | (
            {"levels": sorted(frame[feature.name].dropna().unique())}
            if feature.kind == "category"
            else {"low": float(frame[feature.name].min()), "high": float(frame[feature.name].max())}
        )
        for feature in stored.card.features
    }
    card = stored.card.model_validate(stored.card.model_dump() | {"seen": seen})
    (stored.folder / CARD_FILE).write_text(card.model_dump_json(), encoding="utf-8")
    return model


def packaged(work: Work, model: str, name: str, version: str = "", batchable: bool = False) -> Packaged:
    return client.package_model(work, PackageRequest(model=model, name=name, version=version, batchable=batchable))


def names(bento: Packaged) -> list[str]:
    return [feature.name for feature in bento.features]


def serving_processes(work: Work) -> list[int]:
    """Everything alive that belongs to an endpoint of this state folder."""
    found: list[int] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(HOME) == str(work.home.resolve()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def close_connections(work: Work) -> None:
    for kept in work.cache.values():
        if isinstance(kept, Connections):
            kept.close()


def master_of(served: Served, endpoint: str) -> int:
    return endpoints.read(served.work, endpoint).deployments[0].pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)])


def marks(served: Served, endpoint: str) -> list[str]:
    found: list[str] = []
    for pid in serving_processes(served.work):
        process = psutil.Process(pid)
        found += [variables_of(process)[MARK]] if marked(process, endpoint) else []
    return found


def marked(process: psutil.Process, endpoint: str) -> bool:
    return variables_of(process).get(MARK, "").startswith(f"{endpoint}.")


def post(url: str, content: Any, token: str = "") -> tuple[int, Any]:
    status, said = ask(url, token, "POST", json.dumps(content).encode())
    return status, json.loads(said)


def ask(
    url: str, token: str = "", method: str = "GET", body: bytes = b"", kind: str = "application/json"
) -> tuple[int, bytes]:
    """The status and all that came back, headers included."""
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=600)
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    connection.request(method, f"/{path}", body or None, {"Content-Type": kind, **bearer})
    reply = connection.getresponse()
    try:
        return reply.status, reply.read()
    finally:
        connection.close()
