"""What the library returns as values that JSON and a reader can take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from ..numbers import exact

LONGEST_TEXT = 80
LONGEST_LIST = 10
LONGEST_REASON = 200


def plain(value: Any) -> JsonValue:
    """Numbers of any library, times, texts and small collections of them; what is missing or NaN is null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return exact(value)
    if isinstance(value, float):
        return None if math.isnan(value) else value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        more = {"…": f"{len(value) - LONGEST_LIST} more"} if len(value) > LONGEST_LIST else {}
        return {str(key): plain(item) for key, item in list(value.items())[:LONGEST_LIST]} | more
    if isinstance(value, list | tuple | set):
        return _listed(list(value))
    text = str(value)
    return None if text in ("NaT", "<NA>") else text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def shortened(kwargs: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The kwargs of a rule with long lists cut."""
    return {name: plain(value) for name, value in kwargs.items()}


def reason_of(information: Mapping[str, Any]) -> str:
    """Why a rule raised, in one line without a traceback; an empty text if it ran.

    The information is flat, or one entry per metric that raised.
    """
    if "raised_exception" in information:
        if not information["raised_exception"]:
            return ""
        message = information.get("exception_message")
    else:
        message = next((item.get("exception_message") for item in information.values()), None)
    lines = [line for line in str(message or "").splitlines() if line.strip()]
    return (lines[-1].strip() if lines else "the library could not compute it")[:LONGEST_REASON]


def _listed(values: list[Any]) -> JsonValue:
    shown = [plain(item) for item in values[:LONGEST_LIST]]
    return [*shown, f"… {len(values) - LONGEST_LIST} more"] if len(values) > LONGEST_LIST else shown
