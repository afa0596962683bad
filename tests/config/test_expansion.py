"""A secret of the environment reaches the settings of its own service, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.load import Loaded, load

SECRET = "a-value-that-is-secret"


def given(folder: Path, yaml: str, **variables: str) -> Loaded:
    file = folder / "named.yaml"
    file.write_text(yaml, encoding="utf-8")
    return load({"MLOPS_CONFIG": str(file), "MLOPS_HOME": str(folder / "home"), **variables})


@pytest.mark.parametrize(
    ("yaml", "variable"),
    [
        ("opik: {workspace: '${AWS_SECRET_ACCESS_KEY}'}", "AWS_SECRET_ACCESS_KEY"),
        ("opik: {url: 'http://x/${AWS_SESSION_TOKEN}'}", "AWS_SESSION_TOKEN"),
        ("opik: {url: 'http://x/${AWS_PROFILE}'}", "AWS_PROFILE"),
        ("opik: {api_key: '${GITHUB_TOKEN}'}", "GITHUB_TOKEN"),
        ("opik: {project_name: '${DB_PASSWORD}'}", "DB_PASSWORD"),
        ("mlflow: {tracking_uri: 'http://x/${OPIK_API_KEY}'}", "OPIK_API_KEY"),
        ("mlflow: {default_tags: {a: '${MLFLOW_TRACKING_TOKEN}'}}", "MLFLOW_TRACKING_TOKEN"),
        ("mlflow: {artifact_root: 's3://${SHOP_PASSWORD}'}", "SHOP_PASSWORD"),
        ("data: {sources: {shop: 'postgresql://u:${AWS_SECRET_ACCESS_KEY}@h/d'}}", "AWS_SECRET_ACCESS_KEY"),
        ("data: {sources: {shop: 'postgresql://u:${OTHER_PASSWORD}@h/d'}}", "OTHER_PASSWORD"),
        ("runtime: {job_store: 'postgresql://u:${OPENAI_API_KEY}@h/d'}", "OPENAI_API_KEY"),
        ("optuna: {study_storage: 'postgresql://u:${HF_TOKEN}@h/d'}", "HF_TOKEN"),
        ("runtime: {engine: dask, scheduler: 'tcp://${SSH_PASSPHRASE}:1'}", "SSH_PASSPHRASE"),
        ("environment: '${STRIPE_KEY}'", "STRIPE_KEY"),
        ("bentoml: {environment: '${MY_API_KEY}'}", "MY_API_KEY"),
        ("server: {allowed_hosts: ['${MYTOKEN}']}", "MYTOKEN"),
        ("opik: {workspace: '${AWS_SECRET_ACCESS_KEY:-none}'}", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_secret_of_another_service_is_refused_by_its_name(tmp_path: Path, yaml: str, variable: str) -> None:
    with pytest.raises(SettingsError, match=rf"\$\{{{variable}\}}, which is not meant for it") as caught:
        given(tmp_path, yaml, **{variable: SECRET})
    assert SECRET not in str(caught.value)


def test_an_address_with_a_password_is_a_secret_whatever_its_variable_is_called(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"WAREHOUSE"):
        given(tmp_path, "opik: {workspace: '${WAREHOUSE}'}", WAREHOUSE=f"postgresql://u:{SECRET}@h/d")


@pytest.mark.parametrize(
    ("yaml", "variable"),
    [
        ("opik: {api_key: '${OPIK_API_KEY}'}", "OPIK_API_KEY"),
        ("opik: {api_key: '${COMET_API_KEY}'}", "COMET_API_KEY"),
        ("mlflow: {tracking_uri: 'http://u:${MLFLOW_TRACKING_PASSWORD}@h'}", "MLFLOW_TRACKING_PASSWORD"),
        ("mlflow: {tracking_uri: 'postgresql://u:${PGPASSWORD}@h/d'}", "PGPASSWORD"),
        ("mlflow: {artifact_root: 's3://${AWS_BUCKET}/x'}", "AWS_BUCKET"),
        ("data: {sources: {e2i_shop: 'postgresql://u:${E2I_SHOP_PASSWORD}@h/d'}}", "E2I_SHOP_PASSWORD"),
        ("data: {sources: {shop: 'postgresql://u:${POSTGRES_PASSWORD}@h/d'}}", "POSTGRES_PASSWORD"),
        ("runtime: {job_store: 'postgresql://u:${DB_PASSWORD}@h/d'}", "DB_PASSWORD"),
        ("opik: {workspace: '${TEAM}'}", "TEAM"),
        ("opik: {workspace: '${MONKEY_AUTHOR}'}", "MONKEY_AUTHOR"),
    ],
)
def test_what_is_meant_for_a_setting_expands_there(tmp_path: Path, yaml: str, variable: str) -> None:
    found = given(tmp_path, yaml, **{variable: SECRET})
    assert any(SECRET in str(value.value) for value in found.values.values())


def test_a_secret_that_is_not_set_is_no_error(tmp_path: Path) -> None:
    assert given(tmp_path, "opik: {workspace: '${AWS_PROFILE:-team}'}").settings.opik.workspace == "team"
