"""What every client is asked to do, and the one form in which it reports: a line of JSON per step.

A client is a name, what it can open, and an object of the methods it has: `tools` (or `connected`, if it only says that
it is), `call`, `convert`, `read` and `prompt`. A method may be blocking or a coroutine function.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

STEP_S = 240
TRIES = 4
PICTURE = 54_000  # 40 kB in base64


@dataclass(frozen=True)
class Outcome:
    """What a call gave: the text that a model would read, and whether a picture came as a picture."""

    text: str
    failed: bool = False
    picture: bool = False


@dataclass(frozen=True)
class Server:
    """The one server that all are tried on, by the ways to it."""

    command: str
    args: list[str]
    env: dict[str, str]
    urls: dict[str, str]
    tools: list[str]
    dataset: str
    explanation: str
    resource: str
    naps: str

    @classmethod
    def given(cls) -> Server:
        return cls(**json.loads(os.environ["CLIENTS_SERVER"]))


class Cannot(Exception):
    """The client has no way to do this."""


class Wrong(Exception):
    """The step did not do what it is for."""


Opened = AbstractAsyncContextManager[Any] | AbstractContextManager[Any]
Open = Callable[[Server, str], Opened]
Step = Callable[["Any", Server, str], Awaitable[str]]


async def do(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a method of a client; a blocking one in a thread, without a running loop."""
    if inspect.iscoroutinefunction(function):
        return await function(*arguments)
    return await asyncio.to_thread(function, *arguments)


async def list_tools(client: Any, server: Server, label: str) -> str:
    if hasattr(client, "connected"):
        return str(await do(client.connected))
    found = set(await do(client.tools))
    if missing := set(server.tools) - found:
        raise Wrong(f"{len(found)} tools; missing: {', '.join(sorted(missing))}")
    return f"{len(found)} tools"


async def convert(client: Any, server: Server, label: str) -> str:
    failed: dict[str, str] = await do(_able(client, "convert"))
    if failed:
        raise Wrong(f"{len(failed)} of {len(server.tools)} tools: {next(iter(failed.items()))}")
    return f"{len(server.tools)} tools"


async def short(client: Any, server: Server, label: str) -> str:
    outcome, late = await _again(client, "describe_dataset", {"dataset": server.dataset})
    if outcome.failed or "income" not in outcome.text:
        raise Wrong(outcome.text)
    return f"{len(outcome.text)} characters{late}"


async def error(client: Any, server: Server, label: str) -> str:
    outcome, late = await _again(client, "describe_dataset", {"dataset": "nothing_of_that_name"})
    if "unknown dataset" not in outcome.text or "list_datasets" not in outcome.text:
        raise Wrong(f"the hint is lost: {outcome.text}")
    return f"as {'an error' if outcome.failed else 'a text'}{late}"


async def image(client: Any, server: Server, label: str) -> str:
    outcome, late = await _again(client, "plot_explanation", {"explanation": server.explanation})
    if outcome.failed:
        raise Wrong(outcome.text)
    if outcome.picture:
        return f"a picture and {len(outcome.text)} characters{late}"
    encoded = max((len(found) for found in re.findall(r"[A-Za-z0-9+/]{2000,}", outcome.text)), default=0)
    if encoded > PICTURE:
        raise Wrong(f"the picture reaches the model as {encoded} characters of text")
    raise Cannot(f"no pictures; {len(outcome.text)} characters of text, {encoded} of them the picture")


async def resource(client: Any, server: Server, label: str) -> str:
    text, late = await _read_again(client, server.resource)
    if server.resource.rpartition("/")[2] not in text:
        raise Wrong(text)
    return f"{len(text)} characters{late}"


async def prompt(client: Any, server: Server, label: str) -> str:
    text: str = await do(_able(client, "prompt"), "train_to_serve", {"dataset": server.dataset, "target": "income"})
    if server.dataset not in text:
        raise Wrong(text)
    return f"{len(text)} characters"


async def long(client: Any, server: Server, label: str) -> str:
    """A job that takes longer than the client waits: its result is had in the end, and it was made once."""
    began, calls, timeouts = time.monotonic(), 0, 0
    tool, arguments = "take_a_nap", {"label": label, "seconds": float(getattr(client, "patience", 0) + 10)}
    while True:
        outcome, calls = await _patient(client, tool, arguments), calls + 1
        if outcome is None:
            timeouts += 1
            if timeouts == TRIES:
                raise Wrong(f"{timeouts} time-outs, and no handle")
            continue
        if found := re.search(r"get_job\(job=\W*(job:\w+)\W*(?:, wait_s=([\d.]+))?", outcome.text):
            tool, arguments = "get_job", {"job": found[1], **({"wait_s": float(found[2])} if found[2] else {})}
            continue
        break
    made = Path(server.naps).read_text(encoding="utf-8").splitlines().count(label)
    said = f"{time.monotonic() - began:.0f} s, {calls} calls, {timeouts} time-outs, {made} jobs"
    if f"slept: {label}" not in outcome.text or made != 1:
        raise Wrong(f"{said}: {outcome.text}")
    return said


async def _again(client: Any, tool: str, arguments: dict[str, Any]) -> tuple[Outcome, str]:
    """What a call gives, made again where the client gave up waiting, and how often it did."""
    for timeouts in range(TRIES):
        if outcome := await _patient(client, tool, arguments):
            return outcome, _after(timeouts)
    raise Wrong(f"{TRIES} time-outs")


async def _read_again(client: Any, uri: str) -> tuple[str, str]:
    """What a resource holds, read again where the client gave up: what its reading waits for goes on loading."""
    for timeouts in range(TRIES):
        try:
            text: str = await do(_able(client, "read"), uri)
        except Cannot:
            raise
        except Exception as caught:
            if not _is_timeout(f"{type(caught).__name__}: {caught}"):
                raise
        else:
            return text, _after(timeouts)
    raise Wrong(f"{TRIES} time-outs")


def _after(timeouts: int) -> str:
    return f", after {timeouts} time-outs" if timeouts else ""


async def _patient(client: Any, tool: str, arguments: dict[str, Any]) -> Outcome | None:
    """What a call gives, or None where the client gave up waiting for it."""
    try:
        outcome: Outcome = await do(_able(client, "call"), tool, arguments)
    except Cannot:
        raise
    except Exception as caught:
        if not _is_timeout(f"{type(caught).__name__}: {caught}"):
            raise
        return None
    return None if outcome.failed and _is_timeout(outcome.text) else outcome


def _is_timeout(text: str) -> bool:
    """The client gave up, or the server told it in time that the call goes on."""
    return bool(re.search(r"time.?d?[ -]?out|repeat the same call", text, re.IGNORECASE))


STEPS: dict[str, Step] = {
    "list": list_tools,
    "convert": convert,
    "short": short,
    "error": error,
    "image": image,
    "resource": resource,
    "prompt": prompt,
    "long": long,
}


def _able(client: Any, method: str) -> Callable[..., Any]:
    if found := getattr(client, method, None):
        return found  # type: ignore[no-any-return]
    raise Cannot("not in this client")


@asynccontextmanager
async def _entered(opened: Opened) -> Any:
    """Enter a blocking connection without a running loop."""
    if hasattr(opened, "__aenter__"):
        async with opened as client:
            yield client
        return
    client = await asyncio.to_thread(opened.__enter__)
    try:
        yield client
    finally:
        await asyncio.to_thread(opened.__exit__, None, None, None)


def say(client: str, transport: str, step: str, ok: bool | None, detail: str) -> None:
    """A line of the report; `ok` is null where the client cannot do this."""
    line = {"client": client, "transport": transport, "step": step, "ok": ok, "detail": detail[:400]}
    os.write(REPORT, (json.dumps(line) + "\n").encode())


async def _try(name: str, transport: str, client: Any, server: Server, steps: list[str]) -> None:
    for step in steps:
        try:
            detail = await asyncio.wait_for(STEPS[step](client, server, f"{name}/{transport}"), STEP_S)
            say(name, transport, step, True, detail)
        except Cannot as reason:
            say(name, transport, step, None, str(reason))
        except Exception as caught:  # whatever a framework raises is what is asked for
            say(name, transport, step, False, _reason(caught))


def _reason(caught: BaseException) -> str:
    while isinstance(caught, BaseExceptionGroup):
        caught = caught.exceptions[0]
    return f"{type(caught).__name__}: {caught}"


async def _all(name: str, open_: Open, transports: list[str], steps: list[str]) -> None:
    server = Server.given()
    for transport in transports:
        try:
            async with _entered(open_(server, transport)) as client:
                await _try(name, transport, client, server, steps)
        except Exception as caught:
            say(name, transport, "connect", False, _reason(caught))


def main(package: str, open_: Open, *transports: str, version: str = "") -> None:
    """Try a client over each transport it has, or over those, and the steps, that CLIENTS_ONLY names."""
    only = os.environ.get("CLIENTS_ONLY", "").split()
    chosen = [each for each in transports if each in only] or list(transports)
    steps = [each for each in STEPS if each in only] or list(STEPS)
    asyncio.run(_all(f"{package} {version or metadata.version(package)}", open_, chosen, steps))
    os._exit(0)  # what a framework left running is not waited for


# The report has the standard output for itself; what a framework prints goes to the standard error.
REPORT = os.dup(1)
os.dup2(2, 1)
sys.stdout = sys.stderr
