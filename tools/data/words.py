"""A word or number in texts that goes with a class, wherever in the text it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

WORD = r"[^\W\d_]+|\d+"
MOST_WORDS = 1000


def of_words(texts: pd.Series, truth: np.ndarray) -> np.ndarray:
    """How well the best word tells each class from the rest: its balanced accuracy, the AUC of a yes or no.

    Nothing is fitted but the choice of the word, so that scores of noise lie above 0.5, and only those near 1 speak.

    Args:
        truth: whether each row is of each class, of shape (rows, classes).

    Returns:
        An AUC for each class, of shape (classes,); zeros where no word stands in two texts.
    """
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(token_pattern=WORD, binary=True, min_df=2, max_features=MOST_WORDS)
    try:
        found: Any = counter.fit_transform(texts.astype("string").fillna("").to_numpy(dtype=object))
    except ValueError:  # an empty vocabulary
        return np.zeros(truth.shape[1])
    known = truth.astype(float)
    with_it, without = found.T @ known, found.T @ (1 - known)
    apart = with_it / known.sum(axis=0) - without / (1 - known).sum(axis=0)
    return np.asarray((1 + abs(apart).max(axis=0)) / 2)
