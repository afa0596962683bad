"""What a model that looks at no feature would say: every score is held against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..data.store import resolve
from ..runtime.work import Work
from .card import ModelCard
from .target import encode, labelled

if TYPE_CHECKING:
    import numpy as np


def featureless(work: Work, card: ModelCard, rows: int) -> np.ndarray:
    """The class shares (rows, classes), or the mean (rows,), of the data that the model was trained on."""
    import numpy as np

    known, _ = labelled(resolve(work, card.dataset).frame([card.target]), card.target)
    target = encode(known[card.target], card)
    if card.task == "regression":
        return np.full(rows, target.mean())
    shares = np.bincount(target, minlength=len(card.classes)) / len(target)
    return np.tile(shares, (rows, 1))
