"""Rows of the store as Opik's API wants them: `Trace_Write`, `Span_Write`, `FeedbackScoreBatchItem`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ....config.settings import Settings
from ..store.destination import DEFAULT_PROJECT

Kind = Literal["traces", "spans", "trace_scores", "span_scores"]
Body = dict[str, Any]
MAX_INT32 = 2**31 - 1
MAX_TAGS, MAX_TAG = 50, 100


@dataclass(frozen=True)
class Labels:
    """What every row says about where it comes from."""

    project: str
    environment: str

    @classmethod
    def of(cls, settings: Settings) -> Labels:
        opik = settings.opik
        return cls(opik.project_name.strip() or DEFAULT_PROJECT, (opik.environment or settings.environment)[:150])


def sampled(trace_id: str, rate: float) -> bool:
    """Whether a trace belongs to the share that is shipped: the same answer in every process."""
    digest = hashlib.sha256(trace_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") < rate * 2**64


def trace_body(row: Mapping[str, Any], wire: Callable[[str], str], labels: Labels) -> Body:
    """`wire` gives the id by which Opik knows a row."""
    identity = wire(row["id"])
    thread = {"thread_id": row["thread"]} if row["thread"] else {}
    return {"id": identity, **_common(row, identity, labels), **thread}


def span_body(row: Mapping[str, Any], wire: Callable[[str], str], labels: Labels) -> Body:
    identity = wire(row["id"])
    body = {"id": identity, "trace_id": wire(row["trace_id"]), "type": row["kind"], **_common(row, identity, labels)}
    if row["parent_id"]:
        body["parent_span_id"] = wire(row["parent_id"])
    if usage := _usage(_value(row["usage"])):
        body["usage"] = usage
    return body | {name: row[name] for name in ("model", "provider") if row[name]}


def score_body(row: Mapping[str, Any], wire: Callable[[str], str], labels: Labels) -> Body:
    body = {
        "id": wire(row["about"]),
        "name": row["name"],
        "value": row["value"],
        "source": "sdk",
        "project_name": row["project"].strip() or labels.project,
    }
    return body | {
        field: row[name] for name, field in (("reason", "reason"), ("category", "category_name")) if row[name]
    }


def _common(row: Mapping[str, Any], identity: str, labels: Labels) -> Body:
    body: Body = {
        "project_name": labels.project,
        "name": row["name"],
        "start_time": _time(row["start"]),
        "last_updated_at": _time(row["revision"] / 1e9),
        "source": "sdk",
        "metadata": _metadata(row, identity),
    }
    if labels.environment:
        body["environment"] = labels.environment
    if row["end"]:
        body["end_time"] = _time(row["end"])
    for name in ("input", "output"):
        if row[name] is not None:
            body[name] = _object(_value(row[name]), name)
    if tags := list(dict.fromkeys(str(tag)[:MAX_TAG] for tag in _value(row["tags"]) or ())):
        body["tags"] = tags[:MAX_TAGS]
    if row["status"] == "error":
        body["error_info"] = {
            "exception_type": row["error_type"] or "Error",
            "message": row["error"] or "",
            "traceback": row["error_trace"] or "",
        }
    return body


def _metadata(row: Mapping[str, Any], identity: str) -> Body:
    """Opik has no status, no events and no attributes: all of them are metadata there."""
    given = _object(_value(row["metadata"]), "metadata") or {}
    moved = {"opik.original_id": row["id"]} if identity != row["id"] else {}
    return {**given, "status": row["status"] or "unknown", **moved}


def _value(text: str | None) -> Any:
    # What is no JSON on the wire (NaN, Infinity) becomes text.
    return None if text is None else json.loads(text, parse_constant=str)


def _object(value: Any, name: str) -> Body | None:
    return value if isinstance(value, dict) or value is None else {name: value}


def _usage(given: Any) -> dict[str, int]:
    if not isinstance(given, Mapping):
        return {}
    return {
        str(name): value
        for name, value in given.items()
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INT32
    }


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
