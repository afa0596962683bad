"""How decisions go."""

from __future__ import annotations

from ..decisions import Decisions
from ..errors import unknown
from ..handles import parse
from ..removal import Found, Gone, Removal, Remover
from ..runtime.work import Work


def find(work: Work, text: str) -> Found:
    name, log = parse(text, "decision").name, Decisions(work.home)
    if log.get(name) is None:
        recent = (entry.shown().decision for entry in log.listed((), 50))
        raise unknown("decision", text[:200], recent, "list_decisions.", limit=3)
    return Found((f"decision:{name}",), notes=("what was decided about stays",))


def remove(work: Work, found: Found) -> None:
    if not Decisions(work.home).remove(parse(found.handles[0], "decision").name):
        raise Gone(found.handles)


REMOVAL = Removal(removers={"decision": Remover(find, remove)})
