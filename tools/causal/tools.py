"""Tools of the causal slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from ..runtime.models import DEFAULT_WAIT_S, JobView, Wait
from ..spec import Injected, Toolset, writes
from . import client
from .models import Effect, EffectRequest, Estimator, Target


async def estimate_effect(
    context: Injected,
    dataset: Annotated[str, Field(description="Handle or file path.")],
    treatment: Annotated[str, Field(description="Values to compare, or an amount.")],
    outcome: str,
    effect_modifiers: Annotated[list[str] | None, Field(description="The effect may vary with these.")] = None,
    controls: Annotated[list[str] | None, Field(description="Other confounders.")] = None,
    target: Annotated[Target, Field(description="Whose average: of all rows (ATE) or the treated (ATT).")] = "all",
    control: Annotated[str, Field(description="The untreated value.")] = "",
    dose: Annotated[bool, Field(description="Few numbers are an amount, not arms.")] = False,
    group: Annotated[str, Field(description="Rows of one value depend on each other.")] = "",
    estimator: Annotated[Estimator, Field(description="Of the effect on each row.")] = "LinearDML",
    params: Annotated[dict[str, JsonValue] | None, Field(description="E.g. best_params of tune_model.")] = None,
    name: Annotated[str, Field(description="Of the dataset with each row's effect.")] = "",
    run: str = "",
    experiment: str = "",
    seed: int = 0,
    wait_s: Wait = DEFAULT_WAIT_S,
) -> JobView[Effect]:
    """Estimate and log a treatment effect: average by arm (AIPW) with interval, per row (econml), overlap, naive."""
    request = EffectRequest(
        dataset=dataset, treatment=treatment, outcome=outcome, effect_modifiers=effect_modifiers or [],
        controls=controls or [], estimator=estimator, params=params or {}, name=name, run=run,
        experiment=experiment, seed=seed, target=target, control=control, dose=dose, group=group,
    )  # fmt: skip
    return await context.submit(client.estimate_effect, request, wait_s)


TOOLSET = Toolset(
    name="causal",
    description="Treatment effects.",
    tools=(writes(estimate_effect, "Estimate effect", job="long"),),
)
