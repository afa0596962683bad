"""Times of a rule in the one form that compares with a datetime column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from .models import Expectation

if TYPE_CHECKING:
    import pyarrow as pa

# It compares with values that have lost their zone.
WITHOUT_ZONE = "expect_column_most_common_value_to_be_in_set"
BOUNDS = ("min_value", "max_value")


def times_for(rule: Expectation, kind: pa.DataType | None) -> dict[str, Any]:
    """The kwargs for a column of this type.

    The library fails on dates without a time, on times without the zone of the column, and takes no member of a
    set for equal to a zoned time.
    """
    import pyarrow as pa

    if kind is None or not pa.types.is_timestamp(kind):
        return dict(rule.kwargs)
    zone = None if rule.type == WITHOUT_ZONE else kind.tz
    return {name: _converted(name, value, zone) for name, value in rule.kwargs.items()}


def _converted(name: str, value: JsonValue, zone: str | None) -> Any:
    if name in BOUNDS and isinstance(value, str):
        return _full(value, zone)
    return [_moment(item, zone) for item in value] if name == "value_set" and isinstance(value, list) else value


def _full(text: str, zone: str | None) -> str:
    full = f"{text}T00:00:00" if len(text) == 10 else text
    aware = re.search(r"(Z|[+-]\d{2}:?\d{2})$", full) is not None
    return f"{full}+00:00" if zone and not aware else full


def _moment(item: JsonValue, zone: str | None) -> Any:
    import pandas as pd

    moment = pd.to_datetime(str(item), errors="coerce")
    if pd.isna(moment):
        return item
    return moment.tz_localize(zone) if zone and moment.tzinfo is None else moment
