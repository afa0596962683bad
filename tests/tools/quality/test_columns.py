"""Columns that are easily taken for others, and values that are easily passed over."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.quality.client import create_suite, validate_dataset
from mlops_mcp.tools.quality.models import Example, Expectation, RuleResult
from mlops_mcp.tools.runtime.work import Work

pytestmark = pytest.mark.filterwarnings("ignore")


def judged(work: Work, table: pa.Table, *expectations: tuple[str, dict[str, Any]]) -> list[RuleResult]:
    handle = save(work, table, "rows", [], "test").handle
    listed = [Expectation(type=f"expect_{kind}", kwargs=kwargs) for kind, kwargs in expectations]
    return validate_dataset(work, handle, create_suite(work, "rules", listed).suite, "", [], "full").results


def test_columns_that_differ_by_case_or_quotes_are_not_taken_for_each_other(work: Work) -> None:
    table = pa.table({"n": [1, 2], "N": [3, 4], '"n"': [5, 6]})
    *measured, unequal = judged(
        work,
        table,
        *(
            (f"column_{measure}_to_be_between", {"column": name, "max_value": 9})
            for name in table.column_names
            for measure in ("max", "median")
        ),
        ("column_pair_values_to_be_equal", {"column_A": "n", "column_B": "N"}),
    )
    assert [item.observed for item in measured] == [2, 1.5, 4, 3.5, 6, 5.5]
    assert (unequal.verdict, unequal.unexpected) == ("failed", 2)


def test_not_a_number_is_missing_though_the_limits_of_a_file_leave_it_out(work: Work) -> None:
    missing, unique, proportion = judged(
        work,
        pa.table({"x": [1.0, 2.0, float("nan"), 2.0, float("nan")]}),
        ("column_values_to_not_be_null", {"column": "x"}),
        ("column_values_to_be_unique", {"column": "x"}),
        ("column_proportion_of_unique_values_to_be_between", {"column": "x", "min_value": 0.9}),
    )
    assert missing.examples == [Example(value=None, count=2, row=3)]
    assert (unique.unexpected, unique.missing, proportion.observed) == (2, 2, 2 / 3)
