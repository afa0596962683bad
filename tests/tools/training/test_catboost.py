"""CatBoost, an extra beyond `all`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.explain.client import explain_interactions, explain_prediction
from mlops_mcp.tools.explain.models import ExplainRequest
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.store import find_model, load_pipeline
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.training.client import train_model
from mlops_mcp.tools.training.models import Trained, TrainRequest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fitted_once")]

LOANS = Path(__file__).parents[3] / "examples" / "credit_risk" / "loan_table.parquet"


@pytest.fixture
def loans(work: Work, tmp_path: Path) -> str:
    pd.read_parquet(LOANS).sample(1500, random_state=0).to_parquet(tmp_path / "loans.parquet")
    return resolve(work, str(tmp_path / "loans.parquet")).handle


def train(work: Work, loans: str, target: str = "loan_status", **params: object) -> Trained:
    request = {"dataset": loans, "target": target, "algorithm": "CatBoost", "params": params or {"iterations": 40}}
    return train_model(work, TrainRequest.model_validate(request))


@pytest.mark.parametrize("target", ["loan_status", "person_home_ownership", "loan_int_rate"])
def test_it_trains_is_stored_without_pickle_and_explains_itself(
    work: Work, loans: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    model = train(work, loans, target).model
    found = explain_prediction(work, model, {}, loans, 3, "", 50)
    total = found.base_value + sum(item.contribution for item in found.contributions)
    assert total == pytest.approx(found.margin, abs=1e-6)
    request = ExplainRequest(model=model, dataset=loans, rows=20, label="", seed=0)
    assert explain_interactions(work, request).pairs
    assert list((tmp_path / "here").iterdir()) == []


def test_missing_and_unseen_categories_are_scored(work: Work, loans: str) -> None:
    model = find_model(work, train(work, loans).model)
    rows = resolve(work, loans).frame().head(3).copy()
    rows["loan_intent"] = [None, "SPACE", "VENTURE"]
    assert np.isfinite(load_pipeline(model).predict_proba(design(rows, model.card))).all()


def test_other_names_of_its_parameters_replace_the_defaults(work: Work, loans: str) -> None:
    model: Any = load_pipeline(find_model(work, train(work, loans, n_estimators=7, max_depth=2).model))
    assert model[-1].tree_count_ == 7


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"itrations": 3}, "Did you mean iterations"),
        ({"train_dir": "somewhere"}, "set by the server"),
        ({"depth": -1}, "refused"),
    ],
)
def test_wrong_parameters_are_refused(work: Work, loans: str, params: dict[str, Any], says: str) -> None:
    with pytest.raises(ToolFailure, match=says):
        train(work, loans, **params)
