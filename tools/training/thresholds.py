"""What the scores of two classes come to at some thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ToolFailure, unknown
from ..modeling.card import ModelCard
from .models import Threshold

if TYPE_CHECKING:
    import numpy as np

ASKED = ("threshold", "recall", "specificity", "cost")


@dataclass(frozen=True)
class Curve:
    """At each distinct score, from high to low: how many rows are flagged, and how many of them are positive."""

    scores: np.ndarray
    flagged: np.ndarray
    hits: np.ndarray
    positives: int
    rows: int

    @classmethod
    def of(cls, truth: np.ndarray, chance: np.ndarray) -> Curve:
        import numpy as np

        order = np.argsort(-chance, kind="stable")
        ordered = chance[order]
        last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        hits = (truth[order] == 1).cumsum()[last]
        return cls(ordered[last], last + 1, hits, int((truth == 1).sum()), len(truth))

    @property
    def alarms(self) -> np.ndarray:
        """False ones."""
        return self.flagged - self.hits

    def costs(self, missed: float) -> np.ndarray:
        return (self.alarms + missed * (self.positives - self.hits)) / self.rows

    def line(self, why: str, threshold: float, missed: float | None) -> Threshold:
        flagged = int(self.flagged[self.scores >= threshold].max(initial=0))
        hits = int(self.hits[self.scores >= threshold].max(initial=0))
        alarms, others = flagged - hits, self.rows - self.positives
        cost = None if missed is None else (alarms + missed * (self.positives - hits)) / self.rows
        return Threshold(
            why=why, threshold=threshold, flagged=flagged / self.rows, precision=hits / flagged if flagged else None,
            recall=hits / self.positives if self.positives else None,
            specificity=1 - alarms / others if others else None,
            f1=2 * hits / (flagged + self.positives) if flagged + self.positives else None, cost=cost,
        )  # fmt: skip


def thresholds(card: ModelCard, truth: np.ndarray, prediction: np.ndarray, at: Mapping[str, float]) -> list[Threshold]:
    """A half, the best F1, the best balance of recall and specificity (Youden 1950), and what was asked for.

    Args:
        at: a `threshold`; a least `recall` or `specificity`; the `cost` of a missed positive, in false alarms.

    Raises:
        ToolFailure: the model does not tell two classes, or what is asked for is none of these.
    """
    if not card.binary:
        raise ToolFailure("thresholds are of two classes", "Leave 'thresholds' and `at` out.")
    for name, value in at.items():
        if name not in ASKED:
            raise unknown("cut-off", name, ASKED)
        if not 0 <= value <= (float("inf") if name == "cost" else 1):
            raise ToolFailure(f"{name} is {value:g}", "It must be 0 to 1; a cost, 0 or more.")
    curve = Curve.of(truth, prediction[:, 1])
    return [curve.line(why, threshold, at.get("cost")) for why, threshold in _chosen(curve, at)]


def _chosen(curve: Curve, at: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    import numpy as np

    yield "default", 0.5
    if "threshold" in at:
        yield "asked", at["threshold"]
    others = curve.rows - curve.positives
    if not curve.positives or not others:
        return
    recall, specificity = curve.hits / curve.positives, 1 - curve.alarms / others
    yield "best f1", float(curve.scores[(curve.hits / (curve.flagged + curve.positives)).argmax()])
    yield "best recall + specificity", float(curve.scores[(recall + specificity).argmax()])
    if "recall" in at:
        yield f"recall >= {at['recall']:g}", float(curve.scores[np.argmax(recall >= at["recall"] - 1e-12)])
    if "specificity" in at:
        kept = curve.scores[specificity >= at["specificity"] - 1e-12]
        # Where even the highest score flags too many, nothing is flagged above it.
        yield (
            f"specificity >= {at['specificity']:g}",
            float(kept[-1] if len(kept) else np.nextafter(curve.scores[0], 2)),
        )
    if "cost" in at:
        costs = curve.costs(at["cost"])
        nothing = at["cost"] * curve.positives / curve.rows
        best = int(costs.argmin())
        cheap = float(costs[best]) <= nothing
        yield "least cost", float(curve.scores[best] if cheap else np.nextafter(curve.scores[0], 2))
