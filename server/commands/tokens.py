"""`token`: who may ask over HTTP."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...config.load import Loaded


def add(commands: Any) -> None:
    parser = commands.add_parser("token", help="who may ask over HTTP")
    under = parser.add_subparsers(required=True, metavar="command")
    new = under.add_parser("new", help="make a token and print it, once")
    new.add_argument("--name", required=True, help="who bears it: stands in traces, jobs and runs")
    new.add_argument(
        "--scope",
        required=True,
        choices=("read", "write", "admin"),
        help="read: what changes nothing; write: also what makes things; admin: also what ends or replaces others'",
    )
    new.set_defaults(run=_token_new)
    under.add_parser("list", help="their names and scopes").set_defaults(run=_token_list)
    revoke = under.add_parser("revoke", help="end a token, at once")
    revoke.add_argument("name")
    revoke.set_defaults(run=_token_revoke)


def _token_new(options: argparse.Namespace, loaded: Loaded) -> int:
    from ..access.command import new

    return new(loaded.settings, options.name, options.scope)


def _token_list(_options: argparse.Namespace, loaded: Loaded) -> int:
    from ..access.command import show

    return show(loaded.settings)


def _token_revoke(options: argparse.Namespace, loaded: Loaded) -> int:
    from ..access.command import revoke

    return revoke(loaded.settings, options.name)
