"""The event loop of the server stays on time while call workers work, which it would not with threads."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "calls.py"
TRIES = 3


@pytest.fixture(scope="module")
def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location("calls_benchmark", BENCHMARK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("load", ["pandas", "xgboost", "imports"])
def test_a_5_ms_heartbeat_is_at_most_10_ms_late_beside_a_busy_worker(benchmark: Any, load: str) -> None:
    """In 99 of 100 beats; the best of three tries, because other processes share the machine."""
    late: dict[str, float] = {}
    for _ in range(TRIES):
        late = benchmark.apart(load, "worker")
        assert late["beats"] >= 100
        if late["p99"] <= benchmark.LIMIT_MS:
            return
    pytest.fail(f"late {late}")


def test_the_heartbeat_would_notice_work_in_a_thread(benchmark: Any) -> None:
    assert any(benchmark.apart("pandas", "thread")["p99"] > benchmark.LIMIT_MS for _ in range(TRIES))
