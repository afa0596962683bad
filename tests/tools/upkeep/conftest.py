"""Things of every kind that can be deleted, made by the functions that make them for an agent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_mcp.tools.data.client import load_dataset
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.upkeep.client import delete
from mlops_mcp.tools.upkeep.models import Deletion

Load = Callable[..., str]
Remove = Callable[..., Deletion]


@pytest.fixture
def load(work: Work, tmp_path: Path) -> Load:
    """Writes a file and loads it; the handle of the dataset."""

    def make(content: str = "a,b\n1,2\n3,4\n", name: str = "loans") -> str:
        path = tmp_path / f"{name}.csv"
        path.write_text(content, encoding="utf-8")
        return load_dataset(work, str(path), name).dataset

    return make


@pytest.fixture
def remove(work: Work) -> Remove:
    """Deletes for good; a preview with `dry_run=True`."""

    def go(*handles: str, dry_run: bool = False, restore: bool = False) -> Deletion:
        return delete(work, list(handles), dry_run, restore)

    return go
