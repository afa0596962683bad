"""A Kubernetes cluster that the settings name: apply there what was exported, and take it away again."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ....config.backends import KubernetesSettings
from ...errors import ToolFailure, Unavailable, require
from .change import FOREIGN, Change, Seen
from .manifests import MANAGED_BY, MANAGER

# Where each kind lies in the API.
PLACES = {
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
    "Service": "/api/v1/namespaces/{namespace}/services/{name}",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/{name}",
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/{name}",
}
# Calls go to a version only once all of it is there.
ORDER = tuple(PLACES)
# Which export an object is of; the route of a name is the same object in each export of it.
OF_EXPORT = "mlops-mcp/export"
PATIENCE_S = (5, 30)


def apply(settings: KubernetesSettings, folder: Path, export: str) -> Change:
    """Apply the manifests of a folder on the server's side, each marked as of this export.

    Raises:
        ToolFailure: no cluster is configured, an object of that name is not of ours, or it refuses one of them; the
            message names those before.
        Unavailable: it does not answer.
    """
    done: list[str] = []
    with _client(settings) as api:
        owners = {title(each): _owner(settings, api, each, done) for each in manifests_of(folder)}
        _require_ours(owners)
        for manifest in manifests_of(folder):
            query = [("fieldManager", MANAGER), ("fieldValidation", "Strict"), ("force", "true")]
            with _told(settings, manifest, done):
                _asked(api, "PATCH", manifest, query, _marked(manifest, export))
            done.append(title(manifest))
    # Of those whose calls it took over the route comes last.
    before = list(dict.fromkeys(each for each in reversed(owners.values()) if each is not None))
    return Change(done, [], before, new=not before, seen=_seen(settings, folder))


def withdraw(settings: KubernetesSettings, folder: Path, export: str) -> Change:
    """Delete what the manifests of a folder describe, the route first, unless another export has it by now.

    Raises:
        ToolFailure: no cluster is configured, or it refuses.
        Unavailable: it does not answer.
    """
    from kubernetes.client.exceptions import NotFoundException

    gone, left = list[str](), list[str]()
    with _client(settings) as api:
        for manifest in reversed(manifests_of(folder)):
            owner = _owner(settings, api, manifest, gone)
            if owner not in (None, "", export):
                left.append(title(manifest))
            if owner not in ("", export):
                continue
            with _told(settings, manifest, gone):
                try:
                    _asked(api, "DELETE", manifest, [("propagationPolicy", "Foreground")], None)
                except NotFoundException:
                    continue
            gone.append(title(manifest))
    return Change(gone, left, [], new=False, seen=_seen(settings, folder))


def look(settings: KubernetesSettings, folder: Path, export: str) -> Change:
    """Which objects of an export are there, and which of their names are another's.

    Raises:
        ToolFailure: no cluster is configured, or it refuses.
        Unavailable: it does not answer.
    """
    with _client(settings) as api:
        owners = {title(each): _owner(settings, api, each, []) for each in manifests_of(folder)}
    ours = [name for name, owner in owners.items() if owner == export]
    left = [name for name, owner in owners.items() if owner not in (None, export)]
    state = "applied" if len(ours) == len(owners) else "partly applied" if ours else "absent"
    return Change(ours, left, [], new=False, seen=_seen(settings, folder, state))


def _seen(settings: KubernetesSettings, folder: Path, state: str = "") -> Seen:
    """Where it was exported for, whatever the settings say by now."""
    return Seen(settings.context, str(manifests_of(folder)[0]["metadata"]["namespace"]), state)


def _owner(settings: KubernetesSettings, api: Any, manifest: dict[str, Any], done: list[str]) -> str | None:
    """The export that an object is of, FOREIGN if none of ours has made it; None where there is none of its name."""
    from kubernetes.client.exceptions import NotFoundException

    with _told(settings, manifest, done):
        try:
            found = _asked(api, "GET", manifest, [], None)
        except NotFoundException:
            return None
    said: dict[str, Any] = found.get("metadata") or {}
    if (said.get("labels") or {}).get(MANAGED_BY) != MANAGER:
        return FOREIGN
    return str((said.get("annotations") or {}).get(OF_EXPORT, ""))


def _require_ours(owners: Mapping[str, str | None]) -> None:
    if foreign := [name for name, owner in owners.items() if owner == FOREIGN]:
        raise ToolFailure(
            f"{', '.join(foreign)} of the cluster was not made by this server, so it stays as it is",
            "Export under another name.",
        )


def _marked(manifest: dict[str, Any], export: str) -> dict[str, Any]:
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), OF_EXPORT: export}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def manifests_of(folder: Path) -> list[dict[str, Any]]:
    """Those of a folder, in the order in which they are applied."""
    found = [yaml.safe_load(file.read_bytes()) for file in sorted(folder.glob("*.yaml"))]
    return sorted(found, key=lambda each: ORDER.index(each["kind"]))


def title(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


@contextmanager
def _client(settings: KubernetesSettings) -> Generator[Any]:
    if not settings.context:
        raise ToolFailure(
            "no cluster is configured", "Set kubernetes.context, or run the commands that export_deployment told."
        )
    require("kubernetes")
    from kubernetes.config import ConfigException, new_client_from_config

    try:
        api = new_client_from_config(settings.config or None, settings.context, persist_config=False)
    except ConfigException as error:
        hint = "It is looked for in kubernetes.config, else where kubectl does."
        raise ToolFailure(f"there is no context {settings.context!r}: {error}", hint) from error
    with api:
        yield api


@contextmanager
def _told(settings: KubernetesSettings, manifest: dict[str, Any], done: list[str]) -> Generator[None]:
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    before = f"; done before: {', '.join(done)}" if done else ""
    try:
        yield
    except ApiException as error:
        said = " ".join(_words(error.body))[:400] or error.reason
        hint = "Call again once that is mended; withdraw=True takes away what is there."
        raise ToolFailure(f"the cluster refuses {title(manifest)} ({error.status}): {said}{before}", hint) from error
    except HTTPError as error:
        hint = f"It is the one of kubernetes.context ({settings.context}). Call again: what is there stays."
        raise Unavailable(f"the cluster does not answer{before}: {str(error)[:200]}", hint) from error


def _words(body: object) -> Iterator[str]:
    """What a Status of the API says; it is JSON, which YAML holds."""
    try:
        status = yaml.safe_load(body) if isinstance(body, str | bytes) else None
    except yaml.YAMLError:
        return
    if isinstance(status, dict):
        yield str(status.get("message", ""))


def _asked(api: Any, method: str, manifest: dict[str, Any], query: list[tuple[str, str]], body: object) -> Any:
    place = PLACES[manifest["kind"]].format_map(manifest["metadata"])
    headers = {"Accept": "application/json", "Content-Type": "application/apply-patch+yaml"}
    asked = api.param_serialize(
        method, place, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"]
    )
    answer = api.call_api(*asked, _request_timeout=PATIENCE_S)
    answer.read()
    return api.response_deserialize(answer, {"2XX": "object"}).data
