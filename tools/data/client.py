"""Load, describe and split datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..errors import ToolFailure
from ..numbers import finite
from ..paging import Page, page
from ..runtime.work import Work
from .models import ColumnProfile, DatasetInfo, DatasetProfile, Split, SplitPart
from .store import Dataset, load_file, resolve, save, stored
from .synthetic import Kind, generate

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Strategy = Literal["time", "random", "stratified"]
TOP_VALUES = 5
SYNTHETIC = "synthetic_"


def load_dataset(work: Work, path: str, name: str) -> DatasetInfo:
    return load_file(work, path, name).info


def generate_dataset(work: Work, kind: Kind, rows: int, seed: int, name: str) -> DatasetInfo:
    """Made-up data under a name that says so; the same arguments give the same dataset."""
    table, notes = generate(kind, rows, seed)
    label = f"{SYNTHETIC}{(name or kind).removeprefix(SYNTHETIC)}"
    return save(work, table, label, [f"synthetic:{kind}/rows={rows}/seed={seed}"], "generate_dataset", notes).info


def list_datasets(work: Work, limit: int, cursor: str) -> Page[DatasetInfo]:
    return page(stored(work), limit, cursor)


def describe_dataset(work: Work, dataset: str, columns: list[str], limit: int, cursor: str) -> DatasetProfile:
    """Profile the named columns, or one page of all."""
    source = resolve(work, dataset)
    frame = source.frame()
    names = list(source.require(columns)) or source.info.columns
    chosen = page(names, limit, cursor)
    profiles = [_profile(frame[name]) for name in chosen.items]
    return DatasetProfile(
        dataset=source.handle,
        rows=len(frame),
        duplicate_rows=int(frame.duplicated().sum()) if _hashable(frame) else 0,
        columns=profiles,
        constant_columns=[profile.name for profile in profiles if profile.unique <= 1],
        notes=_notes(len(frame), profiles),
        next_cursor=chosen.next_cursor,
    )


def split_dataset(
    work: Work, dataset: str, strategy: Strategy, column: str, validation: float, test: float, seed: int
) -> Split:
    """Cut a dataset into train, validation and test, each a dataset of its own."""
    if validation + test >= 1:
        raise ToolFailure(f"validation + test = {validation + test:g} leaves nothing to train on", "Keep it below 1.")
    if strategy != "random" and not column:
        role = "time column" if strategy == "time" else "column to stratify by"
        raise ToolFailure(f"strategy {strategy!r} needs the {role}", "Pass it as `column`.")
    source = resolve(work, dataset)
    source.require([column] if column else [])
    frame = source.frame()
    labels = _labels(frame, strategy, column, validation, test, seed)
    parts = {
        label: _part(work, source, frame[labels == label], label, strategy, column) for label in dict.fromkeys(labels)
    }
    if missing := {"train", "test", *(["validation"] if validation else [])} - set(parts):
        raise ToolFailure(f"the split leaves no rows for {', '.join(sorted(missing))}", "Use larger shares.")
    notes = ["train ends before validation begins, and that before test"] if strategy == "time" else []
    return Split(train=parts["train"], validation=parts.get("validation"), test=parts["test"], notes=notes)


def _labels(
    frame: pd.DataFrame, strategy: Strategy, column: str, validation: float, test: float, seed: int
) -> np.ndarray:
    import numpy as np

    if strategy == "time":
        if frame[column].isna().any():
            raise ToolFailure(f"{column} has missing times", "Drop those rows first, or split at random.")
        # Equal times share a rank, so that no moment lies on both sides of a cut.
        rank = frame[column].rank(method="average", pct=True).to_numpy()
        return _cut(rank, validation, test)
    random = np.random.default_rng(seed)
    if strategy == "random":
        return _cut(_ranks(len(frame), random), validation, test)
    labels = np.empty(len(frame), dtype=object)
    for rows in frame.groupby(column, dropna=False).indices.values():
        labels[rows] = _cut(_ranks(len(rows), random), validation, test)
    return labels


def _ranks(count: int, random: np.random.Generator) -> np.ndarray:
    return (random.permutation(count) + 1) / count


def _cut(rank: np.ndarray, validation: float, test: float) -> np.ndarray:
    import numpy as np

    train_end, validation_end = 1 - validation - test, 1 - test
    label = np.where(rank > validation_end + 1e-12, "test", np.where(rank > train_end + 1e-12, "validation", "train"))
    return label.astype(object)


def _part(work: Work, source: Dataset, rows: pd.DataFrame, label: str, strategy: Strategy, column: str) -> SplitPart:
    import pyarrow as pa

    table = pa.Table.from_pandas(rows, schema=source.table().schema, preserve_index=False)
    made = save(work, table, f"{source.name}_{label}"[:63], [source.handle], "split_dataset")
    timed = strategy == "time"
    return SplitPart(
        dataset=made.handle,
        rows=len(rows),
        first=str(rows[column].min()) if timed else None,
        last=str(rows[column].max()) if timed else None,
        positive_rate=finite(rows[column].mean()) if strategy == "stratified" and _is_binary(rows[column]) else None,
    )


def _is_binary(values: pd.Series) -> bool:
    return values.dtype.kind in "iufb" and set(values.dropna().unique()) <= {0, 1}


def _profile(values: pd.Series) -> ColumnProfile:
    known = values.dropna()
    profile = ColumnProfile(
        name=str(values.name), type=str(values.dtype), missing=int(values.isna().sum()), unique=_unique(known)
    )
    if known.empty:
        return profile
    if values.dtype.kind in "iuf":
        return profile.model_copy(
            update={name: finite(getattr(known, name)()) for name in ("min", "median", "max", "mean")}
        )
    if values.dtype.kind == "M":
        return profile.model_copy(update={name: str(getattr(known, name)()) for name in ("min", "median", "max")})
    counts = known.astype(str).value_counts().head(TOP_VALUES)
    return profile.model_copy(update={"top": {str(key)[:80]: int(count) for key, count in counts.items()}})


def _unique(values: pd.Series) -> int:
    return int(values.astype(str).nunique() if values.dtype == object else values.nunique())


def _hashable(frame: pd.DataFrame) -> bool:
    cells = frame.head(1).to_numpy(dtype=object).ravel().tolist()
    return not any(isinstance(cell, list | dict) or hasattr(cell, "__array__") for cell in cells)


def _notes(rows: int, profiles: list[ColumnProfile]) -> list[str]:
    keys = [profile.name for profile in profiles if rows > 1 and profile.unique == rows]
    holes = [f"{profile.name} {profile.missing / rows:.0%}" for profile in profiles if profile.missing]
    notes = [f"unique per row, so an identifier or a time, not a feature: {', '.join(keys)}"] if keys else []
    return [*notes, f"missing: {', '.join(holes)}"] if holes else notes
