"""How jobs go once they have ended, and what those that have not ended need."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from ..errors import unknown
from ..handles import parse
from ..removal import Found, Gone, Hold, Removal, Remover, erase
from ..runtime.jobs.launch import lock_path, log_path, table_of
from ..runtime.jobs.table import JobRow
from ..runtime.models import ENDED
from ..runtime.work import Work
from ..slices import handle_kinds
from ..undo import call

# The fields of requests that take a thing of a kind whose name is another.
KINDS = {"validation": "dataset", "test": "dataset", "reference": "dataset", "current": "dataset"}


def find(work: Work, text: str) -> Found:
    name, table = parse(text, "job").name, table_of(work.settings)
    try:
        row = table.get(name)
    except KeyError:
        raise unknown("job", text[:200], (f"job:{each.id}" for each in table.recent(50)), "list_jobs.") from None
    handle = f"job:{row.id}"
    files = [lock_path(work.settings, row.id), log_path(work.settings, row.id)]
    return Found(
        handles=(handle,),
        paths=tuple(path for path in files if path.exists()),
        holds=() if row.state in ENDED else (Hold(handle, f"its process ({row.state})", _cancel(row)),),
        notes=("what it made stays",),
    )


def remove(work: Work, found: Found) -> None:
    if not table_of(work.settings).remove(parse(found.handles[0], "job").name):
        raise Gone(found.handles)
    erase(work.settings, found.paths)


def holds(work: Work, _handles: Collection[str]) -> Iterator[Hold]:
    """Whatever the request of a job names that has not ended."""
    settings = work.settings
    if not (settings.job_store or settings.home.joinpath("jobs.db").exists()):
        return
    for row in table_of(settings).unfinished():
        for handle in sorted(set(_named("", json.loads(row.request)))):
            yield Hold(handle, f"job:{row.id} ({row.tool}, {row.state})", _cancel(row))


def _named(field: str, value: Any) -> Iterator[str]:
    """The handles in a request; a bare name is of the kind that its field is called after."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _named(name, each)
    elif isinstance(value, list):
        for each in value:
            yield from _named(field, each)
    elif isinstance(value, str) and value:
        prefix = value.partition(":")[0]
        yield value if prefix in (*handle_kinds(), "models") else f"{KINDS.get(field, field)}:{value}"


def _cancel(row: JobRow) -> str:
    return call("cancel_job", job=f"job:{row.id}")


REMOVAL = Removal(removers={"job": Remover(find, remove)}, holds=holds)
