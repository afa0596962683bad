"""What a study says of the model it was for: the question it was asked, and its best answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ToolFailure
from ..modeling.searches import Search, search_named
from .models import TrainRequest

DEFAULT = "XGBoost"


def complete(home: Path, request: TrainRequest) -> TrainRequest:
    """The request with what it leaves open taken from its study, or from the defaults.

    Raises:
        ToolFailure: no target, no such study, or one that says otherwise.
    """
    if request.study:
        return _with_study(request, search_named(home, request.study))
    if not request.target:
        raise ToolFailure("no target is given", "Pass `target`, or a `study` that has one.")
    return request.model_copy(update={"algorithm": request.algorithm or DEFAULT})


def _with_study(request: TrainRequest, search: Search) -> TrainRequest:
    if search.task == "effect":
        raise ToolFailure(
            f"study:{search.study} is of an effect, which is not predicted",
            f"Call estimate_effect(algorithm={search.algorithm!r}, params=…) with best_params of get_study.",
        )
    told: dict[str, Any] = {
        "algorithm": search.algorithm, "target": search.target, "task": search.task, "features": search.features,
        "positive": search.positive, "group": search.group, "time": search.time,
    }  # fmt: skip
    best = search.best or {}
    if request.exclude:
        raise _otherwise(search, "exclude", request.exclude, "the features that it has searched with")
    for name, value in told.items():
        given = getattr(request, name)
        if given not in ("", "auto", []) and given != value:
            raise _otherwise(search, name, given, value)
    for name, value in request.params.items():
        if name in best and best[name] != value:
            raise _otherwise(search, name, value, best[name])
    return request.model_copy(update={**told, "params": {**request.params, **best}, "study": f"study:{search.study}"})


def _otherwise(search: Search, name: str, given: object, value: object) -> ToolFailure:
    return ToolFailure(
        f"study:{search.study} has {name} {str(value)[:120]}, not {str(given)[:120]}", f"Leave {name} or the study out."
    )
