"""The gates of a promotion: each looks at a candidate and says passed, failed or not evaluated, and on what grounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ..data.far import far_columns
from ..data.store import Dataset, resolve
from ..errors import ToolFailure, Unavailable
from ..estimates import Verdict
from ..modeling.card import Kind, ModelCard
from ..modeling.folds import units_of
from ..modeling.frame import design
from ..modeling.gains import gain
from ..modeling.metrics import Metric, measured
from ..modeling.pipelines import scores
from ..modeling.rows import copies, overlap, rows_of, trained_rows
from ..modeling.shipped import canonical
from ..modeling.store import StoredModel, load_pipeline
from ..modeling.target import encode, guess, labelled
from ..quality.client import validate_dataset
from ..runtime.work import Work
from .models import Comparison, Gate, GateName, PromoteRequest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SHOWN = 5
# An input has drifted if it is as far from the training data as half a standard deviation, and that is no chance.
FAR, BY_CHANCE = 0.2, 0.01
BASELINE = "baseline"


@dataclass(frozen=True)
class Contest:
    """A candidate, the version in Production (None without one that can be used), and the rows they are judged on."""

    work: Work
    request: PromoteRequest
    source: Dataset
    candidate: StoredModel
    present: StoredModel | None
    metric: Metric
    notes: list[str] = field(default_factory=list)

    @cached_property
    def frame(self) -> pd.DataFrame:
        return labelled(self.source.frame(), self.candidate.card.target)[0]

    @cached_property
    def trained(self) -> pd.DataFrame:
        """The labelled rows that the candidate was trained on."""
        card = self.candidate.card
        return labelled(resolve(self.work, card.dataset).frame([*card.names, card.target]), card.target)[0]


def evaluated(name: GateName, contest: Contest) -> tuple[Gate, Comparison | None]:
    """The verdict of one gate; what the data or a model do not allow to say is not evaluated, with the reason."""
    try:
        if name == "comparison":
            return _compared(contest)
        verdict, evidence = GATES[name](contest)
        return Gate(gate=name, verdict=verdict, evidence=evidence), None
    except Unavailable:
        raise
    except ToolFailure as failure:
        verdict = "failed" if name == "load" else "not_evaluated"
        return Gate(gate=name, verdict=verdict, evidence=str(failure)), None


def _validation(contest: Contest) -> tuple[Verdict, str]:
    found = validate_dataset(contest.work, contest.source.handle, contest.request.suite, "", [], "short")
    counts = {"passed": found.passed, "failed": found.failed, "not evaluated": found.not_evaluated}
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return found.verdict, f"{found.validation} by {found.suite}: {said} of {sum(counts.values())} rules"


def _load(contest: Contest) -> tuple[Verdict, str]:
    card = contest.candidate.card
    answers = scores(load_pipeline(contest.candidate), design(contest.frame.head(SHOWN), card), card)
    return "passed", f"{card.algorithm} loads and answers {len(answers)} rows of {contest.source.handle}"


def _signature(contest: Contest) -> tuple[Verdict, str]:
    """Whoever calls the version in Production has to be able to call the candidate."""
    card = contest.candidate.card
    if contest.present is None:
        return "passed", f"nothing usable is in Production; it takes {len(card.names)} columns and gives {card.target}"
    if problems := differences(card, contest.present.card):
        return "failed", "; ".join(problems)
    fewer = sorted(set(contest.present.card.names) - set(card.names))
    return "passed", "takes what is asked of the present one" + (f", without {', '.join(fewer[:SHOWN])}" * bool(fewer))


def differences(card: ModelCard, present: ModelCard) -> list[str]:
    kinds = {feature.name: feature.kind for feature in present.features}
    problems: list[str] = []
    if card.target != present.target:
        problems.append(f"it predicts {card.target}, the present one {present.target}")
    elif card.task != present.task:
        problems.append(f"it does {card.task}, the present one {present.task}")
    elif set(map(canonical, card.classes)) != set(map(canonical, present.classes)):
        problems.append(f"its classes are {_listed(card.classes)}, those of the present one {_listed(present.classes)}")
    if more := [name for name in card.names if name not in kinds]:
        problems.append(
            f"it needs {_listed(more)}, which the present one does not take: leave signature out if callers send it"
        )
    if other := [feature.name for feature in card.features if kinds.get(feature.name, feature.kind) != feature.kind]:
        problems.append(f"it takes another kind of value for {_listed(other)}")
    return problems


def _listed(names: Iterable[object]) -> str:
    texts = [str(name) for name in names]
    return ", ".join(texts[:SHOWN]) + (f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")


def _drift(contest: Contest) -> tuple[Verdict, str]:
    card = contest.candidate.card
    kinds: dict[str, Kind] = {feature.name: feature.kind for feature in card.features}
    found = far_columns(design(contest.trained, card), design(contest.frame, card), kinds, FAR, BY_CHANCE)
    if not found:
        return "passed", f"none of {len(card.names)} inputs is far from the training data"
    shown = ", ".join(f"{each.column} (distance {each.distance:.2f})" for each in found[:SHOWN])
    return "failed", f"{len(found)} of {len(card.names)} inputs are far from the training data: {shown}"


def _compared(contest: Contest) -> tuple[Gate, Comparison | None]:
    rows = _unseen(contest)
    card, metric, margin = contest.candidate.card, contest.metric, contest.request.min_gain
    truth = encode(rows[card.target], card)
    ours = scores(load_pipeline(contest.candidate), design(rows, card), card)
    base = guess(card, encode(contest.trained[card.target], card), len(rows))
    theirs = base if contest.present is None else _answers_of(contest.present, rows, card)
    clusters, _ = units_of(rows, design(rows, card), _group(contest))
    won = gain(metric, truth, ours, theirs, clusters, margin)
    ours_found, theirs_found, base_found = (measured(card, truth, each).values for each in (ours, theirs, base))
    comparison = Comparison(
        against=contest.present.handle if contest.present else BASELINE,
        metric=metric.name,
        candidate_score=ours_found[metric.name],
        against_score=theirs_found[metric.name],
        gain=won.model_copy(update={"baseline": base_found[metric.name]}),
    )
    verdict: Verdict = "passed" if won.verdict == "better" else "failed" if won.value is not None else "not_evaluated"
    return Gate(gate="comparison", verdict=verdict, evidence=_said(comparison, margin)), comparison


def _said(found: Comparison, margin: float) -> str:
    won = found.gain
    if won.value is None:
        return f"{found.metric} is undefined on these rows: {won.reason}"
    sure = f"{won.interval[0]:.4g} to {won.interval[1]:.4g}, {won.method}" if won.interval else f"{won.reason}"
    least = f" by more than {margin:g}" if margin else ""
    shown = {"better": f"better{least}", "worse": "worse"}.get(won.verdict or "", f"not shown to be better{least}")
    return (
        f"{shown} than {found.against}: {found.metric} {found.candidate_score:.4g} against {found.against_score:.4g}, "
        f"gain {won.value:.4g} ({sure}; {won.n} rows)"
    )


def _group(contest: Contest) -> str:
    """The column that was named, else the one that the model was trained with, if these rows have it."""
    own = contest.candidate.card.group
    return contest.request.group or (own if own in contest.frame.columns else "")


def _answers_of(present: StoredModel, rows: pd.DataFrame, card: ModelCard) -> np.ndarray:
    """What the version in Production answers, its classes in the order of the candidate's.

    Raises:
        ToolFailure: it answers another question.
    """
    labels = [canonical(label) for label in present.card.classes]
    if present.card.target != card.target or set(labels) != set(map(canonical, card.classes)):
        raise ToolFailure(
            f"{present.handle} answers another question, so there is nothing to compare",
            "Register the candidate under a name of its own.",
        )
    found = scores(load_pipeline(present), design(rows, present.card), present.card)
    places = [labels.index(canonical(label)) for label in card.classes]
    return found[:, places] if places else found


def _unseen(contest: Contest) -> pd.DataFrame:
    """The rows that neither model was trained on: on those of its own a model looks better than it is.

    Raises:
        ToolFailure: there is none.
    """
    import numpy as np

    kept = np.ones(len(contest.frame), dtype=bool)
    for model in filter(None, (contest.candidate, contest.present)):
        others, trained = rows_of(contest.frame, model.card), trained_rows(contest.work, model.folder, model.card)
        if trained is None:
            contest.notes.append(f"which rows {model.handle} was trained on is not known any more")
        elif not overlap(trained, others).by_chance:
            kept &= ~copies(trained, others)
    if not kept.any():
        raise ToolFailure(
            f"every row of {contest.source.handle} was trained on", "Pass a dataset that no training has seen."
        )
    if left := int((~kept).sum()):
        contest.notes.append(f"{left} of {len(kept)} rows were trained on, so they were left out of the comparison")
    return contest.frame[kept]


GATES: dict[GateName, Callable[[Contest], tuple[Verdict, str]]] = {
    "validation": _validation,
    "load": _load,
    "signature": _signature,
    "drift": _drift,
}
