"""Files as people leave them: each is changed with nothing lost, or refused and left as it was."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from mlops_mcp.config.settings import Settings
from mlops_mcp.server import cli
from mlops_mcp.server.install import jsonc, toml
from mlops_mcp.server.install.change import Config
from mlops_mcp.server.install.command import install, uninstall
from mlops_mcp.server.install.errors import InstallError
from mlops_mcp.server.install.formats import Format

from .conftest import asked

Said = pytest.CaptureFixture[str]
OTHER = '{"mcpServers": {"mlops": {"command": "npx", "args": ["-y", "other"]}}}'


def cursor(user: Path, text: str | bytes) -> Path:
    file = user / ".cursor" / "mcp.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"mcpServers": {', "line 1: a name in double quotes is expected"),
        ('{\n  "a": 1\n  "b": 2\n}', "line 3: a comma or } is expected"),
        ('{"a" 1}', "a colon is expected"),
        ('{"a": nil}', "a value is expected"),
        ('{"a": 01}', "this is no JSON value"),
        ('{"a": "\\q"}', "this is no JSON value"),
        ("{} {}", "something follows the end"),
        ("/* never closed", "a value is expected"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "it holds list where an object is expected"),
        ('{"mcpServers": []}', "`mcpServers` holds list"),
        ('{"mcpServers": null}', "`mcpServers` holds NoneType"),
        ('{"a": "é"}'.encode("utf-16"), "no text in UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_and_left(
    text: str | bytes, reason: str, user: Path, settings: Settings, capsys: Said
) -> None:
    file = cursor(user, text)
    before = file.read_bytes()
    for command in (install, uninstall):
        assert command(settings, asked("cursor", force=True)) == 2
        said = capsys.readouterr().err
        assert str(file) in said
        assert reason in said
    assert file.read_bytes() == before
    assert [each.name for each in file.parent.iterdir()] == ["mcp.json"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = ", "Invalid value"),
        ("a = 1\na = 2", "Cannot overwrite a value"),
        ("[mcp_servers]\nmlops = 1\n[mcp_servers.mlops]", "line 3"),
        ("mcp_servers = 1", "`mcp_servers` holds int"),
    ],
)
def test_toml_that_cannot_be_read_is_refused_and_left(
    text: str, reason: str, user: Path, settings: Settings, capsys: Said
) -> None:
    file = user / ".codex" / "config.toml"
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    assert install(settings, asked("codex", force=True)) == 2
    assert reason in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == text


def test_toml_in_which_servers_are_one_line_gets_the_entry_there(user: Path, settings: Settings) -> None:
    file = user / ".codex" / "config.toml"
    file.parent.mkdir()
    file.write_text('mcp_servers = { a = { command = "x" } }\n', encoding="utf-8")
    assert install(settings, asked("codex", home="/state")) == 0
    assert list(Format.of(file).servers(file.read_text(encoding="utf-8"), "mcp_servers") or {}) == ["a", "mlops"]


@pytest.mark.parametrize("end", ["\n", "\n\n\n", "\r\n\r\n", ""])
def test_blank_lines_at_the_end_of_toml_stay_unless_the_entry_was_last(end: str) -> None:
    line = "\r\n" if "\r" in end else "\n"
    entry, other = f'[s.mlops]{line}command = "x"{line}', f'[s.other]{line}command = "x"'
    assert toml.drop(f"{entry}{line}{other}{end}", ("s", "mlops")) == f"{other}{end}"
    assert toml.drop(f"{other}{line}{line}{entry}{end}", ("s", "mlops")) == f"{other}{line}"


def test_a_second_time_says_that_it_is_so_already(user: Path, settings: Settings, capsys: Said) -> None:
    assert install(settings, asked("cursor")) == 0
    file = user / ".cursor/mcp.json"
    before, _ = file.stat(), capsys.readouterr()
    assert install(settings, asked("cursor")) == 0
    assert "already, with this very content" in capsys.readouterr().out
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_another_entry_of_the_name_is_shown_and_stays_unless_forced(
    user: Path, settings: Settings, capsys: Said
) -> None:
    file = cursor(user, OTHER)
    assert install(settings, asked("cursor")) == 2
    said = capsys.readouterr()
    assert '-{"mcpServers": {"mlops": {"command": "npx"' in said.out
    assert "is there already and starts something else; --force replaces it" in said.err
    assert uninstall(settings, asked("cursor")) == 2
    assert "does not start mlops-mcp" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == OTHER
    assert install(settings, asked("cursor", force=True)) == 0
    assert file.with_name("mcp.json.mlops.bak").read_text(encoding="utf-8") == OTHER
    assert uninstall(settings, asked("cursor")) == 0
    assert json.loads(file.read_text(encoding="utf-8")) == {"mcpServers": {}}


def test_nothing_to_take_back_is_said_and_makes_no_folder(user: Path, settings: Settings, capsys: Said) -> None:
    assert uninstall(settings, asked("cursor")) == 0
    assert "Cursor has no `mlops`" in capsys.readouterr().out
    assert list(user.iterdir()) == []


def test_a_trial_shows_the_change_and_writes_nothing(user: Path, settings: Settings, capsys: Said) -> None:
    assert install(settings, asked("cursor", dry_run=True)) == 0
    said = capsys.readouterr().out
    assert '+    "mlops": {' in said
    assert "(--dry-run)" in said
    assert list(user.iterdir()) == []
    assert install(settings, asked("cursor")) == 0
    before = (user / ".cursor/mcp.json").read_bytes()
    assert uninstall(settings, asked("cursor", dry_run=True)) == 0
    assert (user / ".cursor/mcp.json").read_bytes() == before


def test_a_link_of_somebodys_dotfiles_is_written_through(user: Path, settings: Settings) -> None:
    kept = user / "dotfiles" / "mcp.json"
    kept.parent.mkdir()
    kept.write_text("{}", encoding="utf-8")
    (user / ".cursor").mkdir()
    link = user / ".cursor" / "mcp.json"
    link.symlink_to("../dotfiles/mcp.json")
    assert install(settings, asked("cursor")) == 0
    assert link.is_symlink()
    assert "mlops" in json.loads(kept.read_text(encoding="utf-8"))["mcpServers"]
    assert [each.name for each in kept.parent.iterdir()] == ["mcp.json"]
    assert uninstall(settings, asked("cursor")) == 0
    assert kept.read_text(encoding="utf-8") == "{}"
    assert link.is_symlink()


def test_a_link_to_nothing_yet_makes_what_it_points_to(user: Path, settings: Settings) -> None:
    (user / ".cursor").mkdir()
    (user / ".cursor/mcp.json").symlink_to(user / "new folder" / "mcp.json")
    assert install(settings, asked("cursor")) == 0
    assert (user / "new folder" / "mcp.json").is_file()
    assert (user / ".cursor/mcp.json").is_symlink()


def test_a_file_that_is_read_only_stays_so(user: Path, settings: Settings, capsys: Said) -> None:
    file = cursor(user, "{}")
    file.chmod(0o444)
    assert install(settings, asked("cursor")) == 2
    assert "it is read-only; make it writable first" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == "{}"
    assert [each.name for each in file.parent.iterdir()] == ["mcp.json"]


def test_a_place_that_cannot_be_written_is_named_with_the_reason(user: Path, settings: Settings, capsys: Said) -> None:
    (user / ".cursor").touch()
    assert install(settings, asked("cursor")) == 2
    assert f"{user}/.cursor" in capsys.readouterr().err
    (user / ".codex" / "config.toml").mkdir(parents=True)
    assert install(settings, asked("codex")) == 2
    assert "Is a directory" in capsys.readouterr().err


def test_several_at_once_all_find_their_place(user: Path, settings: Settings) -> None:
    names = [f"mlops-{number}" for number in range(8)]
    start = threading.Barrier(len(names))
    codes: list[int] = []

    def one(name: str) -> None:
        start.wait()
        codes.append(install(settings, asked("zed", name=name)))

    threads = [threading.Thread(target=one, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * len(names)
    found = json.loads((user / ".config/zed/settings.json").read_text(encoding="utf-8"))
    assert sorted(found["context_servers"]) == names


def test_what_a_client_writes_meanwhile_is_not_overwritten(user: Path) -> None:
    file = cursor(user, "{}")
    change = Config(file, ("mcpServers", "mlops")).install({"command": "x"})
    file.write_text('{"new": 1}', encoding="utf-8")
    assert change
    with pytest.raises(InstallError, match="somebody else has changed it meanwhile"):
        change.write()
    assert file.read_text(encoding="utf-8") == '{"new": 1}'


def test_a_name_that_stands_twice_is_refused_rather_than_uncovered(
    user: Path, settings: Settings, capsys: Said
) -> None:
    text = '{"mcpServers": {"a": {}, "mlops": {"command": "mlops-mcp"}, "mlops": {"command": "mlops-mcp"}}}'
    file = cursor(user, text)
    assert uninstall(settings, asked("cursor")) == 2
    assert "change it by hand" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == text


def test_keys_of_other_servers_are_not_printed(user: Path, settings: Settings, capsys: Said) -> None:
    cursor(user, '{\n  "mcpServers": {\n    "a": {"env": {"API_KEY": "sk-ant-api03-abcdefghijklmnopqrstuvwx"}}\n  }\n}')
    assert install(settings, asked("cursor")) == 0
    assert "sk-ant-api03-abcdefghijklmnopqrstuvwx" not in capsys.readouterr().out


def test_a_client_that_takes_fewer_tools_is_told_how_to_choose(user: Path, settings: Settings, capsys: Said) -> None:
    assert install(settings, asked("cursor", dry_run=True)) == 0
    assert "Cursor takes 40 tools of all servers together" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["install", "curser"], "Did you mean cursor?"),
        (["install", "zed", "--agent", "model_trainr"], "Did you mean model_trainer"),
        (["install", "zed", "--toolset", "nothing"], "unknown toolset"),
        (["install", "zed", "--name", "a b"], "cannot name a server"),
        (["uninstall", "windsurf", "--scope", "project"], "leave out --scope project"),
    ],
)
def test_what_is_asked_for_wrongly_is_answered_with_what_is_right(
    arguments: list[str], said: str, user: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert cli.main(arguments) == 2
    assert said in capsys.readouterr().err
    assert list(user.iterdir()) == []


def test_without_a_client_all_are_listed_with_their_files(user: Path, settings: Settings, capsys: Said) -> None:
    assert install(settings, asked("")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert f"zed            {user}/.config/zed/settings.json" in lines


# All that can be encoded; told by its codec it is looked up character by character, which takes seconds.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@hypothesis(max_examples=25, deadline=None)
@given(
    document=st.dictionaries(TEXT, VALUES, max_size=4),
    servers=st.none() | st.dictionaries(TEXT, VALUES, max_size=2),
    indent=st.sampled_from([None, 1, 4, "\t"]),
    newline=st.sampled_from(["\n", "\r\n"]),
    end=st.sampled_from(["", "\n"]),
)
def test_any_document_keeps_all_it_holds(
    document: dict[str, object], servers: dict[str, object] | None, indent: int | str | None, newline: str, end: str
) -> None:
    document = {key: value for key, value in document.items() if key != "s"}
    before = document if servers is None else {**document, "s": {k: v for k, v in servers.items() if k != "mine"}}
    text = (json.dumps(before, indent=indent, ensure_ascii=False) + end).replace("\n", newline)
    changed = jsonc.put(text, ("s", "mine"), {"command": "x", "args": []})
    assert json.loads(changed) == {**before, "s": {**(before.get("s") or {}), "mine": {"command": "x", "args": []}}}  # type: ignore[dict-item]
    assert changed.count("\r\n") in (0, changed.count("\n"))
    back = jsonc.drop(changed, ("s", "mine") if servers is not None else ("s",))
    assert json.loads(back) == before
    assert back == text or not before.get("s", before)


def test_paths_are_written_so_that_they_can_be_read(tmp_path: Path) -> None:
    for path in ("a.json", "a.toml"):
        form = Format.of(tmp_path / path)
        value = {"command": 'C:\\Program Files\\\u00fc\u4e2d\U0001f600\\x "y".exe', "args": ["\x7f\t'"]}
        assert form.servers(form.with_entry("", ("k", "n"), value), "k") == {"n": value}  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []
