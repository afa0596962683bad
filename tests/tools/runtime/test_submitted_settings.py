"""With which settings a job runs: the submitter's, and the secrets of whoever starts it."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from pydantic import SecretStr

from mlops_mcp.config.section import Section
from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.data.comparison import compare_datasets
from mlops_mcp.tools.data.models import CompareRequest
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.identity import ACCESSES, Identity, acting_as
from mlops_mcp.tools.runtime.jobs.launch import as_submitted, stored
from mlops_mcp.tools.runtime.jobs.submission import Submission
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.redaction import Redactor
from mlops_mcp.tools.tracing.span import Carrier, Tracer


def test_a_job_row_holds_no_password_and_its_process_gets_all_of_them(settings: Settings) -> None:
    mlflow = settings.mlflow.model_copy(update={"tracking_uri": "https://bot:hunter2@mlflow.example.org"})
    runtime = settings.runtime.model_copy(update={"job_store": SecretStr("postgresql://me:hunter3@db/jobs")})
    opik = settings.opik.model_copy(update={"api_key": SecretStr("hunter4")})
    mine = settings.model_copy(update={"mlflow": mlflow, "runtime": runtime, "opik": opik})
    kept = stored(mine)
    assert "hunter" not in kept
    assert Settings.model_validate_json(as_submitted(mine, kept)) == mine


def test_a_secret_that_a_later_version_adds_is_not_stored_with_a_job_and_reaches_its_process(
    settings: Settings,
) -> None:
    class Vault(Section):
        token: SecretStr
        more: dict[str, SecretStr]

    class Later(Settings):
        vault: Vault
        password: SecretStr

    vault = Vault(token=SecretStr("hunter55"), more={"a": SecretStr("hunter66")})
    mine = Later(**dict(settings), vault=vault, password=SecretStr("hunter77"))
    kept = json.loads(stored(mine))
    assert (kept["vault"], "password" in kept) == ({}, False)
    # A row does not bring its own.
    theirs = {**kept, "vault": {"token": "x", "more": {"b": "y"}}, "password": "z"}
    assert Later.model_validate_json(as_submitted(mine, json.dumps(theirs))) == mine
    assert {"hunter55", "hunter66", "hunter77"} <= set(Redactor.of(mine, {}).known)


def test_a_job_of_an_older_version_runs_with_the_settings_that_it_did_not_know_as_they_are_here(
    settings: Settings,
) -> None:
    tree = json.loads(stored(settings))
    tree["environment"] = "old"
    del tree["runtime"]["keep_days"]
    tree["runtime"]["gone"] = 1
    assert Settings.model_validate_json(as_submitted(settings, json.dumps(tree))) == settings.model_copy(
        update={"environment": "old"}
    )


def test_a_job_of_a_caller_who_may_only_read_stores_nothing_either(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    path = str(tmp_path / "rows.csv")
    asked = Submission("compare_datasets", compare_datasets, CompareRequest(reference=path, current=path), owner="ann")
    for access in ACCESSES:
        with acting_as(Identity("ann", access)):
            row = asked.row(settings, Carrier("", ""))
        # As the process of the job does it, which knows no token.
        given = Settings.model_validate_json(as_submitted(settings, row.settings))
        work = Work(given, Tracer(lambda _: None), job="1", by=Identity(row.owner))
        reads = pytest.raises(ToolFailure, match="read-only") if access == "read" else nullcontext()
        with reads:
            compare_datasets(work, CompareRequest.model_validate_json(row.request))
        assert bool([*settings.home.glob("datasets/*.parquet")]) == (access != "read")
