"""What a point of a search is scored with: models of a target by a metric, models of an effect by their R-score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from ..data.store import Dataset, resolve
from ..errors import ToolFailure
from ..modeling.algorithms import algorithm, check_parameters, parameters
from ..modeling.card import ModelCard
from ..modeling.effects import (
    EffectRows,
    EffectScorer,
    check_effect_parameters,
    effect_card,
    effect_encoder,
    effect_parameters,
    effect_rows,
    fit_effect,
    one_effect,
)
from ..modeling.estimated import Answers
from ..modeling.folds import folds, numbered
from ..modeling.guards import PROPER, off
from ..modeling.metrics import Metric, Undefined, defined, metric_named, metrics_for
from ..modeling.pipelines import Encoded, encode, ends_early, fit, fit_encoded, scores
from ..modeling.prepared import Prepared, Question, held_out_rows, prepare
from ..modeling.rows import rows_of, shared
from ..modeling.target import guess
from ..modeling.telling import telling
from ..runtime.work import Work
from .models import EffectQuestion, TuneRequest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# econml grows the trees of a causal forest in groups of this size.
TREES_TOGETHER = 4


class Objective(Protocol):
    """Scores points on the same rows, whatever the point."""

    @property
    def card(self) -> ModelCard: ...
    @property
    def metric(self) -> Metric: ...
    @property
    def parts(self) -> int:
        """Into how many steps the score of one point falls."""
        ...

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The rows fitted on and scored on of each step."""
        ...

    @property
    def baseline(self) -> list[float | None]:
        """The score of what needs no features on each step, None where it has none."""
        ...

    def check(self, space: Mapping[str, Any]) -> None:
        """Raise the failure that names what is wrong with the parameters of a search space."""
        ...

    def defaults(self) -> Mapping[str, Any]:
        """The parameters a model has if none is given."""
        ...

    @property
    def threads(self) -> int: ...

    def get_ready(self) -> None:
        """Do once what is the same for every point, as far as it runs no threads."""
        ...

    def steps(self, params: dict[str, Any]) -> Iterator[float]:
        """The score on each part in turn."""
        ...

    def answers(self, params: dict[str, Any]) -> Answers:
        """What models of these parameters say of the rows of all parts, each fitted without them."""
        ...


@dataclass(frozen=True)
class Rows:
    features: pd.DataFrame
    target: np.ndarray
    units: np.ndarray | None = None

    def take(self, index: Any) -> Rows:
        units = self.units[index] if self.units is not None else None
        return Rows(self.features.iloc[index], self.target[index], units)


@dataclass(frozen=True)
class Cuts:
    """Parts of a score: places of the rows `fitted` on and of those `scored` on, which are the same for folds."""

    fitted: Rows
    scored: Rows
    places: Sequence[tuple[Any, Any]]

    @classmethod
    def of_folds(cls, rows: Rows, places: Sequence[tuple[np.ndarray, np.ndarray]]) -> Cuts:
        return cls(rows, rows, places)

    @classmethod
    def of_others(cls, rows: Rows, held: Rows) -> Cuts:
        """One part: all rows of one kind are fitted on, all of the other are scored on."""
        return cls(rows, held, [(slice(None), slice(None))])

    def __iter__(self) -> Iterator[tuple[Rows, Rows]]:
        return ((self.fitted.take(train), self.scored.take(held)) for train, held in self.places)

    @property
    def targets(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(self.fitted.target[train], self.scored.target[held]) for train, held in self.places]


@dataclass(frozen=True)
class Part:
    """One part as estimators take it: what to fit on, what to score, and the truth of that."""

    fitted: Encoded
    scored: Any
    truth: np.ndarray


@dataclass(frozen=True)
class PredictionObjective:
    """The parameters of the card hold for every point."""

    card: ModelCard
    metric: Metric
    cuts: Cuts
    threads: int

    @property
    def parts(self) -> int:
        return len(self.cuts.places)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        return [(len(fitted), len(scored)) for fitted, scored in self.cuts.targets]

    @property
    def baseline(self) -> list[float | None]:
        """Of the class shares, or the mean, of the rows fitted on."""
        return self._baseline

    def check(self, space: Mapping[str, Any]) -> None:
        check_parameters(algorithm(self.card.algorithm), self.card.task, space)

    def defaults(self) -> Mapping[str, Any]:
        return parameters(algorithm(self.card.algorithm), self.card.task)

    def get_ready(self) -> None:
        """Encode the rows, which is the same for every point."""
        assert self._encoded

    def steps(self, params: dict[str, Any]) -> Iterator[float]:
        card = self._of(params)
        if ends_early(card):  # on some of the rows, so that an encoder of all of them would know too much
            for train, held_out in self.cuts:
                pipeline = fit(card, train.features, train.target, self.threads, train.units)
                yield self.metric.score(held_out.target, scores(pipeline, held_out.features, card))
            return
        for part in self._encoded:
            model = fit_encoded(card, part.fitted, self.threads)
            yield self.metric.score(part.truth, scores(model, part.scored, card))

    def answers(self, params: dict[str, Any]) -> Answers:
        import numpy as np

        card, told, truth, units = self._of(params), list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
        for train, held_out in self.cuts:
            pipeline = fit(card, train.features, train.target, self.threads, train.units)
            told.append(scores(pipeline, held_out.features, card))
            truth.append(held_out.target)
            units += [held_out.units] if held_out.units is not None else []
        labels = np.concatenate(truth)
        clusters = numbered(np.concatenate(units)) if len(units) == len(truth) else None
        # One guess for all rows: the rows of a fold are what is missing where a guess of its own would be fitted.
        return Answers(labels, np.concatenate(told), guess(card, labels, len(labels)), clusters)

    def _of(self, params: dict[str, Any]) -> ModelCard:
        return self.card.model_copy(update={"params": self.card.params | params})

    @cached_property
    def _baseline(self) -> list[float | None]:
        """Asked for after each point of a search."""
        return [
            defined(self.metric, scored, guess(self.card, fitted, len(scored))) for fitted, scored in self.cuts.targets
        ]

    @cached_property
    def _encoded(self) -> list[Part]:
        parts: list[Part] = []
        for train, held_out in self.cuts:
            fitted = encode(self.card, train.features, train.target)
            parts.append(Part(fitted, fitted.encoder.transform(held_out.features), held_out.target))
        return parts


@dataclass(frozen=True)
class EffectObjective:
    """`pairs` are rows to fit on and econml's RScorer on other rows, whose first stages are fitted only once.

    `held_out` counts these other rows.
    """

    card: ModelCard
    metric: Metric
    pairs: list[tuple[EffectRows, EffectScorer]]
    held_out: list[int]
    threads: int

    @property
    def parts(self) -> int:
        return len(self.pairs)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        return [(len(train.places), held_out) for (train, _), held_out in zip(self.pairs, self.held_out, strict=True)]

    @property
    def baseline(self) -> list[float | None]:
        """An R-score is how much better than one effect for all rows, so that this one has 0."""
        return [0.0] * len(self.pairs)

    def check(self, space: Mapping[str, Any]) -> None:
        check_effect_parameters(self.card, space)
        trees = space.get("n_estimators")
        if trees is not None and any(value % TREES_TOGETHER for value in _whole_values(trees)):
            raise ToolFailure(
                f"n_estimators must be divisible by {TREES_TOGETHER}", 'Write e.g. {"low":100,"high":500,"step":100}.'
            )

    def defaults(self) -> Mapping[str, Any]:
        return effect_parameters(self.card)

    def get_ready(self) -> None:
        """The first stages of the scorers are fitted already."""

    def steps(self, params: dict[str, Any]) -> Iterator[float]:
        card = self.card.model_copy(update={"params": params})
        for train, scorer in self.pairs:
            yield scorer.score(fit_effect(card, train, self.threads))

    def answers(self, params: dict[str, Any]) -> Answers:
        import numpy as np

        card = self.card.model_copy(update={"params": params})
        found = [scorer.parts(fit_effect(card, train, self.threads)) for train, scorer in self.pairs]
        truth, effects = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return Answers(truth, effects, one_effect(truth))


def open_objective(work: Work, request: TuneRequest) -> tuple[Objective, str, list[str]]:
    """The objective of a request, what it is scored on, and notes on what was left out."""
    _check_limits(request)
    source = resolve(work, request.dataset)
    source.require([request.target])
    if "effect" in algorithm(request.algorithm).estimators:
        return _of_effect(work, request, source)
    if request.effect != EffectQuestion():
        raise ToolFailure(
            f"{request.algorithm} predicts, and takes no effect",
            "Leave it out, or tune CausalForest or LinearDML.",
        )
    return _of_prediction(work, request, source)


def _check_limits(request: TuneRequest) -> None:
    """The bounds that would cost tokens in the schema."""
    limits = (("n_trials", request.n_trials, 1, 2000), ("folds", request.folds, 2, 20))
    for name, value, low, high in limits:
        if not low <= value <= high:
            raise ToolFailure(f"{name} is {value}", f"It must be {low} to {high}.")


def _of_prediction(work: Work, request: TuneRequest, source: Dataset) -> tuple[Objective, str, list[str]]:
    prepared = prepare(source, Question.of(request, request.algorithm), {})
    card, notes = prepared.card, [*prepared.notes, *telling(prepared)]
    metric = metric_named(request.metric, card)
    rows = Rows(prepared.features, prepared.target, prepared.units)
    if request.validation:
        held = held_out_rows(resolve(work, request.validation), card)
        _require_a_score(metric, prepared, held)
        cuts = Cuts.of_others(rows, Rows(held.features, held.target))
        scored_on, notes = held.source.handle, [*notes, *_shared(prepared, held)]
    else:
        cut = folds(prepared.frame, prepared.strata, prepared.units, request.time, request.folds, request.seed)
        cuts = Cuts.of_folds(rows, cut.pairs)
        scored_on, notes = f"{cut.said} of {source.handle}", [*notes, *cut.notes]
    return PredictionObjective(card, metric, cuts, work.settings.runtime.job_threads), scored_on, notes


def _require_a_score(metric: Metric, prepared: Prepared, held: Prepared) -> None:
    """Look at the validation rows before a search whose every point would fail on them."""
    card, rows = prepared.card, len(held.target)
    answer = guess(card, prepared.target, rows)
    try:
        metric.score(held.target, answer)
    except Undefined as undefined:
        # A score that judges each row says something of rows of one class, too.
        proper = [metric_named(name, card) for name in PROPER[card.task][:1]]
        able = [each.name for each in [*proper, *metrics_for(card)] if defined(each, held.target, answer) is not None]
        raise ToolFailure(
            f"{held.source.handle} has no {metric.name}: {undefined}",
            f"Pass {f'metric={able[0]!r}, or ' if able else ''}other rows, or leave validation out to score by folds.",
        ) from undefined


def _shared(prepared: Prepared, held: Prepared) -> list[str]:
    """What the validation rows share with those that points are fitted on, and how they differ."""
    card = prepared.card
    column = card.group or card.likely_group
    found = shared(rows_of(prepared.frame, card, column), held.frame, card, column)
    strange = off(card, held.features, prepared.features)
    return [f"validation: {note}" for note in [*held.notes, *found.notes(column), *strange]]


def _of_effect(work: Work, request: TuneRequest, source: Dataset) -> tuple[Objective, str, list[str]]:
    if request.group or request.time or request.positive or request.task != "auto":
        raise ToolFailure(
            f"{request.algorithm} takes no task, positive, group or time",
            "Leave them out, or tune a model that predicts.",
        )
    if request.refit or request.test:
        raise ToolFailure(
            "an effect is not predicted, so nothing is refitted or tested here",
            f"Pass best_params on: estimate_effect(algorithm={request.algorithm!r}, params=…).",
        )
    treatment, controls = request.effect.treatment, request.effect.controls
    if not treatment or not request.features:
        raise ToolFailure(
            f"{request.algorithm} needs effect={{'treatment': …}}, and `features` that the effect may vary with",
            "Name them, and other confounders as the controls of `effect`.",
        )
    frame = source.frame()
    card = effect_card(
        source, frame, request.algorithm, treatment, request.target, request.features, controls, {},
        request.seed, dose=request.effect.dose,
    )  # fmt: skip
    metric, rows = metric_named(request.metric, card), effect_rows(frame, card)
    notes = [f"pass best_params on as estimate_effect(algorithm={card.algorithm!r}, params=…)"]
    notes += [f"{rows.dropped} rows without treatment or outcome were dropped"] if rows.dropped else []
    if request.validation:
        held = resolve(work, request.validation)
        held.require([treatment, request.target])
        parts = [(rows, effect_rows(held.frame(), card))]
        scored_on = held.handle
    else:
        arms = rows.treatment if card.treatment and card.treatment.discrete else None
        cut = folds(rows.modifiers, arms, None, "", request.folds, request.seed)
        parts = [(rows.take(train), rows.take(held_out)) for train, held_out in cut.pairs]
        scored_on = f"{cut.said} of {source.handle}"
    pairs = [(train, EffectScorer.on(card, held, effect_encoder(card, train))) for train, held in parts]
    held_out = [len(held.places) for _, held in parts]
    return EffectObjective(card, metric, pairs, held_out, work.settings.runtime.job_threads), scored_on, notes


def _whole_values(distribution: Any) -> list[int]:
    """The first two values and all choices of a distribution, as far as they are whole numbers."""
    if hasattr(distribution, "choices"):
        return [choice for choice in distribution.choices if isinstance(choice, int)]
    return [int(distribution.low), int(distribution.low + (distribution.step or 1))]
