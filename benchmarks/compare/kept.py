"""What is kept of endpoints, studies, validations and bentos after a year, listed and looked up: bounds alone."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from uuid import uuid4

import pyarrow as pa

from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.quality import client as quality
from mlops_mcp.tools.quality import failures
from mlops_mcp.tools.quality.models import Expectation
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import client as serving
from mlops_mcp.tools.serving import endpoints
from mlops_mcp.tools.serving.bentos import BENTO_FILE, SPEC_FILE, find_bento, packaged
from mlops_mcp.tools.serving.models import Deployment, EndpointFile, Event, ServiceSpec
from mlops_mcp.tools.tuning import studies
from mlops_mcp.tools.tuning.storage import journal, open_storage

from .many import Rows, cases

ENDPOINTS, STUDIES, TRIALS, VALIDATIONS, BENTOS = 100, 100, 100, 1_000, 300


def deployed(work: Work) -> None:
    """Endpoints with two bentos each, whose processes are gone, and all that is kept of what happened."""
    gone = 2**22 - 1
    at = datetime.now(UTC).isoformat(timespec="seconds")
    for number in range(ENDPOINTS):
        name = f"endpoint-{number}"
        shares = [
            Deployment(
                id=f"{number}-{place}", bento=f"bento:m{number}:{place}", pid=gone, port=1, started=at, replicas=1,
                percent=50, ready=True,
            )
            for place in range(2)
        ]  # fmt: skip
        events = [Event(at=at, what="restarted " + "x" * 200)] * endpoints.MAX_EVENTS
        endpoints.write(work, EndpointFile(endpoint=name, deployments=shares, events=events))


def studied(work: Work) -> None:
    """Studies of as many trials, of which each has five parameters."""
    import optuna

    lots = random.Random(0)
    ranges: dict[str, optuna.distributions.BaseDistribution] = {
        f"p{place}": optuna.distributions.FloatDistribution(0, 1) for place in range(5)
    }
    for number in range(STUDIES):
        name = f"study{number}"
        journal(work, name).parent.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(study_name=name, storage=open_storage(work, name))
        values = ({each: lots.random() for each in ranges} for _ in range(TRIALS))
        study.add_trials(
            [
                optuna.trial.create_trial(params=params, distributions=ranges, value=sum(params.values()))
                for params in values
            ]
        )


def validated(work: Work) -> None:
    """One real validation, and as many copies of it under other names."""
    handle = save(work, pa.table({"x": [*range(1_000), None]}), "rows", [], "benchmark").handle
    rule = Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": "x"})
    suite = quality.create_suite(work, "rules", [rule]).suite
    made = quality.validate_dataset(work, handle, suite, "", [], "full")
    text = made.model_dump_json()
    for _ in range(VALIDATIONS):
        name = uuid4().hex[:12]
        path = quality.validations(work) / f"{name}.json"
        path.write_text(text.replace(made.validation, f"validation:{name}"), encoding="utf-8")


def packed(work: Work) -> None:
    """The files of bentos that are read where they are looked for."""
    for number in range(BENTOS):
        folder = work.settings.bentoml_home / "bentos" / f"m{number}" / "v1"
        (folder / "src").mkdir(parents=True)
        (folder / BENTO_FILE).write_text("service: x\n", encoding="utf-8")
        spec = ServiceSpec(
            name=f"m{number}", version="v1", model_handle="model:m/1", model_uri="models:/m/1", model_tag="m:1",
            sha256="0" * 64, algorithm="xgboost", task="classification", target="y", features=[], trusted=[],
            packages=[], batchable=True,
        )  # fmt: skip
        (folder / "src" / SPEC_FILE).write_text(spec.model_dump_json(), encoding="utf-8")


def _validation(work: Work) -> object:
    newest = min(quality.validations(work).iterdir(), key=os.fspath)
    return failures.get_validation(work, f"validation:{newest.stem}", 0, 20, "")


ROWS: Rows = {
    "endpoints": (deployed, lambda work: serving.list_endpoints(work, 20, "40")),
    "endpoint": (deployed, lambda work: serving.get_endpoint(work, "endpoint-50")),
    "studies": (studied, lambda work: studies.list_studies(work, 20, "40")),
    "validation": (validated, _validation),
    "bentos": (packed, packaged),
    "bento": (packed, lambda work: find_bento(work, "bento:m150")),
}

CASES = cases(ROWS, f"{ENDPOINTS} endpoints, {STUDIES} studies, {VALIDATIONS:,} validations, {BENTOS} bentos")
