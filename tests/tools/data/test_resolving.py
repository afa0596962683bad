"""What a text may mean: a handle before a file, one name and no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from mlops_mcp.tools.data.store import resolve, save
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.runtime.work import Work


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model:a/1", "'model:a/1' is a model, not a dataset"),
        ("bento:x.y", "is a bento, not a dataset"),
        ("dataset:odd.csv", "unknown dataset 'dataset:odd.csv'"),
        ("dataset:../odd", "is no dataset handle"),
        ("dataset:t@../../../etc/passwd", "is no dataset handle"),
        ("*", "unknown dataset"),
        ("t@*", "unknown dataset"),
        ("n" * 5000, "is no dataset handle"),
        ("t@" + "0" * 5000, "is no dataset handle"),
        ("", "an empty dataset handle"),
    ],
)
def test_what_is_no_dataset_is_refused_as_what_it_is(work: Work, text: str, says: str) -> None:
    save(work, pa.table({"x": [1]}), "t", [], "test")
    with pytest.raises(ToolFailure) as caught:
        resolve(work, text)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_bare_name_reads_the_cards_of_that_name_only(work: Work) -> None:
    made = save(work, pa.table({"x": [1]}), "t", [], "test")
    save(work, pa.table({"x": [2]}), "t_train", [], "test")
    (work.home / "datasets" / "other@000000000000.json").write_text("torn", encoding="utf-8")
    assert resolve(work, "t").handle == made.handle
    assert resolve(work, made.handle.removeprefix("dataset:")).handle == made.handle


def test_a_file_whose_name_looks_like_a_handle_is_read_through_its_folder(work: Work, tmp_path: Path) -> None:
    (tmp_path / "model:a.csv").write_text("x\n1\n", encoding="utf-8")
    assert resolve(work, str(tmp_path / "model:a.csv")).info.rows == 1


def test_a_caller_who_may_only_read_stores_nothing_on_the_way(work: Work, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    reader = replace(work, by=Identity("ann", "read"))
    with pytest.raises(ToolFailure, match=r"your token is read-only.*Pass the handle of a dataset"):
        resolve(reader, str(tmp_path / "rows.csv"))
    stored = resolve(work, str(tmp_path / "rows.csv")).handle
    assert resolve(reader, stored).handle == stored
