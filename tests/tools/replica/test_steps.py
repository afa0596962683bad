"""What one server makes, another one has: files, lineage, what is deleted, and what both do at once."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.data.removal import REMOVAL
from mlops_mcp.tools.data.store import Dataset, datasets, load_file, resolve, stored
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Edge, Lineage
from mlops_mcp.tools.quality.models import Expectation
from mlops_mcp.tools.quality.suites import SuiteStore
from mlops_mcp.tools.replica.catalogue import Catalogue, Entry
from mlops_mcp.tools.replica.steps import in_step, installation
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.storage.errors import StorageError

from ..backends.conftest import folder_of
from ..backends.gate import gate_to
from ..backends.servers import Database
from .conftest import Server

pytestmark = pytest.mark.slow
RULES = [Expectation(type="expect_column_to_exist", kwargs={"column": name}) for name in ("a", "b")]


def loaded(work: Work, folder: Path, rows: int = 3) -> Dataset:
    file = folder / "rows.csv"
    file.write_text("a,b\n" + "".join(f"{row},{row * 7919 % 104729}.5\n" for row in range(rows)), encoding="utf-8")
    with in_step(work.settings):
        return load_file(work, str(file), "rows")


def deleted(work: Work, handle: str) -> None:
    with in_step(work.settings):
        remover = REMOVAL.removers["dataset"]
        remover.remove(work, remover.find(work, handle))


def test_a_dataset_of_one_server_is_read_on_another_with_its_lineage(server: Server, tmp_path: Path) -> None:
    one, two = server("one"), server("two")
    made = loaded(one, tmp_path)
    with in_step(two.settings):
        assert [info.dataset for info in stored(two)] == [made.handle]
        assert resolve(two, "rows").frame().equals(made.frame())
        assert Lineage(two.home).ancestors(made.handle) == [
            Edge(made.handle, f"file:{tmp_path / 'rows.csv'}", "load_dataset")
        ]


def test_a_large_file_is_fetched_when_it_is_asked_for_and_not_before(server: Server, tmp_path: Path) -> None:
    one, two = server("one"), server("two")
    made = loaded(one, tmp_path, rows=40_000)
    assert made.path.stat().st_size > 1 << 16
    with in_step(two.settings):
        assert [info.rows for info in stored(two)] == [40_000]
        assert not list(datasets(two).glob("*.parquet"))
        assert resolve(two, made.handle).path.read_bytes() == made.path.read_bytes()
    shutil.rmtree(tmp_path / "store")
    with in_step(two.settings):
        assert len(resolve(two, made.handle).frame()) == 40_000


@pytest.mark.usefixtures("keys")
def test_a_bucket_keeps_large_files_and_gives_them_back_as_they_were(
    server: Server, bucket: str, tmp_path: Path
) -> None:
    one, two = (in_bucket(server(name), bucket, tmp_path.name) for name in ("one", "two"))
    made = loaded(one, tmp_path, rows=40_000)
    with in_step(two.settings):
        assert resolve(two, made.handle).path.read_bytes() == made.path.read_bytes()
    deleted(two, made.handle)
    with in_step(one.settings), pytest.raises(ToolFailure, match="unknown dataset"):
        resolve(one, made.handle)


@pytest.mark.usefixtures("keys")
def test_a_call_outlasts_a_database_that_stands_still_and_a_bucket_that_is_cut_off(
    server: Server, bucket: str, postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both at once while it publishes what it has made; they come back as it waits for them."""
    database, (host, port) = Database(folder_of(postgres)), bucket.removeprefix("http://").split(":")
    with gate_to(int(port)) as way:
        one = in_bucket(server("one"), f"http://{host}:{way.port}", tmp_path.name)
        waited = list[float]()

        def wait(seconds: float) -> None:
            waited.append(seconds)
            (database.thaw if len(waited) == 1 else way.open)()

        watch = SimpleNamespace(monotonic=time.monotonic, time=time.time, sleep=wait)
        monkeypatch.setattr("mlops_mcp.tools.replica.steps.time", watch)
        file = tmp_path / "rows.csv"
        file.write_text(
            "a,b\n" + "".join(f"{row},{row * 7919 % 104729}.5\n" for row in range(40_000)), encoding="utf-8"
        )
        with in_step(one.settings, bears_until=math.inf):
            made = load_file(one, str(file), "rows")
            way.shut()
            database.freeze()
        assert waited == [1.0, 1.0]
    two = in_bucket(server("two"), bucket, tmp_path.name)
    with in_step(two.settings):
        assert [info.dataset for info in stored(two)] == [made.handle]
        assert resolve(two, made.handle).path.read_bytes() == made.path.read_bytes()


def in_bucket(work: Work, endpoint: str, folder: str) -> Work:
    changes = {"files": f"s3://shared/{folder}", "endpoint": endpoint}
    return with_storage(work, **changes)


def with_storage(work: Work, **changes: object) -> Work:
    storage = work.settings.storage.model_copy(update=changes)
    return dataclasses.replace(work, settings=work.settings.model_copy(update={"storage": storage}))


def test_a_content_that_was_changed_in_the_store_is_not_taken(server: Server, tmp_path: Path) -> None:
    one, two = server("one"), server("two")
    made = loaded(one, tmp_path, rows=40_000)
    (kept,) = (path for path in (tmp_path / "store").rglob("*") if path.is_file())
    kept.write_bytes(kept.read_bytes()[::-1])
    with in_step(two.settings), pytest.raises(StorageError, match="is not what was stored there"):
        resolve(two, made.handle)
    assert not list(two.home.glob("queries/.far*"))


@pytest.mark.parametrize(
    "path", ["../out", "{}/out", "datasets/../../out", "datasets/../mlops.yaml", "mlops.yaml", "datasets", "a//b", ""]
)
def test_a_row_that_names_a_file_that_is_not_shared_is_left_out_and_those_after_it_are_taken(
    server: Server, tmp_path: Path, path: str
) -> None:
    one, two = server("one"), server("two")
    write_row(one, path.format(tmp_path), b"forged")
    made = loaded(one, tmp_path)
    with in_step(two.settings):
        assert [info.dataset for info in stored(two)] == [made.handle]
    assert not [each for each in tmp_path.rglob("*") if each.is_file() and each.read_bytes() == b"forged"]


def test_a_content_that_was_changed_in_the_database_is_not_taken(server: Server) -> None:
    one, two = server("one"), server("two")
    write_row(one, "tokens.json", b"[]", sha256="0" * 64)
    with pytest.raises(StorageError, match="is not what was stored there"), in_step(two.settings):
        pass
    assert not (two.home / "tokens.json").exists()


def write_row(work: Work, path: str, content: bytes, sha256: str = "") -> None:
    """As somebody who can write the database."""
    catalogue = Catalogue(work.settings.storage.database.get_secret_value(), installation(work.settings))
    known = sha256 or hashlib.sha256(content).hexdigest()
    catalogue.publish([(Entry(path, known, len(content), 1, content=content), 0)], ())
    catalogue.close()


def test_what_one_server_deletes_is_gone_on_the_other_and_in_the_store(server: Server, tmp_path: Path) -> None:
    one, two = server("one"), server("two")
    made = loaded(one, tmp_path, rows=40_000)
    deleted(two, made.handle)  # which has never fetched its rows
    with in_step(one.settings):
        assert stored(one) == []
    assert not made.path.exists()
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_a_folder_that_was_lost_is_fetched_again_and_empties_no_other(server: Server, tmp_path: Path) -> None:
    one, two = server("one"), server("two")
    made = loaded(one, tmp_path)
    with in_step(two.settings):
        assert len(stored(two)) == 1
    shutil.rmtree(datasets(two))
    with in_step(two.settings):
        pass
    with in_step(two.settings):
        assert resolve(two, made.handle).frame().equals(made.frame())
    with in_step(one.settings):
        assert len(stored(one)) == 1


def test_of_two_versions_with_one_number_the_first_stays_and_the_second_is_refused(server: Server) -> None:
    one, two = server("one"), server("two")
    suites = [SuiteStore(work.settings) for work in (one, two)]

    def both_at_once() -> None:
        with in_step(two.settings):
            suites[1].add("mine", RULES[1:])
            with in_step(one.settings):
                suites[0].add("mine", RULES[:1])

    with pytest.raises(ToolFailure, match=r"another server has changed gx/suites/mine/000001.json"):
        both_at_once()
    assert [store.get("mine").expectations for store in suites] == [RULES[:1]] * 2
    with in_step(two.settings):
        assert suites[1].add("mine", RULES[1:]).version == 2


def test_the_same_rows_loaded_on_two_servers_at_once_are_one_dataset(server: Server, tmp_path: Path) -> None:
    one, two = server("one"), server("two")
    with in_step(two.settings):
        made = loaded(one, tmp_path)
        again = load_file(two, str(tmp_path / "rows.csv"), "rows")
    assert again.handle == made.handle
    with in_step(two.settings):
        assert [info.created for info in stored(two)] == [info.created for info in stored(one)]


def test_a_dataset_that_was_made_again_meanwhile_is_not_deleted(server: Server, tmp_path: Path) -> None:
    one, two = server("one"), server("two")
    made = loaded(one, tmp_path)
    remover = REMOVAL.removers["dataset"]

    def deleted_while_it_is_made() -> None:
        with in_step(two.settings):
            found = remover.find(two, made.handle)
            shutil.rmtree(datasets(one))
            loaded(one, tmp_path)
            remover.remove(two, found)

    with pytest.raises(ToolFailure, match="another server has changed"):
        deleted_while_it_is_made()
    for work in (one, two):
        with in_step(work.settings):
            assert resolve(work, made.handle).frame().equals(made.frame())


def test_what_a_folder_held_before_it_was_shared_is_shared(server: Server, tmp_path: Path) -> None:
    shared, two = server("one"), server("two")
    alone = with_storage(shared, files="", database=SecretStr(""))
    made = loaded(alone, tmp_path)
    Lineage(alone.home).mark_deleted(["model:m/1"])
    with in_step(shared.settings):
        pass
    with in_step(two.settings):
        assert resolve(two, "rows").handle == made.handle
        lineage = Lineage(two.home)
        assert [edge.by for edge in lineage.ancestors(made.handle)] == ["load_dataset"]
        assert lineage.deleted(["model:m/1", made.handle]) == {"model:m/1"}
        lineage.mark_restored(["model:m/1"])
    with in_step(shared.settings):
        assert Lineage(shared.home).deleted(["model:m/1"]) == set()


def test_a_database_that_is_away_is_said_and_what_was_made_is_shared_later(server: Server, tmp_path: Path) -> None:
    one, two = server("one"), server("two")
    away = with_storage(one, database=SecretStr("postgresql://nobody@127.0.0.1:1/none"))
    with pytest.raises(StorageError, match=r"the shared state at 127.0.0.1:1/none does not answer"):
        loaded(away, tmp_path)
    with in_step(one.settings):
        made = load_file(one, str(tmp_path / "rows.csv"), "rows")
    with in_step(two.settings):
        assert resolve(two, "rows").handle == made.handle


def test_an_installation_without_storage_makes_and_asks_nothing(settings: Settings, work: Work, tmp_path: Path) -> None:
    loaded(work, tmp_path)
    assert not (settings.home / "replica.db").exists()
    with Lineage(settings.home)._store.open() as db:  # pyright: ignore[reportPrivateUsage]
        assert not db.execute("select 1 from sqlite_master where type='trigger'").fetchall()


@pytest.mark.parametrize(
    "given",
    [
        {"storage.files": "s3://bucket/x"}, {"storage.database": "postgresql://h/d"},
        {"storage.files": "s3://key:secret@bucket", "storage.database": "postgresql://h/d"},
        {"storage.files": "/mnt/x", "storage.database": "postgresql://h/d"},
        {"storage.files": "s3://bucket/x", "storage.database": "mysql://h/d"},
    ],
)  # fmt: skip
def test_half_of_the_storage_and_addresses_of_other_things_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="storage"):
        load({}, given)
