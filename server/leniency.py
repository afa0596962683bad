"""What clients mean: null and empty text for nothing, the text of a list or an object for these.

One rule for the arguments of every tool, read off the types of its function. Free JSON (`JsonValue`), and what stands
in a list or a mapping, are data: a null or an empty text there stays.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo

from ..tools.errors import ToolFailure, unknown

# So near to a known name is no name of the caller's own.
MISSPELT = 0.8
# The types that may stand somewhere.
Options = tuple[Any, ...]


@dataclass(frozen=True)
class Place:
    """An argument, or what is inside of one."""

    tool: str
    path: str = ""

    def inside(self, name: str | int) -> Place:
        return Place(self.tool, f"{self.path}.{name}" if self.path else str(name))

    def wrong(self, what: str, given: Any, hint: str) -> ToolFailure:
        told = f"{self.path}: {what} (got {str(given)[:60]!r})"
        return ToolFailure(f"{self.tool} cannot take these arguments: {told}", hint)


def meant(place: Place, model: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a model as they were meant; absent ones are left out, so that their defaults hold.

    Raises:
        ToolFailure: an unknown field, text that is not the JSON of a list or an object, or a number that is not finite.
    """
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    _refuse_unknown(place, model, given, fields)
    found = dict(given)
    for name, field in fields.items():
        if name in given:
            options = _options(field.annotation)
            if JsonValue not in options and _absent(field, given[name]):
                del found[name]
            else:
                found[name] = _value(place.inside(name), options, given[name])
    return found


def _refuse_unknown(
    place: Place, model: type[BaseModel], given: Mapping[str, Any], fields: Mapping[str, FieldInfo]
) -> None:
    closed = model.model_config.get("extra") == "forbid"
    for name in given:
        if name not in fields and (closed or get_close_matches(name, fields, cutoff=MISSPELT)):
            raise unknown(f"argument of {place.path} of {place.tool}", name, fields, limit=20)


def _absent(field: FieldInfo, value: Any) -> bool:
    return value is None or (value == "" and not field.is_required())


def _value(place: Place, options: Options, value: Any) -> Any:
    if JsonValue in options:
        return value
    match _read(place, options, value) if isinstance(value, str) else value:
        case dict() as found:
            return _object(place, options, found)
        case list() as found:
            return _list(place, options, found)
        case found:
            return _finite(place, options, found)


def _object(place: Place, options: Options, value: dict[str, Any]) -> dict[str, Any]:
    for option in options:
        if _is_model(option):
            return meant(place, option, value)
        if _is_of(option, dict):
            inner = _options(get_args(option)[1])
            return {name: _value(place.inside(name), inner, item) for name, item in value.items()}
    return value


def _list(place: Place, options: Options, value: list[Any]) -> list[Any]:
    for option in options:
        if _is_of(option, list):
            inner = _options(get_args(option)[0])
            return [_value(place.inside(number), inner, item) for number, item in enumerate(value)]
    return value


def _read(place: Place, options: Options, text: str) -> Any:
    """The list or the object whose JSON a text is, where one may stand; else the text."""
    lists = any(_is_of(option, list) for option in options)
    objects = any(_is_model(option) or _is_of(option, dict) for option in options)
    if not (lists or objects):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = text
    if isinstance(found, list if lists else dict) or (objects and isinstance(found, dict)):
        return found
    if str in options:
        return text
    what, example = ("a list", '["a", "b"]') if lists else ("an object", '{"a": 1}')
    raise place.wrong(f"Input should be {what}", text, f"Pass {what}, or its JSON: {example}.")


def _finite(place: Place, options: Options, value: Any) -> Any:
    if (int in options or float in options) and isinstance(value, (str, float)) and not _is_finite(value):
        raise place.wrong("Input should be a finite number", value, "Leave it out, or pass a number.")
    return value


def _is_finite(value: str | float) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:  # no number at all, which the validation says
        return True


def _is_of(option: object, kind: type) -> bool:
    return get_origin(option) is kind


def _is_model(option: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(option, type) and issubclass(option, BaseModel)


def _options(annotation: Any) -> Options:
    """The types out of their unions and annotations."""
    if get_origin(annotation) is Annotated:
        return _options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(option for each in get_args(annotation) for option in _options(each))
    return (annotation,)
