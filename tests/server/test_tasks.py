"""The Tasks extension: a job as clients see it that follow long calls as tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp import Client, MCPError
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim, advertise
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolResult,
    Request,
    RequestParams,
    Result,
    TextContent,
)
from pydantic import JsonValue, TypeAdapter

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.server.task_extension import ID
from mlops_mcp.tools.runtime.models import JobView
from mlops_mcp.tools.spec import Injected, Toolset, writes

pytestmark = pytest.mark.slow

JOBS = """
import os, signal, time
from pathlib import Path
from pydantic import BaseModel
from mlops_mcp.tools.errors import ToolFailure

class Request(BaseModel):
    gate: str = ""

class Result(BaseModel):
    auc: float | None
    note: str | None = None

def wait(work, request: Request) -> Result:
    work.progress(1, 3, "trial 1", best=0.5)
    while not Path(request.gate).exists(): time.sleep(0.01)
    return Result(auc=0.9)

def refuse(work, request: Request) -> Result: raise ToolFailure("no such column 'x'", "Try another.")

def crash(work, request: Request) -> Result: raise ValueError("secret of the library")

def die(work, request: Request) -> Result: os.kill(os.getpid(), signal.SIGKILL)

def ask(work, request: Request) -> Result:
    question = {"method": "elicitation/create", "params": {"mode": "form", "message": "Go on?", "requestedSchema": {
        "type": "object", "properties": {"note": {"type": "string"}}}}}
    answers = work.ask({"first": question, "second": question})
    return Result(auc=None, note=" ".join(answers[key]["content"]["note"] for key in ("first", "second")))
"""


async def run_probe(context: Injected, function: str, gate: str = "") -> JobView[JsonValue]:
    """Run a function of the probe module as a job."""
    module = import_module("probe.tools.tasks.client")
    view = await context.submit(getattr(module, function), module.Request(gate=gate), 20, once=True)
    return JobView[JsonValue].model_validate(view.model_dump(mode="json"))


PROBES = Toolset(name="probes", description="", tools=(writes(run_probe, "Run probe", job="long"),))


class TaskAnswer(Result):
    result_type: Literal["task"]
    task_id: str
    status: str
    ttl_ms: int
    poll_interval_ms: int


class Asked(RequestParams):
    task_id: str
    input_responses: dict[str, Any] | None = None


class TaskRequest(Request[Asked, str]):
    name_param = "taskId"


class Following(ClientExtension):
    """Follows a task to its end, as a client does that knows the extension."""

    identifier = ID

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return (ResultClaim(result_type="task", model=TaskAnswer, resolve=self._resolve),)

    async def _resolve(self, task: TaskAnswer, context: ClaimContext) -> CallToolResult:
        async with asyncio.timeout(600):
            while (seen := await _ask(context.session, "get", task.task_id))["status"] == "working":
                await asyncio.sleep(0.05)
        return CallToolResult.model_validate(seen["result"])


async def _ask(session: Any, verb: str, task: str, responses: dict[str, Any] | None = None) -> dict[str, Any]:
    request = TaskRequest(method=f"tasks/{verb}", params=Asked(task_id=task, input_responses=responses))
    return await session.send_request(request, TypeAdapter(dict[str, Any]))


class Follower:
    """What the tests do with a client."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def start(self, function: str, gate: str | Path = "", **more: str) -> TaskAnswer:
        arguments = {"function": function, "gate": str(gate), **more}
        answer = await self.client.session.call_tool("run_probe", arguments, allow_claimed=True)
        assert isinstance(answer, TaskAnswer)
        return answer

    async def ask(self, verb: str, task: str, responses: dict[str, Any] | None = None) -> dict[str, Any]:
        return await _ask(self.client.session, verb, task, responses)

    async def until(self, task: str, *statuses: str) -> dict[str, Any]:
        async with asyncio.timeout(600):
            while (seen := await self.ask("get", task))["status"] not in statuses:
                await asyncio.sleep(0.02)
        return seen

    async def plainly(self, tool: str, **arguments: Any) -> CallToolResult:
        answer = await self.client.call_tool(tool, arguments)
        assert isinstance(answer, CallToolResult)
        return answer


@asynccontextmanager
async def following(settings: Settings) -> AsyncGenerator[Follower]:
    """A client of a new server that knows tasks."""
    server = create_server(settings, PROBES)
    async with server.services.running(), Client(server, extensions=[Following()]) as client:
        yield Follower(client)


@pytest.fixture(autouse=True)
def _jobs(probes: Callable[[str, str], Any]) -> None:  # pyright: ignore[reportUnusedFunction]
    probes("tasks", JOBS)


def text_of(result: CallToolResult) -> str:
    return " ".join(block.text for block in result.content if isinstance(block, TextContent))


async def test_a_long_call_is_a_task_whose_result_is_what_the_plain_call_says(
    settings: Settings, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with following(settings) as follower:
        task = await follower.start("wait", gate)
        assert (task.status, task.poll_interval_ms) == ("working", 500)
        gate.touch()
        seen = await follower.until(task.task_id, "completed")
        plain = await follower.plainly("get_job", job=f"job:{task.task_id}")
    told = CallToolResult.model_validate(seen["result"])
    assert told.structured_content == plain.structured_content
    assert told.structured_content
    assert told.structured_content["result"] == {"auc": 0.9, "note": None}
    assert text_of(told) == text_of(plain)
    assert told.is_error == plain.is_error


async def test_a_client_that_follows_tasks_gets_the_result_as_if_it_had_waited(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    async with following(settings) as follower:
        await follower.client.list_tools()
        answer = await follower.plainly("run_probe", function="wait", gate=str(tmp_path / "gate"))
    assert answer.structured_content
    assert answer.structured_content["result"]["auc"] == 0.9


async def test_a_working_task_says_how_far_it_is_and_how_long_it_can_be_asked_for(
    settings: Settings, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with following(settings) as follower:
        task = await follower.start("wait", gate)
        async with asyncio.timeout(600):
            while "statusMessage" not in (seen := await follower.ask("get", task.task_id)):
                await asyncio.sleep(0.02)
        gate.touch()
        ended = await follower.until(task.task_id, "completed")
    assert seen["statusMessage"] == "1 of 3: trial 1, best 0.5"
    assert "result" not in seen
    assert "error" not in seen
    assert datetime.fromisoformat(seen["createdAt"]) <= datetime.fromisoformat(seen["lastUpdatedAt"])
    day = 24 * 3600 * 1000
    assert day <= task.ttl_ms <= ended["ttlMs"] <= day + 60_000


@pytest.mark.parametrize(("mode", "extensions"), [("legacy", [advertise(ID)]), ("auto", [])])
async def test_a_client_that_cannot_ask_for_tasks_waits_for_the_job(
    settings: Settings, tmp_path: Path, mode: Literal["legacy", "auto"], extensions: list[ClientExtension]
) -> None:
    (tmp_path / "gate").touch()
    server = create_server(settings, PROBES)
    async with server.services.running(), Client(server, mode=mode, extensions=extensions) as client:
        answer = await client.call_tool("run_probe", {"function": "wait", "gate": str(tmp_path / "gate")})
    assert answer.structured_content
    assert answer.structured_content["state"] == "done"


async def test_a_task_and_its_result_survive_a_restart_of_the_server(settings: Settings, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with following(settings) as follower:
        task = (await follower.start("wait", gate)).task_id
    async with following(settings) as follower:
        assert (await follower.ask("get", task))["status"] == "working"
        gate.touch()
        seen = await follower.until(task, "completed")
    async with following(settings) as follower:
        again = await follower.ask("get", task)
    assert seen["result"]["structuredContent"]["result"]["auc"] == 0.9
    assert again["result"] == seen["result"]


async def test_after_a_restart_a_task_can_be_cancelled_and_cancelling_again_changes_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    async with following(settings) as follower:
        task = (await follower.start("wait", tmp_path / "never")).task_id
    async with following(settings) as follower:
        for _ in range(2):
            acknowledged = await follower.ask("cancel", task)
            assert acknowledged["resultType"] == "complete"
            assert "status" not in acknowledged
        seen = await follower.ask("get", task)
    assert seen["status"] == "cancelled"
    assert "result" not in seen


async def test_questions_of_a_job_are_answered_one_by_one_also_after_a_restart(settings: Settings) -> None:
    accepted = {"action": "accept", "content": {"note": "yes"}}
    async with following(settings) as follower:
        task = (await follower.start("ask")).task_id
        seen = await follower.until(task, "input_required", "completed")
        assert seen["inputRequests"]["first"]["params"]["message"] == "Go on?"
        await follower.ask("update", task, {"first": accepted, "nobody asked": {"anything": True}})
        rest = await follower.ask("get", task)
        assert (rest["status"], list(rest["inputRequests"])) == ("input_required", ["second"])
    async with following(settings) as follower:
        assert await follower.ask("get", task) == {**rest, "ttlMs": pytest.approx(rest["ttlMs"], abs=60_000)}
        await follower.ask("update", task, {"second": {"action": "accept", "content": {"note": "please"}}})
        ended = await follower.until(task, "completed")
    assert ended["result"]["structuredContent"]["result"] == {"auc": None, "note": "yes please"}


async def test_an_answer_of_another_form_than_was_asked_for_is_refused_and_the_question_stays(
    settings: Settings,
) -> None:
    async with following(settings) as follower:
        task = (await follower.start("ask")).task_id
        await follower.until(task, "input_required", "completed")
        with pytest.raises(MCPError, match=r"inputResponses\.first is no answer to elicitation/create") as caught:
            await follower.ask("update", task, {"first": {"roots": []}})
        seen = await follower.ask("get", task)
        await follower.ask("cancel", task)
    assert caught.value.code == INVALID_PARAMS
    assert sorted(seen["inputRequests"]) == ["first", "second"]


@pytest.mark.parametrize(
    ("function", "words"), [("refuse", "no such column 'x'. Try another."), ("die", "its process died")]
)
async def test_a_job_that_fails_completes_with_the_error_that_the_plain_call_gives(
    settings: Settings, function: str, words: str
) -> None:
    async with following(settings) as follower:
        task = (await follower.start(function)).task_id
        seen = await follower.until(task, "completed", "failed")
        plain = await follower.plainly("get_job", job=f"job:{task}")
    assert seen["status"] == "completed"
    assert seen["result"]["isError"] is True
    assert plain.is_error
    assert words in text_of(plain)
    assert seen["result"]["content"][0]["text"] == text_of(plain)


async def test_a_job_that_crashes_is_a_protocol_error_without_the_text_of_the_exception(settings: Settings) -> None:
    async with following(settings) as follower:
        task = (await follower.start("crash")).task_id
        seen = await follower.until(task, "completed", "failed")
        plain = await follower.plainly("get_job", job=f"job:{task}")
    assert seen["status"] == "failed"
    assert seen["error"] == {"code": INTERNAL_ERROR, "message": text_of(plain)}
    assert "unexpected ValueError. get_trace(" in seen["error"]["message"]
    assert "secret" not in str(seen)
    assert "result" not in seen


async def test_a_repeated_call_with_the_key_of_a_job_that_is_done_answers_at_once(
    settings: Settings, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with following(settings) as follower:
        task = await follower.start("wait", gate, idempotency_key="once")
        assert (await follower.start("wait", gate, idempotency_key="once")).task_id == task.task_id
        gate.touch()
        await follower.until(task.task_id, "completed")
        arguments = {"function": "wait", "gate": str(gate), "idempotency_key": "once"}
        answer = await follower.client.session.call_tool("run_probe", arguments, allow_claimed=True)
    assert isinstance(answer, CallToolResult)
    assert answer.structured_content
    assert answer.structured_content["job"] == f"job:{task.task_id}"


@pytest.mark.parametrize("verb", ["get", "update", "cancel"])
async def test_an_unknown_task_is_named_in_the_error(settings: Settings, verb: str) -> None:
    async with following(settings) as follower:
        with pytest.raises(MCPError, match="unknown task 'nothing'") as caught:
            await follower.ask(verb, "nothing", {})
    assert caught.value.code == INVALID_PARAMS
    assert caught.value.data == {"taskId": "nothing"}


@pytest.mark.parametrize("verb", ["get", "update", "cancel"])
async def test_a_client_that_does_not_declare_tasks_is_told_that_it_has_to(settings: Settings, verb: str) -> None:
    server = create_server(settings, PROBES)
    async with server.services.running(), Client(server) as client:
        with pytest.raises(MCPError) as caught:
            await _ask(client.session, verb, "nothing", {})
    assert caught.value.code == MISSING_REQUIRED_CLIENT_CAPABILITY
    assert caught.value.data == {"requiredCapabilities": {"extensions": {ID: {}}}}


async def test_a_job_table_that_cannot_be_read_is_not_an_unknown_task(settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    (settings.home / "jobs.db").write_bytes(b"no database at all" * 100)
    async with following(settings) as follower:
        with pytest.raises(MCPError, match="cannot be used") as caught:
            await follower.ask("get", "nothing")
    assert caught.value.code == INTERNAL_ERROR


async def test_a_read_only_server_offers_no_tasks(settings: Settings) -> None:
    frozen = settings.model_copy(update={"server": settings.server.model_copy(update={"read_only": True})})
    async with following(frozen) as follower:
        with pytest.raises(MCPError) as caught:
            await follower.ask("cancel", "nothing")
    assert caught.value.code == METHOD_NOT_FOUND
