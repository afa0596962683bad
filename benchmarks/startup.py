"""What a start up to `tools/list` costs, beside a bare `mcp` server in the same environment.

`python benchmarks/startup.py [RUNS]` starts both servers in turn as stdio subprocesses, so that a busy machine hits
both alike, and prints the medians and their ratio. CPU is user + system time of the process tree, RSS its memory,
both at the moment the answer to `tools/list` has arrived. The first run of each fills the caches and does not count.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple, dataclass, fields
from typing import Any

import psutil

BARE = """
from mcp.server import MCPServer

server = MCPServer("bare")

@server.tool()
def ping() -> str:
    "Answer."
    return "pong"

server.run()
"""
LIMIT = 1.15
COMMANDS = {
    "mlops-mcp": [sys.executable, "-m", "mlops_mcp.server", "serve"],
    "bare mcp": [sys.executable, "-c", BARE],
}


@dataclass(frozen=True)
class Cost:
    cpu_ms: float
    rss_mb: float
    wall_ms: float
    tools: float


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    costs: dict[str, list[Cost]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "MLOPS_HOME": f"{folder}/home"}
        for run in range(runs + 1):
            for name, command in COMMANDS.items():
                cost = measured(command, environment, folder)
                if run:
                    costs[name].append(cost)
    medians = {
        name: Cost(*map(statistics.median, zip(*map(astuple, each), strict=True))) for name, each in costs.items()
    }
    return report(medians, runs)


def measured(command: list[str], environment: dict[str, str], folder: str) -> Cost:
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd=folder
    ) as server:
        client = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "startup", "version": "1"},
        }
        ask(server, {"id": 1, "method": "initialize", "params": client})
        send(server, {"method": "notifications/initialized"})
        listed = ask(server, {"id": 2, "method": "tools/list", "params": {}})
        wall = time.perf_counter() - began
        tree = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        cpu = sum(sum(process.cpu_times()[:4]) for process in tree)
        rss = sum(process.memory_info().rss for process in tree)
    return Cost(cpu * 1e3, rss / 2**20, wall * 1e3, len(listed["result"]["tools"]))


def send(server: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
    assert server.stdin
    server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    server.stdin.flush()


def ask(server: subprocess.Popen[bytes], message: dict[str, Any]) -> dict[str, Any]:
    send(server, message)
    assert server.stdout
    for line in server.stdout:
        answer: dict[str, Any] = json.loads(line)
        if answer.get("id") == message["id"]:
            return answer
    raise SystemExit(f"the server ended before it answered {message['method']}")


def report(medians: dict[str, Cost], runs: int) -> int:
    ours, bare = medians.values()
    print(f"{'':<12}" + "".join(f"{field.name:>10}" for field in fields(Cost)) + f"   medians of {runs} runs")
    for name, cost in medians.items():
        print(f"{name:<12}" + "".join(f"{value:>10.1f}" for value in astuple(cost)))
    ratios = {"cpu_ms": ours.cpu_ms / bare.cpu_ms, "rss_mb": ours.rss_mb / bare.rss_mb}
    print(f"{'ratio':<12}" + "".join(f"{ratio:>10.2f}" for ratio in ratios.values()) + f"   (limit {LIMIT})")
    return 0 if max(ratios.values()) <= LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
