"""The dataset store: one Parquet file per content, one small JSON per name. Other slices read and write here."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from ..errors import NeedsChoice, ToolFailure, unknown
from ..handles import NAME, Handle, check_name, parse, slug
from ..lineage import LOADED_UNASKED, Lineage
from ..locks import locked
from ..replica.steps import bring
from ..runtime.work import Work
from ..slices import handle_kinds
from ..storage.state_files import draft_of, private_folder, remove_old_drafts, written_once
from ..undo import deletes
from ..user_files import readable
from .answers import ENDPOINT, dataset_name, lines_of, table_of
from .blocks import UnlikeError
from .bounds import named
from .folder import holds_parquet
from .large import is_large, read_large
from .models import DatasetInfo, ReadOptions
from .pieces import grouped
from .readers import normalise, read_table, retype
from .reads import Read, Reading
from .sources import PREFIX, read_source, table_in
from .streamed import is_streamed, read_streamed
from .written import write

Asked = TypeVar("Asked", bound=BaseModel)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

DIGEST_LENGTH = 12
# What a draft of any table is called after.
ROWS = "rows.parquet"
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Dataset:
    """A stored dataset: its description and the Parquet file that holds it; `new` if it was not there before."""

    info: DatasetInfo
    path: Path
    new: bool = False

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
    """The dataset behind a handle or a bare name; a readable file, or `source:<name>/<table>`, is loaded on the way.

    `endpoint:<name>` is what is logged of it by now.

    Raises:
        ToolFailure: nothing of that name, several versions of it, or a file or source that may not or cannot be read.
    """
    if text.strip().startswith(PREFIX):
        source, sql, name = table_in(text)
        return load_source(work, source, sql, name, by=LOADED_UNASKED)
    if text.strip().startswith(ENDPOINT):
        return load_answers(work, text.strip())
    if looks_like_path(text):
        return load_file(work, text, "", by=LOADED_UNASKED)
    wanted = parse(text, "dataset")
    if not re.fullmatch(NAME[1:-1], wanted.name):
        raise _unknown(work, text)
    if wanted.version:
        return _exact(work, wanted)
    found = cards(work, wanted.name)
    if not found:
        raise _unknown(work, text)
    if len(found) > 1:
        newest = [info.dataset for info in _newest_first(found)]
        hint = f"Pass one of {named(newest)}, newest first."
        raise NeedsChoice(f"{text!r} has {len(found)} versions", hint, text, newest)
    return _exact(work, Handle("dataset", *found[0].stem.split("@")))


def with_handles(work: Work, request: Asked, *fields: str) -> tuple[Asked, list[str]]:
    """A request whose `fields` name datasets by their handles, and which of these were loaded for that.

    Raises:
        ToolFailure: as `resolve` does.
    """
    found = {field: resolve(work, text) for field in fields if (text := getattr(request, field))}
    handles = {field: dataset.handle for field, dataset in found.items()}
    return request.model_copy(update=handles), list(dict.fromkeys(each.handle for each in found.values() if each.new))


def load_file(
    work: Work, path: str, name: str, options: ReadOptions | None = None, by: str = "load_dataset"
) -> Dataset:
    """Read a file, or a folder of Parquet files, below one of the configured roots into the store.

    A file that was read before, in the same way and under the same name, is not parsed again.

    Raises:
        ToolFailure: the server is read-only, or the file may not or cannot be read.
    """
    require_writable(work, "a file")
    source = readable(work.settings, path, holds_parquet)
    named, given, parents = name or slug(source.stem), options or ReadOptions(), [f"file:{source}"]
    reading = Reading.of(work, source, named, given)
    if (read := reading.before()) and (made := _there(work, read)):
        Lineage(work.home).record(made.handle, parents, by)
        return made
    made = _read_whole_or_in_parts(work, source, named, given, parents, by)
    reading.keep(made.handle, made.info.notes)
    return made


def _read_whole_or_in_parts(
    work: Work, source: Path, name: str, options: ReadOptions, parents: list[str], by: str
) -> Dataset:
    if is_streamed(source):
        with suppress(UnlikeError), read_streamed(source, options, work.progress) as stream:
            if stream:
                return save_parts(work, stream.parts, name, parents, by, stream.notes)
    if is_large(source):
        with spilling(work) as folder, read_large(source, options, folder, work.progress) as found:
            if found:
                return save_parts(work, found.parts, name, parents, by, found.notes)
    table, notes = read_table(source, options, work.settings.data.max_mb)
    return save(work, table, name, parents, by, notes)


@contextmanager
def spilling(work: Work) -> Generator[Path]:
    """A folder for what is on its way into the store; old ones go with those of queries."""
    above = private_folder(work.home / "queries")
    with TemporaryDirectory(prefix=unfinished(work), dir=above, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def unfinished(work: Work) -> str:
    """What the names of unfinished things of this process begin with, if it is that of a job."""
    return f"{work.job}-{os.getpid()}-" if work.job else ""


def discard(work: Work, mark: str) -> None:
    """Delete the `unfinished` things of a job that has been ended."""
    if not re.fullmatch("[0-9A-Za-z-]+-", mark):
        return
    for folder in (work.home / "queries").glob(f"{mark}*"):
        shutil.rmtree(folder, ignore_errors=True)
    for draft in datasets(work).glob(f".{ROWS}.{mark}*"):
        draft.unlink(missing_ok=True)


def _there(work: Work, read: Read) -> Dataset | None:
    """The dataset that a file was read into, with what was said then."""
    handle = parse(read.dataset, "dataset")
    if not card_of(work, handle).is_file():
        return None
    made = _exact(work, handle)
    if not made.path.is_file():
        return None
    return Dataset(made.info.model_copy(update={"notes": read.notes}), made.path)


def load_source(
    work: Work, source: str, sql: str, name: str, options: ReadOptions | None = None, by: str = "load_dataset"
) -> Dataset:
    """Read a statement of a configured database into the store; it is kept with the dataset.

    Raises:
        ToolFailure: the server is read-only, or the source or the statement will not do.
    """
    require_writable(work, "rows")
    label = source.strip().removeprefix(PREFIX)
    table, notes = retype(*read_source(work, label, sql), options or ReadOptions())
    return save(work, table, name or slug(label), [f"{PREFIX}{label}"], by, notes, sql)


def load_answers(work: Work, endpoint: str) -> Dataset:
    """Read the log of an endpoint into the store.

    Raises:
        ToolFailure: the server is read-only, or nothing is logged of it.
    """
    lines = lines_of(work, endpoint)
    require_writable(work, "a log")
    name = parse(endpoint, "endpoint").name
    return save(work, table_of(lines), dataset_name(name), [f"{ENDPOINT}{name}"], by=LOADED_UNASKED)


def require_writable(work: Work, what: str) -> None:
    """Raises ToolFailure on a read-only server, and for a caller who may only read."""
    who = "this server is" if work.settings.server.read_only else "your token is" if work.by.access == "read" else ""
    if who:
        raise ToolFailure(f"{who} read-only, and loading {what} stores it", "Pass the handle of a dataset.")


def save(
    work: Work,
    table: pa.Table,
    name: str,
    parents: Iterable[str],
    by: str,
    notes: Sequence[str] = (),
    sql: str | None = None,
) -> Dataset:
    """Store a table under the digest of its Parquet file and record what it was made from, and by which query.

    The same content under the same name is the same dataset; its notes are those of this time.
    """
    check_name(name, "dataset")
    clean, changed = normalise(table)
    origin = _Origin(list(parents), by, [*notes, *changed], sql)
    with _draft(work) as draft:
        # However many pieces it came in, the same rows make the same file.
        return _stored(work, draft, write(grouped([clean]), draft), name, origin)


def changing(work: Work) -> AbstractContextManager[None]:
    """Held by who gives a file its card or takes one away: names may share the file of the same content."""
    return locked(datasets(work) / ".lock", PATIENCE_S, "the datasets are being changed by another call")


def save_parts(
    work: Work,
    parts: Iterable[pa.Table],
    name: str,
    parents: Iterable[str],
    by: str,
    notes: Sequence[str] = (),
    sql: str | None = None,
) -> Dataset:
    """`save` for rows that come some at a time, in tables of the same plain columns, of which there is at least one."""
    check_name(name, "dataset")
    with _draft(work) as draft:
        return _stored(work, draft, write(parts, draft), name, _Origin(list(parents), by, list(notes), sql))


@contextmanager
def _draft(work: Work) -> Generator[Path]:
    name = private_folder(datasets(work)) / ROWS
    remove_old_drafts(name)
    with draft_of(name.with_name(f"{ROWS}.{mark}") if (mark := unfinished(work)) else name) as draft:
        yield draft


@dataclass(frozen=True)
class _Origin:
    """Where rows come from: the tool that made them, of what, and by which query."""

    parents: list[str]
    by: str
    notes: list[str] = field(default_factory=list)
    sql: str | None = None


def _stored(work: Work, draft: Path, digest: str, name: str, origin: _Origin) -> Dataset:
    """Give a written file its name, which is its digest, and its card."""
    import pyarrow.parquet as pq

    handle = Handle("dataset", name, digest[:DIGEST_LENGTH])
    schema, rows = pq.read_schema(draft), pq.read_metadata(draft).num_rows
    info = DatasetInfo(
        dataset=str(handle),
        rows=rows,
        columns=schema.names,
        source=origin.parents[0] if origin.parents else origin.by,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=origin.notes,
        sql=origin.sql,
    )
    card = card_of(work, handle)
    with changing(work):
        new = not card.is_file()
        draft.replace(file_of(work, handle.version))
        kept = _write_card(card, info)
    Lineage(work.home).record(str(handle), origin.parents, origin.by)
    shown = {"notes": info.notes, "undo": deletes(str(handle)) if new else None}
    return Dataset(kept.model_copy(update=shown), file_of(work, handle.version), new)


def stored(work: Work) -> list[DatasetInfo]:
    """Every dataset of the installation, newest first."""
    return _newest_first(cards(work))


def cards(work: Work, name: str = "*", digest: str = "*") -> list[Path]:
    """The descriptions of all datasets, of one name, or of one content."""
    return sorted(datasets(work).glob(f"{name}@{digest}.json"))


def datasets(work: Work) -> Path:
    return work.home / "datasets"


def card_of(work: Work, handle: Handle) -> Path:
    return datasets(work) / f"{handle.name}@{handle.version}.json"


def file_of(work: Work, digest: str) -> Path:
    return datasets(work) / f"{digest}.parquet"


def _newest_first(cards: Iterable[Path]) -> list[DatasetInfo]:
    infos = [DatasetInfo.model_validate_json(card.read_bytes()) for card in cards]
    return sorted(infos, key=lambda info: (info.created, info.dataset), reverse=True)


def _exact(work: Work, handle: Handle) -> Dataset:
    card = card_of(work, handle)
    if not (re.fullmatch(f"[0-9a-f]{{{DIGEST_LENGTH}}}", handle.version) and card.is_file()):
        raise _unknown(work, str(handle))
    file = bring(work.settings, file_of(work, handle.version))
    return Dataset(DatasetInfo.model_validate_json(card.read_bytes()), file)


def _unknown(work: Work, text: str) -> ToolFailure:
    found = [card.stem for card in cards(work)]
    names = [f"dataset:{each}" for each in found] if "@" in text else [each.partition("@")[0] for each in found]
    return unknown("dataset", text[:200], names, "list_datasets shows all. Or pass the path of a file.")


def looks_like_path(text: str) -> bool:
    """Handles of every kind come first: `dataset:odd.csv` and `model:a/1` are no files."""
    kind, colon, _ = text.strip().partition(":")
    if colon and kind in handle_kinds():
        return False
    return text.startswith(("~", "file:", PREFIX)) or "/" in text or Path(text).suffix != ""


def _write_card(path: Path, info: DatasetInfo) -> DatasetInfo:
    """Store the description unless there is one; the first one stays."""
    return DatasetInfo.model_validate_json(written_once(path, info.model_dump_json(indent=1)))
