"""Load, describe and split datasets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import ToolFailure
from ..paging import Page, page
from ..runtime.work import Work
from ..undo import deletes
from ..user_files import readable
from .bounds import few, named
from .folder import holds_parquet
from .kinship import shared, straddling, together
from .models import DatasetInfo, DatasetLine, LoadRequest, ReadOptions, Split, SplitPart
from .pieces import grouped
from .readers import normalise
from .rows import Rows
from .split import Shares, Strategy, by_chance, by_class, by_time, ends, positive_rate, require_groups
from .store import Dataset, discard, load_file, load_source, resolve, save, save_parts, stored, unfinished
from .synthetic import Kind, generate

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SYNTHETIC = "synthetic_"
SHOWN_COLUMNS = 60
SHOWN_SOURCE = 100
NAME_LENGTH = 63


def load_dataset(
    work: Work, path: str, name: str, options: ReadOptions | None = None, source: str = "", sql: str = ""
) -> DatasetInfo:
    """A file, or what a statement returns of a database; the answer names at most 60 columns, the dataset knows all."""
    if bool(path) == bool(source) or (sql and not source):
        raise ToolFailure("pass either `path` or `source` with `sql`", f"Sources: {_sources(work)}.")
    made = load_source(work, source, sql, name, options) if source else load_file(work, path, name, options)
    info = made.info
    shown = few(info.columns, SHOWN_COLUMNS, 2000)
    more = len(info.columns) - len(shown)
    left_out = [f"{more} more columns; describe_dataset pages through all"] if more else []
    said = {"columns": shown, "notes": [*info.notes, *left_out]}
    return info.model_copy(update=said)


def is_long(work: Work, path: str) -> bool:
    """Whether to load a file may take longer than a call may; False where it cannot be read, which is said later."""
    try:
        source = readable(work.settings, path, holds_parquet)
    except ToolFailure:
        return False
    files = source.rglob("*") if source.is_dir() else (source,)
    return sum(file.stat().st_size for file in files if file.is_file()) > work.settings.data.job_mb * (1 << 20)


def load_large_file(work: Work, request: LoadRequest) -> DatasetInfo:
    """`load_dataset` as a job, which leaves nothing behind when it is ended."""
    work.afterwards(discard, unfinished(work))
    return load_dataset(work, request.path, request.name, request.options)


def _sources(work: Work) -> str:
    return named(work.settings.data.sources) or "none yet, data.sources in the configuration names them"


def generate_dataset(work: Work, kind: Kind, rows: int, seed: int, name: str) -> DatasetInfo:
    """Made-up data under a name that says so; the same arguments give the same dataset."""
    table, notes = generate(kind, rows, seed)
    label = f"{SYNTHETIC}{(name or kind).removeprefix(SYNTHETIC)}"
    made = save(work, table, label, [f"synthetic:{kind}/rows={rows}/seed={seed}"], "generate_dataset", notes)
    return made.info


def list_datasets(work: Work, limit: int, cursor: str) -> Page[DatasetLine]:
    return page([_line(info) for info in stored(work)], limit, cursor)


def _line(info: DatasetInfo) -> DatasetLine:
    long = len(info.source) > SHOWN_SOURCE
    return DatasetLine(
        dataset=info.dataset,
        rows=info.rows,
        column_count=len(info.columns),
        first_columns=few(info.columns),
        source=f"…{info.source[1 - SHOWN_SOURCE :]}" if long else info.source,
        created=info.created,
    )


def split_dataset(
    work: Work,
    dataset: str,
    strategy: Strategy,
    column: str,
    validation: float,
    test: float,
    seed: int,
    group: str = "",
    target: str = "",
) -> Split:
    """Cut a dataset into train, validation and test, each a dataset of its own; says what they share."""
    if strategy == "group":
        column, group = "", group or column
    _check_split(strategy, column, validation, test, group)
    source, shares = resolve(work, dataset), Shares(validation, test)
    source.require([name for name in (column, group, target) if name])
    if not source.info.rows:
        raise ToolFailure(f"{source.handle} has no rows to split", "Pass another dataset; list_datasets shows all.")
    rows = Rows.of(source, None)
    units, kept = together(rows, strategy, group)
    if group:
        require_groups(group, units, shares)
    labels, notes = _labels(rows, strategy, column, units, shares, seed, bool(group))
    del units
    if missing := [part for place, part in enumerate(shares.parts) if not (labels == place).any()]:
        why = "Use larger shares, or a column with more values: whole groups and equal times stay in one part."
        if group and strategy == "time":
            why = "The groups go on for too long: leave `group` out, or split by it alone."
        raise ToolFailure(f"the split leaves no rows for {', '.join(missing)}", why)
    made = {
        part: _part(work, source, rows, labels == place, part, strategy, column)
        for place, part in enumerate(shares.parts)
    }
    parts, new = (
        {part: shown for part, (shown, _) in made.items()},
        [shown.dataset for shown, new in made.values() if new],
    )
    found, said = shared(rows, labels, shares, target or (column if strategy == "stratified" else ""))
    astride = straddling(rows, labels, shares, strategy, group)
    return Split(
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts["test"],
        shared=found,
        notes=[*notes, *kept, *said, *astride],
        undo=deletes(*new) if new else None,
    )


def _check_split(strategy: Strategy, column: str, validation: float, test: float, group: str) -> None:
    if validation + test >= 1:
        raise ToolFailure(
            f"validation_share + test_share = {validation + test:g} leaves nothing to train on", "Keep it below 1."
        )
    if strategy == "group":
        if not group:
            raise ToolFailure("strategy 'group' needs the column whose rows stay together", "Pass it as `column`.")
        return
    if strategy != "random" and not column:
        role = "time column" if strategy == "time" else "column to stratify by"
        raise ToolFailure(f"strategy {strategy!r} needs the {role}", "Pass it as `column`.")
    if strategy == "random" and column:
        raise ToolFailure(
            "strategy 'random' uses no column", "Leave `column` out, or use 'time', 'stratified' or 'group'."
        )


def _labels(
    rows: Rows, strategy: Strategy, column: str, units: np.ndarray, shares: Shares, seed: int, by_group: bool
) -> tuple[np.ndarray, list[str]]:
    if strategy == "time":
        return by_time(column, rows.column(column), shares, units if by_group else None)
    if strategy == "stratified":
        return by_class(column, rows.column(column), units, shares, seed)
    return by_chance(units, shares, seed), []


def _part(
    work: Work, source: Dataset, rows: Rows, chosen: np.ndarray, label: str, strategy: Strategy, column: str
) -> tuple[SplitPart, bool]:
    """One part, and whether it was not there before."""
    import pyarrow as pa

    name = f"{source.name[: NAME_LENGTH - len(label) - 1]}_{label}"
    made = save_parts(work, grouped(_chosen(rows, chosen)), name, [source.handle], "split_dataset")
    told = rows.column(column).filter(pa.array(chosen)) if strategy in ("time", "stratified") else None
    first, last = ends(column, told) if told is not None and strategy == "time" else (None, None)
    rate = positive_rate(told) if told is not None and strategy == "stratified" else None
    part = SplitPart(dataset=made.handle, rows=made.info.rows, first=first, last=last, positive_rate=rate)
    return part, made.new


def _chosen(rows: Rows, chosen: np.ndarray) -> Iterator[pa.Table]:
    import pyarrow as pa

    start = 0
    for part in rows.parts(rows.column_names):
        kept = part.filter(pa.array(chosen[start : start + len(part)]))
        start += len(part)
        yield normalise(kept)[0]
