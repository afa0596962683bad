"""Tools of the causal slice."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from ..runtime.models import JobView, Wait
from ..spec import Injected, Toolset, writes
from ..vocabulary import Dataset
from . import client
from .models import Effect, EffectRequest, Estimator, Target


async def estimate_effect(
    context: Injected,
    dataset: Dataset,
    treatment: str,
    outcome: str,
    effect_modifiers: Annotated[list[str] | None, Field(description="It varies with these.")] = None,
    controls: list[str] | None = None,
    segments: list[str] | None = None,
    randomised: bool = False,
    cluster: str = "",
    estimand: Annotated[Target, Field(description="ATE, ATT, dose.")] = "all",
    control: Annotated[str, Field(description="Untreated value")] = "",
    refute: bool = False,
    algorithm: Estimator = "LinearDML",
    params: dict[str, JsonValue] | None = None,
    run: str = "",
    experiment: str = "",
    seed: int = 0,
    wait_s: Wait = None,
) -> JobView[Effect]:
    """Effect of a treatment: mean, by `segments`, row. `controls` confound, a `cluster` is treated as one."""
    request = EffectRequest(
        dataset=dataset, treatment=treatment, outcome=outcome, effect_modifiers=effect_modifiers or [],
        controls=controls or [], estimator=algorithm, params=params or {}, run=run, experiment=experiment,
        seed=seed, target=estimand, control=control, cluster=cluster, by=segments or [], randomised=randomised,
        refute=refute,
    )  # fmt: skip
    return await context.submit(client.estimate_effect, request, wait_s)


TOOLSET = Toolset(
    name="causal",
    description="Treatment effects.",
    tools=(writes(estimate_effect, "Estimate effect", job="long"),),
)
