"""A folder as one file and back, while others go on to write in it.

A ZIP archive whose last member is a manifest with the SHA-256 of every other one. Databases of SQLite are copied by its
backup interface (https://www.sqlite.org/backup.html), first and so as they were before any file that they do not know
of yet; what goes by renaming is whole whenever it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Annotated

from pydantic import BaseModel, ConfigDict, Field

from ..errors import ToolFailure
from .database import TIMEOUT_S, is_database
from .state_files import draft_of, private_file, private_folder, remove_old_drafts

FORMAT = 2
MANIFEST = "manifest.json"
CONTENT = "state/"
PIECE = 1 << 20
MAX_MANIFEST = 256 << 20
# How reading a ZIP archive that is none, or was changed, ends.
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
# Drafts of files, with what SQLite puts beside them; what it puts beside a database.
DRAFT = re.compile(r"\..+\.[0-9a-f]{32}(-wal|-shm|-journal)?")
BESIDE = re.compile(r"(.+)-(wal|shm|journal)")
LOCK = ".lock"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Member(Part):
    size: Annotated[int, Field(ge=0)]
    sha256: str


class Manifest(Part):
    """What an archive holds; `home` is the folder that it was made of, `version` who made it.

    `seal` says that the installation of that folder did: over all of the rest, and so over every file.
    """

    format: int
    version: str
    home: str
    created: str
    files: dict[str, Member]
    seal: str = ""

    @property
    def sealed(self) -> bytes:
        """What the seal is of."""
        return self.model_dump_json(exclude={"seal"}).encode()

    @property
    def bytes(self) -> int:
        return sum(each.size for each in self.files.values())


def pack(
    folder: Path,
    target: Path,
    version: str,
    created: str,
    skipped: tuple[str, ...],
    seal: Callable[[bytes], str] = lambda _: "",
) -> Manifest:
    """Write the archive of a folder, whole or not at all, for its owner only.

    Args:
        skipped: patterns of relative paths that stay out.
        seal: of the manifest.

    Raises:
        OSError: no room, or a file that cannot be read.
        ToolFailure: a database that is locked all the time, or a name that is no text.
    """
    remove_old_drafts(target)
    with draft_of(target) as draft:
        with os.fdopen(private_file(draft), "wb") as opened:
            with zipfile.ZipFile(opened, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
                members = _packed(folder, target, file, skipped)
                manifest = Manifest(format=FORMAT, version=version, home=str(folder), created=created, files=members)
                manifest = manifest.model_copy(update={"seal": seal(manifest.sealed)})
                file.writestr(MANIFEST, manifest.model_dump_json())
            opened.flush()
            os.fsync(opened.fileno())
        draft.replace(target)
    return manifest


def links(folder: Path, skipped: tuple[str, ...]) -> list[Path]:
    """What `pack` leaves out since it may lie elsewhere."""
    return list(_found(folder, skipped, stat.S_ISLNK))


def _packed(folder: Path, target: Path, file: zipfile.ZipFile, skipped: tuple[str, ...]) -> dict[str, Member]:
    made: dict[str, Member] = {}
    for path in filter(is_database, list(_found(folder, skipped, stat.S_ISREG))):
        with draft_of(target) as copy:
            if _copy_database(path, copy):
                made[_name(folder, path)] = _add(file, _name(folder, path), copy)
    for path in _found(folder, skipped, stat.S_ISREG):
        if (name := _name(folder, path)) not in made:
            with suppress(FileNotFoundError):  # it went meanwhile
                made[name] = _add(file, name, path)
    return made


def _name(folder: Path, path: Path) -> str:
    name = path.relative_to(folder).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ToolFailure(f"{name!r} has a name that no archive can hold", "Rename it.") from None
    return name


def _found(folder: Path, skipped: tuple[str, ...], is_kind: Callable[[int], bool]) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here, there = Path(place), sorted([*folders, *names])
        folders[:] = sorted(name for name in folders if _is_kept(folder, here / name, skipped, stat.S_ISDIR))
        yield from (here / name for name in there if _is_kept(folder, here / name, skipped, is_kind))


def _is_kept(folder: Path, path: Path, skipped: tuple[str, ...], is_kind: Callable[[int], bool]) -> bool:
    relative = path.relative_to(folder).as_posix()
    if DRAFT.fullmatch(path.name) or any(fnmatchcase(relative, pattern) for pattern in skipped):
        return False
    with suppress(FileNotFoundError):
        facts = path.lstat()
        return is_kind(facts.st_mode) and not (stat.S_ISREG(facts.st_mode) and _is_passing(path, facts.st_size))
    return False


def _is_passing(path: Path, size: int) -> bool:
    """Whether a file stands for a process or a transaction that is under way; users have files of such names too."""
    if path.name.endswith(LOCK):
        return size == 0
    beside = BESIDE.fullmatch(path.name)
    return beside is not None and _may_be_database(path.with_name(beside[1]))


def _may_be_database(path: Path) -> bool:
    """Also while SQLite makes it."""
    return path.is_file() and (path.stat().st_size == 0 or is_database(path))


def _copy_database(path: Path, copy: Path) -> bool:
    """Whether there is a copy: what only begins like a database is a file like any other."""
    os.close(private_file(copy))
    source = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with (
            closing(sqlite3.connect(source, uri=True, timeout=TIMEOUT_S)) as opened,
            closing(sqlite3.connect(copy)) as target,
        ):
            opened.backup(target)
    except sqlite3.OperationalError as error:
        raise ToolFailure(f"{path} cannot be copied: {error}", "Try again.") from error
    except sqlite3.DatabaseError:
        return False
    return True


def _add(file: zipfile.ZipFile, name: str, path: Path) -> Member:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as source, file.open(f"{CONTENT}{name}", "w", force_zip64=True) as target:
        while piece := source.read(PIECE):
            target.write(piece)
            digest.update(piece)
            size += len(piece)
    return Member(size=size, sha256=digest.hexdigest())


def read_manifest(archive: Path) -> Manifest:
    """What an archive says it holds.

    Raises:
        ToolFailure: it is none of ours, was cut short, or was made by a later version.
    """
    with _opened(archive) as file:
        return _manifest(file, archive)


def unpack(archive: Path, folder: Path) -> Manifest:
    """Write what an archive holds into an empty folder, and look at every digest on the way.

    Raises:
        ToolFailure: it is no archive of ours, or not as it was written.
        OSError: no room.
    """
    with _opened(archive) as file:
        manifest = _manifest(file, archive)
        _require_room(folder, manifest)
        for name, member in manifest.files.items():
            target = folder / name
            private_folder(target.parent)
            with os.fdopen(private_file(target), "wb") as written:
                _extract(file, name, member, written)
    return manifest


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, EOFError) as error:
        raise _damaged(archive.name, str(error)) from error


def _manifest(file: zipfile.ZipFile, archive: Path) -> Manifest:
    names = [each.filename for each in file.infolist()]
    try:
        if file.getinfo(MANIFEST).file_size > MAX_MANIFEST:
            raise _damaged(archive.name, "its manifest is too long")
        content = json.loads(file.read(MANIFEST))
        if content["format"] > FORMAT:
            raise ToolFailure(
                f"{archive.name} was made by mlops-mcp {content['version']}, which writes a later form of it",
                "Restore it with that version.",
            )
        manifest = Manifest.model_validate(content)
    except (KeyError, ValueError, TypeError, *BROKEN) as error:
        raise _damaged(archive.name, f"it has no manifest of a backup ({type(error).__name__})") from error
    if sorted(names) != sorted([MANIFEST, *(f"{CONTENT}{name}" for name in manifest.files)]):
        raise _damaged(archive.name, "it holds other files than its manifest names")
    for name in manifest.files:
        _require_inside(archive.name, name)
    return manifest


def _require_inside(archive: str, name: str) -> None:
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise _damaged(archive, f"{name[:100]!r} leads out of the folder")


def _require_room(folder: Path, manifest: Manifest) -> None:
    free = shutil.disk_usage(folder).free
    if free < manifest.bytes:
        raise ToolFailure(f"{manifest.bytes >> 20} MB are needed, and {free >> 20} MB are free", "Make room first.")


def _extract(file: zipfile.ZipFile, name: str, member: Member, written: IO[bytes]) -> None:
    digest, size = hashlib.sha256(), 0
    try:
        with file.open(f"{CONTENT}{name}") as source:
            while size <= member.size and (piece := source.read(PIECE)):
                written.write(piece)
                digest.update(piece)
                size += len(piece)
    except (*BROKEN, ValueError) as error:
        raise _damaged(name, str(error)) from error
    if (size, digest.hexdigest()) != (member.size, member.sha256):
        raise _damaged(name, "it is not what was written")


def _damaged(name: str, why: str) -> ToolFailure:
    return ToolFailure(f"{name} is damaged: {why}", "Nothing was restored. Take another backup.")
