"""The eight agents of the pipeline and the tools that each is given.

`serve --agent NAME` publishes only these; a prompt of the agent's name states its job.
"""

from __future__ import annotations

from dataclasses import dataclass

JOBS = ("get_job", "cancel_job")


@dataclass(frozen=True)
class AgentProfile:
    """`tools` in the order in which the agent meets them; the list costs at most 2,700 tokens."""

    name: str
    title: str
    job: str
    tools: tuple[str, ...]


AGENTS = (
    AgentProfile(
        "scope_definer",
        "Scope definer",
        "Turns a question into a problem: data, target, metric, what is known already.",
        (
            "load_dataset", "query_dataset", "list_datasets", "describe_dataset", "get_default_suite",
            "list_algorithms",
            "create_experiment", "list_experiments", "search_runs", "list_models", "get_model", "record_decision",
        ),
    ),
    AgentProfile(
        "data_preparer",
        "Data preparer",
        "Makes data that can be trusted: loaded, validated, joined with features, split.",
        (
            "load_dataset", "query_dataset", "list_datasets", "describe_dataset", "suggest_suite", "create_suite",
            "get_suite", "list_suites", "validate_dataset", "get_validation", "register_features",
            "list_features", "get_historical_features", "get_feature_statistics", "split_dataset", "get_lineage",
            "create_data_docs", "record_decision", "delete", *JOBS,
        ),
    ),
    AgentProfile(
        "model_selector",
        "Model selector",
        "Compares algorithms on the same rows and picks the one to tune.",
        (
            "describe_dataset", "list_algorithms", "create_experiment", "compare_models", "get_comparison",
            "train_model", "import_model", "evaluate_model", "search_runs", "get_run", "compare_runs", "list_models",
            "get_model", "get_latest_version", "record_decision", *JOBS,
        ),
    ),
    AgentProfile(
        "model_trainer",
        "Model trainer",
        "Tunes, trains, evaluates and registers one model, all in one run.",
        (
            "describe_dataset", "start_run", "get_run", "log_run", "log_artifact", "end_run", "tune_model", "get_study",
            "train_model", "evaluate_model", "estimate_effect", "log_model", "register_model", "record_decision",
            "delete", *JOBS,
        ),
    ),
    AgentProfile(
        "feature_analyzer",
        "Feature analyzer",
        "Explains what a model does and where it might be fooled.",
        (
            "describe_dataset", "get_feature_statistics", "get_model", "explain_model", "explain_prediction",
            "explain_interactions", "plot_explanation", "get_lineage", "log_run", "record_decision", *JOBS,
        ),
    ),
    AgentProfile(
        "model_deployer",
        "Model deployer",
        "Takes an approved version to an endpoint and moves traffic to it.",
        (
            "list_models", "get_model", "explain_promotion", "promote_model", "rollback_model", "transition_stage",
            "package_model", "list_bentos", "deploy_model", "set_traffic", "predict", "list_endpoints", "get_endpoint",
            "rollback_endpoint", "stop_endpoint", "export_deployment", "apply_deployment",
            "get_deployment", "get_lineage", "record_decision", "delete", *JOBS,
        ),
    ),
    AgentProfile(
        "observability_connector",
        "Observability connector",
        "Watches the others: traces, jobs, endpoints, and what led to what.",
        (
            "start_span", "end_span", "log_llm_call", "log_metric", "log_feedback", "evaluate_agent", "search_traces",
            "get_trace", "get_lineage", "list_decisions", "record_decision", "list_jobs", "search_runs", "get_run",
            "compare_runs", "get_metric_history", "list_artifacts", "read_artifact", "list_endpoints", "get_endpoint",
            "get_endpoint_logs", "compare_datasets", "clean_up", *JOBS,
        ),
    ),
    AgentProfile(
        "prediction_synthesizer",
        "Prediction synthesizer",
        "Answers questions with predictions, fresh features and reasons.",
        (
            "list_endpoints", "get_endpoint", "get_latest_version", "get_model", "list_features",
            "materialize_features", "push_features", "get_online_features", "predict", "predict_dataset",
            "explain_prediction", "get_lineage", "explain_promotion", "record_decision", *JOBS,
        ),
    ),
)  # fmt: skip
