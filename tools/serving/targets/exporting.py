"""Write a folder from which others serve: the context of an image for each bento, and manifests of a cluster."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

import yaml
from pydantic import JsonValue, ValidationError

from ....config.backends import KubernetesSettings
from ...errors import ToolFailure, unknown
from ...handles import check_name, parse
from ...lineage import Lineage
from ...modeling.card import PYFUNC, digest
from ...removal import files_in
from ...runtime.work import Work
from ...storage.state_files import private_folder
from ...undo import deletes
from ..bentos import Bento, require_bentoml, require_whole
from ..client import bento_of
from ..planning import size
from . import names
from .answers import Exported, ExportedFile, ExportRequest, Manifest, Platform
from .bentocloud import CONFIGURATION as CLOUD
from .cloud import configuration
from .image import write_context
from .manifests import Version, manifests, secret_of

# kubectl reads every file of the folder that it is given, so manifests have one of their own.
CONTEXTS, MANIFESTS, INDEX = "images", "manifests", "export.json"
# For these images are built by others; BentoCloud builds its own.
IMAGES: tuple[Platform, ...] = ("docker", "kubernetes")
MARK = 12


def exports(work: Work) -> Path:
    return work.home / "exports"


def export_deployment(work: Work, request: ExportRequest) -> Exported:
    """Write it all, unless it is there: a folder is called after what it holds.

    Raises:
        ToolFailure: the percentages do not add up, or a bento is not what was packaged.
    """
    name = check_name(request.name, "deployment")
    _require_whole_traffic(request)
    require_bentoml(work)
    bentos = [bento_of(work, text)[0] for text in request.traffic]
    if len({each.handle for each in bentos}) < len(bentos):
        raise ToolFailure("a bento stands twice in traffic", "Give each one its share once.")
    for each in bentos:
        require_whole(work, each)
        _require_known(each)
    shares = zip(bentos, request.traffic.values(), strict=True)
    versions = [_version(work, request, each, percent) for each, percent in shares]
    folder, made = _written(work, request, name, bentos, versions)
    handle = f"export:{folder.name}"
    Lineage(work.home).record(handle, [each.handle for each in bentos], "export_deployment")
    return _told(work, Manifest.model_validate_json((folder / INDEX).read_bytes()), folder, made)


def find_export(work: Work, text: str) -> tuple[Path, Manifest]:
    """The folder of an export, and what it holds.

    Raises:
        ToolFailure: there is none of that name, or a file of it is not what was exported.
    """
    name = parse(text, "export").name
    folder = exports(work) / name
    if not (folder / INDEX).is_file():
        known = (f"export:{each.parent.name}" for each in sorted(exports(work).glob(f"[!.]*/{INDEX}")))
        raise unknown("export", text, known, "export_deployment makes one.")
    if wrong := changed(folder):
        raise ToolFailure(f"{wrong} of {text} is not what was exported", "Export it again: it is then written anew.")
    return folder, Manifest.model_validate_json((folder / INDEX).read_bytes())


def changed(folder: Path) -> str:
    """A file that is not as it was listed, or is listed nowhere; empty if there is none."""
    try:
        index = Manifest.model_validate_json((folder / INDEX).read_bytes())
    except (OSError, ValidationError):
        return INDEX
    listed = {each.path: each.sha256 for each in index.files}
    found = {path.relative_to(folder).as_posix(): path for path in files_in([folder]) if path != folder / INDEX}
    wrong = (path for path in listed.keys() | found.keys() if path not in found or path not in listed)
    return next(wrong, "") or next((path for path in listed if digest(found[path]) != listed[path]), "")


def _require_known(bento: Bento) -> None:
    """Code of others needs what its maker had, and is held by nothing of ours where it goes."""
    if bento.spec.algorithm == PYFUNC:
        raise ToolFailure(
            f"{bento.handle} runs code of its maker, so it is deployed on this machine alone, where it is confined",
            "deploy_model without a target does that; or train a model with train_model.",
        )


def _require_whole_traffic(request: ExportRequest) -> None:
    if not request.traffic:
        raise ToolFailure("traffic is empty", "Pass {bento: 100}; package_model makes a bento.")
    if (total := sum(request.traffic.values())) != 100:
        raise ToolFailure(f"the shares of traffic add up to {total}", "They have to add up to 100.")


def _version(work: Work, request: ExportRequest, bento: Bento, percent: int) -> Version:
    spec = bento.spec
    return Version(
        name=request.name,
        namespace=work.settings.kubernetes.namespace,
        bento=bento.handle,
        model=spec.model_uri,
        version=spec.version,
        image=names.image(work.settings.kubernetes.registry, spec.name, spec.version),
        percent=percent,
        replicas=request.replicas,
        cpu=request.resources.cpu,
        memory=size(request.resources.memory),
    )


def _written(
    work: Work, request: ExportRequest, name: str, bentos: list[Bento], versions: list[Version]
) -> tuple[Path, bool]:
    """The folder, and whether it was made now. What another call writes at the same time is the same."""
    private_folder(exports(work))
    building = exports(work) / f".{uuid.uuid4().hex}"
    try:
        _fill(work, request, name, building, bentos, versions)
        content = hashlib.sha256((building / INDEX).read_bytes()).hexdigest()[:MARK]
        folder = exports(work) / f"{name}-{request.platform}-{content}"
        if folder.is_dir() and not changed(folder):
            return folder, False
        shutil.rmtree(folder, ignore_errors=True)
        return folder, _placed(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _placed(building: Path, folder: Path) -> bool:
    """Give a folder its name; false if another call that wrote the same was faster."""
    try:
        os.rename(building, folder)
    except OSError:
        if not folder.is_dir():
            raise
        return False
    return True


def _fill(
    work: Work, request: ExportRequest, name: str, folder: Path, bentos: list[Bento], versions: list[Version]
) -> None:
    folder.mkdir(mode=0o700)
    for bento in bentos if request.platform in IMAGES else ():
        write_context(work, bento, folder / CONTEXTS / names.versioned(bento.spec.name, bento.spec.version))
    for path, content in _documents(work.settings.kubernetes, request.platform, versions).items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    index = Manifest(
        platform=request.platform,
        name=name,
        traffic={each.bento: each.percent for each in versions},
        images={each.bento: each.image for each in versions if request.platform in IMAGES},
        files=[_file(folder, each) for each in sorted(files_in([folder]))],
    )
    (folder / INDEX).write_text(index.model_dump_json(indent=1), encoding="utf-8")


def _documents(
    settings: KubernetesSettings, platform: Platform, versions: list[Version]
) -> dict[str, dict[str, JsonValue]]:
    """What the platform is told, by path in the folder."""
    if platform == "bentocloud":
        return {CLOUD: configuration(versions)}
    found = manifests(settings, versions) if platform == "kubernetes" else {}
    return {f"{MANIFESTS}/{name}": content for name, content in found.items()}


def _file(folder: Path, path: Path) -> ExportedFile:
    return ExportedFile(path=path.relative_to(folder).as_posix(), sha256=digest(path), bytes=path.stat().st_size)


def _told(work: Work, index: Manifest, folder: Path, made: bool) -> Exported:
    handle = f"export:{folder.name}"
    shown = [each for each in index.files if not each.path.startswith(f"{CONTEXTS}/") or _is_dockerfile(each.path)]
    return Exported(
        export=handle,
        platform=index.platform,
        folder=str(folder),
        traffic=index.traffic,
        images=index.images,
        files=shown,
        commands=[*_building(folder, index), *_applying(work, folder, index)],
        made=made,
        notes=_notes(work, index, made),
        undo=deletes(handle) if made else None,
    )


def _is_dockerfile(path: str) -> bool:
    return path.count("/") == 2 and path.endswith("/Dockerfile")


def _building(folder: Path, index: Manifest) -> Iterator[str]:
    for bento, image in index.images.items():
        name, _, version = bento.removeprefix("bento:").partition(":")
        context = folder / CONTEXTS / names.versioned(name, version)
        yield f"docker build --tag {image} {quote(str(context))}"
        if "/" in image:
            yield f"docker push {image}"


def _applying(work: Work, folder: Path, index: Manifest) -> Iterator[str]:
    if index.platform == "bentocloud":
        home = f"BENTOML_HOME={quote(str(work.settings.bentoml_home))} bentoml"
        # Canaries too: `apply` pushes the bento of the deployment alone.
        yield from (f"{home} push {bento.removeprefix('bento:')}" for bento in index.traffic)
        yield f"{home} deployment apply --config-file {quote(str(folder / CLOUD))}"
    if index.platform != "kubernetes":
        return
    settings = work.settings.kubernetes
    kubectl = f"kubectl{f' --context {quote(settings.context)}' if settings.context else ''} -n {settings.namespace}"
    sealed = '"$(printf %s "$TOKEN" | sha256sum | cut -d" " -f1)"'
    yield f"{kubectl} create secret generic {secret_of(index.name)} --from-literal=sha256={sealed}"
    yield f"{kubectl} apply --server-side -f {quote(str(folder / MANIFESTS))}"


def _notes(work: Work, index: Manifest, made: bool) -> list[str]:
    notes = [] if made else ["this was exported before; nothing was written"]
    if index.platform == "bentocloud":
        login = "`bentoml cloud login`, or BENTO_CLOUD_API_KEY and BENTO_CLOUD_API_ENDPOINT"
        own = "" if work.settings.bentocloud.api_key.get_secret_value() else "; so does apply_deployment the latter"
        return [*notes, f"the commands need {login}{own}"]
    if index.platform == "docker":
        return [*notes, "the services ask for no token unless MLOPS_ENDPOINT_TOKEN_SHA256 holds the SHA-256 of one"]
    if not work.settings.kubernetes.registry:
        notes.append("kubernetes.registry is not set: the images have no registry that a cluster could pull from")
    if not work.settings.kubernetes.gateway:
        notes.append("kubernetes.gateway is not set: there is no route, so nothing shares the calls by these weights")
    return notes
