"""Whether a model that was taken in answers as before: the same rows through its own library and through ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ToolFailure
from ...modeling.boxed import Boxed
from ...modeling.frame import design
from ...modeling.graph import Graph
from ...modeling.graphs import read_graph
from ...modeling.local import is_opaque
from ...modeling.opened.reading import read_model
from ...modeling.pipelines import scores
from .description import Description
from .opening import Opened
from .taken import Taken, unable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MAX_EXAMPLE = 16 << 20
ROWS = 100
# XGBoost adds up in 32 bits.
CLOSE = 1e-5


def example_of(folder: Path, described: Description) -> pd.DataFrame | None:
    """The rows that were logged with a model; None where there are none that can be read as a table."""
    import pandas as pd

    said = described.saved_input_example_info or {}
    file = folder / str(said.get("artifact_path", ""))
    if said.get("type") != "dataframe" or not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
        return None
    if file.stat().st_size > MAX_EXAMPLE:
        return None
    try:
        found = json.loads(file.read_bytes())
        rows = pd.DataFrame(found["data"], columns=found.get("columns")).head(ROWS)
        return rows.set_axis([str(name) for name in rows.columns], axis=1)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def check(taken: Taken, opened: Opened, preprocessor: object, example: pd.DataFrame | None) -> str:
    """What was compared, in a few words.

    Raises:
        ToolFailure: the answers differ.
    """
    import numpy as np

    usable = example is not None and len(example) and set(taken.card.names) <= {*example.columns}
    rows = example[taken.card.names] if example is not None and usable else taken.raw
    what = f"{len(rows)} rows of {'its input example' if usable else taken.card.dataset}"
    before, after = _before(taken, opened, preprocessor, rows), _after(taken, rows)
    if before.shape != after.shape or not np.allclose(before, after, rtol=CLOSE, atol=CLOSE, equal_nan=True):
        raise ToolFailure(
            f"the model answers otherwise than before on {what}", "It is of a kind that cannot be taken in: train one."
        )
    return f"{what}: the same answers as before"


def _after(taken: Taken, rows: pd.DataFrame) -> np.ndarray:
    """What it answers once it is stored and read again."""
    again = _read_again(taken)
    try:
        found = scores(again, design(rows, taken.card), taken.card)
    except unable() as error:
        raise _cannot(taken, error, "the model") from error
    if taken.card.classes and not ((found >= 0).all() and (abs(found.sum(axis=1) - 1) < CLOSE).all()):
        raise ToolFailure("what the model gives for its classes are no shares", "Train one of log loss, say.")
    return _comparable(found)


def _read_again(taken: Taken) -> Any:
    import skops.io

    if isinstance(taken.pipeline, Boxed):
        return taken.pipeline
    if isinstance(taken.pipeline, Graph):
        return read_graph(taken.pipeline.content, "the model", taken.card.names, bool(taken.card.classes))
    return read_model(skops.io.dumps(taken.pipeline), "the model", is_opaque(taken.card))


def _before(taken: Taken, opened: Opened, preprocessor: object, rows: pd.DataFrame) -> np.ndarray:
    """What its own library answers; a preprocessor stands before it there too."""
    import numpy as np

    if isinstance(taken.pipeline, Boxed):
        return _comparable(scores(taken.pipeline, rows, taken.card))
    given = rows if preprocessor is None else preprocessor.transform(rows)  # type: ignore[attr-defined]
    try:
        return _comparable(np.asarray(opened.answers(given), dtype=np.float64))
    except unable() as error:
        raise _cannot(taken, error, "its own library") from error


def _cannot(taken: Taken, error: Exception, who: str) -> ToolFailure:
    said = (str(error) or type(error).__name__).splitlines()[0][:200]
    hint = "Pass the rows that it was trained on as `dataset`, and what stood before it as `preprocessor`."
    return ToolFailure(f"{who} cannot predict rows of {taken.card.dataset}: {said}", hint)


def _comparable(answers: np.ndarray) -> np.ndarray:
    """Of two classes the scores of the second, as some libraries give them alone."""
    return answers[:, 1] if answers.ndim == 2 and answers.shape[1] == 2 else answers
