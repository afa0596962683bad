"""What workers and jobs see of the server's environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.runtime.inherited import inherited
from mlops_mcp.tools.runtime.jobs.queue import Jobs
from mlops_mcp.tools.runtime.jobs.submission import Submission

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "planted-aws", "ANTHROPIC_API_KEY": "planted-anthropic", "GITHUB_TOKEN": "planted-github",
    "MLFLOW_TRACKING_TOKEN": "planted-mlflow", "OPIK_API_KEY": "planted-opik", "PGPASSWORD": "planted-pg",
    "MLOPS_OPIK__API_KEY": "planted-mlops", "SOME_VARIABLE": "planted-other",
}  # fmt: skip
PLAIN = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LC_ALL": "C",
    "https_proxy": "http://proxy",
    "MLFLOW_S3_IGNORE_TLS": "true",
}


def settings_of(tmp_path: Path, **changes: Any) -> Settings:
    return load({"MLOPS_HOME": str(tmp_path), "MLOPS_CONFIG": os.devnull}, changes).settings


@pytest.mark.parametrize(
    ("changes", "given"),
    [
        ({}, set()),
        ({"mlflow.artifact_root": "s3://bucket/path"}, {"AWS_SECRET_ACCESS_KEY"}),
        ({"mlflow.tracking_uri": "http://127.0.0.1:9"}, {"AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_TOKEN"}),
        ({"data.sources": {"shop": "postgresql://db/shop"}}, {"PGPASSWORD"}),
        ({"runtime.job_store": "postgresql://db/jobs"}, {"PGPASSWORD"}),
    ],
)
def test_a_secret_goes_only_where_a_backend_needs_it(
    tmp_path: Path, changes: Mapping[str, Any], given: set[str]
) -> None:
    found = inherited({**PLAIN, **SECRETS}, settings_of(tmp_path, **changes))
    assert found == {**PLAIN, **{name: SECRETS[name] for name in given}}


def test_without_settings_no_secret_goes_anywhere() -> None:
    assert inherited({**PLAIN, **SECRETS}) == PLAIN


LOOK = """
import os, sys
from pathlib import Path
from mlops_mcp.tools.runtime.inherited import inherited, keep_only
keep_only(inherited(os.environ))
print([name for name in os.environ if "planted" in os.environ[name]])
print(b"planted" in Path("/proc/self/environ").read_bytes(), os.environ["LC_ALL"])
if not os.fork():
    print(b"planted" in Path("/proc/self/environ").read_bytes()); sys.stdout.flush(); os._exit(0)
os.wait()
"""


def test_what_was_taken_away_stands_nowhere_in_the_process_nor_in_its_children() -> None:
    environment = {**os.environ, **SECRETS, "LC_ALL": "C"}
    ran = subprocess.run(
        [sys.executable, "-u", "-c", LOOK], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.split() == ["[]", "False", "C", "False"]


JOB = """
import os
from pathlib import Path
from pydantic import BaseModel

class Request(BaseModel): pass
class Result(BaseModel): planted: bool

def look(work, request: Request) -> Result:
    blocks = [Path(f"/proc/{pid}/environ").read_bytes() for pid in (os.getpid(), os.getppid())]
    return Result(planted=any("planted" in str(each) for each in (os.environ, *blocks)))
"""


@pytest.mark.slow
async def test_a_job_has_no_secret_of_the_server_nor_of_the_settings_in_its_environment(
    settings: Settings, probes: Callable[[str, str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    opik = settings.opik.model_copy(update={"api_key": SecretStr("planted")})
    jobs = Jobs(settings.model_copy(update={"opik": opik}))
    module = probes("look", JOB)
    job = await jobs.submit(Submission("train_model", module.look, module.Request()))
    row = [row async for row in jobs.watch(job.id, 120)][-1]
    assert (row.state, json.loads(row.result or "")) == ("done", {"planted": False})
