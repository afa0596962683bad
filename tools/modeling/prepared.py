"""From a dataset and a request to what a model is fitted to: task, labels, features, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..data.identity import copies
from ..data.store import Dataset
from ..errors import ToolFailure
from .algorithms import algorithm_of
from .bounds import require_seed, require_size, require_spread
from .card import ModelCard
from .folds import doubt, units_of
from .frame import choose_features, design
from .inputs import seen_in
from .target import TaskChoice, classes_of, encode, labelled, settle_task

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# So few copies are as good as none.
FEW_REPEATS = 0.02


class Asks(Protocol):
    """What a request says of what is to be predicted."""

    target: str
    task: TaskChoice
    positive: str
    features: list[str]
    exclude: list[str]
    group: str
    time: str
    seed: int


@dataclass(frozen=True)
class Question:
    """What is to be predicted from what; `group` and `time` are columns that fold the rows, and no features."""

    target: str
    algorithm: str
    task: TaskChoice = "auto"
    positive: str = ""
    features: Sequence[str] = ()
    exclude: Sequence[str] = ()
    group: str = ""
    time: str = ""
    seed: int = 0

    @classmethod
    def of(cls, asked: Asks, algorithm: str) -> Question:
        return cls(
            target=asked.target, algorithm=algorithm, task=asked.task, positive=asked.positive,
            features=asked.features, exclude=asked.exclude, group=asked.group, time=asked.time, seed=asked.seed,
        )  # fmt: skip


@dataclass(frozen=True)
class Prepared:
    """Labelled rows of a dataset as `fit` takes them; `notes` say what was left out and what was guessed.

    `units` number the rows that belong together. `apart` are the columns that are no features because someone said so,
    `time` is the column that orders the folds.
    """

    source: Dataset
    card: ModelCard
    frame: pd.DataFrame
    features: pd.DataFrame
    target: np.ndarray
    units: np.ndarray | None
    notes: list[str]
    apart: Sequence[str] = ()
    time: str = ""

    @property
    def strata(self) -> np.ndarray | None:
        """The classes, which are to be spread evenly over folds; None for quantities."""
        return self.target if self.card.task == "classification" else None


def prepare(source: Dataset, question: Question, params: Mapping[str, Any]) -> Prepared:
    """Settle everything that a fit needs.

    Raises:
        ToolFailure: an unknown column, an algorithm that cannot do the task, or rows that cannot be learnt from.
    """
    require_seed(question.seed)
    roles = [column for column in (question.group, question.time) if column]
    source.require([question.target, *roles])
    frame, dropped = labelled(source.frame(), question.target)
    task, guessed = settle_task(frame[question.target], question.task)
    entry = algorithm_of(question.algorithm, task)
    out = [*question.exclude, *(column for column in roles if column not in question.features)]
    features, left_out = choose_features(frame, question.target, question.features, out)
    card = ModelCard(
        algorithm=entry.name,
        task=task,
        target=question.target,
        classes=classes_of(frame[question.target], question.positive) if task == "classification" else [],
        features=features,
        params=dict(params),
        seed=question.seed,
        dataset=source.handle,
        rows=len(frame),
        group=question.group,
    )
    if question.positive and task != "classification":
        raise ToolFailure(
            f"{question.target} is taken as a quantity, which has no positive class",
            "Pass task='classification', or leave `positive` out.",
        )
    columns = design(frame, card)
    for name in card.numbers:
        require_size(name, columns[name].to_numpy(dtype=float))
    likely, doubts = doubt(frame, question.target, question.group)
    card = card.model_copy(update={"seen": seen_in(columns, card), "likely_group": likely})
    units, repeats = units_of(frame, columns, question.group)
    repeated = []
    if repeats > FEW_REPEATS * len(frame):
        repeated = [f"{repeats} of {len(frame)} rows repeat the features of others; copies share a fold"]
    target = encode(frame[question.target], card)
    if task == "regression":
        require_size(question.target, target)
        require_spread(question.target, target)
    repeated += [] if units is not None else _few_kinds(columns, target)
    notes = [*dropped, *guessed, *left_out, *repeated, *doubts]
    return Prepared(
        source, card, frame, columns, target, units, notes, (*out, question.target), question.time
    )  # fmt: skip


def _few_kinds(features: pd.DataFrame, target: np.ndarray) -> list[str]:
    """A note on rows that are so few kinds that they may repeat by nature, but always with the same target."""
    import numpy as np

    found = copies(features)
    if found.width < 2 or found.repeats <= found.kinds:
        return []
    first = np.zeros(found.kinds, dtype=target.dtype)
    first[found.unit] = target
    if not (first[found.unit] == target).all() or len(np.unique(target)) < 2:
        return []
    return [
        f"{len(target)} rows hold {found.kinds} distinct ones of features, each with one target: scores come from rows "
        "like those fitted on; query_dataset(SELECT DISTINCT …) keeps one of each"
    ]


def held_out_rows(source: Dataset, card: ModelCard) -> Prepared:
    """The labelled rows of another dataset as a model of this card takes them."""
    source.require([card.target])
    frame, notes = labelled(source.frame(), card.target)
    return Prepared(source, card, frame, design(frame, card), encode(frame[card.target], card), None, notes)
