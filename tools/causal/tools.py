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
    treatment: str,
    outcome: str,
    effect_modifiers: Annotated[list[str] | None, Field(description="The effect may vary with these.")] = None,
    controls: Annotated[list[str] | None, Field(description="Confounders.")] = None,
    target: Annotated[Target, Field(description="ATE or ATT.")] = "all",
    control: str = "",
    dose: Annotated[bool, Field(description="Effect per unit.")] = False,
    group: str = "",
    estimator: Estimator = "LinearDML",
    params: dict[str, JsonValue] | None = None,
    name: str = "",
    run: str = "",
    experiment: str = "",
    seed: int = 0,
    wait_s: Wait = DEFAULT_WAIT_S,
) -> JobView[Effect]:
    """Estimate and log a treatment effect: average (AIPW), per row (econml), overlap, naive difference."""
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
