"""Describe a dataset: its columns, what each alone tells of a target, and what an analyst would look at first."""

# Arrow makes its compute functions when it is imported, out of a checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..paging import Page, page
from ..runtime.work import Work
from .alone import SCORED_ROWS, Score, scored
from .bounds import named, percent
from .columns import hints
from .hashes import kinds_of, repeated
from .identity import KINDS_OF_ROWS, LOOKED_AT_COLUMNS, LOOKED_AT_ROWS, likely_group
from .models import ColumnProfile, DatasetProfile, TargetProfile
from .profile import comparable, identifies
from .rows import Rows
from .store import resolve

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

# Beside a target that is told apart well by many columns, only so many are named.
SHOWN_LEAKS = 5
UNCOMPARED = "only these columns were read: without `columns` repeated rows and groups are looked for too"


@dataclass(frozen=True)
class Repeats:
    """Rows that repeat: see DatasetProfile; `distinct` are the distinct rows of features."""

    rows: int | None
    features: int | None
    conflicting: int | None
    distinct: int


def describe_dataset(
    work: Work, dataset: str, columns: list[str], limit: int, cursor: str, target: str = ""
) -> DatasetProfile:
    """Profile the named columns, or one page of all; with a target those first that tell most of it.

    The target is on the first page in any case. Scores are of up to 10,000 rows drawn by chance. Named columns are all
    that is read, so that whole rows are compared, and groups looked for, only where none is named.
    """
    source = resolve(work, dataset)
    source.require([target] if target else [])
    names = list(source.require(columns)) or source.info.columns
    table = Rows.of(source, [*dict.fromkeys([*names, *([target] if target else [])])] if columns else None)
    told, scores = _scored(work, table, target, names)
    chosen = _chosen(names, target, scores, limit, cursor)
    top = 5 if len(chosen.items) <= 10 else 3
    profiles = [_profile(work, name, table, top, scores) for name in chosen.items]
    repeats = Repeats(None, None, None, 0) if columns else _repeats(table, profiles, target)
    return DatasetProfile(
        dataset=source.handle,
        rows=table.num_rows,
        duplicate_rows=repeats.rows,
        repeated_features=repeats.features,
        conflicting=repeats.conflicting,
        target=told,
        columns=profiles,
        constant_columns=[column.name for column in profiles if table.num_rows > 1 and column.unique in (0, 1)],
        notes=[
            *_leaks(scores, target, told),
            *_on_repeats(repeats, table.num_rows),
            *_notes(table, profiles, target),
            *([UNCOMPARED] if columns else _grouped(table, target)),
            *hints(table.texts, chosen.items),
            *_cut(chosen, target),
        ],
        next_cursor=chosen.next_cursor,
    )


def _scored(
    work: Work, table: Rows, target: str, names: Sequence[str]
) -> tuple[TargetProfile | None, dict[str, Score]]:
    if not target:
        return None, {}
    with work.tracer.span("score columns", columns=len(names), target=target):
        return scored(_drawn(table, [*dict.fromkeys([*names, target])], target), target, names)


def _drawn(table: Rows, names: Sequence[str], target: str) -> pd.DataFrame:
    """The rows of which some are scored: all of the rare classes, since more than their share is drawn."""
    import numpy as np

    if table.num_rows <= 5 * SCORED_ROWS:
        return table.head(names, table.num_rows).to_pandas()
    random = np.random.default_rng(0).permutation(table.num_rows)
    labels = table.column(target).to_pandas().iloc[random]
    place = labels.groupby(labels, dropna=False).cumcount() if labels.nunique() <= 100 else np.arange(len(labels))
    first = np.argsort(np.asarray(place), kind="stable")[: 5 * SCORED_ROWS]
    return table.take(names, np.sort(random[first])).to_pandas()


def _chosen(names: Sequence[str], target: str, scores: Mapping[str, Score], limit: int, cursor: str) -> Page[str]:
    """A page of the columns, the target first, then those that tell most of it."""

    def told(name: str) -> float:
        found = scores[name].value if name in scores else None
        return -1e9 if found is None else found

    ordered = sorted(names, key=lambda name: -told(name)) if scores else list(names)
    return page([target, *(name for name in ordered if name != target)] if target else ordered, limit, cursor)


def _profile(work: Work, name: str, table: Rows, top: int, scores: Mapping[str, Score]) -> ColumnProfile:
    found = table.profile(work, name, top)
    return (
        found.model_copy(update={"score": scores[name].value, "leak": scores[name].leak}) if name in scores else found
    )


def _repeats(table: Rows, profiles: Sequence[ColumnProfile], target: str) -> Repeats:
    numbering = [name for name in table.column_names if table.numbers_rows(name)]
    known = {column.name: column.unique for column in profiles}
    whole = 0 if numbering or table.num_rows in known.values() else _duplicates(table.hashes(table.column_names))
    kept = [name for name in table.column_names if name not in numbering and name != target]
    hashes = table.hashes(kept) if len(kept) > 1 else None
    if hashes is None or not len(hashes):
        return Repeats(whole, None if table.num_rows else 0, None, 0)
    distinct = kinds_of(hashes)
    conflicting = _conflicting(table, hashes, target) if target else None
    return Repeats(whole, len(hashes) - distinct, conflicting, distinct)


def _duplicates(hashes: np.ndarray | None) -> int | None:
    return None if hashes is None else len(hashes) - kinds_of(hashes)


def _conflicting(table: Rows, hashes: np.ndarray, target: str) -> int | None:
    """How many rows have the hash of one with another target; None where targets cannot be compared."""
    import numpy as np
    import pandas as pd

    labels = table.hashes([target])
    if labels is None:
        return None
    some = repeated(hashes)
    kinds = pd.Series(labels[some]).groupby(hashes[some]).transform("nunique")
    return int(np.count_nonzero(kinds > 1))


def _leaks(scores: Mapping[str, Score], target: str, told: TargetProfile | None) -> list[str]:
    leaks = [f"{name} {score.leak} ({score.value:.4g})" for name, score in scores.items() if score.leak]
    more = [f"{len(leaks) - SHOWN_LEAKS} more"] if len(leaks) > SHOWN_LEAKS else []
    notes = (
        [f"too good to be true, so maybe a leak of {target}: {'; '.join([*leaks[:SHOWN_LEAKS], *more])}"]
        if leaks
        else []
    )
    return [*notes, *([f"columns are not scored: {told.reason}"] if told and told.reason else [])]


def _on_repeats(repeats: Repeats, rows: int) -> list[str]:
    notes = list[str]()
    if repeats.features and repeats.features != repeats.rows and repeats.distinct >= KINDS_OF_ROWS * rows:
        notes.append(
            f"{repeats.features} rows repeat another in all but identifiers and target: copies, or few columns"
        )
    if repeats.conflicting:
        share = percent(repeats.conflicting, rows)
        notes.append(f"{repeats.conflicting} rows ({share}) have the features of a row with another target")
    return notes


def _notes(table: Rows, profiles: list[ColumnProfile], target: str) -> list[str]:
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
        "times, so split_dataset by one if later rows are to be predicted": _times(kinds) if target else [],
    }
    return [f"{text}: {named(names)}" for text, names in said.items() if names]


def _times(kinds: Mapping[str, pa.DataType]) -> list[str]:
    import pyarrow as pa

    return [name for name, kind in kinds.items() if pa.types.is_timestamp(kind)]


def _grouped(table: Rows, target: str) -> list[str]:
    """The column that says which rows belong together, with how many of them there are."""
    plain = [field.name for field in table.schema if comparable(field.type)][:LOOKED_AT_COLUMNS]
    looked = table.head(plain, LOOKED_AT_ROWS).to_pandas()
    name = likely_group(looked, [target]) if plain and table.num_rows else ""
    if not name:
        return []
    groups = int(looked[name].nunique())
    each = f"{groups} values in {len(looked)} rows"
    return [f"{name} ({each}) looks like a group: other columns are the same in its rows; split_dataset keeps it whole"]


def _cut(chosen: Page[str], target: str) -> list[str]:
    if not chosen.next_cursor:
        return []
    first = "those that tell most of the target first, " if target else ""
    return [f"{len(chosen.items)} of {chosen.total} columns are shown, {first}cursor={chosen.next_cursor} shows more"]
