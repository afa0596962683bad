"""Could every row have been in either arm? The answer must be yes wherever treatment was drawn by lot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .average import Contrast, Sample
from .models import Overlap, Overlapping, Target

if TYPE_CHECKING:
    import numpy as np

# A row is without counterpart where its chance of an arm is below a tenth of that arm's share, and below this.
LOW, TENTH = 0.05, 0.1
# Shares of rows without counterpart, and of an arm's rows that its weights amount to.
FEW, MANY = 0.1, 0.5
ENOUGH, TOO_LITTLE = 0.4, 0.1
RANKS: tuple[Overlap, ...] = ("good", "weak", "none")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class _Part:
    """One arm against the untreated: the rows its weights amount to, their share of its rows and of those that are
    needed (no more of the untreated than are treated), and the share of rows without counterpart."""

    rows: float
    share: float
    needed: float
    alone: float

    @property
    def verdict(self) -> Overlap:
        if self.alone >= MANY or self.needed < TOO_LITTLE:
            return "none"
        return "good" if self.alone < FEW and self.share >= ENOUGH else "weak"


def overlap(sample: Sample, contrasts: Sequence[Contrast], target: Target) -> Overlapping:
    """The verdict on the arm that is compared worst."""
    import numpy as np

    sizes = np.bincount(sample.arms)
    every = [(arm, found, _alone(sample, arm, target)) for arm, found in enumerate(contrasts, start=1)]
    parts = [_Part(*_kept(found, sizes, arm, target), alone) for arm, found, alone in every]
    worst = max(parts, key=lambda part: (RANKS.index(part.verdict), -part.share))
    return Overlapping(
        verdict=worst.verdict,
        propensity=quantiles(1 - sample.chances[:, 0]) if np.ptp(sample.chances[:, 0]) else {},
        without_counterpart=worst.alone,
        effective_rows=round(worst.rows),
        effective_share=worst.share,
    )


def quantiles(values: np.ndarray) -> dict[str, float]:
    import numpy as np

    return {
        f"{share:.0%}": float(value) for share, value in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)
    }


def _alone(sample: Sample, arm: int, target: Target) -> float:
    """The share of the rows the effect is about that were next to never in one of the two arms."""
    import numpy as np

    arms = (0, arm) if target == "all" else (0,)
    floors = [min(LOW, TENTH * float((sample.arms == one).mean())) for one in arms]
    below = np.any([sample.chances[:, one] < floor for one, floor in zip(arms, floors, strict=True)], axis=0)
    return float(below.mean() if target == "all" else below[sample.arms == arm].mean())


def _kept(found: Contrast, sizes: np.ndarray, arm: int, target: Target) -> tuple[float, float, float]:
    """The rows that the weights of the worse arm amount to, as a share of its rows, and of those it takes."""
    of_arm, of_none = found.effective
    shares = (
        [(of_none, of_none / sizes[0])]
        if target == "treated"
        else [(of_arm, of_arm / sizes[arm]), (of_none, of_none / sizes[0])]
    )
    rows, share = min(shares, key=lambda pair: pair[1])
    return rows, share, share if target == "all" else rows / min(sizes[0], sizes[arm])
