"""Rows of a team's sources, read by its own offline store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...runtime.work import Work
from .joining import own_database, with_times
from .repository import Team
from .views import TeamView

if TYPE_CHECKING:
    import pyarrow as pa

# Without a window Feast asks PostgreSQL for rows where nothing is said, which is no SQL.
EVER = {"start_date": "-infinity", "end_date": "infinity"}


def all_rows(work: Work, team: Team, view: TeamView, features: Sequence[str]) -> pa.Table:
    """Keys, time and some features of every row, older versions of a key included, by their names in the view."""
    window = EVER if team.configured.offline["type"] == "postgres" else {}
    return _pulled(work, team, view, features, "pull_all_from_table_or_query", window)


def newest_rows(work: Work, team: Team, view: TeamView, start: datetime, end: datetime) -> pa.Table:
    """What Feast would write online: the newest row of each key in the window."""
    window = {"start_date": start, "end_date": end}
    return _pulled(work, team, view, list(view.features), "pull_latest_from_table_or_query", window)


def _pulled(
    work: Work, team: Team, view: TeamView, features: Sequence[str], how: str, window: Mapping[str, datetime | str]
) -> pa.Table:
    from feast.infra.offline_stores.offline_utils import get_offline_store_from_config

    source: Any = team.store.get_feature_view(view.name).batch_source
    given: dict[str, str] = dict(source.field_mapping)
    column = {called: name for name, called in given.items()}
    store: Any = get_offline_store_from_config(team.store.config.offline_store)
    with own_database(work, team):
        table: pa.Table = getattr(store, how)(
            config=team.store.config,
            data_source=source,
            join_key_columns=[column.get(key, key) for key in view.keys],
            feature_name_columns=[column.get(name, name) for name in features],
            timestamp_field=column.get(view.timestamp, view.timestamp),
            created_timestamp_column=column.get(view.created, view.created) or None,
            **window,
        ).to_arrow()
    called = table.rename_columns([given.get(name, name) for name in table.column_names])
    return with_times(called, [view.timestamp, *(name for name in features if view.features[name] == "timestamp")])
