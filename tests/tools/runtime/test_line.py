"""Who is served next, counted in turns."""

from __future__ import annotations

import random
from collections import Counter

from mlops_mcp.tools.runtime.calls.line import Line


def order(line: Line[str], served: int) -> list[str]:
    """Who is served, one after the other, while so many are being served at a time."""
    found: list[str] = []
    running: list[str] = []
    while taken := line.take(newcomers_only=False):
        lane, who = taken
        line.begin(lane)
        found.append(who)
        running.append(lane)
        if len(running) >= served:
            line.end(running.pop(0))
    return found


def test_lanes_are_served_in_turn_and_each_in_its_order() -> None:
    line = Line[str]()
    for lane, number in (("a", 5), ("b", 2), ("c", 1)):
        for each in range(number):
            line.join(lane, f"{lane}{each}")
    assert (len(line), line.waiting("a"), line.waiting("z")) == (8, 5, 0)
    assert order(line, 1) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4"]
    assert (len(line), line.served) == (0, 0)


def test_who_comes_late_waits_for_no_more_than_one_turn_of_each_other() -> None:
    line = Line[str]()
    for each in range(1000):
        line.join("hostile", f"h{each}")
    for _ in range(2):
        taken = line.take(newcomers_only=False)
        assert taken
        line.begin(taken[0])
    assert not line.has_newcomer
    assert line.take(newcomers_only=True) is None
    line.join("late", "l0")
    assert line.has_newcomer
    assert line.take(newcomers_only=True) == ("late", "l0")


def test_who_leaves_is_not_served_and_leaving_twice_is_nothing() -> None:
    line = Line[str]()
    line.join("a", "one")
    line.join("a", "two")
    line.leave("a", "one")
    line.leave("a", "one")
    assert line.take(newcomers_only=False) == ("a", "two")
    line.leave("a", "two")
    line.leave("b", "three")
    assert list(line) == []


def test_who_was_taken_and_could_not_be_served_is_the_next_one_again() -> None:
    line = Line[str]()
    for who in ("a0", "a1", "b0"):
        line.join(who[0], who)
    taken = line.take(newcomers_only=False)
    assert taken is not None
    line.join_first(*taken)
    assert order(line, 1) == ["a0", "b0", "a1"]


def test_whatever_comes_and_goes_nobody_is_lost_and_nobody_is_served_twice() -> None:
    chance, line = random.Random(1), Line[int]()
    waiting: dict[int, str] = {}
    running: Counter[str] = Counter()
    for number in range(5000):
        lane = chance.choice("aaaaab")
        line.join(lane, number)
        waiting[number] = lane
        if chance.random() < 0.2:
            gone = chance.choice(list(waiting))
            line.leave(waiting.pop(gone), gone)
        if chance.random() < 0.9 and (taken := line.take(newcomers_only=False)):
            assert waiting.pop(taken[1]) == taken[0]
            line.begin(taken[0])
            running[taken[0]] += 1
        if running and chance.random() < 0.9:
            ended = chance.choice(list(running.elements()))
            line.end(ended)
            running = running - Counter([ended])
        assert (len(line), line.served) == (len(waiting), running.total())
