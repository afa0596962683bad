"""`ui` and `report`: what the state folder holds, as pages."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...config.load import Loaded


def add(commands: Any) -> None:
    shown = commands.add_parser("ui", help="look at runs, datasets, traces and the rest in a browser on this machine")
    shown.add_argument("--port", type=int, default=0, help="default: any that is free")
    shown.set_defaults(run=_ui)
    report = commands.add_parser("report", help="write what was done in a trace as one HTML file")
    report.add_argument("handle", metavar="HANDLE", help="trace:…, or what was made in it: run:…, model:…, endpoint:…")
    report.add_argument("--out", default="report.html", metavar="FILE", help="default: report.html")
    report.set_defaults(run=_report)


def _ui(options: argparse.Namespace, loaded: Loaded) -> int:
    from ..ui.command import serve

    return serve(loaded.settings, options.port)


def _report(options: argparse.Namespace, loaded: Loaded) -> int:
    from pathlib import Path

    from ..report.command import report

    return report(loaded.settings, options.handle, Path(options.out))
