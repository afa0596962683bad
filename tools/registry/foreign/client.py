"""Take in a model that was trained elsewhere, and show what can be told of one; the original is never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import ToolFailure
from ...lineage import Lineage
from ...modeling.card import CARD_FILE
from ...modeling.store import log_model, require_logging
from ...runtime.work import Work
from ...tracking.ending import logging_run
from ...undo import deletes
from ...user_files import readable
from ..client import register_model
from ..models import ImportedModel, ImportRequest
from ..versions import check_name
from .checked import check, example_of
from .description import Description, Readable, form_of, read_description, readable_in
from .located import locate_any
from .opening import open_plain, opened
from .taken import Asked, Taken, take

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Origin:
    """Where a model comes from: a file, with the names of its inputs and rows as its description has them."""

    handle: str
    found: Readable
    run: str = ""
    names: Sequence[str] = ()
    example: pd.DataFrame | None = None


def import_model(work: Work, request: ImportRequest) -> ImportedModel:
    """Make a model of MLflow, or of a file, into one of ours, once it answers as it did before.

    Raises:
        MissingArgument: what it predicts cannot be told.
        ToolFailure: it cannot be opened safely, fits other rows, or answers otherwise.
    """
    origin = _origin(work, request)
    model, before = opened(work, origin.found), _preprocessor(work, request.preprocessor)
    taken = take(work, model, before, Asked(request.dataset, request.target, request.classes, origin.names))
    said = check(taken, model, before, origin.example)
    run, uri = _logged(work, request, origin, taken)
    version = register_model(work, uri, request.name, {}, "").model if request.name else None
    return ImportedModel(
        model=uri,
        run=run,
        algorithm=taken.card.algorithm,
        task=taken.card.task,
        target=taken.card.target,
        features=taken.card.names,
        classes=taken.card.classes,
        source=origin.handle,
        checked=said,
        registered=version,
        notes=taken.notes,
        undo=deletes(version, uri, None if request.run else run),
    )


def _origin(work: Work, request: ImportRequest) -> Origin:
    """Where the model is, once it is known that it could be logged."""
    if bool(request.model) == bool(request.path):
        raise ToolFailure("one model is imported at a time", "Pass either `model` or `path`.")
    if request.name:
        check_name(request.name)
    require_logging(work, request.run)
    return _of_mlflow(work, request.model) if request.model else _of_file(work, request.path)


def _logged(work: Work, request: ImportRequest, origin: Origin, taken: Taken) -> tuple[str, str]:
    """The run, and the model in it."""
    with logging_run(work, request.run, "", f"import {taken.card.algorithm}") as run:
        uri = log_model(work, taken.pipeline, taken.card, run.removeprefix("run:"), taken.rows)
        Lineage(work.home).record(uri, [origin.handle, taken.card.dataset], "import_model")
        if origin.run:
            Lineage(work.home).record(origin.handle, [f"run:{origin.run}"], "MLflow")
    return run, uri


def _of_mlflow(work: Work, reference: str) -> Origin:
    located = locate_any(work, reference, fresh=True)
    if (located.folder / CARD_FILE).is_file():
        raise ToolFailure(
            f"{located.handle} has a card already, so it is used as it is",
            f"log_model(model={located.handle!r}) logs it in another run.",
        )
    described: Description = read_description(located.folder)
    found = readable_in(located.folder, described)
    example = example_of(located.folder, described)
    # A tensor has one name for all of its columns.
    names = [*example.columns] if example is not None and described.is_tensors else list(described.inputs)
    return Origin(located.handle, found, located.run, names, example)


def _of_file(work: Work, path: str) -> Origin:
    file = readable(work.settings, path)
    return Origin(f"file:{file}", Readable(file, form_of(file.name)))


def _preprocessor(work: Work, path: str) -> Any:
    return open_plain(file := readable(work.settings, path), form_of(file.name)) if path else None
