"""Where traces belong: two Opiks on one state folder, other keys, and what was written before there was an Opik."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.traces import print_status, ship_now
from mlops_mcp.tools.tracing.ids import uuid7
from mlops_mcp.tools.tracing.opik import outbox
from mlops_mcp.tools.tracing.opik.launcher import Asked, Launcher
from mlops_mcp.tools.tracing.opik.shipper_lock import fingerprint_of
from mlops_mcp.tools.tracing.score import Score
from mlops_mcp.tools.tracing.span import Span, Tracer
from mlops_mcp.tools.tracing.store.destination import Destination
from mlops_mcp.tools.tracing.store.schema import SPANS, TABLES, VERSION
from mlops_mcp.tools.tracing.store.writer import TraceStore

from ..conftest import StdioClient
from ..waiting import until
from .conftest import FAST, Command, Site, with_opik
from .recorder import Recorder


@pytest.fixture
def other() -> Iterator[Recorder]:
    """The Opik of somebody else."""
    with Recorder() as recorder:
        yield recorder
        assert recorder.problems == []


@pytest.fixture
def their(site: Site, other: Recorder) -> Site:
    """The same state folder, with another Opik configured."""
    return Site(with_opik(site.settings, other.url))


def put(settings: Settings, *names: str) -> list[Span]:
    """Write a span with a score as a server with these settings does."""
    store = TraceStore.of(settings)
    made: list[Span] = []
    for name in names:
        with Tracer(store.put).span(name, "tool") as span:
            made.append(span)
        store.put_score(Score("trace", span.trace_id, "quality", 1.0))
        store.put_score(Score("span", span.id, "quality", 1.0))
    assert store.close()
    return made


def names(opik: Recorder) -> set[str]:
    return {row["name"] for row in (*opik.rows("spans").values(), *opik.rows("traces").values())}


def scores(opik: Recorder) -> int:
    return len(opik.rows("spans_scores")) + len(opik.rows("traces_scores"))


def test_each_of_two_opiks_gets_its_own_and_nothing_of_the_other(
    site: Site, their: Site, opik: Recorder, other: Recorder
) -> None:
    put(site.settings, "ours 1", "ours 2")
    put(their.settings, "theirs")
    with site.shipping():
        until(lambda: scores(opik) == 4)
        assert names(other) == set()
    with their.shipping(), site.shipping():
        until(lambda: scores(other) == 2)
    assert names(opik) == {"ours 1", "ours 2"}
    assert names(other) == {"theirs"}
    assert opik.duplicates == other.duplicates == 0


@pytest.mark.parametrize("changed", [{"workspace": "team"}, {"project_name": "demo"}])
def test_another_workspace_or_project_of_one_opik_is_another_destination(
    site: Site, opik: Recorder, changed: dict[str, str]
) -> None:
    there = with_opik(site.settings, opik.url, **changed)
    put(there, "there")
    put(site.settings, "here")
    with site.shipping():
        until(lambda: scores(opik) == 2)
    assert names(opik) == {"here"}
    with site.shipping(there):
        until(lambda: scores(opik) == 4)
    assert {row["project_name"] for row in opik.rows("spans").values() if row["name"] == "there"} == {
        changed.get("project_name", "mlops-mcp")
    }


def test_what_was_written_without_an_opik_goes_to_the_one_that_is_configured_first(
    site: Site, their: Site, opik: Recorder, other: Recorder
) -> None:
    put(with_opik(site.settings, ""), "before")
    with their.shipping():
        until(lambda: scores(other) == 2)
    with site.shipping():
        put(site.settings, "after")
        until(lambda: scores(opik) == 2)
    assert (names(opik), names(other)) == ({"after"}, {"before"})


def test_a_change_and_a_score_go_where_the_row_belongs_whoever_makes_them(
    site: Site, their: Site, opik: Recorder, other: Recorder
) -> None:
    (span,) = put(site.settings, "ours")
    with site.shipping():
        until(lambda: scores(opik) == 2)
    store = TraceStore.of(their.settings)
    span.set_attribute("metrics", {"loss": 0.1})
    store.put(span)
    store.put_score(Score("trace", span.trace_id, "user", 0.5))
    store.close()
    with site.shipping(), their.shipping():
        until(lambda: scores(opik) == 3 and len(opik.accepted["spans", span.id]) == 2)
        until(lambda: site.status.waiting == 0)
    assert names(other) == set()


def test_the_status_says_what_waits_for_which_opik(
    site: Site, their: Site, opik: Recorder, other: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    put(site.settings, "ours")
    put(with_opik(site.settings, ""), "before")
    put(their.settings, "theirs", "theirs too")
    print_status(site.settings, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["stored"], found["waiting"], found["elsewhere"]) == (16, 8, 8)
    assert [(each["url"], each["waiting"]) for each in found["others"]] == [(other.url, 8)]
    print_status(site.settings, as_json=False)
    assert f"8 wait for {other.url}, project mlops-mcp" in capsys.readouterr().out
    assert ship_now(site.settings, 20) == 0
    assert "8 waiting for another Opik" in capsys.readouterr().out
    assert names(other) == set()


def test_what_was_meant_for_an_opik_that_is_none_is_sent_to_the_right_one_when_asked_for(
    site: Site, opik: Recorder, command: Command
) -> None:
    put(with_opik(site.settings, "http://127.0.0.1:9/api"), "mistyped")
    assert command("ship")[0] == 0
    assert names(opik) == set()
    assert command("ship", "--all", "--wait", "30")[0] == 0
    assert names(opik) == {"mistyped"}


def test_settings_with_another_key_have_another_fingerprint_that_does_not_show_it(site: Site) -> None:
    one, two = (with_opik(site.settings, "http://opik", api_key=SecretStr(key)) for key in ("key-1", "key-2"))
    assert Destination.of(one) == Destination.of(two)
    assert fingerprint_of(one) != fingerprint_of(two)
    assert len(fingerprint_of(one)) == 64
    assert "key-1" not in fingerprint_of(one)


def test_two_keys_do_not_take_turns_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("mlops_mcp.tools.tracing.opik.launcher.time.monotonic", lambda: now[0])

    def times(asked: Asked, failing: bool) -> int:
        for second in range(1000):
            now[0] = float(second)
            if asked.due(lambda: failing):
                asked.times, asked.last = asked.times + 1, now[0]
        return asked.times

    assert times(Asked(), failing=False) == 3
    assert times(Asked(), failing=True) > 3


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The shippers that launchers have started, which are ended with the test."""
    from mlops_mcp.tools.tracing.opik import launcher

    started: list[int] = []
    start = launcher.start

    def recorded(*arguments: Any) -> int:
        started.append(start(*arguments))
        return started[-1]

    monkeypatch.setattr(launcher, "start", recorded)
    yield started
    for pid in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def looking(launcher: Launcher, settings: Settings, condition: Any) -> None:
    """Look as a server does until something is so."""

    def look() -> bool:
        launcher.look(settings)
        return bool(condition())

    until(look)


@pytest.mark.slow
def test_a_shipper_with_a_wrong_key_is_replaced_by_a_server_that_has_the_right_one(
    site: Site, opik: Recorder, launched: list[int]
) -> None:
    opik.key = "right"
    wrong, right = (with_opik(site.settings, opik.url, api_key=SecretStr(key)) for key in ("wrong", "right"))
    timing = type(FAST)(**{**FAST.__dict__, "give_up_s": 600.0, "locked_out_s": 30.0})
    put(wrong, "call")
    looking(Launcher(timing), wrong, lambda: any(request.status == 401 for request in opik.requests))
    put(right, "call 2")
    looking(Launcher(timing), right, lambda: scores(opik) == 4)
    assert len(launched) == 2
    assert names(opik) == {"call", "call 2"}
    assert opik.duplicates == 0


@pytest.mark.slow
def test_a_shipper_whose_file_was_moved_away_ends_and_the_next_one_ships_the_new_file(
    site: Site, opik: Recorder, launched: list[int]
) -> None:
    timing = type(FAST)(**{**FAST.__dict__, "give_up_s": 600.0})
    launcher = Launcher(timing)
    store = TraceStore.of(site.settings)
    tracer = Tracer(store.put)
    with tracer.span("first", "tool"):
        pass
    store.flush(30)
    looking(launcher, site.settings, lambda: names(opik) == {"first"})
    site.store.rename(site.store.with_name("away.db"))
    with tracer.span("second", "tool"):
        pass
    looking(launcher, site.settings, lambda: names(opik) == {"first", "second"})
    store.close()
    assert len(launched) == 2


@pytest.mark.slow
async def test_two_servers_with_one_home_each_reach_their_own_opik(
    stdio_client: StdioClient, opik: Recorder, other: Recorder
) -> None:
    async with (
        stdio_client(OPIK_URL_OVERRIDE=opik.url) as ours,
        stdio_client(OPIK_URL_OVERRIDE=other.url) as theirs,
    ):
        await ours.call_tool("list_jobs", {})
        await theirs.call_tool("list_suites", {})
        async with asyncio.timeout(600):
            while not (names(opik) and names(other)):
                await asyncio.sleep(0.05)
        await ours.call_tool("list_jobs", {})
        async with asyncio.timeout(600):
            while len(opik.rows("spans")) < 2:
                await asyncio.sleep(0.05)
    assert (names(opik), names(other)) == ({"list_jobs"}, {"list_suites"})


def test_a_file_of_version_one_keeps_its_rows_and_ships_them_to_the_configured_opik(site: Site, opik: Recorder) -> None:
    shipped, waiting = (Span(uuid7(), "", name, "tool", end=time.time()) for name in ("shipped", "waiting"))
    version_one(site.store, shipped, waiting)
    assert (site.status.stored, site.status.waiting) == (4, 2)
    put(site.settings, "new")
    assert [backlog.waiting for backlog in outbox.backlogs(site.store)] == [2, 4]
    with site.shipping():
        until(lambda: site.status.waiting == 0)
    assert names(opik) == {"waiting", "new"}


def version_one(path: Path, shipped: Span, waiting: Span) -> None:
    """A store as it was before rows knew where they belong."""
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as db:
        for table, columns in TABLES.items():
            kept = ", ".join(f"{name} {kind}" for name, kind in columns.items() if name != "destination")
            db.execute(f"create table {table}({kept})")
            db.execute(f"create index {table}_waiting on {table}(revision) where shipped < revision and held = ''")
        db.execute("create index spans_trace on spans(trace_id)")
        db.execute("create table reminted(old text primary key, new text not null, at real not null)")
        db.execute("create table counts(name text primary key, n integer not null)")
        db.execute("create table notes(name text primary key, at real not null, text text not null)")
        for span, sent in ((shipped, 1), (waiting, 0)):
            values = {name: getattr(span, name, "") for name in SPANS if name in ("id", "trace_id", "name", "start")}
            values |= {"parent_id": "", "kind": "tool", "end": span.end, "status": "ok", "error": "", "shipped": sent}
            marks = ", ".join(f":{name}" for name in values)
            db.execute(f"insert into spans({', '.join(values)}) values({marks})", values)
            db.execute(
                "insert into traces(id, root, last, name, start, end, shipped) values(?, ?, ?, ?, ?, ?, ?)",
                (span.trace_id, span.id, span.id, span.name, span.start, span.end, sent),
            )
        db.execute("pragma user_version=1")
        db.commit()
    assert VERSION > 1


def test_credentials_in_the_url_of_an_opik_are_neither_stored_nor_printed(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = with_opik(settings, "https://PLANTED1@opik.example/api?api_key=PLANTED2")
    store = TraceStore.of(secret)
    with Tracer(store.put).span("work"):
        pass
    assert store.close()
    for as_json in (False, True):
        assert print_status(secret, as_json) == 0
    assert print_status(with_opik(settings, "https://another.example/api"), False) == 0
    said = capsys.readouterr().out
    assert "opik.example" in said
    assert "PLANTED" not in said
    assert b"PLANTED" not in settings.trace_store.read_bytes()
