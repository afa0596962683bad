"""Python values of mixed kinds, as documents and workbooks hold them, in one Arrow type."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from ..numbers import EXACT
from .plain import MISSING

if TYPE_CHECKING:
    import pyarrow as pa


LARGEST = 2**63


def array_of(values: Sequence[Any]) -> tuple[pa.Array, str]:
    """The values as the type that they share, else as text; and why it is text.

    Whole numbers beside fractions become doubles only where none loses a digit.
    """
    import pyarrow as pa

    kinds = {type(value) for value in values} - {type(None)}
    texts = [value for value in values if isinstance(value, str)]
    if texts and {str} < kinds <= {int, float, str} and all(text.strip() in MISSING for text in texts):
        array, reason = array_of([None if isinstance(value, str) else value for value in values])
        return array, reason or "cells like NA or null among numbers read as missing"
    if kinds <= {int, float}:
        whole = [value for value in values if isinstance(value, int)]
        if kinds == {int} and all(-LARGEST <= value < LARGEST for value in whole):
            return pa.array(values, pa.int64()), ""
        if all(abs(value) <= EXACT for value in whole):
            return pa.array([None if value is None else float(value) for value in values], pa.float64()), ""
        return _as_text(values), "kept as text, since a number would lose digits"
    if kinds <= {datetime, date}:
        return pa.array([_moment(value) for value in values], pa.timestamp("us")), ""
    if len(kinds) == 1:
        try:
            return pa.array(values), ""
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            pass
    return _as_text(values), "holds values of several types, so kept as text"


def _moment(value: date | None) -> datetime | None:
    return value if isinstance(value, datetime) or value is None else datetime.combine(value, time())


def _as_text(values: Sequence[Any]) -> pa.Array:
    import pyarrow as pa

    return pa.array([None if value is None else text_of(value) for value in values], pa.string())


def text_of(value: Any) -> str:
    """One text for a value, however it came: lists and objects as JSON, all else as Python writes it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
