"""Which version is in which stage: moves under one lock, and a history that leads back.

Each version keeps its changes of stage in a tag of its own, so that whoever shares the registry can read them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from pydantic import TypeAdapter, ValidationError

from ..errors import ToolFailure
from ..handles import parse_model
from ..runtime.work import Work
from ..tracking.connection import opened
from ..undo import call
from .models import Stage, StageChange, Transition
from .versions import HISTORY, Versions, bare_name, changing, handle_of, read_versions, require_loadable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

# MLflow takes tags of 100,000 characters; a change has fewer than 200.
KEPT = 200
ROLLBACK = "rollback_model"


def transition_stage(work: Work, model: str, stage: Stage, archive_existing: bool) -> Transition:
    """Move a version to a stage; the stage is kept as an alias and a tag too, all under one lock."""
    wanted = parse_model(model)
    with opened(work) as client, changing(work):
        versions = read_versions(client, wanted.name)
        chosen = versions.named(wanted)
        if stage in ("Staging", "Production"):
            require_loadable(work, handle_of(chosen))
        return move(client, versions, chosen, stage, archive_existing, Mover("transition_stage", work.by.name))


def rollback_model(work: Work, name: str) -> Transition:
    """Put the version back that was in Production before the present one; again, the one before that.

    Raises:
        ToolFailure: nothing is in Production, nothing is known to have been there before, or it does not load.
    """
    wanted = bare_name(name)
    with opened(work) as client, changing(work):
        versions = read_versions(client, wanted)
        present = versions.in_production
        if present is None:
            raise ToolFailure(
                f"no version of model:{wanted} is in Production", "transition_stage or promote_model puts one there."
            )
        before = _before(versions, present)
        try:
            require_loadable(work, handle_of(before))
        except ToolFailure as failure:
            raise ToolFailure(
                f"the version before, {handle_of(before)}, cannot be used: {failure.message}",
                f"{handle_of(present)} stays in Production; transition_stage takes another version.",
            ) from failure
        return move(client, versions, before, "Production", True, Mover(ROLLBACK, work.by.name))


@dataclass(frozen=True)
class Mover:
    """The tool that moves a version, and in whose name."""

    tool: str
    who: str = ""


def move(
    client: MlflowClient, versions: Versions, chosen: MlflowVersion, stage: Stage, archive_existing: bool, by: Mover
) -> Transition:
    """Move one version and archive the others of its new stage; call it under the lock, with versions read there.

    They are moved one by one: a tracking server on PostgreSQL cannot archive the others by itself.
    """
    alias = stage.lower() if stage in ("Staging", "Production") else None
    holder = versions.in_production if stage == "Production" else None
    replaced = holder if holder is not chosen else None
    others = [version for version in versions.all if version is not chosen and version.current_stage == stage]
    archived = others if archive_existing and alias else []
    before = cast(Stage, chosen.current_stage or "None")
    _set_stage(client, chosen, stage, by, int(replaced.version) if replaced else None)
    for version in archived:
        _set_stage(client, version, "Archived", by)
    _move_alias(client, chosen, alias)
    return Transition(
        model=handle_of(chosen),
        stage=stage,
        alias=alias,
        archived=[handle_of(version) for version in archived],
        undo=_undo(chosen, before, stage, replaced, by.tool),
    )


def history_of(versions: Iterable[MlflowVersion]) -> list[StageChange]:
    """The changes of stage that our tools made, newest first."""
    return sorted((change for version in versions for change in _kept(version)), key=lambda change: change.at)[::-1]


def _before(versions: Versions, present: MlflowVersion) -> MlflowVersion:
    """The version below the present one on the stack of those that were put into Production."""
    known = {int(version.version): version for version in versions.all}
    stack: list[int] = []
    for change in reversed(history_of(versions.all)):
        if change.to_stage != "Production":
            continue
        if change.by == ROLLBACK:
            while stack and stack[-1] != change.version:
                stack.pop()
        elif not stack and change.replaced:
            stack.append(change.replaced)
        stack += [change.version] if stack[-1:] != [change.version] else []
    if stack[-1:] == [int(present.version)]:
        stack.pop()
    left = [number for number in stack if number in known and number != int(present.version)]
    if not left:
        raise ToolFailure(
            f"no version is known to have been in Production before {handle_of(present)}",
            f"get_model({present.name!r}) lists the versions; transition_stage puts one into Production.",
        )
    return known[left[-1]]


def _set_stage(
    client: MlflowClient, version: MlflowVersion, stage: Stage, by: Mover, replaced: int | None = None
) -> None:
    name, number, before = version.name, str(version.version), cast(Stage, version.current_stage or "None")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        client.transition_model_version_stage(name, number, stage)
    client.set_model_version_tag(name, number, "stage", stage)
    if before != stage:
        change = StageChange(
            at=datetime.now(UTC).isoformat(timespec="microseconds"), version=int(version.version),
            from_stage=before, to_stage=stage, by=by.tool, who=by.who or None, replaced=replaced,
        )  # fmt: skip
        kept = [*_kept(version), change][-KEPT:]
        client.set_model_version_tag(name, number, HISTORY, _changes().dump_json(kept).decode())


def _kept(version: MlflowVersion) -> list[StageChange]:
    """The changes in the tag of a version; what is no history of ours counts as none."""
    try:
        return _changes().validate_json((version.tags or {}).get(HISTORY, "[]"))
    except ValidationError:
        return []


def _changes() -> TypeAdapter[list[StageChange]]:
    return TypeAdapter(list[StageChange])


def _move_alias(client: MlflowClient, version: MlflowVersion, alias: str | None) -> None:
    """A version holds the alias of its stage and of no other."""
    name, number = version.name, str(version.version)
    held = client.get_model_version(name, number).aliases
    for other in {"staging", "production"} & set(held) - {alias}:
        client.delete_registered_model_alias(name, other)
    if alias:
        client.set_registered_model_alias(name, alias, number)


def _undo(chosen: MlflowVersion, before: Stage, stage: Stage, replaced: MlflowVersion | None, by: str) -> str | None:
    if replaced is not None and by != ROLLBACK:
        return call("rollback_model", model=chosen.name)
    back, to = (replaced, stage) if replaced is not None else (chosen, before)
    return call("transition_stage", model=handle_of(back), stage=to) if (back, to) != (chosen, stage) else None
