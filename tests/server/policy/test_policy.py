"""A policy over the protocol: what it denies is not done on any way in, and a person confirms what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import ElicitRequestParams, ElicitResult

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.server.policy.document import Document
from mlops_mcp.server.policy.policy import Attempt, decide
from mlops_mcp.tools.errors import NeedsChoice
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.runtime.jobs.launch import table_of
from mlops_mcp.tools.spec import Toolset, writes

from ..access.conftest import opened
from ..access.test_identities import queued
from .conftest import Probe, Ruled, said

DENIED = """
default: allow
deny:
- {tools: wipe, arguments: {dry_run: false}, why: ask root}
- {tools: wipe, arguments: {target: ['model:credit*', /etc/*]}}
- {tools: wipe, arguments: {size: 7}}
- {tools: wipe, arguments: {stage: Production}}
- {tools: wipe, arguments: {steps.force: true}}
- {tools: wipe, arguments: {options.mode: hard, idempotency_key: 'night-*'}}
"""
BYPASSES: tuple[dict[str, Any], ...] = (
    *({"target": "x", "dry_run": given} for given in (False, "false", "FALSE", "off", "no", "0", 0, 0.0, "n", "f")),
    *(
        {"target": given}
        for given in (
            "model:credit", "credit", "models:/credit/1", " model:Credit/2", "model:cre\u200bdit", "\uff43redit",
            ["x", "model:credit"], '["x", "model:credit/1"]', "/etc/passwd", "/etc/../etc/passwd", "//etc/passwd",
            "file:///etc/passwd", ["x", "../../../../../../../../../../../../etc/passwd"],
        )
    ),
    *({"target": "x", "size": given} for given in (7, "7", 7.0, " 7", "7.0")),
    {"target": "x", "stage": "Production"},
    {"target": "x", "steps": [{}]},
    {"target": "x", "steps": "[{}]"},
    {"target": "x", "steps": [{"force": "yes"}]},
    {"target": "x", "steps": [{"force": False}, {}]},
    {"target": "x", "steps": [{"path": "p"}]},
    {"target": "x", "options": {"mode": "HARD"}, "idempotency_key": "night-1"},
    {"target": "x", "options": '{"mode": "hard"}', "idempotency_key": "Night-1"},
)  # fmt: skip
PASSING: tuple[dict[str, Any], ...] = (
    {"target": "x"},
    {"target": "x", "dry_run": None},
    {"target": ["x", "model:debit"], "dry_run": "true", "size": 70},
    {"target": "x", "steps": [{"force": False}]},
    {"target": "x", "steps": None},
    {"target": "x", "options": {"mode": "hard"}},
    {"target": "x", "options": {"mode": "soft"}, "idempotency_key": "night-1"},
)


async def test_a_denied_call_is_refused_however_it_is_written(ruled: Ruled, probe: Probe) -> None:
    server = create_server(ruled(DENIED), probe.toolset)
    async with Client(server) as client:
        for arguments in BYPASSES:
            answer = await said(client, **arguments)
            # What a tool does not take at all is no call.
            assert (arguments, "is denied here" in answer or "cannot take" in answer) == (arguments, True)
        assert probe.done == []
        assert await said(client, target="x", dry_run=False) == (
            "refused: wipe is denied here by the policy of this server (ask root). "
            "Whoever runs the server may change it: deny rule 1 of policy.yaml."
        )
        for arguments in PASSING:
            assert (arguments, (await said(client, **arguments))[:7]) == (arguments, '{"resul')
        assert len(probe.done) == len(PASSING)
        assert "wipe" in {tool.name for tool in (await client.list_tools()).tools}


async def test_most_of_the_ways_to_write_a_denied_value_are_calls_that_a_tool_takes(
    settings: Settings, probe: Probe
) -> None:
    async with Client(create_server(settings, probe.toolset)) as client:
        answers = [await said(client, **arguments) for arguments in BYPASSES]
    assert sum(answer.startswith("refused") for answer in answers) <= 1


async def test_what_is_denied_whatever_is_passed_is_not_listed(ruled: Ruled, probe: Probe) -> None:
    server = create_server(ruled("default: allow\ndeny: [{tools: [wipe, delete]}]"), probe.toolset)
    async with Client(server) as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert listed & {"wipe", "delete", "look", "clean_up"} == {"look", "clean_up"}
        for tool in ("wipe", "delete"):
            assert "is denied here" in await said(client, tool, no_such_argument=1)
    assert probe.done == []


PERMITTED = """
default: deny
allow:
- {tools: look}
- {tools: wipe, arguments: {target: 'tmp*', stage: Staging}}
"""


async def test_with_a_default_of_deny_only_what_is_allowed_is_done(ruled: Ruled, probe: Probe) -> None:
    async with Client(create_server(ruled(PERMITTED), probe.toolset)) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {"wipe", "look"}
        refused: tuple[dict[str, Any], ...] = (
            {"target": "x"}, {"target": "Tmp"}, {"target": ["tmp", "x"]}, {"target": []}, {"target": "dataset:tmp"},
            {"target": "tmp", "stage": "Production"}, {"target": "\u200btmp"},
        )  # fmt: skip
        for arguments in refused:
            assert (arguments, "is denied here" in await said(client, **arguments)) == (arguments, True)
        assert "default of policy.yaml" in await said(client, "list_jobs")
        assert probe.done == []
        for target in ("tmp1", ["tmp1", "tmp2"], '["tmp1"]'):
            await said(client, target=target)
        await said(client, "look", name="anything")
    assert probe.done == ["wipe", "wipe", "wipe", "look"]


class Person:
    """Answers what they are asked, and remembers it."""

    def __init__(self, *answers: str) -> None:
        self.asked: list[str] = []
        self._answers = answers

    async def answer(self, context: Any, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params.message)
        assert params.model_dump()["requested_schema"]["properties"]["choice"]["enum"] == ["allow", "refuse"]
        answer = self._answers[len(self.asked) - 1]
        if answer == "decline":
            return ElicitResult(action="decline")
        return ElicitResult(action="accept", content={"choice": answer})


CONFIRMED = """
default: allow
confirm:
- {tools: wipe, arguments: {dry_run: false}, why: it cannot be taken back}
"""
BOTH = pytest.mark.parametrize("mode", ["legacy", "auto"])


@BOTH
@pytest.mark.parametrize("key", [{}, {"idempotency_key": "k"}])
async def test_a_person_confirms_each_call_and_sees_all_of_it(
    ruled: Ruled, probe: Probe, mode: Any, key: dict[str, str]
) -> None:
    server, person = create_server(ruled(CONFIRMED), probe.toolset), Person("allow", "refuse", "decline", "yes")
    async with Client(server, mode=mode, elicitation_callback=person.answer) as client:
        assert (await said(client, target="x", dry_run="false", **key)).startswith('{"result":"wiped x False')
        for _ in range(3):
            assert (await said(client, target=["y", "z\u202e"], dry_run=False)).startswith("refused: wipe(")
        assert (await said(client, target="x")).startswith('{"result"')
    assert probe.done == ["wipe", "wipe"]
    assert len(person.asked) == 4
    assert person.asked[1].startswith('wipe(dry_run=false, target=["y", "z"], size=1, stage="Staging"')
    assert person.asked[1].endswith(
        "is asked for, and a person has to confirm it (it cannot be taken back). May it be done?"
    )


@BOTH
async def test_where_nobody_can_be_asked_the_call_is_refused_with_the_way_to_allow_it(
    ruled: Ruled, probe: Probe, mode: Any
) -> None:
    async with Client(create_server(ruled(CONFIRMED), probe.toolset), mode=mode) as client:
        refusal = await said(client, target="x", dry_run=False)
        assert "use a client that can ask a person (elicitation), or change confirm rule 1 of policy.yaml" in refusal
        assert {"wipe"} <= {tool.name for tool in (await client.list_tools()).tools}
    assert probe.done == []


async def test_what_was_confirmed_for_one_call_counts_for_no_other(ruled: Ruled, probe: Probe) -> None:
    async with opened(ruled(CONFIRMED), probe.toolset) as door:
        able: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}

        async def call(**arguments: Any) -> dict[str, Any]:
            more = {name: arguments.pop(name) for name in ("requestState", "inputResponses") if name in arguments}
            return await door.ask({}, "tools/call", able, name="wipe", arguments=arguments, **more)

        question = await call(target="x", dry_run=False)
        assert question["resultType"] == "input_required"
        agreed = {
            "requestState": question["requestState"],
            "inputResponses": {"choice": {"action": "accept", "content": {"choice": "allow"}}},
        }
        other = await call(target="y", dry_run=False, **agreed)
        assert "code" in other or other.get("resultType") == "input_required"
        assert probe.done == []
        assert not (await call(target="x", dry_run=False, **agreed)).get("isError")
        forged = await call(target="x", dry_run=False, inputResponses=agreed["inputResponses"])
        assert forged["resultType"] == "input_required"
    assert probe.done == ["wipe"]


async def test_what_was_confirmed_once_is_done_once(ruled: Ruled, probe: Probe) -> None:
    settings = ruled(CONFIRMED)
    async with opened(settings, probe.toolset) as door, opened(settings, probe.toolset) as other:
        able: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}
        call = {"name": "wipe", "arguments": {"target": "x", "dry_run": False}}

        async def asked(at: Any, **more: Any) -> dict[str, Any]:
            answer: dict[str, Any] = await at.ask({}, "tools/call", able, **call, **more)
            return answer

        agreed = {
            "requestState": (await asked(door))["requestState"],
            "inputResponses": {"choice": {"action": "accept", "content": {"choice": "allow"}}},
        }
        assert "code" in await asked(other, **agreed)  # sealed by another process
        assert probe.done == []
        both = await asyncio.gather(asked(door, **agreed), asked(door, **agreed))
        assert sorted(answer["resultType"] for answer in both) == ["complete", "input_required"]
        for _ in range(3):
            assert (await asked(door, **agreed))["resultType"] == "input_required"
        assert probe.done == ["wipe"]
        declined = (await asked(door))["requestState"]
        refusal = {"requestState": declined, "inputResponses": {"choice": {"action": "decline"}}}
        assert (await asked(door, **refusal))["isError"]
        assert (await asked(door, **agreed | {"requestState": declined}))["resultType"] == "input_required"
    assert probe.done == ["wipe"]


async def test_a_broken_policy_holds_on_as_it_was_and_nothing_is_written(
    ruled: Ruled, probe: Probe, tmp_path: Path
) -> None:
    file = tmp_path / "policy.yaml"
    async with Client(create_server(ruled(DENIED), probe.toolset)) as client:
        assert (await said(client, target="x")).startswith('{"result"')
        for text in ("default: nothing", "", "default: allow\ndeny: [{tools: gone}]"):
            file.write_text(text)
            answer = await said(client, target="x")
            assert "nothing is written while the policy of this server cannot be used" in answer
            assert str(file) in answer
            assert await said(client, "look", name="n") == '{"result":"n"}'
        file.unlink()
        assert "nothing is written" in await said(client, target="x")
        file.write_text("default: allow\ndeny: [{tools: look}]")
        assert (await said(client, target="x", dry_run=False)).startswith('{"result"')
        assert "is denied here" in await said(client, "look")
    assert probe.done.count("wipe") == 2


async def test_a_policy_that_fails_as_nobody_foresaw_is_not_passed_over(
    ruled: Ruled, probe: Probe, tmp_path: Path
) -> None:
    # A number that cannot be written down: it fails over the rule itself.
    unforeseen = f"default: allow\ndeny: [{{tools: wipe, arguments: {{stage: 0x{'f' * 5000}}}}}]"
    async with Client(create_server(ruled("default: allow"), probe.toolset)) as client:
        (tmp_path / "policy.yaml").write_text(unforeseen)
        answers = [await said(client, target="x") for _ in range(3)]
        assert all("nothing is written while the policy" in answer for answer in answers[1:])
        assert probe.done == []
        (tmp_path / "policy.yaml").write_text("default: allow")
        assert (await said(client, target="x")).startswith('{"result"')


BY_CALLER = """
default: allow
deny:
- {tools: wipe, callers: ['*', '!root']}
- {tools: look, scopes: [read]}
"""


async def test_a_rule_holds_for_its_callers_and_scopes(ruled: Ruled, probe: Probe) -> None:
    async with opened(ruled(BY_CALLER), probe.toolset) as door:
        bearers = {name: door.bearer(name, scope) for name, scope in (("root", "admin"), ("Root", "admin"))}  # type: ignore[arg-type]
        bearers |= {"reader": door.bearer("reader", "read")}
        seen: Mapping[str, set[str]] = {
            name: {tool["name"] for tool in (await door.ask(bearer, "tools/list"))["tools"]} & {"wipe", "look"}
            for name, bearer in bearers.items()
        }
        assert seen == {"root": {"wipe", "look"}, "Root": {"look"}, "reader": set()}
        for name, bearer in bearers.items():
            for tool, arguments in (("wipe", {"target": "x"}), ("look", {})):
                answer = await door.call(bearer, tool, **arguments)
                refused = answer.get("isError", "code" in answer)  # a scope that is missing refuses the request
            assert (name, tool, refused) == (name, tool, tool not in seen[name])
    assert probe.done == ["wipe", "look", "look"]


def test_a_caller_is_named_exactly_whatever_its_name_looks_like() -> None:
    rules = Document.model_validate({"default": "allow", "deny": [{"tools": "wipe", "callers": "oidc:*"}]})
    found = {
        name: decide(rules, Attempt("wipe", {}, Identity(name, "write"), read_only=False)).effect
        for name in ("oidc:ann", "ann", "")
    }
    assert found == {"oidc:ann": "deny", "ann": "allow", "": "allow"}


HIDDEN = """
default: allow
deny:
- {tools: cancel_job}
- {tools: get_run, arguments: {run: 'run:secret*'}}
confirm:
- {tools: get_job, arguments: {job: 'job:0*'}}
"""


async def test_tasks_and_cards_pass_the_policy_of_the_tools_that_do_the_same(ruled: Ruled) -> None:
    settings = ruled(HIDDEN)
    async with opened(settings) as door:
        job = queued(settings, "")
        assert job.startswith("0")
        for verb in ("get", "cancel", "update"):
            more: dict[str, Any] = {"inputResponses": {}} if verb == "update" else {}
            answer = await door.ask({}, f"tasks/{verb}", taskId=job, **more)
            assert (verb, "policy.yaml" in answer.get("message", "")) == (verb, True)
        assert table_of(settings).get(job).state == "queued"
        listed = [each["uriTemplate"] for each in (await door.ask({}, "resources/templates/list"))["resourceTemplates"]]
        assert "mlflow://runs/{run_id}" not in listed
        assert "mlflow://models/{name}" in listed
        refusal = await door.ask({}, "resources/read", uri="mlflow://runs/secret1")
        assert "get_run is denied here" in refusal["message"]
        assert "code" in await door.ask({}, "resources/read", uri="mlflow://models/nothing")


async def test_what_a_person_picks_for_an_argument_is_looked_at_again(ruled: Ruled) -> None:
    done: list[str] = []

    async def move(dataset: str) -> str:
        """Move something."""
        if dataset == "loans":
            raise NeedsChoice("'loans' has 2 versions", "Pass one.", dataset, ("dataset:loans@1", "dataset:loans@2"))
        done.append(dataset)
        return dataset

    async def second(context: Any, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="accept", content={"choice": "dataset:loans@2"})

    rules = "default: allow\ndeny: [{tools: move, arguments: {dataset: 'dataset:loans@2'}}]"
    server = create_server(ruled(rules), Toolset("probe", "Probes.", (writes(move, "Move"),)))
    for mode in ("legacy", "auto"):
        async with Client(server, mode=mode, elicitation_callback=second) as client:
            assert "is denied here" in await said(client, "move", dataset="loans")
    assert done == []
