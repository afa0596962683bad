"""Delete things of any kind, by what their slices say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ToolFailure, unknown
from ..lineage import Lineage
from ..locks import locked
from ..removal import Found, Gone, Hold, Remover, files_in, removals, remover_of, require_ours, size_of
from ..runtime.work import Work
from ..slices import handle_kinds, removing
from ..undo import call, deletes
from .models import Deletion

SHOWN, NEAREST, WALKED = 20, 10, 500
PATIENCE_S = 30.0
NOT_DELETED = {"trace": "Traces go by themselves when tracing.max_mb is full."}


@dataclass(frozen=True)
class Target:
    """A handle as it was given, how its kind goes, and what it stands for; None when that is gone already."""

    handle: str
    remover: Remover
    found: Found | None
    gone: Gone | None = None

    @property
    def handles(self) -> tuple[str, ...]:
        return self.found.handles if self.found else self.gone.handles if self.gone else ()


def delete(work: Work, handles: list[str], dry_run: bool, restore: bool) -> Deletion:
    """Preview, delete or restore. What is gone already is said so; all others are looked at before one goes."""
    if restore:
        return _restored(work, handles, dry_run)
    with locked(work.home / "upkeep.lock", PATIENCE_S, "something else is being deleted"):
        targets = [_target(work, handle) for handle in dict.fromkeys(handles)]
        every = _holds(work, targets)
        going = {handle for target in targets if target.found for handle in target.handles}
        holds = [hold for hold in every if hold.by not in going]
        found = _described(work, targets, holds)
        if dry_run or found.state == "already_gone":
            return found
        if holds:
            raise ToolFailure(f"{found.blocked[0].partition(': ')[0]}", f"{holds[0].frees} frees it.")
        notes = _remove(work, _in_order(targets, {hold.by for hold in every}))
    undo = call("delete", handle=_as_given(targets), restore=True) if found.restorable else None
    return found.model_copy(update={"state": "deleted", "next": None, "undo": undo, "notes": [*found.notes, *notes]})


def kind_of(handle: str) -> str:
    """The kind of a thing that can be deleted.

    Raises:
        ToolFailure: it is no handle, or one of what cannot be deleted.
    """
    kind, colon, _ = handle.strip().partition(":")
    if kind == "models" or (not colon and kind.startswith("m-")):
        return "model"
    if colon and kind in removing():
        return kind
    if colon and kind in handle_kinds():
        raise ToolFailure(f"a {kind} cannot be deleted", NOT_DELETED.get(kind, ""))
    raise unknown("kind of handle", handle[:200], (f"{each}:" for each in removing()), "Pass kind:name in full.")


def _target(work: Work, handle: str) -> Target:
    remover = remover_of(kind_of(handle))
    try:
        found = remover.find(work, handle)
        require_ours(work.settings, found.paths)
        return Target(handle, remover, found)
    except Gone as gone:
        return Target(handle, remover, None, gone)
    except ToolFailure:
        if not (before := Lineage(work.home).deleted_under(handle)):
            raise
        return Target(handle, remover, None, Gone(tuple(before)))


def _holds(work: Work, targets: Sequence[Target]) -> list[Hold]:
    """What needs any of the targets, the targets themselves included."""
    alive = [target.found for target in targets if target.found]
    named = {handle for found in alive for handle in (*found.handles, *found.called)}
    own = [hold for found in alive for hold in found.holds]
    others = (hold for removal in removals() for hold in removal.holds(work, named)) if named else ()
    return [*own, *(hold for hold in others if hold.handle in named)]


def _described(work: Work, targets: Sequence[Target], holds: Sequence[Hold]) -> Deletion:
    alive = [target for target in targets if target.found]
    shown = [handle for target in alive or targets for handle in target.handles]
    paths = {path for target in alive if target.found for path in target.found.paths}
    files = files_in(sorted(paths))
    made = _made_from(work, shown) if alive else []
    restorable = all(_restorable(target) for target in alive or targets)
    given = _as_given(targets)
    following = call("delete", handle=given, dry_run=False) if alive and not holds else None
    return Deletion(
        state="preview" if alive else "already_gone",
        handles=shown[:SHOWN],
        omitted=max(0, len(shown) - SHOWN),
        files=len(files),
        bytes=size_of(files),
        made_from_it=dict(Counter(_kind(handle) for handle in made)),
        dependents=made[:NEAREST],
        blocked=[f"{hold.handle} is needed by {hold.by}: {hold.frees} frees it" for hold in holds[:NEAREST]],
        restorable=restorable,
        next=following if alive else call("delete", handle=given, restore=True) if restorable else None,
        notes=[note for target in alive if target.found for note in target.found.notes],
    )


def _made_from(work: Work, handles: Sequence[str]) -> list[str]:
    """What was made from things, nearest first, and is still there."""
    lineage = Lineage(work.home)
    edges = [edge.child for handle in handles for edge in lineage.descendants(handle, WALKED)]
    children = [child for child in dict.fromkeys(edges) if child not in handles]
    gone = lineage.deleted(children)
    return [child for child in children if child not in gone]


def _remove(work: Work, targets: Sequence[Target]) -> list[str]:
    """One after the other; what went before something fails is said."""
    done: list[str] = []
    notes: list[str] = []
    for target in targets:
        if target.found is None:
            continue
        try:
            notes += _one(work, target, target.found)
        except ToolFailure as failure:
            if not done:
                raise
            said = f"{', '.join(done)} went, and {target.handle} did not: {failure.message}"
            raise ToolFailure(said, failure.hint or deletes(target.handle)) from failure
        done.append(target.handle)
    return notes


def _one(work: Work, target: Target, found: Found) -> list[str]:
    notes: list[str] = []
    try:
        target.remover.remove(work, found)
    except Gone:
        notes.append(f"{target.handle} went by another call")
    except OSError as error:
        if _still_there(work, target):
            raise ToolFailure(f"{error.strerror} for {error.filename}", "Look at that file, then repeat it.") from error
        notes.append(f"{target.handle}: {error.strerror} for {error.filename}; clean_up frees what is left")
    Lineage(work.home).mark_deleted([target.handle, *found.handles])
    return notes


def _still_there(work: Work, target: Target) -> bool:
    try:
        return bool(target.remover.find(work, target.handle))
    except ToolFailure:
        return False


def _in_order(targets: Sequence[Target], holders: set[str]) -> list[Target]:
    """What needs another of them comes first."""
    return sorted(targets, key=lambda target: not holders & set(target.handles))


def _restored(work: Work, handles: list[str], dry_run: bool) -> Deletion:
    """Bring back what was deleted."""
    if not dry_run:
        raise ToolFailure("restore brings back and dry_run=false deletes", "Pass one of them.")
    restored: list[str] = []
    for handle in handles:
        restore = remover_of(kind_of(handle)).restore
        if restore is None:
            raise ToolFailure(f"a {kind_of(handle)} cannot be restored", "Make it again: get_lineage says from what.")
        restored += restore(work, handle).handles
    Lineage(work.home).mark_restored([*handles, *restored])
    return Deletion(
        state="restored",
        handles=restored[:SHOWN],
        omitted=max(0, len(restored) - SHOWN),
        undo=deletes(*handles),
    )


def _restorable(target: Target) -> bool:
    return target.found.restorable if target.found else bool(target.gone and target.gone.restorable)


def _as_given(targets: Sequence[Target]) -> str | list[str]:
    given = [target.handle for target in targets]
    return given[0] if len(given) == 1 else given


def _kind(handle: str) -> str:
    return "model" if handle.startswith("models:") else handle.partition(":")[0]
