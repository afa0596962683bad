"""The log of a service: a sample of the rows that it was sent and of what it answered, bounded and for its owner alone.

Copied as it is into every bento, so it imports nothing of this package. A text that training never saw is not written
down: it may be anything, a name or a token too. Services of one endpoint write into the same files.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Beside the folder of a service lies that of the log of its endpoint.
FOLDER, SAMPLE, FILE, OLDER = "answers", "sample", "answers.jsonl", "answers.1.jsonl"
# Of each of the two files.
MAX_BYTES = 16 << 20
UNSEEN = "[unseen]"


@dataclass(frozen=True)
class Log:
    """`share` of the rows are kept, drawn by chance. `known` are the texts that training saw, by feature."""

    folder: Path
    share: float
    bento: str
    known: Mapping[str, frozenset[str]]
    draw: random.Random = field(default_factory=random.Random)

    def note(self, rows: Sequence[Mapping[str, Any]], answers: Sequence[Any], classes: Sequence[Any]) -> None:
        """Keep some of them; whatever hinders that, the answer is given."""
        if not self.share:
            return
        chosen = [place for place in range(len(rows)) if self.draw.random() < self.share]
        content = "".join(self._line(rows[place], answers[place], classes) for place in chosen).encode()
        if 0 < len(content) <= MAX_BYTES:
            with suppress(OSError):
                _append(self.folder, content)

    def _line(self, row: Mapping[str, Any], answer: Any, classes: Sequence[Any]) -> str:
        shares = dict(zip(map(str, classes), answer.probabilities, strict=True)) if answer.probabilities else {}
        content = {
            "at": time.time(),
            "bento": self.bento,
            "row": {name: self._kept(name, value) for name, value in row.items()},
            "prediction": answer.prediction,
            **({"probabilities": shares} if shares else {}),
        }
        # In ASCII: half a surrogate pair has no bytes, and would cost the answer.
        return json.dumps(content, separators=(",", ":")) + "\n"

    def _kept(self, name: str, value: Any) -> Any:
        if value != value:
            return None
        return value if not isinstance(value, str) or value in self.known.get(name, ()) else UNSEEN


def log_of(home: str, bento: str, seen: Mapping[str, Mapping[str, Any]]) -> Log:
    """The log of the endpoint that a service belongs to; it keeps nothing where nobody has asked for one.

    Args:
        home: the folder of the service; none where somebody else runs it.
        seen: feature -> what it held in training, among it its `levels`.
    """
    if not home:
        return Log(Path(), 0.0, bento, {})
    folder = Path(home).resolve().parent / FOLDER
    try:
        share = float((folder / SAMPLE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        share = 0.0
    return Log(folder, share, bento, {name: frozenset(held["levels"]) for name, held in seen.items()})


def _append(folder: Path, content: bytes) -> None:
    """Write at the end of the file, which is set aside for the next one when it is full; another service may do so."""
    path = folder / FILE
    while True:
        opened = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
            if not _is(opened, path):
                continue
            size = os.fstat(opened).st_size
            if not size or size + len(content) <= MAX_BYTES:
                _write(opened, size, content)
                return
            path.replace(folder / OLDER)
        finally:
            os.close(opened)


def _write(opened: int, size: int, content: bytes) -> None:
    """All of it or nothing: what a full disk leaves of a line would spoil the next one too."""
    # Whoever was killed while it wrote has left a piece of a line.
    whole = content if not size or os.pread(opened, 1, size - 1) == b"\n" else b"\n" + content
    written = 0
    try:
        written = os.write(opened, whole)
    finally:
        if written < len(whole):
            os.ftruncate(opened, size)


def _is(opened: int, path: Path) -> bool:
    """Whether the file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(opened), path.stat())
    except FileNotFoundError:
        return False
