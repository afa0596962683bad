"""The settings as one frozen, typed tree; `load.py` fills it."""

from __future__ import annotations

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from .backends import (
    BentomlSettings,
    CloudSettings,
    FeastSettings,
    GreatExpectationsSettings,
    KubernetesSettings,
    MlflowSettings,
    OpikSettings,
    OptunaSettings,
)
from .section import Section

Capture = Literal["full", "metadata", "off"]
DATABASES = ("postgresql://", "postgres://", "sqlite:///", "duckdb:///")
# A waiting task costs a scheduler nothing, a process here some 60 MB.
CLUSTER_SLOTS = 8


# Whoever a browser says a page is from: a scheme, a host and perhaps a port, which may be any.
Origin = Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*://[^/\s*]+(:\*)?$")]


# The one list of this machine's own names. Who reaches them reads and writes what passes between them anyway.
OWN_HOSTS = ("localhost", "127.0.0.1", "::1")


def safe_address(address: str) -> str:
    """An address whose answers are believed: nobody on the way may write them."""
    parts = urlsplit(address)
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and is_own(address))):
        raise ValueError(f"{address[:200]!r} is no address that starts with https://, or http://localhost")
    return address


def is_own(address: str) -> bool:
    """Whether it leads to this machine by one of its usual names."""
    return urlsplit(address).hostname in OWN_HOSTS


def _public(address: str) -> str:
    parts = urlsplit(address)
    if address and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise ValueError("the address by which callers know this server, e.g. https://mlops.example.org")
    return address.rstrip("/")


def _network(given: str) -> str:
    return str(ip_network(given))


class ServerSettings(Section):
    toolsets: tuple[str, ...]
    agent: str
    publish: Literal["installed", "all"]
    read_only: bool
    policy: str
    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    insecure: bool
    public_url: Annotated[str, AfterValidator(_public)]
    tls_cert: str
    tls_key: str
    behind_proxy: tuple[Annotated[str, AfterValidator(_network)], ...]
    allowed_hosts: tuple[str, ...]
    cors_origins: tuple[Origin, ...]
    caller_requests: Annotated[int, Field(ge=1)]
    caller_calls: Annotated[int, Field(ge=0)]
    caller_sessions: Annotated[int, Field(ge=1)]
    sessions: Annotated[int, Field(ge=1)]
    session_idle_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    request_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    drain_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    audit_mb: Annotated[int, Field(ge=1)]
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]

    @model_validator(mode="after")
    def _complete(self) -> ServerSettings:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("tls_cert and tls_key go together: give both, or leave both out")
        return self

    @property
    def scheme(self) -> str:
        return "https" if self.tls_cert else "http"


# What a public key checks (RFC 7518, RFC 8037): a shared secret is none of these, nor is no signature at all.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
Claim = Annotated[str, Field(min_length=1)]
Texts = tuple[Claim, ...]


class OidcSettings(Section):
    issuer: str
    audience: Texts
    jwks: str
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)]
    name_claim: Claim
    scope_claim: Claim
    read_scopes: Texts
    write_scopes: Texts
    admin_scopes: Texts

    @model_validator(mode="after")
    def _complete(self) -> OidcSettings:
        if self.issuer and not self.audience:
            raise ValueError("issuer needs an audience: what its tokens have to name, so that none of others is taken")
        for address in (self.issuer, self.jwks if "://" in self.jwks else ""):
            if address:
                safe_address(address)
        return self


def _database(url: SecretStr) -> SecretStr:
    """The address is not quoted: it may hold a password."""
    if not url.get_secret_value().startswith(DATABASES):
        raise ValueError(f"an address that starts with {', '.join(DATABASES)}")
    return url


Source = Annotated[SecretStr, AfterValidator(_database)]
SourceName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")]


class DataSettings(Section):
    roots: tuple[Path, ...]
    sources: dict[SourceName, Source]
    query_timeout_s: Annotated[float, Field(gt=0)]
    query_memory_mb: Annotated[int, Field(ge=64)]
    query_spill_mb: Annotated[int, Field(ge=0)]
    max_mb: Annotated[int, Field(ge=1)]
    job_mb: Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _when(given: object) -> object:
    """Plain yes and no are understood as well."""
    return {"true": "call", "false": "never"}.get(str(given).lower(), given)


# No tool waits longer, whoever asks.
MOST_WAIT_S = 50
Patience = Annotated[float, Field(ge=0, le=MOST_WAIT_S)]


class RuntimeSettings(Section):
    wait_s: Patience
    client_waits: dict[str, Patience]
    rejoin_s: Annotated[float, Field(ge=0)]
    call_timeout_s: Annotated[float, Field(gt=0)]
    call_memory_mb: Annotated[int, Field(ge=512)]
    call_workers: Annotated[int, Field(ge=1)]
    guest_workers: Annotated[int, Field(ge=0)]
    call_queue: Annotated[int, Field(ge=1)]
    call_recycle_mb: Annotated[int, Field(ge=64)]
    preload: Annotated[Literal["call", "start", "never"], BeforeValidator(_when)]
    job_slots: Annotated[int, Field(ge=0)]
    short_slots: Annotated[int, Field(ge=0)]
    job_memory_mb: Annotated[int, Field(ge=512)]
    job_nice: Annotated[int, Field(ge=0, le=19)]
    guest_slots: Annotated[int, Field(ge=0)]
    job_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    caller_jobs: Annotated[int, Field(ge=1)]
    caller_slots: Annotated[int, Field(ge=0)]
    caller_disk_mb: Annotated[int, Field(ge=0)]
    caller_job_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    job_attempts: Annotated[int, Field(ge=1, le=10)]
    job_store: SecretStr
    keep_days: Annotated[int, Field(ge=1)]
    keep_jobs: Annotated[int, Field(ge=1)]
    engine: Literal["local", "dask"]
    scheduler: str

    @model_validator(mode="after")
    def _complete(self) -> RuntimeSettings:
        store = self.job_store.get_secret_value()
        if store and not store.startswith(POSTGRES):
            raise ValueError("job_store is an address that starts with postgresql://, or empty")
        if self.engine == "dask" and not self.scheduler:
            raise ValueError("engine dask needs runtime.scheduler, e.g. tcp://10.0.0.5:8786")
        return self

    @property
    def slots(self) -> int:
        """Jobs that may run at the same time on this machine, or be handed to the cluster by it."""
        return self.job_slots or (CLUSTER_SLOTS if self.engine == "dask" else max(1, (os.cpu_count() or 1) // 2))

    @property
    def job_threads(self) -> int:
        """Native threads of one job, so that all slots together fill the cores once."""
        return max(1, (os.cpu_count() or 1) // self.slots)


POSTGRES = ("postgresql://", "postgres://")


class StorageSettings(Section):
    """What several servers have together instead of a disk; both, or neither."""

    database: SecretStr
    files: Annotated[str, Field(pattern=r"^(s3://[a-z0-9][a-z0-9.-]+(/[^?#]*)?|file:///[^?#]+)?$")]
    endpoint: str

    @model_validator(mode="after")
    def _complete(self) -> StorageSettings:
        database = self.database.get_secret_value()
        if database and not database.startswith(POSTGRES):
            raise ValueError("database is an address that starts with postgresql://, or empty")
        if bool(database) != bool(self.files):
            raise ValueError("database and files go together: give both, or leave both out")
        return self


def _compiles(pattern: str) -> str:
    try:
        found = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    if found.match(""):
        raise ValueError(f"{pattern!r} fits the empty text, so it would remove nothing or everything")
    return pattern


class TracingSettings(Section):
    enabled: bool
    capture: Capture
    toolsets: dict[str, Capture]
    redact: tuple[Annotated[str, AfterValidator(_compiles)], ...]
    max_mb: Annotated[int, Field(ge=1)]

    def capture_for(self, toolset: str) -> Capture:
        """How much of the inputs and outputs of a toolset is stored; "" stands for what belongs to none."""
        return self.toolsets.get(toolset, self.capture) if self.enabled else "off"


class AgentSettings(Section):
    """The Claude agents of `mlops-mcp agent`. Prices are in dollars for a million tokens; 0 is an unknown one."""

    model: Annotated[str, Field(min_length=1)]
    base_url: str
    # Without a stream the API answers no more at once (ten minutes at its slowest).
    max_tokens: Annotated[int, Field(ge=256, le=20_000)]
    max_turns: Annotated[int, Field(ge=1, le=1000)]
    max_total_tokens: Annotated[int, Field(ge=1000)]
    max_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    max_cost: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    input_price: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    output_price: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    retries: Annotated[int, Field(ge=0, le=20)]

    @model_validator(mode="after")
    def _complete(self) -> AgentSettings:
        if self.base_url:
            safe_address(self.base_url)
        if self.max_cost and not (self.input_price and self.output_price):
            raise ValueError("max_cost needs input_price and output_price: without them no cost is known")
        return self


class Settings(Section):
    """Everything that can be configured; paths that were left empty resolve below `home`."""

    home: Path
    environment: str
    server: ServerSettings
    oidc: OidcSettings
    data: DataSettings
    runtime: RuntimeSettings
    storage: StorageSettings
    tracing: TracingSettings
    mlflow: MlflowSettings
    opik: OpikSettings
    great_expectations: GreatExpectationsSettings
    feast: FeastSettings
    optuna: OptunaSettings
    bentoml: BentomlSettings
    kubernetes: KubernetesSettings
    bentocloud: CloudSettings
    agent: AgentSettings

    @property
    def job_store(self) -> str:
        """The database of the job table; empty: a file below home."""
        return self.runtime.job_store.get_secret_value() or self.storage.database.get_secret_value()

    @property
    def trace_store(self) -> Path:
        return self.home / "traces.db"

    @property
    def tracking_uri(self) -> str:
        given = self.mlflow.tracking_uri or self.optuna.mlflow_tracking_uri
        return with_driver(given) or f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def study_storage(self) -> str:
        """The database of all studies; empty: one journal file each."""
        return with_driver(self.optuna.study_storage)

    @property
    def endpoint_environment(self) -> str:
        return self.bentoml.environment or self.environment

    @property
    def artifact_root(self) -> str:
        return self.mlflow.artifact_root or str(self.home / "artifacts")

    @property
    def gx_home(self) -> Path:
        return Path(self.great_expectations.context_root or self.home / "gx")

    @property
    def feast_home(self) -> Path:
        return Path(self.feast.repo_path or self.home / "feast")

    @property
    def bentoml_home(self) -> Path:
        return Path(self.bentoml.home or self.home / "bentoml")

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders whose files a tool may read, with symlinks resolved."""
        given = [root.expanduser().resolve() for root in self.data.roots or (Path.cwd(),)]
        return (*(root for root in given if self.data.roots or self._is_a_project(root)), *self.open_folders)

    @property
    def open_folders(self) -> tuple[Path, ...]:
        """What tools may read of the state folder, with symlinks of the folder itself resolved."""
        home = self.home.resolve()
        return home / "datasets", home / "artifacts"

    def _is_a_project(self, folder: Path) -> bool:
        """Whether a server may read its working directory unless told: not everything a user has, nor our state."""
        return not (Path.home().resolve().is_relative_to(folder) or folder.is_relative_to(self.home.resolve()))


def with_driver(uri: str) -> str:
    """The address with the PostgreSQL driver that the `postgres` extra installs; SQLAlchemy looks for an older one."""
    scheme, mark, rest = uri.partition("://")
    return f"postgresql+psycopg{mark}{rest}" if scheme in ("postgresql", "postgres") else uri
