"""The task and the positive class are guessed aloud or told, and rows without a target are left out."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.card import ModelCard
from mlops_mcp.tools.modeling.target import classes_of, encode, labelled, settle_task

COUNTS = [0] * 40 + [1] * 30 + [2] * 15 + [3] * 6 + [7]


@pytest.mark.parametrize(
    ("values", "task", "says"),
    [
        (["a", "b", "b"], "classification", ""),
        ([True, False], "classification", ""),
        ([0, 1, 1], "classification", ""),
        ([0.5, 1.5], "regression", ""),
        (range(50), "regression", ""),
        (COUNTS, "regression", "task='classification' for classes"),
        (range(1947, 1963), "regression", "task='classification' for classes"),
        ([0] * 50 + [1] * 50 + [2] * 50, "classification", "task='regression' for quantities"),
    ],
)
def test_a_guess_that_may_be_wrong_is_said(values: Any, task: str, says: str) -> None:
    found, notes = settle_task(pd.Series(values, name="y"), "auto")
    assert found == task
    assert [says in note for note in notes] == [True] * bool(says)


def test_what_was_asked_for_is_no_guess() -> None:
    assert settle_task(pd.Series(COUNTS), "classification") == ("classification", [])


@pytest.mark.parametrize(("positive", "last"), [("", "yes"), ("no", "no"), ("yes", "yes")])
def test_the_positive_class_comes_last(positive: str, last: str) -> None:
    assert classes_of(pd.Series(["yes", "no"]), positive)[-1] == last


@pytest.mark.parametrize(
    ("labels", "positive", "says"), [([1, 2], "3", "unknown class"), ([1, 2, 3], "3", "3 classes, so none")]
)
def test_a_positive_class_that_is_none_is_refused(labels: list[int], positive: str, says: str) -> None:
    with pytest.raises(ToolFailure, match=says):
        classes_of(pd.Series(labels), positive)


def test_rows_without_a_target_are_left_out_and_counted() -> None:
    frame = pd.DataFrame({"x": [1, 2, 3], "y": [0, None, 1]})
    kept, notes = labelled(frame, "y")
    assert kept.index.tolist() == [0, 2]
    assert notes == ["1 of 3 rows have no y and were left out"]
    for nothing in (frame.head(0), frame.iloc[[1]]):
        with pytest.raises(ToolFailure):
            labelled(nothing, "y")


@pytest.mark.parametrize("labels", [[1, 2, 1], [1.0, 2.0, 1.0], ["1", "2.0", "1"]])
def test_labels_are_the_same_whatever_type_they_were_read_as(labels: list[object]) -> None:
    card = ModelCard(
        algorithm="XGBoost", task="classification", target="y", classes=[1, 2], features=[], dataset="d", rows=3
    )
    assert encode(pd.Series(labels, name="y"), card).tolist() == [0, 1, 0]
