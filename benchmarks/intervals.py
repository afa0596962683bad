"""How often 95 % intervals hold the truth, within 92 and 98 %.

python benchmarks/intervals.py [samples [seed [metric]]]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import norm

from mlops_mcp.tools.modeling import intervals, metrics

LOW, HIGH = 0.92, 0.98
SIZES = (40, 200, 1000)
SHARE = 0.1
LARGE = 1_000_000
OF_CHANCES = ("log_loss", "brier", "balanced_accuracy", "f1", "average_precision")
KNOWN = {metric.name: metric for metric in metrics._all()}  # pyright: ignore[reportPrivateUsage]
Drawn = tuple[np.ndarray, np.ndarray]
Case = tuple[str, str, float, Callable[[np.random.Generator], Drawn], "np.ndarray | None"]


def classified(rows: int, apart: float) -> Callable[[np.random.Generator], Drawn]:
    """Scores that are normal within each class and chances that are right; a tenth of the rows is positive."""

    def draw(random: np.random.Generator) -> Drawn:
        truth = (random.random(rows) < SHARE).astype(int)
        odds = np.log(SHARE / (1 - SHARE)) + apart * (random.normal(size=rows) + apart * truth) - apart**2 / 2
        chance = 1 / (1 + np.exp(-odds))
        return truth, np.column_stack([1 - chance, chance])

    return draw


def errors(rows: int, clusters: np.ndarray | None) -> Callable[[np.random.Generator], Drawn]:
    """Normal errors of variance one, half of which rows of one cluster share."""

    def draw(random: np.random.Generator) -> Drawn:
        own = random.normal(size=rows)
        shared = own if clusters is None else (own + random.normal(size=rows)[clusters]) / 2**0.5
        return shared, np.zeros(rows)

    return draw


def hits(clusters: np.ndarray) -> Callable[[np.random.Generator], Drawn]:
    """Answers that are right where a normal number, half of it the cluster's, is below one."""

    def draw(random: np.random.Generator) -> Drawn:
        rows = len(clusters)
        right = (random.normal(size=rows)[clusters] + random.normal(size=rows)) / 2**0.5 < 1
        truth = random.integers(0, 2, rows)
        chance = np.where(right, truth, 1 - truth).astype(float)
        return truth, np.column_stack([1 - chance, chance])

    return draw


def at_large(name: str, draw: Callable[[np.random.Generator], Drawn]) -> float:
    """The score of a million rows, which stands for the true one."""
    return KNOWN[name].score(*draw(np.random.default_rng(2**31)))


def cases() -> Iterator[Case]:
    truths = {name: at_large(name, classified(LARGE, 2.0)) for name in OF_CHANCES}
    for rows in SIZES:
        yield "auc", f"{rows} rows", float(norm.cdf(0.5**0.5)), classified(rows, 1.0), None
        yield "auc", f"{rows} rows, .92", float(norm.cdf(2**0.5)), classified(rows, 2.0), None
        cut = (np.log((1 - SHARE) / SHARE) + 2) / 2
        accuracy = float((1 - SHARE) * norm.cdf(cut) + SHARE * norm.cdf(2 - cut))
        yield "accuracy", f"{rows} rows", accuracy, classified(rows, 2.0), None
        for name, truth in truths.items():
            yield name, f"{rows} rows", truth, classified(rows, 2.0), None
        yield "rmse", f"{rows} rows", 1.0, errors(rows, None), None
        yield "mae", f"{rows} rows", (2 / np.pi) ** 0.5, errors(rows, None), None
    for groups, size in ((100, 2), (50, 5), (30, 10)):
        clusters = np.repeat(np.arange(groups), size)
        yield "rmse", f"{groups} clusters of {size}", 1.0, errors(len(clusters), clusters), clusters
        yield "accuracy", f"{groups} clusters of {size}", float(norm.cdf(1)), hits(clusters), clusters


def of_sample(name: str, drawn: Drawn, clusters: np.ndarray | None, seed: int) -> intervals.Interval | None:
    try:
        return intervals.interval(KNOWN[name], *drawn, clusters, seed)
    except metrics.Undefined:
        return None


def main(samples: int = 2000, first: int = 0, only: str = "") -> int:
    """Print a line for each case; 1 if one of them is out of bounds by more than twice its standard error."""
    slack, outside = 2 * (0.95 * 0.05 / samples) ** 0.5, 0
    for name, what, truth, draw, clusters in (case for case in cases() if only in ("", case[0])):
        found = [
            of_sample(name, draw(np.random.default_rng(seed)), clusters, seed) for seed in range(first, first + samples)
        ]
        bounds = [each.bounds for each in found if each and each.bounds]
        held = float(np.mean([low <= truth <= high for low, high in bounds]))
        width, bad = float(np.mean([high - low for low, high in bounds])), not LOW - slack <= held <= HIGH + slack
        outside += bad
        print(f"{name:17} {what:18} {held:6.1%} of {len(bounds)} width {width:.3f}{'  OUTSIDE' if bad else ''}")
    return int(outside > 0)


if __name__ == "__main__":
    sys.exit(main(*(int(text) for text in sys.argv[1:3]), *sys.argv[3:4]))
