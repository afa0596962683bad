"""A server lists what its libraries can do, says what adds the rest, and lists whatever is asked for."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from mcp import Client
from mcp.types import TextContent

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import INSTRUCTIONS, create_server
from mlops_mcp.server.doctor import print_report
from mlops_mcp.server.published import published
from mlops_mcp.tools import errors, wire
from mlops_mcp.tools.addresses import AUDIT, LIMITS
from mlops_mcp.tools.errors import missing
from mlops_mcp.tools.slices import SHARED, SLICES, declared, extra_of

INDEX = wire.index()
# What `pip install mlops-mcp` can do: no more than pandas, Arrow and DuckDB.
BASE = ("data", "observability", "jobs", "upkeep")
REST = "pip install 'mlops-mcp[quality,features,tuning,causal,explain,serving]'"
LIBRARIES = sorted({library for name in (*SHARED, *SLICES) for library in declared(name).libraries})

Hide = Callable[[Iterable[str]], None]


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Hide:
    """Lets libraries look as if they were not installed."""
    real = importlib.util.find_spec

    def without(absent: Iterable[str]) -> None:
        gone = set(absent)
        monkeypatch.setattr(errors, "find_spec", lambda name: None if name in gone else real(name))

    return without


@pytest.fixture
def base(hide: Hide) -> None:
    # DuckDB is of the base; the extra of features only needs it too.
    hide({*LIBRARIES, "distributed", "psycopg"} - {"duckdb"})


def tools_of(*slices: str) -> list[str]:
    return [tool for name in slices for tool in INDEX[name]]


@pytest.mark.usefixtures("base")
async def test_a_base_install_lists_what_it_can_do_and_says_what_one_command_adds(settings: Settings) -> None:
    server = create_server(settings)
    async with server.services.running(), Client(server) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == tools_of(*BASE)
        assert [str(each.uri) for each in (await client.list_resources()).resources] == [LIMITS, AUDIT]
        assert (await client.list_resource_templates()).resource_templates == []
        told = (server.instructions or "").removeprefix(INSTRUCTIONS)
        assert told.endswith(f"{REST} adds them.")
        assert [name for name in SLICES if f" {name}," in told or f" {name}." in told] == [
            name for name in SLICES if name not in BASE
        ]
        for name in (name for name in SLICES if name not in BASE):
            for tool in INDEX[name]:
                answer = await client.call_tool(tool, {})
                said = " ".join(block.text for block in answer.content if isinstance(block, TextContent))
                extra = extra_of(declared(name).needs[0])
                assert answer.is_error
                assert f"not installed. Install it with: pip install 'mlops-mcp[{extra}]'" in said, tool


def test_with_everything_installed_all_is_listed_and_nothing_more_is_said(settings: Settings) -> None:
    found = published(settings)
    assert list(found.tools) == tools_of(*SLICES)
    assert (found.withheld, found.told(), found.remedy) == ({}, "", "")


@pytest.mark.parametrize(
    ("library", "gone"),
    [
        ("mlflow", ["tracking", "registry"]),
        ("great_expectations", ["quality"]),
        ("feast", ["features"]),
        ("optuna", ["tuning"]),
        ("econml", ["causal"]),
        ("shap", ["explain"]),
        ("bentoml", ["serving"]),
        ("sklearn", ["training", "tuning", "causal", "explain", "serving"]),
        *((library, []) for library in ("xgboost", "lightgbm", "opik", "anthropic", "skops", "matplotlib", "ibis")),
    ],
)
def test_a_library_takes_only_the_tools_away_that_cannot_do_without(
    settings: Settings, hide: Hide, library: str, gone: list[str]
) -> None:
    hide([library])
    found = published(settings)
    assert list(found.lacking) == gone
    assert list(found.tools) == tools_of(*(name for name in SLICES if name not in gone))
    assert list(found.withheld) == tools_of(*gone)


@pytest.mark.parametrize(("setting", "wrong"), [("server.toolsets", ["dat"]), ("server.agent", "trainer")])
def test_an_unknown_name_is_answered_with_the_setting_it_stands_in(
    environ: dict[str, str], setting: str, wrong: object
) -> None:
    with pytest.raises(SettingsError, match=rf"See {setting}\."):
        published(load(environ, {setting: wrong}).settings)


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    ("asked", "listed"),
    [
        ({"server.publish": "all"}, tools_of(*SLICES)),
        ({"server.toolsets": ["tuning", "jobs"]}, tools_of("tuning", "jobs")),
        ({"server.agent": "feature_analyzer", "server.toolsets": ["explain"]}, tools_of("explain")),
    ],
)
def test_what_is_asked_for_is_listed_whatever_is_installed(
    environ: dict[str, str], asked: dict[str, object], listed: list[str]
) -> None:
    found = published(load(environ, asked).settings)
    assert (list(found.tools), found.withheld, found.told()) == (listed, {}, "")


@pytest.mark.usefixtures("base")
def test_doctor_is_content_with_a_base_install_and_says_what_adds_the_rest(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert print_report(load(environ).settings) == 0
    printed = capsys.readouterr().out
    assert f"{REST} adds those that are not listed" in printed
    assert "not listed: no optuna" in printed
    assert "MISSING" not in printed


@pytest.mark.usefixtures("base")
@pytest.mark.parametrize(
    ("asked", "library", "setting"),
    [
        ({"server.toolsets": ["quality"]}, "great_expectations", "the tools of quality"),
        ({"server.agent": "feature_analyzer"}, "shap", "the tools of explain"),
        ({"server.publish": "all"}, "bentoml", "the tools of serving"),
        ({"feast.repo_path": "/nowhere"}, "feast", "feast.repo_path"),
        ({"runtime.engine": "dask", "runtime.scheduler": "tcp://127.0.0.1:9"}, "distributed", "runtime.engine"),
        ({"optuna.study_storage": "postgresql://127.0.0.1:9/x"}, "psycopg", "optuna.study_storage"),
        ({"data.sources": {"lake": "postgresql://127.0.0.1:9/x"}}, "psycopg", "data.sources"),
    ],
)
def test_doctor_fails_when_what_is_asked_for_is_missing(
    environ: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    asked: dict[str, object],
    library: str,
    setting: str,
) -> None:
    assert print_report(load(environ, asked).settings, as_json=True) == 1
    wanting = {each["library"]: each for each in json.loads(capsys.readouterr().out)["wanting"]}
    assert wanting[library]["setting"] == setting
    assert "pip install 'mlops-mcp[" in wanting[library]["remedy"]


def test_doctor_finds_nothing_missing_when_all_that_is_asked_for_is_there(environ: dict[str, str]) -> None:
    assert print_report(load(environ, {"server.toolsets": ["quality", "explain", "serving"]}).settings) == 0


def test_a_folder_in_the_working_directory_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "catboost_of_somebody").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert missing(["catboost_of_somebody", "json", "mcp"]) == ("catboost_of_somebody",)
    assert "catboost_of_somebody" not in sys.modules


def test_what_a_slice_needs_is_installed_by_an_extra_that_it_stands_on() -> None:
    def known(name: str) -> set[str]:
        return {*declared(name).libraries, *(each for lower in declared(name).stands_on for each in known(lower))}

    assert {
        name: set(declared(name).needs) - known(name) for name in SLICES if not set(declared(name).needs) <= known(name)
    } == {}
    assert {library for name in SLICES for library in declared(name).needs if not extra_of(library)} == set()
