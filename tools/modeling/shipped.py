"""What a logged model is to `mlflow.pyfunc`: it takes rows as they lie in a file, and answers with labels or numbers.

Copied as it is into the folder of every model, so it imports nothing of this package. It turns rows into what the model
takes as `frame.design` does: numbers of any type, a hole in any of them, and one text for a category.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

CARD, GRAPH_FILE = "card.json", "model.onnx"
DECIMAL = re.compile(r"-?(0|[1-9]\d*)\.\d+")


class Predictor:
    """A fitted pipeline, and the card that says what its columns and its classes are."""

    def __init__(self, pipeline: Any, card: Mapping[str, Any]) -> None:
        self._pipeline = pipeline
        self._card = card

    def predict(self, data: pd.DataFrame, params: Mapping[str, Any] | None = None) -> np.ndarray:
        """One label per row, or one number of a regression; shape (rows,)."""
        import numpy as np

        if not self._card["classes"]:
            return np.asarray(self._pipeline.predict(design(data, self._card)))
        return np.asarray(self._card["classes"])[self.predict_proba(data).argmax(axis=1)]

    def predict_proba(self, data: pd.DataFrame) -> np.ndarray:
        """Shares of shape (rows, classes), in the order of the card's classes."""
        import numpy as np

        return np.asarray(self._pipeline.predict_proba(design(data, self._card)))

    def get_raw_model(self) -> Any:
        return self._pipeline


def _load_pyfunc(path: str) -> Predictor:  # pyright: ignore[reportUnusedFunction]
    """What MLflow calls; `path` is the folder of the model."""
    card = json.loads(Path(path, CARD).read_text(encoding="utf-8"))
    if (file := Path(path, GRAPH_FILE)).is_file():
        # It lies beside this module, under a name of its own version.
        names = [each["name"] for each in card["features"]]
        graph = import_module(next(Path(path, "code").glob("graph_*.py")).stem)
        return Predictor(graph.opened(file.read_bytes(), names, bool(card["classes"])), card)
    from mlflow import sklearn as flavor

    return Predictor(flavor._load_pyfunc(path).get_raw_model(), card)  # pyright: ignore[reportPrivateUsage]


def design(data: pd.DataFrame, card: Mapping[str, Any]) -> pd.DataFrame:
    """The features as float64 and Python strings, NaN for what is missing.

    Raises:
        ValueError: text in a number column, or an infinite number.
    """
    import pandas as pd

    seen = card.get("seen") or {}
    return pd.DataFrame(
        {
            feature["name"]: _number(data[feature["name"]])
            if feature["kind"] == "number"
            else _category(data[feature["name"]], seen.get(feature["name"], {}).get("levels", []))
            for feature in card["features"]
        },
        index=data.index,
    )


def _number(values: pd.Series) -> pd.Series:
    import numpy as np
    import pandas as pd

    known = values.astype(object).where(values.notna(), np.nan)
    numbers = pd.to_numeric(known, errors="coerce").astype("float64")
    if bad := values[numbers.isna() & values.notna()].head(3).tolist():
        raise ValueError(f"{values.name} must be a number, but holds {bad}")
    if np.isinf(numbers).any():
        raise ValueError(f"{values.name} holds infinite numbers")
    return numbers


def _category(values: pd.Series, levels: list[str]) -> pd.Series:
    import numpy as np
    import pandas as pd

    known = {canonical(level): level for level in reversed(levels)} | {level: level for level in levels}
    present = values.notna().tolist()
    named = [_level(value, known) if there else np.nan for value, there in zip(values.tolist(), present, strict=True)]
    return pd.Series(named, values.index, object)


def _level(value: object, known: Mapping[str, str]) -> str:
    text = canonical(value) if isinstance(value, float) else str(value)
    return known.get(text, known.get(canonical(value), text))


def canonical(value: object) -> str:
    """One text for a value whatever type it was read as: 1, 1.0 and "1.0" are "1", True and "TRUE" are "true"."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    text = str(value)
    if DECIMAL.fullmatch(text):
        return canonical(float(text))
    return text.lower() if text.lower() in ("true", "false") else text
