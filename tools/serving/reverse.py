"""The calls that take a change of an endpoint back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import ToolFailure
from ..undo import call
from . import endpoints
from .models import Deployment, EndpointFile


def of_deployment(name: str, before: Sequence[Deployment], made: Deployment, percent: int) -> str | None:
    """None where several bentos were replaced at once: one call starts one."""
    endpoint = f"endpoint:{name}"
    if not before:
        return call("stop_endpoint", endpoint=endpoint)
    if percent < 100:
        return call("set_traffic", endpoint=endpoint, bento=made.bento, percent=0)
    return _again(endpoint, before)


def of_stop(state: EndpointFile) -> str | None:
    return _again(f"endpoint:{state.endpoint}", [each for each in state.deployments if each.ready])


def of_traffic(name: str, before: Mapping[str, int], after: Mapping[str, int], bentos: Mapping[str, str]) -> str | None:
    """The one call that gives every bento its share of before, if there is one.

    Args:
        before, after: deployment -> percent.
        bentos: deployment -> its handle.
    """
    if before == after:
        return None
    for each, percent in before.items():
        if _share(after, each, percent) == before:
            return call("set_traffic", endpoint=f"endpoint:{name}", bento=bentos[each], percent=percent)
    return None


def _share(percents: Mapping[str, int], chosen: str, percent: int) -> Mapping[str, int]:
    try:
        return endpoints.share(percents, chosen, percent)
    except ToolFailure:
        return {}


def _again(endpoint: str, deployments: Sequence[Deployment]) -> str | None:
    if len(deployments) != 1:
        return None
    each = deployments[0]
    resources: dict[str, object] = {"cpu": each.threads} if each.threads > 1 else {}
    if each.memory:
        resources["memory"] = str(each.memory)
    replicas = each.replicas if each.replicas > 1 else None
    return call(
        "deploy_model", bento=each.bento, endpoint=endpoint, replicas=replicas, resources=resources or None,
        log_sample=each.log_sample or None,
    )  # fmt: skip
