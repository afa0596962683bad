"""Free what nothing refers to."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from ..errors import ToolFailure
from ..removal import Leftover, Removal, erase, files_in, removals, roots, size_of, written
from ..runtime.work import Work
from ..storage.expiry import DAY_S
from ..undo import call
from .client import delete
from .models import CleanUp, Freed

EXAMPLES = 3
# Whoever is making something has given it its name by then.
FRESH_S = 3600.0
# What `storage.state_files.draft_of` and `removal.set_aside` call what is not there yet, or not any more.
DRAFT = re.compile(r"\..+\.[0-9a-f]{32}")
DEPTH = 3


@dataclass(frozen=True)
class Measured:
    """A leftover, and what it takes; by then it may be gone."""

    leftover: Leftover
    files: int
    bytes: int


@dataclass
class Sweep:
    """One pass over all slices. `before` is in seconds since the epoch."""

    work: Work
    dry_run: bool
    before: float
    found: list[Measured] = field(default_factory=list[Measured])
    notes: list[str] = field(default_factory=list[str])

    def over(self, removal: Removal) -> None:
        with removal.guard(self.work):
            old = [each for each in removal.leftovers(self.work) if each.since < self.before]
            chosen = [Measured(each, len(files), size_of(files)) for each in old if (files := files_in(each.paths))]
            self.found += [each for each in chosen if self.dry_run or self._erased(each.leftover)]
        self.found += [each for each in chosen if not self.dry_run and self._deleted(each.leftover)]

    def _erased(self, leftover: Leftover) -> bool:
        return not leftover.handle and self._told(leftover, lambda: erase(self.work.settings, leftover.paths))

    def _deleted(self, leftover: Leftover) -> bool:
        """What has a handle goes like anything else that has one: not while something needs it."""
        return bool(leftover.handle) and self._told(
            leftover, lambda: delete(self.work, [leftover.handle], dry_run=False, restore=False)
        )

    def _told(self, leftover: Leftover, free: Callable[[], object]) -> bool:
        try:
            free()
        except (ToolFailure, OSError) as error:
            self.notes.append(f"{leftover.name} stays: {error}"[:300])
            return False
        return True


def clean_up(work: Work, dry_run: bool, older_than_days: float) -> CleanUp:
    """Free leftovers, or show them: those that were last written that long ago, and an hour ago at least."""
    sweep = Sweep(work, dry_run, time.time() - max(older_than_days * DAY_S, FRESH_S))
    for removal in (*removals(), Removal({}, leftovers=_drafts)):
        sweep.over(removal)
    found = sorted(sweep.found, key=_kind)
    again = call("clean_up", dry_run=False, older_than_days=older_than_days) if dry_run and found else None
    return CleanUp(
        dry_run=dry_run,
        freed=[_summed(kind, list(each)) for kind, each in groupby(found, _kind)],
        bytes=sum(each.bytes for each in found),
        next=again,
        notes=[*sweep.notes[:EXAMPLES], *(note for removal in removals() for note in removal.remains(work))],
    )


def _summed(kind: str, parts: Sequence[Measured]) -> Freed:
    return Freed(
        kind=kind,
        count=len(parts),
        files=sum(each.files for each in parts),
        bytes=sum(each.bytes for each in parts),
        examples=[each.leftover.name for each in parts[:EXAMPLES]],
    )


def _kind(measured: Measured) -> str:
    return measured.leftover.kind


def _drafts(work: Work) -> Iterator[Leftover]:
    """What processes that were killed have left half-written or half-deleted."""
    for path in sorted({path for root in roots(work.settings) for path in _below(root, DEPTH)}):
        yield Leftover("draft", path.name, (path,), written(files_in([path])))


def _below(folder: Path, depth: int) -> Iterator[Path]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if DRAFT.fullmatch(path.name):
            yield path
        elif depth > 1 and path.is_dir() and not path.is_symlink():
            yield from _below(path, depth - 1)
