"""The E2I suites pass on good data and, for each rule, fail on exactly what breaks that rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mcp import Client

from mlops_mcp.tools.data.synthetic import Kind, generate

pytestmark = pytest.mark.slow

ROWS = 1500
Fault = Callable[[pd.DataFrame], object]


def good(kind: Kind) -> pd.DataFrame:
    return generate(kind, ROWS, 0)[0].to_pandas()


def put(column: str, value: Any, row: int = 7) -> Fault:
    def plant(frame: pd.DataFrame) -> None:
        values = frame[column].tolist()
        values[row] = value
        frame[column] = values

    return plant


def repeat_an_observation(frame: pd.DataFrame) -> None:
    put("observation_date", frame["observation_date"].iloc[0], row=1)(frame)


def call_last_before_first(frame: pd.DataFrame) -> None:
    put("last_call_date", frame["first_call_date"].iloc[7] - pd.Timedelta(days=1))(frame)


def keep_few_professionals(frame: pd.DataFrame) -> None:
    frame["hcp_id"] = [f"hcp_{row % 10}" for row in range(len(frame))]
    frame["observation_date"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(len(frame)) // 10, unit="D")


def write_the_target_as_text(frame: pd.DataFrame) -> None:
    frame["target"] = frame["target"].astype(str)


def flatten_the_target(frame: pd.DataFrame) -> None:
    frame["target"] = 1.5


COMMON: list[tuple[int, str, Fault]] = [
    (1, "expect_column_values_to_not_be_null", put("hcp_id", None)),
    (2, "expect_column_values_to_not_be_null", put("brand", None)),
    (3, "expect_column_values_to_not_be_null", put("target", None)),
    (4, "expect_column_values_to_be_in_set", put("brand", "Aspirin")),
    (5, "expect_column_values_to_be_between", put("call_frequency", 101)),
    (5, "expect_column_values_to_be_between", put("call_frequency", -1)),
]
LAST: list[tuple[str, Fault]] = [
    ("expect_compound_columns_to_be_unique", repeat_an_observation),
    ("expect_column_pair_values_a_to_be_greater_than_b", call_last_before_first),
    ("expect_column_proportion_of_unique_values_to_be_between", keep_few_professionals),
]
CLASSIFICATION: list[tuple[int, str, Fault]] = [
    *COMMON,
    (6, "expect_column_values_to_be_in_set", put("target", 2)),
    *[(7 + number, *rule) for number, rule in enumerate(LAST)],
]
REGRESSION: list[tuple[int, str, Fault]] = [
    *COMMON,
    *[(7 + number, *rule) for number, rule in enumerate(LAST)],
    (10, "expect_column_stdev_to_be_between", flatten_the_target),
]
KINDS: list[tuple[Kind, str, list[tuple[int, str, Fault]]]] = [
    ("e2i_classification", "e2i_classification_suite", CLASSIFICATION),
    ("e2i_regression", "e2i_regression_suite", REGRESSION),
]


class Judge:
    """Validates frames through the server."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._client = client
        self._folder = folder

    async def __call__(self, frame: pd.DataFrame, suite: str) -> dict[str, Any]:
        path = self._folder / f"data_{len(list(self._folder.glob('data_*')))}.parquet"
        frame.to_parquet(path)
        arguments = {"dataset": str(path), "suite": suite, "detail": "full"}
        result = await self._client.call_tool("validate_dataset", arguments)
        assert not result.is_error, result.content
        assert isinstance(result.structured_content, dict)
        return result.structured_content


@pytest.fixture
async def judge(client: Client, tmp_path: Path) -> Judge:
    return Judge(client, tmp_path)


@pytest.mark.parametrize(("kind", "suite", "table"), KINDS, ids=[kind for kind, *_ in KINDS])
async def test_good_data_pass_and_each_planted_fault_fails_exactly_its_rule(
    judge: Judge, kind: Kind, suite: str, table: list[tuple[int, str, Fault]]
) -> None:
    verdict = await judge(good(kind), suite)
    rules = len(verdict["results"])
    assert (verdict["verdict"], verdict["success"], verdict["passed"]) == ("passed", True, rules)
    planted = set[int]()
    for rule, expectation, plant in table:
        frame = good(kind)
        plant(frame)
        verdict = await judge(frame, suite)
        failed = [(result["rule"], result["type"]) for result in verdict["results"] if result["verdict"] != "passed"]
        assert failed == [(rule, expectation)], f"fault for rule {rule}: {failed}"
        assert (verdict["success"], verdict["failed"], verdict["passed"]) == (False, 1, rules - 1)
        assert verdict["results"][rule - 1]["kwargs"]
        assert verdict["duration_seconds"] > 0
        planted.add(rule)
    # The type of a regression's target is the one rule that cannot be broken alone: text has no spread either.
    assert set(range(1, rules + 1)) - planted == ({6} if kind == "e2i_regression" else set())


async def test_a_target_of_text_fails_its_type_and_leaves_its_spread_not_evaluated(judge: Judge) -> None:
    frame = good("e2i_regression")
    write_the_target_as_text(frame)
    results = (await judge(frame, "e2i_regression_suite"))["results"]
    verdicts = {result["rule"]: result["verdict"] for result in results if result["verdict"] != "passed"}
    assert verdicts == {6: "failed", 10: "not_evaluated"}


async def test_an_infinite_target_has_no_spread_that_could_be_judged(judge: Judge) -> None:
    frame = good("e2i_regression")
    put("target", float("inf"))(frame)
    verdict = await judge(frame, "e2i_regression_suite")
    assert (verdict["verdict"], verdict["success"], verdict["not_evaluated"]) == ("not_evaluated", False, 1)
    assert verdict["results"][9]["verdict"] == "not_evaluated"


async def test_generated_data_pass_by_their_handle(client: Client) -> None:
    for kind, suite, _ in KINDS:
        made = await client.call_tool("generate_dataset", {"kind": kind, "n_rows": 300, "seed": 5})
        assert isinstance(made.structured_content, dict)
        arguments = {"dataset": made.structured_content["dataset"], "suite": suite}
        verdict = await client.call_tool("validate_dataset", arguments)
        assert isinstance(verdict.structured_content, dict)
        assert verdict.structured_content["verdict"] == "passed"
