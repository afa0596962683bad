"""The slices, in the order in which an agent meets them, and what each declares about itself in its `slice.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Literal

SLICES = (
    "data",
    "quality",
    "features",
    "tracking",
    "registry",
    "training",
    "tuning",
    "causal",
    "explain",
    "serving",
    "observability",
    "jobs",
    "upkeep",
)
Reached = Literal["files", "network", "anything"]
# Without tools of its own: what the slices above share.
SHARED = ("modeling",)


@dataclass(frozen=True)
class Slice:
    """What the tree knows of a slice before anything of it is imported.

    Args:
        floor: where it stands; every import goes down (see `tests/test_architecture.py`).
        extra: of pyproject.toml, which installs `libraries` (top-level modules).
        needs: the libraries, also those of others, without which none of its tools does its work: it is then not
            published unless it is asked for.
        stands_on: slices whose libraries it uses as well.
        preload: modules that its calls and jobs use, or `module:function` for an import that needs care. Only what
            can be forked after its import: no thread may be left. What is not installed is passed over.
        handles: the kinds of handles that name what it makes.
        removes: those of them whose things its `removal.py` takes away.
        opens: its modules that other slices may import; `*` for all.
        workers: the slice whose call workers it shares, since they use the same library.
        reach: what its workers and jobs may reach where the kernel can hold them to it: the files of the
            installation, also the network, or anything.
        files_only: its jobs, as `module:function`, that reach the files alone, whatever the others may.
    """

    floor: int
    extra: str = ""
    libraries: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    stands_on: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    handles: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()
    workers: str = ""
    reach: Reached = "files"
    files_only: tuple[str, ...] = ()


@cache
def declared(name: str) -> Slice:
    """The declaration of a slice. Raises ModuleNotFoundError for a name that is none."""
    declaration: Slice = import_module(f"{__package__}.{name}.slice").SLICE
    return declaration


def held_to(name: str, function: str = "") -> Reached:
    """What the calls of a slice may reach, or one of its jobs (`module:function`)."""
    declaration = declared(name)
    own = function.removeprefix(f"{__package__}.{name}.")
    return "files" if own in declaration.files_only else declaration.reach


@cache
def handle_kinds() -> tuple[str, ...]:
    """All kinds of handles."""
    return tuple(kind for name in SLICES for kind in declared(name).handles)


@cache
def removing() -> Mapping[str, str]:
    """Each kind of handle that can be deleted -> the slice that does it."""
    return {kind: name for name in SLICES for kind in declared(name).removes}


@cache
def extra_of(library: str) -> str:
    """The extra that installs a top-level module; empty when no slice needs it."""
    return next((each.extra for each in map(declared, (*SHARED, *SLICES)) if library in each.libraries), "")


def extras_below(extra: str) -> frozenset[str]:
    """The extras that an extra brings along."""
    return frozenset(
        declared(lower).extra
        for name in (*SHARED, *SLICES)
        if declared(name).extra == extra
        for lower in _below(name)
        if declared(lower).extra != extra
    )


def _below(name: str) -> Iterator[str]:
    for lower in declared(name).stands_on:
        yield lower
        yield from _below(lower)


def workers_of(name: str) -> str:
    """The slice whose call workers serve a toolset; one from elsewhere has its own."""
    return declared(name).workers or name if name in SLICES else name


def modules_to_preload(name: str) -> Iterator[str]:
    """What calls and jobs of a slice import, in the order to import it; its own client comes last."""
    declaration = declared(name)
    for below in declaration.stands_on:
        yield from modules_to_preload(below)
    yield from declaration.preload
    yield f"{__package__}.{name}.client"
