"""What the tests of the pages share: one filled state folder, and the command that shows it in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

from .filled import filled

# More than fit on many pages.
RUNS, DATASETS = 10_000, 200


@dataclass(frozen=True)
class Site:
    """A site that is served: its state folder, its address without and with the token, and a dataset that has rows."""

    home: Path
    address: str
    opening: str
    dataset: str

    @property
    def token(self) -> str:
        return self.opening.partition("token=")[2]

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    home = tmp_path_factory.mktemp("site") / "home"
    dataset = filled(Work(load({"MLOPS_HOME": str(home)}).settings, Tracer(lambda _: None)), RUNS, DATASETS)
    said = home.parent / "said"
    with said.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlops_mcp.server", "ui"],
            env={"PATH": os.environ["PATH"], "MLOPS_HOME": str(home), "MLOPS_RUNTIME__PRELOAD": "false"},
            stdout=subprocess.PIPE, stderr=stderr, cwd=home.parent, text=True,
        )  # fmt: skip
    assert process.stdout
    opening = process.stdout.readline().strip()
    try:
        yield Site(home, opening.partition("/#")[0], opening, dataset)
    finally:
        process.terminate()
        ended = process.wait()
    assert ended == 0
    # The token is printed once, and no request is logged: what callers name things stands in addresses.
    assert [word for word in (opening.partition("token=")[2], "GET ", "/runs") if word in said.read_text()] == []
