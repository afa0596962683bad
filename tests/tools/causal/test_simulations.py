"""The simulations of `benchmarks/effects.py` with few repetitions; in full they are run by hand."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "effects.py"


@pytest.fixture(scope="module")
def simulate() -> Any:
    return runpy.run_path(str(BENCHMARK))["simulate"]


@pytest.mark.parametrize("design", ["trial 400, 20 %", "confounded 500", "IHDP A"])
def test_intervals_hold_the_truth_as_often_as_they_claim_and_are_hardly_wider_than_the_best(
    simulate: Any, design: str
) -> None:
    """Of five intervals at 95 % two miss once in fifty times: the seeds are fixed, and were not chosen."""
    for found in simulate(design, range(5)).values():
        assert found.coverage >= 4 / 5
        assert abs(found.bias) < 2 * found.error
        assert found.good >= (1 if design.startswith("trial") else 0)
