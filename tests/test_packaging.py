"""The mapping of `mlops_mcp.*` onto the folders of the repository is complete."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from mlops_mcp.tools.slices import SLICES

ROOT = Path(__file__).parent.parent
ITSELF = "package"
# What a team copies out of a clone, and no program reads.
OF_THE_REPOSITORY = "examples/deploy"
PACKAGES = ("config", "examples", "prompts", "resources", "server", "tools")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_folder_with_source_is_a_package_and_is_shipped() -> None:
    folders = {file.parent for package in PACKAGES for file in (ROOT / package).rglob("*.py")}
    names = sorted(f"mlops_mcp.{folder.relative_to(ROOT).as_posix().replace('/', '.')}" for folder in folders)
    names.insert(0, "mlops_mcp")
    program = "import runpy, setuptools as s; s.setup = lambda packages: print(*packages); runpy.run_path('setup.py')"
    shipped = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert sorted(shipped.stdout.split()) == names
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_file_that_is_no_source_is_shipped_with_its_package() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*") if file.is_file())
    others = [
        file
        for file in files
        if file.suffix not in (".py", ".pyc") and not file.is_relative_to(ROOT / OF_THE_REPOSITORY)
    ]
    packages = {file.parent for package in PACKAGES for file in (ROOT / package).rglob("__init__.py")}
    shipped = {found for package in packages for pattern in patterns for found in package.glob(pattern)}
    assert [str(file.relative_to(ROOT)) for file in others if file not in shipped] == []


def test_the_package_itself_starts_the_command_and_says_that_it_is_typed() -> None:
    folder = PROJECT["tool"]["setuptools"]["package-dir"]["mlops_mcp"]
    assert folder == ITSELF
    assert {"__init__.py", "__main__.py", "py.typed"} <= {file.name for file in (ROOT / folder).iterdir()}
    said = subprocess.run([sys.executable, "-m", "mlops_mcp", "--version"], check=True, capture_output=True, text=True)
    assert said.stdout == f"mlops-mcp {PROJECT['project']['version']}\n"


def test_every_slice_of_the_catalogue_is_a_folder_with_tools() -> None:
    assert [name for name in SLICES if not (ROOT / "tools" / name / "tools.py").is_file()] == []


def test_the_links_for_type_checkers_point_at_the_packages() -> None:
    links = {link.name: link.readlink().as_posix() for link in (ROOT / "typings/mlops_mcp").iterdir()}
    files = {file.name: f"../../{ITSELF}/{file.name}" for file in (ROOT / ITSELF).iterdir() if file.is_file()}
    assert links == {**files, **{package: f"../../{package}" for package in PACKAGES}}


def test_the_lock_names_hashes_and_no_hosts() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "--hash=sha256:" in lock
    assert "://" not in lock
    assert "--index" not in lock


def test_every_direct_dependency_of_the_whole_is_locked() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = {line.split("==")[0].split("[")[0].lower() for line in lines if "==" in line}
    extras = PROJECT["project"]["optional-dependencies"]
    # `all` is what the lock holds; the drivers of other databases, stores and algorithms are for who needs them.
    whole = extras["all"][0].partition("[")[2].rstrip("]").split(",")
    wanted = [*PROJECT["project"]["dependencies"], *(each for name in whole for each in extras[name])]
    names = {each.split(">=")[0].split("[")[0].strip().lower() for each in wanted} - {"mlops-mcp"}
    assert sorted(names - locked) == []
