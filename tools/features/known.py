"""Which value of a key was known at a moment: the newest one that was true and recorded by then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from .views import EVENT_TIME, ROW, Definition

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# Columns of a history: key, place in the file, since when the value is true, since when it was known as well.
KEY: Final = "key"
PLACE: Final = "place"
TIME: Final = "time"
KNOWN: Final = "known"
# The position in the order of preference, and the best one reached so far.
BEST: Final = "best"


def history(view: Definition) -> pd.DataFrame:
    """Every value of a view that can be found, the preferred ones of equal keys last.

    A value that has no key or time, or no created time where the view has such a column, is never known.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [name for name in (view.entity, view.timestamp, view.created) if name]
    table = pq.read_table(view.path, columns=columns)
    time = in_utc(table.column(view.timestamp))
    parts = {
        KEY: table.column(view.entity).cast(key_type(view)),
        PLACE: pa.array(np.arange(table.num_rows)),
        TIME: time,
        KNOWN: in_utc(table.column(view.created)) if view.created else time,
    }
    # Feast's order: by time, then by created time; what is then still equal keeps the order of the file.
    frame = pa.table(parts).drop_null().to_pandas().sort_values([TIME, KNOWN], kind="stable", ignore_index=True)
    frame[KNOWN] = frame[[TIME, KNOWN]].max(axis=1)
    return frame


def newest(asked: pd.DataFrame, values: pd.DataFrame, since: Literal["time", "known"]) -> pd.DataFrame:
    """For each row of `asked` (`Rows.askable`, keyed by KEY) the newest value whose `since` is not after its time.

    Returns:
        EVENT_TIME, TIME (NaT where there is none) and BEST, the value's row in `values`; indexed by the row's number.
    """
    import pandas as pd

    steps = pd.DataFrame({KEY: values[KEY], since: values[since], BEST: range(len(values))})
    steps = steps.sort_values(since, kind="stable")
    # What was recorded late may be older than what was known already.
    steps[BEST] = steps.groupby(KEY)[BEST].cummax()
    rows = asked.sort_values(EVENT_TIME, kind="stable")
    found = pd.merge_asof(rows, steps, left_on=EVENT_TIME, right_on=since, by=KEY).set_index(ROW).sort_index()
    found[TIME] = values[TIME].reindex(found[BEST]).array
    return found[[EVENT_TIME, TIME, BEST]]


def in_utc(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Microseconds in UTC; a naive time is taken for UTC."""
    import pyarrow as pa

    return times.cast(pa.timestamp("us", "UTC"))


def key_type(view: Definition) -> pa.DataType:
    import pyarrow as pa

    return pa.string() if view.entity_type == "string" else pa.int64()
