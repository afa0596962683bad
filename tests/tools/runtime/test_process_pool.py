"""Each scenario is run by this module as a program: a pool is forked only from a process without threads."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.platforms import forks_warm
from mlops_mcp.tools.runtime.dispatcher import ALL_LOST, answered
from mlops_mcp.tools.runtime.outcome import Outcome
from mlops_mcp.tools.runtime.pool import Died, ForkedPool, PoolLost, pool_of
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

from ...apart import answer, apart

pytestmark = pytest.mark.skipif(not forks_warm(), reason="here nothing is forked that has libraries loaded")


@dataclass
class Doubler:
    leader: int = 0

    def get_ready(self) -> None:
        self.leader = os.getpid()

    def answer(self, question: Any) -> Any:
        if question == "leader":
            return self.leader
        if question == "who":
            return os.getpid()
        if question == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if question == "wait":
            signal.pause()
        if question == "refuse":
            raise ToolFailure("no", "never")
        if question == "crash":
            raise KeyError("nobody foresaw this")
        return 2 * question


def begun(size: int = 2) -> ForkedPool:
    pool = ForkedPool(size)
    pool.begin(Doubler())
    return pool


def value(said: Outcome | Died) -> Any:
    assert isinstance(said, Outcome), said
    assert said.crash is None
    return said.value


def asked(pool: ForkedPool, question: Any) -> Any:
    pool.ask(question)
    heard, said = pool.hear()
    assert heard == question
    return value(said)


def every_question() -> list[list[int]]:
    pool, left, found = begun(), list(range(20)), list[list[int]]()
    while len(found) < 20:
        while left and pool.idle:
            pool.ask(left.pop())
        question, said = pool.hear()
        found.append([question, value(said)])
    pool.close()
    return sorted(found)


def at_once() -> int:
    pool = begun(3)
    for _ in range(3):
        pool.ask("who")
    assert not pool.idle
    found = {value(pool.hear()[1]) for _ in range(3)}
    pool.close()
    return len(found - {os.getpid()})


def replaced() -> list[Any]:
    pool = begun(2)
    pool.ask("kill")
    pool.ask(4)
    said = dict([pool.hear(), pool.hear()])
    after = [asked(pool, number) for number in range(4)]
    pool.close()
    return [str(said["kill"]), value(said[4]), after]


def idle_one_replaced() -> list[Any]:
    """A member that has nothing to do is killed: the next question loses nothing by it, or is told as lost."""
    pool = begun(2)
    os.kill(asked(pool, "who"), signal.SIGKILL)
    found = list[Any]()
    while len(found) < 6:
        pool.ask(len(found))
        question, said = pool.hear()
        assert question == len(found)
        found += [value(said)] if isinstance(said, Outcome) else []
    pool.close()
    return found


def lost() -> list[str]:
    pool, found = begun(), list[str]()
    os.kill(asked(pool, "leader"), signal.SIGKILL)
    try:
        pool.ask("wait")
        pool.hear()
    except PoolLost:
        found.append("hear")
    try:
        for _ in range(2):
            pool.ask(1)
            pool.hear()
    except PoolLost:
        found.append("ask")
    pool.close()
    return found


def nothing_left() -> list[int]:
    pool = begun(2)
    members = [psutil.Process(asked(pool, who)) for who in ("leader", "who", "who")]
    for _ in range(2):
        pool.ask("wait")
    pool.close()
    _, alive = psutil.wait_procs(members, timeout=60)
    return [each.pid for each in alive]


def told() -> list[str]:
    pool, found = begun(), list[str]()
    for question in ("refuse", "crash"):
        pool.ask(question)
        said = pool.hear()[1]
        assert isinstance(said, Outcome)
        found.append(str(said.failure) if said.failure else said.crash.message if said.crash else "")
    pool.close()
    return found


def in_parts() -> list[Any]:
    """Items with their answers, in order, and what is told of one that kills whoever looks at it."""
    pool, notes = ForkedPool(2), list[str]()
    found: list[Any] = [*answered(pool, Doubler(), range(9), lambda item: item + 1, notes), notes]
    pool.close()
    pool = ForkedPool(2)
    try:
        list(answered(pool, Doubler(), [1, 2, 3, 4, 5], lambda item: "kill" if item == 4 else item, notes))
    except ToolFailure as failure:
        found.append(failure.message)
    pool.close()
    return found


def rest() -> list[Any]:
    """The pool is lost in the middle: what it leaves is done here."""
    pool, notes, found = ForkedPool(2), list[str](), list[Any]()
    for item, said in answered(pool, Doubler(), ["leader", 1, 2, 3, 4, 5, 6], lambda item: item, notes):
        if item == "leader":
            os.kill(said, signal.SIGKILL)
        else:
            found.append([item, said])
    pool.close()
    return [found, notes]


def without() -> list[bool]:
    work = Work(load({"MLOPS_HOME": os.devnull, "MLOPS_CONFIG": os.devnull}).settings, Tracer(lambda _span: None))
    with pool_of(work, 1) as one, pool_of(work, 9, 2) as two:
        found = [one is None, two is None]
    resting = threading.Event()
    thread = threading.Thread(target=resting.wait)
    thread.start()
    with pool_of(work, 2, 2) as pool:
        found.append(pool is None)
    resting.set()
    return found


def test_every_question_is_answered_once() -> None:
    assert apart(__name__, "every_question") == [[number, 2 * number] for number in range(20)]


def test_members_are_processes_of_their_own() -> None:
    assert apart(__name__, "at_once") == 3


def test_a_member_that_is_killed_is_told_with_its_question_and_replaced() -> None:
    assert apart(__name__, "replaced") == ["its process died (SIGKILL)", 8, [0, 2, 4, 6]]


def test_a_member_that_dies_over_nothing_is_replaced() -> None:
    assert apart(__name__, "idle_one_replaced") == [0, 2, 4, 6, 8, 10]


def test_who_asks_is_told_that_the_leader_has_died() -> None:
    assert apart(__name__, "lost") == ["hear", "ask"]


def test_items_come_in_their_order_and_one_that_kills_twice_is_told() -> None:
    *found, notes, told = apart(__name__, "in_parts")
    assert found == [[item, 2 * item + 2] for item in range(9)]
    assert (notes, told) == ([], "part kill could not be done: its process died (SIGKILL)")


def test_what_a_lost_crew_has_left_is_done_here() -> None:
    assert apart(__name__, "rest") == [[[item, 2 * item] for item in range(1, 7)], [ALL_LOST]]


def test_a_crew_that_is_closed_leaves_no_process_behind() -> None:
    assert apart(__name__, "nothing_left") == []


def test_what_an_answer_raises_is_told() -> None:
    assert apart(__name__, "told") == ["no. never", "'nobody foresaw this'"]


def test_no_crew_is_forked_for_one_nor_from_a_process_with_threads() -> None:
    assert apart(__name__, "without") == [True, False, True]


if __name__ == "__main__":
    answer(globals())
