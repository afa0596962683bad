"""How decisions go."""

from __future__ import annotations

from ..decisions import Decisions
from ..errors import ToolFailure, unknown
from ..handles import parse
from ..removal import Found, Gone, Removal, Remover
from ..runtime.work import Work


def find(work: Work, text: str) -> Found:
    name, log = parse(text, "decision").name, Decisions(work.home)
    held = log.get(name)
    if held is None:
        recent = (entry.shown().decision for entry in log.listed((), 50))
        raise unknown("decision", text[:200], recent, "list_decisions.", limit=3)
    if not work.by.owns(held.by):
        # Who else could take it back could have the log say that nobody was against.
        raise ToolFailure(
            f"decision:{name} was recorded by {held.by or 'whoever has the machine'}",
            "Only they, or an administrator, take it back; record_decision adds another one.",
        )
    return Found((f"decision:{name}",), notes=("what was decided about stays",))


def remove(work: Work, found: Found) -> None:
    if not Decisions(work.home).remove(parse(found.handles[0], "decision").name):
        raise Gone(found.handles)


REMOVAL = Removal(removers={"decision": Remover(find, remove)})
