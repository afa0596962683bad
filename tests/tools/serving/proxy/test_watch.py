"""Which endpoints are looked after, and how often."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlops_mcp.tools.locks import is_locked
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import client, endpoints, marks, processes, reviver
from mlops_mcp.tools.serving.endpoints import change
from mlops_mcp.tools.serving.models import EndpointFile
from mlops_mcp.tools.serving.proxy.places import Places
from mlops_mcp.tools.serving.proxy.watch import FIRST_S, LONGEST_S, SETTLED_S, BackOff, Watch

from .standins import deployment

Standin = Callable[[str, str], int]


def test_what_dies_again_and_again_is_started_later_and_later_until_it_lives(work: Work) -> None:
    back_off, now, waits = BackOff(), 0.0, list[float]()
    for _ in range(9):
        assert back_off.due("credit", now)
        back_off.tried("credit", now)
        wait = next(each for each in map(float, range(1, 100)) if back_off.due("credit", now + each))
        waits.append(wait)
        now += wait
    assert waits == [FIRST_S, 2, 4, 8, 16, 32, LONGEST_S, LONGEST_S, LONGEST_S]
    assert back_off.due("other", now)
    now += LONGEST_S + SETTLED_S + 1
    back_off.tried("credit", now)
    assert back_off.due("credit", now + FIRST_S)


def test_a_process_is_known_by_its_mark_and_by_nothing_else(work: Work, standin: Standin) -> None:
    alive, other = standin("credit", "old"), standin("other", "old")
    assert marks.lives(alive, "credit", "old", work.home)
    assert not marks.lives(other, "credit", "old", work.home)
    assert not marks.lives(alive, "credit", "old", work.home / "another")
    assert not marks.lives(2**22 + 1, "credit", "old", work.home)
    found = {key: [each.pid for each in processes] for key, processes in marks.found(work.home).items()}
    assert found == {("credit", "old"): [alive], ("other", "old"): [other]}


def test_the_dead_the_unfinished_and_the_unknown_are_seen_and_what_lives_is_not(work: Work, standin: Standin) -> None:
    unfinished = deployment("new", 1, 0, standin("begun", "new")).model_copy(update={"ready": False})
    for endpoint, deployments in {
        "living": [deployment("a", 1, 100, standin("living", "a"))],
        "dead": [deployment("a", 1, 100, 2**22 + 1)],
        "begun": [unfinished],
    }.items():
        endpoints.write(work, EndpointFile(endpoint=endpoint, deployments=deployments))
    standin("unknown", "a")
    assert Watch(Places(work.home)).in_need() == {"dead", "begun", "unknown"}


def test_what_somebody_changes_is_left_to_him(work: Work) -> None:
    lock = Places(work.home).lock_of("credit")
    with change(work, "credit"):
        assert is_locked(lock)
    assert not is_locked(lock)


def test_processes_that_no_file_knows_are_ended_and_those_of_others_live(work: Work, standin: Standin) -> None:
    stray, living, begun = standin("gone", "a"), standin("credit", "old"), standin("credit", "new")
    unfinished = deployment("new", 1, 0, begun).model_copy(update={"ready": False})
    endpoints.write(work, EndpointFile(endpoint="credit", deployments=[deployment("old", 1, 100, living), unfinished]))
    reviver.revive(work, "gone")
    client.forget_unfinished(work, "credit")
    reviver.revive(work, "credit")
    assert not marks.lives(stray, "gone", "a", work.home)
    assert not marks.lives(begun, "credit", "new", work.home)
    assert marks.lives(living, "credit", "old", work.home)
    state = endpoints.read(work, "credit")
    assert [each.id for each in state.deployments] == ["old"]
    said = f"ended process {begun}: deployment new is not one of endpoint:credit (any more)"
    assert [each.what for each in state.events] == [said]


def test_what_cannot_be_started_again_says_why_and_stays_as_it_is(work: Work) -> None:
    dead = deployment("old", 1, 100, 2**22 + 1)
    endpoints.write(work, EndpointFile(endpoint="credit", deployments=[dead]))
    reviver.revive(work, "credit")
    state = endpoints.read(work, "credit")
    assert state.deployments == [dead]
    assert "could not be started again: unknown bento 'bento:credit:old'" in state.events[0].what


def test_of_what_happened_only_the_newest_is_kept(work: Work) -> None:
    endpoints.write(work, EndpointFile(endpoint="credit", deployments=[deployment("old", 1, 100)]))
    endpoints.note(work, "credit", *map(str, range(30)))
    assert [each.what for each in endpoints.read(work, "credit").events] == [str(number) for number in range(10, 30)]
    endpoints.keep(work, "credit", [deployment("new", 1, 100)])
    assert len(endpoints.read(work, "credit").events) == 20
    assert processes.sweep(work, "nothing", ()) == []


def test_an_endpoint_whose_file_is_damaged_is_left_alone_and_the_others_are_looked_after(
    work: Work, standin: Standin
) -> None:
    standin("damaged", "a")
    endpoints.write(work, EndpointFile(endpoint="dead", deployments=[deployment("a", 1, 100, 2**22 + 1)]))
    places = Places(work.home)
    (places.endpoints / "damaged.json").write_bytes(b'{"deployments": [{}]}')
    (places.endpoints / "folder.json").mkdir()
    assert Watch(places).in_need() == {"dead"}


def test_an_endpoint_whose_file_is_damaged_is_listed_and_can_be_stopped(work: Work, standin: Standin) -> None:
    alive = standin("damaged", "a")
    endpoints.write(work, EndpointFile(endpoint="damaged", deployments=[deployment("a", 1, 100, alive)]))
    endpoints.write(work, EndpointFile(endpoint="dead", deployments=[deployment("a", 1, 100, 2**22 + 1)]))
    (Places(work.home).endpoints / "damaged.json").write_bytes(b'{"endpoint":')
    lines = client.list_endpoints(work, 20, "").items
    assert [(line.endpoint, line.state) for line in lines] == [("endpoint:damaged", "dead"), ("endpoint:dead", "dead")]
    assert "is damaged. stop_endpoint ends what runs there" in lines[0].notes[0]
    with pytest.raises(endpoints.Damaged):
        client.predict(work, "endpoint:damaged", [{}])
    assert client.stop_endpoint(work, "endpoint:damaged").processes == 1
    assert not marks.lives(alive, "damaged", "a", work.home)
    assert endpoints.names(work) == ["dead"]


def test_a_secret_in_the_log_of_a_service_is_not_kept_among_what_happened(work: Work) -> None:
    endpoints.write(work, EndpointFile(endpoint="credit", deployments=[deployment("old", 1, 100)]))
    # Where it would be cut in two it has to be known before.
    for before in ("", "x" * 590):
        endpoints.note(
            work, "credit", f"{before} api_key=sk-ant-api03-0123456789abcdefghijklmnop, its log ends with that"
        )
    kept = endpoints.read(work, "credit").events
    assert not any("sk-ant-" in each.what for each in kept)
    assert all(len(each.what) <= 600 for each in kept)
