"""The source of each encoded column, held against what changes when a cell of the source changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import OneHotEncoder

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.card import Feature, ModelCard
from mlops_mcp.tools.modeling.columns import sources
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.pipelines import build

ALGORITHMS = ["XGBoost", "LightGBM", "RandomForest", "LogisticRegression"]


def rows(count: int = 120) -> pd.DataFrame:
    """Names that begin with others, values that complete a name to another one, rare levels and holes."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "home": rng.choice(["owner_age_x", "owner_", "age"], count),
            "home_owner_age": rng.choice(["p", "q"], count),
            "home_owner": np.where(rng.random(count) < 0.1, np.nan, rng.normal(size=count)),
            "home_": [f"rare {index}" if index < 4 else "often" for index in range(count)],
            "a": np.where(rng.random(count) < 0.2, np.nan, rng.normal(size=count)),
        }
    )


def card_of(frame: pd.DataFrame, algorithm: str) -> ModelCard:
    kinds: dict[str, Any] = {str(name): "category" if frame[name].dtype == object else "number" for name in frame}
    return ModelCard(
        algorithm=algorithm, task="classification", target="y", classes=[0, 1], dataset="dataset:rows@0",
        rows=len(frame), features=[Feature(name=name, kind=kind) for name, kind in kinds.items()],
    )  # fmt: skip


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_cell_changes_the_columns_of_its_own_source_and_no_other(algorithm: str) -> None:
    frame = rows()
    card = card_of(frame, algorithm)
    features = design(frame, card)
    encoder = build(card, 1)[:-1].fit(features)
    before = np.asarray(encoder.transform(features), dtype=float)
    origins = np.array(sources(encoder, card))
    assert len(origins) == before.shape[1]
    for place, name in enumerate(card.names):
        changed = features.copy()
        changed[name] = changed[name].sample(frac=1, random_state=1).to_numpy()
        after = np.asarray(encoder.transform(changed), dtype=float)
        differs = (np.nan_to_num(before, nan=-99.0) != np.nan_to_num(after, nan=-99.0)).any(axis=0)
        assert set(np.flatnonzero(differs)) == set(np.flatnonzero(origins == place)), name


def test_rare_and_dropped_levels_have_no_column_of_their_own() -> None:
    frame = pd.DataFrame({"a": ["x"] * 9 + ["y", "z"] + ["v"] * 9, "b": ["p"] * 10 + ["q"] * 10})
    encoder = OneHotEncoder(min_frequency=5, drop="first", sparse_output=False).fit(frame)
    assert sources(encoder, card_of(frame[["b", "a"]], "XGBoost")) == [1, 1, 0]
    assert len(encoder.get_feature_names_out()) == 3


def test_a_step_that_mixes_columns_is_refused() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(9, 3)), columns=list("abc"))
    with pytest.raises(ToolFailure, match="PCA"):
        sources(PCA(2).fit(frame), card_of(frame, "XGBoost"))
