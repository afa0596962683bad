"""How bentos go, and endpoints with what runs there."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from ..locks import locked
from ..removal import Found, Hold, Leftover, Removal, Remover, erase, files_in, kept, set_aside, written
from ..runtime.work import Work
from ..undo import call
from . import endpoints
from .bentos import Bento, find_bento, model_folder, packaged
from .building import LATEST, PATIENCE_S
from .client import stop_endpoint
from .models import EndpointFile
from .targets.exporting import exports


def find(work: Work, text: str) -> Found:
    """A bento, and the copy of its model unless another bento has the same."""
    bento = find_bento(work, text)
    return Found((bento.handle,), (bento.folder, *_model(work, bento)))


def remove(work: Work, found: Found) -> None:
    """By ourselves: `bentoml.bentos.delete` takes the files away one by one, so that a crash leaves half a bento."""
    folder, *model = found.paths
    with locked(work.settings.bentoml_home / "build.lock", PATIENCE_S, "a bento is being built"):
        erase(work.settings, [set_aside(found, folder, folder.parent.parent)])
        for each in (folder, *model):
            _tidy(work, each.parent, each.name)
            erase(work.settings, [each])


def find_endpoint(work: Work, text: str) -> Found:
    try:
        state = endpoints.read(work, text)
    except endpoints.Damaged:
        name = endpoints.endpoint_name(text)
        return Found((f"endpoint:{name}",), notes=("its file is damaged; whatever runs there ends",))
    bentos = [each.bento for each in state.deployments]
    return Found((f"endpoint:{state.endpoint}",), notes=tuple(f"{bento} ends there" for bento in bentos))


def remove_endpoint(work: Work, found: Found) -> None:
    """Who names an endpoint means what runs there."""
    stop_endpoint(work, found.handles[0])


def holds(work: Work, _handles: Collection[str]) -> Iterator[Hold]:
    """What an endpoint serves: the bento, and the model that it was packaged from."""
    for name in endpoints.names(work):
        if endpoints.exists(work, name):
            yield from _held(work, endpoints.read(work, name))


def leftovers(work: Work) -> Iterator[Leftover]:
    """Copies of models that no bento has, and folders of endpoints that are gone."""
    used = {model_folder(work, bento.spec) for bento in packaged(work)}
    for folder in sorted((work.settings.bentoml_home / "models").glob("*/[!l]*")):
        if folder.is_dir() and folder not in used:
            yield Leftover("copy of a model", folder.name, (folder,), written(files_in([folder])))
    for folder in sorted(endpoints.folders(work)):
        if not endpoints.exists(work, folder.name):
            yield Leftover("folder of an endpoint", folder.name, (folder,), written(files_in([folder])))


def _held(work: Work, state: EndpointFile) -> Iterator[Hold]:
    by = f"endpoint:{state.endpoint}"
    models = {bento.handle: (bento.spec.model_handle, bento.spec.model_uri) for bento in packaged(work)}
    for each in state.deployments:
        for handle in {each.bento, each.model, *models.get(each.bento, ())} - {""}:
            yield Hold(handle, by, call("stop_endpoint", endpoint=by))


def _model(work: Work, bento: Bento) -> tuple[Path, ...]:
    folder = model_folder(work, bento.spec)
    shared = any(model_folder(work, other.spec) == folder for other in packaged(work) if other.tag != bento.tag)
    return (folder,) if folder.is_dir() and not shared else ()


def _tidy(work: Work, parent: Path, version: str) -> None:
    """BentoML notes the newest version of a name beside its versions."""
    if not parent.is_dir():
        return
    left = sorted((each for each in parent.iterdir() if each.is_dir() and each.name != version), key=_changed)
    latest = parent / LATEST
    if not left:
        erase(work.settings, [parent])
    elif latest.is_file() and latest.read_text(encoding="utf-8").strip() == version:
        latest.write_text(left[-1].name, encoding="utf-8")


def _changed(folder: Path) -> float:
    return folder.stat().st_mtime


EXPORT = kept("export", exports, "export_deployment makes one.")
REMOVAL = Removal(
    removers={"bento": Remover(find, remove), "endpoint": Remover(find_endpoint, remove_endpoint), "export": EXPORT},
    holds=holds,
    leftovers=leftovers,
)
