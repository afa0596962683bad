"""The score on parts of the rows: which of them the model does worse on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import ToolFailure
from ..estimates import AGAINST_ANOTHER, Estimate
from ..modeling.card import ModelCard
from ..modeling.estimated import Answers, estimated
from ..modeling.intervals import LEVEL, mover
from ..modeling.metrics import Metric
from .models import Slice

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Numbers of more values are cut at their quartiles; of texts, the most frequent are told apart.
FEW_VALUES, QUANTILES, LEVELS = 10, 4, 10
MISSING, OTHERS = "missing", "all others"


def slices(metric: Metric, card: ModelCard, answers: Answers, column: pd.Series) -> list[Slice]:
    """The score within each value or quarter of a column, and how far it is from that on the other rows.

    Both intervals hold for all slices at once (Bonferroni); the difference of two independent scores is put together
    from their intervals.

    Raises:
        ToolFailure: the column makes no parts.
    """
    parts = list(_parts(column))
    if len(parts) < 2:
        raise ToolFailure(f"{column.name} has one value in these rows, which makes no slices", "Pass another `by`.")
    level = 1 - (1 - LEVEL) / len(parts)
    return [_slice(name, metric, card, answers, rows, level) for name, rows in parts]


def _slice(name: str, metric: Metric, card: ModelCard, answers: Answers, rows: np.ndarray, level: float) -> Slice:
    own, rest = (estimated(metric, card, answers.take(chosen), level) for chosen in (rows, ~rows))
    return Slice(rows=name, score=own, apart=_apart(metric, own, rest, level))


def _apart(metric: Metric, own: Estimate, rest: Estimate, level: float) -> Estimate:
    counted = own.n + rest.n
    if own.value is None or rest.value is None:
        return Estimate(value=None, n=counted, verdict="not_evaluated", reason=own.reason or rest.reason)
    value = own.value - rest.value
    if own.interval is None or rest.interval is None:
        return Estimate(value=value, n=counted, verdict="not_evaluated", reason=own.reason or rest.reason)
    bounds = mover(own.value, own.interval, rest.value, rest.interval)
    side = int(bounds[0] > 0) - int(bounds[1] < 0)
    side = side if metric.direction == "maximize" else -side
    return Estimate(
        value=value, interval=bounds, method=f"{100 * level:.4g} % MOVER", n=counted, verdict=AGAINST_ANOTHER[side]
    )


def _parts(column: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Names and masks of rows, which hold each row once."""
    missing = column.isna().to_numpy()
    if missing.any():
        yield MISSING, missing
    if column.dtype.kind in "iufM" and column.nunique() > FEW_VALUES:
        yield from _quarters(column)
        return
    texts = column.map(str, na_action="ignore")
    counts = texts.value_counts()
    named = counts.index[: LEVELS if len(counts) <= LEVELS else LEVELS - 1]
    for level in sorted(named):
        yield str(level)[:60], (texts == level).to_numpy()
    rest = (~texts.isin(named)).to_numpy() & ~missing
    if rest.any():
        yield OTHERS, rest


def _quarters(column: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    import pandas as pd

    cut = pd.qcut(column, QUANTILES, duplicates="drop")
    for piece in cut.cat.categories:
        inside = (cut == piece).to_numpy()
        yield f"{column[inside].min()} to {column[inside].max()}", inside
