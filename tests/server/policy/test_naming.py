"""What a rule forbids is forbidden under every name that it goes by."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mlops_mcp.config.settings import DataSettings, Settings
from mlops_mcp.server.policy.document import Document
from mlops_mcp.server.policy.matching import among, fits
from mlops_mcp.server.policy.naming import slices_for
from mlops_mcp.server.policy.policy import MOST_VALUES, Attempt, Policy, decide
from mlops_mcp.tools.data import naming as of_data
from mlops_mcp.tools.data.answers import log_folder
from mlops_mcp.tools.data.store import Dataset, file_of, load_file, resolve, save
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.registry import naming as of_registry
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import endpoints
from mlops_mcp.tools.serving.answerlog import Log
from mlops_mcp.tools.serving.models import EndpointFile
from mlops_mcp.tools.tracking import naming as of_tracking
from mlops_mcp.tools.tracking.client import create_experiment
from mlops_mcp.tools.tracking.connection import opened as store_of

from ..access.conftest import opened


class RowAnswer(NamedTuple):
    prediction: int
    probabilities: list[float] | None


def attempt(arguments: dict[str, Any], called: dict[str, list[str]] | None = None) -> Attempt:
    return Attempt("search_runs", arguments, Identity(), read_only=True, called=called or {})


def effect(deny: dict[str, Any], call: Attempt) -> str:
    rules = {"default": "allow", "deny": [{"tools": "*", "arguments": deny}]}
    return decide(Document.model_validate(rules), call).effect


def test_one_rule_speaks_of_every_argument() -> None:
    rule = {"*": ["/data/private/*", "dataset:secret*"]}
    for name in ("path", "dataset", "reference", "test", "anything"):
        assert effect(rule, attempt({name: "/data/private/a.csv"})) == "deny"
        assert effect(rule, attempt({name: {"inside": ["x", "secret"]}})) == "deny"
        assert effect(rule, attempt({name: "/data/public/a.csv", "other": None})) == "allow"
    assert effect(rule, attempt({})) == "allow"


def test_what_is_called_otherwise_is_forbidden_as_well_and_permitted_as_it_is_named() -> None:
    called = {"7": ["secret", "7"], "3": ["open", "3"]}
    for given, denied in (("7", "deny"), ("secret", "deny"), ("3", "allow")):
        assert effect({"experiment": "secret"}, attempt({"experiment": given}, called)) == denied
    assert among(("*", "!open"), "open", True, ("3",)) is False
    assert among(("*", "!open"), "3", True, ("open",)) is True
    permitted = Document.model_validate(
        {"default": "deny", "allow": [{"tools": "*", "arguments": {"experiment": "open"}}]}
    )
    assert decide(permitted, attempt({"experiment": "3"}, called)).effect == "deny"


def test_a_call_with_more_values_than_rules_can_look_at_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("default: allow\ndeny: [{tools: predict, arguments: {'*': secret}}]")
    policy = Policy(tmp_path / "policy.yaml", lambda: {"predict": {}, "look": {}})
    for tool, number, refused in (("predict", MOST_VALUES + 1, True), ("predict", 9, False), ("look", 10**5, False)):
        call = Attempt(tool, {"rows": [str(each) for each in range(number)]}, Identity(), read_only=True)
        for judge in (partial(policy.require, call, {}), partial(policy.asks, call)):
            with pytest.raises(ToolFailure, match="Pass fewer") if refused else nullcontext():
                judge()


@pytest.mark.parametrize(
    ("pattern", "value", "meant"),
    [
        ("suite:loans@2", "suite:loans", True),
        ("suite:loans@2", "loans", True),
        ("model:credit/3", "credit", True),
        ("model:credit/3", "model:credit/4", False),
        ("suite:loans@2", "suite:loans@1", False),
        ("suite:loans@2", "dataset:loans", False),
        ("model:*@champion", "anything", False),
        ("*@2", "anything", False),
        ("a/b", "a", False),
    ],
)
def test_a_name_without_a_version_may_stand_for_the_one_that_is_meant(pattern: str, value: str, meant: bool) -> None:
    assert fits(pattern, value, widely=True) == meant
    assert not fits(pattern, value, widely=False)


@pytest.mark.parametrize(
    ("argument", "pattern", "slices"),
    [
        ("dataset", "/data/*", {"data"}), ("path", "dataset:a@*", {"data"}), ("sql", "a", {"data"}),
        ("experiment", "a*", {"tracking"}), ("handle", "experiment:a", {"tracking"}), ("model", "credit", {"registry"}),
        ("*", "models:/m-1", {"registry"}), ("*", "run:1", {"registry"}), ("*", "a", {"data", "tracking", "registry"}),
        ("reference", "!a", {"data", "registry"}), ("stage", "Production", set()), ("*", "endpoint:a", {"data"}),
        ("dry_run", False, set()),
    ],
)  # fmt: skip
def test_who_knows_other_names_is_asked_for_what_a_rule_speaks_of(
    argument: str, pattern: Any, slices: set[str]
) -> None:
    assert slices_for(argument, (pattern,)) == slices


@pytest.fixture
def secret(work: Work, tmp_path: Path) -> Dataset:
    """A dataset loaded from a file, and once more under another name."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "Pay roll.csv").write_text("a,b\n1,2\n")
    load_file(work, str(tmp_path / "secret" / "Pay roll.csv"), "harmless")
    return load_file(work, str(tmp_path / "secret" / "Pay roll.csv"), "pay")


def ways(work: Work, secret: Dataset, folder: Path) -> list[str]:
    """Every way to name the rows of that file."""
    digest = secret.handle.partition("@")[2]
    path, stored = folder / "secret" / "Pay roll.csv", file_of(work, digest)
    (folder / "link.csv").symlink_to(path)
    named = [secret.handle, "pay", f"pay@{digest}", f"dataset:harmless@{digest}", "harmless", str(stored)]
    paths = [str(path), f"file:{path}", f"{folder}/./secret/Pay roll.csv", str(folder / "link.csv")]
    tables = ["pay", f'"{secret.handle}"', f'"{path}"', f"'{path}'", "PAY", f"(select * from '{stored}')"]
    queries = [f"select * from {table}" for table in tables]
    return [*named, *paths, *queries, f"with t as (select 1) select * from t, {tables[1]}", f"from {tables[2]}"]


def test_rows_are_known_by_every_handle_by_their_file_and_in_queries(
    work: Work, secret: Dataset, tmp_path: Path
) -> None:
    other = save(work, secret.table().slice(0, 0), "open", [], "test")
    every, file = ways(work, secret, tmp_path), f"file:{tmp_path / 'secret' / 'Pay roll.csv'}"
    found = of_data.other_names(work, [*every, other.handle, "select 1", "", "no such", "\0", "source:a/b"])
    for way in every:
        assert (way, {secret.handle, file} <= set(found[way])) == (way, True)
    database = DataSettings.model_validate(
        {**work.settings.data.model_dump(), "sources": {"shop": f"sqlite:///{tmp_path}/secret/shop.db"}}
    )
    sourced = Work(work.settings.model_copy(update={"data": database}), work.tracer)
    for way in ("shop", "source:shop/pay", " source:shop/a.b"):
        assert of_data.other_names(sourced, [way])[way] == [f"{tmp_path}/secret/shop.db", "source:shop"]
    assert found[other.handle] == [str(file_of(work, other.handle.partition("@")[2])), other.handle]
    assert [found[each] for each in ("select 1", "", "no such", "\0", "source:a/b")] == [[]] * 5


def test_what_is_logged_of_an_endpoint_goes_by_its_name_and_what_its_model_predicts_does_not(work: Work) -> None:
    endpoints.write(work, EndpointFile(endpoint="credit"))
    folder = log_folder(work, "credit")
    folder.mkdir(parents=True)
    Log(folder, 1.0, "credit:1", {}).note([{"age": 30.0}], [RowAnswer(1, None)], [])
    # Before it is loaded for the first time as well.
    before = of_data.other_names(work, ["endpoint:credit"])["endpoint:credit"]
    first = attempt({"dataset": "endpoint:credit"}, {"endpoint:credit": before})
    assert effect({"*": "dataset:credit_answers"}, first) == "deny"
    logged = resolve(work, "endpoint:credit")
    made = save(work, logged.table().slice(0, 0), "predicted", [logged.handle, "endpoint:credit"], "predict_dataset")
    ways = ["endpoint:credit", " endpoint:credit", "credit_answers", logged.handle, "select * from credit_answers"]
    found = of_data.other_names(work, [*ways, made.handle])
    for way in ways:
        assert effect({"*": "endpoint:credit"}, attempt({"dataset": way}, found)) == "deny"
        assert effect({"dataset": "credit_answers*"}, attempt({"dataset": way}, found)) == "deny"
        assert {"endpoint:credit", logged.handle} <= set(found[way])
    assert "endpoint:credit" not in found[made.handle]
    assert effect({"*": "endpoint:credit"}, attempt({"dataset": made.handle}, found)) == "allow"


@pytest.mark.slow
async def test_a_folder_that_is_forbidden_is_read_in_no_way(
    settings: Settings, work: Work, secret: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(
        f"default: allow\ndeny: [{{tools: '*', arguments: {{'*': '{tmp_path}/secret/*'}}}}]"
    )
    server = settings.server.model_copy(update={"policy": str(tmp_path / "policy.yaml")})
    async with opened(settings.model_copy(update={"server": server})) as door:
        for way in ways(work, secret, tmp_path):
            tool = {"query_dataset": {"sql": way}} if "from" in way else {"describe_dataset": {"dataset": way}}
            [(name, arguments)] = tool.items()
            answer = await door.call({}, name, **arguments)
            assert (way, "is denied here" in answer["content"][0]["text"]) == (way, True)
        made = await door.call({}, "query_dataset", sql="select 1 as a")
        assert not made["isError"]


@pytest.mark.slow
def test_an_experiment_is_known_by_its_number_and_a_model_by_all_that_stands_for_it(work: Work) -> None:
    assert of_tracking.other_names(work, ["secret"]) == {}
    assert of_registry.other_names(work, ["credit"]) == {}
    number = create_experiment(work, "secret", {}).experiment_id
    found = of_tracking.other_names(work, ["secret", "experiment:secret", number, "0", "other", ""])
    assert [found[each] for each in ("secret", "experiment:secret", number)] == [sorted(["secret", number])] * 3
    assert (found["0"], found["other"], found[""]) == (["0", "Default"], [], [])
    with store_of(work) as client:
        run = client.create_run(number).info.run_id
        logged = client.create_logged_model(number, name="m", source_run_id=run)
        client.create_registered_model("credit")
        client.create_model_version("credit", f"models:/{logged.model_id}", model_id=logged.model_id)
        client.set_registered_model_alias("credit", "champion", "1")
        client.create_registered_model("elsewhere")
        client.create_model_version("elsewhere", f"file://{work.home}/nowhere")
    every = {f"models:/{logged.model_id}", "model:credit/1", "model:credit@champion", f"run:{run}"}
    texts = ["credit", "model:credit", "models:/credit/1", "model:credit@champion", f"models:/{logged.model_id}"]
    names = of_registry.other_names(work, [*texts, logged.model_id, "model:credit/2", "other", "run:none", "\ud800"])
    for text in (*texts, logged.model_id):
        assert (text, set(names[text])) == (text, every)
    paths = [f"{work.home}/artifacts/{number}/{run}/artifacts/a.csv", f"/x/../{logged.model_id}/model.skops"]
    below = of_registry.other_names(work, paths)
    assert (below[paths[0]], set(below[paths[1]])) == ([f"run:{run}"], every)
    assert [names[each] for each in ("model:credit/2", "other", "run:none", "\ud800")] == [[]] * 4
    # A version of a file has no logged model, and so no run.
    assert "model:elsewhere/1" in of_registry.other_names(work, ["elsewhere"])["elsewhere"]
