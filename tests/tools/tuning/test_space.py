import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.tuning.space import contains, describe, kinds, read_space, same_distribution


@pytest.mark.parametrize(
    ("entry", "meaning"),
    [
        ([3, 10], "whole 3 to 10"),
        ([0.5, 1], "real 0.5 to 1"),
        ([True, False], "one of [True, False]"),
        (["gini", "entropy"], "one of ['gini', 'entropy']"),
        ([1, 2, 3], "one of [1, 2, 3]"),
        ({"choices": [1, 2]}, "one of [1, 2]"),
        ({"low": 0.001, "high": 1.0, "log": True}, "real 0.001 to 1, log"),
        ({"low": 1, "high": 9, "step": 2}, "whole 1 to 9"),
    ],
)
def test_each_notation_is_read_and_said_back(entry: object, meaning: str) -> None:
    assert describe(read_space({"p": entry})["p"]) == meaning  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "entry",
    [
        [], 5, "1-3", [10, 3], [1, 1], {"low": 1}, {"low": 0, "high": 1, "log": True}, {"choices": []}, {"choices": 3},
        {"choices": [1, 1]}, {"choices": [1, 1.0]},
        {"choices": [0, False]}, {"low": 1, "high": 2, "lgo": True}, [float("nan"), 1.0], [0.0, float("inf")],
        {"low": "1", "high": 2}, {"low": 1, "high": 5, "step": 0}, [[1], [2]],
    ],
)  # fmt: skip
def test_what_optuna_would_misread_is_refused(entry: object) -> None:
    with pytest.raises(ToolFailure):
        read_space({"p": entry})  # type: ignore[dict-item]


def test_an_empty_space_is_refused() -> None:
    with pytest.raises(ToolFailure, match="empty"):
        read_space({})


def test_a_logarithmic_range_is_another_kind_than_a_plain_one() -> None:
    plain, log = (read_space({"p": {"low": 1.0, "high": 2.0, "log": log}}) for log in (False, True))
    assert kinds(plain) != kinds(log)


def test_choices_are_told_apart_by_value_and_type() -> None:
    spaces = [read_space({"p": {"choices": [choice]}}) for choice in (1, 1.0, True, "1")]
    assert len({kinds(space)["p"] for space in spaces}) == 4
    assert [same_distribution(spaces[0]["p"], space["p"]) for space in spaces] == [True, False, False, False]
    assert [contains(spaces[0], {"p": value}) for value in (1, True, "1")] == [True, False, False]


@pytest.mark.parametrize(
    ("entry", "value", "inside"),
    [([1, 9], 3, True), ([1, 9], 3.5, False), ([1, 9], True, False), ({"low": 1, "high": 9, "step": 4}, 7, False)],
)
def test_a_point_is_inside_only_if_a_search_could_propose_it(entry: object, value: object, inside: bool) -> None:
    assert contains(read_space({"p": entry}), {"p": value}) == inside  # type: ignore[dict-item]
