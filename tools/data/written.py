"""Rows as a Parquet file: the same rows make the same file, however they come, and its digest is known at its end."""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ToolFailure
from ..storage.state_files import private_file
from .pieces import STEP

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from _typeshed import ReadableBuffer


class _Digested(io.BufferedWriter):
    """A file that is not read again to know what is in it."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(private_file(path), "w"))
        self.sha256 = hashlib.sha256()

    def write(self, data: ReadableBuffer, /) -> int:
        self.sha256.update(data)
        return super().write(data)


def write(parts: Iterable[pa.Table], path: Path) -> str:
    """The SHA-256 of a new file of the owner's alone; each part, of which there is at least one, becomes a group.

    Raises:
        ToolFailure: a column that cannot be stored.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _Digested(path) as file, ExitStack() as stack:
        writer: pq.ParquetWriter | None = None
        try:
            for part in parts:
                writer = writer or stack.enter_context(pq.ParquetWriter(file, part.schema, **_ways(part)))
                writer.write_table(part)
            stack.close()
        except pa.ArrowNotImplementedError as error:
            raise ToolFailure(
                f"a column cannot be stored: {error}", "Cast it, e.g. to VARCHAR, or leave it out."
            ) from error
        return file.sha256.hexdigest()


def _ways(first: pa.Table) -> dict[str, Any]:
    """How a file is written that begins with these rows.

    A dictionary of real numbers takes longer than all the rest, and one of values that differ is thrown away once it is
    full; both make files larger.
    """
    return {"compression": "zstd", "use_dictionary": [name for name in first.column_names if _recurs(first, name)]}


def _recurs(first: pa.Table, name: str) -> bool:
    """Whether values come twice, by the first rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    head = first.column(name).slice(0, STEP)
    if pa.types.is_floating(head.type):
        return False
    try:
        return 2 * int(pc.count_distinct(head).as_py()) <= len(head)
    except pa.ArrowNotImplementedError:  # nested
        return False
