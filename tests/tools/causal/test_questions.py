"""What is compared with what, in which rows, and what is said of it. Nothing is logged here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from mlops_mcp.tools.causal.answers import answer, arm_effects
from mlops_mcp.tools.causal.estimate import Averages, averages, by_row, fitted, per_unit
from mlops_mcp.tools.causal.models import EffectRequest
from mlops_mcp.tools.causal.notes import compares, estimand, notes
from mlops_mcp.tools.causal.question import Question, question
from mlops_mcp.tools.causal.refute import refuted
from mlops_mcp.tools.data.models import DatasetInfo
from mlops_mcp.tools.data.store import Dataset
from mlops_mcp.tools.errors import ToolFailure

pytestmark = pytest.mark.slow

# With these the choice of first stages is left out, which takes most of the time.
FEW_TREES = {"model_y__max_iter": 20, "model_t__max_iter": 20}


class Asked:
    """A question about a frame, and its answer as far as it is asked for."""

    def __init__(self, folder: Path, frame: pd.DataFrame, **changes: object) -> None:
        path = folder / "rows.parquet"
        frame.to_parquet(path, index=False)
        info = DatasetInfo(dataset="dataset:rows@0", rows=len(frame), columns=[*frame.columns], source="", created="")
        request: dict[str, object] = {
            "dataset": info.dataset,
            "treatment": "t",
            "outcome": "y",
            "controls": ["x"],
            "estimator": "LinearDML",
        }
        self.request = EffectRequest.model_validate(request | changes)
        self.question: Question = question(self.request, Dataset(info, path))

    def averages(self) -> Averages:
        return averages(self.question, self.request.target, 1)

    def answer(self) -> tuple[Averages, pd.DataFrame, list[str]]:
        found = self.averages()
        model = fitted(self.question, found, 1)
        table = by_row(self.question, found, model)
        said = answer(self.question, found, model, self.request.target, 1)
        return found, table, notes(self.request, self.question, found, model, table, said, [])


def rows(count: int = 600, seed: int = 0, share: float = 0.5) -> pd.DataFrame:
    """A lottery that adds 2."""
    rng = np.random.default_rng(seed)
    x, treated = rng.normal(size=count), (rng.random(count) < share).astype(int)
    return pd.DataFrame({"x": x, "t": treated, "y": 2 * treated + x + rng.normal(size=count)})


def test_rare_levels_of_a_confounder_are_adjusted_for(tmp_path: Path) -> None:
    """Ten levels of 15 rows that settle the outcome: the naive difference is 7, least squares with dummies say 1.0."""
    rng = np.random.default_rng(0)
    level = np.repeat(np.arange(10), 15)
    base = (rng.normal(size=10) * 10)[level]
    treated = (rng.random(150) < 1 / (1 + np.exp(-base / 10))).astype(int)
    frame = pd.DataFrame({"t": treated, "y": treated + base + rng.normal(size=150) / 2, "g": [f"g{n}" for n in level]})
    exact = sm.OLS(frame["y"], np.column_stack([treated, np.eye(10)[level]])).fit()
    for changes in ({"controls": ["g"]}, {"controls": [], "effect_modifiers": ["g"]}):
        found = Asked(tmp_path, frame, **changes).averages()
        assert found.contrasts[0].effect == pytest.approx(exact.params.iloc[0], abs=0.05)
        assert found.contrasts[0].interval()[0] < 1 < found.contrasts[0].interval()[1]


def test_levels_that_are_too_rare_to_adjust_for_are_counted(tmp_path: Path) -> None:
    frame = rows().assign(who=[f"w{row // 2}" if row < 40 else "rest" for row in range(600)])
    said = Asked(tmp_path, frame, controls=["x", "who"]).question.notes
    assert "levels of under 3 rows are not told apart (who: 20 levels, 40 rows)" in said


def test_an_effect_that_lives_where_treatment_is_nearly_certain_is_averaged_over_all_rows(tmp_path: Path) -> None:
    """The effect is x²: weighted by overlap, as a partially linear model does, it is about .6 instead of 1."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=3000)
    treated = (rng.random(3000) < 1 / (1 + np.exp(-1.5 * x))).astype(int)
    frame = pd.DataFrame({"x": x, "t": treated, "y": x**2 * treated + x + rng.normal(size=3000)})
    low, high = Asked(tmp_path, frame).averages().contrasts[0].interval()
    assert low < (x**2).mean() < high
    assert low > 0.75


def test_few_numbers_are_arms_unless_they_are_a_dose(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arm, x = rng.integers(0, 3, 1200), rng.normal(size=1200)
    frame = pd.DataFrame({"t": arm, "x": x, "y": np.array([0, 3, 0])[arm] + x + rng.normal(size=1200)})
    asked = Asked(tmp_path, frame, params=FEW_TREES)
    averaged = asked.averages()
    assert averaged.sample is not None
    found = arm_effects(asked.question, averaged, averaged.sample, "all")
    naive = frame.groupby("t")["y"].mean()
    assert [each.arm for each in found] == ["1", "2"]
    for each, truth in zip(found, (3, 0), strict=True):
        assert each.effect.interval is not None
        assert each.effect.interval[0] < truth < each.effect.interval[1]
        assert each.difference.value == pytest.approx(naive[int(each.arm)] - naive[0])
    assert any("estimand='unit'" in note for note in asked.question.notes)
    dose = Asked(tmp_path, frame, target="unit", params=FEW_TREES)
    averaged = dose.averages()
    effect, bounds = per_unit(dose.question, averaged, fitted(dose.question, averaged, 1), 1)
    exact = sm.OLS(frame["y"], sm.add_constant(frame[["t", "x"]])).fit(cov_type="HC1")
    assert effect == pytest.approx(exact.params["t"], abs=0.02)
    assert bounds == pytest.approx(tuple(exact.conf_int().loc["t"]), abs=0.02)
    assert "one unit" in estimand(dose.request, dose.question)


@pytest.mark.parametrize(
    ("values", "control", "says"),
    [
        ({0: "placebo", 1: "drug"}, "", "t: drug (300 rows) against placebo (300 rows)"),
        ({0: "old", 1: "new"}, "", "t: old (300 rows) against new (300 rows)"),
        ({0: "old", 1: "new"}, "old", "t: new (300 rows) against old (300 rows)"),
        ({0: False, 1: True}, "", "t: 1 (300 rows) against 0 (300 rows)"),
        ({0: 1, 1: 2}, "2", "t: 1 (300 rows) against 2 (300 rows)"),
        ({0: False, 1: True}, "true", "t: 0 (300 rows) against 1 (300 rows)"),
    ],
)
def test_it_is_said_which_value_is_treated(tmp_path: Path, values: dict[int, object], control: str, says: str) -> None:
    frame = rows().assign(t=np.array([values[row % 2] for row in range(600)], dtype=object))
    asked = Asked(tmp_path, frame, control=control)
    assert compares(asked.question) == says
    guess = "new was taken for untreated, being the first: `control` names another"
    assert (guess in asked.question.notes) == (says == "t: old (300 rows) against new (300 rows)")


def test_the_direction_of_a_text_treatment_is_that_of_its_control(tmp_path: Path) -> None:
    frame = rows()
    frame["t"] = frame["t"].map({0: "old", 1: "new"})
    effects = [
        Asked(tmp_path, frame, control=name, params=FEW_TREES).averages().contrasts[0].effect for name in ("old", "new")
    ]
    assert effects[0] == pytest.approx(2, abs=0.3)
    assert effects[1] == pytest.approx(-effects[0], abs=0.05)


def test_arms_of_too_few_rows_are_left_out_and_named(tmp_path: Path) -> None:
    frame = rows()
    names = np.where(frame["t"] == 1, "drug", "control").astype(object)
    names[:7] = "other"
    asked = Asked(tmp_path, frame.assign(t=names))
    assert asked.question.notes == ["arms of too few rows were left out: other (7)"]
    assert asked.question.rows.places.tolist() == list(range(7, 600))
    with pytest.raises(ToolFailure, match="7 rows are untreated"):
        Asked(tmp_path, frame.assign(t=names), control="other")


def test_missing_confounders_and_lost_rows_are_counted(tmp_path: Path) -> None:
    frame = rows().assign(g=np.array(["a", None, "b"] * 200, dtype=object))
    frame.loc[:9, "x"] = np.nan
    frame.loc[20:39, "y"] = np.nan
    frame.loc[40:44, "t"] = np.nan
    _, table, said = Asked(tmp_path, frame, controls=["x", "g"], params=FEW_TREES).answer()
    assert "25 rows without treatment or outcome were dropped" in said
    missing = int(frame.iloc[table["row"]]["g"].isna().sum())
    assert any(note.startswith(f"confounders are missing (x in 10, g in {missing} of 575 rows)") for note in said)
    assert table["row"].tolist() == [row for row in range(600) if not 20 <= row < 45]


def test_columns_that_would_be_named_alike_after_encoding_are_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = rows().assign(region=rng.choice(["north", "south"], 600), region_north=rng.normal(size=600))
    for changes in (
        {"controls": ["region", "region_north", "x"]},
        {"effect_modifiers": ["region", "region_north"]},
    ):
        found, _, _ = Asked(tmp_path, frame, params=FEW_TREES, **changes).answer()
        assert found.contrasts[0].effect == pytest.approx(2, abs=0.3)


def test_a_lottery_is_not_told_to_fear_for_its_confounders_and_others_are(tmp_path: Path) -> None:
    found, _, said = Asked(tmp_path, rows()).answer()
    assert found.overlap.verdict == "good"
    assert any("as after randomisation" in note for note in said)
    assert not any("holds only if" in note for note in said)
    frame = rows()
    frame["t"] = (frame["x"] + np.random.default_rng(1).normal(size=600) > 0).astype(int)
    assert any("holds only if" in note for note in Asked(tmp_path, frame, params=FEW_TREES).answer()[2])


def test_first_stages_say_their_skill_and_what_has_none_is_noted(tmp_path: Path) -> None:
    frame = rows(2000)
    found, _, said = Asked(tmp_path, frame).answer()
    skills = {stage.of: stage.skill for stage in found.chosen}
    for arm in (0, 1):
        part = frame[frame["t"] == arm]
        assert skills[f"outcome where t = {arm}"] == pytest.approx(part["x"].corr(part["y"]) ** 2, abs=0.02)
    assert skills["treatment"] == pytest.approx(0, abs=0.01)
    noise = frame.assign(y=np.random.default_rng(5).normal(size=2000))
    found, _, said = Asked(tmp_path, noise).answer()
    lacking = [stage.of for stage in found.chosen if stage.skill <= 0 and stage.of != "treatment"]
    assert lacking
    assert any(f"tell nothing of the {', of the '.join(lacking)}" in note for note in said)


def test_effects_beyond_the_range_of_the_outcome_are_marked(tmp_path: Path) -> None:
    frame = rows()
    frame.loc[0, "x"] = 1e4
    frame["y"] += frame["x"].clip(-3, 3) * frame["t"]
    _, table, said = Asked(tmp_path, frame, effect_modifiers=["x"], controls=[]).answer()
    wild = table["effect"].abs() > frame["y"].max() - frame["y"].min()
    assert (table["beyond_range"] == wild).all()
    assert wild.sum() == 1
    assert any(note.startswith("1 effects by row exceed the range of the outcome") for note in said)


def test_rows_of_a_cluster_widen_the_interval_and_too_few_clusters_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(60), 20)
    frame = rows(1200).assign(c=group, t=group % 2)
    frame["y"] = 0.5 * frame["t"] + rng.normal(size=60)[group] + rng.normal(size=1200)
    alone, grouped = (
        Asked(tmp_path, frame, cluster=name, params=FEW_TREES).averages().contrasts[0].error for name in ("", "c")
    )
    clusters = sm.OLS(frame["y"], sm.add_constant(frame[["t", "x"]])).fit(
        cov_type="cluster", cov_kwds={"groups": group}
    )
    assert grouped == pytest.approx(clusters.bse["t"], rel=0.1)
    assert grouped > 2 * alone
    with pytest.raises(ToolFailure, match="too few for an interval"):
        Asked(tmp_path, frame.assign(c=group // 10), cluster="c")
    with pytest.raises(ToolFailure, match="missing in 1 rows"):
        Asked(tmp_path, frame.assign(c=np.array([None, *map(str, group[1:])], dtype=object)), cluster="c")


@pytest.mark.parametrize("randomised", [True, False])
def test_treatment_by_whole_groups_without_cluster_is_named_with_the_call(tmp_path: Path, randomised: bool) -> None:
    """The coarsest of nested groups; a lottery of single rows is no case for it."""
    rng = np.random.default_rng(0)
    room = np.repeat(np.arange(120), 10)
    won = rng.permutation(np.repeat([0, 1], 20))
    frame = rows(1200).assign(room=room, school=np.char.add("s", (room // 3).astype(str)), t=won[room // 3])
    [note] = Asked(tmp_path, frame, randomised=randomised).question.notes
    assert note.startswith("t is the same in all rows of each school (40 of them in 1200 rows)")
    assert "pass cluster='school'" in note
    assert Asked(tmp_path, frame, randomised=randomised, cluster="school").question.notes == []
    single = frame.assign(t=rng.integers(0, 2, 1200))
    assert Asked(tmp_path, single, randomised=randomised).question.notes == []


def test_clusters_are_the_same_by_number_and_by_any_text(tmp_path: Path) -> None:
    frame = rows(600)
    numbers = np.random.default_rng(0).integers(0, 40, 600)
    groups = [
        Asked(tmp_path, frame.assign(c=values), cluster="c").question.groups
        for values in (numbers, [f"Schüle {number}" for number in numbers], numbers.astype(float))
    ]
    codes = [None if found is None else found.tolist() for found in groups]
    assert codes[0] is not None
    assert codes == [codes[0]] * 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cluster": "two"}, "too few for an interval"),
        ({"cluster": "t"}, "cannot be clusters"),
        ({"cluster": "cc"}, "unknown column"),
        ({"by": ["y"]}, "cannot be segments"),
        ({"by": ["xx"]}, "unknown column"),
        ({"by": ["lists"]}, "nested values"),
        ({"by": ["endless"]}, "infinite"),
        ({"by": ["nothing"]}, "no values at all"),
        ({"by": [f"b{number}" for number in range(9)]}, "9 columns"),
        ({"outcome": "same"}, "the same in every row"),
        (
            {"treatment": "amount", "by": ["t"], "randomised": True, "refute": True},
            "segments, randomised, refute need arms",
        ),
        ({"treatment": "names", "target": "unit"}, "an effect per unit is of numbers"),
    ],
)
def test_segments_and_clusters_that_make_no_sense_are_refused(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    lists = pd.Series([np.ones(2)] * 600, dtype=object)
    frame = rows().assign(
        two=np.arange(600) % 2, lists=lists, endless=np.inf, nothing=None, same=3.5, amount=np.arange(600.0),
        names=np.where(np.arange(600) % 2, "a", "b"), **{f"b{number}": 1 for number in range(9)},
    )  # fmt: skip
    frame.loc[0, "endless"] = 1.0
    with pytest.raises(ToolFailure, match=says):
        Asked(tmp_path, frame, **changes)


def test_a_treatment_that_was_drawn_by_lot_needs_no_model_of_who_was_treated(tmp_path: Path) -> None:
    frame = rows(800, share=0.3)
    frame["y"] += 3 * frame["x"]
    asked = Asked(tmp_path, frame, randomised=True, by=["x"], params=FEW_TREES)
    found, _, said = asked.answer()
    assert found.sample is not None
    assert found.sample.chances == pytest.approx(np.tile([1 - frame["t"].mean(), frame["t"].mean()], (800, 1)))
    assert [stage.of for stage in found.chosen] == ["outcome where t = 0", "outcome where t = 1"]
    arm = arm_effects(asked.question, found, found.sample, "all")[0]
    assert arm.effect.interval is not None
    assert arm.difference.interval is not None
    assert arm.effect.interval[0] < 2 < arm.effect.interval[1]
    # What the covariate explains no longer blurs the difference.
    assert np.ptp(arm.effect.interval) < 0.7 * np.ptp(arm.difference.interval)
    assert (found.overlap.verdict, arm.sensitivity, said) == ("good", None, [])
    chosen = frame.assign(t=(frame["x"] + np.random.default_rng(1).normal(size=800) > 0).astype(int))
    told = Asked(tmp_path, chosen, randomised=True, params=FEW_TREES).answer()[2]
    assert any(note.startswith("x differs between the arms as a lottery hardly ever makes it") for note in told)


def test_a_sound_effect_stands_up_to_attempts_to_refute_it(tmp_path: Path) -> None:
    frame = rows()
    asked = Asked(tmp_path, frame, params=FEW_TREES)
    found = asked.averages()
    lines = refuted(asked.question, found, "all", 1)
    assert [line.verdict for line in lines] == ["passed"] * 3
    assert [line.baseline for line in lines] == [0, found.contrasts[0].effect, found.contrasts[0].effect]
    assert lines[0].value == pytest.approx(0, abs=0.3)
    assert lines[2].value == pytest.approx(2, abs=0.3)


def test_parameters_of_a_first_stage_take_the_place_of_the_choice(tmp_path: Path) -> None:
    chosen = {stage.of: stage.model for stage in Asked(tmp_path, rows(), params=FEW_TREES).averages().chosen}
    assert set(chosen.values()) == {"boosting as given"}
    with pytest.raises(ToolFailure, match="cannot be fitted"):
        Asked(tmp_path, rows(), params={"model_t__learning_rate": "fast"}).averages()


def test_without_covariates_the_answer_is_the_naive_difference_and_says_so(tmp_path: Path) -> None:
    frame = rows()
    found, _, said = Asked(tmp_path, frame, controls=[]).answer()
    means = frame.groupby("t")["y"].mean()
    assert found.contrasts[0].effect == pytest.approx(means[1] - means[0], abs=0.02)
    assert found.overlap.verdict == "not_evaluated"
    assert any("no more than the naive difference" in note for note in said)
