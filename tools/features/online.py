"""Copy the newest values to the online store, and read them there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, JsonValue

from ...config.settings import Settings
from ..errors import ToolFailure
from ..numbers import finite
from ..runtime.work import Work
from ..storage.state_files import replaced
from .models import MaterializedView, OnlineRow, RowStatus
from .registry import changing, online_keys, reading_history
from .views import Definition, find_view

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 100


class Written(BaseModel):
    """What the online store holds of a view: the source and the end of its last materialisation."""

    dataset: str
    end: datetime


def written(settings: Settings, view: str) -> Written | None:
    """None when the view was never materialised."""
    with suppress(FileNotFoundError):
        return Written.model_validate_json(_mark(settings, view).read_bytes())
    return None


def materialize(work: Work, store: Any, name: str, start: datetime | None, end: datetime) -> MaterializedView:
    """Write the newest value of every key in the window.

    Raises:
        ToolFailure: the window is empty, or would put older values over newer ones.
    """
    began = time.perf_counter()
    with changing(work, name):
        view = find_view(store, name)
        rows = _times(view)
        first = start or rows["time"].min().to_pydatetime()
        keys = _keys_in(view, rows, first, end)
        before = written(work.settings, view.name)
        if before and end < before.end:
            raise ToolFailure(
                f"{view.handle} is online up to {before.end.isoformat()}; older values would replace newer ones",
                "Pass a later end, or none.",
            )
        with work.tracer.span("feast materialize", view=view.name, keys=keys), reading_history():
            store.materialize(first, end, [view.name])
        if (found := online_keys(work.settings, view.name)) < keys:
            raise ToolFailure(f"only {found} of {keys} keys of {view.handle} were written", "Call it again.")
        _remember(work.settings, view, end)
    return MaterializedView(
        view=view.handle,
        dataset=view.dataset,
        start=first.isoformat(),
        end=end.isoformat(),
        keys=keys,
        left_out_after_end=int((rows["time"] > end).sum()),
        seconds=round(time.perf_counter() - began, 2),
    )


def _keys_in(view: Definition, rows: pd.DataFrame, first: datetime, end: datetime) -> int:
    chosen = rows[(rows["time"] >= first) & (rows["time"] <= end)]
    if chosen.empty:
        raise ToolFailure(
            f"{view.handle} has no value from {first.isoformat()} to {end.isoformat()}",
            f"Its values are from {rows['time'].min().isoformat()} to {rows['time'].max().isoformat()}.",
        )
    return int(chosen[view.entity].nunique())


def moment(text: str, name: str) -> datetime | None:
    """An ISO time; one without a zone is UTC.

    Raises:
        ToolFailure: the text is not a time.
    """
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ToolFailure(f"{name} {text!r} is not a time", "Write 2024-06-01 or 2024-06-01T12:00:00Z.") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def keys_of(view: Definition, rows: Sequence[Mapping[str, JsonValue]]) -> list[JsonValue]:
    """The key of each row.

    Raises:
        ToolFailure: a row has none, or one of another type.
    """
    keys: list[JsonValue] = []
    for number, row in enumerate(rows, 1):
        if view.entity not in row:
            raise ToolFailure(
                f"row {number} has no {view.entity}, the key of {view.handle}", f"It has {', '.join(row)}."
            )
        key = row[view.entity]
        fits = isinstance(key, str) if view.entity_type == "string" else type(key) is int
        if not fits:
            raise ToolFailure(f"row {number}: {view.entity} is {view.entity_type}, not {key!r}", "Pass that type.")
        keys.append(key)
    return keys


def read(store: Any, view: Definition, names: Sequence[str], keys: Sequence[JsonValue]) -> list[dict[str, Any] | None]:
    """The stored values of each key under `names`, and their time under an empty name; None for an unknown key."""
    answer = store.get_online_features(
        features=[f"{view.name}:{name}" for name in names],
        entity_rows=[{view.entity: key} for key in keys],
    ).to_dict(include_event_timestamps=True)
    found: list[dict[str, Any] | None] = []
    for index in range(len(keys)):
        stamp = max(answer[f"{name}__ts"][index] for name in names)
        values: dict[str, Any] = {name: answer[name][index] for name in names}
        found.append(values | {"": datetime.fromtimestamp(stamp, UTC)} if stamp else None)
    return found


def online_row(
    row: Mapping[str, JsonValue], parts: Sequence[tuple[Definition, Mapping[str, str], dict[str, Any] | None]]
) -> OnlineRow:
    """One answer from what each view has for the row; values beyond their ttl are not given, as in a join."""
    states: list[RowStatus] = []
    values: dict[str, JsonValue] = {}
    times: dict[str, str | None] = {}
    for view, columns, stored in parts:
        late = stored is not None and view.ttl is not None and datetime.now(UTC) - stored[""] > view.ttl
        states.append("unknown" if stored is None else "expired" if late else "found")
        times[view.handle] = stored[""].isoformat() if stored else None
        usable = stored if stored and not late else {}
        values |= {column: _plain(usable.get(feature)) for feature, column in columns.items()}
    status: RowStatus = states[0] if len(set(states)) == 1 else "partly"
    keys = {view.entity: row[view.entity] for view, _, _ in parts}
    return OnlineRow(status=status, key=keys, values=values, as_of=times)


def _plain(value: Any) -> JsonValue:
    if isinstance(value, float):
        return finite(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _times(view: Definition) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(view.path, columns=[view.entity, view.timestamp])
    times = table.column(view.timestamp).cast(pa.timestamp("us", "UTC"))
    return pa.table({view.entity: table.column(view.entity), "time": times}).to_pandas()


def _remember(settings: Settings, view: Definition, end: datetime) -> None:
    replaced(_mark(settings, view.name), Written(dataset=view.dataset, end=end).model_dump_json().encode())


def _mark(settings: Settings, view: str) -> Path:
    return settings.feast_home / "materialized" / f"{settings.feast.project}.{view}.json"
