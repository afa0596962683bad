"""Whether a classifier can tell two datasets apart: the two-sample test of Lopez-Paz & Oquab (2017).

Every row is scored by a model that was not fitted on it nor on a copy of it. If nothing differs, the labels of scored
rows are exchangeable, so the area under the ROC curve has the mean 0.5 and the variance of Mann & Whitney (1947).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import require
from .areas import null_variance, placements
from .pairs import Pair

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Of each dataset.
ROWS, FEWEST = 2_000, 25
FOLDS, TREES, LEAVES = 5, 40, 8
LEVELS = 30


@dataclass(frozen=True)
class TwoSample:
    """`reason` says why there is no area."""

    area: float | None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    rows: int = 0
    current: int = 0
    reason: str = ""


def told_apart(one: pd.DataFrame, two: pd.DataFrame, pairs: Sequence[Pair], units: np.ndarray, seed: int) -> TwoSample:
    """Args: `units` number the distinct rows of both, the first ones coming first."""
    import numpy as np

    require("sklearn")
    usable = [item for item in pairs if item.kind in ("number", "category", "text")]
    if min(len(one), len(two)) < FEWEST or not usable:
        few = f"at least {FEWEST} rows of each are needed" if usable else "no column can be compared"
        return TwoSample(None, reason=few)
    random = np.random.default_rng(seed)
    chosen = [np.sort(random.permutation(len(frame))[:ROWS]) for frame in (one, two)]
    design = np.column_stack([_encoded(item, one, two, chosen) for item in usable])
    current = np.repeat([False, True], [len(rows) for rows in chosen])
    own = np.concatenate([units[chosen[0]], units[len(one) + chosen[1]]])
    return _crossed(design, current, own, random)


def _crossed(design: np.ndarray, current: np.ndarray, units: np.ndarray, random: np.random.Generator) -> TwoSample:
    import numpy as np
    from scipy.stats import norm

    _, place = np.unique(units, return_inverse=True)
    fold = (random.permutation(place.max() + 1) % FOLDS)[place]
    areas, weights, nulls, spreads = list[float](), list[float](), list[float](), list[float]()
    for held in (fold == number for number in range(FOLDS)):
        if min(current[held].sum(), (~current[held]).sum(), current[~held].sum(), (~current[~held]).sum()) < 2:
            continue
        score = _scored(design, current, held)
        area, influence = placements(current[held], score)
        areas.append(area)
        weights.append(float(current[held].sum()) * float((~current[held]).sum()))
        nulls.append(null_variance(current[held], score))
        spreads.append(float((influence**2).sum()))
    if not areas:
        return TwoSample(None, reason="the rows of a fold are all of one dataset")
    share = np.array(weights) / np.sum(weights)
    area, null = float(share @ areas), float(share**2 @ nulls)
    p_value = float(norm.sf((area - 0.5) / null**0.5)) if null > 0 else 1.0
    spread = max(float(share**2 @ spreads), null if 0.4 < area < 0.6 else 0.0)
    return TwoSample(area, _bounds(area, spread), p_value, len(current), int(current.sum()))


def _bounds(area: float, variance: float) -> tuple[float, float] | None:
    """At 95 %, on the logit scale where there is one."""
    import numpy as np
    from scipy.stats import norm

    if not 0 < area < 1 or variance <= 0:
        return None
    half = float(norm.ppf(0.975)) * variance**0.5 / (area * (1 - area))
    centre = np.log(area / (1 - area))
    low, high = (float(1 / (1 + np.exp(-bound))) for bound in (centre - half, centre + half))
    return low, high


def _scored(design: np.ndarray, current: np.ndarray, held: np.ndarray) -> np.ndarray:
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier

    known = ~np.isnan(design[~held]).all(axis=0)
    make: Any = HistGradientBoostingClassifier
    model = make(max_iter=TREES, max_leaf_nodes=LEAVES, early_stopping=False, random_state=0)
    if not known.any():
        return np.zeros(held.sum())
    fitted = model.fit(design[~held][:, known], current[~held])
    scores: np.ndarray = fitted.predict_proba(design[held][:, known])[:, 1]
    return scores


def _encoded(item: Pair, one: pd.DataFrame, two: pd.DataFrame, chosen: Sequence[np.ndarray]) -> np.ndarray:
    """Numbers as they are, the places of frequent values, the length of other text; missing is NaN."""
    import numpy as np
    import pandas as pd

    parts = [frame[item.name].iloc[rows] for frame, rows in zip((one, two), chosen, strict=True)]
    if item.kind == "number":
        values = np.concatenate(
            [pd.to_numeric(part, errors="coerce").to_numpy(dtype=float, na_value=np.nan) for part in parts]
        )
        return np.where(np.isfinite(values), values, np.sign(values) * 1e300)
    texts = pd.concat([part.map(_text, na_action="ignore") for part in parts])
    if item.kind == "text":
        return texts.map(len, na_action="ignore").to_numpy(dtype=float, na_value=np.nan)
    order = {value: place for place, value in enumerate(texts.value_counts().index[:LEVELS])}
    return texts.map(lambda text: order.get(text, LEVELS), na_action="ignore").to_numpy(dtype=float, na_value=np.nan)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
