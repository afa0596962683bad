"""Tools of the causal slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from ..runtime.models import DEFAULT_WAIT_S, JobView, Wait
from ..spec import Injected, Toolset, writes
from . import client
from .models import Effect, EffectRequest, Estimator


async def estimate_effect(
    context: Injected,
    dataset: Annotated[str, Field(description="Handle or file path.")],
    treatment: Annotated[str, Field(description="Two values, or a number.")],
    outcome: str,
    effect_modifiers: Annotated[list[str] | None, Field(description="The effect may vary with these.")] = None,
    controls: Annotated[list[str] | None, Field(description="Other confounders.")] = None,
    estimator: Estimator = "LinearDML",
    params: Annotated[dict[str, JsonValue] | None, Field(description="E.g. best_params of tune_model.")] = None,
    name: Annotated[str, Field(description="Of the dataset with each row's effect.")] = "",
    run: str = "",
    experiment: str = "",
    seed: int = 0,
    wait_s: Wait = DEFAULT_WAIT_S,
) -> JobView[Effect]:
    """Estimate and log a treatment effect (econml): average with interval, per row, overlap, naive difference."""
    request = EffectRequest(
        dataset=dataset, treatment=treatment, outcome=outcome, effect_modifiers=effect_modifiers or [],
        controls=controls or [], estimator=estimator, params=params or {}, name=name, run=run,
        experiment=experiment, seed=seed,
    )  # fmt: skip
    return await context.submit(client.estimate_effect, request, wait_s)


TOOLSET = Toolset(
    name="causal",
    description="Treatment effects.",
    tools=(writes(estimate_effect, "Estimate effect", job="long"),),
)
