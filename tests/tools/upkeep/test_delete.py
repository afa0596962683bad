"""Datasets, suites, validations, explanations and jobs: what goes, what stays, and what is refused."""

from __future__ import annotations

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from mlops_mcp.tools.data.client import list_datasets, load_dataset
from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.observability.client import get_lineage
from mlops_mcp.tools.quality.client import create_suite, get_suite, validate_dataset
from mlops_mcp.tools.quality.models import Expectation
from mlops_mcp.tools.removal import removal_of
from mlops_mcp.tools.runtime.jobs.launch import table_of
from mlops_mcp.tools.runtime.jobs.shares import Slots
from mlops_mcp.tools.runtime.jobs.table import End, NewJob
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.slices import SLICES, declared, handle_kinds, removing
from mlops_mcp.tools.tracking.connection import opened
from mlops_mcp.tools.upkeep.client import delete

from .conftest import Load, Remove


def _names(work: Work) -> list[str]:
    return [line.dataset for line in list_datasets(work, 50, "").items]


def _files(work: Work) -> list[str]:
    return sorted(path.name for path in (work.home / "datasets").glob("[!.]*"))


def _exists(column: str) -> Expectation:
    return Expectation(type="expect_column_to_exist", kwargs={"column": column})


def _job(work: Work, request: dict[str, object]) -> str:
    new = NewJob("train_model", "training", "x:y", json.dumps(request), 1, "", "", None, "{}", "/", "", "{}")
    return table_of(work.settings).insert(new).id


def test_every_kind_of_handle_but_the_trace_can_be_deleted_and_its_slice_says_how() -> None:
    assert set(handle_kinds()) - set(removing()) == {"trace"}
    for name in SLICES:
        if declared(name).removes:
            assert set(removal_of(name).removers) == set(declared(name).removes)


def test_a_preview_says_what_goes_and_by_which_call_and_removes_nothing(load: Load, remove: Remove, work: Work) -> None:
    handle = load()
    paths = list((work.home / "datasets").glob("[!.]*"))
    found = remove(handle, dry_run=True)
    assert (found.state, found.handles, found.files) == ("preview", [handle], 2)
    assert found.bytes == sum(path.stat().st_size for path in paths)
    assert found.next == f"delete(handle={handle!r}, dry_run=false)"
    assert not found.restorable
    assert _names(work) == [handle]


def test_a_deleted_dataset_is_gone_from_disk_and_the_users_file_stays(
    load: Load, remove: Remove, work: Work, tmp_path: Path
) -> None:
    handle = load()
    assert remove(handle).state == "deleted"
    assert _files(work) == []
    assert (tmp_path / "loans.csv").read_text() == "a,b\n1,2\n3,4\n"
    with pytest.raises(ToolFailure, match="unknown dataset"):
        resolve(work, handle)


def test_deleting_twice_says_that_it_is_gone(load: Load, remove: Remove) -> None:
    handle = load()
    remove(handle)
    again = remove(handle)
    assert (again.state, again.handles, again.next) == ("already_gone", [handle], None)
    assert remove("dataset:loans").handles == [handle]


def test_an_unknown_handle_names_near_ones_and_an_unknown_kind_the_kinds(load: Load, remove: Remove) -> None:
    handle = load()
    with pytest.raises(ToolFailure, match=handle):
        remove("dataset:loan")
    with pytest.raises(ToolFailure, match="dataset:"):
        remove("datasets:loans")
    with pytest.raises(ToolFailure, match="unknown kind of handle"):
        remove("loans")
    with pytest.raises(ToolFailure, match="a trace cannot be deleted"):
        remove("trace:1")


@pytest.mark.parametrize(
    "handle",
    ["dataset:../../secrets", "dataset:*", "dataset:loans@*", "validation:../x", "study:../jobs/x", "endpoint:../x"],
)
def test_a_handle_cannot_lead_out_of_its_folder(handle: str, load: Load, remove: Remove, work: Work) -> None:
    load()
    (work.home / "jobs").mkdir()
    (work.home / "jobs" / "x.log").touch()
    with pytest.raises(ToolFailure, match=r"unknown|is no \w+ handle"):
        remove(handle)
    assert len(_files(work)) == 2


def test_a_name_stands_for_all_of_its_versions_and_a_handle_for_one(load: Load, remove: Remove, work: Work) -> None:
    first, second = load("a\n1\n"), load("a\n2\n")
    assert remove("dataset:loans", dry_run=True).handles == sorted([first, second])
    remove(first)
    assert _names(work) == [second]


def test_the_file_stays_while_another_name_has_the_same_content(load: Load, remove: Remove, work: Work) -> None:
    first, second = load(name="one"), load(name="two")
    assert remove(first, dry_run=True).files == 1
    remove(first)
    assert resolve(work, second).table().num_rows == 2
    remove(second)
    assert _files(work) == []


def test_both_names_of_one_content_take_its_file_with_them(load: Load, remove: Remove, work: Work) -> None:
    remove(load(name="one"), load(name="two"))
    assert _files(work) == []


def test_an_unknown_handle_among_several_leaves_all_of_them(load: Load, remove: Remove, work: Work) -> None:
    handle = load()
    with pytest.raises(ToolFailure, match="nothing"):
        remove(handle, "dataset:nothing")
    assert _names(work) == [handle]


def test_a_dataset_that_a_job_reads_is_refused_with_the_call_that_frees_it(
    load: Load, remove: Remove, work: Work
) -> None:
    handle, other = load(), load(name="other")
    job = _job(work, {"dataset": handle, "target": "other", "validation": ""})
    assert remove(handle, dry_run=True).next is None
    with pytest.raises(ToolFailure, match=f"cancel_job\\(job='job:{job}'\\)"):
        remove(handle)
    remove(other)
    table_of(work.settings).cancel(job)
    assert remove(handle).state == "deleted"


@pytest.mark.parametrize("text", ["loans", "dataset:loans"])
def test_a_job_that_names_a_dataset_without_its_version_needs_it_too(
    text: str, load: Load, remove: Remove, work: Work
) -> None:
    handle = load()
    _job(work, {"dataset": "dataset:x@0", "validation": text})
    with pytest.raises(ToolFailure, match="is needed by job:"):
        remove(handle)


def test_lineage_keeps_what_was_deleted_and_says_so(load: Load, remove: Remove, work: Work) -> None:
    handle = load()
    Lineage(work.home).record("models:/m-1", [handle], "train_model")
    preview = remove(handle, dry_run=True)
    assert (preview.made_from_it, preview.dependents) == ({"model": 1}, ["models:/m-1"])
    remove(handle)
    graph = get_lineage(work, "models:/m-1", 50)
    assert (graph.ancestors[0].parent, graph.deleted) == (handle, [handle])
    load()
    assert get_lineage(work, "models:/m-1", 50).deleted == []


def test_a_lineage_of_an_older_version_learns_of_deletions(load: Load, remove: Remove, work: Work) -> None:
    handle = load()
    with Lineage(work.home)._store.open() as db:  # pyright: ignore[reportPrivateUsage]
        db.execute("drop table deleted")
    assert remove(handle).state == "deleted"


def test_a_link_is_removed_and_what_it_points_to_stays(load: Load, remove: Remove, work: Work, tmp_path: Path) -> None:
    handle = load()
    file = next((work.home / "datasets").glob("[!.]*.parquet"))
    precious = tmp_path / "precious.parquet"
    file.rename(precious)
    file.symlink_to(precious)
    remove(handle)
    assert (precious.exists(), _files(work)) == (True, [])


def test_a_folder_that_is_a_link_out_of_the_state_folder_is_not_touched(
    load: Load, remove: Remove, work: Work, tmp_path: Path
) -> None:
    handle = load()
    (work.home / "datasets").rename(tmp_path / "elsewhere")
    (work.home / "datasets").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ToolFailure, match="leads out of the state folder"):
        remove(handle)
    assert _names(work) == [handle]


def test_many_at_once_delete_each_thing_once(load: Load, work: Work) -> None:
    handles = [load(f"a\n{number}\n") for number in range(6)]
    with ThreadPoolExecutor(4) as pool:
        states = [each.state for each in pool.map(lambda each: delete(work, [each], False, False), handles * 2)]
    assert sorted(states) == ["already_gone"] * 6 + ["deleted"] * 6
    assert _files(work) == []


def test_a_file_that_cannot_be_removed_is_told_and_the_handle_is_no_broken_one(
    load: Load, remove: Remove, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, unlink = load(), Path.unlink

    def fail(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".parquet":
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", fail)
    found = remove(handle)
    assert (found.state, "clean_up frees what is left" in found.notes[-1]) == ("deleted", True)
    assert _names(work) == []


def test_a_record_that_cannot_be_removed_is_no_success(
    load: Load, remove: Remove, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = load()

    def fail(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(ToolFailure, match="Permission denied"):
        remove(handle)
    assert _names(work) == [handle]


def test_what_went_before_a_failure_is_told(
    load: Load, remove: Remove, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = load(name="one"), load("a\n1\n", name="two")
    unlink = Path.unlink

    def fail(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith("two@"):
            raise ToolFailure("the disk is full")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(ToolFailure, match=f"{first} went, and {second} did not: the disk is full"):
        remove(first, second)
    assert _names(work) == [second]


def test_a_dataset_that_is_there_already_is_not_offered_to_be_deleted(load: Load, work: Work, tmp_path: Path) -> None:
    handle = load()
    assert load_dataset(work, str(tmp_path / "loans.csv"), "loans").undo is None
    assert load_dataset(work, str(tmp_path / "loans.csv"), "more").undo == (
        f"delete(handle='dataset:more@{handle.partition('@')[2]}', dry_run=false)"
    )


def test_a_suite_goes_version_by_version_or_whole(remove: Remove, work: Work) -> None:
    create_suite(work, "rules", [_exists("a")])
    create_suite(work, "rules", [_exists("b")])
    remove("suite:rules@2")
    assert get_suite(work, "rules", "short", 5, "").expectations[0].kwargs == {"column": "a"}
    remove("suite:rules")
    with pytest.raises(ToolFailure, match="unknown suite"):
        get_suite(work, "rules", "short", 5, "")


def test_a_built_in_suite_is_refused_and_comes_back_from_under_one_of_its_name(remove: Remove, work: Work) -> None:
    name = "e2i_classification_suite"
    built_in = get_suite(work, name, "short", 5, "").version
    with pytest.raises(ToolFailure, match="is built in"):
        remove(f"suite:{name}")
    own = create_suite(work, name, [_exists("a")])
    with pytest.raises(ToolFailure, match="is built in"):
        remove(f"suite:{name}@{built_in}")
    assert remove(f"suite:{name}").handles == [f"suite:{name}", f"suite:{name}@{own.version}"]
    assert get_suite(work, name, "short", 5, "").version == built_in


@pytest.mark.slow
def test_a_validation_goes(load: Load, remove: Remove, work: Work) -> None:
    create_suite(work, "rules", [_exists("a")])
    made = validate_dataset(work, load(), "rules", "", [], "short").validation
    assert remove(made).files == 1
    assert remove(made).state == "already_gone"


def test_an_explanation_goes_with_its_folder(remove: Remove, work: Work) -> None:
    folder = work.home / "explanations" / "0123"
    folder.mkdir(parents=True)
    (folder / "values.npy").write_bytes(b"12345")
    found = remove("explanation:0123")
    assert (found.files, found.bytes, list(folder.parent.iterdir())) == (1, 5, [])


def test_a_job_goes_once_it_has_ended(remove: Remove, work: Work) -> None:
    job, table = _job(work, {}), table_of(work.settings)
    with pytest.raises(ToolFailure, match="cancel_job"):
        remove(f"job:{job}")
    table.claim("", "here", Slots(1))
    table.finish(job, 1, End("done", result="{}"))
    assert remove(f"job:{job}").state == "deleted"
    with pytest.raises(KeyError):
        table.get(job)


@pytest.mark.parametrize(
    "place", ["datasets", "artifacts", "datasets/artifacts", "artifacts/1/models/m-0/artifacts", ""]
)
def test_a_model_takes_no_folder_along_that_is_not_its_own(load: Load, remove: Remove, work: Work, place: str) -> None:
    """MLflow's store says where its files are, and others may write that."""
    load()
    folder = work.home / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kept.txt").write_text("x")
    with opened(work) as mlflow:
        model = mlflow.create_logged_model(mlflow.create_experiment("e"), name="m").model_id
    with closing(sqlite3.connect(work.home / "mlflow.db")) as db, db:
        db.execute("update logged_models set artifact_location=?", (folder.as_uri(),))
    found = remove(f"models:/{model}")
    assert "which is not this server's" in found.notes[0]
    assert (folder / "kept.txt").is_file()
    assert len(_files(work)) >= 2
