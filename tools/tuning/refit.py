"""The model that a search was for: fitted to all rows with the best parameters, logged, and scored on other rows."""

from __future__ import annotations

from ..data.store import resolve
from ..errors import ToolFailure
from ..lineage import Lineage
from ..modeling.card import ModelCard
from ..modeling.metrics import measured, metric_named
from ..modeling.pipelines import fit, scores
from ..modeling.prepared import Question, held_out_rows, prepare
from ..modeling.rows import rows_of
from ..modeling.store import find_model, log_model, record_model
from ..runtime.work import Work
from ..tracking.client import log_run
from .candidates import Candidate
from .contest import Contest, Entry, score_on_rows
from .found import OPTIMISTIC
from .models import CompareRequest, Tuned, TuneRequest
from .standings import contenders

SAMPLE_ROWS = 5


def check_refit(work: Work, request: TuneRequest, card: ModelCard) -> None:
    """Look at the test rows before the search that takes long.

    Raises:
        ToolFailure: no such dataset or column, or rows that the model will not take.
    """
    if request.test:
        searched = {card.dataset, resolve(work, request.validation).handle if request.validation else ""}
        if (source := resolve(work, request.test)).handle in searched:
            raise ToolFailure(f"{source.handle} is searched on, so it is no test", "Pass other rows; split_dataset.")
        held_out_rows(source, card)


def refitted(work: Work, request: TuneRequest, made: Tuned) -> Tuned:
    """The answer of a search with its model, logged in the run of the search, and its score on the test rows."""
    prepared = prepare(resolve(work, request.dataset), Question.of(request, request.algorithm), made.best_params)
    card, run = prepared.card, made.run.removeprefix("run:")
    work.progress(request.n_trials, request.n_trials, f"refitting {card.algorithm} on {card.rows} rows")
    with work.tracer.span("refit", algorithm=card.algorithm, rows=card.rows):
        pipeline = fit(card, prepared.features, prepared.target, work.settings.runtime.job_threads, prepared.units)
    train = measured(card, prepared.target, scores(pipeline, prepared.features, card))
    card = card.model_copy(update={"train": train.known})
    rows = rows_of(prepared.frame, card, request.group or card.likely_group)
    model = log_model(work, pipeline, card, run, prepared.features.head(SAMPLE_ROWS), rows)
    record_model(work, model, [prepared.source.handle, made.study], "tune_model")
    made = made.model_copy(update={"model": model})
    if not request.test:
        return made
    stored = find_model(work, model)
    entry = Entry(Candidate(card.algorithm, card.algorithm, card.params, stored), card, prepared.features)
    contest = Contest(prepared, metric_named(made.metric, card), [entry], "", [])
    score_on_rows(
        work, CompareRequest(dataset=request.dataset, target=request.target, candidates=[]), contest, request.test
    )
    if entry.error:
        raise ToolFailure(f"{model} cannot be tested: {entry.error}", "evaluate_model takes it.")
    score = contenders(contest)[0].score
    if score and score.value is not None:
        log_run(work, made.run, {}, {f"test_{made.metric}": score.value}, 0, {})
    Lineage(work.home).record(made.study, [contest.scored_on], "tune_model")
    kept = [note for note in made.notes if note != OPTIMISTIC]
    notes = [*kept, *(f"test: {note}" for note in [*contest.notes, *entry.notes])]
    return made.model_copy(update={"test": score, "notes": notes})
