"""The job table in SQLite and in PostgreSQL."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.errors import Unavailable
from mlops_mcp.tools.paging import Position
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.runtime.jobs.backends import backend_of
from mlops_mcp.tools.runtime.jobs.launch import table_of
from mlops_mcp.tools.runtime.jobs.shares import Slots
from mlops_mcp.tools.runtime.jobs.table import FRESH_S, End, JobRow, JobTable, NewJob

pytestmark = pytest.mark.slow

NEW = NewJob(
    tool="x", toolset="", function="a:b", request="{}", attempts=2, trace_id="t", span_id="s", idempotency=None,
    settings="{}", folder="/", home="home", budget="{}", short=0,
)  # fmt: skip
DAY_S = 24 * 3600.0


@pytest.fixture
def table(store: Settings) -> JobTable:
    return table_of(store)


def claimed(table: JobTable, slots: int = 99) -> JobRow:
    row = table.claim("home", "here", Slots(slots))
    assert row is not None
    return row


def ended(table: JobTable, new: NewJob = NEW, ago_s: float = 0) -> JobRow:
    """A job that ended some time ago."""
    row = table.insert(new)
    table.started(claimed(table).id, 1, 1)
    assert table.finish(row.id, 1, End("done", "1"))
    with table.backend.open() as db:
        db.execute("update jobs set ended=? where id=?", (time.time() - ago_s, row.id))
    return table.get(row.id)


def test_jobs_are_claimed_in_order_and_no_more_than_there_are_slots(table: JobTable) -> None:
    rows = [table.insert(NEW) for _ in range(3)]
    assert [claimed(table, 2).id, claimed(table, 2).id] == [row.id for row in rows[:2]]
    assert table.claim("home", "here", Slots(2)) is None
    assert claimed_elsewhere(table) == rows[2].id


def test_pages_of_a_list_that_grows_repeat_nothing_and_come_to_an_end(table: JobTable) -> None:
    known = [table.insert(NEW).id for _ in range(7)]
    with table.backend.open() as db:
        db.execute("update jobs set created=1 where id in (?, ?, ?)", known[:3])  # equal times are told apart by the id
    seen: list[str] = []
    after = None
    while rows := table.recent(2, after):
        seen += [row.id for row in rows]
        after = rows[-1].position
        table.insert(NEW)
    assert sorted(seen) == sorted(known)


def claimed_elsewhere(table: JobTable) -> str:
    row = table.claim("home", "there", Slots(2))
    assert row is not None
    return row.id


def test_jobs_of_another_state_folder_are_left_to_those_who_see_it(table: JobTable) -> None:
    table.insert(replace(NEW, home="other"))
    assert table.claim("home", "here", Slots(9)) is None
    assert table.claim("other", "here", Slots(9)) is not None


def test_many_who_claim_at_once_never_get_the_same_job(table: JobTable) -> None:
    for _ in range(40):
        table.insert(NEW)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda _: table.claim("home", "here", Slots(99)), range(60)))
    found = Counter(row.id for row in rows if row)
    assert (len(found), set(found.values())) == (40, {1})


def test_only_the_attempt_that_runs_may_write(table: JobTable) -> None:
    identity = table.insert(NEW).id
    claimed(table)
    assert table.note(identity, 1, "progress", "{}")
    table.lose(identity, 1, "killed")
    assert (table.get(identity).state, table.get(identity).error) == ("queued", "killed")
    assert claimed(table).attempt == 2
    assert not table.finish(identity, 1, End("done", "1"))
    assert not table.note(identity, 1, "progress", "{}")
    assert table.finish(identity, 2, End("done", "2"))
    assert (table.get(identity).state, table.get(identity).result) == ("done", "2")


def test_what_a_library_says_is_kept_whatever_characters_it_uses(table: JobTable) -> None:
    identity = table.insert(NEW).id
    claimed(table)
    table.finish(identity, 1, End("failed", error="a\0b \ud800 ü"))
    assert table.get(identity).error == "ab ? ü"


@pytest.mark.parametrize("identity", ["", "none", "a\0b", "\ud800", "' or 1=1 --", "x" * 100_000])
def test_an_id_that_is_none_is_unknown_and_nothing_worse(table: JobTable, identity: str) -> None:
    with pytest.raises(KeyError):
        table.get(identity)


def test_answers_are_collected_until_no_question_is_left(table: JobTable) -> None:
    identity = table.insert(NEW).id
    claimed(table)
    table.note(identity, 1, "asks", json.dumps({"a": {}, "b": {}}))
    table.answer(identity, {"a": 1, "c": 3})
    assert json.loads(table.get(identity).asks or "") == {"b": {}}
    table.answer(identity, {"b": 2})
    assert (table.get(identity).asks, json.loads(table.get(identity).answers or "")) == (None, {"a": 1, "b": 2})


def test_what_has_to_be_done_after_an_attempt_is_given_to_the_first_who_asks(table: JobTable) -> None:
    identity = table.insert(NEW).id
    claimed(table)
    table.note(identity, 1, "cleanup", "{}")
    assert [table.take_cleanup(identity, attempt) for attempt in (2, 1, 1)] == [None, "{}", None]


def test_a_column_of_a_newer_version_is_passed_over(table: JobTable) -> None:
    identity = table.insert(NEW).id
    with table.backend.open() as db:
        db.execute("alter table jobs add column priority integer")
    assert table.get(identity).id == identity


def test_ended_jobs_are_deleted_by_age(table: JobTable) -> None:
    old, young = ended(table, ago_s=31 * DAY_S), ended(table)
    running = table.insert(NEW)
    assert table.prune(time.time() - 30 * DAY_S, 100) == [old.id]
    assert {row.id for row in table.recent(9)} == {young.id, running.id}


def test_ended_jobs_are_deleted_by_number_but_not_on_their_first_day(table: JobTable) -> None:
    rows = [ended(table, ago_s=FRESH_S * 2 - number) for number in range(4)]
    fresh = ended(table)
    assert set(table.prune(0, 2)) == {row.id for row in rows[:3]}
    assert {row.id for row in table.recent(9)} == {rows[3].id, fresh.id}


def test_a_job_that_a_key_refers_to_is_deleted_only_when_the_key_is_too_old(table: JobTable) -> None:
    keyed = ended(table, replace(NEW, idempotency="x:key"), ago_s=FRESH_S * 2)
    assert table.prune(0, 0) == []
    assert table.insert(replace(NEW, idempotency="x:key")).id == keyed.id
    assert table.prune(time.time() - FRESH_S, 0) == [keyed.id]


CALL = replace(NEW, scope="somebody", call="digest")


def test_the_same_call_of_the_same_caller_finds_its_job_while_that_has_not_ended(table: JobTable) -> None:
    first = table.insert(CALL)
    assert not first.joined
    claimed(table)
    again = table.insert(CALL)
    assert (again.id, again.state, again.joined) == (first.id, "running", True)
    others = [replace(CALL, scope="another"), replace(CALL, call="other"), replace(CALL, idempotency="k"), NEW, NEW]
    assert len({first.id, *(table.insert(other).id for other in others)}) == 6


@pytest.mark.parametrize(
    ("end", "joins"),
    [
        (End("done", "1"), True),
        (End("failed", error="no"), True),
        (End("cancelled", fault="budget"), True),
        (End("cancelled"), False),
    ],
)
def test_an_end_is_found_until_its_caller_was_told_or_it_is_too_old(table: JobTable, end: End, joins: bool) -> None:
    identity = table.insert(CALL).id
    claimed(table)
    table.finish(identity, 1, end)
    assert table.insert(CALL, rejoin_s=0).id != identity
    table = table_of_one(table, identity)
    assert (table.insert(CALL, rejoin_s=60).id == identity) is joins
    table = table_of_one(table, identity)
    assert not table.tell(identity, "another")
    assert table.tell(identity, "somebody")
    assert table.insert(CALL, rejoin_s=60).id != identity


def table_of_one(table: JobTable, identity: str) -> JobTable:
    """The table without any other job."""
    with table.backend.open() as db:
        db.execute("delete from jobs where id<>?", (identity,))
    return table


def test_many_same_calls_at_once_make_one_job(table: JobTable) -> None:
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda _: table.insert(CALL), range(24)))
    assert (len({row.id for row in rows}), sum(not row.joined for row in rows)) == (1, 1)


def test_a_table_without_the_columns_of_a_call_gets_them(store: Settings) -> None:
    table = table_of(store)
    old = table.insert(NEW).id
    with table.backend.open() as db:
        db.execute("drop index jobs_call")
        for column in ("scope", "call", "told"):
            db.execute(f"alter table jobs drop column {column}")
    newer = table_of(store)
    assert newer.get(old).call is None
    assert newer.insert(CALL).id == newer.insert(CALL).id != old


def test_a_table_without_the_indexes_of_its_lists_gets_them(store: Settings) -> None:
    table = table_of(store)
    old = table.insert(NEW).id
    with table.backend.open() as db:
        db.execute("drop index jobs_created")
        db.execute("drop index jobs_owner")
    newer = table_of(store)
    assert [row.id for row in newer.recent(5)] == [old]
    with newer.backend.open() as db:
        db.execute("drop index jobs_created")  # fails where there is none


SEEN_BY = (Identity(), Identity("ann", "write"), Identity("", "write"))


@pytest.mark.parametrize("by", SEEN_BY)
@pytest.mark.parametrize("state", ["", "queued", "done"])
def test_pages_of_a_list_are_what_somebody_may_see_of_it(table: JobTable, state: str, by: Identity) -> None:
    owners = ("", "ann", "bob") * 3
    made = [table.insert(replace(NEW, owner=owner, idempotency=None, call=None)).id for owner in owners]
    with table.backend.open() as db:
        db.execute("update jobs set created=7 where id in (?, ?, ?, ?)", made[2:6])
        db.execute("update jobs set state='done', ended=9 where id in (?, ?, ?)", made[:3])
    rows = sorted((table.get(each) for each in made), key=lambda row: (row.created, row.id), reverse=True)
    wanted = [row.id for row in rows if state in ("", row.state) and by.owns(row.owner)]
    found, after = list[str](), None
    while page := table.recent(2, after, state, by):
        found += [row.id for row in page]
        after = page[-1].position
    assert found == wanted
    assert table.count(state, by) == len(wanted)


@pytest.mark.parametrize("by", SEEN_BY)
@pytest.mark.parametrize("state", ["", "queued"])
def test_no_list_of_jobs_reads_or_sorts_all_of_them(
    settings: Settings, state: str, by: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, asked = table_of(settings), list[tuple[str, tuple[object, ...]]]()
    monkeypatch.setattr(table, "_all", lambda query, *values: asked.append((query, values)))
    table.recent(20, None, state, by)
    table.recent(20, Position(1.0, "x"), state, by)
    with table.backend.open() as db:
        plans = [str(row[3]) for query, values in asked for row in db.execute(f"explain query plan {query}", values)]
    assert plans
    assert not [plan for plan in plans if "INDEX jobs_" not in plan and "RIGHT PART" not in plan]


def test_a_file_of_an_older_version_keeps_its_jobs(settings: Settings) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(settings.home / "jobs.db") as db:
        db.execute(
            "create table jobs(id text primary key, tool text not null, function text not null, request text not null,"
            "state text not null, attempt integer not null, attempts integer not null, pid integer not null,"
            "progress text, result text, error text, trace_id text not null, span_id text not null,"
            "idempotency text unique, settings text not null, folder text not null, created real not null,"
            "claimed real not null, ended real not null)"
        )
        db.execute("insert into jobs values('old','x','a:b','{}','done',1,2,7,null,'1',null,'','',null,'{}','/',1,2,3)")
        db.execute(
            "insert into jobs values('new','x','a:b','{}','queued',0,2,0,null,null,null,'','',null,'','/',1,0,0)"
        )
    table = table_of(settings)
    assert (table.get("old").state, table.get("old").result, table.get("old").budget) == ("done", "1", "{}")
    assert claimed(table).id == "new"


def test_processes_that_meet_on_an_empty_table_all_find_it(store: Settings, tmp_path: Path) -> None:
    program = (
        "import sys; from mlops_mcp.config.settings import Settings; from pydantic import SecretStr\n"
        "from mlops_mcp.tools.runtime.jobs.backends import backend_of\n"
        "from mlops_mcp.tools.runtime.jobs.table import JobTable\n"
        "from pathlib import Path\n"
        "print(JobTable(backend_of(sys.argv[1], Path(sys.argv[2]))).count())\n"
    )
    url = store.runtime.job_store.get_secret_value()
    command = [sys.executable, "-c", program, url, str(tmp_path / "jobs.db")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=600)[0].strip() for process in started] == ["0"] * 4


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    table = JobTable(backend_of("postgresql://me:hunter2@127.0.0.1:9/jobs", tmp_path / "jobs.db"))
    with pytest.raises(Unavailable, match=r"at 127\.0\.0\.1:9/jobs does not answer") as caught:
        table.count()
    assert "hunter2" not in str(caught.value)
    assert "runtime.job_store" in caught.value.hint


def test_a_process_that_starts_is_not_held_up_by_one_that_reads(store: Settings) -> None:
    table = table_of(store)
    table.insert(NEW)
    with table.backend.open() as db:
        db.execute("begin")
        db.execute("select count(*) from jobs").fetchone()
        assert table_of(store).count() == 1
        db.execute("commit")


def test_a_table_whose_server_was_restarted_is_found_again(store: Settings) -> None:
    table, other = table_of(store), table_of(store)
    identity = table.insert(NEW).id
    if store.runtime.job_store.get_secret_value():
        with other.backend.open() as db:
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where pid <> pg_backend_pid() and usename='tester'"
            )
    assert table.get(identity).id == identity


def test_short_work_does_not_wait_behind_long_work_but_takes_no_slot_of_it(table: JobTable) -> None:
    long = [table.insert(replace(NEW, tool=f"long {n}")) for n in range(3)]
    short = [table.insert(replace(NEW, tool=f"short {n}", short=1)) for n in range(3)]

    def claim() -> str | None:
        row = table.claim("home", "here", Slots(1, 1))
        return row.tool if row else None

    assert [claim() for _ in range(3)] == ["long 0", "short 0", None]
    table.finish(short[0].id, 1, End("done"))
    assert [claim() for _ in range(2)] == ["short 1", None]
    table.finish(long[0].id, 1, End("done"))
    assert [claim() for _ in range(2)] == ["long 1", None]
    table.finish(long[1].id, 1, End("done"))
    table.finish(short[1].id, 1, End("done"))
    assert [claim() for _ in range(3)] == ["long 2", "short 2", None]


def test_long_work_is_not_starved_by_short_work_that_comes_later(table: JobTable) -> None:
    first, second = (table.insert(replace(NEW, tool=f"short {n}", short=1)) for n in range(2))
    table.insert(replace(NEW, tool="long"))
    later = table.insert(replace(NEW, tool="short 2", short=1))
    assert [table.claim("home", "here", Slots(1, 1)) is not None for _ in range(2)] == [True, True]
    table.finish(first.id, 1, End("done"))
    row = table.claim("home", "here", Slots(1, 1))
    assert row is not None
    assert row.tool == "long"
    assert table.ahead(later) == 0
    assert table.ahead(second) == 0


def test_before_a_long_job_come_all_older_ones_and_before_a_short_one_the_older_short_ones(table: JobTable) -> None:
    rows = [table.insert(replace(NEW, tool=str(n), short=n % 2)) for n in range(6)]
    assert [table.ahead(row) for row in rows] == [0, 0, 2, 1, 4, 2]
