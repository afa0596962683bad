"""What a job has to say while it runs, and where that is written: its row, or the way back to whoever has the row."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

from ...errors import Unavailable
from ...tracing.span import Span
from .table import JobRow, JobTable

# Kinds of notes: the columns of the row, and finished spans.
SPAN = "span"
LOOK_EVERY_S = 0.2
RENEW_EVERY_S = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Control:
    """Whether the attempt is still wanted, and what came for its open questions (JSON)."""

    wanted: bool = True
    answers: str | None = None


class JobChannel(Protocol):
    def note(self, kind: str, text: str) -> None:
        """Keep one note of a running attempt."""
        ...

    def control(self, now: bool = False) -> Control:
        """What the owner of the job wants; cheap enough to ask ten times a second, exact only if `now`."""
        ...


@dataclass
class TableChannel:
    """Writes to the job's row; spans go to `sink`."""

    table: JobTable
    row: JobRow
    sink: Callable[[Span], None]
    _wanted: bool = True
    _unsent: dict[str, str] = field(default_factory=dict[str, str])
    _looked: float = 0.0
    _renewed: float = 0.0

    def note(self, kind: str, text: str) -> None:
        if kind == SPAN:
            self.sink(Span(**json.loads(text)))
            return
        self._unsent[kind] = text
        try:
            self._send()
        except Unavailable as error:  # the work goes on, and this is said again
            logger.warning("%s was not noted: %s", kind, error)

    def _send(self) -> None:
        for kind, text in list(self._unsent.items()):
            self.table.note(self.row.id, self.row.attempt, kind, text)
            del self._unsent[kind]

    def control(self, now: bool = False) -> Control:
        moment = time.monotonic()
        if moment - self._looked < LOOK_EVERY_S and not now:
            return Control(self._wanted)
        self._looked = moment
        try:
            if self.table.backend.shared and moment - self._renewed > RENEW_EVERY_S:
                self._renewed = moment
                self.table.renew(self.row.id, self.row.attempt)
            self._send()
            control = self._look()
        except Unavailable as error:
            logger.warning("%s", error)
            return Control(self._wanted)
        except KeyError:  # somebody has removed the table
            return Control(wanted=False)
        self._wanted = control.wanted
        return control

    def _look(self) -> Control:
        row = self.table.get(self.row.id)
        wanted = row.state == "running" and row.attempt == self.row.attempt
        if row.answers is None or row.asks is not None:
            return Control(wanted)
        self.table.note(row.id, row.attempt, "answers", None)
        return Control(wanted, row.answers)


@dataclass
class StreamChannel:
    """Passes notes on as lines of JSON; what is wanted comes in as lines, and their end means: not any more."""

    out: IO[str]
    inbox: Callable[[], list[str] | None]

    def note(self, kind: str, text: str) -> None:
        self.out.write(json.dumps([kind, text]) + "\n")
        self.out.flush()

    def control(self, now: bool = False) -> Control:
        lines = self.inbox()
        if lines is None:
            return Control(wanted=False)
        given: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return Control(given.get("wanted", True), given.get("answers"))
