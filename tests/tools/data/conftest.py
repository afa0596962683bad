from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_mcp.tools.data.models import ReadOptions
from mlops_mcp.tools.data.store import Dataset, load_file
from mlops_mcp.tools.runtime.work import Work

Load = Callable[..., Dataset]


@pytest.fixture
def load(work: Work, tmp_path: Path) -> Load:
    """Write a file and load it, with options by name."""

    def write_and_load(content: bytes | str, name: str = "rows.csv", **options: object) -> Dataset:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return load_file(work, str(path), "", ReadOptions.model_validate(options))

    return write_and_load
