"""A bounded, redacted copy of any value: what a span keeps of an input or output."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr

from .redaction import REDACTED, redact, secret_name

MAX_NODES = 1500
MAX_DEPTH = 12
MAX_TEXT = 8 * 1024
MAX_CHARACTERS = 64 * 1024
# Read on beyond the cut, so that a secret which the cut splits is still recognised.
OVERLAP = 512
BREAK = re.compile(r"[\s\"',;&]")
# Options of commands whose value is `user:password`.
WITH_USER = ("-u", "--user", "-U", "--proxy-user")
# What a foreign object may raise while it is read.
UNREADABLE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def snapshot(value: Any) -> Any:
    """A JSON-ready copy within the bounds above; never raises on odd values, never holds the original."""
    return _copy(value, _Budget(), 0)


def shortened(text: str, room: int) -> str:
    """The first `room` characters without secrets; a word that the cut falls into may be half of one."""
    kept = redact(text[: room + OVERLAP])[:room]
    if len(text) > room and (last := BREAK.search(kept[-OVERLAP:][::-1])):
        kept = kept[: len(kept) - last.start()]
    return kept


@dataclass
class _Budget:
    """What may still be copied."""

    nodes: int = MAX_NODES
    characters: int = MAX_CHARACTERS

    @property
    def spent(self) -> bool:
        return self.nodes <= 0 or self.characters <= 0


def _copy(value: Any, budget: _Budget, depth: int) -> Any:
    budget.nodes -= 1
    if isinstance(value, str):
        return _text(value, budget)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, SecretStr):
        return REDACTED
    if depth >= MAX_DEPTH or budget.spent:
        return "..."
    try:
        return _container(value, budget, depth)
    except UNREADABLE:
        return f"<unreadable {type(value).__name__}>"


def _container(value: Any, budget: _Budget, depth: int) -> Any:
    if isinstance(value, dict | Mapping):  # the plain types first: an abstract one takes long to recognise
        return _mapping(value, budget, depth)
    if isinstance(value, list | Sequence | Set):
        return _items(value, budget, depth)
    if isinstance(value, BaseModel):
        return _mapping({name: getattr(value, name) for name in type(value).model_fields}, budget, depth)
    return f"<{type(value).__name__}>"


def _text(value: str, budget: _Budget) -> str:
    room = max(0, min(MAX_TEXT, budget.characters))
    kept = redact(value) if len(value) <= room else shortened(value, room)
    if not kept.isascii():
        kept = kept.encode("utf-8", "replace").decode()
    budget.characters -= len(kept)
    return kept if len(value) <= room else f"{kept}... ({len(value)} characters)"


def _mapping(value: Mapping[Any, Any], budget: _Budget, depth: int) -> dict[str, Any]:
    copy: dict[str, Any] = {}
    value = _unpaired(value)
    for key, item in value.items():
        if budget.spent:
            copy["..."] = f"{len(value) - len(copy)} more"
            break
        name = _text(str(key), budget)
        copy[name] = REDACTED if item and secret_name(str(key), item) else _copy(item, budget, depth + 1)
    return copy


def _unpaired(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """A secret may also be named next to its value, as headers are: `{"name": "Authorization", "value": …}`."""
    if "value" in value:
        for key in ("name", "key"):
            if isinstance(name := value.get(key), str) and secret_name(name, value["value"]):
                return {**value, "value": REDACTED}
    return value


def _items(value: Sequence[Any] | Set[Any], budget: _Budget, depth: int) -> list[Any]:
    copy: list[Any] = []
    before: Any = None
    for item in value:
        if budget.spent:
            copy.append(f"... {len(value) - len(copy)} more")
            break
        kept = REDACTED if _follows(before, item, len(value)) else _header(item)
        copy.append(_copy(kept, budget, depth + 1))
        before = item
    return copy


def _header(item: Any) -> Any:
    """Headers may also be pairs: `[["X-Api-Key", …], …]`."""
    if isinstance(item, list | tuple) and len(item) == 2:
        name, value = item
        if isinstance(name, str) and isinstance(value, str) and value and secret_name(name, value):
            return [name, REDACTED]
    return item


def _follows(before: Any, item: Any, together: int) -> bool:
    """Whether an item is the secret that the one before names: `["--password", …]`, or a header on its own."""
    if not (isinstance(before, str) and isinstance(item, str) and item):
        return False
    if before.startswith("-"):
        return (before in WITH_USER and ":" in item) or secret_name(before.lstrip("-"), item)
    return together == 2 and ("-" in before or before.lower() == "authorization") and secret_name(before, item)
