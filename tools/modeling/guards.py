"""What an honest analyst would say of a score, with the numbers; nothing where there is nothing to say.

Of columns see `telling`, of rows that were trained on `rows`, of values never seen `inputs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..data.far import far_columns
from ..estimates import Estimate
from .card import Kind, ModelCard
from .estimated import Answers, estimated
from .inputs import surprises
from .metrics import Metric, metric_named, metrics_for
from .paired import on_rows, shown

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Scores by which chances, not only their order, are held against the shares of classes.
PROPER = {"classification": ("log_loss", "brier"), "regression": ("rmse",), "effect": ()}
# Of what a model gained over its baseline in training, less than this is left on other rows.
KEPT = 1 / 3
# So many rows without one mistake are rare in honest data.
MANY_ROWS, PERFECT = 500, 1e-6
# The share of a rare class, and what of it the threshold of a half finds where it fails.
RARE, FOUND = 0.2, 0.1
# A column has drifted if its distributions are apart by so much, and chance has this at most in any column.
APART, BY_CHANCE = 0.1, 1e-3
FEWEST_ROWS = 20
SHOWN = 5


def off(
    card: ModelCard,
    columns: pd.DataFrame,
    trained: pd.DataFrame | None,
    answers: Answers | None = None,
    metric: Metric | None = None,
    seen: bool = False,
    judged: ModelCard | None = None,
) -> list[str]:
    """What is off about rows and the answers to them: values never seen, the score, features that drifted.

    Args:
        columns: the design of the rows; `trained` is that of the training rows, if they are still there.
        answers: to these rows, if there are any yet.
        seen: whether the model was trained on any of the rows.
        judged: the card that the answers are judged by, if their classes stand in another order than the model's.
    """
    said: list[str] = []
    if answers is not None:
        said = guarded(
            judged or card, answers.truth, answers.prediction, answers.baseline, answers.clusters, metric, seen
        )  # fmt: skip
    independent = None if answers is None else answers.independent
    far = [] if trained is None else drifted(trained, columns, card, independent)
    return [*surprises(columns, card), *said, *far]


def guarded(
    card: ModelCard,
    truth: np.ndarray,
    prediction: np.ndarray,
    baseline: np.ndarray | None,
    clusters: np.ndarray | None,
    metric: Metric | None = None,
    seen: bool = False,
    told: Mapping[str, float | None] | None = None,
) -> list[str]:
    """All that can be said of answers to labelled rows, by the metric that judges the model.

    Args:
        clusters: the group of each row, as whole numbers from 0.
        seen: whether the model was trained on any of the rows, so that a fall from its own rows means nothing.
        told: by name, scores that the answer has in place of those of all rows together, such as means over folds.
    """
    primary = metric or metrics_for(card)[0]
    found = estimated(primary, card, Answers(truth, prediction, baseline, clusters))
    known = {name: value for name, value in (told or {}).items() if value is not None}
    found = found.model_copy(update={"value": known.get(primary.name, found.value)})
    worse = [] if baseline is None else worse_than_baseline(card, truth, prediction, baseline, clusters, told=known)
    return [
        *perfect(card, truth, prediction),
        *([] if seen else gap(primary, card.train.get(primary.name), found)),
        *worse,
        *threshold(card, truth, prediction, found),
    ]


def worse_than_baseline(
    card: ModelCard,
    truth: np.ndarray,
    prediction: np.ndarray,
    baseline: np.ndarray,
    clusters: np.ndarray | None = None,
    seed: int = 0,
    told: Mapping[str, float] | None = None,
) -> list[str]:
    """A note if a proper score (log loss, Brier; RMSE) is worse than that of the baseline, by the paired interval."""
    notes: list[str] = []
    for name in PROPER[card.task]:
        if name == "brier" and not card.binary:
            continue
        metric = metric_named(name, card)
        own, plain = metric.score(truth, prediction), metric.score(truth, baseline)
        said = (told or {}).get(name, own)
        if min(own, said) <= plain:
            continue
        if shown(on_rows(metric, truth, prediction, baseline, clusters, seed).p, plain - own) == -1:
            notes.append(f"{name} {said:.4g} is worse than {plain:.4g} of an answer that ignores the features")
    if notes and card.task == "classification":
        notes[-1] += "; show=['calibration'] of evaluate_model says how the probabilities are off"
    return notes


def gap(metric: Metric, train: float | None, found: Estimate) -> list[str]:
    """A note if most of what a model gained over the baseline on its own rows is lost on others."""
    if train is None or found.value is None or found.baseline is None or found.interval is None:
        return []
    gained, left = train - found.baseline, found.value - found.baseline
    beyond = found.interval[1] < train if metric.direction == "maximize" else found.interval[0] > train
    helps = gained > 0 if metric.direction == "maximize" else gained < 0
    if not helps or not beyond or left / gained >= KEPT:
        return []
    return [
        f"{metric.name} falls from {train:.4g} on the training rows to {found.value:.4g} here (baseline "
        f"{found.baseline:.4g}): the model has learnt its rows by heart; tune_model looks for a simpler one"
    ]


def perfect(card: ModelCard, truth: np.ndarray, prediction: np.ndarray) -> list[str]:
    """A note on many rows without one mistake."""
    import numpy as np

    if len(truth) < MANY_ROWS or card.task == "effect":
        return []
    if card.task == "classification":
        right = bool((truth == prediction.argmax(1)).all())
    else:
        right = float(((truth - prediction) ** 2).sum()) <= PERFECT * float(((truth - truth.mean()) ** 2).sum())
    if not right or len(np.unique(truth)) < 2:
        return []
    return [
        f"all {len(truth)} rows are right, which is too good to be true for most questions: look for columns that are "
        f"made from {card.target}, or known only after it, and leave them out with exclude"
    ]


def threshold(card: ModelCard, truth: np.ndarray, prediction: np.ndarray, found: Estimate) -> list[str]:
    """A note if the threshold of a half hardly finds a rare class although the scores tell it."""
    if not card.binary or found.verdict != "above_baseline":
        return []
    for rare in (0, 1):
        of_it, chosen = truth == rare, prediction.argmax(1) == rare
        count = int(of_it.sum())
        if 0 < count <= RARE * len(truth) and (hit := int((of_it & chosen).sum())) <= FOUND * count:
            return [
                f"{count / len(truth):.1%} of the rows are {card.classes[rare]}, and the threshold of 0.5 finds {hit} "
                f"of {count}: show=['thresholds'] of evaluate_model lists others"
            ]
    return []


def drifted(trained: pd.DataFrame, other: pd.DataFrame, card: ModelCard, independent: int | None = None) -> list[str]:
    """A note on the features whose distribution is not that of the training rows.

    Args:
        trained: the design of the training rows, `other` that of the rows to hold against it.
        independent: how many groups of rows `other` has, if its rows are not independent.
    """
    if min(len(trained), len(other)) < FEWEST_ROWS:
        return []
    kinds: dict[str, Kind] = {feature.name: feature.kind for feature in card.features}
    found = far_columns(trained, other, kinds, APART, BY_CHANCE, independent)
    if not found:
        return []
    shown = ", ".join(f"{each.column} ({each.distance:.2f})" for each in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return [
        f"{len(found)} of {len(card.features)} features have another distribution than in training, by the distance "
        f"that is 0 for equal and 1 for disjoint ones: {shown}{more}"
    ]
