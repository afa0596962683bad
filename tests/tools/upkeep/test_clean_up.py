"""What nothing refers to is freed, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pyarrow as pa

from mlops_mcp.tools.data.client import load_dataset
from mlops_mcp.tools.data.store import resolve, save, stored
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.storage.state_files import draft_of
from mlops_mcp.tools.tracking.client import start_run
from mlops_mcp.tools.upkeep.client import delete
from mlops_mcp.tools.upkeep.models import CleanUp
from mlops_mcp.tools.upkeep.sweep import clean_up

from .conftest import Load
from .undo_text import parsed

DAY_S = 24 * 3600


def _aged(path: Path, days: float) -> Path:
    """With everything below it."""
    then = time.time() - days * DAY_S
    for each in [*path.rglob("*"), path]:
        os.utime(each, (then, then), follow_symlinks=False)
    return path


def _written(path: Path, content: bytes = b"12345", days: float = 40) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return _aged(path, days)


def _counts(found: CleanUp) -> dict[str, tuple[int, int]]:
    return {each.kind: (each.count, each.bytes) for each in found.freed}


def _orphans(work: Work) -> list[Path]:
    """One leftover of each kind of files."""
    home = work.home
    with draft_of(home / "datasets" / "rows.parquet") as draft:
        name = draft.name
    explanation = _written(home / "explanations" / "e1" / "values.npy").parent
    return [
        _written(home / "datasets" / f"{'0' * 12}.parquet"),
        _written(home / "datasets" / name),
        _aged(explanation, 40),
        _aged(_written(home / "cache" / "models" / "m-1" / "model.skops").parent, 40),
        _aged(_written(home / "endpoints" / "gone" / "d1" / "log.txt").parent.parent, 40),
        _aged(_written(home / "bentoml" / "models" / "credit" / "abc" / "model.skops").parent, 40),
    ]


def test_a_preview_counts_by_kind_and_removes_nothing(load: Load, work: Work) -> None:
    load()
    left = _orphans(work)
    found = clean_up(work, dry_run=True, older_than_days=30)
    assert _counts(found) == {
        "copy of a model": (2, 10),
        "draft": (1, 5),
        "explanation": (1, 5),
        "file without a dataset": (1, 5),
        "folder of an endpoint": (1, 5),
    }
    assert (found.bytes, all(path.exists() for path in left)) == (30, True)
    assert parsed(found.next or "") == ("clean_up", {"dry_run": False, "older_than_days": 30})


def test_leftovers_go_and_what_is_in_use_stays(load: Load, work: Work) -> None:
    handle = load()
    left = _orphans(work)
    before = clean_up(work, dry_run=True, older_than_days=30)
    after = clean_up(work, dry_run=False, older_than_days=30)
    assert (_counts(after), after.notes) == (_counts(before), [])
    assert [path for path in left if path.exists()] == []
    assert resolve(work, handle).table().num_rows == 2
    assert clean_up(work, dry_run=True, older_than_days=30).freed == []
    assert Lineage(work.home).deleted(["explanation:e1"]) == {"explanation:e1"}


def test_nothing_young_goes_and_nothing_of_the_last_hour_at_all(work: Work) -> None:
    _written(work.home / "datasets" / f"{'0' * 12}.parquet", days=2)
    _written(work.home / "datasets" / f"{'1' * 12}.parquet", days=0)
    assert clean_up(work, dry_run=True, older_than_days=3).freed == []
    assert _counts(clean_up(work, dry_run=False, older_than_days=0)) == {"file without a dataset": (1, 5)}


def test_an_explanation_or_a_prediction_that_something_was_made_from_stays(load: Load, work: Work) -> None:
    used, unused, loaded = (_answer(work, "used", 1), _answer(work, "unused", 2), load("a\n3\n", name="own"))
    lineage = Lineage(work.home)
    lineage.record(loaded, ["models:/m-1"], "predict_dataset")
    lineage.record("models:/m-2", [used], "train_model")
    _aged(work.home / "datasets", 40)
    assert clean_up(work, dry_run=False, older_than_days=30).freed[0].examples == [unused]
    for handle in (used, loaded):
        assert resolve(work, handle).table().num_rows == 1


def _answer(work: Work, name: str, value: int) -> str:
    return save(work, pa.table({"a": [value]}), name, ["models:/m-1"], "predict_dataset").handle


def test_what_was_loaded_on_the_way_goes_unless_it_was_used_or_loaded_on_purpose(work: Work, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.csv" for name in ("passing", "used", "wanted", "first")]
    for number, path in enumerate(paths):
        path.write_text(f"a\n{number}\n")
    load_dataset(work, str(paths[3]), "")
    passing, used, wanted, first = (resolve(work, str(path)).handle for path in paths)
    load_dataset(work, str(paths[2]), "")
    Lineage(work.home).record("models:/m-2", [used], "train_model")
    _aged(work.home / "datasets", 40)
    found = clean_up(work, dry_run=False, older_than_days=30)
    assert [(each.kind, each.examples) for each in found.freed] == [("dataset loaded on the way", [passing])]
    assert {info.dataset for info in stored(work)} == {used, wanted, first}


def test_what_mlflow_keeps_of_deleted_runs_is_said_with_their_number(work: Work) -> None:
    runs = [start_run(work, "e", "r", {}).run for _ in range(3)]
    assert clean_up(work, dry_run=True, older_than_days=0).notes == []
    delete(work, runs[:2], dry_run=False, restore=False)
    (note,) = clean_up(work, dry_run=True, older_than_days=0).notes
    assert note.startswith("2 deleted runs keep their files in MLflow: delete with restore=true")
    delete(work, [runs[0]], dry_run=True, restore=True)
    assert clean_up(work, dry_run=True, older_than_days=0).notes[0].startswith("1 deleted")


def test_leftovers_go_although_mlflow_is_dead(without_backends: Work) -> None:
    _written(without_backends.home / "datasets" / f"{'0' * 12}.parquet")
    found = clean_up(without_backends, dry_run=False, older_than_days=30)
    assert _counts(found) == {"file without a dataset": (1, 5)}
    assert found.notes[0].startswith("deleted runs of MLflow are not counted: the MLflow server at")


def test_a_link_among_the_leftovers_goes_without_what_it_points_to(work: Work, tmp_path: Path) -> None:
    precious = _written(tmp_path / "precious.parquet")
    link = work.home / "datasets" / f"{'0' * 12}.parquet"
    link.parent.mkdir(parents=True)
    link.symlink_to(precious)
    _aged(link.parent, 40)
    clean_up(work, dry_run=False, older_than_days=30)
    assert (link.is_symlink(), precious.read_bytes()) == (False, b"12345")


def test_an_empty_state_folder_has_no_leftovers(work: Work) -> None:
    assert clean_up(work, dry_run=False, older_than_days=0) == CleanUp(dry_run=False, freed=[], bytes=0)
