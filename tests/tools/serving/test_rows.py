"""What a service does to the rows of a request, before the model sees them."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from mlops_mcp.tools.modeling.card import Feature, ModelCard
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.serving.rows import check, table

ROOT = Path(__file__).parents[3]
LOANS = ROOT / "examples/credit_risk/loan_table.parquet"
KINDS = {"age": "number", "income": "number", "owner": "number", "purpose": "category"}
GOOD = {"age": 30, "income": 1.5, "owner": True, "purpose": "car"}


def refusal(*rows: Mapping[str, object]) -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        check(rows, KINDS)
    return str(caught.value)


def test_loans_sent_as_json_become_the_table_that_training_made_of_them() -> None:
    frame = pd.read_parquet(LOANS).head(2000)
    kinds = {"person_home_ownership": "category", "loan_intent": "category", "person_age": "number"}
    kinds |= {"person_emp_length": "number", "loan_int_rate": "number", "person_income": "number"}
    frame.loc[3, ["loan_intent", "person_age"]] = None
    features = [Feature.model_validate({"name": name, "kind": kind}) for name, kind in kinds.items()]
    card = ModelCard(algorithm="XGBoost", task="regression", target="y", features=features, dataset="", rows=0)
    sent = json.loads(frame[sorted(kinds)].to_json(orient="records"))
    pd.testing.assert_frame_equal(table(check(sent, kinds), kinds), design(frame, card), check_exact=True)


def test_columns_come_out_in_the_order_of_the_features_whatever_order_was_sent() -> None:
    backwards = dict(reversed(GOOD.items()))
    assert list(table(check([backwards], KINDS), KINDS).columns) == list(KINDS)


def test_null_is_missing_in_numbers_and_in_texts_and_keeps_their_types() -> None:
    found = table(check([dict.fromkeys(KINDS)], KINDS), KINDS)
    assert found.isna().all().all()
    assert [str(kind) for kind in found.dtypes] == ["float64", "float64", "float64", "object"]


def test_nan_is_missing_and_the_text_nan_is_a_text() -> None:
    found = check([{**GOOD, "purpose": float("nan")}, {**GOOD, "purpose": "nan"}], KINDS)
    assert found[0]["purpose"] != found[0]["purpose"]
    assert found[1]["purpose"] == "nan"


def test_booleans_and_integers_are_numbers_and_a_number_in_a_text_column_is_its_text() -> None:
    assert check([{**GOOD, "purpose": 7}], KINDS) == [{"age": 30.0, "income": 1.5, "owner": 1.0, "purpose": "7"}]


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


@pytest.mark.parametrize("name", ["rows.py", "service.py.txt"])
def test_the_code_in_a_bento_needs_nothing_of_this_package(name: str) -> None:
    tree = ast.parse((ROOT / "tools/serving" / name).read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = [node.module or "" for node in imported]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert [node.module for node in imported if node.level] == []
    assert [each for each in names if each.startswith("mlops_mcp")] == []
