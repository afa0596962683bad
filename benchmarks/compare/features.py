"""What the rows on features stand on: an installation in a folder, and a history of values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

FEATURES = ("a", "b", "c")
SECOND, HOUR = 1_000_000, 3_600_000_000


def work_in(folder: Path) -> Work:
    return Work(load({"MLOPS_HOME": str(folder)}, {}).settings, Tracer(lambda _: None))


def history(values: int, keys: int, created: bool = False, every: bool = False) -> pa.Table:
    """Values of `keys`, drawn or each in turn, over 400 days; one of three is recorded up to nine hours late."""
    draw = np.random.default_rng(0)
    times = 1_700_000_000 * SECOND + draw.integers(0, 400 * 86_400, values) * SECOND + np.arange(values) % SECOND
    columns = {
        "key": pa.array(np.arange(values) if every else draw.integers(0, keys, values)),
        "at": pa.array(times, pa.timestamp("us", "UTC")),
        "a": pa.array(draw.normal(size=values)),
        "b": pa.array(draw.integers(0, 1000, values)),
        "c": pa.array(draw.normal(size=values)),
    }
    if created:
        late = draw.integers(0, 10, values) * HOUR * (draw.random(values) < 1 / 3)
        columns["made"] = pa.array(times + late, pa.timestamp("us", "UTC"))
    return pa.table(columns)
