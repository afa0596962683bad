"""What a service does to the rows of a request, before the model sees them."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_mcp.tools.modeling import shipped
from mlops_mcp.tools.modeling.card import Feature, ModelCard
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.serving.rows import canonical, check, levels_of, surprises, table

ROOT = Path(__file__).parents[3]
LOANS = ROOT / "examples/credit_risk/loan_table.parquet"
KINDS = {"age": "number", "income": "number", "owner": "number", "purpose": "category"}
SEEN: dict[str, dict[str, Any]] = {
    "age": {"low": 18.0, "high": 90.0, "levels": [], "missing": 0},
    "income": {"low": 0.0, "high": 9.5, "levels": [], "missing": 4},
    "owner": {"low": 0.0, "high": 1.0, "levels": [], "missing": 0},
    "purpose": {"low": None, "high": None, "levels": ["1", "01234", "2.50", "Yes", "car", "true"], "missing": 0},
}
LEVELS = levels_of(SEEN)
GOOD = {"age": 30, "income": 1.5, "owner": True, "purpose": "car"}


def refusal(*rows: Mapping[str, object]) -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        check(rows, KINDS, LEVELS)
    return str(caught.value)


def test_loans_sent_as_json_become_the_table_that_training_made_of_them() -> None:
    frame = pd.read_parquet(LOANS).head(2000)
    kinds = {"person_home_ownership": "category", "loan_intent": "category", "person_age": "number"}
    kinds |= {"person_emp_length": "number", "loan_int_rate": "number", "person_income": "number"}
    frame.loc[3, ["loan_intent", "person_age"]] = None
    features = [Feature.model_validate({"name": name, "kind": kind}) for name, kind in kinds.items()]
    card = ModelCard(algorithm="XGBoost", task="regression", target="y", features=features, dataset="", rows=0)
    sent = json.loads(frame[sorted(kinds)].to_json(orient="records"))
    pd.testing.assert_frame_equal(table(check(sent, kinds, {}), kinds), design(frame, card), check_exact=True)


def test_columns_come_out_in_the_order_of_the_features_whatever_order_was_sent() -> None:
    backwards = dict(reversed(GOOD.items()))
    assert list(table(check([backwards], KINDS, LEVELS), KINDS).columns) == list(KINDS)


def test_null_is_missing_in_numbers_and_in_texts_and_keeps_their_types() -> None:
    found = table(check([dict.fromkeys(KINDS)], KINDS, LEVELS), KINDS)
    assert found.isna().all().all()
    assert [str(kind) for kind in found.dtypes] == ["float64", "float64", "float64", "object"]


def test_nan_is_missing_and_the_text_nan_is_a_text() -> None:
    found = check([{**GOOD, "purpose": float("nan")}, {**GOOD, "purpose": "nan"}], KINDS, LEVELS)
    assert found[0]["purpose"] != found[0]["purpose"]
    assert found[1]["purpose"] == "nan"


def test_booleans_and_integers_are_numbers_in_a_number_column() -> None:
    assert check([GOOD], KINDS, LEVELS) == [{"age": 30.0, "income": 1.5, "owner": 1.0, "purpose": "car"}]


@pytest.mark.parametrize(
    ("sent", "level"),
    [("1", "1"), ("1.0", "1"), ("2.50", "2.50"), ("2.5", "2.50"), ("TRUE", "true"), (True, "true"), ("yes", "yes")],
)
def test_a_text_is_the_level_of_training_however_it_is_written(sent: object, level: str) -> None:
    assert check([{**GOOD, "purpose": sent}], KINDS, LEVELS)[0]["purpose"] == level


def test_levels_are_found_as_every_other_tool_finds_them() -> None:
    texts = ["1", "1.0", "01.0", "-0.50", "TRUE", "False", "car", "", "1e5", "2.500"]
    assert [canonical(text) for text in texts] == [shipped.canonical(text) for text in texts]


@pytest.mark.parametrize(
    ("sent", "said"),
    [(1234, "purpose must be a text, e.g. \"01234\", but is '1234'"), (7, "must be a text, in quotes, but is '7'")],
)
def test_a_number_is_refused_in_a_text_column(sent: int, said: str) -> None:
    assert said in refusal({**GOOD, "purpose": sent})


def test_values_that_training_had_none_of_are_counted() -> None:
    """Counted by hand: holes in age and purpose, two ages and an income outside, two purposes that are new."""
    rows: list[Mapping[str, object]] = [
        {"age": 17, "income": 9.6, "owner": 0, "purpose": "boat"},
        {"age": None, "income": None, "owner": 1, "purpose": "plane"},
        {"age": 90.5, "income": 9.5, "owner": True, "purpose": None},
        {"age": 18, "income": 0, "owner": 0, "purpose": "1.0"},
        dict.fromkeys(KINDS),
    ]
    assert surprises(check(rows, KINDS, LEVELS), KINDS, SEEN) == [
        "1 of 5 rows hold no value at all",
        "age is missing in 2 of 5 rows, and never was in training",
        "age is outside of 18 to 90 in 2 of 5 rows",
        "income is outside of 0 to 9.5 in 1 of 5 rows",
        "owner is missing in 1 of 5 rows, and never was in training",
        "purpose is missing in 2 of 5 rows, and never was in training",
        "purpose holds values unseen in training in 2 of 5 rows, e.g. 'boat', 'plane'",
    ]
    assert surprises(check([GOOD], KINDS, LEVELS), KINDS, SEEN) == []
    assert "not known" in surprises(check([GOOD], KINDS, {}), KINDS, {})[0]


def test_of_many_surprising_features_the_first_are_named() -> None:
    kinds = {f"x{number}": "number" for number in range(12)}
    seen: dict[str, dict[str, Any]] = {name: {"low": 0.0, "high": 1.0, "levels": [], "missing": 1} for name in kinds}
    notes = surprises(check([dict.fromkeys(kinds, 2)], kinds, {}), kinds, seen)
    assert (len(notes), notes[-1]) == (9, "4 more such features")


def test_an_unknown_field_is_refused_with_the_nearest_feature() -> None:
    assert refusal(GOOD, {**GOOD, "incme": 1}) == "row 1: unknown incme: did you mean income?"


def test_an_absent_feature_is_refused_by_name() -> None:
    assert (
        refusal({"age": 1, "owner": 0}) == "row 0: income, purpose is absent: pass null for a value that is not known"
    )


@pytest.mark.parametrize("value", ["12", "abc", [1], {"a": 1}])
def test_what_is_no_number_is_refused_in_a_number_column(value: object) -> None:
    assert "age must be a number" in refusal({**GOOD, "age": value})


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 10**400])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    assert refusal({**GOOD, "age": value}) == "row 0: age is not finite"


def test_a_nested_value_is_refused_in_a_text_column() -> None:
    assert "purpose must be a text" in refusal({**GOOD, "purpose": ["car"]})


def test_no_rows_are_refused() -> None:
    assert "at least one row" in refusal()


@pytest.mark.parametrize(
    "name",
    [
        *(f"serving/{name}" for name in ("rows.py", "guard.py", "answerlog.py", "lean.py", "service.py.txt")),
        *(f"modeling/{name}" for name in ("graph.py", "pyfunc.py", "shipped.py")),
    ],
)
def test_the_code_in_a_bento_needs_nothing_of_this_package(name: str) -> None:
    tree = ast.parse((ROOT / "tools" / name).read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = [node.module or "" for node in imported]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert [node.module for node in imported if node.level] == []
    assert [each for each in names if each.startswith("mlops_mcp")] == []
