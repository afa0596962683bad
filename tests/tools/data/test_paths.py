"""Which files may be read, and what is said of those that may not."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.data.sources import read_source
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.user_files import readable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A readable folder beside a file that is none of the agent's business."""
    (tmp_path / "secret.csv").write_text("x\n1\n")
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "loans.csv").write_text("x\n1\n")
    return folder


@pytest.fixture
def rooted(root: Path, environ: dict[str, str]) -> Settings:
    return load(environ, {"data.roots": [str(root)]}).settings


def refused(settings: Settings, path: str) -> str:
    with pytest.raises(ToolFailure) as caught:
        readable(settings, path)
    return str(caught.value)


@pytest.mark.parametrize("path", ["", "  ", "file:"])
def test_an_empty_path_is_called_empty(rooted: Settings, path: str) -> None:
    assert "an empty path" in refused(rooted, path)


def test_a_folder_is_called_one_and_its_files_named(rooted: Settings, root: Path) -> None:
    said = refused(rooted, str(root))
    assert "is a folder" in said
    assert "loans.csv" in said
    assert "secret" not in said


def test_a_missing_file_names_its_neighbours(rooted: Settings, root: Path) -> None:
    assert "loans.csv" in refused(rooted, str(root / "loan.csv"))


def test_a_root_that_does_not_exist_says_nothing_of_its_surroundings(root: Path, environ: dict[str, str]) -> None:
    settings = load(environ, {"data.roots": [str(root.parent / "missing")]}).settings
    assert "secret" not in refused(settings, str(root.parent / "missing"))


@pytest.mark.parametrize("name", ["x" * 5000, "y/" * 2500, "nul\0byte"])
def test_a_path_that_no_file_can_have_is_refused(rooted: Settings, root: Path, name: str) -> None:
    assert len(refused(rooted, f"{root}/{name}")) < 1000


PRIVATE = (
    "secret.key", "jobs.db", "jobs.db-wal", "traces.db", "mlflow.db", "mlops.yaml", "lineage.db", "jobs/1.log",
    "optuna/study.log", "gx/suites/a/000001.json", "feast/registry.db", "bentoml/bentos/x/bento.yaml",
    "endpoints/x.json", "datasets-beside.csv", "queries/spill.csv", "artifacts/../secret.key",
)  # fmt: skip


@pytest.fixture
def with_state(rooted: Settings, root: Path) -> Settings:
    """An installation whose roots hold its own state folder, and everything else."""
    for name in (*PRIVATE, "datasets/rows.csv", "artifacts/1/model/card.json"):
        file = rooted.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x\n1\n")
    (root / "link.csv").symlink_to(rooted.home / "secret.key")
    (rooted.home / "datasets" / "link.csv").symlink_to(rooted.home / "secret.key")
    data = rooted.data.model_copy(update={"roots": (Path("/"), rooted.home, root)})
    return rooted.model_copy(update={"data": data})


@pytest.mark.parametrize("name", PRIVATE)
def test_of_the_state_folder_keys_databases_and_settings_are_never_read(with_state: Settings, name: str) -> None:
    assert "is private" in refused(with_state, f"{with_state.home}/{name}")


def test_a_link_does_not_make_a_key_readable(with_state: Settings, root: Path) -> None:
    for link in (root / "link.csv", with_state.home / "datasets" / "link.csv"):
        assert "is private" in refused(with_state, str(link))


@pytest.mark.parametrize("name", ["datasets/rows.csv", "artifacts/1/model/card.json"])
def test_datasets_and_artifacts_of_the_state_folder_are_read(with_state: Settings, name: str) -> None:
    assert readable(with_state, str(with_state.home / name)).is_file()


@pytest.mark.parametrize("path", ["/proc/self/environ", "/proc/version", "/sys/kernel/notes", "/dev/null", "/dev/fd/0"])
def test_the_files_of_the_system_itself_are_never_read(with_state: Settings, path: str) -> None:
    assert "private" in refused(with_state, path) or "lies outside" in refused(with_state, path)


def test_the_settings_file_is_not_read_wherever_it_lies(
    with_state: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "ours.yaml").write_text("opik: {api_key: 'a key'}")
    assert readable(with_state, str(root / "ours.yaml"))
    monkeypatch.setenv("MLOPS_CONFIG", str(root / "ours.yaml"))
    assert "is private" in refused(with_state, str(root / "ours.yaml"))
    for beside in (root / "our.yaml", root):
        assert "ours.yaml" not in refused(with_state, str(beside)).removeprefix(f"unknown file '{beside}'")


def test_databases_of_ours_that_lie_elsewhere_are_not_read_either(with_state: Settings, root: Path) -> None:
    for name in ("elsewhere.db", "elsewhere.db-wal"):
        (root / name).write_text("x")
    mlflow = with_state.mlflow.model_copy(update={"tracking_uri": f"sqlite:///{root}/elsewhere.db"})
    for name in ("elsewhere.db", "elsewhere.db-wal"):
        assert "is private" in refused(with_state.model_copy(update={"mlflow": mlflow}), str(root / name))


def test_of_a_feature_repository_of_the_users_own_only_data_is_read(with_state: Settings, root: Path) -> None:
    feast = with_state.feast.model_copy(update={"repo_path": str(root)})
    settings = with_state.model_copy(update={"feast": feast})
    for name in ("registry.db", "online.db", "online.db-wal", "feature_store.yaml"):
        (root / name).write_text("x")
        assert "is private" in refused(settings, str(root / name))
    assert readable(settings, str(root / "loans.csv"))


def test_a_folder_that_holds_the_state_is_not_walked_through(with_state: Settings) -> None:
    def walked(folder: Path) -> bool:
        raise AssertionError(folder)

    for folder in ("/", str(with_state.home.parent)):
        with pytest.raises(ToolFailure, match="is a folder"):
            readable(with_state, folder, walked)


@pytest.mark.parametrize("scheme", ["sqlite", "duckdb"])
def test_a_database_of_ours_is_no_source(work: Work, scheme: str) -> None:
    file = work.home / "jobs.db"
    file.parent.mkdir()
    file.write_bytes(b"")
    source = SecretStr(f"{scheme}:///{file}")
    data = work.settings.data.model_copy(update={"sources": {"ours": source}})
    ours = Work(work.settings.model_copy(update={"data": data}), work.tracer)
    with pytest.raises(ToolFailure, match="is private"):
        read_source(ours, "ours", "SELECT 1")
