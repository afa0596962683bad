"""Small fitted pipelines, without a store behind them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from mlops_mcp.tools.explain.values import ShapValues, shap_values
from mlops_mcp.tools.modeling.card import Feature, Label, ModelCard
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.inputs import seen_in
from mlops_mcp.tools.modeling.pipelines import fit


@dataclass(frozen=True)
class Fitted:
    pipeline: Pipeline
    card: ModelCard
    features: pd.DataFrame

    @property
    def model(self) -> Any:
        return self.pipeline[-1]

    @property
    def columns(self) -> Any:
        """The encoded rows."""
        return self.pipeline[:-1].transform(self.features)

    def refitted(self, model: Any) -> Fitted:
        """With another estimator, fitted to its answers on the same encoded columns."""
        return self.ending_in(model.fit(self.columns, self.pipeline.predict(self.features)))

    def ending_in(self, model: Any) -> Fitted:
        return replace(self, pipeline=Pipeline([*self.pipeline.steps[:-1], ("model", model)]))

    def explained(self, rows: int = 40) -> ShapValues:
        return shap_values(self.pipeline, self.card, self.features.head(rows), self.features)


def fitted(frame: pd.DataFrame, target: pd.Series, algorithm: str, **params: Any) -> Fitted:
    """A text target is one of classes, numbers are quantities."""
    classes: list[Label] = sorted(target.unique().tolist()) if target.dtype == object else []
    card = ModelCard(
        algorithm=algorithm,
        task="classification" if classes else "regression",
        target="cost",
        classes=classes,
        features=[
            Feature(name=str(name), kind="category" if frame[name].dtype == object else "number") for name in frame
        ],
        params=params,
        dataset="dataset:rows@0",
        rows=len(frame),
    )
    features = design(frame, card)
    card = card.model_copy(update={"seen": seen_in(features, card)})
    numbers = target.map(classes.index).to_numpy() if classes else target.to_numpy(dtype=np.float64)
    return Fitted(fit(card, features, numbers, 1), card, features)
