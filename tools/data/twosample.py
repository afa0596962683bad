"""Whether a classifier can tell two datasets apart: the two-sample test of Lopez-Paz & Oquab (2017).

The rows come in parts, one after the other, and each part is scored by a model fitted on the parts before it, never on
a copy of a row of its own (prequential, Dawid 1984). If nothing differs, the labels of a part are exchangeable whatever
was seen before, so its area under the ROC curve has the mean 0.5 and the variance of Mann & Whitney (1947), and the
areas of the parts are uncorrelated. Those of cross-validation are not, since their models share rows (Bengio &
Grandvalet 2004): a test at 5 % would be wrong in 11 to 13 % of cases.
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
TREES, LEAVES = 40, 8
# The share of the rows that is only fitted on, and how many parts the others are scored in.
FITTED, PARTS = 1 / 3, 4
LEVELS = 30


@dataclass(frozen=True)
class TwoSample:
    """Of the rows that were scored; `reason` says why there is no area."""

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
    return _one_after_the_other(design, current, own, random)


def _one_after_the_other(
    design: np.ndarray, current: np.ndarray, units: np.ndarray, random: np.random.Generator
) -> TwoSample:
    import numpy as np
    from scipy.stats import norm

    part = _parts(units, random)
    areas, weights, nulls, spreads = list[float](), list[float](), list[float](), list[float]()
    scored = np.zeros(len(part), dtype=bool)
    for held, known in ((part == number, part < number) for number in range(1, PARTS + 1)):
        if min(current[held].sum(), (~current[held]).sum(), current[known].sum(), (~current[known]).sum()) < 2:
            continue
        score = _scored(design, current, known, held)
        area, influence = placements(current[held], score)
        areas.append(area)
        weights.append(float(current[held].sum()) * float((~current[held]).sum()))
        nulls.append(null_variance(current[held], score))
        spreads.append(float((influence**2).sum()))
        scored |= held
    if not areas:
        return TwoSample(None, reason="the rows of each part are all of one dataset")
    share = np.array(weights) / np.sum(weights)
    area, null = float(share @ areas), float(share**2 @ nulls)
    p_value = float(norm.sf((area - 0.5) / null**0.5)) if null > 0 else 1.0
    spread = max(float(share**2 @ spreads), null if 0.4 < area < 0.6 else 0.0)
    return TwoSample(area, _bounds(area, spread), p_value, int(scored.sum()), int(current[scored].sum()))


def _parts(units: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The part of each row, 0 for those that are only fitted on; rows of one unit are in one part."""
    import numpy as np

    _, place = np.unique(units, return_inverse=True)
    at = random.permutation(place.max() + 1)[place] / (place.max() + 1)
    return np.where(at < FITTED, 0, 1 + (at - FITTED) // ((1 - FITTED) / PARTS)).clip(0, PARTS).astype(int)


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


def _scored(design: np.ndarray, current: np.ndarray, fitted: np.ndarray, held: np.ndarray) -> np.ndarray:
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier

    known = ~np.isnan(design[fitted]).all(axis=0)
    make: Any = HistGradientBoostingClassifier
    model = make(max_iter=TREES, max_leaf_nodes=LEAVES, early_stopping=False, random_state=0)
    if not known.any():
        return np.zeros(held.sum())
    model.fit(design[fitted][:, known], current[fitted])
    scores: np.ndarray = model.predict_proba(design[held][:, known])[:, 1]
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
