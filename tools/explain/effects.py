"""SHAP values of a model's treatment effects, on the columns the effect may vary with.

A linear effect has a closed form. econml's own `shap_values` of a causal forest explain the mean of its trees, which
is not the effect it answers with (it solves the averaged equations); they can miss that by more than the effects
spread. So the effect itself is explained, by permutations of the columns: Štrumbelj, Kononenko, "Explaining
prediction models and individual predictions with feature contributions", 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ToolFailure
from ..modeling.algorithms import algorithm
from ..modeling.card import ModelCard
from ..modeling.columns import sources
from ..modeling.effects import EffectModel, effect_unit
from .values import ShapValues, checked, fold

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

BACKGROUND_ROWS = 50
# Each permutation is walked forwards and backwards, which cancels most of the noise of interactions.
PERMUTATIONS = 4
# About what a forest of 400 trees answers in half a minute on one core.
MAX_ANSWERS = 1_000_000


def rows_at_most(card: ModelCard) -> int:
    """Rows that can be explained in about half a minute; linear effects cost nothing."""
    if algorithm(card.algorithm).explainer == "linear":
        return 1_000_000
    return max(20, MAX_ANSWERS // (2 * PERMUTATIONS * len(card.features) * BACKGROUND_ROWS))


def effect_shap_values(
    model: EffectModel, card: ModelCard, features: pd.DataFrame, background: pd.DataFrame, seed: int
) -> ShapValues:
    """Contributions of each column to the effect on each row, from the mean effect over the background.

    Raises:
        ToolFailure: the effect varies with nothing, or the contributions do not add up to it.
    """
    if not card.features:
        raise ToolFailure("this model has one effect for all rows: no column explains it", "Name effect modifiers.")
    raw = model.effects(features)
    if algorithm(card.algorithm).explainer == "linear":
        values, base = _linear(model, card, features, background)
        name = "shap.LinearExplainer (closed form)"
    else:
        few = background.head(BACKGROUND_ROWS)
        values, base = _sampled(model, features, few, seed), float(model.effects(few).mean())
        name = f"sampled Shapley values ({2 * PERMUTATIONS} permutations, {len(few)} background rows)"
    return checked(ShapValues(values, base, raw, name, effect_unit(card)))


def _linear(
    model: EffectModel, card: ModelCard, features: pd.DataFrame, background: pd.DataFrame
) -> tuple[np.ndarray, float]:
    import numpy as np

    columns, around = model.inputs(features), model.inputs(background)
    assert columns is not None
    assert around is not None
    values = (columns - around.mean(axis=0)) * (model.scale * np.ravel(model.estimator.coef_))
    folded = fold(values, sources(model.encoder, card), len(card.names))
    return folded, float(model.effects(background).mean())


def _sampled(model: EffectModel, features: pd.DataFrame, background: pd.DataFrame, seed: int) -> np.ndarray:
    """Every row is changed into every background row, one column after the other, in several orders."""
    import numpy as np

    count, width = features.shape
    values, rng = np.zeros((count, width)), np.random.default_rng(seed)
    foreground = features.loc[features.index.repeat(len(background))].reset_index(drop=True)
    behind = background.iloc[np.tile(np.arange(len(background)), count)].reset_index(drop=True)
    for _ in range(PERMUTATIONS):
        order = rng.permutation(width)
        for walk in (order, order[::-1]):
            values += _walk(model, foreground, behind, walk.tolist(), count)
    return values / (2 * PERMUTATIONS)


def _walk(
    model: EffectModel, foreground: pd.DataFrame, behind: pd.DataFrame, order: Sequence[int], count: int
) -> np.ndarray:
    import numpy as np

    mixed, steps = behind.copy(), np.zeros((count, len(order)))
    before = model.effects(mixed).reshape(count, -1).mean(axis=1)
    for column in order:
        name = foreground.columns[column]
        mixed[name] = foreground[name]
        after = model.effects(mixed).reshape(count, -1).mean(axis=1)
        steps[:, column] = after - before
        before = after
    return steps
