"""A tool that could mean several things has a person pick one, where the client can ask; else it refuses as ever."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest
from mcp import Client
from mcp.types import ElicitRequestParams, ElicitResult, TextContent

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.server.choices import MAX_CALLERS, MAX_OPEN, Rounds
from mlops_mcp.server.host import Host
from mlops_mcp.tools.errors import MAX_CHOICES, MissingArgument, NeedsChoice
from mlops_mcp.tools.runtime.identity import in_lane
from mlops_mcp.tools.spec import Toolset, reads, writes

VERSIONS = {"loans": ("dataset:loans@1", "dataset:loans@2"), "banks": ("dataset:banks@1", "dataset:banks@2")}


def exact(text: str) -> str:
    if text in VERSIONS:
        raise NeedsChoice(f"{text!r} has 2 versions", f"Pass one of {', '.join(VERSIONS[text])}.", text, VERSIONS[text])
    return text


async def look(dataset: str, others: list[str] | None = None, name: str = "") -> str:
    """Name what was meant."""
    return " ".join([exact(dataset), *map(exact, others or []), name]).strip()


async def take(dataset: str, target: str = "", classes: list[str] | None = None) -> str:
    """Take something in, which needs what nobody has passed."""
    if not target:
        raise MissingArgument("nothing says what it predicts", "target", ("y", "z"))
    if not classes:
        raise MissingArgument("nothing names the classes", "classes", ('["no", "yes"]', '["yes", "no"]'))
    return f"{dataset} {target} {classes}"


async def make(dataset: str) -> str:
    """Make something."""
    return exact(dataset)


class Person:
    """Answers what they are asked, and remembers it."""

    def __init__(self, action: Literal["accept", "decline", "cancel"] = "accept", pick: object = -1) -> None:
        self.asked: list[tuple[str, list[str]]] = []
        self._action: Literal["accept", "decline", "cancel"] = action
        self._pick = pick

    async def answer(self, context: Any, params: ElicitRequestParams) -> ElicitResult:
        choices = params.model_dump()["requested_schema"]["properties"]["choice"]["enum"]
        self.asked.append((params.message, choices))
        chosen: Any = choices[self._pick] if isinstance(self._pick, int) else self._pick
        return ElicitResult(action=self._action, content={"choice": chosen} if self._action == "accept" else None)


@pytest.fixture
def server(settings: Settings) -> Host:
    return create_server(
        settings, Toolset("probe", "Probes.", (reads(look, "Look"), reads(take, "Take"), writes(make, "Make")))
    )


async def said(client: Client, tool: str = "look", **arguments: Any) -> str:
    answer = await client.call_tool(tool, arguments)
    assert isinstance(answer.content[0], TextContent)
    return ("refused: " if answer.is_error else "") + answer.content[0].text


BOTH = pytest.mark.parametrize("mode", ["legacy", "auto"])
REFUSED = "refused: 'loans' has 2 versions. Pass one of dataset:loans@1, dataset:loans@2."


@BOTH
async def test_what_a_person_picks_is_what_is_meant(server: Host, mode: Any) -> None:
    person = Person()
    async with Client(server, mode=mode, elicitation_callback=person.answer) as client:
        assert await said(client, dataset="loans") == '{"result":"dataset:loans@2"}'
        assert await said(client, dataset="loans", others=["banks", "x"]) == (
            '{"result":"dataset:loans@2 dataset:banks@2 x"}'
        )
        assert await said(client, dataset="clear") == '{"result":"clear"}'
    loans = ("'loans' has 2 versions. Which one is meant?", list(VERSIONS["loans"]))
    banks = ("'banks' has 2 versions. Which one is meant?", list(VERSIONS["banks"]))
    assert person.asked == [loans, loans, banks]


@BOTH
async def test_arguments_that_nobody_has_passed_are_asked_for_one_after_the_other(server: Host, mode: Any) -> None:
    person = Person(pick=0)
    async with Client(server, mode=mode, elicitation_callback=person.answer) as client:
        assert await said(client, "take", dataset="d") == """{"result":"d y ['no', 'yes']"}"""
        assert await said(client, "take", dataset="d", target="z") == """{"result":"d z ['no', 'yes']"}"""
    assert [choices for _, choices in person.asked] == [["y", "z"], *[['["no", "yes"]', '["yes", "no"]']] * 2]
    async with Client(server, mode=mode) as client:
        assert await said(client, "take", dataset="d") == (
            "refused: nothing says what it predicts. Pass `target`: one of y, z."
        )


@BOTH
async def test_a_client_that_cannot_ask_is_refused_with_the_choices(server: Host, mode: Any) -> None:
    async with Client(server, mode=mode) as client:
        assert await said(client, dataset="loans") == REFUSED


@BOTH
@pytest.mark.parametrize(
    "person", [Person("decline"), Person("cancel"), Person(pick="dataset:else@1"), Person(pick=["dataset:loans@1"])]
)
async def test_who_does_not_pick_one_is_asked_once_and_refused(server: Host, mode: Any, person: Person) -> None:
    person.asked.clear()
    async with Client(server, mode=mode, elicitation_callback=person.answer) as client:
        assert await said(client, dataset="loans") == REFUSED
    assert len(person.asked) == 1


@BOTH
async def test_nobody_is_asked_where_the_text_stands_twice_or_a_key_stands_for_it(server: Host, mode: Any) -> None:
    person = Person()
    async with Client(server, mode=mode, elicitation_callback=person.answer) as client:
        assert await said(client, dataset="loans", name="loans") == REFUSED
        assert (await said(client, "make", dataset="loans", idempotency_key="k")).startswith("refused: ")
        assert await said(client, "make", dataset="loans") == '{"result":"dataset:loans@2"}'
    assert len(person.asked) == 1


def test_a_question_crosses_to_another_process_whole() -> None:
    question = NeedsChoice("a has 30", "Pass one.", "a", map(str, range(30)))
    again = pickle.loads(pickle.dumps(question))
    assert (str(again), again.given, again.choices) == ("a has 30. Pass one.", "a", question.choices)
    assert len(again.choices) == MAX_CHOICES


@pytest.mark.slow
async def test_a_dataset_of_two_versions_is_asked_for_out_of_a_worker(settings: Settings, tmp_path: Path) -> None:
    server, person = create_server(settings), Person(pick=0)
    async with server.services.running(), Client(server, elicitation_callback=person.answer) as client:
        for rows in (1, 2):
            (tmp_path / "loans.csv").write_text("a\n" + "1\n" * rows)
            await client.call_tool("load_dataset", {"path": str(tmp_path / "loans.csv")})
        described = (await client.call_tool("describe_dataset", {"dataset": "loans"})).structured_content
    assert described
    [(message, choices)] = person.asked
    assert message == "'loans' has 2 versions. Which one is meant?"
    assert (described["dataset"], described["rows"]) == (choices[0], 2)  # the newest comes first


def test_of_questions_that_nobody_answers_the_oldest_are_asked_again() -> None:
    rounds, question = Rounds(), NeedsChoice("a", "b", "c", ("d",))

    def back(state: str) -> bool:
        return rounds.take(cast(Any, SimpleNamespace(request_state=state))) is not None

    with in_lane("other"):
        other = rounds.ask(question, {})
    asked = [rounds.ask(question, {}) for _ in range(MAX_OPEN + 1)]
    assert [back(state) for state in (asked[0], asked[1], asked[1], asked[-1], other)] == [
        False, True, False, True, False
    ]  # fmt: skip
    for lane in range(MAX_CALLERS - 1):
        with in_lane(str(lane)):
            rounds.ask(question, {})
    assert back(asked[2])  # of as many callers as there may be beside the one that asked last
    with in_lane("other"):
        assert not back(other)
