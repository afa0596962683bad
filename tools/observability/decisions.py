"""Record and list decisions."""

from __future__ import annotations

from ..decisions import Decision, Decisions, Entry, normal
from ..errors import ToolFailure
from ..lineage import Lineage
from ..paging import Page, keyset_page, position_of
from ..runtime.work import Work
from ..tracing.redaction import Redactor
from ..tracing.span import current
from ..undo import deletes
from .models import Recorded

LIST = "decisions"
# Characters of a text, and how many there may be of a list.
MOST = {"decided": 500, "reason": 4000, "agent": 100, "alternatives": 300}
MOST_HANDLES, MOST_ALTERNATIVES = 20, 10
# Kinds of things that stand in the lineage as soon as they are made.
IN_LINEAGE = ("dataset", "model", "models", "bento", "explanation", "endpoint")


def record_decision(
    work: Work, decided: str, reason: str, handles: list[str], alternatives: list[str], agent: str
) -> Recorded:
    """Note a decision about things; said again it is the same one.

    Raises:
        ToolFailure: nothing is said or named, a text is too long, or what is named is no handle.
    """
    about = tuple(dict.fromkeys(normal(handle) for handle in handles))
    _check({"decided": [decided], "reason": [reason], "agent": [agent or "-"], "alternatives": alternatives})
    if not 1 <= len(about) <= MOST_HANDLES or len(alternatives) > MOST_ALTERNATIVES:
        raise ToolFailure(
            f"a decision is about 1 to {MOST_HANDLES} handles and has up to {MOST_ALTERNATIVES} alternatives",
            "Name what it is about, e.g. the runs that were compared.",
        )
    clean = work.once(Redactor.of)
    entry = Entry(
        clean(decided.strip()), clean(reason.strip()), tuple(map(clean, about)), tuple(map(clean, alternatives)),
        clean(agent.strip()), work.by.name, current().trace_id,
    )  # fmt: skip
    kept, new = Decisions(work.home).record(entry)
    shown = kept.shown()
    return Recorded(**shown.model_dump(), notes=_unheard_of(work, about), undo=deletes(shown.decision) if new else None)


def list_decisions(work: Work, handle: str, limit: int, cursor: str) -> Page[Decision]:
    """Decisions about a thing (of a name also those about its versions), or all, newest first."""
    about, after, log = [normal(handle)] if handle else [], position_of(LIST, cursor), Decisions(work.home)
    shown, following = keyset_page(LIST, log.listed(about, limit + 1, after), limit, lambda each: each.position)
    return Page(items=[entry.shown() for entry in shown], total=log.count(about), next_cursor=following)


def _check(texts: dict[str, list[str]]) -> None:
    for name, given in texts.items():
        for text in given:
            if not text.strip() or len(text) > MOST[name]:
                raise ToolFailure(f"{name} has 1 to {MOST[name]:,} characters", "Say it in fewer words, or at all.")


def _unheard_of(work: Work, handles: tuple[str, ...]) -> list[str]:
    """A misspelt handle leads nobody to its decision."""
    asked = [handle for handle in handles if handle.partition(":")[0] in IN_LINEAGE]
    lineage = Lineage(work.home)
    known = [each for each in asked if lineage.ancestors(each, 1) or lineage.descendants(each, 1)]
    unknown = [each for each in asked if each not in known and ("@" in each or "/" in each)]
    return [f"{', '.join(unknown)}: nothing of that name was made here"] if unknown else []
