"""A model of MLflow's python_function: it answers rows with code of its maker.

Copied as it is into every bento, so it imports nothing of this package. It holds nobody: whoever makes a `PyFunc` has
given up what that code must not reach.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Answers = Literal["numbers", "labels", "shares"]
# What the kinds of columns of a signature are to NumPy; those that are missing stay as they come.
WHOLE = {"integer": "int32", "long": "int64"}
FLOATS = {"float": "float32", "double": "float64"}
SHOWN = 5
CLOSE = 1e-4
# More labels than that are numbers, or are no answer at all.
MAX_LABELS = 200


class PyFunc:
    """A model that was laid out in a folder. `names` are its columns, `answers` is what it was found to give."""

    def __init__(self, folder: Path, names: Sequence[str], classes: Sequence[Any], answers: Answers) -> None:
        from mlflow import pyfunc

        self._model = pyfunc.load_model(str(folder), suppress_warnings=True)
        self.names, self.classes, self.answers = list(names), list(classes), answers

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """One number a row; shape (rows,)."""
        found, _ = self.table(rows)
        numbers = as_numbers(found)
        if numbers.shape[1] != 1:
            raise ValueError(f"the model gives {numbers.shape[1]} numbers a row, where one is the answer")
        return numbers[:, 0]

    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        """Shares of shape (rows, classes); a model that names the class alone gives it all."""
        found, names = self.table(rows)
        if self.answers == "labels":
            return shares_of_labels(found, self.classes)
        numbers = as_numbers(found)
        if numbers.shape[1] == 1 and len(self.classes) == 2:
            return as_shares(numbers)
        return as_shares(in_order(numbers, names, self.classes))

    def said(self, rows: pd.DataFrame) -> dict[str, Any]:
        """What kind of answers it gives, of which its maker has said nothing."""
        found, names = self.table(rows)
        texts = found.dtype.kind not in "iuf"
        labels = sorted({as_text(value) for value in found[:, 0].tolist()}) if found.shape[1] == 1 else []
        return {
            "texts": texts,
            "whole": found.dtype.kind in "iu",
            "width": found.shape[1],
            "names": names[:MAX_LABELS],
            "labels": labels[: MAX_LABELS + 1],
        }

    def table(self, rows: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
        """What it says of rows, of shape (rows, columns), and the names of the columns where it has some."""
        given = as_signed(rows[self.names], self._model.metadata.get_input_schema())
        return as_table(self._model.predict(given), len(rows))


def lay_out(content: bytes, folder: Path) -> None:
    """Unpack what `boxed.packed` has packed."""
    with zipfile.ZipFile(BytesIO(content)) as file:
        file.extractall(folder)


def as_table(found: Any, count: int) -> tuple[np.ndarray, list[str]]:
    """Whatever a model has returned, as a table with a line for each row.

    Raises:
        ValueError: it is none.
    """
    import numpy as np
    import pandas as pd

    if isinstance(found, Mapping):
        found = pd.DataFrame(found)
    names = [str(name) for name in found.columns] if isinstance(found, pd.DataFrame) else []
    try:
        values = found.to_numpy() if isinstance(found, pd.DataFrame | pd.Series) else np.asarray(found)
        values = np.asarray(values.tolist()) if values.dtype.kind == "O" else values
    except ValueError as error:
        raise ValueError(f"the model gives a {type(found).__name__} that is no table") from error
    if values.ndim not in (1, 2) or len(values) != count or not values.size:
        raise ValueError(f"the model gives a {type(found).__name__} of shape {values.shape} for {count} rows")
    return values.reshape(count, -1), names


def as_numbers(found: np.ndarray) -> np.ndarray:
    """Raises ValueError for answers that are no finite numbers."""
    import numpy as np

    try:
        numbers = found.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the model gives {_shown(found[:, 0].tolist())}, which are no numbers") from error
    if bad := int((~np.isfinite(numbers)).any(axis=1).sum()):
        raise ValueError(f"the model gives no finite number for {bad} of {len(numbers)} rows")
    return numbers


def shares_of_labels(found: np.ndarray, classes: Sequence[Any]) -> np.ndarray:
    """One for the class that was named, and nothing for the others."""
    import numpy as np

    if found.shape[1] != 1:
        raise ValueError(f"the model gives {found.shape[1]} labels a row")
    places = {as_text(label): place for place, label in enumerate(classes)}
    texts = [as_text(value) for value in found[:, 0].tolist()]
    if strange := [text for text in texts if text not in places]:
        raise ValueError(f"the model gives {_shown(dict.fromkeys(strange))}, which is no class of {_shown(places)}")
    return np.eye(len(classes))[[places[text] for text in texts]]


def as_shares(found: np.ndarray) -> np.ndarray:
    """Shares of classes, of one column that of the second of two. Raises ValueError for what are none."""
    import numpy as np

    shares = np.column_stack([1 - found, found]) if found.shape[1] == 1 else found
    if (shares < 0).any() or (abs(shares.sum(axis=1) - 1) > CLOSE).any():
        raise ValueError("what the model gives for its classes are no shares: from 0 to 1, and 1 in all")
    return shares


def in_order(numbers: np.ndarray, names: Sequence[str], classes: Sequence[Any]) -> np.ndarray:
    """Scores in the order of the classes: by the names of their columns, or as they come where those say nothing."""
    texts = [as_text(label) for label in classes]
    if numbers.shape[1] != len(texts):
        raise ValueError(f"the model gives {numbers.shape[1]} scores a row, and there are {len(texts)} classes")
    if sorted(names) == sorted(texts):
        return numbers[:, [list(names).index(text) for text in texts]]
    return numbers


def as_signed(rows: pd.DataFrame, schema: Any) -> Any:
    """Rows as the signature of a model wants them: ours are numbers of 64 bits and texts.

    Raises:
        ValueError: a hole or a fraction where it wants whole numbers.
    """
    if schema is None:
        return rows
    if schema.is_tensor_spec():
        return _as_tensors(rows, schema)
    if not schema.has_input_names():
        return rows
    kinds = {str(spec.name): getattr(spec.type, "name", "") for spec in schema.inputs}
    return rows.assign(**{name: _as(rows[name], kinds[name]) for name in rows.columns if name in kinds})


def _as_tensors(rows: pd.DataFrame, schema: Any) -> Any:
    types = schema.numpy_types()
    if not schema.has_input_names():
        return rows.to_numpy(dtype=types[0])
    names = schema.input_names()
    if len(names) == 1:
        return {names[0]: rows.to_numpy(dtype=types[0])}
    return {name: rows[name].to_numpy(dtype=kind) for name, kind in zip(names, types, strict=True)}


def _as(values: pd.Series, kind: str) -> pd.Series:
    if kind in FLOATS:
        floats: pd.Series = values.astype(cast(Any, FLOATS[kind]))
        return floats
    if kind == "string":
        return values.astype(object).where(values.notna(), None).map(lambda value: value and str(value))
    if kind in WHOLE or kind == "boolean":
        if values.isna().any():
            raise ValueError(f"{values.name} has holes, which the model cannot take")
        whole: pd.Series = values.astype("float64").astype(cast(Any, WHOLE.get(kind, "int64")))
        if (whole != values).any():
            raise ValueError(f"{values.name} is no {kind} in every row")
        return whole.astype(bool) if kind == "boolean" else whole
    return values


def as_text(value: object) -> str:
    """One text for a label, whatever type it comes in: 1, 1.0 and True are not told apart by their types."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value)
    return text.lower() if text.lower() in ("true", "false") else text


def _shown(values: Any) -> str:
    return ", ".join(str(value)[:40] for value in list(values)[:SHOWN])
