"""What workers and jobs may reach of a machine while they open what others made."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.landlock import confines
from mlops_mcp.tools.runtime.confined import reach_of, slice_of
from mlops_mcp.tools.runtime.jobs.functions import function_of, reference_of
from mlops_mcp.tools.slices import SLICES, declared, held_to, workers_of

OURS = "mlops_mcp.tools"


def test_slices_that_share_workers_share_what_these_may_reach() -> None:
    assert {
        (name, declared(name).reach) for name in SLICES if declared(name).reach != declared(workers_of(name)).reach
    } == set()


def test_only_who_looks_after_other_processes_is_held_to_nothing() -> None:
    assert {name for name in SLICES if declared(name).reach == "anything"} == {"serving", "upkeep"}


def test_a_job_that_looks_after_no_process_is_held_in_whatever_slice() -> None:
    jobs = {name: [function_of(f"{OURS}.{name}.{each}") for each in declared(name).files_only] for name in SLICES}
    assert {name: [each.__name__ for each in found] for name, found in jobs.items() if found} == {
        "serving": ["package_model", "predict_dataset", "export_deployment"]
    }
    assert {held_to("serving", reference_of(each)) for each in jobs["serving"]} == {"files"}
    assert held_to("serving", f"{OURS}.serving.client:deploy_model") == held_to("serving") == "anything"
    assert held_to("upkeep", f"{OURS}.serving.client:package_model") == "anything"


def test_the_slice_of_a_function_is_told_by_its_module() -> None:
    assert slice_of("mlops_mcp.tools.explain.client") == "explain"
    assert slice_of("probe.tools.explain.client") not in SLICES


@pytest.mark.parametrize(
    ("setting", "value", "dials"),
    [
        ("mlflow.tracking_uri", "", False), ("mlflow.tracking_uri", "http://127.0.0.1:9", True),
        ("mlflow.tracking_uri", "databricks", True), ("mlflow.tracking_uri", "sqlite:////srv/team/mlflow.db", False),
        ("mlflow.artifact_root", "s3://bucket/here", True), ("mlflow.artifact_root", "file:///srv/artifacts", False),
        ("optuna.study_storage", "postgresql://db/studies", True), ("runtime.job_store", "postgresql://db/jobs", True),
        ("data.sources", {"team": "postgresql://db/team"}, True),
        ("data.sources", {"own": "sqlite:////srv/own.db"}, False),
        ("feast.repo_path", "/srv/feast", True),
    ],
)  # fmt: skip
def test_tcp_is_kept_only_where_something_lies_elsewhere(
    environ: dict[str, str], setting: str, value: Any, dials: bool
) -> None:
    settings = load(environ, {setting: value}).settings
    assert reach_of(settings, network=False).tcp is dials
    assert reach_of(settings, network=True).tcp


def test_configured_places_stay_in_reach_and_a_home_does_not(environ: dict[str, str], tmp_path: Path) -> None:
    given = {
        "data.roots": [str(tmp_path / "rows")], "mlflow.tracking_uri": "sqlite:////srv/team/mlflow.db",
        "mlflow.artifact_root": "file:///srv/arti%20facts", "data.sources": {"own": "duckdb:////srv/own/a.duckdb"},
        "optuna.study_storage": "sqlite:////srv/studies/a.db", "bentoml.home": "/srv/bentos",
    }  # fmt: skip
    reach = reach_of(load(environ, given).settings, network=False)
    wanted = ("/srv/team", "/srv/arti facts", "/srv/own", "/srv/studies", "/srv/bentos", environ["MLOPS_HOME"])
    assert {*map(Path, wanted), tmp_path / "rows"} <= set(reach.changes)
    assert not any(
        Path.home() == each or Path.home().is_relative_to(each) for each in reach.changes if each != Path("/")
    )
    assert Path.home() / ".aws" not in reach.reads


def test_credentials_that_variables_name_are_read_where_something_lies_elsewhere(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {"storage.database": "postgresql://db/state", "storage.files": "s3://bucket/state"}
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.setenv(name, f"/run/secrets/{name.lower()}")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/eks/token")
    named = {Path("/run/secrets/aws_shared_credentials_file"), Path("/run/secrets/google_application_credentials")}
    reads = set(reach_of(load(environ, shared).settings, network=False).reads)
    assert named | {Path("/run/eks")} <= reads
    assert not {*named, Path("/run/eks")} & set(reach_of(load(environ).settings, network=False).reads)


@pytest.mark.parametrize(
    ("address", "opened"),
    [
        ("sqlite:////users/ann/mlflow.db", True),
        ("sqlite:///~/mlflow.db", True),
        ("sqlite:////users/mlflow.db", True),
        ("duckdb:////rows.duckdb", True),
        ("sqlite:///mlflow.db?timeout=5", True),
        ("sqlite:///:memory:", False),
    ],
)
def test_a_database_opens_no_home_and_one_in_memory_no_folder(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, opened: bool
) -> None:
    home = tmp_path / "users/ann"
    (home / "work").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home / "work" if not opened else home)
    before = reach_of(load(environ).settings, network=False).changes
    address = address.replace("/users/", f"{tmp_path}/users/")
    sources = {"data.sources": {"shop": address}}
    added = {*reach_of(load(environ, sources).settings, network=False).changes} - {*before}
    file = Path(address.partition(":///")[2].partition("?")[0]).expanduser().absolute()
    names = ("", "-wal", "-shm", "-journal", ".wal") if opened else ()
    assert added == {file.with_name(file.name + end) for end in names}


@pytest.mark.parametrize("setting", ["mlflow.tracking_uri", "optuna.study_storage"])
def test_a_database_that_is_written_has_its_folder_even_in_a_home(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    given = load(environ, {setting: f"sqlite:///{tmp_path}/own.db"}).settings
    assert tmp_path in reach_of(given, network=False).changes


CALL = """
import sys
from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime.calls import worker
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.tracing.span import Carrier

def look(work, path):
    try:
        return open(path).read()
    except OSError as error:
        return type(error).__name__

worker._process.update(settings=load().settings, cache={})
look.__module__ = "mlops_mcp.tools." + sys.argv[1] + ".client"
for path in sys.argv[2:]:
    print(worker.invoke(look, (path,), "off", Carrier(), Identity()).value)
"""
JOB = """
import sys
from types import SimpleNamespace
from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime.jobs import child

def look(settings, row, channel):
    for path in sys.argv[2:]:
        try:
            print(open(path).read())
        except OSError as error:
            print(type(error).__name__)
    return "null"

child._result = look
toolset, _, function = sys.argv[1].partition(".")
row = SimpleNamespace(folder=".", toolset=toolset, function=f"mlops_mcp.tools.{toolset}.{function}")
child.perform(load().settings, row, child.Carrier(), SimpleNamespace(send_bytes=lambda _: None))
"""
CARD = """
import asyncio
import sys
from looking import look
from mlops_mcp.config.load import load
from mlops_mcp.resources import runs
from mlops_mcp.tools.runtime.calls.executor import CallExecutor

async def main():
    calls = CallExecutor(load().settings, lambda span: None)
    try:
        await calls.call("tracking", runs.recent_runs, "")
        for path in sys.argv[1:]:
            print(await calls.call("tracking", look, path))
    finally:
        calls.close()

if __name__ == "__main__":
    asyncio.run(main())
"""
LOOK = """
def look(work, path):
    try:
        return open(path).read()
    except OSError as error:
        return type(error).__name__
"""


needs_landlock = pytest.mark.skipif(not confines(), reason="the kernel has no Landlock of Linux 6.2 or later")


@needs_landlock
@pytest.mark.parametrize(
    ("way", "slice_name", "held"),
    [
        (CALL, "explain", True),
        (CALL, "serving", False),
        (JOB, "explain", True),
        (JOB, "serving.client:package_model", True),
        (JOB, "serving.batch:predict_dataset", True),
        (JOB, "serving.client:deploy_model", False),
    ],
)
def test_a_worker_and_a_job_read_what_is_readable_and_no_other_file_of_the_user(
    environ: dict[str, str], tmp_path: Path, way: str, slice_name: str, held: bool
) -> None:
    for name in ("rows", "other", "temporary"):
        (tmp_path / name).mkdir()
    (tmp_path / "rows/file").write_text("open")
    (tmp_path / "other/file").write_text("shut")
    code = way.replace("load()", f"load({environ!r}, {{'data.roots': [{str(tmp_path / 'rows')!r}]}})")
    asked = [str(tmp_path / "rows/file"), str(tmp_path / "other/file")]
    variables = {**os.environ, "HOME": f"{tmp_path}-user", "TMPDIR": str(tmp_path / "temporary")}
    ran = subprocess.run(
        [sys.executable, "-c", code, slice_name, *asked], check=False, capture_output=True, cwd="/", env=variables
    )
    assert ran.returncode == 0, ran.stderr.decode()
    assert ran.stdout.decode().split() == ["open", "PermissionError" if held else "shut"]


@pytest.fixture
def short_folder() -> Generator[Path]:
    """A temporary folder for processes that open sockets in it, whose paths may have 107 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@needs_landlock
@pytest.mark.slow
def test_a_worker_whose_first_call_reads_a_card_is_held_as_well(
    environ: dict[str, str], tmp_path: Path, short_folder: Path
) -> None:
    for name in ("rows", "other", "code"):
        (tmp_path / name).mkdir()
    (tmp_path / "rows/file").write_text("open")
    (tmp_path / "other/file").write_text("shut")
    Path(environ["MLOPS_HOME"]).mkdir()
    (tmp_path / "code/looking.py").write_text(LOOK)
    given = f"load({environ!r}, {{'data.roots': [{str(tmp_path / 'rows')!r}], 'runtime.preload': 'never'}})"
    (tmp_path / "code/card.py").write_text(CARD.replace("load()", given))
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "code/card.py"), str(tmp_path / "rows/file"), str(tmp_path / "other/file")],
        check=False,
        capture_output=True,
        cwd="/",
        env={**os.environ, "HOME": f"{tmp_path}-user", "TMPDIR": str(short_folder)},
    )
    assert ran.returncode == 0, ran.stderr.decode()
    assert ran.stdout.decode().split() == ["open", "PermissionError"]
