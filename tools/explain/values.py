"""SHAP values of a pipeline on its source columns, with the model's own answers beside them.

Nothing is answered that does not add up: the values to the model's margin, the interactions to the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import ToolFailure
from ..modeling.algorithms import algorithm
from ..modeling.card import ModelCard
from ..modeling.columns import sources
from .links import Link, link_of
from .margins import Margins, margins, pair_values

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from sklearn.pipeline import Pipeline

# Of the contributions, and of the sum itself, which XGBoost adds up in single precision.
TOLERANCE, ROUNDING = 1e-4, 1e-5
# Interactions of so many numbers are in memory at a time, and of so many rows.
PAIRS_AT_ONCE, PAIR_ROWS = 20_000_000, 500


@dataclass(frozen=True)
class ShapValues:
    """Contributions in the unit of the margin.

    `values` has shape (rows, source columns, outputs), `base` (outputs,), and `raw`, the model's own margin, and
    `answers`, its probabilities or numbers, (rows, outputs). Where `mirrored`, the one output is the margin of the
    second of two classes, and that of the first has the opposite sign.
    """

    values: np.ndarray
    base: np.ndarray
    raw: np.ndarray
    answers: np.ndarray
    explainer: str
    link: Link
    mirrored: bool = False

    @property
    def additivity_error(self) -> float:
        """The largest distance between base + contributions and the model's margin over rows and outputs."""
        import numpy as np

        return float(np.abs(self.base + self.values.sum(axis=1) - self.raw).max())

    def of(self, label: int) -> ShapValues:
        """Those of one class, with one output."""
        if self.mirrored:
            return self if label else replace(
                self, values=-self.values, base=-self.base, raw=-self.raw, answers=1 - self.answers, mirrored=False
            )  # fmt: skip
        one = slice(label, label + 1)
        return replace(
            self, values=self.values[..., one], base=self.base[one], raw=self.raw[:, one], answers=self.answers[:, one]
        )


@dataclass(frozen=True)
class Told:
    """Of some rows the margins, with contributions of source columns, and the model's answers (rows, outputs)."""

    margins: Margins
    answers: np.ndarray


@dataclass(frozen=True)
class Explained:
    """What is asked about blocks of rows; the background is only used by linear models.

    `features` and `background` are designs with the columns of the card.
    """

    pipeline: Pipeline
    card: ModelCard
    features: pd.DataFrame
    background: pd.DataFrame

    def get_ready(self) -> None:
        """Nothing is the same for all rows."""

    def answer(self, question: tuple[int, int]) -> Told:
        """The rows from the first place to before the second one."""
        import numpy as np

        model, encoder, entry = self.pipeline[-1], self.pipeline[:-1], algorithm(self.card.algorithm)
        columns = encoder.transform(self.features.iloc[slice(*question)])
        behind = encoder.transform(self.background) if entry.explainer == "linear" else None
        found = margins(model, entry, self.card, columns, behind)
        answer = model.predict_proba if self.card.classes else model.predict
        answers = np.asarray(answer(columns), dtype=np.float64).reshape(question[1] - question[0], -1)
        values = fold(found.values, sources(encoder, self.card), len(self.card.names))
        return Told(replace(found, values=values), answers)


def shap_values(pipeline: Pipeline, card: ModelCard, features: pd.DataFrame, background: pd.DataFrame) -> ShapValues:
    """Contributions of each source column to every output of a pipeline.

    Args:
        features, background: designs with the columns of the card; the background is only used by linear models.

    Raises:
        ToolFailure: the contributions do not add up to the model's margin, or it answers a row with several numbers.
    """
    return joined(pipeline, card, [Explained(pipeline, card, features, background).answer((0, len(features)))])


def joined(pipeline: Pipeline, card: ModelCard, blocks: Sequence[Told]) -> ShapValues:
    """The values of all rows, of which each block has some. Raises as `shap_values`."""
    import numpy as np

    values, raw = (np.concatenate([getattr(block.margins, name) for block in blocks]) for name in ("values", "raw"))
    answers, found = np.concatenate([block.answers for block in blocks]), blocks[0].margins
    mirrored = card.binary and raw.shape[1] == 1
    answers = answers[:, 1:] if mirrored else answers
    if answers.shape[1] != max(1, len(card.classes) - mirrored):
        raise ToolFailure(f"this model answers each row with {answers.shape[1]} numbers", "Train one model for each.")
    link = link_of(pipeline[-1], algorithm(card.algorithm), raw, answers)
    return checked(ShapValues(values, found.base, raw, answers, found.explainer, link, mirrored))


def checked(found: ShapValues) -> ShapValues:
    """The values, if they add up to the model's margins."""
    import numpy as np

    allowed = TOLERANCE * np.abs(found.values).max(initial=0) + ROUNDING * np.abs(found.raw).max(initial=0)
    if not found.additivity_error <= allowed:
        raise ToolFailure(
            f"{found.explainer} does not explain this model: its contributions miss the answer by "
            f"{found.additivity_error:.3g}",
            "Train another algorithm, e.g. XGBoost, to explain it.",
        )
    return found


@dataclass(frozen=True)
class PairValues:
    """`mean_abs` (source columns, source columns, outputs), each pair twice, half of it on either side."""

    mean_abs: np.ndarray
    additivity_error: float


@dataclass(frozen=True)
class PairSums:
    """Sums of |interactions| over some rows, and by how much at most they miss the values of a row."""

    total: np.ndarray
    missed: float


@dataclass(frozen=True)
class Paired:
    """What is asked about blocks of rows; `values` are the SHAP values of all of them."""

    pipeline: Pipeline
    card: ModelCard
    features: pd.DataFrame
    values: np.ndarray

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """The places of the first row of each block, and of the one after its last."""
        numbers = len(sources(self.pipeline[:-1], self.card)) ** 2 * self.values.shape[2]
        size, rows = min(PAIR_ROWS, max(1, PAIRS_AT_ONCE // max(1, numbers))), len(self.features)
        return [(start, min(start + size, rows)) for start in range(0, rows, size)]

    def get_ready(self) -> None:
        """Nothing is the same for all rows."""

    def answer(self, question: tuple[int, int]) -> PairSums:
        import numpy as np

        model, encoder, rows = self.pipeline[-1], self.pipeline[:-1], slice(*question)
        origins, width = sources(encoder, self.card), len(self.card.names)
        columns = encoder.transform(self.features.iloc[rows])
        once = fold(pair_values(model, algorithm(self.card.algorithm), columns), origins, width)
        pairs = fold(once.swapaxes(1, 2), origins, width)
        missed = float(np.abs(pairs.sum(axis=2) - self.values[rows]).max())
        return PairSums(np.abs(pairs).sum(axis=0), missed)


def mean_interactions(pipeline: Pipeline, card: ModelCard, features: pd.DataFrame, found: ShapValues) -> PairValues:
    """Mean |SHAP interaction values| of a tree model.

    Args:
        found: the values of the same rows, which each row of interactions has to add up to.

    Raises:
        ToolFailure: they do not.
    """
    paired = Paired(pipeline, card, features, found.values)
    return mean_of(paired, found, map(paired.answer, paired.blocks))


def mean_of(paired: Paired, found: ShapValues, blocks: Iterable[PairSums]) -> PairValues:
    """The mean over all blocks of rows. Raises as `mean_interactions`."""
    import numpy as np

    width, card, misses = len(paired.card.names), paired.card, list[float]()
    total = np.zeros((width, width, found.values.shape[2]))
    for block in blocks:
        misses.append(block.missed)
        total += block.total
    missed = float(np.max(misses))  # NaN if any of them is
    if not missed <= TOLERANCE * np.abs(found.values).max() + ROUNDING * np.abs(found.raw).max():
        of_categories = algorithm(card.algorithm).library == "lightgbm" and card.categories
        raise ToolFailure(
            f"the interactions of {card.algorithm} miss its SHAP values by {missed:.3g}, so they explain nothing"
            + (": those of splits on categories are wrong" if of_categories else ""),
            "Train XGBoost or RandomForest to see interactions; explain_model works for this one.",
        )
    return PairValues(total / len(paired.features), missed)


def fold(values: np.ndarray, origins: Sequence[int], width: int) -> np.ndarray:
    """Sum what belongs to encoded columns (axis 1) onto the `width` source columns that they came from."""
    import numpy as np

    folded = np.zeros((len(values), width, *values.shape[2:]))
    for index, source in enumerate(origins):
        folded[:, source] += values[:, index]
    return folded
