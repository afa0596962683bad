"""SHAP values of a model's treatment effects, on the columns the effect may vary with.

A linear effect has a closed form. econml's own `shap_values` of a causal forest explain the mean of its trees, which
is not the effect it answers with (it solves the averaged equations); they can miss that by more than the effects
spread. So the effect itself is explained, by permutations of the columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ToolFailure
from ..modeling.algorithms import algorithm_of
from ..modeling.card import ModelCard
from ..modeling.columns import sources
from ..modeling.effects import EffectModel, require_one_effect
from . import sampled
from .links import Link
from .values import ShapValues, checked, fold

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def rows_at_most(card: ModelCard) -> int:
    """Rows that can be explained in about half a minute; linear effects cost nothing."""
    if algorithm_of(card.algorithm).explainer == "linear":
        return 1_000_000
    return sampled.rows_at_most(card)


def effect_shap_values(
    model: EffectModel, card: ModelCard, features: pd.DataFrame, background: pd.DataFrame, seed: int
) -> ShapValues:
    """Contributions of each column to the effect on each row, from the mean effect over the background.

    Raises:
        ToolFailure: the effect varies with nothing, or the contributions do not add up to it.
    """
    import numpy as np

    if not card.features:
        raise ToolFailure("this model has one effect for all rows: no column explains it", "Name effect modifiers.")
    require_one_effect(card)
    raw = model.effects(features)
    if algorithm_of(card.algorithm).explainer == "linear":
        values, base = _linear(model, card, features, background)
        name = "shap.LinearExplainer (closed form)"
    else:
        few = background.head(sampled.BACKGROUND_ROWS)
        values = sampled.sampled(model.effects, features, few, 1, seed)[..., 0]
        base, name = float(model.effects(few).mean()), sampled.name_of(few)
    margin = raw[:, None]
    return checked(ShapValues(values[..., None], np.array([base]), margin, margin, name, Link("identity")))


def _linear(
    model: EffectModel, card: ModelCard, features: pd.DataFrame, background: pd.DataFrame
) -> tuple[np.ndarray, float]:
    import numpy as np

    columns, around = model.inputs(features), model.inputs(background)
    assert columns is not None
    assert around is not None
    values = (columns - around.mean(axis=0)) * (model.scale * np.ravel(model.estimator.coef_))
    origins = sources(model.encoder, card)
    return fold(values, origins, len(card.names)), float(model.effects(background).mean())
