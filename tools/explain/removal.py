"""How explanations go."""

from __future__ import annotations

from collections.abc import Iterator

from ..lineage import Lineage
from ..removal import Leftover, Removal, files_in, kept, written
from ..runtime.work import Work
from .kept import explanations


def leftovers(work: Work) -> Iterator[Leftover]:
    """Explanations that nothing was made from: each can be made again."""
    lineage, folder = Lineage(work.home), explanations(work)
    for path in sorted(folder.glob("[!.]*")) if folder.is_dir() else ():
        handle = f"explanation:{path.name}"
        if not lineage.descendants(handle, 1):
            yield Leftover("explanation", handle, (path,), written(files_in([path])), handle)


REMOVAL = Removal(
    removers={"explanation": kept("explanation", explanations, "explain_model makes one.")}, leftovers=leftovers
)
