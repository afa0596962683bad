"""Rows of a caller in the online store of a team, through a push source that its repository defines."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from ...errors import ToolFailure, unknown
from ...locks import locked
from ...runtime.work import Work
from ...storage.state_files import private_folder
from ..models import Pushed, PushedView
from ..online import moment, typed_key
from ..registry import PATIENCE_S
from .online import answer
from .repository import Team, opened_team, require_writable
from .views import TeamView

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, JsonValue]
# How far the clock of whoever measured may be ahead of ours.
AHEAD = timedelta(minutes=1)
# The largest number of each kind; beyond it NumPy makes infinity of one.
MOST = {"float64": sys.float_info.max, "float32": (2 - 2**-23) * 2.0**127}
KINDS = ("string", "int64", "int32", "bool", "timestamp", *MOST)


@dataclass(frozen=True)
class Value:
    """A row of one view, with the types of its columns."""

    key: Mapping[str, JsonValue]
    features: Mapping[str, Any]
    time: datetime

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write: Feast skips what has no value."""
        return all(value is None for value in self.features.values())


def push_features(work: Work, source: str, rows: list[dict[str, JsonValue]]) -> Pushed:
    """Write each key's newest row to the views of a push source; what is older than what is online is left out.

    Raises:
        ToolFailure: nobody has allowed to write there, no such source, or a row that does not fit a view.
    """
    require_writable(work.settings)
    now = datetime.now(UTC)
    with opened_team(work) as team:
        views = _views_of(team, source)
        _require_known(views, rows)
        newest = [(view, _newest(view, rows, now)) for view in views]
        pushed = [_pushed(work, team, view, values) for view, values in newest]
    return Pushed(source=source, views=pushed, notes=["written to the team's own online store, which cannot be undone"])


def _views_of(team: Team, source: str) -> list[TeamView]:
    sources: dict[str, list[TeamView]] = {}
    for view in team.catalog.views.values():
        if view.push_source:
            sources.setdefault(view.push_source, []).append(view)
    if source not in sources:
        hint = "list_features names the push source of a view." if sources else "The team's feast apply makes one."
        raise unknown("push source", source, sources, hint)
    return sources[source]


def _require_known(views: Sequence[TeamView], rows: Sequence[Row]) -> None:
    known = {name for view in views for name in (*view.keys, *view.features, view.timestamp)}
    if strange := sorted({name for row in rows for name in row} - known):
        raise unknown("column", strange[0], known)
    features = [name for view in views for name in view.features]
    for number, row in enumerate(rows, 1):
        if all(row.get(name) is None for name in features) and all(name in row for name in features):
            raise ToolFailure(f"row {number} has no value", "Feast writes none without one: leave the row out.")


def _newest(view: TeamView, rows: Sequence[Row], now: datetime) -> list[Value]:
    """The last row of each key that has a value, all of them checked."""
    if not (rows and view.keys):
        raise ToolFailure("there are no rows" if view.keys else f"{view.handle} has no key", "Pass rows with keys.")
    newest: dict[tuple[JsonValue, ...], Value] = {}
    for number, row in enumerate(rows, 1):
        value = _value(view, row, number, now)
        if value.is_empty:
            continue
        key = tuple(value.key.values())
        before = newest.get(key)
        if before and before.time == value.time and before.features != value.features:
            raise ToolFailure(f"row {number} says otherwise of the same key and time", f"Pass {view.timestamp}.")
        if not before or before.time <= value.time:
            newest[key] = value
    return list(newest.values())


def _value(view: TeamView, row: Row, number: int, now: datetime) -> Value:
    for name in (*view.keys, *view.features):
        if name not in row:
            raise ToolFailure(
                f"row {number} has no {name}",
                f"A push replaces a row: pass {', '.join((*view.keys, *view.features))}, null for no value.",
            )
    key = {name: _typed(name, kind, row[name], number) for name, kind in view.keys.items()}
    features = {name: _typed(name, kind, row[name], number) for name, kind in view.features.items()}
    if lacking := [name for name, value in key.items() if value is None]:
        raise ToolFailure(f"row {number}: {lacking[0]} is null", "A key has a value.")
    return Value(key, features, _time(view, row.get(view.timestamp), number, now))


def _time(view: TeamView, given: JsonValue, number: int, now: datetime) -> datetime:
    """When a row became true; now unless it says so."""
    name = f"row {number}: {view.timestamp}"
    if given is not None and not isinstance(given, str):
        raise ToolFailure(f"{name} is not a time", "Write 2024-06-01T12:00:00Z.")
    found = moment(given or "", name) or now
    if found > now + AHEAD:
        raise ToolFailure(f"{name} {found.isoformat()} lies ahead", "It would stand before all that comes until then.")
    return found


def _typed(name: str, kind: str, given: JsonValue, number: int) -> Any:
    """A value in the type of its column; null is one of every type."""
    if kind not in KINDS:
        raise ToolFailure(f"{name} is {kind}, which is not pushed here", f"These are: {', '.join(KINDS)}.")
    if given is None:
        return None
    found: Any = None
    if kind in ("string", "int64", "int32"):
        found = typed_key(kind, given)
    elif kind == "bool" and isinstance(given, bool):
        found = given
    elif kind == "timestamp" and isinstance(given, str) and given:
        found = moment(given, f"row {number}: {name}")
    elif kind in MOST and isinstance(given, int | float) and not isinstance(given, bool):
        found = _finite(given, MOST[kind])
    if found is None:
        raise ToolFailure(f"row {number}: {name} is {kind}, not {given!r}"[:300], "Pass that type.")
    return found


def _finite(given: float, most: float) -> float | None:
    """None of what is no number of the kind: too large for it, or not finite."""
    return float(given) if -most <= given <= most else None


def _pushed(work: Work, team: Team, view: TeamView, values: Sequence[Value]) -> PushedView:
    held = private_folder(work.home / "team_features") / f"{view.name.replace('/', '_')}.writing"
    with locked(held, PATIENCE_S, f"{view.handle} is being written by another process"):
        before = _online(team, view, values) if values else []
        later = [value for value, time in zip(values, before, strict=True) if not time or time <= _seconds(value.time)]
        if later:
            with work.tracer.span("feast push", view=view.name, keys=len(later)):
                for alike in _alike(later):
                    team.store.write_to_online_store(view.name, _frame(view, alike))
            _require_written(team, view, later)
    new = sum(time is None for time in before)
    return PushedView(
        view=view.handle, written=len(later), new=new, replaced=len(later) - new, older=len(values) - len(later)
    )


def _online(team: Team, view: TeamView, values: Sequence[Value]) -> list[datetime | None]:
    """Of when the value of each key is that is online, in seconds, as Feast tells it."""
    found = answer(team, team.catalog.asked([view.name]), [value.key for value in values], full=True)
    return [datetime.fromisoformat(time) if (time := row.as_of[view.handle]) else None for row in found.rows]


def _require_written(team: Team, view: TeamView, values: Sequence[Value]) -> None:
    """Feast says nothing of what it wrote, so it is read again."""
    found = _online(team, view, values)
    missing = sum(time is None or time < _seconds(value.time) for value, time in zip(values, found, strict=True))
    if missing:
        raise ToolFailure(f"{missing} of {len(values)} keys of {view.handle} were not written", "Call it again.")


def _seconds(time: datetime) -> datetime:
    return time.replace(microsecond=0)


def _alike(values: Sequence[Value]) -> list[list[Value]]:
    """Rows with the same gaps: a gap in a column of whole numbers would let Feast round the others."""
    groups: dict[tuple[bool, ...], list[Value]] = {}
    for value in values:
        groups.setdefault(tuple(each is None for each in value.features.values()), []).append(value)
    return list(groups.values())


def _frame(view: TeamView, values: Sequence[Value]) -> pd.DataFrame:
    """As Feast takes them, by the names of the view; whole numbers stay whole."""
    import pandas as pd

    kinds = {"int64": "Int64", "int32": "Int32", "bool": "boolean", "timestamp": "datetime64[us, UTC]"}
    columns: dict[str, pd.Series[Any]] = {
        name: pd.Series([{**value.key, **value.features}[name] for value in values], dtype=kinds.get(kind, kind))
        for name, kind in {**view.keys, **view.features}.items()
    }
    times = pd.Series([value.time for value in values], dtype=kinds["timestamp"])
    now = pd.Series([datetime.now(UTC)] * len(values), dtype=kinds["timestamp"])
    created = {view.created: now} if view.created else {}
    return pd.DataFrame({**columns, **created, view.timestamp: times})
