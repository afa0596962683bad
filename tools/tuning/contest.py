"""The same rows for every candidate: folds of a dataset, or another dataset, and how each one scores there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..data.store import resolve
from ..errors import ToolFailure
from ..modeling.card import ModelCard
from ..modeling.estimated import Answers
from ..modeling.folds import numbered, repeated, units_of
from ..modeling.frame import design
from ..modeling.guards import guarded, off
from ..modeling.metrics import Metric, defined, metric_named
from ..modeling.pipelines import scores
from ..modeling.prepared import Prepared, Question, held_out_rows, prepare
from ..modeling.rows import overlap, rows_of, shared, trained_rows, training_frame
from ..modeling.shipped import canonical
from ..modeling.store import load_pipeline
from ..modeling.target import guess
from ..modeling.telling import telling
from ..runtime.dispatcher import answered
from ..runtime.pool import spread
from ..runtime.work import Work
from .candidates import Candidate, check_tasks
from .fits import Fits, Fitted
from .models import CompareRequest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FEWEST_FOLDS = 2


@dataclass
class Entry:
    """A candidate on the rows of the contest, and what has come of it.

    `scores` has one for each fold, None where it is undefined; `told` are the answers on the folds of the first round,
    `prediction` is that on the test rows. `notes` are on what is off about it.
    """

    candidate: Candidate
    card: ModelCard
    features: pd.DataFrame
    scores: list[float | None] = field(default_factory=list)
    told: list[np.ndarray] = field(default_factory=list)
    prediction: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    tuned: list[Mapping[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""


@dataclass
class Contest:
    """`base` are the rows to fit on, `sizes` the rows fitted and scored of each fold, `dummy` scores without features.

    `truths` are the targets of the rows scored on each fold, `held` the places of those of the first round, in which no
    row is scored twice. With test rows, `truth`, `clusters` and the dummy's prediction are theirs, and there are no
    folds.
    """

    base: Prepared
    metric: Metric
    entries: list[Entry]
    scored_on: str
    notes: list[str]
    sizes: list[tuple[int, int]] = field(default_factory=list)
    held: list[np.ndarray] = field(default_factory=list)
    truths: list[np.ndarray] = field(default_factory=list)
    dummy: list[float | None] = field(default_factory=list)
    truth: np.ndarray | None = None
    clusters: np.ndarray | None = None
    dummy_prediction: np.ndarray | None = None

    def answers(self, entry: Entry) -> Answers:
        """Those of a candidate on the test rows."""
        assert self.truth is not None
        assert entry.prediction is not None
        return Answers(self.truth, entry.prediction, self.dummy_prediction, self.clusters)

    @property
    def running(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.error]


def opened(work: Work, request: CompareRequest, candidates: Sequence[Candidate]) -> tuple[Contest, str]:
    """The contest before anybody has scored, and the dataset of the test rows, if there is one."""
    source = resolve(work, request.dataset)
    base = prepare(source, Question.of(request, candidates[0].algorithm), {})
    card = base.card
    _require_two_values(base)
    check_tasks(candidates, card.task, card.target)
    test = request.test
    if not test and all(each.stored for each in candidates) and not _seen_any(work, candidates, base):
        test = source.handle
    entries = [_entry(each, base, bool(test)) for each in candidates]
    again = [each.label for each in candidates if each.stored and not test]
    notes = [f"fitted again on each fold, with its own parameters and features: {', '.join(again)}"] if again else []
    metric = metric_named(request.metric, card)
    return Contest(base, metric, entries, "", [*base.notes, *telling(base), *notes]), test


def score_on_folds(work: Work, request: CompareRequest, contest: Contest, each: Callable[[], None]) -> None:
    """Fit every candidate on every fold, and call `each` after a fold; out of time, what is done is what counts."""
    base = contest.base
    cut = repeated(base.frame, base.strata, base.units, request.time, request.folds, request.seed, request.repeats)
    contest.scored_on = f"{cut.said} of {base.source.handle}"
    contest.notes += cut.notes
    fits = _fits(work, request, contest, contest.entries, cut.pairs)
    with spread(work, len(cut.pairs) * len(contest.entries)) as pool:
        told = answered(pool, fits, _asked(work, contest, len(cut.pairs)), lambda place: place, contest.notes)
        for fold, of_fold in groupby(told, lambda each: each[0][0]):
            _note_fold(contest, cut.pairs[fold], in_first_round=fold < len(cut.pairs) // cut.rounds)
            for (_, number), fitted in of_fold:
                _note_fit(work, contest, contest.entries[number], fitted)
            if fold + 1 >= FEWEST_FOLDS and contest.running:
                each()
    if contest.running and len(contest.sizes) < FEWEST_FOLDS:
        raise ToolFailure("time was up before two folds were scored", "Allow more time, or fewer candidates or trials.")


def _fits(
    work: Work,
    request: CompareRequest,
    contest: Contest,
    entries: Sequence[Entry],
    cut: Sequence[tuple[np.ndarray, np.ndarray]],
) -> Fits:
    designs = [(entry.card, entry.features) for entry in entries]
    return Fits(contest.base, contest.metric, request, work.settings.runtime.job_threads, designs, cut)


def _asked(work: Work, contest: Contest, folds: int) -> Iterator[tuple[int, int]]:
    """The places of each fold, and of each candidate that has not failed yet, until the time is up."""
    for fold in range(folds):
        if work.out_of_time():
            contest.notes.append(f"time was up after {fold} of {folds} folds, which are compared")
            return
        for number, entry in enumerate(contest.entries):
            if not entry.error:
                done = fold + number / len(contest.entries)
                work.progress(done, folds, f"fold {fold + 1} of {folds}: {entry.candidate.label}")
                yield fold, number


def _note_fold(contest: Contest, cut: tuple[np.ndarray, np.ndarray], in_first_round: bool) -> None:
    base, (fitted, held) = contest.base, cut
    contest.sizes.append((len(fitted), len(held)))
    contest.held += [held] if in_first_round else []
    contest.truths.append(base.target[held])
    guessed = guess(base.card, base.target[fitted], len(held))
    contest.dummy.append(defined(contest.metric, contest.truths[-1], guessed))


def _note_fit(work: Work, contest: Contest, entry: Entry, fitted: Fitted) -> None:
    """What came of a candidate on the fold that was noted last; of one that has failed before, nothing counts."""
    if entry.error:
        return
    span = work.tracer.start("fit and score", candidate=entry.candidate.label, fold=len(contest.sizes))
    span.start = fitted.began
    if fitted.error:
        span.fail(fitted.error)
    work.tracer.finish(span, at=fitted.ended)
    entry.seconds += fitted.ended - fitted.began
    entry.error = fitted.error
    if fitted.answers is not None:
        entry.scores.append(defined(contest.metric, contest.truths[-1], fitted.answers))
        entry.told += [fitted.answers] if len(contest.held) == len(contest.sizes) else []
        entry.tuned += [fitted.tuned] if fitted.tuned is not None else []


def score_on_rows(work: Work, request: CompareRequest, contest: Contest, test: str) -> None:
    """Trained models answer as they are, algorithms are fitted to the dataset."""
    base, source = contest.base, resolve(work, test)
    held = held_out_rows(source, base.card)
    contest.scored_on = source.handle
    contest.truth = held.target
    group = base.card.group if base.card.group in held.frame.columns else ""
    contest.clusters, _ = units_of(held.frame, held.features, group)
    contest.dummy_prediction = guess(base.card, base.target, len(held.target))
    contest.notes += held.notes if source.handle != base.source.handle else []
    for number, entry in enumerate(contest.entries, start=1):
        work.progress(number - 1, len(contest.entries), f"{entry.candidate.label} on {len(held.target)} rows")
        began = time.perf_counter()
        try:
            entry.prediction = _predicted(work, request, contest, entry, held.frame)
            entry.notes += _off(work, contest, entry, held)
        except ToolFailure as failure:
            entry.error = str(failure)
        entry.seconds = time.perf_counter() - began


def _require_two_values(base: Prepared) -> None:
    import numpy as np

    if len(np.unique(base.target)) < 2:
        raise ToolFailure(f"{base.card.target} is the same in every row", "There is nothing to learn.")


def _seen_any(work: Work, candidates: Sequence[Candidate], base: Prepared) -> bool:
    """Whether any of the models was trained on any of the rows, or it is not known."""
    for each in candidates:
        assert each.stored is not None
        trained = trained_rows(work, each.stored.folder, each.stored.card)
        if trained is None or overlap(trained, rows_of(base.frame, each.stored.card)).known:
            return True
    return False


def _entry(candidate: Candidate, base: Prepared, as_it_is: bool) -> Entry:
    """Trained models keep their columns; where they are fitted again, the classes are those of the rows."""
    if candidate.stored is None:
        card = base.card.model_copy(update={"algorithm": candidate.algorithm, "params": dict(candidate.params)})
        return Entry(candidate, card, base.features)
    own = candidate.stored.card
    card = own if as_it_is else own.model_copy(update={"classes": base.card.classes, "rows": base.card.rows})
    return Entry(candidate, card, base.features if as_it_is else design(base.frame, own))


def _predicted(work: Work, request: CompareRequest, contest: Contest, entry: Entry, frame: pd.DataFrame) -> np.ndarray:
    import numpy as np

    stored, base = entry.candidate.stored, contest.base
    if stored is None:
        fits = _fits(work, request, contest, [entry], ())
        answers, tuned = fits.on(0, np.arange(len(base.target)), design(frame, base.card))
        entry.tuned += [tuned] if tuned is not None else []
        return answers
    return _aligned(scores(load_pipeline(stored), design(frame, stored.card), stored.card), stored.card, base.card)


def _aligned(found: np.ndarray, card: ModelCard, wanted: ModelCard) -> np.ndarray:
    """Probabilities in the order of the classes of the contest."""
    if not wanted.classes:
        return found
    own, order = ([canonical(label) for label in each.classes] for each in (card, wanted))
    if set(own) != set(order):
        message = f"its classes are {', '.join(own[:5])}, and those of the rows {', '.join(order[:5])}"
        raise ToolFailure(message, "Compare it on rows with the classes that it was trained on.")
    return found[:, [own.index(label) for label in order]]


def _off(work: Work, contest: Contest, entry: Entry, held: Prepared) -> list[str]:
    """What is off about a candidate on the test rows: rows it was fitted to, unseen and drifted features, its score."""
    stored, base = entry.candidate.stored, contest.base
    card = stored.card if stored else base.card
    column = card.group or card.likely_group
    trained = trained_rows(work, stored.folder, card) if stored else rows_of(base.frame, card, column)
    found = None if trained is None else shared(trained, held.frame, card, column)
    fitted = training_frame(work, card)
    rows = found.notes(column) if found else ["which rows it was trained on is not known any more"]
    judged = base.card.model_copy(update={"train": card.train})
    return [
        *rows,
        *off(
            card, design(held.frame, card), None if fitted is None else design(fitted, card),
            contest.answers(entry), contest.metric, bool(found and found.known), judged,
        ),
    ]  # fmt: skip


def off_on_folds(contest: Contest) -> None:
    """What is off about the score of each candidate, by its answers on all folds of the first round."""
    import numpy as np

    base, held = contest.base, np.concatenate(contest.held)
    truth, units = base.target[held], None if base.units is None else numbered(base.units[held])
    dummy = guess(base.card, truth, len(truth))
    for entry in contest.running:
        known = [score for score in entry.scores if score is not None]
        told = {contest.metric.name: sum(known) / len(known)} if known else None
        notes = guarded(base.card, truth, np.concatenate(entry.told), dummy, units, contest.metric, told=told)
        entry.notes += [f"over folds: {note}" for note in notes]
