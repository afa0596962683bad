"""Models of python_function from elsewhere: what they give, which nobody has said, is told by asking them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import MissingArgument, ToolFailure, unknown
from ...modeling.boxed import Boxed
from ...modeling.card import Label
from ...modeling.pyfunc import as_text
from ...modeling.target import classes_of

if TYPE_CHECKING:
    import pandas as pd

TRIED_ROWS = 200
# Whole numbers of more values are amounts, and no labels.
MAX_LABELS = 20
SHOWN, LONGEST = 10, 40


def settled(
    model: Boxed, inputs: Sequence[str], frame: pd.DataFrame, target: str, asked: Sequence[str]
) -> tuple[Boxed, list[Label], str]:
    """The model as it will be asked, the classes that it tells apart (none of a regression), and what it gives.

    Raises:
        MissingArgument: which of its scores is which.
        ToolFailure: its answers are about something else than the target.
    """
    said = Boxed(model.content, inputs).said(frame.head(TRIED_ROWS)[list(inputs)])
    few = frame[target].nunique() <= MAX_LABELS and {*said["labels"]} <= {
        *map(as_text, frame[target].unique().tolist())
    }
    labels = said["width"] == 1 and (said["texts"] or (said["whole"] and few))
    if said["width"] == 1 and not labels and not asked:
        return Boxed(model.content, inputs), [], "it gives one number a row, so it is taken for a regression"
    there = {as_text(label): label for label in classes_of(frame[target])}
    if labels:
        classes = _named(said["labels"], there, asked, target)
        return (
            Boxed(model.content, inputs, classes, "labels"),
            classes,
            "it names the class alone: its shares are 0 and 1",
        )
    classes = _scored(said, there, asked, target)
    return Boxed(model.content, inputs, classes, "shares"), classes, "it gives a share for each class"


def _named(labels: Sequence[str], there: Mapping[str, Label], asked: Sequence[str], target: str) -> list[Label]:
    if strange := [label for label in labels if label not in there]:
        raise ToolFailure(
            f"the model gives {_short(strange)}, those of {target} are {list(there)[:SHOWN]}",
            "Pass the target it was trained on.",
        )
    return _chosen(there, asked, len(there)) if asked else list(there.values())


def _short(labels: Sequence[str]) -> list[str]:
    """As much of them as an error has room for."""
    return [label[:LONGEST] for label in labels[:SHOWN]]


def _scored(said: Mapping[str, Any], there: Mapping[str, Label], asked: Sequence[str], target: str) -> list[Label]:
    """The classes in the order of the scores; one score is that of the second of two."""
    width = 2 if said["width"] == 1 else said["width"]
    if asked:
        return _chosen(there, asked, width)
    if {*map(as_text, said["names"])} == {*there}:
        return list(there.values())
    raise MissingArgument(
        f"the model gives {said['width']} numbers a row and does not say of which class each is",
        "classes",
        [json.dumps([*map(str, there.values())], ensure_ascii=False)] if len(there) == width else [],
    )


def _chosen(there: Mapping[str, Label], asked: Sequence[str], width: int) -> list[Label]:
    texts = [*map(as_text, asked)]
    if len({*texts}) != len(texts) or len(texts) != width:
        raise ToolFailure(f"the model has {width} classes", "Name each once, in the order of its scores.")
    for text in texts:
        if text not in there:
            raise unknown("class of the target", text, map(str, there.values()))
    return [there[text] for text in texts]
