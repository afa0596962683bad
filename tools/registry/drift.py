"""Whether the inputs of some rows are distributed as those that a model was trained on, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..modeling.card import ModelCard

if TYPE_CHECKING:
    import pandas as pd

# A column has drifted if chance explains its distance less often than this, over all columns (Bonferroni), and if the
# distance is more than rows of the same source show: for a number, about half a standard deviation.
BY_CHANCE, FAR = 0.01, 0.2


@dataclass(frozen=True)
class Drift:
    """The distance of two distributions, 0 to 1, and how often chance brings one as large."""

    column: str
    distance: float
    p: float


def drifted(trained: pd.DataFrame, others: pd.DataFrame, card: ModelCard) -> list[Drift]:
    """The inputs that differ, the farthest first.

    Numbers by the two-sample Kolmogorov-Smirnov test (scipy.stats.ks_2samp), categories by the chi-squared test of
    homogeneity with the total variation as their distance; a missing value is a value of its own.

    Args:
        trained, others: what `frame.design` made of the rows.
    """
    kinds = {feature.name: feature.kind for feature in card.features}
    found = [
        (_of_numbers if kinds[name] == "number" else _of_categories)(trained[name], others[name]) for name in kinds
    ]
    far = [each for each in found if each.distance >= FAR and each.p * len(found) < BY_CHANCE]
    return sorted(far, key=lambda each: -each.distance)


def _of_numbers(trained: pd.Series, others: pd.Series) -> Drift:
    import numpy as np
    from scipy.stats import ks_2samp

    found: Any = ks_2samp(trained.fillna(-np.inf), others.fillna(-np.inf), method="asymp")
    return Drift(str(trained.name), float(found.statistic), float(found.pvalue))


def _of_categories(trained: pd.Series, others: pd.Series) -> Drift:
    import pandas as pd
    from scipy.stats import chi2_contingency

    counts = pd.concat([part.value_counts(dropna=False) for part in (trained, others)], axis=1).fillna(0).to_numpy()
    distance = float(abs(counts / counts.sum(axis=0) @ [1, -1]).sum() / 2)
    found: Any = chi2_contingency(counts) if len(counts) > 1 else None
    return Drift(str(trained.name), distance, float(found.pvalue) if found else 1.0)
