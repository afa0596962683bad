"""What the serving tools take and say, and what is kept of bentos and endpoints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ...config.settings import Settings
from ..estimates import Statistic
from ..modeling.card import Feature, Label, Seen, Task
from ..platforms import limits_memory

State = Literal["ready", "starting", "degraded", "dead"]
Percent = Annotated[int, Field(ge=0, le=100)]
Row = dict[str, JsonValue]


class ServiceSpec(BaseModel):
    """`spec.json` of a bento: all that its service has to know, and where it came from."""

    name: str
    version: str = ""
    model_handle: str
    model_uri: str
    model_tag: str
    sha256: str
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


class DeployRequest(BaseModel):
    bento: str
    endpoint: str
    replicas: int
    resources: Resources
    percent: int
    log_sample: float = 0


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
    created: float
    port: int
    started: str
    replicas: int
    percent: int = 0
    ready: bool = False

    @property
    def limit_mb(self) -> int | None:
        return self.limit >> 20 or None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/predict"


def data_limit(settings: Settings, asked: int) -> int:
    """Bytes of data that a process of an endpoint may have; 0: no limit, or none that this system keeps."""
    return (asked or settings.bentoml.memory_mb << 20) if limits_memory() else 0


class EndpointFile(BaseModel):
    endpoint: str
    deployments: list[Deployment] = []


class Deployed(BaseModel):
    """An endpoint that answers. `traffic` is the percentage of calls that each bento gets; `memory_limit_mb` bounds the
    data of each of its processes.
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
    url: str
    replicas: int
    memory_mb: int
    memory_limit_mb: int | None = None
    started: str


class EndpointLine(BaseModel):
    """An endpoint: `degraded` when a bento that should get calls is dead and another one stands in."""

    endpoint: str
    state: State
    traffic: dict[str, int]
    deployments: list[DeploymentLine]
    notes: list[str] = []


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
