import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.causal.client import estimate_effect
from mlops_mcp.tools.causal.models import EffectRequest
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.algorithms import algorithm
from mlops_mcp.tools.modeling.effects import EffectScorer, effect_encoder, effect_rows, fit_effect
from mlops_mcp.tools.modeling.store import find_model
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking.client import search_runs
from mlops_mcp.tools.tuning import client
from mlops_mcp.tools.tuning.models import Tuned, TuneRequest
from mlops_mcp.tools.tuning.objective import open_objective
from mlops_mcp.tools.tuning.space import read_space

pytestmark = pytest.mark.slow

OF = {"treatment": "t", "controls": ["w"]}
# With given first stages their choice is left out, which takes most of the time.
GIVEN = {"model_y__max_iter": [30], "model_t__max_iter": [30]}
SMALL = GIVEN | {"n_estimators": {"low": 20, "high": 60, "step": 20}, "min_samples_leaf": [5, 60]}


def write_rows(path: Path, seed: int) -> str:
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(2, 800))
    treated = (rng.random(800) < 1 / (1 + np.exp(-x - w))).astype(int)
    outcome = (1 + 2 * x) * treated + w + rng.normal(size=800)
    pd.DataFrame({"x": x, "w": w, "t": treated, "y": outcome}).to_parquet(path)
    return str(path)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return write_rows(tmp_path / "rows.parquet", 0)


@pytest.fixture
def others(tmp_path: Path) -> str:
    return write_rows(tmp_path / "others.parquet", 1)


def tune(work: Work, rows: str, **changes: object) -> Tuned:
    request: dict[str, object] = {
        "dataset": rows,
        "target": "y",
        "algorithm": "CausalForest",
        "folds": 2,
        "search_space": SMALL,
        "n_trials": 2,
        "features": ["x"],
        "effect": OF,
        "experiment": "tune",
    }
    return client.tune_model(work, TuneRequest.model_validate(request | changes))


def test_a_trial_scores_what_econmls_scorer_says_of_the_same_model(work: Work, rows: str, others: str) -> None:
    tuned = tune(work, rows, validation=others, n_trials=3)
    found = estimate_effect(
        work,
        EffectRequest(
            dataset=rows,
            treatment="t",
            outcome="y",
            effect_modifiers=["x"],
            controls=["w"],
            estimator="CausalForest",
            params=tuned.best_params,
        ),
    )
    card = find_model(work, found.model, effects=True).card
    train, held_out = (effect_rows(pd.read_parquet(path), card) for path in (rows, others))
    scorer = EffectScorer.on(card, held_out, effect_encoder(card, train))
    assert (tuned.metric, tuned.direction, tuned.trials) == ("r_score", "maximize", 3)
    assert tuned.best_value == pytest.approx(scorer.score(fit_effect(card, train, 1)), abs=1e-6)
    assert tuned.best_value > 0.2


def test_each_trial_of_an_effect_is_a_run_and_the_study_resumes(work: Work, rows: str) -> None:
    tuned = tune(work, rows, study="forest")
    children = search_runs(work, "tune", f"tags.`mlflow.parentRunId` = '{tuned.run[4:]}'", "", 50, "").items
    assert max(child.metrics["r_score"] for child in children) == tuned.best_value
    assert tune(work, rows, study="forest", n_trials=3).trials == 3
    with pytest.raises(ToolFailure, match="another controls"):
        tune(work, rows, study="forest", effect={"treatment": "t"})


@pytest.mark.parametrize("name", ["CausalForest", "LinearDML"])
def test_the_default_space_holds_the_default_parameters(work: Work, rows: str, name: str) -> None:
    assert read_space(algorithm(name).space)
    tuned = tune(work, rows, algorithm=name, search_space={}, n_trials=1)
    assert tuned.default_value == tuned.best_value


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"effect": {}}, "needs effect="),
        ({"features": []}, "features"),
        ({"effect": {"treatment": "tt"}}, "Did you mean t"),
        ({"effect": OF | {"controls": ["v"]}}, "unknown column"),
        ({"effect": OF | {"controls": ["y"]}}, "different columns"),
        ({"metric": "auc"}, "r_score"),
        ({"refit": True}, "nothing is refitted"),
        ({"search_space": {"n_estimators": [10, 50]}}, "divisible by 4"),
        ({"search_space": {"max_dept": [2, 5]}}, "Did you mean max_depth"),
        ({"search_space": {"model_y__max_itr": [20, 50]}}, "Did you mean max_iter"),
        ({"algorithm": "XGBoost"}, "takes no effect"),
        ({"n_trials": 0}, "must be 1 to 2000"),
        ({"folds": 1}, "must be 2 to 20"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(work: Work, rows: str, changes: dict[str, object], says: str) -> None:
    with pytest.raises(ToolFailure, match=says):
        tune(work, rows, **changes)


def test_more_folds_than_rows_of_a_class_are_refused(work: Work, tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.linspace(0, 1, 60), "y": [1, 1] + [0] * 58})
    frame.to_parquet(tmp_path / "rare.parquet")
    with pytest.raises(ToolFailure, match="3 folds need as many rows of each class, not 2"):
        tune(
            work, str(tmp_path / "rare.parquet"), algorithm="LogisticRegression", features=["x"], folds=3,
            effect={}, search_space={},
        )  # fmt: skip


def test_points_are_scored_alike_in_another_process(work: Work, rows: str, others: str) -> None:
    for changes in ({}, {"validation": others}):
        request = TuneRequest.model_validate(
            {
                "dataset": rows, "target": "y", "algorithm": "CausalForest", "folds": 2, "n_trials": 2,
                "search_space": SMALL, "features": ["x"], "effect": OF, **changes,
            }
        )  # fmt: skip
        objective = open_objective(work, request)[0]
        point = {"model_y__max_iter": 30, "model_t__max_iter": 30, "n_estimators": 20, "min_samples_leaf": 20}
        sent = pickle.loads(pickle.dumps(objective))
        sent.get_ready()
        # Sums of BLAS differ in their last bit with where the rows happen to lie.
        assert list(sent.steps(point)) == pytest.approx(list(objective.steps(point)), rel=1e-12)
