"""`mlops-mcp traces`: the backlog in numbers, shipped by hand, and what was refused."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from mlops_mcp.server.probes import answers, questions
from mlops_mcp.tools.tracing.ids import uuid7
from mlops_mcp.tools.tracing.span import Span

from .conftest import Command, Site, with_opik
from .recorder import Recorder


def test_an_installation_without_traces_has_nothing_to_say(command: Command) -> None:
    code, said = command("status", "--json")
    assert code == 0
    assert {name: value for name, value in json.loads(said).items() if value and name != "target"} == {}
    assert command("ship") == (0, "0 delivered so far, nothing is left\n")
    assert command("parked") == (0, "nothing is parked\n")


def test_the_backlog_is_counted_and_shipped_by_hand(site: Site, opik: Recorder, command: Command) -> None:
    site.calls(5)
    counts = json.loads(command("status", "--json")[1])
    assert (counts["stored"], counts["waiting"], counts["shipped"], counts["target"]) == (20, 20, 0, opik.url)
    assert counts["oldest_waiting"] > 0
    assert command("ship", "--wait", "20") == (0, "20 delivered so far, nothing is left\n")
    assert set(opik.rows("traces")) == site.made.traces
    code, said = command("status")
    assert code == 0
    assert "waiting            0" in said
    assert "delivered          20" in said


def test_shipping_by_hand_says_why_something_is_left(site: Site, opik: Recorder, command: Command) -> None:
    site.calls(1)
    opik.become("503")
    code, said = command("ship", "--wait", "1")
    assert code == 1
    assert "4 waiting to be shipped" in said
    assert "HTTP 503" in said


def test_shipping_by_hand_waits_for_the_shipper_of_a_server(site: Site, opik: Recorder, command: Command) -> None:
    site.calls(1)
    with site.lock.taken():
        code, said = command("ship", "--wait", "0.3")
    assert code == 1
    assert "4 waiting to be shipped" in said
    assert opik.requests == []


def test_without_an_opik_shipping_by_hand_says_what_to_set(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPIK_URL_OVERRIDE")
    code, said = command("ship")
    assert code == 1
    assert "set opik.url" in said
    assert "traces stay in the local store" in command("status")[1]


def test_a_refused_row_is_shown_and_goes_again_when_asked_for(site: Site, opik: Recorder, command: Command) -> None:
    opik.refuses = lambda row: "no such name" if row["name"] == "bad" else ""
    site.put(Span(trace := uuid7(), "", "bad", "tool", end=1e9))
    site.calls(3)
    code, said = command("ship")
    assert code == 1
    assert "2 refused by Opik" in said
    parked = json.loads(command("parked", "--json")[1])
    assert {row["kind"] for row in parked} == {"traces", "spans"}
    assert "HTTP 400" in parked[0]["why"]
    assert "no such name" in command("parked")[1]
    opik.refuses = lambda _row: ""
    assert command("parked", "--requeue", trace) == (0, "1 rows wait to be shipped again\n")
    assert command("parked", "--requeue", "nothing")[0] == 1
    assert command("parked", "--requeue", "all") == (0, "1 rows wait to be shipped again\n")
    assert command("ship")[0] == 0
    assert trace in opik.rows("traces")
    assert opik.duplicates == 0


def test_the_doctor_shows_the_backlog(site: Site) -> None:
    site.calls(2)
    traces = next(found for found in answers(questions(site.settings)) if found.name == "traces")
    assert traces.detail.endswith("8 waiting to be shipped")
    assert traces.state == "ok"


def test_the_doctor_says_nothing_of_shipping_without_an_opik(site: Site) -> None:
    site.calls(2)
    settings = with_opik(site.settings, "")
    traces = next(found for found in answers(questions(settings)) if found.name == "traces")
    assert "waiting" not in traces.detail
    assert traces.detail.endswith("MB")


def test_a_store_that_is_none_is_an_answer_and_no_traceback(site: Site, command: Command) -> None:
    site.settings.home.mkdir(parents=True)
    site.store.write_text("this is no database" * 100)
    for arguments in (("status",), ("ship",), ("parked",), ("parked", "--requeue", "all")):
        code, said = command(*arguments)
        assert code == 1
        assert f"the trace store {site.store} cannot be used" in said
        assert "Move the file away" in said


def test_a_store_of_the_first_version_is_read_and_then_shipped(site: Site, opik: Recorder, command: Command) -> None:
    site.settings.home.mkdir(parents=True)
    span = Span(uuid7(), "", "old", "tool", end=1e9)
    with closing(sqlite3.connect(site.store)) as old:
        old.executescript(
            "create table spans(id text primary key, trace_id text not null, parent_id text not null, "
            "name text not null, kind text not null, start real not null, end real not null, status text not null, "
            "input text, output text, metadata text, error text not null);"
        )
        values = (
            span.id,
            span.trace_id,
            "",
            "old",
            "tool",
            span.start,
            span.start + 1,
            "ok",
            '{"a": 1}',
            None,
            "{}",
            "",
        )
        old.execute(f"insert into spans values({', '.join('?' * 12)})", values)
        old.commit()
    assert json.loads(command("status", "--json")[1])["waiting"] == 1
    assert command("ship")[0] == 0
    assert opik.rows("spans")[span.id]["input"] == {"a": 1}
    assert set(opik.rows("traces")) == {span.trace_id}
