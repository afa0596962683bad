"""The functions that jobs run, as the job table names them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, get_type_hints

from pydantic import BaseModel

from ...errors import ToolFailure
from ..work import Work


@dataclass(frozen=True)
class JobFunction:
    """`call(work, request)` with the types of its request and of its result."""

    call: Callable[..., Any]
    request: Any
    result: Any


def reference_of(function: Callable[..., Any]) -> str:
    return f"{function.__module__}:{function.__name__}"


def resolve(reference: str) -> JobFunction:
    """The function of a `module:name`, which a row of the job table says and so may be anything.

    Raises:
        ImportError, AttributeError: it is not there, for instance since it is one of another version.
        ToolFailure: it is none of those that jobs run: `name(work, request: BaseModel) -> result`.
    """
    function = function_of(reference)
    hints = get_type_hints(function)
    request = next((hint for parameter, hint in hints.items() if parameter not in ("work", "return")), None)
    if "return" not in hints or not (isinstance(request, type) and issubclass(request, BaseModel)):
        raise _refused(reference)
    return JobFunction(function, request, hints["return"])


def function_of(reference: str) -> Callable[..., Any]:
    """Raises ToolFailure for what is not a function of that very module which takes a `Work` first."""
    module, _, name = reference.partition(":")
    function = getattr(importlib.import_module(module), name)
    if not isinstance(function, FunctionType) or function.__module__ != module:
        raise _refused(reference)
    if function.__code__.co_varnames[:1] != ("work",) or function.__annotations__.get("work", "Work") not in (
        Work,
        "Work",
    ):
        raise _refused(reference)
    return function


def _refused(reference: str) -> ToolFailure:
    return ToolFailure(f"{reference[:200]!r} is no function that jobs run", "Call the tool again; jobs.db was changed.")
