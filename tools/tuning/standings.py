"""What the scores of a contest say: how sure each is, and who is better than whom."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING

from ..estimates import AGAINST_ANOTHER, AGAINST_BASELINE, Estimate, Verdict
from ..modeling.estimated import estimated
from ..modeling.metrics import Metric, Undefined
from ..modeling.paired import Difference, holm, on_rows, over_folds, shown
from ..numbers import finite
from .contest import Contest, Entry
from .models import Contender, Pair

if TYPE_CHECKING:
    import numpy as np

# Scores that can be below 0, and those that can be above 1.
UNBOUNDED_BELOW, UNBOUNDED_ABOVE = ("r2", "r_score"), ("log_loss", "rmse", "mae")


def contenders(contest: Contest) -> list[Contender]:
    """Every candidate with its score, the best first and those that failed last."""
    against = {entry.candidate.label: _difference(contest, entry, None) for entry in contest.running}
    raised = holm({name: each.p for name, each in against.items() if each.p is not None})
    found = [_contender(contest, entry, against.get(entry.candidate.label), raised) for entry in contest.entries]
    return sorted(found, key=lambda each: _rank(contest.metric, each))


def pairs(contest: Contest, order: list[Contender]) -> list[Pair]:
    """Every pair of those that have a score, the one with the better score first."""
    entries = {entry.candidate.label: entry for entry in contest.running}
    names = [each.candidate for each in order if each.score and each.score.value is not None]
    found = {pair: _difference(contest, entries[pair[0]], entries[pair[1]]) for pair in combinations(names, 2)}
    raised = holm({pair: each.p for pair, each in found.items() if each.p is not None})
    return [
        Pair(
            first=first,
            second=second,
            difference=_estimate(contest, each, AGAINST_ANOTHER, raised.get((first, second))),
            p_holm=raised.get((first, second)),
        )
        for (first, second), each in found.items()
    ]


def winner(order: list[Contender], found: list[Pair]) -> str | None:
    """Who is better than all others and than the baseline, if anybody is beyond doubt."""
    first = order[0]
    others = [pair for pair in found if pair.first == first.candidate]
    better = bool(others) and all(pair.difference.verdict == "better" for pair in others)
    return first.candidate if better and first.score and first.score.verdict == "above_baseline" else None


def within(metric: Metric, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    """Bounds that such a score can have."""
    if bounds is None:
        return None
    least = -float("inf") if metric.name in UNBOUNDED_BELOW else 0.0
    most = float("inf") if metric.name in UNBOUNDED_ABOVE else 1.0
    return max(bounds[0], least), min(bounds[1], most)


def positives(target: np.ndarray, binary: bool) -> int | None:
    return int((target == 1).sum()) if binary else None


def _contender(contest: Contest, entry: Entry, against: Difference | None, raised: Mapping[str, float]) -> Contender:
    import numpy as np

    made = Contender(
        candidate=entry.candidate.label,
        params=dict(entry.candidate.params) if entry.candidate.stored is None else {},
        seconds=round(entry.seconds, 3),
        folds=list(entry.scores),
        tuned=[dict(each) for each in entry.tuned],
        error=entry.error or None,
    )
    if against is None:
        return made
    scores = [score for score in entry.scores if score is not None]
    if entry.prediction is not None:
        score = estimated(contest.metric, contest.base.card, contest.answers(entry))
    else:
        score = _mean(contest, scores)
    said = _estimate(contest, against, AGAINST_BASELINE, raised.get(entry.candidate.label))
    verdict = "not_evaluated" if score.value is None else said.verdict
    score = score.model_copy(update={"verdict": verdict, "reason": said.reason or score.reason})
    spread = finite(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return made.model_copy(update={"score": score, "std": spread})


def _mean(contest: Contest, scores: list[float]) -> Estimate:
    """Over the folds that have a score, which may be none."""
    target, dummy = contest.base.target, [score for score in contest.dummy if score is not None]
    found = (
        over_folds(scores, contest.sizes) if scores else Difference(0.0, None, None, reason="undefined on each fold")
    )
    return Estimate(
        value=found.value if scores else None,
        interval=within(contest.metric, found.bounds),
        method=found.method or None,
        baseline=sum(dummy) / len(dummy) if dummy else None,
        n=len(target),
        positives=positives(target, contest.base.card.binary),
        reason=found.reason or None,
    )


def _difference(contest: Contest, one: Entry, other: Entry | None) -> Difference:
    """Of two candidates, or of one and the baseline, on the rows or folds where both have a score."""
    if one.prediction is not None and contest.truth is not None:
        prediction = other.prediction if other else contest.dummy_prediction
        assert prediction is not None
        try:
            return on_rows(contest.metric, contest.truth, one.prediction, prediction, contest.clusters)
        except Undefined as undefined:
            return Difference(0.0, None, None, reason=str(undefined))
    scores = zip(one.scores, other.scores if other else contest.dummy, contest.sizes, strict=True)
    both = [(first - second, size) for first, second, size in scores if first is not None and second is not None]
    if not both:
        return Difference(0.0, None, None, reason=f"no fold has a {contest.metric.name} of both")
    return over_folds([value for value, _ in both], [size for _, size in both])


def _estimate(contest: Contest, found: Difference, verdicts: Mapping[int, Verdict], p: float | None) -> Estimate:
    sign = 1 if contest.metric.direction == "maximize" else -1
    return Estimate(
        value=found.value, interval=found.bounds, method=found.method or None,
        n=len(contest.truth) if contest.truth is not None else len(contest.base.target),
        verdict=verdicts[shown(p, sign * found.value)], reason=found.reason or None,
    )  # fmt: skip


def _rank(metric: Metric, each: Contender) -> tuple[bool, float]:
    value = each.score.value if each.score else None
    sign = -1 if metric.direction == "maximize" else 1
    return value is None, sign * value if value is not None else 0.0
