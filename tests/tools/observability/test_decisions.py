import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from mlops_mcp.tools import decisions as log
from mlops_mcp.tools.decisions import Decisions
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.observability.client import get_lineage
from mlops_mcp.tools.observability.decisions import list_decisions, record_decision
from mlops_mcp.tools.observability.models import Recorded
from mlops_mcp.tools.removal import Gone
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.upkeep.client import delete

RUN = f"run:{'a' * 32}"


def decide(work: Work, decided: str = "take LightGBM", *handles: str, **more: Any) -> Recorded:
    given: dict[str, Any] = {"reason": "best on the same folds", "alternatives": ["XGBoost"], "agent": "model_selector"}
    return record_decision(work, decided, handles=list(handles) or [RUN], **(given | more))


def decided_about(work: Work, handle: str) -> list[str]:
    return [each.decided for each in list_decisions(work, handle, 20, "").items]


def test_a_decision_is_kept_with_its_reason_its_things_and_who_took_it(work: Work) -> None:
    mine = replace(work, by=Identity("ann", "write"))
    made = decide(mine, "take LightGBM", RUN, "dataset:loans@3f", "dataset:loans@3f")
    held = list_decisions(work, RUN, 5, "").items[0]
    assert held.model_dump() == made.model_dump(exclude={"notes", "undo"})
    assert (held.decided, held.reason, held.alternatives) == ("take LightGBM", "best on the same folds", ["XGBoost"])
    assert (held.handles, held.agent, held.by) == ([RUN, "dataset:loans@3f"], "model_selector", "ann")
    assert made.notes == ["dataset:loans@3f: nothing of that name was made here"]


def test_the_same_said_again_is_one_decision_and_only_the_first_can_be_undone_by_its_answer(work: Work) -> None:
    first, again = decide(work), decide(work)
    assert (again.decision, again.at, again.undo) == (first.decision, first.at, None)
    assert list_decisions(work, "", 5, "").total == 1
    assert decide(replace(work, by=Identity("bob", "write"))).decision != first.decision


def test_undo_takes_a_decision_back_and_it_can_be_said_anew(work: Work) -> None:
    made = decide(work)
    assert made.undo == f"delete(handle='{made.decision}', dry_run=false)"
    assert delete(work, [made.decision], True, False).state == "preview"
    assert delete(work, [made.decision], False, False).state == "deleted"
    assert decided_about(work, RUN) == []
    assert delete(work, [made.decision], False, False).state == "already_gone"
    again = decide(work)
    assert (again.decision, again.undo) == (made.decision, made.undo)
    assert delete(work, [made.decision], False, False).state == "deleted"
    with pytest.raises(ToolFailure, match="unknown decision"):
        delete(work, [f"decision:{'0' * 32}"], False, False)


def test_whoever_comes_second_to_take_a_decision_back_is_told(work: Work) -> None:
    from mlops_mcp.tools.observability.removal import find, remove

    found = find(work, decide(work).decision)
    remove(work, found)
    with pytest.raises(Gone):
        remove(work, found)


def test_a_version_has_what_was_said_of_its_name_and_a_name_what_was_said_of_its_versions(work: Work) -> None:
    decide(work, "the name", "model:credit")
    decide(work, "the first", "models:/credit/1")
    decide(work, "the second", "model:credit/2")
    decide(work, "another", "model:credit_card/1")
    decide(work, "data", "dataset:credit@1")
    assert decided_about(work, "model:credit/1") == ["the first", "the name"]
    assert decided_about(work, "model:credit") == ["the second", "the first", "the name"]
    assert decided_about(work, "dataset:credit") == ["data"]


def test_decisions_come_newest_first_in_pages_that_end(work: Work) -> None:
    for number in range(5):
        decide(work, f"number {number}")
    page = list_decisions(work, RUN, 2, "")
    seen = [each.decided for each in page.items]
    while page.next_cursor:
        page = list_decisions(work, RUN, 2, page.next_cursor)
        seen += [each.decided for each in page.items]
    assert (seen, page.total) == ([f"number {number}" for number in (4, 3, 2, 1, 0)], 5)


def test_a_log_that_was_never_written_is_empty_and_is_not_made_by_reading(work: Work) -> None:
    assert list_decisions(work, "", 5, "").items == []
    assert not (work.home / log.FILE).exists()


def test_lineage_shows_decisions_about_anything_in_it(work: Work) -> None:
    Lineage(work.home).record("model:credit/1", ["dataset:loans@3f"], "register_model")
    for number in range(7):
        decide(work, f"split {number}", "dataset:loans@3f", reason="r" * 4000)
    graph = get_lineage(work, "model:credit/1", 50)
    assert [each.decided for each in graph.decisions] == [f"split {number}" for number in (6, 5, 4, 3, 2)]
    assert all(len(each.reason) == 300 for each in graph.decisions)
    assert graph.notes == ["only the 5 newest decisions are shown: list_decisions has all of one thing"]
    decide(work, "alone", "endpoint:credit")
    assert [each.decided for each in get_lineage(work, "endpoint:credit", 50).decisions] == ["alone"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"decided": " "}, "decided has 1 to 500"),
        ({"reason": ""}, "reason has 1 to"),
        ({"reason": "x" * 4001}, "reason has 1 to 4,000"),
        ({"alternatives": [""]}, "alternatives has 1 to"),
        ({"alternatives": ["x"] * 11}, "up to 10 alternatives"),
        ({"agent": "x" * 101}, "agent has 1 to"),
        ({"handles": []}, "about 1 to 20 handles"),
        ({"handles": [f"endpoint:e{number}" for number in range(21)]}, "about 1 to 20 handles"),
        ({"handles": ["the best model"]}, "unknown kind of handle"),
        ({"handles": ["decision:abc"]}, "about things, not about a decision"),
        ({"handles": ["model:credit@production"]}, "is an alias, which moves"),
        ({"handles": ["run:../../x"]}, "no run handle"),
        ({"handles": ["file:"]}, "unknown kind of handle"),
    ],
)
def test_what_cannot_be_a_decision_is_refused_and_nothing_is_kept(work: Work, more: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {"decided": "d", "reason": "r", "handles": [RUN], "alternatives": [], "agent": ""} | more
    with pytest.raises(ToolFailure, match=says):
        record_decision(work, **given)
    assert list_decisions(work, "", 5, "").items == []


def test_secrets_and_hidden_text_are_taken_out_before_anything_is_kept(work: Work) -> None:
    key, hidden = "sk-ant-" + "a1" * 20, "\x1b]0;title\x07"
    made = decide(work, f"use {key}", reason=f"<script>{hidden} {key}", alternatives=[f"password={key}"], agent=key)
    assert key not in made.model_dump_json()
    with closing(sqlite3.connect(work.home / log.FILE)) as db:
        kept = str(db.execute("select * from decisions").fetchall())
    assert key not in kept
    assert "title" not in kept
    assert made.reason.startswith("<script>")


def test_beyond_its_bound_the_oldest_decisions_go(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MOST", 3)
    for number in range(5):
        decide(work, f"number {number}")
    assert decided_about(work, RUN) == ["number 4", "number 3", "number 2"]
    with closing(sqlite3.connect(work.home / log.FILE)) as db:
        assert db.execute("select count(*) from about").fetchone() == (3,)


def test_decisions_about_one_thing_are_found_by_index(work: Work) -> None:
    decide(work)
    which, values = log._about(["model:credit", RUN])  # pyright: ignore[reportPrivateUsage]
    with closing(sqlite3.connect(work.home / log.FILE)) as db:
        plan = str(db.execute(f"explain query plan select id from decisions where {which}", values).fetchall())
    assert "SCAN" not in plan


def test_two_logs_of_one_folder_share_their_rows(work: Work) -> None:
    made = decide(work)
    assert Decisions(work.home).get(made.decision.partition(":")[2])


def test_a_decision_is_taken_back_by_who_recorded_it_or_an_administrator_and_nobody_else(work: Work) -> None:
    ann, bob, admin = (
        replace(work, by=who) for who in (Identity("ann", "write"), Identity("bob", "write"), Identity("eve", "admin"))
    )
    made, machine = decide(ann, "do not ship it"), decide(work, "ship it")
    for each in (made, machine):
        with pytest.raises(ToolFailure, match="was recorded by"):
            delete(bob, [each.decision], False, False)
        assert each.decided in decided_about(work, RUN)
    assert delete(ann, [made.decision], False, False).state == "deleted"
    assert delete(admin, [machine.decision], False, False).state == "deleted"
