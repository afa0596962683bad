import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.card import CARD_FILE, MODEL_FILE, digest
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.store import find_model, load_pipeline
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking.client import get_run
from mlops_mcp.tools.training import client
from mlops_mcp.tools.training.models import EvaluateRequest, Trained, TrainRequest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fitted_once")]

LOANS = Path(__file__).parents[3] / "examples" / "credit_risk" / "loan_table.parquet"
NUMBERS = ["person_age", "person_income", "person_emp_length", "loan_amnt", "loan_int_rate"]

# Few trees say as much of what is tested here as the default of hundreds.
FEW: dict[str, dict[str, int]] = {
    **{name: {"n_estimators": 20} for name in ("XGBoost", "LightGBM", "RandomForest")},
    "HistGradientBoosting": {"max_iter": 20},
}


def train(work: Work, dataset: str, **changes: object) -> Trained:
    request: dict[str, object] = {"dataset": dataset, "target": "loan_status", "algorithm": "XGBoost"}
    return client.train_model(work, TrainRequest.model_validate(request | changes))


@pytest.fixture
def loans(work: Work, tmp_path: Path) -> str:
    pd.read_parquet(LOANS).sample(3000, random_state=0).to_parquet(tmp_path / "loans.parquet")
    return resolve(work, str(tmp_path / "loans.parquet")).handle


def test_xgboost_scores_exactly_as_plain_xgboost_does(work: Work, loans: str) -> None:
    from sklearn.metrics import roc_auc_score
    from xgboost import XGBClassifier

    params = {"n_estimators": 50, "max_depth": 4, "learning_rate": 0.1, "subsample": 1.0, "colsample_bytree": 1.0}
    trained = train(work, loans, features=NUMBERS, params=params, seed=7)
    frame = resolve(work, loans).frame()
    plain = XGBClassifier(**params, random_state=7).fit(frame[NUMBERS], frame["loan_status"])
    expected = roc_auc_score(frame["loan_status"], plain.predict_proba(frame[NUMBERS])[:, 1])
    assert trained.train["auc"] == pytest.approx(expected, abs=1e-9)


def test_logistic_regression_scores_exactly_as_plain_scikit_learn_does(work: Work, loans: str) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    trained = train(work, loans, algorithm="LogisticRegression", features=NUMBERS)
    frame = resolve(work, loans).frame()
    plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=0))
    plain.fit(frame[NUMBERS].astype(float), frame["loan_status"])
    expected = roc_auc_score(frame["loan_status"], plain.predict_proba(frame[NUMBERS].astype(float))[:, 1])
    assert trained.train["auc"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "algorithm", ["XGBoost", "LightGBM", "RandomForest", "HistGradientBoosting", "LogisticRegression"]
)
def test_every_classifier_survives_storage_missing_values_and_unseen_categories(
    work: Work, loans: str, algorithm: str
) -> None:
    model = find_model(work, train(work, loans, algorithm=algorithm, params=FEW.get(algorithm, {})).model)
    rows = resolve(work, loans).frame().head(20).copy()
    rows.loc[rows.index[0], "loan_intent"] = "SPACE"
    rows.loc[rows.index[1], "loan_intent"] = None
    rows["person_emp_length"] = rows["person_emp_length"].mask(rows.index == rows.index[2])
    first, again = (load_pipeline(model).predict_proba(design(rows, model.card)) for _ in range(2))
    # A forest adds its trees in the order its threads finish.
    assert np.allclose(first, again, rtol=0, atol=1e-12)
    assert np.isfinite(first).all()
    shuffled = rows[list(reversed(rows.columns))]
    assert np.allclose(load_pipeline(model).predict_proba(design(shuffled, model.card)), first, rtol=0, atol=1e-12)


def test_an_unseen_category_is_scored_as_missing_and_not_as_another_one(work: Work, loans: str) -> None:
    model = find_model(work, train(work, loans, params=FEW["XGBoost"]).model)
    row = resolve(work, loans).frame().head(1)
    scores = {}
    for intent in ("SPACE", None, *model.card.classes, "VENTURE", "EDUCATION"):
        changed = row.assign(loan_intent=intent if isinstance(intent, str) else None)
        scores[str(intent)] = load_pipeline(model).predict_proba(design(changed, model.card))[0, 1]
    assert scores["SPACE"] == scores["None"]
    assert scores["SPACE"] not in (scores["VENTURE"], scores["EDUCATION"])


@pytest.mark.parametrize("algorithm", ["XGBoost", "LightGBM", "RandomForest", "LinearRegression", "Ridge", "Lasso"])
def test_every_regressor_predicts_a_number(work: Work, loans: str, algorithm: str) -> None:
    trained = train(
        work, loans, algorithm=algorithm, target="loan_int_rate", features=["loan_amnt", "loan_intent"],
        params=FEW.get(algorithm, {}),
    )  # fmt: skip
    assert (trained.task, trained.classes) == ("regression", [])
    assert (trained.train["rmse"] or 9) < 5


def test_text_labels_of_three_classes_come_back_as_they_were(work: Work, loans: str) -> None:
    trained = train(
        work, loans, target="person_home_ownership", features=NUMBERS, algorithm="LightGBM", params=FEW["LightGBM"]
    )
    assert trained.classes == ["MORTGAGE", "OTHER", "OWN", "RENT"]
    assert 0.5 < (trained.train["auc"] or 0) <= 1


def test_an_evaluation_has_an_interval_a_baseline_and_a_warning_about_the_training_data(work: Work, loans: str) -> None:
    trained = train(work, loans, algorithm="LogisticRegression")
    found = client.evaluate_model(work, EvaluateRequest(model=trained.model, dataset=loans, metric="", log=True))
    assert found.score.interval is not None
    assert found.score.value is not None
    assert found.score.interval[0] < found.score.value < found.score.interval[1]
    assert (found.score.baseline, found.score.verdict) == (0.5, "above_baseline")
    assert (found.trained_on, found.score.method) == (3000, "95 % logit-DeLong")
    assert any("3000 of 3000 rows were trained on" in note for note in found.notes)
    assert found.score.value == pytest.approx(trained.train["auc"], abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"algorithm": "XGBost"}, "Did you mean XGBoost"),
        ({"algorithm": "Ridge"}, "cannot do classification"),
        ({"target": "loan_sttus"}, "Did you mean loan_status"),
        ({"params": {"max_dept": 3}}, "Did you mean max_depth"),
        ({"params": {"max_depth": "deep"}}, "refused to fit"),
        ({"params": {"n_jobs": 4}}, "set by the server"),
        ({"exclude": ["zip"]}, "Did you mean zipcode"),
        ({"run": "run:nope"}, "unknown run"),
        ({"task": "regression", "algorithm": "LogisticRegression"}, "cannot do regression"),
    ],
)
def test_training_that_cannot_work_names_the_way_out(
    work: Work, loans: str, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(ToolFailure, match=says):
        train(work, loans, **changes)


def test_the_run_of_a_model_holds_how_it_was_trained_on_what_and_how_well(work: Work, loans: str) -> None:
    trained = train(work, loans, features=NUMBERS, params={"n_estimators": 5}, seed=3)
    run = get_run(work, str(trained.run), ["*"])
    assert run.params == {"algorithm": "XGBoost", "target": "loan_status", "seed": "3", "n_estimators": "5"}
    scores = {f"train_{name}": pytest.approx(value) for name, value in trained.train.items() if value is not None}
    assert "train_auc" in scores
    assert {name: run.metrics[name] for name in scores} == scores
    assert get_run(work, str(trained.run)).tags["dataset"] == loans
    assert (run.status, run.models) == ("FINISHED", [trained.model])


def test_the_model_is_refused_when_its_file_was_changed(work: Work, loans: str) -> None:
    model = find_model(work, train(work, loans, algorithm="LogisticRegression").model)
    model.file.write_bytes(b"something else")
    with pytest.raises(ToolFailure, match="not the one that was saved"):
        find_model(work, model.uri)


def test_types_that_are_not_ours_are_not_loaded_even_if_the_model_says_so(work: Work, loans: str) -> None:
    import skops.io

    model = find_model(work, train(work, loans, algorithm="LogisticRegression").model)
    skops.io.dump({"x": pickle.Unpickler}, model.file)
    card = model.card.model_copy(update={"digest": digest(model.folder / MODEL_FILE)})
    (model.folder / CARD_FILE).write_text(json.dumps(card.model_dump()), encoding="utf-8")
    with pytest.raises(ToolFailure, match="not trusted"):
        load_pipeline(find_model(work, model.uri))


def test_an_unknown_model_names_those_there_are(work: Work, loans: str) -> None:
    trained = train(work, loans, algorithm="LogisticRegression")
    for reference in ("models:/m-0", "m-nothing"):
        with pytest.raises(ToolFailure, match=trained.model):
            find_model(work, reference)
    with pytest.raises(ToolFailure, match="no model yet"):
        find_model(work, "model:nothing/1")
