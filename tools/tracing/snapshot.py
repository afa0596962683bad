"""A bounded, redacted copy of any value: what a span keeps of an input or output."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

from pydantic import BaseModel, SecretStr

MAX_NODES = 1500
MAX_DEPTH = 12
MAX_TEXT = 8 * 1024
REDACTED = "[redacted]"
SECRET_NAME = re.compile(
    r"(?i)(api[-_]?key|access[-_]?key|secret|passw(or)?d|passwd|credential|authorization|private[-_]?key"
    r"|bearer|cookie|(^|[-_])token($|[-_]))"
)
SECRET_SHAPES = (
    re.compile(r"(?<=://)[^:/@\s\"]+:[^@/\s\"]+(?=@)"),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
    re.compile(r"\b(?:sk|pk|rk)[-_][\w-]{16,}"),
    re.compile(r"\b(?:ghp|gho|ghs|ghu|github_pat|glpat|xox[abprs]|hf|npm)[-_]\w[\w-]{14,}"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    re.compile(r"(?i)\bbearer\s+[\w.~+/-]{8,}=*"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
)


def redact(text: str) -> str:
    """Replace what looks like a key, token or password."""
    for shape in SECRET_SHAPES:
        text = shape.sub(REDACTED, text)
    return text


def snapshot(value: Any) -> Any:
    """A JSON-ready copy of at most `MAX_NODES` nodes; never raises on odd values, never holds the original."""
    return _copy(value, [MAX_NODES], 0)


def _copy(value: Any, budget: list[int], depth: int) -> Any:
    budget[0] -= 1
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, SecretStr):
        return REDACTED
    if depth >= MAX_DEPTH or budget[0] <= 0:
        return "..."
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return _mapping(value, budget, depth)
    if isinstance(value, Sequence | Set):
        return _items(value, budget, depth)
    return f"<{type(value).__name__}>"


def _text(value: str) -> str:
    kept = redact(value[:MAX_TEXT])
    return kept if len(value) <= MAX_TEXT else f"{kept}... ({len(value)} characters)"


def _mapping(value: Mapping[Any, Any], budget: list[int], depth: int) -> dict[str, Any]:
    copy: dict[str, Any] = {}
    for key, item in value.items():
        if budget[0] <= 0:
            copy["..."] = f"{len(value) - len(copy)} more"
            break
        name = _text(str(key))
        copy[name] = REDACTED if SECRET_NAME.search(str(key)) and item else _copy(item, budget, depth + 1)
    return copy


def _items(value: Sequence[Any] | Set[Any], budget: list[int], depth: int) -> list[Any]:
    copy: list[Any] = []
    for item in value:
        if budget[0] <= 0:
            copy.append(f"... {len(value) - len(copy)} more")
            break
        copy.append(_copy(item, budget, depth + 1))
    return copy
