"""The settings: four layers in rising order, and for each value who set it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.load import Loaded, load
from mlops_mcp.tools.tracing.redaction import redact


class Installation:
    """Loads with a user file and variables of its own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "mlops.yaml"
        self.file.touch()

    def load(self, yaml: str = "", flags: dict[str, Any] | None = None, /, **variables: str) -> Loaded:
        self.file.write_text(yaml, encoding="utf-8")
        return load({"MLOPS_CONFIG": str(self.file), **variables}, flags)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def test_flags_win_over_the_environment_over_the_file_over_the_defaults(installation: Installation) -> None:
    yaml = "server: {port: 1001, host: file.example}"
    origins: list[tuple[int, str]] = []
    for variables, flags in (
        ({}, {}),
        ({"MLOPS_SERVER__PORT": "1002"}, {}),
        ({"MLOPS_SERVER__PORT": "1002"}, {"server.port": 1003}),
    ):
        loaded = installation.load(yaml, flags, **variables)
        origins.append((loaded.settings.server.port, loaded.values["server.port"].origin))
        assert loaded.settings.server.host == "file.example"
    assert origins == [(1001, str(installation.file)), (1002, "MLOPS_SERVER__PORT"), (1003, "command line")]
    defaults = installation.load()
    assert (defaults.settings.server.port, defaults.values["server.port"].origin) == (8765, "default")


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("MLFLOW_TRACKING_URI", "mlflow.tracking_uri"),
        ("MLFLOW_ARTIFACT_ROOT", "mlflow.artifact_root"),
        ("OPIK_URL_OVERRIDE", "opik.url"),
        ("OPIK_WORKSPACE", "opik.workspace"),
        ("OPIK_PROJECT_NAME", "opik.project_name"),
        ("FEAST_REPO_PATH", "feast.repo_path"),
        ("BENTOML_HOME", "bentoml.home"),
        ("ENVIRONMENT", "environment"),
    ],
)
def test_the_variables_that_users_of_the_libraries_set_work_as_they_are(
    installation: Installation, variable: str, key: str
) -> None:
    loaded = installation.load(**{variable: "given"})
    assert {name: value for name, value, _ in loaded.report(redact)}[key] == "given"
    assert installation.load(**{variable: ""}).values[key].origin == "default"


def test_a_variable_of_ours_wins_over_that_of_a_library(installation: Installation) -> None:
    both = {"MLFLOW_TRACKING_URI": "http://theirs", "MLOPS_MLFLOW__TRACKING_URI": "http://ours"}
    assert installation.load(**both).settings.mlflow.tracking_uri == "http://ours"


def test_values_from_the_environment_have_the_type_of_their_key(installation: Installation) -> None:
    settings = installation.load(
        MLOPS_SERVER__READ_ONLY="true",
        MLOPS_SERVER__TOOLSETS="[data, jobs]",
        MLOPS_RUNTIME__CALL_TIMEOUT_S="2.5",
        MLOPS_MLFLOW__DEFAULT_TAGS="{team: risk}",
    ).settings
    assert settings.server.read_only is True
    assert settings.server.toolsets == ("data", "jobs")
    assert settings.runtime.call_timeout_s == 2.5
    assert settings.mlflow.default_tags == {"team": "risk"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${HOST}", "db"),
        ("http://${HOST}:${PORT:-5000}/", "http://db:5000/"),
        ("${EMPTY:-fallback}", "fallback"),
        ("${NONE:-}", ""),
        ("a $HOST {b}", "a $HOST {b}"),
    ],
)
def test_references_expand_in_the_user_file(installation: Installation, text: str, expected: str) -> None:
    loaded = installation.load(f"mlflow: {{tracking_uri: '{text}'}}", HOST="db", EMPTY="")
    assert loaded.settings.mlflow.tracking_uri == expected


def test_a_reference_inside_a_text_to_an_unset_variable_is_an_error_that_says_what_to_write(
    installation: Installation,
) -> None:
    with pytest.raises(SettingsError, match=r"mlflow\.tracking_uri in .* refers to \$\{HOST\}, which is not set"):
        installation.load("mlflow: {tracking_uri: 'http://${HOST}:5000'}")


@pytest.mark.parametrize(
    ("yaml", "variables", "flags", "message"),
    [
        (
            "mlflow: {traking_uri: x}",
            {},
            {},
            r"mlflow\.traking_uri in .*mlops\.yaml: did you mean mlflow\.tracking_uri",
        ),
        ("mlfow: {tracking_uri: x}", {}, {}, r"unknown setting mlfow"),
        (
            "",
            {"MLOPS_SERVER__PROT": "1"},
            {},
            r"MLOPS_SERVER__PROT in the environment: did you mean MLOPS_SERVER__PORT",
        ),
        ("", {}, {"server.prot": 1}, r"server\.prot in the command line: did you mean server\.port"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(
    installation: Installation, yaml: str, variables: dict[str, str], flags: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        installation.load(yaml, flags, **variables)


@pytest.mark.parametrize(
    ("yaml", "variables", "message"),
    [
        ("server: {port: many}", {}, r"server\.port \(set by .*mlops\.yaml\)"),
        ("", {"MLOPS_SERVER__PORT": "70000"}, r"server\.port \(set by MLOPS_SERVER__PORT\)"),
        ("feast: {project: 'a b'}", {}, r"feast\.project"),
        ("mlflow: 5", {}, r"mlflow"),
        ("[1, 2]", {}, r"must hold sections"),
        ("a: [", {}, r"cannot read the configuration file"),
        ("", {"MLOPS_CONFIG": "/nowhere/mlops.yaml"}, r"cannot read the configuration file /nowhere"),
    ],
)
def test_a_value_that_cannot_be_used_names_its_key_and_who_set_it(
    installation: Installation, yaml: str, variables: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        installation.load(yaml, **variables)


def test_secrets_and_passwords_do_not_show_in_the_report(installation: Installation) -> None:
    yaml = (
        'mlflow: {tracking_uri: "postgresql://mlflow:mlflow@localhost:5432/mlflow"}\nopik: {api_key: "${OPIK_API_KEY}"}'
    )
    loaded = installation.load(yaml, OPIK_API_KEY="k-123", MLOPS_OPTUNA__STUDY_STORAGE="redis://:hunter2@cache/0")
    text = "\n".join(" ".join(line) for line in loaded.report(redact))
    assert "k-123" not in text + repr(loaded.settings) + repr(loaded)
    assert "hunter2" not in text
    assert "postgresql://mlflow:[redacted]@localhost:5432/mlflow" in text


def test_every_key_is_reported_once_with_its_origin(installation: Installation) -> None:
    keys = [key for key, _, origin in installation.load().report(redact) if origin]
    assert len(keys) == len(set(keys))
    assert {"home", "server.port", "mlflow.default_tags", "bentoml.ready_timeout_s"} <= set(keys)


def test_empty_paths_lie_below_home(installation: Installation, tmp_path: Path) -> None:
    settings = installation.load(MLOPS_HOME=str(tmp_path / "h")).settings
    assert settings.tracking_uri == f"sqlite:///{tmp_path / 'h' / 'mlflow.db'}"
    assert settings.feast_home == tmp_path / "h" / "feast"
    assert settings.roots[1:] == (tmp_path / "h" / "datasets", tmp_path / "h" / "artifacts")


@pytest.mark.parametrize("place", ["/", "user", "user/..", "user/.local/state", "user/.local/state/datasets"])
def test_a_server_does_not_read_everything_a_user_has_because_it_was_started_there(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    home = tmp_path / "user" / ".local" / "state"
    (home / "datasets").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path / place)
    assert installation.load(MLOPS_HOME=str(home)).settings.roots == (home / "datasets", home / "artifacts")
    asked = installation.load("", {"data.roots": [str(tmp_path / place)]}, MLOPS_HOME=str(home)).settings.roots
    assert asked[0] == (tmp_path / place).resolve()


def test_a_project_is_read_where_a_server_is_started_in_it(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "user" / "project"
    project.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.chdir(project)
    assert installation.load(MLOPS_HOME=str(project / "state")).settings.roots[0] == project


@pytest.mark.parametrize(("pattern", "problem"), [("EMP-[0-9", "no regular expression"), ("x*", "fits the empty text")])
def test_a_pattern_of_secrets_that_cannot_be_used_is_refused(pattern: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=rf"tracing.redact.*{problem}"):
        load({}, {"tracing.redact": ["EMP-[0-9]{6}", pattern]})


def test_a_value_that_is_left_out_for_want_of_its_variable_is_said(installation: Installation) -> None:
    yaml = (
        'environment: "${ENVIRONMENT}"\nmlflow: {default_tags: {team: "${TEAM}", a: b}}\nopik: {workspace: "${W:-x}"}'
    )
    loaded = installation.load(yaml)
    assert [said.partition(" in ")[0] for said in loaded.absent] == ["environment", "mlflow.default_tags.team"]
    assert all("is left out, since ${" in said for said in loaded.absent)
    assert loaded.settings.mlflow.default_tags == {"a": "b"}
    assert not installation.load(yaml, None, ENVIRONMENT="dev", TEAM="ml").absent
