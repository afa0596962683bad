"""What the libraries misread in silence or refuse without saying why, met through train_model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.explain.client import explain_prediction
from mlops_mcp.tools.modeling.algorithms import ALGORITHMS
from mlops_mcp.tools.modeling.card import Task
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.pipelines import scores
from mlops_mcp.tools.modeling.store import find_model, load_pipeline
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.training import client
from mlops_mcp.tools.training.models import EvaluateRequest, Trained, TrainRequest

pytestmark = pytest.mark.slow

HARD_NAMES = ("income [usd]", 'a<b "{,}:"', "income_[usd]", "x" * 300)
TASKS: tuple[Task, ...] = ("classification", "regression")
EVERY = [(entry.name, task) for entry in ALGORITHMS if entry.installed for task in TASKS if task in entry.estimators]
CLASSIFIERS = [name for name, task in EVERY if task == "classification"]

every_model = pytest.mark.parametrize(("algorithm", "task"), EVERY)


def rows(names: tuple[str, str, str, str] = ("a", "b", "c", "d"), count: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(count, 3)), columns=list(names[:3]))
    frame[names[3]] = rng.choice(["u", "v", "w"], count)
    amount = frame[names[0]] - 2 * frame[names[1]] + (frame[names[3]] == "u")
    return frame.assign(amount=amount, label=(amount > 0).astype(int))


def train(work: Work, folder: Path, frame: pd.DataFrame, target: str = "label", **changes: object) -> Trained:
    frame.to_parquet(folder / "rows.parquet")
    request: dict[str, object] = {
        "dataset": str(folder / "rows.parquet"), "target": target, "algorithm": "XGBoost", "task": "auto",
        "params": {}, "features": [], "exclude": [], "validation": "", "run": "", "experiment": "", "seed": 0,
    }  # fmt: skip
    return client.train_model(work, TrainRequest.model_validate(request | changes))


def answers(work: Work, model: str, frame: pd.DataFrame) -> np.ndarray:
    stored = find_model(work, model)
    return scores(load_pipeline(stored), design(frame, stored.card), stored.card)


def fast(algorithm: str) -> dict[str, int]:
    names = {"XGBoost": "n_estimators", "LightGBM": "n_estimators", "RandomForest": "n_estimators"}
    return {names[algorithm]: 20} if algorithm in names else {}


@every_model
def test_hard_names_and_permuted_columns_change_no_answer(
    work: Work, tmp_path: Path, algorithm: str, task: Task
) -> None:
    target, other = ("label", "amount") if task == "classification" else ("amount", "label")
    options = {"algorithm": algorithm, "task": task, "exclude": [other], "params": fast(algorithm)}
    frame, plain = rows(HARD_NAMES), rows()
    trained = train(work, tmp_path, frame, target, **options)
    assert trained.features == list(HARD_NAMES)
    found = answers(work, trained.model, frame)
    shuffled = answers(work, trained.model, frame[list(reversed(frame.columns))])
    assert np.allclose(found, shuffled, rtol=0, atol=1e-12)
    same = train(work, tmp_path, plain, target, **options)
    assert np.allclose(found, answers(work, same.model, plain), rtol=0, atol=1e-12)


@every_model
def test_a_misspelt_parameter_is_refused_by_every_algorithm(
    work: Work, tmp_path: Path, algorithm: str, task: Task
) -> None:
    with pytest.raises(ToolFailure, match="unknown parameter"):
        train(work, tmp_path, rows(), algorithm=algorithm, task=task, params={"n_estimatorz": 3})


@pytest.mark.parametrize("algorithm", ["XGBoost", "LightGBM"])
def test_contributions_are_those_of_the_named_columns(work: Work, tmp_path: Path, algorithm: str) -> None:
    frame = rows(HARD_NAMES)
    trained = train(work, tmp_path, frame, algorithm=algorithm, exclude=["amount"], params=fast(algorithm))
    row = {name: (value if isinstance(value, str) else float(value)) for name, value in frame.iloc[0].items()}
    found = explain_prediction(work, trained.model, {str(key): value for key, value in row.items()}, "", 0, "", 9)
    assert {item.feature for item in found.contributions} == set(HARD_NAMES)
    assert found.additivity_error < 1e-4
    assert found.contributions[0].feature == HARD_NAMES[1]


def test_the_same_seed_gives_the_same_model_and_another_seed_another(work: Work, tmp_path: Path) -> None:
    frame, params = rows(), {"n_estimators": 20, "subsample": 0.5}
    first, again, other = (
        answers(work, train(work, tmp_path, frame, exclude=["amount"], params=params, seed=seed).model, frame)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("algorithm", CLASSIFIERS)
@pytest.mark.parametrize("labels", [("no", "yes"), (1, 2), (False, True), (-1.0, 1.0)])
def test_labels_come_back_as_they_were_in_every_classifier(
    work: Work, tmp_path: Path, algorithm: str, labels: tuple[Any, Any]
) -> None:
    frame = rows()
    frame["label"] = pd.Series([labels[value] for value in frame["label"]])
    trained = train(work, tmp_path, frame, algorithm=algorithm, exclude=["amount"], params=fast(algorithm))
    assert trained.classes == [str(label) for label in labels]
    assert (trained.train["auc"] or 0) > 0.9


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({"label": 1}, {}, "1 distinct"),
        ({"label": 2.5}, {"task": "regression"}, "same in every row"),
        ({"label": [float("inf")] + [0.5, 1.5] * 99 + [0.5]}, {"task": "regression"}, "infinite"),
        ({"label": [f"l{number}" for number in range(200)]}, {}, "200 distinct"),
        ({"label": pd.date_range("2024-01-01", periods=200)}, {"task": "regression"}, "is a time"),
        ({"a": pd.date_range("2024-01-01", periods=200)}, {"features": ["a", "b"]}, "is a time"),
        ({"a": [float("inf")] + [0.0] * 199}, {"features": ["a", "b"]}, "infinite"),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused(
    work: Work, tmp_path: Path, change: dict[str, Any], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ToolFailure, match=says):
        train(work, tmp_path, rows().assign(**change), **options)


def test_two_rows_train_a_model_that_is_said_to_mean_little(work: Work, tmp_path: Path) -> None:
    frame = rows().head(2).assign(label=[0, 1])
    trained = train(work, tmp_path, frame, features=["a", "b", "c"])
    assert any("2 rows are few" in note for note in trained.notes)
    assert any("class 0 has 1 rows" in note for note in trained.notes)
    found = client.evaluate_model(
        work, EvaluateRequest(model=trained.model, dataset=str(tmp_path / "rows.parquet"), metric="", log=False)
    )
    assert found.interval is not None
    assert found.interval[1] - found.interval[0] > 0.8


def test_huge_whole_numbers_are_a_regression_target(work: Work, tmp_path: Path) -> None:
    frame = rows()
    frame["label"] = (frame["amount"] * 1e15).astype("int64") + 2**60
    trained = train(work, tmp_path, frame, exclude=["amount"], algorithm="LightGBM")
    assert trained.task == "regression"
    assert (trained.train["r2"] or 0) > 0.5


def test_columns_without_text_names_are_called_by_their_numbers(work: Work, tmp_path: Path) -> None:
    frame = rows()[["a", "b", "label"]]
    frame.columns = pd.Index([1, 2, "label"], dtype=object)
    assert train(work, tmp_path, frame).features == ["1", "2"]


def test_an_algorithm_whose_library_is_missing_says_what_to_install(work: Work, tmp_path: Path) -> None:
    lines = {line.name: line for line in client.list_algorithms(work).algorithms}
    missing = [line for line in lines.values() if line.install]
    assert {"XGBoost", "CausalForest", "LinearDML", "CatBoost", "Lasso"} <= lines.keys()
    for line in missing:
        with pytest.raises(ToolFailure, match=r"pip install 'mlops-mcp\[") as failure:
            train(work, tmp_path, rows(), algorithm=line.name)
        assert str(line.install) in str(failure.value)


@pytest.mark.parametrize("algorithm", ["CausalForest", "LinearDML"])
def test_an_effect_algorithm_is_sent_to_estimate_effect(work: Work, tmp_path: Path, algorithm: str) -> None:
    with pytest.raises(ToolFailure, match="estimate_effect"):
        train(work, tmp_path, rows(), algorithm=algorithm)
