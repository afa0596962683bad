"""Put what was exported where it is served, and take it away there."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import ToolFailure
from ...runtime.work import Work
from ...undo import call
from . import cluster
from .answers import Applied, ApplyRequest, Platform
from .exporting import MANIFESTS, find_export

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
    done = change(settings, folder / MANIFESTS)
    back = call("apply_deployment", export=handle, withdraw=None if request.withdraw else True)
    return Applied(
        export=handle,
        withdrawn=request.withdraw,
        context=settings.context,
        namespace=settings.namespace,
        objects=done,
        notes=_notes(request, done),
        undo=back if done else None,
    )


def _notes(request: ApplyRequest, done: list[str]) -> list[str]:
    if request.withdraw:
        return [] if done else ["nothing of it was there"]
    return ["pods start once their Secret and images are there; the commands of the export make them"]
