"""The dataset store: one Parquet file per content, one small JSON per name. Other slices read and write here."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ToolFailure, unknown
from ..handles import NAME, Handle, check_name, parse, slug
from ..lineage import Lineage
from ..runtime.work import Work
from ..slices import handle_kinds
from ..storage.state_files import draft_of, private_file, private_folder, remove_old_drafts, written_once
from ..user_files import readable
from .bounds import named
from .models import DatasetInfo, ReadOptions
from .readers import normalise, read_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

DIGEST_LENGTH = 12
# What a draft of any table is called after.
ROWS = "rows.parquet"


@dataclass(frozen=True)
class Dataset:
    """A stored dataset: its description and the Parquet file that holds it."""

    info: DatasetInfo
    path: Path

    @property
    def handle(self) -> str:
        return self.info.dataset

    @property
    def name(self) -> str:
        return parse(self.handle, "dataset").name

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows as an Arrow table.

        Raises:
            ToolFailure: a column that does not exist.
        """
        import pyarrow.parquet as pq

        return pq.read_table(self.path, columns=list(self.require(columns)) if columns is not None else None)

    def frame(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        return self.table(columns).to_pandas()

    def require(self, columns: Iterable[str]) -> Iterable[str]:
        """The columns, if all exist."""
        names = list(columns)
        for column in names:
            if column not in self.info.columns:
                raise unknown(f"column of {self.handle}", column, self.info.columns)
        return names


def resolve(work: Work, text: str) -> Dataset:
    """The dataset behind a handle, a bare name or the path of a readable file, which is loaded on the way.

    Raises:
        ToolFailure: nothing of that name, several versions of it, or a file that may not or cannot be read.
    """
    if _looks_like_path(text):
        return load_file(work, text, "")
    wanted = parse(text, "dataset")
    if not re.fullmatch(NAME[1:-1], wanted.name):
        raise _unknown(work, text)
    if wanted.version:
        return _exact(work, wanted)
    found = sorted((work.home / "datasets").glob(f"{wanted.name}@*.json"))
    if not found:
        raise _unknown(work, text)
    if len(found) > 1:
        newest = [info.dataset for info in _newest_first(found)]
        raise ToolFailure(f"{text!r} has {len(found)} versions", f"Pass one of {named(newest)}, newest first.")
    return _exact(work, Handle("dataset", *found[0].stem.split("@")))


def load_file(work: Work, path: str, name: str, options: ReadOptions | None = None) -> Dataset:
    """Read a file below one of the configured roots into the store.

    Raises:
        ToolFailure: the server is read-only, or the file may not or cannot be read.
    """
    if work.settings.server.read_only:
        raise ToolFailure("this server is read-only, and loading a file stores it", "Pass the handle of a dataset.")
    source = readable(work.settings, path)
    table, notes = read_table(source, options or ReadOptions())
    return save(work, table, name or slug(source.stem), [f"file:{source}"], "load_dataset", notes)


def save(work: Work, table: pa.Table, name: str, parents: Iterable[str], by: str, notes: Sequence[str] = ()) -> Dataset:
    """Store a table under the digest of its Parquet file and record what it was made from.

    The same content under the same name is the same dataset; its notes are those of this time.
    """
    check_name(name, "dataset")
    clean, changed = normalise(table)
    folder = work.home / "datasets"
    digest = _write(clean, private_folder(folder))
    return _described(
        work, Handle("dataset", name, digest), clean.num_rows, clean.column_names, list(parents), by, [*notes, *changed]
    )


def save_parts(work: Work, parts: Iterable[pa.Table], name: str, parents: Iterable[str], by: str) -> Dataset:
    """`save` for rows that come some at a time, in tables of the same plain columns, of which there is at least one."""
    import pyarrow.parquet as pq

    check_name(name, "dataset")
    folder = private_folder(work.home / "datasets")
    remove_old_drafts(folder / ROWS)
    rows, columns = 0, list[str]()
    with draft_of(folder / ROWS) as draft, ExitStack() as stack:
        os.close(private_file(draft))
        writer: pq.ParquetWriter | None = None
        for part in parts:
            writer = writer or stack.enter_context(pq.ParquetWriter(draft, part.schema, compression="zstd"))
            writer.write_table(part)
            rows, columns = rows + part.num_rows, part.column_names
        stack.close()
        digest = _placed(draft, folder)
    return _described(work, Handle("dataset", name, digest), rows, columns, list(parents), by, [])


def _described(
    work: Work, handle: Handle, rows: int, columns: list[str], sources: list[str], by: str, notes: list[str]
) -> Dataset:
    """Store what is said of a file that is in its place."""
    info = DatasetInfo(
        dataset=str(handle),
        rows=rows,
        columns=columns,
        source=sources[0] if sources else by,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=notes,
    )
    kept = _write_card(work.home / "datasets" / f"{handle.name}@{handle.version}.json", info)
    Lineage(work.home).record(str(handle), sources, by)
    return Dataset(kept.model_copy(update={"notes": info.notes}), _file(work, handle.version))


def stored(work: Work) -> list[DatasetInfo]:
    """Every dataset of the installation, newest first."""
    return _newest_first((work.home / "datasets").glob("*@*.json"))


def _newest_first(cards: Iterable[Path]) -> list[DatasetInfo]:
    infos = [DatasetInfo.model_validate_json(card.read_bytes()) for card in cards]
    return sorted(infos, key=lambda info: (info.created, info.dataset), reverse=True)


def _exact(work: Work, handle: Handle) -> Dataset:
    card = work.home / "datasets" / f"{handle.name}@{handle.version}.json"
    if not (re.fullmatch(f"[0-9a-f]{{{DIGEST_LENGTH}}}", handle.version) and card.is_file()):
        raise _unknown(work, str(handle))
    return Dataset(DatasetInfo.model_validate_json(card.read_bytes()), _file(work, handle.version))


def _unknown(work: Work, text: str) -> ToolFailure:
    handles = (f"dataset:{card.stem}" for card in (work.home / "datasets").glob("*@*.json"))
    return unknown("dataset", text[:200], handles, "list_datasets shows all. Or pass the path of a file.")


def _looks_like_path(text: str) -> bool:
    """Handles of every kind come first: `dataset:odd.csv` and `model:a/1` are no files."""
    kind, colon, _ = text.strip().partition(":")
    if colon and kind in handle_kinds():
        return False
    return text.startswith(("~", "file:")) or "/" in text or Path(text).suffix != ""


def _write(table: pa.Table, folder: Path) -> str:
    """Write the rows under their digest, which names the file; a failure leaves nothing behind."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    remove_old_drafts(folder / ROWS)
    with draft_of(folder / ROWS) as draft:
        os.close(private_file(draft))
        try:
            pq.write_table(table, draft, compression="zstd")
        except pa.ArrowNotImplementedError as error:
            raise ToolFailure(
                f"a column cannot be stored: {error}", "Leave it out of the file, or store it plain."
            ) from error
        return _placed(draft, folder)


def _placed(draft: Path, folder: Path) -> str:
    with draft.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_LENGTH]
    draft.replace(folder / f"{digest}.parquet")
    return digest


def _file(work: Work, digest: str) -> Path:
    return work.home / "datasets" / f"{digest}.parquet"


def _write_card(path: Path, info: DatasetInfo) -> DatasetInfo:
    """Store the description unless there is one; the first one stays."""
    return DatasetInfo.model_validate_json(written_once(path, info.model_dump_json(indent=1)))
