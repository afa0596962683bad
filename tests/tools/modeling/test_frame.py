import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.card import Feature, ModelCard
from mlops_mcp.tools.modeling.frame import choose_features, design
from mlops_mcp.tools.modeling.target import classes_of, encode, settle_task

CARD = ModelCard(
    algorithm="XGBoost",
    task="classification",
    target="y",
    classes=["no", "yes"],
    features=[Feature(name="n", kind="number"), Feature(name="c", kind="category")],
    dataset="dataset:d@0",
    rows=3,
)


def test_columns_are_taken_by_name_whatever_their_order() -> None:
    frame = pd.DataFrame({"extra": [0], "c": ["a"], "n": [1]})
    assert list(design(frame, CARD).columns) == ["n", "c"]
    assert design(frame, CARD)["n"].dtype == np.float64


def test_none_is_missing_and_not_a_category() -> None:
    made = design(pd.DataFrame({"n": [1, None, 3], "c": ["a", None, float("nan")]}), CARD)
    assert made["c"].isna().tolist() == [False, True, True]
    assert not any(value is None for value in made["c"])


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ({"n": [1]}, "unknown column for feature 'c'"),
        ({"n": ["many"], "c": ["a"]}, "n must be a number"),
        ({"n": [float("inf")], "c": ["a"]}, "infinite"),
    ],
)
def test_rows_a_model_would_misread_are_refused(frame: dict[str, list[object]], says: str) -> None:
    with pytest.raises(ToolFailure, match=says):
        design(pd.DataFrame(frame), CARD)


def test_identifiers_times_and_constants_are_left_out_and_said() -> None:
    frame = pd.DataFrame(
        {
            "id": range(200),
            "key": [f"k{n}" for n in range(200)],
            "when": pd.date_range("2024-01-01", periods=200),
            "same": 1,
            "x": np.linspace(0, 1, 200),
            "flag": [True, False] * 100,
            "y": [0, 1] * 100,
        }
    )
    features, notes = choose_features(frame, "y", [], [])
    assert [(feature.name, feature.kind) for feature in features] == [("x", "number"), ("flag", "number")]
    assert len(notes) == 4


def test_named_features_are_taken_as_they_are() -> None:
    frame = pd.DataFrame({"id": range(200), "y": [0, 1] * 100})
    assert [feature.name for feature in choose_features(frame, "y", ["id"], [])[0]] == ["id"]
    with pytest.raises(ToolFailure, match="cannot be a feature"):
        choose_features(frame, "y", ["y"], [])
    with pytest.raises(ToolFailure, match="Did you mean id"):
        choose_features(frame, "y", ["idd"], [])


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b"], "classification"),
        ([True, False], "classification"),
        ([0, 1, 1], "classification"),
        ([0.0, 1.0], "classification"),
        ([0.5, 1.5], "regression"),
        (list(range(50)), "regression"),
    ],
)
def test_the_task_follows_from_the_target(values: list[object], task: str) -> None:
    assert settle_task(pd.Series(values), "auto")[0] == task


def test_labels_become_positions_and_unknown_ones_are_refused() -> None:
    assert encode(pd.Series(["yes", "no"], name="y"), CARD).tolist() == [1, 0]
    with pytest.raises(ToolFailure, match="maybe"):
        encode(pd.Series(["maybe"], name="y"), CARD)
    with pytest.raises(ToolFailure, match="missing in 1 rows"):
        encode(pd.Series(["yes", None], name="y"), CARD)
    with pytest.raises(ToolFailure, match="the same in every row"):
        classes_of(pd.Series(["yes", "yes"]))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (pd.date_range("2024-01-01", periods=4), "is a time"),
        (pd.to_timedelta([1, 2, 3, 4], unit="h"), "is a time"),
        ([[1], [2], [3], [4]], "nested"),
        ([{"a": 1}, {}, {}, {}], "nested"),
        ([None] * 4, "no values"),
        ([float("nan")] * 4, "no values"),
    ],
)
def test_a_named_column_that_is_no_feature_is_refused(values: object, says: str) -> None:
    with pytest.raises(ToolFailure, match=says):
        choose_features(pd.DataFrame({"x": values, "y": [0, 1, 0, 1]}), "y", ["x"], [])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["1.5", "2", "2", "1.5"], "numbers as text"),
        (["a", "b", "c", "d"], "may name the rows"),
        ([2**53 + 1, 2, 3, 4], "beyond 2"),
    ],
)
def test_a_named_column_that_may_be_misread_is_taken_with_a_note(values: object, says: str) -> None:
    features, notes = choose_features(pd.DataFrame({"x": values, "y": [0, 1, 0, 1]}), "y", ["x"], [])
    assert [feature.name for feature in features] == ["x"]
    assert [says in note for note in notes] == [True]


def test_a_feature_named_twice_is_taken_once() -> None:
    frame = pd.DataFrame({"x": [1, 2], "y": [0, 1]})
    assert len(choose_features(frame, "y", ["x", "x"], [])[0]) == 1


def test_no_rows_and_times_as_targets_are_refused() -> None:
    with pytest.raises(ToolFailure, match="no rows"):
        choose_features(pd.DataFrame({"x": [], "y": []}), "y", ["x"], [])
    regression = CARD.model_copy(update={"task": "regression", "classes": []})
    with pytest.raises(ToolFailure, match="is a time"):
        encode(pd.Series(pd.date_range("2024-01-01", periods=3), name="y"), regression)
