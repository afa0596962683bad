"""The functions that jobs run, as the job table names them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints


@dataclass(frozen=True)
class JobFunction:
    """`call(work, request)` with the types of its request and of its result."""

    call: Callable[..., Any]
    request: Any
    result: Any


def reference_of(function: Callable[..., Any]) -> str:
    return f"{function.__module__}:{function.__name__}"


def resolve(reference: str) -> JobFunction:
    """The function of a `module:name`.

    Raises:
        ImportError, AttributeError: it is not there, for instance since it is one of another version.
    """
    function = function_of(reference)
    hints = get_type_hints(function)
    request = next(hint for parameter, hint in hints.items() if parameter not in ("work", "return"))
    return JobFunction(function, request, hints["return"])


def function_of(reference: str) -> Callable[..., Any]:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
