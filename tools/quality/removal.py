"""How suites, all versions or one, and validations go."""

from __future__ import annotations

import contextlib

from ..errors import ToolFailure, unknown
from ..handles import parse
from ..removal import Found, Gone, Removal, Remover, erase, kept
from ..runtime.work import Work
from .client import validations
from .published import withdraw
from .suites import SuiteStore


def find(work: Work, text: str) -> Found:
    """The stored versions of a suite, or one of them.

    Raises:
        ToolFailure: it is unknown, or built in and nothing else.
    """
    store, wanted = SuiteStore(work.settings), parse(text, "suite")
    known = wanted.name in store.names()
    files = store.files(wanted.name) if known else {}
    if wanted.version:
        files = {number: file for number, file in files.items() if str(number) == wanted.version}
    if not known or (wanted.version and not files):
        if known and store.get(text).created == "":
            raise _built_in(text)
        raise unknown("suite", text, store.names(), "list_suites shows all.")
    if not files:
        raise _built_in(text)
    handles = tuple(f"suite:{wanted.name}@{number}" for number in files)
    return Found(handles if wanted.version else (f"suite:{wanted.name}", *handles), tuple(files.values()))


def remove(work: Work, found: Found) -> None:
    there = [path for path in found.paths if path.is_file()]
    if not there:
        raise Gone(found.handles)
    # The newest first: what is left of a crash is the suite as it once was.
    for path in reversed(there):
        erase(work.settings, [path])
    with contextlib.suppress(OSError):  # other versions are in it
        there[0].parent.rmdir()
    SuiteStore(work.settings).gone(there[0].parent.name)


def remove_validation(work: Work, found: Found) -> None:
    """What a project shows of it goes first."""
    for handle in found.handles:
        withdraw(work.settings, handle)
    KEPT.remove(work, found)


def _built_in(text: str) -> ToolFailure:
    return ToolFailure(
        f"{text} is built in, or belongs to the Great Expectations project",
        "Settings great_expectations.default_suites and context_root say which ones there are.",
    )


KEPT = kept("validation", validations, "validate_dataset makes one.")
REMOVAL = Removal(
    removers={
        "suite": Remover(find, remove),
        "validation": Remover(KEPT.find, remove_validation),
    }
)
