"""Two callers and all there is: who sees and may do what, asked over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.prompts.templates import PROMPTS
from mlops_mcp.server.access.scopes import RESOURCES
from mlops_mcp.tools import wire
from mlops_mcp.tools.addresses import LIMITS
from mlops_mcp.tools.profiles import AGENTS
from mlops_mcp.tools.runtime.identity import Access
from mlops_mcp.tools.runtime.jobs.launch import home_id, stored, table_of
from mlops_mcp.tools.runtime.jobs.table import NewJob
from mlops_mcp.tools.storage.usage import Usage
from mlops_mcp.tools.tracing.span import OWNER, Tracer
from mlops_mcp.tools.tracing.store.writer import TraceStore

from .conftest import Door, opened

TOOLS = [name for names in wire.index().values() for name in names]
# Worked out by hand from what each tool does: these end or replace what others stand on, or move what all are served.
ADMIN = {
    "apply_deployment", "clean_up", "delete", "deploy_model", "promote_model", "rollback_endpoint", "rollback_model",
    "set_traffic", "stop_endpoint", "transition_stage",
}  # fmt: skip

WRITING: tuple[tuple[str, dict[str, Any]], ...] = (("cancel", {}), ("update", {"inputResponses": {}}))


def text_of(answer: Mapping[str, Any]) -> str:
    return " ".join(block.get("text", "") for block in answer.get("content", ())) or str(answer)


def refused(answer: Mapping[str, Any]) -> bool:
    return "needs a token of scope" in text_of(answer)


async def test_each_scope_lists_and_calls_the_tools_of_its_own_and_of_those_below(door: Door) -> None:
    bearers = {scope: door.bearer(scope, scope) for scope in ("read", "write", "admin")}
    listed = {scope: await door.ask(bearer, "tools/list") for scope, bearer in bearers.items()}
    seen = {scope: {tool["name"] for tool in answer["tools"]} for scope, answer in listed.items()}
    hints = {tool["name"]: tool["annotations"] for tool in listed["admin"]["tools"]}
    assert seen["read"] < seen["write"] < seen["admin"] == set(TOOLS)
    assert seen["admin"] - seen["write"] == ADMIN
    assert seen["read"] == {name for name in TOOLS if hints[name]["readOnlyHint"]}
    for scope, bearer in bearers.items():
        for tool in TOOLS:
            # An argument that no tool has: whoever may call it is told of that, and nothing is done.
            answer = await door.call(bearer, tool, no_such_argument=1)
            assert (tool, scope, refused(answer)) == (tool, scope, tool not in seen[scope])
            assert refused(answer) or "no_such_argument" in text_of(answer)


async def test_every_caller_reads_the_cards_and_the_prompts_of_the_server(door: Door) -> None:
    answers: dict[str, list[Any]] = {}
    for scope in ("read", "admin"):
        bearer = door.bearer(scope, scope)
        templates = await door.ask(bearer, "resources/templates/list")
        prompts = (await door.ask(bearer, "prompts/list"))["prompts"]
        answers[scope] = [templates["resourceTemplates"], (await door.ask(bearer, "resources/list"))["resources"]]
        assert [prompt["name"] for prompt in prompts] == [spec.name for spec in PROMPTS]
        for spec in PROMPTS:
            given = {name: "x" for name, argument in spec.arguments.items() if argument.required}
            assert (await door.ask(bearer, "prompts/get", name=spec.name, arguments=given))["messages"]
    assert answers["read"] == [
        answers["admin"][0],
        [each for each in answers["admin"][1] if each["uri"] not in RESOURCES],
    ]
    assert len(answers["read"][0]) == 8


def queued(settings: Settings, owner: str, tool: str = "train_model") -> str:
    """A job in the table that nobody starts: it belongs to another folder."""
    new = NewJob(
        tool, "", "x:y", "{}", 1, "", "", None, stored(settings), "/", home_id(settings) + "x", "{}", owner=owner
    )
    return table_of(settings).insert(new).id


async def test_a_job_is_seen_and_ended_by_its_owner_and_an_admin_alone(door: Door, settings: Settings) -> None:
    ann, bob, root = door.bearer("ann", "write"), door.bearer("bob", "write"), door.bearer("root", "admin")
    jobs = {owner: queued(settings, owner) for owner in ("ann", "bob", "")}
    every = set(jobs.values())
    for bearer, own in ((ann, {jobs["ann"]}), (bob, {jobs["bob"]}), (root, every)):
        page = (await door.call(bearer, "list_jobs"))["structuredContent"]
        assert ({item["job"].removeprefix("job:") for item in page["items"]}, page["total"]) == (own, len(own))
        for job in every:
            plain = await door.call(bearer, "get_job", job=f"job:{job}", wait_s=0)
            task = await door.ask(bearer, "tasks/get", taskId=job)
            assert (bool(plain.get("isError")), task.get("status")) == (
                job not in own,
                "working" if job in own else None,
            )
            if job not in own:
                assert "unknown job" in text_of(plain)
                assert task["message"] == f"unknown task {job!r}"
                assert not [other for other in every - own - {job} if other in text_of(plain)]
    for verb, more in WRITING:
        assert "unknown task" in (await door.ask(bob, f"tasks/{verb}", taskId=jobs["ann"], **more))["message"]
    assert "unknown job" in text_of(await door.call(bob, "cancel_job", job=f"job:{jobs['ann']}"))
    assert table_of(settings).get(jobs["ann"]).state == "queued"
    assert (await door.call(ann, "cancel_job", job=f"job:{jobs['ann']}"))["structuredContent"]["state"] == "cancelled"
    await door.ask(root, "tasks/cancel", taskId=jobs["bob"])
    assert table_of(settings).get(jobs["bob"]).state == "cancelled"


def begun_by(settings: Settings, owner: str) -> tuple[str, str]:
    """A stored trace and its span, begun with a token of that name."""
    store = TraceStore.of(settings)
    with Tracer(store.put).span("secret prompt", input={"prompt": "of ann"}) as span:
        span.set_attribute(OWNER, owner)
    assert store.close()
    return span.trace_id, span.id


@pytest.mark.slow
async def test_a_trace_is_read_and_written_by_its_owner_and_an_admin_alone(door: Door, settings: Settings) -> None:
    ann, bob, root = door.bearer("ann", "write"), door.bearer("bob", "write"), door.bearer("root", "admin")
    trace, span = begun_by(settings, "ann")
    writes: tuple[tuple[str, dict[str, Any]], ...] = (
        ("get_trace", {"trace": f"trace:{trace}", "detail": "full"}),
        ("log_feedback", {"trace": f"trace:{trace}", "score": 1}),
        ("log_metric", {"span": span, "metric": "m", "value": 1}),
        ("start_span", {"name": "s", "parent": span}),
        ("start_span", {"name": "s", "trace": f"trace:{trace}"}),
        ("log_llm_call", {"model": "m", "input_tokens": 1, "output_tokens": 1, "parent": span, "seconds": 10**6}),
    )
    for tool, arguments in writes:
        answer = await door.call(bob, tool, **arguments)
        assert (tool, answer.get("isError")) == (tool, True)
        assert "of ann" not in json.dumps(answer)
    for bearer in (ann, root):
        for tool, arguments in writes:
            answer = await door.call(bearer, tool, **arguments)
            assert (tool, answer.get("isError")) == (tool, False), text_of(answer)
    assert "of ann" in text_of(await door.call(ann, "get_trace", trace=f"trace:{trace}", detail="full"))
    found = {
        name: await door.call(bearer, "search_traces", search="secret")
        for name, bearer in (("ann", ann), ("bob", bob), ("root", root))
    }
    totals = {name: answer["structuredContent"]["total"] for name, answer in found.items()}
    assert totals == {"ann": 1, "bob": 0, "root": 1}


async def test_a_call_below_a_span_of_another_caller_becomes_a_trace_of_its_own(door: Door, settings: Settings) -> None:
    ann, bob, root = door.bearer("ann", "write"), door.bearer("bob", "write"), door.bearer("root", "admin")
    # The owner of the machine, who comes over stdio, has no token.
    for owner, own in (("ann", ann), ("", root)):
        trace, span = begun_by(settings, owner)
        below = {"opik_trace_id": trace, "opik_parent_span_id": span}
        for bearer, spans in ((bob, 1), (own, 2)):
            await door.ask(bearer, "tools/call", below, name="list_jobs", arguments={})
            shown = await door.call(root, "get_trace", trace=f"trace:{trace}", limit=50)
            assert (owner, shown["structuredContent"]["tree"].count("\n") + 1) == (owner, spans)


async def test_a_trace_that_nobody_has_begun_here_is_that_of_whoever_names_it_first(door: Door) -> None:
    ann, bob = door.bearer("ann", "write"), door.bearer("bob", "write")
    below = {"opik_trace_id": "01934567-89ab-7cde-8f01-000000000001"}
    for bearer in (ann, bob):
        await door.ask(bearer, "tools/call", below, name="list_jobs", arguments={})
    shown = await door.call(ann, "get_trace", trace=f"trace:{below['opik_trace_id']}")
    assert shown["structuredContent"]["tree"].count("\n") + 1 == 1


@pytest.mark.slow
async def test_a_run_is_written_and_ended_by_who_has_started_it(door: Door) -> None:
    ann, bob, root = door.bearer("ann", "write"), door.bearer("bob", "write"), door.bearer("root", "admin")
    run = (await door.call(ann, "start_run", experiment="e"))["structuredContent"]
    assert run["tags"]["mlops.owner"] == "ann"
    for tool, more in (("log_run", {"metrics": {"a": 1}}), ("end_run", {"status": "FAILED"})):
        assert "belongs to another caller" in text_of(await door.call(bob, tool, run=run["run"], **more))
    forged = await door.call(bob, "log_run", run=run["run"], tags={"mlops.owner": "bob"})
    assert forged["isError"]
    own = await door.call(bob, "start_run", experiment="e", tags={"mlops.owner": "ann"})
    assert "set by the server" in text_of(own)
    assert not (await door.call(ann, "log_run", run=run["run"], metrics={"a": 1})).get("isError")
    assert (await door.call(root, "end_run", run=run["run"]))["structuredContent"]["status"] == "FINISHED"


@pytest.mark.parametrize("agent", ["scope_definer", "model_trainer"])
async def test_a_profile_holds_on_every_way_in(settings: Settings, agent: str) -> None:
    profile = next(each for each in AGENTS if each.name == agent)
    narrow = settings.model_copy(update={"server": settings.server.model_copy(update={"agent": agent})})
    job = queued(settings, "", "package_model")
    async with opened(narrow) as door:
        nobody: dict[str, str] = {}
        for verb, more in (*WRITING, ("get", {})):
            assert "unknown task" in (await door.ask(nobody, f"tasks/{verb}", taskId=job, **more))["message"]
        prompts = [prompt["name"] for prompt in (await door.ask(nobody, "prompts/list"))["prompts"]]
        assert agent in prompts
        for spec in PROMPTS:
            answer = await door.ask(nobody, "prompts/get", name=spec.name, arguments={"goal": "x"})
            assert ("messages" in answer) == (set(spec.tools) <= set(profile.tools))
        listed = await door.ask(nobody, "tools/list")
        assert {tool["name"] for tool in listed["tools"]} == set(profile.tools)
    assert table_of(settings).get(job).state == "queued"


async def test_without_the_tools_that_show_it_a_card_is_neither_listed_nor_read_nor_completed(
    settings: Settings,
) -> None:
    narrow = settings.model_copy(update={"server": settings.server.model_copy(update={"toolsets": ("data",)})})
    async with opened(narrow) as door:
        assert [each["uri"] for each in (await door.ask({}, "resources/list"))["resources"]] == [LIMITS]
        assert (await door.ask({}, "resources/templates/list"))["resourceTemplates"] == []
        for uri in ("mlflow://experiments", "mlflow://runs/x", "mlflow://models/x", "picture://runs/x/metrics/y"):
            assert "code" in await door.ask({}, "resources/read", uri=uri)
        reference = {"type": "ref/resource", "uri": "mlflow://models/{name}"}
        argument = {"name": "name", "value": ""}
        assert "code" in await door.ask({}, "completion/complete", ref=reference, argument=argument)


SCOPES: tuple[Access, ...] = ("read", "write", "admin")


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_session_serves_only_the_token_that_has_opened_it(door: Door, scope: Access) -> None:
    ann, bob = door.bearer("ann", scope), door.bearer("bob", "admin")
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    accept = {"Accept": "application/json, text/event-stream"}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    opening = await door.http.post("/mcp", json=body, headers={**ann, **accept})
    session = {"Mcp-Session-Id": opening.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25", **accept}
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    assert (await door.http.post("/mcp", json=listing, headers={**bob, **session})).status_code == 404
    assert (await door.http.delete("/mcp", headers={**bob, **session})).status_code == 404
    own = await door.http.post("/mcp", json=listing, headers={**ann, **session})
    assert own.status_code == 200
    assert ('"name":"delete"' in own.text) == (scope == "admin")


async def test_a_caller_sees_what_it_has_of_its_limits_and_nothing_of_others(door: Door, settings: Settings) -> None:
    ann, bob = door.bearer("ann", "read"), door.bearer("bob", "read")

    async def seen(bearer: dict[str, str]) -> Any:
        [content] = (await door.ask(bearer, "resources/read", uri=LIMITS))["contents"]
        return json.loads(content["text"])

    queued(settings, "ann")
    Usage(settings.home).add("ann", 5 << 20)
    await door.ask(ann, "tools/list")
    runtime = settings.runtime
    mine, runtime = await seen(ann), settings.runtime
    assert mine["caller"] == "ann"
    assert mine["limits"].pop("server.caller_calls")["allowed"] == settings.server.caller_calls
    assert mine["limits"] == {
        "runtime.caller_jobs": {"used": 1, "allowed": runtime.caller_jobs},
        "runtime.caller_job_s": {"used": 0, "allowed": runtime.caller_job_s},
        "runtime.caller_disk_mb": {"used": 5, "allowed": runtime.caller_disk_mb},
    }
    assert {name for name, each in (await seen(bob))["limits"].items() if each["used"]} <= {"server.caller_calls"}
