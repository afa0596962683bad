"""What the serving tools take and say, and what is kept of bentos and endpoints."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from ...config.settings import Settings
from ..estimates import Statistic
from ..modeling.card import Feature, Label, Seen, Task
from ..platforms import limits_memory

State = Literal["ready", "starting", "degraded", "dead"]
Percent = Annotated[int, Field(ge=0, le=100)]
Row = dict[str, JsonValue]
MAX_STEPS, MAX_HOLD_S = 10, 3600


class ServiceSpec(BaseModel):
    """`spec.json` of a bento: all that its service has to know, and where it came from."""

    name: str
    version: str = ""
    model_handle: str
    model_uri: str
    model_tag: str
    sha256: str
    file: str = "model.skops"
    algorithm: str
    task: Task
    target: str
    features: list[Feature]
    classes: list[Label] = []
    seen: dict[str, Seen] = {}
    trusted: list[str]
    packages: list[str]
    batchable: bool
    content: str = ""


StoredKind = Literal["bento", "model"]


class StoredLine(BaseModel):
    """A bento or a model in BentoML's store. `ours` was packaged here; `why` it cannot be deployed."""

    name: str
    kind: StoredKind
    ours: bool
    model: str | None = None
    service: str
    created: str
    labels: dict[str, str] = {}
    deployable: bool
    why: str | None = None


class PackageRequest(BaseModel):
    model: str
    name: str
    version: str
    batchable: bool


class Packaged(BaseModel):
    """A bento: the model, its service and its pinned packages. `routes` are what an endpoint of it answers to POST."""

    bento: str
    model: str
    task: Task
    features: list[Feature]
    classes: list[Label] = []
    routes: list[str]
    packages: list[str]
    built: bool
    notes: list[str] = []
    next: str
    undo: str | None = None


class Resources(BaseModel):
    """Per replica: threads, and memory as 2Gi."""

    model_config = ConfigDict(extra="forbid")

    cpu: Annotated[float, Field(gt=0, le=256)] = 1
    memory: str = ""


class Canary(BaseModel):
    """Raise percent by steps; back at failures."""

    model_config = ConfigDict(extra="forbid")

    steps: list[int] = [5, 25, 50]
    hold_s: float = 60
    max_error_rate: float = 0.01
    max_p99_ms: float | None = None

    @model_validator(mode="after")
    def _in_reason(self) -> Self:
        """Not as bounds of the schema, which every listing of the tools would carry."""
        if not 1 <= len(self.steps) <= MAX_STEPS or not all(1 <= each <= 99 for each in self.steps):
            raise ValueError(f"steps are 1 to {MAX_STEPS} percentages from 1 to 99, e.g. [5, 25, 50]")
        if not 0 < self.hold_s <= MAX_HOLD_S or not 0 <= self.max_error_rate <= 1:
            raise ValueError(f"hold_s is above 0 and at most {MAX_HOLD_S}, max_error_rate from 0 to 1")
        if self.max_p99_ms is not None and not self.max_p99_ms > 0:
            raise ValueError("max_p99_ms is above 0")
        return self


class DeployRequest(BaseModel):
    bento: str
    endpoint: str
    replicas: int
    resources: Resources
    percent: int
    log_sample: float = 0
    canary: Canary | None = None
    shadow: bool = False


class RollbackRequest(BaseModel):
    endpoint: str


class Deployment(BaseModel):
    """One running bento of an endpoint, as kept in the endpoint's state file.

    `model` is what it was deployed or packaged from, `memory` what was asked for as the limit of each process in bytes,
    0 for nothing, and `limit` that which holds.
    """

    id: str
    bento: str
    model: str = ""
    threads: int = 1
    memory: int = 0
    limit: int = 0
    pid: int
    port: int
    started: str
    replicas: int
    percent: int = 0
    ready: bool = False
    shadow: bool = False
    trial: bool = False
    restarts: int = 0
    log_sample: float = 0

    @property
    def limit_mb(self) -> int | None:
        return self.limit >> 20 or None

    @property
    def finished(self) -> bool:
        """Whether its deployment came to its end; one on trial goes if whoever tries it is gone."""
        return self.ready and not self.trial


class Former(BaseModel):
    """What served before, and with what."""

    bento: str
    replicas: int
    threads: int
    memory: int
    log_sample: float = 0


class Event(BaseModel):
    """What happened to an endpoint without anybody having asked for it."""

    at: str
    what: str


def data_limit(settings: Settings, asked: int) -> int:
    """Bytes of data that a process of an endpoint may have; 0: no limit, or none that this system keeps."""
    return (asked or settings.bentoml.memory_mb << 20) if limits_memory() else 0


class EndpointFile(BaseModel):
    endpoint: str
    deployments: list[Deployment] = []
    events: list[Event] = []
    former: Former | None = None


class Deployed(BaseModel):
    """An endpoint that answers; its `url` stays whatever is deployed there. `traffic`: percent of calls by bento;
    `memory_limit_mb` bounds the data of each of its processes.
    """

    endpoint: str
    bento: str
    url: str
    replicas: int
    traffic: dict[str, int]
    ready_seconds: float
    memory_mb: int
    memory_limit_mb: int | None = None
    stopped: list[str] = []
    notes: list[str] = []
    next: str
    undo: str | None = None


class Traffic(BaseModel):
    endpoint: str
    traffic: dict[str, int]
    notes: list[str] = []
    undo: str | None = None


class DeploymentLine(BaseModel):
    bento: str
    state: State
    percent: int
    replicas: int
    memory_mb: int
    memory_limit_mb: int | None = None
    started: str


class EndpointLine(BaseModel):
    """An endpoint: `degraded` when a bento that should get calls is dead and another one stands in."""

    endpoint: str
    state: State
    url: str
    traffic: dict[str, int]
    deployments: list[DeploymentLine]
    notes: list[str] = []


class Version(BaseModel):
    """One bento of an endpoint. `error_rate` and times are of the proxy, since this deployment started or the proxy
    did; `compared` and `differed` count answers as a shadow."""

    bento: str
    model: str
    state: State
    percent: int
    shadow: bool
    replicas: int
    memory_mb: int
    started: str
    restarts: int
    requests: int
    errors: int
    error_rate: float | None
    p50_ms: float | None
    p99_ms: float | None
    compared: int
    differed: int


class EndpointView(BaseModel):
    """An endpoint: its versions, what happened by itself, and what rollback_endpoint would bring back."""

    endpoint: str
    state: State
    url: str
    versions: list[Version]
    events: list[Event]
    rollback_to: str | None = None
    notes: list[str] = []


class EndpointLogs(BaseModel):
    """The end of the log of each bento."""

    endpoint: str
    logs: dict[str, str]


class Stopped(BaseModel):
    """An endpoint that is gone; `processes` is how many were ended."""

    endpoint: str
    bentos: list[str]
    processes: int
    undo: str | None = None


class ServiceAnswer(BaseModel):
    """What the service itself answers."""

    predictions: list[Label]
    probabilities: list[list[float]] | None = None
    classes: list[Label] = []
    notes: list[str] = []


class Prediction(BaseModel):
    """One prediction per row; `probabilities` in the order of `classes`, null for regression or if a note says so.

    `model` is the version that answered. Notes also count the rows with values that training had none of. Of a
    dataset `total` is how many rows it has, and `next_cursor` leads to its next block.
    """

    endpoint: str
    bento: str
    model: str | None = None
    predictions: list[Label]
    probabilities: list[list[float]] | None = None
    classes: list[Label] = []
    ms: float
    total: int | None = None
    next_cursor: str | None = None
    notes: list[str] = []


class BatchRequest(BaseModel):
    """`columns` are those to keep; null for all."""

    model: str
    dataset: str
    name: str = ""
    columns: list[str] | None = None


class Predicted(BaseModel):
    """A dataset of predictions, a row for each row in their order; `columns` are those that were added.

    `counts` are predictions by class; of numbers there are `mean`, `low` and `high`. Notes count what training had
    none of.
    """

    dataset: str
    model: str
    rows: int
    columns: list[str]
    counts: dict[str, int] = {}
    mean: Statistic | None = None
    low: Statistic | None = None
    high: Statistic | None = None
    notes: list[str] = []
    undo: str | None = None
