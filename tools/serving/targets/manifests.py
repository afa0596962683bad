"""Kubernetes manifests of what is served under one name: versions that share its calls by weights (Gateway API)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from ....config.backends import KubernetesSettings
from ..guard import HOSTS, TOKEN_DIGEST
from ..planning import REPLICA_MB
from .image import PORT, USER
from .names import label, versioned

Manifest = dict[str, JsonValue]
# The master of BentoML beside one worker.
LEAST_MB = 200 + REPLICA_MB
# Pods beyond those asked for, at most, once their processors are this busy in percent.
GROWTH, BUSY = 4, 70
MANAGED_BY, MANAGER = "app.kubernetes.io/managed-by", "mlops-mcp"
DIGEST_KEY = "sha256"
ENDING_S = 30


@dataclass(frozen=True)
class Version:
    """A bento as it is served below a name: `memory` in bytes, 0 for what it is known to take."""

    name: str
    namespace: str
    bento: str
    model: str
    version: str
    image: str
    percent: int
    replicas: int
    cpu: float
    memory: int

    @property
    def label(self) -> str:
        """What it alone is called."""
        return versioned(self.name, self.version)


def secret_of(name: str) -> str:
    """The Secret that holds the SHA-256 of the token, under the key `sha256`."""
    return f"{label(name)}-token"


def manifests(settings: KubernetesSettings, versions: Sequence[Version]) -> dict[str, Manifest]:
    """What is applied, by the names of its files."""
    found: dict[str, Manifest] = {}
    for each in versions:
        for part in (_deployment(settings, each), _service(each), _scaler(each), _budget(each)):
            found[f"{each.label}.{str(part['kind']).lower()}.yaml"] = part
    if settings.gateway:
        found[f"{label(versions[0].name)}.httproute.yaml"] = _route(settings, versions)
    return found


def hosts(settings: KubernetesSettings, version: Version) -> list[str]:
    """By which names callers know a service; all, where the gateway tells paths apart and not hosts."""
    if settings.gateway and not settings.domain:
        return ["*"]
    outside = [f"{label(version.name)}.{settings.domain}"] if settings.gateway else []
    service, namespace = version.label, version.namespace
    inside = ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")
    return [*outside, "localhost", *(f"{service}{suffix}" for suffix in inside)]


def _labels(version: Version) -> dict[str, JsonValue]:
    return {MANAGED_BY: MANAGER, "app.kubernetes.io/version": version.version, **_own(version)}


def _own(version: Version) -> dict[str, JsonValue]:
    """What tells its pods from all others, and never changes."""
    return {"app.kubernetes.io/name": label(version.name), "app.kubernetes.io/instance": version.label}


def _metadata(version: Version) -> dict[str, JsonValue]:
    return {
        "name": version.label,
        "namespace": version.namespace,
        "labels": _labels(version),
        "annotations": {"mlops-mcp/bento": version.bento, "mlops-mcp/model": version.model},
    }


def _deployment(settings: KubernetesSettings, version: Version) -> Manifest:
    """Without a number of pods, which is the scaler's to set."""
    own = _own(version)
    template: Manifest = {
        "metadata": {"labels": _labels(version)},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": ENDING_S,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(settings, version)],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        },
    }
    strategy: Manifest = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    spec: Manifest = {"selector": {"matchLabels": own}, "strategy": strategy, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _metadata(version), "spec": spec}


def _container(settings: KubernetesSettings, version: Version) -> Manifest:
    memory = f"{max(LEAST_MB, version.memory >> 20)}Mi"
    return {
        "name": "service",
        "image": version.image,
        "ports": [{"name": "http", "containerPort": PORT}],
        "env": _environment(settings, version),
        "resources": {
            "requests": {"cpu": _cpu(version), "memory": memory},
            "limits": {"memory": f"{version.memory >> 20}Mi" if version.memory else f"{2 * LEAST_MB}Mi"},
        },
        # A model that is large takes its time to be loaded; until then nobody asks whether it lives.
        "startupProbe": _probe("/livez", 60),
        "livenessProbe": _probe("/livez", 3),
        "readinessProbe": _probe("/readyz", 2),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
    }


def _cpu(version: Version) -> str:
    return f"{max(1, round(version.cpu * 1000))}m"


def _environment(settings: KubernetesSettings, version: Version) -> list[JsonValue]:
    token: Manifest = {"secretKeyRef": {"name": secret_of(version.name), "key": DIGEST_KEY}}
    return [
        {"name": TOKEN_DIGEST, "valueFrom": token},
        {"name": HOSTS, "value": ",".join(hosts(settings, version))},
        {"name": "OMP_NUM_THREADS", "value": str(max(1, int(version.cpu)))},
    ]


def _probe(path: str, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": 5,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _service(version: Version) -> Manifest:
    ports: list[JsonValue] = [{"name": "http", "port": PORT, "targetPort": "http"}]
    spec: Manifest = {"type": "ClusterIP", "selector": _own(version), "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(version), "spec": spec}


def _scaler(version: Version) -> Manifest:
    target: Manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "name": version.label}
    busy: Manifest = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": BUSY}}
    spec: Manifest = {
        "scaleTargetRef": target,
        "minReplicas": version.replicas,
        "maxReplicas": version.replicas * GROWTH,
        "metrics": [{"type": "Resource", "resource": busy}],
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(version),
        "spec": spec,
    }


def _budget(version: Version) -> Manifest:
    """One pod at a time may be moved away: with a least number of one, a node could never be emptied."""
    spec: Manifest = {"maxUnavailable": 1, "selector": {"matchLabels": _own(version)}}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(version),
        "spec": spec,
    }


def _route(settings: KubernetesSettings, versions: Sequence[Version]) -> Manifest:
    """By a host of its own if there is a domain, else by a path that is taken off."""
    backends: list[JsonValue] = [{"name": each.label, "port": PORT, "weight": each.percent} for each in versions]
    name = label(versions[0].name)
    spec: Manifest = {"parentRefs": [_gateway(settings)]}
    if settings.domain:
        spec["hostnames"] = [f"{name}.{settings.domain}"]
        spec["rules"] = [{"backendRefs": backends}]
    else:
        rewrite: Manifest = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
        matches: list[JsonValue] = [{"path": {"type": "PathPrefix", "value": f"/{name}"}}]
        filters: list[JsonValue] = [{"type": "URLRewrite", "urlRewrite": rewrite}]
        spec["rules"] = [{"matches": matches, "filters": filters, "backendRefs": backends}]
    labels: Manifest = {MANAGED_BY: MANAGER}
    metadata: Manifest = {"name": name, "namespace": settings.namespace, "labels": labels}
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata, "spec": spec}


def _gateway(settings: KubernetesSettings) -> Manifest:
    """Written as `name`, or `namespace/name`."""
    namespace, _, name = settings.gateway.rpartition("/")
    return {"name": name, "namespace": namespace} if namespace else {"name": name}
