"""The values of the online store, written and read as Feast's own messages, each exactly as it is.

`FeatureStore.materialize` takes a column that has gaps through floats, which ends the exactness of integers at 2**53,
and cuts times to whole seconds. So the store below it is written (feast.infra.online_stores.online_store.OnlineStore).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from ..runtime.work import Work
from .known import at, picked
from .models import DType
from .registry import BATCH, online_store
from .views import Definition

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# Feast's FieldStatus of a value that the store does not hold.
NOT_FOUND = 3
FIELDS: dict[DType, str] = {
    "int64": "int64_val",
    "int32": "int32_val",
    "float64": "double_val",
    "float32": "float_val",
    "string": "string_val",
    "bool": "bool_val",
    "timestamp": "unix_timestamp_val",
}


@dataclass(frozen=True)
class Stored:
    """The values of one key, and their time, of which Feast keeps whole seconds; what was never written is absent."""

    values: Mapping[str, Any]
    time: datetime


def write(work: Work, store: Any, view: Definition, places: np.ndarray, start: datetime, end: datetime) -> None:
    """Write the rows at these places of the view's file, the newest value of a key each, and note the interval.

    Args:
        places: positions of rows, int64.
    """
    target, online = store.get_feature_view(view.name), online_store(work)
    columns = [name for name in (view.entity, view.timestamp, view.created, *view.features) if name]
    table = picked(view.path, columns, at(view, places))
    for first in range(0, table.num_rows, BATCH):
        rows = list(_messages(view, table.slice(first, BATCH)))
        online.online_write_batch(store.config, target, rows, None)
    store.registry.apply_materialization(target, store.project, start, end)


def read(store: Any, view: Definition, names: Sequence[str], keys: Sequence[JsonValue]) -> list[Stored | None]:
    """What the store holds of each key; None for an unknown key."""
    answer = store.get_online_features(
        features=[f"{view.name}:{name}" for name in names],
        entity_rows=[{view.entity: key} for key in keys],
    ).proto
    columns = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
    return [_stored(view, {name: columns[name] for name in names}, index) for index in range(len(keys))]


def _stored(view: Definition, columns: Mapping[str, Any], index: int) -> Stored | None:
    present = {name: column for name, column in columns.items() if column.statuses[index] != NOT_FOUND}
    if not present:
        return None
    values = {name: _value(column.values[index], view.features[name]) for name, column in present.items()}
    return Stored(values, max(column.event_timestamps[index].ToDatetime(UTC) for column in present.values()))


def _messages(view: Definition, table: pa.Table) -> Iterator[tuple[Any, dict[str, Any], datetime, datetime | None]]:
    keys = table.column(view.entity).to_pylist()
    times = in_utc(table.column(view.timestamp)).to_pylist()
    created = in_utc(table.column(view.created)).to_pylist() if view.created else [None] * len(keys)
    values = [
        [_message(cell, dtype) for cell in _cells(table.column(name), dtype)] for name, dtype in view.features.items()
    ]
    for number, key in enumerate(keys):
        row = {name: column[number] for name, column in zip(view.features, values, strict=True)}
        yield _key(view, key), row, times[number], created[number]


def _key(view: Definition, key: object) -> Any:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    return EntityKey(join_keys=[view.entity], entity_values=[_message(key, view.entity_type)])


def _cells(column: pa.ChunkedArray, dtype: DType) -> list[Any]:
    return (in_utc(column) if dtype == "timestamp" else column).to_pylist()


def in_utc(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Microseconds in UTC; a naive time is taken for UTC."""
    import pyarrow as pa

    return times.cast(pa.timestamp("us", "UTC"))


def _message(value: Any, dtype: DType) -> Any:
    """A time with a fraction becomes ISO text: Feast's own kind of time counts whole seconds."""
    from feast.protos.feast.types import Value_pb2

    Value: Any = Value_pb2.Value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Value()
    if not isinstance(value, datetime):
        return Value(**{FIELDS[dtype]: value})
    if value.microsecond:
        return Value(string_val=value.isoformat())
    return Value(unix_timestamp_val=int(value.timestamp()))


def _value(message: Any, dtype: DType) -> Any:
    """What a message holds; None for a missing value."""
    field = message.WhichOneof("val")
    value = getattr(message, field) if field else None
    if value is None or dtype != "timestamp":
        return value
    return datetime.fromisoformat(value) if isinstance(value, str) else datetime.fromtimestamp(value, UTC)
