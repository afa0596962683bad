"""How calls are shared."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mlops_mcp.tools.serving.proxy.turns import Turns

KEYS = [f"customer {number}" for number in range(4000)]


@given(percent=st.integers(0, 100))
def test_of_each_hundred_calls_each_bento_gets_exactly_its_percentage(percent: int) -> None:
    turns = Turns({"old": 100 - percent, "new": percent})
    for _ in range(3):
        found = Counter(turns.next() for _ in range(100))
        assert (found["old"], found["new"]) == (100 - percent, percent)


def test_a_tenth_of_the_calls_is_spread_over_the_hundred_and_not_sent_in_one_go() -> None:
    turns = Turns({"old": 90, "new": 10})
    told = [number for number in range(200) if turns.next() == "new"]
    assert {later - earlier for earlier, later in pairwise(told)} == {10}


def test_when_one_is_gone_the_others_take_its_calls_in_their_proportion() -> None:
    turns = Turns({"a": 20, "b": 20, "gone": 60})
    assert Counter(turns.next({"gone"}) for _ in range(40)) == {"a": 20, "b": 20}
    assert turns.next({"a", "b", "gone"}) is None


def test_nothing_has_a_turn_where_nothing_has_a_share() -> None:
    assert Turns({}).next() is Turns({"idle": 0}).next() is Turns({"idle": 0}).of_key("x") is None


def test_a_customer_stays_and_moves_only_to_the_version_that_grows() -> None:
    before = {key: Turns({"old": 90, "new": 10}).of_key(key) for key in KEYS}
    after = {key: Turns({"old": 50, "new": 50}).of_key(key) for key in KEYS}
    assert abs(Counter(before.values())["new"] / len(KEYS) - 0.1) < 0.02
    assert abs(Counter(after.values())["new"] / len(KEYS) - 0.5) < 0.03
    assert not [key for key in KEYS if before[key] == "new" and after[key] == "old"]


def test_when_one_is_gone_only_its_customers_move_and_all_by_the_shares_of_the_others() -> None:
    turns = Turns({"a": 40, "b": 40, "gone": 20})
    moved = [key for key in KEYS if turns.of_key(key) != turns.of_key(key, {"gone"})]
    assert {turns.of_key(key) for key in moved} == {"gone"}
    found = Counter(turns.of_key(key, {"gone"}) for key in moved)
    assert abs(found["a"] - found["b"]) < len(moved) / 5
