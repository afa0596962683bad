"""Register features, join them to rows as of a time, and serve their newest values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue

from ...config.feast_file import is_repository
from ..data.store import save_parts
from ..errors import ToolFailure
from ..paging import Page, page
from ..runtime.work import Work
from ..undo import deletes
from .history import Rows, gather, match, output_names, parts, rows_of, summary
from .models import (
    DType,
    FeatureJoin,
    JoinRequest,
    Materialized,
    MaterializeRequest,
    OnlineFeatures,
    Pushed,
    View,
    ViewMatch,
    ViewStatistics,
)
from .online import MAX_ROWS, keys_of, materialize, moment, online_row, reading_notes, written
from .register import Registered, register_one, register_view
from .registry import is_unused, opened, registered
from .statistics import describe
from .team import client as team
from .team import pushing as team_pushing
from .values import read
from .views import Definition, all_views, find_view, requested

LISTED_FEATURES = 20
LISTED_COLUMNS = 40


def register_features(
    work: Work,
    dataset: str,
    view: str,
    entity: str,
    timestamp_column: str,
    features: list[str],
    created_timestamp_column: str,
    ttl_days: float | None,
    description: str,
) -> View:
    made = register_view(
        work, dataset, view, entity, timestamp_column, features, created_timestamp_column, ttl_days, description
    )
    return _registered(work, made)


def register_feature(work: Work, name: str, group: str, entity: str, dtype: DType, description: str) -> View:
    return _registered(work, register_one(work, name, group, entity, dtype, description))


def _registered(work: Work, made: Registered) -> View:
    return _shown(work, made.view, list(made.notes)).model_copy(update={"undo": made.undo})


def list_features(work: Work, view: str, limit: int, cursor: str) -> Page[View]:
    """All views in brief, or one in full; a store that nobody has used is left unmade."""
    if is_repository(work.settings):
        return team.list_features(work, view, limit, cursor)
    if is_unused(work) and not view:
        return Page(items=[], total=0)
    with opened(work) as store:
        views = [find_view(store, view)] if view else all_views(store)
    part = page(views, limit, cursor)
    shown = [_shown(work, item) if view else _shortened(_shown(work, item)) for item in part.items]
    return Page(items=shown, total=part.total, next_cursor=part.next_cursor)


def get_historical_features(work: Work, request: JoinRequest) -> FeatureJoin:
    """A new dataset: all rows and columns of the old one, and the features beside them."""
    if is_repository(work.settings):
        return team.get_historical_features(work, request)
    rows = rows_of(work, request.dataset, request.timestamp_column)
    with opened(work) as store:
        wanted = requested(all_views(store), request.features)
    names = output_names(rows, wanted, request.full_feature_names)
    found = [match(work, rows, view) for view, _ in wanted]
    joined = [gather(view, chosen, each.places) for (view, chosen), each in zip(wanted, found, strict=True)]
    parents = [rows.source.handle, *(view.versioned for view, _ in wanted)]
    called = request.name or f"{rows.source.name}_features"[:63]
    beside = list(zip(joined, names, strict=True))
    made = save_parts(work, parts(work, rows, beside), called, parents, "get_historical_features")
    matches, added = [each.report for each in found], [name for part in names for name in part]
    return FeatureJoin(
        dataset=made.handle,
        rows=made.info.rows,
        added=[summary(column, made.table([column]).column(column)) for column in added[:LISTED_COLUMNS]],
        views=matches,
        notes=[*_join_notes(rows, wanted, matches), *_unlisted(added, made.handle)],
        undo=made.info.undo,
    )


def materialize_features(work: Work, request: MaterializeRequest) -> Materialized:
    """Copy the newest values of views to the online store."""
    if is_repository(work.settings):
        return team.materialize_features(work, request)
    start, end = moment(request.start, "start"), moment(request.end, "end")
    if start and start > (end or datetime.now(UTC)):
        raise ToolFailure(f"start {request.start} is after end {request.end or 'now'}", "Swap them.")
    done = Materialized(views=[])
    with opened(work) as store:
        views = [find_view(store, name) for name in dict.fromkeys(request.views)] or all_views(store)
        if not views:
            raise ToolFailure("there is no feature view yet", "register_features makes one.")
        new = not any(written(work.settings, view.name) for view in views)
        done.undo = deletes(*(f"online:{view.name}" for view in views)) if new else None
        for number, view in enumerate(views):
            work.progress(number, len(views), f"view {number + 1} of {len(views)}: {view.name}")
            done.notes += _kept_keys(work, view)
            made, notes = materialize(work, store, view.name, start, end)
            done.views.append(made)
            done.notes += notes
    work.progress(len(views), len(views), "done")
    return done


def push_features(work: Work, source: str, rows: list[dict[str, JsonValue]]) -> Pushed:
    """Only the repository of a team has push sources: what is registered here comes from datasets."""
    if not is_repository(work.settings):
        raise ToolFailure(
            "there is no Feast repository with push sources", "register_features and materialize_features bring values."
        )
    return team_pushing.push_features(work, source, rows)


def get_online_features(
    work: Work, features: list[str], rows: list[dict[str, JsonValue]], full_feature_names: bool = False
) -> OnlineFeatures:
    if not 1 <= len(rows) <= MAX_ROWS:
        raise ToolFailure(f"{len(rows)} rows", f"Ask for 1 to {MAX_ROWS} rows at a time.")
    if is_repository(work.settings):
        return team.get_online_features(work, features, rows, full_feature_names)
    with opened(work) as store:
        wanted = requested(registered(work, store), features)
        notes = [note for view, _ in wanted for note in _freshness(work, view)]
        columns = _online_names(wanted, full_feature_names)
        found = [read(store, view, names, keys_of(view, rows)) for view, names in wanted]
    answers = [
        online_row(
            row, [(view, columns[view.name], part[number]) for (view, _), part in zip(wanted, found, strict=True)]
        )
        for number, row in enumerate(rows)
    ]
    for (view, names), part in zip(wanted, found, strict=True):
        notes += reading_notes(view, names, part)
    lacking = sum(answer.status != "found" for answer in answers)
    notes += [f"{lacking} of {len(rows)} rows lack values: see status"] if lacking else []
    return OnlineFeatures(rows=answers, notes=notes)


def get_feature_statistics(work: Work, view: str, limit: int, cursor: str) -> ViewStatistics:
    if is_repository(work.settings):
        return team.get_feature_statistics(work, view, limit, cursor)
    with opened(work) as store:
        definition = find_view(store, view)
    part = page(list(definition.features), limit, cursor)
    frame = definition.frame([definition.entity, definition.timestamp, *part.items])
    times = frame[definition.timestamp].dt.tz_localize(None).dt.tz_localize("UTC")
    return ViewStatistics(
        view=definition.handle,
        dataset=definition.dataset,
        rows=len(frame),
        keys=int(frame[definition.entity].nunique()),
        first=times.min().isoformat(),
        last=times.max().isoformat(),
        age_days=round((datetime.now(UTC) - times.max()).total_seconds() / 86400, 2),
        features=[describe(frame[name], definition.features[name]) for name in part.items],
        notes=["over all rows, older versions of a key included"]
        if frame[definition.entity].duplicated().any()
        else [],
        next_cursor=part.next_cursor,
    )


def _shown(work: Work, view: Definition, notes: list[str] | None = None) -> View:
    online = written(work.settings, view.name)
    return View(
        view=view.handle,
        dataset=view.dataset,
        entity=view.entity,
        entity_type=view.entity_type,
        timestamp_column=view.timestamp,
        created_timestamp_column=view.created or None,
        ttl_days=view.ttl.total_seconds() / 86400 if view.ttl else None,
        features=dict(view.features),
        description=view.description,
        feature_descriptions=dict(view.descriptions) or None,
        online_until=online.end.isoformat() if online else None,
        notes=notes or [],
    )


def _shortened(view: View) -> View:
    more = len(view.features) - LISTED_FEATURES
    if more <= 0:
        return view
    notes = [*view.notes, f"{more} more features: list_features(view={view.view!r})"]
    return view.model_copy(update={"features": dict(list(view.features.items())[:LISTED_FEATURES]), "notes": notes})


def _join_notes(rows: Rows, wanted: Sequence[tuple[Definition, list[str]]], matches: Sequence[ViewMatch]) -> list[str]:
    total = rows.source.info.rows
    views = [view for view, _ in wanted]
    created = [view.name for view in views if view.created]
    limits = "; a value exactly as old as its ttl still counts" if any(view.ttl for view in views) else ""
    return [
        f"values as of {rows.time}, those of that very moment included{limits}",
        *([f"{', '.join(created)}: only values created by then, that moment included"] if created else []),
        *(
            f"{view.handle} is made of these same rows, so a row may be given its own outcome"
            for view in views
            if view.dataset == rows.source.handle
        ),
        *(_match_notes(match, total) for match in matches if match.matched < total or match.created_later),
    ]


def _match_notes(match: ViewMatch, total: int) -> str:
    parts: list[str] = []
    if match.matched < total:
        parts.append(f"{total - match.matched} of {total} rows got no value and are null")
    if match.created_later:
        parts.append(f"{match.created_later} rows did not get a newer value, as it was created only after their time")
    return f"{match.view}: {'; '.join(parts)}"


def _unlisted(added: Sequence[str], dataset: str) -> list[str]:
    more = len(added) - LISTED_COLUMNS
    return [f"{more} more columns were added: describe_dataset({dataset!r})"] if more > 0 else []


def _freshness(work: Work, view: Definition) -> list[str]:
    online = written(work.settings, view.name)
    if online is None:
        raise ToolFailure(
            f"{view.handle} was never materialized, so it has no online values",
            f"materialize_features(views=['{view.name}']) writes them.",
        )
    if online.dataset == view.dataset:
        return []
    return [f"{view.handle}: online values are still those of {online.dataset}; materialize_features renews them"]


def _kept_keys(work: Work, view: Definition) -> list[str]:
    before = written(work.settings, view.name)
    if before is None or before.dataset == view.dataset:
        return []
    return [f"{view.handle}: keys that only {before.dataset} had keep their old online values"]


def _online_names(wanted: list[tuple[Definition, list[str]]], full: bool) -> Mapping[str, dict[str, str]]:
    """view -> feature -> its name in the answer, with the view in front where two views share a name, or always."""
    every: list[Any] = [name for _, names in wanted for name in names]
    return {
        view.name: {name: name if every.count(name) == 1 and not full else f"{view.name}__{name}" for name in names}
        for view, names in wanted
    }
