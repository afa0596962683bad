"""What the explanation tools take and say."""

from __future__ import annotations

from pydantic import BaseModel, JsonValue


class ExplainRequest(BaseModel):
    model: str
    dataset: str
    rows: int
    label: str
    seed: int


class Importance(BaseModel):
    """One source column: its share of all mean |SHAP|, the mean |SHAP| itself, and which way it pulls.

    `direction` is the rank correlation of the column with its contribution; None for categories.
    """

    feature: str
    share: float
    mean_abs: float
    direction: float | None = None


class Explanation(BaseModel):
    """Global importances. `output` says in which unit contributions add up to the model's answer."""

    explanation: str
    model: str
    dataset: str
    rows: int
    explainer: str
    output: str
    label: str | None
    base_value: float
    importances: list[Importance]
    additivity_error: float
    notes: list[str] = []


class Contribution(BaseModel):
    feature: str
    value: JsonValue
    contribution: float


class PredictionExplanation(BaseModel):
    """One row: the base value plus all contributions is the prediction, in the unit of `output`."""

    model: str
    label: str | None
    output: str
    base_value: float
    prediction: float
    probability: float | None
    contributions: list[Contribution]
    omitted: int = 0
    additivity_error: float


class Pair(BaseModel):
    features: list[str]
    mean_abs: float
    share: float


class Interactions(BaseModel):
    """Pairs by mean |SHAP interaction|; `share` is that of all interaction and main effects together."""

    model: str
    dataset: str
    rows: int
    label: str | None
    pairs: list[Pair]
    main_effects: dict[str, float]
