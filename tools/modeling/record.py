"""How a model was trained, laid beside it: enough to log it later and to train it again."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, JsonValue, ValidationError

RECORD_FILE = "training.json"
LIBRARIES = ("scikit-learn", "skops", "pandas", "numpy", "xgboost", "lightgbm", "catboost")


class TrainingRecord(BaseModel):
    """`request` is that of the tool, with its datasets by exact handles; `parents` are what the model was made from."""

    tool: str
    request: dict[str, JsonValue]
    params: dict[str, JsonValue] = {}
    metrics: dict[str, float] = {}
    parents: list[str] = []
    versions: dict[str, str] = {}
    machine: str = ""
    threads: int = 0

    @property
    def tags(self) -> dict[str, str]:
        """What a run says of the data and the libraries, by which runs are compared."""
        pins = " ".join(f"{name}=={number}" for name, number in self.versions.items())
        return {"dataset": str(self.request.get("dataset", "")), "versions": pins}

    def write(self, folder: Path) -> None:
        (folder / RECORD_FILE).write_text(self.model_dump_json(indent=1), encoding="utf-8")


def read_record(folder: Path) -> TrainingRecord | None:
    """The record beside a model; None where there is none that can be read."""
    try:
        return TrainingRecord.model_validate_json((folder / RECORD_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def machine() -> str:
    return f"{platform.system()} {platform.machine()}"


def versions() -> dict[str, str]:
    """Python and the libraries that a fit stands on."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
