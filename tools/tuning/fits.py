"""Candidates of a comparison fitted on the folds of its rows, one after the other or by the workers of a cluster."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ToolFailure
from ..modeling.card import ModelCard
from ..modeling.metrics import Metric
from ..modeling.pipelines import fit, scores
from ..modeling.prepared import Prepared
from .models import CompareRequest
from .nested import searched
from .objective import Rows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Fitted:
    """The answers to the rows held out and the parameters found for them, or why there are none.

    `began` and `ended` are seconds since the epoch.
    """

    answers: np.ndarray | None
    tuned: Mapping[str, Any] | None = None
    error: str = ""
    began: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True)
class Fits:
    """What is asked about a fold and a candidate, by their places; `entries` are the candidates' cards and designs."""

    base: Prepared
    metric: Metric
    request: CompareRequest
    threads: int
    entries: Sequence[tuple[ModelCard, pd.DataFrame]]
    cut: Sequence[tuple[np.ndarray, np.ndarray]]

    def get_ready(self) -> None:
        """Each candidate has a design of its own."""

    def answer(self, question: tuple[int, int]) -> Fitted:
        fold, number = question
        (fitted, held), features, began = self.cut[fold], self.entries[number][1], time.time()
        try:
            answers, tuned = self.on(number, fitted, features.iloc[held])
        except ToolFailure as failure:
            return Fitted(None, error=str(failure), began=began, ended=time.time())
        return Fitted(answers, tuned, began=began, ended=time.time())

    def on(self, number: int, fitted: np.ndarray, asked: pd.DataFrame) -> tuple[np.ndarray, Mapping[str, Any] | None]:
        """The answers to some rows of a model fitted on others, and the parameters that were found for it first.

        Raises:
            ToolFailure: it cannot be fitted.
        """
        request, (card, features) = self.request, self.entries[number]
        rows, found = Rows(features, self.base.target, self.base.units).take(fitted), None
        if request.n_trials:
            found = searched(
                card, self.metric, self.base.frame.iloc[fitted], rows, request.time, request.n_trials, request.seed,
                self.threads,
            )  # fmt: skip
            card = card.model_copy(update={"params": card.params | dict(found)})
        return scores(fit(card, rows.features, rows.target, self.threads, rows.units), asked, card), found
