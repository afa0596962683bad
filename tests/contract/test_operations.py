"""The design document's operations: which tool does each, and which test calls it over MCP on real data."""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops_mcp.tools import wire

FILE = Path(__file__).parents[1] / "integration" / "test_operations.py"


@dataclass(frozen=True)
class Row:
    operation: str
    tool: str
    test: str
    checked: str


ROWS = (
    Row(
        "MLflow get_or_create_experiment",
        "create_experiment",
        "test_experiments_and_runs",
        "same id twice, absolute root",
    ),
    Row("MLflow start_run", "start_run", "test_experiments_and_runs", "experiment, name, tags, artifact URI"),
    Row("MLflow log_params", "log_run", "test_experiments_and_runs", "stored; a changed value is refused"),
    Row("MLflow log_metrics", "log_run", "test_experiments_and_runs", "with a step; the latest is read"),
    Row("MLflow log_artifact", "log_artifact", "test_experiments_and_runs", "name inside the run"),
    Row("MLflow end of the run, duration_seconds", "end_run", "test_experiments_and_runs", "status, duration"),
    Row("MLflow artifact_uri", "get_run", "test_experiments_and_runs", "params, metrics, URI read back"),
    Row("MLflow run search", "search_runs", "test_experiments_and_runs", "filter; an unknown metric is an error"),
    Row("MLflow log_model", "log_model", "test_models_from_training_to_production", "in the run, registered"),
    Row("MLflow register_model", "register_model", "test_models_from_training_to_production", "version, tags"),
    Row(
        "MLflow transition_model_version_stage",
        "transition_stage",
        "test_models_from_training_to_production",
        "archives",
    ),
    Row(
        "MLflow get_latest_version", "get_latest_version", "test_models_from_training_to_production", "Production first"
    ),
    Row("MLflow load_model", "get_model", "test_models_from_training_to_production", "check=true loads and predicts"),
    Row("GX create_suite", "create_suite", "test_validation", "own rule, used at once"),
    Row("GX suites", "get_suite", "test_validation", "nine rules of the document"),
    Row("GX suites", "list_suites", "test_validation", "both E2I suites"),
    Row("GX get_default_suite", "get_default_suite", "test_validation", "E2I classification suite"),
    Row(
        "GX validate", "validate_dataset", "test_validation", "success, counts, one count against pandas, row condition"
    ),
    Row("GX example data", "generate_dataset", "test_validation", "passes the E2I suite"),
    Row("Feast register_feature", "register_feature", "test_features", "dtype and group"),
    Row("Feast feature view", "register_features", "test_features", "whole view from a dataset"),
    Row("Feast listing", "list_features", "test_features", "names and types"),
    Row(
        "Feast get_historical_features",
        "get_historical_features",
        "test_features",
        "full_feature_names, every row kept",
    ),
    Row("Feast materialize", "materialize_features", "test_features", "online read after it"),
    Row(
        "Feast get_online_features",
        "get_online_features",
        "test_features",
        "value of a known zipcode, unknown key said",
    ),
    Row("Feast get_feature_statistics", "get_feature_statistics", "test_features", "row count"),
    Row(
        "Optuna _create_model, ALGORITHM_REGISTRY",
        "list_algorithms",
        "test_algorithms_tuning_and_evaluation",
        "all names",
    ),
    Row(
        "Optuna optimize, MLflowCallback",
        "tune_model",
        "test_algorithms_tuning_and_evaluation",
        "notations, trials as runs",
    ),
    Row("Optuna study", "get_study", "test_algorithms_tuning_and_evaluation", "same best parameters"),
    Row("model.fit", "train_model", "test_algorithms_tuning_and_evaluation", "with the best parameters"),
    Row("Optuna _evaluate", "evaluate_model", "test_algorithms_tuning_and_evaluation", "score inside its interval"),
    Row(
        "SHAP compute_shap_values, compute_feature_importance",
        "explain_model",
        "test_explanations",
        "shares sum to one",
    ),
    Row("SHAP explain_instance", "explain_prediction", "test_explanations", "adds up to the probability"),
    Row("SHAP compute_interactions", "explain_interactions", "test_explanations", "pairs"),
    Row("SHAP plot", "plot_explanation", "test_explanations", "PNG content"),
    Row("econml effect", "estimate_effect", "test_effects", "true effect inside the interval"),
    Row("BentoML package_model", "package_model", "test_serving", "name and version"),
    Row("BentoML deploy, _wait_for_ready", "deploy_model", "test_serving", "answers when it returns"),
    Row("BentoML update_traffic", "set_traffic", "test_serving", "about half of ten calls at 50 %"),
    Row("BentoML predict", "predict", "test_serving", "predictions and probabilities"),
    Row("BentoML endpoints", "list_endpoints", "test_serving", "ready, then gone"),
    Row("BentoML stop", "stop_endpoint", "test_serving", "nothing left"),
    Row("Opik traces of every operation", "search_traces", "test_traces_and_jobs", "found by name"),
    Row("Opik span tree", "get_trace", "test_traces_and_jobs", "call above job"),
    Row("Opik trace_agent", "start_span", "test_an_agent_observes_itself", "open, then ended, above the rest"),
    Row("Opik end of a span", "end_span", "test_an_agent_observes_itself", "status and output"),
    Row("Opik trace_llm_call, log_tokens", "log_llm_call", "test_an_agent_observes_itself", "model, tokens"),
    Row("Opik log_metric", "log_metric", "test_an_agent_observes_itself", "on the span, as a score"),
    Row("Opik log_feedback", "log_feedback", "test_an_agent_observes_itself", "on the trace"),
    Row("Opik evaluate_agent", "evaluate_agent", "test_an_agent_observes_itself", "mean of a metric, score per case"),
)


def _calls() -> dict[str, set[str]]:
    """Test -> the tools it calls, those of its helper included."""
    functions = {
        node.name: node
        for node in ast.parse(FILE.read_text(encoding="utf-8")).body
        if isinstance(node, ast.AsyncFunctionDef)
    }
    texts = {
        name: {item.value for item in ast.walk(node) if isinstance(item, ast.Constant) and isinstance(item.value, str)}
        | {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}
        for name, node in functions.items()
    }
    return {
        name: words.union(*(texts[word] for word in words if word in texts and word != name))
        for name, words in texts.items()
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.operation} -> {row.tool}")
def test_an_operation_of_the_document_has_a_tool_and_a_test_that_calls_it(row: Row) -> None:
    assert any(row.tool in tools for tools in wire.index().values())
    assert row.tool in _calls()[row.test]
    assert row.checked
