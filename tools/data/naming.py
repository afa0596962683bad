"""By which names a dataset goes: the same rows under several handles, the file or log they came from, tables in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ToolFailure
from ..handles import Handle, parse
from ..lineage import LOADED_UNASKED, Edge, Lineage
from ..runtime.work import Work
from .answers import ENDPOINT, dataset_name
from .sandbox import sandbox
from .sources import PREFIX
from .statement import query_of
from .store import cards, datasets, file_of, looks_like_path

if TYPE_CHECKING:
    import duckdb

FILE = "file:"
OF_FILES = ("sqlite", "duckdb")


def other_names(work: Work, texts: Sequence[str]) -> dict[str, list[str]]:
    """What else each text may stand for as a dataset, or as a query of some: handles, `file:<path>`, `source:<name>`.

    A path stands for the datasets that were loaded from it, whatever it holds by now.
    """
    with ExitStack() as stack:
        names = _Names(work, stack)
        return {text: sorted(set(names.of(text))) for text in texts}


@dataclass(frozen=True)
class _Names:
    """The datasets of an installation, by what they may be called."""

    work: Work
    stack: ExitStack = field(compare=False)

    @cached_property
    def _known(self) -> list[Handle]:
        return [Handle("dataset", *card.stem.split("@")) for card in cards(self.work)]

    @cached_property
    def _lineage(self) -> Lineage:
        return Lineage(self.work.home)

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        return self.stack.enter_context(sandbox(self.work.settings))

    def of(self, text: str) -> Iterator[str]:
        yield from self._of_dataset(text)
        yield from self._of_source(text)
        if text.strip().startswith(ENDPOINT):
            # Also before it is loaded for the first time.
            yield f"dataset:{dataset_name(text.strip().removeprefix(ENDPOINT))}"
        for table in self._tables(text):
            yield table
            yield from self._of_dataset(table)

    def _of_dataset(self, text: str) -> Iterator[str]:
        for digest in {handle.version for handle in self._datasets(text)}:
            yield str(file_of(self.work, digest).resolve())
            for twin in self._with(digest):
                yield str(twin)
                yield from self._parents(twin)

    def _of_source(self, text: str) -> Iterator[str]:
        """A database that is named, with or without a table of it, and the file that it is."""
        name = text.strip().removeprefix(PREFIX).partition("/")[0]
        if name in self.work.settings.data.sources:
            yield f"{PREFIX}{name}"
            scheme, _, file = self.work.settings.data.sources[name].get_secret_value().partition(":///")
            if file and scheme in OF_FILES:
                yield str(Path(file).expanduser().resolve())

    def _datasets(self, text: str) -> Iterable[Handle]:
        if text.strip().startswith(PREFIX):
            return ()
        if text.strip().startswith(ENDPOINT):
            return self._logged(text.strip())
        if looks_like_path(text) or text.startswith("/"):
            return self._from_path(text)
        try:
            wanted = parse(text, "dataset")
        except ToolFailure:
            return ()
        name = wanted.name.lower()  # as a table of a query
        return [each for each in self._known if each.name == name and wanted.version in ("", each.version)]

    def _from_path(self, text: str) -> Iterator[Handle]:
        try:
            path = Path(text.strip().removeprefix(FILE)).expanduser().resolve()
        except (OSError, RuntimeError, ValueError):
            return
        if path.parent == datasets(self.work).resolve():
            yield from self._with(path.stem.rpartition("@")[2])
        found = {edge.child for edge in self._lineage.descendants(f"{FILE}{path}") if edge.parent == f"{FILE}{path}"}
        yield from (each for each in self._known if str(each) in found)

    def _logged(self, endpoint: str) -> list[Handle]:
        """What was read from its log; what its model has answered for datasets has it among its parents too."""
        edges = self._lineage.descendants(endpoint)
        found = {edge.child for edge in edges if edge.parent == endpoint and edge.by == LOADED_UNASKED}
        return [each for each in self._known if str(each) in found]

    def _with(self, digest: str) -> list[Handle]:
        return [each for each in self._known if each.version == digest]

    def _parents(self, handle: Handle) -> Iterator[str]:
        for edge in self._lineage.ancestors(str(handle)):
            if edge.child == str(handle) and _is_source(edge):
                yield edge.parent

    def _tables(self, text: str) -> list[str]:
        """Those of a query; a text without a blank is none."""
        if len(text.split()) < 2:
            return []
        try:
            return [".".join(path) for path in query_of(self._connection, text).tables]
        except ToolFailure:  # no query, or one that is not run
            return []


def _is_source(edge: Edge) -> bool:
    """Whether the rows are those of the parent, not made of them."""
    return edge.parent.startswith((FILE, PREFIX)) or (edge.parent.startswith(ENDPOINT) and edge.by == LOADED_UNASKED)
