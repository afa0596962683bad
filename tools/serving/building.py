"""A bento in the making (BentoML): it is built aside and takes its place in one step, so that no half of one is left.

BentoML writes into its store piece by piece; whoever is killed meanwhile leaves a folder of that name.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..distributions import PROJECT
from ..errors import ToolFailure
from ..legible import legible
from ..locks import Busy, locked
from ..modeling.card import CARD_FILE, digest
from ..modeling.store import StoredModel
from ..runtime.work import Work
from ..storage.state_files import private_folder
from .marks import SPEC_FILE
from .models import ServiceSpec

PATIENCE_S = 120.0
MODEL_NOTE, LATEST = "model.yaml", "latest"


@dataclass(frozen=True)
class Source:
    """The code of a service: its files by name, and the module that holds `Predictor`."""

    module: str
    files: Mapping[str, str]


def build(work: Work, model: StoredModel, spec: ServiceSpec, source: Source) -> None:
    """Put a bento and its model into the stores, in place of what has their names."""
    with locked(_lock(work), PATIENCE_S, "another bento is being built"), _aside(work) as aside:
        with work.tracer.span("store model", tag=spec.model_tag):
            _store_model(work, model, spec, aside)
        with work.tracer.span("build bento", tag=f"{spec.name}:{spec.version}"):
            _build(work, spec, source, aside)


def forget_unfinished_build(work: Work) -> None:
    """Take away what a build that did not come to its end has left, unless another one is under way."""
    with suppress(Busy), locked(_lock(work), 0, "a bento is being built"):
        shutil.rmtree(_folder(work), ignore_errors=True)


def _store_model(work: Work, model: StoredModel, spec: ServiceSpec, aside: Path) -> None:
    """Copy the model into BentoML's store, replacing a copy that is not the original, or only half of it."""
    import bentoml
    from bentoml._internal.models import ModelStore

    place = work.settings.bentoml_home.joinpath("models", *spec.model_tag.split(":"))
    file = place / spec.file
    if (place / MODEL_NOTE).is_file() and file.is_file() and digest(file) == spec.sha256:
        return
    metadata = {"sha256": spec.sha256, "model": spec.model_uri, "algorithm": spec.algorithm}
    store = ModelStore(private_folder(aside / "models"))
    labels = {"algorithm": spec.algorithm, "made_by": PROJECT}
    with bentoml.models.create(spec.model_tag, labels=labels, metadata=metadata, _model_store=store) as made:
        for name in (spec.file, CARD_FILE):
            shutil.copy(model.folder / name, made.path_of(name))
    _take_place(aside / "models", place)


def _build(work: Work, spec: ServiceSpec, source: Source, aside: Path) -> None:
    import bentoml
    from bentoml._internal.bento import BentoStore
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml.exceptions import BentoMLException

    BentoMLContainer.tmp_bento_store_dir.set(str(aside / "tmp"))
    context = private_folder(aside / "context")
    (context / SPEC_FILE).write_text(spec.model_dump_json(indent=1), encoding="utf-8")
    for name, text in source.files.items():
        (context / name).write_text(text, encoding="utf-8")
    try:
        bentoml.build(
            f"{source.module}:Predictor",
            name=spec.name,
            version=spec.version,
            build_ctx=str(context),
            include=["*.py", SPEC_FILE],
            labels={"content": spec.content, "algorithm": spec.algorithm, "made_by": PROJECT},
            description=f"{spec.algorithm} for {spec.target}, from {spec.model_uri}",
            python={"packages": spec.packages, "lock_packages": False},
            _bento_store=BentoStore(private_folder(aside / "bentos")),
        )
    except BentoMLException as error:
        raise ToolFailure(
            f"BentoML could not build {spec.name}:{spec.version}: {legible(str(error))[:400]}",
            "Nothing was kept of it. See that bentoml.home has room and uv and bentoml are those of this installation "
            "(mlops-mcp doctor), then package it again.",
        ) from error
    _take_place(aside / "bentos", work.settings.bentoml_home.joinpath("bentos", spec.name, spec.version))


def _take_place(store: Path, place: Path) -> None:
    """Move the one thing in a store to its place in the store of the same kind, and the note that it is the newest."""
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    made = store / place.parent.name
    (made / place.name).rename(place)
    (made / LATEST).replace(place.parent / LATEST)


@contextmanager
def _aside(work: Work) -> Generator[Path]:
    """The folder that BentoML writes to, also what it means to be temporary.

    It reads these variables when it is imported or looks for uv, which lies beside our interpreter.
    """
    folder, path, temporary = _folder(work), os.environ.get("PATH", ""), tempfile.tempdir
    shutil.rmtree(folder, ignore_errors=True)
    os.environ["BENTOML_HOME"] = str(work.settings.bentoml_home)
    os.environ["PATH"] = f"{os.path.dirname(sys.executable)}{os.pathsep}{path}"
    tempfile.tempdir = str(private_folder(folder / "tmp"))
    try:
        yield folder
    finally:
        os.environ["PATH"], tempfile.tempdir = path, temporary
        shutil.rmtree(folder, ignore_errors=True)


def _folder(work: Work) -> Path:
    return work.settings.bentoml_home / "building"


def _lock(work: Work) -> Path:
    return work.settings.bentoml_home / "build.lock"
