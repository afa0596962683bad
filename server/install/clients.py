"""The clients that can be set up: where each keeps its servers, under which key, and how an entry of it looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from .errors import InstallError

Platform = Literal["linux", "darwin"]
Scope = Literal["user", "project"]


@dataclass(frozen=True)
class Machine:
    """What decides where files are; `environ` names moved folders, `project` is the folder of project files."""

    platform: Platform
    home: Path
    environ: Mapping[str, str]
    project: Path

    def folder(self, name: str) -> Path:
        """A folder that files are placed in, by the name that the table of clients uses."""
        return {
            "home": self.home,
            "config": self._named("XDG_CONFIG_HOME") or self.home / ".config",
            "support": self.home / "Library" / "Application Support",
            "codex": self._named("CODEX_HOME") or self.home / ".codex",
            "claude": self._named("CLAUDE_CONFIG_DIR") or self.home,
        }[name]

    def _named(self, variable: str) -> Path | None:
        """The specifications of these variables take absolute paths only."""
        path = Path(self.environ.get(variable, ""))
        return path if path.is_absolute() else None


@dataclass(frozen=True)
class Client:
    """A client and its files.

    Attributes:
        files: platform -> (folder, path in it) of the file that holds for every project of the user.
        project: path of the file below a project's folder; empty where the client has none.
        key: the mapping of servers by name in that file.
        extra: what an entry says beside command, args and env.
        takes: how many tools of all its servers together it gives to a model; 0 where it names no bound.
    """

    name: str
    title: str
    files: Mapping[Platform, tuple[str, str]]
    key: str = "mcpServers"
    project: str = ""
    extra: Mapping[str, str] = field(default_factory=dict[str, str])
    restart: str = "Restart it to see the tools."
    takes: int = 0

    def path(self, machine: Machine, scope: Scope) -> Path:
        """The file to write.

        Raises:
            InstallError: the client has no such file.
        """
        if scope == "user":
            folder, path = self.files[machine.platform]
            return machine.folder(folder) / path
        if not self.project:
            raise InstallError(f"{self.title} has no file per project; leave out --scope project")
        return machine.project / self.project


def _everywhere(folder: str, path: str) -> dict[Platform, tuple[str, str]]:
    return {"linux": (folder, path), "darwin": (folder, path)}


def _as_an_app(path: str) -> dict[Platform, tuple[str, str]]:
    return {"linux": ("config", path), "darwin": ("support", path)}


STDIO = {"type": "stdio"}
NEXT_SESSION = "Its next session has the tools (/mcp)."
CLIENTS = {
    client.name: client
    for client in (
        Client("claude-desktop", "Claude Desktop", _as_an_app("Claude/claude_desktop_config.json")),
        Client(
            "claude-code",
            "Claude Code",
            _everywhere("claude", ".claude.json"),
            project=".mcp.json",
            extra=STDIO,
            restart=NEXT_SESSION,
        ),
        Client("cursor", "Cursor", _everywhere("home", ".cursor/mcp.json"), project=".cursor/mcp.json", takes=40),
        Client(
            "vscode",
            "VS Code",
            _as_an_app("Code/User/mcp.json"),
            key="servers",
            project=".vscode/mcp.json",
            extra=STDIO,
            restart="Start it there with `MCP: List Servers`.",
            takes=128,
        ),
        Client(
            "codex",
            "Codex",
            _everywhere("codex", "config.toml"),
            key="mcp_servers",
            project=".codex/config.toml",
            restart=NEXT_SESSION,
        ),
        Client(
            "gemini",
            "Gemini CLI",
            _everywhere("home", ".gemini/settings.json"),
            project=".gemini/settings.json",
            restart=NEXT_SESSION,
        ),
        Client("windsurf", "Windsurf", _everywhere("home", ".codeium/windsurf/mcp_config.json"), takes=100),
        Client(
            "zed",
            "Zed",
            {
                "linux": ("config", "zed/settings.json"),
                "darwin": ("home", ".config/zed/settings.json"),
            },
            key="context_servers",
            project=".zed/settings.json",
            restart="It starts the server at once.",
        ),
    )
}
