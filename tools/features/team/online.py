"""What the online store of a team holds, as Feast itself answers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from ...errors import ToolFailure
from ...numbers import exact
from ..models import OnlineFeatures, OnlineRow, RowStatus
from ..online import plain, typed_key
from .repository import Team
from .views import Asked, Part

# Feast's FieldStatus of a value that the store does not hold.
NOT_FOUND = 3


@dataclass(frozen=True)
class Column:
    """One feature of every row, None where there is none, and the time of each in seconds, 0 where there is none."""

    values: Sequence[Any]
    held: Sequence[bool]
    seconds: Sequence[int]


def answer(team: Team, wanted: Asked, rows: Sequence[Mapping[str, JsonValue]], full: bool) -> OnlineFeatures:
    """One answer for each row. Values beyond their ttl are given, as Feast gives them, and said to be so."""
    keys = [dict(_keys(wanted, row, number)) for number, row in enumerate(rows, 1)]
    columns = _asked(team, wanted, keys)
    names = _names(wanted, full)
    now = datetime.now(UTC)
    found = [_row(wanted, key, number, columns, names, now) for number, key in enumerate(keys)]
    return OnlineFeatures(rows=found, notes=[*_notes(found), *_never(wanted)])


def _keys(wanted: Asked, row: Mapping[str, JsonValue], number: int) -> Iterator[tuple[str, JsonValue]]:
    for name, kind in wanted.keys.items():
        if name not in row:
            raise ToolFailure(f"row {number} has no {name}", f"The views have the keys {', '.join(wanted.keys)}.")
        given = row[name]
        key = typed_key(kind, given) if kind in ("string", "int64", "int32") else given
        if key is None:
            raise ToolFailure(f"row {number}: {name} is {kind}, not {given!r}"[:300], "Pass that type.")
        yield name, key


def _asked(team: Team, wanted: Asked, keys: Sequence[Mapping[str, JsonValue]]) -> dict[str, Column]:
    from feast.type_map import feast_value_type_to_python_type

    if not wanted.keys:
        raise ToolFailure("these views have no key", "get_historical_features joins them to rows.")
    _require_file(team)
    try:
        proto = team.store.get_online_features(
            features=wanted.features, entity_rows=list(keys), full_feature_names=True
        ).proto
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        raise ToolFailure("the team's online store has no table of these views", "They were not applied.") from error
    return {
        name: Column(
            [feast_value_type_to_python_type(value) for value in result.values],
            [_is_held(*each) for each in zip(result.statuses, result.values, result.event_timestamps, strict=True)],
            [stamp.seconds for stamp in result.event_timestamps],
        )
        for name, result in zip(proto.metadata.feature_names.val, proto.results, strict=True)
    }


def _is_held(status: int, value: Any, stamp: Any) -> bool:
    """Of a key that Redis does not hold Feast says that it is there, without a value and a time."""
    return status != NOT_FOUND and bool(stamp.seconds or value.WhichOneof("val"))


def _require_file(team: Team) -> None:
    """Feast would make the file of its SQLite store by looking into it."""
    if team.configured.online["type"] != "sqlite":
        return
    file = team.configured.folder / Path(team.store.config.online_store.path)
    if not file.is_file():
        raise ToolFailure(f"there is no online store yet: {file}", "The team's feast materialize makes it.")


def _names(wanted: Asked, full: bool) -> dict[str, str]:
    """Feast's full name of a feature -> that in the answer, with its view where two share one, or always."""
    every = [name for part in wanted.parts for name in part.features]
    return {
        f"{part.called}__{name}": f"{part.called}__{name}" if full or every.count(name) > 1 else name
        for part in wanted.parts
        for name in part.features
    }


def _row(
    wanted: Asked,
    key: Mapping[str, JsonValue],
    number: int,
    columns: Mapping[str, Column],
    names: Mapping[str, str],
    now: datetime,
) -> OnlineRow:
    states = list[RowStatus]()
    times = dict[str, str | None]()
    for part in wanted.parts:
        state, time = _state(part, [columns[f"{part.called}__{name}"] for name in part.features], number, now)
        states.append(state)
        times[f"features:{part.called}"] = time
    return OnlineRow(
        status=states[0] if len(set(states)) == 1 else "partly",
        key={name: plain(value) for name, value in key.items()},
        values={shown: jsonable(columns[name].values[number]) for name, shown in names.items()},
        as_of=times,
    )


def _state(part: Part, columns: Sequence[Column], number: int, now: datetime) -> tuple[RowStatus, str | None]:
    seconds = [column.seconds[number] for column in columns if column.held[number]]
    if not seconds:
        return "unknown", None
    newest = datetime.fromtimestamp(max(seconds), UTC)
    late = part.view.ttl is not None and now - newest > part.view.ttl
    return "expired" if late else "found", newest.isoformat()


def _notes(rows: Sequence[OnlineRow]) -> list[str]:
    lacking = sum(row.status in ("unknown", "partly") for row in rows)
    late = sum(row.status == "expired" for row in rows)
    notes = [f"{lacking} of {len(rows)} rows lack values: see status"] if lacking else []
    if late:
        notes.append(f"{late} of {len(rows)} rows have values beyond the ttl of their view, given as Feast gives them")
    return notes


def _never(wanted: Asked) -> list[str]:
    names = dict.fromkeys(part.view.handle for part in wanted.parts if part.view.until is None)
    return [f"{', '.join(names)}: no materialization is noted in the team's registry"] if names else []


def jsonable(value: Any) -> JsonValue:
    """A value of any of Feast's types; a number that JSON rounds, and what has no form there, becomes text."""
    if isinstance(value, list | tuple | set):
        return [jsonable(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): jsonable(each) for name, each in value.items()}
    if value is None or isinstance(value, bool | int | float | str | datetime):
        return plain(value)
    return value.hex() if isinstance(value, bytes) else str(exact(value))
