"""How things go: each slice says it of its own in its `removal.py`, which is imported when something is deleted."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ..config.settings import Settings
from .errors import ToolFailure, unknown
from .handles import parse
from .replica.steps import released
from .runtime.work import Work
from .slices import SLICES, declared, removing


@dataclass(frozen=True)
class Hold:
    """`by` is alive and needs `handle`; the call `frees` ends that."""

    handle: str
    by: str
    frees: str


@dataclass(frozen=True)
class Found:
    """What a handle stands for.

    Args:
        handles: all that goes with it, each in full.
        paths: the files that are freed.
        called: under which other handles it may be in use, e.g. without its version.
        holds: why it has to stay.
        restorable: whether it can be brought back.
    """

    handles: tuple[str, ...]
    paths: tuple[Path, ...] = ()
    called: tuple[str, ...] = ()
    holds: tuple[Hold, ...] = ()
    restorable: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leftover:
    """What nothing refers to any more; `since` (seconds since the epoch) is when it was last written."""

    kind: str
    name: str
    paths: tuple[Path, ...]
    since: float
    handle: str = ""


class Gone(ToolFailure):
    """It was there once."""

    def __init__(self, handles: tuple[str, ...], restorable: bool = False) -> None:
        super().__init__(f"{handles[0]} is deleted already")
        self.handles = handles
        self.restorable = restorable


@dataclass(frozen=True)
class Remover:
    """How one kind of thing goes.

    Args:
        find: what a handle stands for. Raises Gone, or ToolFailure for what never was.
        remove: takes the record away first and the files after it, so that what is left of a crash is no broken
            handle. Raises Gone if another call was faster.
        restore: brings back what `find` calls restorable; what came back.
    """

    find: Callable[[Work, str], Found]
    remove: Callable[[Work, Found], None]
    restore: Callable[[Work, str], Found] | None = None


def _no_holds(_work: Work, _handles: Collection[str]) -> Iterable[Hold]:
    return ()


def _no_leftovers(_work: Work) -> Iterable[Leftover]:
    return ()


def _nothing_remains(_work: Work) -> Iterable[str]:
    return ()


def _unguarded(_work: Work) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Removal:
    """What a slice says of deleting.

    Args:
        removers: by the kind of handle.
        holds: which of some handles its living things need; it may say more than it was asked.
        leftovers: what of its files nothing refers to.
        guard: held while leftovers without a handle are looked for and freed.
        remains: in words, what is deleted, takes room, and is for others to free.
    """

    removers: Mapping[str, Remover]
    holds: Callable[[Work, Collection[str]], Iterable[Hold]] = _no_holds
    leftovers: Callable[[Work], Iterable[Leftover]] = _no_leftovers
    guard: Callable[[Work], AbstractContextManager[None]] = _unguarded
    remains: Callable[[Work], Iterable[str]] = _nothing_remains


def removal_of(name: str) -> Removal:
    removal: Removal = import_module(f"{__package__}.{name}.removal").REMOVAL
    return removal


def removals() -> list[Removal]:
    return [removal_of(name) for name in SLICES if declared(name).removes]


def remover_of(kind: str) -> Remover:
    """How a kind goes; `kind` is one of `slices.removing()`."""
    return removal_of(removing()[kind]).removers[kind]


def roots(settings: Settings) -> tuple[Path, ...]:
    """The folders that are ours alone."""
    stores = (settings.home, settings.gx_home, settings.feast_home, settings.bentoml_home)
    return tuple(folder.expanduser().resolve() for folder in stores)


def kept(kind: str, folder: Callable[[Work], Path], hint: str) -> Remover:
    """How things go that are a file `<id>.json`, or a folder `<id>`, in one folder.

    Args:
        hint: what an error for an unknown one says last.
    """

    def find(work: Work, text: str) -> Found:
        name = parse(text, kind).name
        known = {path.name.removesuffix(".json"): path for path in _entries(folder(work))}
        if name not in known:
            raise unknown(kind, text[:200], (f"{kind}:{each}" for each in known), hint)
        return Found((f"{kind}:{name}",), (known[name],))

    def remove(work: Work, found: Found) -> None:
        released(work.settings, found.paths)
        erase(work.settings, [set_aside(found, path) for path in found.paths])

    return Remover(find, remove)


def set_aside(found: Found, path: Path, folder: Path | None = None) -> Path:
    """Take a file or folder its name in one step: what is left of a crash is no half of a thing under its handle.

    Args:
        folder: where it is put instead of beside its place.

    Raises:
        Gone: another call was faster.
    """
    aside = (folder or path.parent) / f".{path.name}.{uuid.uuid4().hex}"
    try:
        path.rename(aside)
    except FileNotFoundError:
        raise Gone(found.handles) from None
    return aside


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


def require_ours(settings: Settings, paths: Iterable[Path]) -> None:
    """Raises ToolFailure for a path that lies, or is led by a link, outside of the folders that are ours."""
    for path in paths:
        parent = path.parent.resolve()
        if not any(parent.is_relative_to(root) for root in roots(settings)):
            raise ToolFailure(f"{path} leads out of the state folder", "It is not touched: look at that link.")


def erase(settings: Settings, paths: Iterable[Path]) -> None:
    """Delete files and folders; of a link the link itself."""
    chosen = tuple(paths)
    require_ours(settings, chosen)
    released(settings, chosen)
    for path in chosen:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def files_in(paths: Iterable[Path]) -> list[Path]:
    """All files at or below some paths; links are not followed."""
    found: list[Path] = []
    for path in paths:
        if path.is_symlink() or not path.is_dir():
            found += [path] if path.is_symlink() or path.exists() else []
        else:
            found += files_in(path.iterdir())
    return found


def size_of(files: Iterable[Path]) -> int:
    return sum(file.lstat().st_size for file in files)


def written(paths: Iterable[Path]) -> float:
    """When the newest of some files was written."""
    return max((path.lstat().st_mtime for path in paths), default=0.0)
