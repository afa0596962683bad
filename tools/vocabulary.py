"""The arguments that several tools share: one name for one thing, which says in few words what may be passed."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, JsonValue, WithJsonSchema

Dataset = Annotated[str, Field(description="Handle or path")]
Model = Annotated[str, Field(description="models:/m-…, model:<name>/<version>, run:<id>")]
# Of the registry, where one name stands for all its versions.
Registered = Annotated[str, Field(description="Registered name.")]
Run = Annotated[str, Field(description="run:<id>")]
Study = Annotated[str, Field(description="study:<name>")]
Suite = Annotated[str, Field(description="suite:<name>[@<version>]")]
View = Annotated[str, Field(description="Feature view.")]
Endpoint = Annotated[str, Field(description="endpoint:<name>")]
Bento = Annotated[str, Field(description="bento:<name>:<version>")]
Job = Annotated[str, Field(description="job:<id>")]
Trace = Annotated[str, Field(description="trace:<id>")]
Span = Annotated[str, Field(description="Span id.")]
Metric = Annotated[str, Field(description="E.g. auc, rmse.")]
Positive = Annotated[str, Field(description="The class to find.")]
Group = Annotated[str, Field(description="Its rows stay together.")]

# JSON of these kinds; anything else is refused where it is read, in words of its own. A result may hold more.
_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}
_OBJECT: dict[str, Any] = {"type": "object"}


def _json(*kinds: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [*kinds]}, mode="validation")


TextOrObject = Annotated[JsonValue, _json(_TEXT, _OBJECT)]
TextOrData = Annotated[JsonValue, _json(_TEXT, _OBJECT, {"type": "array", "items": _TEXT})]
CellOrCells = Annotated[
    JsonValue, _json(_TEXT, _NUMBER, {"type": "boolean"}, {"type": "array", "items": {"anyOf": [_TEXT, _NUMBER]}})
]
