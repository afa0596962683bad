"""What was decided on one server is known on another, and what was taken back is nowhere."""

from __future__ import annotations

import dataclasses
import json

import pytest
from pydantic import SecretStr

from mlops_mcp.tools.decisions import Decision, Entry
from mlops_mcp.tools.observability.decisions import list_decisions, record_decision
from mlops_mcp.tools.observability.models import Recorded
from mlops_mcp.tools.replica.catalogue import Catalogue, DecisionEntry
from mlops_mcp.tools.replica.steps import in_step, installation
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.upkeep.client import delete

from .conftest import Server

pytestmark = pytest.mark.slow
RUN = f"run:{'a' * 32}"


def decide(work: Work, decided: str) -> Recorded:
    with in_step(work.settings):
        return record_decision(work, decided, "best on the same folds", [RUN], ["XGBoost"], "model_selector")


def decided_on(work: Work, handle: str = RUN) -> list[Decision]:
    with in_step(work.settings):
        return list_decisions(work, handle, 20, "").items


def test_a_decision_of_one_server_is_found_on_another_by_its_things_with_all_that_was_said(server: Server) -> None:
    one, two = server("one"), server("two")
    made = decide(one, "take LightGBM")
    assert [each.model_dump() for each in decided_on(two)] == [made.model_dump(exclude={"notes", "undo"})]
    assert decided_on(two, "dataset:loans@1") == []


def test_what_one_server_takes_back_is_gone_on_all_of_them_and_can_be_said_anew(server: Server) -> None:
    one, two = server("one"), server("two")
    made = decide(one, "take LightGBM")
    with in_step(two.settings):
        assert delete(two, [made.decision], False, False).state == "deleted"
    assert decided_on(one) == []
    again = decide(one, "take LightGBM")
    assert [each.at for each in decided_on(two)] == [again.at]


def test_of_two_servers_that_say_the_same_at_once_the_first_counts(server: Server) -> None:
    one, two = server("one"), server("two")
    with in_step(two.settings):
        first = decide(one, "take LightGBM")
        record_decision(two, "take LightGBM", "best on the same folds", [RUN], ["XGBoost"], "model_selector")
    assert [each.at for each in decided_on(two)] == [each.at for each in decided_on(one)] == [first.at]


def test_decisions_from_before_a_folder_was_shared_are_shared(server: Server) -> None:
    shared, two = server("one"), server("two")
    storage = shared.settings.storage.model_copy(update={"files": "", "database": SecretStr("")})
    alone = dataclasses.replace(shared, settings=shared.settings.model_copy(update={"storage": storage}))
    decide(alone, "take LightGBM")
    with in_step(shared.settings):
        pass
    assert [each.decided for each in decided_on(two)] == ["take LightGBM"]


def forged(entry: Entry, **changes: object) -> DecisionEntry:
    """As somebody who can write the database has it."""
    return DecisionEntry(entry.id, json.dumps(dataclasses.asdict(entry) | changes))


def test_a_row_that_is_not_what_was_said_is_left_out_and_those_after_it_are_taken(server: Server) -> None:
    one, two = server("one"), server("two")
    decide(one, "ship nothing")
    entry = Entry("ship it", "it is best", (RUN,), by="ann", at=1.0)
    rows = [forged(entry, reason="other"), forged(dataclasses.replace(entry, agent="x"), at=1e300)]
    catalogue = Catalogue(one.settings.storage.database.get_secret_value(), installation(one.settings))
    catalogue.publish_decisions([*rows, DecisionEntry("b" * 32, "no JSON"), DecisionEntry("c" * 32, "", gone=True)])
    catalogue.close()
    decide(one, "ship another")
    assert [each.decided for each in decided_on(two)] == ["ship another", "ship nothing"]
