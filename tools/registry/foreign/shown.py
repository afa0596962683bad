"""What can be told of a model of plain MLflow without opening it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ToolFailure, Unavailable
from ...modeling.boxed import require_boxes
from ...modeling.card import CARD_FILE
from ...runtime.work import Work
from ...tracking.backend import mlflow_client, translated
from ...tracking.models import cut, fit
from ..models import ForeignModel
from .description import OPAQUE, PYFUNC, Description, read_description, readable_in
from .located import Located, locate_any
from .opening import SETTING

if TYPE_CHECKING:
    from mlflow.entities import Run

# Characters on the wire of the columns that it takes and gives, and entries of a list.
COLUMNS_CHARS, LISTED = 600, 20
OWNER = "mlflow.user"


def foreign_view(work: Work, reference: str) -> ForeignModel | None:
    """A model as its own description has it; None if it is one of ours, or its files cannot be had."""
    try:
        located = locate_any(work, reference)
    except Unavailable:
        raise
    except ToolFailure:
        return None
    if (located.folder / CARD_FILE).is_file():
        return None
    try:
        described, unread = read_description(located.folder), ""
    except ToolFailure as failure:
        described, unread = Description(), str(failure)
    return ForeignModel(
        source=cut(located.source, 300),
        flavors=list(described.flavors)[:LISTED],
        inputs=fit(described.inputs, COLUMNS_CHARS),
        outputs=fit(described.outputs, COLUMNS_CHARS),
        example=described.saved_input_example_info is not None,
        owner=_owner(work, located.run),
        mlflow=described.mlflow_version,
        files=_files(located),
        refused=unread or _refused(work, located, described),
    )


def _refused(work: Work, located: Located, described: Description) -> str | None:
    """Why import_model would not take it, as far as can be seen from outside."""
    try:
        found = readable_in(located.folder, described)
        if found.form == PYFUNC:
            require_boxes()
    except ToolFailure as failure:
        return str(failure)
    if found.form in OPAQUE and not work.settings.mlflow.allow_pickle:
        what = (
            f"it is code of its maker ({PYFUNC})"
            if found.form == PYFUNC
            else f"{found.file.name} is a {found.form} file"
        )
        return f"{what}, which is opened only where {SETTING} allows it"
    return None


def _owner(work: Work, run_id: str) -> str | None:
    """Whom MLflow has noted for the run that made it."""
    if not run_id:
        return None
    with translated():
        run: Run = mlflow_client(work).get_run(run_id)
    return str(run.data.tags.get(OWNER) or run.info.user_id or "") or None


def _files(located: Located) -> list[str]:
    folder = located.folder
    return sorted(each.name for each in folder.iterdir())[:LISTED] if folder.is_dir() else []
