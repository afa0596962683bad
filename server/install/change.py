"""What installing and uninstalling make of a client's file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import files
from .entry import Value, is_ours
from .errors import InstallError
from .formats import Format, Place


@dataclass(frozen=True)
class Change:
    """A file before and after; None where there is none.

    Attributes:
        keeps_backup: the backup holds the file as it was without us already.
        restores: what is written is the backup, which is then of no more use.
        conflict: why only `--force` writes it.
    """

    path: Path
    backup: Path
    before: str | None
    after: str | None
    keeps_backup: bool = False
    restores: bool = False
    conflict: str = ""

    def diff(self) -> str:
        """The lines that change."""
        before, after = ((text or "").splitlines() for text in (self.before, self.after))
        name = str(self.path)
        return "\n".join(difflib.unified_diff(list(before), list(after), name, name, lineterm="", n=2))

    def write(self) -> None:
        """Write it, with what was there kept in the backup; where that is restored, the backup goes.

        Raises:
            InstallError: the file is read-only, or somebody else has changed it meanwhile.
        """
        files.require_writable(self.path)
        if files.read(self.path) != self.before:
            raise InstallError("somebody else has changed it meanwhile; try again")
        if self.before is not None and not self.keeps_backup:
            files.write(self.backup, self.before)
            self.backup.chmod(self.path.stat().st_mode & 0o7777)
        if self.after is None:
            files.remove(self.path)
        else:
            files.write(self.path, self.after)
        if self.restores:
            self.backup.unlink(missing_ok=True)


@dataclass(frozen=True)
class Config:
    """A client's file and the place of our entry in it."""

    path: Path
    place: Place

    @property
    def backup(self) -> Path:
        return files.backup_of(self.path, self.place[1])

    @property
    def format(self) -> Format:
        return Format.of(self.path)

    def entry(self, text: str | None) -> object:
        """What stands at our place; None if nothing does."""
        return ((self.format.servers(text, self.place[0]) or {}) if text else {}).get(self.place[1])

    def install(self, value: Mapping[str, Value]) -> Change | None:
        """The change that writes an entry; None when it stands there already.

        Raises:
            InstallError: the file cannot be read, or not be changed safely.
        """
        before = files.read(self.path)
        present = self.entry(before)
        if present == value:
            return None
        # An entry of ours that is replaced leaves no more trace than one that is new.
        origins = list(self._origins(before, present))
        return Change(
            path=self.path,
            backup=self.backup,
            before=before,
            after=self.format.with_entry((origins[0] if origins else before) or "", self.place, value),
            keeps_backup=bool(origins),
            conflict=""
            if present is None or is_ours(present)
            else f"`{self.place[1]}` is there already and starts something else",
        )

    def uninstall(self) -> Change | None:
        """The change that takes our entry back; None when there is none.

        A file in which nothing else has changed since becomes what it was, to the byte.
        """
        before = files.read(self.path)
        present = self.entry(before)
        if present is None or before is None:
            return None
        conflict = "" if is_ours(present) else f"`{self.place[1]}` does not start mlops-mcp"
        for origin in self._origins(before, present):
            return Change(self.path, self.backup, before, origin, keeps_backup=True, restores=True, conflict=conflict)
        after = self.format.without_entry(before, self.place, keep_key=self._had_key())
        return Change(self.path, self.backup, before, after, conflict=conflict)

    def _origins(self, text: str | None, present: object) -> Iterator[str | None]:
        """The backup, or None where there is none, if nothing but installing the entry makes this text of it."""
        if not isinstance(present, Mapping):
            return
        origin = self._kept()
        if self.entry(origin) is None and self.format.with_entry(origin or "", self.place, present) == text:
            yield origin

    def _had_key(self) -> bool:
        kept = self._kept()
        return bool(kept) and self.format.servers(kept or "", self.place[0]) is not None

    def _kept(self) -> str | None:
        """The backup, if it can be read."""
        try:
            text = files.read(self.backup)
            self.format.read(text or "")
        except InstallError:
            return None
        return text
