"""The target: which task it asks for, its labels, and rows that have none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..errors import ToolFailure, unknown
from .card import Label, ModelCard, Task
from .frame import TIMES, number
from .shipped import canonical

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

TaskChoice = Literal["auto", "classification", "regression"]
MAX_CLASSES = 100
# Whole numbers of more values than these are taken for quantities.
FEW_VALUES = 20
# So are those with fewer rows of a value, unless there are two values.
ROWS_OF_A_CLASS = 5


def labelled(frame: pd.DataFrame, target: str) -> tuple[pd.DataFrame, list[str]]:
    """The rows that have a target, and a note on how many had none.

    Raises:
        ToolFailure: no rows, or none with a target.
    """
    if frame.empty:
        raise ToolFailure("the dataset has no rows", "Pass one that has; list_datasets shows all.")
    known = frame[frame[target].notna()]
    if known.empty:
        raise ToolFailure(f"the target {target!r} is missing in every row", "Pass another target or dataset.")
    missing = len(frame) - len(known)
    return known, [f"{missing} of {len(frame)} rows have no {target} and were left out"] if missing else []


def settle_task(target: pd.Series, asked: TaskChoice) -> tuple[Task, list[str]]:
    """The task that was asked for, or a guess with a note where another one is as likely.

    Text and booleans are classes. Whole numbers are, too, if they are two, or few values of some rows each; other
    numbers are quantities.
    """
    if asked != "auto":
        return asked, []
    if target.dtype.kind not in "iuf":
        return "classification", []
    counts = target.value_counts()
    whole = target.dtype.kind in "iu" or bool((target.dropna() % 1 == 0).all())
    if not whole or len(counts) > FEW_VALUES:
        return "regression", []
    if len(counts) <= 2:
        return "classification", []
    name = f"{len(counts)} whole numbers in {target.name}"
    if counts.min() < ROWS_OF_A_CLASS:
        return "regression", [f"{name}, some in few rows, are taken as quantities; task='classification' for classes"]
    return "classification", [f"{name} are taken as classes; task='regression' for quantities"]


def classes_of(target: pd.Series, positive: str = "") -> list[Label]:
    """The sorted labels of a target; of two, the positive one comes last.

    Args:
        positive: the text of a label; by default the one that sorts last.

    Raises:
        ToolFailure: missing labels, fewer than two or too many, no such label, or one of more than two.
    """
    _require_complete(target)
    labels: list[Label] = sorted(target.unique().tolist())
    if len(labels) < 2:
        raise ToolFailure(f"{target.name} is the same in every row", "There is nothing to learn: add rows of others.")
    if len(labels) > MAX_CLASSES:
        raise ToolFailure(
            f"{target.name} has {len(labels)} distinct values",
            f"Classification takes 2 to {MAX_CLASSES}; task='regression' takes numbers.",
        )
    return with_positive(labels, positive)


def with_positive(labels: list[Label], positive: str) -> list[Label]:
    """The labels with the positive one last.

    Raises:
        ToolFailure: it is none of them, or they are more than two.
    """
    if not positive:
        return labels
    texts = [canonical(label) for label in labels]
    if canonical(positive) not in texts:
        raise unknown("class", positive, map(str, labels))
    if len(labels) != 2:
        raise ToolFailure(f"there are {len(labels)} classes, so none is the positive one", "Leave `positive` out.")
    return labels if texts[1] == canonical(positive) else labels[::-1]


def encode(target: pd.Series, card: ModelCard) -> np.ndarray:
    """Labels as positions in `card.classes` (int64), or the numbers of a regression target (float64).

    Raises:
        ToolFailure: missing values, or a label the model does not know.
    """
    import numpy as np

    _require_complete(target)
    if card.task == "regression":
        if target.dtype.kind in TIMES:
            raise ToolFailure(f"the target {target.name!r} is a time", "Pass a column of numbers.")
        return number(target).to_numpy()
    known = {canonical(label): index for index, label in enumerate(card.classes)}
    position = {label: known.get(canonical(label), -1) for label in target.unique().tolist()}
    exact = {label: index for index, label in enumerate(card.classes)}
    position |= {label: exact[label] for label in position if label in exact}
    if strange := sorted(str(label) for label, index in position.items() if index < 0):
        raise ToolFailure(
            f"{target.name} holds labels the model does not know: {', '.join(strange[:5])}",
            f"Known: {', '.join(map(str, card.classes[:10]))}. Train on rows of all labels, or pass rows of these.",
        )
    return np.array([position[label] for label in target.tolist()], dtype=np.int64)


def guess(card: ModelCard, target: np.ndarray, rows: int) -> np.ndarray:
    """What a model without features would answer: the class shares, or the mean, of an encoded target."""
    import numpy as np

    if card.task == "regression":
        return np.full(rows, target.mean())
    return np.tile(np.bincount(target, minlength=len(card.classes)) / len(target), (rows, 1))


def _require_complete(target: pd.Series) -> None:
    if missing := int(target.isna().sum()):
        raise ToolFailure(
            f"the target {target.name!r} is missing in {missing} rows",
            f"Keep those that have one by query_dataset: WHERE {target.name} IS NOT NULL.",
        )
