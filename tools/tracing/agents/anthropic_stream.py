"""The message that the events of a stream of Anthropic's Messages API add up to."""

from __future__ import annotations

import json
from typing import Any

TEXTS = ("text", "thinking", "partial_json")
# What is kept of one block: a span shows less of it.
MAX_PARTS = 20_000


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one: what a gateway answers may have any form."""
    return value if isinstance(value, dict) else {}


def decoded(text: bytes | bytearray | str) -> dict[str, Any]:
    """An object in JSON, or an empty one."""
    try:
        return mapping(json.loads(text))
    except (ValueError, RecursionError):
        return {}


class Assembly:
    """Put together piece by piece, so that a long stream is never held as a whole."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._texts: dict[int, dict[str, list[str]]] = {}

    def feed(self, chunk: bytes) -> None:
        """Take what came next, which may end inside a line."""
        self._line += chunk
        *lines, rest = self._line.split(b"\n")
        self._line = rest
        for line in lines:
            if line.startswith(b"data:"):
                self._take(decoded(line[5:]))

    def message(self) -> dict[str, Any]:
        """As much of the message as has come: `content`, `usage`, `stop_reason`, and `error` if the stream failed."""
        content = [self._block(index) for index in sorted(self._blocks)]
        return self._message | ({"content": content} if content else {})

    def _take(self, event: dict[str, Any]) -> None:
        kind, index, delta = event.get("type"), event.get("index"), mapping(event.get("delta"))
        if kind == "message_start":
            self._message = dict(mapping(event.get("message")))
        elif kind == "content_block_start" and isinstance(index, int):
            self._blocks[index] = dict(mapping(event.get("content_block")))
        elif kind == "content_block_delta" and isinstance(index, int):
            self._add(index, delta)
        elif kind == "message_delta":
            self._message |= {name: value for name, value in delta.items() if value is not None}
            self._message["usage"] = mapping(self._message.get("usage")) | mapping(event.get("usage"))
        elif kind == "error":
            self._message["error"] = mapping(event.get("error"))

    def _add(self, index: int, delta: dict[str, Any]) -> None:
        self._blocks.setdefault(index, {})
        for name in TEXTS:
            if isinstance(piece := delta.get(name), str):
                pieces = self._texts.setdefault(index, {}).setdefault(name, [])
                if len(pieces) < MAX_PARTS:
                    pieces.append(piece)

    def _block(self, index: int) -> dict[str, Any]:
        block = dict(self._blocks[index])
        for name, pieces in self._texts.get(index, {}).items():
            begun = block.get(name)
            block[name] = (begun if isinstance(begun, str) else "") + "".join(pieces)
        if (arguments := block.pop("partial_json", None)) is not None:
            block["input"] = decoded(arguments) or arguments
        return block
