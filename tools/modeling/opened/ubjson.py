"""Read UBJSON as XGBoost writes it (https://ubjson.org, draft 12), without asking XGBoost itself to.

Typed arrays become NumPy arrays, objects become dicts; depth and lengths are bounded by what the text can hold.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

MAX_DEPTH = 64
NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
FORMS = {"i": ">b", "U": ">B", "I": ">h", "l": ">i", "L": ">q", "d": ">f", "D": ">d"}
LENGTHS = b"iUIlL"
CONSTANTS = {ord("Z"): None, ord("T"): True, ord("F"): False}
TEXT, CHARACTER = ord("S"), ord("C")
OBJECT, OBJECT_END, ARRAY, ARRAY_END = b"{}[]"
TYPE, COUNT = b"$#"


def read(content: bytes) -> Any:
    """The value that a text holds.

    Raises:
        ValueError: it is no UBJSON, is cut short, or is nested too deep.
    """
    try:
        return _Reader(content).value(content[0], 0)
    except IndexError:
        raise ValueError("cut short") from None


class _Reader:
    """Where it stands in a text; `IndexError` says that the text has ended."""

    def __init__(self, content: bytes) -> None:
        import numpy as np

        self._content = content
        self._end = len(content)
        self._at = 1
        self._numbers = {ord(kind): Struct(form) for kind, form in FORMS.items()}
        self._lengths = {kind: self._numbers[kind] for kind in LENGTHS}
        self._types = {ord(kind): np.dtype(name) for kind, name in NUMBERS.items()}

    def value(self, marker: int, depth: int) -> Any:
        """What follows a marker."""
        if marker == OBJECT:
            return self._object(depth + 1)
        if marker == ARRAY:
            return self._array(depth + 1)
        if marker == TEXT:
            return self._text()
        if marker in self._numbers:
            return self._number(marker)
        if marker in CONSTANTS:
            return CONSTANTS[marker]
        if marker == CHARACTER:
            return self._take(1).decode("latin-1")
        raise ValueError(f"no UBJSON marker: {chr(marker)!r}")

    def _object(self, depth: int) -> dict[str, Any]:
        _require_shallow(depth)
        made: dict[str, Any] = {}
        content = self._content
        while content[self._at] != OBJECT_END:
            name = self._text()
            if name in made:
                raise ValueError(f"{name!r} stands twice")
            made[name] = self.value(self._marker(), depth)
        self._at += 1
        return made

    def _array(self, depth: int) -> Any:
        _require_shallow(depth)
        kind = 0
        if self._content[self._at] == TYPE:
            self._at += 1
            kind = self._marker()
        if self._content[self._at] != COUNT:
            if kind:
                raise ValueError("an array of a type without a length")
            return self._open_array(depth)
        self._at += 1
        count = self._length()
        if kind in self._types:
            return self._typed(kind, count)
        if count > self._end - self._at:
            raise ValueError("an array is longer than the text")
        return [self.value(kind or self._marker(), depth) for _ in range(count)]

    def _open_array(self, depth: int) -> list[Any]:
        made: list[Any] = []
        while self._content[self._at] != ARRAY_END:
            made.append(self.value(self._marker(), depth))
        self._at += 1
        return made

    def _typed(self, kind: int, count: int) -> Any:
        import numpy as np

        dtype = self._types[kind]
        begin = self._pass(count * dtype.itemsize)
        return np.frombuffer(self._content, dtype, count, begin) if count else np.empty(0, dtype)

    def _number(self, kind: int) -> Any:
        form = self._numbers[kind]
        return form.unpack_from(self._content, self._pass(form.size))[0]

    def _text(self) -> str:
        return self._take(self._length()).decode("utf-8")

    def _length(self) -> int:
        # Twice an entry of an object, so without a call.
        marker = self._content[self._at]
        form = self._lengths.get(marker)
        if form is None:
            raise ValueError(f"no length: {chr(marker)!r}")
        begin = self._at + 1
        self._at = begin + form.size
        if self._at > self._end:
            raise ValueError("cut short")
        length: int = form.unpack_from(self._content, begin)[0]
        if length < 0:
            raise ValueError("a negative length")
        return length

    def _marker(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _take(self, count: int) -> bytes:
        begin = self._pass(count)
        return self._content[begin : begin + count]

    def _pass(self, count: int) -> int:
        """Go on; where that part of the text begins."""
        begin = self._at
        self._at = begin + count
        if self._at > self._end:
            raise ValueError("cut short")
        return begin


def _require_shallow(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
