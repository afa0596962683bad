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
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .case import Case, Outcome

ROWS, TRIALS, SEEDS, POINTS = 1_000, 30, 1, 3

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
home, rows, trials, seeds, points = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
"""
OURS = """
def ours(seed, _given):
    told = {"data.roots": [os.path.dirname(rows)]}
    work = Work(load({"MLOPS_HOME": home, "MLOPS_CONFIG": os.devnull}, told).settings, Tracer(lambda _span: None))
    request = TuneRequest(
        dataset=rows, target="y", algorithm="XGBoost", folds=3, n_trials=trials, metric="auc", seed=seed,
        study=f"s{seed}",
    )
    began = time.perf_counter()
    made = client.tune_model(work, request)
    took = time.perf_counter() - began
    known = optuna.load_study(study_name=f"s{seed}", storage=open_storage(work, f"s{seed}")).get_trials()
    full = [[each.params, each.value] for each in known if each.state.name == "COMPLETE"]
    some = full[:: max(1, len(full) // points)][:points]
    return {"seconds": took, "best": made.best_value, "pruned": made.pruned, "full": some}
"""
LOOP = """
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

entry = algorithm("XGBoost")
space = read_space(entry.space)

def value(features, target, params, seed):
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

def loop(seed, given):
    began = time.perf_counter()
    frame = pandas.read_parquet(rows)
    features, target = frame.drop(columns="y"), frame["y"]
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for _ in range(trials):
        trial = study.ask(space)
        study.tell(trial, value(features, target, trial.params, seed))
    took = time.perf_counter() - began
    return {"seconds": took, "best": study.best_value, "again": [value(features, target, each, seed) for each in given]}
"""
# Each search is forked from this process, which runs no library code: so both sides find the libraries loaded.
TURNS = """
def apart(search, *given):
    inlet, outlet = os.pipe()
    if not os.fork():
        os.write(outlet, json.dumps(search(*given)).encode())
        os._exit(0)
    os.close(outlet)
    with open(inlet) as said:
        told = said.read()
    if os.waitstatus_to_exitcode(os.wait()[1]):
        sys.exit(f"{search.__name__} of seed {given[0]} failed")
    return json.loads(told)

for seed in range(seeds):
    own = apart(ours, seed, None)
    print(json.dumps([own, apart(loop, seed, [params for params, _ in own["full"]])]), flush=True)
"""


def write_rows(path: Path, rows: int) -> None:
    """Numbers and a category that tell something of a target, and some noise."""
    draw = np.random.default_rng(0)
    numbers = draw.normal(size=(rows, 12))
    city = draw.choice(["Basel", "Bern", "Chur", "Genf", "Zug"], rows)
    tilt = pd.Series(city).map({"Basel": 0.6, "Bern": -0.4, "Chur": 0.0, "Genf": 0.3, "Zug": -0.8}).to_numpy()
    signal = numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + np.sin(2 * numbers[:, 3]) + tilt
    chance = 1 / (1 + np.exp(-signal))
    frame = pd.DataFrame(numbers, columns=[f"x{place}" for place in range(12)]).assign(city=city)
    frame.assign(y=(draw.random(rows) < chance).astype(int)).to_parquet(path)


def _told(folder: Path, trials: int, seeds: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What ours and the loop say of each seed, one after the other."""
    given = [folder / "home", folder / "rows.parquet", trials, seeds, POINTS]
    # As in a job; threads that spin while they wait would slow down both.
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        [sys.executable, "-c", READY + OURS + LOOP + TURNS, *map(str, given)],
        stdout=subprocess.PIPE, text=True, check=True, env=environment,
    )  # fmt: skip
    told = (json.loads(line) for line in done.stdout.splitlines())
    return [(ours, loop) for ours, loop in told]


def run(trials: int, seeds: int, folder: Path) -> Outcome:
    write_rows(folder / "rows.parquet", ROWS)
    told = _told(folder, trials, seeds)
    ratios = [loop["seconds"] / ours["seconds"] for ours, loop in told]
    equal = all([value for _, value in ours["full"]] == loop["again"] for ours, loop in told)
    gains = [ours["best"] - loop["best"] for ours, loop in told]
    rates = [trials / statistics.median(side["seconds"] for side in sides) for sides in zip(*told, strict=True)]
    bests = " ".join(f"{ours['best']:.4f}/{loop['best']:.4f}" for ours, loop in told)
    note = (
        f"seconds a trial; {rates[0]:.2f} trials a second, the loop {rates[1]:.2f}; by seed {_shown(ratios)} x; "
        f"best ours/loop {bests}, {sum(gain >= 0 for gain in gains)} of {seeds} not below; "
        f"{statistics.mean(ours['pruned'] for ours, _ in told) / trials:.0%} pruned; "
        f"{sum(len(ours['full']) for ours, _ in told)} points scored by both, {'bit-equal' if equal else 'NOT EQUAL'}"
    )
    return Outcome(1 / rates[0], 1 / rates[1], equal, note)


def _shown(ratios: list[float]) -> str:
    return " ".join(f"{ratio:.2f}" for ratio in sorted(ratios))


def main() -> None:
    """Only this row, with as many seeds as are asked for: `python -m benchmarks.compare.trials [seeds]`."""
    with tempfile.TemporaryDirectory() as folder:
        print(run(TRIALS, int(sys.argv[1]) if sys.argv[1:] else SEEDS, Path(folder)))


CASES = [
    Case(
        "trials of a search", f"{TRIALS} trials of XGBoost on {ROWS} x 13, 3 folds, {SEEDS} seed",
        "Optuna + cross_val_score", "1.8 x as many a second", partial(run, TRIALS, SEEDS),
    )
]  # fmt: skip

if __name__ == "__main__":
    main()
