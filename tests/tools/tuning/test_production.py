"""From a search to a model that can be judged: what is noise is called noise, and a study trains what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.modeling.store import find_model
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking.client import get_run
from mlops_mcp.tools.training.client import evaluate_model, list_algorithms, train_model
from mlops_mcp.tools.training.models import EvaluateRequest, Trained, TrainRequest
from mlops_mcp.tools.tuning.client import get_study, tune_model
from mlops_mcp.tools.tuning.models import Tuned, TuneRequest

pytestmark = pytest.mark.slow


def stored(work: Work, folder: Path, name: str, signal: float, seed: int, rows: int = 240) -> str:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(draw.normal(size=(rows, 3)), columns=list("abc"))
    chance = 1 / (1 + np.exp(-signal * (frame["a"] - frame["b"])))
    frame.assign(y=(draw.random(rows) < chance).astype(int)).to_parquet(folder / f"{name}.parquet")
    return resolve(work, str(folder / f"{name}.parquet")).handle


def tune(work: Work, dataset: str, **changes: Any) -> Tuned:
    request: dict[str, Any] = {
        "dataset": dataset,
        "target": "y",
        "algorithm": "LogisticRegression",
        "folds": 3,
        "n_trials": 5,
    }
    return tune_model(work, TuneRequest.model_validate(request | changes))


def train(work: Work, dataset: str, **changes: Any) -> Trained:
    request: dict[str, Any] = {"dataset": dataset, "target": "", "algorithm": ""}
    return train_model(work, TrainRequest.model_validate(request | changes))


def test_a_search_on_noise_ends_in_one_call_with_the_verdict_that_it_found_nothing(work: Work, tmp_path: Path) -> None:
    rows, test = (stored(work, tmp_path, name, 0, seed) for name, seed in (("noise", 0), ("test", 1)))
    tuned = tune(work, rows, test=test, refit=True, n_trials=12)
    assert tuned.score is not None
    assert tuned.test is not None
    assert (tuned.score.verdict, tuned.test.verdict) == ("not_distinguishable", "not_distinguishable")
    assert any(note.startswith("the best score is not distinguishable") for note in tuned.notes)


def test_a_search_with_a_signal_ends_with_the_model_that_its_best_parameters_make(work: Work, tmp_path: Path) -> None:
    rows, test = (stored(work, tmp_path, name, 2, seed) for name, seed in (("rows", 0), ("test", 1)))
    tuned = tune(work, rows, test=test, refit=True, study="mine")
    assert tuned.score is not None
    assert tuned.test is not None
    assert tuned.model is not None
    assert (tuned.score.verdict, tuned.test.verdict) == ("above_baseline", "above_baseline")
    found = evaluate_model(work, EvaluateRequest(model=tuned.model, dataset=test, metric="", log=False))
    assert tuned.test.value == pytest.approx(found.metrics["auc"], abs=1e-12)
    assert get_run(work, tuned.run).metrics["test_auc"] == pytest.approx(tuned.test.value)
    assert find_model(work, tuned.model).card.params == tuned.best_params
    assert {edge.parent for edge in Lineage(work.home).ancestors(tuned.model)} >= {rows, "study:mine"}
    assert tuned.undo == f"delete(handle={[tuned.model, tuned.study, tuned.run]!r}, dry_run=false)"
    again = train(work, rows, study="study:mine")
    assert again.train == train(work, rows, target="y", algorithm="LogisticRegression", params=tuned.best_params).train
    assert again.features == ["a", "b", "c"]


def test_the_rows_that_were_searched_on_are_no_test(work: Work, tmp_path: Path) -> None:
    rows = stored(work, tmp_path, "rows", 2, 0)
    with pytest.raises(ToolFailure, match="is searched on, so it is no test"):
        tune(work, rows, test=rows)
    held = stored(work, tmp_path, "held", 2, 1)
    with pytest.raises(ToolFailure, match="is searched on, so it is no test"):
        tune(work, rows, validation=held.partition("@")[0].removeprefix("dataset:"), test=held)
    with pytest.raises(ToolFailure, match="unknown dataset"):
        tune(work, rows, test="dataset:nothing")


def test_one_validation_dataset_has_no_folds_but_rows_to_go_by(work: Work, tmp_path: Path) -> None:
    rows, held = (stored(work, tmp_path, name, 2, seed) for name, seed in (("rows", 0), ("held", 1)))
    tuned = tune(work, rows, validation=held)
    assert tuned.score is not None
    assert (tuned.score.verdict, tuned.score.interval, tuned.score.n) == ("above_baseline", None, 240)
    assert tuned.score.reason == "one fold has no spread"


def test_trials_are_counted_in_all_and_their_folds_are_kept(work: Work, tmp_path: Path) -> None:
    rows = stored(work, tmp_path, "rows", 2, 0)
    first = tune(work, rows, study="mine", n_trials=3)
    more = tune(work, rows, study="mine", n_trials=7)
    none = tune(work, rows, study="mine", n_trials=7)
    assert [made.trials_before for made in (first, more, none)] == [0, 3, 7]
    assert [made.trials + made.pruned for made in (first, more, none)] == [3, 7, 7]
    assert any("had 7 trials already" in note for note in none.notes)
    assert none.best_value == more.best_value
    best = get_study(work, "mine").best
    assert best is not None
    assert (len(best.folds), best.folds) == (3, more.best_folds)
    assert best.value == pytest.approx(np.mean(best.folds), abs=1e-12)
    assert best.std == pytest.approx(np.std(best.folds, ddof=1), abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target": "a"}, "has target y, not a"),
        ({"algorithm": "XGBoost"}, "has algorithm LogisticRegression, not XGBoost"),
        ({"features": ["a"]}, "has features .*'a', 'b'.*, not"),
        ({"exclude": ["a"]}, "has exclude"),
        ({"task": "regression"}, "has task classification, not regression"),
        ({"params": {"C": 12345.0}}, "has C .*, not 12345"),
        ({"study": "mien"}, "Did you mean study:mine"),
        ({"study": ""}, "no target is given"),
    ],
)
def test_what_a_study_says_is_not_overruled_in_silence(
    work: Work, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    rows = stored(work, tmp_path, "rows", 2, 0, 90)
    tune(work, rows, study="mine", n_trials=1, exclude=["c"])
    with pytest.raises(ToolFailure, match=says):
        train(work, rows, **{"study": "mine"} | changes)


def test_the_list_of_algorithms_is_short_and_one_by_name_says_more(work: Work) -> None:
    short = list_algorithms(work, "").model_dump_json(exclude_none=True)
    assert len(short) / 4 < 600
    one = list_algorithms(work, "xgboost").algorithms[0]
    assert one.search_space is not None
    assert {"max_depth", "learning_rate"} <= one.search_space.keys()
    with pytest.raises(ToolFailure, match="Did you mean XGBoost"):
        list_algorithms(work, "XGBost")
