"""Whether a column holds the same values in two datasets as far as chance goes, and by how much it does not.

Numbers: Kolmogorov & Smirnov, with ties broken at random by a fixed seed, so that the test keeps its level where
values repeat; numbers of few values and categories: Pearson's chi-square over values that are not too rare; missing
values: the same for a two by two table, or Fisher's exact test. All by scipy. The tests of all columns are corrected
together (Benjamini & Hochberg 1995).
"""

# The results of scipy's tests have fields that a checker does not see.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..estimates import Verdict
from ..numbers import finite
from .models import ColumnDrift
from .pairs import Pair, Side
from .shifts import change

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.05
# Numbers of no more values than these are compared value by value.
FEW_VALUES = 10
FEWEST_KNOWN, EXPECTED = 5, 5
MISSING = "missing"
EXACT_PRODUCT = 4_000_000
BINS, SHOWN_VALUES, SHOWN_TEXT = 10, 3, 40
QUANTILES = {"5%": 0.05, "50%": 0.5, "95%": 0.95}


@dataclass(frozen=True)
class Tested:
    """The p values of a column by what was tested, and how far apart the distributions are (0 to 1)."""

    pair: Pair
    p_values: Mapping[str, float]
    distance: float | None = None
    psi: float | None = None
    same: bool = False


def tested(pair: Pair, share: float) -> Tested:
    """The tests of a column; none where it is the same in both, or there is too little of it.

    Args:
        share: how many of the rows of the current are independent: less than 1 where they come in groups.
    """
    one, two = pair.sides
    if pair.kind in ("none", "time", "identifier") or min(one.rows, two.rows) < FEWEST_KNOWN:
        return Tested(pair, {})
    if _same(one, two):
        return Tested(pair, {}, 0.0, 0.0, same=True)
    missing = _missing(one, two, share)
    found = {MISSING: missing} if missing is not None else {}
    if min(one.known, two.known) < FEWEST_KNOWN:
        return Tested(pair, found)
    if pair.kind == "text":
        first, second = _lengths(one), _lengths(two)
        p_value, distance = _smirnov(first, second, pair.name, share)
        return Tested(pair, {"length of text": p_value} | found, distance)
    if pair.kind == "number" and not _few(one, two):
        p_value, distance = _smirnov(one.values, two.values, pair.name, share)
        return Tested(pair, {"Kolmogorov-Smirnov": p_value} | found, distance, _psi_of_numbers(one, two))
    table = _table(one, two)
    shares = table / table.sum(axis=1, keepdims=True)
    distance = float(abs(shares[0] - shares[1]).sum() / 2)
    rare = _chi_square(_counted(table, share))
    own = {"chi-square": rare} if rare is not None else {}
    return Tested(pair, own | found, distance, _psi(table))


def judged(item: Tested, corrected: Mapping[str, float], changed: int | None) -> ColumnDrift:
    """What is said of a column, by the corrected p values of its tests."""
    one, two = item.pair.sides
    by = min(corrected, key=lambda name: corrected[name]) if corrected else None
    drifted = by is not None and corrected[by] <= LEVEL
    verdict: Verdict = "same" if item.same else "not_evaluated" if by is None else "drifted" if drifted else "not_shown"
    number = item.pair.kind == "number"
    return ColumnDrift(
        column=item.pair.name,
        kind=item.pair.kind,
        verdict=verdict,
        p=None if by is None else corrected[by],
        test=by,
        distance=item.distance,
        psi=item.psi,
        change=change(item.pair) if number and _moved(corrected) else None,
        missing=(one.missing / max(one.rows, 1), two.missing / max(two.rows, 1))
        if one.missing or two.missing
        else None,
        mean=(_mean(one), _mean(two)) if number else None,
        std=(_std(one), _std(two)) if number else None,
        quantiles=_quantiles(one, two) if number else None,
        span=(_span(one), _span(two)) if item.pair.kind == "time" else None,
        gained=_only(two, one) if item.pair.kind == "category" else None,
        lost=_only(one, two) if item.pair.kind == "category" else None,
        changed=changed,
        reason="; ".join(filter(None, (item.pair.note, item.pair.reason or _untested(item)))) or None,
    )


def _moved(corrected: Mapping[str, float]) -> bool:
    """Whether the known values drifted, not only how many are missing."""
    return any(p_value <= LEVEL for name, p_value in corrected.items() if name != MISSING)


def _untested(item: Tested) -> str:
    if item.p_values or item.same:
        return ""
    if item.pair.kind == "time":
        return _order(item.pair)
    if item.pair.kind == "identifier":
        return "another value in each row: only counted in `shared`"
    if max(side.known for side in item.pair.sides) == 0:
        return "missing in every row of both"
    fewest = min(min(side.known, side.rows) for side in item.pair.sides)
    if fewest < FEWEST_KNOWN:
        return f"{fewest} values are too few, at least {FEWEST_KNOWN} are needed"
    return "every value is too rare to be compared"


def _order(pair: Pair) -> str:
    one, two = pair.sides
    if not (one.known and two.known):
        return "missing in every row of one"
    if two.values.min() > one.values.max():
        return "a time: all of the current is later, which is no drift"
    later = float((two.values > one.values.max()).mean())
    return f"a time: {later:.0%} of the current is later than the reference"


def _same(one: Side, two: Side) -> bool:
    import numpy as np

    if (one.rows, one.known) != (two.rows, two.known):
        return False
    return bool(np.array_equal(np.sort(one.values), np.sort(two.values)))


def _few(one: Side, two: Side) -> bool:
    import numpy as np

    return len(np.unique(np.concatenate([one.values, two.values]))) <= FEW_VALUES


def _lengths(side: Side) -> np.ndarray:
    import numpy as np

    return np.array([len(text) for text in side.values], dtype=float)


def _smirnov(one: np.ndarray, two: np.ndarray, name: str, share: float) -> tuple[float, float]:
    """The p value with ties broken at random, and the distance as it is."""
    import numpy as np
    from scipy.stats import ks_2samp, kstwobign

    pooled = np.concatenate([one, two])
    random = np.random.default_rng(zlib.crc32(name.encode()))
    order = np.lexsort((random.random(len(pooled)), pooled))
    ranks = np.empty(len(pooled))
    ranks[order] = np.arange(len(pooled))
    exact = share == 1 and len(one) * len(two) <= EXACT_PRODUCT
    found = ks_2samp(ranks[: len(one)], ranks[len(one) :], method="exact" if exact else "asymp")
    rows = share * len(two)
    scale = (len(one) * rows / (len(one) + rows)) ** 0.5
    p_value = found.pvalue if share == 1 else kstwobign.sf(found.statistic * scale)
    first, second = np.sort(one), np.sort(two)
    apart = [np.searchsorted(side, pooled, side="right") / len(side) for side in (first, second)]
    return float(p_value), float(abs(apart[0] - apart[1]).max())


def _missing(one: Side, two: Side, share: float) -> float | None:
    import numpy as np

    if not one.missing + two.missing or not one.known + two.known:
        return None
    return _two_by_two(_counted(np.array([[one.missing, one.known], [two.missing, two.known]]), share))


def _counted(table: np.ndarray, share: float) -> np.ndarray:
    """The counts as those of as many rows as are independent."""
    import numpy as np

    return table if share == 1 else np.round(table * np.array([[1.0], [share]])).astype(int)


def _two_by_two(table: np.ndarray) -> float:
    from scipy.stats import chi2_contingency, fisher_exact
    from scipy.stats.contingency import expected_freq

    if expected_freq(table).min() < EXPECTED:
        return float(fisher_exact(table).pvalue)
    return float(chi2_contingency(table, correction=False).pvalue)


def _table(one: Side, two: Side) -> np.ndarray:
    """How often each value occurs, of shape (2, values)."""
    import numpy as np

    counts = [Counter(side.values.tolist()) for side in (one, two)]
    values = list(counts[0] | counts[1])
    return np.array([[count[value] for value in values] for count in counts])


def _chi_square(table: np.ndarray) -> float | None:
    """Rare values count as one; None where only one is left."""
    import numpy as np
    from scipy.stats import chi2_contingency

    totals = table.sum(axis=0)
    common = totals * table.sum(axis=1).min() / table.sum() >= EXPECTED
    merged = np.column_stack([table[:, common], table[:, ~common].sum(axis=1)]) if not common.all() else table
    rare = merged[:, -1].sum() * table.sum(axis=1).min() / table.sum() < EXPECTED
    if not common.all() and rare and merged.shape[1] > 2:
        least = int(merged[:, :-1].sum(axis=0).argmin())
        merged[:, least] += merged[:, -1]
        merged = merged[:, :-1]
    if merged.shape[1] < 2:
        return None
    return _two_by_two(merged) if merged.shape[1] == 2 else float(chi2_contingency(merged, correction=False).pvalue)


def _psi_of_numbers(one: Side, two: Side) -> float:
    """Over the tenths of the reference."""
    import numpy as np

    edges = np.unique(np.quantile(one.values, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(edges, side.values, side="left"), minlength=len(edges) + 1) for side in (one, two)
    ]
    return _psi(np.array(counts))


def _psi(table: np.ndarray) -> float:
    """The population stability index, with half a row added to each cell so that an empty one is not endless."""
    import numpy as np

    filled = table + 0.5
    shares = filled / filled.sum(axis=1, keepdims=True)
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def _mean(side: Side) -> float | None:
    return finite(side.values.mean()) if side.known else None


def _std(side: Side) -> float | None:
    import numpy as np

    with np.errstate(invalid="ignore"):
        return finite(side.values.std(ddof=1)) if side.known > 1 else None


def _quantiles(one: Side, two: Side) -> dict[str, tuple[float | None, float | None]] | None:
    import numpy as np

    if not (one.known and two.known):
        return None
    with np.errstate(invalid="ignore"):
        found = [np.quantile(side.values, list(QUANTILES.values())) for side in (one, two)]
    return {name: (finite(found[0][place]), finite(found[1][place])) for place, name in enumerate(QUANTILES)}


def _span(side: Side) -> str | None:
    import numpy as np

    if not side.known:
        return None
    first, last = (str(np.datetime64(int(value), "us"))[:19] for value in (side.values.min(), side.values.max()))
    return f"{first} to {last}"


def _only(here: Side, there: Side) -> dict[str, int] | None:
    """The values of one side that the other lacks, the most frequent first."""
    known = set(there.values.tolist())
    counts = Counter(value for value in here.values.tolist() if value not in known)
    shown = {str(value)[:SHOWN_TEXT]: count for value, count in counts.most_common(SHOWN_VALUES)}
    more = len(counts) - len(shown)
    return (shown | ({f"… {more} more": sum(counts.values()) - sum(shown.values())} if more else {})) or None
