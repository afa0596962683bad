from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

Store = Callable[[pd.DataFrame], str]


@pytest.fixture(scope="session")
def process_cache() -> dict[object, object]:
    """What a worker process keeps between calls: the opened library."""
    return {}


@pytest.fixture
def work(tmp_path: Path, process_cache: dict[object, object]) -> Work:
    settings = load({"MLOPS_HOME": str(tmp_path)}).settings
    return Work(settings, Tracer(lambda _: None), cache=process_cache)


@pytest.fixture
def store(work: Work) -> Store:
    """Keep a frame as a dataset and return its handle."""

    def keep(frame: pd.DataFrame) -> str:
        return save(work, pa.Table.from_pandas(frame, preserve_index=False), "calls", [], "test").handle

    return keep


@pytest.fixture
def calls() -> pd.DataFrame:
    """Data that the E2I suites accept."""
    random, rows = np.random.default_rng(0), 2000
    first = pd.Timestamp("2023-01-01") + pd.to_timedelta(random.integers(0, 90, rows), unit="D")
    return pd.DataFrame(
        {
            "hcp_id": [f"hcp_{row % 200}" for row in range(rows)],
            "brand": random.choice(["Remibrutinib", "Fabhalta", "Kisqali"], rows),
            "observation_date": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows) // 200 * 30, unit="D"),
            "first_call_date": first,
            "last_call_date": first + pd.to_timedelta(random.integers(0, 200, rows), unit="D"),
            "call_frequency": random.integers(0, 101, rows).astype(float),
            "target": random.integers(0, 2, rows),
            "split": np.where(np.arange(rows) < 1500, "train", "test"),
        }
    )
