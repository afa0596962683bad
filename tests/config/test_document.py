"""The configuration of the document that this project started from is accepted exactly as it stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.load import Loaded, load
from mlops_mcp.config.settings import with_driver

YAML = """
# config/mlops.yaml
mlflow:
  tracking_uri: "postgresql://mlflow:mlflow@localhost:5432/mlflow"
  artifact_root: "s3://e2i-mlflow-artifacts"
  experiment_prefix: "e2i_"
  default_tags:
    platform: "e2i"
    environment: "${ENVIRONMENT}"
# config/mlops.yaml
opik:
  api_key: "${OPIK_API_KEY}"
  project_name: "e2i-causal-analytics"
  environment: "${ENVIRONMENT}"
  sampling_rate: 1.0  # Sample all traces in dev
# config/mlops.yaml
great_expectations:
  context_root: "/srv/e2i/great_expectations"
  datasource_name: "e2i_supabase"
  default_suites:
    classification: "e2i_classification_suite"
    regression: "e2i_regression_suite"
"""
VARIABLES = {
    "MLFLOW_TRACKING_URI": "postgresql://mlflow:password@localhost:5432/mlflow",
    "MLFLOW_ARTIFACT_ROOT": "s3://e2i-mlflow-artifacts",
    "OPIK_API_KEY": "your-opik-api-key",
    "FEAST_REPO_PATH": "/srv/e2i/feature_repo",
    "BENTOML_HOME": "/srv/.bentoml",
    "ENVIRONMENT": "development",
}
# What its code reads of the sections that its YAML does not write out.
READ_BY_ITS_CODE = """
feast: {repo_path: /srv/e2i/feature_repo}
optuna: {study_storage: "postgresql://o:o@localhost/optuna", mlflow_tracking_uri: "http://localhost:5000"}
bentoml: {environment: "${ENVIRONMENT}"}
"""


def loaded(folder: Path, yaml: str, **variables: str) -> Loaded:
    file = folder / "mlops.yaml"
    file.write_text(yaml, encoding="utf-8")
    return load({"MLOPS_CONFIG": str(file), "MLOPS_HOME": str(folder / "home"), **variables})


def test_every_value_of_its_yaml_is_taken(tmp_path: Path) -> None:
    settings = loaded(tmp_path, YAML, ENVIRONMENT="staging", OPIK_API_KEY="k").settings
    assert settings.mlflow.model_dump() == {
        "tracking_uri": "postgresql://mlflow:mlflow@localhost:5432/mlflow",
        "artifact_root": "s3://e2i-mlflow-artifacts",
        "experiment_prefix": "e2i_",
        "default_tags": {"platform": "e2i", "environment": "staging"},
        "allow_pickle": False,
        "patience_s": 60.0,
    }
    assert settings.opik.api_key.get_secret_value() == "k"
    assert settings.opik.model_dump(exclude={"api_key"}) == {
        "enabled": True,
        "url": "",
        "workspace": "",
        "project_name": "e2i-causal-analytics",
        "environment": "staging",
        "sampling_rate": 1.0,
    }
    assert settings.gx_home == Path("/srv/e2i/great_expectations")
    assert settings.great_expectations.datasource_name == "e2i_supabase"
    assert settings.great_expectations.default_suites["regression"] == "e2i_regression_suite"
    assert settings.environment == "staging"


def test_its_variables_are_taken_and_win_over_its_yaml(tmp_path: Path) -> None:
    settings = loaded(tmp_path, YAML, **VARIABLES).settings
    assert settings.mlflow.tracking_uri == VARIABLES["MLFLOW_TRACKING_URI"]
    assert settings.artifact_root == VARIABLES["MLFLOW_ARTIFACT_ROOT"]
    assert settings.opik.api_key.get_secret_value() == VARIABLES["OPIK_API_KEY"]
    assert settings.feast_home == Path(VARIABLES["FEAST_REPO_PATH"])
    assert settings.bentoml_home == Path(VARIABLES["BENTOML_HOME"])
    assert settings.environment == settings.opik.environment == "development"


def test_without_any_of_them_everything_is_embedded_below_home(tmp_path: Path) -> None:
    settings, home = loaded(tmp_path, "").settings, tmp_path / "home"
    assert settings.tracking_uri == f"sqlite:///{home / 'mlflow.db'}"
    assert settings.artifact_root == str(home / "artifacts")
    assert (settings.gx_home, settings.feast_home, settings.bentoml_home) == (
        home / "gx", home / "feast", home / "bentoml",
    )  # fmt: skip
    assert settings.study_storage == ""
    assert settings.environment == settings.endpoint_environment == "development"


def test_its_yaml_without_its_variables_leaves_their_defaults(tmp_path: Path) -> None:
    settings = loaded(tmp_path, YAML).settings
    assert settings.mlflow.default_tags == {"platform": "e2i"}
    assert settings.opik.api_key.get_secret_value() == ""
    assert settings.environment == "development"


def test_the_keys_that_only_its_code_reads_are_taken(tmp_path: Path) -> None:
    settings = loaded(tmp_path, READ_BY_ITS_CODE, ENVIRONMENT="production").settings
    assert settings.feast_home == Path("/srv/e2i/feature_repo")
    assert settings.study_storage == "postgresql+psycopg://o:o@localhost/optuna"
    assert settings.tracking_uri == "http://localhost:5000"
    assert settings.endpoint_environment == "production"


def test_trials_and_runs_cannot_go_to_two_servers(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"optuna\.mlflow_tracking_uri .* is not mlflow\.tracking_uri"):
        loaded(tmp_path, READ_BY_ITS_CODE, MLFLOW_TRACKING_URI="http://elsewhere")
    same = loaded(tmp_path, READ_BY_ITS_CODE, MLFLOW_TRACKING_URI="http://localhost:5000")
    assert same.settings.tracking_uri == "http://localhost:5000"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgres://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg2://h/d"),
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("http://h", "http://h"),
        ("", ""),
    ],
)
def test_a_postgresql_address_gets_the_driver_of_our_extra_unless_it_names_one(given: str, used: str) -> None:
    assert with_driver(given) == used
