"""The dataset store: one Parquet file per content, one small JSON per name. Other slices read and write here."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..database import place
from ..errors import ToolFailure, unknown
from ..files import readable
from ..handles import Handle, check_name, parse, slug
from ..lineage import Lineage
from ..runtime.work import Work
from .models import DatasetInfo
from .readers import normalise, read_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

DIGEST_LENGTH = 12


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
    if wanted.version:
        return _exact(work, wanted)
    found = [info for info in stored(work) if parse(info.dataset, "dataset").name == wanted.name]
    if not found:
        raise unknown("dataset", text, (info.dataset for info in stored(work)), "Or pass the path of a file.")
    if len(found) > 1:
        handles = ", ".join(info.dataset for info in found)
        raise ToolFailure(f"{text!r} has {len(found)} versions", f"Pass one of {handles}.")
    return Dataset(found[0], _file(work, parse(found[0].dataset, "dataset").version))


def load_file(work: Work, path: str, name: str) -> Dataset:
    """Read a file below one of the configured roots into the store."""
    source = readable(work.settings, path)
    table, notes = read_table(source)
    return save(work, table, name or slug(source.stem), [f"file:{source}"], "load_dataset", notes)


def save(work: Work, table: pa.Table, name: str, parents: Iterable[str], by: str, notes: Sequence[str] = ()) -> Dataset:
    """Store a table under the digest of its Parquet file and record what it was made from.

    The same content under the same name is the same dataset.
    """
    import pyarrow.parquet as pq

    check_name(name, "dataset")
    clean, changed = normalise(table)
    folder = work.home / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{uuid.uuid4().hex}.parquet"
    pq.write_table(clean, draft, compression="zstd")
    digest = hashlib.sha256(draft.read_bytes()).hexdigest()[:DIGEST_LENGTH]
    path = _file(work, digest)
    os.replace(draft, path)
    handle, sources = Handle("dataset", name, digest), list(parents)
    info = DatasetInfo(
        dataset=str(handle),
        rows=clean.num_rows,
        columns=clean.column_names,
        source=sources[0] if sources else by,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=[*notes, *changed],
    )
    kept = _write_card(folder / f"{name}@{digest}.json", info)
    Lineage(work.home).record(str(handle), sources, by)
    return Dataset(kept, path)


def stored(work: Work) -> list[DatasetInfo]:
    """Every dataset of the installation, newest first."""
    cards = (work.home / "datasets").glob("*@*.json")
    infos = [DatasetInfo.model_validate_json(card.read_bytes()) for card in cards]
    return sorted(infos, key=lambda info: (info.created, info.dataset), reverse=True)


def _exact(work: Work, handle: Handle) -> Dataset:
    card = work.home / "datasets" / f"{handle.name}@{handle.version}.json"
    if "/" in str(handle) or not card.is_file():
        raise unknown("dataset", handle, (info.dataset for info in stored(work)), "list_datasets shows all.")
    return Dataset(DatasetInfo.model_validate_json(card.read_bytes()), _file(work, handle.version))


def _looks_like_path(text: str) -> bool:
    return text.startswith(("/", "./", "../", "~", "file:")) or "/" in text or Path(text).suffix != ""


def _file(work: Work, digest: str) -> Path:
    return work.home / "datasets" / f"{digest}.parquet"


def _write_card(path: Path, info: DatasetInfo) -> DatasetInfo:
    """Store the description unless there is one; the first one stays."""
    draft = path.with_suffix(f".{uuid.uuid4().hex}")
    draft.write_text(info.model_dump_json(indent=1), encoding="utf-8")
    place(draft, path)
    return DatasetInfo.model_validate_json(path.read_bytes())
