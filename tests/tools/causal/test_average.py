"""Average effects from given first stages, against figures that were worked out otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.stats.weightstats as sms
from statsmodels.treatment.treatment_effects import TreatmentEffect

from mlops_mcp.tools.causal.average import Sample, contrast, least_chance
from mlops_mcp.tools.causal.models import Target
from mlops_mcp.tools.causal.overlap import overlap
from mlops_mcp.tools.causal.plain import plain_error

WHOM: tuple[Target, ...] = ("all", "treated")


def strata(seed: int) -> pd.DataFrame:
    """Three strata with own shares of treated and own effects 1, 2 and 4."""
    rng = np.random.default_rng(seed)
    stratum = rng.integers(0, 3, 3000)
    treated = (rng.random(3000) < np.array([0.2, 0.5, 0.7])[stratum]).astype(int)
    outcome = np.array([0.0, 5.0, -3.0])[stratum] + np.array([1.0, 2.0, 4.0])[stratum] * treated
    return pd.DataFrame({"s": stratum, "t": treated, "y": outcome + rng.normal(size=3000)})


def saturated(frame: pd.DataFrame) -> Sample:
    """First stages that are the means and shares of each stratum."""
    means = frame.pivot_table(index="s", columns="t", values="y").to_numpy()
    share = frame.groupby("s")["t"].mean().to_numpy()
    places = frame["s"].to_numpy()
    chances = np.column_stack([1 - share, share])[places]
    return Sample(frame["y"].to_numpy(), frame["t"].to_numpy(), means[places], chances)


def test_the_effect_on_all_and_on_the_treated_are_those_of_the_strata_weighted_by_their_rows() -> None:
    frame = strata(0)
    means = frame.pivot_table(index="s", columns="t", values="y")
    differences = means[1] - means[0]
    for target in WHOM:
        weights = frame[frame["t"].isin([0, 1] if target == "all" else [1])]["s"].value_counts()
        found = contrast(saturated(frame), 1, target)
        expected = (differences * weights.sort_index()).sum() / weights.sum()
        assert found.effect == pytest.approx(expected, abs=1e-9)


def test_the_error_of_these_rows_is_that_of_strata_and_that_of_the_population_adds_how_effects_vary() -> None:
    frame = strata(0)
    found = contrast(saturated(frame), 1, "all")
    cells = frame.groupby(["s", "t"])["y"].agg(["var", "size"])
    shares = frame["s"].value_counts(normalize=True).sort_index()
    errors = (cells["var"] / cells["size"]).groupby("s").sum()
    assert found.error == pytest.approx(np.sqrt((shares**2 * errors).sum()), rel=5e-3)
    differences = frame.pivot_table(index="s", columns="t", values="y").diff(axis=1)[1]
    spread = (shares * differences**2).sum() - (shares * differences).sum() ** 2
    assert found.population_error**2 - found.error**2 == pytest.approx(spread / len(frame), rel=0.05)


def test_effect_and_error_are_those_of_statsmodels_for_its_first_stages() -> None:
    rng = np.random.default_rng(1)
    x = sm.add_constant(rng.normal(size=(2000, 2)))
    treated = (rng.random(2000) < 1 / (1 + np.exp(-x[:, 1]))).astype(int)
    outcome = 2 * treated + x[:, 1] + (0.5 + treated) * x[:, 2] + rng.normal(size=2000)
    logit, line = sm.Logit(treated, x).fit(disp=0), sm.OLS(outcome, x)
    theirs: Any = TreatmentEffect(line, treated, results_select=logit).aipw()
    outcomes = [sm.OLS(outcome[treated == arm], x[treated == arm]).fit().predict(x) for arm in (0, 1)]
    chance = logit.predict()
    sample = Sample(outcome, treated, np.column_stack(outcomes), np.column_stack([1 - chance, chance]))
    found = contrast(sample, 1, "all")
    assert found.effect == pytest.approx(theirs.effect[0], abs=5e-3)
    assert found.population_error == pytest.approx(theirs.sd[0], rel=0.02)


def constant(arms: np.ndarray, outcome: np.ndarray, groups: np.ndarray | None = None) -> Sample:
    share = np.bincount(arms) / len(arms)
    means = [outcome[arms == arm].mean() for arm in range(len(share))]
    return Sample(outcome, arms, np.tile(means, (len(arms), 1)), np.tile(share, (len(arms), 1)), groups)


def test_without_covariates_it_is_the_naive_difference_with_the_interval_of_welch() -> None:
    rng = np.random.default_rng(2)
    arms, outcome = np.repeat([0, 1, 2], [500, 300, 200]), rng.normal(size=1000) * np.repeat([1, 2, 3], [500, 300, 200])
    for arm in (1, 2):
        sample = constant(arms, outcome)
        found, welch = (
            contrast(sample, arm, "all"),
            sms.CompareMeans.from_data(outcome[arms == arm], outcome[arms == 0]),
        )
        assert found.effect == pytest.approx(outcome[arms == arm].mean() - outcome[arms == 0].mean())
        assert found.interval() == pytest.approx(welch.tconfint_diff(usevar="unequal"), rel=1e-6)
        assert plain_error(sample.take(arms != 3 - arm), arm)[0] == pytest.approx(found.error)
        assert found.effective == pytest.approx((np.sum(arms == arm), 500))


def test_errors_by_cluster_are_those_of_least_squares_with_clusters() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(80), 10)
    arms = groups % 2
    outcome = arms + rng.normal(size=80)[groups] + rng.normal(size=800)
    found = contrast(constant(arms, outcome, groups), 1, "all")
    fitted: Any = sm.OLS(outcome, sm.add_constant(arms)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert found.error == pytest.approx(fitted.bse[1], rel=1e-2)
    assert found.error > 2 * contrast(constant(arms, outcome), 1, "all").error


def test_chances_near_zero_are_bounded_by_how_many_rows_there_are() -> None:
    assert least_chance(100) == 0.05
    assert least_chance(10_000) == pytest.approx(5 / (100 * np.log(10_000)))
    frame = strata(0)
    sample = saturated(frame)
    tiny = Sample(sample.outcome, sample.arms, sample.outcomes, np.full((len(frame), 2), 1e-12))
    assert np.isfinite(contrast(tiny, 1, "all").error)


@pytest.mark.parametrize("share", [0.5, 0.2, 0.04])
def test_a_lottery_has_good_overlap_however_few_win(share: float) -> None:
    rng = np.random.default_rng(4)
    arms = (rng.random(4000) < share).astype(int)
    sample = constant(arms, rng.normal(size=4000))
    for whom in WHOM:
        seen = overlap(sample, [contrast(sample, 1, whom)], whom)
        assert (seen.verdict, seen.without_counterpart) == ("good", 0)
        assert seen.effective_share == pytest.approx(1)


def test_a_few_treated_amid_strangers_are_compared_weakly_and_the_strangers_not_at_all() -> None:
    """100 of 200 rows of one kind are treated, and 20 of 20,000 of another: who is treated has counterparts."""
    kind, arms = np.repeat([0, 1], [200, 20_000]), np.zeros(20_200, dtype=int)
    arms[:100] = arms[200:220] = 1
    share = np.where(kind == 0, 0.5, 0.001)
    sample = Sample(arms * 1.0, arms, np.zeros((20_200, 2)), np.column_stack([1 - share, share]))
    assert overlap(sample, [contrast(sample, 1, "treated")], "treated").verdict == "weak"
    assert overlap(sample, [contrast(sample, 1, "all")], "all").verdict in ("weak", "none")
    certain = Sample(arms * 1.0, arms, np.zeros((20_200, 2)), np.column_stack([1 - arms, arms]).astype(float))
    assert overlap(certain, [contrast(certain, 1, "treated")], "treated").verdict == "none"
