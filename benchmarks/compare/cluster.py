"""A cluster: one search by two workers of one thread each, beside the same search by one of them.

All points have as many trees of one depth, so that each part of them costs the same; a pruned point has fewer parts.
Parts a second are counted from the time by which the first points are done, when all processes have started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .case import Case, Outcome
from .trials import write_rows

ROWS, TRIALS, FIRST = 1_500, 72, 12

# A process of its own: what starts workers must be importable as a program.
SEARCH = """
import json, os, sys, time
from distributed import LocalCluster
from mlops_mcp.config.load import load
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tuning import client
from mlops_mcp.tools.tuning.models import TuneRequest
from mlops_mcp.tools.tuning.storage import find_study

def main():
    home, rows, trials, first, workers = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
    with LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        runtime = {"engine": "dask", "scheduler": cluster.scheduler_address}
        given = {f"runtime.{name}": value for name, value in runtime.items()} | {"data.roots": [os.path.dirname(rows)]}
        environment = {"MLOPS_HOME": home, "MLOPS_CONFIG": os.devnull}
        work = Work(load(environment, given).settings, Tracer(lambda _span: None))
        request = TuneRequest(
            dataset=rows, target="y", algorithm="XGBoost", folds=3, n_trials=trials, metric="auc", study=f"w{workers}",
            search_space={"learning_rate": [0.05, 0.3], "reg_lambda": [0.5, 5.0]},
        )
        began = time.time()
        made = client.tune_model(work, request)
        ended = sorted(find_study(work, f"w{workers}").trials, key=lambda trial: trial.datetime_complete)
        warm, last = (ended[place].datetime_complete.timestamp() for place in (first - 1, -1))
        parts = sum(len(trial.intermediate_values) for trial in ended[first:])
        known = {json.dumps(each.params): each.value for each in ended if each.state.name == "COMPLETE"}
        told = {"part_s": (last - warm) / parts, "first_s": ended[0].datetime_complete.timestamp() - began}
        print(json.dumps(told | {"parts": parts, "best": made.best_value, "known": known}), flush=True)

if __name__ == "__main__":
    main()
"""


def _search(folder: Path, workers: int) -> dict[str, Any]:
    program = folder / "search.py"
    program.write_text(SEARCH, encoding="utf-8")
    given = [folder / "home", folder / "rows.parquet", TRIALS, FIRST, workers]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(program), *map(str, given)], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _run(folder: Path) -> Outcome:
    write_rows(folder / "rows.parquet", ROWS)
    two, one = _search(folder, 2), _search(folder, 1)
    # What is searched depends on how many points are under way; what both have scored in full has one score.
    shared = one["known"].keys() & two["known"].keys()
    equal = bool(shared) and all(one["known"][key] == two["known"][key] for key in shared)
    note = (
        f"seconds a part, {two['parts']} and {one['parts']} of them after the first {FIRST} trials; the first one done "
        f"after {two['first_s']:.1f} and {one['first_s']:.1f} s; best {two['best']:.4f} and {one['best']:.4f}; "
        f"{len(shared)} points scored by both, {'bit-equal' if equal else 'NOT EQUAL'}"
    )
    return Outcome(two["part_s"], one["part_s"], equal, note)


CASES = [
    Case(
        "dask", f"a part of {TRIALS} trials of XGBoost on {ROWS} x 13, 3 folds, two workers of one thread",
        "one worker",
        "two workers 1.7 x one", _run,
    )
]  # fmt: skip
