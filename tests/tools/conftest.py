"""What tests of several slices stand on."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import marks
from mlops_mcp.tools.tracing.span import Tracer

from .runtime.outcomes import SOURCE
from .runtime.postgres import running, search_path


@pytest.fixture(autouse=True)
def bentoml_of_this_test() -> None:
    """BentoML keeps the first folder that it was told, as fits a worker; the tests of a process have one each."""
    if "bentoml" in sys.modules:
        from bentoml._internal.configuration.containers import BentoMLContainer
        from simple_di import sentinel
        from simple_di.providers import SingletonFactory

        for provider in vars(type(BentoMLContainer)).values():
            if isinstance(provider, SingletonFactory):
                provider._cache = sentinel  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def without_backends(tmp_path: Path) -> Work:
    """An installation whose MLflow is dead."""
    dead = {"mlflow.tracking_uri": "http://127.0.0.1:9"}
    settings = load({"MLOPS_HOME": str(tmp_path / "home"), "MLOPS_CONFIG": os.devnull}, dead).settings
    return Work(settings, Tracer(lambda _span: None))


@pytest.fixture
def standin(work: Work) -> Generator[Callable[[str, str], int]]:
    """Starts a process that bears the mark of a deployment (endpoint, id), and does nothing; its process id."""
    started: list[subprocess.Popen[bytes]] = []

    def start(endpoint: str, identity: str) -> int:
        bears = {marks.MARK: marks.mark_of(endpoint, identity), marks.HOME: marks.home_of(work.home)}
        started.append(subprocess.Popen(["sleep", "infinity"], env={**os.environ, **bears}))
        return started[-1].pid

    yield start
    for each in started:
        each.kill()
        each.wait()


@pytest.fixture
def fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is trained right here is not fitted again over folds, for tests that do not look at those scores."""
    monkeypatch.setattr("mlops_mcp.tools.training.client.REPEATED_FITS_S", -1.0)


@pytest.fixture(scope="session")
def postgres(needs: Callable[..., str]) -> Generator[str]:
    """The address of a PostgreSQL database."""
    path = search_path()
    # A socket's path is short, and the folders of tests are closed to the account that the server runs as.
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        os.chmod(folder, 0o755)
        with running(Path(folder), lambda name: needs(name, "install postgresql", path)) as address:
            yield address


@pytest.fixture(scope="session")
def hard_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the package `hard`."""
    folder = tmp_path_factory.mktemp("hard")
    file = folder / "hard" / "tools" / "outcomes" / "client.py"
    file.parent.mkdir(parents=True)
    file.write_text("from __future__ import annotations\n" + SOURCE, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def scheduler(hard_folder: Path) -> Generator[str]:
    """The address of a Dask cluster of two worker processes with a thread each."""
    from distributed import LocalCluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(hard_folder)
    sys.path.insert(0, str(hard_folder))
    try:
        cluster: Any = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0")
        with cluster:
            yield str(cluster.scheduler_address)
    finally:
        sys.path.remove(str(hard_folder))
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
