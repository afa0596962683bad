"""Of a team's `feature_store.yaml` only what Feast itself brings is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_mcp.config.feast_file import named_variables
from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.probes import answers, questions
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.features.team.configuration import configuration
from mlops_mcp.tools.runtime.confined import reach_of
from mlops_mcp.tools.runtime.inherited import inherited

PLAIN = "project: team\nregistry: data/registry.db\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    return folder


def settings_for(repository: Path, tmp_path: Path, **more: object) -> Settings:
    values = {"feast.repo_path": str(repository), **{f"feast.{name}": value for name, value in more.items()}}
    return load({"MLOPS_HOME": str(tmp_path / "home")}, values).settings


def write(repository: Path, text: str) -> Path:
    (repository / "feature_store.yaml").write_text(text)
    return repository


def test_what_is_left_out_is_what_feast_takes_and_its_store_over_dask_becomes_the_one_over_duckdb(
    repository: Path,
) -> None:
    found = configuration(write(repository, PLAIN))
    assert found.registry == {"registry_type": "file", "path": str(repository / "data/registry.db")}
    assert (found.online, found.offline, found.key_version) == ({"type": "sqlite"}, {"type": "duckdb"}, 3)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("sqlite:///data/registry.db", "sqlite:///{folder}/data/registry.db"),
        ("sqlite:////srv/registry.db", "sqlite:////srv/registry.db"),
        ("postgresql://me@host/feast", "postgresql+psycopg://me@host/feast"),
    ],
)
def test_a_database_is_looked_for_where_the_commands_of_feast_do(repository: Path, said: str, meant: str) -> None:
    text = f"project: team\nregistry:\n  registry_type: sql\n  path: {said}\n"
    assert configuration(write(repository, text)).registry["path"] == meant.replace("{folder}", str(repository))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("provider: my.module.Provider\n", "provider is 'my.module.Provider'"),
        ("online_store: my.module.Store\n", "online_store is 'my.module.Store'"),
        ("online_store:\n  type: dynamodb\n", "online_store is 'dynamodb'"),
        ("offline_store:\n  type: my.Offline\n", "offline_store is 'my.Offline'"),
        ("offline_store: 3\n", "offline_store must be a block"),
        ("batch_engine:\n  type: my.Engine\n", "batch_engine is 'my.Engine'"),
        ("auth:\n  type: oidc\n", "auth is 'oidc'"),
        ("entity_key_serialization_version: three\n", "must be a text and a number"),
        ("project: other\n", "project stands there twice"),
        ("? [1]\n: 2\n: :\n", "cannot read"),
    ],
)
def test_what_is_not_used_is_named_and_nothing_of_it_imported(repository: Path, more: str, said: str) -> None:
    with pytest.raises(ToolFailure, match=said):
        configuration(write(repository, PLAIN + more))


@pytest.mark.parametrize(
    ("registry", "said"),
    [
        ("registry: s3://bucket/registry.db", "s3://"),
        ("registry:\n  registry_type: my.Registry\n  path: x", "registry is 'my.Registry'"),
        ("registry:\n  registry_store_type: my.Store\n  path: x", "registry_store_type"),
        ("registry:\n  registry_type: sql\n  path: mysql://u:secret@h/d", "a database of mysql"),
        ("registry:\n  registry_type: file", "path must be a text"),
    ],
)
def test_a_registry_elsewhere_is_refused_without_its_secret(repository: Path, registry: str, said: str) -> None:
    with pytest.raises(ToolFailure, match=said) as caught:
        configuration(write(repository, f"project: team\n{registry}\n"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "3", "project:\n", "a: [", "\x00"])
def test_a_file_that_is_no_configuration_is_refused(repository: Path, text: str) -> None:
    with pytest.raises(ToolFailure, match=r"feature_store\.yaml"):
        configuration(write(repository, text))


def test_variables_are_taken_from_the_environment_and_a_missing_one_is_named(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(repository, f"{PLAIN}online_store:\n  type: sqlite\n  path: ${{TEAM_STORE}}/$TEAM_FILE\n")
    settings = settings_for(repository, tmp_path)
    assert named_variables(settings) == ("TEAM_STORE", "TEAM_FILE")
    monkeypatch.setenv("TEAM_STORE", "/srv")
    with pytest.raises(ToolFailure, match="needs TEAM_FILE, which"):
        configuration(repository)
    environ = {"TEAM_STORE": "/srv", "TEAM_FILE": "online.db", "OTHER_SECRET": "x"}
    assert inherited(environ, settings) == {"TEAM_STORE": "/srv", "TEAM_FILE": "online.db"}
    assert inherited(environ) == {}
    monkeypatch.setenv("TEAM_FILE", "online.db")
    assert configuration(repository).online["path"] == "/srv/online.db"


@pytest.mark.parametrize("allowed", [False, True])
def test_the_work_of_others_reads_a_repository_and_writes_it_only_where_that_is_allowed(
    repository: Path, tmp_path: Path, allowed: bool
) -> None:
    settings = settings_for(write(repository, PLAIN), tmp_path, write_repository=allowed)
    reach = reach_of(settings, network=False)
    assert (repository in reach.changes) == allowed
    assert repository in (*reach.changes, *reach.reads)


@pytest.mark.parametrize(
    ("text", "state", "said"),
    [
        (PLAIN, "failed", "feast apply"),
        (f"{PLAIN}provider: my.Provider\n", "failed", "my.Provider"),
        (f"{PLAIN}online_store:\n  type: sqlite\n  path: ${{UNSET_OF_TEAM}}\n", "failed", "UNSET_OF_TEAM"),
        ("project: team\nregistry: feature_store.yaml\n", "ok", "a team's repository, which is read only"),
    ],
)
def test_the_doctor_names_what_a_repository_lacks(
    repository: Path, tmp_path: Path, text: str, state: str, said: str
) -> None:
    settings = settings_for(write(repository, text), tmp_path)
    (feast,) = [answer for answer in answers(questions(settings)) if answer.name == "feast"]
    assert (feast.state, said in feast.detail) == (state, True)
