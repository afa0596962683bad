"""Each of the eight clients finds our entry where it looks, beside all that was there, and loses it to the byte."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.install.change import Config
from mlops_mcp.server.install.clients import CLIENTS, Machine, Platform
from mlops_mcp.server.install.command import install, uninstall
from mlops_mcp.server.install.entry import Entry, Installation, entry, is_ours, require_name
from mlops_mcp.server.install.errors import InstallError
from mlops_mcp.server.install.formats import Format

from .conftest import asked

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")

# What each client's documentation says: the file below the home on Linux, the one below a project, the key, the type.
DOCUMENTED = {
    "claude-desktop": (".config/Claude/claude_desktop_config.json", None, "mcpServers", None),
    "claude-code": (".claude.json", ".mcp.json", "mcpServers", "stdio"),
    "cursor": (".cursor/mcp.json", ".cursor/mcp.json", "mcpServers", None),
    "vscode": (".config/Code/User/mcp.json", ".vscode/mcp.json", "servers", "stdio"),
    "codex": (".codex/config.toml", ".codex/config.toml", "mcp_servers", None),
    "gemini": (".gemini/settings.json", ".gemini/settings.json", "mcpServers", None),
    "windsurf": (".codeium/windsurf/mcp_config.json", None, "mcpServers", None),
    "zed": (".config/zed/settings.json", ".zed/settings.json", "context_servers", None),
}
THERE = {
    "claude-desktop": '{\n  "scale": 1,\n  "mcpServers": {\n    "files": {"command": "npx"}\n  }\n}\n',
    "claude-code": '{"numStartups":3,"projects":{"/a":{"mcpServers":{}}},"mcpServers":{"b":{"command":"x"}}}',
    "cursor": '{\n    "mcpServers": {}\n}',
    "vscode": '// my\n{\n\t"inputs": [], // none\n\t"servers": {\n\t\t"a": {"url": "https://x/*y*/"}, // a\n\t},\n}\n',
    "codex": '# mine\nmodel = "m"\n\n[mcp_servers.a]\ncommand = "x" # y\n\n[tui]\nt = """\n[mcp_servers.mlops]\n"""\n',
    "gemini": "",
    "windsurf": '\ufeff{\r\n  "mcpServers": {\r\n    "a": {\r\n      "command": "x"\r\n    }\r\n  }\r\n}\r\n',
    "zed": '// Settings\n//\n{\n  "theme": "One", // dark\n  "ui": {"a": [1, 2,],},\n  // "context_servers": {}\n}\n',
}


def as_the_client_reads(text: str, path: Path) -> Any:
    """Independent of our own reading: TOML by the standard library, JSON with its comments cut by line."""
    if path.suffix == ".toml":
        return tomllib.loads(text)
    bare = "\n".join(re.sub(r"(?<![:\w])//.*", "", line) for line in text.removeprefix("\ufeff").splitlines())
    return json.loads(re.sub(r",(\s*[}\]])", r"\1", bare) or "{}")


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_client_finds_the_entry_beside_all_that_was_there(name: str, user: Path, settings: Settings) -> None:
    below, _, key, kind = DOCUMENTED[name]
    file = user / below
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(THERE[name].encode())
    before = as_the_client_reads(THERE[name], file)
    assert install(settings, asked(name, home="a state/é", agent="model_trainer", roots=("/data",))) == 0
    found = as_the_client_reads(file.read_bytes().decode(), file)
    written = found[key].pop("mlops")
    assert found == {**before, key: before.get(key, {})}
    assert written.pop("type", None) == kind
    assert os.path.isabs(written["command"])
    assert written["args"][-5:] == ["serve", "--agent", "model_trainer", "--root", "/data"]
    assert written["env"] == {"MLOPS_HOME": str(user / "a state/é")}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_uninstalling_leaves_the_file_as_it_was_to_the_byte(name: str, user: Path, settings: Settings) -> None:
    file = user / DOCUMENTED[name][0]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(THERE[name].encode())
    file.chmod(0o640)
    assert install(settings, asked(name)) == 0
    assert install(settings, asked(name, agent="model_trainer")) == 0
    assert file.read_bytes() != THERE[name].encode()
    assert uninstall(settings, asked(name)) == 0
    assert file.read_bytes() == THERE[name].encode()
    assert not file.with_name(f"{file.name}.mlops.bak").exists()
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_file_that_was_made_for_the_entry_goes_with_it(name: str, user: Path, settings: Settings) -> None:
    file = user / DOCUMENTED[name][0]
    assert install(settings, asked(name)) == 0
    assert list(as_the_client_reads(file.read_text(encoding="utf-8"), file)) == [DOCUMENTED[name][2]]
    assert uninstall(settings, asked(name)) == 0
    assert not file.exists()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_others_add_meanwhile_stays_when_the_entry_goes(name: str, user: Path, settings: Settings) -> None:
    file, key = user / DOCUMENTED[name][0], DOCUMENTED[name][2]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(THERE[name].encode())
    assert install(settings, asked(name)) == 0
    assert install(settings, asked(name, name="second")) == 0
    assert uninstall(settings, asked(name)) == 0
    before, after = (as_the_client_reads(text, file) for text in (THERE[name], file.read_bytes().decode()))
    assert sorted(after[key]) == sorted([*before.get(key, {}), "second"])
    assert uninstall(settings, asked(name, name="second")) == 0
    after = as_the_client_reads(file.read_bytes().decode(), file)
    assert {**after, key: after.get(key, {})} == {**before, key: before.get(key, {})}


def test_a_state_folder_of_the_shell_is_that_of_the_client_too(
    user: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_HOME", "state")
    assert install(settings, asked("codex")) == 0
    written = tomllib.loads((user / ".codex/config.toml").read_text(encoding="utf-8"))
    assert written["mcp_servers"]["mlops"]["env"] == {"MLOPS_HOME": str(user / "state")}


@pytest.mark.parametrize(("name", "below"), [(name, row[1]) for name, row in DOCUMENTED.items()])
def test_a_project_gets_a_file_of_its_own_where_the_client_has_one(
    name: str, below: str | None, user: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    project = user / "a project"
    project.mkdir()
    os.chdir(project)
    code = install(settings, asked(name, scope="project"))
    made = [str(file.relative_to(project)) for file in project.rglob("*") if file.is_file()]
    assert (code, made) == ((0, [below]) if below else (2, []))
    assert below or "leave out --scope project" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("platform", "name", "path"),
    [
        ("darwin", "claude-desktop", "/Users/zoë/Library/Application Support/Claude/claude_desktop_config.json"),
        ("darwin", "vscode", "/Users/zoë/Library/Application Support/Code/User/mcp.json"),
        ("linux", "vscode", "/moved/config/Code/User/mcp.json"),
        ("darwin", "zed", "/Users/zoë/.config/zed/settings.json"),
        ("linux", "zed", "/moved/config/zed/settings.json"),
        ("darwin", "claude-code", "/moved/claude/.claude.json"),
        ("darwin", "codex", "/moved/codex/config.toml"),
        ("linux", "cursor", "/Users/zoë/.cursor/mcp.json"),
        ("darwin", "windsurf", "/Users/zoë/.codeium/windsurf/mcp_config.json"),
        ("darwin", "gemini", "/Users/zoë/.gemini/settings.json"),
    ],
)
def test_each_platform_has_its_own_places(platform: Platform, name: str, path: str) -> None:
    moved = {
        "XDG_CONFIG_HOME": "/moved/config",
        "CODEX_HOME": "/moved/codex",
        "CLAUDE_CONFIG_DIR": "/moved/claude",
    }
    machine = Machine(platform, Path("/Users/zoë"), moved, Path("/project"))
    assert CLIENTS[name].path(machine, "user") == Path(path)


def test_a_moved_folder_that_is_not_absolute_counts_for_nothing() -> None:
    machine = Machine("linux", Path("/home/u"), {"XDG_CONFIG_HOME": "relative", "CODEX_HOME": ""}, Path("/"))
    assert CLIENTS["zed"].path(machine, "user") == Path("/home/u/.config/zed/settings.json")
    assert CLIENTS["codex"].path(machine, "user") == Path("/home/u/.codex/config.toml")


def test_the_readme_shows_what_is_written_for_each_client() -> None:
    shown = Entry("/path/to/mlops-mcp", ("serve",))
    machine = Machine("linux", Path("~"), {}, Path())
    for client in CLIENTS.values():
        path = client.path(machine, "user")
        written = Format.of(path).with_entry("", (client.key, "mlops"), shown.written(client.extra))
        assert written in README, f"{client.title}:\n{written}"
        assert f"`mlops-mcp install {client.name}`" in README
        assert f"`{path}`" in README


@pytest.mark.slow
async def test_the_written_command_serves_its_tools_without_a_path(
    user: Path, settings: Settings, environ: dict[str, str]
) -> None:
    home = str(user / "state of mine")
    assert install(settings, asked("claude-desktop", home=home, agent="model_trainer")) == 0
    file = user / DOCUMENTED["claude-desktop"][0]
    written = json.loads(file.read_text(encoding="utf-8"))["mcpServers"]["mlops"]
    variables = {"PATH": "", "MLOPS_CONFIG": environ["MLOPS_CONFIG"], **written["env"]}
    server = StdioServerParameters(command=written["command"], args=written["args"], env=variables, cwd="/")
    async with Client(server) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
    assert "train_model" in names
    assert len(names) < 30
    assert Path(home).is_dir()


def installed(prefix: str, python: Path, uv: str | None = None, extras: tuple[str, ...] = ()) -> Installation:
    return Installation(Path(prefix), python, uv, "1.2.3", extras)


def test_the_command_is_the_script_beside_python_or_python_itself(tmp_path: Path) -> None:
    python = tmp_path / "python3.11"
    assert installed("/venv", python).start() == (str(python), "-m", "mlops_mcp")
    (tmp_path / "mlops-mcp").touch()
    assert installed("/venv", python).start() == (str(tmp_path / "mlops-mcp"),)


@pytest.mark.parametrize("prefix", ["/home/u/.cache/uv/archive-v0/Xy", "/home/u/.cache/uv/environments-v2/a"])
def test_out_of_a_passing_environment_the_entry_starts_uv(prefix: str, tmp_path: Path) -> None:
    found = entry(installed(prefix, tmp_path / "python", "/opt/uv", ("all", "s3")), toolsets=("data", "jobs"))
    line = "tool run --from mlops-mcp[all,s3]==1.2.3 mlops-mcp serve --toolset data --toolset jobs"
    assert (found.command, *found.args) == ("/opt/uv", *line.split())
    assert installed(prefix, tmp_path / "python", "/opt/uv").start()[4] == "mlops-mcp==1.2.3"
    with pytest.raises(InstallError, match="uv tool install"):
        installed(prefix, tmp_path / "python").start()


@pytest.mark.parametrize(
    ("command", "args", "ours"),
    [
        ("/venv/bin/mlops-mcp", ["serve"], True),
        (r"C:\venv\Scripts\mlops-mcp.exe", ["serve"], True),
        (sys.executable, ["-m", "mlops_mcp", "serve"], True),
        ("uvx", ["--from", "mlops-mcp[all]", "mlops-mcp", "serve"], True),
        ("npx", ["-y", "other"], False),
        ("sh", ["-c", "mlops-mcp serve"], False),
        (7, None, False),
    ],
)
def test_our_entries_are_known_by_what_they_start(command: object, args: object, ours: bool) -> None:
    assert is_ours({"command": command, "args": args}) is ours


@pytest.mark.parametrize("name", ["", "a b", "mlöps", "a.b", "-a", "x" * 41, "a\nb"])
def test_a_name_that_some_client_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(InstallError, match="cannot name a server"):
        require_name(name)


def test_two_entries_go_one_after_the_other_in_whatever_order(tmp_path: Path) -> None:
    for order in ((0, 1), (1, 0)):
        path = tmp_path / f"{order[0]}.toml"
        path.write_text("a = 1\n", encoding="utf-8")
        configs = [Config(path, ("mcp_servers", name)) for name in ("one", "two")]
        for config in configs:
            change = config.install({"command": "mlops-mcp", "args": ["serve"]})
            assert change is not None
            change.write()
        for index in order:
            change = configs[index].uninstall()
            assert change is not None
            change.write()
        assert path.read_text(encoding="utf-8") == "a = 1\n"
