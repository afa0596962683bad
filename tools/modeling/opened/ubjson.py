"""Read UBJSON as XGBoost writes it (https://ubjson.org, draft 12), without asking XGBoost itself to.

Typed arrays become NumPy arrays, objects become dicts; depth and lengths are bounded by what the text can hold.
"""

from __future__ import annotations

import struct
from typing import Any

MAX_DEPTH = 64
NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
CONSTANTS = {"Z": None, "T": True, "F": False}


def read(content: bytes) -> Any:
    """The value that a text holds.

    Raises:
        ValueError: it is no UBJSON, is cut short, or is nested too deep.
    """
    return _Reader(content).value()


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        self._depth = 0

    def value(self, marker: str = "") -> Any:
        marker = marker or self._marker()
        if marker in NUMBERS:
            return self._number(marker)
        if marker in CONSTANTS:
            return CONSTANTS[marker]
        if marker == "S":
            return self._text()
        if marker == "C":
            return self._take(1).decode("latin-1")
        if marker not in "{[":
            raise ValueError(f"no UBJSON marker: {marker!r}")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        made = self._object() if marker == "{" else self._array()
        self._depth -= 1
        return made

    def _object(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while self._peek() != "}":
            name = self._text()
            if name in made:
                raise ValueError(f"{name!r} stands twice")
            made[name] = self.value()
        self._at += 1
        return made

    def _array(self) -> Any:
        kind = ""
        if self._peek() == "$":
            self._at += 1
            kind = self._marker()
        if self._peek() == "#":
            self._at += 1
            count = self._length()
            if kind in NUMBERS:
                return self._numbers(kind, count)
            if count > len(self._content) - self._at:
                raise ValueError("an array is longer than the text")
            return [self.value(kind) for _ in range(count)]
        return self._open_array()

    def _open_array(self) -> list[Any]:
        made: list[Any] = []
        while self._peek() != "]":
            made.append(self.value())
        self._at += 1
        return made

    def _numbers(self, kind: str, count: int) -> Any:
        import numpy as np

        dtype = np.dtype(NUMBERS[kind])
        return np.frombuffer(self._take(count * dtype.itemsize), dtype=dtype)

    def _number(self, kind: str) -> Any:
        form = ">" + {"i": "b", "U": "B", "I": "h", "l": "i", "L": "q", "d": "f", "D": "d"}[kind]
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _text(self) -> str:
        return self._take(self._length()).decode("utf-8")

    def _length(self) -> int:
        marker = self._marker()
        if marker not in "iUIlL":
            raise ValueError(f"no length: {marker!r}")
        length = int(self._number(marker))
        if length < 0:
            raise ValueError("a negative length")
        return length

    def _marker(self) -> str:
        return self._take(1).decode("latin-1")

    def _peek(self) -> str:
        if self._at >= len(self._content):
            raise ValueError("cut short")
        return chr(self._content[self._at])

    def _take(self, count: int) -> bytes:
        if count > len(self._content) - self._at:
            raise ValueError("cut short")
        found = self._content[self._at : self._at + count]
        self._at += count
        return found
