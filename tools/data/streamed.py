"""A delimited file in one pass: its blocks are read by all cores while those before them are stored.

What its columns are is guessed from its first rows. Where a later row shows another thing, or the file is not plain
enough, nothing of it is kept, and it is read as if this had not been tried; what is read is the same.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import ToolFailure
from ..user_files import held
from .blocks import UnlikeError, bodies, layout_at, require_no_blank_lines, require_text
from .cells import FIRST, Convention, missing_words
from .columns import notes_on
from .delimited import BLOCKS, Ragged, parsed
from .extents import MAX_CELL_MB, require_cells
from .guesses import Guess, Kept, Numbers, Part, guess_of
from .large import Large, Tell
from .layout import Layout
from .models import ReadOptions
from .pieces import grouped
from .readers import told

if TYPE_CHECKING:
    import pyarrow as pa

# Smaller files take no time.
LEAST = 8 << 20
# Bytes of text that a thread reads at once, and how many blocks there may be of rows by which the columns are guessed.
BLOCK, HEAD_BLOCKS = 8 << 20, 8
# Bytes that are parsed at once, so that they and their cells stay near a core.
CHUNK = 2 << 20
# Blocks that are read ahead for each core, while others are stored.
AHEAD = 4


def is_streamed(source: Path) -> bool:
    return source.is_file() and source.stat().st_size >= LEAST


@contextmanager
def read_streamed(source: Path, options: ReadOptions, tell: Tell) -> Generator[Large | None]:
    """The rows of a file; None where it is not plain enough. Its notes are whole once all parts have been read.

    Raises:
        UnlikeError: while the parts are read: the file has to be read otherwise.
        ToolFailure: it is too large.
    """
    with held(source) as file:
        stream = _stream(source.name, file, options, tell)
        if stream is None:
            yield None
            return
        # Whoever reads no further has no thread that does.
        with closing(stream.parts()) as parts:
            yield Large(grouped(parts), stream.notes)


def _stream(name: str, file: BinaryIO, options: ReadOptions, tell: Tell) -> Stream | None:
    with suppress(UnlikeError, ToolFailure), told(name):
        layout = layout_at(name, file, options, BLOCK)
        if set(options.asked.values()) <= {"text"} and options.asked.keys() <= set(layout.names):
            return Stream(name, file, layout, options, tell)
    return None


@dataclass(frozen=True)
class Stream:
    """A file that is at its first record."""

    name: str
    file: BinaryIO
    layout: Layout
    options: ReadOptions
    tell: Tell
    notes: list[str] = field(default_factory=list[str])

    def parts(self) -> Generator[pa.Table]:
        import pyarrow as pa

        size, rows = os.fstat(self.file.fileno()).st_size >> 20, 0
        with told(self.name):
            texts = bodies(self.file, self.layout, BLOCK)
            head = self._head(texts)
            guesses = self._guesses(pa.concat_tables(head))
            with closing(self._ahead(head, texts, guesses)) as ahead:
                for found in ahead:
                    table = pa.table({name: part.values for name, part in found.items()})
                    rows += len(table)
                    require_cells(self.name, rows, len(self.layout.names))
                    for name, part in found.items():
                        guesses[name].take(part)
                    self.tell(self.file.tell() >> 20, size, "MB of text read")
                    yield table
        self.notes.extend(self._said(guesses))

    def _head(self, texts: Iterator[bytes]) -> list[pa.Table]:
        """As many blocks as have the rows by which text is told."""
        tables: list[pa.Table] = []
        for text in texts:
            tables.append(self._table(text))
            if sum(map(len, tables)) >= FIRST:
                break
            if len(tables) == HEAD_BLOCKS:
                raise UnlikeError
        if not tables:
            raise UnlikeError
        return tables

    def _guesses(self, head: pa.Table) -> dict[str, Guess]:
        from concurrent.futures import ThreadPoolExecutor

        import pyarrow as pa

        convention = Convention(self.options.decimal, bool(self.options.decimal), self.options.day_first)
        missing, names = missing_words(self.options), self.layout.names
        with ThreadPoolExecutor(max_workers=pa.cpu_count()) as pool:
            found = pool.map(lambda name: self._guess(name, head, convention, missing), names)
            guesses = dict(zip(names, found, strict=True))
        if self.layout.separator == ";" and any(isinstance(guess, Numbers) for guess in guesses.values()):
            raise UnlikeError  # where a point may group thousands, the other columns have a say
        return guesses

    def _guess(self, name: str, head: pa.Table, convention: Convention, missing: Sequence[str]) -> Guess:
        if name in self.options.asked:
            return Kept(missing_words(self.options, ("",)))
        return guess_of(head.column(name), convention, missing)

    def _ahead(
        self, head: Iterable[pa.Table], texts: Iterator[bytes], guesses: Mapping[str, Guess]
    ) -> Generator[dict[str, Part]]:
        """The blocks in their order, the next of which are being read while one is stored."""
        from concurrent.futures import Future, ThreadPoolExecutor

        import pyarrow as pa

        waiting = deque[Future[dict[str, Part]]]()
        pool = ThreadPoolExecutor(max_workers=pa.cpu_count())
        try:
            for block in chain(head, texts):
                waiting.append(pool.submit(self._read, block, guesses))
                if len(waiting) > AHEAD * pa.cpu_count():
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, block: bytes | pa.Table, guesses: Mapping[str, Guess]) -> dict[str, Part]:
        table = self._table(block) if isinstance(block, bytes) else block
        return {name: guess.read(table.column(name)) for name, guess in guesses.items()}

    def _table(self, body: bytes) -> pa.Table:
        """The cells of a block as text."""
        import pyarrow as pa

        require_text(body)
        if len(body) > MAX_CELL_MB << 20:
            raise UnlikeError  # a cell may be too large
        bad = Ragged()
        try:
            table = parsed(replace(self.layout, body=body), bad, (CHUNK, BLOCKS[-1]), threads=False)
        except pa.ArrowInvalid:
            raise UnlikeError from None
        if bad.rows:
            raise UnlikeError
        require_no_blank_lines(body, table.num_rows)
        return table

    def _said(self, guesses: Mapping[str, Guess]) -> list[str]:
        first = f"delimiter {self.layout.delimiter}, types inferred from text"
        columns = {name: guess.column() for name, guess in guesses.items()}
        return [first, *self.layout.notes, *notes_on(columns)]
