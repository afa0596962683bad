"""Load, describe and split datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ToolFailure
from ..paging import Page, page
from ..runtime.work import Work
from ..undo import deletes
from .bounds import few, named
from .models import DatasetInfo, DatasetLine, ReadOptions, SharedRows, Split, SplitPart
from .profile import comparable
from .shared import shared_rows, sharing
from .split import (
    Shares,
    Strategy,
    by_chance,
    by_class,
    by_time,
    ends,
    positive_rate,
    require_groups,
    straddling,
    together,
)
from .store import Dataset, load_file, load_source, resolve, save, stored
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
    table = source.table()
    if not table.num_rows:
        raise ToolFailure(f"{source.handle} has no rows to split", "Pass another dataset; list_datasets shows all.")
    units, kept = together(table, strategy, group)
    if group:
        require_groups(group, units, shares)
    labels, notes = _labels(table, strategy, column, units, shares, seed, bool(group))
    if missing := [part for part in shares.parts if not (labels == part).any()]:
        why = "Use larger shares, or a column with more values: whole groups and equal times stay in one part."
        if group and strategy == "time":
            why = "The groups go on for too long: leave `group` out, or split by it alone."
        raise ToolFailure(f"the split leaves no rows for {', '.join(missing)}", why)
    made = {part: _part(work, source, table, labels == part, part, strategy, column) for part in shares.parts}
    parts, new = (
        {part: shown for part, (shown, _) in made.items()},
        [shown.dataset for shown, new in made.values() if new],
    )
    shared, said = _shared(table, labels, shares, target or (column if strategy == "stratified" else ""))
    astride = straddling(table.to_pandas(), labels, strategy, group)
    return Split(
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts["test"],
        shared=shared,
        notes=[*notes, *kept, *said, *astride],
        undo=deletes(*new) if new else None,
    )


def _shared(
    table: pa.Table, labels: np.ndarray, shares: Shares, target: str
) -> tuple[dict[str, SharedRows], list[str]]:
    """What each later part has of an earlier one, and notes on it."""
    plain = [field.name for field in table.schema if comparable(field.type)]
    if not plain:
        return {}, []
    frame, found, notes = table.select(plain).to_pandas(), dict[str, SharedRows](), list[str]()
    parts = {part: frame[labels == part] for part in shares.parts}
    for place, part in enumerate(shares.parts):
        for earlier in shares.parts[:place]:
            shared = shared_rows(parts[earlier], parts[part], target)
            found[f"{part} in {earlier}"] = shared
            notes += sharing(shared, len(parts[part]), part, earlier)
    return found, notes


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
    table: pa.Table, strategy: Strategy, column: str, units: np.ndarray, shares: Shares, seed: int, grouped: bool
) -> tuple[np.ndarray, list[str]]:
    if strategy == "time":
        return by_time(column, table.column(column), shares, units if grouped else None)
    if strategy == "stratified":
        return by_class(column, table.column(column), units, shares, seed)
    return by_chance(units, shares, seed), []


def _part(
    work: Work, source: Dataset, table: pa.Table, chosen: np.ndarray, label: str, strategy: Strategy, column: str
) -> tuple[SplitPart, bool]:
    """One part, and whether it was not there before."""
    import pyarrow as pa

    rows = table.filter(pa.array(chosen))
    name = f"{source.name[: NAME_LENGTH - len(label) - 1]}_{label}"
    made = save(work, rows, name, [source.handle], "split_dataset")
    first, last = ends(column, rows.column(column)) if strategy == "time" else (None, None)
    rate = positive_rate(rows.column(column)) if strategy == "stratified" else None
    part = SplitPart(dataset=made.handle, rows=rows.num_rows, first=first, last=last, positive_rate=rate)
    return part, made.new
