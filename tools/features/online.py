"""Copy the newest values to the online store, and answer with what it holds."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue

from ...config.settings import Settings
from ..errors import ToolFailure
from ..numbers import exact, finite
from ..runtime.work import Work
from ..storage.state_files import replaced
from .known import asking, newest, window
from .models import MaterializedView, OnlineRow, RowStatus
from .registry import changing, online_keys
from .values import Stored, write
from .views import Definition, find_view

MAX_ROWS = 100
DIGITS = re.compile(r"-?[0-9]{1,19}", re.ASCII)


class Written(BaseModel):
    """What the online store holds of a view: the source and the end of its last materialisation."""

    dataset: str
    end: datetime


def written(settings: Settings, view: str) -> Written | None:
    """None when the view was never materialised."""
    with suppress(FileNotFoundError):
        return Written.model_validate_json(mark_of(settings, view).read_bytes())
    return None


def materialize(
    work: Work, store: Any, name: str, start: datetime | None, end: datetime | None
) -> tuple[MaterializedView, list[str]]:
    """Write the newest value of every key in the window, which ends now at the latest, and say what was not taken.

    Raises:
        ToolFailure: the window is empty, or would put older values over newer ones.
    """
    began = time.perf_counter()
    with changing(work, name):
        now = datetime.now(UTC)
        last, view = min(end or now, now), find_view(store, name)
        with asking(work) as connection:
            values = window(connection, view, last, now)
            first = start or values.first
            chosen = newest(connection, view, first, last, now)
        if not len(chosen):
            raise ToolFailure(
                f"{view.handle} has no value from {first.isoformat()} to {last.isoformat()} that is known by now",
                f"Its values are from {values.first.isoformat()} to {values.last.isoformat()}.",
            )
        before = written(work.settings, view.name)
        # An end that still lies ahead is one of a version that took such.
        if before and last < min(before.end, now):
            raise ToolFailure(
                f"{view.handle} is online up to {before.end.isoformat()}; older values would replace newer ones",
                "Pass a later end, or none.",
            )
        with work.tracer.span("write online", view=view.name, keys=len(chosen)):
            write(work, store, view, chosen, first, last)
        if (found := online_keys(work.settings, view.name)) < len(chosen):
            raise ToolFailure(f"only {found} of {len(chosen)} keys of {view.handle} were written", "Call it again.")
        _remember(work.settings, view, last)
    made = MaterializedView(
        view=view.handle,
        dataset=view.dataset,
        start=first.isoformat(),
        end=last.isoformat(),
        keys=len(chosen),
        left_out_after_end=values.after,
        seconds=round(time.perf_counter() - began, 2),
    )
    return made, _not_yet(view, values.ahead, end, now)


def _not_yet(view: Definition, ahead: int, end: datetime | None, now: datetime) -> list[str]:
    notes = [f"{view.handle}: end lies ahead, so values up to now were taken"] if end and end > now else []
    return [*notes, f"{view.handle}: {ahead} values with a created time ahead were left out"] if ahead else notes


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
    """The key of each row; a whole number may come as text, which is how it survives every client.

    Raises:
        ToolFailure: a row has none, or one of another type.
    """
    keys: list[JsonValue] = []
    for number, row in enumerate(rows, 1):
        if view.entity not in row:
            raise ToolFailure(
                f"row {number} has no {view.entity}, the key of {view.handle}", f"It has {', '.join(row)}."
            )
        key = typed_key(view.entity_type, row[view.entity])
        if key is None:
            raise ToolFailure(
                f"row {number}: {view.entity} is {view.entity_type}, not {row[view.entity]!r}", "Pass that type."
            )
        keys.append(key)
    return keys


def typed_key(kind: str, given: JsonValue) -> JsonValue:
    """The key in the type of its column; None if it is none."""
    if kind == "string":
        return given if isinstance(given, str) else None
    if isinstance(given, str) and DIGITS.fullmatch(given):
        given = int(given)
    bits = 31 if kind == "int32" else 63
    return given if type(given) is int and -(2**bits) <= given < 2**bits else None


def online_row(
    row: Mapping[str, JsonValue], parts: Sequence[tuple[Definition, Mapping[str, str], Stored | None]]
) -> OnlineRow:
    """One answer from what each view has for the row; values beyond their ttl are not given, as in a join."""
    states: list[RowStatus] = []
    values: dict[str, JsonValue] = {}
    times: dict[str, str | None] = {}
    for view, columns, stored in parts:
        late = stored is not None and view.ttl is not None and datetime.now(UTC) - stored.time > view.ttl
        states.append("unknown" if stored is None else "expired" if late else "found")
        times[view.handle] = stored.time.isoformat() if stored else None
        usable = stored.values if stored and not late else {}
        values |= {column: plain(usable.get(feature)) for feature, column in columns.items()}
    status: RowStatus = states[0] if len(set(states)) == 1 else "partly"
    keys = {view.entity: plain(row[view.entity]) for view, _, _ in parts}
    return OnlineRow(status=status, key=keys, values=values, as_of=times)


def reading_notes(view: Definition, names: Sequence[str], found: Sequence[Stored | None]) -> list[str]:
    """What a reader of the values has to know about them."""
    known = [stored.values for stored in found if stored]
    added = [name for name in names if known and not any(name in values for values in known)]
    notes = [f"{view.handle}: {', '.join(added)} was not materialized yet, so it is null"] if added else []
    if any(exact(value) != value for values in known for value in values.values()):
        notes.append(f"{view.handle}: whole numbers beyond 2**53 are given as text")
    return notes


def plain(value: Any) -> JsonValue:
    """A value as JSON has it."""
    if isinstance(value, float):
        return finite(value)
    return value.isoformat() if isinstance(value, datetime) else exact(value)


def _remember(settings: Settings, view: Definition, end: datetime) -> None:
    replaced(mark_of(settings, view.name), Written(dataset=view.dataset, end=end).model_dump_json().encode())


def mark_of(settings: Settings, view: str) -> Path:
    return settings.feast_home / "materialized" / f"{settings.feast.project}.{view}.json"
