"""Plays the tasks: `python -m benchmarks.agent_tasks --agent reference`, from the root; ends with 1 if any failed.

`--agent command --command 'myhost --mcp-config {config} -p {goal}'` puts a host of one's own to the test, and
`--agent anthropic --model …` a model behind the Messages API (`ANTHROPIC_API_KEY`, `--base-url`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from .play import Player, Score, play
from .players import Claude, command, reference
from .tasks import TASKS

HEAD = "| task | passed | calls | written | read | seconds | why not |\n|---|---|---|---|---|---|---|"


def line(score: Score) -> str:
    passed, why = "yes" if score.passed else "no", " ".join(score.why.split()).replace("|", "\\|")
    return (
        f"| {score.task} | {passed} | {score.calls} | {score.written} | {score.read} | {score.seconds} | {why[:200]} |"
    )


def total(scores: list[Score]) -> str:
    passed = sum(score.passed for score in scores)
    sums = (sum(getattr(score, name) for score in scores) for name in ("calls", "written", "read"))
    seconds = sum(score.seconds for score in scores)
    return f"| all | {passed} of {len(scores)} | {' | '.join(map(str, sums))} | {seconds:.1f} | |"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agent_tasks")
    parser.add_argument("--agent", choices=["reference", "anthropic", "command"], default="reference")
    parser.add_argument("--command", help="words of a command with {goal} and {config}")
    parser.add_argument("--model", default="claude-sonnet-4-5")
    parser.add_argument("--base-url")
    parser.add_argument("--json", type=Path, help="write the scores there as well")
    parser.add_argument("task", nargs="*", help="parts of the names of tasks; default: all")
    return parser


def player(asked: argparse.Namespace, parser: argparse.ArgumentParser) -> Player:
    if asked.agent == "command":
        return command(asked.command) if asked.command else parser.error("--agent command needs --command")
    return Claude(asked.model, asked.base_url) if asked.agent == "anthropic" else reference


async def main() -> int:
    parser = arguments()
    asked = parser.parse_args()
    chosen = [task for task in TASKS if not asked.task or any(part in task.name for part in asked.task)]
    if not chosen:
        parser.error(f"no such task; there are: {', '.join(task.name for task in TASKS)}")
    agent, scores = player(asked, parser), list[Score]()
    print(HEAD)
    for task in chosen:
        scores.append(await play(task, agent))
        print(line(scores[-1]), flush=True)
    print(total(scores))
    if asked.json:
        asked.json.write_text(json.dumps([score.row() for score in scores], indent=2) + "\n", encoding="utf-8")
    return 0 if all(score.passed for score in scores) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
