from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.features import client
from mlops_mcp.tools.features.models import View
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

Store = Callable[..., str]
Register = Callable[..., View]
EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    settings = load({"MLOPS_HOME": str(tmp_path)}, {"data.roots": [str(EXAMPLES)]}).settings
    return Work(settings, Tracer(lambda _: None))


@pytest.fixture
def store(work: Work) -> Store:
    """Keep a frame as a dataset and return its handle."""

    def keep(frame: pd.DataFrame, name: str = "things") -> str:
        return save(work, pa.Table.from_pandas(frame, preserve_index=False), name, [], "test").handle

    return keep


@pytest.fixture
def register(work: Work, store: Store) -> Register:
    """Register a frame with the columns `key`, `at` and features as a view."""

    def make(
        frame: pd.DataFrame,
        view: str = "things",
        features: tuple[str, ...] = (),
        created: str = "",
        ttl_days: float | None = None,
        entity: str = "key",
    ) -> View:
        handle = store(frame, f"{view}_data")
        return client.register_features(work, handle, view, entity, "at", list(features), created, ttl_days, "")

    return make
