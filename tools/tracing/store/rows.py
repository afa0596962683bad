"""Spans and scores as rows: JSON in text columns, free of what SQLite and Opik cannot hold."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ..redaction import Redactor, redact
from ..score import Score
from ..span import Span

SPAN_FIELDS = (
    "id", "trace_id", "parent_id", "name", "kind", "start", "end", "status", "input", "output", "metadata", "error",
    "tags", "model", "provider", "usage", "thread", "error_type", "error_trace", "is_foreign", "revision",
)  # fmt: skip
JSON_FIELDS = ("input", "output", "metadata", "tags", "usage")
NUL, LOST = "\x00", "\ufffd"

Row = dict[str, Any]


SCRUBBED: Mapping[type, tuple[str, ...]] = MappingProxyType(
    {
        Span: (
            "name", "input", "output", "metadata", "error", "tags", "model", "provider", "thread", "error_trace",
        ),
        Score: ("name", "reason", "category"),
    }
)  # fmt: skip


def scrubbed(item: Span | Score, redactor: Redactor) -> Span | Score:
    """The item without what the settings name as secret."""
    if redactor.idle:
        return item
    return replace(item, **{name: redactor.scrub(getattr(item, name)) for name in SCRUBBED[type(item)]})


def span_row(span: Span) -> Row:
    """The columns of a span.

    Raises:
        TypeError, ValueError, RecursionError: something in it is no JSON.
    """
    return {
        "id": storable(span.id),
        "trace_id": storable(span.trace_id),
        "parent_id": storable(span.parent_id),
        "name": storable(redact(span.name)),
        "kind": span.kind,
        "start": span.start,
        "end": span.end,
        "status": span.status,
        "input": _json(span.input),
        "output": _json(span.output),
        "metadata": _json(span.metadata),
        "error": storable(redact(span.error)),
        "tags": _json([redact(tag) for tag in span.tags]) if span.tags else None,
        "model": storable(redact(span.model)),
        "provider": storable(redact(span.provider)),
        "usage": _json(span.usage) if span.usage else None,
        "thread": storable(redact(span.thread)),
        "error_type": storable(span.error_type),
        "error_trace": storable(redact(span.error_trace)),
        "is_foreign": int(span.foreign),
        "revision": time.time_ns(),
    }


def span_of(row: Mapping[str, Any]) -> Span:
    """The span of a row; the columns that an older file lacks are empty."""
    values = {name: row[name] for name in SPAN_FIELDS if name in row}
    values.pop("revision", None)
    values["foreign"] = bool(values.pop("is_foreign", 0))
    decoded = {name: json.loads(values[name]) for name in JSON_FIELDS if values.get(name) is not None}
    for name in JSON_FIELDS:
        values.pop(name, None)
    return Span(**values, **decoded)


def score_row(score: Score) -> Row:
    name = storable(redact(score.name))
    return {
        "id": storable(f"{score.target}:{score.id}:{name}"),
        "target": score.target,
        "about": storable(score.id),
        "name": name,
        "value": float(score.value),
        "reason": storable(redact(score.reason)),
        "category": storable(redact(score.category)),
        "project": storable(score.project),
        "revision": time.time_ns(),
    }


def score_of(row: Mapping[str, Any]) -> Score:
    return Score(row["target"], row["about"], row["name"], row["value"], row["reason"], row["category"], row["project"])


def _json(value: Any) -> str | None:
    if value is None:
        return None
    text = json.dumps(value, ensure_ascii=False)
    # The escape may also be the end of an escaped backslash, which only a look at the values can tell.
    return storable(json.dumps(_without_nul(value), ensure_ascii=False) if "\\u0000" in text else text)


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(NUL, LOST)
    if isinstance(value, Mapping):
        return {str(name).replace(NUL, LOST): _without_nul(item) for name, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list | tuple) else value


def storable(text: str) -> str:
    """SQLite takes no lone surrogates, which JSON may carry, and cuts at NUL."""
    return text.encode("utf-8", "replace").decode().replace(NUL, LOST)
