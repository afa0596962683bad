"""Load, describe and split datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ToolFailure
from ..paging import Page, page
from ..runtime.work import Work
from .bounds import few, named, percent
from .columns import hints
from .models import ColumnProfile, DatasetInfo, DatasetLine, DatasetProfile, ReadOptions, Split, SplitPart
from .profile import comparable, duplicates, identifies, profile
from .split import Shares, Strategy, by_chance, by_class, by_time, ends, positive_rate, together
from .store import Dataset, load_file, resolve, save, stored
from .synthetic import Kind, generate

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SYNTHETIC = "synthetic_"
SHOWN_COLUMNS = 60
SHOWN_SOURCE = 100
NAME_LENGTH = 63


def load_dataset(work: Work, path: str, name: str, options: ReadOptions | None = None) -> DatasetInfo:
    """The answer names at most 60 columns; the dataset itself knows all."""
    info = load_file(work, path, name, options).info
    shown = few(info.columns, SHOWN_COLUMNS, 2000)
    more = len(info.columns) - len(shown)
    left_out = [f"{more} more columns; describe_dataset pages through all"] if more else []
    return info.model_copy(update={"columns": shown, "notes": [*info.notes, *left_out]})


def generate_dataset(work: Work, kind: Kind, rows: int, seed: int, name: str) -> DatasetInfo:
    """Made-up data under a name that says so; the same arguments give the same dataset."""
    table, notes = generate(kind, rows, seed)
    label = f"{SYNTHETIC}{(name or kind).removeprefix(SYNTHETIC)}"
    return save(work, table, label, [f"synthetic:{kind}/rows={rows}/seed={seed}"], "generate_dataset", notes).info


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


def describe_dataset(work: Work, dataset: str, columns: list[str], limit: int, cursor: str) -> DatasetProfile:
    """Profile the named columns, or one page of all."""
    source = resolve(work, dataset)
    chosen = page(list(source.require(columns)) or source.info.columns, limit, cursor)
    table, top = source.table(), 5 if len(chosen.items) <= 10 else 3
    profiles = [profile(name, table.column(name), top) for name in chosen.items]
    distinct = any(column.unique == table.num_rows for column in profiles)
    return DatasetProfile(
        dataset=source.handle,
        rows=table.num_rows,
        duplicate_rows=0 if distinct else duplicates(table),
        columns=profiles,
        constant_columns=[column.name for column in profiles if table.num_rows > 1 and column.unique in (0, 1)],
        notes=[*_notes(table, profiles), *hints(table, chosen.items)],
        next_cursor=chosen.next_cursor,
    )


def _notes(table: pa.Table, profiles: list[ColumnProfile]) -> list[str]:
    rows, kinds = table.num_rows, dict(zip(table.column_names, table.schema.types, strict=True))
    keys = [column.name for column in profiles if rows > 1 and column.unique == rows and identifies(kinds[column.name])]
    holes = [f"{column.name} {percent(column.missing, rows)}" for column in profiles if column.missing]
    endless = [column.name for column in profiles if column.type == "double" and column.unique and column.mean is None]
    nested = [name for name, kind in kinds.items() if not comparable(kind)]
    said = {
        "unique per row, so an identifier or a time, not a feature": keys,
        "missing": holes,
        "holds infinite values, so that its null statistics are not finite": endless,
        "nested, so values are not compared, nor whole rows unless another column is unique per row": nested,
    }
    return [f"{text}: {named(names)}" for text, names in said.items() if names]


def split_dataset(
    work: Work,
    dataset: str,
    strategy: Strategy,
    column: str,
    validation: float,
    test: float,
    seed: int,
    group: str = "",
) -> Split:
    """Cut a dataset into train, validation and test, each a dataset of its own."""
    _check_split(strategy, column, validation, test)
    source, shares = resolve(work, dataset), Shares(validation, test)
    source.require([name for name in (column, group) if name])
    table = source.table()
    if not table.num_rows:
        raise ToolFailure(f"{source.handle} has no rows to split", "Pass another dataset; list_datasets shows all.")
    units, kept = together(table, strategy, group)
    labels, notes = _labels(table, strategy, column, units, shares, seed, bool(group))
    if missing := [part for part in shares.parts if not (labels == part).any()]:
        why = "Use larger shares."
        if group and strategy == "time":
            why = "The groups go on for too long: leave `group` out, or split by it alone."
        raise ToolFailure(f"the split leaves no rows for {', '.join(missing)}", why)
    parts = {part: _part(work, source, table, labels == part, part, strategy, column) for part in shares.parts}
    return Split(train=parts["train"], validation=parts.get("validation"), test=parts["test"], notes=[*notes, *kept])


def _check_split(strategy: Strategy, column: str, validation: float, test: float) -> None:
    if validation + test >= 1:
        raise ToolFailure(f"validation + test = {validation + test:g} leaves nothing to train on", "Keep it below 1.")
    if strategy != "random" and not column:
        role = "time column" if strategy == "time" else "column to stratify by"
        raise ToolFailure(f"strategy {strategy!r} needs the {role}", "Pass it as `column`.")
    if strategy == "random" and column:
        raise ToolFailure("strategy 'random' uses no column", "Leave `column` out, or use 'time' or 'stratified'.")


def _labels(
    table: pa.Table, strategy: Strategy, column: str, units: np.ndarray, shares: Shares, seed: int, grouped: bool
) -> tuple[np.ndarray, list[str]]:
    if strategy == "time":
        return by_time(column, table.column(column), shares, units if grouped else None)
    if strategy == "stratified":
        return by_class(column, table.column(column), units, shares, seed)
    return by_chance(units, shares, seed), []


def _part(
    work: Work, source: Dataset, table: pa.Table, chosen: np.ndarray, label: str, strategy: Strategy, column: str
) -> SplitPart:
    import pyarrow as pa

    rows = table.filter(pa.array(chosen))
    name = f"{source.name[: NAME_LENGTH - len(label) - 1]}_{label}"
    made = save(work, rows, name, [source.handle], "split_dataset")
    first, last = ends(column, rows.column(column)) if strategy == "time" else (None, None)
    rate = positive_rate(rows.column(column)) if strategy == "stratified" else None
    return SplitPart(dataset=made.handle, rows=rows.num_rows, first=first, last=last, positive_rate=rate)
