"""Rules that the library cannot compute are told by what their columns hold."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.quality import client
from mlops_mcp.tools.quality.models import Expectation
from mlops_mcp.tools.runtime.work import Work

pytestmark = pytest.mark.filterwarnings("ignore")


def test_what_the_library_cannot_compute_is_said_by_what_the_columns_hold(work: Work) -> None:
    table = pa.table({"s": ["a", "b"], "t": pa.array([1, 2], pa.timestamp("us")), "n": [1.0, 2.0]})
    handle = save(work, table, "mixed", [], "test").handle
    asked: dict[str, dict[str, Any]] = {
        "max_to_be_between": {"column": "s", "max_value": 3},
        "sum_to_be_between": {"column": "t", "max_value": 3},
        "values_to_be_increasing": {"column": "s"},
        "values_to_match_json_schema": {"column": "s", "json_schema": {"type": "object"}},
        "values_to_match_strftime_format": {"column": "n", "strftime_format": "%Y"},
        "values_to_be_between": {"column": "n", "max_value": "2024-01-01"},
    }
    client.create_suite(
        work, "mixed", [Expectation(type=f"expect_column_{kind}", kwargs=kw) for kind, kw in asked.items()]
    )
    found = client.validate_dataset(work, handle, "mixed", "", [], "full").results
    assert {result.verdict for result in found} == {"not_evaluated"}
    reasons = [(result.reason or "").partition(":")[0] for result in found]
    assert reasons == [
        "s holds text and max_value a number, which it does not compute",
        "t holds times without a zone and max_value a number, which it does not compute",
        "s holds text, which it does not compute",
        "s holds text that is not all JSON",
        "n holds numbers, which it does not compute",
        "n holds numbers and max_value a time, which it does not compute",
    ]
