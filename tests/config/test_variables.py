"""Every `MLOPS_*` variable is checked like a key in a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.load import load

ROOT = Path(__file__).parent.parent.parent
SOURCES = ("config", "examples", "server", "tools")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("MLOPS_SERVER_READ_ONLY", "MLOPS_SERVER__READ_ONLY"),
        ("MLOPS_SERVER__PROT", "MLOPS_SERVER__PORT"),
        ("MLOPS_HOEM", "MLOPS_HOME"),
        ("MLOPS_CONFIGURATION", "MLOPS_CONFIG"),
        ("MLOPS_JOB_SLOTS", "MLOPS_RUNTIME__JOB_SLOTS"),
        ("MLOPS_OPIK_API_KEY", "MLOPS_OPIK__API_KEY"),
        ("MLOPS_DATA_ROOTS", "MLOPS_DATA__ROOTS"),
    ],
)
@pytest.mark.parametrize("value", ["true", ""])
def test_a_misspelt_variable_is_refused_with_the_nearest_name(name: str, nearest: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"{name} in the environment: did you mean .*{nearest}"):
        load({name: value})


def test_what_our_own_processes_tell_each_other_is_no_misspelt_setting() -> None:
    """A process of ours, or an endpoint's, may load the settings too."""
    texts = (
        file.read_text() for folder in SOURCES for kind in ("*.py", "*.txt") for file in (ROOT / folder).rglob(kind)
    )
    names = {name for text in texts for name in re.findall(r'"(MLOPS_[A-Z_]+)"', text)} - {"MLOPS_CONFIG"}
    assert len(names) > 5
    # What has two underscores is a setting of that section.
    load({name: "1" for name in names if name != "MLOPS_HOME" and "__" not in name})


def test_an_empty_variable_takes_back_what_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "mlops.yaml"
    file.write_text("server: {port: 1001, toolsets: [data]}\nopik: {workspace: theirs}")
    emptied = {"MLOPS_SERVER__PORT": "", "MLOPS_SERVER__TOOLSETS": "", "OPIK_WORKSPACE": ""}
    loaded = load({"MLOPS_CONFIG": str(file), **emptied})
    assert (loaded.settings.server.port, loaded.settings.server.toolsets, loaded.settings.opik.workspace) == (
        8765,
        (),
        "",
    )
    assert loaded.values["server.port"].origin == "default, since MLOPS_SERVER__PORT is empty"
    assert loaded.values["opik.workspace"].origin == "default, since OPIK_WORKSPACE is empty"
    flagged = load({"MLOPS_CONFIG": str(file), **emptied}, {"server.port": 1003})
    assert flagged.settings.server.port == 1003


def test_an_empty_variable_without_a_value_to_take_back_changes_nothing() -> None:
    assert load({"MLOPS_SERVER__PORT": ""}).values["server.port"].origin == "default"


def test_a_value_may_lie_in_a_file_that_a_variable_names(tmp_path: Path) -> None:
    key, port = tmp_path / "key", tmp_path / "port"
    key.write_text("a-secret\n")
    port.write_text("1004")
    settings = load({"OPIK_API_KEY_FILE": str(key), "MLOPS_SERVER__PORT_FILE": str(port)}).settings
    assert (settings.opik.api_key.get_secret_value(), settings.server.port) == ("a-secret", 1004)


@pytest.mark.parametrize("name", ["OPIK_API_KEY", "MLOPS_RUNTIME__JOB_STORE"])
def test_a_file_of_a_value_that_cannot_be_used_names_its_variable(tmp_path: Path, name: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "gone", tmp_path, tmp_path / "binary"):
        with pytest.raises(SettingsError, match=name):
            load({f"{name}_FILE": str(path)})
    with pytest.raises(SettingsError, match=f"{name} and {name}_FILE are both set"):
        load({name: "x", f"{name}_FILE": str(tmp_path / "binary")})


def test_a_misspelt_variable_of_a_file_is_refused_and_one_of_others_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean"):
        load({"MLOPS_SERVER__PROT_FILE": str(tmp_path)})
    assert load({"ENVIRONMENT_FILE": "/nowhere"}).settings.environment == load({}).settings.environment
