"""Two calls with unknown names for every tool: none succeeds, and each answer says what is wrong."""

from typing import Any

import pytest
from mcp import Client
from mcp.types import TextContent

from mlops_mcp.tools import wire

from ..conftest import finished

NO_MODEL = {"model": "models:/m-0"}, {"model": "model:nothing/1"}
NO_DATA = {"dataset": "dataset:nothing@0"}, {"dataset": "nothing"}
NO_JOB = {"job": "job:nothing"}, {"job": "run:nothing"}
NO_ENDPOINT = {"endpoint": "nothing"}, {"endpoint": "endpoint:nothing"}
NO_STUDY = {"study": "study:nothing"}, {"study": "nothing"}
NO_RUN = {"run": "run:nothing"}, {"run": "nothing"}
Arguments = dict[str, Any]


def _each(pair: tuple[Arguments, Arguments], **more: Any) -> tuple[Arguments, Arguments]:
    return pair[0] | more, pair[1] | more


CALLS: dict[str, tuple[Arguments, Arguments]] = {
    "load_dataset": ({"path": "nothing.csv"}, {"path": "/nothing/at/all.parquet"}),
    "query_dataset": ({"sql": "select * from nothing"}, {"sql": "drop table nothing"}),
    "generate_dataset": ({"kind": "nothing"}, {"kynd": "e2i_classification"}),
    "list_datasets": ({"cursor": "nothing"}, {"nothing": 1}),
    "describe_dataset": NO_DATA,
    "compare_datasets": ({"reference": "nothing", "current": "nothing"}, {"reference": "model:a/1", "current": "b"}),
    "split_dataset": _each(NO_DATA, strategy="random"),
    "create_suite": (
        {"name": "s", "expectations": [{"type": "expect_nothing", "kwargs": {}}]},
        {"name": "s", "expectations": [{"type": "expect_column_to_exist", "kwargs": {"colum": "a"}}]},
    ),
    "suggest_suite": NO_DATA,
    "list_expectations": ({"search": "nothing"}, {"cursor": "nothing"}),
    "get_validation": ({"validation": "validation:nothing"}, {"validation": "nothing"}),
    "create_data_docs": ({"limit": -1}, {"limit": "nothing"}),
    "get_suite": ({"suite": "suite:nothing"}, {"suite": "nothing"}),
    "list_suites": ({"cursor": "nothing"}, {"nothing": 1}),
    "get_default_suite": ({"task": "nothing"}, {"task": ""}),
    "validate_dataset": (
        {"dataset": "nothing", "suite": "suite:e2i_classification_suite"},
        {"dataset": "dataset:nothing@0", "suite": "suite:nothing"},
    ),
    "register_features": _each(NO_DATA, view="v", entity="e", timestamp_column="t"),
    "register_feature": (
        {"feature": "f", "view": "nothing", "entity": "e", "dtype": "int64"},
        {"feature": "f", "view": "nothing", "entity": "e", "dtype": "nothing"},
    ),
    "list_features": ({"view": "nothing"}, {"cursor": "nothing"}),
    "get_historical_features": _each(NO_DATA, features=["nothing:f"]),
    "materialize_features": ({"views": ["nothing"]}, {"views": ["features:nothing"]}),
    "get_online_features": (
        {"features": ["nothing:f"], "rows": [{"k": 1}]},
        {"features": ["nothing"], "rows": [{"k": 1}]},
    ),
    "push_features": (
        {"source": "nothing", "rows": [{"k": 1}]},
        {"source": "nothing", "rows": []},
    ),
    "get_feature_statistics": ({"view": "nothing"}, {"view": "features:nothing"}),
    "create_experiment": ({"name": ""}, {"nothing": "x"}),
    "list_experiments": ({"cursor": "nothing"}, {"nothing": 1}),
    "compare_runs": ({"runs": ["run:nothing", "run:other"]}, {"runs": ["run:nothing"]}),
    "get_metric_history": _each(NO_RUN, metric="auc"),
    "list_artifacts": NO_RUN,
    "read_artifact": _each(NO_RUN, path="nothing"),
    "start_run": ({"nothing": "x"}, {"tags": "nothing"}),
    "log_run": _each(NO_RUN, metrics={"a": 1}),
    "log_artifact": _each(NO_RUN, path="nothing"),
    "end_run": NO_RUN,
    "get_run": NO_RUN,
    "search_runs": ({"experiment": "nothing"}, {"where": "metrics.nothing > 1"}),
    "log_model": ({"model": "models:/m-0"}, {"model": "local:nothing"}),
    "import_model": (
        {"model": "models:/m-0", "dataset": "nothing"},
        {"path": "nothing.ubj", "dataset": "nothing", "target": "y"},
    ),
    "register_model": _each(NO_MODEL, name="n"),
    "list_models": ({"cursor": "nothing"}, {"nothing": 1}),
    "list_bentos": ({"cursor": "nothing"}, {"nothing": 1}),
    "get_model": ({"model": "nothing"}, {"model": "model:nothing@production"}),
    "get_latest_version": ({"model": "nothing"}, {"model": "nothing", "stages": ["Nothing"]}),
    "transition_stage": ({"model": "model:nothing/1", "stage": "Staging"}, {"model": "model:nothing/1", "stage": "No"}),
    "promote_model": (
        {"model": "nothing", "candidate": "models:/m-0", "dataset": "nothing"},
        {"model": "nothing", "candidate": "nothing", "dataset": "nothing", "gates": ["nothing"]},
    ),
    "rollback_model": ({"model": "nothing"}, {"model": "model:nothing/1"}),
    "list_algorithms": ({"nothing": 1}, {"algorithm": "nothing"}),
    "train_model": _each(NO_DATA, target="y"),
    "evaluate_model": _each(NO_MODEL, dataset="nothing"),
    "reproduce_run": NO_RUN,
    "list_studies": ({"cursor": "nothing"}, {"nothing": 1}),
    "tune_model": _each(NO_DATA, target="y"),
    "get_study": NO_STUDY,
    "compare_models": _each(NO_DATA, target="y", candidates=["XGBoost"]),
    "get_comparison": ({"comparison": "comparison:nothing"}, {"comparison": "nothing"}),
    "estimate_effect": _each(NO_DATA, treatment="t", outcome="y"),
    "explain_model": _each(NO_MODEL, dataset="nothing"),
    "explain_prediction": _each(NO_MODEL, row={"x": 1}),
    "explain_interactions": _each(NO_MODEL, dataset="nothing"),
    "plot_explanation": ({"explanation": "explanation:nothing"}, {"explanation": "nothing"}),
    "package_model": NO_MODEL,
    "deploy_model": (
        {"bento": "bento:nothing:1", "endpoint": "e"},
        {"bento": "models:/m-0", "endpoint": "e"},
    ),
    "set_traffic": _each(NO_ENDPOINT, bento="bento:nothing:1", percent=50),
    "predict": _each(NO_ENDPOINT, rows=[{"x": 1}]),
    "predict_dataset": _each(NO_MODEL, dataset="nothing"),
    "list_endpoints": ({"cursor": "nothing"}, {"nothing": 1}),
    "get_endpoint": NO_ENDPOINT,
    "get_endpoint_logs": NO_ENDPOINT,
    "rollback_endpoint": NO_ENDPOINT,
    "stop_endpoint": NO_ENDPOINT,
    "export_deployment": _each(
        ({"traffic": {"nothing": 100}}, {"traffic": {"bento:nothing:1": 100}}), platform="docker", name="n"
    ),
    "apply_deployment": ({"export": "export:nothing"}, {"export": "nothing"}),
    "get_deployment": ({"export": "export:nothing"}, {"export": "nothing"}),
    "start_span": ({"name": "s", "parent": "nothing"}, {"nothing": 1}),
    "end_span": ({"span": "nothing"}, {"span": "01934567-89ab-7cde-8f01-23456789abcd"}),
    "log_llm_call": (
        {"model": "m", "input_tokens": 1, "output_tokens": 1, "parent": "nothing"},
        {"model": "m", "input_tokens": "nothing", "output_tokens": 1},
    ),
    "log_metric": ({"span": "nothing", "metric": "a", "value": 1}, {"span": "run:nothing", "metric": "a", "value": 1}),
    "log_feedback": ({"trace": "nothing", "score": 1}, {"trace": "run:nothing", "score": 1}),
    "evaluate_agent": (
        {"agent": "a", "test_cases": [{"output": "x"}], "scoring_metrics": ["nothing"]},
        {"agent": "a", "test_cases": [{"output": "x"}], "scoring_metrics": [{"metric": "Equals", "nothing": 1}]},
    ),
    "search_traces": ({"cursor": "nothing"}, {"nothing": 1}),
    "get_trace": ({"trace": "trace:nothing"}, {"trace": "job:nothing"}),
    "get_lineage": ({"handle": "model:nothing/1"}, {"handle": "nothing"}),
    "record_decision": (
        {"decided": "a", "reason": "b", "handles": ["nothing:x"]},
        {"decided": "a", "reason": "b", "handles": ["dataset:"]},
    ),
    "list_decisions": ({"handle": "nothing:x"}, {"cursor": "nothing"}),
    "explain_promotion": ({"model": "model:nothing"}, {"model": "dataset:nothing"}),
    "get_job": NO_JOB,
    "list_jobs": ({"state": "nothing"}, {"cursor": "nothing"}),
    "cancel_job": NO_JOB,
    "delete": ({"handle": "dataset:nothing"}, {"handle": ["nothing"], "dry_run": False}),
    "clean_up": ({"older_than_days": -1}, {"nothing": 1}),
}


def test_every_tool_is_called() -> None:
    assert set(CALLS) == {tool for tools in wire.index().values() for tool in tools}


@pytest.mark.slow
async def test_no_call_with_an_unknown_name_succeeds(client: Client) -> None:
    for tool, pair in CALLS.items():
        for arguments in pair:
            wait = {"wait_s": 50} if "wait_s" in wire.shipped(tool)["inputSchema"]["properties"] else {}
            answer = await finished(client, tool, **arguments, **wait)
            text = " ".join(block.text for block in answer.content if isinstance(block, TextContent))
            assert answer.is_error, f"{tool} took {arguments}: {text}"
            assert "get_trace(" not in text, f"{tool} crashed on {arguments}: {text}"
            assert len(text) < 1500
