"""Join features to rows as they were known at the time of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..data.store import Dataset, resolve
from ..errors import ToolFailure, unknown
from ..numbers import finite, rounded
from ..runtime.work import Work
from .known import BEST, KEY, KNOWN, TIME, history, in_utc, key_type, newest
from .models import AddedColumn, ViewMatch
from .registry import reading_history
from .views import EVENT_TIME, KEY_TYPES, ROW, Definition, dtypes_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

DAY_S = 86400


@dataclass(frozen=True)
class Rows:
    """The rows to which features are joined, and the column that holds their time."""

    source: Dataset
    table: pa.Table
    time: str

    def askable(self, view: Definition) -> pd.DataFrame:
        """Number, key and time of the rows that have both; the others cannot match."""
        import numpy as np
        import pyarrow as pa

        dtypes = dtypes_of(self.table.schema)
        if view.entity not in dtypes:
            raise unknown(f"key column of {self.source.handle} for {view.name}", view.entity, dtypes)
        if (dtypes[view.entity] == "string") != (view.entity_type == "string") or dtypes[view.entity] not in KEY_TYPES:
            raise ToolFailure(
                f"{view.entity} is {dtypes[view.entity]} in {self.source.handle}, {view.entity_type} in {view.handle}",
                f"Cast it by query_dataset: SELECT * REPLACE ({view.entity}::… AS {view.entity}) FROM ….",
            )
        asked = pa.table(
            {
                ROW: pa.array(np.arange(self.table.num_rows)),
                view.entity: self.table.column(view.entity).cast(key_type(view)),
                EVENT_TIME: in_utc(self.table.column(self.time)),
            }
        )
        return asked.drop_null().to_pandas()


def rows_of(work: Work, dataset: str, time: str) -> Rows:
    """The dataset and its time column: the named one, `event_timestamp`, or the only one.

    Raises:
        ToolFailure: several columns could be meant, or none.
    """
    source = resolve(work, dataset)
    table = source.table()
    times = [name for name, kind in dtypes_of(table.schema).items() if kind == "timestamp"]
    if time and time not in times:
        raise unknown(f"time column of {source.handle}", time, times)
    if not time and EVENT_TIME not in times and len(times) != 1:
        listed = f"Time columns: {', '.join(times)}." if times else "It has no column of times: load it with one."
        raise ToolFailure(f"which time of {source.handle} counts is not clear", f"Pass timestamp_column. {listed}")
    return Rows(source, table, time or (EVENT_TIME if EVENT_TIME in times else times[0]))


@dataclass(frozen=True)
class Match:
    """Which rows have a value at their time (one truth value per row), and what is wrong with the others."""

    report: ViewMatch
    usable: np.ndarray


def join(
    work: Work, store: Any, rows: Rows, view: Definition, names: Sequence[str], usable: np.ndarray
) -> Mapping[str, pa.ChunkedArray]:
    """The features of one view, one value per row and in their order; null where a row has no `usable` value.

    Raises:
        ToolFailure: Feast cannot join by the view's ttl, or returned other rows than it was asked for.
    """
    import numpy as np
    import pyarrow as pa

    if not view.joinable:
        raise ToolFailure(f"Feast cannot join by the ttl of {view.handle}", "register_features again, with ttl_days.")

    asked = rows.askable(view)
    with work.tracer.span("feast", view=view.name, rows=len(asked)), reading_history():
        references = [f"{view.name}:{name}" for name in names]
        answer = _asked_of_feast(store, asked, references) if len(asked) else None
    position: np.ndarray = np.full(rows.table.num_rows, -1)
    if answer is not None:
        numbers = answer.column(ROW).to_numpy()
        if not np.array_equal(np.sort(numbers), asked[ROW].to_numpy()):
            raise ToolFailure(f"the join with {view.handle} did not return every row once", "Report this as a bug.")
        position[numbers] = np.arange(len(numbers))
    order = pa.array(position, mask=(position < 0) | ~usable)
    empty = _schema_of(view)
    return {name: (answer if answer is not None else empty).column(name).take(order) for name in names}


def _asked_of_feast(store: Any, asked: pd.DataFrame, references: list[str]) -> pa.Table:
    return store.get_historical_features(asked, references, filter_by_created_timestamp=True).to_arrow()


def match(rows: Rows, view: Definition) -> Match:
    """Look up which rows have a value that was known at their time, and is not older than the ttl."""
    import numpy as np
    import pandas as pd

    asked, values = rows.askable(view).rename(columns={view.entity: KEY}), history(view)
    found = newest(asked, values, KNOWN)
    age = found[EVENT_TIME] - found[TIME]
    later = _created_later(asked, values, found, view) if view.created else 0
    new = int((~asked[KEY].isin(values[KEY])).sum())
    old = age > view.ttl if view.ttl else pd.Series(False, index=age.index)
    matched = age.notna() & ~old
    usable = np.zeros(rows.table.num_rows, dtype=bool)
    usable[matched.index[matched]] = True
    report = ViewMatch(
        view=view.handle,
        matched=int(matched.sum()),
        key_or_time_missing=rows.table.num_rows - len(asked),
        key_unknown=new,
        before_first_value=int(age.isna().sum()) - new,
        older_than_ttl=int(old.sum()),
        created_later=later,
        oldest_match_days=_days(age[matched].max()) if matched.any() else None,
    )
    return Match(report, usable)


def _created_later(asked: pd.DataFrame, values: pd.DataFrame, known: pd.DataFrame, view: Definition) -> int:
    """Rows that would get another value if it did not matter when a value was created."""
    true = newest(asked, values, TIME)
    other = true[BEST].notna() & (true[BEST] != known[BEST])
    if view.ttl:
        other &= true[EVENT_TIME] - true[TIME] <= view.ttl
    return int(other.sum())


def output_names(rows: Rows, wanted: Sequence[tuple[Definition, list[str]]], full: bool) -> dict[tuple[str, str], str]:
    """(view, feature) -> the column it becomes.

    Raises:
        ToolFailure: two columns would have the same name.
    """
    names: dict[tuple[str, str], str] = {}
    for view, features in wanted:
        for feature in features:
            name = f"{view.name}__{feature}" if full else feature
            if name in names.values() or name in rows.table.column_names:
                where = "two views" if name in names.values() else rows.source.handle
                hint = "Leave the feature out." if full else "Pass full_feature_names=true."
                raise ToolFailure(f"{name} would exist twice: it is also in {where}", hint)
            names[view.name, feature] = name
    return names


def summary(name: str, values: pa.ChunkedArray) -> AddedColumn:
    """What a joined column looks like; NaN counts as missing."""
    import pandas as pd
    import pyarrow as pa

    column = values.to_pandas()
    kind = values.type
    counted = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    known = column.dropna().astype("float64") if counted else pd.Series(dtype="float64")
    return AddedColumn(
        name=name, missing=rounded(column.isna().mean()), mean=finite(known.mean()) if len(known) else None
    )


def _schema_of(view: Definition) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_schema(view.path).empty_table()


def _days(age: pd.Timedelta) -> float | None:
    seconds = finite(age.total_seconds())
    return round(seconds / DAY_S, 2) if seconds is not None else None
