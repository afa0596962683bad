"""Programs that are clients: `python -m frameworks.hosts NAME`, in an environment that has the SDK."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

from .content import Session
from .steps import Outcome, Server, main

JS = Path(os.environ["CLIENTS_JS"])
MODULES = JS / "node_modules"
PROGRAM_S = 120


def run(program: str, *arguments: str, stdin: str = "") -> str:
    """What a program prints; its trouble is said."""
    command = [str(MODULES / ".bin" / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=PROGRAM_S, check=False)
    return done.stdout + ("" if done.stdout.strip().startswith("{") else done.stderr)


def reached(program: str, *arguments: str, sign: str = "connected") -> str:
    said = run(program, *arguments)
    if sign not in said.lower():
        raise RuntimeError(said)
    return sign


class Inspector:
    """The inspector's command line; it speaks to a server anew each time."""

    patience = 10

    def __init__(self, server: Server, transport: str) -> None:
        if transport == "stdio":
            named = [part for name, value in server.env.items() for part in ("-e", f"{name}={value}")]
            self.way = [server.command, *server.args, *named]
        else:
            self.way = ["--server-url", server.urls[transport], "--transport", transport]

    def _ask(self, *arguments: str) -> dict[str, Any]:
        answer = json.loads(run("mcp-inspector", "--cli", *self.way, *arguments, "--format", "json"))
        result: dict[str, Any] = answer["result"]
        return result

    def tools(self) -> list[str]:
        return [tool["name"] for tool in self._ask("--method", "tools/list")["tools"]]

    def convert(self) -> dict[str, str]:
        command = [str(MODULES / ".bin/mcp-inspector"), "--cli", *self.way, "--method", "tools/list", "--strict"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_S, check=False)
        return {"--strict": done.stderr[-300:]} if done.returncode else {}

    def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        given = ("--tool-name", name, "--tool-args-json", json.dumps(arguments))
        return _outcome(self._ask("--method", "tools/call", *given))

    def read(self, uri: str) -> str:
        return json.dumps(self._ask("--method", "resources/read", "--uri", uri))

    def prompt(self, name: str, arguments: dict[str, str]) -> str:
        given = [f"{key}={value}" for key, value in arguments.items()]
        return json.dumps(self._ask("--method", "prompts/get", "--prompt-name", name, "--prompt-args", *given))


class Mcporter:
    """mcporter's command line, with the server in its file."""

    patience = 60

    def tools(self) -> list[str]:
        return [tool["name"] for tool in json.loads(run("mcporter", "list", "server", "--json"))["tools"]]

    def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        said = run("mcporter", "call", f"server.{name}", "--args", json.dumps(arguments), "--output", "json")
        # It prints what is structured in an answer by itself.
        answer = json.loads(said) if said.startswith("{") else {}
        return _outcome(answer) if "content" in answer else Outcome(said, not answer)

    def read(self, uri: str) -> str:
        return run("mcporter", "resource", "server", uri)


class Listed:
    """A program that says no more than whether it is connected."""

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments

    def connected(self) -> str:
        return reached(*self.arguments)


class Codex:
    """Codex lists the tools of its servers to the editors that it serves."""

    def tools(self) -> list[str]:
        asked = (
            {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "clients", "version": "1"}}},
            {"method": "initialized"},
            {"id": 2, "method": "mcpServerStatus/list", "params": {}},
        )
        command = [str(MODULES / ".bin/codex"), "app-server"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin
            assert process.stdout
            process.stdin.write("".join(json.dumps(each) + "\n" for each in asked))
            process.stdin.flush()
            answer = next(each for line in process.stdout if (each := json.loads(line)).get("id") == 2)
            process.terminate()
        return [tool for server in answer["result"]["data"] for tool in server["tools"]]


def _outcome(result: dict[str, Any]) -> Outcome:
    parts = result.get("content", [])
    text = "\n".join(part["text"] for part in parts if part.get("text"))
    return Outcome(text, bool(result.get("isError")), any(part["type"] == "image" for part in parts))


def _added(program: str, server: Server, transport: str) -> None:
    """Name the server to a program by its own `mcp add`."""
    if transport != "stdio":
        run(program, "mcp", "add", "-s", "user", "-t", transport, "server", server.urls[transport])
        return
    named = [part for name, value in server.env.items() for part in ("-e", f"{name}={value}")]
    if program == "claude":
        run(program, "mcp", "add", "-s", "user", "server", *named, "--", server.command, *server.args)
    else:
        run(program, "mcp", "add", "-s", "user", *named, "server", server.command, "--", *server.args)


@contextmanager
def added(program: str, server: Server, transport: str) -> Generator[Listed]:
    _added(program, server, transport)
    yield Listed(program, "mcp", "list")
    run(program, "mcp", "remove", "-s", "user", "server")


@contextmanager
def opencode(server: Server, transport: str) -> Generator[Listed]:
    way: dict[str, Any] = (
        {"type": "local", "command": [server.command, *server.args], "environment": server.env}
        if transport == "stdio"
        else {"type": "remote", "url": server.urls[transport]}
    )
    _write(Path("opencode.json"), {"mcp": {"server": {**way, "enabled": True, "timeout": 60_000}}})
    yield Listed("opencode", "mcp", "list")


@contextmanager
def mcporter(server: Server, transport: str) -> Generator[Mcporter]:
    way: dict[str, Any] = (
        {"command": server.command, "args": server.args, "env": server.env}
        if transport == "stdio"
        else {"baseUrl": server.urls[transport]}
    )
    _write(Path("config/mcporter.json"), {"mcpServers": {"server": way}})
    yield Mcporter()


@contextmanager
def inspector(server: Server, transport: str) -> Generator[Inspector]:
    yield Inspector(server, transport)


@contextmanager
def codex(server: Server, transport: str) -> Generator[Codex]:
    named = [part for name, value in server.env.items() for part in ("--env", f"{name}={value}")]
    way = [*named, "--", server.command, *server.args] if transport == "stdio" else ["--url", server.urls[transport]]
    run("codex", "mcp", "add", "server", *way)
    yield Codex()
    run("codex", "mcp", "remove", "server")


@asynccontextmanager
async def mcp_remote(server: Server, transport: str) -> AsyncGenerator[Session]:
    """A bridge: what speaks stdio reaches a server of HTTP by it."""
    only = f"{transport}-only"
    program = StdioServerParameters(
        command=str(MODULES / ".bin/mcp-remote"),
        args=[server.urls[transport], "--allow-http", "--transport", only],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
    )
    async with Client(program) as client:
        yield Session(client)


def _write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def of(program: str) -> Callable[[Server, str], Any]:
    return lambda server, transport: added(program, server, transport)


# Name -> package, how it is opened, and the ways that it has to a server.
HOSTS: dict[str, tuple[str, Callable[[Server, str], Any], tuple[str, ...]]] = {
    "inspector": ("@modelcontextprotocol/inspector", inspector, ("stdio", "http", "sse")),
    "mcporter": ("mcporter", mcporter, ("stdio", "http")),
    "mcp_remote": ("mcp-remote", mcp_remote, ("http", "sse")),
    "claude": ("@anthropic-ai/claude-code", of("claude"), ("stdio", "http", "sse")),
    "gemini": ("@google/gemini-cli", of("gemini"), ("stdio", "http", "sse")),
    "qwen": ("@qwen-code/qwen-code", of("qwen"), ("stdio", "http", "sse")),
    "opencode": ("opencode-ai", opencode, ("stdio", "http")),
    "codex": ("@openai/codex", codex, ("stdio", "http")),
}

if __name__ == "__main__":
    package, opened, ways = HOSTS[sys.argv[1]]
    os.chdir(os.environ["HOME"])
    described = json.loads((MODULES / package / "package.json").read_text(encoding="utf-8"))
    main(package, opened, *ways, version=described["version"])
