"""The card of a model: everything needed to feed it, read its answers and know where it came from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, JsonValue

Task = Literal["classification", "regression", "effect"]
Kind = Literal["number", "category"]
Label = str | int | float | bool

CARD_FILE = "card.json"
# The skops file of a fitted pipeline, the sealed one of an effect, a graph as it was exported, and a packed folder.
MODEL_FILE, EFFECT_FILE, GRAPH_FILE, PYFUNC_FILE = "model.skops", "model.sealed", "model.onnx", "model.zip"
GRAPH, PYFUNC = "ONNX", "python_function"
# Among the parameters of a python_function: what it was found to give.
ANSWERS = "answers"


class Feature(BaseModel):
    """One input column; booleans and integers count as numbers."""

    name: str
    kind: Kind


class Seen(BaseModel):
    """What a feature held in training: the range of a number, or the levels of a category."""

    low: float | None = None
    high: float | None = None
    levels: list[str] = []
    missing: int = 0


class Treatment(BaseModel):
    """What an effect is of. `levels` are the untreated value and those of the arms; empty if it is an amount.

    Numbers and booleans are floats here, all else is text.
    """

    column: str
    levels: list[str | float] = []
    controls: list[Feature] = []

    @property
    def discrete(self) -> bool:
        return bool(self.levels)

    @property
    def several(self) -> bool:
        """Whether there is more than one effect: more than one arm beside the untreated."""
        return len(self.levels) > 2


class ModelCard(BaseModel):
    """Stored beside every model we save.

    The features of a model of task "effect" are what its effect may vary with, its target is the outcome. Of two
    classes the second is the positive one. `group` is the column that says which rows belong together, `likely_group`
    one that seems to. `seen` has an entry for each feature; it is empty for models that were not trained here or are
    older than it. `train` are the scores on the training rows. `seal` is the keyed digest of a file that can only be a
    pickle.
    """

    algorithm: str
    task: Task
    target: str
    classes: list[Label] = []
    features: list[Feature]
    params: dict[str, JsonValue] = {}
    seed: int = 0
    dataset: str
    rows: int
    digest: str = ""
    group: str = ""
    likely_group: str = ""
    seen: dict[str, Seen] = {}
    train: dict[str, float] = {}
    treatment: Treatment | None = None
    seal: str = ""

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    @property
    def categories(self) -> list[str]:
        return [feature.name for feature in self.features if feature.kind == "category"]

    @property
    def numbers(self) -> list[str]:
        return [feature.name for feature in self.features if feature.kind == "number"]

    @property
    def binary(self) -> bool:
        return self.task == "classification" and len(self.classes) == 2

    @property
    def positive(self) -> str | None:
        """The class that precision, recall, F1 and the order of scores are about, if there are two."""
        return str(self.classes[1]) if self.binary else None


def file_of(card: ModelCard) -> str:
    """The name of the file that holds the model itself."""
    if card.task == "effect":
        return EFFECT_FILE
    return {GRAPH: GRAPH_FILE, PYFUNC: PYFUNC_FILE}.get(card.algorithm, MODEL_FILE)


def digest(path: Path) -> str:
    """What a card says of the file beside it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
