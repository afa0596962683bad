"""Suites: what is accepted as a rule, and how versions are kept."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.quality import client
from mlops_mcp.tools.quality.models import Expectation
from mlops_mcp.tools.quality.rules import checked
from mlops_mcp.tools.quality.suites import SuiteStore
from mlops_mcp.tools.runtime.work import Work

pytestmark = pytest.mark.filterwarnings("ignore")
BETWEEN = "expect_column_values_to_be_between"


def rule(kind: str, **kwargs: Any) -> Expectation:
    return Expectation(type=kind, kwargs=kwargs)


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (rule("expect_column_values_to_be_betwen", column="a", min_value=0), f"Did you mean {BETWEEN}"),
        (rule(BETWEEN, column="a", min=0), "Did you mean min_value"),
        (rule(BETWEEN, column="a"), "without a bound it cannot fail"),
        (rule(BETWEEN, min_value=0), "needs column"),
        (rule(BETWEEN, column="a", min_value=5, max_value=1), "above max_value"),
        (rule(BETWEEN, column="a", min_value="5"), "is text"),
        (rule(BETWEEN, column="a", min_value=True), "neither a number nor a time"),
        (rule(BETWEEN, column="a", min_value=10**17), "compared exactly"),
        (rule(BETWEEN, column="a", min_value=float("nan")), "not a finite number"),
        (rule(BETWEEN, column="a", min_value={"$PARAMETER": "low"}), "$PARAMETER"),
        (rule(BETWEEN, column="a", min_value=0, mostly=0), "above 0"),
        (rule(BETWEEN, column="a", min_value=0, mostly=1.5), "above 0"),
        (rule(BETWEEN, column="a", min_value=0, row_condition="a.to_csv('f')"), "validate_dataset"),
        (rule(BETWEEN, column=5, min_value=0), "column"),
        (rule("expect_column_values_to_be_in_set", column="a", value_set=[]), "value_set is empty"),
        (rule("expect_column_values_to_match_regex", column="a", regex="("), "regular expression"),
        (rule("expect_column_values_to_match_regex", column="a"), "needs regex"),
        (rule("expect_column_values_to_be_of_type", column="a", type_="strng"), "Did you mean str"),
        (
            rule("expect_column_values_to_match_json_schema", column="a", json_schema={"$ref": "file:///etc/passwd"}),
            "reference",
        ),
        (rule("unexpected_rows_expectation", unexpected_rows_query="select 1"), "SQL"),
        (rule("expect_column_values_to_match_like_pattern", column="a", like_pattern="b%"), "SQL"),
    ],
)
def test_a_rule_that_would_be_dropped_or_misread_is_refused(work: Work, refused: Expectation, said: str) -> None:
    with pytest.raises(ToolFailure) as failure:
        client.create_suite(work, "rules", [rule("expect_column_values_to_be_unique", column="id"), refused])
    assert "rule 2" in str(failure.value)
    assert said in str(failure.value)
    assert "rules" not in SuiteStore(work.settings).names()


def test_an_empty_suite_and_a_repeated_rule_are_refused(work: Work) -> None:
    unique = rule("expect_column_values_to_be_unique", column="id")
    with pytest.raises(ToolFailure, match="without rules"):
        client.create_suite(work, "empty", [])
    with pytest.raises(ToolFailure, match="rule 2 repeats rule 1"):
        client.create_suite(work, "twice", [unique, unique])


def test_the_spelling_of_the_old_line_is_accepted(work: Work) -> None:
    old = rule("expect_column_pair_values_A_to_be_greater_than_B", column_A="end", column_B="start")
    client.create_suite(work, "dates", [old])
    stored = client.get_suite(work, "suite:dates", "short", 20, "").expectations[0]
    assert stored.type == "expect_column_pair_values_a_to_be_greater_than_b"


def test_every_change_is_a_new_version_and_the_old_one_stays(work: Work) -> None:
    first, second = (rule(BETWEEN, column="a", min_value=bound) for bound in (0, 1))
    assert client.create_suite(work, "bounds", [first]).version == 1
    assert client.create_suite(work, "bounds", [second]).version == 2
    assert client.create_suite(work, "bounds", [second]).version == 2
    assert client.get_suite(work, "bounds@1", "short", 20, "").expectations == [first]
    assert client.get_suite(work, "bounds", "short", 20, "").expectations == [second]
    assert [edge.child for edge in Lineage(work.home).descendants("suite:bounds")] == [
        "suite:bounds@1",
        "suite:bounds@2",
    ]


def test_writers_at_once_lose_no_version(work: Work) -> None:
    store = SuiteStore(work.settings)
    bounds = range(12)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda bound: store.add("race", [rule(BETWEEN, column="a", min_value=bound)]), bounds))
    kept = [store.get(f"race@{version}").expectations[0].kwargs["min_value"] for version in range(1, 13)]
    assert sorted(map(str, kept)) == sorted(map(str, bounds))


def test_the_built_in_suites_have_the_configured_names(work: Work) -> None:
    assert [info.suite for info in client.list_suites(work, 20, "").items] == [
        "suite:e2i_classification_suite",
        "suite:e2i_regression_suite",
    ]
    assert client.get_default_suite(work, "classification").rules == 9
    assert client.get_default_suite(work, "regression").rules == 10


def test_a_default_can_be_replaced_and_then_the_built_in_one_is_its_first_version(work: Work) -> None:
    info = client.create_suite(work, "e2i_classification_suite", [rule(BETWEEN, column="a", min_value=0)])
    assert info.version == 2
    assert client.get_default_suite(work, "classification").rules == 1
    assert client.get_suite(work, "e2i_classification_suite@1", "short", 20, "").rules == 9


def test_a_configured_default_that_nobody_made_is_an_error(work: Work) -> None:
    settings = load({"MLOPS_HOME": str(work.home), "MLOPS_CONFIG": str(_config(work))}).settings
    with pytest.raises(ToolFailure, match="unknown suite 'rank_rules'"):
        client.get_default_suite(Work(settings, work.tracer), "ranking")


def test_unknown_names_are_errors_with_the_nearest_ones(work: Work) -> None:
    with pytest.raises(ToolFailure, match="Did you mean e2i_classification_suite"):
        client.get_suite(work, "e2i_clasification_suite", "short", 20, "")
    with pytest.raises(ToolFailure, match="Did you mean regression"):
        client.get_default_suite(work, "regresion")
    with pytest.raises(ToolFailure, match="unknown version"):
        client.get_suite(work, "e2i_regression_suite@9", "short", 20, "")
    with pytest.raises(ToolFailure, match="is a dataset, not a suite"):
        client.get_suite(work, "dataset:loans", "short", 20, "")


def test_a_suite_is_paged_and_crosses_processes(work: Work) -> None:
    page = client.get_suite(work, "e2i_classification_suite", "short", 4, "")
    assert pickle.loads(pickle.dumps(page)) == page
    assert (len(page.expectations), page.next_cursor) == (4, "4")
    assert len(client.get_suite(work, "e2i_classification_suite", "short", 4, "8").expectations) == 1


def test_long_value_sets_are_cut_in_brief_and_whole_in_full(work: Work) -> None:
    many = rule("expect_column_values_to_be_in_set", column="a", value_set=list(range(500)))
    client.create_suite(work, "many", [many])
    assert client.get_suite(work, "many", "full", 20, "").expectations == [many]
    assert len(client.get_suite(work, "many", "short", 20, "").model_dump_json()) < 600


def _config(work: Work) -> object:
    path = work.home / "mlops.yaml"
    path.write_text("great_expectations:\n  default_suites:\n    ranking: rank_rules\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("kind", "kwargs", "says"),
    [
        (
            "column_values_to_be_in_set",
            {"column": "a", "value_set": "abc"},
            "value_set has to be a list.*kwargs: column",
        ),
        ("column_values_to_be_unique", {"column": 5}, "column has to be text"),
        ("table_row_count_to_equal", {"value": "many"}, "value has to be a whole number"),
        ("column_value_lengths_to_equal", {"column": "a", "value": "x"}, "value has to be a number"),
        ("column_values_to_match_regex", {"column": "a", "regex": 5}, "5 is no text"),
        (
            "column_values_to_match_json_schema",
            {"column": "a", "json_schema": {"type": 5}},
            "json_schema is none at type",
        ),
        ("column_quantile_values_to_be_between", {"column": "a", "quantile_ranges": {"a": 1}}, '"value_ranges"'),
        (
            "column_quantile_values_to_be_between",
            {"column": "a", "quantile_ranges": {"quantiles": [0.5, 0.9], "value_ranges": [[1, 2]]}},
            "lists that fit each other",
        ),
        (
            "column_kl_divergence_to_be_less_than",
            {"column": "a", "threshold": 1, "partition_object": {"bins": [1, 2], "weights": [0.5, 0.5]}},
            "lists that fit each other",
        ),
    ],
)
def test_kwargs_of_another_shape_are_named_with_the_one_that_is_needed(
    kind: str, kwargs: dict[str, Any], says: str
) -> None:
    with pytest.raises(ToolFailure, match=says) as refused:
        checked([Expectation(type=f"expect_{kind}", kwargs=kwargs)])
    assert "is not a valid" not in str(refused.value)


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
