"""What the explanation tools take and say."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, JsonValue

from ..estimates import Statistic

Kind = Literal["beeswarm", "bar"]


class ExplainRequest(BaseModel):
    model: str
    dataset: str
    rows: int
    label: str
    seed: int


class Importance(BaseModel):
    """One source column: its share of all mean |SHAP|, the mean |SHAP| itself, and which way it pulls.

    `direction` is the rank correlation of the column with its contribution; None for categories, and over classes.
    """

    feature: str
    share: float
    mean_abs: float
    direction: float | None = None


class Explanation(BaseModel):
    """Importances over a dataset, in `unit`; without a label, the mean over all classes.

    `base_value` is the margin that contributions start from, `mean_answer` the mean of the model's answers.
    """

    explanation: str
    model: str
    dataset: str
    rows: int
    explainer: str
    label: str | None
    unit: str
    link: str
    base_value: float | None
    answer_unit: str
    mean_answer: float | None
    importances: list[Importance]
    omitted: int = 0
    additivity_error: float
    notes: list[str] = []
    undo: str | None = None


class PlottedColumn(BaseModel):
    """One column of a picture: the mean size of its contributions, and of points their 5 %, 50 % and 95 % quantiles."""

    feature: str
    mean_abs: Statistic
    low: Statistic | None = None
    median: Statistic | None = None
    high: Statistic | None = None


class PlottedExplanation(BaseModel):
    """What the picture beside it shows, in `unit`, the largest first; `picture` is the resource with the whole of it.

    `omitted` counts the columns that are not among `columns`.
    """

    explanation: str
    kind: Kind
    unit: str
    rows: int
    columns: list[PlottedColumn]
    omitted: int = 0
    picture: str


class Contribution(BaseModel):
    feature: str
    value: JsonValue
    contribution: float


class ExplainedOutput(BaseModel):
    """`base_value` and all contributions add up to `margin`, in `unit`; `answer` is what the model says of the row."""

    label: str | None
    unit: str
    link: str
    base_value: float
    margin: float
    answer_unit: str
    answer: float
    contributions: list[Contribution]
    omitted: int = 0
    omitted_sum: float = 0.0


class PredictionExplanation(ExplainedOutput):
    """One row; `row` is its number in the dataset, from 0. `others` are the other classes, if asked for."""

    model: str
    row: int | None
    predicted: str | None
    others: list[ExplainedOutput] = []
    additivity_error: float
    notes: list[str] = []
    undo: str | None = None


class Pair(BaseModel):
    """Mean |SHAP interaction| of two columns; `share` is that of all pairs and main effects together."""

    features: list[str]
    mean_abs: float
    share: float


class MainEffect(BaseModel):
    feature: str
    mean_abs: float


class Interactions(BaseModel):
    """What columns do together and alone, in `unit`; without a label, the mean over all classes."""

    model: str
    dataset: str
    rows: int
    label: str | None
    unit: str
    link: str
    pairs: list[Pair]
    main_effects: list[MainEffect]
    omitted_pairs: int = 0
    omitted_columns: int = 0
    additivity_error: float
    notes: list[str] = []
    undo: str | None = None
