"""How often the intervals of `estimate_effect` hold the truth, and how wide they are: `python benchmarks/effects.py`.

`python benchmarks/effects.py [repetitions] [first seed] [design ...]` prints a line per design: coverage of the 95 %
interval (of these rows, and of the population), bias, root mean square of the errors in standard errors, median
standard error, the median width over the ideal one (that of the efficient bound where it is known, else 3.92 standard
deviations of the error), the share of verdicts on overlap that were "good", and the seconds of a repetition. The truth
is the mean effect over the rows drawn.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_mcp.tools.causal.average import Contrast, contrast
from mlops_mcp.tools.causal.estimate import averages
from mlops_mcp.tools.causal.models import EffectRequest, Overlap, Target
from mlops_mcp.tools.causal.overlap import overlap
from mlops_mcp.tools.causal.question import question
from mlops_mcp.tools.data.models import DatasetInfo
from mlops_mcp.tools.data.store import Dataset

LIMITS = {"coverage": 0.92, "width": 1.3, "good": 0.95}


@dataclass(frozen=True)
class Drawn:
    """Outcome, treatment, covariates, and the effect on each row; of a treatment drawn by lot or not.

    `ideal` are the least standard errors of the average over all rows and over the treated: the efficiency bound of
    Hahn, "On the role of the propensity score in efficient semiparametric estimation", 1998, for these very rows.
    """

    outcome: Any
    treatment: Any
    covariates: Any
    effects: Any
    ideal: dict[Target, float] | None = None


@dataclass(frozen=True)
class Result:
    coverage: float
    population: float
    bias: float
    off: float
    error: float
    width: float
    good: float
    seconds: float


def ihdp(surface: str) -> Callable[[int], Drawn]:
    """Hill, "Bayesian nonparametric modeling for causal inference", 2011: 747 rows, 19 % treated, 25 covariates."""

    def draw(seed: int) -> Drawn:
        from econml.data import dgps

        outcome, treatment, covariates, truth = getattr(dgps, f"ihdp_surface_{surface}")(random_state=seed)
        return Drawn(np.ravel(outcome), np.ravel(treatment), np.asarray(covariates, float), np.ravel(truth))

    return draw


def confounded(rows: int) -> Callable[[int], Drawn]:
    """Two confounders, an effect that varies with one of them, three columns of noise."""

    def draw(seed: int) -> Drawn:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(rows, 5))
        chances = _logistic(0.7 * (x[:, 0] + x[:, 1]))
        treated, effects = (rng.random(rows) < chances).astype(int), 1 + 0.5 * x[:, 0]
        outcome = effects * treated + 2 * x[:, 1] + x[:, 0] + rng.normal(size=rows)
        return Drawn(outcome, treated, x, effects, _bound(chances, 1.0))

    return draw


def bent(rows: int) -> Callable[[int], Drawn]:
    """Confounded by curves, which no straight line follows."""

    def draw(seed: int) -> Drawn:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(rows, 5))
        treated = (rng.random(rows) < _logistic(0.8 * (np.sin(2 * x[:, 0]) + x[:, 1] ** 2 - 1))).astype(int)
        effects = 1.0 + (x[:, 0] > 0)
        return Drawn(effects * treated + np.cos(x[:, 0]) + x[:, 1] ** 2 + rng.normal(size=rows), treated, x, effects)

    return draw


def squared(seed: int) -> Drawn:
    """An effect of x², most of it where treatment is nearly certain: averages weighted by overlap miss it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=3000)
    treated = (rng.random(3000) < _logistic(1.5 * x)).astype(int)
    return Drawn(x**2 * treated + x + rng.normal(size=3000), treated, x[:, None], x**2)


def trial(rows: int, share: float, noise: float) -> Callable[[int], Drawn]:
    """Treatment by lot, with a small effect."""

    def draw(seed: int) -> Drawn:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(rows, 5))
        treated = (rng.random(rows) < share).astype(int)
        outcome = 0.3 * treated + x[:, 0] + noise * rng.normal(size=rows)
        return Drawn(outcome, treated, x, np.full(rows, 0.3), _bound(np.full(rows, share), noise))

    return draw


def _bound(chances: Any, noise: float) -> dict[Target, float]:
    """Of rows with these chances, and noise of one spread in either arm."""
    every = noise * np.sqrt(np.mean(1 / chances + 1 / (1 - chances)) / len(chances))
    treated = noise * np.sqrt(np.mean(chances + chances**2 / (1 - chances)) / len(chances)) / np.mean(chances)
    return {"all": float(every), "treated": float(treated)}


DESIGNS: dict[str, Callable[[int], Drawn]] = {
    "IHDP A": ihdp("A"),
    "IHDP B": ihdp("B"),
    "confounded 500": confounded(500),
    "confounded 2000": confounded(2000),
    "trial 400": trial(400, 0.5, 4.5),
    "trial 1000, 20 %": trial(1000, 0.2, 1.0),
    "trial 400, 20 %": trial(400, 0.2, 1.0),
    "bent 2000": bent(2000),
    "squared 3000": squared,
}


def simulate(design: str, seeds: Sequence[int]) -> dict[Target, Result]:
    """Estimate on each seed's rows, in the order of their treatment, as files often have it."""
    kept: dict[Target, list[tuple[float, Contrast, Overlap]]] = {"all": [], "treated": []}
    ideal: dict[Target, list[float]] = {"all": [], "treated": []}
    before = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            drawn = DESIGNS[design](seed)
            sample = averages(question(*_asked(drawn, Path(folder))), "all", 1).sample
            assert sample is not None
            for target, found in kept.items():
                each = contrast(sample, 1, target)
                effects = drawn.effects if target == "all" else drawn.effects[drawn.treatment == 1]
                found.append((float(effects.mean()), each, overlap(sample, [each], target).verdict))
                ideal[target] += [drawn.ideal[target]] if drawn.ideal else []
    seconds = (time.process_time() - before) / len(seeds)
    return {target: _result(found, ideal[target], seconds) for target, found in kept.items()}


def _result(found: list[tuple[float, Contrast, Overlap]], ideal: list[float], seconds: float) -> Result:
    errors = np.array([each.effect - truth for truth, each, _ in found])
    claimed = np.array([each.error for _, each, _ in found])
    return Result(
        coverage=float(np.mean([_holds(each.interval(), truth) for truth, each, _ in found])),
        population=float(np.mean([_holds(each.population_interval(), truth) for truth, each, _ in found])),
        bias=float(errors.mean()),
        off=float(np.sqrt(np.mean((errors / claimed) ** 2))),
        error=float(np.median(claimed)),
        width=float(np.median(claimed / (ideal or errors.std()))),
        good=float(np.mean([verdict == "good" for *_, verdict in found])),
        seconds=seconds,
    )


def _holds(bounds: Sequence[float], truth: float) -> bool:
    return bounds[0] < truth < bounds[1]


def _asked(drawn: Drawn, folder: Path) -> tuple[EffectRequest, Dataset]:
    names = [f"x{number}" for number in range(drawn.covariates.shape[1])]
    frame = pd.DataFrame(drawn.covariates, columns=names).assign(t=drawn.treatment, y=drawn.outcome)
    path = folder / "rows.parquet"
    frame.sort_values("t", kind="stable").to_parquet(path, index=False)
    info = DatasetInfo(dataset="dataset:rows@0", rows=len(frame), columns=[*frame.columns], source="", created="")
    request = EffectRequest(dataset=info.dataset, treatment="t", outcome="y", controls=names, estimator="LinearDML")
    return request, Dataset(info, path)


def _logistic(values: Any) -> Any:
    return 1 / (1 + np.exp(-values))


def main() -> int:
    repetitions, first = (int(text) for text in [*sys.argv[1:3], "100", "0"][:2]) if len(sys.argv) > 2 else (100, 0)
    worst = 0
    print(f"{'design':<18}{'target':<9}" + "".join(f"{name:>11}" for name in Result.__dataclass_fields__))
    for design in sys.argv[3:] or DESIGNS:
        for target, found in simulate(design, range(first, first + repetitions)).items():
            print(f"{design:<18}{target:<9}" + "".join(f"{value:>11.3f}" for value in vars(found).values()), flush=True)
            bad = found.coverage < LIMITS["coverage"] or found.width > LIMITS["width"]
            worst += bad or (design.startswith("trial") and found.good < LIMITS["good"])
    print(f"{worst} of these are outside {LIMITS}")
    return 1 if worst else 0


if __name__ == "__main__":
    sys.exit(main())
