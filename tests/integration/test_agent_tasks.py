"""The tasks of `benchmarks/agent_tasks`: their reference solutions pass, and nothing that is not one does."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import pytest_asyncio
from mcp import Client, StdioServerParameters

from benchmarks.agent_tasks import everyday, judgement, known, trouble
from benchmarks.agent_tasks.agent import Agent, Refused, environment, tokens
from benchmarks.agent_tasks.counted import Counter
from benchmarks.agent_tasks.play import Place, Said, beyond_limits, fault, scored
from benchmarks.agent_tasks.players import Claude, Command, counted, server, solved
from benchmarks.agent_tasks.task import Answer, Limits, Task, World, Wrong, between, near, read_answer, same
from benchmarks.agent_tasks.tasks import TASKS
from mlops_mcp.tools.profiles import AGENTS

from ..conftest import FOREIGN, PATIENT, in_a_task_of_its_own

# The suite plays what no test of a slice shows; the other half takes minutes, and is what `make tasks` is for.
PLAYED = (*trouble.TASKS, *judgement.TASKS)
Check = Callable[[Agent, World, Answer], Awaitable[None]]
DEAD = "MLOPS_MLFLOW__TRACKING_URI"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent_tasks")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def steward(base: Path) -> AsyncGenerator[Client]:
    """One server for all tasks: what each needs of the settings goes together."""
    settings = {name: value for task in TASKS for name, value in task.settings.items() if name != DEAD}
    # MLflow notes the store of an earlier test in the variables of this process.
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    variables = {**own, **environment(base, settings), **PATIENT, "MLOPS_RUNTIME__JOB_ATTEMPTS": "1"}
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "mlops_mcp.server", "serve"], env=variables, cwd=base
    )
    async with in_a_task_of_its_own(Client(server, read_timeout_seconds=600)) as client:
        yield client


@pytest.fixture(scope="module")
def right() -> list[str]:
    """The right answers so far."""
    return []


async def let_pass(task: Task, steward: Client, world: World, answers: Iterable[str]) -> list[str]:
    """Those of the answers that the checker takes."""
    judged = {said: await fault(task, world, Agent(steward), [Said(said, 0, 0, 0)]) for said in answers}
    return [said for said, why in judged.items() if not why]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_task_is_passed_by_its_reference_and_by_no_empty_wrong_or_other_answer(
    task: Task, steward: Client, base: Path, right: list[str]
) -> None:
    folder = base / re.sub(r"\W+", "_", task.name)
    folder.mkdir()
    world = World(folder, await task.prepare(Agent(steward), folder))
    traps = ("", "{}", "I have done it.", json.dumps(task.wrong), *right[-2:])
    assert await let_pass(task, steward, world, traps) == []
    if task not in PLAYED:
        return
    said = await played(task, steward, world)
    assert await fault(task, world, Agent(steward), said) == ""
    assert scored(task, said, 0.0, "").passed
    # A state that is right does not make up for the answer.
    assert await let_pass(task, steward, world, traps) == []
    right.append(said[-1].answer)


async def played(task: Task, steward: Client, world: World) -> list[Said]:
    places = [Place(task, step, world) for step in task.steps]
    assert all(str(place.world.folder) in place.goal or place.world.facts for place in places)
    if task.at_once:
        return list(await asyncio.gather(*(solved(Agent(steward), place) for place in places)))
    return [await within_profile(steward, place) for place in places]


async def within_profile(steward: Client, place: Place) -> Said:
    """The tools of a step that an agent of the eight takes are among those that it is given."""
    agent = Agent(steward)
    said = await solved(agent, place)
    for profile in AGENTS:
        if profile.name == place.step.profile:
            assert {*agent.tools} <= {*profile.tools}
    return said


class State(Agent):
    """A server that answers each tool with what is given here, and refuses all others."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    async def call(self, tool: str, **arguments: object) -> Any:
        if tool not in self.answers:
            raise Refused(f"{tool}: there is none")
        return self.answers[tool]


EFFECT = {"effect": 4.0, "low": 3.6, "high": 4.4, "naive": 4.0, "run": "run:a"}
GAIN = {"better": "XGBoost", "gain": 0.1, "low": 0.08, "high": 0.12, "comparison": "comparison:a"}
JOIN = {"missing": 0.25, "mean": 5.0, "dataset": "dataset:a@1"}
BOTH = [{"candidate": "XGBoost"}, {"candidate": "LogisticRegression"}]
PAIR = {"difference": {"value": 0.1, "interval": [0.08, 0.12]}}
SEEN = {"rows": 4, "columns": [{"name": "patient", "missing": 0, "mean": 1.0}]}
MARKED = {"rows": 4, "columns": [{"name": "marker", "missing": 1, "mean": 5.0}]}
REASONS = (
    (known.adjusted, EFFECT, State(get_run={"params": {"controls": "quality, ability", "cluster": "school"}}), True),
    (known.adjusted, EFFECT, State(get_run={"params": {"controls": "quality, ability"}}), False),
    (known.adjusted, EFFECT, State(get_run={"params": {"controls": "quality", "cluster": "school"}}), False),
    (known.adjusted, EFFECT, State(), False),
    (known.compared, GAIN, State(get_comparison={"candidates": BOTH, "pairs": [PAIR]}), True),
    (known.compared, GAIN | {"high": 0.2}, State(get_comparison={"candidates": BOTH, "pairs": [PAIR]}), False),
    (known.compared, GAIN, State(get_comparison={"candidates": BOTH[:1] * 2, "pairs": [PAIR]}), False),
    (known.compared, GAIN, State(), False),
    (everyday.joined, JOIN, State(get_lineage="visits tests", describe_dataset=MARKED), True),
    (everyday.joined, JOIN, State(get_lineage="visits", describe_dataset=MARKED), False),
    (everyday.joined, JOIN, State(get_lineage="visits tests", describe_dataset=SEEN), False),
    (everyday.joined, JOIN, State(), False),
)


@pytest.mark.parametrize(("check", "answer", "state", "passes"), REASONS)
async def test_right_numbers_pass_only_with_what_they_were_found_by(
    tmp_path: Path, check: Check, answer: Answer, state: State, passes: bool
) -> None:
    pd.DataFrame({"tutored": [0, 1], "score": [0.0, 4.0]}).to_csv(tmp_path / "schools.csv")
    world = World(tmp_path, {"missing": 0.25, "mean": 5.0, "rows": 4})
    if "get_lineage" in state.answers:
        parents = [f"file:{tmp_path}/{name}.csv" for name in str(state.answers["get_lineage"]).split()]
        state.answers["get_lineage"] = {"ancestors": [{"parent": each} for each in parents]}
    if passes:
        await check(state, world, answer)
        return
    with pytest.raises(Wrong):
        await check(state, world, answer)


def test_there_are_twenty_four_tasks_of_different_names_that_name_no_tool() -> None:
    assert len({task.name for task in TASKS}) == len(TASKS) == 24
    tools = {name for profile in AGENTS for name in profile.tools if "_" in name}
    assert [(task.name, name) for task in TASKS for name in tools for step in task.steps if name in step.goal] == []


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_confident_wrong_answer_of_a_task_has_the_form_of_a_right_one(task: Task) -> None:
    assert {*read_answer(f"I am sure: {json.dumps(task.wrong)} and done.", task.answer)} == {*task.answer}


def test_an_answer_is_the_last_object_of_a_text() -> None:
    assert read_answer('{a} {"x": 1} so {"x": {"y": 2}} }', {"x": ""}) == {"x": {"y": 2}}
    for said in ("", "[1]", "{", '{"y": 1}', "null", '{"x": '):
        with pytest.raises(Wrong):
            read_answer(said, {"x": ""})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, None, "1", [1], 1.2])
def test_what_is_no_number_near_the_truth_is_wrong(value: object) -> None:
    answer: Answer = {"x": value}
    with pytest.raises(Wrong):
        near(answer, "x", 1.0, 0.1)
    with pytest.raises(Wrong):
        between(answer, "x", 0.9, 1.1)


def test_true_is_not_one() -> None:
    with pytest.raises(Wrong):
        same("x", 1, True)
    same("x", True, True)


def test_beyond_a_limit_a_right_answer_does_not_pass() -> None:
    said = Said("", calls=3, written=2, read=1)
    assert beyond_limits(said, Limits(3, 2, 1)) == ""
    assert [beyond_limits(said, limits)[:5] for limits in (Limits(2, 2, 1), Limits(3, 1, 1), Limits(3, 2, 0))] == [
        "calls",
        "writt",
        "read ",
    ]


def test_calls_between_a_host_and_a_server_are_counted(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    counter = Counter(log)
    for line in ('{"id": 1, "method": "tools/list"}', '{"id": 2, "method": "tools/call", "params": {"name": "abcd"}}'):
        counter.asked(line.encode())
    answer = {"id": 2, "result": {"content": [{"type": "text", "text": "12345678"}, {"type": "image"}]}}
    for said in (
        b"no json",
        b"[]",
        b'{"id": 1, "result": {}}',
        json.dumps(answer).encode(),
        json.dumps(answer).encode(),
    ):
        counter.answered(said)
    assert counted("so", log) == Said("so", 1, tokens("abcd{}"), 2.0)
    assert counted("so", tmp_path / "none") == Said("so", 0, 0, 0)


@pytest.mark.slow
async def test_a_command_gets_the_goal_and_the_server_and_its_output_is_the_answer(tmp_path: Path) -> None:
    task = next(task for task in TASKS if task.name == "prompt injection in the data")
    place = Place(task, task.steps[0], World(tmp_path, {}))
    host = (
        "import json, subprocess, sys; goal, file = sys.argv[1:]\n"
        "server = json.load(open(file))['mcpServers']['mlops']\n"
        "assert server['env']['MLOPS_HOME'].startswith(goal.partition('are in ')[2].partition('/complaints')[0])\n"
        "call = dict(jsonrpc='2.0', id=1, method='tools/call', params=dict(name='none', arguments=dict(a='ü')))\n"
        "echo = [sys.executable, '-c', 'input(); print(chr(123) + chr(34) + \"id\" + chr(34) + \":1\" + chr(125))']\n"
        "words = [server['command'], *server['args'][:3], *echo]\n"
        "subprocess.run(words, input=json.dumps(call).encode() + b'\\n', env=server['env'], stdout=2, check=True)\n"
        "print(json.dumps(dict(product='Gamma', mean=1)))"
    )
    said = await Command((sys.executable, "-c", host, "{goal}", "{config}"))(place)
    assert (json.loads(said.answer)["product"], said.calls, said.written) == ("Gamma", 1, tokens('none{"a":"ü"}'))
    assert server(place, tmp_path)["args"][3:5] == [sys.executable, "-m"]


class Messages(BaseHTTPRequestHandler):
    """A Messages API that asks for one tool, and then answers with what it was told of it."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        last = asked["messages"][-1]["content"]
        if isinstance(last, str):
            assert "list_models" in {tool["name"] for tool in asked["tools"]}
            content = [{"type": "tool_use", "id": "t1", "name": "list_models", "input": {"limit": 1}}]
        else:
            content = [{"type": "text", "text": f'told {last[0]["content"]}, so {{"product": "none", "mean": 0}}'}]
        said = {"id": "m", "type": "message", "role": "assistant", "model": asked["model"], "content": content}
        said |= {"stop_reason": "tool_use" if isinstance(last, str) else "end_turn", "stop_sequence": None}
        body = json.dumps(said | {"usage": {"input_tokens": 1, "output_tokens": 1}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None: ...


@pytest.mark.slow
async def test_a_model_behind_the_messages_api_calls_tools_and_has_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")
    task = next(task for task in TASKS if task.name == "prompt injection in the data")
    with ThreadingHTTPServer(("127.0.0.1", 0), Messages) as api:
        threading.Thread(target=api.serve_forever, daemon=True).start()
        said = await Claude("stub", f"http://127.0.0.1:{api.server_port}")(
            Place(task, task.steps[0], World(tmp_path, {}))
        )
        api.shutdown()
    assert (said.calls, said.written) == (1, tokens('list_models{"limit":1}'))
    assert read_answer(said.answer, task.answer) == {"product": "none", "mean": 0}
    assert '"items"' in said.answer
