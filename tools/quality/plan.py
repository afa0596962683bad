"""What it takes to evaluate a rule without the library: aggregates to ask DuckDB for, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import JsonValue

from ..data.sandbox import literal
from .models import Expectation
from .subject import Subject
from .times import times_for

Kind = Literal["whole", "real", "text", "time", ""]
NUMBERS = ("whole", "real")
ENDS = {"min_value": ("strict_min", ">=", ">"), "max_value": ("strict_max", "<=", "<")}


@dataclass(frozen=True)
class Found:
    """What a rule found, in the words of Great Expectations (its `ExpectationValidationResult`)."""

    success: bool
    result: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Plan:
    """Aggregates to ask for, and what follows from their values: None where they show that the library must judge."""

    asked: Sequence[str]
    concluded: Callable[..., Found | None]


def kind_of(subject: Subject, name: str) -> Kind:
    """What a column is compared as; nothing for one of which it is not sure that pandas compares it alike."""
    import pyarrow as pa

    kind = subject.kind(name)
    if kind is None or (pa.types.is_integer(kind) and subject.is_large(name)):
        return ""
    if pa.types.is_timestamp(kind):
        return "time" if kind.unit == "us" and kind.tz in (None, "UTC") else ""
    if pa.types.is_integer(kind):
        return "whole"
    return "real" if pa.types.is_float64(kind) else "text" if pa.types.is_string(kind) else ""


@dataclass(frozen=True)
class Bound:
    """One end of a range: `comparison` is what a value has to be to it."""

    comparison: str
    value: float | str
    """A number, or a time as ISO text."""

    @property
    def sql(self) -> str:
        if isinstance(self.value, str):
            return f"{'TIMESTAMPTZ' if self.value[-6] in '+-' else 'TIMESTAMP'} {literal(self.value)}"
        return double(self.value)


def bounds_of(subject: Subject, rule: Expectation, numbers: bool) -> list[Bound] | None:
    """The ends of a rule's range; None where one of them is a time in the place of a number, or the other way round."""
    kwargs, bounds = times_for(rule, subject.kind(rule.kwargs.get("column"))), list[Bound]()
    for name, (strict, within, beyond) in ENDS.items():
        value = kwargs.get(name)
        if value is None:
            continue
        if isinstance(value, str) is numbers:
            return None
        told = value.replace("Z", "+00:00") if isinstance(value, str) else float(value)
        bounds.append(Bound(beyond if rule.kwargs.get(strict) else within, told))
    return bounds


def double(value: JsonValue) -> str:
    """A number as SQL writes a double, exact."""
    assert isinstance(value, int | float)
    return f"'{float(value)!r}'::DOUBLE"


def listed(value: JsonValue) -> list[JsonValue]:
    assert isinstance(value, list)
    return value


def column_of(rule: Expectation) -> str:
    return str(rule.kwargs["column"])
