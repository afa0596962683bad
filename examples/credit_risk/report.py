"""What a person sees of the demo: a line per step while it runs, and a summary at the end."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from .agent import Findings
from .session import Progress as Report
from .session import Session

TITLE_WIDTH = 26
SHOWN_FEATURES = 8


class Board:
    """Live progress; finished steps stay above it as plain lines, also when the output is a file."""

    def __init__(self, steps: int) -> None:
        self._console = Console(highlight=False)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[message]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._overall = self._progress.add_task("all steps".ljust(TITLE_WIDTH), total=steps, message="")
        self._step = self._progress.add_task("", total=None, message="", visible=False)
        self._began = time.monotonic()

    def __enter__(self) -> Board:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def start(self, title: str) -> Report:
        """Show a step as running; the returned function takes its progress."""
        self._began = time.monotonic()
        self._progress.reset(self._step, total=None, visible=True, description=title.ljust(TITLE_WIDTH), message="")

        def report(done: float, total: float | None, message: str | None) -> None:
            self._progress.update(self._step, completed=done, total=total, message=message or "")

        return report

    def finish(self, title: str, finding: str) -> None:
        took = time.monotonic() - self._began
        self._console.print(f"[green]✓[/green] {title.ljust(TITLE_WIDTH)} [dim]{took:5.1f} s[/dim]  {finding}")
        self._progress.advance(self._overall)

    def fail(self, title: str, error: str) -> None:
        self._console.print(f"[red]✗[/red] {title.ljust(TITLE_WIDTH)} ", Text(error))


def summary(found: Findings, home: Path, session: Session, seconds: float, keep: bool) -> None:
    """Scores, reasons, handles, places and commands."""
    console = Console(highlight=False)
    picture = home / "beeswarm.png"
    picture.write_bytes(found.results["picture"])
    console.print()
    console.print(Panel(Text(found.results["tree"]), title=f"trace:{session.trace_id}", title_align="left"))
    console.print(_scores(found), "", _reasons(found), "", _handles(found))
    console.print(Panel(_places(found, home, picture, keep), title="where things lie", title_align="left"))
    console.print(f"[bold]{session.calls} tool calls in {seconds:.0f} s.[/bold]")


def _scores(found: Findings) -> Table:
    result = found.results["evaluation"]
    table = Table("metric on test", "XGBoost", "dummy", title="Scores", title_justify="left")
    for name, value in result["metrics"].items():
        table.add_row(name, _score(value), _score(result["baseline_metrics"][name]))
    return table


def _score(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _reasons(found: Findings) -> Table:
    table = Table("feature", "share of |SHAP|", "", title="Top features", title_justify="left")
    for item in found.results["importances"][:SHOWN_FEATURES]:
        table.add_row(item["feature"], f"{item['share']:.1%}", "█" * round(40 * item["share"]))
    return table


def _handles(found: Findings) -> Table:
    table = Table("what", "handle", title="Made on the way", title_justify="left")
    for name, handle in found.handles.items():
        table.add_row(name, handle)
    return table


def _places(found: Findings, home: Path, picture: Path, keep: bool) -> Group:
    tools = Path(sys.executable).parent
    lines = [
        f"state folder     {home}",
        f"SHAP picture     {picture}",
        f"MLflow UI        {tools / 'mlflow'} ui --backend-store-uri sqlite:///{home / 'mlflow.db'}",
        f"serve these      {tools / 'mlops-mcp'} --home {home} serve",
    ]
    if keep:
        lines.append(f"endpoint         {found.results['url']} (stop it with the tool stop_endpoint)")
    return Group(*(Text(line, overflow="fold") for line in lines))
