"""Who has called what changes something, and how that ended: lines of JSON that are added and never changed."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..config.settings import Settings
from .locks import Busy, locked
from .storage.counter import add, count, prepare
from .storage.state_files import appended
from .tracing.mentions import MAX_HANDLES, handles_in
from .tracing.redaction import Redactor

FILE, LOCK, LOST = "audit.jsonl", "audit.lock", "audit.lost"
# What the current file becomes when it is full, the youngest first.
OLDER = tuple(f"audit.{number}.jsonl" for number in (1, 2, 3, 4))
PATIENCE_S = 1.0
# A reader is an agent, and the file itself lies there for everything else.
SHOWN, READ_BYTES = 20, 64 << 10
MAX_NAME = 200

Outcome = Literal[
    "done", "started", "preview", "asked",  # a call: it has changed something, or goes on, or has changed nothing yet
    "denied", "refused",  # its scope or the policy says no; it was not begun
    "failed", "cancelled", "lost",
]  # fmt: skip

logger = logging.getLogger(__name__)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Entry(BaseModel):
    """One line. `by` is the name of a token, null for whoever has the machine; `event` is the call or its job's end.

    `handles` are what the arguments and the result name, at most 20; `trace` is the trace that says more.
    """

    model_config = ConfigDict(frozen=True)

    time: str = Field(default_factory=_now)
    event: Literal["call", "job"] = "call"
    by: str | None
    tool: str
    handles: tuple[str, ...] = ()
    outcome: Outcome
    trace: str = ""


def named(texts: Iterable[Any]) -> tuple[str, ...]:
    """The handles that JSON-like values name, each once."""
    return tuple(islice(dict.fromkeys(handle for text in texts for handle in handles_in(text)), MAX_HANDLES))


class AuditLog:
    """The audit log of a state folder, which any number of processes write.

    Args:
        clean: takes secrets out of a text.
        most: bytes of one file; with the older ones there are five.
    """

    def __init__(self, home: Path, clean: Callable[[], Callable[[str], str]], most: int) -> None:
        self._home = home
        self._cleaner = clean
        self._most = most
        self._uncounted = 0
        self._said = ""

    @classmethod
    def of(cls, settings: Settings) -> AuditLog:
        return cls(settings.home, lambda: Redactor.of(settings), settings.server.audit_mb << 20)

    @property
    def lost(self) -> int:
        """How many lines could not be written, by any process of the folder."""
        return count(self._home / LOST) + self._uncounted

    def note(self, entry: Entry) -> None:
        """Add a line. What cannot be written is counted and logged, and holds up nothing."""
        line = self._line(entry)
        try:
            with locked(self._home / LOCK, PATIENCE_S, "another process holds it"):
                prepare(self._home / LOST)
                self._make_room(len(line))
                appended(self._home / FILE, line)
            self._said = ""
        except (OSError, Busy) as error:
            self.lose(str(error))

    def lose(self, why: str) -> None:
        """Count a line that is not written."""
        try:
            add(self._home / LOST, 1)
        except OSError:
            self._uncounted += 1
        self.tell(why)

    def miss(self, why: str) -> None:
        """`lose` without a look at the disk, which may hang."""
        self._uncounted += 1
        self.tell(why)

    def tell(self, why: str) -> None:
        """Log why lines are not written, once in a row."""
        if why != self._said:
            self._said = why
            logger.error("the audit log %s cannot be written: %s", self._home / FILE, why)

    def recent(self) -> str:
        """The last lines, the latest at the end. Raises OSError."""
        found: list[bytes] = []
        for name in (FILE, OLDER[0]):
            if len(found) < SHOWN:
                found = [*_tail(self._home / name), *found]
        return b"\n".join(found[-SHOWN:]).decode("utf-8", "replace")

    def _line(self, entry: Entry) -> bytes:
        given = entry.model_dump(mode="json")
        cleaned = {name: self._cleaned(value) for name, value in given.items()}
        return json.dumps(cleaned, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"

    def _cleaned(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._cleaned(item) for item in value]
        return self._clean(value)[:MAX_NAME] if isinstance(value, str) else value

    @cached_property
    def _clean(self) -> Callable[[str], str]:
        return self._cleaner()

    def _make_room(self, bytes_: int) -> None:
        """Turn a file that is full into an older one, the oldest first, so that a kill on the way loses no line."""
        with suppress(FileNotFoundError):
            if (self._home / FILE).stat().st_size + bytes_ <= self._most:
                return
            names = (FILE, *OLDER)
            for younger, older in reversed(list(pairwise(names))):
                with suppress(FileNotFoundError):
                    os.replace(self._home / younger, self._home / older)


def _tail(path: Path) -> list[bytes]:
    """The whole lines at the end of a file; none of one that is not there."""
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - READ_BYTES)
            file.seek(start)
            lines = file.read(READ_BYTES).splitlines()
    except FileNotFoundError:
        return []
    return lines[1:] if start else lines
