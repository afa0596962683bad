"""The sections of the libraries and services that the tools stand on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from .section import Section

OPIK_CLOUD = "https://www.comet.com/opik/api"


class MlflowSettings(Section):
    tracking_uri: str
    artifact_root: str
    experiment_prefix: str
    default_tags: dict[str, str]
    allow_pickle: bool
    patience_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]


class OpikSettings(Section):
    enabled: bool
    url: str
    api_key: SecretStr
    workspace: str
    project_name: str
    environment: str
    sampling_rate: Annotated[float, Field(ge=0, le=1)]

    @property
    def configured(self) -> bool:
        """Whether traces are shipped: somebody has to say where, or with which key."""
        return self.enabled and bool(self.url or self.api_key.get_secret_value())

    @property
    def target(self) -> str:
        """Where Opik's API lies, without a slash at the end."""
        return (self.url or OPIK_CLOUD).rstrip("/")


class GreatExpectationsSettings(Section):
    context_root: str
    datasource_name: str
    default_suites: dict[str, str]
    write_results: bool


class FeastSettings(Section):
    repo_path: str
    write_repository: bool
    project: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$")]


class OptunaSettings(Section):
    study_storage: str
    processes: Annotated[int, Field(ge=0, le=256)]
    mlflow_tracking_uri: str


class BentomlSettings(Section):
    home: str
    environment: str
    ready_timeout_s: Annotated[float, Field(gt=0)]
    memory_mb: Annotated[int, Field(ge=0)]
    proxy: Literal["auto", "builtin", "haproxy"]


DNS = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


class KubernetesSettings(Section):
    """Where exported deployments run. `gateway` is a Gateway, as name or namespace/name."""

    context: str
    config: str
    namespace: Annotated[str, Field(pattern=rf"^{DNS}$")]
    registry: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._:/-]*[a-z0-9]$|^$")]
    gateway: Annotated[str, Field(pattern=rf"^({DNS}/)?{DNS}$|^$")]
    domain: Annotated[str, Field(pattern=rf"^{DNS}(\.{DNS})*$|^$")]


class CloudSettings(Section):
    """The account of BentoCloud that exports are applied with."""

    endpoint: Annotated[str, Field(pattern=r"^https?://\S+$|^$")]
    api_key: SecretStr
