"""Data: a CSV file of a million rows of twenty columns into the store, one column described, and more than fits.

DuckDB does the same work beside it: reads the file with its own guesses of types and writes Parquet, compressed alike.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from mlops_mcp.config.load import load
from mlops_mcp.tools.data.description import describe_dataset
from mlops_mcp.tools.data.store import Dataset, load_file
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

from .case import Case, Outcome, in_turn, seconds

ROWS, LARGE_ROWS, TRAINED_ROWS = 1_000_000, 20_000_000, 10_000
LIMIT_MB = 1024


def _csv(folder: Path) -> Path:
    path, quantities = folder / "rows.csv", ", ".join(f"round(random() * 1000, {3 + k % 4}) AS x{k}" for k in range(13))
    duckdb.execute(
        f"""COPY (SELECT i AS id, 'A' || lpad(i::VARCHAR, 7, '0') AS code, ['Basel', 'Bern', 'Chur'][1 + i % 3] AS city,
        18 + i % 70 AS age, i % 2 AS target, DATE '2020-01-01' + (i % 1500)::INT AS day,
        TIMESTAMP '2020-01-01' + INTERVAL (i) SECOND AS at, {quantities} FROM range({ROWS}) t(i))
        TO '{path}' (HEADER)"""
    )
    return path


def _work(folder: Path) -> Work:
    return Work(
        load({"MLOPS_HOME": str(folder / "home")}, {"data.roots": [str(folder)]}).settings, Tracer(lambda _: None)
    )


def _load(folder: Path) -> Outcome:
    path, work, made = _csv(folder), _work(folder), list[Dataset]()

    def ours() -> None:
        # Another name is another reading: a path that was read is not parsed again.
        made.append(load_file(work, str(path), f"rows_{len(made)}"))

    def beside() -> None:
        duckdb.execute(f"COPY (FROM read_csv('{path}')) TO '{folder}/rows.parquet' (COMPRESSION zstd)")

    took = in_turn(ours, beside)
    left, right = f"read_parquet('{made[0].path}')", f"read_parquet('{folder}/rows.parquet')"
    apart = duckdb.execute(f"(FROM {left} EXCEPT FROM {right}) UNION ALL (FROM {right} EXCEPT FROM {left})").fetchall()
    return Outcome(*took, not apart)


def _again(folder: Path) -> Outcome:
    path, work, made = _csv(folder), _work(folder), list[Dataset]()
    first = seconds(lambda: made.append(load_file(work, str(path), "")))
    again = seconds(lambda: made.append(load_file(work, str(path), "")))
    return Outcome(again, first, made[0].info.model_copy(update={"undo": None}) == made[1].info)


def _described(folder: Path) -> Outcome:
    work = _work(folder)
    source, found = load_file(work, str(_csv(folder)), ""), dict[str, Any]()

    def ours() -> None:
        found["ours"] = describe_dataset(work, source.handle, ["x0"], 20, "").columns[0]

    def beside() -> None:
        asked = "min(x0), max(x0), count(DISTINCT x0), count(*) - count(x0), median(x0)"
        found["beside"] = duckdb.execute(f"SELECT {asked} FROM read_parquet('{source.path}')").fetchall()[0]

    took, column = in_turn(ours, beside), found["ours"]
    return Outcome(
        *took, (column.min, column.max, column.unique, column.missing, column.median) == tuple(found["beside"])
    )


CHILD = """
import json, re, sys
from pathlib import Path
from mlops_mcp.config.load import load
from mlops_mcp.tools.data.client import split_dataset
from mlops_mcp.tools.data.description import describe_dataset
from mlops_mcp.tools.data.query import query_dataset
from mlops_mcp.tools.quality.client import create_suite, validate_dataset
from mlops_mcp.tools.quality.models import Expectation
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
home, handle, task, model = sys.argv[1:]
given = {"data.query_memory_mb": 512, "data.max_mb": 8192, "data.query_timeout_s": 600}
work = Work(load({"MLOPS_HOME": home}, given).settings, Tracer(lambda _: None))
def rule(kind, **kwargs):
    return Expectation(type=f"expect_column_{kind}", kwargs=kwargs)
if task == "validate":
    rules = [rule("values_to_be_between", column=f"x{k}", min_value=0, max_value=0.9) for k in range(8)]
    rules += [rule("values_to_not_be_null", column="x9"), rule("values_to_be_unique", column="id")]
    suite = create_suite(work, "rules", rules).suite
    answer = [result.unexpected for result in validate_dataset(work, handle, suite, "", [], "full").results]
elif task == "query":
    made = query_dataset(work, f'SELECT id % 10 AS part, sum(x1) AS total FROM "{handle}" GROUP BY 1 ORDER BY 1', "")
    answer = made.rows
elif task == "copy":
    answer = query_dataset(work, f'SELECT *, x1 + x2 AS total FROM "{handle}"', "").rows
elif task == "predict":
    from mlops_mcp.tools.serving.batch import predict_dataset
    from mlops_mcp.tools.serving.models import BatchRequest
    answer = predict_dataset(work, BatchRequest(model=model, dataset=handle)).rows
elif task == "split":
    answer = split_dataset(work, handle, "random", "", 0.15, 0.15, 0).test.rows
else:
    answer = [column.unique for column in describe_dataset(work, handle, [], 20, "").columns]
# Since it began: what `getrusage` knows may be that of the process that started it.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps([answer, peak >> 10]))
"""


def _large(task: str, folder: Path) -> Outcome:
    """In a process of its own, whose peak of memory is told."""
    from mlops_mcp.tools.data.store import save_parts

    work = _work(folder)
    handle = save_parts(work, _parts(LARGE_ROWS), "large", [], "benchmark").handle
    model, told = _model(work) if task == "predict" else "", list[str]()

    def child() -> None:
        command = [sys.executable, "-c", CHILD, str(work.home), handle, task, model]
        told.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    took = seconds(child)
    _, peak = json.loads(told[0].splitlines()[-1])
    return Outcome(
        took, None, peak <= LIMIT_MB, f"peak {peak} MB of {LIMIT_MB}, {LARGE_ROWS * 20 * 8 >> 20} MB of rows"
    )


LOADER = """
import json, re, sys
from pathlib import Path
from mlops_mcp.config.load import load
from mlops_mcp.tools.data.store import load_file
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
home, roots, path = sys.argv[1:]
work = Work(load({"MLOPS_HOME": home}, {"data.roots": [roots]}).settings, Tracer(lambda _: None))
info = load_file(work, path, "").info
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps([info.rows, peak >> 10]))
"""


def _big_load(folder: Path) -> Outcome:
    """The file of the first row, written as often as it takes, in a process whose peak of memory is told."""
    source, path, told = _csv(folder), folder / "big.csv", list[str]()
    header, _, body = source.read_bytes().partition(b"\n")
    with path.open("wb") as file:
        file.write(header + b"\n")
        for _ in range(LARGE_ROWS // ROWS):
            file.write(body)

    def child() -> None:
        command = [sys.executable, "-c", LOADER, str(folder / "home"), str(folder), str(path)]
        told.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def beside() -> None:
        duckdb.execute(f"COPY (FROM read_csv('{path}')) TO '{folder}/big.parquet' (COMPRESSION zstd)")

    took = in_turn(child, beside, rounds=1)
    rows, peak = json.loads(told[0].splitlines()[-1])
    return Outcome(
        *took,
        rows == LARGE_ROWS and peak <= LIMIT_MB,
        f"peak {peak} MB of {LIMIT_MB}, {path.stat().st_size >> 20} MB of text",
    )


def _big_parquet(folder: Path) -> Outcome:
    """Four groups of rows, larger than we write them."""
    path, told = folder / "big.parquet", list[str]()
    random = ", ".join(f"random() AS x{k}" for k in range(19))
    rows = f"SELECT i AS id, {random} FROM range({LARGE_ROWS}) t(i)"
    duckdb.execute(f"COPY ({rows}) TO '{path}' (ROW_GROUP_SIZE {LARGE_ROWS // 4})")

    def child() -> None:
        command = [sys.executable, "-c", LOADER, str(folder / "home"), str(folder), str(path)]
        told.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    took = seconds(child)
    rows_read, peak = json.loads(told[0].splitlines()[-1])
    return Outcome(
        took,
        None,
        rows_read == LARGE_ROWS and peak <= LIMIT_MB,
        f"peak {peak} MB of {LIMIT_MB}, {path.stat().st_size >> 20} MB of Parquet",
    )


def _model(work: Work) -> str:
    """A small model of five of the columns."""
    from mlops_mcp.tools.data.store import save_parts
    from mlops_mcp.tools.training.client import train_model
    from mlops_mcp.tools.training.models import TrainRequest

    rows = save_parts(work, _parts(TRAINED_ROWS), "small", [], "benchmark").handle
    features = [f"x{place}" for place in range(1, 6)]
    return train_model(work, TrainRequest(dataset=rows, target="x0", algorithm="Ridge", features=features)).model


def _parts(rows: int) -> Any:
    import numpy as np
    import pyarrow as pa

    random, size = np.random.default_rng(0), rows // 40
    for start in range(0, rows, size):
        columns = {"id": pa.array(np.arange(start, start + size))}
        yield pa.table(columns | {f"x{k}": pa.array(random.random(size)) for k in range(19)})


CASES = [
    Case("data load", "a CSV of 1e6 x 20 into the store", "DuckDB", "1.2 x DuckDB", _load),
    Case("data again", "the same path once more", "the first time", "parsed once", _again),
    Case("data describe", "one column of 1e6 x 20", "DuckDB", "reads one column", _described),
    Case("data big load", "a CSV of 3.4 GB into the store", "DuckDB", f"{LIMIT_MB} MB", _big_load),
    Case("data big parquet", "a Parquet file of 3 GB into the store", "-", f"{LIMIT_MB} MB", _big_parquet),
    *(
        Case(f"data big {task}", f"{task} a dataset of 3 GB", "-", f"{LIMIT_MB} MB", partial(_large, task))
        for task in ("validate", "query", "copy", "describe", "split", "predict")
    ),
]
