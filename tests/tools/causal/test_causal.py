from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.causal import client
from mlops_mcp.tools.causal.models import Effect, EffectRequest
from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work

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


def estimate(work: Work, rows: str, **changes: object) -> Effect:
    request: dict[str, object] = {
        "dataset": rows, "treatment": "t", "outcome": "y", "effect_modifiers": ["x"], "controls": ["w"],
        "estimator": "LinearDML", "params": {}, "name": "", "run": "", "experiment": "", "seed": 0,
    }  # fmt: skip
    return client.estimate_effect(work, EffectRequest.model_validate(request | changes))


def test_intervals_hold_the_true_effect_as_often_as_they_claim(work: Work, tmp_path: Path) -> None:
    held = 0
    for seed in range(5):
        path = write_rows(tmp_path, seed)
        found = estimate(work, path)
        held += found.interval[0] < true_effects(pd.read_parquet(path)).mean() < found.interval[1]
        assert found.interval[1] - found.interval[0] < 0.5
        assert found.naive_difference is not None
        assert found.naive_difference > 2
        assert found.overlap.verdict == "good"
    # A 95 % interval misses once in twenty; twice in five would be a fault.
    assert held >= 4


def test_the_effect_of_each_row_follows_its_modifier(work: Work, rows: str) -> None:
    found = estimate(work, rows)
    effects = resolve(work, found.effects).frame()
    truth = true_effects(pd.read_parquet(rows))
    assert np.corrcoef(effects["effect"], truth)[0, 1] > 0.95
    assert (effects["lower"] <= effects["upper"]).all()


def test_a_forest_finds_the_effect_too(work: Work, rows: str) -> None:
    found = estimate(work, rows, estimator="CausalForest")
    assert found.interval[0] < true_effects(pd.read_parquet(rows)).mean() < found.interval[1]


def test_no_overlap_is_said_although_a_number_comes_out(work: Work, rows: str) -> None:
    found = estimate(work, rows, treatment="certain")
    assert found.overlap.verdict == "none"
    assert any("extrapolation" in note for note in found.notes)


def test_a_continuous_treatment_has_an_effect_per_unit_and_no_propensity(work: Work, rows: str) -> None:
    found = estimate(work, rows, treatment="dose", controls=["w", "t"])
    assert abs(found.effect) < 0.2
    assert (found.treated, found.overlap.verdict) == (None, "not_evaluated")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"treatment": "tt"}, "Did you mean t"),
        ({"controls": ["y"]}, "different columns"),
        ({"estimator": "CausalForest", "effect_modifiers": []}, "effect modifiers"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    work: Work, rows: str, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(ToolFailure, match=says):
        estimate(work, rows, **changes)


def test_text_or_a_single_value_is_no_treatment(work: Work, rows: str, tmp_path: Path) -> None:
    frame = pd.read_parquet(rows)
    frame.assign(t="a").to_parquet(tmp_path / "text.parquet")
    frame.assign(t=1).to_parquet(tmp_path / "one.parquet")
    with pytest.raises(ToolFailure, match="must be numbers"):
        estimate(work, str(tmp_path / "text.parquet"))
    with pytest.raises(ToolFailure, match="one value only"):
        estimate(work, str(tmp_path / "one.parquet"))
