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
from mlops_mcp.tools.training.models import EvaluateRequest, Evaluation, Trained, TrainRequest

pytestmark = pytest.mark.slow

HARD_NAMES = ("income [usd]", 'a<b "{,}:"', "income_[usd]", "x" * 300)
TASKS: tuple[Task, ...] = ("classification", "regression")
EVERY = [(entry.name, task) for entry in ALGORITHMS if entry.installed for task in TASKS if task in entry.estimators]
CLASSIFIERS = [name for name, task in EVERY if task == "classification"]

every_model = pytest.mark.parametrize(("algorithm", "task"), EVERY)
once = pytest.mark.usefixtures("fitted_once")


def rows(names: tuple[str, str, str, str] = ("a", "b", "c", "d"), count: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(count, 3)), columns=list(names[:3]))
    frame[names[3]] = rng.choice(["u", "v", "w"], count)
    amount = frame[names[0]] - 2 * frame[names[1]] + (frame[names[3]] == "u")
    return frame.assign(amount=amount, label=(amount > 0).astype(int))


def train(work: Work, folder: Path, frame: pd.DataFrame, target: str = "label", **changes: object) -> Trained:
    frame.to_parquet(folder / "rows.parquet")
    request: dict[str, object] = {"dataset": str(folder / "rows.parquet"), "target": target, "algorithm": "XGBoost"}
    return client.train_model(work, TrainRequest.model_validate(request | changes))


def answers(work: Work, model: str, frame: pd.DataFrame) -> np.ndarray:
    stored = find_model(work, model)
    return scores(load_pipeline(stored), design(frame, stored.card), stored.card)


def fast(algorithm: str) -> dict[str, int]:
    names = dict.fromkeys(("XGBoost", "LightGBM", "RandomForest"), "n_estimators")
    names |= {"HistGradientBoosting": "max_iter", "CatBoost": "iterations"}
    return {names[algorithm]: 20} if algorithm in names else {}


@once
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


@once
@pytest.mark.parametrize("algorithm", ["XGBoost", "LightGBM"])
def test_contributions_are_those_of_the_named_columns(work: Work, tmp_path: Path, algorithm: str) -> None:
    frame = rows(HARD_NAMES)
    trained = train(work, tmp_path, frame, algorithm=algorithm, exclude=["amount"], params=fast(algorithm))
    row = {name: (value if isinstance(value, str) else float(value)) for name, value in frame.iloc[0].items()}
    found = explain_prediction(work, trained.model, {str(key): value for key, value in row.items()}, "", 0, "", 9)
    assert {item.feature for item in found.contributions} == set(HARD_NAMES)
    assert found.additivity_error < 1e-4
    assert found.contributions[0].feature == HARD_NAMES[1]


@once
def test_the_same_seed_gives_the_same_model_and_another_seed_another(work: Work, tmp_path: Path) -> None:
    frame, params = rows(), {"n_estimators": 20, "subsample": 0.5}
    first, again, other = (
        answers(work, train(work, tmp_path, frame, exclude=["amount"], params=params, seed=seed).model, frame)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@once
@pytest.mark.parametrize("algorithm", CLASSIFIERS)
@pytest.mark.parametrize("labels", [("no", "yes"), (1, 2), (False, True), (-1.0, 1.0)])
def test_labels_come_back_as_they_were_in_every_classifier(
    work: Work, tmp_path: Path, algorithm: str, labels: tuple[Any, Any]
) -> None:
    frame = rows()
    frame["label"] = pd.Series([labels[value] for value in frame["label"]])
    trained = train(work, tmp_path, frame, algorithm=algorithm, exclude=["amount"], params=fast(algorithm))
    assert trained.classes == list(labels)
    assert (trained.train["auc"] or 0) > 0.9


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({"label": 1}, {}, "the same in every row"),
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
    assert found.score.interval is not None
    assert found.score.interval[1] - found.score.interval[0] > 0.8


@once
def test_huge_whole_numbers_are_a_regression_target(work: Work, tmp_path: Path) -> None:
    frame = rows()
    frame["label"] = (frame["amount"] * 1e15).astype("int64") + 2**60
    trained = train(work, tmp_path, frame, exclude=["amount"], algorithm="LightGBM")
    assert trained.task == "regression"
    assert (trained.train["r2"] or 0) > 0.5


@once
def test_columns_without_text_names_are_called_by_their_numbers(work: Work, tmp_path: Path) -> None:
    frame = rows()[["a", "b", "label"]]
    frame.columns = pd.Index([1, 2, "label"], dtype=object)
    assert train(work, tmp_path, frame).features == ["1", "2"]


def test_an_algorithm_whose_library_is_missing_says_what_to_install(work: Work, tmp_path: Path) -> None:
    lines = {line.name: line for line in client.list_algorithms(work, "").algorithms}
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


def evaluate(work: Work, model: str, folder: Path, frame: pd.DataFrame, **changes: object) -> Evaluation:
    frame.to_parquet(folder / "later.parquet")
    request = {"model": model, "dataset": str(folder / "later.parquet"), "metric": "", "log": False}
    return client.evaluate_model(work, EvaluateRequest.model_validate(request | changes))


def test_rows_of_one_class_cost_only_the_scores_they_cannot_have(work: Work, tmp_path: Path) -> None:
    frame = rows()
    ones = frame[frame["label"] == 1]
    ones.to_parquet(tmp_path / "ones.parquet")
    trained = train(
        work,
        tmp_path,
        frame,
        algorithm="LogisticRegression",
        exclude=["amount"],
        validation=str(tmp_path / "ones.parquet"),
    )
    found = evaluate(work, trained.model, tmp_path, ones)
    for scores_ in (trained.validation or {}, found.metrics):
        assert scores_["auc"] is None
        assert (scores_["accuracy"] or 0) > 0.8
    assert (found.score.value, found.score.interval, found.score.verdict) == (None, None, None)
    assert "it needs every class" in (found.score.reason or "")


@once
def test_the_positive_class_can_be_told_when_training_and_when_evaluating(work: Work, tmp_path: Path) -> None:
    from sklearn.metrics import recall_score

    frame = rows().drop(columns="amount").assign(label=lambda made: made["label"].map({0: "good", 1: "bad"}))
    options = {"algorithm": "LogisticRegression"}
    default, told = train(work, tmp_path, frame, **options), train(work, tmp_path, frame, positive="bad", **options)
    assert (default.positive, told.positive) == ("good", "bad")
    assert told.classes == ["good", "bad"]
    guess = np.array(["good", "bad"])[answers(work, told.model, frame).argmax(1)]
    for model, positive in ((told.model, ""), (default.model, "bad"), (told.model, "good")):
        found = evaluate(work, model, tmp_path, frame, positive=positive)
        assert found.positive == (positive or "bad")
        expected = recall_score(frame["label"] == found.positive, guess == found.positive)
        assert found.metrics["recall"] == pytest.approx(expected)
    with pytest.raises(ToolFailure, match="unknown class"):
        evaluate(work, told.model, tmp_path, frame, positive="ugly")


def test_without_a_validation_dataset_the_scores_are_those_of_folds(work: Work, tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame = rows()
    trained = train(work, tmp_path, frame, algorithm="LogisticRegression", features=["a", "b", "c"])
    plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    cut = StratifiedKFold(3, shuffle=True, random_state=0)
    expected = cross_val_score(plain, frame[["a", "b", "c"]], frame["label"], cv=cut, scoring="roc_auc").mean()
    assert trained.folds == "3 stratified folds"
    assert trained.cross_validated is not None
    assert trained.cross_validated["auc"] == pytest.approx(expected, abs=1e-9)


def test_rows_without_a_label_and_strange_values_are_counted(work: Work, tmp_path: Path) -> None:
    frame = rows()
    trained = train(
        work, tmp_path, frame.assign(label=frame["label"].astype("Int64").mask(frame.index < 3)), exclude=["amount"]
    )
    assert trained.rows == 197
    assert "3 of 200 rows have no label and were left out" in trained.notes
    later = frame.assign(a=frame["a"] + 100, d="never")
    found = evaluate(work, trained.model, tmp_path, later)
    assert any("a is outside of" in note and "in 200 of 200 rows" in note for note in found.notes)
    assert any("d holds values unseen in training in 200 of 200 rows, e.g. 'never'" in note for note in found.notes)
    with pytest.raises(ToolFailure, match="has no rows"):
        evaluate(work, trained.model, tmp_path, frame.head(0))


def test_a_small_target_has_an_interval_of_its_size(work: Work, tmp_path: Path) -> None:
    frame = rows().assign(amount=lambda made: made["amount"] * 1e-6)
    trained = train(work, tmp_path, frame, "amount", algorithm="Lasso", exclude=["label"])
    found = evaluate(work, trained.model, tmp_path, frame.assign(a=frame["a"] + 0.5))
    assert found.score.interval is not None
    assert 0 < found.score.interval[0] < (found.score.value or 0) < found.score.interval[1] < 1e-5
    assert any("alpha counts in standard deviations of amount" in note for note in trained.notes)
