from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mlops_mcp.tools.causal import client
from mlops_mcp.tools.causal.models import Effect, EffectRequest
from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.explain.client import explain_model
from mlops_mcp.tools.explain.models import ExplainRequest
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking.client import get_run
from mlops_mcp.tools.training.client import evaluate_model
from mlops_mcp.tools.training.models import EvaluateRequest

pytestmark = pytest.mark.slow


def true_effects(frame: pd.DataFrame) -> pd.Series:
    return 1 + 0.5 * frame["x"]


def write_rows(folder: Path, seed: int) -> str:
    """A treatment with an effect of 1 + x / 2 on each row, confounded by x and w."""
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(2, 2500))
    treated = (rng.random(2500) < 1 / (1 + np.exp(-0.7 * (x + w)))).astype(int)
    outcome = (1 + 0.5 * x) * treated + 2 * w + x + rng.normal(size=2500)
    frame = pd.DataFrame({"x": x, "w": w, "t": treated, "y": outcome, "certain": (x > 0).astype(int)})
    path = folder / f"rows_{seed}.parquet"
    frame.assign(dose=w + rng.normal(size=2500)).to_parquet(path)
    return str(path)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return write_rows(tmp_path, 1)


def bounds(found: Effect) -> tuple[float, float]:
    assert found.effect is not None
    assert found.effect.interval is not None
    return found.effect.interval


def estimate(work: Work, rows: str, **changes: object) -> Effect:
    request: dict[str, object] = {
        "dataset": rows, "treatment": "t", "outcome": "y", "effect_modifiers": ["x"], "controls": ["w"],
        "estimator": "LinearDML", "params": {}, "name": "", "run": "", "experiment": "", "seed": 0,
    }  # fmt: skip
    return client.estimate_effect(work, EffectRequest.model_validate(request | changes))


def test_the_answer_holds_the_truth_beside_the_naive_difference_and_says_what_it_is(work: Work, rows: str) -> None:
    found = estimate(work, rows)
    frame = pd.read_parquet(rows)
    low, high = bounds(found)
    assert low < true_effects(frame).mean() < high
    assert high - low < 0.25
    assert (found.estimand, found.overlap.verdict) == ("average effect over all rows (ATE), by AIPW", "good")
    means, sizes = frame.groupby("t")["y"].mean(), frame["t"].value_counts()
    assert found.compares == f"t: 1 ({sizes[1]} rows) against 0 ({sizes[0]} rows)"
    assert [(each.arm, each.n) for each in found.means] == [("0", sizes[0]), ("1", sizes[1])]
    assert [each.value for each in found.means] == pytest.approx(means.tolist())
    welch = stats.ttest_ind(frame["y"][frame["t"] == 1], frame["y"][frame["t"] == 0], equal_var=False)
    assert found.difference is not None
    assert found.difference.value == pytest.approx(means[1] - means[0])
    assert found.difference.interval == pytest.approx(tuple(welch.confidence_interval(0.95)), rel=1e-6)
    assert found.effect is not None
    assert (found.effect.verdict, found.effect.baseline, found.effect.n) == ("above_baseline", 0, len(frame))


def test_the_effects_carry_the_row_numbers_of_their_source(work: Work, rows: str, tmp_path: Path) -> None:
    frame = pd.read_parquet(rows)
    lost = np.random.default_rng(0).choice(len(frame), 700, replace=False)
    frame.loc[lost, "y"] = np.nan
    frame.to_parquet(tmp_path / "holes.parquet")
    found = estimate(work, str(tmp_path / "holes.parquet"))
    effects = resolve(work, found.effects).frame()
    assert effects["row"].tolist() == sorted(set(range(len(frame))) - set(lost.tolist()))
    truth = true_effects(frame).iloc[effects["row"]]
    assert np.corrcoef(effects["effect"], truth)[0, 1] > 0.95
    assert "700 rows without treatment or outcome were dropped" in found.notes


def test_the_effect_of_each_row_follows_its_modifier(work: Work, rows: str) -> None:
    found = estimate(work, rows)
    effects = resolve(work, found.effects).frame()
    truth = true_effects(pd.read_parquet(rows))
    assert np.corrcoef(effects["effect"], truth)[0, 1] > 0.95
    assert (effects["lower"] <= effects["upper"]).all()


def test_the_average_of_a_forest_is_that_of_all_estimators(work: Work, rows: str) -> None:
    found = estimate(work, rows, estimator="CausalForest", params={"n_estimators": 100})
    assert found.effect == estimate(work, rows).effect
    low, high = bounds(found)
    assert low < true_effects(pd.read_parquet(rows)).mean() < high
    assert any("single rows" in note for note in found.notes)


def test_without_overlap_the_number_is_doubted_and_no_row_has_an_effect(work: Work, rows: str) -> None:
    found = estimate(work, rows, treatment="certain")
    assert (found.overlap.verdict, found.effect_quantiles) == ("none", {})
    assert any("extrapolation" in note for note in found.notes)
    effects = resolve(work, found.effects).frame()
    assert len(effects) == found.rows
    assert effects[["effect", "lower", "upper"]].isna().all(axis=None)
    assert any("null" in note for note in found.notes)


def test_a_continuous_treatment_has_an_effect_per_unit_and_no_propensity(work: Work, rows: str) -> None:
    found = estimate(work, rows, treatment="dose", controls=["w", "t"])
    low, high = bounds(found)
    assert low < 0 < high
    assert high - low < 0.3
    assert (found.means, found.overlap.verdict) == ([], "not_evaluated")
    assert "one unit more of dose" in found.estimand


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"treatment": "tt"}, "Did you mean t"),
        ({"controls": ["y"]}, "different columns"),
        ({"estimator": "CausalForest", "effect_modifiers": []}, "effect modifiers"),
        ({"treatment": "dose", "target": "treated"}, "nobody is untreated"),
        ({"treatment": "dose", "control": "0"}, "no `control`"),
        ({"control": "2"}, "Valid|valid"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    work: Work, rows: str, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(ToolFailure, match=says):
        estimate(work, rows, **changes)


def test_a_single_value_or_too_many_texts_are_no_treatment(work: Work, rows: str, tmp_path: Path) -> None:
    frame = pd.read_parquet(rows)
    for name, values, says in (
        ("one", 1, "one value only"),
        ("names", [f"n{row}" for row in range(len(frame))], "distinct"),
        ("few", (np.arange(len(frame)) < 7).astype(int), "fewer than 30"),
    ):
        frame.assign(t=values).to_parquet(tmp_path / f"{name}.parquet")
        with pytest.raises(ToolFailure, match=says):
            estimate(work, str(tmp_path / f"{name}.parquet"))


def test_each_text_is_an_arm_in_answer_run_and_rows_and_what_takes_one_effect_refuses(
    work: Work, rows: str, tmp_path: Path
) -> None:
    frame = pd.read_parquet(rows)
    arm = np.random.default_rng(0).choice(["drug A", "drug B", "placebo"], len(frame))
    path = str(tmp_path / "arms.parquet")
    frame.assign(t=arm, y=frame["x"] + 3 * (arm == "drug A")).to_parquet(path)
    found = estimate(work, path)
    assert (found.effect, found.difference, found.lift) == (None, None, None)
    assert [each.arm for each in found.arms] == ["drug A", "drug B"]
    assert found.arms[0].effect.value == pytest.approx(3, abs=1e-2)
    assert found.arms[1].effect.value == pytest.approx(0, abs=1e-2)
    effects = resolve(work, found.effects).frame()
    assert effects.groupby("arm")["row"].nunique().tolist() == [len(frame)] * 2
    assert effects.groupby("arm")["effect"].mean().tolist() == pytest.approx([3, 0], abs=0.2)
    assert get_run(work, found.run).metrics["effect_drug_a"] == pytest.approx(found.arms[0].effect.value)
    with pytest.raises(ToolFailure, match="2 effects on each row"):
        explain_model(work, ExplainRequest(model=found.model, dataset=path, rows=5, label="", seed=0))
    with pytest.raises(ToolFailure, match="2 effects on each row"):
        evaluate_model(work, EvaluateRequest(model=found.model, dataset=path, metric="", log=False))
