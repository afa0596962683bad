"""One shop for all that is promoted."""

import os
import zlib
from dataclasses import replace

import pandas as pd
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.data.store import load_file
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

from .shop import Shop, rows


@pytest.fixture(scope="session")
def opened_once(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    settings = load({"MLOPS_HOME": str(folder / "home"), "MLOPS_CONFIG": os.devnull}, {"data.roots": [str(folder)]})
    work = Work(settings.settings, Tracer(lambda _span: None))
    frames = {"train": rows(300, 0), "test": rows(500, 1), "far": rows(500, 2, shift=3.0)}
    frames["mixed"] = pd.concat([frames["train"].head(40), frames["test"]])
    frames["rounded"] = frames["train"].round(4).sample(frac=1, random_state=0)
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}.parquet")
    return Shop(work, {name: load_file(work, str(folder / f"{name}.parquet"), name).handle for name in frames}, {})


@pytest.fixture
def shop(opened_once: Shop, request: pytest.FixtureRequest) -> Shop:
    return replace(opened_once, name=f"m{zlib.crc32(request.node.name.encode())}")
