"""Generated data: said to be synthetic, the same for the same seed, and true to its notes."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.data import client
from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.data.synthetic import TRUE_EFFECT, Kind
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.runtime.work import Work

CONFOUNDERS = ["specialty", "years_in_practice", "patient_volume"]


def frame(work: Work, kind: Kind = "e2i_classification", rows: int = 5000, seed: int = 0) -> pd.DataFrame:
    return resolve(work, client.generate_dataset(work, kind, rows, seed, "").dataset).frame()


def test_the_same_arguments_give_the_same_dataset_and_another_seed_another(work: Work) -> None:
    first, again, other = (client.generate_dataset(work, "e2i_classification", 500, seed, "") for seed in (3, 3, 4))
    assert first.dataset == again.dataset != other.dataset


def test_the_name_the_notes_and_the_lineage_say_that_it_is_synthetic(work: Work) -> None:
    made = client.generate_dataset(work, "e2i_regression", 100, 1, "calls")
    assert made.dataset.startswith("dataset:synthetic_calls@")
    assert made.notes[0].startswith("synthetic")
    assert made.source == "synthetic:e2i_regression/rows=100/seed=1"
    assert [edge.by for edge in Lineage(work.home).ancestors(made.dataset)] == ["generate_dataset"]
    assert client.generate_dataset(work, "e2i_regression", 100, 1, "synthetic_calls").dataset == made.dataset


def test_a_name_that_cannot_be_one_is_refused(work: Work) -> None:
    with pytest.raises(ToolFailure, match="cannot name a dataset"):
        client.generate_dataset(work, "e2i_regression", 100, 1, "My Calls")


def test_the_columns_are_those_of_the_suites_and_no_call_lies_after_its_observation(work: Work) -> None:
    data = frame(work)
    assert {"hcp_id", "brand", "observation_date", "call_frequency", "region", "specialty"} <= set(data)
    assert (data.first_call_date <= data.last_call_date).all()
    assert (data.last_call_date <= data.observation_date).all()
    assert data.call_frequency.between(0, 100).all()
    assert data.call_frequency.nunique() > 30
    assert 0.3 < data.target.mean() < 0.7
    assert not data.duplicated(["hcp_id", "observation_date"]).any()
    assert not data.isna().any().any()


def test_the_target_of_a_regression_is_a_quantity_that_the_calls_explain(work: Work) -> None:
    data = frame(work, "e2i_regression")
    assert data.target.dtype == np.float64
    assert data.target.corr(data.call_frequency) > 0.5


@pytest.mark.parametrize("seed", range(5))
def test_the_effect_is_what_the_notes_say_and_comparing_means_misses_it(work: Work, seed: int) -> None:
    made = client.generate_dataset(work, "e2i_classification", 5000, seed, "")
    told = re.search(r"true effect of treatment on outcome: ([\d.]+) .* naive difference is ([\d.]+)", made.notes[1])
    assert told
    data = resolve(work, made.dataset).frame()
    means = data.groupby("treatment").outcome.mean()
    estimate, error = _adjusted(data)
    assert float(told[1]) == TRUE_EFFECT
    assert float(told[2]) == pytest.approx(means[1] - means[0], abs=0.01)
    assert abs(estimate - TRUE_EFFECT) < 3 * error < 0.3
    assert means[1] - means[0] > TRUE_EFFECT + 1


def test_treated_and_untreated_overlap(work: Work) -> None:
    data = frame(work)
    shares = data.groupby(["specialty", pd.qcut(data.patient_volume, 3)], observed=True).treatment.mean()
    assert shares.between(0.05, 0.95).all()


def _adjusted(data: pd.DataFrame) -> tuple[float, float]:
    """Least squares of the outcome on the treatment and its confounders: the estimate and its standard error."""
    covariates = pd.get_dummies(data[CONFOUNDERS], drop_first=True).to_numpy(float)
    x = np.column_stack([data.treatment, np.ones(len(data)), covariates])
    y = data.outcome.to_numpy()
    inverse = np.linalg.inv(x.T @ x)
    weights = inverse @ x.T @ y
    variance = ((y - x @ weights) ** 2).sum() / (len(y) - x.shape[1])
    return float(weights[0]), float(np.sqrt(variance * inverse[0, 0]))
