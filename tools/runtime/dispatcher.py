"""Questions put to a pool one after the other, and their answers taken in whatever order they are wanted."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..errors import ToolFailure
from .outcome import Crash, Outcome
from .pool import Died, Pool, PoolLost, Subject

# What dies over a question twice does so because of the question.
LIVES = 2
ALL_LOST = "all processes that worked side by side were lost: what was left was done by one"
T = TypeVar("T")


class Crashed(Exception):
    """What nobody foresaw has happened in another process."""

    def __init__(self, crash: Crash) -> None:
        super().__init__(f"{crash.type}: {crash.message}")
        self.add_note(crash.traceback)


def value(said: Outcome) -> Any:
    """What was answered. Raises what kept it from being answered."""
    if said.failure is not None:
        raise said.failure
    if said.crash is not None:
        raise Crashed(said.crash)
    return said.value


@dataclass
class Dispatcher:
    """Twice as many questions as members are under way: who waits for the slowest has something to do meanwhile."""

    pool: Pool
    _waiting: deque[int] = field(default_factory=deque[int])
    _questions: dict[int, Any] = field(default_factory=dict[int, Any])
    _said: dict[int, Outcome | Died] = field(default_factory=dict[int, "Outcome | Died"])
    _deaths: Counter[int] = field(default_factory=Counter[int])
    _lost: bool = False

    @property
    def width(self) -> int:
        return 2 * self.pool.size

    @property
    def notes(self) -> Sequence[str]:
        return [*self.pool.notes, *([ALL_LOST] if self._lost else [])]

    def begin(self, subject: Subject) -> None:
        """Say what all questions are about."""
        try:
            self.pool.begin(Numbered(subject))
        except PoolLost:
            self._lost = True

    def put(self, number: int, question: Any) -> None:
        self._questions[number] = question
        self._waiting.append(number)
        self._hand_out()

    def take(self, number: int) -> Outcome | Died | None:
        """Wait for what came of a question that was put; None for one that the pool was lost over."""
        while number not in self._said and not self._lost:
            self._hear()
        del self._questions[number]
        return self._said.pop(number, None)

    def drop(self) -> Collection[int]:
        """Take back the questions that no member has yet."""
        dropped = set(self._waiting)
        self._waiting.clear()
        for number in dropped:
            del self._questions[number]
        return dropped

    def _hand_out(self) -> None:
        while self._waiting and self.pool.idle and not self._lost:
            number = self._waiting[0]
            try:
                self.pool.ask((number, self._questions[number]))
            except PoolLost:
                self._lost = True
            else:
                self._waiting.popleft()

    def _hear(self) -> None:
        try:
            (number, _), said = self.pool.hear()
        except PoolLost:
            self._lost = True
            return
        self._deaths[number] += isinstance(said, Died)
        if isinstance(said, Died) and self._deaths[number] < LIVES:
            self._waiting.appendleft(number)
        else:
            self._said[number] = said
        self._hand_out()


@dataclass(frozen=True)
class Numbered:
    """A subject whose questions carry their numbers."""

    subject: Subject

    def get_ready(self) -> None:
        self.subject.get_ready()

    def answer(self, question: tuple[int, Any]) -> Any:
        return self.subject.answer(question[1])


def answered(
    pool: Pool | None, subject: Subject, items: Iterable[T], question: Callable[[T], Any], notes: list[str]
) -> Generator[tuple[T, Any]]:
    """Each item and the answer to its question, in their order; no more items are open at a time than need be.

    Args:
        pool: without one, everything is answered here.
        notes: what is to be told at the end is added to it.

    Raises:
        ToolFailure: what kept a question from being answered, such as a process that died over it twice.
    """
    if pool is None:
        yield from ((item, subject.answer(question(item))) for item in items)
        return
    dispatcher, asked = Dispatcher(pool), deque[tuple[int, T]]()
    dispatcher.begin(subject)
    for number, item in enumerate(items):
        dispatcher.put(number, question(item))
        asked.append((number, item))
        if len(asked) >= dispatcher.width:
            first, known = asked.popleft()
            yield known, _answer(dispatcher.take(first), subject, question(known))
    for first, known in asked:
        yield known, _answer(dispatcher.take(first), subject, question(known))
    notes += dispatcher.notes


def _answer(said: Outcome | Died | None, subject: Subject, question: Any) -> Any:
    """What a lost pool has left is answered here."""
    if isinstance(said, Died):
        raise ToolFailure(f"part {question} could not be done: {said}", "Look into these rows, or allow more memory.")
    return value(said) if said else subject.answer(question)
