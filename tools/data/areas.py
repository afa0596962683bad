"""The area under a ROC curve, row by row: what DeLong's intervals and tests of two samples are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def placements(positive: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray]:
    """The area, and how much each row moves it: the share of the other class that it is on the right side of.

    The components of DeLong, DeLong & Clarke-Pearson (1988), by ranks as Sun & Xu (2014).
    """
    import numpy as np
    from scipy.stats import rankdata

    ranks, own = rankdata(score), np.empty(len(score))
    own[positive], own[~positive] = rankdata(score[positive]), rankdata(score[~positive])
    count, others = int(positive.sum()), int((~positive).sum())
    placed = (ranks - own) / np.where(positive, others, count)
    placed[~positive] = 1 - placed[~positive]
    area = float(placed[positive].mean())
    return area, (placed - area) / np.where(positive, count, others)


def null_variance(positive: np.ndarray, score: np.ndarray) -> float:
    """The variance of the area where the classes do not differ, ties counted (Mann & Whitney 1947)."""
    import numpy as np

    ones, zeros = int(positive.sum()), int((~positive).sum())
    total = ones + zeros
    ties = np.unique(score, return_counts=True)[1].astype(float)
    tied = float((ties**3 - ties).sum()) / (total * (total - 1)) if total > 1 else 0.0
    return (total + 1 - tied) / (12 * ones * zeros)
