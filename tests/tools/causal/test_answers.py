"""What stands beside an average effect, from given first stages, against figures that were worked out otherwise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from mlops_mcp.tools.causal.average import Sample, contrast
from mlops_mcp.tools.causal.balance import balance, unlike_a_lottery
from mlops_mcp.tools.causal.models import Segment, Target
from mlops_mcp.tools.causal.multiple import corrected
from mlops_mcp.tools.causal.parts import parts
from mlops_mcp.tools.causal.plain import arm_mean, difference, lift
from mlops_mcp.tools.causal.refute import line
from mlops_mcp.tools.causal.segments import Compared, projection, segments, strongest_pair, variation
from mlops_mcp.tools.causal.sensitivity import e_value, sensitivities


def by_shares(arms: np.ndarray, outcome: np.ndarray, groups: np.ndarray | None = None) -> Sample:
    """First stages that know nothing but the means and shares of the arms."""
    share = np.bincount(arms) / len(arms)
    means = [outcome[arms == arm].mean() for arm in range(len(share))]
    return Sample(outcome.astype(float), arms, np.tile(means, (len(arms), 1)), np.tile(share, (len(arms), 1)), groups)


def counted(*arms: tuple[int, int]) -> Sample:
    """So many ones in so many rows of each arm, the untreated first."""
    outcome = np.concatenate([np.arange(size) < ones for ones, size in arms])
    return by_shares(np.repeat(np.arange(len(arms)), [size for _, size in arms]), outcome)


def compared(sample: Sample, target: Target = "all") -> Compared:
    arms = range(1, int(sample.arms.max()) + 1)
    return Compared(
        sample, [contrast(sample, arm, target) for arm in arms], target, [f"arm {arm}" for arm in (0, *arms)]
    )


def lottery(seed: int, rows: int = 1200) -> pd.DataFrame:
    """An effect of 2 where g is a, of -1 where it is b and z is above 0, and none elsewhere."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"t": rng.integers(0, 2, rows), "g": rng.choice(["a", "b", "c"], rows), "z": rng.normal(size=rows)}
    )
    effect = 2.0 * (frame["g"] == "a") - 1.0 * ((frame["g"] == "b") & (frame["z"] > 0))
    return frame.assign(y=effect * frame["t"] + rng.normal(size=rows))


def of(frame: pd.DataFrame) -> Sample:
    return by_shares(frame["t"].to_numpy(), frame["y"].to_numpy())


def test_rates_have_the_intervals_that_newcombe_published() -> None:
    """Statistics in Medicine 17, 1998: 857-872, table III (81 of 263), and 873-890, table II (56 of 70, 48 of 80)."""
    found = arm_mean(counted((81, 263), (20, 40)), 0, "placebo")
    assert (found.arm, found.n, found.positives) == ("placebo", 263, 81)
    assert found.interval == pytest.approx((0.2553, 0.3662), abs=5e-5)
    gap = difference(counted((48, 80), (56, 70)), 1)
    assert gap.value == pytest.approx(0.2)
    assert (gap.verdict, gap.positives) == ("above_baseline", 104)
    assert gap.interval == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_an_arm_without_any_one_has_a_rate_with_an_interval() -> None:
    sample = counted((0, 50), (0, 60))
    assert arm_mean(sample, 0, "0").interval == pytest.approx((0, 1.96**2 / (50 + 1.96**2)), abs=1e-4)
    gap = difference(sample, 1)
    assert gap.interval is not None
    assert gap.interval[0] < 0 < gap.interval[1]
    assert lift(contrast(sample, 1, "all"), 110).reason == "a share of a mean that is not above 0 means nothing"


def test_the_lift_of_a_lottery_is_that_of_the_rates_with_the_interval_of_katz() -> None:
    sample = counted((80, 1000), (120, 900))
    found = lift(contrast(sample, 1, "all"), 1900)
    ratio = (120 / 900) / (80 / 1000)
    error = math.sqrt(1 / 120 - 1 / 900 + 1 / 80 - 1 / 1000)
    assert found.value == pytest.approx(ratio - 1)
    assert found.interval == pytest.approx([ratio * math.exp(sign * 1.96 * error) - 1 for sign in (-1, 1)], rel=5e-3)
    assert found.verdict == "above_baseline"


@pytest.mark.parametrize("errors", [1.0, 1.9, 2.1])
def test_a_mean_whose_interval_holds_zero_bears_no_lift(errors: float) -> None:
    rng = np.random.default_rng(0)
    arms, noise = np.repeat([0, 1], 200), rng.normal(size=400)
    plain = noise[:200] - noise[:200].mean()
    outcome = 3.0 * arms + np.concatenate([plain + errors * plain.std(ddof=1) / 200**0.5, noise[200:]])
    found = lift(contrast(by_shares(arms, outcome), 1, "all"), 400)
    assert (found.value is None, found.interval is None) == (errors < 1.97, errors < 1.97)
    assert "not told apart from 0" in str(found.reason) if errors < 1.97 else found.reason is None


def test_the_plain_difference_by_cluster_is_that_of_least_squares_with_clusters() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(60), 8)
    outcome = rng.normal(size=60)[groups] + rng.normal(size=480)
    found = difference(by_shares(groups % 2, outcome, groups), 1)
    fitted: Any = sm.OLS(outcome, sm.add_constant(groups % 2)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert found.interval is not None
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * 2.002 * fitted.bse[1], rel=1e-2)
    assert found.method == "95 % Welch by cluster"


def test_the_effect_in_a_segment_is_the_difference_in_it_with_p_values_by_holm() -> None:
    frame = lottery(0)
    found = segments(compared(of(frame)), frame[["g"]])
    assert [one.segment for one in found] == ["a", "b", "c"]
    raw = []
    for one in found:
        rows = frame[frame["g"] == one.segment]
        means = rows.groupby("t")["y"].mean()
        assert one.value == pytest.approx(means[1] - means[0])
        assert one.n == len(rows)
        assert [one.untreated, one.treated] == pytest.approx(means.tolist())
        welch = sm.stats.CompareMeans.from_data(rows["y"][rows["t"] == 1], rows["y"][rows["t"] == 0])
        assert one.interval == pytest.approx(welch.tconfint_diff(usevar="unequal"))
        raw.append(welch.ttest_ind(usevar="unequal")[1])
    order = np.argsort(raw)
    holm = np.maximum.accumulate(np.array(raw)[order] * [3, 2, 1]).clip(max=1)
    assert [found[place].p for place in order] == pytest.approx(holm)
    assert [one.verdict for one in found] == ["above_baseline", "below_baseline", "not_distinguishable"]


def test_the_strongest_pair_is_the_one_that_differs_from_all_others() -> None:
    rng = np.random.default_rng(1)
    frame = lottery(1, 4000)
    frame["y"] = rng.normal(size=4000) + 1.5 * frame["t"] * ((frame["g"] == "b") & (frame["z"] > 0.67))
    found = strongest_pair(compared(of(frame)), frame[["g", "z"]])
    assert found is not None
    assert (found.column, found.segment.split(" & ")[0]) == ("g & z", "b")
    assert found.segment.endswith(f"> {frame['z'].quantile(0.75, 'lower'):.6g}")
    assert found.p_differs < 1e-3
    assert strongest_pair(compared(of(frame)), frame[["g"]]) is None


def test_clusters_of_one_row_each_change_nothing() -> None:
    frame = lottery(6)
    alone, each = (
        contrast(by_shares(frame["t"].to_numpy(), frame["y"].to_numpy(), groups), 1, "all")
        for groups in (None, np.random.default_rng(0).permutation(len(frame)))
    )
    assert each.interval() == pytest.approx(alone.interval())
    assert each.population_interval() == pytest.approx(alone.population_interval())


def test_variation_is_tested_as_by_least_squares_on_the_scores() -> None:
    frame = lottery(2)
    rng = np.random.default_rng(2)
    groups = rng.permutation(1200) // 6
    columns = np.column_stack([frame["z"], frame["z"], rng.normal(size=1200), np.ones(1200)])
    inputs = sm.add_constant(columns[:, [0, 2]])
    ways: list[tuple[Any, dict[str, Any]]] = [
        (None, {"cov_type": "HC1"}),
        (groups, {"cov_type": "cluster", "cov_kwds": {"groups": groups}}),
    ]
    sample = by_shares(frame["t"].to_numpy(), frame["y"].to_numpy(), None)
    each = contrast(sample, 1, "all")
    for clusters, options in ways:
        sample = by_shares(frame["t"].to_numpy(), frame["y"].to_numpy(), clusters)
        each = contrast(sample, 1, "all")
        exact: Any = sm.OLS(each.scores, inputs).fit(**options, use_t=True)
        theirs = float(exact.f_test(np.eye(3)[1:]).pvalue)
        assert projection(each, columns, sample) == pytest.approx(theirs, rel=0.05)
    assert projection(each, np.ones((1200, 2)), sample) is None


def test_variation_is_told_by_column_and_is_none_where_there_is_none() -> None:
    frame = lottery(3)
    found = {one.column: one.verdict for one in variation(compared(of(frame)), frame[["g"]], None)}
    assert found == {"g": "above_baseline"}
    flat = frame.assign(y=np.random.default_rng(3).normal(size=1200))
    said = variation(compared(of(flat)), flat[["g", "z"]], None)
    assert [one.verdict for one in said] == ["not_distinguishable"] * 2
    assert [one.p_corrected for one in said] == pytest.approx(corrected([one.p for one in said]))


def said_of(found: list[Segment], name: str) -> Segment:
    return next(one for one in found if one.segment == name)


def test_a_segment_that_is_empty_on_one_side_or_tiny_has_a_reason_instead_of_an_effect() -> None:
    frame = lottery(4)
    frame.loc[:2, "g"] = "three"
    frame.loc[3:60, "g"] = "nobody"
    frame.loc[3:60, "t"] = 1
    frame.loc[61:80, "g"] = None
    found = segments(compared(of(frame)), frame[["g"]])
    tiny, nobody = said_of(found, "three"), said_of(found, "nobody")
    assert (tiny.value, tiny.n, tiny.verdict) == (None, 3, "not_evaluated")
    assert (nobody.untreated, nobody.value, nobody.reason) == (None, None, "0 rows untreated, of 10 needed")
    assert said_of(found, "(missing)").n == 20
    assert sum(one.n for one in found) == len(frame)


def test_a_segment_with_hardly_any_event_has_no_interval_of_no_width() -> None:
    sample = counted((40, 400), (60, 400))
    segment = pd.DataFrame({"g": np.where(np.arange(800) % 400 < 200, "events", "none")})
    found = segments(compared(sample), segment)
    assert said_of(found, "none").interval is None
    assert said_of(found, "none").reason == "0 rows untreated have the rarer outcome, of 5 needed"
    assert said_of(found, "events").interval is not None


def test_each_arm_has_its_own_effect_in_each_segment() -> None:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"t": rng.integers(0, 3, 900), "g": rng.choice(["ä", "b"], 900)})
    frame["y"] = np.array([0, 1, 3])[frame["t"]] + rng.normal(size=900)
    found = segments(compared(of(frame)), frame[["g"]])
    assert [(one.arm, one.segment) for one in found] == [
        (arm, level) for arm in ("arm 1", "arm 2") for level in ("b", "ä")
    ]
    assert [one.value for one in found] == pytest.approx([1, 1, 3, 3], abs=0.35)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1, 2, 3, 4], ["1", "2", "3", "4"]),
        ([True, False], ["0", "1"]),
        (range(100), ["<= 24", "24 < .. <= 49", "49 < .. <= 74", "> 74"]),
        ([0] * 90 + list(range(10)), ["<= 0", "> 0"]),
        ([1234567, 1234568], ["1234567", "1234568"]),
        ([f"l{n}" for n in range(12)], [*[f"l{n}" for n in range(8)], "(the other 4)"]),
        (
            pd.date_range("2024-01-01", periods=8),
            [
                "<= 2024-01-02 00:00:00",
                "2024-01-02 00:00:00 < .. <= 2024-01-04 00:00:00",
                "2024-01-04 00:00:00 < .. <= 2024-01-06 00:00:00",
                "> 2024-01-06 00:00:00",
            ],
        ),
        ([7.5], ["7.5"]),
        ([None, "x"], ["x", "(missing)"]),
    ],
)
def test_every_row_is_in_one_segment_of_a_column(values: Any, names: list[str]) -> None:
    column = pd.Series(np.repeat(np.array(list(values), dtype=object), 3), name="c").infer_objects()
    found = parts(column)
    assert np.sum([part.rows for part in found], axis=0).tolist() == [1] * len(column)
    assert sorted(part.name for part in found) == sorted(names)


def test_balance_is_that_of_means_and_spreads_and_weights_by_true_chances_make_it_even() -> None:
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"s": rng.choice(["low", "high"], 4000), "x": rng.normal(size=4000)})
    chance = np.where(frame["s"] == "high", 0.7, 0.3)
    arms = (rng.random(4000) < chance).astype(int)
    share = pd.Series(arms).groupby(frame["s"]).transform("mean").to_numpy()
    sample = Sample(arms * 1.0, arms, np.zeros((4000, 2)), np.column_stack([1 - share, share]))
    found = balance(sample, [contrast(sample, 1, "all")], frame, weighted=True)
    assert found is not None
    high = (frame["s"] == "high").astype(float)
    sides = [high[arms == arm] for arm in (1, 0)]
    exact = (sides[0].mean() - sides[1].mean()) / np.sqrt((sides[0].var(ddof=0) + sides[1].var(ddof=0)) / 2)
    worst = {one.column: one for one in found.worst}
    assert worst["s=high"].before == pytest.approx(exact)
    assert worst["s=high"].after == pytest.approx(0, abs=1e-9)
    assert (found.covariates, found.above_before, found.above_after) == (3, 2, 0)


def test_what_differs_between_the_arms_of_a_lottery_is_suspect_and_chance_is_not() -> None:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"x": rng.normal(size=1000), "g": rng.choice(["a", "b"], 1000)})
    frame.loc[::9, "x"] = np.nan
    fair = by_shares(rng.integers(0, 2, 1000), np.zeros(1000))
    assert unlike_a_lottery(fair, frame) is None
    chosen = by_shares((frame["x"].fillna(0) + rng.normal(size=1000) > 0).to_numpy().astype(int), np.zeros(1000))
    suspect = unlike_a_lottery(chosen, frame)
    assert suspect is not None
    assert suspect[0] == "x"


def test_e_values_are_those_that_were_published() -> None:
    """VanderWeele, Ding, Annals of Internal Medicine 167, 2017: 3.9 [1.8, 8.7] gives 7.26 and 3.0."""
    assert e_value(3.9) == pytest.approx(7.26, abs=5e-3)
    assert e_value(1.8) == pytest.approx(3.0, abs=1e-9)
    assert e_value(1 / 3.9) == pytest.approx(7.26, abs=5e-3)
    assert e_value(1.0) == 1


def test_the_robustness_value_is_that_of_cinelli_and_hazlett() -> None:
    """Of a lottery at one half the partial R² of the treatment is that of least squares."""
    rng = np.random.default_rng(8)
    arms = np.repeat([0, 1], 1000)
    outcome = 0.4 * arms + rng.normal(size=2000)
    sample = by_shares(arms, outcome)
    found = [contrast(sample, 1, "all")]
    strength = sensitivities(sample, found, [lift(found[0], 2000)], "all")[0]
    fitted: Any = sm.OLS(outcome, sm.add_constant(arms)).fit()
    squared = fitted.tvalues[1] ** 2 / fitted.df_resid
    exact = (math.sqrt(squared**2 + 4 * squared) - squared) / 2
    assert strength.robustness_value == pytest.approx(exact, rel=1e-2)
    assert strength.robustness_value_interval is not None
    assert 0 < strength.robustness_value_interval < exact
    assert sensitivities(sample, found, [lift(found[0], 2000)], "treated")[0].robustness_value is None


def test_how_far_an_effect_reaches_beyond_its_interval_knows_of_clusters() -> None:
    """Four copies of a row in a cluster say what the row alone says."""
    rng = np.random.default_rng(9)
    arms = np.repeat([0, 1], 200)
    outcome = 0.8 * arms + rng.normal(size=400)

    def strength(copies: int, clustered: bool) -> float:
        groups = np.repeat(np.arange(400), copies) if clustered else None
        sample = by_shares(np.repeat(arms, copies), np.repeat(outcome, copies), groups)
        found = [contrast(sample, 1, "all")]
        return sensitivities(sample, found, [lift(found[0], 400 * copies)], "all")[0].robustness_value_interval or 0

    alone = strength(1, False)
    assert strength(1, True) == pytest.approx(alone, rel=1e-2)
    assert strength(4, True) == pytest.approx(alone, rel=1e-2)
    assert strength(4, False) > 1.1 * alone


def test_an_attempt_to_refute_fails_where_answers_are_further_off_than_chance() -> None:
    rng = np.random.default_rng(9)
    arms = np.repeat([0, 1], 200)
    answers = [contrast(by_shares(arms, shift * arms + rng.normal(size=400)), 1, "all") for shift in (0, 0, 0, 0, 1)]
    assert line("placebo", answers, 0.0, 1.0, 400).verdict == "passed"
    failed = line("placebo", [answers[-1]] * 5, 0.0, 1.0, 400)
    assert (failed.verdict, failed.baseline) == ("failed", 0.0)
    assert failed.value == pytest.approx(answers[-1].effect)
