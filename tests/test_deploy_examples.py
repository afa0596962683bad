"""The files of examples/deploy, held against schemas, a linter and the settings: nothing is started."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import compose_spec
import jsonschema
import kubernetes_validate
import pytest
import yaml

from mlops_mcp.config.load import IN_A_FILE, VARIABLES, Loaded, load

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "examples/deploy"
LINTER = Path(sys.executable).with_name("hadolint")
ROUTE = json.loads((ROOT / "tests/tools/serving/targets/httproute.json").read_text(encoding="utf-8"))
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = ("mlops-1", "mlops-2")
# Not of the settings: where libraries put what they keep.
OTHERS = {"HOME", "AWS_SHARED_CREDENTIALS_FILE", "AWS_DEFAULT_REGION"}
MANIFESTS = [
    manifest
    for file in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for manifest in yaml.safe_load_all(file.read_text(encoding="utf-8"))
]


def composed(content: Mapping[str, Any]) -> list[str]:
    return list(compose_spec.PyCompose.from_yaml(yaml.safe_dump(dict(content))).service_names())


def settings_of(environment: Mapping[str, str], folder: Path) -> Loaded:
    """What a server would read, each mounted secret an address of a database."""
    secret = folder / "secret"
    secret.write_text("postgresql://u:p@host/db\n", encoding="utf-8")
    named = {name: str(secret) if name.endswith(IN_A_FILE) else text for name, text in environment.items()}
    return load(named)


def containers() -> Iterator[dict[str, Any]]:
    for each in MANIFESTS:
        if each["kind"] == "Deployment":
            yield from each["spec"]["template"]["spec"]["containers"]


def test_the_compose_file_fits_the_specification() -> None:
    assert set(composed(COMPOSE)) == {"postgres", "s3", "bucket", "mlflow", "redis", *SERVERS, "proxy"}
    wrong = deepcopy(COMPOSE)
    wrong["services"]["s3"]["volums"] = []
    with pytest.raises(ValueError, match="volums"):
        composed(wrong)


def test_what_a_service_of_the_compose_file_refers_to_is_there() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("secrets", ())) <= COMPOSE["secrets"].keys(), name
        assert {each["source"] for each in service.get("configs", ())} <= COMPOSE["configs"].keys(), name
        assert {each.partition(":")[0] for each in service.get("volumes", ())} <= COMPOSE["volumes"].keys(), name
        assert set(service.get("depends_on", ())) <= SERVICES.keys(), name
        for other, wanted in service.get("depends_on", {}).items():
            assert wanted["condition"] != "service_healthy" or "healthcheck" in SERVICES[other], name
        assert re.fullmatch(r"[^:@]+(:[^:]+)?", service["image"]), name


def test_every_secret_is_mounted_from_a_file_that_the_script_makes_and_git_ignores(tmp_path: Path) -> None:
    (tmp_path / "secrets.sh").write_bytes((DEPLOY / "secrets.sh").read_bytes())
    for _ in range(2):
        subprocess.run(["sh", str(tmp_path / "secrets.sh")], check=True)
    made = {each.name: each.read_text(encoding="utf-8") for each in (tmp_path / "secrets").iterdir()}
    assert {each["file"] for each in COMPOSE["secrets"].values()} == {f"secrets/{name}" for name in made}
    assert made["aws"].endswith(f"aws_secret_access_key = {made['s3_password']}\n")
    assert made["storage_database"] == f"postgresql://mlops:{made['postgres_password']}@postgres/mlops"
    assert "examples/deploy/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    given = {name for service in SERVICES.values() for name in service.get("environment", {})}
    secret = {
        name for name in given if re.search("PASSWORD|SECRET|STORE|STUDY_STORAGE|DATABASE|TOKEN|CREDENTIALS", name)
    }
    assert secret
    assert all(name.endswith(IN_A_FILE) for name in secret)


@pytest.mark.parametrize("name", SERVERS)
def test_every_variable_of_a_server_is_one_that_the_settings_know(name: str, tmp_path: Path) -> None:
    environment: dict[str, str] = SERVICES[name]["environment"]
    require_known(environment)
    settings = settings_of(environment, tmp_path).settings
    assert settings.tracking_uri == "http://mlflow:5000"
    assert settings.study_storage == "postgresql+psycopg://u:p@host/db"
    assert settings.job_store == "postgresql://u:p@host/db"
    assert settings.storage.files.startswith("s3://mlops/")
    assert f"server {'one' if name == SERVERS[0] else 'two'} {name}:{settings.server.port}" in proxy()


def test_servers_have_no_folder_process_or_address_in_common() -> None:
    one, two = (SERVICES[name] for name in SERVERS)
    assert not set(one["volumes"]) & set(two["volumes"])
    assert not {"pid", "network_mode", "ipc"} & {*one, *two}
    (server,) = (each for each in MANIFESTS if each["kind"] == "Deployment" and each["metadata"]["name"] == "mlops-mcp")
    assert server["spec"]["replicas"] > 1
    assert all("persistentVolumeClaim" not in each for each in server["spec"]["template"]["spec"]["volumes"])
    grace_s = server["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    drains = next(each for each in containers() if each["name"] == "server")["env"]
    assert grace_s > 2 * float(next(each["value"] for each in drains if each["name"] == "MLOPS_SERVER__DRAIN_S"))


def test_the_proxy_takes_its_configuration(needs: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(proxy(), encoding="utf-8")
    checked = subprocess.run(
        [needs("haproxy", "install haproxy"), "-c", "-f", str(file)], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


def require_known(environment: Mapping[str, str]) -> None:
    """Names of `MLOPS_` are looked at when settings are loaded; of others it is nobody's error to be unknown."""
    plain = {name for name in environment if not name.startswith("MLOPS_")}
    assert plain <= {*VARIABLES.values(), *OTHERS}


def proxy() -> str:
    return str(COMPOSE["configs"]["proxy"]["content"])


def test_every_variable_of_the_pod_is_one_that_the_settings_know(tmp_path: Path) -> None:
    (server,) = (each for each in containers() if each["name"] == "server")
    environment = {each["name"]: each["value"] for each in server["env"]}
    require_known(environment)
    settings = settings_of(environment, tmp_path).settings
    assert settings.kubernetes.gateway == "infra/shared"
    assert settings.server.behind_proxy == ("10.0.0.0/8",)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_a_manifest_fits_the_schema_of_its_kind(manifest: dict[str, Any]) -> None:
    if manifest["kind"] == "HTTPRoute":
        jsonschema.validate(manifest, ROUTE)
    else:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_the_pods_run_with_no_rights_and_find_what_they_mount() -> None:
    for each in (found for found in MANIFESTS if found["kind"] == "Deployment"):
        pod = each["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_dockerfile_passes_a_linter_and_copies_what_the_package_is_made_of() -> None:
    linted = subprocess.run([LINTER, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")
    kept = re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert all((ROOT / each).exists() for each in kept)
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    folders = re.findall(r'^"mlops_mcp(?:\.\w+)?" = "(\w+)"$', pyproject, re.MULTILINE)
    assert {*folders, "pyproject.toml", "requirements.lock", "README.md", "setup.py", "LICENSE"} <= set(kept)
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (uv,) = re.findall(r"uv==(\S+)", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    assert f"\nuv=={uv} " in locked
