"""Point-in-time joins beside the ASOF join that one would write in DuckDB by hand over the same Parquet files."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_mcp.tools.data.store import resolve, save
from mlops_mcp.tools.features import client
from mlops_mcp.tools.features.models import JoinRequest

from .case import Case, Outcome, in_turn
from .features import FEATURES, history, work_in

# Microseconds.
SECOND, DAY_S = 1_000_000, 86_400


@dataclass(frozen=True)
class Size:
    values: int
    keys: int
    rows: int
    created: bool = False


def join(size: Size, folder: Path) -> Outcome:
    """Both read two Parquet files and write a third one; ours also counts why rows have no value."""
    work = work_in(folder)
    values = save(work, history(size.values, size.keys, size.created), "values", [], "benchmark")
    rows = save(work, _rows(size), "rows", [], "benchmark")
    created = "made" if size.created else ""
    client.register_features(work, values.handle, "facts", "key", "at", list(FEATURES), created, None, "")
    request = JoinRequest(dataset=rows.handle, features=["facts"], name="joined")
    made = folder / "by_hand.parquet"
    by_hand = partial(_by_hand, values.path, rows.path, made, work.settings.runtime.job_threads, size.created)
    ours_s, beside_s = in_turn(partial(client.get_historical_features, work, request), by_hand)
    ours = resolve(work, client.get_historical_features(work, request).dataset).table()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return Outcome(ours_s, beside_s, ours.equals(pq.read_table(made).cast(ours.schema)), f"peak {peak_mb} MB, both")


def _rows(size: Size) -> pa.Table:
    draw = np.random.default_rng(1)
    times = 1_700_000_000 * SECOND + draw.integers(0, 400 * DAY_S, size.rows) * SECOND
    return pa.table(
        {
            "key": draw.integers(0, size.keys, size.rows),
            "event_timestamp": pa.array(times, pa.timestamp("us", "UTC")),
            "x": draw.normal(size=size.rows),
        }
    )


def _by_hand(values: Path, rows: Path, made: Path, threads: int, created: bool) -> None:
    """Without a created time a plain ASOF join; with one, what is known at each moment has to be found before."""
    known = 'greatest("at", made)' if created else '"at"'
    best = 'qualify "at" = max("at") over w and known is distinct from lead(known) over w ' if created else ""
    window = 'window w as (partition by key order by known, "at" rows unbounded preceding) ' if created else ""
    with duckdb.connect(config={"threads": str(threads)}) as connection:
        connection.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
        connection.execute(
            f"copy (with f as (select *, {known} as known from read_parquet('{values}')), "
            f"g as (select * from f {window}{best}) "
            f"select e.*, {', '.join(f'g.{name}' for name in FEATURES)} from read_parquet('{rows}') e "
            "asof left join g on e.key = g.key and e.event_timestamp >= g.known "
            f"order by e.file_row_number) to '{made}' (format parquet, compression zstd)"
        )


CASES = [
    Case(
        "join many versions",
        "1e6 values of 1,000 keys to 1e5 rows, 3 features",
        "DuckDB ASOF",
        "3 s (by Feast 71)",
        partial(join, Size(1_000_000, 1_000, 100_000)),
    ),
    Case(
        "join many rows",
        "1e6 values of 28,571 keys to 1e6 rows, 3 features",
        "DuckDB ASOF",
        "1.1 x plain ASOF",
        partial(join, Size(1_000_000, 28_571, 1_000_000)),
    ),
    Case(
        "join created",
        "the same with a created time, so later values do not reach back",
        "DuckDB ASOF, window",
        "-",
        partial(join, Size(1_000_000, 28_571, 1_000_000, created=True)),
    ),
]
