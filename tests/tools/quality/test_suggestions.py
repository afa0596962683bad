"""Rules from data hold for it, a stored validation is read again with its rows, and the types of rules are listed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.quality import client
from mlops_mcp.tools.quality.failures import get_validation
from mlops_mcp.tools.quality.kinds import list_expectations
from mlops_mcp.tools.quality.models import Condition, Expectation, SuggestedSuite
from mlops_mcp.tools.quality.suggest import suggest_suite
from mlops_mcp.tools.quality.suites import SuiteStore
from mlops_mcp.tools.runtime.work import Work

pytestmark = pytest.mark.filterwarnings("ignore")
Store = Callable[[pd.DataFrame], str]
ROWS, TOKENS = 300, 1500


@pytest.fixture
def accounts() -> pd.DataFrame:
    random = np.random.default_rng(0)
    opened = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 90, ROWS), unit="D")
    return pd.DataFrame(
        {
            "account": [f"A-{number:06d}" for number in range(ROWS)],
            "status": random.choice(["open", "closed"], ROWS),
            "amount": random.lognormal(3, 1, ROWS),
            "items": random.integers(0, 5, ROWS),
            "share": random.random(ROWS),
            "balance": random.normal(0, 50, ROWS),
            "opened": opened,
            "closed": pd.Series(opened + pd.to_timedelta(random.integers(0, 30, ROWS), unit="D")).where(
                random.random(ROWS) > 0.1
            ),
            "code": [str(number) for number in random.integers(0, 900, ROWS - 1)] + ["?"],
            "huge": np.arange(ROWS) + 2**60,
            "endless": np.where(np.arange(ROWS) == 3, np.inf, random.normal(size=ROWS)),
            "nothing": np.nan,
            "one": 1,
        }
    )


def reasons(suite: SuggestedSuite, work: Work, kind: str) -> dict[str, Expectation]:
    rules = SuiteStore(work.settings).get(suite.suite).expectations
    return {
        str(rule.kwargs.get("column", rule.kwargs.get("column_A"))): rule for rule in rules if rule.type.endswith(kind)
    }


def test_suggested_rules_hold_for_their_data_but_for_those_that_say_so(
    work: Work, store: Store, accounts: pd.DataFrame
) -> None:
    made = suggest_suite(work, store(accounts), "")
    found = client.validate_dataset(work, made.dataset, made.suite, "", [], "full")
    assert (found.failed, found.not_evaluated) == (1, 0)
    failed = next(result for result in found.results if result.verdict == "failed")
    assert (failed.kwargs["column"], failed.severity, failed.unexpected) == ("code", "warning", 1)
    assert made.rules == len(found.results)
    assert made.undo == f"delete(handle='{made.suite}', dry_run=false)"
    assert len(made.model_dump_json()) / 4 < TOKENS


def test_suggested_rules_say_what_the_data_show(work: Work, store: Store, accounts: pd.DataFrame) -> None:
    made = suggest_suite(work, store(accounts), "rules")
    assert made.suite == "suite:rules"
    assert set(reasons(made, work, "be_unique")) == {"account"}
    assert reasons(made, work, "match_regex")["account"].kwargs["regex"] == r"^A\-\d{6}$"
    sets = {name: rule.kwargs["value_set"] for name, rule in reasons(made, work, "be_in_set").items()}
    assert sets == {"status": ["closed", "open"], "items": [0, 1, 2, 3, 4], "one": [1]}
    bounds = {name: rule.kwargs for name, rule in reasons(made, work, "be_between").items()}
    assert set(bounds) == {"amount", "share", "balance"}
    assert (bounds["share"]["min_value"], bounds["share"]["max_value"]) == (0, 1)
    assert bounds["amount"]["min_value"] == 0
    assert float(str(bounds["balance"]["min_value"])) < accounts.balance.min()
    assert set(reasons(made, work, "greater_than_b")) == {"closed"}
    missing = accounts.closed.isna().mean()
    assert 0 < 1 - missing - float(str(reasons(made, work, "not_be_null")["closed"].kwargs["mostly"])) < 0.07
    assert all(rule.reason for rule in made.expectations)


@pytest.mark.parametrize(
    ("begin", "characters", "regex"),
    [("A-", "0123456789", r"^A\-\d{3}$"), ("", "ABCDEFGHIJ", "^[A-Z]{3}$"), ("", "abcdefghij", None),
     ("A-", "٠١٢٣٤٥٦٧٨٩", None), ("", "ÀÉÎÕÜÇÑØÅÆ", None)],
)  # fmt: skip
def test_a_way_of_writing_is_suggested_where_all_are_digits_or_capitals_of_ascii(
    work: Work, store: Store, begin: str, characters: str, regex: str | None
) -> None:
    texts = [begin + "".join(characters[int(digit)] for digit in f"{number:03d}") for number in range(ROWS)]
    found = reasons(suggest_suite(work, store(pd.DataFrame({"account": texts})), ""), work, "match_regex")
    assert (found["account"].kwargs["regex"] if found else None) == regex


def test_a_second_suggestion_of_a_name_is_its_next_version(work: Work, store: Store, accounts: pd.DataFrame) -> None:
    first = suggest_suite(work, store(accounts), "rules")
    assert suggest_suite(work, store(accounts), "rules").version == first.version == 1
    again = suggest_suite(work, store(accounts.drop(columns="share")), "rules")
    assert (again.version, again.undo, again.notes[-1]) == (2, None, "version 1 of the suite is kept")


def test_too_few_rows_teach_no_rules(work: Work, store: Store, accounts: pd.DataFrame) -> None:
    for frame in (accounts.head(0), accounts.head(3)):
        with pytest.raises(ToolFailure, match="too few to learn rules from"):
            suggest_suite(work, store(frame), "")


def test_a_wide_dataset_gets_as_many_rules_as_a_suite_holds_and_says_so(work: Work, store: Store) -> None:
    wide = pd.DataFrame({f"c{number}": np.arange(20.0) for number in range(150)})
    made = suggest_suite(work, store(wide), "")
    assert made.rules == 200
    assert "101 rules are left out: a suite holds 200" in made.notes


FIVE = [
    Expectation(type="expect_column_values_to_be_unique", kwargs={"column": "account"}),
    Expectation(type="expect_column_values_to_be_in_set", kwargs={"column": "status", "value_set": ["open", "closed"]}),
    Expectation(type="expect_column_values_to_be_between", kwargs={"column": "amount", "min_value": 0}),
    Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": "items"}),
    Expectation(type="expect_column_mean_to_be_between", kwargs={"column": "share", "max_value": 0.1}),
]


@pytest.fixture
def broken(accounts: pd.DataFrame) -> pd.DataFrame:
    frame = accounts.drop(columns=["nothing", "endless"])
    frame.loc[3:7, "status"] = ["odd", "odd", "odd", "strange", "strange"]
    frame.loc[5, "amount"] = -1
    frame.loc[[10, 11], "account"] = frame.account[9]
    frame["items"] = frame["items"].astype("Int64").mask(frame.index == 20)
    return frame


def test_five_rules_are_answered_in_two_calls_with_values_rows_and_the_rows_that_break_any(
    work: Work, store: Store, broken: pd.DataFrame
) -> None:
    suite = client.create_suite(work, "five", FIVE).suite
    found = client.validate_dataset(work, store(broken), suite, "", [], "short")
    told = {result.rule: result for result in found.results}
    assert {rule: result.unexpected for rule, result in told.items()} == {1: 3, 2: 5, 3: 1, 4: 1, 5: None}
    assert [(item.value, item.count, item.row) for item in told[2].examples or []] == [("odd", 3, 4), ("strange", 2, 7)]
    assert told[1].surplus == 2
    assert found.broken_rows == 5 + 3 + 1
    assert found.undo == f"delete(handle='{found.validation}', dry_run=false)"


def test_the_failing_rows_of_a_stored_validation_are_a_dataset_with_their_numbers(
    work: Work, store: Store, broken: pd.DataFrame
) -> None:
    suite = client.create_suite(work, "five", FIVE).suite
    done = client.validate_dataset(work, store(broken), suite, "", [], "short")
    again = get_validation(work, done.validation, 0, 20, "")
    assert (again.verdict, again.broken_rows, again.values) == ("failed", 9, [])
    assert again.notes == [*done.notes, "rules about a column as a whole have no rows: 5"]
    rows = resolve(work, again.failing or "").frame()
    expected = {4: "2", 5: "2", 6: "2,3", 7: "2", 8: "2", 10: "1", 11: "1", 12: "1", 21: "4"}
    assert dict(zip(rows["row"], rows["rules"], strict=True)) == expected
    assert rows.account.tolist() == broken.account.iloc[[row - 1 for row in expected]].tolist()
    parents = {edge.parent for edge in Lineage(work.home).ancestors(again.failing or "")}
    assert {done.dataset, done.validation} <= parents
    assert len(again.model_dump_json()) / 4 < TOKENS


def test_one_rule_of_a_stored_validation_pages_through_its_distinct_values(work: Work, store: Store) -> None:
    frame = pd.DataFrame({"x": [*range(50), *range(50, 20, -1), 1]})
    rule = Expectation(type="expect_column_values_to_be_between", kwargs={"column": "x", "max_value": 9})
    done = client.validate_dataset(work, store(frame), client.create_suite(work, "low", [rule]).suite, "", [], "short")
    first = get_validation(work, done.validation, 1, 25, "")
    rest = get_validation(work, done.validation, 1, 25, first.next_cursor or "")
    told = {item.value: item.count for item in [*first.values, *rest.values]}
    assert told == frame.x[frame.x > 9].value_counts().to_dict()
    assert (len(first.values), len(rest.values), rest.next_cursor) == (25, 16, None)


def test_conditions_of_a_validation_hold_when_it_is_read_again(work: Work, store: Store, broken: pd.DataFrame) -> None:
    suite = client.create_suite(work, "five", FIVE).suite
    late = Condition(column="amount", operator=">=", value=0)
    done = client.validate_dataset(work, store(broken), suite, "", [late], "short")
    again = get_validation(work, done.validation, 2, 20, "")
    assert (done.row_condition, again.broken_rows) == ([late], 4)
    assert 6 not in set(resolve(work, again.failing or "").frame()["row"])


def test_a_validation_that_passed_has_no_failing_rows(work: Work, store: Store, accounts: pd.DataFrame) -> None:
    suite = client.create_suite(work, "two", FIVE[:2]).suite
    done = client.validate_dataset(work, store(accounts), suite, "", [], "short")
    again = get_validation(work, done.validation, 0, 20, "")
    assert (again.verdict, again.broken_rows, again.failing, again.results, again.undo) == ("passed", 0, None, [], None)


def test_unknown_validations_and_rules_are_refused_with_valid_ones(
    work: Work, store: Store, accounts: pd.DataFrame
) -> None:
    suite = client.create_suite(work, "two", FIVE[:2]).suite
    done = client.validate_dataset(work, store(accounts), suite, "", [], "short")
    with pytest.raises(ToolFailure, match=done.validation.partition(":")[2]):
        get_validation(work, f"{done.validation}0", 0, 20, "")
    with pytest.raises(ToolFailure, match="unknown rule"):
        get_validation(work, done.validation, 3, 20, "")


def test_every_listed_type_is_one_that_a_suite_takes_with_the_kwargs_it_needs(work: Work) -> None:
    listed = list_expectations(work, "", 100, "")
    assert listed.total == len(listed.items)
    kinds = {kind.type: kind for kind in listed.items}
    assert kinds["expect_column_values_to_be_between"].kwargs.split(", ")[0] == "column*"
    for rule in FIVE:
        needed = [name[:-1] for name in kinds[rule.type].kwargs.split(", ") if name.endswith("*")]
        assert set(needed) <= set(rule.kwargs)
    assert len(list_expectations(work, "", 15, "").model_dump_json()) / 4 < TOKENS


def test_types_are_found_by_words_and_an_unknown_word_names_near_ones(work: Work) -> None:
    found = {kind.type for kind in list_expectations(work, "unique compound", 20, "").items}
    assert found == {"expect_compound_columns_to_be_unique"}
    with pytest.raises(ToolFailure, match="Search by one word"):
        list_expectations(work, "nonsense", 20, "")
