"""Turn the columns of a dataset into a feature view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ..data.store import Dataset, resolve, save
from ..errors import ToolFailure, unknown
from ..handles import check_name
from ..lineage import Lineage
from ..runtime.work import Work
from .models import DType
from .registry import applying, changing, opened
from .views import (
    EVENT_TIME,
    KEY_TYPES,
    Definition,
    all_views,
    bad_name,
    check_columns,
    dtypes_of,
    find_view,
    write_view,
)

SHORTEST_TTL = timedelta(seconds=1)


def register_view(
    work: Work,
    dataset: str,
    view: str,
    entity: str,
    timestamp: str,
    features: Sequence[str],
    created: str,
    ttl_days: float | None,
    description: str,
) -> tuple[Definition, list[str]]:
    """Register a view over a dataset, and say what was done to its rows.

    Raises:
        ToolFailure: a column that does not exist or that Feast would misread, or a clash with another view.
    """
    if check_name(view, "feature view") == "features":
        raise ToolFailure("a feature view cannot be named 'features'", "It is the prefix of their handles.")
    source = resolve(work, dataset)
    source.require([name for name in (entity, timestamp, created, *features) if name])
    dtypes = dtypes_of(_schema(source))
    _check_roles(source, dtypes, entity, timestamp, created)
    names, skipped = _features(source, dtypes, features, {entity, timestamp, created})
    clean, notes = _without_useless_rows(work, source, view, entity, timestamp, created)
    wanted = Definition(
        name=view,
        dataset=clean.handle,
        path=str(clean.path.absolute()),
        entity=entity,
        entity_type=_known(dtypes[entity]),
        timestamp=timestamp,
        created=created,
        ttl=_ttl(ttl_days),
        features={name: _known(dtypes[name]) for name in names},
        descriptions={},
        description=description,
    )
    with changing(work, view), opened(work) as store:
        notes += _write(work, store, wanted)
    if ttl_days is None:
        notes.append("no ttl_days: a value counts however old it is; joins report the oldest")
    return wanted, [*skipped, *notes]


def _ttl(days: float | None) -> timedelta | None:
    if days is None:
        return None
    ttl = timedelta(days=days)
    if ttl < SHORTEST_TTL:
        raise ToolFailure(f"ttl_days {days:g} is less than a second", "Pass a longer one, or none for no limit.")
    return ttl


def register_one(work: Work, name: str, group: str, entity: str, dtype: DType, description: str) -> Definition:
    """Add a column of a view's dataset to the view.

    Raises:
        ToolFailure: the view has another entity, or its dataset no such column of that type.
    """
    with opened(work) as store:
        view = find_view(store, group)
    with changing(work, view.name), opened(work) as store:
        wider = _wider(work, find_view(store, view.name), name, entity, dtype, description)
        _write(work, store, wider)
    return wider


def _wider(work: Work, view: Definition, name: str, entity: str, dtype: DType, description: str) -> Definition:
    source = resolve(work, view.dataset)
    source.require([name])
    dtypes = dtypes_of(_schema(source))
    check_columns(source, dtypes, [name])
    if entity != view.entity:
        raise ToolFailure(f"{view.handle} is keyed by {view.entity}, not by {entity}", f"Pass entity={view.entity!r}.")
    if name in (view.entity, view.timestamp, view.created):
        raise ToolFailure(f"{name} is the key or a time of {view.handle}", "Name another column.")
    if dtype != dtypes[name]:
        raise ToolFailure(f"column {name} of {source.handle} is {dtypes[name]}, not {dtype}", "Pass its own type.")
    descriptions = dict(view.descriptions) | ({name: description} if description else {})
    return replace(view, features={**view.features, name: dtype}, descriptions=descriptions)


def _write(work: Work, store: Any, wanted: Definition) -> list[str]:
    with applying(work.settings):
        existing = {view.name: view for view in all_views(store)}
        _check_clashes(existing, wanted)
        before = existing.get(wanted.name)
        kept = {name: text for name, text in (before.descriptions if before else {}).items() if name in wanted.features}
        write_view(store, replace(wanted, descriptions={**kept, **wanted.descriptions}))
    lineage = Lineage(work.home)
    lineage.record(wanted.versioned, [wanted.dataset, wanted.handle], "register_features")
    return _changes(before, wanted) if before else []


def _changes(before: Definition, wanted: Definition) -> list[str]:
    notes: list[str] = []
    if gone := [name for name in before.features if name not in wanted.features]:
        notes.append(f"the view no longer has {', '.join(gone)}")
    if before.dataset != wanted.dataset:
        notes.append(f"it was over {before.dataset}; online reads keep those values until materialize_features")
    return notes


def _check_clashes(existing: Mapping[str, Definition], wanted: Definition) -> None:
    for other in existing.values():
        if other.name != wanted.name and other.entity == wanted.entity and other.entity_type != wanted.entity_type:
            raise ToolFailure(
                f"{wanted.entity} is {wanted.entity_type} here, but {other.entity_type} in {other.handle}",
                "Cast the column, or rename it in one of the files.",
            )
    before = existing.get(wanted.name)
    if before is None:
        return
    if before.entity != wanted.entity:
        raise ToolFailure(f"{before.handle} is keyed by {before.entity}", "Register under another view name.")
    changed = [
        name for name in before.features if wanted.features.get(name, before.features[name]) != before.features[name]
    ]
    if changed or before.entity_type != wanted.entity_type:
        raise ToolFailure(
            f"{before.handle} has other types for {', '.join(changed) or wanted.entity}",
            "Cast the columns, or register under another view name.",
        )


def _check_roles(
    source: Dataset, dtypes: Mapping[str, DType | None], entity: str, timestamp: str, created: str
) -> None:
    check_columns(source, dtypes, [entity])
    if dtypes[entity] not in KEY_TYPES:
        raise ToolFailure(f"the key {entity} is {dtypes[entity]}", "A key is a whole number or a text.")
    for name in (timestamp, *([created] if created else [])):
        if dtypes[name] != "timestamp":
            times = [column for column, kind in dtypes.items() if kind == "timestamp"]
            raise unknown(f"time column of {source.handle}", name, times)
        if reason := bad_name(name, dtypes):
            raise ToolFailure(f"{name!r} cannot name a time column: {reason}", "Rename it with query_dataset.")
    if len({entity, timestamp, created}) < 3:
        raise ToolFailure("key, time and created time are three columns", "Name each once.")


def _features(
    source: Dataset, dtypes: Mapping[str, DType | None], asked: Sequence[str], roles: set[str]
) -> tuple[list[str], list[str]]:
    """The columns to register, and a note on those that cannot be."""
    if asked:
        if taken := [name for name in asked if name in roles or name == EVENT_TIME]:
            raise ToolFailure(f"{taken[0]} is the key or a time", "Leave it out of features.")
        check_columns(source, dtypes, asked)
        return list(dict.fromkeys(asked)), []
    others = [name for name in source.info.columns if name not in roles and name != EVENT_TIME]
    usable = [name for name in others if dtypes[name] is not None and not bad_name(name, dtypes)]
    if not usable:
        raise ToolFailure(f"{source.handle} has no other column that can be a feature", "Check its names and types.")
    skipped = [name for name in others if name not in usable]
    return usable, [f"left out for their name or type: {', '.join(skipped)}"] if skipped else []


def _without_useless_rows(
    work: Work, source: Dataset, view: str, entity: str, timestamp: str, created: str
) -> tuple[Dataset, list[str]]:
    """Drop rows that no join can reach, and all but the last of those between which it would choose at random.

    A value whose created time is missing was never known.
    """
    import numpy as np
    import pyarrow as pa

    names = [name for name in (entity, timestamp, created) if name]
    table = source.table(names)
    present = np.ones(table.num_rows, dtype=bool)
    for name in names:
        present &= table.column(name).is_valid().to_numpy()
    rows = table.filter(pa.array(present)).to_pandas()
    kept = present.copy()
    kept[present] = ~rows.duplicated(names, keep="last").to_numpy()
    if not kept.any():
        raise ToolFailure(f"no row of {source.handle} has all of {', '.join(names)}", "Name other columns.")
    if kept.all():
        return source, []
    clean = save(work, source.table().filter(pa.array(kept)), f"{view}_rows"[:63], [source.handle], "register_features")
    lost, repeated = int((~present).sum()), int(present.sum() - kept.sum())
    notes = [f"{lost} rows without {' or '.join(names)} dropped: no join can reach them"] if lost else []
    if repeated:
        notes.append(f"{repeated} rows repeat {', '.join(names)}: the last of each in file order is kept")
    return clean, notes


def _schema(source: Dataset) -> Any:
    import pyarrow.parquet as pq

    return pq.read_schema(source.path)


def _known(dtype: DType | None) -> DType:
    assert dtype is not None
    return dtype
