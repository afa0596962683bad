"""Store models in MLflow without pickle, and load them back without running code from them.

A model is an MLflow logged model (`models:/m-…`): a skops file with its card beside it. On load the nodes inside the
file are held against a list of ours, and its numbers are looked at (`opened/`); the list stored with the model is not
believed. Only effect models are pickles, which open only under the seal of this installation (`sealed.py`), as what
is code of others does (`boxed.py`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from ..errors import ToolFailure, require
from ..lineage import Lineage
from ..runtime.work import Work
from ..storage.state_files import private_folder
from ..tracking.backend import mlflow_client, require_backend, translated
from ..tracking.client import artifact_place, require_running
from ..tracking.locations import artifacts_at, fetched, local_folder, reached, require_artifacts
from ..tracking.patient import patiently
from . import sealed
from .algorithms import algorithm
from .boxed import Boxed, require_boxes
from .card import ANSWERS, CARD_FILE, EFFECT_FILE, GRAPH, MODEL_FILE, PYFUNC, PYFUNC_FILE, ModelCard, digest, file_of
from .effects import EffectModel
from .graphs import read_graph, write_graph, write_module
from .local import folder_of, is_local, logged_as, seal_of
from .opened.admitted import TRUSTED
from .opened.reading import MAX_BYTES, read_model
from .pyfunc import Answers
from .record import LIBRARIES, TrainingRecord
from .references import locate
from .rows import Rows
from .shipped import Predictor

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from sklearn.pipeline import Pipeline

SHIPPED = "shipped.py"
REQUIREMENTS = LIBRARIES
GRAPH_REQUIREMENTS = ("onnx", "onnxruntime", "numpy", "pandas")
PYFUNC_REQUIREMENTS = ("mlflow", "numpy", "pandas")


@dataclass(frozen=True)
class StoredModel:
    """A model on disk: `uri` is `models:/m-…` or `local:…`, `handle` what the caller should see.

    `folder` holds the files; `sealed` says whether this installation has sealed the model.
    """

    uri: str
    handle: str
    folder: Path
    card: ModelCard
    sealed: bool = False

    @property
    def file(self) -> Path:
        return self.folder / file_of(self.card)


def log_model(
    work: Work,
    pipeline: Pipeline,
    card: ModelCard,
    run_id: str,
    sample: pd.DataFrame,
    rows: Rows | None = None,
    record: TrainingRecord | None = None,
) -> str:
    """Save a fitted pipeline as a logged model of a run; returns `models:/m-…`.

    Args:
        sample: some rows of the design, from which the signature is inferred.
        rows: what it was trained on, to be known again.
        record: how it was trained.
    """

    def write(folder: Path, logged: Any) -> None:
        _write(work, pipeline, card, sample, folder, logged, run_id)
        if rows is not None:
            rows.write(folder)
        if record is not None:
            record.write(folder)

    return _log(work, card, run_id, write)


def log_effect_model(work: Work, model: EffectModel, card: ModelCard, run_id: str, sample: pd.DataFrame) -> str:
    """Save a fitted effect model as a logged model of a run; returns `models:/m-…`."""
    return _log(
        work, card, run_id, lambda folder, logged: _write_effect(work, model, card, sample, folder, logged, run_id)
    )  # fmt: skip


def _log(work: Work, card: ModelCard, run_id: str, write: Callable[[Path, Any], None]) -> str:
    client = mlflow_client(work)
    with translated(), tempfile.TemporaryDirectory() as scratch:
        experiment = client.get_run(run_id).info.experiment_id
        logged = client.create_logged_model(
            experiment, name=card.algorithm.lower(), source_run_id=run_id, model_type=card.task
        )
        try:
            folder = Path(scratch) / "model"
            write(folder, logged)
            patiently(work, lambda: _upload(work, folder, logged.artifact_location), logged.artifact_location)
            _attach(client, run_id, logged.model_id)
        except BaseException:
            client.finalize_logged_model(logged.model_id, "FAILED")
            raise
        client.finalize_logged_model(logged.model_id, "READY")
    return f"models:/{logged.model_id}"


def _upload(work: Work, folder: Path, location: str) -> None:
    with reached(location):
        artifacts_at(work.settings, location).log_artifacts(str(folder))


def require_ready(work: Work, name: str, run: str = "", experiment: str = "") -> None:
    """Look for the algorithm's library, MLflow and the run before the work that takes long, so that none is lost.

    Raises:
        NotInstalled, Unavailable: a library is missing, or a backend does not answer.
        ToolFailure: an unknown algorithm or run.
    """
    require(algorithm(name).library)
    require_logging(work, run, experiment)


def require_logging(work: Work, run: str = "", experiment: str = "") -> None:
    """Look for MLflow, the run, and whether artifacts can be stored where they will lie.

    Raises:
        NotInstalled, Unavailable: a library is missing, or a backend does not answer.
        ToolFailure: an unknown run, or one that has ended.
    """
    require_backend(work)
    if run:
        require_running(work, run, "a model")
    require_artifacts(work.settings, artifact_place(work, run, experiment))


def find_model(work: Work, reference: str, effects: bool = False) -> StoredModel:
    """The model behind `models:/m-…`, `model:<name>/<version>`, `model:<name>@<alias>`, `local:…` or a run with one.

    Args:
        effects: whether a model of a treatment's effect will do; it predicts no target.

    Raises:
        ToolFailure: nothing of that name, a model that was not saved by this server, or an effect model where none
            is of use.
    """
    uri, handle, folder = _folder_of(work, reference)
    if not (folder / CARD_FILE).is_file():
        raise _foreign(reference)
    try:
        card = ModelCard.model_validate_json((folder / CARD_FILE).read_bytes())
    except ValidationError as error:
        raise ToolFailure(f"the card of {reference} cannot be read", "Train it again.") from error
    found = StoredModel(uri, handle, folder, card)
    if not found.file.is_file() or digest(found.file) != card.digest:
        raise ToolFailure(f"the file of {reference} is not the one that was saved", "Train it again.")
    if not effects:
        _require_predictive(found)
    return replace(found, sealed=sealed.holds(work.home, found.file, card.seal))


def _folder_of(work: Work, reference: str) -> tuple[str, str, Path]:
    """`models:/m-…` or `local:…`, the handle to show for it, and the folder with its files."""
    if is_local(reference):
        folder = folder_of(work, reference)
        return _as_logged(work, folder) or (reference.strip(), reference.strip(), folder)
    client = mlflow_client(work)
    with translated():
        uri, handle = locate(client, reference)
        identity = uri.removeprefix("models:/")
        location = client.get_logged_model(identity).artifact_location
    return uri, handle, local_copy(work, location, identity)


def _as_logged(work: Work, folder: Path) -> tuple[str, str, Path] | None:
    """A model that is kept here as MLflow knows it: None if it was not logged, was deleted there, or MLflow is away."""
    if not (logged := logged_as(folder)):
        return None
    try:
        uri, handle, _ = _folder_of(work, logged)
    except ToolFailure:
        return None
    return uri, handle, folder


def _foreign(reference: str) -> ToolFailure:
    return ToolFailure(
        f"{reference} was not saved by this server: no card says what it takes",
        f"import_model(model={reference!r}, dataset=…) takes it in.",
    )


def _require_predictive(model: StoredModel) -> None:
    card = model.card
    if card.treatment is not None:
        raise ToolFailure(
            f"{model.handle} ({card.algorithm}) knows the effect of {card.treatment.column} on {card.target}, "
            "and does not predict it",
            "estimate_effect gives the effect of each row; evaluate_model and explain_model take such models.",
        )


def load_effect_model(work: Work, model: StoredModel) -> EffectModel:
    """The fitted effect model, from a pickle that only this installation can have sealed."""
    parts = sealed.read(work.home, model.file, model.card.seal)
    return EffectModel(parts["encoder"], parts["estimator"], parts["scale"])


def load_pipeline(model: StoredModel) -> Pipeline:
    """The fitted pipeline, or a graph that answers as one does.

    Raises:
        ToolFailure: the file holds what no model of ours does, or is that of an effect model.
    """
    _require_predictive(model)
    return open_file(model.file, model.card, model.handle, model.sealed)


def open_file(file: Path, card: ModelCard, name: str, sealed: bool) -> Any:
    """What the file beside a card holds; errors as of `load_pipeline`."""
    if card.algorithm == GRAPH:
        return read_graph(file.read_bytes(), name, card.names, bool(card.classes))
    return _boxed(file, card, name, sealed) if card.algorithm == PYFUNC else read_model(file, name, sealed)


def _boxed(file: Path, card: ModelCard, name: str, sealed: bool) -> Boxed:
    if not sealed:
        raise ToolFailure(f"{name} is code that this installation did not seal, so it is not run", "Import it here.")
    require_boxes()
    return Boxed(file.read_bytes(), card.names, card.classes, cast(Answers, card.params.get(ANSWERS, "numbers")))


def _write(
    work: Work, pipeline: Pipeline, card: ModelCard, sample: pd.DataFrame, folder: Path, logged: Any, run_id: str
) -> None:
    described = _description(logged, run_id)
    described.signature = _signature(pipeline, card, sample)
    if card.algorithm == PYFUNC:
        _write_boxed(cast(Boxed, pipeline), described, folder)
    else:
        (_write_graph if card.algorithm == GRAPH else _write_skops)(pipeline, described, folder)
        described.flavors["python_function"] |= {"loader_module": write_module(folder, SHIPPED, "rows"), "code": "code"}
    described.save(str(folder / "MLmodel"))
    _stamp(card, folder, seal_of(work, card, folder / file_of(card)))


def _write_skops(pipeline: Pipeline, described: Any, folder: Path) -> None:
    from mlflow import sklearn as flavor

    flavor.save_model(
        pipeline,
        path=str(folder),
        mlflow_model=described,
        serialization_format="skops",
        skops_trusted_types=list(TRUSTED),
        pip_requirements=_pinned(),
    )
    written = next(path for path in folder.iterdir() if path.suffix == ".skops")
    if written.name != MODEL_FILE:
        shutil.copy(written, folder / MODEL_FILE)


def _write_graph(model: Any, described: Any, folder: Path) -> None:
    write_graph(model, described, folder)
    (folder / "requirements.txt").write_text("\n".join(_pinned(GRAPH_REQUIREMENTS)), encoding="utf-8")


def _write_boxed(model: Boxed, described: Any, folder: Path) -> None:
    """No flavor that MLflow could load: it would run the code without asking for the seal."""
    folder.mkdir()
    (folder / PYFUNC_FILE).write_bytes(model.content)
    described.add_flavor("mlops_mcp_python_function", data=PYFUNC_FILE)
    (folder / "requirements.txt").write_text("\n".join(_pinned(PYFUNC_REQUIREMENTS)), encoding="utf-8")


def _signature(pipeline: Pipeline, card: ModelCard, sample: pd.DataFrame) -> Any:
    """The columns by name, of any type: MLflow would refuse an integer for a double and a hole in integers.

    What a column must hold is checked by the model itself (`shipped.design`).
    """
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    answers = Predictor(pipeline, card.model_dump()).predict(sample)
    inputs: Any = Schema([ColSpec(AnyType(), name) for name in card.names])
    return ModelSignature(inputs, infer_signature(model_output=answers).outputs)


def _write_effect(
    work: Work, model: EffectModel, card: ModelCard, sample: pd.DataFrame, folder: Path, logged: Any, run_id: str
) -> None:
    """No flavor that MLflow could load: it would open the pickle without asking for the seal."""
    from mlflow.models import infer_signature

    folder.mkdir()
    parts = {"encoder": model.encoder, "estimator": model.estimator, "scale": model.scale}
    seal = sealed.write(work.home, folder / EFFECT_FILE, parts)
    described = _description(logged, run_id)
    described.signature = infer_signature(sample, model.effects(sample)) if card.features else None
    described.add_flavor("mlops_mcp_effect", algorithm=card.algorithm, data=EFFECT_FILE)
    described.save(str(folder / "MLmodel"))
    (folder / "requirements.txt").write_text("\n".join(_pinned((*REQUIREMENTS, "econml"))), encoding="utf-8")
    _stamp(card, folder, seal)


def _description(logged: Any, run_id: str) -> Any:
    from mlflow.models import Model

    return Model(
        artifact_path=logged.artifact_location, run_id=run_id, model_uuid=logged.model_id, model_id=logged.model_id
    )


def _stamp(card: ModelCard, folder: Path, seal: str) -> None:
    """Lay the card beside the model, with the digest and the seal of the file."""
    stamped = card.model_copy(update={"digest": digest(folder / file_of(card)), "seal": seal})
    (folder / CARD_FILE).write_text(stamped.model_dump_json(indent=1), encoding="utf-8")


def _attach(client: MlflowClient, run_id: str, model_id: str) -> None:
    from mlflow.entities import LoggedModelOutput

    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


def _pinned(names: tuple[str, ...] = REQUIREMENTS) -> list[str]:
    pins: list[str] = []
    for name in names:
        try:
            pins.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return pins


def local_copy(work: Work, location: str, name: str) -> Path:
    """The folder of a model: the live one if it is local, else a copy that is fetched once.

    Args:
        name: of the copy.

    Raises:
        ToolFailure: it lies where artifacts may not.
    """
    if folder := local_folder(location):
        require_artifacts(work.settings, location)
        return folder
    target = work.home / "cache" / "models" / name
    if not target.is_dir():
        patiently(work, lambda: _download(work, location, target), location)
    return target


def _download(work: Work, location: str, target: Path) -> None:
    """Fetch a folder, whole or not at all; another process may do so at the same time."""
    with tempfile.TemporaryDirectory(dir=private_folder(target.parent), prefix=".") as scratch:
        draft = Path(scratch) / target.name
        with translated():
            fetched(artifacts_at(work.settings, location), "", draft, MAX_BYTES)
        try:
            draft.rename(target)
        except OSError:
            if not target.is_dir():
                raise


def record_model(work: Work, uri: str, parents: list[str], tool: str) -> None:
    Lineage(work.home).record(uri, parents, tool)
