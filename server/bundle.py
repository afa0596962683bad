"""Write what hosts install by one click: the parts of the `.mcpb` bundle, and `server.json` for registries.

`python -m mlops_mcp.server.bundle FOLDER`, where FOLDER holds the wheel; `make bundle` also validates and packs them.
Formats: MCPB manifest 0.4 (server type `uv`), server.json of 2025-12-11.
"""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..tools import catalog, wire
from .contract import first_sentence

ROOT = Path(__file__).parent.parent
REGISTRY_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
# What the package says it runs on -> what bundles call it.
PLATFORMS = {"POSIX :: Linux": "linux", "MacOS": "darwin"}
HOME, ROOTS, PORT = "MLOPS_HOME", "MLOPS_DATA__ROOTS", "MLOPS_SERVER__PORT"
MAIN = '''"""Starts the server that is in this bundle."""

from mlops_mcp.server.cli import main

# Worker processes import this file again.
if __name__ == "__main__":
    raise SystemExit(main())
'''

Json = Mapping[str, object]


@dataclass(frozen=True)
class Project:
    """What pyproject.toml says, as far as others are told."""

    name: str
    registry_name: str
    version: str
    description: str
    license: str
    author: str
    python: str
    keywords: tuple[str, ...]
    classifiers: tuple[str, ...]

    @classmethod
    def read(cls, file: Path = ROOT / "pyproject.toml") -> Project:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        project = document["project"]
        return cls(
            name=project["name"],
            registry_name=document["tool"][project["name"]]["registry-name"],
            version=project["version"],
            description=project["description"],
            license=project["license"],
            author=project["authors"][0]["name"],
            python=project["requires-python"],
            keywords=tuple(project["keywords"]),
            classifiers=tuple(project["classifiers"]),
        )

    @property
    def platforms(self) -> list[str]:
        systems = (each.removeprefix("Operating System :: ") for each in self.classifiers)
        return [PLATFORMS[system] for system in systems if system in PLATFORMS]


def main(folder: Path) -> None:
    project = Project.read()
    (wheel,) = folder.glob(f"{project.name.replace('-', '_')}-{project.version}-*.whl")
    bundle = folder / "bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    bundle.mkdir()
    shutil.copy(wheel, bundle)
    (bundle / "main.py").write_text(MAIN, encoding="utf-8")
    (bundle / "pyproject.toml").write_text(environment(project, wheel.name), encoding="utf-8")
    _write(bundle / "manifest.json", manifest(project))
    _write(folder / "server.json", registration(project))


def manifest(project: Project) -> Json:
    """The bundle's manifest; its user is asked for the state folder and the folders that may be read."""
    start = ["run", "--directory", "${__dirname}", "main.py", "serve", "--root", "${user_config.roots}"]
    return {
        "manifest_version": "0.4",
        "name": project.name,
        "version": project.version,
        "description": project.description,
        "author": {"name": project.author},
        "server": {
            "type": "uv",
            "entry_point": "main.py",
            "mcp_config": {"command": "uv", "args": start, "env": {HOME: "${user_config.home}"}},
        },
        "tools": [
            {"name": spec.name, "description": first_sentence(wire.render(spec)["description"])}
            for toolset in catalog.load_all().values()
            for spec in toolset.tools
        ],
        "prompts_generated": True,
        "keywords": list(project.keywords),
        "license": project.license,
        "compatibility": {"platforms": project.platforms, "runtimes": {"python": project.python}},
        "user_config": {
            "home": {
                "type": "directory",
                "title": "State folder",
                "description": "Where datasets, runs, models and traces are kept.",
                "default": "${HOME}/.mlops-mcp",
                "required": True,
            },
            "roots": {
                "type": "directory",
                "title": "Readable folders",
                "description": "Folders whose files the tools may read.",
                "multiple": True,
                "default": ["${DOCUMENTS}"],
                "required": True,
            },
        },
    }


def environment(project: Project, wheel: str) -> str:
    """The bundle's pyproject.toml: uv makes the environment of the wheel that lies beside it."""
    return f"""[project]
name = "{project.name}-bundle"
version = "{project.version}"
requires-python = "{project.python}"
dependencies = ["{project.name}[all]"]

[tool.uv]
package = false

[tool.uv.sources]
{project.name} = {{ path = "{wheel}" }}
"""


def registration(project: Project) -> Json:
    """The package in a registry of servers, started by uvx over either transport."""
    home: Json = {"name": HOME, "description": "State folder; the user's data folder by default.", "format": "filepath"}
    roots: Json = {"name": ROOTS, "description": 'Folders that may be read, as a JSON list, e.g. ["/data"].'}
    port: Json = {"name": PORT, "description": "Port to listen on.", "format": "number", "default": "8765"}
    http = {"type": "streamable-http", "url": f"http://127.0.0.1:{{{PORT}}}/mcp"}
    return {
        "$schema": REGISTRY_SCHEMA,
        "name": project.registry_name,
        "title": project.name,
        "description": project.description,
        "version": project.version,
        "packages": [
            _package(project, {"type": "stdio"}, [], [home, roots]),
            _package(project, http, [_named("--transport", "http")], [home, roots, port]),
        ],
    }


def _package(project: Project, transport: Json, arguments: list[Json], variables: list[Json]) -> Json:
    return {
        "registryType": "pypi",
        "registryBaseUrl": "https://pypi.org",
        "identifier": project.name,
        "version": project.version,
        "runtimeHint": "uvx",
        "runtimeArguments": [_named("--from", f"{project.name}[all]=={project.version}")],
        "packageArguments": [{"type": "positional", "value": "serve"}, *arguments],
        "environmentVariables": variables,
        "transport": transport,
    }


def _named(name: str, value: str) -> Json:
    return {"type": "named", "name": name, "value": value}


def _write(file: Path, content: Json) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
