"""Forty secrets in the environment, the settings, addresses, headers and arguments: no place repeats one of them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from mlops_mcp.server.access.tokens import Tokens

from ..conftest import PATIENT
from ..contract.test_unknown_names import CALLS
from ..server.access.conftest import Asking
from .slices import DEPLOY, EVALUATE, EXPLAIN, MATERIALIZE, PACKAGE, ROWS, STUDY, SUITE, VALIDATE, Call, train

pytestmark = pytest.mark.slow

VARIABLES = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED01XAMPLE7",
    "AWS_SECRET_ACCESS_KEY": "Planted02FEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "Planted03FwoGZXIvYXdzEBYaD",
    "AZURE_CLIENT_SECRET": "Planted04~Q8Q~secret",
    "AZURE_STORAGE_CONNECTION_STRING": "AccountName=x;AccountKey=Planted05abcdef0123456789==;",
    "GOOGLE_API_KEY": "AIzaSyA-Planted06xyzabcdefghijklmnopqrstuv",
    "OPENAI_API_KEY": "sk-proj-Planted07def0123456789Abcdef",
    "ANTHROPIC_API_KEY": "sk-ant-api03-Planted08def0123456789_XYZ-abc",
    "HF_TOKEN": "hf_Planted09f0123456789Abcdef0123456789",
    "GITHUB_TOKEN": "ghp_Planted10f0123456789Abcdef0123456789",
    "GITLAB_TOKEN": "glpat-Planted11f0123456789Abcd",
    "NPM_TOKEN": "npm_Planted12f0123456789Abcdef0123456789",
    "SLACK_BOT_TOKEN": "xoxb-123456789012-Planted13f0123456789",
    "STRIPE_SECRET_KEY": "sk_live_51Planted14def0123456789",
    "SENTRY_DSN": "https://Planted15f0123456789abcdef@sentry.example/1",
    "DATABASE_URL": "postgresql://app:Planted16hunter@db.example:5432/app",
    "REDIS_URL": "redis://:Planted17hunter@cache.example:6379/0",
    "PGPASSWORD": "Planted18hunter",
    "DATABRICKS_TOKEN": "dapi-Planted19f0123456789",
    "MLFLOW_TRACKING_TOKEN": "Planted20f0123456789",
    "MLFLOW_TRACKING_PASSWORD": "Planted21hunter",
    "WANDB_API_KEY": "Planted22f0123456789abcdef0123456789abcdef",
    "COMET_API_KEY": "Planted23f0123456789",
    "OPIK_API_KEY": "Planted24f0123456789",
    "SHOP_PASSWORD": "Planted25hunter",
    "VAULT_TOKEN": "hvs.Planted26f0123456789",
}
# What reads the settings by itself, as the server does, and Python's own, which opens nothing of anybody.
LIKE_THE_SERVER = (b"mlops_mcp.tools.tracing.opik", b"multiprocessing.resource_tracker")
# The sources are of PostgreSQL, whose driver asks for it.
OF_A_BACKEND = "Planted18"
# A process that has neither lived nor worked so long may not have come to its first lines yet.
YOUNG_S = 10.0
STARTING_S = 1.0
SETTINGS = """
opik: {url: "http://bot:Planted27hunter@127.0.0.1:9/api", workspace: team}
data:
  sources:
    shop: "postgresql://reader:${SHOP_PASSWORD}@127.0.0.1:9/shop"
    stock: "postgresql://reader:Planted28hunter@127.0.0.1:9/stock"
runtime: {scheduler: "tcp://user:Planted29hunter@127.0.0.1:9"}
"""
HEADERS = {
    "X-Api-Key": "Planted30f0123456789",
    "Cookie": "session=Planted31f0123456789",
    "Proxy-Authorization": "Basic UGxhbnRlZDMyOmhpZGRlbg==",
    "baggage": "key=Planted33f0123456789",
}
QUERY = {"api_key": "Planted34f0123456789"}
ADDRESS, KEY, BEARER = (
    "https://bot:Planted35hunter@127.0.0.1:9/rows.csv",
    "Planted36hunter",
    "Bearer Planted37f0123456789.x",
)
PEM = "-----BEGIN RSA PRIVATE KEY-----\nPlanted38abc\n-----END RSA PRIVATE KEY-----"
TAIL = "curl -u me:Planted39hunter https://127.0.0.1:9"
# The token of the caller is the fortieth.
TOKEN = "mlopstk_"
WRITTEN = (*VARIABLES.values(), SETTINGS, *HEADERS.values(), *QUERY.values(), ADDRESS, KEY, BEARER, PEM, TAIL)
# Basic authentication carries it in base64.
MARKS = {f"Planted{number:02}" for number in range(1, 40)} - {"Planted01", "Planted32"} | {"PLANTED01", "UGxhbnRlZDMy"}
# An answer may repeat to a caller what that caller has just said.
SAID = {f"Planted{number}" for number in range(35, 40)}

SPAN: Call = ("start_span", {"name": TAIL, "input": {"headers": [["Authorization", BEARER]], "note": PEM}})
LLM: Call = (
    "log_llm_call",
    {"model": "m", "input_tokens": 1, "output_tokens": 1, "prompt": f"see {ADDRESS}", "response": f"password: {KEY}"},
)
REAL: tuple[Call, ...] = (
    ("load_dataset", {"path": ADDRESS}), ("load_dataset", {"source": "shop", "sql": "select 1"}),
    ("load_dataset", {"source": "stock", "sql": "select 1"}), ("load_dataset", {"source": "stack", "sql": "select 1"}),
    ("describe_dataset", {"dataset": ROWS}), ("get_trace", {"trace": ADDRESS}), SUITE, VALIDATE, MATERIALIZE, STUDY,
    EVALUATE, EXPLAIN, PACKAGE, train("RandomForest"), SPAN, LLM, DEPLOY,
    ("predict", {"endpoint": "e", "rows": [{"nothing": 1}]}), ("search_traces", {}), ("list_jobs", {}),
    ("list_endpoints", {}), ("search_runs", {}), ("list_datasets", {}),
)  # fmt: skip


class Listening(Asking):
    """Keeps all that comes over the wire, and looks at the processes below a server while it works."""

    def __init__(self, http: httpx2.AsyncClient, tokens: Tokens, home: Path, server: int) -> None:
        super().__init__(http, tokens)
        self.wire: list[bytes] = []
        self.shown: set[tuple[str, str]] = set()
        self._home, self._server = str(home).encode(), server

    async def send(self, *given: Any, **more: Any) -> httpx2.Response:
        answer = await super().send(*given, **more)
        self.wire += [answer.content, repr(answer.headers).encode()]
        self.shown |= set(self._leaking())
        return answer

    def _leaking(self) -> Iterable[tuple[str, str]]:
        """What the processes of the server show. Until its first lines have run, one shows what it was given."""
        below = {child.pid for child in psutil.Process(self._server).children(recursive=True)}
        for process in psutil.process_iter():
            try:
                block = b"\0".join(Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
                young = is_young(process)
            except (OSError, psutil.Error):  # it has ended
                continue
            ours = process.pid in below or self._home in block
            like_it = process.pid == self._server or any(each in block for each in LIKE_THE_SERVER)
            if ours and not (young or like_it):
                yield from ((f"{block[:200]!r}", mark) for mark in marks_in(block) - {OF_A_BACKEND})


def is_young(process: psutil.Process) -> bool:
    """Whether it may still be starting, which on a busy machine says its work, not its age: what waits has started."""
    if time.time() - process.create_time() < YOUNG_S:
        return True
    used = process.cpu_times()
    return process.status() != psutil.STATUS_SLEEPING and used.user + used.system < STARTING_S


def marks_in(content: bytes) -> set[str]:
    return {mark for mark in MARKS | {TOKEN} if mark.encode() in content}


def environment(home: Path, prepared: Path, tmp_path: Path) -> Mapping[str, str]:
    config = tmp_path / "named.yaml"
    config.write_text(SETTINGS)
    (tmp_path / "tmp").mkdir()
    return {
        "PATH": os.environ["PATH"], "HOME": f"{tmp_path}-user", "TMPDIR": str(tmp_path / "tmp"),
        "MLOPS_HOME": str(home), "MLOPS_CONFIG": str(config), "MLOPS_SERVER__LOG_LEVEL": "DEBUG", **PATIENT,
        # Its view reads the rows where they were when it was made.
        "MLOPS_DATA__ROOTS": json.dumps([str(prepared)]), **VARIABLES,
    }  # fmt: skip


async def printed(variables: Mapping[str, str], folder: Path, *command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mlops_mcp.server", *command), env=variables, cwd=folder,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    return (await process.communicate())[0]


@asynccontextmanager
async def listening(
    home: Path, variables: Mapping[str, str], folder: Path
) -> AsyncGenerator[tuple[Listening, list[bytes]]]:
    """A caller of a server in a process of its own; what that has printed is in the list once the body has ended."""
    log: list[bytes] = []
    command = (sys.executable, "-m", "mlops_mcp.server", "serve", "--transport", "http", "--port", "0")
    process = await asyncio.create_subprocess_exec(*command, env=variables, cwd=folder, stderr=asyncio.subprocess.PIPE)
    assert process.stderr
    address = ""
    while not address:
        line = await process.stderr.readline()
        assert line, b"".join(log)
        log.append(line)
        address = next((word for word in line.decode().split() if word.startswith("http://127.0.0.1:")), "")
    rest = asyncio.create_task(process.stderr.read())
    try:
        base = address.removesuffix("/mcp")
        async with httpx2.AsyncClient(base_url=base, timeout=120, headers=HEADERS, params=QUERY) as http:
            yield Listening(http, Tokens(home), home, process.pid), log
    finally:
        process.terminate()
        await process.wait()
        log.append(await rest)


async def ended(door: Listening, bearer: Mapping[str, str], call: Call) -> dict[str, Any]:
    """The answer to a call; a job, which is a task to this client, is looked at until its end."""
    answer = await door.call(dict(bearer), call[0], **call[1])
    made = answer.get("structuredContent") or {}
    job = f"job:{answer['taskId']}" if "taskId" in answer else made.get("job")
    if "taskId" in answer or made.get("state") in ("queued", "running"):
        return await ended(door, bearer, ("get_job", {"job": job, "wait_s": 1}))
    return answer


async def ask_for_everything(door: Listening, bearer: Mapping[str, str]) -> None:
    answers = [(call[0], await ended(door, bearer, call)) for call in REAL]
    failed = {tool: answer["content"] for tool, answer in answers if answer.get("isError")}
    assert list(failed) == ["load_dataset", "get_trace", "predict"], failed
    traces = await door.call(dict(bearer), "search_traces", limit=20)
    for line in traces["structuredContent"]["items"]:
        await door.call(dict(bearer), "get_trace", trace=line["trace"], detail="full")
    for tool, (arguments, _) in CALLS.items():
        assert (await ended(door, bearer, (tool, arguments))).get("isError"), tool
    await door.ask(dict(bearer), "prompts/get", name="data_preparer", arguments={"goal": ADDRESS})
    await door.ask(dict(bearer), "resources/read", uri="mlflow://experiments")
    await door.ask(dict(bearer), "tools/list")
    for path in ("/metrics", "/readyz", "/nowhere"):
        door.wire.append((await door.http.get(path, headers=dict(bearer))).content)
    await ended(door, bearer, ("stop_endpoint", {"endpoint": "e"}))


async def test_forty_planted_secrets_are_repeated_nowhere(home: Path, prepared: Path, tmp_path: Path) -> None:
    assert len(MARKS | {TOKEN}) == 40
    assert [mark for mark in MARKS if not any(mark in text for text in WRITTEN)] == []
    variables = environment(home, prepared, tmp_path)
    bearer = {"Authorization": f"Bearer {Tokens(home).make('caller', 'admin')}"}
    async with listening(home, variables, tmp_path) as (door, log):
        await ask_for_everything(door, bearer)
    told = {
        "the wire": b"".join(door.wire),
        "the log": b"".join(log),
        "the settings": await printed(variables, tmp_path, "config"),
        "the doctor": await printed(variables, tmp_path, "doctor"),
        "the traces": await printed(variables, tmp_path, "traces", "status"),
    }
    folders = (home, tmp_path / "tmp", Path(f"{tmp_path}-user"))
    kept = {str(file): file.read_bytes() for folder in folders for file in folder.rglob("*") if file.is_file()}
    assert {"traces.db", "jobs.db", "mlflow.db", "tokens.json"} <= {Path(name).name for name in kept}
    leaks = {(place, mark) for place, content in (told | kept).items() for mark in marks_in(content)}
    by_design = {("the wire", mark) for mark in SAID}
    assert leaks - by_design == set()
    assert door.shown == set()
