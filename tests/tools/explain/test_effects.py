from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.causal.client import estimate_effect
from mlops_mcp.tools.causal.models import EffectRequest
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.explain import client
from mlops_mcp.tools.explain.effects import effect_shap_values
from mlops_mcp.tools.explain.models import ExplainRequest
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.store import find_model, load_effect_model
from mlops_mcp.tools.runtime.work import Work

pytestmark = pytest.mark.slow

BOTH = pytest.mark.parametrize("estimator", ["LinearDML", "CausalForest"])


@pytest.fixture
def rows(tmp_path: Path) -> str:
    """The effect is 1 + 2x, less 1 in the south; z changes nothing."""
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 1200))
    region = rng.choice(["north", "south"], 1200)
    treated = (rng.random(1200) < 1 / (1 + np.exp(-x))).astype(int)
    outcome = (1 + 2 * x - (region == "south")) * treated + x + rng.normal(size=1200)
    frame = pd.DataFrame(
        {"x": x, "z": z, "region": region, "t": treated, "y": outcome, "dose": x + rng.normal(size=1200)}
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    return str(tmp_path / "rows.parquet")


def model_of(work: Work, rows: str, estimator: str, **changes: object) -> str:
    request: dict[str, object] = {
        "dataset": rows, "treatment": "t", "outcome": "y", "effect_modifiers": ["x", "z", "region"], "controls": [],
        "estimator": estimator, "params": {"n_estimators": 100} if estimator == "CausalForest" else {}, "name": "",
        "run": "", "experiment": "", "seed": 0,
    }  # fmt: skip
    return estimate_effect(work, EffectRequest.model_validate(request | changes)).model


@BOTH
def test_contributions_add_up_to_the_effect_and_find_what_it_varies_with(work: Work, rows: str, estimator: str) -> None:
    model = model_of(work, rows, estimator)
    found = client.explain_model(work, ExplainRequest(model=model, dataset=rows, rows=60, label="", seed=0))
    assert (found.unit, found.link) == ("effect of t on y", "identity")
    assert found.additivity_error < 1e-9
    assert [item.feature for item in found.importances[:2]] == ["x", "region"]
    assert found.importances[0].direction is not None
    assert found.importances[0].direction > 0.8
    one = client.explain_prediction(work, model, {}, rows, 5, "", 9)
    stored = find_model(work, model, effects=True)
    effect = load_effect_model(work, stored).effects(design(pd.read_parquet(rows).iloc[[5]], stored.card))[0]
    assert one.margin == one.answer == pytest.approx(effect)
    assert one.base_value + sum(item.contribution for item in one.contributions) == pytest.approx(effect)
    assert one.predicted is None


def test_sampled_contributions_of_a_linear_effect_are_those_of_the_closed_form(work: Work, rows: str) -> None:
    stored = find_model(work, model_of(work, rows, "LinearDML"), effects=True)
    loaded, features = load_effect_model(work, stored), design(pd.read_parquet(rows), stored.card)
    few, background = features.head(10), features.tail(50)
    exact = effect_shap_values(loaded, stored.card, few, background, 0)
    as_forest = stored.card.model_copy(update={"algorithm": "CausalForest"})
    sampled = effect_shap_values(loaded, as_forest, few, background, 0)
    assert np.allclose(exact.values, sampled.values, rtol=0, atol=1e-9)
    assert exact.base == pytest.approx(sampled.base)


def test_econmls_own_contributions_of_a_forest_miss_its_effect(work: Work, rows: str) -> None:
    """Why they are not used: should this ever fail, use them, they are faster."""
    stored = find_model(work, model_of(work, rows, "CausalForest"), effects=True)
    loaded = load_effect_model(work, stored)
    inputs = loaded.inputs(design(pd.read_parquet(rows).head(50), stored.card))
    theirs = loaded.estimator.shap_values(inputs)["Y0"]["T0_1"]
    effects = np.ravel(loaded.estimator.const_marginal_effect(inputs))
    assert np.abs(theirs.values.sum(axis=1) + theirs.base_values - effects).max() > 0.05


def test_a_number_as_treatment_is_explained_by_its_unit(work: Work, rows: str) -> None:
    model = model_of(work, rows, "LinearDML", treatment="dose")
    assert client.explain_prediction(work, model, {}, rows, 0, "", 3).unit == "effect of one unit of dose on y"


def test_what_cannot_be_explained_of_an_effect_says_what_can(work: Work, rows: str) -> None:
    model = model_of(work, rows, "LinearDML")
    request = ExplainRequest(model=model, dataset=rows, rows=10, label="", seed=0)
    with pytest.raises(ToolFailure, match="explain_model shows"):
        client.explain_interactions(work, request)
    with pytest.raises(ToolFailure, match="no classes"):
        client.explain_model(work, request.model_copy(update={"label": "1"}))
    constant = model_of(work, rows, "LinearDML", effect_modifiers=[], controls=["x"])
    with pytest.raises(ToolFailure, match="one effect for all rows"):
        client.explain_model(work, request.model_copy(update={"model": constant}))
