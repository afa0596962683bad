import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.explain import client, kept
from mlops_mcp.tools.explain.models import ExplainRequest, Kind
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.store import find_model, load_pipeline
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.training.client import train_model
from mlops_mcp.tools.training.models import TrainRequest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fitted_once")]

# Few trees add up as many do.
FEW = {
    **{name: {"n_estimators": 30} for name in ("XGBoost", "LightGBM")},
    "RandomForest": {"n_estimators": 10},
    "HistGradientBoosting": {"max_iter": 20},
}
LOANS = Path(__file__).parents[3] / "examples" / "credit_risk" / "loan_table.parquet"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sample") / "loans.parquet"
    pd.read_parquet(LOANS).sample(1500, random_state=0).to_parquet(file, index=False)
    return file


@pytest.fixture
def loans(work: Work, sample: Path, tmp_path: Path) -> str:
    return resolve(work, str(shutil.copy(sample, tmp_path))).handle


@dataclass(frozen=True)
class Linear:
    """A linear model, of which an error is all that its tests make."""

    work: Work
    model: str
    loans: str


@pytest.fixture(scope="module")
def linear(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Linear:
    environ = {"MLOPS_HOME": str(tmp_path_factory.mktemp("linear")), "MLOPS_CONFIG": os.devnull}
    work = Work(load(environ, {"data.roots": [str(sample.parent)]}).settings, Tracer(lambda _span: None))
    loans = resolve(work, str(sample)).handle
    return Linear(work, train(work, loans, "LogisticRegression"), loans)


def train(work: Work, dataset: str, algorithm: str, target: str = "loan_status", **params: object) -> str:
    return train_model(
        work,
        TrainRequest.model_validate(
            {"dataset": dataset, "target": target, "algorithm": algorithm, "params": params}
        ),
    ).model  # fmt: skip


def explain(work: Work, model: str, dataset: str, **changes: object):  # type: ignore[no-untyped-def]
    request = {"model": model, "dataset": dataset, "rows": 200, "label": "", "seed": 0} | changes
    return client.explain_model(work, ExplainRequest.model_validate(request))


@pytest.mark.parametrize("algorithm", ["XGBoost", "LightGBM"])
def test_native_contributions_equal_those_of_shaps_tree_explainer(work: Work, loans: str, algorithm: str) -> None:
    import shap

    model = train(work, loans, algorithm, n_estimators=40)
    explained = explain(work, model, loans)
    folder = work.home / "explanations" / explained.explanation.partition(":")[2]
    stored = find_model(work, model)
    features = design(pd.read_parquet(folder / "features.parquet"), stored.card)
    pipeline = load_pipeline(stored)
    expected = shap.TreeExplainer(pipeline[-1]).shap_values(pipeline[:-1].transform(features))
    # Categories are encoded before numbers.
    order = [[*stored.card.categories, *stored.card.numbers].index(name) for name in stored.card.names]
    assert np.abs(np.load(folder / "values.npy") - expected[:, order]).max() < 1e-4


@pytest.mark.parametrize(
    ("algorithm", "target"),
    [
        ("XGBoost", "loan_status"),
        ("LightGBM", "loan_status"),
        ("RandomForest", "loan_status"),
        ("HistGradientBoosting", "loan_status"),
        ("LogisticRegression", "loan_status"),
        ("XGBoost", "person_home_ownership"),
        ("LightGBM", "person_home_ownership"),
        ("RandomForest", "person_home_ownership"),
        ("LogisticRegression", "person_home_ownership"),
        ("XGBoost", "loan_int_rate"),
        ("RandomForest", "loan_int_rate"),
        ("Ridge", "loan_int_rate"),
    ],
)
def test_contributions_add_up_to_the_answer_for_every_algorithm_and_task(
    work: Work, loans: str, algorithm: str, target: str
) -> None:
    model = train(work, loans, algorithm, target, **FEW.get(algorithm, {}))
    explained = explain(work, model, loans)
    assert explained.additivity_error < 1e-3
    assert sum(item.share for item in explained.importances) == pytest.approx(1)
    one = client.explain_prediction(work, model, {}, loans, 3, "", 50)
    assert one.base_value + sum(item.contribution for item in one.contributions) == pytest.approx(one.margin, abs=1e-3)


def test_the_other_class_of_two_has_the_opposite_contributions(work: Work, loans: str) -> None:
    model = train(work, loans, "XGBoost", n_estimators=20)
    ones, zeros = (client.explain_prediction(work, model, {}, loans, 0, label, 1) for label in ("1", "0"))
    assert ones.margin == pytest.approx(-zeros.margin)
    assert ones.answer + zeros.answer == pytest.approx(1, abs=1e-6)


def test_interactions_find_the_pair_that_was_planted(work: Work, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(1500, 4)), columns=list("abcd"))
    frame.assign(y=((frame["a"] * frame["b"]) > 0).astype(int)).to_parquet(tmp_path / "xor.parquet")
    model = train(work, str(tmp_path / "xor.parquet"), "XGBoost", "y", n_estimators=60)
    request = ExplainRequest(model=model, dataset=str(tmp_path / "xor.parquet"), rows=200, label="", seed=0)
    assert client.explain_interactions(work, request).pairs[0].features == ["a", "b"]
    pd.DataFrame({"a": [1.0], "b": [2.0], "c": [0.0], "d": [0.0]}).to_parquet(tmp_path / "one.parquet")
    found = client.explain_prediction(work, model, {}, str(tmp_path / "one.parquet"), 0, "", 5)
    assert found.undo == f"delete(handle={resolve(work, 'dataset:one').handle!r}, dry_run=false)"


def test_an_explanation_is_drawn_as_a_png_and_leads_back_to_model_and_data(work: Work, loans: str) -> None:
    model = train(work, loans, "LogisticRegression")
    explained = explain(work, model, loans)
    kinds: tuple[Kind, ...] = ("beeswarm", "bar")
    for kind in kinds:
        plotted, picture = kept.plot_explanation(work, explained.explanation, kind, 5)
        assert picture.data.startswith(b"\x89PNG")
        assert [each.feature for each in plotted.columns] == [each.feature for each in explained.importances[:5]]
    assert explained.undo == f"delete(handle={explained.explanation!r}, dry_run=false)"
    parents = {edge.parent for edge in Lineage(work.home).ancestors(explained.explanation)}
    assert {model, loans} <= parents


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda work, model, loans: explain(work, model, loans, label="2"), "unknown class"),
        (lambda work, model, loans: explain(work, model, "nothing"), "unknown dataset"),
        (lambda work, model, loans: client.explain_prediction(work, model, {}, loans, 9999, "", 5), "no row 9999"),
        (lambda work, model, loans: client.explain_prediction(work, model, {}, "", 0, "", 5), "one row"),
        (lambda work, model, loans: client.explain_prediction(work, model, {"x": 1}, "", 0, "", 5), "unknown column"),
        (lambda work, model, loans: kept.plot_explanation(work, "explanation:no", "bar", 5), "unknown explanation"),
        (
            lambda work, model, loans: client.explain_interactions(
                work, ExplainRequest(model=model, dataset=loans, rows=10, label="", seed=0)
            ),
            "no interactions",
        ),
    ],
)
def test_what_cannot_be_explained_is_an_error(linear: Linear, call, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ToolFailure, match=says):
        call(linear.work, linear.model, linear.loans)
