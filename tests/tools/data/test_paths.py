"""Which files may be read, and what is said of those that may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.user_files import readable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A readable folder beside a file that is none of the agent's business."""
    (tmp_path / "secret.csv").write_text("x\n1\n")
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "loans.csv").write_text("x\n1\n")
    return folder


@pytest.fixture
def rooted(root: Path, environ: dict[str, str]) -> Settings:
    return load(environ, {"data.roots": [str(root)]}).settings


def refused(settings: Settings, path: str) -> str:
    with pytest.raises(ToolFailure) as caught:
        readable(settings, path)
    return str(caught.value)


@pytest.mark.parametrize("path", ["", "  ", "file:"])
def test_an_empty_path_is_called_empty(rooted: Settings, path: str) -> None:
    assert "an empty path" in refused(rooted, path)


def test_a_folder_is_called_one_and_its_files_named(rooted: Settings, root: Path) -> None:
    said = refused(rooted, str(root))
    assert "is a folder" in said
    assert "loans.csv" in said
    assert "secret" not in said


def test_a_missing_file_names_its_neighbours(rooted: Settings, root: Path) -> None:
    assert "loans.csv" in refused(rooted, str(root / "loan.csv"))


def test_a_root_that_does_not_exist_says_nothing_of_its_surroundings(root: Path, environ: dict[str, str]) -> None:
    settings = load(environ, {"data.roots": [str(root.parent / "missing")]}).settings
    assert "secret" not in refused(settings, str(root.parent / "missing"))


@pytest.mark.parametrize("name", ["x" * 5000, "y/" * 2500, "nul\0byte"])
def test_a_path_that_no_file_can_have_is_refused(rooted: Settings, root: Path, name: str) -> None:
    assert len(refused(rooted, f"{root}/{name}")) < 1000
