"""Who takes part in a comparison: algorithms with parameters, and trained models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from ..errors import ToolFailure, require
from ..modeling.algorithms import ALGORITHMS, algorithm, algorithm_of, check_parameters
from ..modeling.card import Task
from ..modeling.store import StoredModel, find_model
from ..runtime.work import Work

MODELS = ("models:/", "m-", "model:", "run:")
WRITTEN = 'Write "XGBoost", {"algorithm": "XGBoost", "params": {…}} or a model such as models:/m-….'
MOST = 8
PARAMS_SHOWN = 40


class _Written(BaseModel):
    """A candidate as an agent writes it."""

    model_config = ConfigDict(extra="forbid")

    algorithm: str
    params: dict[str, JsonValue] = {}


@dataclass(frozen=True)
class Candidate:
    """`stored` is the trained model, if it is one; `label` is how answers call it."""

    label: str
    algorithm: str
    params: Mapping[str, Any] = field(default_factory=dict)
    stored: StoredModel | None = None


def read_candidates(work: Work, written: Sequence[JsonValue]) -> list[Candidate]:
    """What can be known to be wrong before any fit is refused here.

    Raises:
        ToolFailure: none or too many, one that is no candidate, of an unknown name, or there twice.
    """
    if not 1 <= len(written) <= MOST:
        raise ToolFailure(f"{len(written)} candidates", f"Pass 1 to {MOST}. {WRITTEN}")
    found = [_model(work, each) if _names_a_model(each) else _algorithm(each) for each in written]
    for place, each in enumerate(found):
        if twin := next((other for other in found[:place] if _same(each, other)), None):
            raise ToolFailure(f"{twin.label} is there twice", "Name each candidate once.")
    return _labelled(found)


def check_tasks(candidates: Sequence[Candidate], task: Task, target: str) -> None:
    """Raise the failure that says which candidate cannot take part in a comparison of this task and target."""
    for each in candidates:
        if each.stored is None:
            check_parameters(algorithm(each.algorithm, task), task, each.params)
            continue
        card = each.stored.card
        if (card.target, card.task) != (target, task):
            raise ToolFailure(
                f"{each.label} does {card.task} of {card.target}, not {task} of {target}", "Leave it out."
            )


def _names_a_model(written: JsonValue) -> bool:
    return isinstance(written, str) and written.strip().startswith(MODELS)


def _model(work: Work, written: JsonValue) -> Candidate:
    stored = find_model(work, str(written))
    require(algorithm_of(stored.card.algorithm).library)
    return Candidate(stored.handle, stored.card.algorithm, stored.card.params, stored)


def _algorithm(written: JsonValue) -> Candidate:
    try:
        read = _Written.model_validate({"algorithm": written} if isinstance(written, str) else written)
    except ValidationError as error:
        raise ToolFailure(f"{str(written)[:120]} is no candidate", WRITTEN) from error
    entry = algorithm(read.algorithm)
    if "effect" in entry.estimators:
        able = ", ".join(each.name for each in ALGORITHMS if "effect" not in each.estimators)
        raise ToolFailure(f"{entry.name} estimates an effect instead of predicting", f"These predict: {able}.")
    require(entry.library)
    return Candidate(entry.name, entry.name, read.params)


def _same(one: Candidate, other: Candidate) -> bool:
    if one.stored or other.stored:
        return bool(one.stored and other.stored and one.stored.uri == other.stored.uri)
    return (one.algorithm, one.params) == (other.algorithm, other.params)


def _labelled(found: list[Candidate]) -> list[Candidate]:
    """Algorithms that stand more than once are told apart by their parameters, or else by a number."""
    names = [each.label for each in found]
    labels = [each.label if names.count(each.label) == 1 else _with_params(each) for each in found]
    return [
        replace(each, label=label if labels.count(label) == 1 else f"{label} #{place}")
        for place, (each, label) in enumerate(zip(found, labels, strict=True), start=1)
    ]


def _with_params(candidate: Candidate) -> str:
    if not candidate.params:
        return candidate.label
    text = ", ".join(f"{name}={value}" for name, value in candidate.params.items())
    return f"{candidate.label}({text[:PARAMS_SHOWN]})"
