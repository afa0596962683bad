"""`traces`: what is stored, waits, is parked."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...config.load import Loaded


def add(commands: Any) -> None:
    parser = commands.add_parser("traces", help="what of the traces waits to be shipped to Opik")
    under = parser.add_subparsers(required=True, metavar="command")
    status = under.add_parser("status", help="how much is stored, waiting, shipped, parked and lost")
    status.add_argument("--json", action="store_true", help="the same as one JSON object")
    status.set_defaults(run=_traces_status)
    ship = under.add_parser("ship", help="ship what waits now; the exit code is 1 when something is left")
    ship.add_argument("--wait", type=float, default=60.0, metavar="S", help="for how long at most (default: 60)")
    ship.add_argument("--all", action="store_true", help="also what was written while another Opik was configured")
    ship.set_defaults(run=_traces_ship)
    parked = under.add_parser("parked", help="what Opik has refused, and why")
    parked.add_argument("--requeue", default="", metavar="ID", help="let this row, or `all`, be shipped again")
    parked.add_argument("--json", action="store_true", help="the same as a JSON list")
    parked.set_defaults(run=_traces_parked)


def _traces_status(options: argparse.Namespace, loaded: Loaded) -> int:
    from ..traces import print_status

    return print_status(loaded.settings, options.json)


def _traces_ship(options: argparse.Namespace, loaded: Loaded) -> int:
    from ..traces import ship_now

    return ship_now(loaded.settings, options.wait, options.all)


def _traces_parked(options: argparse.Namespace, loaded: Loaded) -> int:
    from ..traces import print_parked

    return print_parked(loaded.settings, options.requeue, options.json)
