"""Tools of the explanation slice."""

from __future__ import annotations

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field, JsonValue

from ..runtime.models import JobView, Wait
from ..spec import Injected, Toolset, reads, with_picture, writes
from ..vocabulary import Dataset, Model
from . import client, kept
from .models import ExplainRequest, Explanation, Interactions, Kind, PlottedExplanation, PredictionExplanation

Label = Annotated[str, Field(description="One class; default: the second of two, else their mean.")]
OneOrAll = Annotated[str, Field(description="Class, or * for all; default: of two the second, else the predicted.")]


async def explain_model(
    context: Injected,
    model: Model,
    dataset: Dataset,
    n_rows: Annotated[int, Field(ge=1, le=100_000, description="Sample size.")] = 1000,
    label: Label = "",
    seed: int = 0,
    wait_s: Wait = None,
) -> JobView[Explanation]:
    """SHAP importances of a model over a dataset, in the unit and link of its margin."""
    request = ExplainRequest(model=model, dataset=dataset, rows=n_rows, label=label, seed=seed)
    return await context.submit(client.explain_model, request, wait_s)


async def explain_prediction(
    context: Injected,
    model: Model,
    row: Annotated[dict[str, JsonValue] | None, Field(description="{feature: value}")] = None,
    dataset: Annotated[str, Field(description="Instead of row, with index.")] = "",
    index: Annotated[int, Field(ge=0, description="Row of the dataset, from 0.")] = 0,
    label: OneOrAll = "",
    limit: Annotated[int, Field(ge=1, le=200)] = client.DEFAULT_LIMIT,
) -> PredictionExplanation:
    """SHAP contributions to the margin of one row, beside the model's answer."""
    return await context.call(client.explain_prediction, model, row or {}, dataset, index, label, limit)


async def explain_interactions(
    context: Injected,
    model: Model,
    dataset: Dataset,
    n_rows: Annotated[int, Field(ge=1, le=5000, description="Sample size.")] = 200,
    label: Label = "",
    wait_s: Wait = None,
) -> JobView[Interactions]:
    """SHAP interaction values of a tree model: which pairs of columns act together."""
    request = ExplainRequest(model=model, dataset=dataset, rows=n_rows, label=label, seed=0)
    return await context.submit(client.explain_interactions, request, wait_s)


async def plot_explanation(
    context: Injected,
    explanation: Annotated[str, Field(description="explanation:<id>")],
    kind: Kind = "beeswarm",
    limit: Annotated[int, Field(ge=1, le=kept.MOST_COLUMNS)] = 12,
) -> Annotated[CallToolResult, PlottedExplanation]:
    """Draw an explanation, with its numbers beside it."""
    return with_picture(*await context.call(kept.plot_explanation, explanation, kind, limit))


TOOLSET = Toolset(
    name="explain",
    description="SHAP explanations.",
    tools=(
        writes(explain_model, "Explain model", job="short"),
        reads(explain_prediction, "Explain prediction"),
        reads(explain_interactions, "Explain interactions", job="long"),
        reads(plot_explanation, "Plot explanation"),
    ),
)
