"""The values of the online store, written and read as Feast's own messages, each exactly as it is.

`FeatureStore.materialize` takes a column that has gaps through floats, which ends the exactness of integers at 2**53,
and cuts times to whole seconds; its store writes value by value. So the table of feast.infra.online_stores.sqlite is
written as it stands there, and read by Feast.
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
from .registry import KEY_VERSION, Cell, put_online
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
    target = store.get_feature_view(view.name)
    columns = [name for name in (view.entity, view.timestamp, view.created, *view.features) if name]
    put_online(work.settings, view.name, _cells(view, picked(view.path, columns, at(view, places))))
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


def _cells(view: Definition, table: pa.Table) -> Iterator[Cell]:
    """What Feast's own loop (SqliteOnlineStore.online_write_batch) writes, in the order of the keys in the table."""
    keys = _keys(view, table.column(view.entity).to_pylist())
    times = _stamps(table.column(view.timestamp))
    created = _stamps(table.column(view.created)) if view.created else [None] * len(keys)
    features = {name: list(_encoded(table.column(name), dtype)) for name, dtype in view.features.items()}
    for number in sorted(range(len(keys)), key=keys.__getitem__):
        for name, cells in features.items():
            yield Cell(keys[number], name, *cells[number], times[number], created[number])


def _keys(view: Definition, keys: Sequence[object]) -> list[bytes]:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    # A message is slow to make: one is filled again and again.
    message, field = EntityKey(join_keys=[view.entity], entity_values=[Value()]), FIELDS[view.entity_type]
    encoded = list[bytes]()
    for key in keys:
        setattr(message.entity_values[0], field, key)
        encoded.append(serialize_entity_key(message, entity_key_serialization_version=KEY_VERSION))
    return encoded


def _stamps(times: pa.ChunkedArray) -> list[int]:
    """Seconds as Feast's adapter of sqlite3 counts them, to which a time without a zone is one of this machine's."""
    import pyarrow as pa

    return [int(moment.timestamp()) for moment in in_utc(times).cast(pa.timestamp("us")).to_pylist()]


def _encoded(column: pa.ChunkedArray, dtype: DType) -> Iterator[tuple[bytes, str | None]]:
    """Each value as Feast's message, and as the text beside it.

    A time with a fraction becomes ISO text: Feast's own kind of time counts whole seconds.
    """
    from feast.protos.feast.types.Value_pb2 import Value

    message: Any = Value()
    for value in (in_utc(column) if dtype == "timestamp" else column).to_pylist():
        if value is None or (isinstance(value, float) and math.isnan(value)):
            yield b"", None
            continue
        if not isinstance(value, datetime):
            setattr(message, FIELDS[dtype], value)
            text = str(value)
        elif value.microsecond:
            message.string_val = text = value.isoformat()
        else:
            message.unix_timestamp_val, text = int(value.timestamp()), None
        yield message.SerializeToString(), text


def in_utc(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Microseconds in UTC; a naive time is taken for UTC."""
    import pyarrow as pa

    return times.cast(pa.timestamp("us", "UTC"))


def _value(message: Any, dtype: DType) -> Any:
    """What a message holds; None for a missing value."""
    field = message.WhichOneof("val")
    value = getattr(message, field) if field else None
    if value is None or dtype != "timestamp":
        return value
    return datetime.fromisoformat(value) if isinstance(value, str) else datetime.fromtimestamp(value, UTC)
