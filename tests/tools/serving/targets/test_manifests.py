"""What a cluster is given, held against the schemas of its API: no cluster is needed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from mlops_mcp.config.backends import KubernetesSettings
from mlops_mcp.tools.serving.targets.manifests import Manifest, Version, hosts, manifests, secret_of
from mlops_mcp.tools.serving.targets.names import image, label

# The oldest that has all of it as it is written, and the newest that the validator knows.
VERSIONS = ("1.25", kubernetes_validate.latest_version())
ROUTE = json.loads(Path(__file__).with_name("httproute.json").read_text(encoding="utf-8"))
DNS = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,61}[a-z0-9]", fullmatch=True)
BENTO_VERSIONS = st.from_regex(r"[a-z0-9]([a-z0-9_.-]{0,61}[a-z0-9])?", fullmatch=True)


def settings(gateway: str = "infra/shared", domain: str = "") -> KubernetesSettings:
    return KubernetesSettings(
        context="", config="", namespace="ml", registry="registry.example.org/ml", gateway=gateway, domain=domain
    )


def version(name: str = "loans", number: str = "v1", percent: int = 100, memory: int = 0) -> Version:
    return Version(
        name=name, namespace="ml", bento=f"bento:{name}:{number}", model="models:/m-1", version=number,
        image=image("registry.example.org/ml", name, number), percent=percent, replicas=2, cpu=1.5, memory=memory,
    )  # fmt: skip


def require_valid(manifest: Manifest) -> None:
    if manifest["kind"] == "HTTPRoute":
        jsonschema.validate(manifest, ROUTE)
        return
    for each in VERSIONS:
        kubernetes_validate.validate(manifest, each, strict=True)


def of_kind(found: dict[str, Manifest], kind: str) -> Iterator[Any]:
    return (each for each in found.values() if each["kind"] == kind)


@pytest.mark.parametrize(("gateway", "domain"), [("infra/shared", ""), ("shared", "models.example.org")])
def test_the_manifests_fit_the_schemas_of_the_oldest_and_the_newest_cluster(gateway: str, domain: str) -> None:
    versions = [version("credit_risk", "2026.11_a", 90), version("credit_risk", "7", 10)]
    found = manifests(settings(gateway, domain), versions)
    kinds = ["Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"]
    assert [each["kind"] for each in found.values()] == [*kinds, *kinds, "HTTPRoute"]
    for each in found.values():
        require_valid(each)


@settings_of_hypothesis(deadline=None, max_examples=60)
@given(NAMES, BENTO_VERSIONS)
def test_whatever_a_bento_is_called_its_names_and_labels_are_valid(name: str, number: str) -> None:
    for each in manifests(settings(), [version(name, number)]).values():
        metadata: Any = each["metadata"]
        assert DNS.fullmatch(metadata["name"])
        labels = metadata["labels"].values()
        assert all(re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", text) for text in labels)


def test_without_a_gateway_there_is_no_route() -> None:
    assert [*of_kind(manifests(settings(""), [version()]), "HTTPRoute")] == []


@settings_of_hypothesis(deadline=None, max_examples=60)
@given(NAMES, BENTO_VERSIONS)
def test_an_image_has_a_reference_that_a_registry_takes(name: str, number: str) -> None:
    grammar = r"registry\.example\.org/ml/[a-z0-9]+(-[a-z0-9]+)*(-+[a-z0-9]+)*:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
    assert re.fullmatch(grammar, image("registry.example.org/ml", name, number))


def test_names_that_would_fall_together_are_kept_apart() -> None:
    same = ["a-b", "a_b", "a__b", "a.b", "x" * 60, "x" * 61]
    found = sorted(map(label, same))
    assert all(one != other for one, other in pairwise(found))
    assert label("a-b") == "a-b"


def test_the_schemas_refuse_a_field_that_there_is_not_and_a_weight_that_is_none() -> None:
    found = manifests(settings(), [version()])
    deployment, route = next(of_kind(found, "Deployment")), next(of_kind(found, "HTTPRoute"))
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        require_valid(deployment)
    route["spec"]["rules"][0]["backendRefs"][0]["weight"] = -1
    with pytest.raises(jsonschema.ValidationError):
        require_valid(route)


def test_two_versions_share_the_calls_by_their_weights_and_no_pod_belongs_to_both() -> None:
    found = manifests(settings(), [version(number="v1", percent=90), version(number="v2", percent=10)])
    (rule,) = next(of_kind(found, "HTTPRoute"))["spec"]["rules"]
    services = {each["metadata"]["name"]: each for each in of_kind(found, "Service")}
    assert {each["name"]: each["weight"] for each in rule["backendRefs"]} == {"loans-v1": 90, "loans-v2": 10}
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"]
        for each in of_kind(found, "Deployment")
    }
    for name, service in services.items():
        chosen = [pod for pod, labels in pods.items() if service["spec"]["selector"].items() <= labels.items()]
        assert chosen == [name]


def test_each_part_speaks_of_the_pods_of_its_own_version() -> None:
    found = manifests(settings(), [version(number="v1", percent=90), version(number="v2", percent=10)])
    for scaler in of_kind(found, "HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"]["name"] == scaler["metadata"]["name"]
        assert scaler["spec"]["minReplicas"] == 2
    for deployment in of_kind(found, "Deployment"):
        assert "replicas" not in deployment["spec"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_a_pod_runs_with_no_rights_and_a_root_that_nobody_writes() -> None:
    (deployment,) = of_kind(manifests(settings(), [version(memory=3 << 30)]), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert container["resources"]["limits"] == {"memory": "3072Mi"}
    assert container["resources"]["requests"] == {"cpu": "1500m", "memory": "3072Mi"}
    assert {"livenessProbe", "readinessProbe", "startupProbe"} <= container.keys()


def test_the_token_is_told_by_a_secret_alone() -> None:
    (deployment,) = of_kind(manifests(settings(), [version()]), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    told = {each["name"]: each for each in container["env"]}
    reference = told["MLOPS_ENDPOINT_TOKEN_SHA256"]
    assert reference["valueFrom"] == {"secretKeyRef": {"name": secret_of("loans"), "key": "sha256"}}
    assert "value" not in reference


def test_a_service_is_known_by_the_names_that_lead_to_it() -> None:
    inside = ["localhost", "loans-v1", "loans-v1.ml", "loans-v1.ml.svc", "loans-v1.ml.svc.cluster.local"]
    assert hosts(settings("", ""), version()) == inside
    assert hosts(settings("shared", "models.example.org"), version()) == ["loans.models.example.org", *inside]
    assert hosts(settings("shared", ""), version()) == ["*"]
