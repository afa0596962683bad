"""Verdicts: each planted fault fails its own rule and no other; what could not be judged is not called passed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.quality import client
from mlops_mcp.tools.quality.models import Condition, Example, Expectation, Validation
from mlops_mcp.tools.runtime.work import Work

pytestmark = pytest.mark.filterwarnings("ignore")
Store = Callable[[pd.DataFrame], str]
E2I = "e2i_classification_suite"
HCP, BRAND, TARGET, BRANDS, FREQUENCY, CLASSES, COMPOUND, PAIR, PROPORTION = range(1, 10)


def judge(work: Work, dataset: str, suite: str = E2I, split: str = "", *conditions: Condition) -> Validation:
    return client.validate_dataset(work, dataset, suite, split, list(conditions), "full")


def rules(work: Work, *expectations: tuple[str, dict[str, Any]]) -> str:
    listed = [Expectation(type=f"expect_{kind}", kwargs=kwargs) for kind, kwargs in expectations]
    return client.create_suite(work, "rules", listed).suite


def with_verdict(validation: Validation, verdict: str) -> list[int]:
    return [result.rule for result in validation.results if result.verdict == verdict]


def planted(column: str, value: Any, frame: pd.DataFrame) -> pd.DataFrame:
    changed = frame.copy()
    changed[column] = changed[column].astype(object) if isinstance(value, str) or value is None else changed[column]
    changed.loc[5, column] = value
    return changed


def test_good_data_passes_every_rule_in_the_order_of_the_suite(work: Work, store: Store, calls: pd.DataFrame) -> None:
    result = judge(work, store(calls))
    assert (result.verdict, result.success, result.passed) == ("passed", True, 9)
    assert [item.rule for item in result.results] == list(range(1, 10))
    assert judge(work, store(calls), "e2i_regression_suite").success


FAULTS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], list[int]]] = {
    "a missing id": (lambda f: planted("hcp_id", None, f), [HCP]),
    "a missing brand": (lambda f: planted("brand", None, f), [BRAND]),
    "a missing target": (lambda f: f.assign(target=f.target.astype("Int64").mask(f.index == 5)), [TARGET]),
    "an unknown brand": (lambda f: planted("brand", "Aspirin", f), [BRANDS]),
    "a negative frequency": (lambda f: planted("call_frequency", -1.0, f), [FREQUENCY]),
    "a high frequency": (lambda f: planted("call_frequency", 101.0, f), [FREQUENCY]),
    "an infinite frequency": (lambda f: planted("call_frequency", np.inf, f), [FREQUENCY]),
    "a third class": (lambda f: planted("target", 2, f), [CLASSES]),
    "classes as text": (lambda f: f.assign(target=f.target.astype(str)), [CLASSES]),
    "a doubled row": (lambda f: pd.concat([f, f.iloc[[7]]]), [COMPOUND]),
    "last before first": (lambda f: planted("last_call_date", pd.Timestamp("2020-01-01"), f), [PAIR]),
    "one id for all": (lambda f: f.assign(hcp_id="one"), [COMPOUND, PROPORTION]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_fails_exactly_its_rules(work: Work, store: Store, calls: pd.DataFrame, fault: str) -> None:
    plant, expected = FAULTS[fault]
    result = judge(work, store(plant(calls)))
    assert (with_verdict(result, "failed"), with_verdict(result, "not_evaluated")) == (expected, [])
    assert (result.verdict, result.success, result.worst_failed) == ("failed", False, "critical")


def test_a_row_with_one_date_missing_and_equal_dates_are_no_fault(
    work: Work, store: Store, calls: pd.DataFrame
) -> None:
    calls.loc[:79, "last_call_date"] = pd.NaT
    calls.loc[100:, "last_call_date"] = calls.first_call_date
    assert judge(work, store(calls)).success


def test_counts_percent_and_examples_are_given(work: Work, store: Store, calls: pd.DataFrame) -> None:
    calls.loc[:19, "brand"] = "Aspirin"
    found = judge(work, store(calls)).results[BRANDS - 1]
    assert (found.elements, found.unexpected, found.unexpected_percent) == (2000, 20, 1.0)
    assert found.examples == [Example(value="Aspirin", count=20, row=1)]


def test_a_missing_column_is_not_evaluated_and_named(work: Work, store: Store, calls: pd.DataFrame) -> None:
    result = judge(work, store(calls.rename(columns={"brand": "brands"})))
    assert (result.verdict, result.success) == ("not_evaluated", False)
    assert with_verdict(result, "not_evaluated") == [BRAND, BRANDS]
    assert result.results[BRAND - 1].reason == "unknown column 'brand'. Did you mean brands, observation_date?"


def test_text_in_place_of_numbers_is_not_evaluated(work: Work, store: Store, calls: pd.DataFrame) -> None:
    result = judge(work, store(calls.assign(call_frequency=calls.call_frequency.astype(str))))
    assert with_verdict(result, "not_evaluated") == [FREQUENCY]


def test_dates_written_day_first_are_not_compared_as_text(work: Work, store: Store, calls: pd.DataFrame) -> None:
    columns = ["first_call_date", "last_call_date"]
    iso, day_first = (
        calls.assign(**{name: calls[name].dt.strftime(form) for name in columns}) for form in ("%Y-%m-%d", "%d/%m/%Y")
    )
    assert judge(work, store(iso)).success
    assert with_verdict(judge(work, store(day_first)), "not_evaluated") == [PAIR]


def test_an_empty_dataset_proves_nothing(work: Work, store: Store, calls: pd.DataFrame) -> None:
    result = judge(work, store(calls.head(0)))
    assert (result.verdict, result.not_evaluated, result.passed) == ("not_evaluated", 9, 0)


def test_a_condition_that_no_row_satisfies_proves_nothing(work: Work, store: Store, calls: pd.DataFrame) -> None:
    nobody = Condition(column="brand", operator="==", value="Kisquali")
    result = judge(work, store(calls), E2I, "", nobody)
    assert (result.verdict, result.not_evaluated, result.selected_rows) == ("not_evaluated", 9, 0)


def test_split_and_conditions_choose_the_rows_together(work: Work, store: Store, calls: pd.DataFrame) -> None:
    calls.loc[1999, "target"] = 7
    dataset = store(calls)
    assert judge(work, dataset, E2I, "train").selected_rows == 1500
    assert judge(work, dataset, E2I, "train").success
    assert with_verdict(judge(work, dataset, E2I, "test"), "failed") == [CLASSES]
    conditions = [
        Condition(column="call_frequency", operator=">=", value=50),
        Condition(column="first_call_date", operator="<", value="2023-02-01"),
        Condition(column="brand", operator="in", value=["Kisqali", "Fabhalta"]),
    ]
    chosen = calls[
        (calls.call_frequency >= 50)
        & (calls.first_call_date < "2023-02-01")
        & calls.brand.isin(["Kisqali", "Fabhalta"])
    ]
    assert judge(work, dataset, E2I, "", *conditions).selected_rows == len(chosen)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (Condition(column="brnd", operator="is_null"), "Did you mean brand"),
        (Condition(column="target", operator="==", value="one"), "cannot be compared"),
        (Condition(column="target", operator="in", value=1), "takes a list"),
        (Condition(column="target", operator="is_null", value=1), "takes no value"),
    ],
)
def test_a_condition_that_means_nothing_is_an_error(
    work: Work, store: Store, calls: pd.DataFrame, condition: Condition, said: str
) -> None:
    with pytest.raises(ToolFailure, match=said):
        judge(work, store(calls), E2I, "", condition)


def test_a_split_that_does_not_exist_is_an_error(work: Work, store: Store, calls: pd.DataFrame) -> None:
    with pytest.raises(ToolFailure, match="Did you mean train"):
        judge(work, store(calls), E2I, "trian")
    with pytest.raises(ToolFailure, match="no column 'split'"):
        judge(work, store(calls.drop(columns="split")), E2I, "train")


def test_code_in_a_column_name_or_value_is_only_text(work: Work, store: Store, calls: pd.DataFrame) -> None:
    hostile = Condition(column="brand", operator="==", value="x' or @__import__('os').system('touch owned') or '")
    assert judge(work, store(calls), E2I, "", hostile).selected_rows == 0
    with pytest.raises(ToolFailure, match="unknown column"):
        judge(
            work, store(calls), E2I, "", Condition(column="brand` == 1 or brand.to_csv('f') or `", operator="is_null")
        )


def test_computed_values_that_satisfy_any_bound_are_not_passed(work: Work, store: Store) -> None:
    frame = pd.DataFrame({"nothing": [np.nan] * 3, "huge": [1.0, np.inf, 2.0]})
    suite = rules(
        work,
        ("column_sum_to_be_between", {"column": "nothing", "min_value": 0}),
        ("column_values_to_be_unique", {"column": "nothing"}),
        ("column_mean_to_be_between", {"column": "huge", "min_value": 0}),
        ("column_mean_to_be_between", {"column": "huge", "max_value": 9}),
        ("column_value_z_scores_to_be_less_than", {"column": "huge", "threshold": 3, "double_sided": True}),
        ("column_values_to_not_be_null", {"column": "nothing"}),
        ("column_values_to_be_null", {"column": "nothing"}),
        ("column_values_to_not_be_in_set", {"column": "huge", "value_set": ["1"]}),
    )
    result = judge(work, store(frame), suite)
    assert with_verdict(result, "not_evaluated") == [1, 2, 3, 5, 8]
    assert with_verdict(result, "failed") == [4, 6]
    assert result.notes == ["huge holds 1 infinite values"]
    json.dumps(result.model_dump(), allow_nan=False)


def test_whole_numbers_with_gaps_stay_whole(work: Work, store: Store) -> None:
    frame = pd.DataFrame(
        {"id": pd.array([2**60, 2**60 + 1, None], dtype="Int64"), "code": pd.array([1, 2, None], dtype="Int64")}
    )
    suite = rules(
        work,
        ("column_values_to_be_unique", {"column": "id"}),
        ("column_values_to_be_of_type", {"column": "code", "type_": "int64"}),
        ("column_type_to_be", {"column": "code", "type_": "int64"}),
        ("column_values_to_match_regex", {"column": "code", "regex": "^[12]$"}),
    )
    assert judge(work, store(frame), suite).success


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_times_are_compared_in_the_zone_of_the_column(work: Work, store: Store, zone: str | None) -> None:
    frame = pd.DataFrame({"at": pd.DatetimeIndex(["2024-01-01", "2024-03-01", "NaT"]).tz_localize(zone)})
    days = ["2024-01-01", "2024-03-01"]
    suite = rules(
        work,
        ("column_values_to_be_between", {"column": "at", "min_value": days[0], "max_value": days[1]}),
        ("column_values_to_be_in_set", {"column": "at", "value_set": days}),
        ("column_values_to_not_be_in_set", {"column": "at", "value_set": days[:1]}),
        ("column_max_to_be_between", {"column": "at", "max_value": "2024-02-01T00:00:00"}),
    )
    result = judge(work, store(frame), suite)
    assert (with_verdict(result, "passed"), with_verdict(result, "failed")) == ([1, 2], [3, 4])


def test_rules_about_columns_see_all_columns(work: Work, store: Store, calls: pd.DataFrame) -> None:
    suite = rules(
        work,
        ("table_column_count_to_equal", {"value": 8}),
        ("column_to_exist", {"column": "brnd"}),
        ("table_columns_to_match_ordered_list", {"column_list": list(calls.columns)}),
        ("table_row_count_to_equal", {"value": 2000}),
        ("column_values_to_be_in_set", {"column": "target", "value_set": [0, 1]}),
    )
    result = judge(work, store(calls), suite)
    assert (with_verdict(result, "failed"), with_verdict(result, "not_evaluated")) == ([2], [])


def test_what_mostly_tolerates_is_said(work: Work, store: Store, calls: pd.DataFrame) -> None:
    calls.loc[:9, "target"] = 3
    suite = rules(work, ("column_values_to_be_in_set", {"column": "target", "value_set": [0, 1], "mostly": 0.9}))
    assert judge(work, store(calls), suite).notes == ["rule 1 passed although 10 values break it (mostly=0.9)"]


def test_a_brief_answer_is_bounded_and_the_stored_one_whole(work: Work, store: Store) -> None:
    frame = pd.DataFrame({f"column_{number}": ["x" * 500] * 3 for number in range(60)})
    members = [f"member_{number}" for number in range(300)]
    suite = rules(
        work,
        *(
            ("column_values_to_be_in_set", {"column": name, "value_set": members[: 20 + index]})
            for index, name in enumerate(frame)
        ),
    )
    brief = client.validate_dataset(work, store(frame), suite, "", [], "short")
    assert brief.failed == 60
    assert len(brief.results) == 12
    assert brief.notes == ["48 rules are not listed: detail='full' lists all"]
    stored = work.settings.gx_home / "validations" / f"{brief.validation.removeprefix('validation:')}.json"
    assert len(Validation.model_validate_json(stored.read_bytes()).results) == 60


def test_a_validation_is_made_from_its_dataset_and_suite(work: Work, store: Store, calls: pd.DataFrame) -> None:
    dataset = store(calls)
    result = judge(work, dataset)
    made_from = {edge.parent for edge in Lineage(work.home).ancestors(result.validation)}
    assert made_from >= {dataset, f"suite:{E2I}@1", f"suite:{E2I}"}


ODD: dict[str, tuple[str, dict[str, Any], str]] = {
    "lists": ("column_values_to_be_unique", {"column": "lists"}, "lists holds lists or objects"),
    "a pattern for lists": ("column_values_to_match_regex", {"column": "lists", "regex": "a"}, "holds lists"),
    "lists among columns": ("compound_columns_to_be_unique", {"column_list": ["lists", "a"]}, "holds lists"),
    "a column and itself": (
        "column_pair_values_to_be_equal",
        {"column_A": "a", "column_B": "a", "ignore_row_if": "neither"},
        "a would be compared with itself",
    ),
    "a number and text": (
        "column_pair_values_to_be_equal",
        {"column_A": "a", "column_B": "x", "ignore_row_if": "neither"},
        "a holds numbers, x holds text",
    ),
    "equal times in and without a zone": (
        "column_pair_values_to_be_equal",
        {"column_A": "naive", "column_B": "aware"},
        "naive holds times without a zone, aware holds times with a zone",
    ),
    "a zone in the bound only": (
        "column_values_to_be_between",
        {"column": "naive", "min_value": "2020-01-01T00:00:00Z"},
        "the column holds times without a zone",
    ),
    "a number as bound of times": (
        "column_values_to_be_between",
        {"column": "naive", "min_value": 5},
        "and min_value a number",
    ),
    "a pattern for times": ("column_values_to_match_regex", {"column": "naive", "regex": "2"}, "which are not text"),
    "a sum of text": ("multicolumn_sum_to_equal", {"column_list": ["a", "x"], "sum_total": 3}, "x holds text, which"),
}


def test_each_odd_rule_is_not_evaluated_with_a_reason_and_the_others_keep_their_verdicts(
    work: Work, store: Store
) -> None:
    times = pd.DatetimeIndex(["2024-01-01", "2024-01-02", "NaT"])
    frame = pd.DataFrame({"lists": [[1], [1, 2], None], "a": [1, 1, 2], "x": ["a", "b", "c"], "naive": times})
    frame["aware"] = times.tz_localize("UTC")
    suite = rules(
        work,
        ("column_values_to_not_be_null", {"column": "a"}),
        *((kind, kwargs) for kind, kwargs, _ in ODD.values()),
        ("column_values_to_be_unique", {"column": "a"}),
        ("column_values_to_not_be_null", {"column": "lists"}),
    )
    result = judge(work, store(frame), suite)
    odd = result.results[1:-2]
    assert {(item.rule, item.verdict) for item in odd} == {(place, "not_evaluated") for place in range(2, len(ODD) + 2)}
    assert [
        reason
        for reason, item in zip([said for *_, said in ODD.values()], odd, strict=True)
        if reason not in str(item.reason)
    ] == []
    assert [result.results[place].verdict for place in (0, -2, -1)] == ["passed", "failed", "failed"]


def test_bad_values_come_once_with_their_count_and_first_row(work: Work, store: Store) -> None:
    bad = ["b"] * 3 + ["c"] * 5 + ["d", "e", "f", "g"] + ["a"] * 8 + [None]
    frame = pd.DataFrame({"x": bad, "split": ["train"] * 2 + ["test"] * 19})
    suite = rules(
        work,
        ("column_values_to_be_in_set", {"column": "x", "value_set": ["a"]}),
        ("column_values_to_not_be_null", {"column": "x"}),
    )
    values, missing = judge(work, store(frame), suite).results
    expected = frame.loc[frame.x.notna() & (frame.x != "a"), "x"].value_counts()
    assert values.examples is not None
    assert values.examples[:2] == [Example(value="c", count=5, row=4), Example(value="b", count=3, row=1)]
    assert {item.value: item.count for item in values.examples} == expected.head(5).to_dict()
    assert (values.more_values, values.counted) == (len(expected) - 5, None)
    assert missing.examples == [Example(value=None, count=1, row=21)]
    chosen = judge(work, store(frame), suite, "test").results[0]
    assert chosen.examples is not None
    assert chosen.examples[1] == Example(value="b", count=1, row=3)


def test_a_count_of_the_first_bad_rows_only_is_said(work: Work, store: Store) -> None:
    suite = rules(work, ("column_values_to_be_between", {"column": "x", "max_value": 0}))
    found = judge(work, store(pd.DataFrame({"x": np.arange(1, 12_001)})), suite).results[0]
    assert (found.unexpected, found.counted, found.more_values) == (12_000, 10_000, 9_995)


def test_uniqueness_tells_how_many_rows_are_left_over(work: Work, store: Store) -> None:
    frame = pd.DataFrame({"x": ["a", "a", "a", "b", "b", "c", None, None], "n": [1, 1, 2, 3, 3, 4, 5, 5]})
    suite = rules(
        work,
        ("column_values_to_be_unique", {"column": "x"}),
        ("compound_columns_to_be_unique", {"column_list": ["x", "n"]}),
    )
    alone, together = judge(work, store(frame), suite).results
    assert (alone.unexpected, alone.surplus) == (5, int(frame.x.dropna().duplicated().sum()))
    assert (together.unexpected, together.surplus) == (6, int(frame.duplicated().sum()))


@pytest.mark.parametrize(("bad", "rows", "percent"), [(1, 3000, 0.0333), (2999, 3000, 99.9667), (0, 10, 0.0)])
def test_a_share_is_zero_or_all_only_where_it_is(work: Work, store: Store, bad: int, rows: int, percent: float) -> None:
    suite = rules(work, ("column_values_to_be_between", {"column": "x", "max_value": 0}))
    found = judge(work, store(pd.DataFrame({"x": [1] * bad + [0] * (rows - bad)})), suite).results[0]
    assert found.unexpected_percent == percent


def test_whole_numbers_that_doubles_round_are_answered_as_text(work: Work, store: Store) -> None:
    suite = rules(
        work,
        ("column_values_to_be_unique", {"column": "id"}),
        ("column_max_to_be_between", {"column": "id", "max_value": 5}),
    )
    unique, largest = judge(work, store(pd.DataFrame({"id": [2**53 + 1, 2**53 + 1]})), suite).results
    assert unique.examples == [Example(value=str(2**53 + 1), count=2, row=1)]
    assert largest.observed == str(2**53 + 1)
