"""The store of bentos: find one, or build one from a model (BentoML)."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import cast

import yaml

from .. import modeling
from ..errors import NeedsChoice, ToolFailure, Unavailable, require, unknown
from ..handles import check_name, parse, slug
from ..modeling import sealed
from ..modeling.card import CARD_FILE, GRAPH, PYFUNC, ModelCard, digest, file_of
from ..modeling.opened.admitted import TRUSTED
from ..modeling.store import REQUIREMENTS, StoredModel, find_model, load_pipeline, open_file
from ..runtime.work import Work
from ..undo import call
from .building import Source, build
from .marks import SPEC_FILE
from .models import PackageRequest, ServiceSpec

BENTO_FILE, BUILD_FILE = "bento.yaml", "bentofile.yaml"
OF_MODELING = ("graph.py", "pyfunc.py")
BESIDE = ("rows.py", "guard.py", "answerlog.py", "lean.py", *OF_MODELING)
CODE = {"service.py": "service.py.txt"} | {name: name for name in BESIDE}
# What its service imports beside the libraries of all.
NEEDED = {GRAPH: ("onnxruntime",), PYFUNC: ("mlflow",)}
VERSION = re.compile(r"[a-z0-9]([a-z0-9_.-]{0,61}[a-z0-9])?")
VERSION_LENGTH = 12


@dataclass(frozen=True)
class Bento:
    """A built bento of ours."""

    spec: ServiceSpec
    folder: Path

    @property
    def tag(self) -> str:
        return f"{self.spec.name}:{self.spec.version}"

    @property
    def handle(self) -> str:
        return f"bento:{self.tag}"


def find_bento(work: Work, text: str) -> Bento:
    """The bento behind `bento:<name>:<version>`, or behind its name if it has one version.

    Raises:
        ToolFailure: nothing of that name, several versions of it, or a bento that was not packaged here.
    """
    name, _, wanted = str(parse(text.lower(), "bento").name).partition(":")
    tags = _tags(work)
    versions = [tag.partition(":")[2] for tag in tags if tag.partition(":")[0] == name]
    if not versions or (wanted and wanted not in versions):
        raise unknown("bento", text, (f"bento:{tag}" for tag in tags), "package_model makes one.")
    if not wanted and len(versions) > 1:
        choices = [f"bento:{name}:{each}" for each in versions]
        hint = f"Pass one of {', '.join(choices[:8])}."
        raise NeedsChoice(f"{text!r} has {len(versions)} versions", hint, text, choices)
    folder = _bentos(work) / name / (wanted or versions[0])
    if (found := packaged_in(folder)) is None:
        raise ToolFailure(f"{text} was not packaged by this server", "Package its model with package_model.")
    return found


def packaged(work: Work) -> list[Bento]:
    """All bentos of ours."""
    folders = (_bentos(work).joinpath(*tag.split(":")) for tag in _tags(work))
    return [found for folder in folders if (found := packaged_in(folder))]


def model_folder(work: Work, spec: ServiceSpec) -> Path:
    """The copy of its model in BentoML's store, which bentos of the same model share."""
    return work.settings.bentoml_home.joinpath("models", *spec.model_tag.split(":"))


def require_whole(work: Work, bento: Bento) -> None:
    """Look at what is about to be run: the code around the model, and the model as at any other file.

    Raises:
        ToolFailure: it is not what this version packages, or not a model that is opened here.
    """
    if damage := damage_of(work, bento):
        again = call("package_model", model=bento.spec.model_handle, name=bento.spec.name)
        raise ToolFailure(damage, f"Package it again: {again}")
    file, note = (model_folder(work, bento.spec) / name for name in (bento.spec.file, CARD_FILE))
    card = ModelCard.model_validate_json(note.read_bytes())
    if file_of(card) != bento.spec.file:
        raise ToolFailure(f"the card of {bento.handle} is about another file", "Package its model again.")
    open_file(file, card, bento.handle, sealed.holds(work.home, file, card.seal))


def damage_of(work: Work, bento: Bento) -> str:
    """What of a bento is something else than what would be packaged now, empty if nothing is."""
    if not _is_our_code(bento):
        return f"the code of {bento.handle} is not what this version packages"
    file, card = (model_folder(work, bento.spec) / name for name in (bento.spec.file, CARD_FILE))
    whole = file.is_file() and card.is_file() and digest(file) == bento.spec.sha256
    return "" if whole else f"the model file of {bento.handle} is not the one that was packaged"


def _is_our_code(bento: Bento) -> bool:
    """Whether running it runs our service and nothing else; what Python has compiled of it is compiled again."""
    folder = bento.folder / "src"
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    expected = {_written_as(name, bento.spec): _code(source) for name, source in CODE.items()}
    found = {each.name for each in folder.iterdir()} - {SPEC_FILE, BUILD_FILE}
    return (
        found == expected.keys()
        and _what_runs(bento) == f"{_module(bento.spec)}:Predictor"
        and all((folder / name).read_bytes() == code.encode() for name, code in expected.items())
    )


def _what_runs(bento: Bento) -> object:
    try:
        content = yaml.safe_load((bento.folder / BENTO_FILE).read_bytes())
    except yaml.YAMLError:
        return None
    return cast("dict[str, object]", content).get("service") if isinstance(content, dict) else None


def packaged_in(folder: Path) -> Bento | None:
    spec = folder / "src" / SPEC_FILE
    if not spec.is_file() or not (folder / BENTO_FILE).is_file():
        return None
    return Bento(ServiceSpec.model_validate_json(spec.read_bytes()), folder)


@dataclass(frozen=True)
class Made:
    """A bento of a model, whose handle is the one that was asked for; `built` if it was not there before."""

    bento: Bento
    model: str
    built: bool


def make_bento(work: Work, request: PackageRequest) -> Made:
    """Build the bento of a model, unless it is there.

    Without a version it is named by its content, so the same model is the same bento.
    """
    if request.name:
        _check_name(request.name)
    require_bentoml(work)
    model = find_model(work, request.model)
    load_pipeline(model)
    spec = _spec(model, request)
    _require_free(work, spec)
    folder = _bentos(work) / spec.name / spec.version
    if (found := packaged_in(folder)) and not damage_of(work, found):
        return Made(found, model.handle, built=False)
    files = {_written_as(name, spec): _code(source) for name, source in CODE.items()}
    build(work, model, spec, Source(_module(spec), files))
    return Made(find_bento(work, f"{spec.name}:{spec.version}"), model.handle, built=True)


def require_bentoml(work: Work) -> None:
    """Look whether BentoML and its folder can be used, before the slow parts begin.

    Raises:
        NotInstalled: the library is missing.
        Unavailable: the folder cannot be written.
    """
    require("bentoml")
    home = work.settings.bentoml_home
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise Unavailable(
            f"the BentoML folder {home} cannot be written: {error.strerror}", "Change bentoml.home (BENTOML_HOME)."
        ) from error


def _spec(model: StoredModel, request: PackageRequest) -> ServiceSpec:
    name = _check_name(request.name or _default_name(model))
    if request.version and not VERSION.fullmatch(request.version.lower()):
        raise ToolFailure(
            f"{request.version!r} cannot be a version",
            "Use letters, digits, '_', '.' and '-' between letters or digits.",
        )
    spec = ServiceSpec(
        name=name,
        model_handle=model.handle,
        model_uri=model.uri,
        model_tag=f"{name}:{model.card.digest[:VERSION_LENGTH]}",
        sha256=model.card.digest,
        file=file_of(model.card),
        algorithm=model.card.algorithm,
        task=model.card.task,
        target=model.card.target,
        features=model.card.features,
        classes=model.card.classes,
        seen=model.card.seen,
        trusted=list(TRUSTED),
        packages=_packages(model.card),
        batchable=request.batchable,
    )
    content = _content(spec)
    return spec.model_copy(update={"content": content, "version": request.version.lower() or content})


def _check_name(name: str) -> str:
    if not check_name(name, "bento")[-1].isalnum():
        raise ToolFailure(f"{name!r} cannot name a bento", "End it with a letter or a digit.")
    return name


def _default_name(model: StoredModel) -> str:
    if model.handle.startswith("model:"):
        return slug(parse(model.handle, "model").name)
    return slug(f"{model.card.target}_{model.card.algorithm}")


def _content(spec: ServiceSpec) -> str:
    """A digest of everything that goes into the bento; which handle led to the model does not matter."""
    parts = [spec.model_dump_json(exclude={"model_handle"}), *(_code(source) for source in CODE.values())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:VERSION_LENGTH]


def _require_free(work: Work, spec: ServiceSpec) -> None:
    if not (_bentos(work) / spec.name / spec.version / BENTO_FILE).is_file():
        return
    found = find_bento(work, f"{spec.name}:{spec.version}")
    if found.spec.content != spec.content:
        raise ToolFailure(
            f"{found.handle} exists and holds {found.spec.model_handle}, or was built with other options or packages",
            f"Leave `version` out (it would be {spec.content}), or choose another.",
        )


def _packages(card: ModelCard) -> list[str]:
    pins: list[str] = []
    for name in ("bentoml", *REQUIREMENTS, *NEEDED.get(card.algorithm, ())):
        try:
            pins.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return pins


def _bentos(work: Work) -> Path:
    return work.settings.bentoml_home / "bentos"


def _tags(work: Work) -> list[str]:
    return sorted(f"{file.parent.parent.name}:{file.parent.name}" for file in _bentos(work).glob(f"*/*/{BENTO_FILE}"))


def _module(spec: ServiceSpec) -> str:
    return f"service_{spec.content}"


def _written_as(name: str, spec: ServiceSpec) -> str:
    return f"{_module(spec)}.py" if name == "service.py" else name


def _code(name: str) -> str:
    package = modeling.__name__ if name in OF_MODELING else __package__ or ""
    return files(package).joinpath(name).read_text(encoding="utf-8")
