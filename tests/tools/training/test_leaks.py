"""Coin flips for labels: whatever lets a model look good on them is named, and told folds and splits take it away."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.data.client import split_dataset
from mlops_mcp.tools.data.models import Split
from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.rows import ROWS_FILE
from mlops_mcp.tools.modeling.store import find_model
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.training.client import evaluate_model, train_model
from mlops_mcp.tools.training.models import EvaluateRequest, Evaluation, Trained, TrainRequest
from mlops_mcp.tools.tuning.client import tune_model
from mlops_mcp.tools.tuning.models import Tuned, TuneRequest

pytestmark = pytest.mark.slow

ROWS = 480
QUICK = {"n_estimators": 40}
CUSTOMERS, EACH = 300, 4


def noise(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(draw.normal(size=(rows, 4)), columns=list("abcd"))
    return frame.assign(kind=draw.choice(["u", "v", "w"], rows), y=draw.integers(0, 2, rows))


def by_customer(seed: int = 0) -> pd.DataFrame:
    """One coin for each customer, who has a few rows."""
    once = noise(CUSTOMERS, seed)
    draw = np.random.default_rng(seed + 1)
    frame = once.loc[once.index.repeat(EACH)].reset_index(drop=True)
    jitter = 0.1 * draw.normal(size=len(frame))
    return frame.assign(a=frame["a"] + jitter, customer=np.repeat([f"c{n}" for n in range(CUSTOMERS)], EACH))


def stored(work: Work, folder: Path, frame: pd.DataFrame, name: str = "rows") -> str:
    frame.to_parquet(folder / f"{name}.parquet")
    return resolve(work, str(folder / f"{name}.parquet")).handle


def train(work: Work, dataset: str, **changes: object) -> Trained:
    request: dict[str, object] = {"dataset": dataset, "target": "y", "algorithm": "XGBoost", "params": QUICK}
    return train_model(work, TrainRequest.model_validate(request | changes))


def evaluate(work: Work, model: str, dataset: str, **changes: object) -> Evaluation:
    request = {"model": model, "dataset": dataset, "metric": "", "log": False}
    return evaluate_model(work, EvaluateRequest.model_validate(request | changes))


def tune(work: Work, dataset: str, **changes: object) -> Tuned:
    request: dict[str, object] = {
        "dataset": dataset,
        "target": "y",
        "algorithm": "XGBoost",
        "folds": 3,
        "search_space": {"n_estimators": [20, 60]},
        "n_trials": 2,
    }
    return tune_model(work, TuneRequest.model_validate(request | changes))


def cut(work: Work, dataset: str, strategy: str = "random", column: str = "", group: str = "") -> Split:
    return split_dataset(work, dataset, strategy, column, 0.2, 0.3, 0, group)  # type: ignore[arg-type]


def fair(score: float | None) -> bool:
    return score is not None and abs(score - 0.5) <= 0.1


def said(notes: list[str], text: str) -> bool:
    return any(text in note for note in notes)


def test_the_training_rows_are_known_in_every_file_and_handle(work: Work, tmp_path: Path) -> None:
    whole = noise()
    made = cut(work, stored(work, tmp_path, whole))
    rows = made.train.rows
    trained = train(work, made.train.dataset)
    assert fair((trained.cross_validated or {})["auc"])
    own = resolve(work, made.train.dataset).frame()
    whole.to_csv(tmp_path / "copy.csv", index=False)
    seen = {
        made.train.dataset: rows,
        stored(work, tmp_path, own.sample(frac=1, random_state=0)[own.columns[::-1]], "shuffled"): rows,
        stored(work, tmp_path, own.head(100), "part"): 100,
        stored(work, tmp_path, whole, "parent"): rows,
        str(tmp_path / "copy.csv"): rows,
        made.test.dataset: 0,
    }
    for dataset, count in seen.items():
        found = evaluate(work, trained.model, dataset)
        assert found.trained_on == count
        assert said(found.notes, f"{count} of {found.rows} rows were trained on") == (count > 0)
    assert fair(evaluate(work, trained.model, made.test.dataset).score.value)


def test_validation_and_search_on_training_rows_are_named(work: Work, tmp_path: Path) -> None:
    dataset = stored(work, tmp_path, noise())
    text = f"validation: {ROWS} of {ROWS} rows were trained on"
    assert said(train(work, dataset, validation=dataset).notes, text)
    assert said(tune(work, dataset, validation=dataset).notes, text)


def test_rows_that_a_search_chose_parameters_by_are_named(work: Work, tmp_path: Path) -> None:
    made = cut(work, stored(work, tmp_path, noise()))
    assert made.validation is not None
    space = {"n_estimators": {"choices": [10, 30]}, "max_depth": [1, 6]}
    tuned = tune(work, made.train.dataset, validation=made.validation.dataset, search_space=space, n_trials=4)
    assert not said(tuned.notes, "were trained on")
    trained = train(work, made.train.dataset, params=tuned.best_params or {"max_depth": 2})
    found = evaluate(work, trained.model, made.validation.dataset)
    assert said(found.notes, f"{tuned.study} chose parameters by {made.validation.rows} of these")
    assert not said(evaluate(work, trained.model, made.test.dataset).notes, "chose parameters")


def test_copies_of_rows_stay_together_in_folds_and_parts(work: Work, tmp_path: Path) -> None:
    dataset = stored(work, tmp_path, pd.concat([noise(400)] * 3))
    made = cut(work, dataset, "stratified", "y")
    assert said(made.notes, "800 of 1200 rows are copies of others; copies stay in one part")
    trained = train(work, made.train.dataset)
    found = evaluate(work, trained.model, made.test.dataset)
    assert (found.trained_on, fair(found.score.value)) == (0, True)
    assert fair((trained.cross_validated or {})["auc"])
    assert said(trained.notes, "repeat the features of others")
    tuned = tune(work, dataset)
    assert fair(tuned.best_value)
    assert said(tuned.notes, "800 of 1200 rows repeat")


def test_groups_are_named_and_told_ones_stay_together(work: Work, tmp_path: Path) -> None:
    dataset = stored(work, tmp_path, by_customer())
    loose, kept = cut(work, dataset), cut(work, dataset, group="customer")
    assert said(loose.notes, "group='customer'")
    leaky = train(work, loose.train.dataset, exclude=["customer"])
    assert said(leaky.notes, "group='customer'")
    found = evaluate(work, leaky.model, loose.test.dataset)
    assert (found.score.value or 0) > 0.9
    known = (
        resolve(work, loose.test.dataset)
        .frame()["customer"]
        .isin(resolve(work, loose.train.dataset).frame()["customer"])
    )
    assert said(found.notes, f"{known.sum()} of {found.rows} rows are of a customer that was trained on")
    honest = train(work, kept.train.dataset, group="customer")
    assert "customer" not in honest.features
    assert fair((honest.cross_validated or {})["auc"])
    whole = evaluate(work, honest.model, kept.test.dataset)
    assert whole.score.method == "95 % logit-DeLong by cluster"
    assert not said(whole.notes, "trained on")
    assert fair(tune(work, dataset, group="customer").best_value)


def test_a_coin_for_each_day_is_fair_in_the_order_of_time(work: Work, tmp_path: Path) -> None:
    frame = by_customer(3).drop(columns="customer")
    frame["day"] = np.repeat(pd.date_range("2024-01-01", periods=CUSTOMERS), EACH)
    dataset = stored(work, tmp_path, frame)
    trained = train(work, dataset, time="day")
    assert trained.folds == "3 folds in the order of day, each fitted on what came before"
    assert ((trained.cross_validated or {})["auc"] or 1) < 0.65
    assert "day" not in trained.features
    assert tune(work, dataset, time="day").scored_on.startswith("3 folds in the order of day")


def test_groups_stay_whole_in_the_order_of_time(work: Work, tmp_path: Path) -> None:
    frame = by_customer()
    frame["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta((np.arange(len(frame)) + 2) // EACH, unit="D")
    frame = frame.sample(frac=1, random_state=0)
    dataset = stored(work, tmp_path, frame)
    made = cut(work, dataset, "time", "day", "customer")
    assert made.validation is not None
    parts = [resolve(work, part.dataset).frame() for part in (made.train, made.validation, made.test)]
    for earlier, later in pairwise(parts):
        assert earlier["day"].max() < later["day"].min()
        assert not {*earlier["customer"]} & {*later["customer"]}
    lost = len(frame) - sum(map(len, parts))
    assert 0 < lost < EACH * 2
    assert said(made.notes, f"{lost} rows of groups that go on into a later part are in none")
    trained = train(work, dataset, group="customer", time="day")
    assert trained.folds == "3 folds in the order of day, each fitted on groups that ended before"
    assert fair((trained.cross_validated or {})["auc"])


def test_groups_that_never_end_are_refused_in_the_order_of_time(work: Work, tmp_path: Path) -> None:
    frame = noise().assign(customer=[f"c{n % 30}" for n in range(ROWS)], day=range(ROWS))
    dataset = stored(work, tmp_path, frame)
    assert said(train(work, dataset, group="customer", time="day").notes, "not cross-validated: no group of rows ends")
    with pytest.raises(ToolFailure, match="leave `group` out"):
        cut(work, dataset, "time", "day", "customer")
    with pytest.raises(ToolFailure, match="Did you mean customer"):
        train(work, dataset, group="custmer")


def test_a_model_without_stored_rows_is_held_against_its_dataset_or_says_that_it_is_not_known(
    work: Work, tmp_path: Path
) -> None:
    frame = noise()
    dataset = stored(work, tmp_path, frame)
    trained = train(work, dataset)
    model = find_model(work, trained.model)
    (model.folder / ROWS_FILE).unlink()
    other = stored(work, tmp_path, frame.head(50), "other")
    assert evaluate(work, trained.model, other).trained_on == 50


def test_few_kinds_of_rows_repeat_by_chance_and_that_is_said(work: Work, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.integers(0, 3, 600), "b": draw.integers(0, 3, 600), "y": draw.integers(0, 2, 600)})
    made = cut(work, stored(work, tmp_path, frame))
    trained = train(work, made.train.dataset)
    assert not said(trained.notes, "repeat")
    found = evaluate(work, trained.model, made.test.dataset)
    assert said(found.notes, "maybe by chance: training has 9 distinct rows of features")
