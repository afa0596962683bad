"""A file or variable that cannot be used is refused in words that quote nothing, and never ends what is running."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_mcp.config.document import MAX_BYTES
from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.load import load
from mlops_mcp.config.watch import Watch

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
UNUSABLE: dict[str, tuple[bytes, str]] = {
    "a byte of Latin-1": (b"environment: caf\xe9\n", r"line 1 is not UTF-8"),
    "a date that is none": (
        b"server:\n  port: 1\nenvironment: 2024-13-45\n",
        r"line 3, column 14: .*write it in quotes",
    ),
    "an empty number": (b'server: {port: !!int ""}', r"line 1, column 16: .*write it in quotes"),
    "a word under the tag of a switch": (b"server: {read_only: !!bool perhaps}", r"write it in quotes"),
    "a tag that asks for an object": (b"home: !!python/object/apply:os.system [ls]", r"line 1"),
    "a bomb of aliases": (BOMB.encode(), r"more values than settings need"),
    "a bomb of merges": (BOMB.replace("[", "{<<: [").replace("]", "]}").encode(), r"line \d+"),
    "a loop of an alias": (b"mlflow: &loop\n  default_tags: *loop\n", r"more values than settings need"),
    "too deep a nesting": (b"home: " + b"[" * 50_000, r"line 1"),
    "a nesting within the parser's limit": (b"home: " + b"[" * 900 + b"]" * 900, r"more values than settings need"),
    "a key twice": (b"server:\n  port: 1\n  host: a\n  port: 2\n", r"line 4, column 3: port stands there twice"),
    "a section twice": (b"server: {port: 1}\nserver: {port: 2}\n", r"line 2, column 1: server stands there twice"),
    "a character that YAML does not know": (b"home: a\0b", r"character \d+ is not allowed"),
    "a pattern that is too large": (
        b"tracing: {redact: ['a{99999999999}']}",
        r"tracing\.redact.*no regular expression",
    ),
    "a megabyte": (b"# " + b"x" * MAX_BYTES, r"larger than 256 KB"),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mlops.yaml"


@pytest.mark.parametrize(("content", "message"), UNUSABLE.values(), ids=list(UNUSABLE))
def test_a_file_that_cannot_be_used_is_a_settings_error(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        load({"MLOPS_CONFIG": str(file)})


@pytest.mark.parametrize(("content", "message"), UNUSABLE.values(), ids=list(UNUSABLE))
def test_the_last_good_settings_stay_while_a_file_cannot_be_used(
    file: Path, content: bytes, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text("opik: {workspace: good}")
    environ = {"MLOPS_CONFIG": str(file)}
    watch = Watch(load(environ).settings, environ)
    file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert [watch.current().opik.workspace for _ in range(3)] == ["good"] * 3
    assert [record.getMessage().startswith("the changed settings are not used") for record in caplog.records] == [True]
    file.write_text("opik: {workspace: better}")
    assert watch.current().opik.workspace == "better"


@pytest.mark.parametrize(
    ("home", "message"),
    [
        ('"a\\0b"', r"NUL"),
        ("[a]", r"home \(set by .*\) must be the path of a folder"),
        ("~no-such-user-here/x", r"home \(set by .*\) cannot be found"),
    ],
)
def test_a_home_that_is_no_folder_is_a_settings_error(file: Path, home: str, message: str) -> None:
    file.write_text(f"home: {home}")
    with pytest.raises(SettingsError, match=message):
        load({"MLOPS_CONFIG": str(file)})


def test_a_folder_in_place_of_the_file_is_refused_at_the_start_and_survived_later(file: Path) -> None:
    environ = {"MLOPS_CONFIG": str(file)}
    file.write_text("opik: {workspace: good}")
    watch = Watch(load(environ).settings, environ)
    file.unlink()
    assert watch.current().opik.workspace == "good"
    file.mkdir()
    assert watch.current().opik.workspace == "good"
    with pytest.raises(SettingsError, match="Is a directory"):
        load(environ)


def test_a_variable_that_is_no_yaml_is_refused_by_its_name() -> None:
    with pytest.raises(SettingsError, match=r"cannot read MLOPS_SERVER__TOOLSETS: line"):
        load({"MLOPS_SERVER__TOOLSETS": "[data"})
    with pytest.raises(SettingsError, match=r"cannot read MLOPS_SERVER__PORT: .*write it in quotes"):
        load({"MLOPS_SERVER__PORT": "2024-13-45"})


def test_aliases_and_merges_of_a_sensible_size_work(file: Path) -> None:
    file.write_text(
        "mlflow:\n  default_tags: &tags {team: risk}\ngreat_expectations: {default_suites: {<<: *tags, a: b}}"
    )
    settings = load({"MLOPS_CONFIG": str(file)}).settings
    assert settings.great_expectations.default_suites == {"team": "risk", "a": "b"}


@pytest.mark.parametrize(
    "line",
    [
        "opik: {api_key: swordfish-42: x}",
        'opik: {api_key: "swordfish-42}',
        "opik: {api_key: swordfish-42, api_key: swordfish-42}",
        "opik: {api_key: !!int swordfish-42}",
        "opik: {api_key: *swordfish-42}",
        "opik: {url: 'https://swordfish-42@host?token=swordfish-42', enabled: perhaps}",
    ],
)
def test_the_line_with_the_secret_is_never_printed(file: Path, line: str) -> None:
    file.write_text(line)
    done = subprocess.run(
        [sys.executable, "-m", "mlops_mcp.server", "config"],
        env={"MLOPS_CONFIG": str(file), "MLOPS_HOME": str(file.parent / "home")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "swordfish" not in done.stderr
    assert done.stderr.startswith("mlops-mcp: ")


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="it is a pipe"):
        load({"MLOPS_CONFIG": str(tmp_path / "pipe")})
