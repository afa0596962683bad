"""Tuning: a search of XGBoost's parameters over three folds, beside the same search as one writes it with Optuna.

Both begin with the libraries loaded and the rows in a file. Ours runs as a job does: in a process forked from one that
has the libraries. The loop leaves the threads to XGBoost, which takes all cores.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .case import Case, Outcome

ROWS, TRIALS, SEEDS, POINTS = 6_000, 40, 5, 3

READY = """
import json, os, sys, time
import mlflow, numpy, optuna, pandas, sklearn.compose, sklearn.model_selection, sklearn.pipeline, sklearn.preprocessing
import xgboost
from mlops_mcp.config.load import load
from mlops_mcp.tools.modeling.algorithms import algorithm
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tuning import client
from mlops_mcp.tools.tuning.models import TuneRequest
from mlops_mcp.tools.tuning.space import read_space
from mlops_mcp.tools.tuning.storage import open_storage
optuna.logging.set_verbosity(optuna.logging.WARNING)
home, rows, seed, trials = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
"""
OURS = (
    READY
    + """
settings = load({"MLOPS_HOME": home, "MLOPS_CONFIG": os.devnull}, {"data.roots": [os.path.dirname(rows)]}).settings
work = Work(settings, Tracer(lambda _span: None))
request = TuneRequest(
    dataset=rows, target="y", algorithm="XGBoost", folds=3, n_trials=trials, metric="auc", seed=seed, study=f"s{seed}"
)
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
began = time.perf_counter()
made = client.tune_model(work, request)
took = time.perf_counter() - began
known = optuna.load_study(study_name=f"s{seed}", storage=open_storage(work, f"s{seed}")).get_trials()
full = [[each.params, each.value] for each in known if each.state.name == "COMPLETE"]
print(json.dumps({"seconds": took, "best": made.best_value, "pruned": made.pruned, "full": full}), flush=True)
os._exit(0)
"""
)
LOOP = (
    READY
    + """
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

given = json.loads(sys.stdin.read())
entry = algorithm("XGBoost")
space = read_space(entry.space)

def value(features, target, params):
    texts = [name for name in features if features[name].dtype == object or str(features[name].dtype) == "str"]
    others = [name for name in features if name not in texts]
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=numpy.nan, encoded_missing_value=numpy.nan
    )
    kinds = ["c"] * len(texts) + ["q"] * len(others)
    model = xgboost.XGBClassifier(
        **{**entry.defaults, **params}, random_state=seed, enable_categorical=True, feature_types=kinds
    )
    columns = ColumnTransformer([("category", encoder, texts), ("number", "passthrough", others)])
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    scores = cross_val_score(
        Pipeline([("pre", columns), ("model", model)]), features, target, cv=folds, scoring="roc_auc"
    )
    return float(sum(scores) / len(scores))

began = time.perf_counter()
frame = pandas.read_parquet(rows)
features, target = frame.drop(columns="y"), frame["y"]
study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
for _ in range(trials):
    trial = study.ask(space)
    study.tell(trial, value(features, target, trial.params))
took = time.perf_counter() - began
again = [value(features, target, params) for params in given]
print(json.dumps({"seconds": took, "best": study.best_value, "again": again}), flush=True)
"""
)


def _rows(path: Path) -> None:
    """Numbers and a category that tell something of a target, and some noise."""
    draw = np.random.default_rng(0)
    numbers = draw.normal(size=(ROWS, 12))
    city = draw.choice(["Basel", "Bern", "Chur", "Genf", "Zug"], ROWS)
    tilt = pd.Series(city).map({"Basel": 0.6, "Bern": -0.4, "Chur": 0.0, "Genf": 0.3, "Zug": -0.8}).to_numpy()
    signal = numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + np.sin(2 * numbers[:, 3]) + tilt
    chance = 1 / (1 + np.exp(-signal))
    frame = pd.DataFrame(numbers, columns=[f"x{place}" for place in range(12)]).assign(city=city)
    frame.assign(y=(draw.random(ROWS) < chance).astype(int)).to_parquet(path)


def _told(code: str, folder: Path, seed: int, trials: int, given: Any = None) -> dict[str, Any]:
    command = [sys.executable, "-c", code, str(folder / "home"), str(folder / "rows.parquet"), str(seed), str(trials)]
    # As in a job; threads that spin while they wait would slow down both.
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _run(trials: int, seeds: int, folder: Path) -> Outcome:
    _rows(folder / "rows.parquet")
    ours_s, loop_s, gains, pruned, equal = list[float](), list[float](), list[float](), list[float](), True
    for seed in range(seeds):
        ours = _told(OURS, folder, seed, trials)
        some = ours["full"][:: max(1, len(ours["full"]) // POINTS)][:POINTS]
        loop = _told(LOOP, folder, seed, trials, [params for params, _ in some])
        equal &= [value for _, value in some] == loop["again"]
        ours_s.append(ours["seconds"] / trials)
        loop_s.append(loop["seconds"] / trials)
        gains.append(ours["best"] - loop["best"])
        pruned.append(ours["pruned"] / trials)
    ratios = [beside / own for own, beside in zip(ours_s, loop_s, strict=True)]
    note = (
        f"seconds a trial; {statistics.median(ratios):.2f} x by seed; best - loop's best: median "
        f"{statistics.median(gains):+.2g}, {sum(gain >= 0 for gain in gains)} of {seeds} not below; "
        f"{statistics.mean(pruned):.0%} pruned; {POINTS * seeds} points scored by both"
    )
    return Outcome(statistics.median(ours_s), statistics.median(loop_s), equal, note)


CASES = [
    Case(
        "trials of a search", f"{TRIALS} trials of XGBoost on {ROWS} x 13, 3 folds, {SEEDS} seeds",
        "Optuna + cross_val_score", "1.8 x as many a second", partial(_run, TRIALS, SEEDS),
    )
]  # fmt: skip
