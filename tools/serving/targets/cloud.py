"""What BentoCloud is told of a deployment: the configuration of `bentoml deployment apply --config-file`."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from .manifests import GROWTH, Version
from .names import label

Configuration = dict[str, JsonValue]


def configuration(versions: Sequence[Version]) -> Configuration:
    """The version with most calls is the deployment's own; the others share them with it as its canaries.

    Callers are let in by BentoCloud, with its tokens: a service there is told of none.
    """
    main, *others = sorted(versions, key=lambda each: -each.percent)
    found: Configuration = {
        "name": label(main.name),
        "bento": _tag(main),
        "access_authorization": True,
        **_how(main),
    }
    if others:
        found["canary"] = {
            "route_type": "random",
            "versions": {label(each.version): _canary(each) for each in others},
        }
    return found


def _canary(version: Version) -> Configuration:
    return {"bento": _tag(version), "weight": version.percent, **_how(version)}


def _tag(version: Version) -> str:
    return version.bento.removeprefix("bento:")


def _how(version: Version) -> Configuration:
    """Of its one service, which is called as the bento."""
    resources: Configuration = {"cpu": f"{max(1, round(version.cpu * 1000))}m"}
    if version.memory:
        resources["memory"] = f"{version.memory >> 20}Mi"
    service: Configuration = {
        "scaling": {"min_replicas": version.replicas, "max_replicas": version.replicas * GROWTH},
        "config_overrides": {"resources": resources},
    }
    threads: Configuration = {"name": "OMP_NUM_THREADS", "value": str(max(1, int(version.cpu)))}
    return {"envs": [threads], "services": {_tag(version).partition(":")[0]: service}}
