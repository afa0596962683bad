"""What a model of MLflow says of itself in its `MLmodel`: read as data, so that nothing of it is run.

The format is that of MLflow's documentation, "MLflow Models: Storage Format".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, JsonValue, ValidationError

from ....config.document import decoded, parse
from ....config.errors import SettingsError
from ...errors import ToolFailure

FILE = "MLmodel"
MAX_BYTES = 4 << 20
# The flavors whose files hold one model that can be taken in, the most telling first.
FLAVORS = ("sklearn", "xgboost", "lightgbm", "catboost", "onnx")
# How each form is told by the end of its file's name.
FORMS = {
    ".skops": "skops", ".ubj": "xgboost", ".json": "xgboost", ".xgb": "xgboost", ".lgb": "lightgbm", ".txt": "lightgbm",
    ".cb": "catboost", ".cbm": "catboost", ".onnx": "onnx", ".pkl": "pickle", ".pickle": "pickle",
}  # fmt: skip
PYFUNC = "python_function"
OPAQUE = ("pickle", "catboost", PYFUNC)


class Description(BaseModel):
    """The parts of an `MLmodel` that are used here."""

    flavors: dict[str, dict[str, JsonValue]] = {}
    signature: dict[str, JsonValue] | None = None
    saved_input_example_info: dict[str, JsonValue] | None = None
    mlflow_version: str = ""

    @property
    def inputs(self) -> dict[str, str]:
        """The type of each column, or of each tensor, by its name; those without one are counted."""
        return self._columns("inputs")

    @property
    def is_tensors(self) -> bool:
        """Whether its inputs are named as tensors, or not at all."""
        return all(kind.partition("[")[1] for kind in self.inputs.values())

    @property
    def outputs(self) -> dict[str, str]:
        return self._columns("outputs")

    def _columns(self, side: str) -> dict[str, str]:
        try:
            found: object = json.loads(str((self.signature or {}).get(side) or "[]"))
        except (ValueError, RecursionError):
            return {}
        columns = cast("list[object]", found) if isinstance(found, list) else []
        known = [cast("dict[str, Any]", each) for each in columns if isinstance(each, dict)]
        return {str(each.get("name", number)): _type(each) for number, each in enumerate(known)}


def _type(column: Mapping[str, Any]) -> str:
    spec = column.get("tensor-spec")
    if isinstance(spec, dict):
        known = cast("dict[str, Any]", spec)
        return f"{known.get('dtype')}{known.get('shape')}"
    return str(column.get("type", "any"))


@dataclass(frozen=True)
class Readable:
    """The file that holds a model itself, and the form that it has; of code it is the folder.

    `whole` is the folder of one of scikit-learn that can be asked as code if it holds more than is taken in.
    """

    file: Path
    form: str
    whole: Path | None = None


def read_description(folder: Path) -> Description:
    """Raises ToolFailure if the folder holds no model of MLflow that can be read."""
    file = folder / FILE
    if not file.is_file():
        raise ToolFailure("its folder holds no MLmodel, so it is no model of MLflow", "Pass its file as `path`.")
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ToolFailure(f"its MLmodel has more than {MAX_BYTES} bytes", "Log it again.")
        # Aliases count as often as they are used: a few lines could stand for more than there is memory.
        return Description.model_validate(parse(decoded(file.read_bytes(), file), FILE))
    except (OSError, SettingsError, ValidationError) as error:
        raise ToolFailure(f"its MLmodel cannot be read: {type(error).__name__}", "Log it again.") from error


def readable_in(folder: Path, described: Description) -> Readable:
    """The file to take in: of what has a flavor that can be looked into, else all that its own code needs.

    Raises:
        ToolFailure: no flavor of it holds one, or it names a file elsewhere.
    """
    as_code = PYFUNC in described.flavors
    for flavor in FLAVORS:
        said = described.flavors.get(flavor)
        named = said.get("pickled_model") or said.get("data") if said else None
        if isinstance(named, str):
            whole = folder if flavor == "sklearn" and as_code else None
            return Readable(_inside(folder, named), form_of(named), whole)
    if as_code:
        return Readable(folder, PYFUNC)
    flavors = ", ".join(described.flavors)[:200] or "no flavor"
    raise ToolFailure(
        f"a model of {flavors} cannot be taken in: {', '.join((*FLAVORS, PYFUNC))} can", "Train one with train_model."
    )


def form_of(name: str) -> str:
    """Raises ToolFailure for a file of a form that is not opened."""
    if found := FORMS.get(Path(name).suffix):
        return found
    raise ToolFailure(f"{Path(name).name} has no format that is opened", f"Opened: {', '.join(FORMS)}.")


def _inside(folder: Path, named: str) -> Path:
    file = folder / named
    if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
        raise ToolFailure(f"its MLmodel names {named[:100]!r}, which its folder does not hold", "Log it again.")
    return file
