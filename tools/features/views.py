"""Feature views as plain data, read from the registry and written to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

from ..data.store import Dataset
from ..errors import ToolFailure, unknown
from ..handles import parse
from .models import DType

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

EVENT_TIME = "event_timestamp"
COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
DATASET_TAG = "dataset"
TTL_TAG = "ttl_seconds"
DAY = timedelta(days=1)
# Arrow's name of a type -> ours. Feast fails on all others, or reads them as JSON.
DTYPES: Mapping[str, DType] = {
    "int8": "int32", "int16": "int32", "int32": "int32", "uint8": "int32", "uint16": "int32",
    "int64": "int64", "uint32": "int64",
    "float": "float32", "double": "float64", "string": "string", "bool": "bool",
    "timestamp[us]": "timestamp", "timestamp[us, tz=UTC]": "timestamp",
}  # fmt: skip
FEAST_NAMES: Mapping[DType, str] = {
    "int32": "Int32",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
    "string": "String",
    "bool": "Bool",
    "timestamp": "UnixTimestamp",
}
KEY_TYPES = ("int32", "int64", "string")


@dataclass(frozen=True)
class Definition:
    """A feature view; `ttl` None means that a value never gets too old.

    `path` is empty, and it cannot be joined or materialized, if it is over something else than a file.
    """

    name: str
    dataset: str
    path: str
    entity: str
    entity_type: DType
    timestamp: str
    created: str
    ttl: timedelta | None
    features: Mapping[str, DType]
    descriptions: Mapping[str, str]
    description: str

    @property
    def handle(self) -> str:
        return f"features:{self.name}"

    @property
    def versioned(self) -> str:
        """The view over the dataset it reads now, as a node of the lineage."""
        return f"{self.handle}@{parse(self.dataset, 'dataset').version}" if self.dataset else self.handle

    def frame(self, columns: Sequence[str]) -> pd.DataFrame:
        """Columns of the view's file; whole numbers stay whole, holes or not."""
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}
        return pq.read_table(self.path, columns=list(columns)).to_pandas(types_mapper=kinds.get)


def all_views(store: Any) -> list[Definition]:
    return sorted((_read(view) for view in store.list_feature_views()), key=lambda view: view.name)


def find_view(store: Any, text: str) -> Definition:
    """The view behind `features:<view>` or its bare name.

    Raises:
        ToolFailure: there is no such view.
    """
    return named(all_views(store), text)


def named(views: Sequence[Definition], text: str) -> Definition:
    """The one of these views that `find_view` finds."""
    name = parse(text, "features").name
    for view in views:
        if view.name == name:
            return view
    raise unknown("feature view", text, (view.name for view in views), "register_features makes one.")


def requested(views: Sequence[Definition], references: Sequence[str]) -> list[tuple[Definition, list[str]]]:
    """Those of the views that `view:feature` references name, each with its features, in the order of the request.

    A view without a feature stands for all of its features.

    Raises:
        ToolFailure: nothing is requested, or a view or feature does not exist.
    """
    if not references:
        raise ToolFailure("no features are requested", "Pass e.g. ['view:feature'], or ['view'] for all of a view.")
    found: dict[str, tuple[Definition, list[str]]] = {}
    for reference in references:
        view_name, _, feature = reference.removeprefix("features:").partition(":")
        view = found[view_name][0] if view_name in found else named(views, view_name)
        if feature and feature != "*" and feature not in view.features:
            raise unknown(f"feature of {view.name}", feature, view.features)
        names = found.setdefault(view_name, (view, []))[1]
        wanted = [feature] if feature and feature != "*" else list(view.features)
        names.extend(name for name in wanted if name not in names)
    return list(found.values())


def write_view(store: Any, view: Definition) -> None:
    """Register a view, its entity and its source; the same view again changes nothing."""
    import feast
    from feast import types, value_type

    def field(name: str, dtype: DType) -> Any:
        return feast.Field(
            name=name, dtype=getattr(types, FEAST_NAMES[dtype]), description=view.descriptions.get(name, "")
        )

    entity = feast.Entity(
        name=view.entity, join_keys=[view.entity], value_type=value_type.ValueType[view.entity_type.upper()]
    )
    source = feast.FileSource(
        name=f"{view.name}_source",
        path=view.path,
        timestamp_field=view.timestamp,
        created_timestamp_column=view.created,
        tags={DATASET_TAG: view.dataset},
    )
    definition = feast.FeatureView(
        name=view.name,
        source=source,
        entities=[entity],
        schema=[field(view.entity, view.entity_type), *(field(name, kind) for name, kind in view.features.items())],
        ttl=_whole_days(view.ttl) if view.ttl else timedelta(0),
        description=view.description,
        tags={DATASET_TAG: view.dataset} | ({TTL_TAG: repr(view.ttl.total_seconds())} if view.ttl else {}),
    )
    store.apply([entity, source, definition])


def forget_view(store: Any, view: Definition) -> None:
    """Take a view out of the registry, with its source, and with its entity unless another view has it."""
    from feast.errors import DataSourceObjectNotFoundException, EntityNotFoundException

    shared = any(other.entity == view.entity for other in all_views(store) if other.name != view.name)
    store.delete_feature_view(view.name)
    with suppress(DataSourceObjectNotFoundException):
        store.registry.delete_data_source(f"{view.name}_source", project=store.project)
    if not shared:
        with suppress(EntityNotFoundException):
            store.registry.delete_entity(view.entity, project=store.project)


def dtypes_of(schema: pa.Schema) -> dict[str, DType | None]:
    """Our name of each column's type, None where Feast cannot take it."""
    return {field.name: DTYPES.get(str(field.type)) for field in schema}


def check_columns(source: Dataset, dtypes: Mapping[str, DType | None], names: Iterable[str]) -> None:
    """Refuse columns whose name or type Feast fails on, or silently misreads, later.

    Raises:
        ToolFailure: such a column.
    """
    for name in names:
        if dtypes[name] is None:
            raise ToolFailure(
                f"column {name} of {source.handle} has a type that features cannot have",
                f"Use {', '.join(get_args(DType))}.",
            )
        if reason := bad_name(name, dtypes):
            raise ToolFailure(
                f"{name!r} cannot name a feature or key: {reason}",
                f'Rename it by query_dataset: SELECT * RENAME ("{name}" AS …) FROM ….',
            )


def bad_name(name: str, columns: Iterable[str]) -> str:
    """What is wrong with a name among the columns of its file; an empty text if nothing is."""
    if COLUMN.fullmatch(name) is None:
        return "names begin with a letter and go on with letters, digits, _ and -, up to 63"
    if name.lower() == "rn" or name.lower().endswith("_y"):
        return "Feast's own join uses this name itself"
    if sum(name.lower() == column.lower() for column in columns) > 1:
        return "another column differs only in upper and lower case, and Feast's own join takes both for one"
    return ""


def _whole_days(ttl: timedelta) -> timedelta:
    """What Feast gets, whose own join cannot take parts of a day: ours is by the exact ttl."""
    return -(-ttl // DAY) * DAY


def _ttl(view: Any) -> timedelta | None:
    exact = view.tags.get(TTL_TAG)
    return timedelta(seconds=float(exact)) if exact else view.ttl or None


def _read(view: Any) -> Definition:
    columns: dict[str, DType] = {column.name: _dtype(column) for column in view.entity_columns}
    entity = next(iter(columns), "")
    return Definition(
        name=view.name,
        dataset=view.tags.get(DATASET_TAG, ""),
        path=getattr(view.batch_source, "path", ""),
        entity=entity,
        entity_type=columns.get(entity, "string"),
        timestamp=view.batch_source.timestamp_field,
        created=view.batch_source.created_timestamp_column or "",
        ttl=_ttl(view),
        features={feature.name: _dtype(feature) for feature in view.features},
        descriptions={feature.name: feature.description for feature in view.features if feature.description},
        description=view.description,
    )


def _dtype(field: Any) -> DType:
    ours: dict[str, DType] = {feast_name.upper(): name for name, feast_name in FEAST_NAMES.items()}
    return ours.get(field.dtype.name.replace("_", ""), "string")
