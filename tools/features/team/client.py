"""The tools of the features slice over a team's repository."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from ...data.store import save_parts
from ...errors import ToolFailure
from ...locks import locked
from ...paging import Page, page
from ...runtime.work import Work
from ...storage.state_files import private_folder
from ..history import parts, rows_of, summary
from ..models import (
    DType,
    FeatureJoin,
    FeatureStatistics,
    JoinRequest,
    Materialized,
    MaterializedView,
    MaterializeRequest,
    OnlineFeatures,
    View,
    ViewStatistics,
)
from ..online import moment
from ..registry import PATIENCE_S
from ..statistics import describe
from ..values import in_utc
from ..views import FEAST_NAMES
from .joining import join, output_names
from .online import answer
from .repository import Team, note_interval, opened_team, require_writable
from .rows import all_rows, newest_rows
from .views import TeamView, shown, shown_service

if TYPE_CHECKING:
    import pyarrow as pa

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CREATED = "only values that were created by a row's time are joined (Feast's filter_by_created_timestamp)"
UNSAID = "why a row got no value is not told by Feast"
# Keys that are read again once they are written.
TRIED = 5
# A key of each type that nobody needs to have: whether a store answers is what is asked.
NO_KEY: Mapping[str, JsonValue] = {"string": "", "int64": 0, "int32": 0}


def list_features(work: Work, view: str, limit: int, cursor: str) -> Page[View]:
    with opened_team(work) as team:
        if view and view.removeprefix("features:") not in team.catalog.services:
            items = [shown(team.catalog.view(view))]
        elif view:
            items = [shown_service(team.catalog.services[view.removeprefix("features:")])]
        else:
            items = [*map(shown, team.catalog.views.values()), *map(shown_service, team.catalog.services.values())]
        part = page(items, limit, cursor)
        if part.items and not view and team.catalog.notes:
            part.items[0] = part.items[0].model_copy(update={"notes": [*part.items[0].notes, *team.catalog.notes]})
    return Page(items=part.items, total=part.total, next_cursor=part.next_cursor)


def look_into(work: Work) -> None:
    """Read the registry, and of the online store one key of one view.

    Raises:
        Unavailable: either cannot be reached.
    """
    with opened_team(work) as team:
        for view in team.catalog.views.values():
            key = {name: NO_KEY.get(kind) for name, kind in view.keys.items()}
            if view.until and key and None not in key.values():
                answer(team, team.catalog.asked([view.name]), [key], full=True)
                return


def get_historical_features(work: Work, request: JoinRequest) -> FeatureJoin:
    """A new dataset: all rows and columns of the old one, and what Feast joins to them."""
    rows, full = rows_of(work, request.dataset, request.timestamp_column), request.full_feature_names
    with opened_team(work) as team:
        wanted = team.catalog.asked(request.features)
        names = output_names(rows, wanted, full)
        joined, matches = join(work, team, rows, wanted, names, full)
    added = [name for part in names for name in part]
    handles = list(dict.fromkeys(part.view.handle for part in wanted.parts))
    called = request.name or f"{rows.source.name}_features"[:63]
    made = save_parts(
        work, parts(work, rows, [(joined, added)]), called, [rows.source.handle, *handles], "get_historical_features"
    )
    created = any(part.view.created for part in wanted.parts)
    return FeatureJoin(
        dataset=made.handle,
        rows=made.info.rows,
        added=[summary(name, made.table([name]).column(name)) for name in added[:40]],
        views=matches,
        notes=[f"values as of {rows.time}, by Feast over the team's sources", *([CREATED] if created else []), UNSAID],
        undo=made.info.undo,
    )


def get_online_features(
    work: Work, features: Sequence[str], rows: Sequence[Mapping[str, JsonValue]], full: bool
) -> OnlineFeatures:
    with opened_team(work) as team:
        return answer(team, team.catalog.asked(features), rows, full)


def get_feature_statistics(work: Work, view: str, limit: int, cursor: str) -> ViewStatistics:
    with opened_team(work) as team:
        found = team.catalog.view(view)
        part = page(list(found.features), limit, cursor)
        table = all_rows(work, team, found, part.items)
    frame, keys = table.to_pandas(types_mapper=_whole()), list(found.keys)
    first, last = _ends(found, table)
    return ViewStatistics(
        view=found.handle,
        dataset="",
        rows=len(frame),
        keys=len(frame[keys].drop_duplicates()) if keys else 1,
        first=first.isoformat(),
        last=last.isoformat(),
        age_days=round((datetime.now(UTC) - last).total_seconds() / 86400, 2),
        features=[_described(frame, name, found.features[name]) for name in part.items],
        notes=[f"over all rows of the team's source {found.source}"],
        next_cursor=part.next_cursor,
    )


def _ends(view: TeamView, table: pa.Table) -> tuple[datetime, datetime]:
    """From when to when there are values."""
    from pyarrow import compute

    arrow: Any = compute
    found: dict[str, datetime | None] = arrow.min_max(in_utc(table.column(view.timestamp))).as_py()
    first, last = found["min"], found["max"]
    if first is None or last is None:
        raise ToolFailure(f"{view.handle} has no rows with a time", f"Its source is {view.source}.")
    return first, last


def materialize_features(work: Work, request: MaterializeRequest) -> Materialized:
    """Have Feast copy the newest values of views to the team's online store."""
    require_writable(work.settings)
    start, end = moment(request.start, "start"), moment(request.end, "end")
    done = Materialized(views=[], notes=["written to the team's own online store, which cannot be undone"])
    with opened_team(work) as team:
        names = request.views or [view.name for view in team.catalog.views.values() if view.online]
        views = [team.catalog.view(name) for name in dict.fromkeys(names)]
        if not views:
            raise ToolFailure("the repository has no view for the online store", "feast apply makes one.")
        for number, view in enumerate(views):
            work.progress(number, len(views), f"view {number + 1} of {len(views)}: {view.name}")
            done.views.append(_materialized(work, team, view, start or EPOCH, end or datetime.now(UTC)))
    work.progress(len(views), len(views), "done")
    return done


def _materialized(work: Work, team: Team, view: TeamView, start: datetime, end: datetime) -> MaterializedView:
    began = time.perf_counter()
    if not view.online:
        raise ToolFailure(f"{view.handle} is not meant for the online store", "The team has set online=False.")
    if view.until and end < view.until:
        raise ToolFailure(
            f"{view.handle} is online up to {view.until.isoformat()}; older values would replace newer ones",
            "Pass a later end, or none.",
        )
    held = private_folder(work.home / "team_features") / f"{view.name.replace('/', '_')}.writing"
    with locked(held, PATIENCE_S, f"{view.handle} is being materialized by another process"):
        newest = newest_rows(work, team, view, start, end)
        if not newest.num_rows:
            said = f"{view.handle} has no value from {start.isoformat()} to {end.isoformat()}"
            raise ToolFailure(said, "get_feature_statistics shows from when to when it has.")
        with work.tracer.span("feast materialize", view=view.name, keys=newest.num_rows):
            team.store.materialize(start, end, [view.name])
        _require_written(team, view, newest)
        note_interval(team, view.name, start, end)
    return MaterializedView(
        view=view.handle,
        dataset="",
        start=start.isoformat(),
        end=end.isoformat(),
        keys=newest.num_rows,
        left_out_after_end=None,
        seconds=round(time.perf_counter() - began, 2),
    )


def _require_written(team: Team, view: TeamView, newest: pa.Table) -> None:
    """Feast says nothing of what it wrote, so some keys are read again."""
    if not view.keys:
        return
    rows: list[dict[str, Any]] = newest.select(list(view.keys)).slice(0, TRIED).to_pylist()
    rows = [row for row in rows if None not in row.values()]
    if not rows:
        return
    wanted = team.catalog.asked([view.name])
    if missing := sum(row.status == "unknown" for row in answer(team, wanted, rows, full=True).rows):
        raise ToolFailure(f"{missing} of {len(rows)} keys of {view.handle} were not written", "Call it again.")


def _described(frame: Any, name: str, dtype: str) -> FeatureStatistics:
    kinds: dict[str, DType] = {each: each for each in FEAST_NAMES}
    if ours := kinds.get(dtype):
        return describe(frame[name], ours)
    return FeatureStatistics(name=name, dtype=dtype, missing=int(frame[name].isna().sum()), unique=None)


def _whole() -> Any:
    """Whole numbers stay whole, holes or not."""
    import pandas as pd
    import pyarrow as pa

    return {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}.get
