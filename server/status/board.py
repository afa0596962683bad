"""A snapshot as tables, shown once or again and again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ...config.settings import Settings
from ...tools.legible import legible
from ...tools.serving.models import EndpointView, Version
from ..probes import Backend
from .snapshot import JobLine, Snapshot, TraceLine, look

# Of lines that go to a file or another program.
WIDTH = 140
COLOURS = {
    "ok": "green", "embedded": "green", "failed": "red", "unchecked": "yellow", "running": "cyan", "queued": "yellow",
    "done": "green", "cancelled": "yellow", "lost": "red", "ready": "green", "starting": "yellow", "degraded": "yellow",
    "dead": "red",
}  # fmt: skip


def show(settings: Settings, every_s: float, once: bool, as_json: bool) -> int:
    """Show what runs until it is interrupted, or once where nobody watches; the exit code is 1 when something fails."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    found = look(settings)
    if as_json:
        print(json.dumps({**asdict(found), "endpoints": [each.model_dump() for each in found.endpoints]}, indent=1))
    elif once or not console.is_terminal:
        console.print(rendered(found))
    else:
        _watch(settings, console, found, every_s)
    return 0 if found.healthy else 1


def _watch(settings: Settings, console: Console, found: Snapshot, every_s: float) -> None:
    with Live(rendered(found), console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(every_s)
            live.update(rendered(look(settings)), refresh=True)


def rendered(found: Snapshot) -> RenderableType:
    """One table per kind of thing; what there is none of is said in a line."""
    return Group(
        Text(f"{found.home}   {found.taken}", style="dim"),
        *(Text(legible(f"problem: {problem}"), style="red") for problem in found.problems),
        _table("backends", ("name", "where", "ms", ""), map(_backend, found.backends)),
        _table(f"jobs: {_counted(found.states)}", ("job", "tool", "state", "s", "by", ""), map(_job, found.jobs)),
        _table(
            "endpoints" if found.endpoints else "endpoints: none",
            ("endpoint", "state", "bento", "%", "calls", "p50/p99 ms", "MB", ""),
            (row for view in found.endpoints for row in _endpoint(view)),
        ),
        _table(_of_traces(found), ("trace", "name", "ago", "s", "spans", ""), map(_trace, found.traces)),
    )


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[RenderableType]]) -> RenderableType:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=bool(column), overflow="fold", header_style="dim")
    # What comes from data or callers is text: no markup, and nothing that a terminal obeys.
    for row in rows:
        table.add_row(*(Text(legible(cell)) if isinstance(cell, str) else cell for cell in row))
    return Group(Text(""), table if table.row_count else Text(title, style="bold"))


def _counted(states: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in sorted(states.items()) if number) or "none yet"


def _of_traces(found: Snapshot) -> str:
    title = "traces" if found.traces else "traces: none yet"
    return f"{title}, {found.waiting} spans wait for Opik" if found.waiting else title


def _backend(each: Backend) -> Sequence[RenderableType]:
    return _coloured(each.state, each.name), each.where, str(each.milliseconds), each.detail


def _job(each: JobLine) -> Sequence[RenderableType]:
    return each.job, each.tool, _coloured(each.state), f"{each.seconds:g}", each.owner, each.said


def _trace(each: TraceLine) -> Sequence[RenderableType]:
    failed = Text(f"{each.errors} failed" if each.errors else "", style="red")
    return each.trace, each.name, _ago(each.ago_s), f"{each.seconds:g}", str(each.spans), failed


def _endpoint(view: EndpointView) -> Iterable[Sequence[RenderableType]]:
    for place, each in enumerate(view.versions):
        name = "" if place else view.endpoint.removeprefix("endpoint:")
        times = f"{each.p50_ms:.0f}/{each.p99_ms:.0f}" if each.p50_ms is not None and each.p99_ms is not None else ""
        said = [f"{each.errors} failed"] * bool(each.errors) + [f"{each.restarts} restarts"] * bool(each.restarts)
        yield (name, _coloured(each.state), each.bento.removeprefix("bento:"), _share(each), str(each.requests), times,
               str(each.memory_mb), Text(", ".join(said), style="red"))  # fmt: skip


def _share(version: Version) -> str:
    return "shadow" if version.shadow else str(version.percent)


def _coloured(state: str, text: str = "") -> Text:
    return Text(legible(text or state), style=COLOURS.get(state, ""))


def _ago(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.0f} h"
