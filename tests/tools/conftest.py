"""What tests of several slices stand on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from .runtime.postgres import running, search_path


@pytest.fixture(scope="session")
def postgres(needs: Callable[..., str]) -> Generator[str]:
    """The address of a PostgreSQL database."""
    path = search_path()
    # A socket's path is short, and the folders of tests are closed to the account that the server runs as.
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        os.chmod(folder, 0o755)
        with running(Path(folder), lambda name: needs(name, "install postgresql", path)) as address:
            yield address
