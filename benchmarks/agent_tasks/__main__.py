"""Calls and tokens of twelve questions: `python -m benchmarks.agent_tasks [part of a title]`, from the root.

An answer is held against what is true of the data, so that a wrong one ends the run.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from .agent import agent_in
from .questions import QUESTIONS, Question

MOST_CALLS, MOST_WRITTEN, MOST_READ = 5, 400, 4000


async def ask(question: Question) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        async with agent_in(Path(folder), **question.settings) as agent:
            said = await question.answer(agent, Path(folder))
    within = agent.calls <= MOST_CALLS and agent.written <= MOST_WRITTEN and agent.read <= MOST_READ
    print(f"| {question.title} | {agent.calls} | {agent.written:.0f} | {agent.read:.0f} | {said} |", flush=True)
    return within


async def main(part: str) -> int:
    print("| question | calls | written | read | answer |\n|---|---|---|---|---|")
    within = [await ask(question) for question in QUESTIONS if part in question.title]
    return 0 if within and all(within) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "")))
