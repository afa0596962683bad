"""What a caller passed: the arguments of the tool's function, and those that every such tool takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from ..tools import wire
from ..tools.errors import ToolFailure, unknown
from ..tools.runtime.models import Budget
from .leniency import Place, meant

# Half of a character of UTF-16, which no file, database or library takes.
HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class CallArguments:
    """`own` are the arguments of the function; the others are for the server. `full` asks for all digits.

    Two are equal when they make the same call, whatever way it was written. `same` is how that is told: the arguments
    of the function with their defaults, as JSON, without how long the caller waits.
    """

    own: dict[str, Any] = field(compare=False)
    same: str
    key: str = ""
    full: bool = False
    budget: Budget = field(default_factory=Budget)

    @property
    def common(self) -> dict[str, Any]:
        """Those for the server, by the names that they are passed under; None for what was not."""
        return {
            wire.KEY: self.key or None,
            wire.SECONDS: self.budget.seconds,
            wire.MEGABYTES: self.budget.megabytes,
            wire.DETAIL: "full" if self.full else "short",
        }


def admitted(
    tool: str, known: Mapping[str, Any], model: type[BaseModel], arguments: Mapping[str, Any]
) -> CallArguments:
    """Sort the arguments of a call, and take them as they were meant.

    Args:
        known: what the tool says of each of its arguments.
        model: the arguments of its function.

    Raises:
        ToolFailure: an argument that does not exist, cannot be meant, is not of its type or no text of whole
            characters, a key or a detail that is none, or a budget that no work fits in.
    """
    require_whole(tool, arguments)
    for argument in arguments:
        if argument not in known:
            raise unknown(f"argument of {tool}", argument, known, limit=20)
    # A tool may have an argument of such a name, but of another shape: then it is the tool's own.
    common = {name: value for name, value in arguments.items() if wire.is_common(name, known[name])}
    own = meant(Place(tool), model, {name: value for name, value in arguments.items() if name not in common})
    require_whole(tool, own)  # what was meant may have been read out of JSON
    full = _full(tool, common) or own.get(wire.DETAIL) == "full"
    key, budget = _key(tool, common.get(wire.KEY)), _budget(tool, common)
    same = {name: value for name, value in taken(tool, model, own).items() if name != wire.WAIT}
    return CallArguments(own, json.dumps(same, sort_keys=True), key, full, budget)


def taken(tool: str, model: type[BaseModel], own: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the function gets them, its defaults among them, in the types of JSON.

    Raises:
        ToolFailure: one is not of its type.
    """
    try:
        return model.model_validate(own).model_dump(mode="json")
    except ValidationError as error:
        raise invalid(tool, error) from None


def require_whole(what: str, arguments: Mapping[str, Any]) -> None:
    """Raises ToolFailure for a text, also inside of an argument, that holds half of a character."""
    for name, value in arguments.items():
        for text in (name, *_texts(value)):
            if half := HALF.search(text):
                code = f"{ord(half[0]):04x}"
                raise ToolFailure(
                    f"{what} cannot take {HALF.sub('?', name)[:60]}: it holds half of a character, \\u{code}",
                    "Send the whole character, or leave it out.",
                )


def _texts(value: Any) -> Iterator[str]:
    """Those in a value, and the names in it."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, Mapping):
            waiting += [*found, *found.values()]
        elif isinstance(found, list | tuple):
            waiting += found


def _full(tool: str, common: Mapping[str, Any]) -> bool:
    valid = wire.COMMON[wire.DETAIL]["enum"]
    chosen = common.get(wire.DETAIL) or valid[0]
    if chosen not in valid:
        raise unknown(f"{wire.DETAIL} of {tool}", str(chosen)[:60], valid)
    return chosen == "full"


def _key(tool: str, value: Any) -> str:
    key = "" if value is None else value
    if not (isinstance(key, str) and len(key) <= wire.KEY_LENGTH and "\0" not in key):
        raise ToolFailure(
            f"{tool} cannot take this {wire.KEY}", f"Pass a text of at most {wire.KEY_LENGTH} characters."
        )
    return key


def _budget(tool: str, common: Mapping[str, Any]) -> Budget:
    try:
        return Budget(seconds=common.get(wire.SECONDS), megabytes=common.get(wire.MEGABYTES))
    except ValidationError as error:
        names = {"seconds": wire.SECONDS, "megabytes": wire.MEGABYTES}
        raise invalid(tool, error, names) from None


def invalid(tool: str, error: ValidationError, names: Mapping[str, str] | None = None) -> ToolFailure:
    """What pydantic found, one clause per argument, without its links and wrapped model names."""
    clauses = []
    for item in error.errors(include_url=False):
        where = ".".join((names or {}).get(str(part), str(part)) for part in item["loc"])
        given = "" if item["type"] == "missing" else f" (got {str(item['input'])[:60]!r})"
        clauses.append(f"{where}: {item['msg']}{given}")
    return ToolFailure(f"{tool} cannot take these arguments: {'; '.join(clauses[:5])}")
