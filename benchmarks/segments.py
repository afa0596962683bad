"""How often the intervals beside the average effect hold the truth, and how often variation is a false alarm.

`python benchmarks/segments.py [repetitions] [first seed] [design ...]` prints a line per design and what was estimated:
the coverage of its 95 % interval or, of a test of variation, the share of p values below 5 % where the effect is the
same on all rows. First stages are linear, which takes a tenth of a second instead of seconds.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_mcp.tools.causal.answers import arm_effects
from mlops_mcp.tools.causal.estimate import averages
from mlops_mcp.tools.causal.models import EffectRequest
from mlops_mcp.tools.causal.parts import parts
from mlops_mcp.tools.causal.question import question
from mlops_mcp.tools.causal.segments import Compared, segments, variation
from mlops_mcp.tools.data.models import DatasetInfo
from mlops_mcp.tools.data.store import Dataset

LIMITS = (0.93, 0.97)
FIRST_STAGES = ("ridge", "logit (C=0.03)")


@dataclass(frozen=True)
class Drawn:
    """Rows with `t` and `y`, the effect on each, the plain difference in the population, and how they are asked of."""

    frame: pd.DataFrame
    effects: Any
    plain: float | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)


def rates(seed: int) -> Drawn:
    """A lottery that raises a rate of 8 % to 12 %."""
    rng = np.random.default_rng(seed)
    arm = (rng.random(600) < 0.5).astype(int)
    frame = pd.DataFrame({"t": arm, "y": (rng.random(600) < 0.08 + 0.04 * arm).astype(int)})
    return Drawn(frame, np.full(600, 0.04), 0.04, {"randomised": True})


def amounts(seed: int) -> Drawn:
    """A lottery with a fifth treated, of an outcome with a long tail."""
    rng = np.random.default_rng(seed)
    arm = (rng.random(500) < 0.2).astype(int)
    outcome = rng.gamma(2.0, 1.0, 500) * (1 + 0.5 * arm)
    return Drawn(pd.DataFrame({"t": arm, "y": outcome}), np.full(500, 1.0), 1.0, {"randomised": True})


def confounded(varies: float) -> Callable[[int], Drawn]:
    """Treatment and outcome follow x and z; the effect follows x, or nothing."""

    def draw(seed: int) -> Drawn:
        rng = np.random.default_rng(seed)
        x, z = rng.normal(size=(2, 1000))
        arm = (rng.random(1000) < 1 / (1 + np.exp(-0.7 * (x + z)))).astype(int)
        effects = 1 + varies * x
        outcome = effects * arm + x + 2 * z + rng.normal(size=1000)
        frame = pd.DataFrame({"t": arm, "y": outcome, "x": x, "z": z, "g": rng.choice(["a", "b", "c"], 1000)})
        return Drawn(frame, effects, None, {"controls": ["z"], "effect_modifiers": ["x"], "by": ["x", "g"]})

    return draw


def clusters(count: int, whole: bool) -> Callable[[int], Drawn]:
    """So many clusters of 20 rows with a level of their own, treated as a whole or row by row."""

    def draw(seed: int) -> Drawn:
        rng = np.random.default_rng(seed)
        cluster = np.repeat(np.arange(count), 20)
        x = rng.normal(size=len(cluster)) + rng.normal(size=count)[cluster]
        dealt = rng.permutation(count) % 2 if whole else rng.normal(size=count)
        arm = dealt[cluster] if whole else (rng.random(len(cluster)) < 1 / (1 + np.exp(-x / 2))).astype(int)
        # A slope of its own makes rows of a cluster dependent in the effect, however they were treated.
        own = rng.normal(size=count)[cluster]
        effects = np.full(len(cluster), 0.5)
        outcome = effects * arm + x + own * (1 + 0.5 * (arm - 0.5)) + rng.normal(size=len(cluster))
        frame = pd.DataFrame({"t": arm, "y": outcome, "x": x, "s": cluster, "g": rng.choice(["a", "b"], len(cluster))})
        return Drawn(frame, effects, 0.5 if whole else None, {"controls": ["x"], "cluster": "s", "by": ["g"]})

    return draw


DESIGNS: dict[str, Callable[[int], Drawn]] = {
    "rates": rates,
    "amounts": amounts,
    "varying": confounded(0.5),
    "constant": confounded(0.0),
    "12 clusters, whole": clusters(12, True),
    "30 clusters, whole": clusters(30, True),
    "76 clusters, mixed": clusters(76, False),
}


def simulate(design: str, seeds: Sequence[int]) -> dict[str, float]:
    """The coverage of each interval, and the share of false alarms."""
    held: dict[str, list[bool]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            for name, hit in _hits(DESIGNS[design](seed), Path(folder), design != "varying"):
                held[name].append(hit)
    return {name: float(np.mean(hits)) for name, hits in held.items()}


def _hits(drawn: Drawn, folder: Path, constant: bool) -> list[tuple[str, bool]]:
    asked = question(*_asked(drawn, folder))
    found = averages(asked, "all", 1, FIRST_STAGES)
    assert found.sample is not None
    arm = arm_effects(asked, found, found.sample, "all")[0]
    made = [("adjusted", _holds(arm.effect.interval, float(drawn.effects.mean())))]
    if drawn.plain is not None:
        made.append(("plain", _holds(arm.difference.interval, drawn.plain)))
    if drawn.plain is not None and arm.lift.interval is not None:
        base = {0.04: 0.08, 1.0: 2.0}.get(drawn.plain)
        made += [("lift", _holds(arm.lift.interval, drawn.plain / base))] if base else []
    compared = Compared(found.sample, found.contrasts, "all", asked.arms)
    truths = {
        (part.column, part.name): float(drawn.effects[part.rows].mean())
        for column in asked.by
        for part in parts(asked.by[column])
    }
    made += [
        ("segments", _holds(one.interval, truths[one.column, one.segment]))
        for one in segments(compared, asked.by)
        if one.interval
    ]
    if constant and len(asked.by.columns):
        found_any = any(one.verdict == "above_baseline" for one in variation(compared, asked.by, None))
        made.append(("alarms by column", found_any))
        numbers = asked.rows.controls.join(asked.rows.modifiers).to_numpy()
        together = variation(compared, asked.by[[]], numbers)[0]
        made.append(("alarms together", together.verdict == "above_baseline"))
    return made


def _holds(bounds: tuple[float, float] | None, truth: float) -> bool:
    return bounds is not None and bounds[0] < truth < bounds[1]


def _asked(drawn: Drawn, folder: Path) -> tuple[EffectRequest, Dataset]:
    path = folder / "rows.parquet"
    drawn.frame.to_parquet(path, index=False)
    names = [str(name) for name in drawn.frame.columns]
    info = DatasetInfo(dataset="dataset:rows@0", rows=len(drawn.frame), columns=names, source="", created="")
    request: dict[str, Any] = {"dataset": info.dataset, "treatment": "t", "outcome": "y", "estimator": "LinearDML"}
    return EffectRequest.model_validate(request | dict(drawn.asked)), Dataset(info, path)


def main() -> int:
    repetitions, first = (int(text) for text in (*sys.argv[1:3], "200", "0")[:2]) if len(sys.argv) > 2 else (200, 0)
    worst = 0
    for design in sys.argv[3:] or DESIGNS:
        for name, share in simulate(design, range(first, first + repetitions)).items():
            alarm = name.startswith("alarms")
            worst += share > 1 - LIMITS[0] if alarm else not LIMITS[0] <= share <= LIMITS[1]
            print(f"{design:<22}{name:<18}{share:>8.3f}", flush=True)
    print(f"{worst} of these are outside {LIMITS}")
    return 1 if worst else 0


if __name__ == "__main__":
    sys.exit(main())
