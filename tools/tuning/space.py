"""Search spaces as an agent writes them in JSON, checked before any trial runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import JsonValue

from ..errors import ToolFailure, unknown

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

NOTATION = 'Write [low, high], {"low":…, "high":…, "log":true} or {"choices":[…]}.'
MAX_SHOWN = 12
NEAR_A_STEP = 1e-9
KEYS = ("low", "high", "log", "step", "choices")


def read_space(space: Mapping[str, JsonValue]) -> dict[str, BaseDistribution]:
    """Optuna distributions.

    `[low, high]` of two numbers is a range, whole numbers where both are; any other list holds choices.
    `{"low", "high", "log", "step"}` is a range, `{"choices"}` a list even of two numbers.

    Raises:
        ToolFailure: an entry that is no range and no choice.
    """
    if not space:
        raise ToolFailure("the search space is empty", NOTATION)
    return {name: _distribution(name, entry) for name, entry in space.items()}


def describe(distribution: BaseDistribution) -> str:
    """One distribution in words, so that the caller sees how its notation was read."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        shown = ", ".join(map(repr, distribution.choices[:MAX_SHOWN]))
        more = len(distribution.choices) - MAX_SHOWN
        return f"one of [{shown}]" if more <= 0 else f"one of [{shown}] and {more} more"
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    kind = "whole" if isinstance(distribution, IntDistribution) else "real"
    return f"{kind} {distribution.low:g} to {distribution.high:g}{', log' if distribution.log else ''}"


def contains(space: Mapping[str, BaseDistribution], params: Mapping[str, object]) -> bool:
    """Whether a point gives every parameter a value inside its distribution."""
    return all(name in params and _inside(distribution, params[name]) for name, distribution in space.items())


def kinds(space: Mapping[str, BaseDistribution]) -> dict[str, str]:
    """What a study cannot change while it is resumed: whole or real numbers, their scale, or the very choices."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return {
        name: json.dumps(entry.choices)
        if isinstance(entry, CategoricalDistribution)
        else ("whole numbers" if isinstance(entry, IntDistribution) else "real numbers") + _scale(entry)
        for name, entry in space.items()
    }


def _scale(entry: BaseDistribution) -> str:
    from optuna.distributions import FloatDistribution, IntDistribution

    return ", log" if isinstance(entry, FloatDistribution | IntDistribution) and entry.log else ""


def same_distribution(one: BaseDistribution | None, other: BaseDistribution) -> bool:
    """Equal in value and type: to Python, choices of 1, 1.0 and True are equal."""
    from optuna.distributions import distribution_to_json

    return one is not None and distribution_to_json(one) == distribution_to_json(other)


def _inside(distribution: BaseDistribution, value: object) -> bool:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return any(
            isinstance(value, bool) == isinstance(choice, bool) and value == choice for choice in distribution.choices
        )
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    steps = (value - distribution.low) / distribution.step if distribution.step else 0.0
    return distribution.low <= value <= distribution.high and abs(steps - round(steps)) < NEAR_A_STEP


def _distribution(name: str, entry: JsonValue) -> BaseDistribution:
    if isinstance(entry, list):
        pair = len(entry) == 2 and all(_is_number(item) for item in entry)
        return _range(name, {"low": entry[0], "high": entry[1]}) if pair else _choices(name, entry)
    if not isinstance(entry, dict):
        raise ToolFailure(f"{name}: {entry!r} is no search space", NOTATION)
    for key in entry:
        if key not in KEYS:
            raise unknown(f"key of the search space of {name}", key, KEYS)
    if "choices" in entry:
        choices = entry["choices"]
        return _choices(name, choices if isinstance(choices, list) else [])
    return _range(name, entry)


def _choices(name: str, choices: list[JsonValue]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution

    if not choices:
        raise ToolFailure(f"{name}: choices must be given", NOTATION)
    plain: list[bool | int | float | str | None] = [
        choice
        for choice in choices
        if choice is None or isinstance(choice, bool | str) or (isinstance(choice, int | float) and _is_number(choice))
    ]
    if len(plain) < len(choices):
        raise ToolFailure(f"{name}: a choice must be a text, finite number, boolean or null", NOTATION)
    if len(set(plain)) < len(plain):
        raise ToolFailure(f"{name}: choices must differ, and 1, 1.0 and true are one value to a search", NOTATION)
    return CategoricalDistribution(plain)


def _range(name: str, entry: Mapping[str, JsonValue]) -> BaseDistribution:
    from optuna.distributions import FloatDistribution, IntDistribution

    low, high, step, log = entry.get("low"), entry.get("high"), entry.get("step"), bool(entry.get("log", False))
    if not (_is_number(low) and _is_number(high)):
        raise ToolFailure(f"{name}: low and high must be finite numbers", NOTATION)
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if low >= high:
        raise ToolFailure(f"{name}: low {low:g} is not below high {high:g}", NOTATION)
    if log and (low <= 0 or step is not None):
        raise ToolFailure(f"{name}: a log range starts above 0 and has no step", NOTATION)
    if step is not None and (not isinstance(step, int | float) or step <= 0):
        raise ToolFailure(f"{name}: step must be a number above 0", NOTATION)
    if isinstance(low, int) and isinstance(high, int) and (step is None or isinstance(step, int)):
        return IntDistribution(low, high, log=log, step=step or 1)
    return FloatDistribution(float(low), float(high), log=log, step=float(step) if step else None)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
