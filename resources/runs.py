"""Experiments and runs as Markdown cards."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from ..tools.legible import legible
from ..tools.runtime.work import Work
from ..tools.tracking import client as tracking
from ..tools.tracking.models import Run, RunLine

RECENT = 20
ESCAPED = str.maketrans({mark: f"\\{mark}" for mark in "\\|`<["})
LISTED = 100


def experiments(work: Work) -> dict[str, str]:
    """Name -> id, the newest first."""
    return tracking.experiment_ids(work)


def experiments_card(known: Mapping[str, str]) -> str:
    """The experiments by name, in their order."""
    lines = [f"- **{cell(name)}** (id {identity})" for name, identity in islice(known.items(), LISTED)]
    if len(known) > LISTED:
        lines.append(f"\n{len(known) - LISTED} more are left out.")
    return "\n".join(["# Experiments", "", *(lines or ["None yet. `start_run` or `train_model` makes one."])])


def run_card(work: Work, run_id: str) -> str:
    return _run(tracking.get_run(work, run_id))


def recent_runs(work: Work, prefix: str) -> list[str]:
    """Run ids that start with the prefix, newest first; for completion."""
    found: list[RunLine] = tracking.search_runs(work, "", "", "", 100, "").items
    ids = [line.run.removeprefix("run:") for line in found]
    return [identity for identity in ids if identity.startswith(prefix)][:RECENT]


def _run(run: Run) -> str:
    took = f"{run.duration_s:.1f} s" if run.duration_s is not None else "running"
    parts = [
        f"# Run {cell(run.name or run.run)}",
        f"`{run.run}` in experiment **{cell(run.experiment)}**: {run.status}, {took}, started {run.started}",
        "\n".join(f"- {cell(note)}" for note in run.notes),
        _table("Metrics", {name: f"{value:.6g}" for name, value in run.metrics.items()}),
        _table("Params", run.params),
        _table("Tags", run.tags),
        "\n".join(["## Models", *(f"- {cell(model)}" for model in run.models)]) if run.models else "",
        f"Artifacts: {cell(run.artifact_uri)}",
        f"Left out: {run.omitted}." if run.omitted else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _table(title: str, rows: dict[str, str]) -> str:
    if not rows:
        return ""
    body = [f"| {cell(name)} | {cell(value)} |" for name, value in rows.items()]
    return "\n".join([f"## {title}", "| name | value |", "|---|---|", *body])


def cell(value: object) -> str:
    """Text that cannot break out of its line or a table cell, and links to nothing."""
    return " ".join(legible(str(value)).translate(ESCAPED).split())
