"""Feast's own join of a team's features to the rows of a dataset, which keeps each row and its place."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...data.readers import normalise
from ...errors import ToolFailure
from ...runtime.work import Work
from ..history import Joined, Rows, taken_once
from ..models import ViewMatch
from ..values import in_utc
from ..views import EVENT_TIME, dtypes_of
from .repository import Team
from .views import Asked, Part

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# A column of ours beside the keys, by which the rows get their order back; Feast loses it.
ROW = "row_of_mlops"


def output_names(rows: Rows, wanted: Asked, full: bool) -> list[list[str]]:
    """The columns that the features of each part become, as Feast calls them.

    Raises:
        ToolFailure: two columns would have the same name.
    """
    names = [[named(part, feature, full) for feature in part.features] for part in wanted.parts]
    taken_once(rows, names, full)
    return names


def named(part: Part, feature: str, full: bool) -> str:
    return f"{part.called}__{feature}" if full else feature


def join(
    work: Work, team: Team, rows: Rows, wanted: Asked, names: Sequence[Sequence[str]], full: bool
) -> tuple[Joined, list[ViewMatch]]:
    """The features of all parts, each row's own, and how many rows each part has found.

    Raises:
        ToolFailure: the rows lack a key, Feast does not take what was asked, or it has lost rows.
    """
    asked = _asked(rows, wanted)
    with work.tracer.span("feast join", rows=asked.num_rows), own_database(work, team):
        found = _found(team, wanted, asked, full) if asked.num_rows else None
    every = [name for part in names for name in part]
    if found is None:
        return _nothing(rows, every), [_match(rows, part, 0) for part in wanted.parts]
    if found.num_rows != asked.num_rows:
        said = f"Feast answered {found.num_rows} of {asked.num_rows} rows"
        raise ToolFailure(said, "A source with two rows of one key and time multiplies them: tell whoever keeps it.")
    values, _ = normalise(with_times(found.select(every), _times(wanted, full)))
    matches = [_match(rows, part, _known(values, own)) for part, own in zip(wanted.parts, names, strict=True)]
    return Joined(values.combine_chunks(), _index(rows, found)), matches


def _asked(rows: Rows, wanted: Asked) -> pa.Table:
    """Keys, time and number of each row that has a time."""
    import pyarrow as pa

    rows.source.require(list(wanted.keys))
    kinds = dtypes_of(rows.schema)
    for key, kind in wanted.keys.items():
        if (kind == "string") != (kinds[key] == "string"):
            raise ToolFailure(
                f"{key} is {kinds[key]} in {rows.source.handle}, {kind} in the team's views",
                f"Cast it by query_dataset: SELECT * REPLACE ({key}::… AS {key}) FROM ….",
            )
    table = rows.source.table([*wanted.keys, rows.time])
    columns = {key: table.column(key) for key in wanted.keys}
    columns |= {EVENT_TIME: in_utc(table.column(rows.time)), ROW: pa.array(range(table.num_rows), pa.int64())}
    made = pa.table(columns)
    return made.filter(made.column(EVENT_TIME).is_valid())


def _found(team: Team, wanted: Asked, asked: pa.Table, full: bool) -> pa.Table:
    import pandas as pd
    import pyarrow as pa
    from feast.errors import FeastError  # type: ignore[attr-defined, unused-ignore]
    from ibis.common.exceptions import IbisError

    whole = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}
    try:
        return team.store.get_historical_features(
            asked.to_pandas(types_mapper=whole.get),
            wanted.features,
            full_feature_names=full,
            filter_by_created_timestamp=True,
        ).to_arrow()
    except (FeastError, IbisError, KeyError, ValueError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ToolFailure(f"Feast's own join refuses: {said}", "Ask for other features, or for fewer.") from error


@contextmanager
def own_database(work: Work, team: Team) -> Generator[None]:
    """Feast joins files in ibis's own database of this process, which keeps what it is given and may use any memory."""
    if team.configured.offline["type"] != "duckdb":
        yield
        return
    import ibis

    backend: Any = ibis.duckdb.connect(
        memory_limit=f"{work.settings.data.query_memory_mb}MB",
        threads=work.settings.runtime.job_threads or 1,
        autoinstall_known_extensions=False,
    )
    before: Any = ibis.options.default_backend
    ibis.set_backend(backend)
    try:
        yield
    finally:
        ibis.options.default_backend = before
        backend.disconnect()


def with_times(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """Columns of times as such: DuckDB reads those of nanoseconds as text."""
    import pandas as pd
    import pyarrow as pa

    for name in names:
        column = table.column(name)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            parsed = pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601")
            table = table.set_column(table.column_names.index(name), name, pa.array(parsed))
    return table


def _index(rows: Rows, found: pa.Table) -> pa.Array:
    """For each row of the dataset its place among what was found."""
    import numpy as np
    import pyarrow as pa

    places = np.full(rows.source.info.rows, -1, dtype=np.int64)
    places[found.column(ROW).to_numpy()] = np.arange(found.num_rows)
    return pa.array(places, mask=places < 0)


def _nothing(rows: Rows, names: Sequence[str]) -> Joined:
    import pyarrow as pa

    values = pa.table({name: pa.nulls(0, pa.float64()) for name in names})
    return Joined(values, pa.nulls(rows.source.info.rows, pa.int64()))


def _times(wanted: Asked, full: bool) -> list[str]:
    return [
        named(part, feature, full)
        for part in wanted.parts
        for feature in part.features
        if part.view.features[feature] == "timestamp"
    ]


def _known(values: pa.Table, names: Sequence[str]) -> int:
    """Rows that have a value of any of these columns."""
    import numpy as np

    has: np.ndarray = np.zeros(values.num_rows, dtype=bool)
    for name in names:
        has |= values.column(name).is_valid().to_numpy()
    return int(has.sum())


def _match(rows: Rows, part: Part, matched: int) -> ViewMatch:
    lacking = rows.source.info.rows - matched
    return ViewMatch(view=f"features:{part.called}", matched=matched, unexplained=lacking)
