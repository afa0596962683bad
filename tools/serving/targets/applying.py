"""Put what was exported where it is served, look at it there, and take it away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ...errors import ToolFailure
from ...runtime.work import Work
from ...undo import call
from . import bentocloud, cluster
from .answers import Applied, ApplyRequest, Platform, Standing
from .change import Change
from .exporting import INDEX, MANIFESTS, exports, find_export

Action = Callable[[Work, Path, str], Change]
BY_HAND = "images are built by an engine of yours"


def _of_cluster(action: Callable[..., Change]) -> Action:
    return lambda work, folder, export: action(work.settings.kubernetes, folder / MANIFESTS, export)


# Of each platform that exports are applied to.
APPLY: Mapping[Platform, Action] = {"kubernetes": _of_cluster(cluster.apply), "bentocloud": bentocloud.apply}
WITHDRAW: Mapping[Platform, Action] = {"kubernetes": _of_cluster(cluster.withdraw), "bentocloud": bentocloud.withdraw}
LOOK: Mapping[Platform, Action] = {"kubernetes": _of_cluster(cluster.look), "bentocloud": bentocloud.look}
NOTES: Mapping[Platform, str] = {
    "kubernetes": "pods start once their Secret and images are there; the commands of the export make them",
    "bentocloud": "BentoCloud builds the image first; get_deployment tells how far it is",
}


def apply_deployment(work: Work, request: ApplyRequest) -> Applied:
    """Apply an export to the cluster or account of the settings, where it changes what is there, or take it away there.

    Raises:
        ToolFailure: none is configured, it refuses, or the export is not for one.
    """
    folder, platform = _found(work, request.export)
    done = (WITHDRAW if request.withdraw else APPLY)[platform](work, folder, folder.name)
    return Applied(
        export=f"export:{folder.name}",
        withdrawn=request.withdraw,
        context=done.seen.context,
        namespace=done.seen.namespace,
        objects=done.done,
        state=done.seen.state or None,
        urls=done.seen.urls,
        notes=_notes(request, platform, done),
        undo=_undo(work, request, folder.name, done),
    )


def get_deployment(work: Work, export: str) -> Standing:
    """What is there of an export. Raises as `apply_deployment` does."""
    folder, platform = _found(work, export)
    found = LOOK[platform](work, folder, folder.name)
    return Standing(
        export=f"export:{folder.name}",
        platform=platform,
        context=found.seen.context,
        namespace=found.seen.namespace,
        state=found.seen.state,
        urls=found.seen.urls,
        objects=found.done,
        notes=_of_others(found),
    )


def _found(work: Work, export: str) -> tuple[Path, Platform]:
    folder, index = find_export(work, export)
    if index.platform not in LOOK:
        raise ToolFailure(BY_HAND, "Run the commands that export_deployment told.")
    return folder, index.platform


def _undo(work: Work, request: ApplyRequest, export: str, done: Change) -> str | None:
    """What brings back what served before: to withdraw what has replaced it would leave nothing that does."""
    if request.withdraw or done.new:
        back = call("apply_deployment", export=f"export:{export}", withdraw=None if request.withdraw else True)
        return back if done.done else None
    before = next((each for each in done.before if each != export and each), "")
    known = bool(before) and (exports(work) / before / INDEX).is_file()
    return call("apply_deployment", export=f"export:{before}") if known else None


def _notes(request: ApplyRequest, platform: Platform, done: Change) -> list[str]:
    if not request.withdraw:
        return [NOTES[platform]]
    return _of_others(done) or ([] if done.done else ["nothing of it was there"])


def _of_others(done: Change) -> list[str]:
    return [f"{', '.join(done.left)} stays: it is not of this export"] if done.left else []
