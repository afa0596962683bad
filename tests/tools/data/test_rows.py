"""A dataset that is looked at column by column is described as one in memory."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_mcp.tools.data import pieces, rows
from mlops_mcp.tools.data.description import describe_dataset
from mlops_mcp.tools.data.hashes import hashes_by_parts, kinds_of, numbered, repeated, within
from mlops_mcp.tools.data.store import Dataset, save
from mlops_mcp.tools.runtime.work import Work

ROWS = 60_000


@pytest.fixture
def mixed(work: Work) -> Dataset:
    random = np.random.default_rng(0)
    customer = random.integers(0, 3000, ROWS)
    table = pa.table(
        {
            "id": [f"A{place:07}" for place in range(ROWS)],
            "number": np.arange(ROWS) + 2**60,
            "customer": customer,
            "city": pa.array([("Basel", "Zürich", None, "x" * 60)[each % 4] for each in customer]),
            "born": pa.array((customer * 86400).astype("datetime64[s]").astype("datetime64[us]")),
            "amount": pa.array(np.where(customer % 7 == 0, np.nan, customer / 8)),
            "text of numbers": pa.array([str(each) if each else "n.k." for each in customer]),
            "kept": pa.array([None if each % 5 == 0 else bool(each % 2) for each in customer]),
            "target": random.integers(0, 2, ROWS),
        }
    )
    return save(work, table, "mixed", [], "test")


@pytest.mark.parametrize(("target", "columns"), [("", []), ("target", []), ("target", ["city", "customer"])])
def test_it_is_described_alike(
    work: Work, mixed: Dataset, monkeypatch: pytest.MonkeyPatch, target: str, columns: list[str]
) -> None:
    held = describe_dataset(work, mixed.handle, columns, 20, "", target)
    monkeypatch.setattr(rows, "HELD_CELLS", 0)
    monkeypatch.setattr(rows, "STEP", 7000)
    monkeypatch.setattr(pieces, "PIECE", 7000)
    monkeypatch.setattr(rows.Rows, "head", _bounded(rows.Rows.head))
    assert describe_dataset(work, mixed.handle, columns, 20, "", target) == held
    assert columns or held.repeated_features


def _bounded(head: object) -> object:
    def checked(self: rows.Rows, names: list[str], count: int) -> pa.Table:
        assert count <= 50_000
        return head(self, names, count)  # type: ignore[operator]

    return checked


def test_whole_rows_that_repeat_are_counted_alike(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"a": [1, 1, None, None, 2] * 3, "b": ["x", "x", None, None, ""] * 3, "c": [0.0, 1.0, 0.0] * 5})
    handle = save(work, table, "rows", [], "test").handle
    held = describe_dataset(work, handle, [], 20, "", "c")
    monkeypatch.setattr(rows, "HELD_CELLS", 0)
    assert describe_dataset(work, handle, [], 20, "", "c") == held
    assert (held.duplicate_rows, held.conflicting) == (9, 15)


CELLS: dict[str, tuple[list[object], int]] = {
    "whole numbers": ([1, 2, None, 2**60, 2**60 + 1, 1], 5),
    "real numbers": ([0.0, -0.0, None, float("nan"), 1.5, 2.5], 4),
    "text": (["a", "b", None, "", "a", "None"], 5),
    "booleans": ([True, False, None, True, None, False], 3),
    "nested": ([[1], [2], None, [1], [], [1, 2]], 5),
    "times": ([datetime(2024, 1, 1), datetime(2024, 1, 2), None, datetime(2024, 1, 1), None, None], 3),
}


@pytest.mark.parametrize(("cells", "kinds"), CELLS.values(), ids=CELLS)
def test_a_row_has_one_hash_whatever_part_it_is_in(cells: list[object], kinds: int) -> None:
    table = pa.table({"a": pa.array(cells), "b": [1] * 6})
    whole = hashes_by_parts([table], 6)
    assert (hashes_by_parts([table.slice(place, 1) for place in range(6)], 6) == whole).all()
    assert kinds_of(whole) == kinds
    assert repeated(whole).tolist() == pd.Series(whole).duplicated(keep=False).tolist()
    assert numbered(whole).tolist() == pd.factorize(whole)[0].tolist()
    assert within(whole[:2], whole).tolist() == np.isin(whole, whole[:2]).tolist()
