"""Results of ours in a team's Great Expectations project, where its own configuration keeps those of the library."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...config.document import decoded, described, parse, read
from ...config.errors import SettingsError
from ...config.settings import Settings
from ..errors import ToolFailure
from ..storage.state_files import replaced
from .models import Validation
from .project import CONFIGURATION
from .results import BATCH, as_result, run_name, suite_of

SETTING = "great_expectations.write_results"
STORE, BACKEND = "validation_results_store", "TupleFilesystemStoreBackend"


def publish(settings: Settings, validation: Validation) -> None:
    """Write a validation as a result of the library, if that is allowed and there is a project.

    Raises:
        ToolFailure: the project keeps its results elsewhere than in files.
    """
    if not settings.great_expectations.write_results or (folder := folder_of(settings.gx_home)) is None:
        return
    now = datetime.now(UTC)
    run = folder.joinpath(*suite_of(validation).split("/"), run_name(validation))
    text = json.dumps(as_result(validation, now), indent=2, sort_keys=True)
    replaced(run / now.strftime("%Y%m%dT%H%M%S.%fZ") / f"{BATCH}.json", text.encode())


def withdraw(settings: Settings, validation: str) -> None:
    """Take the result of a validation away that is gone."""
    if not settings.great_expectations.write_results or (folder := folder_of(settings.gx_home)) is None:
        return
    for run in [path for path in folder.rglob(validation.partition(":")[2]) if path.is_dir()]:
        shutil.rmtree(run)


def folder_of(root: Path) -> Path | None:
    """Where the project below a folder keeps results; None where the folder is no project.

    Raises:
        ToolFailure: its configuration cannot be read, or names no folder.
    """
    file = root / CONFIGURATION
    if not file.is_file():
        return None
    try:
        found = parse(decoded(read(file), file), described(file))
    except SettingsError as error:
        raise _unusable(str(error)) from None
    backend = _backend(found)
    base = backend.get("base_directory")
    if backend.get("class_name") != BACKEND or not isinstance(base, str) or "$" in base:
        raise _unusable(f"it keeps results by {backend.get('class_name') or 'nothing that is named'}, not in a folder")
    return root / base


def _backend(found: Any) -> Mapping[str, Any]:
    for name in ("stores", _said(found, "validation_results_store_name") or STORE, "store_backend"):
        found = _said(found, str(name))
    return found if isinstance(found, Mapping) else {}


def _said(found: Any, name: str) -> Any:
    return found.get(name) if isinstance(found, Mapping) else None


def _unusable(reason: str) -> ToolFailure:
    return ToolFailure(
        f"results cannot be written to the Great Expectations project: {reason}", f"{SETTING}: false validates without."
    )
