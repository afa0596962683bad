"""What the feature tools take and say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, JsonValue

DType = Literal["int64", "int32", "float64", "float32", "string", "bool", "timestamp"]
RowStatus = Literal["found", "partly", "unknown", "expired"]


class View(BaseModel):
    """A feature view: columns of a dataset, or of a team's own source, that are looked up by a key as of a time."""

    view: str
    kind: Literal["view", "service"] = "view"
    dataset: str
    source: str | None = None
    entity: str
    entity_type: str
    timestamp_column: str
    created_timestamp_column: str | None = None
    ttl_days: Annotated[float | None, Field(description="null: a value never gets too old.")] = None
    features: dict[str, str]
    description: str = ""
    feature_descriptions: dict[str, str] | None = None
    online_until: Annotated[str | None, Field(description="End of the data that online reads see.")] = None
    notes: list[str] = []
    undo: str | None = None


class JoinRequest(BaseModel):
    """Which features to join to the rows of a dataset, and what the new one and its columns are called."""

    dataset: str
    features: list[str]
    timestamp_column: str = ""
    full_feature_names: bool = False
    name: str = ""


class ViewMatch(BaseModel):
    """How many rows got a value from a view, and why the others did not.

    `created_later`: rows before whose time lies a newer value that was created only after it; they got the one known
    then, or none. `unexplained`: rows without a value of which the store of a team does not say why.
    """

    view: str
    matched: int
    key_or_time_missing: int = 0
    key_unknown: int = 0
    before_first_value: int = 0
    older_than_ttl: int = 0
    created_later: int = 0
    unexplained: int = 0
    oldest_match_days: float | None = None


class AddedColumn(BaseModel):
    """A joined feature: the share of rows without a value, and the mean of the others if it is a number."""

    name: str
    missing: float
    mean: float | None = None


class FeatureJoin(BaseModel):
    """A dataset with the features as they were known at the time of each row."""

    dataset: str
    rows: int
    added: list[AddedColumn]
    views: list[ViewMatch]
    notes: list[str] = []
    undo: str | None = None


class MaterializeRequest(BaseModel):
    """Which views to copy to the online store, and the times of the values to take."""

    views: list[str]
    start: str
    end: str


class MaterializedView(BaseModel):
    """One view after its newest values were written; `keys` are those with a value in the window."""

    view: str
    dataset: str
    start: str
    end: str
    keys: int
    left_out_after_end: int | None
    seconds: float


class Materialized(BaseModel):
    """What is online now. Values that were online before cannot be brought back, so only new ones can be undone."""

    views: list[MaterializedView]
    notes: list[str] = []
    undo: str | None = None


class OnlineRow(BaseModel):
    """The features of one key; `as_of` is the second of each view's value, null when it has none."""

    status: RowStatus
    key: dict[str, JsonValue]
    values: dict[str, JsonValue]
    as_of: dict[str, str | None]


class OnlineFeatures(BaseModel):
    """Rows in the order of the request."""

    rows: list[OnlineRow]
    notes: list[str] = []


class PushedView(BaseModel):
    """Keys of one view: `written` are `new` or `replaced`; the rows of the `older` are older than what is online."""

    view: str
    written: int
    new: int
    replaced: int
    older: int


class Pushed(BaseModel):
    """What a push has changed online. The values before cannot be brought back."""

    source: str
    views: list[PushedView]
    notes: list[str] = []
    undo: str | None = None


class FeatureStatistics(BaseModel):
    """One feature over all rows; numbers without their infinite values, text with its most frequent ones."""

    name: str
    dtype: str
    missing: int
    unique: int | None
    infinite: int | None = None
    mean: float | None = None
    std: float | None = None
    min: float | str | None = None
    p01: float | None = None
    median: float | None = None
    p99: float | None = None
    max: float | str | None = None
    top: dict[str, int] | None = None


class ViewStatistics(BaseModel):
    """What a view holds, and how old its newest value is."""

    view: str
    dataset: str
    rows: int
    keys: int
    first: str
    last: str
    age_days: float
    features: list[FeatureStatistics]
    notes: list[str] = []
    next_cursor: str | None = None
