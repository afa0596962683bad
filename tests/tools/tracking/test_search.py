"""Searches for runs: what MLflow finds, and a word where it would find nothing in silence."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking import backend, client

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("experiment", "where", "order", "says"),
    [
        ("credt", "", "", "Did you mean credit"),
        ("credit", "metrics.acu > 0.5", "", "Did you mean auc"),
        ("credit", "", "metrics.acu desc", "Did you mean auc"),
        ("credit", "params.dpth = '3'", "", "Did you mean depth"),
        ("credit", "metrics.auc >", "", "(?i)invalid"),
        ("credit", "tags.teem = 'risk'", "", "unknown tag.*Did you mean team"),
        ("credit", "tags.teem IS NULL", "", "unknown tag"),
        ("credit", "", "tags.teem desc", "Did you mean team"),
        ("credit", "attributes.status = 'FINSHED'", "", "RUNNING, FINISHED, FAILED, KILLED, SCHEDULED"),
        ("credit", "status = 'finished'", "", "In capitals: RUNNING, FINISHED"),
        ("credit", "status LIKE 'fin%'", "", "unknown run status"),
        ("credit", "attributes.nope = 'x'", "", "unknown attribute 'nope'.*run_name"),
        ("credit", "", "nope desc", "unknown attribute 'nope'.*start_time"),
    ],
)
def test_a_search_for_what_does_not_exist_is_an_error(
    work: Work, experiment: str, where: str, order: str, says: str
) -> None:
    run = client.start_run(work, "credit", "", {"team": "risk"}).run
    client.log_run(work, run, {"depth": 3}, {"auc": 0.9}, 0, {})
    with pytest.raises(ToolFailure, match=says):
        client.search_runs(work, experiment, where, order, 10, "")


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("params.rule LIKE '%metrics.foo%'", 1),
        ("params.rule = 'status = x'", 0),
        ("metrics.`auc` > 0.5 AND tags.team = 'risk'", 1),
        ("status = 'RUNNING'", 1),
        ("status ILIKE 'run%'", 1),
        ("tags.mlflow.parentRunId = 'none'", 0),
    ],
)
def test_text_in_quotes_is_a_value_and_no_reference(work: Work, where: str, found: int) -> None:
    run = client.start_run(work, "credit", "", {"team": "risk"}).run
    client.log_run(work, run, {"rule": "keep metrics.foo"}, {"auc": 0.9}, 0, {})
    assert len(client.search_runs(work, "credit", where, "", 10, "").items) == found


def test_what_a_search_asks_about_is_shown_though_other_names_come_first(work: Work) -> None:
    run = client.start_run(work, "credit", "", {}).run
    params: dict[str, JsonValue] = {f"p{number:02}": "v" * 30 for number in range(50)}
    metrics = {f"m{number:02}": number / 3 for number in range(50)} | {"z_auc": 0.123456789}
    client.log_run(work, run, params | {"z": "deep"}, metrics, 0, {})
    line = client.search_runs(work, "credit", "params.z = 'deep'", "metrics.z_auc desc", 10, "").items[0]
    assert (line.model_dump()["metrics"]["z_auc"], line.params["z"]) == (0.123457, "deep")
    assert line.more == f"{51 - len(line.metrics)} metrics, {51 - len(line.params)} params"


def test_runs_are_ordered_and_paged(work: Work) -> None:
    for value in (0.1, 0.3, 0.2):
        client.log_run(work, client.start_run(work, "credit", "", {}).run, {}, {"auc": value}, 0, {})
    first = client.search_runs(work, "credit", "", "metrics.auc desc", 2, "")
    second = client.search_runs(work, "credit", "", "metrics.auc desc", 2, first.next_cursor or "")
    assert [line.metrics["auc"] for line in (*first.items, *second.items)] == [0.3, 0.2, 0.1]
    assert second.next_cursor is None


ODD = {"val/auc": 0.5, "f1-score": 0.4, "my metric": 1.0, "v.auc": 0.3, "auc": 0.9}


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("params.owner = 'team''s'", 'Write "team\'s"'),
        ("params.owner = 'team\\'s'", 'Write "team\'s"'),
        ('params.owner = "say ""hi"""', "Write 'say \"hi\"'"),
        ("metrics.val/auc > 0.1", "Write metrics.`val/auc`"),
        ("metrics.f1-score > 0.1", "Write metrics.`f1-score`"),
        ("metrics.my metric > 0.1", "odd names in backticks"),
        ("metrics.auc > 0.5 OR metrics.auc < 1", "no OR and no NOT"),
        ("auc > 0.5", "metrics.auc > 0.9"),
        ("METRICS.auc > 0.5", "Valid values are"),
        ("params.depth = 3", "quoted"),
    ],
)
def test_a_filter_that_mlflow_cannot_read_is_answered_with_the_way_to_write_it(
    work: Work, where: str, says: str
) -> None:
    run = client.start_run(work, "credit", "", {}).run
    client.log_run(work, run, {"depth": 3, "owner": "team's"}, ODD, 0, {})
    with pytest.raises(ToolFailure) as caught:
        client.search_runs(work, "credit", where, "", 10, "")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "where",
    [
        'params.owner = "team\'s"',
        "params.owner ILIKE 'TEAM%'",
        "metrics.`val/auc` > 0.4 and metrics.`my metric` = 1",
        "metrics.v.auc > 0.2",
        "  metrics.auc > 0.5  ",
        "params.note = 'a\\b'",
        "params.note != \"two 'quotes' here\"",
    ],
)
def test_what_mlflow_can_read_finds_what_mlflow_itself_finds(work: Work, where: str) -> None:
    run = client.start_run(work, "credit", "", {}).run
    client.log_run(work, run, {"owner": "team's", "note": "a\\b"}, ODD, 0, {})
    mlflow = backend.mlflow_client(work)
    experiments = [found.experiment_id for found in mlflow.search_experiments()]
    expected = [f"run:{found.info.run_id}" for found in mlflow.search_runs(experiments, where.strip())]
    assert [line.run for line in client.search_runs(work, "credit", where, "", 10, "").items] == expected == [run]


@pytest.mark.parametrize("order", ["metrics.val/auc desc", "metrics.auc desc, start_time", "auc desc"])
def test_an_order_that_mlflow_cannot_read_is_answered_with_the_way_to_write_it(work: Work, order: str) -> None:
    client.log_run(work, client.start_run(work, "credit", "", {}).run, {}, ODD, 0, {})
    with pytest.raises(ToolFailure, match=r"metrics\.auc (desc|> 0\.9)"):
        client.search_runs(work, "credit", "", order, 10, "")


def test_a_cursor_of_another_list_is_refused(work: Work) -> None:
    client.start_run(work, "credit", "", {})
    with pytest.raises(ToolFailure, match="'20' is not a cursor of this list"):
        client.search_runs(work, "credit", "", "", 10, "20")
