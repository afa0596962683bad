from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mlops_mcp.tools.causal import client
from mlops_mcp.tools.causal.models import Effect, EffectRequest
from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.estimates import briefly
from mlops_mcp.tools.explain.client import explain_model
from mlops_mcp.tools.explain.models import ExplainRequest
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking.client import get_run
from mlops_mcp.tools.training.client import evaluate_model
from mlops_mcp.tools.training.models import EvaluateRequest
from mlops_mcp.tools.undo import deletes

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
        "dataset": rows,
        "treatment": "t",
        "outcome": "y",
        "effect_modifiers": ["x"],
        "controls": ["w"],
        "estimator": "LinearDML",
    }
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


def tokens(found: Effect) -> float:
    with briefly(True):
        return len(found.model_dump_json()) / 4


def test_a_lottery_of_mails_is_settled_by_one_call(work: Work, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    count = 4000
    frame = pd.DataFrame(
        {
            "mail": rng.choice(["none", "sent"], count),
            "who": rng.choice(["new", "old"], count),
            "age": rng.normal(40, 9, count),
        }
    )
    sent, new = frame["mail"] == "sent", frame["who"] == "new"
    frame["visit"] = (rng.random(count) < 0.10 + 0.12 * (sent & new)).astype(int)
    frame.to_parquet(tmp_path / "mails.parquet")
    found = estimate(
        work, str(tmp_path / "mails.parquet"), treatment="mail", outcome="visit", effect_modifiers=[],
        controls=["who", "age"], by=["who", "age"], randomised=True,
    )  # fmt: skip
    rates = frame.groupby("mail")["visit"].mean()
    assert [each.arm for each in found.means] == rates.index.tolist()
    assert [each.value for each in found.means] == pytest.approx(rates.tolist())
    assert found.effect is not None
    assert found.difference is not None
    assert found.lift is not None
    assert found.difference.value == pytest.approx(rates["sent"] - rates["none"])
    assert (found.effect.verdict, found.difference.verdict, found.lift.verdict) == ("above_baseline",) * 3
    assert found.lift.value == pytest.approx(rates["sent"] / rates["none"] - 1, abs=0.05)
    assert {one.column: one.verdict for one in found.heterogeneity} == {
        "who": "above_baseline", "age": "not_distinguishable"
    }  # fmt: skip
    verdicts = {one.segment: one.verdict for one in found.segments if one.column == "who"}
    assert verdicts == {"new": "above_baseline", "old": "not_distinguishable"}
    assert found.strongest_pair is not None
    assert found.strongest_pair.column == "who & age"
    assert found.notes == []
    assert found.undo == deletes(found.model, found.run, found.effects, resolve(work, "dataset:mails").handle)
    assert tokens(found) < 1500


def test_confounded_schools_are_settled_by_one_call(work: Work, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    school = np.repeat(np.arange(76), 25)
    x = rng.normal(size=len(school)) + rng.normal(size=76)[school]
    treated = (rng.random(len(school)) < 1 / (1 + np.exp(-x))).astype(int)
    outcome = 0.5 * treated + x + 2 * rng.normal(size=76)[school] + rng.normal(size=len(school))
    frame = pd.DataFrame({"x": x, "t": treated, "y": outcome, "school": [f"S{number}" for number in school]})
    frame.to_parquet(tmp_path / "schools.parquet")
    found = estimate(work, str(tmp_path / "schools.parquet"), effect_modifiers=[], controls=["x"], cluster="school")
    told = get_run(work, found.run).params
    assert (told["controls"], told["cluster"]) == ("x", "school")
    assert found.effect is not None
    assert found.effect.method == "95 % AIPW, t by cluster"
    low, high = bounds(found)
    assert low < 0.5 < high
    assert found.balance is not None
    assert found.balance.worst[0].column == "x"
    assert found.balance.above_before == 1
    assert found.balance.above_after == 0
    assert found.sensitivity is not None
    assert found.sensitivity.robustness_value is not None
    assert {stage.metric for stage in found.first_stage} == {"rmse", "log_loss"}
    assert tokens(found) < 1200


def test_many_segments_are_kept_as_a_dataset_and_the_surest_are_told(work: Work, rows: str, tmp_path: Path) -> None:
    frame = pd.read_parquet(rows)
    columns = {f"s{number}": np.arange(len(frame)) // 7**number % 7 for number in range(4)}
    frame.assign(**columns).to_parquet(tmp_path / "many.parquet")
    given: dict[str, object] = {"model_y__max_iter": 20, "model_t__max_iter": 20}
    found = estimate(work, str(tmp_path / "many.parquet"), by=[*columns], params=given)
    assert len(found.segments) == 12
    assert found.segments_dataset is not None
    every = resolve(work, found.segments_dataset).frame()
    assert every["column"].value_counts().to_dict() == dict.fromkeys(columns, 4)


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
