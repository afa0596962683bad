"""What features held in training, and how many rows hold something else.

Every answer that uses a model says so: an unseen category is scored as missing or as a rare one, and trees answer
beyond the range of a number as at its edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .card import ModelCard, Seen

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 8
EXAMPLES = 3
# Of many rows some lie a little beyond the range of the training rows. More than chance would have, one in so many
# times, or any that is farther away than the range is wide so many times, are named; of few rows every one.
BY_CHANCE = 1e-4
FAR = 10
FEW_ROWS = 10


def seen_in(design: pd.DataFrame, card: ModelCard) -> dict[str, Seen]:
    """What each feature holds in the design that a model is fitted to."""
    return {feature.name: _seen(design[feature.name], feature.kind == "number") for feature in card.features}


def _seen(values: pd.Series, is_number: bool) -> Seen:
    known, missing = values.dropna(), int(values.isna().sum())
    if not is_number:
        return Seen(levels=sorted(known.unique().tolist()), missing=missing)
    if known.empty:
        return Seen(missing=missing)
    return Seen(low=float(known.min()), high=float(known.max()), missing=missing)


def surprises(design: pd.DataFrame, card: ModelCard) -> list[str]:
    """A note for each feature with values that training had none of; of many features, only the first are named.

    Args:
        design: what `frame.design` made of the rows.
    """
    if not card.seen and card.features:
        return ["what this model saw in training is not known, so unseen values were not counted"]
    notes = [note for name in card.names for note in _surprise(name, design[name], card.seen[name], card.rows)]
    more = len(notes) - SHOWN
    return notes if more <= 0 else [*notes[:SHOWN], f"{more} more such features"]


def _surprise(name: str, values: pd.Series, seen: Seen, trained: int) -> list[str]:
    import numpy as np

    rows, missing = len(values), int(values.isna().sum())
    known = values.dropna()
    notes: list[str] = []
    if missing and not seen.missing:
        notes.append(f"{name} is missing in {missing} of {rows} rows, and never was in training")
    if seen.low is not None and seen.high is not None:
        beyond = np.maximum(seen.low - known, known - seen.high)
        outside = int((beyond > 0).sum())
        if outside and (beyond.max() > FAR * (seen.high - seen.low) or not _as_chance_has(outside, rows, trained)):
            notes.append(f"{name} is outside of {seen.low:.6g} to {seen.high:.6g} in {outside} of {rows} rows")
    elif seen.levels:
        strange = known[~known.isin(seen.levels)]
        if len(strange):
            shown = ", ".join(repr(str(text)[:30]) for text in strange.unique()[:EXAMPLES])
            notes.append(f"{name} holds values unseen in training in {len(strange)} of {rows} rows, e.g. {shown}")
    return notes


def _as_chance_has(outside: int, rows: int, trained: int) -> bool:
    """Whether so many rows of the same kind may well lie outside of the extremes of the training rows."""
    from scipy.stats import betabinom

    if rows < FEW_ROWS:
        return False
    # The share that lies beyond the two extremes of n rows is a beta variable.
    return bool(betabinom.sf(outside - 1, rows, 2, max(trained - 1, 1)) > BY_CHANCE)
