"""What a server writes down of its calls, over HTTP and stdio, and who may read it."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import TextResourceContents
from pydantic import JsonValue

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server
from mlops_mcp.tools.audit import FILE, LOST
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.identity import Identity, acting_as
from mlops_mcp.tools.runtime.models import JobView
from mlops_mcp.tools.spec import Injected, Toolset, reads, writes
from mlops_mcp.tools.storage.counter import count
from mlops_mcp.tools.storage.state_files import open_private

from ...conftest import StdioClient
from ...waiting import eventually
from .conftest import Door, opened

JOBS = """
import time
from pathlib import Path
from pydantic import BaseModel

class Request(BaseModel):
    model: str
    gate: str

def make(work, request: Request) -> dict[str, str]:
    while not Path(request.gate).exists(): time.sleep(0.01)
    return {"model": request.model}
"""


async def make_thing(context: Injected, model: str = "", fails: str = "", state: str = "") -> dict[str, str]:
    """Make a thing."""
    if fails == "crashes":
        raise ValueError("secret of the library")
    if fails:
        raise ToolFailure(f"it {fails}")
    return {"model": model, "state": state}


async def make_later(context: Injected, model: str, gate: str) -> JobView[JsonValue]:
    """Make a thing in a job, which ends once the gate is there."""
    module = import_module("probe.tools.later.client")
    view = await context.submit(module.make, module.Request(model=model, gate=gate), 0)
    return JobView[JsonValue].model_validate(view.model_dump(mode="json"))


async def look_at(context: Injected, model: str) -> dict[str, str]:
    """Look at a thing."""
    return {"model": model}


THINGS = Toolset("things", "", (writes(make_thing, "Make thing"), reads(look_at, "Look at")))
LATER = Toolset("later", "", (writes(make_later, "Make later", job="short"),))


def noted(settings: Settings) -> list[dict[str, Any]]:
    file = settings.home / FILE
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def brief(line: dict[str, Any]) -> tuple[Any, ...]:
    return line["by"], line["tool"], line["outcome"], line["handles"]


async def test_each_writing_call_is_one_line_however_it_ends_and_a_reading_one_is_none(settings: Settings) -> None:
    async with opened(settings, THINGS) as door:
        ann, bob = door.bearer("ann", "write"), door.bearer("bob", "read")
        await door.call(ann, "make_thing", model="models:/loans/1")
        await door.call(ann, "make_thing", model="models:/loans/1", state="preview")
        await door.call(ann, "make_thing", model="models:/loans/2", fails="refuses")
        await door.call(ann, "make_thing", model="models:/loans/3", fails="crashes")
        await door.call(ann, "make_thing", model="models:/loans/4", no_such_argument=1)
        await door.call(bob, "make_thing", model="models:/loans/5")
        for bearer in (ann, bob):
            await door.call(bearer, "look_at", model="models:/loans/1")
            await door.call(bearer, "look_at", no_such_argument=1)
    assert [brief(line) for line in noted(settings)] == [
        ("ann", "make_thing", "done", ["models:/loans/1"]),
        ("ann", "make_thing", "preview", ["models:/loans/1"]),
        ("ann", "make_thing", "failed", ["models:/loans/2"]),
        ("ann", "make_thing", "failed", ["models:/loans/3"]),
        ("ann", "make_thing", "refused", ["models:/loans/4"]),
        ("bob", "make_thing", "denied", ["models:/loans/5"]),
    ]
    traces = [line["trace"] for line in noted(settings)]
    assert len(set(traces[:5])) == 5
    assert "secret" not in (settings.home / FILE).read_text(encoding="utf-8")


async def test_what_a_scope_or_the_policy_denies_is_denied_on_every_way_in(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(
        "default: allow\ndeny:\n- {tools: make_thing, arguments: {model: secret}}\n- {tools: [delete, cancel_job]}\n"
    )
    server = settings.server.model_copy(update={"policy": str(tmp_path / "policy.yaml")})
    async with opened(settings.model_copy(update={"server": server}), THINGS) as door:
        ann = door.bearer("ann", "write")
        with acting_as(Identity("bob", "read")), pytest.raises(ToolError, match="needs a token of scope write"):
            await door.host.call_tool("make_thing", {"model": "x"})  # as over SSE, where no status refuses it
        await door.call(door.bearer("root", "admin"), "delete", handle="run:x")
        await door.call(ann, "make_thing", model="secret")
        await door.ask(ann, "tasks/cancel", taskId="nothing")
        await door.call(ann, "make_thing", model="x", no_such_argument=1)
    assert [brief(line)[:3] for line in noted(settings)] == [
        ("bob", "make_thing", "denied"),
        ("root", "delete", "denied"),
        ("ann", "make_thing", "denied"),
        ("ann", "tasks/cancel", "denied"),
        ("ann", "make_thing", "refused"),
    ]


async def test_who_may_change_nothing_does_not_fill_the_log(settings: Settings) -> None:
    few = settings.model_copy(update={"server": settings.server.model_copy(update={"caller_calls": 3})})
    many = [f"models:/{number}/1" for number in range(20)]
    async with opened(few, THINGS) as door:
        ann, bob, root = door.bearer("ann", "write"), door.bearer("bob", "read"), door.bearer("root", "admin")
        tool = {"name": "make_thing", "arguments": {"model": "x", "of": many}}
        statuses = [(await door.send(bob, "tools/call", tool)).status_code for _ in range(5)]
        ended = [await door.ask(ann, "tasks/cancel", taskId="nothing") for _ in range(5)]
        assert not (await door.call(root, "make_thing", model="x")).get("isError")
    assert statuses == [403, 403, 403, 429, 429]
    assert ["server.caller_calls" in answer["message"] for answer in ended] == [False, False, False, True, True]
    lines = [brief(line) for line in noted(settings)]
    assert lines == [
        *[("bob", "make_thing", "denied", many[:5])] * 3,
        *[("ann", "tasks/cancel", "failed", ["job:nothing"])] * 3,
        ("root", "make_thing", "done", []),
    ]


async def test_a_call_that_is_given_up_is_written_down(settings: Settings) -> None:
    begun = asyncio.Event()

    async def make_slowly(context: Injected) -> int:
        """Make a thing, for ever."""
        begun.set()
        await asyncio.Event().wait()
        return 1

    server = create_server(settings, Toolset("slow", "", (writes(make_slowly, "Make slowly"),)))
    async with asyncio.timeout(60), server.services.running(), Client(server) as client:
        call = asyncio.create_task(client.call_tool("make_slowly"))
        await begun.wait()
        call.cancel()
        await eventually(lambda: noted(settings))
    assert [brief(line) for line in noted(settings)] == [(None, "make_slowly", "cancelled", [])]


async def test_a_call_that_starts_a_job_and_the_end_of_that_job_are_two_lines(
    settings: Settings, probes: Callable[[str, str], Any], tmp_path: Path
) -> None:
    probes("later", JOBS)
    gate = tmp_path / "gate"
    async with opened(settings, LATER) as door:
        ann, root = door.bearer("ann", "write"), door.bearer("root", "admin")
        started = await door.call(ann, "make_later", model="models:/loans/1", gate=str(gate))
        gate.touch()
        job = f"job:{started['taskId']}"
        ended = await door.call(ann, "get_job", job=job, wait_s=50)
        assert ended["structuredContent"]["state"] == "done"
        # The keeper writes after the row that we have seen.
        await eventually(lambda: len(noted(settings)) >= 2)
        await door.ask(root, "tasks/cancel", taskId=job.removeprefix("job:"))
        await door.ask(ann, "tasks/cancel", taskId="nothing")
        told = (await door.ask(root, "resources/read", uri="audit://recent"))["contents"][0]["text"]
    lines = noted(settings)
    assert sorted((line["event"], *brief(line)) for line in lines[:2]) + [
        (line["event"], *brief(line)) for line in lines[2:]
    ] == [
        ("call", "ann", "make_later", "started", ["models:/loans/1", job]),
        ("job", "ann", "make_later", "done", [job, "models:/loans/1"]),
        ("call", "root", "tasks/cancel", "done", [job]),
        ("call", "ann", "tasks/cancel", "failed", ["job:nothing"]),
    ]
    assert lines[0]["trace"] == lines[1]["trace"] != ""
    assert [json.loads(line) for line in told.splitlines()] == lines


async def test_only_an_admin_sees_and_reads_the_log_by_whatever_spelling(door: Door) -> None:
    ann, root = door.bearer("ann", "write"), door.bearer("root", "admin")
    listed = {
        name: {each["uri"] for each in (await door.ask(bearer, "resources/list"))["resources"]}
        for name, bearer in (("ann", ann), ("root", root))
    }
    assert listed["root"] - listed["ann"] == {"audit://recent"}
    for uri in ("audit://recent", "AUDIT://recent", "audit://RECENT", "audit://recent/", "audit://recent?x"):
        answer = await door.ask(ann, "resources/read", uri=uri)
        assert "contents" not in answer, uri
    assert "contents" in await door.ask(root, "resources/read", uri="audit://recent")


async def test_a_log_that_cannot_be_written_holds_up_no_answer_and_is_told_of(settings: Settings) -> None:
    (settings.home / FILE).mkdir(parents=True)
    async with opened(settings, THINGS) as door:
        ann, root = door.bearer("ann", "write"), door.bearer("root", "admin")
        for _ in range(2):
            assert (await door.call(ann, "make_thing", model="x"))["structuredContent"]["model"] == "x"
        metrics = (await door.http.get("/metrics", headers=root)).text
        assert "\nmlops_audit_lost_total 2\n" in metrics
        assert "cannot be read" in str(await door.ask(root, "resources/read", uri="audit://recent"))


async def test_a_log_that_hangs_holds_up_no_answer_and_no_other_caller(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops_mcp.server.audited.WAIT_S", 0.05)
    (settings.home / FILE).mkdir(parents=True)
    held = open_private(settings.home / LOST)
    fcntl.flock(held, fcntl.LOCK_EX)  # whoever counts a line as lost waits for it
    try:
        async with asyncio.timeout(60), opened(settings, THINGS) as door:
            for _ in range(5):
                assert (await door.call({}, "make_thing", model="x"))["structuredContent"]["model"] == "x"
            audit = door.host.services.audit
            assert (audit.lost, count(settings.home / LOST)) == (5, 0)
            fcntl.flock(held, fcntl.LOCK_UN)
            # As many as had begun to be written; the task that wrote one may end a moment later.
            assert await eventually(lambda: count(settings.home / LOST) == 2)
            assert await eventually(lambda: audit.lost == 5)
    finally:
        os.close(held)


@pytest.mark.slow
async def test_no_tool_reads_or_writes_the_file(door: Door, settings: Settings) -> None:
    root = door.bearer("root", "admin")
    await door.call(root, "delete", handle="run:x")
    before = (settings.home / FILE).read_bytes()
    path = str(settings.home / FILE)
    for tool, arguments in (
        ("load_dataset", {"path": path, "name": "a"}),
        ("load_dataset", {"path": f"file://{path}", "name": "a"}),
        ("delete", {"handle": path}),
    ):
        answer = await door.call(root, tool, **arguments)
        assert answer["isError"], answer
    assert (settings.home / FILE).read_bytes().startswith(before)


@pytest.mark.slow
async def test_over_stdio_whoever_has_the_machine_is_nobody_by_name(
    stdio_client: StdioClient, environ: dict[str, str]
) -> None:
    async with stdio_client() as client:
        await client.call_tool("delete", {"handle": "nothing"})
        found = await client.read_resource("audit://recent")
    content = found.contents[0]
    assert isinstance(content, TextResourceContents)
    (line,) = (Path(environ["MLOPS_HOME"]) / FILE).read_text(encoding="utf-8").splitlines()
    assert content.text == line
    assert brief(json.loads(line))[:3] == (None, "delete", "failed")
