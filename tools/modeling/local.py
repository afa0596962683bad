"""Models that could not be logged: kept below home, as `local:<name>`, until MLflow can be reached.

Logged later, such a model is the one that MLflow has.
"""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import unknown
from ..handles import parse, slug
from ..lineage import Lineage
from ..replica.steps import bring
from ..runtime.work import Work
from ..storage.state_files import private_folder
from . import sealed
from .algorithms import ALGORITHMS, IMPORTED
from .card import CARD_FILE, MODEL_FILE, ModelCard, digest
from .record import TrainingRecord, read_record
from .rows import Rows

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

KIND = "local"
# Holds the handle of the logged model.
LOGGED_FILE = "logged"


def is_local(reference: str) -> bool:
    return reference.strip().startswith(f"{KIND}:")


def keep(work: Work, pipeline: Pipeline, card: ModelCard, rows: Rows, record: TrainingRecord) -> str:
    """Store a fitted pipeline with its card, rows and record, whole or not at all; returns its handle."""
    import skops.io

    name = f"{slug(card.algorithm)}_{uuid.uuid4().hex[:10]}"
    folder = private_folder(models_kept(work))
    draft = private_folder(folder / f".{name}")
    try:
        skops.io.dump(pipeline, draft / MODEL_FILE)
        seal = seal_of(work, card, draft / MODEL_FILE)
        stamped = card.model_copy(update={"digest": digest(draft / MODEL_FILE), "seal": seal})
        (draft / CARD_FILE).write_text(stamped.model_dump_json(indent=1), encoding="utf-8")
        rows.write(draft)
        record.write(draft)
        draft.rename(folder / name)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    handle = f"{KIND}:{name}"
    Lineage(work.home).record(handle, record.parents, record.tool)
    return handle


def seal_of(work: Work, card: ModelCard, file: Path) -> str:
    """The seal of a model's file, empty for those that can be looked into by anyone."""
    return sealed.of_file(work.home, file) if is_opaque(card) else ""


def is_opaque(card: ModelCard) -> bool:
    """Whether nobody but its own code can look into the model, so that it opens under a seal alone."""
    return any(card.algorithm == each.name and each.opaque for each in (*ALGORITHMS, *IMPORTED))


def folder_of(work: Work, reference: str) -> Path:
    """Raises ToolFailure for a model that is not kept here."""
    wanted = parse(reference, KIND).name
    known = [path.name for path in models_kept(work).glob("[!.]*")]
    if wanted not in known:
        raise unknown("local model", reference, (f"{KIND}:{name}" for name in known), "train_model makes one.")
    return bring(work.settings, models_kept(work) / wanted)


def set_logged(work: Work, reference: str, uri: str) -> None:
    (folder_of(work, reference) / LOGGED_FILE).write_text(uri, encoding="utf-8")


def logged_as(folder: Path) -> str:
    """What a model kept here was logged as, empty if it was not."""
    file = folder / LOGGED_FILE
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def add_metrics(work: Work, reference: str, metrics: dict[str, float]) -> None:
    """Keep more scores with a model, to be logged with it."""
    folder = folder_of(work, reference)
    if record := read_record(folder):
        record.model_copy(update={"metrics": record.metrics | metrics}).write(folder)


def models_kept(work: Work) -> Path:
    return work.home / "models"
