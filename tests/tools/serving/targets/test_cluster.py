"""What a cluster is asked, over a stand-in of its HTTP API: that of Kubernetes is not run here."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from mlops_mcp.config.backends import KubernetesSettings
from mlops_mcp.tools.errors import ToolFailure, Unavailable
from mlops_mcp.tools.serving.targets import cluster
from mlops_mcp.tools.serving.targets.manifests import manifests

from .test_manifests import version


@dataclass
class Cluster:
    """Objects by path, as server-side apply leaves them; `refused` are kinds that it changes none of."""

    objects: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, list[str]]]] = field(default_factory=list)
    bearers: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    port: int = 0

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        if method != "GET" and any(f"/{kind}/" in path for kind in self.refused):
            return 403, {"kind": "Status", "message": f"{path} is forbidden"}
        if method == "PATCH":
            self.objects[path] = json.loads(body)
            return 200, self.objects[path]
        if path not in self.objects:
            return 404, {"kind": "Status", "message": "not found"}
        if method == "GET":
            return 200, self.objects[path]
        return 200, self.objects.pop(path)


class Handler(BaseHTTPRequestHandler):
    cluster: Cluster

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        self.cluster.asked.append((self.command, parts.path, parse_qs(parts.query)))
        self.cluster.bearers.add(self.headers.get("Authorization", ""))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        assert self.command != "PATCH" or self.headers["Content-Type"] == "application/apply-patch+yaml"
        status, content = self.cluster.answer(self.command, parts.path, body)
        said = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_PATCH = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what was asked is kept."""


@pytest.fixture
def there() -> Generator[Cluster]:
    found = Cluster()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"cluster": found}))
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def configured(folder: Path, port: int, context: str = "prod") -> KubernetesSettings:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "a-token-of-this-test"}}],
        "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(content), encoding="utf-8")
    return KubernetesSettings(
        context=context, config=str(folder / "kubeconfig"), namespace="ml", registry="r.example.org", gateway="shared",
        domain="",
    )  # fmt: skip


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    return written(tmp_path, "export", v1=90, v2=10)


def written(tmp_path: Path, called: str, **percents: int) -> Path:
    folder = tmp_path / called
    folder.mkdir()
    versions = [version(number=number, percent=percent) for number, percent in percents.items()]
    for name, content in manifests(configured(tmp_path, 1), versions).items():
        (folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def test_every_manifest_is_applied_where_its_kind_lies_and_the_route_comes_last(
    there: Cluster, exported: Path, tmp_path: Path
) -> None:
    done = cluster.apply(configured(tmp_path, there.port), exported, "canary").done
    assert len(done) == len(there.objects) == 9
    assert done[-1] == "HTTPRoute/loans"
    assert "/apis/apps/v1/namespaces/ml/deployments/loans-v1" in there.objects
    assert "/apis/gateway.networking.k8s.io/v1/namespaces/ml/httproutes/loans" in there.objects
    manifest = {each["metadata"]["name"]: each for each in cluster.manifests_of(exported) if each["kind"] == "Service"}
    applied = there.objects["/api/v1/namespaces/ml/services/loans-v2"]
    assert applied["metadata"]["annotations"].pop("mlops-mcp/export") == "canary"
    assert applied == manifest["loans-v2"]
    assert there.bearers == {"Bearer a-token-of-this-test"}
    query = {"fieldManager": ["mlops-mcp"], "fieldValidation": ["Strict"], "force": ["true"]}
    assert [asked for method, _, asked in there.asked if method != "GET"] == [query] * 9


def test_what_is_withdrawn_is_gone_from_the_route_on_and_a_second_time_there_is_nothing(
    there: Cluster, exported: Path, tmp_path: Path
) -> None:
    settings = configured(tmp_path, there.port)
    done = cluster.apply(settings, exported, "canary").done
    assert cluster.withdraw(settings, exported, "canary").done == done[::-1]
    assert there.objects == {}
    assert cluster.withdraw(settings, exported, "canary").done == []


def test_what_a_later_export_of_the_name_has_taken_over_is_not_withdrawn_with_the_first(
    there: Cluster, exported: Path, tmp_path: Path
) -> None:
    first = written(tmp_path, "first", v0=50, v1=50)
    settings = configured(tmp_path, there.port)
    assert cluster.apply(settings, first, "first").new
    taken = cluster.apply(settings, exported, "canary")
    assert (taken.before, taken.new) == (["first"], False)
    gone = cluster.withdraw(settings, first, "first")
    assert {each.partition("/")[2] for each in gone.done} == {"loans-v0"}
    assert {each.partition("/")[2] for each in gone.left} == {"loans", "loans-v1"}
    assert "/apis/gateway.networking.k8s.io/v1/namespaces/ml/httproutes/loans" in there.objects


def test_an_object_of_somebody_else_is_neither_changed_nor_withdrawn(
    there: Cluster, exported: Path, tmp_path: Path
) -> None:
    settings = configured(tmp_path, there.port)
    path = "/apis/gateway.networking.k8s.io/v1/namespaces/ml/httproutes/loans"
    there.objects[path] = {"metadata": {"name": "loans", "labels": {"team": "credit"}}}
    before = dict(there.objects)
    with pytest.raises(ToolFailure, match="HTTPRoute/loans of the cluster was not made by this server"):
        cluster.apply(settings, exported, "canary")
    assert cluster.withdraw(settings, exported, "canary").left == ["HTTPRoute/loans"]
    assert there.objects == before


def test_a_refusal_is_told_in_the_words_of_the_cluster_with_what_was_done_before(
    there: Cluster, exported: Path, tmp_path: Path
) -> None:
    there.refused = {"httproutes"}
    with pytest.raises(
        ToolFailure, match=r"refuses HTTPRoute/loans \(403\): .* is forbidden; done before: Deployment.*withdraw=True"
    ):
        cluster.apply(configured(tmp_path, there.port), exported, "canary")


def test_without_a_cluster_or_its_context_the_way_out_is_told(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolFailure, match=r"no cluster is configured.* kubernetes\.context"):
        cluster.apply(configured(tmp_path, 1, ""), exported, "canary")
    with pytest.raises(ToolFailure, match="there is no context 'other'"):
        cluster.apply(configured(tmp_path, 1, "other"), exported, "canary")


def test_a_cluster_that_does_not_answer_is_named(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"does not answer.*kubernetes\.context \(prod\)"):
        cluster.apply(configured(tmp_path, 9), exported, "canary")
