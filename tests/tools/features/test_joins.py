"""The join of hard histories, drawn by hypothesis, beside Feast's own answer and the definition, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mlops_mcp.tools.data.store import resolve, save
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.features import client
from mlops_mcp.tools.features.history import gather, match, rows_of
from mlops_mcp.tools.features.models import JoinRequest, View
from mlops_mcp.tools.features.registry import opened
from mlops_mcp.tools.features.views import Definition, find_view
from mlops_mcp.tools.runtime.work import Work

pytestmark = pytest.mark.filterwarnings("ignore")
Store = Callable[..., str]
Register = Callable[..., View]
START = pd.Timestamp("2024-01-01", tz="UTC")
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Shape:
    """How a history and the rows that ask for it are drawn."""

    seed: int
    values: int
    rows: int
    keys: int
    moments: int
    late: float
    missing: float
    created: bool
    text_keys: bool
    naive: bool
    ttl: timedelta | None

    def drawn(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """History (key, at, made, whole, number, text) and rows (key, event_timestamp), repeats and ties in both."""
        random = np.random.default_rng(self.seed)
        history = pd.DataFrame({"key": self._keys(random, self.values), "at": self._times(random, self.values)})
        delay = np.where(
            random.random(self.values) < self.late, random.integers(-24, 24 * self.moments, self.values), 0
        )
        history["made"] = self._gaps(random, history["at"] + pd.to_timedelta(delay, "h"))
        history["whole"] = pd.Series(2**60 + np.arange(self.values), dtype="Int64")
        history["number"] = np.where(random.random(self.values) < 0.2, np.nan, random.normal(size=self.values))
        history["text"] = pd.Series(random.choice(["ä", "", "z"], self.values)).mask(random.random(self.values) < 0.2)
        rows = pd.DataFrame({"key": self._keys(random, self.rows), "event_timestamp": self._times(random, self.rows)})
        return history, rows

    def _keys(self, random: np.random.Generator, count: int) -> pd.Series:
        drawn = pd.Series(random.integers(-1, self.keys, count), dtype="Int64")
        return self._gaps(random, drawn.map(lambda key: f"k{key}").astype(object) if self.text_keys else drawn)

    def _times(self, random: np.random.Generator, count: int) -> pd.Series:
        """Few moments and the microseconds around them, so that many meet and many just miss each other."""
        hours = pd.to_timedelta(24 * random.integers(0, self.moments, count), "h")
        times = pd.Series(START + hours + pd.to_timedelta(random.integers(-1, 2, count), "us"))
        return self._gaps(random, times.dt.tz_localize(None) if self.naive else times)

    def _gaps(self, random: np.random.Generator, values: pd.Series) -> pd.Series:
        return values.mask(pd.Series(random.random(len(values)) < self.missing))


def shapes(missing: float, ttls: st.SearchStrategy[timedelta | None]) -> st.SearchStrategy[Shape]:
    return st.builds(
        Shape,
        seed=st.integers(0, 2**32 - 1),
        values=st.integers(1, 300),
        rows=st.integers(0, 200),
        keys=st.integers(1, 12),
        moments=st.integers(1, 12),
        late=st.sampled_from([0.0, 0.5, 1.0]),
        missing=st.just(missing),
        created=st.booleans(),
        text_keys=st.booleans(),
        naive=st.booleans(),
        ttl=ttls,
    )


WHOLE_DAYS = st.sampled_from([None, DAY, 3 * DAY])
ANY_TTL = st.sampled_from([None, DAY, 3 * DAY, 1.5 * DAY, DAY + timedelta(microseconds=1), timedelta(microseconds=1)])
# A shape is as small as it gets: its seed says all.
many = settings(
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def by_definition(history: pd.DataFrame, rows: pd.DataFrame, shape: Shape) -> pd.DataFrame:
    """Place of each row's value, and whether a newer one was created only later: each row beside all of its key."""
    asked = rows.reset_index(names="row").dropna()
    values = history.reset_index(names="place")
    values["made"] = values["made"] if shape.created else values["at"]
    pairs = asked.merge(values.dropna(subset=["key", "at", "made"]), on="key")
    pairs = pairs[pairs["at"] <= pairs["event_timestamp"]]
    if shape.ttl:
        pairs = pairs[pairs["event_timestamp"] - pairs["at"] <= shape.ttl]
    pairs = pairs.sort_values(["at", "made", "place"])
    known = pairs[pairs["made"] <= pairs["event_timestamp"]].groupby("row")["place"].last()
    true = pairs.groupby("row")["place"].last()
    answer = pd.DataFrame({"place": known.reindex(rows.index), "true": true.reindex(rows.index)})
    answer["later"] = answer["true"].notna() & (answer["true"] != answer["place"].fillna(-1))
    return answer


def asked_directly(work: Work, tmp_path: Path, shape: Shape) -> tuple[Definition, pd.DataFrame, str]:
    """A view over a file that register_features has not cleaned, as the registry of somebody else may hold."""
    history, rows = shape.drawn()
    path = tmp_path / "history.parquet"
    kept = history if shape.created else history.drop(columns="made")
    # Names that SQL takes for one, or for its own.
    table = pa.Table.from_pandas(kept.assign(KEY=1, file_row_number=7), preserve_index=False)
    pq.write_table(table, path, row_group_size=64)
    view = Definition(
        name="things",
        dataset="",
        path=str(path),
        entity="key",
        entity_type="string" if shape.text_keys else "int64",
        timestamp="at",
        created="made" if shape.created else "",
        ttl=shape.ttl,
        features={"whole": "int64", "number": "float64", "text": "string"},
        descriptions={},
        description="",
    )
    schema = pa.schema(
        {
            "Event_Timestamp": pa.int64(),
            "KEY": pa.int64(),
            "key": pa.string() if shape.text_keys else pa.int64(),
            "event_timestamp": pa.timestamp("us", None if shape.naive else "UTC"),
        }
    )
    frame = rows.assign(KEY=5, Event_Timestamp=6)
    table = pa.Table.from_pandas(frame, schema, preserve_index=False)
    return view, history, save(work, table, "rows", [], "test").handle


@settings(many, max_examples=40)
@given(shape=shapes(0.05, ANY_TTL))
def test_each_row_gets_the_value_that_the_definition_names(work: Work, tmp_path: Path, shape: Shape) -> None:
    view, history, handle = asked_directly(work, tmp_path, shape)
    rows = rows_of(work, handle, "event_timestamp")
    found = match(work, rows, view)
    frame = resolve(work, handle).frame()
    expected = by_definition(history, frame[["key", "event_timestamp"]], shape)
    assert found.places.tolist() == expected["place"].fillna(-1).astype(int).tolist()
    got = gather(view, ["text", "whole"], found.places).of(0, len(frame))
    wanted = history[["text", "whole"]].reset_index(drop=True).reindex(found.places)
    assert got.column("whole").to_pylist() == [None if value is pd.NA else value for value in wanted["whole"]]
    assert got.column("text").to_pylist() == [None if pd.isna(value) else value for value in wanted["text"]]
    report = found.report
    assert (report.matched, report.created_later) == (expected["place"].notna().sum(), expected["later"].sum())
    assert report.key_or_time_missing == frame[["key", "event_timestamp"]].isna().any(axis=1).sum()
    others = report.key_or_time_missing + report.key_unknown + report.before_first_value + report.older_than_ttl
    assert report.matched + others == len(frame)


@pytest.mark.slow
@settings(many, max_examples=12)
@given(shape=shapes(0.05, WHOLE_DAYS))
def test_each_row_gets_what_feast_itself_answers(work: Work, store: Store, register: Register, shape: Shape) -> None:
    history, rows = shape.drawn()
    # A key has one type in all views of a registry.
    key = "word" if shape.text_keys else "key"
    history, rows = (frame.rename(columns={"key": key}) for frame in (history, rows))
    drawn = history if shape.created else history.drop(columns="made")
    if drawn.dropna(subset=[name for name in (key, "at", "made") if name in drawn]).empty or not len(rows.dropna()):
        return
    view = f"v{abs(hash(shape)):x}"
    days = shape.ttl / DAY if shape.ttl else None
    register(drawn, view, created="made" if shape.created else "", ttl_days=days, entity=key)
    asked = rows.dropna().reset_index(drop=True)
    joined = client.get_historical_features(work, JoinRequest(dataset=store(asked, "rows"), features=[view]))
    ours = resolve(work, joined.dataset).table()
    with opened(work) as feasts:
        names = list(find_view(feasts, view).features)
        frame = asked.assign(row=range(len(asked)))
        references = [f"{view}:{name}" for name in names]
        theirs = feasts.get_historical_features(frame, references, filter_by_created_timestamp=True).to_arrow()
    theirs = theirs.sort_by("row")
    assert theirs.column("row").to_pylist() == list(range(len(asked)))
    for name in names:
        assert _plain(ours.column(name)) == _plain(theirs.column(name))


def _plain(column: pa.ChunkedArray) -> list[str]:
    return [repr(value) for value in column.to_pylist()]


@pytest.mark.parametrize("path", ["", "/nowhere/at/all.parquet", "folder"])
def test_a_view_over_no_file_that_can_be_read_is_refused(work: Work, store: Store, tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    at = str(tmp_path / path) if path == "folder" else path
    view = Definition("things", "", at, "key", "int64", "at", "", None, {}, {}, "")
    rows = rows_of(work, store(pd.DataFrame({"key": [1], "event_timestamp": [START]}), "rows"), "")
    with pytest.raises(ToolFailure, match=r"not over a Parquet file.*load_dataset"):
        match(work, rows, view)


def test_a_join_of_no_rows_makes_a_dataset_with_all_columns(work: Work, store: Store, register: Register) -> None:
    register(pd.DataFrame({"key": [1], "at": [START], "value": [5.0]}))
    rows = pd.DataFrame({"key": [1], "event_timestamp": [START]}).head(0)
    joined = client.get_historical_features(work, JoinRequest(dataset=store(rows, "rows"), features=["things"]))
    assert (joined.rows, joined.views[0].matched) == (0, 0)
    assert resolve(work, joined.dataset).table().column_names == ["key", "event_timestamp", "value"]
