"""Rows are the same by what they hold, and groups are found by what their rows share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.data.identity import copies, likely_group, row_hashes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pd.Series([1, 2]), pd.Series([1.0, 2.0])),
        (pd.Series([True, False]), pd.Series([1, 0], dtype="int8")),
        (pd.Series(["a", None]), pd.Series(["a", np.nan], dtype="category")),
        (pd.Series([0.0, np.nan]), pd.Series([-0.0, None], dtype=float)),
    ],
)
def test_equal_values_of_different_types_are_the_same_rows(one: pd.Series, other: pd.Series) -> None:
    assert row_hashes(one.to_frame()).tolist() == row_hashes(other.to_frame()).tolist()


@pytest.mark.parametrize(
    "values", [["01", "1"], ["ab", "a"], [2**60, 2**60 + 1], pd.to_datetime(["2024-01-01", "2024-01-02"])]
)
def test_different_values_are_different_rows(values: object) -> None:
    first, second = row_hashes(pd.DataFrame({"x": values}))
    assert first != second


def test_no_two_of_many_rows_are_taken_for_one() -> None:
    frame = pd.DataFrame({"x": np.arange(200_000), "y": np.arange(200_000) % 7})
    assert len(set(row_hashes(frame).tolist())) == 200_000


def test_copies_are_found_beside_a_column_that_numbers_the_rows() -> None:
    draw = np.random.default_rng(0)
    once = pd.DataFrame({"x": draw.normal(size=100), "z": draw.normal(size=100)})
    found = copies(pd.concat([once] * 3).assign(id=range(300)))
    assert (found.kinds, found.repeats, found.stand_out) == (100, 200, True)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [0, 1] * 500, "b": [0, 0, 1, 1] * 250}),
        pd.DataFrame({"a": np.arange(1000) // 3}),
        pd.DataFrame({"a": np.random.default_rng(0).normal(size=50), "b": 1.0}),
    ],
    ids=["few kinds of rows", "one column", "none repeats"],
)
def test_rows_that_repeat_for_want_of_others_are_no_copies(frame: pd.DataFrame) -> None:
    assert not copies(frame).stand_out


def customers(as_text: bool = True) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    of = np.repeat(np.arange(60), 8)
    names = [f"c{number}" for number in of] if as_text else draw.permutation(60)[of] * 7
    return pd.DataFrame({"customer": names, "x": draw.normal(size=480), "y": draw.integers(0, 2, 60)[of]})


@pytest.mark.parametrize("as_text", [True, False])
def test_a_column_whose_rows_share_another_one_names_groups(as_text: bool) -> None:
    assert likely_group(customers(as_text)) == "customer"


def test_shared_numbers_name_groups_where_no_identifier_is_left() -> None:
    frame = customers().drop(columns="customer")
    frame["age"] = np.repeat(np.random.default_rng(1).normal(size=60), 8)
    assert likely_group(frame, ["y"]) == "age"


def test_functions_of_a_number_chance_and_copies_name_no_groups() -> None:
    draw = np.random.default_rng(0)
    years = draw.integers(18, 90, 800)
    plain = pd.DataFrame(
        {"years": years, "months": 12 * years, "band": years // 10, "town": draw.integers(0, 50, 800).astype(str)}
    )
    noise = pd.DataFrame(draw.normal(size=(100, 3)), columns=list("abc"))
    assert likely_group(plain) == ""
    assert likely_group(pd.concat([noise] * 3)) == ""
