"""What features held in training, and how many rows hold something else.

Every answer that uses a model says so: an unseen category is scored as missing or as a rare one, and trees answer
beyond the range of a number as at its edge.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
    found = Surprises(card)
    found.count(design)
    return found.notes()


@dataclass
class _Strange:
    """How many rows of one feature are missing, outside of the range (at most so far), or of an unseen level."""

    missing: int = 0
    outside: int = 0
    beyond: float = 0.0
    unseen: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Surprises:
    """Counts over rows that come in parts."""

    card: ModelCard
    rows: int = 0
    _strange: dict[str, _Strange] = field(default_factory=dict)

    def count(self, design: pd.DataFrame) -> None:
        """Add the rows of one part, as `frame.design` made them."""
        self.rows += len(design)
        for name in self.card.names if self.card.seen else ():
            _count(self._strange.setdefault(name, _Strange()), design[name], self.card.seen[name])

    def notes(self) -> list[str]:
        if not self.card.seen and self.card.features:
            return ["what this model saw in training is not known, so unseen values were not counted"]
        notes = [note for name, found in self._strange.items() for note in self._of(name, found)]
        more = len(notes) - SHOWN
        return notes if more <= 0 else [*notes[:SHOWN], f"{more} more such features"]

    def _of(self, name: str, found: _Strange) -> list[str]:
        seen, rows = self.card.seen[name], self.rows
        notes: list[str] = []
        if found.missing and not seen.missing:
            notes.append(f"{name} is missing in {found.missing} of {rows} rows, and never was in training")
        if found.outside and not self._by_chance(found, seen):
            notes.append(f"{name} is outside of {seen.low:.6g} to {seen.high:.6g} in {found.outside} of {rows} rows")
        if found.unseen:
            shown = ", ".join(repr(text[:30]) for text in found.examples)
            notes.append(f"{name} holds values unseen in training in {found.unseen} of {rows} rows, e.g. {shown}")
        return notes

    def _by_chance(self, found: _Strange, seen: Seen) -> bool:
        """Whether rows of the same kind may well lie so far outside of the extremes of training as often."""
        assert seen.low is not None
        assert seen.high is not None
        near = found.beyond <= FAR * (seen.high - seen.low)
        return near and _as_chance_has(found.outside, self.rows, self.card.rows)


def _count(found: _Strange, values: pd.Series, seen: Seen) -> None:
    import numpy as np

    known = values.dropna()
    found.missing += len(values) - len(known)
    if seen.low is not None and seen.high is not None:
        beyond = np.maximum(seen.low - known, known - seen.high)
        found.outside += int((beyond > 0).sum())
        found.beyond = max(found.beyond, float(beyond.max()) if len(beyond) else 0.0)
    elif seen.levels:
        strange = known[~known.isin(seen.levels)]
        found.unseen += len(strange)
        more = [str(text) for text in strange.unique().tolist() if str(text) not in found.examples]
        found.examples += more[: EXAMPLES - len(found.examples)]


def _as_chance_has(outside: int, rows: int, trained: int) -> bool:
    """Whether so many rows of the same kind may well lie outside of the extremes of the training rows."""
    from scipy.stats import betabinom

    if rows < FEW_ROWS:
        return False
    # The share that lies beyond the two extremes of n rows is a beta variable.
    return bool(betabinom.sf(outside - 1, rows, 2, max(trained - 1, 1)) > BY_CHANCE)
