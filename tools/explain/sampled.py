"""Shapley values of whatever answers rows, by permutations of its columns, where nothing is known of its inside.

Štrumbelj, Kononenko, "Explaining prediction models and individual predictions with feature contributions", 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..modeling.card import ModelCard
from ..modeling.pipelines import scores
from .links import Link
from .values import ShapValues, checked

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from sklearn.pipeline import Pipeline

BACKGROUND_ROWS = 50
# Each permutation is walked forwards and backwards, which cancels most of the noise of interactions.
PERMUTATIONS = 4
# About what a forest of 400 trees answers in half a minute on one core.
MAX_ANSWERS = 1_000_000
Answer = Callable[["pd.DataFrame"], "np.ndarray"]


def rows_at_most(card: ModelCard) -> int:
    """Rows that can be explained in about half a minute."""
    return max(20, MAX_ANSWERS // (2 * PERMUTATIONS * max(1, len(card.features)) * BACKGROUND_ROWS))


def name_of(background: pd.DataFrame) -> str:
    return f"sampled Shapley values ({2 * PERMUTATIONS} permutations, {len(background)} background rows)"


def answer_values(pipeline: Pipeline, card: ModelCard, features: pd.DataFrame, background: pd.DataFrame) -> ShapValues:
    """Contributions of each column to a model's answers, from the mean answer over the background.

    Args:
        features, background: designs with the columns of the card.

    Raises:
        ToolFailure: the contributions do not add up to the answers.
    """
    few = background.head(BACKGROUND_ROWS)

    def answer(rows: pd.DataFrame) -> np.ndarray:
        return scores(pipeline, rows, card).reshape(len(rows), -1)

    answers, base = answer(features), answer(few).mean(axis=0)
    values = sampled(answer, features, few, answers.shape[1], 0)
    return checked(ShapValues(values, base, answers, answers, name_of(few), Link("identity")))


def sampled(answer: Answer, features: pd.DataFrame, background: pd.DataFrame, outputs: int, seed: int) -> np.ndarray:
    """Contributions of shape (rows, columns, outputs).

    Every row is changed into every background row, one column after the other, in several orders.

    Args:
        answer: gives (rows, outputs).
    """
    import numpy as np

    count, width = features.shape
    values, rng = np.zeros((count, width, outputs)), np.random.default_rng(seed)
    foreground = features.loc[features.index.repeat(len(background))].reset_index(drop=True)
    behind = background.iloc[np.tile(np.arange(len(background)), count)].reset_index(drop=True)
    for _ in range(PERMUTATIONS):
        order = rng.permutation(width)
        for walk in (order, order[::-1]):
            values += _walk(answer, foreground, behind, walk.tolist(), (count, outputs))
    return values / (2 * PERMUTATIONS)


def _walk(
    answer: Answer, foreground: pd.DataFrame, behind: pd.DataFrame, order: Sequence[int], shape: tuple[int, int]
) -> np.ndarray:
    import numpy as np

    def mean_of(rows: pd.DataFrame) -> np.ndarray:
        count, outputs = shape
        return answer(rows).reshape(count, -1, outputs).mean(axis=1)

    mixed, steps = behind.copy(), np.zeros((shape[0], len(order), shape[1]))
    before = mean_of(mixed)
    for column in order:
        name = foreground.columns[column]
        mixed[name] = foreground[name]
        after = mean_of(mixed)
        steps[:, column] = after - before
        before = after
    return steps
