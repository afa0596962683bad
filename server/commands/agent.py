"""`agent`: Claude agents that work through this server."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...config.load import Loaded


def add(commands: Any) -> None:
    parser = commands.add_parser("agent", help="let Claude agents work towards a goal, through this server")
    parser.add_argument("goal", help="what is to be done, in plain words; - reads it from standard input")
    parser.add_argument(
        "--agent", dest="profile", default="pipeline", metavar="NAME",
        help="one of the eight, or some: a,b (default: pipeline, which lets each take over in turn)",
    )  # fmt: skip
    parser.add_argument("--known", default="", metavar="TEXT", help="handles and decisions so far")
    parser.add_argument("--model", help="of Anthropic (default: agent.model)")
    parser.add_argument("--root", action="append", metavar="DIR", help="a folder whose files may be read (repeatable)")
    parser.add_argument("--json", action="store_true", help="print what came of it as one JSON object")
    parser.set_defaults(run=_agent)


def _agent(options: argparse.Namespace, loaded: Loaded) -> int:
    import sys

    from ..agents.command import Request, command

    goal = sys.stdin.read() if options.goal == "-" else options.goal
    roots = tuple(options.root or ())
    return command(loaded.settings, Request(goal.strip(), options.profile, options.known, roots, options.json))
