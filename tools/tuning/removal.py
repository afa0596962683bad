"""How studies go. That one chose parameters by some rows stays known: models may have them."""

from __future__ import annotations

from ..errors import unknown
from ..handles import parse
from ..locks import locked
from ..removal import Found, Gone, Removal, Remover, erase, kept
from ..runtime.work import Work
from .compare import comparisons
from .storage import driver, forget, journal, names, require_storage


def find(work: Work, text: str) -> Found:
    require_storage(work)
    name, known = parse(text, "study").name, names(work)
    if name not in known:
        raise unknown("study", text[:200], (f"study:{each}" for each in known), "tune_model makes one.")
    file = journal(work, name)
    return Found((f"study:{name}",), (file,) if file.is_file() else ())


def remove(work: Work, found: Found) -> None:
    name = parse(found.handles[0], "study").name
    with locked(driver(work, name), 0, f"{found.handles[0]} is being tuned by a job", "cancel_job ends it."):
        if not forget(work, name):
            raise Gone(found.handles)
        erase(work.settings, found.paths)


REMOVAL = Removal(
    removers={
        "study": Remover(find, remove),
        "comparison": kept("comparison", comparisons, "compare_models makes one."),
    }
)
