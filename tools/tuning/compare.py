"""Which of several models is better, on the same rows for all of them, and whether that is beyond doubt."""

from __future__ import annotations

import time
from pathlib import Path

from ..data.store import with_handles
from ..errors import ToolFailure, unknown
from ..handles import parse
from ..lineage import Lineage
from ..runtime.work import Work
from ..storage.state_files import replaced
from ..tracing.ids import uuid7
from ..tracking.backend import require_backend
from ..tracking.locations import require_artifacts
from ..undo import deletes
from .candidates import read_candidates
from .contest import Contest, off_on_folds, opened, score_on_folds, score_on_rows
from .models import CompareRequest, Comparison, Contender
from .report import log_comparison
from .standings import contenders, pairs, winner

SHOWN_PAIRS = 10
DIGITS = 20


def compare_models(work: Work, request: CompareRequest) -> Comparison:
    """Score candidates on the same folds, or on the rows of `test`, and compare every two of them.

    A job that is started again comes to the same answer under the same handle.

    Raises:
        ToolFailure: what can be known to be wrong before any fit, or no candidate could be scored.
    """
    _check_limits(request)
    require_backend(work)
    require_artifacts(work.settings, work.settings.artifact_root)
    began = time.monotonic()
    request, loaded = with_handles(work, request, "dataset", "test")
    contest, test = opened(work, request, read_candidates(work, request.candidates))
    name = (work.job or uuid7()).replace("-", "")[:DIGITS]

    def so_far() -> Comparison:
        return _kept(work, _result(contest, name, loaded, time.monotonic() - began))

    if test:
        score_on_rows(work, request, contest, test)
    else:
        score_on_folds(work, request, contest, lambda: work.keep(_shown(so_far())))
    _require_a_score(contest)
    if not test:
        off_on_folds(contest)
    made = so_far()
    run = log_comparison(work, request, made)
    Lineage(work.home).record(made.comparison, _parents(contest, test), "compare_models")
    return _shown(_kept(work, made.model_copy(update={"run": run})))


def get_comparison(work: Work, comparison: str, candidate: str) -> Comparison:
    """A kept comparison; of one candidate with its folds, and its pairs alone.

    Raises:
        ToolFailure: no such comparison or candidate.
    """
    name = parse(comparison, "comparison").name
    known = {path.stem: path for path in comparisons(work).glob("*.json")}
    if name not in known:
        raise unknown("comparison", comparison, (f"comparison:{each}" for each in known), "compare_models makes one.")
    found = Comparison.model_validate_json(known[name].read_bytes())
    if not candidate:
        return _shown(found)
    chosen = [each for each in found.candidates if each.candidate == candidate]
    if not chosen:
        raise unknown(f"candidate of {comparison}", candidate, (each.candidate for each in found.candidates))
    of_it = [pair for pair in found.pairs if candidate in (pair.first, pair.second)]
    return found.model_copy(
        update={"candidates": chosen, "pairs": of_it, "omitted_pairs": len(found.pairs) - len(of_it)}
    )


def _check_limits(request: CompareRequest) -> None:
    """The bounds that would cost tokens in the schema."""
    limits = (
        ("folds", request.folds, 2, 20),
        ("repeats", request.repeats, 1, 20),
        ("n_trials", request.n_trials, 0, 500),
    )
    for name, value, low, high in limits:
        if not low <= value <= high:
            raise ToolFailure(f"{name} is {value}", f"It must be {low} to {high}.")


def _require_a_score(contest: Contest) -> None:
    if not contest.running:
        said = "; ".join(f"{entry.candidate.label}: {entry.error}" for entry in contest.entries)
        raise ToolFailure(f"no candidate could be scored: {said}", "Change the candidates, or the rows.")


def _result(contest: Contest, name: str, loaded: list[str], seconds: float) -> Comparison:
    order = contenders(contest)
    found, card = pairs(contest, order), contest.base.card
    rows = contest.truth if contest.truth is not None else contest.base.target
    return Comparison(
        comparison=f"comparison:{name}",
        metric=contest.metric.name,
        direction=contest.metric.direction,
        task=card.task,
        positive=card.positive,
        scored_on=contest.scored_on,
        rows=len(rows),
        winner=winner(order, found),
        candidates=order,
        pairs=found,
        seconds=round(seconds, 1),
        notes=[*contest.notes, *_off(contest), *_remarks(order)],
        undo=deletes(f"comparison:{name}", *loaded),
    )


def _off(contest: Contest) -> list[str]:
    """What is off about the candidates; what is so of several of them is said once."""
    said: dict[str, list[str]] = {}
    for entry in contest.entries:
        for note in entry.notes:
            said.setdefault(note, []).append(entry.candidate.label)
    return [f"{', '.join(labels)}: {note}" for note, labels in said.items()]


def _remarks(order: list[Contender]) -> list[str]:
    """What an honest reader would add: who failed, and who is no better than a guess."""
    failed = [each.candidate for each in order if each.error]
    named = {
        verdict: [each.candidate for each in order if each.score and each.score.verdict == verdict]
        for verdict in ("not_distinguishable", "below_baseline")
    }
    notes = [f"could not be scored: {', '.join(failed)}"] if failed else []
    if dull := named["not_distinguishable"]:
        notes.append(f"not distinguishable from a guess without features: {', '.join(dull)}")
    if worse := named["below_baseline"]:
        notes.append(f"worse than a guess without features: {', '.join(worse)}")
    return notes


def _shown(whole: Comparison) -> Comparison:
    """Without what get_comparison tells of each candidate, and with the pairs of the leader first."""
    brief = [each.model_copy(update={"folds": [], "tuned": []}) for each in whole.candidates]
    some = whole.pairs[:SHOWN_PAIRS]
    return whole.model_copy(update={"candidates": brief, "pairs": some, "omitted_pairs": len(whole.pairs) - len(some)})


def _parents(contest: Contest, test: str) -> list[str]:
    models = [entry.candidate.stored.uri for entry in contest.entries if entry.candidate.stored]
    return [contest.base.source.handle, *([contest.scored_on] if test else []), *models]


def _kept(work: Work, made: Comparison) -> Comparison:
    replaced(comparisons(work) / f"{parse(made.comparison, 'comparison').name}.json", made.model_dump_json().encode())
    return made


def comparisons(work: Work) -> Path:
    return work.home / "comparisons"
