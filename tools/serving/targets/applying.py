"""Put what was exported where it is served, and take it away there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...errors import ToolFailure
from ...runtime.work import Work
from ...undo import call
from . import cluster
from .answers import Applied, ApplyRequest, Platform
from .cluster import Change
from .exporting import INDEX, MANIFESTS, exports, find_export

ELSEWHERE: Mapping[Platform, str] = {
    "docker": "images are built by an engine of yours",
    "bentocloud": "who deploys to BentoCloud is who has logged in there",
}


def apply_deployment(work: Work, request: ApplyRequest) -> Applied:
    """Apply an export to the cluster of the settings, where it changes what is there, or delete it there.

    Raises:
        ToolFailure: no cluster is configured, it refuses, or the export is not for one.
    """
    folder, index = find_export(work, request.export)
    if refusal := ELSEWHERE.get(index.platform):
        raise ToolFailure(refusal, "Run the commands that export_deployment told.")
    handle, settings = f"export:{folder.name}", work.settings.kubernetes
    change = cluster.withdraw if request.withdraw else cluster.apply
    done = change(settings, folder / MANIFESTS, folder.name)
    return Applied(
        export=handle,
        withdrawn=request.withdraw,
        context=settings.context,
        namespace=_namespace(folder),
        objects=done.done,
        notes=_notes(request, done),
        undo=_undo(work, request, folder.name, done),
    )


def _namespace(folder: Path) -> str:
    """Where it was exported for, whatever the settings say by now."""
    return str(cluster.manifests_of(folder / MANIFESTS)[0]["metadata"]["namespace"])


def _undo(work: Work, request: ApplyRequest, export: str, done: Change) -> str | None:
    """What brings back what served before: to withdraw what has replaced it would leave nothing that does."""
    if request.withdraw or done.new:
        back = call("apply_deployment", export=f"export:{export}", withdraw=None if request.withdraw else True)
        return back if done.done else None
    before = next((each for each in done.before if each != export and each), "")
    known = bool(before) and (exports(work) / before / INDEX).is_file()
    return call("apply_deployment", export=f"export:{before}") if known else None


def _notes(request: ApplyRequest, done: Change) -> list[str]:
    if not request.withdraw:
        return ["pods start once their Secret and images are there; the commands of the export make them"]
    if done.left:
        return [f"{', '.join(done.left)} stays: it is not of this export"]
    return [] if done.done else ["nothing of it was there"]
